"""Tables of parts and stock. Stock is the sum of movements; below zero is flagged, for the van knows better."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import synced
from backend.core.db import Imported, Row


@synced("catalogue")
class Part(Row, Imported):
    """A part of the catalogue; its price in fen."""

    __tablename__ = "part"

    number: Mapped[str] = mapped_column(String(60), unique=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    measure: Mapped[str] = mapped_column(String(20))
    price_fen: Mapped[int]
    serialised: Mapped[bool]
    active: Mapped[bool]


class StockLocation(Row):
    """A warehouse or somebody's van."""

    __tablename__ = "stock_location"

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str]
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))


class StockMovement(Row):
    """Parts that moved: when it happened and when it was posted. One end may be outside (supplier, customer)."""

    __tablename__ = "stock_movement"
    __table_args__ = (CheckConstraint("quantity > 0", name="quantity"),)

    part_id: Mapped[UUID] = mapped_column(ForeignKey("part.id"), index=True)
    from_location_id: Mapped[UUID | None] = mapped_column(ForeignKey("stock_location.id"), index=True)
    to_location_id: Mapped[UUID | None] = mapped_column(ForeignKey("stock_location.id"), index=True)
    quantity: Mapped[int]
    serial: Mapped[str | None] = mapped_column(String(120))
    reason: Mapped[str] = mapped_column(String(30))
    happened_at: Mapped[datetime]
    posted_at: Mapped[datetime]
    went_negative: Mapped[bool]
    mutation_id: Mapped[UUID | None]


class StockReservation(Row):
    """Parts set aside for a subject."""

    __tablename__ = "stock_reservation"

    part_id: Mapped[UUID] = mapped_column(ForeignKey("part.id"), index=True)
    location_id: Mapped[UUID] = mapped_column(ForeignKey("stock_location.id"))
    quantity: Mapped[int]
    subject_id: Mapped[UUID] = mapped_column(index=True)
    reserved_at: Mapped[datetime]
    released_at: Mapped[datetime | None]


class StockCount(Row):
    """A count of one part at one place; movements that happened after `cut_off_at` are not in it."""

    __tablename__ = "stock_count"

    part_id: Mapped[UUID] = mapped_column(ForeignKey("part.id"))
    location_id: Mapped[UUID] = mapped_column(ForeignKey("stock_location.id"))
    counted: Mapped[int]
    cut_off_at: Mapped[datetime]
    counted_by_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
