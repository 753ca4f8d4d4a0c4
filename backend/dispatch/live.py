"""The plan in force now, as published assignments say it: followed from this moment, asked, and moves tried on it."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import AuditEntry
from backend.core.auth import Principal
from backend.core.changes import change, commit_clock
from backend.core.errors import NOT_FOUND, Fault, Finding, Problem
from backend.dispatch.desk import Desk, PlannerRefusedError, sheet_line
from backend.dispatch.joining import joined_visits
from backend.dispatch.live_schemas import (
    LIVE_HOURS,
    DayWarning,
    LatenessView,
    LiveDay,
    LiveDays,
    LiveStop,
    MovedView,
    OvertimeView,
    Proposals,
    ProposalView,
    VisitLabel,
    WantedPlacement,
    WhatIfView,
)
from backend.dispatch.live_wording import (
    CREW_TOGETHER,
    NO_PLACE,
    NONE_KEEPS,
    Label,
    Naming,
    Words,
    broken_words,
    late_words,
    minutes,
    misfit_words,
    outcome_words,
    proposal_words,
    refusal_words,
)
from backend.dispatch.open_visits import LEADING
from backend.dispatch.plan import PlanningTask, build_problem
from backend.dispatch.schemas import HORIZON_HOURS_MAXIMUM
from backend.dispatch.travel import Roads
from backend.jobs.history import SYSTEM_NAME, last_mover
from backend.jobs.models import Assignment, Visit, WorkOrder
from backend.jobs.queries import orders_within
from backend.people.models import Person, Shift, Skill, Unit
from backend.people.sign_in import unit_trees
from backend.sites.models import Site
from routing.answers import Broken, InForce, Moved, Placement, Proposal, WhatIf
from routing.plan import Cost, Plan, Route, Stop
from routing.problem import Problem as PlanningProblem
from routing.problem import Shift as PlanningShift
from routing.questions import Follow, Offer, Question, TryMove

NO_PLAN: Final = Plan(
    status="complete", seed=0, routes=(), unplanned=(), late=(), cost=Cost(), travel_source="", travel_estimated=False
)
"""What is in force follows from the problem alone; a sheet has to name a plan."""

NOT_IN_PLAN = Fault(
    "not_in_plan", 409, "这次上门不能排程:{detail}。", "This visit cannot be planned: {detail_en}.",
    "请检查上门状态、站点坐标、审批,以及班次是否仍然有效。",
    "Check the visit's state, its site's position, its approval, and that the shift still stands.",
)  # fmt: skip
BOARD_MOVED_ON = Fault(
    "board_moved_on", 409, "看板已有变化,这个安排不再是所示的那样。",
    "The board has moved on: this would not be what was shown.",
    "请查看 findings 中的变化,重新获取建议后再确认。", "See the findings for what changed, look again, then confirm.",
)  # fmt: skip


@dataclass(frozen=True)
class Situation:
    """What is in force in some units at one instant. `base`: what was committed when it was read, see `base_now`."""

    task: PlanningTask
    base: str
    naming: Naming
    desk: Desk

    @property
    def problem(self) -> PlanningProblem:
        """The visits and shifts, second 0 being `at`."""
        return self.task.problem

    @property
    def at(self) -> datetime:
        """When it was read."""
        return self.task.starts_at

    @cached_property
    def stands(self) -> Mapping[str, str]:
        """The shift of each visit that has its place, also of one given by hand without a shift."""
        return {visit.id: visit.previous.shift for visit in self.problem.visits if visit.previous is not None}

    @cached_property
    def _body(self) -> bytes:
        return msgspec.json.encode(self.problem)

    async def ask(self, question: Question[Any]) -> Any:
        """Put a question about the plan in force to the desk."""
        body = self._body

        async def sheet() -> bytes:
            return sheet_line(msgspec.Raw(body), NO_PLAN)

        try:
            return await self.desk.ask(question, key=f"in force {hashlib.sha256(body).hexdigest()}", sheet=sheet)
        except PlannerRefusedError as refused:
            zh, en = refusal_words(refused.fault, self.naming)
            raise Problem(NOT_IN_PLAN, detail=zh, detail_en=en) from refused

    def without_place(self, visit_id: UUID) -> Words:
        """Return what to say of a visit for which no place is proposed."""
        count = next(visit.technicians for visit in self.problem.visits if visit.id == str(visit_id))
        if count == 1:
            return NO_PLACE
        zh, en = CREW_TOGETHER
        return zh.format(count=count), en.format(count=count)

    def must_know(self, visit_id: UUID, shift_id: UUID | None = None, neighbour: UUID | None = None) -> None:
        """Refuse a visit or a shift that the plan does not have, and say which."""
        known = {visit.id for visit in self.problem.visits}
        left = next((one.reason() for one in self.task.left_out if one.visit_id == visit_id), None)
        if left is not None:
            raise Problem(NOT_IN_PLAN, detail=left["zh"].rstrip("。"), detail_en=left["en"].rstrip("."))
        if str(visit_id) not in known:
            raise Problem(NOT_IN_PLAN, detail="上门不在排程范围内", detail_en="it is not open to planning")
        if shift_id is not None and str(shift_id) not in {shift.id for shift in self.problem.shifts}:
            raise Problem(NOT_IN_PLAN, detail="班次已结束或无人上班", detail_en="the shift is over, or nobody works it")
        if neighbour is not None and str(neighbour) not in known:
            raise Problem(NOT_IN_PLAN, detail="相邻的上门已不在计划中", detail_en="the visit beside it is gone")


# --- reading it ---------------------------------------------------------------------------------------------------


async def situation(
    session: AsyncSession, desk: Desk, roads: Roads, *, now: datetime, units: frozenset[UUID], until: datetime
) -> Situation:
    """Return what is in force in `units`, for the shifts that begin before `until`, with the travel of plans."""
    starts_at = now.replace(microsecond=0)
    base = await base_now(session)
    task = await build_problem(session, now=starts_at, unit_ids=units, horizon_ends_at=until)
    task = replace(task, problem=await roads.on_known_roads(session, task.problem))
    return Situation(task, base, await naming(session, task.problem, starts_at, units), desk)


async def units_of(session: AsyncSession, principal: Principal, level: str, unit_id: UUID) -> frozenset[UUID]:
    """Return a unit and those below it, as far as the person dispatches for them; raises not_found."""
    mine = principal.units("dispatch", level)
    if unit_id not in mine:
        raise Problem(NOT_FOUND)
    return (await unit_trees(session, {unit_id}))[unit_id] & mine


async def unit_of_visit(
    session: AsyncSession, principal: Principal, level: str, *, visit_id: UUID, now: datetime
) -> UUID:
    """Return the unit a visit's order belongs to; raises not_found for one the person does not dispatch.

    They dispatch for the unit, and orders of this queue.
    """
    wanted = select(WorkOrder.unit_id).join(Visit, Visit.work_order_id == WorkOrder.id).where(Visit.id == visit_id)
    wanted = wanted.where(orders_within(principal, "dispatch", level, now))
    unit_id = (await session.execute(wanted)).scalar_one_or_none()
    if unit_id is None or unit_id not in principal.units("dispatch", level):
        raise Problem(NOT_FOUND)
    return unit_id


async def situation_of_visit(
    session: AsyncSession, desk: Desk, roads: Roads, principal: Principal, level: str, *, visit_id: UUID,
    now: datetime, hours: int = LIVE_HOURS, shift_id: UUID | None = None,
) -> Situation:  # fmt: skip
    """Return what is in force in the unit a visit belongs to and below it; raises not_found.

    It looks `hours` ahead, and as far as the shift somebody is put on, and as the visit itself lies.
    """
    unit_id = await unit_of_visit(session, principal, level, visit_id=visit_id, now=now)
    units = await units_of(session, principal, level, unit_id)
    until = max([now + timedelta(hours=hours), *await _around(session, visit_id, shift_id)])
    until = min(until, now + timedelta(hours=HORIZON_HOURS_MAXIMUM))
    return await situation(session, desk, roads, now=now, units=units, until=until)


async def _around(session: AsyncSession, visit_id: UUID, shift_id: UUID | None) -> list[datetime]:
    """Return the ends of a shift and of the one a visit is on, and a day after each moment before it may not begin."""
    wanted = (
        select(Shift.ends_at, WorkOrder.earliest_at, WorkOrder.parts_ready_at, Visit.window_starts_at)
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .join(Assignment, LEADING, isouter=True)
        .join(Shift, or_(Shift.id == Assignment.shift_id, Shift.id == shift_id), isouter=True)
        .where(Visit.id == visit_id)
    )
    rows = [tuple(row) for row in await session.execute(wanted)]
    ends, opens = [row[0] for row in rows], [at and at + timedelta(days=1) for row in rows for at in row[1:]]
    return [at for at in (*ends, *opens) if at is not None]


async def naming(session: AsyncSession, problem: PlanningProblem, at: datetime, units: Iterable[UUID]) -> Naming:
    """Return what the ids of a problem are called."""
    people = {shift.technician for shift in problem.shifts}
    names = dict[str, str]()
    for row in await session.execute(select(Person.id, Person.name).where(Person.id.in_(map(UUID, people)))):
        names[str(row.id)] = row.name
    names |= {shift.id: names[shift.technician] for shift in problem.shifts if shift.technician in names}
    skills = await session.execute(select(Skill.key, Skill.name_zh, Skill.name_en))
    zones = await session.execute(select(Unit.time_zone).where(Unit.id.in_(list(units))).order_by(Unit.id).limit(1))
    return Naming(
        starts_at=at, visits=await labels(session, [UUID(visit.id) for visit in problem.visits]), people=names,
        skills={row.key: (row.name_zh, row.name_en) for row in skills}, zone=zones.scalar() or "UTC",
    )  # fmt: skip


async def labels(session: AsyncSession, visit_ids: Sequence[UUID]) -> dict[str, Label]:
    """Return what visits are called, and the stays of who joins one."""
    stays = await joined_visits(session, visit_ids)
    listed = (
        select(Visit.id, WorkOrder.number, Site.name, Site.time_zone)
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .join(Site, Site.id == WorkOrder.site_id)
        .where(Visit.id.in_([*visit_ids, *stays.values()]))
    )
    called = {str(row.id): Label(row.number, row.name, row.time_zone, row.id) for row in await session.execute(listed)}
    return called | {str(stay): called[str(visit)] for stay, visit in stays.items()}


# --- what changed since -------------------------------------------------------------------------------------------


async def base_now(session: AsyncSession) -> str:
    """Return what is committed: the commit clock, which work moves on, and the newest audit entry, for rosters."""
    commit = (await session.execute(select(commit_clock.c.v))).scalar_one()
    newest = (await session.execute(select(AuditEntry.id).order_by(AuditEntry.id.desc()).limit(1))).scalar_one_or_none()
    return str(commit) if newest is None else f"{commit}.{newest.hex}"


async def must_rest_on(session: AsyncSession, *, base: str, visits: Iterable[UUID], shifts: Iterable[UUID]) -> None:
    """Refuse when one of the visits, one of the shifts, or anything on them changed after `base`; say what, by whom."""
    on, (commit, _, audited) = list(shifts), base.partition(".")
    findings = await _changed_visits(session, int(commit), list(visits), on)
    if audited:
        findings += await _changed_rosters(session, UUID(audited), on)
    if findings:
        raise Problem(BOARD_MOVED_ON, *findings)


async def _changed_visits(
    session: AsyncSession, commit: int, visits: Sequence[UUID], shifts: Sequence[UUID]
) -> list[Finding]:
    by_hand = (  # without a shift: it stands on the one its person works then, as for `roster.shifts_held`
        select(Shift.id)
        .where(
            Shift.id.in_(shifts), Shift.person_id == Assignment.person_id, Assignment.shift_id.is_(None),
            Shift.starts_at <= Assignment.arrives_at, Assignment.arrives_at < Shift.ends_at,
        )
        .exists()
    )  # fmt: skip
    assigned = select(Assignment.id, Assignment.visit_id).where(
        or_(Assignment.visit_id.in_(visits), Assignment.shift_id.in_(shifts), by_hand)
    )
    visit_of = {row.id: row.visit_id for row in await session.execute(assigned)}
    rows = [*visit_of, *visits]
    newer = select(change.c.row_id).where(
        change.c.v > commit, change.c.entity.in_(("assignment", "visit")), change.c.row_id.in_(rows)
    )
    changed = {visit_of.get(row, row) for row in (await session.execute(newer)).scalars()}
    return await _changes(session, sorted(changed)) if changed else []


async def _changed_rosters(session: AsyncSession, audited: UUID, shifts: Sequence[UUID]) -> list[Finding]:
    """Return what was done to shifts, and to the leave of who works them, since an entry of the audit trail."""
    worked = select(Shift.id, Shift.person_id, Person.name).join(Person, Person.id == Shift.person_id)
    holders = (await session.execute(worked.where(Shift.id.in_(shifts)))).all()
    shift_of = {row.id: row for row in holders}
    person_of = {str(row.person_id): row for row in holders}
    of_shifts = and_(
        AuditEntry.entity == "shift", AuditEntry.subject_id.in_(shifts), AuditEntry.action != "shift.added"
    )
    newer = (
        select(AuditEntry.entity, AuditEntry.subject_id, AuditEntry.before, AuditEntry.after, Person.name)
        .join(Person, Person.id == AuditEntry.person_id, isouter=True)
        .where(AuditEntry.id > audited, of_shifts | (AuditEntry.entity == "absence"))
        .order_by(AuditEntry.id)
    )
    found = dict[str, Finding]()
    for entry in await session.execute(newer):
        about: Mapping[str, Any] = entry.before or entry.after or {}
        holder = shift_of.get(entry.subject_id) or person_of.get(str(about.get("person_id")))
        if holder is not None:
            found[str(holder.id)] = _roster_finding(entry, holder)
    return list(found.values())


def _roster_finding(entry: Any, holder: Any) -> Finding:
    mover_zh, mover_en = (entry.name, entry.name) if entry.name else SYSTEM_NAME
    what_zh, what_en = ("班次", "shift") if entry.entity == "shift" else ("休假或缺勤", "leave")
    zh = f"{holder.name}的{what_zh}已由{mover_zh}更改"
    return Finding(str(holder.id), zh, f"{holder.name}'s {what_en} was changed by {mover_en}")


async def _changes(session: AsyncSession, visit_ids: Sequence[UUID]) -> list[Finding]:
    called, found = await labels(session, visit_ids), list[Finding]()
    for visit_id in visit_ids:
        label = called[str(visit_id)]
        mover_zh, mover_en = await last_mover(session, visit_id)
        zh = f"{label.site}({label.number})已由{mover_zh}更改"
        found.append(Finding(str(visit_id), zh, f"{label.site} ({label.number}) was changed by {mover_en}"))
    return found


# --- proposals and what-ifs ---------------------------------------------------------------------------------------


async def proposals(seen: Situation, visit_id: UUID, limit: int) -> Proposals:
    """Return the best places for a visit, one a shift, best first."""
    seen.must_know(visit_id)
    found: tuple[Proposal, ...] = await seen.ask(Offer(visit=str(visit_id), limit=limit))
    followed: InForce = await seen.ask(Follow())
    views = [_proposal(one, seen.naming) for one in found]
    zh, en = (views[0].sentence_zh, views[0].sentence_en) if views else seen.without_place(visit_id)
    if found and all(one.promise_late_seconds for one in found):
        zh, en = zh + NONE_KEEPS[0], en + NONE_KEEPS[1]
    return Proposals(
        visit_id=visit_id, at=seen.at, base=seen.base, travel_source=followed.plan.travel_source,
        travel_estimated=followed.plan.travel_estimated, proposals=views, sentence_zh=zh, sentence_en=en,
    )  # fmt: skip


async def tried(seen: Situation, visit_id: UUID, wanted: WantedPlacement) -> WhatIf:
    """Return what a placement comes to."""
    neighbour = wanted.after_visit_id or wanted.before_visit_id
    seen.must_know(visit_id, wanted.shift_id, neighbour)
    placement = Placement(
        visit=str(visit_id), shift=_text(wanted.shift_id),
        after=_beside(seen, wanted.after_visit_id, wanted.shift_id),
        before=_beside(seen, wanted.before_visit_id, wanted.shift_id),
        at=None if wanted.at is None else int((wanted.at - seen.at).total_seconds()),
    )  # fmt: skip
    return await seen.ask(TryMove(placement=placement))


def _beside(seen: Situation, visit_id: UUID | None, shift_id: UUID | None) -> str | None:
    """Return the problem's id of what is beside: the visit, or on the shift of who joins it, their stay there."""
    there = (visit for visit, shift in seen.stands.items() if shift == _text(shift_id))
    return next((visit for visit in there if seen.naming.visits[visit].visit == visit_id), _text(visit_id))


