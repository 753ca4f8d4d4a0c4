"""Routes of working time: shifts, absences, duty, territories, vehicles."""

from datetime import datetime
from uuid import UUID

from litestar import Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, anyone_signed_in, requires
from backend.core.errors import NOT_FOUND, Problem
from backend.core.etags import IfMatch, etag_of, must_match, with_etag
from backend.core.once import Once
from backend.people import roster_actions as actions
from backend.people import roster_queries as queries
from backend.people.actions import end_tenure
from backend.people.models import DutySlot, Shift, Territory, TerritoryMember, Vehicle
from backend.people.queries import within
from backend.people.roster_schemas import (
    AbsenceView,
    DutySlotView,
    NewAbsence,
    NewDutySlot,
    NewShifts,
    NewTerritory,
    NewTerritoryMember,
    NewVehicle,
    ShiftPatch,
    Shifts,
    ShiftView,
    TerritoryMemberView,
    TerritoryPatch,
    TerritoryView,
    VehiclePatch,
    VehicleView,
)
from backend.people.schemas import Ending, shown

Session = NamedDependency[AsyncSession]
Now = NamedDependency[datetime]
Who = NamedDependency[Principal]
Once_ = NamedDependency[Once]
Id = FromPath[UUID]
Since = FromQuery[datetime]
Someone = FromQuery[UUID | None]

DISPATCHES = requires("dispatch", "write")
READERS = requires("dispatch", "read")


@get("/shifts", guards=[READERS])
async def list_shifts(
    *, since: Since, until: Since, principal: Who, read: Session, now: Now, person_id: Someone = None,
    unit_id: Someone = None,
) -> Shifts:  # fmt: skip
    """List the shifts that touch a stretch of time, at most 62 days."""
    since, until = queries.checked_range(since, until)
    return await queries.shifts_between(
        read, principal, now=now, since=since, until=until, person_id=person_id, unit_id=unit_id
    )  # fmt: skip


@get("/me/shifts", guards=[anyone_signed_in])
async def list_my_shifts(since: Since, until: Since, principal: Who, read: Session, now: Now) -> Shifts:
    """List the own shifts that touch a stretch of time, at most 62 days."""
    since, until = queries.checked_range(since, until)
    return await queries.shifts_between(
        read, principal, now=now, since=since, until=until, person_id=principal.person_id
    )  # fmt: skip


@post("/shifts", guards=[DISPATCHES])
async def add_shifts(
    data: JSONBody[NewShifts], principal: Who, write: Session, once: Once_, now: Now
) -> Response[Shifts]:
    """Add shifts: all of them or, if one is wrong, none."""

    async def produce() -> Shifts:
        units = principal.units("dispatch", "write")
        added = await actions.add_shifts(write, now=now, actor=principal.actor, units=units, new=data.shifts)
        return Shifts(shifts=[queries.shift_view(shift) for shift in added])

    return await once.create(write, now, produce)


@get("/shifts/{shift_id:uuid}", guards=[READERS])
async def read_shift(shift_id: Id, principal: Who, read: Session) -> Response[ShiftView]:
    """Read a shift."""
    units = principal.units("dispatch", "read")
    return _shift(await queries.shift_within(read, shift_id, units))


@patch("/shifts/{shift_id:uuid}", guards=[DISPATCHES])
async def edit_shift(
    *, shift_id: Id, data: JSONBody[ShiftPatch], principal: Who, write: Session, now: Now, if_match: IfMatch = None
) -> Response[ShiftView]:
    """Change fields of a shift."""
    units = principal.units("dispatch", "write")
    shift = await queries.shift_within(write, shift_id, units, locked=True)
    must_match(if_match, queries.shift_edition(shift))
    await actions.edit_shift(write, now=now, actor=principal.actor, units=units, shift=shift, patch=data)
    return _shift(shift)


@delete("/shifts/{shift_id:uuid}", guards=[DISPATCHES])
async def remove_shift(shift_id: Id, principal: Who, write: Session, now: Now) -> None:
    """Delete a shift no visit was assigned in."""
    shift = await queries.shift_within(write, shift_id, principal.units("dispatch", "write"), locked=True)
    await actions.remove_shift(write, now=now, actor=principal.actor, shift=shift)


