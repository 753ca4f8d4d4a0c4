"""From rows to a planning problem: which visits wait, who works when, and what is already decided.

Second 0 of a problem is the moment of planning. Shifts under way begin there, from the place where their technician is.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise, permutations
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.models import CommitmentClock
from backend.core.clock import parse_instant
from backend.dispatch.travel import learnt_travel
from backend.dispatch.travel_rules import zone_of
from backend.jobs.models import Assignment, ExpectedEnd, Visit, WorkOrder
from backend.people.models import Absence, Person, PersonSkill, Shift, Skill
from backend.sites.models import Site
from routing import problem as planning
from routing.backlog import Backlog

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
PRICES: Final = planning.Prices(moved=MOVED_PRICE)
BACKLOG: Final = Backlog()
"""What is done about work that waits: the rule and the figures of the twin, tried on weeks of real outages (0211)."""
FROZEN_AHEAD: Final = timedelta(minutes=60)
"""A visit whose technician is to leave this soon stays as it is: the phone may be out of reach, the bag is packed."""
FROZEN_BEHIND: Final = timedelta(hours=2)
"""A departure nobody reported is still believed in for this long; a phone without signal reports late."""
LAST_MOMENT: Final = timedelta(seconds=1)
"""Before the end of a shift: a certificate that runs out as the shift ends was valid throughout."""
LEAST_REMAINING: Final = timedelta(minutes=5)
"""A visit under way is expected to take at least this long still."""


STANDING: Final = (
    Assignment.id.label("assignment_id"), Assignment.person_id, Assignment.crew_id, Assignment.shift_id,
    Assignment.departs_at, Assignment.arrives_at, Assignment.ends_at, Assignment.pinned, Visit.told_at,
)  # fmt: skip
LEADING: Final = and_(Assignment.visit_id == Visit.id, Assignment.withdrawn_at.is_(None), Assignment.leads.is_(True))


EXPECTED_END: Final = (
    select(ExpectedEnd.expected_ends_at)
    .where(ExpectedEnd.visit_id == Visit.id)
    .order_by(ExpectedEnd.reported_at.desc(), ExpectedEnd.id.desc())
    .limit(1)
    .correlate(Visit)
    .scalar_subquery()
)


class Standing(msgspec.Struct, frozen=True):
    """What people have decided about a visit: who leads it and when, and whether the customer was told.

    A plan keeps what it was made from, so that publishing it later overrules nobody who decided since.
    """

    assignment_id: UUID | None
    person_id: UUID | None
    crew_id: UUID | None
    shift_id: UUID | None
    departs_at: datetime | None
    arrives_at: datetime | None
    ends_at: datetime | None
    pinned: bool | None
    told_at: datetime | None


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
    """A problem with what is needed to read its plan back; `starts_at` is its second 0."""

    starts_at: datetime
    problem: planning.Problem
    left_out: list[LeftOut]
    standings: dict[UUID, Standing]


async def build_problem(
    session: AsyncSession, *, now: datetime, unit_ids: Iterable[UUID], horizon_ends_at: datetime,
    most_changes: int | None = None, backlog: Backlog = BACKLOG,
) -> PlanningTask:  # fmt: skip
    """Gather everything open in the units into a problem for the shifts that begin before `horizon_ends_at`.

    `backlog` says how dear it is to leave what is long, or has waited long, for what is quick.

    With `most_changes`, so many visits of the plan in force may change; what is planned beyond the horizon stays there.
    """
    units = list(unit_ids)
    visits = await _open_visits(session, units)
    left_out = [LeftOut(row.visit_id, code) for row in visits if (code := _obstacle(row))]
    shifts = await _working_times(session, units, now, horizon_ends_at, _under_way(visits, now))
    plannable = [row for row in visits if not _obstacle(row) and not _beyond_planning(row, shifts)]
    if most_changes is not None:
        plannable = [row for row in plannable if row.arrives_at is None or row.arrives_at < horizon_ends_at]
    places = {place.id: place for shift in shifts.values() for place in shift.places}
    places |= {str(row.site_id): _site(row) for row in plannable}
    travel, pace = await learnt_travel(session, unit_ids=units, now=now, until=horizon_ends_at)
    problem = planning.Problem(
        places=tuple(place for _, place in sorted(places.items())),
        shifts=tuple(shift.shift for shift in shifts.values()),
        visits=tuple(_visit(row, now, shifts, backlog) for row in plannable),
        prices=PRICES,
        travel=travel,
        pace=pace,
        most_changes=most_changes,
    )
    return PlanningTask(now, problem, left_out, {row.visit_id: _standing(row) for row in plannable})


async def standings(session: AsyncSession, visit_ids: Sequence[UUID]) -> dict[UUID, Standing]:
    """Return how visits stand now."""
    listed = select(Visit.id.label("visit_id"), *STANDING).join(Assignment, LEADING, isouter=True)
    rows = await session.execute(listed.where(Visit.id.in_(visit_ids)))
    return {row.visit_id: _standing(row) for row in rows}


def _standing(row: Any) -> Standing:
    return Standing(*(getattr(row, name) for name in Standing.__struct_fields__))


def _site(row: Any) -> planning.Place:
    zone = zone_of(row.territory_id, row.lat, row.lon)
    return planning.Place(id=str(row.site_id), latitude=row.lat, longitude=row.lon, zone=zone)


def _obstacle(row: Any) -> str | None:
    if row.lat is None:
        return "no_position"
    return "not_approved" if row.needs_approval and row.approved_at is None else None


def _beyond_planning(row: Any, shifts: Mapping[str, "_WorkingTime"]) -> bool:
    """Whether nothing is left to decide: a crew's leader does, or the visit is under way outside the shifts."""
    if row.crew_id is not None and row.person_id is None:
        return True
    return row.state in UNDER_WAY and str(row.shift_id) not in shifts


