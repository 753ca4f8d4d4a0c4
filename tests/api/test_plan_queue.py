"""Plans on several machines: PostgreSQL's queue, parts planned at the same time, workers that are killed."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID

import msgspec
import pytest
from click.testing import CliRunner
from sqlalchemy import select, text, update

from backend.app import plan_worker
from backend.cli import main
from backend.core.sessions import Database
from backend.dispatch import child, queue, runner
from backend.dispatch.child import Spares
from backend.dispatch.desk import Desk as PlanDesk
from backend.dispatch.models import PlanPart, PlanRun
from backend.dispatch.queue import PARTS_KEPT, QueueWorker, enqueue_plan, forget_old_steps, queue_queries
from backend.dispatch.runner import STARTS_MAXIMUM
from backend.jobs.models import WorkOrder
from backend.settings import PREFIX, Settings
from tests.make import Desk, Office, Offices
from tests.personas import CHEN_JING, LI_WEI, SUN_LEI, WANG_FANG, ZHOU_TAO
from tests.planning import PATIENCE, done, first_progress, much_work, run_of, shift_of, state_is, stops, wish
from tests.work import ok

pytestmark = pytest.mark.usefixtures("quick_planners")

ENDED = text(
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%pgqueuer%'"
)
"""Ends the connections that wait for the queue, and says how many."""
STUCK = """
import signal, sys
from routing import __main__ as planner, limits
limits.CHILD_GRACE_SECONDS = 0.1
planner.bound(planner.Parent(sys.stdin.fileno(), sys.stdout.buffer).request())
signal.pause()
"""
"""The program of a planner that keeps to its limits and never answers."""
LEASE_SECONDS = 1.0
CUT_VISITS = 4
MUCH = 60
"""Visits that are searched for seconds, so that there is progress to be seen."""
SHORT = 0.2
"""Seconds of search: enough for four visits."""


@pytest.fixture
async def postgresql(offices: Offices) -> AsyncIterator[Office]:
    async with offices.open("postgresql") as office:
        yield office


def cutting(office: Office) -> Settings:
    return msgspec.structs.replace(
        office.settings, planner_cut_visits=CUT_VISITS, planner_lease_seconds=LEASE_SECONDS, task_poll_seconds=0.1
    )


def worker(office: Office, spares: Spares | None = None, cut_visits: int = CUT_VISITS) -> QueueWorker:
    """One that cuts plans of a few visits already."""
    settings = msgspec.structs.replace(cutting(office), planner_cut_visits=cut_visits)
    made = plan_worker(settings, office.database, PlanDesk(4096), spares or Spares())
    assert isinstance(made, QueueWorker)
    return made


async def two_units_work(office: Office, orders: int) -> Desk:
    """Work for 李伟 and 周涛 of the service department, half of it of the northern outlet, where 孙磊 is."""
    await much_work(await office.sign_in(WANG_FANG), office, orders=orders)
    for day in range(3):
        await shift_of(office, SUN_LEI, after=24 * day)
    async with office.database.write() as session:
        ids = (await session.execute(select(WorkOrder.id).order_by(WorkOrder.id))).scalars().all()
        northern = update(WorkOrder).where(WorkOrder.id.in_(ids[::2]))
        await session.execute(northern.values(unit_id=office.house.north))
    return await office.sign_in(CHEN_JING)


async def parts_of(office: Office, plan: dict[str, object]) -> list[PlanPart]:
    async with office.database.read() as session:
        found = select(PlanPart).where(PlanPart.plan_run_id == UUID(str(plan["id"]))).order_by(PlanPart.number)
        return list((await session.execute(found)).scalars())


async def waiting(office: Office) -> int:
    async with office.database.read() as session:
        return (await session.execute(text("SELECT count(*) FROM plan_queue.pgqueuer"))).scalar_one()


async def lost_and_found(office: Office) -> None:
    """The queue is emptied, as in a database brought back from a backup; a worker that looks puts back what is missing.

    Looking twice puts nothing back twice.
    """
    async with office.database.write() as session:
        await session.execute(text("DELETE FROM plan_queue.pgqueuer"))
    assert not await worker(office).run_one()
    await worker(office).sweep()
    await worker(office).sweep()


async def test_a_plan_of_two_units_is_made_in_parts_and_joined(postgresql: Office) -> None:
    chen_jing = await two_units_work(postgresql, 8)
    plan = await wish(chen_jing, postgresql, "company", seconds=SHORT)
    await lost_and_found(postgresql)
    assert await worker(postgresql).run_one()
    await lost_and_found(postgresql)
    parts = await parts_of(postgresql, plan)
    assert [part.state for part in parts] == ["queued", "queued"]
    cut = await run_of(postgresql, plan)
    assert (cut.state, cut.worker_id) == ("running", None), "who cut it puts it back no more, should they end just now"
    assert sum(len(part.problem["visits"]) for part in parts) == 8
    assert all(len(part.problem["visits"]) == 4 for part in parts)
    for _ in parts:
        assert ok(await chen_jing.get(f"/plans/{plan['id']}"))["state"] == "running"
        assert await worker(postgresql).run_one()
    await lost_and_found(postgresql)
    assert await worker(postgresql).run_one()  # joins them
    assert not await worker(postgresql).run_one()
    made = ok(await chen_jing.get(f"/plans/{plan['id']}"))
    assert (made["state"], made["violations"], made["error"]) == ("done", [], None)
    assert len(stops(made)) + len(made["unplanned"]) == 8
    sun_lei = str(postgresql.house.id_of(SUN_LEI))
    of_sun_lei = {visit["id"] for part in parts for visit in part.problem["visits"]
                  if {shift["technician"] for shift in part.problem["shifts"]} == {sun_lei}}  # fmt: skip
    assert {visit for visit, person in stops(made).items() if person == sun_lei} <= of_sun_lei
    assert len(of_sun_lei) == 4
    assert await waiting(postgresql) == 0
    published = ok(await chen_jing.post(f"/plans/{plan['id']}/publish"))
    assert published["assigned"] == len(stops(made))


async def test_joining_that_ends_every_worker_is_given_up_and_says_so(postgresql: Office) -> None:
    chen_jing = await two_units_work(postgresql, 8)
    plan = await wish(chen_jing, postgresql, "company", seconds=SHORT)
    for _ in range(3):
        assert await worker(postgresql).run_one()
    assert [part.state for part in await parts_of(postgresql, plan)] == ["done", "done"]
    assert (await run_of(postgresql, plan)).starts == 0  # of the joining; cutting it once is over
    async with postgresql.database.write() as session:
        await session.execute(update(PlanRun).values(starts=STARTS_MAXIMUM))
    assert await worker(postgresql).run_one()
    seen = ok(await chen_jing.get(f"/plans/{plan['id']}"))
    assert (seen["state"], seen["error"]["code"]) == ("failed", "plan_interrupted")
    assert not await worker(postgresql).run_one()


async def test_joining_has_a_time_limit_of_its_own_however_long_the_plan_may_take(
    postgresql: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    chen_jing = await two_units_work(postgresql, 8)
    plan = await wish(chen_jing, postgresql, "company", seconds=SHORT)
    for _ in range(3):
        assert await worker(postgresql).run_one()
    async with postgresql.database.write() as session:
        await session.execute(update(PlanRun).values(seconds=2 * PATIENCE))
    monkeypatch.setattr(runner, "JOIN_SECONDS", 0.1)
    monkeypatch.setattr(child, "PROGRAM", (sys.executable, "-c", STUCK))
    began = time.monotonic()
    assert await worker(postgresql).run_one()
    assert time.monotonic() - began < PATIENCE
    seen = ok(await chen_jing.get(f"/plans/{plan['id']}"))
    assert (seen["state"], seen["error"]["code"]) == ("failed", "planner_died")
    assert str(-signal.SIGALRM) in seen["error"]["en"], "its own alarm ended it"


async def test_one_more_person_belongs_to_the_part_of_whom_they_work_like(postgresql: Office) -> None:
    """A what-if is cut as the plan was that it is compared with; who is only supposed is in no unit."""
    chen_jing = await two_units_work(postgresql, 8)
    base = await wish(chen_jing, postgresql, "company", seconds=SHORT)
    while await worker(postgresql).run_one():
        pass
    staff = {str(postgresql.house.id_of(persona)) for persona in (LI_WEI, ZHOU_TAO, SUN_LEI)}
    for like in (LI_WEI, SUN_LEI):
        one_more = {"like_person_id": str(postgresql.house.id_of(like)), "skills": []}
        asked = ok(await chen_jing.post(f"/plans/{base['id']}/what-ifs", {"one_more": one_more}), 201)
        while await worker(postgresql).run_one():
            pass
        made = ok(await chen_jing.get(f"/plans/{asked['id']}"))
        assert (made["state"], made["violations"], made["error"]) == ("done", [], None)
        parts = [
            {shift["technician"] for shift in part.problem["shifts"]} for part in await parts_of(postgresql, asked)
        ]
        assert len(parts) == 2
        (theirs,) = [part for part in parts if str(postgresql.house.id_of(like)) in part]
        assert len(theirs - staff) == 1
        assert set().union(*parts) - theirs <= staff


async def test_one_unit_is_planned_whole(postgresql: Office) -> None:
    wang_fang = await postgresql.sign_in(WANG_FANG)
    await much_work(wang_fang, postgresql, orders=CUT_VISITS)
    whole = await wish(wang_fang, postgresql, seconds=SHORT)
    assert await worker(postgresql).run_one()
    assert (await run_of(postgresql, whole)).state == "done"
    assert await parts_of(postgresql, whole) == []


async def test_a_cancelled_part_keeps_its_best(postgresql: Office) -> None:
    chen_jing = await two_units_work(postgresql, 60)
    plan = await wish(chen_jing, postgresql, "company", seconds=60)
    assert await worker(postgresql).run_one()
    ok(await chen_jing.post(f"/plans/{plan['id']}/cancel"))
    asked = time.monotonic()
    while await worker(postgresql).run_one():
        pass
    assert time.monotonic() - asked < PATIENCE
    made = ok(await chen_jing.get(f"/plans/{plan['id']}"))
    assert (made["state"], made["violations"]) == ("done", [])
    run = await run_of(postgresql, plan)
    assert run.plan is not None
    assert run.plan["status"] == "cancelled"


async def test_the_migration_makes_what_the_library_of_this_version_expects(postgresql: Office) -> None:
    async with postgresql.database.bare() as connection:
        plan = await (await queue_queries(connection)).plan_upgrade()
    assert plan.statements == ()


async def test_parts_and_the_log_of_old_plans_are_forgotten(postgresql: Office) -> None:
    chen_jing = await two_units_work(postgresql, 4)
    plan = await wish(chen_jing, postgresql, "company", seconds=SHORT)
    while await worker(postgresql).run_one():
        pass
    assert len(await parts_of(postgresql, plan)) == 2

    async def forgotten(after: timedelta) -> int:
        finished_at = (await run_of(postgresql, plan)).finished_at
        assert finished_at is not None
        async with postgresql.database.write() as session:
            return await forget_old_steps(session, finished_at + after)

    assert await forgotten(PARTS_KEPT) == 0
    assert await forgotten(PARTS_KEPT + timedelta(seconds=1)) == 2
    assert await parts_of(postgresql, plan) == []
    async with postgresql.database.write() as session:
        await session.execute(text("UPDATE plan_queue.pgqueuer_log SET created = '2020-01-01'"))
    assert await forgotten(timedelta(0)) >= 4  # at least one line a step


async def test_a_wish_that_is_rolled_back_is_in_no_queue(postgresql: Office) -> None:
    with suppress(ZeroDivisionError):
        async with postgresql.database.write() as session:
            await session.execute(text("SELECT 1"))
            await enqueue_plan(session, now=postgresql.now, run_id=UUID(int=1))
            raise ZeroDivisionError
    assert await waiting(postgresql) == 0


async def test_of_two_related_plans_published_at_the_same_moment_one_is_refused(postgresql: Office) -> None:
    """Both wait for the same orders; who gets them second sees what the first published."""
    wang_fang, chen_jing = await postgresql.sign_in(WANG_FANG), await postgresql.sign_in(CHEN_JING)
    await much_work(wang_fang, postgresql, orders=2)
    company = await done(chen_jing, postgresql, "company", seconds=SHORT)
    department = await done(wang_fang, postgresql, seconds=SHORT)
    postgresql.move_clock(seconds=5)
    blocked = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with postgresql.database.write() as session:
        await session.execute(select(WorkOrder.id).with_for_update())
        asked = [asyncio.create_task(desk.post(f"/plans/{plan['id']}/publish"))
                 for desk, plan in ((chen_jing, company), (wang_fang, department))]  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        async with postgresql.database.bare() as connection:
            while (await connection.execute(blocked)).scalar_one() < len(asked):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert [answer.json()["code"] for answer in answers if answer.status_code == 409] == ["plan_outdated"]


# --- machines, and their end ------------------------------------------------------------------------------------------


@asynccontextmanager
async def machine(office: Office) -> AsyncGenerator[Process]:
    """A process that runs `paigong work` on the office's database."""
    settings = cutting(office)
    names = ("mode", "data_dir", "database", "clock_file", "planner_cut_visits", "planner_lease_seconds",
             "task_poll_seconds")  # fmt: skip
    given = {PREFIX + name.upper(): str(getattr(settings, name)) for name in names}
    command = [sys.executable, "-m", "backend.cli", "work"]
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | given, stdout=DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def parts_begun(office: Office, plan: dict[str, object], count: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while sum(part.state == "running" for part in await parts_of(office, plan)) < count:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_worker_killed_in_the_middle_loses_no_plan(postgresql: Office) -> None:
    """A machine plans one part; it is killed with kill -9, and another worker makes both parts."""
    chen_jing = await two_units_work(postgresql, 8)
    plan = await wish(chen_jing, postgresql, "company", seconds=1)
    spares = Spares()
    await spares.start()  # as the other machine did when it started
    async with machine(postgresql) as first:
        await parts_begun(postgresql, plan, 1)
        os.kill(first.pid, signal.SIGKILL)
    killed = time.monotonic()
    other = asyncio.create_task(worker(postgresql, spares).run())
    try:
        made = await state_is(chen_jing, plan, "done", "failed")
        assert time.monotonic() - killed < LEASE_SECONDS + PATIENCE / 2
    finally:
        other.cancel()
        await asyncio.wait([other], timeout=PATIENCE)
        await spares.close()
    assert other.cancelled()
    assert (made["state"], made["violations"], made["error"]) == ("done", [], None)
    assert len(stops(made)) + len(made["unplanned"]) == 8
    assert sorted(part.starts for part in await parts_of(postgresql, plan)) == [1, 2]


async def test_a_worker_outlives_connections_that_break(postgresql: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the database is restarted: the driver's own errors neither end the worker nor keep the connection."""
    monkeypatch.setattr(queue, "RETRY_SECONDS", 0.05)
    chen_jing, made = await postgresql.sign_in(CHEN_JING), worker(postgresql)
    await shift_of(postgresql, SUN_LEI)
    assert not await made.run_one()
    broken = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE query LIKE '%pgqueuer%' AND pid <> pg_backend_pid()"
    )
    async with postgresql.database.write() as session:
        assert (await session.execute(broken)).scalar_one() == 1
    plan = await wish(chen_jing, postgresql, "company", seconds=SHORT)
    working = asyncio.create_task(made.run())
    try:
        assert (await state_is(chen_jing, plan, "done", "failed"))["error"] is None
    finally:
        working.cancel()
        await asyncio.wait([working], timeout=PATIENCE)
    assert working.cancelled()


async def test_a_worker_outlives_a_statement_that_is_ended_while_it_fills_the_queue(
    postgresql: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one is that waits too long or for each other: the driver's own errors come out of a transaction of ours."""
    monkeypatch.setattr(queue, "RETRY_SECONDS", 0.05)
    chen_jing, made = await postgresql.sign_in(CHEN_JING), worker(postgresql)
    await shift_of(postgresql, SUN_LEI)
    plan = await wish(chen_jing, postgresql, "company", seconds=SHORT)
    end = text(
        "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%pgqueuer%'"
    )
    ended, deadline = 0, time.monotonic() + PATIENCE
    async with postgresql.database.write() as session, postgresql.database.bare() as connection:
        await session.execute(text("LOCK TABLE plan_queue.pgqueuer IN EXCLUSIVE MODE"))
        working = asyncio.create_task(made.run())
        while not ended and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
            ended = (await connection.execute(end)).scalar_one()
    try:
        assert ended == 1
        assert (await state_is(chen_jing, plan, "done", "failed"))["error"] is None
    finally:
        working.cancel()
        await asyncio.wait([working], timeout=PATIENCE)
    assert working.cancelled()


async def test_a_worker_ends_when_told_to_though_its_connection_ends_at_the_same_moment(postgresql: Office) -> None:
    """As when a machine stops with everything on it: the server waits for its worker, and so must not wait for ever."""
    chen_jing = await postgresql.sign_in(CHEN_JING)
    await shift_of(postgresql, SUN_LEI)
    await wish(chen_jing, postgresql, "company")

    async def end_all() -> None:
        ending = Database(postgresql.settings.database_url)
        try:
            async with ending.bare() as connection:
                deadline = time.monotonic() + PATIENCE
                while (await connection.execute(ENDED)).scalar_one() == 0:
                    assert time.monotonic() < deadline
                    await asyncio.sleep(0.02)
        finally:
            await ending.close()

    async with postgresql.database.write() as session:
        await session.execute(text("LOCK TABLE plan_queue.pgqueuer IN EXCLUSIVE MODE"))
        working = asyncio.create_task(worker(postgresql).run())
        await asyncio.sleep(0.5)
        with ThreadPoolExecutor(max_workers=1) as thread:
            thread.submit(asyncio.run, end_all()).result(PATIENCE)  # this loop hears of both ends at once
        working.cancel()
        await asyncio.wait([working], timeout=PATIENCE / 4)
    try:
        assert working.cancelled()
    finally:
        working.cancel()


async def test_a_plan_outlives_a_connection_that_breaks_as_it_is_stored(
    postgresql: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to ask for the plan once more: it is begun again when its step's lease is over."""
    monkeypatch.setattr(queue, "RETRY_SECONDS", 0.05)
    chen_jing = await two_units_work(postgresql, MUCH)
    plan = await wish(chen_jing, postgresql, "company", seconds=2)
    end = text(
        "SELECT query, pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%plan_run%'"
    )
    working = asyncio.create_task(worker(postgresql, cut_visits=MUCH + 1).run())
    try:
        await first_progress(chen_jing, plan)
        ended, deadline = [""], time.monotonic() + PATIENCE
        async with postgresql.database.write() as session, postgresql.database.bare() as connection:
            await session.execute(select(PlanRun.id).with_for_update())
            while "FOR UPDATE" not in ended[-1]:  # until then it was progress, of which some may be lost
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
                ended += [row.query for row in await connection.execute(end)]
        made = await state_is(chen_jing, plan, "done", "failed")
    finally:
        working.cancel()
        await asyncio.wait([working], timeout=PATIENCE)
    assert (made["state"], made["violations"], made["error"]) == ("done", [], None)
    assert (await run_of(postgresql, plan)).starts == 2


def test_work_is_refused_where_one_process_does_everything() -> None:
    answer = CliRunner().invoke(main, ["work"], env={PREFIX + "DATABASE": ""})
    assert answer.exit_code == 1
    assert "PostgreSQL" in answer.output
