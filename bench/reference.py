"""Writes the reference pages that are made from the code: every limit, every error code.

    .venv/bin/python -m bench.reference        # writes docs/reference/limits.md and errors.md

A test compares the pages with what this writes, so they cannot fall behind.
"""

import ast
import importlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeGuard, cast

from backend.core.errors import FAULTS
from sync.texts import TEXTS

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = ROOT / "docs" / "reference"
PACKAGES: Final = ("backend", "sync", "routing")
WORDS: Final = (
    "MAXIMUM", "MINIMUM", "MAX", "LEAST", "MOST", "BYTES", "SECONDS", "MINUTES", "HOURS", "DAYS", "ATTEMPTS", "LENGTH",
    "LEASE", "REMEMBERED", "DEFAULT", "KEPT", "TRIED",
)  # fmt: skip
LEFT_OUT: Final = ("backend.imports.demo", "backend.presets")

LIMITS_HEAD: Final = """# Limits

Every limit has a number and a name in the code. Whoever meets one is told which, and what to do; where a list is cut
instead, its limit says so. This page is made from the code by `python -m bench.reference`.

| limit | value | where | what for |
|---|---|---|---|
"""
ERRORS_HEAD: Final = """# Error codes

Every refusal is answered as problem details (RFC 9457), `application/problem+json`, with a stable `code`, the sentence
in both languages, what to do next (`todo`, `todo_zh`) and, where it helps, `findings` that name the fields. Programs go
by `code`. This page is made from the code by `python -m bench.reference`.

| code | status | 中文 | English | what to do |
|---|---|---|---|---|
"""
SYNC_HEAD: Final = """
## Results of mutations

Sync gives each mutation a result with one of these codes, besides the codes above (see
[sync-protocol.md](sync-protocol.md)).

| code | 中文 | English |
|---|---|---|
"""


def limits_page() -> str:
    """Return docs/reference/limits.md."""
    rows = sorted({row for package in PACKAGES for row in _limits(package)}, key=lambda row: (row[2], row[0]))
    return LIMITS_HEAD + "".join(f"| `{name}` | {value} | `{where}` | {why} |\n" for name, value, where, why in rows)


def errors_page() -> str:
    """Return docs/reference/errors.md."""
    importlib.import_module("backend.cli")  # importing everything declares every fault
    faults = "".join(
        f"| `{fault.code}` | {fault.status} | {fault.zh} | {fault.en} | {fault.todo_en} |\n"
        for fault in sorted(FAULTS.values(), key=lambda fault: fault.code)
    )
    results = "".join(f"| `{code}` | {text.zh} | {text.en} |\n" for code, text in sorted(TEXTS.items()))
    return ERRORS_HEAD + faults + SYNC_HEAD + results


def write() -> None:
    """Write both pages."""
    PAGES.mkdir(exist_ok=True)
    (PAGES / "limits.md").write_text(limits_page(), "utf-8")
    (PAGES / "errors.md").write_text(errors_page(), "utf-8")


def _limits(package: str) -> Iterator[tuple[str, str, str, str]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not module.startswith(LEFT_OUT):
            yield from limits_of(module)


def limits_of(module: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield a module's limits in its own order: name, value, module, what for."""
    path = Path(str(importlib.import_module(module).__file__))
    body = ast.parse(path.read_text("utf-8")).body
    for node, following in zip(body, [*body[1:], ast.Pass()], strict=True):
        name, why = _constant(node), _docstring(following)
        if name and (why or any(word in name.split("_") for word in WORDS)):
            value = getattr(importlib.import_module(module), name)
            if _is_limit(value):
                yield name, _shown(value), module, why


def _constant(node: ast.stmt) -> str:
    """The name of the constant a statement defines, or nothing."""
    target = (
        node.target if isinstance(node, ast.AnnAssign) else node.targets[0] if isinstance(node, ast.Assign) else None
    )
    return target.id if isinstance(target, ast.Name) and target.id.isupper() else ""


def _docstring(node: ast.stmt) -> str:
    """The text under a constant, on one line."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split()).replace("|", "\\|")
    return ""


def _is_limit(value: object) -> TypeGuard[float | timedelta | tuple[float, ...]]:
    if isinstance(value, tuple):
        several = cast("tuple[object, ...]", value)
        return all(isinstance(one, float) for one in several)
    return isinstance(value, int | float | timedelta) and not isinstance(value, bool)


def _shown(value: float | timedelta | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return ", ".join(_shown(one) for one in value)
    return str(value) if isinstance(value, timedelta) else f"{value:,}"


if __name__ == "__main__":
    write()
