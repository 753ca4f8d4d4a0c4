"""Writes of working time. None of them commits."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor, record
from backend.core.errors import INVALID, Fault, Finding, Problem
from backend.core.etags import given, set_fields
from backend.core.events import tell
from backend.people.actions import active_person
from backend.people.models import Absence, Crew, DutySlot, Person, Shift, Territory, TerritoryMember, Vehicle
from backend.people.queries import must_have_room, no_such
from backend.people.roster_schemas import (
    Area,
    Break,
    NewAbsence,
    NewDutySlot,
    NewShift,
    NewTerritory,
    NewTerritoryMember,
    NewVehicle,
    ShiftPatch,
    TerritoryPatch,
    VehiclePatch,
)
from backend.people.rules import normal_phone, overlapping

SHIFT_MAXIMUM: Final = timedelta(hours=24)
DUTY_MAXIMUM: Final = timedelta(days=31)
ABSENCE_MAXIMUM: Final = timedelta(days=366)
RING_MINIMUM: Final = 4
"""Corners of a closed polygon: a triangle has three, and its first again."""

SHIFTS_OVERLAP = Fault(
    "shifts_overlap", 409, "同一员工的班次时间重叠。", "Two shifts of one person share time.",
    "请调整班次时间。", "Change the times of one of them.",
)  # fmt: skip


async def add_shifts(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], new: Sequence[NewShift]
) -> list[Shift]:
    """Add shifts of people of `units`: all or none. Raises invalid, shifts_overlap."""
    added: list[Shift] = []
    for number, one in enumerate(new):
        field = f"shifts.{number}"
        person = await active_person(session, one.person_id, units, f"{field}.person_id")
        _check_times(f"{field}.ends_at", one.starts_at, one.ends_at, SHIFT_MAXIMUM)
        _check_breaks(f"{field}.breaks", one.breaks, one.starts_at, one.ends_at)
        await _check_vehicle(session, one.vehicle_id, units, f"{field}.vehicle_id")
        lat, lon = _start(one, person, f"{field}.start")
        shift = Shift(
            person_id=person.id, starts_at=one.starts_at, ends_at=one.ends_at, start_lat=lat, start_lon=lon,
            breaks=msgspec.to_builtins(one.breaks), overtime_minutes=one.overtime_minutes, vehicle_id=one.vehicle_id,
        )  # fmt: skip
        added.append(shift)
    session.add_all(added)
    await session.flush()
    for person_id in sorted({shift.person_id for shift in added}):
        await _check_overlap(session, person_id, [shift for shift in added if shift.person_id == person_id])
    for shift in added:
        after = {"person_id": shift.person_id, "starts_at": shift.starts_at, "ends_at": shift.ends_at}
        record(session, now=now, actor=actor, action="shift.added", row=shift, after=after)
    return added


async def edit_shift(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], shift: Shift, patch: ShiftPatch
) -> None:
    """Change the fields a patch gives; raises invalid, shifts_overlap. Tells `shift.changed`: plans may not fit now."""
    values = given(patch)
    starts_at, ends_at = values.get("starts_at", shift.starts_at), values.get("ends_at", shift.ends_at)
    _check_times("ends_at", starts_at, ends_at, SHIFT_MAXIMUM)
    breaks = values.get("breaks", msgspec.convert(shift.breaks, tuple[Break, ...]))
    _check_breaks("breaks", breaks, starts_at, ends_at)
    if "breaks" in values:
        values["breaks"] = msgspec.to_builtins(breaks)
    if "start" in values:
        start = values.pop("start")
        values |= {"start_lat": start.lat, "start_lon": start.lon}
    await _check_vehicle(session, values.get("vehicle_id"), units, "vehicle_id")
    before, after = set_fields(shift, values)
    await session.flush()
    await _check_overlap(session, shift.person_id, [shift])
    record(session, now=now, actor=actor, action="shift.edited", row=shift, before=before, after=after)
    tell(session, now=now, name="shift.changed", row=shift, facts={"person_id": str(shift.person_id)})


async def remove_shift(session: AsyncSession, *, now: datetime, actor: Actor, shift: Shift) -> None:
    """Delete a shift no visit was ever assigned in; the database refuses one that was."""
    before = {"person_id": shift.person_id, "starts_at": shift.starts_at, "ends_at": shift.ends_at}
    record(session, now=now, actor=actor, action="shift.removed", row=shift, before=before)
    await session.delete(shift)
    await session.flush()


async def add_absence(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], new: NewAbsence
) -> Absence:
    """Note that somebody is away; tells `absence.added`: their visits need somebody else. Raises invalid."""
    await active_person(session, new.person_id, units, "person_id")
    _check_times("ends_at", new.starts_at, new.ends_at, ABSENCE_MAXIMUM)
    absence = Absence(**given(new))
    session.add(absence)
    await session.flush()
    after = {"person_id": new.person_id, "starts_at": new.starts_at, "ends_at": new.ends_at, "kind": new.kind}
    record(session, now=now, actor=actor, action="absence.added", row=absence, after=after)
    tell(session, now=now, name="absence.added", row=absence, facts={"person_id": str(new.person_id)})
    return absence


async def remove_absence(session: AsyncSession, *, now: datetime, actor: Actor, absence: Absence) -> None:
    """Take an absence back."""
    before = {"person_id": absence.person_id, "starts_at": absence.starts_at, "ends_at": absence.ends_at}
    record(session, now=now, actor=actor, action="absence.removed", row=absence, before=before)
    await session.delete(absence)


async def add_duty_slot(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], new: NewDutySlot
) -> DutySlot:
    """Put somebody on call; raises invalid."""
    if new.unit_id not in units:
        raise no_such("unit_id")
    await active_person(session, new.person_id, units, "person_id")
    if new.backup_person_id is not None:
        await active_person(session, new.backup_person_id, units, "backup_person_id")
        if new.backup_person_id == new.person_id:
            raise Problem(INVALID, Finding("backup_person_id", "后备须是另一人", "the backup must be somebody else"))
    _check_times("ends_at", new.starts_at, new.ends_at, DUTY_MAXIMUM)
    await _check_vehicle(session, new.vehicle_id, units, "vehicle_id")
    phone = normal_phone(new.phone)
    if phone is None:
        raise Problem(INVALID, Finding("phone", "不是电话号码", "not a telephone number"))
    slot = DutySlot(**given(new) | {"phone": phone})
    session.add(slot)
    await session.flush()
    record(session, now=now, actor=actor, action="duty_slot.added", row=slot, after=given(new))
    return slot


async def remove_duty_slot(session: AsyncSession, *, now: datetime, actor: Actor, slot: DutySlot) -> None:
    """Take somebody off call."""
    before = {"person_id": slot.person_id, "starts_at": slot.starts_at, "ends_at": slot.ends_at}
    record(session, now=now, actor=actor, action="duty_slot.removed", row=slot, before=before)
    await session.delete(slot)


async def add_territory(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], new: NewTerritory
) -> Territory:
    """Add a territory; raises invalid."""
    if new.unit_id not in units:
        raise no_such("unit_id")
    await must_have_room(session, Territory, unit_id=new.unit_id)
    territory = Territory(**given(new) | {"area": _area(new.area)})
    session.add(territory)
    await session.flush()
    record(session, now=now, actor=actor, action="territory.added", row=territory, after=given(new))
    return territory


async def edit_territory(
    session: AsyncSession, *, now: datetime, actor: Actor, territory: Territory, patch: TerritoryPatch
) -> None:
    """Change the fields a patch gives; raises invalid."""
    values = given(patch)
    if "area" in values:
        values["area"] = _area(values["area"])
    before, after = set_fields(territory, values)
    record(session, now=now, actor=actor, action="territory.edited", row=territory, before=before, after=after)


async def add_territory_member(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    units: frozenset[UUID],
    territory: Territory,
    new: NewTerritoryMember,
) -> TerritoryMember:
    """Let a person or a crew of `units` serve a territory; raises invalid."""
    if (new.person_id is None) == (new.crew_id is None):
        raise Problem(INVALID, Finding("crew_id", "小组和人员须且只须填一个", "give a crew or a person, not both"))
    if new.person_id is not None:
        await active_person(session, new.person_id, units, "person_id")
    crew = await session.get(Crew, new.crew_id) if new.crew_id else None
    if new.crew_id is not None and (crew is None or crew.unit_id not in units or not crew.active):
        raise no_such("crew_id")
    starts = new.valid_from or now
    if new.valid_until is not None and new.valid_until <= starts:
        raise Problem(INVALID, Finding("valid_until", "须晚于开始时间", "must be after valid_from"))
    await must_have_room(session, TerritoryMember, territory_id=territory.id)
    member = TerritoryMember(territory_id=territory.id, **given(new) | {"valid_from": starts})
    session.add(member)
    await session.flush()
    record(session, now=now, actor=actor, action="territory_member.added", row=member, after=given(new))
    return member


async def add_vehicle(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], new: NewVehicle
) -> Vehicle:
    """Add a vehicle; raises invalid."""
    if new.unit_id not in units:
        raise no_such("unit_id")
    await must_have_room(session, Vehicle, unit_id=new.unit_id)
    vehicle = Vehicle(unit_id=new.unit_id, plate=new.plate.upper(), active=True)
    session.add(vehicle)
    await session.flush()
    record(session, now=now, actor=actor, action="vehicle.added", row=vehicle, after=given(new))
    return vehicle


async def edit_vehicle(
    session: AsyncSession, *, now: datetime, actor: Actor, vehicle: Vehicle, patch: VehiclePatch
) -> None:
    """Change the fields a patch gives."""
    values = given(patch)
    if "plate" in values:
        values["plate"] = values["plate"].upper()
    before, after = set_fields(vehicle, values)
    await session.flush()
    record(session, now=now, actor=actor, action="vehicle.edited", row=vehicle, before=before, after=after)


def _check_times(field: str, starts_at: datetime, ends_at: datetime, longest: timedelta) -> None:
    if not starts_at < ends_at <= starts_at + longest:
        hours = int(longest.total_seconds() // 3600)
        zh, en = f"须晚于开始时间,且不超过 {hours} 小时", f"must be after the beginning, within {hours} hours"
        raise Problem(INVALID, Finding(field, zh, en))


def _check_breaks(field: str, breaks: Sequence[Break], starts_at: datetime, ends_at: datetime) -> None:
    for number, pause in enumerate(breaks):
        inside = starts_at <= pause.start_at < pause.end_at <= ends_at
        if not inside or pause.end_at - pause.start_at < timedelta(minutes=pause.minutes):
            zh, en = "休息须在班次之内,且时长放得下", "a break lies within the shift and fits between its times"
            raise Problem(INVALID, Finding(f"{field}.{number}", zh, en))


async def _check_overlap(session: AsyncSession, person_id: UUID, changed: Sequence[Shift]) -> None:
    """Lock the person first: two requests at once would not see each other's shifts."""
    await session.get_one(Person, person_id, with_for_update=True, populate_existing=True)
    since, until = min(shift.starts_at for shift in changed), max(shift.ends_at for shift in changed)
    near = select(Shift.starts_at, Shift.ends_at).where(
        Shift.person_id == person_id, Shift.starts_at < until, Shift.ends_at > since
    )  # fmt: skip
    clash = overlapping([(row.starts_at, row.ends_at) for row in (await session.execute(near)).all()])
    if clash is not None:
        raise Problem(SHIFTS_OVERLAP, starts_at=clash.isoformat())


