"""Reads of plans."""

from collections.abc import Container, Mapping
from datetime import datetime, timedelta
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from backend.contracts.rules import moment_words
from backend.core.auth import Principal
from backend.core.errors import NOT_FOUND, Problem
from backend.core.paging import Page, PageRequest, fetch_rows
from backend.dispatch.crews import crews
from backend.dispatch.joining import joined_visits
from backend.dispatch.live_wording import clock_words
from backend.dispatch.models import PlanRun, UnplannedVisit
from backend.dispatch.schemas import LateView, PlanSummary, PlanView, RouteView, StopView, UnplannedView
from backend.dispatch.wording import Names, reason_words
from backend.jobs.models import Visit, WorkOrder
from backend.parts.models import Part
from backend.people.models import Person, Skill, Unit
from backend.sites.models import Site
from routing import problem as planning
from routing.differences import stops_of
from routing.plan import Late, Plan, Route, Stop

SECONDS_A_MINUTE = 60
ONE_MORE = ("增加的一人", "one more person")
"""Who is in a what-if and not on the staff."""
ONE_MORE_NAME = " / ".join(ONE_MORE)
"""As a name in answers, which everybody's board shows as it is."""


def must_plan_for(principal: Principal, unit_id: UUID) -> None:
    """Refuse a unit the person does not dispatch for, as if it did not exist."""
    if unit_id not in principal.units("dispatch", "write"):
        raise Problem(NOT_FOUND)


async def plan_run(
    session: AsyncSession, principal: Principal, plan_id: UUID, level: str, *, large: bool = True
) -> PlanRun:
    """Return a plan run of the person's units, locked for a change; raises not_found.

    What is `large` and only planning needs, its problem and its basis, takes long to decode and may be left out.
    """
    left_out = () if large else (defer(PlanRun.problem), defer(PlanRun.basis))
    run = await session.get(PlanRun, plan_id, with_for_update=level == "write", options=left_out)
    if run is None or run.unit_id not in principal.units("dispatch", level):
        raise Problem(NOT_FOUND)
    return run


async def plans(session: AsyncSession, principal: Principal, page: PageRequest) -> Page[PlanSummary]:
    """Return the plans of the person's units, newest first."""
    columns = (getattr(PlanRun, name) for name in PlanSummary.__struct_fields__)  # not its problem, which is large
    listed = select(*columns).where(PlanRun.unit_id.in_(principal.units("dispatch", "read")))
    return await fetch_rows(session, listed, PlanRun.id, page, lambda row: PlanSummary(**row))


async def plan(session: AsyncSession, principal: Principal, plan_id: UUID) -> PlanView:
    """Return a plan run with everything it says; raises not_found."""
    run = await plan_run(session, principal, plan_id, "read", large=False)
    made = msgspec.convert(run.plan, Plan) if run.plan is not None else None
    stays = await _stays(session, made) if made else {}
    lead = await _leads(session, run.id, made) if made else {}
    called = await _called(session, made) if made else {}
    zh, en = _sentences(made, stays) if made else (None, None)
    return PlanView(
        id=run.id, unit_id=run.unit_id, kind=run.kind, version=run.version, most_changes=run.most_changes,
        base_id=run.base_id, hypothesis=run.hypothesis, state=run.state,
        cancel_requested=run.cancel_requested, horizon_starts_at=run.horizon_starts_at,
        horizon_ends_at=run.horizon_ends_at, seconds=run.seconds, seed=run.seed, requested_at=run.requested_at,
        started_at=run.started_at, finished_at=run.finished_at, published_at=run.published_at, progress=run.progress,
        summary_zh=zh, summary_en=en, travel_source=made and made.travel_source,
        travel_estimated=made and made.travel_estimated,
        cost=msgspec.to_builtins(made.cost) if made else None,
        routes=[_route(run, route, called, stays, lead) for route in made.routes] if made else [],
        unplanned=await _unplanned(session, run.id), late=await _late(session, run, made) if made else [],
        violations=run.violations, error=run.error,
    )  # fmt: skip


