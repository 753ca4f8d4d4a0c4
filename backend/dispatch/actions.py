"""Asking for plans, stopping them, and publishing one as assignments."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor, record
from backend.core.errors import Fault, Finding, Problem
from backend.core.tasks import add_task
from backend.dispatch.models import PlanRun
from backend.dispatch.plan import MOVABLE
from backend.dispatch.schemas import NewPlan, Publication, SkippedVisit
from backend.jobs.actions import assign_visit, withdraw_assignments
from backend.jobs.models import Assignment, Visit
from backend.people.models import Person, Shift
from backend.people.sign_in import unit_trees
from routing.plan import Plan, Route, Stop

RUN_PLAN: Final = "run_plan"
OPEN_PLANS_MAXIMUM: Final = 4
"""Plans of one unit waiting or running at a time."""

NO_TECHNICIANS = Fault(
    "no_technicians", 409, "计划期内没有任何人上班,无法排程。",
    "Nobody works in this period, so there is nothing to plan.",
    "请先登记班次,或把计划期延长到有人上班的日子。", "Enter shifts first, or plan up to a day on which people work.",
)  # fmt: skip
TOO_MANY_PLANS = Fault(
    "too_many_plans", 429, "这个单位已有太多计划在排队。", "Too many plans of this unit are waiting already.",
    "请等一个完成,或取消一个。", "Wait for one to finish, or cancel one.",
)  # fmt: skip
PLAN_NOT_READY = Fault(
    "plan_not_ready", 409, "计划尚未完成或没有通过复核,不能发布。",
    "The plan is not finished or did not pass the referee.",
    "请等计划完成后再发布,或重新计划。", "Wait until it is done, or plan again.",
)  # fmt: skip
PLAN_OUTDATED = Fault(
    "plan_outdated", 409, "已有更新的计划发布,这个计划不能再发布。",
    "A newer plan of this unit is published already.",
    "请重新计划。", "Plan again.",
)  # fmt: skip


async def request_plan(
    session: AsyncSession, *, now: datetime, actor: Actor, new: NewPlan, default_seconds: float
) -> PlanRun:
    """Queue a plan; raises no_technicians and too_many_plans."""
    horizon_ends_at = now + timedelta(hours=new.horizon_hours)
    units = (await unit_trees(session, {new.unit_id}))[new.unit_id]
    await _must_have_technicians(session, units, now, horizon_ends_at)
    await _must_have_room(session, new.unit_id)
    run = PlanRun(
        unit_id=new.unit_id, horizon_starts_at=now, horizon_ends_at=horizon_ends_at, seed=new.seed,
        seconds=new.seconds or default_seconds, state="queued", progress={}, cancel_requested=False,
        requested_by_id=actor.person_id, requested_at=now, violations=[],
    )  # fmt: skip
    session.add(run)
    add_task(session, now=now, kind=RUN_PLAN, key=str(run.id), payload={"plan_run_id": str(run.id)})
    record(session, now=now, actor=actor, action="plan.requested", row=run)
    return run


async def cancel_plan(session: AsyncSession, *, now: datetime, actor: Actor, run: PlanRun) -> None:
    """Ask a plan to stop; the planner hands over its best so far. A plan that has ended stays as it is."""
    if run.state in {"queued", "running"} and not run.cancel_requested:
        run.cancel_requested = True
        record(session, now=now, actor=actor, action="plan.cancel_requested", row=run)


async def publish_plan(session: AsyncSession, *, now: datetime, actor: Actor, run: PlanRun) -> Publication:
    """Turn a plan into assignments; raises plan_not_ready and plan_outdated.

    Visits that moved on since (under way, finished, cancelled) are passed over and listed. Visits the plan leaves where
    they are stay untouched, so their technicians' phones hear nothing.
    """
    plan = await _publishable(session, run)
    visit_ids = [UUID(stop.visit) for route in plan.routes for stop in route.stops]
    visit_ids += [UUID(unplanned.visit) for unplanned in plan.unplanned]
    visits = await _visits(session, visit_ids)
    standing = await _standing(session, visit_ids)
    publishing = _Publishing(session, now, actor, run, visits, standing)
    for route in plan.routes:
        for stop in route.stops:
            await publishing.place(route, stop)
    for unplanned in plan.unplanned:
        await publishing.take_off(UUID(unplanned.visit))
    run.published_at = now
    record(session, now=now, actor=actor, action="plan.published", row=run, after={"assigned": publishing.assigned})
    return publishing.outcome()


@dataclass
class _Publishing:
    session: AsyncSession
    now: datetime
    actor: Actor
    run: PlanRun
    visits: Mapping[UUID, Visit]
    standing: Mapping[UUID, Assignment]
    assigned: int = 0
    unchanged: int = 0
    withdrawn: int = 0

    def __post_init__(self) -> None:
        self._skipped: list[SkippedVisit] = []

    async def place(self, route: Route, stop: Stop) -> None:
        visit = self._movable(UUID(stop.visit))
        if visit is None:
            return
        wanted = _wanted(self.run, route, stop)
        if _same(self.standing.get(visit.id), wanted):
            self.unchanged += 1
            return
        await assign_visit(
            self.session, now=self.now, actor=self.actor, visit=visit, plan_id=self.run.id,
            pinned=visit.id in self.standing and self.standing[visit.id].pinned, **wanted,
        )  # fmt: skip
        self.assigned += 1

    async def take_off(self, visit_id: UUID) -> None:
        visit = self._movable(visit_id)
        if visit is not None and visit_id in self.standing:
            await withdraw_assignments(self.session, now=self.now, actor=self.actor, visit=visit, reason="unplanned")
            self.withdrawn += 1

    def outcome(self) -> Publication:
        return Publication(
            plan_id=self.run.id, assigned=self.assigned, unchanged=self.unchanged, withdrawn=self.withdrawn,
            skipped=self._skipped,
        )  # fmt: skip

    def _movable(self, visit_id: UUID) -> Visit | None:
        visit = self.visits[visit_id]
        if visit.state in MOVABLE:
            return visit
        self._skipped.append(SkippedVisit(visit_id=visit_id, state=visit.state))
        return None


def _wanted(run: PlanRun, route: Route, stop: Stop) -> dict[str, Any]:
    start = run.horizon_starts_at
    return {
        "person_id": UUID(route.technician),
        "shift_id": UUID(route.shift),
        "departs_at": start + timedelta(seconds=stop.arrival - stop.travel_seconds),
        "arrives_at": start + timedelta(seconds=stop.start),
        "ends_at": start + timedelta(seconds=stop.departure),
        "slack_seconds": stop.slack_seconds,
    }


def _same(standing: Assignment | None, wanted: Mapping[str, Any]) -> bool:
    names = ("person_id", "shift_id", "departs_at", "arrives_at", "ends_at")
    return standing is not None and all(getattr(standing, name) == wanted[name] for name in names)


async def _publishable(session: AsyncSession, run: PlanRun) -> Plan:
    if run.state != "done" or run.plan is None:
        raise Problem(PLAN_NOT_READY, Finding("state", run.state, run.state))
    newer = select(PlanRun.id).where(PlanRun.unit_id == run.unit_id, PlanRun.published_at > run.horizon_starts_at)
    if (await session.execute(newer.limit(1))).first() is not None:
        raise Problem(PLAN_OUTDATED)
    return msgspec.convert(run.plan, Plan)


async def _visits(session: AsyncSession, visit_ids: list[UUID]) -> dict[UUID, Visit]:
    found = await session.execute(select(Visit).where(Visit.id.in_(visit_ids)).with_for_update())
    return {visit.id: visit for visit in found.scalars()}


async def _standing(session: AsyncSession, visit_ids: list[UUID]) -> dict[UUID, Assignment]:
    current = select(Assignment).where(Assignment.visit_id.in_(visit_ids), Assignment.withdrawn_at.is_(None))
    found = await session.execute(current.where(Assignment.leads.is_(True)))
    return {assignment.visit_id: assignment for assignment in found.scalars()}


async def _must_have_technicians(session: AsyncSession, units: frozenset[UUID], now: datetime, until: datetime) -> None:
    working = (
        select(Shift.id)
        .join(Person, Person.id == Shift.person_id)
        .where(Person.unit_id.in_(units), Person.active, Shift.ends_at > now, Shift.starts_at < until)
    )
    if (await session.execute(working.limit(1))).first() is None:
        raise Problem(NO_TECHNICIANS)


async def _must_have_room(session: AsyncSession, unit_id: UUID) -> None:
    waiting = select(func.count()).where(PlanRun.unit_id == unit_id, PlanRun.state.in_(("queued", "running")))
    if (await session.execute(waiting)).scalar_one() >= OPEN_PLANS_MAXIMUM:
        raise Problem(TOO_MANY_PLANS)
