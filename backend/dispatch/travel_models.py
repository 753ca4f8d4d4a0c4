"""Tables of travel: what was learnt from finished trips, and legs a road network or server has answered."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.db import Row


class TravelModel(Row):
    """What one night's learning found about a provider's travel times, and whether planning uses it.

    Errors are mean absolute errors as shares of what trips took: before anything is learnt, and after, each on trips
    that were not learnt from.
    """

    __tablename__ = "travel_model"

    provider: Mapped[str] = mapped_column(index=True)
    learnt_at: Mapped[datetime]
    trips: Mapped[int]
    left_out: Mapped[int]
    """Trips unlike the others, such as with a stop for lunch."""
    scale: Mapped[float]
    overhead_seconds: Mapped[int]
    error_before: Mapped[float | None]
    error_after: Mapped[float | None]
    in_use: Mapped[bool]
    """Only what errs less than before is used; until the next night finds better, the last one that did."""


class TravelFactor(Row):
    """One factor of a model with the trips behind it: of a pair of zones (on time), or of an hour (on speed)."""

    __tablename__ = "travel_factor"

    travel_model_id: Mapped[UUID] = mapped_column(ForeignKey("travel_model.id", ondelete="CASCADE"), index=True)
    origin: Mapped[str | None] = mapped_column(String(60))
    destination: Mapped[str | None] = mapped_column(String(60))
    day_type: Mapped[str | None] = mapped_column(String(10))
    """workday or weekend."""
    hour: Mapped[int | None]
    """The hour on the wall at the sites, 0 to 23."""
    factor: Mapped[float]
    trips: Mapped[int]


class TravelBlock(Row):
    """Legs between two groups of places under one version of a provider: seconds and metres, row by row.

    Places are in the groups by their position, rounded to about a metre, so a site that moves is another place.
    """

    __tablename__ = "travel_block"
    __table_args__ = (UniqueConstraint("version", "origin_bucket", "destination_bucket"),)

    version: Mapped[str]
    origin_bucket: Mapped[int]
    destination_bucket: Mapped[int]
    origins: Mapped[bytes] = mapped_column(LargeBinary)
    destinations: Mapped[bytes] = mapped_column(LargeBinary)
    legs: Mapped[bytes] = mapped_column(LargeBinary)
    stored_at: Mapped[datetime]
