"""Planning that breaks: children that die, workers that stop, databases out of reach. It is always told."""

import asyncio
import os
import signal
import time
from contextlib import suppress

import msgspec
import pytest
from sqlalchemy import text, update

from backend.app import plan_worker
from backend.core.tasks import LEASE, Task
from backend.dispatch import following
from backend.dispatch.child import Spares, planner
from backend.dispatch.desk import Desk
from backend.dispatch.models import PlanRun
from backend.dispatch.road_sources import REQUEST_SECONDS
from backend.dispatch.runner import STARTS_MAXIMUM
from backend.people.models import Shift
from backend.settings import Settings, SettingsError, read_settings
from routing.check import violations
from tests.make import START, Office
from tests.osrm import table_server
from tests.personas import LI_WEI, WANG_FANG
from tests.planning import (
    PATIENCE,
    children,
    first_progress,
    much_work,
    new_children,
    run_of,
    shift_of,
    state_is,
    task_of,
    wish,
    worker,
)
from tests.routing.make import city_week
from tests.work import ok, opened, refused


@pytest.fixture
async def sqlite(sqlite_office: Office) -> Office:
    return sqlite_office


# --- when something breaks --------------------------------------------------------------------------------------------


async def test_a_planner_that_dies_is_told(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await much_work(wang_fang, sqlite)
    plan = await wish(wang_fang, sqlite, seconds=60)
    before = children()
    working = asyncio.create_task(worker(sqlite).run_one())
    await state_is(wang_fang, plan, "running")
    (started,) = await new_children(before)
    os.kill(started, signal.SIGKILL)
    assert await working
    failed = ok(await wang_fang.get(f"/plans/{plan['id']}"))
    assert (failed["state"], failed["error"]["code"]) == ("failed", "planner_died")
    assert failed["error"]["zh"]
    assert "-9" in failed["error"]["en"]


@pytest.mark.usefixtures("quick_planners")
async def test_what_the_database_refuses_each_time_is_tried_once(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    plan = await wish(wang_fang, sqlite)
    async with sqlite.database.write() as session:
        refuse = "CREATE TRIGGER refuse BEFORE UPDATE OF plan ON plan_run BEGIN SELECT RAISE(ABORT, 'never'); END"
        await session.execute(text(refuse))
    assert await worker(sqlite).run_one()
    assert (await run_of(sqlite, plan)).starts == 1
    failed = ok(await wang_fang.get(f"/plans/{plan['id']}"))
    assert (failed["state"], failed["error"]["code"]) == ("failed", "plan_failed")


async def test_a_planner_that_hears_nothing_is_ended_when_it_was_to_be_cancelled(
    sqlite: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands still, so its own look at the pipe and its own alarm do not help; the next plan need not wait."""
    monkeypatch.setattr(following, "GRACE_SECONDS", 1.0)
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await much_work(wang_fang, sqlite)
    plan = await wish(wang_fang, sqlite, seconds=60)
    before = children()
    working = asyncio.create_task(worker(sqlite).run_one())
    await first_progress(wang_fang, plan)
    (started,) = await new_children(before)
    os.kill(started, signal.SIGSTOP)
    ok(await wang_fang.post(f"/plans/{plan['id']}/cancel"))
    asked = time.monotonic()
    assert await working
    assert time.monotonic() - asked < PATIENCE
    seen = ok(await wang_fang.get(f"/plans/{plan['id']}"))
    assert (seen["state"], seen["error"], seen["routes"]) == ("cancelled", None, [])


async def test_memory_is_bounded_by_the_setting_and_running_out_is_told(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    await opened(wang_fang, sqlite)
    plan = await wish(wang_fang, sqlite)
    settings = msgspec.structs.replace(sqlite.settings, planner_memory_mb=140)
    assert await plan_worker(settings, sqlite.database, Desk(140), Spares()).run_one()
    failed = ok(await wang_fang.get(f"/plans/{plan['id']}"))
    assert (failed["state"], failed["error"]["code"]) == ("failed", "out_of_memory")
    assert str(140 * 1024 * 1024) in failed["error"]["en"]
    with pytest.raises(SettingsError, match="PLANNER_MEMORY_MB"):
        read_settings({"PAIGONG_PLANNER_MEMORY_MB": "64"})


async def test_a_large_plan_fits_into_the_memory_planners_get(sqlite: Office) -> None:
    """The limit counts address space the solver only reserves; three hundred visits must not meet it."""
    week = city_week(300, 30, 3, breaks=True)
    async with planner() as child:
        await child.ask(week, seconds=2, seed=1, memory_mb=Settings().planner_memory_mb)
        *_, last = [answer async for answer in child.answers()]
    assert last.plan is not None, last.error
    assert violations(week, last.plan) == []


async def test_a_plan_given_up_says_so_and_blocks_nobody(sqlite: Office) -> None:
    """A unit whose rows cannot be read as a problem: the runner fails, the run says it, the task is not tried again."""
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift = await shift_of(sqlite, LI_WEI)
    async with sqlite.database.write() as session:
        await session.execute(update(Shift).where(Shift.id == shift).values(breaks=[{"minutes": "?"}]))
    plans = [await wish(wang_fang, sqlite) for _ in range(4)]
    refused(await wang_fang.post("/plans", {"unit_id": str(sqlite.house.service)}), "too_many_plans")
    for _ in plans:
        assert await worker(sqlite).run_one()
    for plan in plans:
        seen = ok(await wang_fang.get(f"/plans/{plan['id']}"))
        assert (seen["state"], seen["error"]["code"]) == ("failed", "plan_failed")
        assert (await task_of(sqlite, plan)).state == "failed"
    await wish(wang_fang, sqlite)


async def test_runs_whose_task_was_given_up_block_nobody(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    for _ in range(4):
        await wish(wang_fang, sqlite)
    async with sqlite.database.write() as session:
        await session.execute(update(Task).values(state="failed"))
    assert (await wish(wang_fang, sqlite))["state"] == "queued"


@pytest.mark.usefixtures("quick_planners")
async def test_a_server_that_stops_leaves_its_plan_to_the_next_one(office: Office) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    await much_work(wang_fang, office)
    plan = await wish(wang_fang, office, seconds=2)
    working = asyncio.create_task(worker(office).run())
    await state_is(wang_fang, plan, "running")
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
    assert ok(await wang_fang.get(f"/plans/{plan['id']}"))["state"] == "queued"
    assert (await run_of(office, plan)).starts == 0
    assert await worker(office).run_one()
    assert ok(await wang_fang.get(f"/plans/{plan['id']}"))["state"] == "done"


@pytest.mark.usefixtures("quick_planners")
async def test_a_run_whose_server_died_is_made_by_the_next_one(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    plan = await wish(wang_fang, sqlite)
    async with sqlite.database.write() as session:
        await session.execute(update(PlanRun).values(state="running", started_at=sqlite.now, starts=1))
    assert await worker(sqlite).run_one()
    assert (await run_of(sqlite, plan)).starts == 2
    assert ok(await wang_fang.get(f"/plans/{plan['id']}"))["state"] == "done"


async def test_a_run_that_ends_every_worker_is_given_up_and_says_so(office: Office) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    await shift_of(office, LI_WEI)
    plan = await wish(wang_fang, office)
    async with office.database.write() as session:
        dying = update(PlanRun).values(state="running", started_at=office.now, starts=STARTS_MAXIMUM)
        await session.execute(dying)
    assert await worker(office).run_one()
    seen = ok(await wang_fang.get(f"/plans/{plan['id']}"))
    assert (seen["state"], seen["error"]["code"]) == ("failed", "plan_interrupted")
    assert "its server died, or the database was out of reach" in seen["error"]["en"]


async def test_a_plan_is_cancelled_while_roads_are_asked_for(sqlite: Office) -> None:
    """It says that it is under way, counts as begun, and ends at the wish: the next unit's plan does not wait."""
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    await opened(wang_fang, sqlite)
    plan = await wish(wang_fang, sqlite)
    with table_server() as roads:
        roads.silent_seconds = 2.0 * PATIENCE
        sqlite.settings = msgspec.structs.replace(sqlite.settings, travel=f"osrm:{roads.url}")
        working = asyncio.create_task(worker(sqlite).run_one())
        await state_is(wang_fang, plan, "running")
        deadline = time.monotonic() + PATIENCE
        while not roads.asked:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        assert (await run_of(sqlite, plan)).starts == 1
        ok(await wang_fang.post(f"/plans/{plan['id']}/cancel"))
        asked = time.monotonic()
        assert await working
        assert time.monotonic() - asked < REQUEST_SECONDS / 2
    seen = ok(await wang_fang.get(f"/plans/{plan['id']}"))
    assert (seen["state"], seen["error"], seen["routes"]) == ("cancelled", None, [])
    assert (await task_of(sqlite, plan)).state == "done"


@pytest.mark.usefixtures("quick_planners")
async def test_a_long_plan_keeps_its_task_and_hears_the_wish_to_cancel_after_a_fault(sqlite: Office) -> None:
    """The table is out of reach for a while: progress is lost for that long, and nothing else."""
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await much_work(wang_fang, sqlite)
    plan = await wish(wang_fang, sqlite, seconds=120)
    working = asyncio.create_task(worker(sqlite).run_one())
    await first_progress(wang_fang, plan)
    async with sqlite.database.write() as session:
        await session.execute(text("ALTER TABLE plan_run RENAME TO hidden"))
    await asyncio.sleep(1.2)
    async with sqlite.database.write() as session:
        await session.execute(text("ALTER TABLE hidden RENAME TO plan_run"))
        await session.execute(update(Task).values(leased_until=START))
    await asyncio.sleep(1.2)
    renewed = (await task_of(sqlite, plan)).leased_until
    assert renewed is not None
    assert renewed - START > LEASE
    ok(await wang_fang.post(f"/plans/{plan['id']}/cancel"))
    asked = time.monotonic()
    assert await working
    assert time.monotonic() - asked < PATIENCE
    assert (await run_of(sqlite, plan)).state == "done"