async def _stays(session: AsyncSession, made: Plan) -> dict[UUID, UUID]:
    """Return the visits of the plan's stays of people who join, by stay."""
    unplanned = [UUID(one.visit) for one in made.unplanned]
    return await joined_visits(session, [*unplanned, *(UUID(stop.visit) for stop in stops_of(made.routes))])


def _sentences(made: Plan, stays: Container[UUID]) -> tuple[str, str]:
    planned = len({stop.visit for stop in stops_of(made.routes) if UUID(stop.visit) not in stays})
    late, unplanned = len(made.late), sum(UUID(one.visit) not in stays for one in made.unplanned)
    kept, everything = planned - late, planned + unplanned
    zh = f"{everything} 次上门中 {kept} 次按时到场,{late} 次会晚到,{unplanned} 次未排上。"
    en = f"{kept} of {everything} visits arrive in time, {late} arrive late, {unplanned} are not planned."
    return zh, en


async def _leads(session: AsyncSession, run_id: UUID, made: Plan) -> dict[str, str]:
    """Return the shift of who leads each visit of a plan; only where several come, the problem has to say who."""
    shifts = {stop.visit: route.shift for route in made.routes for stop in route.stops}
    if len(shifts) == sum(len(route.stops) for route in made.routes):
        return shifts
    stored = (await session.execute(select(PlanRun.problem).where(PlanRun.id == run_id))).scalar_one()
    problem = msgspec.convert(stored, planning.Problem)
    return {visit: parts[0].route.shift for visit, parts in crews(problem, made).items()}


async def _called(session: AsyncSession, made: Plan) -> dict[str, str]:
    """Return what the people of a plan's routes are called."""
    people = select(Person.id, Person.name).where(Person.id.in_({UUID(route.technician) for route in made.routes}))
    return {str(row.id): row.name for row in await session.execute(people)}


def _route(
    run: PlanRun, route: Route, called: Mapping[str, str], stays: Mapping[UUID, UUID], lead: Mapping[str, str]
) -> RouteView:
    start = run.horizon_starts_at
    return RouteView(
        shift_id=UUID(route.shift), person_id=UUID(route.technician),
        person_name=called.get(route.technician, ONE_MORE_NAME),
        departs_at=start + timedelta(seconds=route.leaves), ends_at=start + timedelta(seconds=route.end),
        stops=[_stop(run, stop, stays, leads=lead[stop.visit] == route.shift) for stop in route.stops],
    )  # fmt: skip


