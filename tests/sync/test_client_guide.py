"""The guide for whoever writes a client shows code that runs: each block stands so in the example."""

import pytest

from tests.docs.pages import ROOT, Block, read_page

GUIDE = read_page(ROOT / "docs/how-to/write-a-client.md")
EXAMPLE = "".join((ROOT / "docs/examples/phone_day.py").read_text("utf-8").split())
BLOCKS = [block for block in GUIDE.blocks if block.language == "python"]


def test_there_is_something_to_compare() -> None:
    assert len(BLOCKS) == 6


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"line {block.line}")
def test_the_guide_shows_what_the_example_does(block: Block) -> None:
    assert "".join(block.text.split()) in EXAMPLE, "but for how lines are broken, which depends on how far in they are"
