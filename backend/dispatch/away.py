"""When technicians cannot be asked to work more: absences, and shifts beyond those that are planned."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dispatch.open_visits import second
from backend.people.models import Absence, Shift
from routing import problem as planning
from routing.limits import MAX_AWAY, MAX_HORIZON_SECONDS

AHEAD: Final = timedelta(seconds=MAX_HORIZON_SECONDS)
"""How far ahead anybody could be asked for."""


async def absences_of(
    session: AsyncSession, people: Iterable[UUID], now: datetime
) -> Mapping[UUID, Sequence[tuple[datetime, datetime]]]:
    """Return when people are absent from now on, by person."""
    absent = select(Absence.person_id, Absence.starts_at, Absence.ends_at)
    found: dict[UUID, list[tuple[datetime, datetime]]] = {}
    for row in await session.execute(absent.where(Absence.person_id.in_(list(people)), Absence.ends_at > now)):
        found.setdefault(row.person_id, []).append((row.starts_at, row.ends_at))
    return found


async def away_of(
    session: AsyncSession, technicians: Iterable[str], planned: Iterable[str], now: datetime
) -> tuple[planning.Away, ...]:
    """Return the absences of the technicians, and those of their shifts that are not `planned`, as a problem has them.

    Both are ids as the problem has them; second 0 is `now`. The soonest count, where there are more than may be given.
    """
    people, shifts, until = [UUID(one) for one in technicians], frozenset(planned), now + AHEAD
    working = select(Shift.id, Shift.person_id, Shift.starts_at, Shift.ends_at)
    rows = await session.execute(working.where(Shift.person_id.in_(people), Shift.ends_at > now))
    found = [(row.person_id, row.starts_at, row.ends_at) for row in rows if str(row.id) not in shifts]
    absences = await absences_of(session, people, now)
    found += [(person, *absence) for person, theirs in absences.items() for absence in theirs]
    away = [
        planning.Away(
            technician=str(person), start=max(0, second(starts_at, now)), end=second(min(ends_at, until), now)
        )
        for person, starts_at, ends_at in found
        if starts_at < until
    ]  # fmt: skip
    return tuple(sorted(away, key=lambda one: (one.start, one.end, one.technician))[:MAX_AWAY])
