"""Identifiers: UUIDv7, so that keys made on a phone and on the server sort by time and never collide."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a new UUIDv7."""
    return uuid7()