def what_if_view(seen: Situation, visit_id: UUID, tried: WhatIf) -> WhatIfView:
    """Return what a placement comes to, with names and a sentence."""
    zh, en = sentences(tried, seen.naming)
    moved = [moved_view(one, seen.naming) for one in tried.moved]
    return WhatIfView(
        visit_id=visit_id, at=seen.at, base=seen.base, feasible=tried.broken is None,
        rule=tried.broken and tried.broken.code, soft=bool(tried.broken and tried.broken.soft), sentence_zh=zh,
        sentence_en=en, starts_at=None if tried.start is None else seen.naming.at(tried.start), moved=moved,
        lateness=[
            LatenessView(
                **_label(one.visit, seen.naming), promise=one.promise, before_minutes=minutes(one.before_seconds),
                after_minutes=minutes(one.after_seconds),
            )
            for one in tried.lateness
        ],
        overtime=[
            OvertimeView(
                shift_id=UUID(one.shift), person_name=seen.naming.person(one.shift),
                before_minutes=minutes(one.before_seconds), after_minutes=minutes(one.after_seconds),
            )
            for one in tried.overtime
        ],
        told_again=[one.visit_id for one in moved if one.told],
        added_travel_minutes=minutes(tried.added_travel_seconds), added_cost=tried.added_cost,
        cost=msgspec.to_builtins(tried.cost),
    )  # fmt: skip


