"""A demo server for the docs. Its city is generated once a run; tests/core/test_demo has one made as newcomers do."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from backend.core.clock import SystemClock
from backend.core.sessions import Database
from backend.imports.demo_city import build_demo_city
from backend.imports.presets import load_presets
from bench.server import demo_server
from tests.databases import Databases


@contextmanager
def served_city(databases: Databases, folder: Path) -> Generator[str]:
    """Run a demo server with its data below `folder`; yields its address."""
    data = folder / "var" / "demo"
    data.mkdir(parents=True)
    databases.sqlite(data / "paigong.db", furnish=generated_city)
    with demo_server(folder) as address:
        yield address


def generated_city(url: str) -> None:
    """Put what a new demo has into a migrated database."""

    async def run() -> None:
        database, now = Database(url), SystemClock().now()
        async with database.write() as session:
            await load_presets(session, now=now)
        await build_demo_city(database, now=now)
        await database.close()

    asyncio.run(run())
