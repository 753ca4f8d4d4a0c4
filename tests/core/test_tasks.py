"""Background work: runs after its commit, once if it can, again if it must, and never by two at a time."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy import select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core import tasks
from backend.core.clock import FileClock, SystemClock
from backend.core.events import HANDLE_EVENT, Event, Reactions, event_task, tell
from backend.core.numbers import next_number, next_numbers
from backend.core.sessions import Database
from backend.core.tasks import ATTEMPTS, LEASE, Task, TaskHandler, TaskRefusedError, Worker, add_task, ensure_task
from backend.dispatch.queue import QueueWorker, enqueue_plan
from backend.people.models import Skill
from tests.make import START

PATIENCE = 20.0
"""Seconds a test waits for what has to come."""


class Bench:
    """A database with a clock that is moved by hand, and workers that note what they did."""

    def __init__(self, url: str, folder: Path) -> None:
        self.database = Database(url)
        self._file = folder / "clock"
        self.clock = FileClock(self._file)
        self.did: list[Any] = []
        self.move(timedelta(0))

    def move(self, by: timedelta) -> None:
        now = self.clock.now() if self._file.exists() else START
        self._file.write_text((now + by).isoformat(), "utf-8")

    def worker(self, handler: TaskHandler, kind: str = "say") -> Worker:
        return Worker(self.database, self.clock, {kind: handler}, 0.01)

    async def add(self, key: str, *, kind: str = "say", after: timedelta = timedelta(0)) -> None:
        async with self.database.write() as session:
            now = self.clock.now()
            add_task(session, now=now, kind=kind, key=key, payload={"key": key}, run_at=now + after)

    async def task(self, key: str) -> Task:
        async with self.database.read() as session:
            return (await session.execute(select(Task).where(Task.key == f"say:{key}"))).scalar_one()

    async def note(self, payload: dict[str, Any]) -> None:
        self.did.append(payload["key"])


@asynccontextmanager
async def away(url: str) -> AsyncGenerator[None]:
    """A PostgreSQL database that breaks every connection off and takes no new ones, until the end."""
    elsewhere = make_url(url).set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    name, keeper = make_url(url).database, await asyncpg.connect(elsewhere)
    try:
        await keeper.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await keeper.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        yield
        await keeper.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    finally:
        await keeper.close()


@pytest.fixture
async def bench(database_url: str, tmp_path: Path) -> Any:
    bench = Bench(database_url, tmp_path)
    yield bench
    await bench.database.close()


async def test_a_task_runs_once_in_order_and_only_when_due(bench: Bench) -> None:
    await bench.add("later", after=timedelta(minutes=5))
    await bench.add("first")
    await bench.add("second")
    worker = bench.worker(bench.note)
    assert [await worker.run_one() for _ in range(3)] == [True, True, False]
    assert bench.did == ["first", "second"]
    bench.move(timedelta(minutes=5))
    assert await worker.run_one()
    assert bench.did == ["first", "second", "later"]
    assert (await bench.task("later")).state == "done"


async def test_a_task_exists_only_if_its_cause_was_committed(bench: Bench) -> None:
    async def give_up() -> None:
        async with bench.database.write() as session:
            add_task(session, now=START, kind="say", key="never", payload={"key": "never"})
            await session.flush()
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await give_up()
    assert not await bench.worker(bench.note).run_one()


async def test_a_key_is_used_once(bench: Bench) -> None:
    await bench.add("same")
    with pytest.raises(IntegrityError):
        await bench.add("same")
    async with bench.database.write() as session:
        for _ in range(2):
            await ensure_task(session, now=START, kind="say", key="same", payload={"key": "other"})
    worker = bench.worker(bench.note)
    assert [await worker.run_one() for _ in range(2)] == [True, False]
    assert bench.did == ["same"]


async def test_a_failing_task_waits_longer_each_time_and_is_given_up(bench: Bench) -> None:
    async def fail(payload: dict[str, Any]) -> None:
        await bench.note(payload)
        raise ValueError("no luck")

    await bench.add("hopeless")
    worker, waits = bench.worker(fail), list[timedelta]()
    for _ in range(ATTEMPTS - 1):
        assert await worker.run_one()
        assert not await worker.run_one(), "not before its wait is over"
        waits.append((await bench.task("hopeless")).run_at - bench.clock.now())
        bench.move(waits[-1])
    assert waits == [timedelta(seconds=4**number) for number in range(ATTEMPTS - 1)]
    assert await worker.run_one()
    task = await bench.task("hopeless")
    assert (task.state, task.attempts, task.last_error) == ("failed", ATTEMPTS, "ValueError: no luck")
    bench.move(timedelta(days=1))
    assert not await worker.run_one()


async def test_a_task_that_can_never_succeed_is_given_up_at_once(bench: Bench) -> None:
    async def refuse(_payload: dict[str, Any]) -> None:
        raise TaskRefusedError("there is no such form")

    await bench.add("refused")
    assert await bench.worker(refuse).run_one()
    task = await bench.task("refused")
    assert (task.state, task.attempts, task.last_error) == ("failed", 1, "there is no such form")


async def test_two_workers_never_run_the_same_task(bench: Bench) -> None:
    for number in range(12):
        await bench.add(str(number))

    async def slowly(payload: dict[str, Any]) -> None:
        await bench.note(payload)
        await asyncio.sleep(0.005)

    async def drain(worker: Worker) -> None:
        for _ in range(30):
            await worker.run_one()

    await asyncio.gather(*(drain(bench.worker(slowly)) for _ in range(3)))
    assert sorted(bench.did, key=int) == [str(number) for number in range(12)]


async def test_a_worker_takes_only_the_kinds_it_can_do(bench: Bench) -> None:
    await bench.add("plan", kind="plan")
    assert not await bench.worker(bench.note).run_one()
    assert await bench.worker(bench.note, kind="plan").run_one()


async def test_the_task_of_a_worker_that_died_is_taken_over_after_its_lease(bench: Bench) -> None:
    started = asyncio.Event()

    async def hang(_payload: dict[str, Any]) -> None:
        started.set()
        await asyncio.Event().wait()

    await bench.add("orphan")
    dying = asyncio.create_task(bench.worker(hang).run_one())
    await started.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    other = bench.worker(bench.note)
    assert not await other.run_one(), "the lease still holds"
    left = (await bench.task("orphan")).leased_until
    assert left is not None
    assert timedelta(0) < left - SystemClock().now() <= LEASE
    async with bench.database.write() as session:
        await session.execute(update(Task).values(leased_until=SystemClock().now() - timedelta(seconds=1)))
    assert await other.run_one()
    assert bench.did == ["orphan"]


async def test_a_worker_outlives_connections_that_break(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the database is restarted: for a while none is let in, and every connection there was is gone."""
    monkeypatch.setattr(tasks, "RETRY_SECONDS", 0.05)
    bench, did = Bench(postgresql_url, tmp_path), {key: asyncio.Event() for key in ("before", "after")}

    async def note(payload: dict[str, Any]) -> None:
        did[payload["key"]].set()

    await bench.add("before")
    await bench.add("after", after=timedelta(minutes=5))
    working = asyncio.create_task(bench.worker(note).run())
    try:
        await asyncio.wait_for(did["before"].wait(), PATIENCE)
        async with away(postgresql_url):
            bench.move(timedelta(minutes=5))
            await asyncio.sleep(0.2)  # a few tries in vain
            assert not working.done()
            assert not did["after"].is_set()
        await asyncio.wait_for(did["after"].wait(), PATIENCE)
    finally:
        working.cancel()
        await asyncio.wait([working], timeout=PATIENCE)
        await bench.database.close()
    assert working.cancelled()


