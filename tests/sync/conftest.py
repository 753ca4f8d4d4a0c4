"""Stores under contract: each test in tests/sync/contract runs once over every store named in WORLDS."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.sync.handset import Handset, register
from tests.sync.world import MemoryWorld, World


@asynccontextmanager
async def memory() -> AsyncGenerator[World]:
    """The store in memory."""
    yield await MemoryWorld().begin()


WORLDS: Mapping[str, Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[World]]] = {
    "memory": lambda _: memory(),
}
"""How to open a world over each store; the request gives a store's own fixtures (`getfixturevalue`)."""


@pytest.fixture(params=sorted(WORLDS))
async def world(request: pytest.FixtureRequest) -> AsyncGenerator[World]:
    async with WORLDS[request.param](request) as world:
        yield world


@pytest.fixture
async def li_wei(world: World) -> Handset:
    """李伟, technician, with a registered phone that holds nothing yet."""
    return await register(world, world.li_wei)


@pytest.fixture
async def zhang_min(world: World) -> Handset:
    """张敏, technician, with a registered phone that holds nothing yet."""
    return await register(world, world.zhang_min)


@pytest.fixture
async def site(world: World) -> str:
    """A site where both technicians have work today."""
    site = await world.site()
    job = await world.job(site)
    await world.assign(world.li_wei, job)
    await world.assign(world.zhang_min, job)
    return site
