"""What values there are, where one is refused that is none of them."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

VALUES_NAMED: Final = 8
"""Values told of those there are; of more, where they are listed."""
REFUSED: Final = re.compile(r"^Invalid enum value ('[^']*'|\S+)$")
"""How the validator refuses a value that is none of a few."""
STEP: Final = re.compile(r"\[(?P<item>[^\]]*)\]|(?P<field>[^.\[\]]+)")
"""One step of the validator's path: away.kind, many[1], of a mapping rates[...]."""


class Taken(NamedTuple):
    """What a request may give: its name there, and its type as msgspec reads it."""

    name: str
    kind: Any


def with_allowed(said: str, kind: Any, path: str) -> str:
    """Return the validator's sentence about the value at `path` of a `kind`, with the values there are if it can say.

    `kind` is a type as msgspec reads it; `path` is as the validator writes it, without `$.`.
    """
    if not REFUSED.match(said):
        return said
    kinds = [msgspec.inspect.type_info(kind)]
    for step in STEP.finditer(path):
        kinds = [inner for one in kinds for inner in _inside(one, step["field"])]
    values = [value for one in kinds for value in _values(one)]
    return f"{said}; allowed: {listed(values, '/docs')}" if values else said


def listed(values: Iterable[object], where: str) -> str:
    """Return the values as they are written, at most VALUES_NAMED of them, then where all are listed."""
    named = [str(value) for value in values]
    more = f", … ({where})" if len(named) > VALUES_NAMED else ""
    return ", ".join(named[:VALUES_NAMED]) + more


def _alternatives(kind: msgspec.inspect.Type) -> Iterator[msgspec.inspect.Type]:
    if isinstance(kind, msgspec.inspect.UnionType):
        for one in kind.types:
            yield from _alternatives(one)
    elif isinstance(kind, msgspec.inspect.Metadata):
        yield from _alternatives(kind.type)
    else:
        yield kind


def _inside(kind: msgspec.inspect.Type, field: str | None) -> Iterator[msgspec.inspect.Type]:
    """Yield the types of what a value of this kind has as that field, or without one as an item."""
    for one in _alternatives(kind):
        if field is not None:
            fields = one.fields if isinstance(one, msgspec.inspect.StructType) else ()
            yield from (known.type for known in fields if known.encode_name == field)
        elif isinstance(one, msgspec.inspect.CollectionType):
            yield one.item_type
        elif isinstance(one, msgspec.inspect.DictType):
            yield one.value_type


def _values(kind: msgspec.inspect.Type) -> Iterator[object]:
    for one in _alternatives(kind):
        if isinstance(one, msgspec.inspect.LiteralType):
            yield from one.values
        elif isinstance(one, msgspec.inspect.EnumType):
            yield from (member.value for member in one.cls)
