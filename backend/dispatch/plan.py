"""From rows to a planning problem: which visits wait, who works when, and what is already decided.

Second 0 of a problem is the moment of planning. Shifts under way begin there, from the place where their technician is.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.models import CommitmentClock
from backend.core.clock import parse_instant
from backend.jobs.models import Assignment, Visit, WorkOrder
from backend.people.models import Absence, Person, PersonSkill, Shift, Skill
from backend.sites.models import Site
from routing import problem as planning

MOVABLE: Final = ("unplanned", "planned", "contacted")
UNDER_WAY: Final = ("departed", "arrived", "started", "paused")
PRIORITIES: Final[Mapping[str, planning.Priority]] = {"P1": 1, "P2": 2, "P3": 3, "P4": 4}
SHORTEST_SHIFT: Final = timedelta(minutes=30)
"""What is left of a shift after now and absences is planned for only if it is at least this long."""
POINT_APPOINTMENT: Final = timedelta(minutes=15)
"""A promised window up to this wide names a point in time: arrive 5 to 10 minutes before it (A069)."""
ARRIVE_EARLY: Final = (timedelta(minutes=10), timedelta(minutes=5))
LEFT_OUT_TEXTS: Final = {
    "no_position": (
        "站点没有坐标,无法计算路程。请在站点档案中标注位置。",
        "The site has no position, so no way there can be planned. Pin it on the site's file.",
    ),
    "not_approved": (
        "工单尚未经部长签字确认。请先审批。",
        "The work order is not approved yet. Have the head approve it first.",
    ),
}
MOVED_PRICE: Final = 90_000
"""What moving a visit to another shift must save: 15 minutes of driving. Its technician may be out of reach and go."""
FROZEN_AHEAD: Final = timedelta(minutes=60)
"""A visit whose technician is to leave this soon stays as it is: the phone may be out of reach, the bag is packed."""
FROZEN_BEHIND: Final = timedelta(hours=2)
"""A departure nobody reported is still believed in for this long; a phone without signal reports late."""
LEAST_REMAINING: Final = timedelta(minutes=5)
"""A visit under way is expected to take at least this long still."""


@dataclass(frozen=True)
class LeftOut:
    """A visit the planner was not asked about, and why: `no_position` or `not_approved`."""

    visit_id: UUID
    code: str

    def reason(self) -> dict[str, str]:
        """The reason as a plan's own reasons are stored."""
        zh, en = LEFT_OUT_TEXTS[self.code]
        return {"code": self.code, "basis": "proven", "zh": zh, "en": en}


@dataclass(frozen=True)
class PlanningTask:
    """A problem with what is needed to read its plan back."""

    problem: planning.Problem
    left_out: list[LeftOut]


async def build_problem(
    session: AsyncSession, *, now: datetime, unit_ids: Iterable[UUID], horizon_ends_at: datetime
) -> PlanningTask:
    """Gather everything open in the units into a problem for the shifts that end before `horizon_ends_at`."""
    units = list(unit_ids)
    visits = await _open_visits(session, units)
    left_out = [LeftOut(row.visit_id, code) for row in visits if (code := _obstacle(row))]
    shifts = await _working_times(session, units, now, horizon_ends_at, _standpoints(visits, now))
    known = set(shifts)
    plannable = [row for row in visits if not _obstacle(row) and not _beyond_planning(row, known)]
    sites = {str(row.site_id): (row.lat, row.lon) for row in plannable}
    problem = planning.Problem(
        places=(
            *(planning.Place(id=key, latitude=lat, longitude=lon) for key, (lat, lon) in sorted(sites.items())),
            *(shift.place for shift in shifts.values()),
        ),
        shifts=tuple(shift.shift for shift in shifts.values()),
        visits=tuple(_visit(row, now, known) for row in plannable),
        prices=planning.Prices(moved=MOVED_PRICE),
    )
    return PlanningTask(problem, left_out)


def _obstacle(row: Any) -> str | None:
    if row.lat is None:
        return "no_position"
    return "not_approved" if row.needs_approval and row.approved_at is None else None


def _beyond_planning(row: Any, shifts: set[str]) -> bool:
    """Whether the visit is under way outside the shifts planned for, so that nothing about it is left to decide."""
    return row.state in UNDER_WAY and str(row.shift_id) not in shifts


