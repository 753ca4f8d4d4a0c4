"""docs/reference/form-templates.md names every kind of item and every field there is, and none that is not."""

import re
from pathlib import Path
from typing import Any, get_args

import msgspec

from backend.forms import template

PAGE = (Path(__file__).parents[2] / "docs/reference/form-templates.md").read_text("utf-8")
PARTS: tuple[Any, ...] = (template.Template, template.Section, template.Signer, template.Option, template.Condition)


def test_the_page_lists_every_kind_of_item_with_its_own_fields() -> None:
    listed = {
        row[0]: set(re.findall(r"`(\w+)`", row[1].partition(":")[0]))
        for row in re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*)\|$", PAGE, re.MULTILINE)
    }
    common = set(template.TickItem.__struct_fields__)
    kinds = {str(kind.__struct_config__.tag): set(kind.__struct_fields__) - common for kind in get_args(template.Item)}
    listed.pop("kind")  # the heading
    assert listed == kinds


def test_the_page_names_every_field() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    fields = {field.name for part in (*PARTS, template.TickItem) for field in msgspec.structs.fields(part)}
    assert fields - named == set()
