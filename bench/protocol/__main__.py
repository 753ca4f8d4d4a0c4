"""Writes the generated parts of docs/reference/sync-protocol.md and the pages beside it."""

import asyncio
import tempfile
from pathlib import Path

from backend.core.migrate import upgrade
from bench.protocol.story import told


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="paigong-protocol-") as name:
        url = f"sqlite+aiosqlite:///{name}/paigong.db"
        upgrade(url)
        for key, text in asyncio.run(told(url, Path(name))).items():
            print("=====", key)
            print(text)


if __name__ == "__main__":
    main()