async def _open_visits(session: AsyncSession, units: Sequence[UUID]) -> Sequence[Any]:
    clock_due = func.coalesce(CommitmentClock.due_at, WorkOrder.due_at).label("due_at")
    arrive = and_(
        CommitmentClock.subject_id == WorkOrder.request_id,
        CommitmentClock.kind == "arrive",
        CommitmentClock.stopped_at.is_(None),
    )
    assigned = and_(Assignment.visit_id == Visit.id, Assignment.withdrawn_at.is_(None), Assignment.leads.is_(True))
    open_visits = (
        select(
            Visit.id.label("visit_id"), Visit.state, Visit.duration_minutes, Visit.window_starts_at,
            Visit.window_ends_at, Visit.told_at, WorkOrder.priority, WorkOrder.required_skills, WorkOrder.earliest_at,
            WorkOrder.parts_ready_at, WorkOrder.approved_at, WorkOrder.needs_approval, clock_due,
            Site.id.label("site_id"), Site.lat, Site.lon, Assignment.person_id, Assignment.shift_id,
            Assignment.pinned, Assignment.departs_at, Assignment.arrives_at, Assignment.ends_at,
        )
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .join(Site, Site.id == WorkOrder.site_id)
        .join(Assignment, assigned, isouter=True)
        .join(CommitmentClock, arrive, isouter=True)
        .where(WorkOrder.unit_id.in_(units), Visit.state.in_((*MOVABLE, *UNDER_WAY)))
        .order_by(Visit.id)
    )  # fmt: skip
    return (await session.execute(open_visits)).all()


@dataclass(frozen=True)
class _Standpoint:
    """Where a technician is now: the site of the visit under way."""

    site_id: UUID
    lat: float
    lon: float


def _standpoints(visits: Sequence[Any], now: datetime) -> dict[UUID, _Standpoint]:
    busy = [row for row in visits if row.state in UNDER_WAY and row.person_id and row.lat is not None]
    busy.sort(key=lambda row: row.arrives_at or now)
    return {row.person_id: _Standpoint(row.site_id, row.lat, row.lon) for row in busy}


@dataclass(frozen=True)
class _WorkingTime:
    shift: planning.Shift
    place: planning.Place


async def _working_times(
    session: AsyncSession,
    units: Sequence[UUID],
    now: datetime,
    until: datetime,
    standpoints: Mapping[UUID, _Standpoint],
) -> dict[str, _WorkingTime]:
    wanted = (
        select(Shift)
        .join(Person, Person.id == Shift.person_id)
        .where(Person.unit_id.in_(units), Person.active, Shift.ends_at > now, Shift.starts_at < until)
        .order_by(Shift.starts_at, Shift.id)
    )
    shifts = (await session.execute(wanted)).scalars().all()
    skills = await _skills(session, {shift.person_id for shift in shifts}, now)
    absences = await _absences(session, {shift.person_id for shift in shifts}, now, until)
    found: dict[str, _WorkingTime] = {}
    for shift in shifts:
        start, end = _present(shift, absences[shift.person_id], now)
        if end - start >= SHORTEST_SHIFT:
            standpoint = standpoints.get(shift.person_id) if shift.starts_at <= now else None
            found[str(shift.id)] = _working_time(
                shift=shift, start=start, end=end, now=now, skills=skills[shift.person_id], standpoint=standpoint
            )
    return found


async def _skills(session: AsyncSession, people: set[UUID], now: datetime) -> defaultdict[UUID, list[str]]:
    held = (
        select(PersonSkill.person_id, Skill.key)
        .join(Skill, Skill.id == PersonSkill.skill_id)
        .where(PersonSkill.person_id.in_(people), PersonSkill.valid_from <= now)
        .where(or_(PersonSkill.valid_until.is_(None), PersonSkill.valid_until > now))
        .order_by(Skill.key)
    )
    found: defaultdict[UUID, list[str]] = defaultdict(list)
    for row in await session.execute(held):
        found[row.person_id].append(row.key)
    return found


async def _absences(
    session: AsyncSession, people: set[UUID], now: datetime, until: datetime
) -> defaultdict[UUID, list[Absence]]:
    away = select(Absence).where(Absence.person_id.in_(people), Absence.ends_at > now, Absence.starts_at < until)
    found: defaultdict[UUID, list[Absence]] = defaultdict(list)
    for absence in (await session.execute(away.order_by(Absence.starts_at))).scalars():
        found[absence.person_id].append(absence)
    return found


