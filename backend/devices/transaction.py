"""One writing transaction of sync in SQL: ledger, rows, grants, conflicts and views (see sync/store.py).

Everything is done in sets: a push of 200 mutations costs about as many statements as a push of one.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import Table, and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor
from backend.core.db import upsert
from backend.core.ids import new_id
from backend.devices.conflict_rows import SqlConflicts
from backend.devices.models import (
    DeviceGrant,
    DeviceIncarnation,
    DeviceView,
    LedgerEntry,
    QuarantinedMutation,
)
from backend.devices.registry import SqlRegistry
from backend.devices.row_rules import SqlRules
from backend.devices.row_writes import write_rows
from backend.devices.rows import known_rows
from backend.devices.scope import scope_of
from backend.devices.transience import telling_transient
from backend.people.models import Device
from sync.feed import Scope, View
from sync.protocol import Status, is_uuid
from sync.store import Grant, LedgerState, Row, RowKey, RowWrite
from sync.store import LedgerEntry as Entry


class SqlTransaction(SqlRegistry, SqlRules, SqlConflicts):
    """One transaction. `session`, `actor` and `now` are open to the handlers of business commands."""

    def __init__(self, session: AsyncSession, actor: Actor, now: datetime) -> None:
        super().__init__(session)
        self.actor = actor
        self.now = now
        self.known_kinds = set()

    async def ledger_state(self, device: str, incarnation: str) -> LedgerState | None:
        """See sync.store.Transaction; the device's row is the lock, and only then is anything else read."""
        locked = select(Device.person_id, Device.revoked_at, Device.enrolled_at).where(Device.id == UUID(device))
        known = (await self.session.execute(locked.with_for_update(key_share=True))).one_or_none()
        if known is None:
            return None
        served = select(DeviceView.v, DeviceView.served_at).where(DeviceView.device_id == UUID(device))
        return LedgerState(
            person=str(known.person_id), revoked=known.revoked_at is not None,
            acked_n=await self._acked_n(device, incarnation),
            served=tuple((row.v, row.served_at) for row in await self.session.execute(served)),
            enrolled_at=known.enrolled_at,
        )  # fmt: skip

    async def _acked_n(self, device: str, incarnation: str) -> int | None:
        if not is_uuid(incarnation):
            return None
        asked = select(DeviceIncarnation.acked_n).where(
            DeviceIncarnation.device_id == UUID(device), DeviceIncarnation.incarnation == UUID(incarnation)
        )
        return (await self.session.execute(asked)).scalar_one_or_none()

    async def ledger(self, device: str, incarnation: str, ns: range, ids: Collection[str]) -> Sequence[Entry]:
        """See sync.store.Transaction."""
        numbered = and_(
            LedgerEntry.device_id == UUID(device), LedgerEntry.incarnation == UUID(incarnation),
            LedgerEntry.n >= ns.start, LedgerEntry.n < ns.stop,
        )  # fmt: skip
        named = LedgerEntry.mutation_id.in_([UUID(mutation_id) for mutation_id in ids])
        found = select(*_LEDGER.columns).where(or_(numbered, named))
        return [_entry(row) for row in await self.session.execute(found)]

    async def record(self, entries: Sequence[Entry]) -> None:
        """See sync.store.Transaction."""
        await self.session.execute(insert(_LEDGER), [_ledger_row(entry) for entry in entries])
        waiting = (entry for entry in entries if entry.status is Status.QUARANTINED and entry.repeats is None)
        aside = [_quarantined(entry) for entry in waiting]
        if aside:
            await self.session.execute(insert(_QUARANTINE), aside)
        acked: dict[tuple[str, str], int] = {}
        for entry in entries:
            numbering = (entry.device, entry.incarnation)
            acked[numbering] = max(entry.n, acked.get(numbering, 0))
        for (device, incarnation), n in acked.items():
            numbering = and_(
                DeviceIncarnation.device_id == UUID(device), DeviceIncarnation.incarnation == UUID(incarnation)
            )
            await self.session.execute(update(DeviceIncarnation).where(numbering).values(acked_n=n))

    async def scope(self, person: str, now: datetime) -> Scope:
        """See sync.store.Transaction."""
        return await self.session.run_sync(scope_of, person, now)

    async def grants(self, device: str, buckets: Collection[str]) -> Mapping[str, Grant]:
        """See sync.store.Transaction."""
        held = select(DeviceGrant.bucket, DeviceGrant.granted_at, DeviceGrant.ended_at).where(
            DeviceGrant.device_id == UUID(device), DeviceGrant.bucket.in_(buckets)
        )
        found = await self.session.execute(held)
        return {grant.bucket: Grant(since=grant.granted_at, until=grant.ended_at) for grant in found}

    async def grant(self, device: str, buckets: Collection[str], now: datetime) -> None:
        """See sync.store.Transaction."""
        known = await self.grants(device, buckets)
        fresh = [name for name in sorted(buckets) if name not in known or known[name].until is not None]
        rows = [{"device_id": UUID(device), "bucket": name, "granted_at": now, "ended_at": None} for name in fresh]
        if rows:
            await self.session.run_sync(upsert, DeviceGrant.__table__, rows)

    async def rows(self, keys: Collection[RowKey]) -> Mapping[RowKey, Row]:
        """See sync.store.Transaction."""
        await self.session.flush()
        return await self.session.run_sync(known_rows, keys)

    async def write(self, writes: Sequence[RowWrite]) -> Sequence[str]:
        """See sync.store.Transaction."""
        await self.session.flush()
        return await self.session.run_sync(write_rows, writes, self.actor, self.now)

    async def save_view(
        self, device: str, *, revision: int, view: View, keep: Collection[str], complete: bool, now: datetime
    ) -> bool:
        """See sync.store.Transaction."""
        device_id = UUID(device)
        counted = (
            update(Device)
            .where(Device.id == device_id, Device.view_revision == revision)
            .values(view_revision=revision + 1, last_seen_at=now)
            .returning(Device.id)
        )
        if (await self.session.execute(counted)).first() is None:
            return False
        kept = [UUID(generation) for generation in keep]
        stale = delete(DeviceView).where(DeviceView.device_id == device_id, DeviceView.generation.not_in(kept))
        await self.session.execute(stale)
        stored = {
            "device_id": device_id, "generation": UUID(view.generation), "v": view.v, "buckets": dict(view.buckets),
            "valid_until": view.valid_until, "served_at": view.served_at,
        }  # fmt: skip
        await self.session.run_sync(upsert, DeviceView.__table__, [stored])
        await self.grant(device, view.buckets, now)
        if complete:
            await self._end_grants(device_id, view.buckets, now)
        return True

    async def _end_grants(self, device_id: UUID, held: Collection[str], now: datetime) -> None:
        left = DeviceGrant.bucket.not_in(list(held))
        ended = update(DeviceGrant).where(DeviceGrant.device_id == device_id, DeviceGrant.ended_at.is_(None), left)
        await self.session.execute(ended.values(ended_at=now))

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """See sync.store.Transaction; a database that cannot do it now is told from work that is bad."""
        async with telling_transient(), self.session.begin_nested():
            yield
            await self.session.flush()