@get("/absences", guards=[READERS])
async def list_absences(
    *, since: Since, until: Since, principal: Who, read: Session, now: Now, person_id: Someone = None
) -> list[AbsenceView]:
    """List who is away in a stretch of time, at most 62 days."""
    since, until = queries.checked_range(since, until)
    return await queries.absences_between(read, principal, now=now, since=since, until=until, person_id=person_id)


@post("/absences", guards=[DISPATCHES])
async def add_absence(
    data: JSONBody[NewAbsence], principal: Who, write: Session, once: Once_, now: Now
) -> Response[AbsenceView]:
    """Note that somebody is ill, on leave or in training."""

    async def produce() -> AbsenceView:
        units = principal.units("dispatch", "write")
        absence = await actions.add_absence(write, now=now, actor=principal.actor, units=units, new=data)
        return shown(absence, AbsenceView)

    return await once.create(write, now, produce)


@delete("/absences/{absence_id:uuid}", guards=[DISPATCHES])
async def remove_absence(absence_id: Id, principal: Who, write: Session, now: Now) -> None:
    """Take an absence back."""
    absence = await queries.absence_within(write, absence_id, principal.units("dispatch", "write"))
    await actions.remove_absence(write, now=now, actor=principal.actor, absence=absence)


@get("/duty-slots", guards=[anyone_signed_in])
async def list_duty_slots(
    since: Since, until: Since, principal: Who, read: Session, unit_id: Someone = None
) -> list[DutySlotView]:
    """List who is on call in a stretch of time, at most 62 days."""
    since, until = queries.checked_range(since, until)
    return await queries.duty_between(read, principal, since=since, until=until, unit_id=unit_id)


@post("/duty-slots", guards=[DISPATCHES])
async def add_duty_slot(
    data: JSONBody[NewDutySlot], principal: Who, write: Session, once: Once_, now: Now
) -> Response[DutySlotView]:
    """Put somebody on call, with a backup, a phone and a vehicle."""

    async def produce() -> DutySlotView:
        units = principal.units("dispatch", "write")
        slot = await actions.add_duty_slot(write, now=now, actor=principal.actor, units=units, new=data)
        return shown(slot, DutySlotView)

    return await once.create(write, now, produce)


@delete("/duty-slots/{slot_id:uuid}", guards=[DISPATCHES])
async def remove_duty_slot(slot_id: Id, principal: Who, write: Session, now: Now) -> None:
    """Take somebody off call."""
    slot: DutySlot = await within(write, DutySlot, slot_id, principal.units("dispatch", "write"))
    await actions.remove_duty_slot(write, now=now, actor=principal.actor, slot=slot)


@get("/territories", guards=[READERS])
async def list_territories(principal: Who, read: Session) -> list[TerritoryView]:
    """List territories."""
    return await queries.territories(read, principal.units("dispatch", "read"))


@post("/territories", guards=[DISPATCHES])
async def add_territory(
    data: JSONBody[NewTerritory], principal: Who, write: Session, once: Once_, now: Now
) -> Response[TerritoryView]:
    """Add a territory."""

    async def produce() -> TerritoryView:
        units = principal.units("dispatch", "write")
        territory = await actions.add_territory(write, now=now, actor=principal.actor, units=units, new=data)
        return shown(territory, TerritoryView)

    return await once.create(write, now, produce)


@get("/territories/{territory_id:uuid}", guards=[READERS])
async def read_territory(territory_id: Id, principal: Who, read: Session) -> Response[TerritoryView]:
    """Read a territory."""
    units = principal.units("dispatch", "read")
    territory: Territory = await within(read, Territory, territory_id, units)
    return with_etag(shown(territory, TerritoryView))


@patch("/territories/{territory_id:uuid}", guards=[DISPATCHES])
async def edit_territory(
    *,
    territory_id: Id,
    data: JSONBody[TerritoryPatch],
    principal: Who,
    write: Session,
    now: Now,
    if_match: IfMatch = None,
) -> Response[TerritoryView]:
    """Change fields of a territory."""
    territory = await _territory(write, principal, territory_id)
    must_match(if_match, shown(territory, TerritoryView))
    await actions.edit_territory(write, now=now, actor=principal.actor, territory=territory, patch=data)
    return with_etag(shown(territory, TerritoryView))


