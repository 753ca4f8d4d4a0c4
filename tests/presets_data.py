"""The preset files, read once for the tests that judge them."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PRESETS = Path(__file__).parents[1] / "backend" / "presets"
SETS = sorted(path for path in PRESETS.glob("*.toml") if path.stem != "demo")
FORM_FILES = sorted((PRESETS / "forms").glob("*.toml"))

Table = dict[str, Any]


def read(path: Path) -> Table:
    """One file as TOML has it."""
    return tomllib.loads(path.read_text("utf-8"))


PRESET = {kind: entries for path in SETS for kind, entries in read(path).items()}
"""The entries of every kind."""
FORMS = {path.stem: read(path) for path in FORM_FILES}
DEMO = read(PRESETS / "demo.toml")


def of(kind: str) -> dict[str, Table]:
    """The entries of a kind by key."""
    return {entry["key"]: entry for entry in PRESET[kind]}


def tables(value: object) -> Iterator[Table]:
    """Every table inside a value, at any depth."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from tables(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from tables(inner)
