"""When technicians cannot be asked to work more: absences, and shifts beyond those that are planned."""

from collections.abc import Iterable
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


async def away_of(
    session: AsyncSession, technicians: Iterable[str], planned: Iterable[str], now: datetime
) -> tuple[planning.Away, ...]:
    """Return the absences of the technicians, and those of their shifts that are not `planned`, as a problem has them.

    Both are ids as the problem has them; second 0 is `now`. The soonest count, where there are more than may be given.
    """
    people, shifts, until = [UUID(one) for one in technicians], frozenset(planned), now + AHEAD
    absences = select(Absence).where(Absence.person_id.in_(people), Absence.ends_at > now, Absence.starts_at < until)
    working = select(Shift).where(Shift.person_id.in_(people), Shift.ends_at > now, Shift.starts_at < until)
    found = [
        *(await session.execute(absences)).scalars(),
        *(one for one in (await session.execute(working)).scalars() if str(one.id) not in shifts),
    ]
    away = [
        planning.Away(
            technician=str(one.person_id), start=max(0, second(one.starts_at, now)),
            end=second(min(one.ends_at, until), now),
        )
        for one in found
    ]  # fmt: skip
    return tuple(sorted(away, key=lambda one: (one.start, one.end, one.technician))[:MAX_AWAY])