def sentences(tried: WhatIf, naming: Naming) -> tuple[str, str]:
    """Return what a placement comes to, or the rule it breaks, in one sentence in each language."""
    if tried.broken is None:
        return outcome_words(tried, naming)
    return rule_words(tried.broken, tried.placement, naming)


def rule_words(broken: Broken, placement: Placement, naming: Naming) -> tuple[str, str]:
    """Return the rule a placement breaks."""
    return broken_words(broken, naming, visit=placement.visit, shift=placement.shift)


def moved_view(moved: Moved, naming: Naming) -> MovedView:
    """Return a visit that moves, with its names."""
    return MovedView(
        **_label(moved.visit, naming), person_name=naming.person(moved.shift),
        starts_before=naming.at(moved.start_before), starts_after=naming.at(moved.start_after),
        minutes=minutes(moved.start_after - moved.start_before), told=moved.told,
    )  # fmt: skip


def _proposal(proposal: Proposal, naming: Naming) -> ProposalView:
    zh, en = proposal_words(proposal, naming)
    before = proposal.route.stops[proposal.position - 1].visit if proposal.position else None
    return ProposalView(
        shift_id=UUID(proposal.shift), person_id=UUID(proposal.route.technician),
        person_name=naming.person(proposal.shift),
        after_visit_id=None if before is None else naming.visits[before].visit,
        starts_at=naming.at(proposal.start), late_minutes=minutes(proposal.late_seconds),
        promise_late_minutes=minutes(proposal.promise_late_seconds),
        added_travel_minutes=minutes(proposal.added_travel_seconds),
        added_overtime_minutes=minutes(proposal.added_overtime_seconds), added_cost=proposal.added_cost,
        moved=[moved_view(one, naming) for one in proposal.moved], sentence_zh=zh, sentence_en=en,
    )  # fmt: skip


