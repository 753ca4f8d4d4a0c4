"""Reads of parts and stock. What a place holds is the sum of its movements."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Subquery, case, false, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal
from backend.parts.models import Part, StockLocation, StockMovement, StockReservation
from backend.parts.schemas import StockLine
from backend.people.schemas import Duty

LINES_MAXIMUM: Final = 2000


class SetAside(NamedTuple):
    """So many pieces of a part reserved for a subject, in vans or elsewhere."""

    subject_id: UUID
    part_id: UUID
    in_van: bool
    quantity: int


async def stock_of(session: AsyncSession, location_id: UUID, part_id: UUID) -> int:
    """How much of a part a place holds now."""
    change = case((StockMovement.to_location_id == location_id, StockMovement.quantity), else_=-StockMovement.quantity)
    touching = or_(StockMovement.to_location_id == location_id, StockMovement.from_location_id == location_id)
    total = select(func.coalesce(func.sum(change), 0)).where(touching, StockMovement.part_id == part_id)
    return int((await session.execute(total)).scalar_one())


def places_within(principal: Principal, level: str) -> ColumnElement[bool]:
    """The condition on StockLocation that says whose stock somebody may use: their own van, their units' places."""
    own = StockLocation.person_id == principal.person_id if principal.may("parts", level) else false()
    return or_(own, StockLocation.unit_id.in_(principal.units("parts", level)))


async def stock_lines(session: AsyncSession, principal: Principal, person_id: UUID | None) -> list[StockLine]:
    """What the places in the principal's reach hold, or only one person's van."""
    moved = _moved()
    held = func.sum(moved.c.quantity).label("held")
    lines = (
        select(StockLocation, Part.id, Part.number, held)
        .join(moved, moved.c.location_id == StockLocation.id)
        .join(Part, Part.id == moved.c.part_id)
        .where(places_within(principal, "read"))
        .group_by(StockLocation.id, Part.id)
        .having(held != 0)
        .order_by(StockLocation.name, Part.number)
        .limit(LINES_MAXIMUM)
    )
    if person_id is not None:
        lines = lines.where(StockLocation.person_id == person_id)
    return [
        StockLine(
            location_id=place.id, location_name=place.name, person_id=place.person_id, part_id=part_id,
            part_number=number, quantity=int(quantity),
        )
        for place, part_id, number, quantity in (await session.execute(lines)).all()
    ]  # fmt: skip


async def vans_held(session: AsyncSession, person_id: UUID, _now: datetime) -> list[Duty]:
    """Return somebody's vans that are not empty on the books (for people.queries.DUTIES)."""
    moved = _moved()
    stocked = select(moved.c.location_id).group_by(moved.c.location_id, moved.c.part_id)
    vans = (
        select(StockLocation.id, StockLocation.name)
        .where(StockLocation.person_id == person_id)
        .where(StockLocation.id.in_(stocked.having(func.sum(moved.c.quantity) != 0)))
        .order_by(StockLocation.id)
    )
    return [Duty(kind="van", id=row.id, label=row.name) for row in (await session.execute(vans)).all()]


async def vans_hold(
    session: AsyncSession, people: Collection[UUID], parts: Collection[UUID]
) -> list[tuple[UUID, UUID, int]]:
    """Return (person, part, quantity) for each of the parts somebody's vans hold by the books."""
    moved = _moved()
    held = func.sum(moved.c.quantity)
    lines = (
        select(StockLocation.person_id, moved.c.part_id, held)
        .join(moved, moved.c.location_id == StockLocation.id)
        .where(StockLocation.person_id.in_(people), StockLocation.kind == "van", moved.c.part_id.in_(parts))
        .group_by(StockLocation.person_id, moved.c.part_id)
        .having(held > 0)
        .order_by(StockLocation.person_id, moved.c.part_id)
    )
    found = await session.execute(lines)
    return [(person, part, int(quantity)) for person, part, quantity in found if person is not None]


async def set_aside(session: AsyncSession, subjects: Collection[UUID]) -> list[SetAside]:
    """Return the parts that are reserved for each of the subjects, and whether they lie in a van."""
    in_van = StockLocation.kind == "van"
    lines = (
        select(
            StockReservation.subject_id, StockReservation.part_id, in_van.label("in_van"),
            func.sum(StockReservation.quantity).label("quantity"),
        )
        .join(StockLocation, StockLocation.id == StockReservation.location_id)
        .where(StockReservation.subject_id.in_(subjects), StockReservation.released_at.is_(None))
        .group_by(StockReservation.subject_id, StockReservation.part_id, in_van)
        .order_by(StockReservation.subject_id, StockReservation.part_id, in_van)
    )  # fmt: skip
    return [
        SetAside(row.subject_id, row.part_id, bool(row.in_van), int(row.quantity))
        for row in await session.execute(lines)
    ]


def _moved() -> Subquery:
    """Every end of every movement as (location_id, part_id, quantity), what left counting below zero."""
    arrived = select(
        StockMovement.to_location_id.label("location_id"), StockMovement.part_id, StockMovement.quantity
    ).where(StockMovement.to_location_id.is_not(None))
    left = select(
        StockMovement.from_location_id.label("location_id"), StockMovement.part_id, literal(0) - StockMovement.quantity
    ).where(StockMovement.from_location_id.is_not(None))
    return arrived.union_all(left).subquery()
