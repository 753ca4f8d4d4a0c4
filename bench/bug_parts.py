"""What bugs are made of: other parts in the place of ours, for a while."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias

Bug: TypeAlias = Callable[[], AbstractContextManager[None]]


@contextmanager
def replaced(owner: Any, **parts: Any) -> Generator[None]:
    """Let an object or module have other parts for the length of the block."""
    before = {name: owner.__dict__[name] for name in parts}
    try:
        for name, part in parts.items():
            setattr(owner, name, part)
        yield
    finally:
        for name, part in before.items():
            setattr(owner, name, part)


def part(owner: Any, name: str) -> Any:
    """Return a part of an object that is its own business: a bug is put there, so a bug must reach it."""
    return owner.__dict__[name]
