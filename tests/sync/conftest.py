"""Stores under contract: each test in tests/sync/contract runs once over every store named in STORES.

A worker has one database of each kind, opened once and emptied for each test; so these tests share one event loop.
"""

from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from backend.core.sessions import Database
from tests.databases import Databases
from tests.sync.handset import Handset, register
from tests.sync.sql_world import SqlWorld, emptied
from tests.sync.world import MemoryWorld, World

MEMORY: Final = "memory"
SQL: Final = ("sqlite", "postgresql")
STORES: Final = (MEMORY, *SQL)
SHARED: Final = {"sql_databases"}
"""Fixtures that live on the event loop all tests share."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests over shared databases on the loop those were opened on."""
    for item in items:
        if SHARED & set(getattr(item, "fixturenames", ())) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sql_databases(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Mapping[str, Database]]:
    """A migrated database of each kind; `emptied` before each use."""
    file: Path = tmp_path_factory.mktemp("sync") / "paigong.db"
    urls = {"sqlite": databases.sqlite(file), "postgresql": databases.postgresql()}
    opened = {kind: Database(url) for kind, url in urls.items()}
    yield opened
    for database in opened.values():
        await database.close()
    databases.drop(urls["postgresql"])


@pytest_asyncio.fixture(params=SQL, loop_scope="session")
async def sql_world(request: pytest.FixtureRequest, sql_databases: Mapping[str, Database]) -> SqlWorld:
    """A world over each SQL store."""
    return await sql_world_over(sql_databases[request.param])


@pytest_asyncio.fixture(loop_scope="session")
async def postgresql_world(sql_databases: Mapping[str, Database]) -> SqlWorld:
    """A world over PostgreSQL, for what only its many writers can show."""
    return await sql_world_over(sql_databases["postgresql"])


async def sql_world_over(database: Database) -> SqlWorld:
    """Return a furnished world and nothing else."""
    await emptied(database)
    return await SqlWorld(database).begin()


@pytest_asyncio.fixture(params=STORES, loop_scope="session")
async def world(request: pytest.FixtureRequest, sql_databases: Mapping[str, Database]) -> World:
    """A world over each store."""
    if request.param == MEMORY:
        return await MemoryWorld().begin()
    return await sql_world_over(sql_databases[request.param])


@pytest_asyncio.fixture(loop_scope="session")
async def li_wei(world: World) -> Handset:
    """李伟, technician, with a registered phone that holds nothing yet."""
    return await register(world, world.li_wei)


@pytest_asyncio.fixture(loop_scope="session")
async def zhang_min(world: World) -> Handset:
    """张敏, technician, with a registered phone that holds nothing yet."""
    return await register(world, world.zhang_min)


@pytest_asyncio.fixture(loop_scope="session")
async def site(world: World) -> str:
    """A site where both technicians have work today."""
    site = await world.site()
    job = await world.job(site)
    await world.assign(world.li_wei, job)
    await world.assign(world.zhang_min, job)
    return site
