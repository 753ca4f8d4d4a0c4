"""One writing transaction of sync in SQL: ledger, rows, grants, conflicts and views (see sync/store.py).

Everything is done in sets: a push of 200 mutations costs about as many statements as a push of one.
"""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import Table, and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor
from backend.core.bulk import among, insert_many
from backend.core.changes import commit_clock
from backend.core.db import upsert
from backend.core.ids import made_at, new_id
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
from backend.devices.rows import known_rows, live_rows
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
        self._read: dict[RowKey, Mapping[str, Any]] = {}
        """Rows as they were last read and locked here; forgotten when any are written."""

    async def ledger_state(self, device: str, incarnation: str) -> LedgerState | None:
        """See sync.store.Transaction; the device's row is the lock, and only then is anything else read."""
        locked = select(Device.person_id, Device.revoked_at, Device.enrolled_at, _EPOCH).where(
            Device.id == UUID(device)
        )
        known = (await self.session.execute(locked.with_for_update(key_share=True))).one_or_none()
        if known is None:
            return None
        served = select(DeviceView.v, DeviceView.served_at).where(DeviceView.device_id == UUID(device))
        return LedgerState(
            person=str(known.person_id), revoked=known.revoked_at is not None,
            acked_n=await self._acked_n(device, incarnation),
            served=tuple((row.v, row.served_at) for row in (await self.session.execute(served)).all()),
            enrolled_at=known.enrolled_at, restored=_restored(known.epoch, known.enrolled_at),
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
        asked = {
            "device": UUID(device), "incarnation": UUID(incarnation), "first": ns.start, "beyond": ns.stop,
            "ids": list(ids),
        }  # fmt: skip
        return [_entry(row) for row in (await self.session.execute(_KNOWN, asked)).all()]

    async def record(self, entries: Sequence[Entry]) -> None:
        """See sync.store.Transaction."""
        await self.session.run_sync(insert_many, _LEDGER, _LEDGER_NAMES, [_ledger_row(entry) for entry in entries])
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
        fresh = [name for name in buckets if name not in known or known[name].until is not None]
        await self._begin_grants(UUID(device), fresh, now)

    async def rows(self, keys: Collection[RowKey]) -> Mapping[RowKey, Row]:
        """See sync.store.Transaction."""
        await self.session.flush()
        live = await self.session.run_sync(live_rows, keys)
        self._read |= live
        return await self.session.run_sync(known_rows, keys, live)

    async def write(self, writes: Sequence[RowWrite]) -> Sequence[str]:
        """See sync.store.Transaction."""
        await self.session.flush()
        read, self._read = self._read, {}
        return await self.session.run_sync(write_rows, writes, read, self.actor, self.now)

    async def save_view(
        self, device: str, *, revision: int, view: View, keep: Collection[str], complete: bool, now: datetime
    ) -> bool:
        """See sync.store.Transaction."""
        device_id = UUID(device)
        counted = {"device": device_id, "revision": revision, "following": revision + 1, "now": now}
        if (await self.session.execute(_COUNTED, counted)).first() is None:
            return False
        kept = [UUID(generation) for generation in keep]
        await self.session.execute(_STALE, {"device": device_id, "kept": kept})
        stored = {
            "device_id": device_id, "generation": UUID(view.generation), "v": view.v, "buckets": dict(view.buckets),
            "valid_until": view.valid_until, "served_at": view.served_at,
        }  # fmt: skip
        await self.session.run_sync(upsert, _VIEW, [stored])
        granted = set(await self.session.scalars(_GRANTED, {"device": device_id}))
        await self._begin_grants(device_id, view.buckets.keys() - granted, now)
        left = granted.difference(view.buckets) if complete else ()
        if left:
            await self.session.execute(_LEFT, {"device": device_id, "left": sorted(left), "now": now})
        return True

    async def _begin_grants(self, device_id: UUID, buckets: Collection[str], now: datetime) -> None:
        rows = [
            {"device_id": device_id, "bucket": name, "granted_at": now, "ended_at": None} for name in sorted(buckets)
        ]
        if rows:
            await self.session.run_sync(upsert, _GRANT, rows)

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """See sync.store.Transaction; a database that cannot do it now is told from work that is bad."""
        async with telling_transient(), self.session.begin_nested():
            yield
            await self.session.flush()


_LEDGER: Final = cast("Table", LedgerEntry.__table__)
_QUARANTINE: Final = cast("Table", QuarantinedMutation.__table__)
_DEVICE: Final = cast("Table", Device.__table__)
_VIEW: Final = cast("Table", DeviceView.__table__)
_GRANT: Final = cast("Table", DeviceGrant.__table__)
_EPOCH: Final = select(commit_clock.c.epoch).scalar_subquery().label("epoch")

_KNOWN: Final = select(*_LEDGER.columns).where(
    or_(
        and_(
            _LEDGER.c.device_id == bindparam("device"), _LEDGER.c.incarnation == bindparam("incarnation"),
            _LEDGER.c.n >= bindparam("first"), _LEDGER.c.n < bindparam("beyond"),
        ),
        among(_LEDGER.c.mutation_id, "ids"),
    )
)  # fmt: skip

# Built once: they are asked at every pull.
_COUNTED: Final = (
    update(_DEVICE)
    .where(_DEVICE.c.id == bindparam("device"), _DEVICE.c.view_revision == bindparam("revision"))
    .values(view_revision=bindparam("following"), last_seen_at=bindparam("now"))
    .returning(_DEVICE.c.id)
)
_STALE: Final = delete(_VIEW).where(
    _VIEW.c.device_id == bindparam("device"), _VIEW.c.generation.not_in(bindparam("kept", expanding=True))
)
_OPEN: Final = and_(_GRANT.c.device_id == bindparam("device"), _GRANT.c.ended_at.is_(None))
_GRANTED: Final = select(_GRANT.c.bucket).where(_OPEN)
_LEFT: Final = (
    update(_GRANT)
    .where(_OPEN, _GRANT.c.bucket.in_(bindparam("left", expanding=True)))
    .values(ended_at=bindparam("now"))
)


def _restored(epoch: UUID, enrolled_at: datetime) -> bool:
    """Whether the server was put back since; the epoch of one that never was does not tell a time."""
    begun_at = made_at(epoch)
    return begun_at is not None and enrolled_at <= begun_at


def _entry(row: Any) -> Entry:
    return Entry(
        device=str(row.device_id), person=str(row.person_id), incarnation=str(row.incarnation), n=row.n,
        mutation_id=_text(row.mutation_id), repeats=_text(row.repeats_id), name=row.name,
        payload_sum=row.payload_sum, payload=row.payload, status=Status(row.status), code=row.code,
        result=row.result, received_at=row.received_at, fault=row.fault,
    )  # fmt: skip


_LEDGER_NAMES: Final = (
    "device_id", "person_id", "incarnation", "n", "mutation_id", "repeats_id", "name", "payload", "payload_sum",
    "status", "code", "result", "fault", "received_at",
)  # fmt: skip


def _ledger_row(entry: Entry) -> tuple[Any, ...]:
    return (
        entry.device, entry.person, entry.incarnation, entry.n, entry.mutation_id, entry.repeats, entry.name,
        entry.payload, entry.payload_sum, entry.status.value, entry.code, entry.result,
        entry.fault.replace("\0", "?"), entry.received_at,
    )  # fmt: skip


def _quarantined(entry: Entry) -> dict[str, Any]:
    return {
        "id": new_id(), "device_id": UUID(entry.device), "incarnation": UUID(entry.incarnation), "n": entry.n,
        "person_id": UUID(entry.person), "name": entry.name, "code": entry.code, "received_at": entry.received_at,
    }  # fmt: skip


def _text(value: UUID | None) -> str | None:
    return str(value) if value else None
