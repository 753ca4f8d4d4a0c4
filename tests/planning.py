"""Plans in tests: asked for, made, published, and looked at from beside."""

import asyncio
import contextlib
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.app import plan_worker
from backend.core.ids import new_id
from backend.core.tasks import Task, Worker
from backend.dispatch.child import Spares
from backend.dispatch.desk import Desk as PlanDesk
from backend.dispatch.models import PlanRun
from backend.dispatch.plan import build_problem
from backend.dispatch.queue import QueueWorker
from backend.jobs.models import Visit, WorkOrder
from backend.parts.models import Part, StockLocation, StockMovement, StockReservation
from backend.people.models import Absence
from backend.sites.models import Site
from routing.problem import Problem
from routing.validate import validate
from tests.make import LAT, LON, LONG_AGO, START, Desk, Office, add_all, add_shift
from tests.personas import LI_WEI, ZHOU_TAO, Persona
from tests.work import ok, opened

PATIENCE = 20
"""Seconds a test waits for what takes one."""


def worker(office: Office) -> Worker | QueueWorker:
    """Who makes the office's plans."""
    desk = PlanDesk(office.settings.planner_memory_mb)  # never asked: the referee needs it for large plans only
    return plan_worker(office.settings, office.database, desk, Spares())


async def shift_of(office: Office, persona: Persona, *, after: float = 0, hours: float = 8, **values: Any) -> UUID:
    """A shift that begins so many hours after the morning of the test."""
    async with office.database.write() as session:
        shift = await add_shift(
            session, office.house.id_of(persona), START + timedelta(hours=after), hours=hours, lat=LAT + 0.05, lon=LON
        )
        for name, value in values.items():
            setattr(shift, name, value)
    return shift.id


async def wish(desk: Desk, office: Office, unit: str = "service", **values: object) -> dict[str, Any]:
    body = {"unit_id": str(office.house.unit(unit)), "seconds": 1, **values}
    return ok(await desk.post("/plans", body), 201)


async def planned(desk: Desk, office: Office, unit: str = "service", **values: object) -> dict[str, Any]:
    """A plan, made."""
    asked = await wish(desk, office, unit, **values)
    assert await worker(office).run_one()
    return ok(await desk.get(f"/plans/{asked['id']}"))


async def done(desk: Desk, office: Office, unit: str = "service", **values: object) -> dict[str, Any]:
    """A plan, made and legal."""
    plan = await planned(desk, office, unit, **values)
    assert (plan["state"], plan["violations"], plan["error"]) == ("done", [], None)
    return plan


async def published(desk: Desk, plan: dict[str, Any]) -> dict[str, Any]:
    return ok(await desk.post(f"/plans/{plan['id']}/publish"))


def stops(plan: dict[str, Any]) -> dict[str, str]:
    """Visit to the person the plan gives it to."""
    return {stop["visit_id"]: route["person_id"] for route in plan["routes"] for stop in route["stops"]}


async def assignment(desk: Desk, visit_id: str) -> dict[str, Any] | None:
    """Who has the visit now, and when."""
    visit = ok(await desk.get(f"/visits/{visit_id}"))
    order = ok(await desk.get(f"/work-orders/{visit['work_order_id']}"))
    (now, *more) = [one for one in order["assignments"] if one["withdrawn_at"] is None] or [None]
    assert not more
    return now


async def holder(desk: Desk, visit_id: str) -> dict[str, Any]:
    """The assignment of a visit that somebody has."""
    now = await assignment(desk, visit_id)
    assert now is not None
    return now


async def run_of(office: Office, plan: dict[str, Any]) -> PlanRun:
    async with office.database.read() as session:
        return await session.get_one(PlanRun, UUID(plan["id"]))


async def state_is(desk: Desk, plan: dict[str, Any], *states: str) -> dict[str, Any]:
    """Wait until the plan is in one of these states."""
    deadline = time.monotonic() + PATIENCE
    while (seen := ok(await desk.get(f"/plans/{plan['id']}")))["state"] not in states:
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.05)
    return seen


