"""The store in memory: the smallest thing that keeps every promise of `sync.store`, and the oracle for the others."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

import msgspec

from sync.feed import CHECKSUM_MODULUS, Entry, Head, Position, Scope, View, Want, entry_sum
from sync.protocol import Status
from sync.store import (
    Conflict,
    Device,
    DeviceState,
    EnrolmentCode,
    Fields,
    Grant,
    LedgerEntry,
    LedgerState,
    Pending,
    Row,
    RowKey,
    RowWrite,
    WriteKind,
)

CONFLICT: str = "field_conflict"
"""The table conflicts are rows of; they reach phones like any other row."""

BucketRule: TypeAlias = Callable[[RowKey, Fields], str]
"""Names the one bucket a row is in."""
ScopeRule: TypeAlias = Callable[[Mapping[RowKey, Row], str, datetime], tuple[Collection[str], datetime | None]]
"""Names the buckets a person may hold at an instant, and until when that is so without any write."""


@dataclass(frozen=True)
class _Phone:
    device: Device
    enrolled_at: datetime
    revision: int = 0
    views: Mapping[str, View] = field(default_factory=dict[str, View])


@dataclass
class _Tables:
    """Everything stored. Values are immutable; a transaction works on a copy of the dictionaries."""

    epoch: str
    v: int = 0
    rows: dict[RowKey, Row] = field(default_factory=dict[RowKey, Row])
    entries: dict[Position, Entry] = field(default_factory=dict[Position, Entry])
    heads: dict[str, Head] = field(default_factory=dict[str, Head])
    conflicts: dict[str, Conflict] = field(default_factory=dict[str, Conflict])
    phones: dict[str, _Phone] = field(default_factory=dict[str, _Phone])
    acked: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    durable: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    ledger: dict[tuple[str, str, int], LedgerEntry] = field(default_factory=dict[tuple[str, str, int], LedgerEntry])
    mutations: dict[str, LedgerEntry] = field(default_factory=dict[str, LedgerEntry])
    grants: dict[tuple[str, str], Grant] = field(default_factory=dict[tuple[str, str], Grant])
    codes: dict[str, EnrolmentCode] = field(default_factory=dict[str, EnrolmentCode])
    former: dict[RowKey, Fields] = field(default_factory=dict[RowKey, Fields])
    """What rows were when they were deleted."""
    restored: frozenset[str] = frozenset()
    """The phones that were enrolled when everything was last put back to a backup."""

    def copy(self) -> "_Tables":
        return _Tables(
            self.epoch, self.v, dict(self.rows), dict(self.entries), dict(self.heads), dict(self.conflicts),
            dict(self.phones), dict(self.acked), dict(self.durable), dict(self.ledger), dict(self.mutations),
            dict(self.grants), dict(self.codes), dict(self.former), self.restored,
        )  # fmt: skip

    def stamp(self, key: RowKey) -> None:
        """Enter a touched row into the feed: as it is now, and as gone from a bucket it has left."""
        row = self.rows[key] = replace(self.rows[key], v=self.v)
        standing = [entry for entry in self.entries.values() if (entry.entity, entry.row) == (key.entity, key.row)]
        for entry in standing:
            if not entry.deleted:
                self._count(entry, -1)
                if row.deleted or entry.bucket != row.bucket:
                    self._enter(msgspec.structs.replace(entry, v=self.v, deleted=True, body=b""))
        if not row.deleted:
            body = msgspec.json.encode(row.fields, order="sorted")
            entry = Entry(row.bucket, key.entity, key.row, self.v, deleted=False, body=body)
            self._enter(entry)
            self._count(entry, 1)

    def _enter(self, entry: Entry) -> None:
        self.entries[entry.position] = entry
        self.heads[entry.bucket] = replace(self.heads.get(entry.bucket, Head()), v=self.v)

    def _count(self, entry: Entry, by: int) -> None:
        head = self.heads[entry.bucket]
        checksum = (head.checksum + by * entry_sum(entry.entity, entry.row, entry.body.decode())) % CHECKSUM_MODULUS
        self.heads[entry.bucket] = replace(head, count=head.count + by, checksum=checksum)


@dataclass(frozen=True)
class _Rules:
    scope: ScopeRule
    bucket: BucketRule

    def scope_now(self, tables: _Tables, person: str, now: datetime) -> Scope:
        buckets, valid_until = self.scope(tables.rows, person, now)
        return Scope({name: tables.heads.get(name, Head()) for name in buckets}, valid_until)


class MemorySnapshot:
    """One instant. Nothing here can change: a transaction replaces tables, it never writes into them."""

    def __init__(self, tables: _Tables, rules: _Rules) -> None:
        self.tables = tables
        self._rules = rules

    async def device(self, device: str, incarnation: str) -> DeviceState | None:
        """See sync.store.Snapshot."""
        phone = self.tables.phones.get(device)
        if phone is None:
            return None
        return DeviceState(
            person=phone.device.person, revoked=not phone.device.active, revision=phone.revision,
            acked_n=self.tables.acked.get((device, incarnation)), views=phone.views, epoch=self.tables.epoch,
            v=self.tables.v, durable_n=self.tables.durable.get((device, incarnation)),
        )  # fmt: skip

    async def scope(self, person: str, now: datetime) -> Scope:
        """See sync.store.Snapshot."""
        return self._rules.scope_now(self.tables, person, now)

    async def entries(self, want: Want, after: Position | None, limit: int) -> Sequence[Entry]:
        """See sync.store.Snapshot."""
        fresh, stayed = set(want.fresh), set(want.stayed)
        wanted = (
            entry
            for position, entry in sorted(self.tables.entries.items())
            if (after is None or position > after)
            and ((entry.bucket in fresh and not entry.deleted) or (entry.bucket in stayed and entry.v > want.since))
        )
        return [entry for entry, _ in zip(wanted, range(limit), strict=False)]


class MemoryRegistry:
    """The part of a transaction that registers phones."""

    tables: _Tables

    async def enrolment_code(self, code_hash: str) -> EnrolmentCode | None:
        """See sync.store.Registry."""
        return self.tables.codes.get(code_hash)

    async def use_code(self, code_hash: str, now: datetime) -> None:
        """See sync.store.Registry."""
        self.tables.codes[code_hash] = replace(self.tables.codes[code_hash], used_at=now)

    async def devices(self, person: str) -> Sequence[Device]:
        """See sync.store.Registry."""
        return [phone.device for phone in self.tables.phones.values() if phone.device.person == person]

    async def device(self, device: str) -> Device | None:
        """See sync.store.Registry."""
        phone = self.tables.phones.get(device)
        return phone.device if phone else None

    async def save_device(self, device: Device, now: datetime) -> bool:
        """See sync.store.Registry."""
        if any(phone.device.prefix == device.prefix for phone in self.tables.phones.values()):
            return False
        known = self.tables.phones.get(device.id, _Phone(device, enrolled_at=now))
        self.tables.phones[device.id] = replace(known, device=device)
        self.tables.acked[device.id, device.incarnation] = 0
        return True

    async def note_backup(self, held: Mapping[tuple[str, str], int]) -> None:
        """See sync.store.Registry."""
        self.tables.durable |= held

    async def add_code(self, code_hash: str, code: EnrolmentCode) -> None:
        """Let a person register a phone (the office does this)."""
        self.tables.codes[code_hash] = code

    async def revoke(self, device: str) -> None:
        """Take a phone out of use (the office does this)."""
        phone = self.tables.phones[device]
        self.tables.phones[device] = replace(phone, device=replace(phone.device, active=False))


class MemoryRules:
    """The part of a transaction that says what phones may make of rows: here, whatever they like."""

    async def admitted(self, write: RowWrite, _row: Row | None, _pending: Pending, /) -> Fields:
        """See sync.store.Transaction."""
        return write.fields


class MemoryConflicts:
    """The part of a transaction that keeps what people changed differently."""

    tables: _Tables
    touched: set[RowKey]

    async def conflicts(self, device: str, keys: Collection[RowKey]) -> Sequence[Conflict]:
        """See sync.store.Conflicts."""
        wanted = set(keys)
        standing = (found for found in self.tables.conflicts.values() if found.decision is None)
        return [found for found in standing if found.device == device and found.key in wanted]

    async def conflict(self, conflict_id: str) -> Conflict | None:
        """See sync.store.Conflicts."""
        return self.tables.conflicts.get(conflict_id)

    async def save_conflicts(self, conflicts: Sequence[Conflict]) -> None:
        """See sync.store.Conflicts."""
        for conflict in conflicts:
            self.tables.conflicts[conflict.id] = conflict
            key, decision = RowKey(CONFLICT, conflict.id), conflict.decision
            fields: dict[str, Any] = {
                "id": conflict.id, "entity": conflict.key.entity, "subject_id": conflict.key.row,
                "field": conflict.group, "base": conflict.base, "mine": conflict.mine, "theirs": conflict.theirs,
                "person_id": conflict.person, "edited_at": conflict.edited_at, "opened_at": conflict.opened_at,
                "decided_at": decision and decision.at, "decided_by_id": decision and decision.person,
                "decision": decision and decision.take,
            }  # fmt: skip
            known = self.tables.rows.get(key)
            self.tables.rows[key] = Row(key, conflict.bucket, fields, deleted=False, v=known.v if known else 0)
            self.touched.add(key)

    async def former(self, key: RowKey) -> Fields:
        """See sync.store.Conflicts."""
        return self.tables.former.get(key, {})


class MemoryTransaction(MemoryRegistry, MemoryRules, MemoryConflicts):
    """One transaction on a copy of the tables."""

    def __init__(self, tables: _Tables, rules: _Rules) -> None:
        self.tables = tables
        self._rules = rules
        self.touched: set[RowKey] = set()

    async def ledger_state(self, device: str, incarnation: str) -> LedgerState | None:
        """See sync.store.Transaction."""
        phone = self.tables.phones.get(device)
        if phone is None:
            return None
        return LedgerState(
            person=phone.device.person, revoked=not phone.device.active,
            acked_n=self.tables.acked.get((device, incarnation)),
            served=tuple((view.v, view.served_at) for view in phone.views.values()), enrolled_at=phone.enrolled_at,
            restored=device in self.tables.restored,
        )  # fmt: skip

    async def ledger(self, device: str, incarnation: str, ns: range, ids: Collection[str]) -> Sequence[LedgerEntry]:
        """See sync.store.Transaction."""
        by_n = [self.tables.ledger.get((device, incarnation, n)) for n in ns]
        by_id = [self.tables.mutations.get(mutation_id) for mutation_id in ids]
        return [entry for entry in (*by_n, *by_id) if entry is not None]

    async def record(self, entries: Sequence[LedgerEntry]) -> None:
        """See sync.store.Transaction."""
        for entry in entries:
            key = (entry.device, entry.incarnation, entry.n)
            if key in self.tables.ledger or entry.mutation_id in self.tables.mutations:
                raise ValueError(f"the ledger has {key} or {entry.mutation_id}")
            self.tables.ledger[key] = entry
            self.tables.acked[entry.device, entry.incarnation] = entry.n
            if entry.mutation_id is not None:
                self.tables.mutations[entry.mutation_id] = entry

    async def scope(self, person: str, now: datetime) -> Scope:
        """See sync.store.Transaction."""
        return self._rules.scope_now(self.tables, person, now)

    async def grants(self, device: str, buckets: Collection[str]) -> Mapping[str, Grant]:
        """See sync.store.Transaction."""
        grants = self.tables.grants
        return {bucket: grants[device, bucket] for bucket in buckets if (device, bucket) in grants}

    async def grant(self, device: str, buckets: Collection[str], now: datetime) -> None:
        """See sync.store.Transaction."""
        for bucket in buckets:
            known = self.tables.grants.get((device, bucket))
            if known is None or known.until is not None:
                self.tables.grants[device, bucket] = Grant(since=now, until=None)

    async def rows(self, keys: Collection[RowKey]) -> Mapping[RowKey, Row]:
        """See sync.store.Transaction."""
        return {key: self.tables.rows[key] for key in keys if key in self.tables.rows}

    async def write(self, writes: Sequence[RowWrite]) -> Sequence[str]:
        """See sync.store.Transaction."""
        return [self._write(write) for write in writes]

    def _write(self, write: RowWrite) -> str:
        tables, key = self.tables, write.key
        if write.kind is WriteKind.INSERT:
            if key in tables.rows and not tables.rows[key].deleted:
                raise ValueError(f"there is already {key}")
            fields = {"id": key.row, **write.fields}
            row = Row(key, self._rules.bucket(key, fields), fields, deleted=False, v=0)
        elif write.kind is WriteKind.UPDATE:
            fields = {**tables.rows[key].fields, **write.fields}
            row = replace(tables.rows[key], bucket=self._rules.bucket(key, fields), fields=fields)
        else:
            tables.former[key] = tables.rows[key].fields
            row = replace(tables.rows[key], fields={}, deleted=True)
        tables.rows[key] = row
        self.touched.add(key)
        return row.bucket

    async def save_view(
        self, device: str, *, revision: int, view: View, keep: Collection[str], complete: bool, now: datetime
    ) -> bool:
        """See sync.store.Transaction."""
        phone = self.tables.phones[device]
        if phone.revision != revision:
            return False
        views = {name: known for name, known in phone.views.items() if name in keep} | {view.generation: view}
        self.tables.phones[device] = replace(phone, revision=revision + 1, views=views)
        await self.grant(device, tuple(view.buckets), now)
        if complete:
            for (holder, bucket), grant in list(self.tables.grants.items()):
                if holder == device and bucket not in view.buckets and grant.until is None:
                    self.tables.grants[holder, bucket] = replace(grant, until=now)
        return True

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """See sync.store.Transaction."""
        tables, touched = self.tables.copy(), set(self.touched)
        try:
            yield
        except BaseException:
            self.tables, self.touched = tables, touched
            raise

    def stamp(self) -> None:
        """Give everything this transaction wrote to rows the next `v`."""
        if self.touched:
            self.tables.v += 1
        for key in sorted(self.touched, key=lambda key: (key.entity, key.row)):
            self.tables.stamp(key)


class MemoryStore:
    """Everything in memory, one writer at a time."""

    def __init__(self, *, scope: ScopeRule, bucket: BucketRule, epoch: str) -> None:
        self._rules = _Rules(scope, bucket)
        self._tables = _Tables(epoch)
        self._one_writer = asyncio.Lock()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[MemorySnapshot]:
        """Open one snapshot."""
        yield MemorySnapshot(self._tables, self._rules)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[MemoryTransaction]:
        """Open one transaction; leaving it commits, an exception undoes it."""
        async with self._one_writer:
            tx = MemoryTransaction(self._tables.copy(), self._rules)
            yield tx
            tx.stamp()
            self._tables = tx.tables

    def compact(self, floor: int) -> None:
        """Forget deletions up to `v` = floor, and views too old to be told what changed since."""
        tables = self._tables.copy()
        entries = tables.entries.items()
        tables.entries = {place: entry for place, entry in entries if not entry.deleted or entry.v > floor}
        for device, phone in tables.phones.items():
            views = {name: view for name, view in phone.views.items() if view.outlives(floor)}
            tables.phones[device] = replace(phone, views=views)
        self._tables = tables

    def backup(self) -> MemorySnapshot:
        """Return everything as it is now."""
        return MemorySnapshot(self._tables, self._rules)

    def restore(self, backup: MemorySnapshot, *, epoch: str) -> None:
        """Go back to a backup; phones learn of it by the epoch."""
        tables = self._tables = backup.tables.copy()
        tables.epoch = epoch
        tables.durable |= tables.acked
        tables.restored = frozenset(tables.phones)
        tables.phones = {device: replace(phone, views={}) for device, phone in tables.phones.items()}

    @property
    def quarantine(self) -> list[LedgerEntry]:
        """Mutations that wait for a person, oldest first."""
        waiting = (entry for entry in self._tables.ledger.values() if entry.status is Status.QUARANTINED)
        return [entry for entry in waiting if entry.repeats is None]
