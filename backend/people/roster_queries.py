"""Reads of working time, within the units a reader's roles reach."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal
from backend.core.errors import INVALID, NOT_FOUND, Finding, Problem
from backend.people.models import Absence, DutySlot, Person, Shift, Territory, TerritoryMember, Vehicle
from backend.people.queries import rosters_readable
from backend.people.roster_schemas import (
    AbsenceView,
    Break,
    DutySlotView,
    Shifts,
    ShiftView,
    TerritoryMemberView,
    TerritoryView,
    VehicleView,
)
from backend.people.schemas import shown

RANGE_MAXIMUM: Final = timedelta(days=62)
"""The longest stretch of a roster read at once: two months."""
ROWS_MAXIMUM: Final = 5000
"""Rows of a roster sent at once; more are refused with the advice to ask for less."""


def checked_range(since: datetime, until: datetime) -> tuple[datetime, datetime]:
    """Refuse a stretch of time that is empty, without zone, or too long; raises invalid."""
    for field, instant in (("since", since), ("until", until)):
        if instant.tzinfo is None:
            raise Problem(INVALID, Finding(field, "须带时区,如 +08:00", "needs an offset such as +08:00"))
    if not since < until <= since + RANGE_MAXIMUM:
        finding = Finding(
            "until", f"须晚于 since,且不超过 {RANGE_MAXIMUM.days} 天", f"after since, within {RANGE_MAXIMUM.days} days"
        )
        raise Problem(INVALID, finding)
    return since, until


async def shifts_between(
    session: AsyncSession,
    principal: Principal,
    *,
    now: datetime,
    since: datetime,
    until: datetime,
    person_id: UUID | None = None,
    unit_id: UUID | None = None,
) -> Shifts:
    """Return the shifts that touch a stretch of time, of the people the principal may see."""
    listed = select(Shift).join(Person, Person.id == Shift.person_id)
    listed = listed.where(rosters_readable(principal, now), *_touching(Shift, since, until))
    if person_id is not None:
        listed = listed.where(Shift.person_id == person_id)
    if unit_id is not None:
        listed = listed.where(Person.unit_id == unit_id)
    rows = (await session.execute(listed.order_by(Shift.starts_at, Shift.id).limit(ROWS_MAXIMUM + 1))).scalars().all()
    _must_fit(len(rows))
    return Shifts(shifts=[shift_view(row) for row in rows])


def shift_view(shift: Shift) -> ShiftView:
    """Return one shift. Where it starts is often somebody's home, so that stays with the planner."""
    return shown(shift, ShiftView, breaks=msgspec.convert(shift.breaks, list[Break]))


class ShiftEdition(msgspec.Struct, frozen=True):
    """A shift as an edit rests on it: what is shown, and the start that is not but may be edited."""

    shown: ShiftView
    start: tuple[float, float]


def shift_edition(shift: Shift) -> ShiftEdition:
    """Return what the ETag of a shift is made from."""
    return ShiftEdition(shift_view(shift), (shift.start_lat, shift.start_lon))


async def shift_within(session: AsyncSession, shift_id: UUID, units: frozenset[UUID], *, locked: bool = False) -> Shift:
    """Return a shift of somebody in one of `units`; raises not_found."""
    return await _of_person(session, Shift, shift_id, units, locked=locked)


async def absences_between(
    session: AsyncSession,
    principal: Principal,
    *,
    now: datetime,
    since: datetime,
    until: datetime,
    person_id: UUID | None,
) -> list[AbsenceView]:
    """Return who is away in a stretch of time; why only to those who manage it, and to the person."""
    listed = select(Absence, Person.unit_id).join(Person, Person.id == Absence.person_id)
    listed = listed.where(rosters_readable(principal, now), *_touching(Absence, since, until))
    if person_id is not None:
        listed = listed.where(Absence.person_id == person_id)
    rows = (await session.execute(listed.order_by(Absence.starts_at, Absence.id).limit(ROWS_MAXIMUM + 1))).all()
    _must_fit(len(rows))
    managed = principal.units("dispatch", "write")
    return [
        shown(row, AbsenceView)
        if unit_id in managed or row.person_id == principal.person_id
        else shown(row, AbsenceView, kind=None, note=None)
        for row, unit_id in rows
    ]


async def absence_within(session: AsyncSession, absence_id: UUID, units: frozenset[UUID]) -> Absence:
    """Return an absence of somebody in one of `units`; raises not_found."""
    return await _of_person(session, Absence, absence_id, units)


async def duty_between(
    session: AsyncSession, principal: Principal, *, since: datetime, until: datetime, unit_id: UUID | None
) -> list[DutySlotView]:
    """Return who is on call in a stretch of time: of the units one may see, and one's own slots."""
    listed = select(DutySlot).where(_duty_readable(principal), *_touching(DutySlot, since, until))
    if unit_id is not None:
        listed = listed.where(DutySlot.unit_id == unit_id)
    rows = (await session.execute(listed.order_by(DutySlot.starts_at, DutySlot.id).limit(ROWS_MAXIMUM + 1))).scalars()
    views = [shown(row, DutySlotView) for row in rows]
    _must_fit(len(views))
    return views


async def territories(session: AsyncSession, units: frozenset[UUID]) -> list[TerritoryView]:
    """Return the territories of some units."""
    rows = await session.execute(select(Territory).where(Territory.unit_id.in_(units)).order_by(Territory.id))
    return [shown(row, TerritoryView) for row in rows.scalars()]


async def territory_members(session: AsyncSession, territory_id: UUID) -> list[TerritoryMemberView]:
    """Return who serves, served or will serve a territory."""
    listed = select(TerritoryMember).where(TerritoryMember.territory_id == territory_id)
    rows = (await session.execute(listed.order_by(TerritoryMember.valid_from, TerritoryMember.id))).scalars()
    return [shown(row, TerritoryMemberView) for row in rows]


async def vehicles(session: AsyncSession, units: frozenset[UUID]) -> list[VehicleView]:
    """Return the vehicles of some units."""
    rows = await session.execute(select(Vehicle).where(Vehicle.unit_id.in_(units)).order_by(Vehicle.plate))
    return [shown(row, VehicleView) for row in rows.scalars()]


def _duty_readable(principal: Principal) -> ColumnElement[bool]:
    units = principal.units("dispatch", "read") | principal.units("case", "read")
    mine = or_(DutySlot.person_id == principal.person_id, DutySlot.backup_person_id == principal.person_id)
    return or_(DutySlot.unit_id.in_(units), mine)


def _touching(
    model: type[Shift | Absence | DutySlot], since: datetime, until: datetime
) -> tuple[ColumnElement[bool], ...]:
    return (model.starts_at < until, model.ends_at > since)


def _must_fit(count: int) -> None:
    if count > ROWS_MAXIMUM:
        finding = Finding("until", f"超过 {ROWS_MAXIMUM} 行,请缩短范围", f"more than {ROWS_MAXIMUM} rows; ask for less")
        raise Problem(INVALID, finding)


async def _of_person(
    session: AsyncSession, model: type[Any], row_id: UUID, units: frozenset[UUID], *, locked: bool = False
) -> Any:
    wanted = select(model).join(Person, Person.id == model.person_id)
    wanted = wanted.where(model.id == row_id, Person.unit_id.in_(units))
    row = (await session.execute(wanted.with_for_update(of=model) if locked else wanted)).scalar_one_or_none()
    if row is None:
        raise Problem(NOT_FOUND)
    return row