async def _open_visits(session: AsyncSession, units: Sequence[UUID]) -> Sequence[Any]:
    clock_due = func.coalesce(CommitmentClock.due_at, WorkOrder.due_at).label("due_at")
    arrive = and_(
        CommitmentClock.subject_id == WorkOrder.request_id,
        CommitmentClock.kind == "arrive",
        CommitmentClock.stopped_at.is_(None),
        CommitmentClock.void_reason.is_(None),
    )
    open_visits = (
        select(
            Visit.id.label("visit_id"), Visit.state, Visit.duration_minutes, Visit.window_starts_at,
            Visit.window_ends_at, WorkOrder.priority, WorkOrder.required_skills, WorkOrder.earliest_at,
            WorkOrder.parts_ready_at, WorkOrder.approved_at, WorkOrder.needs_approval, clock_due,
            Site.id.label("site_id"), Site.lat, Site.lon, Site.territory_id,
            EXPECTED_END.label("expected_ends_at"), *STANDING,
        )
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .join(Site, Site.id == WorkOrder.site_id)
        .join(Assignment, LEADING, isouter=True)
        .join(CommitmentClock, arrive, isouter=True)
        .where(WorkOrder.unit_id.in_(units), Visit.state.in_((*MOVABLE, *UNDER_WAY)))
        .order_by(Visit.id)
    )  # fmt: skip
    return (await session.execute(open_visits)).all()


def _under_way(visits: Sequence[Any], now: datetime) -> dict[UUID, Any]:
    """Return the visit each technician is under way with: at its site they are now."""
    busy = [row for row in visits if row.state in UNDER_WAY and row.person_id and row.lat is not None]
    busy.sort(key=lambda row: row.arrives_at or now)
    return {row.person_id: row for row in busy}


@dataclass(frozen=True)
class _WorkingTime:
    shift: planning.Shift
    places: tuple[planning.Place, ...]


@dataclass(frozen=True)
class _Roster:
    """What is known of the people whose shifts are planned."""

    shifts: Sequence[Shift]
    skills: Mapping[UUID, Sequence[Any]]
    absences: Mapping[UUID, Sequence[Absence]]
    under_way: Mapping[UUID, Any]


async def _working_times(
    session: AsyncSession,
    units: Sequence[UUID],
    now: datetime,
    until: datetime,
    under_way: Mapping[UUID, Any],
) -> dict[str, _WorkingTime]:
    wanted = (
        select(Shift)
        .join(Person, Person.id == Shift.person_id)
        .where(Person.unit_id.in_(units), Person.active, Shift.ends_at > now, Shift.starts_at < until)
        .order_by(Shift.starts_at, Shift.id)
    )
    shifts = (await session.execute(wanted)).scalars().all()
    people = {shift.person_id for shift in shifts}
    roster = _Roster(shifts, await _skills(session, people), await _absences(session, people, now), under_way)
    found = {str(shift.id): _working_time(shift, roster, now) for shift in shifts}
    return {key: working for key, working in found.items() if working is not None}


