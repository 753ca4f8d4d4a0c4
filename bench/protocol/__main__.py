"""Writes the generated parts of docs/reference/sync-protocol.md and the pages below it.

    .venv/bin/python -m bench.protocol

A test compares the pages with what this writes, so they cannot fall behind.
"""

import asyncio
import tempfile
from pathlib import Path

from backend.core.migrate import upgrade
from bench.protocol.pages import PAGES, filled
from bench.protocol.story import told
from bench.protocol.tables import tables


def main() -> None:
    """Tell the story on a new database, and write what was said into the pages."""
    with tempfile.TemporaryDirectory(prefix="paigong-protocol-") as name:
        url = f"sqlite+aiosqlite:///{name}/paigong.db"
        upgrade(url)
        examples = asyncio.run(told(url, Path(name)))
    for page in PAGES:
        page.write_text(filled(page.read_text("utf-8"), examples, tables()), "utf-8")


if __name__ == "__main__":
    main()
