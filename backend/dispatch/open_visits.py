"""Open visits: what people have decided about them, where they are, and how much of them is left to do."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import and_, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.models import CommitmentClock
from backend.core.errors import Fault, Problem
from backend.dispatch.travel_rules import zone_of
from backend.jobs.expecting import OVERRUN_DAYS
from backend.jobs.models import Assignment, ExpectedEnd, Visit, WorkOrder
from backend.people.models import Shift
from backend.sites.models import Site
from routing import problem as planning
from routing.limits import MAX_HORIZON_SECONDS, MAX_VISITS

MOVABLE: Final = ("unplanned", "planned", "contacted")
UNDER_WAY: Final = ("departed", "arrived", "started", "paused")
PRIORITIES: Final[Mapping[str, planning.Priority]] = {"P1": 1, "P2": 2, "P3": 3, "P4": 4}
FROZEN_AHEAD: Final = timedelta(minutes=60)
"""A visit whose technician is to leave this soon stays as it is: the phone may be out of reach, the bag is packed."""
FROZEN_BEHIND: Final = timedelta(hours=2)
"""A departure nobody reported is still believed in for this long; a phone without signal reports late."""
LEAST_REMAINING: Final = timedelta(minutes=5)
"""A visit under way is expected to take at least this long still."""


STANDING: Final = (
    Assignment.id.label("assignment_id"), Assignment.person_id, Assignment.crew_id, Assignment.shift_id,
    Assignment.departs_at, Assignment.arrives_at, Assignment.ends_at, Assignment.pinned, Visit.told_at,
)  # fmt: skip
STANDING_NAMES: Final = tuple(column.key for column in STANDING)
LEADING: Final = and_(Assignment.visit_id == Visit.id, Assignment.withdrawn_at.is_(None), Assignment.leads.is_(True))


EXPECTED_END: Final = (
    select(ExpectedEnd.expected_ends_at)
    .where(ExpectedEnd.visit_id == Visit.id)
    .order_by(ExpectedEnd.reported_at.desc(), ExpectedEnd.id.desc())
    .limit(1)
    .correlate(Visit)
    .scalar_subquery()
)


TOO_MANY_VISITS = Fault(
    "too_many_visits", 409, "待排上门超过 {limit} 次,无法一次排程。",
    "More than {limit} visits are open here, which is the most that can be planned at once.",
    "请按下级单位分别排程,或取消不再需要的工单。", "Plan the units below one by one, or cancel orders nobody needs.",
)  # fmt: skip


class Helper(msgspec.Struct, frozen=True):
    """Somebody who joins a visit, and when. `planned`: a plan put them there, and so another may take them off."""

    assignment_id: UUID
    person_id: UUID
    shift_id: UUID | None
    departs_at: datetime | None
    arrives_at: datetime | None
    ends_at: datetime | None
    planned: bool


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
    helpers: tuple[Helper, ...] = ()


async def standings(session: AsyncSession, visit_ids: Sequence[UUID]) -> dict[UUID, Standing]:
    """Return how visits stand now."""
    listed = select(Visit.id.label("visit_id"), *STANDING).join(Assignment, LEADING, isouter=True)
    rows = (await session.execute(listed.where(Visit.id.in_(visit_ids)))).all()
    return await standings_of(session, rows)


async def standings_of(session: AsyncSession, rows: Iterable[Any]) -> dict[UUID, Standing]:
    """Return how the visits of these rows stand, with who joins them."""
    known = {row.visit_id: row for row in rows}
    joining = (
        select(
            Assignment.id, Assignment.visit_id, Assignment.person_id, Assignment.shift_id, Assignment.departs_at,
            Assignment.arrives_at, Assignment.ends_at, Assignment.plan_id, Assignment.pinned,
        )
        .where(
            Assignment.visit_id.in_(list(known)), Assignment.withdrawn_at.is_(None), Assignment.leads.is_(False),
            Assignment.person_id.is_not(None),
        )
        .order_by(Assignment.id)
    )  # fmt: skip
    helpers: dict[UUID, list[Helper]] = {}
    for one in await session.execute(joining):
        planned = one.plan_id is not None and not one.pinned
        helpers.setdefault(one.visit_id, []).append(
            Helper(one.id, one.person_id, one.shift_id, one.departs_at, one.arrives_at, one.ends_at, planned)
        )
    return {
        visit_id: Standing(
            **{name: getattr(row, name) for name in STANDING_NAMES}, helpers=tuple(helpers.get(visit_id, ()))
        )
        for visit_id, row in known.items()
    }


async def open_visits(session: AsyncSession, units: Sequence[UUID]) -> Sequence[Any]:
    """Return what is open in the units, each with who leads it, its limit to arrive and its site.

    Raises too_many_visits: said before anything asks for as many rows by name, which no database takes.
    """
    clock_due = func.coalesce(CommitmentClock.due_at, WorkOrder.due_at).label("due_at")
    arrive = and_(
        CommitmentClock.subject_id == WorkOrder.request_id,
        CommitmentClock.kind == "arrive",
        CommitmentClock.stopped_at.is_(None),
        CommitmentClock.void_reason.is_(None),
    )
    listed = (
        select(
            Visit.id.label("visit_id"), Visit.work_order_id, Visit.state, Visit.duration_minutes,
            Visit.window_starts_at, Visit.window_ends_at, WorkOrder.priority, WorkOrder.required_skills,
            WorkOrder.technicians, WorkOrder.earliest_at,
            WorkOrder.parts_ready_at, WorkOrder.approved_at, WorkOrder.needs_approval, clock_due,
            Site.id.label("site_id"), Site.lat, Site.lon, Site.territory_id, Site.time_zone,
            Shift.starts_at.label("shift_starts_at"), EXPECTED_END.label("expected_ends_at"), *STANDING,
        )
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .join(Site, Site.id == WorkOrder.site_id)
        .join(Assignment, LEADING, isouter=True)
        .join(Shift, Shift.id == Assignment.shift_id, isouter=True)
        .join(CommitmentClock, arrive, isouter=True)
        .where(WorkOrder.unit_id.in_(units), Visit.state.in_((*MOVABLE, *UNDER_WAY)))
        .order_by(Visit.id)
        .limit(MAX_VISITS + 1)
    )  # fmt: skip
    found = (await session.execute(listed)).all()
    if len(found) > MAX_VISITS:
        raise Problem(TOO_MANY_VISITS, limit=MAX_VISITS)
    return found


def under_way(rows: Iterable[Any], now: datetime) -> dict[UUID, Any]:
    """Return the visit each technician is under way with: at its site, wherever that is, they are now."""
    busy = [row for row in rows if row.state in UNDER_WAY and row.person_id]
    busy.sort(key=lambda row: row.arrives_at or now)
    return {row.person_id: row for row in busy}


def place_of(row: Any) -> planning.Place:
    """Return the site of a row as a place of the problem."""
    zone = zone_of(row.territory_id, row.lat, row.lon)
    return planning.Place(id=str(row.site_id), latitude=row.lat, longitude=row.lon, zone=zone)


def imminent(departs_at: datetime | None, now: datetime) -> bool:
    """Whether the technician is about to leave, or should have left a moment ago."""
    return departs_at is not None and now - FROZEN_BEHIND <= departs_at <= now + FROZEN_AHEAD


def remaining(row: Any, now: datetime) -> int:
    """Return the seconds a visit will still take: by the newest report of it, by its plan, or by its length."""
    length = timedelta(minutes=row.duration_minutes)
    if row.state in UNDER_WAY and row.expected_ends_at is not None:
        length = max(row.expected_ends_at - now, LEAST_REMAINING)
    elif row.state in UNDER_WAY and row.state != "departed" and row.ends_at:
        length = min(length, max(row.ends_at - now, LEAST_REMAINING))
    return int(min(length, longest(row)).total_seconds())


def longest(row: Any) -> timedelta:
    """Return what a visit can take at most, whatever was reported: one mistyped month must not stop a unit's plans."""
    return min(timedelta(minutes=row.duration_minutes) + OVERRUN_DAYS, timedelta(seconds=MAX_HORIZON_SECONDS))


def second(at: datetime, now: datetime) -> int:
    """Return the second of the problem at which `at` is."""
    return int((at - now).total_seconds())
