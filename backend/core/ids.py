"""Identifiers: UUIDv7, so that keys made on a phone and on the server sort by time and never collide."""

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a new UUIDv7."""
    return uuid7()


def id_made_at(now: datetime) -> UUID:
    """Return a new UUIDv7 that says it was made at this instant."""
    milliseconds = int(now.timestamp() * 1000)
    return UUID(int=(milliseconds << 80) | (uuid7().int & ((1 << 80) - 1)))


def made_at(made: UUID) -> datetime | None:
    """Return when an id was made, to the millisecond; None for one that does not say (only version 7 does)."""
    tells_time = made.version == 7  # noqa: PLR2004 - RFC 9562: those begin with the milliseconds since 1970
    return datetime.fromtimestamp((made.int >> 80) / 1000, UTC) if tells_time else None