_LEDGER: Final = cast("Table", LedgerEntry.__table__)
_QUARANTINE: Final = cast("Table", QuarantinedMutation.__table__)


def _entry(row: Any) -> Entry:
    return Entry(
        device=str(row.device_id), person=str(row.person_id), incarnation=str(row.incarnation), n=row.n,
        mutation_id=_text(row.mutation_id), repeats=_text(row.repeats_id), name=row.name,
        payload_sum=row.payload_sum, payload=row.payload, status=Status(row.status), code=row.code,
        result=row.result, received_at=row.received_at, fault=row.fault,
    )  # fmt: skip


def _ledger_row(entry: Entry) -> dict[str, Any]:
    return {
        "device_id": UUID(entry.device), "person_id": UUID(entry.person), "incarnation": UUID(entry.incarnation),
        "n": entry.n, "mutation_id": _uuid(entry.mutation_id), "repeats_id": _uuid(entry.repeats), "name": entry.name,
        "payload": entry.payload, "payload_sum": entry.payload_sum, "status": entry.status.value, "code": entry.code,
        "result": entry.result, "fault": entry.fault.replace("\0", "?"), "received_at": entry.received_at,
    }  # fmt: skip


def _quarantined(entry: Entry) -> dict[str, Any]:
    return {
        "id": new_id(), "device_id": UUID(entry.device), "incarnation": UUID(entry.incarnation), "n": entry.n,
        "person_id": UUID(entry.person), "name": entry.name, "code": entry.code, "received_at": entry.received_at,
    }  # fmt: skip


def _uuid(text: str | None) -> UUID | None:
    return UUID(text) if text else None


def _text(value: UUID | None) -> str | None:
    return str(value) if value else None