async def first_progress(desk: Desk, plan: dict[str, Any]) -> dict[str, Any]:
    """Wait until the planner has told how far it is."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := await state_is(desk, plan, "queued", "running"))["progress"]:
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.05)
    return seen


async def much_work(desk: Desk, office: Office, orders: int = 120) -> None:
    """Enough visits and people to search for many seconds."""
    for persona in (LI_WEI, ZHOU_TAO):
        for day in range(3):
            await shift_of(office, persona, after=24 * day)
    first = (await opened(desk, office, duration_minutes=30))["visits"][0]["id"]
    async with office.database.write() as session:
        visit = await session.get_one(Visit, UUID(first))
        order = await session.get_one(WorkOrder, visit.work_order_id)
        for number in range(1, orders):
            site_id = await second_site(session, office, lat=LAT + number % 12 * 0.02, lon=LON + number // 12 * 0.02)
            new_order = copied(order, number=f"{order.number}-{number}", site_id=site_id)
            await add_all(session, new_order)
            await add_all(session, copied(visit, work_order_id=new_order.id))


async def second_site(session: AsyncSession, office: Office, **values: object) -> UUID:
    """Another site of 云桥物业."""
    site_id = new_id()
    here = await session.get_one(Site, office.house.site)
    await add_all(session, copied(here, id=site_id, number=f"S-{site_id}", name="南塔", **values))
    return site_id


def copied(row: Any, **values: object) -> Any:
    """A new row with the values of another, but for these."""
    columns = {column.key: getattr(row, column.key) for column in type(row).__table__.columns}
    return type(row)(**(columns | {"id": new_id(), **values}))


def children() -> set[int]:
    """The processes this one started."""
    found: set[int] = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread may end while we look
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


async def new_children(before: set[int]) -> set[int]:
    """Wait until this process has started others."""
    deadline = time.monotonic() + PATIENCE
    while not (new := children() - before):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    return new


async def absent(office: Office, persona: Persona, *spans: tuple[float, float]) -> None:
    """Away between these hours after the morning of the test."""
    async with office.database.write() as session:
        session.add_all(
            Absence(
                person_id=office.house.id_of(persona), starts_at=START + timedelta(hours=start),
                ends_at=START + timedelta(hours=end), kind="leave",
            )
            for start, end in spans
        )  # fmt: skip


async def stocked(office: Office, order: dict[str, object], *places: tuple[str, Persona | None, int, int]) -> str:
    """A part, so much of it in each place, and so much of that set aside for the order; its id."""
    async with office.database.write() as session:
        part = Part(
            number=f"P-{new_id()}", name_zh="电源板", name_en="Power board", measure="piece", price_fen=12_000,
            serialised=False, active=True,
        )  # fmt: skip
        await add_all(session, part)
        for kind, persona, held, reserved in places:
            owner = None if persona is None else office.house.id_of(persona)
            place = StockLocation(unit_id=office.house.service, kind=kind, name=kind, person_id=owner)
            await add_all(session, place)
            session.add(
                StockMovement(
                    part_id=part.id, to_location_id=place.id, quantity=held, reason="receipt", happened_at=LONG_AGO,
                    posted_at=LONG_AGO, went_negative=False,
                )
            )  # fmt: skip
            if reserved:
                session.add(
                    StockReservation(
                        part_id=part.id, location_id=place.id, quantity=reserved, subject_id=UUID(str(order["id"])),
                        reserved_at=LONG_AGO,
                    )
                )  # fmt: skip
    return str(part.id)


async def problem_of(office: Office) -> Problem:
    async with office.database.read() as session:
        task = await build_problem(
            session, now=office.now, unit_ids=[office.house.service], horizon_ends_at=office.now + timedelta(days=3)
        )
    validate(task.problem)
    return task.problem


def pause(start: float, end: float, minutes: int) -> dict[str, Any]:
    return {
        "start_at": (START + timedelta(hours=start)).isoformat(), "end_at": (START + timedelta(hours=end)).isoformat(),
        "minutes": minutes,
    }  # fmt: skip


async def task_of(office: Office, plan: dict[str, Any]) -> Task:
    async with office.database.read() as session:
        return (await session.execute(select(Task).where(Task.key == f"run_plan:{plan['id']}"))).scalar_one()