async def _skills(session: AsyncSession, people: set[UUID]) -> Mapping[UUID, Sequence[Any]]:
    held = (
        select(PersonSkill.person_id, PersonSkill.valid_from, PersonSkill.valid_until, Skill.key)
        .join(Skill, Skill.id == PersonSkill.skill_id)
        .where(PersonSkill.person_id.in_(people))
    )
    return _by_person(await session.execute(held))


async def _absences(session: AsyncSession, people: set[UUID], now: datetime) -> Mapping[UUID, Sequence[Absence]]:
    away = select(Absence).where(Absence.person_id.in_(people), Absence.ends_at > now)
    return _by_person((await session.execute(away.order_by(Absence.starts_at))).scalars())


def _by_person(rows: Iterable[Any]) -> Mapping[UUID, list[Any]]:
    found: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.person_id].append(row)
    return found


def _working_time(shift: Shift, roster: _Roster, now: datetime) -> _WorkingTime | None:
    """Return what is left to plan of a shift, or None when that is too short."""
    begins_at, visit = max(shift.starts_at, now), roster.under_way.get(shift.person_id)
    if begins_at > now:
        visit = None
    elif visit is not None and visit.shift_id != shift.id:  # planned in no shift here: over before anything else is
        begins_at += timedelta(seconds=_remaining(visit, now))
    absences = roster.absences.get(shift.person_id, ())
    start, end = longest_presence(begins_at, shift.ends_at, [(away.starts_at, away.ends_at) for away in absences])
    if end - start < SHORTEST_SHIFT:
        return None
    home = planning.Place(
        id=f"shift:{shift.id}", latitude=shift.start_lat, longitude=shift.start_lon,
        zone=zone_of(None, shift.start_lat, shift.start_lon),
    )  # fmt: skip
    begins = home if visit is None else _site(visit)
    others = [other.starts_at for other in roster.shifts if other.person_id == shift.person_id]
    overtime = _overtime(shift, end, [*others, *(away.starts_at for away in absences)])
    held = roster.skills.get(shift.person_id, ())
    return _WorkingTime(
        planning.Shift(
            id=str(shift.id), technician=str(shift.person_id), start=_second(start, now), end=_second(end, now),
            start_place=begins.id, end_place=home.id, breaks=breaks_apart(_breaks(shift, start, end, now)),
            overtime_allowed=int(overtime.total_seconds()),
            skills=tuple(sorted(_valid_at(held, start) & _valid_at(held, end - LAST_MOMENT))),
        ),
        (home, begins),
    )  # fmt: skip


def _valid_at(held: Iterable[Any], at: datetime) -> set[str]:
    return {row.key for row in held if row.valid_from <= at and (row.valid_until is None or row.valid_until > at)}


def longest_presence(
    start: datetime, end: datetime, absences: Iterable[tuple[datetime, datetime]]
) -> tuple[datetime, datetime]:
    """Return the longest stretch from `start` to `end` without an absence; absences may overlap and reach beyond."""
    stretches: list[tuple[datetime, datetime]] = []
    free_from = start
    for gone, back in sorted(absences):
        stretches.append((free_from, max(free_from, min(gone, end))))
        free_from = min(max(free_from, back), end)
    stretches.append((free_from, end))
    return max(stretches, key=lambda stretch: stretch[1] - stretch[0])


def _overtime(shift: Shift, end: datetime, occupied: Iterable[datetime]) -> timedelta:
    """Return how much longer than the shift may be worked: not into the next shift, nor into an absence."""
    if end < shift.ends_at:
        return timedelta(0)
    latest = end + timedelta(minutes=shift.overtime_minutes)
    return min([latest, *(at for at in occupied if at >= end)]) - end


def _breaks(shift: Shift, start: datetime, end: datetime, now: datetime) -> Iterator[planning.Break]:
    """Yield the breaks that still lie ahead, as [{"start_at", "end_at", "minutes"}] of a shift says."""
    for pause in shift.breaks:
        length = timedelta(minutes=pause["minutes"])
        earliest = max(parse_instant(pause["start_at"]), start)
        latest = min(parse_instant(pause["end_at"]), end) - length
        if earliest <= latest:
            yield planning.Break(
                earliest=_second(earliest, now), latest=_second(latest, now), duration=int(length.total_seconds())
            )


