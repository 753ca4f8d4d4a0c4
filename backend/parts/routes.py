"""Routes of parts and stock."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, requires
from backend.core.errors import FORBIDDEN, INVALID, NOT_FOUND, Finding, Problem
from backend.core.once import Once
from backend.core.paging import Page, PageRequest, fetch_page
from backend.parts import actions, queries
from backend.parts.models import Part, StockLocation
from backend.parts.schemas import (
    NewPart,
    NewStockLocation,
    NewStockMovement,
    PartView,
    StockLine,
    StockLocationView,
    StockMovementView,
)

TAGS: Final = ["parts"]


@get("/parts", guards=[requires("parts", "read")])
async def list_parts(read: NamedDependency[AsyncSession], page: NamedDependency[PageRequest]) -> Page[PartView]:
    """The catalogue of parts."""
    return await fetch_page(read, select(Part), Part.id, page, lambda part: _view(part, PartView))


@post("/parts", guards=[requires("parts", "write")])
async def add_part(
    *, data: JSONBody[NewPart], once: NamedDependency[Once], principal: NamedDependency[Principal],
    write: NamedDependency[AsyncSession], now: NamedDependency[datetime],
) -> Response[PartView]:  # fmt: skip
    """Add a part to the catalogue; for those who keep a unit's stock."""
    _must_keep_stock(principal)

    async def add() -> PartView:
        return _view(await actions.add_part(write, now=now, actor=principal.actor, new=data), PartView)

    return await once.create(write, now, add)


@get("/stock", guards=[requires("parts", "read")])
async def list_stock(
    *,
    principal: NamedDependency[Principal],
    read: NamedDependency[AsyncSession],
    person_id: FromQuery[UUID | None] = None,
) -> list[StockLine]:
    """What the places in one's reach hold; `person_id` asks for one van."""
    return await queries.stock_lines(read, principal, person_id)


@post("/stock/locations", guards=[requires("parts", "write")])
async def add_location(
    *, data: JSONBody[NewStockLocation], once: NamedDependency[Once], principal: NamedDependency[Principal],
    write: NamedDependency[AsyncSession], now: NamedDependency[datetime],
) -> Response[StockLocationView]:  # fmt: skip
    """Add a warehouse or a van in one of one's units."""
    units = principal.units("parts", "write")
    if data.unit_id not in units:
        raise Problem(NOT_FOUND)

    async def add() -> StockLocationView:
        place = await actions.add_location(write, now=now, actor=principal.actor, units=units, new=data)
        return _view(place, StockLocationView)

    return await once.create(write, now, add)


@post("/stock/movements", guards=[requires("parts", "write")])
async def move_stock(
    *, data: JSONBody[NewStockMovement], once: NamedDependency[Once], principal: NamedDependency[Principal],
    write: NamedDependency[AsyncSession], now: NamedDependency[datetime],
) -> Response[StockMovementView]:  # fmt: skip
    """Move parts between places in one's reach."""
    await _must_reach(write, principal, data)
    await _must_name_serial(write, data)

    async def move() -> StockMovementView:
        moved = await actions.move_stock(
            write, now=now, actor=principal.actor, part_id=data.part_id, quantity=data.quantity, reason=data.reason,
            from_location_id=data.from_location_id, to_location_id=data.to_location_id, serial=data.serial,
            happened_at=data.happened_at,
        )  # fmt: skip
        return _view(moved, StockMovementView)

    return await once.create(write, now, move)


def _must_keep_stock(principal: Principal) -> None:
    if not principal.units("parts", "write"):
        raise Problem(FORBIDDEN)


async def _must_name_serial(session: AsyncSession, move: NewStockMovement) -> None:
    part = await session.get(Part, move.part_id)
    if part is not None and part.serialised and move.serial is None:
        raise Problem(INVALID, Finding("serial", "此配件须登记序列号", "this part needs its serial number"))


async def _must_reach(session: AsyncSession, principal: Principal, move: NewStockMovement) -> None:
    named = {place_id for place_id in (move.from_location_id, move.to_location_id) if place_id is not None}
    reached = select(StockLocation.id).where(StockLocation.id.in_(named), queries.places_within(principal, "write"))
    if not named or set((await session.execute(reached)).scalars()) != named:
        raise Problem(NOT_FOUND)


def _view(row: object, kind: Any) -> Any:
    return msgspec.convert(row, kind, from_attributes=True)


router = Router("/", route_handlers=[list_parts, add_part, list_stock, add_location, move_stock], tags=TAGS)
