"""The way the docs are read for testing is itself right."""

from pathlib import Path

import pytest

from tests.docs.pages import anchor, appears, read_page


@pytest.mark.parametrize(
    ("heading", "fragment"),
    [
        ("The first ten minutes", "the-first-ten-minutes"),
        ("最初十分钟 / The first ten minutes", "最初十分钟--the-first-ten-minutes"),
        ("`make demo`, again", "make-demo-again"),
    ],
)
def test_a_heading_becomes_its_fragment(heading: str, fragment: str) -> None:
    assert anchor(heading) == fragment


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("b", True),
        ("a\nb", True),
        ("WO-... ready", True),
        ("WO-...ready!", False),
        ("a\nc", False),
        ("a\n...\nc", True),
        ("...\nc\n", True),
        ("c\n...\na", False),
        ("d", False),
    ],
)
def test_expected_lines_are_looked_for_in_order(expected: str, found: bool) -> None:  # noqa: FBT001 - a table of cases
    assert appears(expected, "a\nb  \nc\nWO-21 ready\n") is found


def test_a_page_is_taken_apart(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Two words\n[x](y.md#z) `make demo`\n\n```bash tested server\n$ one \\\n  two\n```\n", "utf-8")
    read = read_page(page)
    assert read.links == ("y.md#z",)
    assert read.anchors == {"two-words"}
    assert read.commands == ("make demo", "one    two")
    assert [(block.language, block.words, block.line) for block in read.blocks] == [
        ("bash", frozenset({"tested", "server"}), 4)
    ]
