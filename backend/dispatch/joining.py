"""Who joins a visit that somebody else leads: they drive there too, so the planner is given their part as a stay.

So is the part of a crew's leader in a visit that the crew was given as a whole, until it is said who of them goes.

A stay is a visit of the problem under the id of the assignment, pinned to the shift of the person. What is published
never changes it: somebody asked that person to come then.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from backend.dispatch.open_visits import (
    EXPECTED_END,
    MOVABLE,
    PRIORITIES,
    UNDER_WAY,
    Standing,
    imminent,
    longest,
    place_of,
    remaining,
    second,
)
from backend.jobs.models import Assignment, Attendance, Visit, WorkOrder
from backend.people.models import CrewMember, Person
from backend.sites.models import Site
from routing import problem as planning

JOIN_LATE: Final = timedelta(minutes=15)
"""By so much somebody who joins may come after the time they were asked for; whoever leads waits no longer."""


class Joining(msgspec.Struct, frozen=True):
    """Somebody's part in a visit another leads.

    `state`: how far they are themselves, by their own reports. `planned`: a plan put them there, nobody by hand.
    """

    assignment_id: UUID
    visit_id: UUID
    person_id: UUID
    crew_id: UUID | None
    shift_id: UUID | None
    departs_at: datetime | None
    arrives_at: datetime | None
    ends_at: datetime | None
    pinned: bool
    planned: bool
    state: str
    priority: str
    duration_minutes: int
    expected_ends_at: datetime | None
    site_id: UUID
    lat: float
    lon: float
    territory_id: UUID | None

    @property
    def under_way(self) -> bool:
        """Whether they set off."""
        return self.state in UNDER_WAY

    def standing(self) -> Standing:
        """Return where it stands; of what a customer was told, the visit itself says."""
        return Standing(
            self.assignment_id, self.person_id, self.crew_id, self.shift_id, self.departs_at, self.arrives_at,
            self.ends_at, self.pinned, None,
        )  # fmt: skip


@dataclass(frozen=True)
class Stay:
    """A part in a visit as the planner is given it."""

    joining: Joining
    visit: planning.Visit
    place: planning.Place


async def joining(session: AsyncSession, units: Sequence[UUID], now: datetime) -> list[Joining]:
    """Return who of the units joins an open visit that another leads, or now leads the crew it was given to.

    Who has no times of their own comes at the lead's.
    """
    leader = (
        select(CrewMember.person_id)
        .where(
            CrewMember.crew_id == Assignment.crew_id, CrewMember.leads, CrewMember.valid_from <= now,
            or_(CrewMember.valid_until.is_(None), CrewMember.valid_until > now),
        )
        .order_by(CrewMember.valid_from.desc(), CrewMember.id.desc())
        .limit(1)
        .correlate(Assignment)
        .scalar_subquery()
    )  # fmt: skip
    comes = func.coalesce(Assignment.person_id, leader)
    lead = aliased(Assignment)
    led = and_(lead.visit_id == Visit.id, lead.withdrawn_at.is_(None), lead.leads.is_(True))
    theirs = and_(Attendance.visit_id == Visit.id, Attendance.person_id == Assignment.person_id)
    listed = (
        select(
            Assignment.id.label("assignment_id"), Assignment.visit_id, comes.label("person_id"), Assignment.crew_id,
            Assignment.shift_id, Assignment.departs_at, Assignment.pinned,
            (Assignment.plan_id.is_not(None) & Assignment.pinned.is_(False)).label("planned"),
            WorkOrder.priority, Visit.duration_minutes,
            func.coalesce(Assignment.arrives_at, lead.arrives_at).label("arrives_at"),
            func.coalesce(Assignment.ends_at, lead.ends_at).label("ends_at"),
            func.coalesce(Attendance.state, "assigned").label("state"), EXPECTED_END.label("expected_ends_at"),
            Site.id.label("site_id"), Site.lat, Site.lon, Site.territory_id,
        )
        .join(Visit, Visit.id == Assignment.visit_id)
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .join(Site, Site.id == WorkOrder.site_id)
        .join(Person, Person.id == comes)
        .join(lead, led, isouter=True)
        .join(Attendance, theirs, isouter=True)
        .where(
            Assignment.withdrawn_at.is_(None), or_(Assignment.leads.is_(False), Assignment.person_id.is_(None)),
            Visit.state.in_((*MOVABLE, *UNDER_WAY)),
            Person.unit_id.in_(units), Site.lat.is_not(None),
            func.coalesce(Attendance.state, "assigned").not_in(("finished", "cancelled")),
        )
        .order_by(Assignment.id)
    )  # fmt: skip
    return [Joining(**row) for row in (await session.execute(listed)).mappings()]


def stays_of(parts: Iterable[Joining], now: datetime, held: Mapping[UUID, planning.Shift]) -> list[Stay]:
    """Return the stays of those who come on one of the shifts, by their assignment in `held`."""
    found = ((part, _stay(part, now, held.get(part.assignment_id))) for part in parts)
    return [Stay(part, visit, place_of(part)) for part, visit in found if visit is not None]


def _stay(part: Joining, now: datetime, shift: planning.Shift | None) -> planning.Visit | None:
    """Return the stay, or None where there is nothing to keep free: no time was named, or it is long past."""
    at = part.arrives_at or (now if part.under_way else None)
    if at is None or shift is None:
        return None
    frozen = part.under_way or imminent(part.departs_at or at, now)
    start = second(at, now)
    if start < 0 and not frozen:
        return None
    return planning.Visit(
        id=str(part.assignment_id),
        place=str(part.site_id),
        duration=_length(part, now),
        priority=PRIORITIES[part.priority],
        windows=() if frozen else (planning.Window(start=start, end=start + int(JOIN_LATE.total_seconds())),),
        previous=planning.Previous(shift=shift.id, start=start),
        pin=None if frozen else planning.Pin(shift=shift.id),
        frozen=frozen,
    )


def _length(part: Joining, now: datetime) -> int:
    if part.under_way or part.arrives_at is None or part.ends_at is None or part.ends_at <= part.arrives_at:
        return remaining(part, now)
    return int(min(part.ends_at - part.arrives_at, longest(part)).total_seconds())


async def joined_visits(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, UUID]:
    """Return the visit that each stay among the visits of a problem is part of, by the stay's id."""
    parts = select(Assignment.id, Assignment.visit_id).where(Assignment.id.in_(list(ids)))
    return {row.id: row.visit_id for row in await session.execute(parts)}
