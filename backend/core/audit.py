"""The audit trail: who changed what, from where, and why; and where imported rows came from.

Nothing here is ever deleted.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Index, String
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.db import Row


class Actor(msgspec.Struct, frozen=True):
    """Who does something: a person, maybe through a device and its mutation, or an import; nobody: the system."""

    person_id: UUID | None = None
    device_id: UUID | None = None
    mutation_id: UUID | None = None
    import_batch_id: UUID | None = None


SYSTEM = Actor()


class AuditEntry(Row):
    """One change of one record, with the changed fields before and after."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index("ix_audit_entry_subject", "entity", "subject_id"),)

    at: Mapped[datetime]
    person_id: Mapped[UUID | None]
    device_id: Mapped[UUID | None]
    mutation_id: Mapped[UUID | None] = mapped_column(index=True)
    import_batch_id: Mapped[UUID | None] = mapped_column(index=True)
    """The import this was part of: undoing one reads back what it did."""
    action: Mapped[str] = mapped_column(String(60))
    entity: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    reason: Mapped[str | None]


class AccessEntry(Row):
    """One reading that must be traceable: an export, a drawing, a credential (A270, A271, A273)."""

    __tablename__ = "access_entry"

    at: Mapped[datetime]
    person_id: Mapped[UUID]
    device_id: Mapped[UUID | None]
    what: Mapped[str] = mapped_column(String(60))
    entity: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID | None]


class ImportBatch(Row):
    """One run of `paigong import`; rows carry its id, so that the run can be undone."""

    __tablename__ = "import_batch"

    started_at: Mapped[datetime]
    person_id: Mapped[UUID | None]
    source_name: Mapped[str] = mapped_column(String(255))
    source_sha256: Mapped[str] = mapped_column(String(64))
    mapping_name: Mapped[str] = mapped_column(String(255))
    created_count: Mapped[int]
    changed_count: Mapped[int]
    refused_count: Mapped[int]
    undone_at: Mapped[datetime | None]


def record(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    action: str,
    row: Row,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str | None = None,
) -> None:
    """Add an audit entry for `row` to this transaction; `before` and `after` hold only the fields that changed."""
    session.add(
        AuditEntry(
            at=now, person_id=actor.person_id, device_id=actor.device_id, mutation_id=actor.mutation_id,
            import_batch_id=actor.import_batch_id, action=action, entity=row.__tablename__, subject_id=row.id,
            before=before, after=after, reason=reason,
        )
    )  # fmt: skip
