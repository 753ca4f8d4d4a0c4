"""Reads of travel: the trips that teach, and what was learnt."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dispatch.travel import factors_of
from backend.dispatch.travel_models import TravelFactor, TravelModel
from backend.dispatch.travel_rules import (
    LONGEST_STAY,
    MOST_TRIPS,
    SHIFT_BEGIN,
    TRIPS_SINCE,
    Spot,
    Trip,
    believable,
    zone_of,
)
from backend.dispatch.travel_schemas import HourFactorView, LearntView, TravelModelView, ZoneFactorView
from backend.jobs.models import Attendance, VisitEvent, WorkOrder
from backend.jobs.rules import EventKind
from backend.people.models import Shift, Territory
from backend.sites.models import Site

ATTENDED: Final = 2 * MOST_TRIPS
"""Attendances looked at, the newest first; about half of them begin where another has just ended."""
MOVES: Final = (EventKind.DEPART, EventKind.ARRIVE)


async def finished_trips(session: AsyncSession, now: datetime) -> list[Trip]:
    """Return the newest believable trips: from where somebody was known to be to the site they then arrived at.

    Only visits' places and reported times are read, no positions of phones; times the server had to correct are not.
    """
    flagged = select(VisitEvent.visit_id, VisitEvent.person_id).where(
        VisitEvent.time_flagged.is_(True), VisitEvent.kind.in_([kind.value for kind in MOVES])
    )
    doubted = {(row.visit_id, row.person_id) for row in await session.execute(flagged)}
    attended = (
        select(
            Attendance.visit_id, Attendance.person_id, Attendance.departed_at, Attendance.arrived_at,
            Attendance.finished_at, Site.lat, Site.lon, Site.territory_id, Site.time_zone,
        )
        .join(WorkOrder, WorkOrder.id == Attendance.work_order_id)
        .join(Site, Site.id == WorkOrder.site_id)
        .where(Attendance.arrived_at > now - TRIPS_SINCE, Site.lat.is_not(None))
        .order_by(Attendance.arrived_at.desc(), Attendance.id)
        .limit(ATTENDED)
    )  # fmt: skip
    rows = sorted((await session.execute(attended)).all(), key=lambda row: (row.person_id, row.arrived_at))
    shifts = await _shifts(session, now)
    trips = [
        trip
        for person_id, own in groupby(rows, key=lambda row: row.person_id)
        for trip in _trips_of(list(own), shifts.get(person_id, ()), doubted)
    ]
    trips.sort(key=lambda trip: trip.arrived_at)
    return believable(trips)[-MOST_TRIPS:]


async def _shifts(session: AsyncSession, now: datetime) -> Mapping[UUID, list[Any]]:
    listed = select(Shift.person_id, Shift.starts_at, Shift.start_lat, Shift.start_lon)
    recent = listed.where(Shift.starts_at > now - TRIPS_SINCE, Shift.starts_at <= now).order_by(Shift.starts_at)
    found: dict[UUID, list[Any]] = {}
    for row in await session.execute(recent):
        found.setdefault(row.person_id, []).append(row)
    return found


def _trips_of(rows: Sequence[Any], shifts: Sequence[Any], doubted: set[tuple[UUID, UUID]]) -> Iterator[Trip]:
    """Yield one person's trips; `rows` in the order of arrival."""
    before = None
    for row in rows:
        if row.departed_at is not None and (row.visit_id, row.person_id) not in doubted:
            origin = _origin(row.departed_at, before, shifts)
            if origin is not None:
                there = Spot(row.lat, row.lon, zone_of(row.territory_id, row.lat, row.lon))
                yield Trip(origin, there, row.departed_at, row.arrived_at, row.time_zone)
        before = row


def _origin(departed_at: datetime, before: Any, shifts: Sequence[Any]) -> Spot | None:
    """Return where somebody set out from: the site they had just finished at, or where their shift had just begun."""
    done = before.finished_at if before is not None else None
    if before is not None and done is not None and done <= departed_at <= done + LONGEST_STAY:
        return Spot(before.lat, before.lon, zone_of(before.territory_id, before.lat, before.lon))
    begun = [shift for shift in shifts if abs(departed_at - shift.starts_at) <= SHIFT_BEGIN]
    if not begun or (before is not None and before.arrived_at > begun[0].starts_at - SHIFT_BEGIN):
        return None  # somewhere else first
    return Spot(begun[0].start_lat, begun[0].start_lon, zone_of(None, begun[0].start_lat, begun[0].start_lon))


async def travel_model(session: AsyncSession, provider: str) -> TravelModelView:
    """Return what was learnt of a provider's travel times."""
    used = await _newest(session, TravelModel.provider == provider, TravelModel.in_use.is_(True))
    newest = await _newest(session, TravelModel.provider == provider)
    names = await _zone_names(session)
    in_use = None if used is None else await _learnt(session, used, names)
    zh, en = _sentence(in_use)
    return TravelModelView(
        provider=provider, in_use=in_use, newest=None if newest is None else await _learnt(session, newest, names),
        zh=zh, en=en,
    )  # fmt: skip


async def _newest(session: AsyncSession, *where: ColumnElement[bool]) -> TravelModel | None:
    order = (TravelModel.learnt_at.desc(), TravelModel.id.desc())
    return (await session.execute(select(TravelModel).where(*where).order_by(*order).limit(1))).scalar_one_or_none()


async def _zone_names(session: AsyncSession) -> Mapping[str, tuple[str, str]]:
    rows = await session.execute(select(Territory.id, Territory.name_zh, Territory.name_en))
    return {str(row.id): (row.name_zh, row.name_en) for row in rows}


async def _learnt(session: AsyncSession, model: TravelModel, names: Mapping[str, tuple[str, str]]) -> LearntView:
    factors = await factors_of(session, model.id)
    return LearntView(
        learnt_at=model.learnt_at, trips=model.trips, left_out=model.left_out, in_use=model.in_use, scale=model.scale,
        overhead_seconds=model.overhead_seconds, error_before=model.error_before, error_after=model.error_after,
        zones=[zone for one in factors if (zone := _zone(one, names)) is not None],
        hours=[
            HourFactorView(one.day_type, one.hour, one.factor, one.trips)
            for one in factors
            if one.day_type is not None and one.hour is not None
        ],
    )  # fmt: skip


def _zone(one: TravelFactor, names: Mapping[str, tuple[str, str]]) -> ZoneFactorView | None:
    if one.origin is None or one.destination is None:
        return None
    origin = names.get(one.origin, (one.origin, one.origin))
    destination = names.get(one.destination, (one.destination, one.destination))
    return ZoneFactorView(one.origin, *origin, one.destination, *destination, one.factor, one.trips)


def _sentence(used: LearntView | None) -> tuple[str, str]:
    if used is None or used.error_before is None or used.error_after is None:
        return (
            "行程时间尚未经过学习: 完成的行程还不够多, 或学习结果没有更准。",
            "Travel times are not learnt yet: there are too few finished trips, or what they teach errs no less.",
        )
    before, after = f"{used.error_before:.0%}", f"{used.error_after:.0%}"
    return (
        f"行程时间由 {used.trips} 次行程学习得出: 平均误差从 {before} 降到 {after}。",
        f"Travel times are learnt from {used.trips} trips: their mean error went from {before} to {after}.",
    )