def _present(shift: Shift, absences: Sequence[Absence], now: datetime) -> tuple[datetime, datetime]:
    """Return the longest stretch of a shift, from now on, in which the person is not absent."""
    start = max(shift.starts_at, now)
    edges = [start]
    for absence in absences:
        edges += [min(max(absence.starts_at, start), shift.ends_at), min(max(absence.ends_at, start), shift.ends_at)]
    edges.append(shift.ends_at)
    stretches = [(edges[index], edges[index + 1]) for index in range(0, len(edges), 2)]
    return max(stretches, key=lambda stretch: stretch[1] - stretch[0])


def _working_time(
    *, shift: Shift, start: datetime, end: datetime, now: datetime, skills: list[str], standpoint: _Standpoint | None
) -> _WorkingTime:
    home = f"shift:{shift.id}"
    return _WorkingTime(
        planning.Shift(
            id=str(shift.id), technician=str(shift.person_id), start=_second(start, now), end=_second(end, now),
            start_place=str(standpoint.site_id) if standpoint else home, end_place=home,
            breaks=tuple(_breaks(shift, start, end, now)),
            overtime_allowed=shift.overtime_minutes * 60 if end == shift.ends_at else 0, skills=tuple(skills),
        ),
        planning.Place(id=home, latitude=shift.start_lat, longitude=shift.start_lon),
    )  # fmt: skip


def _breaks(shift: Shift, start: datetime, end: datetime, now: datetime) -> Iterable[planning.Break]:
    """Yield the breaks that still lie ahead, as [{"start_at", "end_at", "minutes"}] of a shift says."""
    for pause in shift.breaks:
        length = timedelta(minutes=pause["minutes"])
        earliest = max(parse_instant(pause["start_at"]), start)
        latest = min(parse_instant(pause["end_at"]), end) - length
        if earliest <= latest:
            yield planning.Break(
                earliest=_second(earliest, now), latest=_second(latest, now), duration=int(length.total_seconds())
            )


def _visit(row: Any, now: datetime, shifts: set[str]) -> planning.Visit:
    under_way = row.state in UNDER_WAY
    previous = None
    if row.shift_id and row.arrives_at and str(row.shift_id) in shifts:
        previous = planning.Previous(shift=str(row.shift_id), start=_second(row.arrives_at, now))
    frozen = previous is not None and (under_way or _imminent(row, now))
    return planning.Visit(
        id=str(row.visit_id),
        place=str(row.site_id),
        duration=_remaining(row, now),
        priority=PRIORITIES[row.priority],
        earliest=max(0, *(_second(at, now) for at in (row.earliest_at, row.parts_ready_at, now) if at)),
        commitment_due=None if under_way or row.due_at is None else _second(row.due_at, now),
        promise=None if under_way else _promise(row, now),
        told=row.told_at is not None and not under_way,
        skills=tuple(row.required_skills),
        pin=_pin(row, shifts) if row.pinned and not frozen else None,
        previous=previous,
        frozen=frozen,
    )


def _imminent(row: Any, now: datetime) -> bool:
    """Whether the technician is about to leave, or should have left a moment ago."""
    return row.departs_at is not None and now - FROZEN_BEHIND <= row.departs_at <= now + FROZEN_AHEAD


def _remaining(row: Any, now: datetime) -> int:
    length = timedelta(minutes=row.duration_minutes)
    if row.state in UNDER_WAY and row.state != "departed" and row.ends_at:
        length = min(length, max(row.ends_at - now, LEAST_REMAINING))
    return int(length.total_seconds())


def _promise(row: Any, now: datetime) -> planning.Window | None:
    if row.window_starts_at is None or row.window_ends_at is None:
        return None
    if row.window_ends_at - row.window_starts_at <= POINT_APPOINTMENT:
        earliest, latest = (row.window_starts_at - early for early in ARRIVE_EARLY)
        return planning.Window(start=_second(earliest, now), end=_second(latest, now))
    return planning.Window(start=_second(row.window_starts_at, now), end=_second(row.window_ends_at, now))


def _pin(row: Any, shifts: set[str]) -> planning.Pin | None:
    if row.shift_id and str(row.shift_id) in shifts:
        return planning.Pin(shift=str(row.shift_id))
    return planning.Pin(technician=str(row.person_id)) if row.person_id else None


def _second(at: datetime, now: datetime) -> int:
    return int((at - now).total_seconds())