@get("/territories/{territory_id:uuid}/members", guards=[READERS])
async def list_territory_members(territory_id: Id, principal: Who, read: Session) -> list[TerritoryMemberView]:
    """List who serves, served or will serve a territory."""
    units = principal.units("dispatch", "read")
    await within(read, Territory, territory_id, units)
    return await queries.territory_members(read, territory_id)


@post("/territories/{territory_id:uuid}/members", guards=[DISPATCHES])
async def add_territory_member(
    *, territory_id: Id, data: JSONBody[NewTerritoryMember], principal: Who, write: Session, once: Once_, now: Now
) -> Response[TerritoryMemberView]:
    """Let a person or a crew serve a territory."""

    async def produce() -> TerritoryMemberView:
        territory = await _territory(write, principal, territory_id)
        units = principal.units("dispatch", "write")
        member = await actions.add_territory_member(
            write, now=now, actor=principal.actor, units=units, territory=territory, new=data
        )
        return shown(member, TerritoryMemberView)

    return await once.create(write, now, produce)


@post("/territories/{territory_id:uuid}/members/{member_id:uuid}/end", guards=[DISPATCHES], status_code=200)
async def end_territory_member(
    *, territory_id: Id, member_id: Id, data: JSONBody[Ending], principal: Who, write: Session, now: Now
) -> TerritoryMemberView:
    """Let somebody serve a territory no longer, now or from a later instant."""
    await _territory(write, principal, territory_id)
    member = await write.get(TerritoryMember, member_id, with_for_update=True)
    if member is None or member.territory_id != territory_id:
        raise Problem(NOT_FOUND)
    await end_tenure(write, now=now, actor=principal.actor, row=member, at=data.at or now)
    return shown(member, TerritoryMemberView)


@get("/vehicles", guards=[READERS])
async def list_vehicles(principal: Who, read: Session) -> list[VehicleView]:
    """List vehicles."""
    return await queries.vehicles(read, principal.units("dispatch", "read"))


@post("/vehicles", guards=[DISPATCHES])
async def add_vehicle(
    data: JSONBody[NewVehicle], principal: Who, write: Session, once: Once_, now: Now
) -> Response[VehicleView]:
    """Add a vehicle."""

    async def produce() -> VehicleView:
        units = principal.units("dispatch", "write")
        return shown(
            await actions.add_vehicle(write, now=now, actor=principal.actor, units=units, new=data), VehicleView
        )

    return await once.create(write, now, produce)


@get("/vehicles/{vehicle_id:uuid}", guards=[READERS])
async def read_vehicle(vehicle_id: Id, principal: Who, read: Session) -> Response[VehicleView]:
    """Read a vehicle."""
    units = principal.units("dispatch", "read")
    vehicle: Vehicle = await within(read, Vehicle, vehicle_id, units)
    return with_etag(shown(vehicle, VehicleView))


@patch("/vehicles/{vehicle_id:uuid}", guards=[DISPATCHES])
async def edit_vehicle(
    *, vehicle_id: Id, data: JSONBody[VehiclePatch], principal: Who, write: Session, now: Now, if_match: IfMatch = None
) -> Response[VehicleView]:
    """Change fields of a vehicle."""
    units = principal.units("dispatch", "write")
    vehicle: Vehicle = await within(write, Vehicle, vehicle_id, units, locked=True)
    must_match(if_match, shown(vehicle, VehicleView))
    await actions.edit_vehicle(write, now=now, actor=principal.actor, vehicle=vehicle, patch=data)
    return with_etag(shown(vehicle, VehicleView))


def _shift(shift: Shift) -> Response[ShiftView]:
    return Response(queries.shift_view(shift), headers={"ETag": etag_of(queries.shift_edition(shift))})


async def _territory(session: AsyncSession, principal: Principal, territory_id: UUID) -> Territory:
    return await within(session, Territory, territory_id, principal.units("dispatch", "write"), locked=True)


router = Router(
    "/",
    route_handlers=[
        list_shifts, list_my_shifts, add_shifts, read_shift, edit_shift, remove_shift, list_absences, add_absence,
        remove_absence, list_duty_slots, add_duty_slot, remove_duty_slot, list_territories, add_territory,
        read_territory, edit_territory, list_territory_members, add_territory_member, end_territory_member,
        list_vehicles, add_vehicle, read_vehicle, edit_vehicle,
    ],
    tags=["roster"],
)  # fmt: skip