@pytest.mark.parametrize("kind", ["tasks", "plans"])
async def test_what_a_server_works_at_ends_when_it_is_stopped_while_its_database_is_away(
    postgresql_url: str, tmp_path: Path, kind: str
) -> None:
    """In the middle of its work, which can be neither settled nor given back then."""
    bench, begun = Bench(postgresql_url, tmp_path), asyncio.Event()

    async def hang(_payload: dict[str, Any]) -> None:
        begun.set()
        await asyncio.Event().wait()

    async with bench.database.write() as session:
        add_task(session, now=START, kind="say", key="long", payload={})
        await enqueue_plan(session, now=START, run_id=UUID(int=1))
    plans = QueueWorker(bench.database, hang, poll_seconds=0.01, lease_seconds=5)
    working = asyncio.create_task((plans if kind == "plans" else bench.worker(hang)).run())
    await asyncio.wait_for(begun.wait(), PATIENCE)
    async with away(postgresql_url):
        working.cancel()
        await asyncio.wait([working], timeout=PATIENCE)
        await bench.database.close()
    assert working.cancelled()


# --- events and numbers -----------------------------------------------------------------------------------------------


async def test_an_event_reaches_every_handler_and_a_repeat_does_no_harm(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    reactions = Reactions()
    monkeypatch.setattr("backend.core.events.REACTIONS", reactions)

    def named(name: str) -> Callable[[AsyncSession, Event, datetime], Awaitable[None]]:
        async def react(_session: AsyncSession, event: Event, now: datetime) -> None:
            bench.did.append((name, event.name, event.facts["by"], now))

        return react

    for name in ("second", "first"):
        reactions.on("skill.learnt", name, named(name))
    reactions.on("skill.forgotten", "third", named("third"))
    async with bench.database.write() as session:
        skill = Skill(key="welding", name_zh="焊接", name_en="Welding", needs_certificate=True)
        session.add(skill)
        tell(session, now=START, name="skill.learnt", row=skill, facts={"by": "李伟"})
    worker = bench.worker(event_task(bench.database, bench.clock), HANDLE_EVENT)
    assert [await worker.run_one() for _ in range(3)] == [True, True, False]
    assert sorted(bench.did) == [(name, "skill.learnt", "李伟", START) for name in ("first", "second")]


async def test_numbers_have_no_gap_and_none_is_given_twice(bench: Bench) -> None:
    async def take() -> str:
        async with bench.database.write() as session:
            return await next_number(session, "WO")

    taken = await asyncio.gather(*(take() for _ in range(8)))
    assert sorted(taken) == [f"WO-{number}" for number in range(1, 9)]
    async with bench.database.write() as session:
        assert await next_numbers(session, "WO", 3) == ["WO-9", "WO-10", "WO-11"]
        assert await next_number(session, "SR") == "SR-1"