async def _check_vehicle(session: AsyncSession, vehicle_id: UUID | None, units: frozenset[UUID], field: str) -> None:
    if vehicle_id is None:
        return
    vehicle = await session.get(Vehicle, vehicle_id)
    if vehicle is None or vehicle.unit_id not in units or not vehicle.active:
        raise no_such(field)


def _start(new: NewShift, person: Person, field: str) -> tuple[float, float]:
    if new.start is not None:
        return new.start.lat, new.start.lon
    if person.home_lat is None or person.home_lon is None:
        raise Problem(
            INVALID, Finding(field, "该员工没有登记住址,请填写出发地", "no home is known; say where it starts")
        )
    return person.home_lat, person.home_lon


def _area(area: Area) -> dict[str, Any]:
    """Return the area as GeoJSON (RFC 7946) beside the names of districts; raises invalid."""
    if not area.districts and not area.polygon:
        raise Problem(INVALID, Finding("area", "须填区县或多边形", "name districts or draw a polygon"))
    stored: dict[str, Any] = {"districts": list(area.districts)}
    if area.polygon:
        ring = [list(corner) for corner in area.polygon]
        if len(ring) < RING_MINIMUM or ring[0] != ring[-1]:
            zh, en = "多边形须闭合", "a polygon ends where it begins"
            raise Problem(INVALID, Finding("area.polygon", zh, en))
        stored["polygon"] = {"type": "Polygon", "coordinates": [ring]}
    return stored