def breaks_apart(breaks: Iterable[planning.Break]) -> tuple[planning.Break, ...]:
    """Return breaks in order, each able to begin only when the one before it is surely over, as the planner asks.

    Times in which two breaks may both fall are shared between them. Of breaks that cannot all be taken, as many as can.
    """
    earliest_first = sorted(breaks, key=lambda pause: (pause.earliest, pause.latest))
    taken = max((_takeable(order) for order in permutations(earliest_first)), key=len)
    latest = [pause.latest for pause in taken]
    for index in range(len(taken) - 1, 0, -1):
        latest[index - 1] = min(latest[index - 1], latest[index] - taken[index - 1].duration)
    earliest = [pause.earliest for pause in taken]
    for index, (before, after) in enumerate(pairwise(taken)):
        over = latest[index] + before.duration
        if over > after.earliest:
            earliest[index + 1] = (over + after.earliest) // 2
            latest[index] = earliest[index + 1] - before.duration
    return tuple(
        planning.Break(earliest=begin, latest=end, duration=pause.duration)
        for begin, end, pause in zip(earliest, latest, taken, strict=True)
    )


def _takeable(breaks: Iterable[planning.Break]) -> list[planning.Break]:
    """Return the breaks that can be taken in this order, one after the other, each from its first possible moment."""
    taken: list[planning.Break] = []
    for pause in breaks:
        over = taken[-1].earliest + taken[-1].duration if taken else pause.earliest
        if max(over, pause.earliest) <= pause.latest:
            taken.append(msgspec.structs.replace(pause, earliest=max(over, pause.earliest)))
    return taken


def _visit(row: Any, now: datetime, shifts: Mapping[str, _WorkingTime], backlog: Backlog) -> planning.Visit:
    under_way = row.state in UNDER_WAY
    work = _remaining(row, now)
    due_in = None if under_way or row.due_at is None else _second(row.due_at, now)
    placed = backlog.placed(PRIORITIES[row.priority], work, due_in, PRICES)
    previous = None
    if row.shift_id and row.arrives_at and str(row.shift_id) in shifts:
        previous = planning.Previous(shift=str(row.shift_id), start=_second(row.arrives_at, now))
    frozen = previous is not None and (under_way or _imminent(row, now))
    return planning.Visit(
        id=str(row.visit_id),
        place=str(row.site_id),
        duration=work,
        priority=placed.priority,
        earliest=max(0, *(_second(at, now) for at in (row.earliest_at, row.parts_ready_at, now) if at)),
        commitment_due=due_in,
        commitment_margin=placed.margin,
        delay_per_mille=placed.delay_per_mille,
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
    if row.state in UNDER_WAY and row.expected_ends_at is not None:
        length = max(row.expected_ends_at - now, LEAST_REMAINING)
    elif row.state in UNDER_WAY and row.state != "departed" and row.ends_at:
        length = min(length, max(row.ends_at - now, LEAST_REMAINING))
    return int(length.total_seconds())


def _promise(row: Any, now: datetime) -> planning.Window | None:
    if row.window_starts_at is None or row.window_ends_at is None:
        return None
    if row.window_ends_at - row.window_starts_at <= POINT_APPOINTMENT:
        earliest, latest = (row.window_starts_at - early for early in ARRIVE_EARLY)
        return planning.Window(start=_second(earliest, now), end=_second(latest, now))
    return planning.Window(start=_second(row.window_starts_at, now), end=_second(row.window_ends_at, now))


def _pin(row: Any, shifts: Mapping[str, _WorkingTime]) -> planning.Pin | None:
    """Return the pin of a visit: to its shift, or to the person where the planner would refuse that shift outright."""
    pinned = shifts.get(str(row.shift_id))
    if pinned is not None and set(row.required_skills) <= set(pinned.shift.skills):
        return planning.Pin(shift=pinned.shift.id)
    return planning.Pin(technician=str(row.person_id)) if row.person_id else None


def _second(at: datetime, now: datetime) -> int:
    return int((at - now).total_seconds())
