"""Tables of sync: the view each phone was sent, what it was granted, its mutation ledger, conflicts and quarantine."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import BUCKET_LENGTH, synced
from backend.core.db import Base, Row


class DeviceView(Base):
    """What a phone was last sent: its buckets, at which `v`. The newest two generations of a phone are kept."""

    __tablename__ = "device_view"

    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"), primary_key=True)
    generation: Mapped[UUID] = mapped_column(primary_key=True)
    v: Mapped[int] = mapped_column(BigInteger)
    buckets: Mapped[dict[str, Any]]
    valid_until: Mapped[datetime | None]
    stored_at: Mapped[datetime]


class DeviceGrant(Row):
    """A bucket a phone was allowed to edit, from when until when; pushes are checked against it.

    Never against a claim.
    """

    __tablename__ = "device_grant"
    __table_args__ = (Index("ix_device_grant_device", "device_id", "bucket"),)

    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"))
    bucket: Mapped[str] = mapped_column(String(BUCKET_LENGTH))
    granted_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class LedgerEntry(Base):
    """One mutation a phone pushed, with the answer it got, byte for byte. Ends in exactly one state."""

    __tablename__ = "ledger_entry"

    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"), primary_key=True)
    incarnation: Mapped[UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(Integer, primary_key=True)
    mutation_id: Mapped[UUID] = mapped_column(index=True)
    name: Mapped[str] = mapped_column(String(60))
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    payload_sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(12))
    result: Mapped[bytes] = mapped_column(LargeBinary)
    received_at: Mapped[datetime]


@synced("{bucket}")
class FieldConflict(Row):
    """Two people changed one field (or field group) differently; the server's value stands until a person decides."""

    __tablename__ = "field_conflict"
    __table_args__ = (Index("ix_field_conflict_row", "entity", "subject_id", "decided_at"),)

    bucket: Mapped[str | None] = mapped_column(String(BUCKET_LENGTH))
    entity: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID]
    field: Mapped[str] = mapped_column(String(40))
    base: Mapped[dict[str, Any]]
    mine: Mapped[dict[str, Any]]
    theirs: Mapped[dict[str, Any]]
    mutation_id: Mapped[UUID]
    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    edited_at: Mapped[datetime]
    opened_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    decision: Mapped[str | None] = mapped_column(String(10))


class QuarantinedMutation(Row):
    """A mutation kept, inert, until a dispatcher accepts or dismisses it."""

    __tablename__ = "quarantined_mutation"
    __table_args__ = (UniqueConstraint("mutation_id"),)

    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"))
    mutation_id: Mapped[UUID]
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    code: Mapped[str] = mapped_column(String(60))
    received_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    settled_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    settlement: Mapped[str | None] = mapped_column(String(20))
