"""Tables of sync: what each phone was sent and granted, its ledger of mutations, conflicts and quarantine."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import BUCKET_LENGTH, synced
from backend.core.db import Base, Row


class DeviceIncarnation(Base):
    """One numbering of a phone's mutations. Its prefix begins every number printed meanwhile, and no other has it."""

    __tablename__ = "device_incarnation"

    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"), primary_key=True)
    incarnation: Mapped[UUID] = mapped_column(primary_key=True)
    prefix: Mapped[str] = mapped_column(String(8), unique=True)
    begun_at: Mapped[datetime]
    acked_n: Mapped[int]
    """The last mutation that has its result."""
    durable_n: Mapped[int | None]
    """The last mutation that a verified backup holds; None: no backup holds any of this numbering."""


class ClockMark(Base):
    """When the commit clock stood at a `v`, noted daily. The oldest is the floor: no deletion before it is kept."""

    __tablename__ = "clock_mark"

    v: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime]


class DeviceView(Base):
    """What a phone was sent, or is being sent: its buckets, each from which `v` on. A few generations are kept."""

    __tablename__ = "device_view"

    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"), primary_key=True)
    generation: Mapped[UUID] = mapped_column(primary_key=True)
    v: Mapped[int] = mapped_column(BigInteger)
    buckets: Mapped[dict[str, Any]]
    valid_until: Mapped[datetime | None]
    served_at: Mapped[datetime]


class DeviceGrant(Base):
    """A bucket a phone was allowed to edit, and when; pushes are checked against it, never against a claim."""

    __tablename__ = "device_grant"

    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"), primary_key=True)
    bucket: Mapped[str] = mapped_column(String(BUCKET_LENGTH), primary_key=True)
    granted_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class LedgerEntry(Base):
    """One number of a phone's ledger: what was pushed under it and the answer, byte for byte.

    An entry that repeats a mutation known under another number has no `mutation_id` and names it in `repeats_id`.
    `fault` is for the operator and never sent.
    """

    __tablename__ = "ledger_entry"

    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"), primary_key=True)
    incarnation: Mapped[UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(Integer, primary_key=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    mutation_id: Mapped[UUID | None] = mapped_column(unique=True)
    repeats_id: Mapped[UUID | None]
    name: Mapped[str] = mapped_column(String(60))
    payload: Mapped[bytes] = mapped_column(LargeBinary)
    payload_sum: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(12), index=True)
    code: Mapped[str] = mapped_column(String(60))
    result: Mapped[bytes] = mapped_column(LargeBinary)
    fault: Mapped[str]
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
    """The field or group of fields; `*` for a whole row (edit against delete)."""
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
    """A mutation kept, inert, until a dispatcher accepts or dismisses it; its payload is in the ledger."""

    __tablename__ = "quarantined_mutation"
    __table_args__ = (UniqueConstraint("device_id", "incarnation", "n"),)

    device_id: Mapped[UUID] = mapped_column(ForeignKey("device.id"))
    incarnation: Mapped[UUID]
    n: Mapped[int]
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    name: Mapped[str] = mapped_column(String(60))
    code: Mapped[str] = mapped_column(String(60))
    received_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    settled_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    settlement: Mapped[str | None] = mapped_column(String(20))
    """`accepted` or `dismissed`."""
    result: Mapped[bytes | None] = mapped_column(LargeBinary)
    """How it ended when it was last accepted, as a phone would be told; while unsettled: why it still waits."""
    reason: Mapped[str | None]
