"""Wire structs of working time: shifts, absences, duty, territories, vehicles."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from backend.people.schemas import GeoPoint, Instant, Latitude, Longitude, Name, Phone, Request, Text, View

SHIFTS_AT_ONCE = 500
"""Shifts added by one request: a month of a crew."""
BREAKS_MAXIMUM = 4
DISTRICTS_MAXIMUM = 200
CORNERS_MAXIMUM = 1000

Minutes = Annotated[int, msgspec.Meta(ge=1, le=24 * 60)]
Overtime = Annotated[int, msgspec.Meta(ge=0, le=8 * 60)]
Plate = Annotated[str, msgspec.Meta(min_length=2, max_length=20, pattern=r"^[^\s\x00]+$")]
Corner = tuple[Longitude, Latitude]
"""As GeoJSON has them: longitude first."""
AbsenceKind = Literal["ill", "leave", "training", "other"]


class Break(Request, frozen=True):
    """A rest of so many minutes, somewhere between two instants of the shift."""

    start_at: Instant
    end_at: Instant
    minutes: Minutes


class NewShift(Request, frozen=True):
    """Working time of one person. Without `start` it begins and ends at the person's home."""

    person_id: UUID
    starts_at: Instant
    ends_at: Instant
    start: GeoPoint | None = None
    breaks: Annotated[tuple[Break, ...], msgspec.Meta(max_length=BREAKS_MAXIMUM)] = ()
    overtime_minutes: Overtime = 0
    vehicle_id: UUID | None = None


class NewShifts(Request, frozen=True):
    """Several shifts: all are added or none."""

    shifts: Annotated[list[NewShift], msgspec.Meta(min_length=1, max_length=SHIFTS_AT_ONCE)]


class ShiftPatch(Request, frozen=True):
    """Fields of a shift to change; what is left out stays."""

    starts_at: Instant | UnsetType = UNSET
    ends_at: Instant | UnsetType = UNSET
    start: GeoPoint | UnsetType = UNSET
    breaks: Annotated[tuple[Break, ...], msgspec.Meta(max_length=BREAKS_MAXIMUM)] | UnsetType = UNSET
    overtime_minutes: Overtime | UnsetType = UNSET
    vehicle_id: UUID | UnsetType | None = UNSET


class ShiftView(View, frozen=True):
    """Working time of one person."""

    id: UUID
    person_id: UUID
    starts_at: datetime
    ends_at: datetime
    breaks: list[Break]
    overtime_minutes: int
    vehicle_id: UUID | None


class Shifts(View, frozen=True):
    """Several shifts, in the order of their beginning."""

    shifts: list[ShiftView]


class NewAbsence(Request, frozen=True):
    """Time somebody is not available."""

    person_id: UUID
    starts_at: Instant
    ends_at: Instant
    kind: AbsenceKind
    note: Text | None = None


class AbsenceView(View, frozen=True):
    """Time somebody is not available; kind and note are shown to those who may write them, and to the person."""

    id: UUID
    person_id: UUID
    starts_at: datetime
    ends_at: datetime
    kind: str | None
    note: str | None


class NewDutySlot(Request, frozen=True):
    """Who is on call and who is the backup, on which phone and with which vehicle (A041, A046)."""

    unit_id: UUID
    person_id: UUID
    starts_at: Instant
    ends_at: Instant
    phone: Phone
    backup_person_id: UUID | None = None
    vehicle_id: UUID | None = None


class DutySlotView(View, frozen=True):
    """A time on call."""

    id: UUID
    unit_id: UUID
    person_id: UUID
    backup_person_id: UUID | None
    starts_at: datetime
    ends_at: datetime
    phone: str
    vehicle_id: UUID | None


class Area(Request, frozen=True):
    """What a territory covers: names of districts, or the corners of a polygon whose last is its first."""

    districts: Annotated[tuple[Name, ...], msgspec.Meta(max_length=DISTRICTS_MAXIMUM)] = ()
    polygon: Annotated[tuple[Corner, ...], msgspec.Meta(max_length=CORNERS_MAXIMUM)] = ()


class NewTerritory(Request, frozen=True):
    """An area people or crews serve."""

    unit_id: UUID
    name_zh: Name
    name_en: Name
    area: Area


class TerritoryPatch(Request, frozen=True):
    """Fields of a territory to change."""

    name_zh: Name | UnsetType = UNSET
    name_en: Name | UnsetType = UNSET
    area: Area | UnsetType = UNSET


class TerritoryView(View, frozen=True):
    """An area people or crews serve."""

    id: UUID
    unit_id: UUID
    name_zh: str
    name_en: str
    area: dict[str, Any]


class NewTerritoryMember(Request, frozen=True):
    """A person or a crew serves a territory from an instant on; exactly one of the two."""

    person_id: UUID | None = None
    crew_id: UUID | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None


class TerritoryMemberView(View, frozen=True):
    """Who serves, served or will serve a territory."""

    id: UUID
    territory_id: UUID
    person_id: UUID | None
    crew_id: UUID | None
    valid_from: datetime
    valid_until: datetime | None


class NewVehicle(Request, frozen=True):
    """A vehicle of a unit."""

    unit_id: UUID
    plate: Plate


class VehiclePatch(Request, frozen=True):
    """Fields of a vehicle to change."""

    plate: Plate | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class VehicleView(View, frozen=True):
    """A vehicle."""

    id: UUID
    unit_id: UUID
    plate: str
    active: bool
