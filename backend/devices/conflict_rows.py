"""Conflicts in SQL: the part of a transaction that keeps what people changed differently, and audits decisions."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import Select, Table, bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor, AuditEntry
from backend.core.bulk import among
from backend.core.db import upsert
from backend.core.ids import new_id
from backend.devices.models import FieldConflict
from backend.devices.rows import REMOVED
from sync.store import Conflict, Decision, Fields, RowKey


class SqlConflicts:
    """The part of a transaction that keeps conflicts."""

    session: AsyncSession
    actor: Actor
    now: datetime

    async def conflicts(self, device: str, keys: Collection[RowKey]) -> Sequence[Conflict]:
        """See sync.store.Conflicts; locked, so that nobody decides one that an edit is just joining."""
        rows = {key.row for key in keys}
        found = (await self.session.execute(_OPEN, {"device": UUID(device), "rows": rows})).all()
        return [conflict for conflict in map(conflict_of, found) if conflict.key in keys]

    async def conflict(self, conflict_id: str) -> Conflict | None:
        """See sync.store.Conflicts."""
        wanted = select(*_CONFLICT.columns).where(FieldConflict.id == UUID(conflict_id))
        row = (await self.session.execute(_locked(wanted))).one_or_none()
        return None if row is None else conflict_of(row)

    async def save_conflicts(self, conflicts: Sequence[Conflict]) -> None:
        """See sync.store.Conflicts."""
        await self.session.run_sync(upsert, _CONFLICT, [_row(conflict) for conflict in conflicts])
        decided = [self._audit_row(one, one.decision) for one in conflicts if one.decision is not None]
        if decided:
            await self.session.execute(insert(AuditEntry), decided)

    async def former(self, key: RowKey) -> Fields:
        """See sync.store.Conflicts: what the audit trail says of its removal."""
        entries = (
            select(AuditEntry.before)
            .where(AuditEntry.entity == key.entity, AuditEntry.subject_id == UUID(key.row))
            .where(AuditEntry.action == f"{key.entity}.{REMOVED}")
            .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
            .limit(1)
        )
        return (await self.session.execute(entries)).scalar_one_or_none() or {}

    def _audit_row(self, conflict: Conflict, decision: Decision) -> dict[str, Any]:
        return {
            "id": new_id(), "at": self.now, "person_id": UUID(decision.person), "device_id": self.actor.device_id,
            "mutation_id": UUID(decision.mutation_id) if decision.mutation_id else None,
            "action": f"{FieldConflict.__tablename__}.decided", "entity": FieldConflict.__tablename__,
            "subject_id": UUID(conflict.id), "before": {"decision": None}, "after": {"decision": decision.take},
        }  # fmt: skip


def conflict_of(row: Any) -> Conflict:
    """Return a stored conflict as sync knows it."""
    decision = None
    if row.decided_at is not None:
        decision = Decision(take=row.decision, person=str(row.decided_by_id), at=row.decided_at)
    return Conflict(
        id=str(row.id), key=RowKey(row.entity, str(row.subject_id)), bucket=row.bucket or "", group=row.field,
        base=row.base, mine=row.mine, theirs=row.theirs, mutation_id=str(row.mutation_id), device=str(row.device_id),
        person=str(row.person_id), edited_at=row.edited_at, opened_at=row.opened_at, decision=decision,
    )  # fmt: skip


def _locked(wanted: Select[Any]) -> Select[Any]:
    return wanted.with_for_update(key_share=True)


def _row(conflict: Conflict) -> dict[str, Any]:
    decision = conflict.decision
    return {
        "id": UUID(conflict.id), "bucket": conflict.bucket, "entity": conflict.key.entity,
        "subject_id": UUID(conflict.key.row), "field": conflict.group, "base": dict(conflict.base),
        "mine": dict(conflict.mine), "theirs": dict(conflict.theirs), "mutation_id": UUID(conflict.mutation_id),
        "device_id": UUID(conflict.device), "person_id": UUID(conflict.person), "edited_at": conflict.edited_at,
        "opened_at": conflict.opened_at, "decided_at": decision and decision.at,
        "decided_by_id": UUID(decision.person) if decision else None, "decision": decision and decision.take,
    }  # fmt: skip


_CONFLICT: Final = cast("Table", FieldConflict.__table__)
_OPEN: Final = _locked(
    select(*_CONFLICT.columns)
    .where(_CONFLICT.c.device_id == bindparam("device"), _CONFLICT.c.decided_at.is_(None))
    .where(among(_CONFLICT.c.subject_id, "rows"))
    .order_by(_CONFLICT.c.id)
)
