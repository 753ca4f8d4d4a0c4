"""Who works when: what is left of each shift, with its breaks, overtime, skills and territory."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise, permutations
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.clock import parse_instant
from backend.dispatch.away import absences_of
from backend.dispatch.open_visits import UNDER_WAY, place_of, remaining, second
from backend.dispatch.responsible import Serves, only_territory, territories_of
from backend.dispatch.travel_rules import zone_of
from backend.people.models import Person, PersonSkill, Shift, Skill
from routing import problem as planning

SHORTEST_SHIFT: Final = timedelta(minutes=30)
"""What is left of a shift after now and absences is planned for only if it is at least this long."""
LAST_MOMENT: Final = timedelta(seconds=1)
"""Before the end of a shift: a certificate that runs out as the shift ends was valid throughout."""


@dataclass(frozen=True)
class WorkingTime:
    """What is left of a shift, the places it begins and ends at, how it lasts as a whole, and when they are away."""

    shift: planning.Shift
    places: tuple[planning.Place, ...]
    whole: tuple[datetime, datetime]
    absences: tuple[tuple[datetime, datetime], ...]

    def covers(self, at: datetime) -> bool:
        """Whether the whole shift does."""
        return self.whole[0] <= at < self.whole[1]

    def absent(self, since: datetime, until: datetime) -> bool:
        """Whether its technician is away at any moment of a time."""
        return any(gone < until and since < back for gone, back in self.absences)


@dataclass(frozen=True)
class _Roster:
    """What is known of the people whose shifts are planned."""

    shifts: Sequence[Shift]
    skills: Mapping[UUID, Sequence[Any]]
    absences: Mapping[UUID, Sequence[tuple[datetime, datetime]]]
    territories: Mapping[UUID, Sequence[Serves]]
    under_way: Mapping[UUID, Any]


async def working_times(
    session: AsyncSession,
    units: Sequence[UUID],
    now: datetime,
    until: datetime,
    under_way: Mapping[UUID, Any],
) -> dict[str, WorkingTime]:
    """Return what is left of the shifts of the units' people that begin before `until`, by the shift's id.

    `under_way`: the open visit each technician is at or on the way to.
    """
    wanted = (
        select(Shift)
        .join(Person, Person.id == Shift.person_id)
        .where(Person.unit_id.in_(units), Person.active, Shift.ends_at > now, Shift.starts_at < until)
        .order_by(Shift.starts_at, Shift.id)
    )
    shifts = (await session.execute(wanted)).scalars().all()
    people = {shift.person_id for shift in shifts}
    roster = _Roster(
        shifts, await _skills(session, people), await absences_of(session, people, now),
        await territories_of(session, people), under_way,
    )  # fmt: skip
    found: dict[str, WorkingTime] = {}
    for shift in shifts:
        working = _working_time(shift, roster, now, found)
        if working is not None:
            found[str(shift.id)] = working
    return found


async def _skills(session: AsyncSession, people: set[UUID]) -> Mapping[UUID, Sequence[Any]]:
    held = (
        select(PersonSkill.person_id, PersonSkill.valid_from, PersonSkill.valid_until, Skill.key)
        .join(Skill, Skill.id == PersonSkill.skill_id)
        .where(PersonSkill.person_id.in_(people))
    )
    found: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in await session.execute(held):
        found[row.person_id].append(row)
    return found


def _working_time(
    shift: Shift, roster: _Roster, now: datetime, earlier: Mapping[str, WorkingTime]
) -> WorkingTime | None:
    """Return what is left to plan of a shift, or None when that is too short; `earlier`: the shifts found before it.

    A visit under way on none of them, or at a site without a position, is planned nowhere: it is over before anything
    else is begun.
    """
    begins_at, visit = max(shift.starts_at, now), roster.under_way.get(shift.person_id)
    if visit is not None and not _planned(visit, shift, now, earlier):
        over_at = now + timedelta(seconds=remaining(visit, now))
        visit = None if over_at <= shift.starts_at else visit
        begins_at = max(begins_at, over_at)
    elif begins_at > now:
        visit = None
    absences = roster.absences.get(shift.person_id, ())
    start, end = longest_presence(begins_at, shift.ends_at, absences)
    if end - start < SHORTEST_SHIFT:
        return None
    home = planning.Place(
        id=f"shift:{shift.id}", latitude=shift.start_lat, longitude=shift.start_lon,
        zone=zone_of(None, shift.start_lat, shift.start_lon),
    )  # fmt: skip
    begins = home if visit is None or visit.lat is None else place_of(visit)
    others = [other.starts_at for other in roster.shifts if other.person_id == shift.person_id]
    overtime = _overtime(shift, end, [*others, *(gone for gone, _ in absences)])
    held = roster.skills.get(shift.person_id, ())
    return WorkingTime(
        planning.Shift(
            id=str(shift.id), technician=str(shift.person_id), start=second(start, now), end=second(end, now),
            start_place=begins.id, end_place=home.id, breaks=breaks_apart(_breaks(shift, start, end, now)),
            overtime_allowed=int(overtime.total_seconds()),
            skills=tuple(sorted(_valid_at(held, start) & _valid_at(held, end - LAST_MOMENT))),
            territory=only_territory(roster.territories.get(shift.person_id, ()), start),
        ),
        (home, begins),
        (shift.starts_at, shift.ends_at),
        tuple(absences),
    )  # fmt: skip


def _planned(visit: Any, shift: Shift, now: datetime, earlier: Mapping[str, WorkingTime]) -> bool:
    """Whether a visit under way is planned on its technician's `shift`, or on an earlier one, which holds up this."""
    if visit.lat is None:
        return False
    if visit.shift_id is not None:
        return str(visit.shift_id) in {str(shift.id), *earlier}
    theirs = (one for one in earlier.values() if one.shift.technician == str(shift.person_id))
    return shift.starts_at <= now or _at(theirs, now) is not None


def shifts_held(rows: Iterable[Any], shifts: Mapping[str, WorkingTime], now: datetime) -> dict[UUID, planning.Shift]:
    """Return on which shift somebody comes by each assignment: the one that was named, or theirs at that time.

    That of who set off is now. Nobody does who is away then, or was given no time and has not set off. Who is under way
    in none of the shifts is at work on none until it is over (`_working_time` sees to that).
    """
    own: defaultdict[str, list[WorkingTime]] = defaultdict(list)
    for working in shifts.values():
        own[working.shift.technician].append(working)
    found = {row.assignment_id: _held(row, shifts, own[str(row.person_id)], now) for row in rows}
    return {assignment: working.shift for assignment, working in found.items() if assignment and working}


def _held(row: Any, shifts: Mapping[str, WorkingTime], own: Iterable[WorkingTime], now: datetime) -> WorkingTime | None:
    named, at = shifts.get(str(row.shift_id)), row.arrives_at
    if row.state in UNDER_WAY:
        return named if row.shift_id is not None else _at(own, now)
    if at is None:
        return None
    found = named or _at(own, at)
    ends_at = row.ends_at or at + timedelta(minutes=row.duration_minutes)
    return None if found is None or found.absent(row.departs_at or at, ends_at) else found


def _at(own: Iterable[WorkingTime], at: datetime) -> WorkingTime | None:
    return next((working for working in own if working.covers(at)), None)


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
                earliest=second(earliest, now), latest=second(latest, now), duration=int(length.total_seconds())
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
