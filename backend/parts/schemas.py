"""Wire structs of parts and stock. Money in fen, stock in the part's own measure."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

QUANTITY_MAXIMUM = 1_000_000
PRICE_MAXIMUM = 100_000_000
"""The dearest part, a million yuan, in fen."""

SAYS_SOMETHING = r"^[^\x00]*[^\s\x00][^\x00]*$"
"""Not blank, and without NUL, which PostgreSQL does not keep."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=SAYS_SOMETHING)]
Number = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=SAYS_SOMETHING)]
Serial = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=SAYS_SOMETHING)]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=QUANTITY_MAXIMUM)]


class NewPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part for the catalogue."""

    number: Number
    name_zh: Name
    name_en: Name
    measure: Annotated[str, msgspec.Meta(min_length=1, max_length=20, pattern=SAYS_SOMETHING)] = "piece"
    price_fen: Annotated[int, msgspec.Meta(ge=0, le=PRICE_MAXIMUM)] = 0
    serialised: bool = False


class PartView(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the catalogue."""

    id: UUID
    number: str
    name_zh: str
    name_en: str
    measure: str
    price_fen: int
    serialised: bool
    active: bool


class NewStockMovement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parts that move between places; one end left out is outside (a supplier, a customer)."""

    part_id: UUID
    quantity: Quantity
    reason: Literal["receipt", "issue", "return", "transfer", "correction", "scrap"]
    from_location_id: UUID | None = None
    to_location_id: UUID | None = None
    serial: Serial | None = None
    happened_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class StockMovementView(msgspec.Struct, frozen=True, kw_only=True):
    """A movement; `went_negative` when the place it left then held less than nothing."""

    id: UUID
    part_id: UUID
    from_location_id: UUID | None
    to_location_id: UUID | None
    quantity: int
    serial: str | None
    reason: str
    happened_at: datetime
    posted_at: datetime
    went_negative: bool


class NewStockLocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A warehouse, or somebody's van."""

    unit_id: UUID
    kind: Literal["warehouse", "van"]
    name: Name
    person_id: UUID | None = None


class StockLocationView(msgspec.Struct, frozen=True, kw_only=True):
    """A place parts lie at."""

    id: UUID
    unit_id: UUID
    kind: str
    name: str
    person_id: UUID | None


class StockLine(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a part a place holds: the sum of its movements, below zero where somebody forgot to book."""

    location_id: UUID
    location_name: str
    person_id: UUID | None
    part_id: UUID
    part_number: str
    quantity: int