# --- the days as they go ------------------------------------------------------------------------------------------


async def live_days(seen: Situation, states: Mapping[UUID, str]) -> LiveDays:
    """Return every day of the plan in force from now on: who is behind, who comes late, whose day gets too long.

    `states`: those of the visits, see `states_of`.
    """
    followed: InForce = await seen.ask(Follow())
    routes = {route.shift: route for route in followed.plan.routes}
    warned: dict[str, list[DayWarning]] = {}
    for misfit in followed.misfits:
        zh, en = misfit_words(misfit, seen.naming)
        warned.setdefault(misfit.shift, []).append(DayWarning(code=misfit.code, zh=zh, en=en))
    days = [_day(shift, routes.get(shift.id), warned.get(shift.id, []), seen, states) for shift in seen.problem.shifts]
    return LiveDays(
        at=seen.at, base=seen.base, travel_source=followed.plan.travel_source,
        travel_estimated=followed.plan.travel_estimated, days=days,
        unplanned=[VisitLabel(**_label(one.visit, seen.naming)) for one in followed.plan.unplanned],
    )  # fmt: skip


def _day(
    shift: PlanningShift, route: Route | None, warned: list[DayWarning], seen: Situation, states: Mapping[UUID, str]
) -> LiveDay:
    naming = seen.naming
    late = [
        DayWarning(code="promise_missed" if stop.promise_late_seconds else "late", zh=zh, en=en)
        for stop in (route.stops if route else ())
        if stop.late_seconds or stop.promise_late_seconds
        for zh, en in [late_words(stop.visit, late=stop.late_seconds, promise_late=stop.promise_late_seconds,
                                  naming=naming)]
    ]  # fmt: skip
    return LiveDay(
        shift_id=UUID(shift.id), person_id=UUID(shift.technician), person_name=naming.person(shift.id),
        starts_at=naming.at(shift.start), ends_at=naming.at(shift.end),
        back_at=None if route is None else naming.at(route.end),
        overtime_minutes=0 if route is None else minutes(route.overtime_seconds),
        stops=[_stop(stop, seen, states) for stop in (route.stops if route else ())], warnings=[*warned, *late],
    )  # fmt: skip