def _stop(run: PlanRun, stop: Stop, stays: Mapping[UUID, UUID], *, leads: bool) -> StopView:
    start, visit_id = run.horizon_starts_at, UUID(stop.visit)
    return StopView(
        visit_id=stays.get(visit_id, visit_id), leads=leads and visit_id not in stays,
        arrives_at=start + timedelta(seconds=stop.arrival),
        starts_at=start + timedelta(seconds=stop.start), ends_at=start + timedelta(seconds=stop.departure),
        travel_minutes=-(-stop.travel_seconds // SECONDS_A_MINUTE),
        slack_minutes=None if stop.slack_seconds is None else stop.slack_seconds // SECONDS_A_MINUTE,
    )  # fmt: skip


async def _unplanned(session: AsyncSession, plan_id: UUID) -> list[UnplannedView]:
    left = (
        select(UnplannedVisit.visit_id, UnplannedVisit.reasons, WorkOrder.id, WorkOrder.number)
        .join(Visit, Visit.id == UnplannedVisit.visit_id)
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .where(UnplannedVisit.plan_run_id == plan_id)
        .order_by(WorkOrder.due_at, WorkOrder.id)
    )
    return [
        UnplannedView(visit_id=row.visit_id, work_order_id=row.id, number=row.number, reasons=row.reasons)
        for row in await session.execute(left)
    ]


async def _late(session: AsyncSession, run: PlanRun, made: Plan) -> list[LateView]:
    """Return what the plan brings late, with reasons that say times of day as they are where the visit is."""
    start = run.horizon_starts_at
    listed = (
        select(Visit.id, WorkOrder.id.label("work_order_id"), WorkOrder.number, Site.time_zone)
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .join(Site, Site.id == WorkOrder.site_id)
        .where(Visit.id.in_([UUID(one.visit) for one in made.late]))
    )
    rows = {str(row.id): row for row in await session.execute(listed)}

    def view(late: Late) -> LateView:
        row = rows[late.visit]

        def clock(second: int) -> str:
            return clock_words(start + timedelta(seconds=second), row.time_zone, start)

        return LateView(
            visit_id=row.id, work_order_id=row.work_order_id, number=row.number,
            late_minutes=-(-late.late_seconds // SECONDS_A_MINUTE),
            promise_late_minutes=-(-late.promise_late_seconds // SECONDS_A_MINUTE),
            reasons=[reason_words(reason, {}, clock) for reason in late.reasons],
        )  # fmt: skip

    return [view(late) for late in made.late if late.visit in rows]


async def names(session: AsyncSession, problem: planning.Problem, start: datetime) -> Names:
    """Return what the shifts, people, visits, sites, skills and parts of a problem that began at `start` are called."""
    found = await _shift_names(session, problem, start)
    ids = [UUID(visit.id) for visit in problem.visits]
    stays = await joined_visits(session, ids)
    visits = (
        select(Visit.id, WorkOrder.number, Site.id.label("site_id"), Site.name)
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .join(Site, Site.id == WorkOrder.site_id)
        .where(Visit.id.in_([*ids, *stays.values()]))
    )
    for row in await session.execute(visits):
        found[str(row.id)] = (f"工单 {row.number}（{row.name}）", f"order {row.number} ({row.name})")
        found[str(row.site_id)] = (row.name, row.name)
    found |= {str(stay): found[str(visit)] for stay, visit in stays.items()}
    for skill in await session.execute(select(Skill.key, Skill.name_zh, Skill.name_en)):
        found[skill.key] = (skill.name_zh, skill.name_en)
    return found | await part_names(session, problem)


async def part_names(session: AsyncSession, problem: planning.Problem) -> dict[str, tuple[str, str]]:
    """Return what the parts that visits of a problem wait for are called."""
    needed = {UUID(need.part) for visit in problem.visits for need in visit.parts}
    if not needed:
        return {}
    parts = select(Part.id, Part.name_zh, Part.name_en).where(Part.id.in_(needed))
    return {str(row.id): (row.name_zh, row.name_en) for row in await session.execute(parts)}


async def _shift_names(session: AsyncSession, problem: planning.Problem, start: datetime) -> dict[str, tuple[str, str]]:
    technicians = {shift.technician for shift in problem.shifts}
    technicians |= {visit.pin.technician for visit in problem.visits if visit.pin and visit.pin.technician}
    people = (
        select(Person.id, Person.name, Unit.time_zone)
        .join(Unit, Unit.id == Person.unit_id)
        .where(Person.id.in_([UUID(technician) for technician in technicians]))
    )
    workers = {str(row.id): row for row in await session.execute(people)}
    found = {key: (row.name, row.name) for key, row in workers.items()}
    found |= dict.fromkeys(technicians - workers.keys(), ONE_MORE)
    for shift in problem.shifts:
        worker = workers.get(shift.technician)
        if worker is None:
            found[shift.id] = found[f"shift:{shift.id}"] = ONE_MORE
            continue
        (from_zh, from_en), (to_zh, to_en) = (
            moment_words(start + timedelta(seconds=second), worker.time_zone, start)
            for second in (shift.start, shift.end)
        )
        found[shift.id] = (f"{worker.name} {from_zh} 至 {to_zh} 的班次", f"{worker.name}'s shift {from_en} to {to_en}")
        found[f"shift:{shift.id}"] = (f"{worker.name} 的出发地", f"where {worker.name} starts")
    return found
