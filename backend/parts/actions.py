"""Changing the catalogue and moving stock. Below zero is accepted and flagged: the van knows better than the books."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor, record
from backend.core.errors import INVALID, Finding, Problem
from backend.parts.models import Part, StockLocation, StockMovement
from backend.parts.queries import stock_of
from backend.parts.schemas import NewPart, NewStockLocation
from backend.people.actions import active_person
from backend.people.models import Person


async def add_part(session: AsyncSession, *, now: datetime, actor: Actor, new: NewPart) -> Part:
    """Add a part to the catalogue; a number in use is refused by the database."""
    part = Part(
        number=new.number, name_zh=new.name_zh, name_en=new.name_en, measure=new.measure, price_fen=new.price_fen,
        serialised=new.serialised, active=True,
    )  # fmt: skip
    session.add(part)
    record(session, now=now, actor=actor, action="part.added", row=part, after={"number": new.number})
    return part


async def add_location(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], new: NewStockLocation
) -> StockLocation:
    """Add a warehouse or a van, for somebody of `units` if it is one's; raises invalid."""
    if new.person_id is not None:
        await active_person(session, new.person_id, units, "person_id")
    place = StockLocation(unit_id=new.unit_id, kind=new.kind, name=new.name, person_id=new.person_id)
    session.add(place)
    record(session, now=now, actor=actor, action="stock_location.added", row=place, after={"name": new.name})
    return place


async def move_stock(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    part_id: UUID,
    quantity: int,
    reason: str,
    from_location_id: UUID | None = None,
    to_location_id: UUID | None = None,
    serial: str | None = None,
    happened_at: datetime | None = None,
) -> StockMovement:
    """Move parts; at least one end is a place of ours. Raises invalid for an unknown part or place."""
    if await session.get(Part, part_id) is None:
        raise Problem(INVALID, Finding("part_id", "没有此配件", "there is no such part"))
    if from_location_id == to_location_id:
        raise Problem(INVALID, Finding("to_location_id", "起点和终点须不同", "the two ends must differ"))
    for field, place_id in (("from_location_id", from_location_id), ("to_location_id", to_location_id)):
        if place_id is not None and await session.get(StockLocation, place_id) is None:
            raise Problem(INVALID, Finding(field, "没有此库位", "there is no such place"))
    left = await stock_of(session, from_location_id, part_id) - quantity if from_location_id else 0
    movement = StockMovement(
        part_id=part_id, from_location_id=from_location_id, to_location_id=to_location_id, quantity=quantity,
        serial=serial, reason=reason, happened_at=min(happened_at or now, now), posted_at=now,
        went_negative=left < 0, mutation_id=actor.mutation_id,
    )  # fmt: skip
    session.add(movement)
    record(session, now=now, actor=actor, action="stock.moved", row=movement, after={"went_negative": left < 0})
    return movement


async def take_from_van(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    person_id: UUID,
    unit_id: UUID,
    part_id: UUID,
    quantity: int,
    serial: str | None,
    happened_at: datetime,
) -> StockMovement:
    """Book a part built in out of the person's van; somebody without a van on the books gets one. Raises invalid."""
    vans = select(StockLocation.id).where(StockLocation.person_id == person_id, StockLocation.kind == "van")
    van_id = (await session.execute(vans.order_by(StockLocation.id).limit(1))).scalar_one_or_none()
    if van_id is None:
        person = await session.get_one(Person, person_id)
        van = StockLocation(unit_id=unit_id, kind="van", name=person.name, person_id=person_id)
        session.add(van)
        await session.flush()
        van_id = van.id
    return await move_stock(
        session, now=now, actor=actor, part_id=part_id, quantity=quantity, reason="built_in",
        from_location_id=van_id, serial=serial, happened_at=happened_at,
    )  # fmt: skip
