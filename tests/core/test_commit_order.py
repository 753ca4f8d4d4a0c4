"""Two connections stepped statement by statement on PostgreSQL: commits become visible in the order of their `v`.

A reader that has seen `v` never misses a change at or below it. The same schedules catch a cursor made of a sequence.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.changes import change, commit_clock, stamp
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.customers.models import ContactPoint
from tests.make import House, add_customer, furnish, load_house_from

STEPS = 3
"""write, stamp, commit."""
SCHEDULES = list(combinations(range(2 * STEPS), STEPS))
"""Which of the six moments are the first writer's: all 20 interleavings of two writers."""


@dataclass
class Writer:
    """A transaction that can be taken one step at a time; a step that has to wait for a lock stays under way."""

    database: Database
    marks: Callable[[AsyncSession, int], Awaitable[int | None]]
    session: AsyncSession = field(init=False)
    pid: int = 0
    v: int | None = None
    done: int = 0
    under_way: asyncio.Task[None] | None = None
    committed: list["Writer"] = field(default_factory=list)

    async def open(self) -> None:
        self.session = self.database._writers()
        await self.session.begin()
        self.pid = (await self.session.execute(text("SELECT pg_backend_pid()"))).scalar_one()

    async def step(self, watch: AsyncSession) -> None:
        """Begin the next step, unless one is still waiting; return when it is done or waits for a lock."""
        if self.under_way is None and self.done < STEPS:
            self.under_way = asyncio.create_task(self._act(self.done))
        while self.under_way is not None:
            await asyncio.wait({self.under_way}, timeout=0.003)
            if self.under_way.done():
                await self.under_way
                self.under_way, self.done = None, self.done + 1
            elif await self._waits(watch):
                return

    async def _act(self, number: int) -> None:
        if number == STEPS - 1:
            await self.session.commit()
            self.committed.append(self)
            await self.session.close()
        else:
            marked = await self.marks(self.session, number)
            self.v = marked if marked is not None else self.v

    async def _waits(self, watch: AsyncSession) -> bool:
        blocked = text("SELECT cardinality(pg_blocking_pids(:pid)) > 0")
        return bool((await watch.execute(blocked, {"pid": self.pid})).scalar_one())


async def write(session: AsyncSession, house: House) -> None:
    values = {"id": new_id(), "contact_id": house.contact, "kind": "wechat", "address": str(new_id())}
    await session.execute(insert(ContactPoint).values(**values))


@pytest.mark.parametrize("sharing", ["one bucket", "a bucket each"])
async def test_every_interleaving_of_two_writers_is_read_without_a_gap(postgresql_furnished: str, sharing: str) -> None:
    house, database = await load_house_from(postgresql_furnished), Database(postgresql_furnished)
    for schedule in SCHEDULES:
        committed: list[Writer] = []
        writers = [Writer(database, marks(house, sharing, number), committed=committed) for number in range(2)]
        seen, cursor = set[Any](), await newest(database)
        async with database._writers() as watch:
            await watch.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
            for writer in writers:
                await writer.open()
            for moment in [*schedule_of(schedule), *[0, 1] * STEPS]:
                await writers[moment].step(watch)
                seen, cursor = await pull(database, seen, cursor)
        seen, cursor = await pull(database, seen, cursor)
        assert [writer.done for writer in writers] == [STEPS, STEPS]
        versions = [writer.v for writer in committed]
        assert versions == sorted(versions, key=lambda v: v or 0), f"{schedule}: committed in another order than v"
        assert seen >= {writer.v for writer in writers}, f"{schedule}: a commit was never seen"
    await database.close()


async def test_the_same_schedules_catch_a_cursor_made_of_a_sequence(postgresql_furnished: str) -> None:
    """The control: without the clock as last lock, some interleaving hides a commit from a reader for ever."""
    database = Database(postgresql_furnished)
    async with database._writers() as session, session.begin():
        await session.execute(text("CREATE SEQUENCE bare"))
        await session.execute(text("CREATE TABLE told (v bigint PRIMARY KEY)"))

    async def mark(session: AsyncSession, number: int) -> int | None:
        if number != 0:
            return None
        statement = text("INSERT INTO told (v) VALUES (nextval('bare')) RETURNING v")
        return (await session.execute(statement)).scalar_one()

    missed = 0
    for schedule in SCHEDULES:
        writers = [Writer(database, mark) for _ in range(2)]
        seen, cursor = set[int](), 0
        async with database._writers() as watch:
            await watch.connection(execution_options={"isolation_level": "AUTOCOMMIT"})
            cursor = (await watch.execute(text("SELECT coalesce(max(v), 0) FROM told"))).scalar_one()
            for writer in writers:
                await writer.open()
            for moment in [*schedule_of(schedule), *[0, 1] * STEPS]:
                await writers[moment].step(watch)
                fresh = await watch.execute(text("SELECT v FROM told WHERE v > :cursor"), {"cursor": cursor})
                seen |= {row.v for row in fresh}
                cursor = max([cursor, *seen])
        missed += not seen >= {writer.v for writer in writers}
    assert missed > 0
    await database.close()


@pytest.fixture
def postgresql_furnished(databases: Any) -> Iterator[str]:

    url = databases.postgresql(furnish=furnish)
    yield url
    databases.drop(url)


def marks(house: House, sharing: str, number: int) -> Callable[[AsyncSession, int], Awaitable[int | None]]:
    """The writer's first two steps; in "a bucket each" every new customer is a bucket of its own."""

    async def act(session: AsyncSession, step: int) -> int | None:
        if step == STEPS - 2:
            await session.flush()
            return await session.run_sync(stamp)
        if sharing == "one bucket":
            await write(session, house)
        else:
            await add_customer(session, house.service, f"客户 {number}")
        return None

    return act


def schedule_of(first: tuple[int, ...]) -> list[int]:
    return [0 if moment in first else 1 for moment in range(2 * STEPS)]


async def newest(database: Database) -> int:
    async with database.read() as session:
        return (await session.execute(select(commit_clock.c.v))).scalar_one()


async def pull(database: Database, seen: set[Any], cursor: int) -> tuple[set[Any], int]:
    """Read what a phone would: one snapshot, its clock, and every change since the last."""
    async with database.read() as session:
        clock = (await session.execute(select(commit_clock.c.v))).scalar_one()
        fresh = (await session.execute(select(change.c.v).where(change.c.v > cursor))).scalars().all()
    return seen | set(fresh), clock
