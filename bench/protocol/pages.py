"""The pages with generated parts, and how these are put into them.

A part stands between `<!-- made: example NAME -->` (or `table NAME`) and `<!-- end -->`; the rest is written by hand.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "docs" / "reference"
PAGES: Final = (FOLDER / "sync-protocol.md", FOLDER / "sync" / "rows.md", FOLDER / "sync" / "mutations.md")
PART: Final = re.compile(r"(<!-- made: (?P<kind>example|table) (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, examples: Mapping[str, str], tables: Mapping[str, str]) -> str:
    """Return a page with its generated parts made anew; raises KeyError for a part nobody makes."""
    made = {"example": examples, "table": tables}
    return PART.sub(lambda part: f"{part[1]}\n{made[part['kind']][part['name']]}\n{part[4]}", page)


def named(page: str, kind: str) -> set[str]:
    """Return the names of a page's parts of one kind."""
    return {part["name"] for part in PART.finditer(page) if part["kind"] == kind}
