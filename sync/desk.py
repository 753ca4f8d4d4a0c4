"""What one push reads and writes, in sets.

Rows, reach and conflicts are fetched for many mutations at once, and writes are handed to the store together.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from sync.feed import Scope
from sync.limits import GRANT_DAYS, SUCCESSOR_HOPS
from sync.policy import SUCCESSOR
from sync.store import Conflict, Grant, LedgerState, Row, RowKey, RowWrite, Transaction, WriteKind


class Reach(Enum):
    """Whether a device may push to a bucket, by what the server recorded, never by what the device claims."""

    IN_SCOPE = "in scope"
    GRANTED = "granted before it left the scope"
    STALE = "granted too long ago"
    NONE = "never granted"


def reach_of(bucket: str, scope: Scope, grant: Grant | None, now: datetime) -> Reach:
    """Decide whether a device with this scope and grant may push to the bucket."""
    if bucket in scope.heads:
        return Reach.IN_SCOPE
    if grant is None:
        return Reach.NONE
    if grant.until is not None and grant.until < now - timedelta(days=GRANT_DAYS):
        return Reach.STALE
    return Reach.GRANTED


@dataclass
class Desk:
    """The rows of one push on the table. Reach is judged by the scope in which the push began."""

    tx: Transaction
    device: str
    state: LedgerState
    now: datetime
    targets: Collection[RowKey]
    """Every row the mutations of the batch name; they are read and locked with the first."""
    upcoming: Collection[RowKey] = ()
    """The rows the next mutations read, as far as nothing else can change them in between."""
    _rows: dict[RowKey, Row | None] = field(default_factory=dict[RowKey, Row | None])
    _places: dict[RowKey, str] = field(default_factory=dict[RowKey, str])
    _absent: set[RowKey] = field(default_factory=set[RowKey])
    _conflicts: dict[RowKey, dict[str, Conflict]] = field(default_factory=dict[RowKey, dict[str, Conflict]])
    _grants: dict[str, Grant | None] = field(default_factory=dict[str, Grant | None])
    _scope: Scope | None = None
    _writes: list[RowWrite] = field(default_factory=list[RowWrite])
    _unborn: set[RowKey] = field(default_factory=set[RowKey])
    _opened: dict[str, Conflict] = field(default_factory=dict[str, Conflict])

    async def place(self, key: RowKey) -> str | None:
        """Return the bucket a row is or was in, or None if there never was such a row."""
        await self._born(key)
        if key not in self._places and key not in self._absent:
            await self._fetch({key} - self._places.keys())
        return self._places.get(key)

    async def row(self, key: RowKey) -> Row | None:
        """Return the row with everything this push has done to it, or None if there never was one."""
        await self._born(key)
        if key not in self._rows:
            await self._fetch({key, *self.upcoming} - self._rows.keys())
        return self._rows[key]

    async def successor(self, row: Row) -> Row:
        """Follow a record that was merged into another to the one that stands."""
        for _ in range(SUCCESSOR_HOPS):
            following = row.fields.get(SUCCESSOR)
            after = await self.row(RowKey(row.key.entity, following)) if following else None
            if after is None:
                break
            row = after
        return row

    async def reach(self, bucket: str) -> Reach:
        """Say whether this device may push to the bucket."""
        if self._scope is None:
            self._scope = await self.tx.scope(self.state.person, self.now)
        if bucket not in self._scope.heads and bucket not in self._grants:
            unknown = ({*self._places.values(), bucket} - self._scope.heads.keys()) - self._grants.keys()
            found = await self.tx.grants(self.device, unknown)
            self._grants |= {name: found.get(name) for name in unknown}
        return reach_of(bucket, self._scope, self._grants.get(bucket), self.now)

    async def conflicts(self, key: RowKey) -> Mapping[str, Conflict]:
        """Return this device's open conflicts on the row, by group."""
        if key not in self._conflicts:
            missing = {key, *self.upcoming} - self._conflicts.keys()
            self._conflicts |= {wanted: {} for wanted in missing}
            for conflict in await self.tx.conflicts(self.device, missing):
                self._conflicts[conflict.key][conflict.group] = conflict
        return self._conflicts[key]

    def change(self, row: Row, write: RowWrite) -> None:
        """Take a change of a row, to be written with the others."""
        self._writes.append(write)
        deleted = write.kind is WriteKind.DELETE
        self._rows[write.key] = replace(row, fields={} if deleted else {**row.fields, **write.fields}, deleted=deleted)

    def insert(self, write: RowWrite) -> None:
        """Take a new row, to be written with the other changes."""
        self._writes.append(write)
        self._unborn.add(write.key)

    def keep_conflict(self, conflict: Conflict) -> None:
        """Take a conflict to be opened, or one that another edit joined."""
        self._opened[conflict.id] = conflict
        self._conflicts[conflict.key][conflict.group] = conflict

    async def flush(self) -> None:
        """Hand everything taken so far to the store; a device may go on in the buckets of rows it made."""
        writes, self._writes = self._writes, []
        opened, self._opened = self._opened, {}
        if writes:
            buckets = await self.tx.write(writes)
            for key in self._unborn:
                self._rows.pop(key, None)
            self._absent -= self._unborn
            born = {name for write, name in zip(writes, buckets, strict=True) if write.key in self._unborn}
            self._unborn.clear()
            await self.grant(born)
        if opened:
            await self.tx.save_conflicts(list(opened.values()))

    async def grant(self, buckets: Iterable[str]) -> None:
        """Let the device push to buckets it has just made rows in."""
        new = [name for name in sorted(set(buckets)) if await self.reach(name) is not Reach.IN_SCOPE]
        if new:
            await self.tx.grant(self.device, new, self.now)
            self._grants |= dict.fromkeys(new, Grant(self.now, None))

    def forget(self) -> None:
        """Forget rows and conflicts: a handler may have changed them."""
        self._rows.clear()
        self._conflicts.clear()
        self._absent.clear()

    def discard(self) -> None:
        """Forget also what was taken, granted or born: it was undone."""
        self.forget()
        self._places.clear()
        self._grants.clear()
        self._writes.clear()
        self._unborn.clear()
        self._opened.clear()

    async def _born(self, key: RowKey) -> None:
        if key in self._unborn:
            await self.flush()

    async def _fetch(self, keys: Collection[RowKey]) -> None:
        keys, self.targets = {*keys, *self.targets}, ()
        found = await self.tx.rows(keys)
        self._rows |= {key: found.get(key) for key in keys}
        self._places |= {key: row.bucket for key, row in found.items()}
        self._absent |= {key for key in keys if key not in found}