def _stop(stop: Stop, seen: Situation, states: Mapping[UUID, str]) -> LiveStop:
    planned_at = seen.task.standings[UUID(stop.visit)].arrives_at
    starts_at = seen.naming.at(stop.start)
    behind = 0 if planned_at is None else int((starts_at - max(planned_at, seen.at)).total_seconds())
    return LiveStop(
        **_label(stop.visit, seen.naming), state=states[seen.naming.visits[stop.visit].visit],
        planned_at=planned_at, starts_at=starts_at,
        ends_at=seen.naming.at(stop.departure), behind_minutes=minutes(behind),
        late_minutes=minutes(stop.late_seconds), promise_late_minutes=minutes(stop.promise_late_seconds),
    )  # fmt: skip


async def states_of(session: AsyncSession, seen: Situation) -> dict[UUID, str]:
    """Return the state of each visit."""
    visits = {label.visit for label in seen.naming.visits.values()}
    listed = select(Visit.id, Visit.state).where(Visit.id.in_(visits))
    return {row.id: row.state for row in await session.execute(listed)}


def _label(visit: str, naming: Naming) -> dict[str, Any]:
    label = naming.visits[visit]
    return {"visit_id": label.visit, "number": label.number, "site_name": label.site}


def _text(row_id: UUID | None) -> str | None:
    return str(row_id) if row_id else None
