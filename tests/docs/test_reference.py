"""The reference pages made from the code say what the code says today."""

from bench.reference import PAGES, errors_page, limits_page


def test_every_limit_is_on_its_page() -> None:
    assert (PAGES / "limits.md").read_text("utf-8") == limits_page(), "run: .venv/bin/python -m bench.reference"


def test_every_error_code_is_on_its_page() -> None:
    assert (PAGES / "errors.md").read_text("utf-8") == errors_page(), "run: .venv/bin/python -m bench.reference"
