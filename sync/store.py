"""What sync needs of a database: a snapshot to read and a transaction to write. Memory and SQL implement the same.

The promises every store keeps, asserted by tests/sync/contract over each of them:

- `read()` gives one snapshot: everything read inside belongs to one instant, including `v` and the ledger.
- `write()` gives one transaction: it commits on leaving, or an exception undoes all of it. A commit that changed rows
  takes the next `v` as its last lock, so having read `v` proves that every change up to `v` is visible.
- A failure that may pass when tried again (a lost connection, a deadlock, a full disk) is raised as `Transient`; any
  other error means that the work itself is bad.
- Ids of rows, devices, people, incarnations and mutations are lower-case UUID text; instants are aware UTC.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, TypeVar

from sync.feed import Entry, Position, Scope, View, Want
from sync.protocol import Status

Fields: TypeAlias = Mapping[str, Any]
"""A row's columns as JSON values, the same the phones are sent."""

ROW_GROUP: Final = "*"
"""The group of a conflict about a whole row (edit against delete); there, empty fields mean: no row."""


class Transient(Exception):
    """The database could not do it now; the same work may succeed later. Answered with 503, and sent again."""


class Collided(Transient):
    """Two transactions waited for each other, and this one was given up; done again at once, it will likely succeed."""


class RowKey(NamedTuple):
    """Which row: its table's name and its id."""

    entity: str
    row: str


@dataclass(frozen=True)
class Row:
    """A row as this transaction sees it, its own writes included. A deleted row has no fields."""

    key: RowKey
    bucket: str
    fields: Fields
    deleted: bool
    v: int
    """The `v` of its last committed change."""


class WriteKind(StrEnum):
    """What is done to a row."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True)
class RowWrite:
    """One row's change: all fields of a new row, the changed ones of an update, none of a deletion."""

    kind: WriteKind
    key: RowKey
    fields: Fields
    mutation_id: str
    """For the audit trail."""


@dataclass(frozen=True)
class DeviceState:
    """A device as a snapshot sees it, with the clock of that snapshot. `acked_n` is None for an unknown incarnation.

    `durable_n` is the last number of it that a verified backup holds; None: no backup holds any of this incarnation.
    """

    person: str
    revoked: bool
    revision: int
    """Counts stored views; `save_view` compares it."""
    acked_n: int | None
    views: Mapping[str, View]
    epoch: str
    v: int
    durable_n: int | None = None


@dataclass(frozen=True)
class LedgerState:
    """A device as a push finds it, locked until the transaction ends. `acked_n` is None for an unknown incarnation."""

    person: str
    revoked: bool
    acked_n: int | None
    served: tuple[tuple[int, datetime], ...]
    """(v, served_at) of the views the device was sent, as far as they are remembered."""
    enrolled_at: datetime
    restored: bool = False
    """Whether the server was put back to a backup since the device was enrolled: it may have lost rows and grants."""


@dataclass(frozen=True)
class LedgerEntry:
    """One number of a device's ledger: what was pushed under it and the answer, byte for byte.

    `mutation_id` is unique over all ledgers. An entry that repeats a mutation known under another number has None there
    and names it in `repeats`. `fault` is what an operator should see, never sent.
    """

    device: str
    person: str
    incarnation: str
    n: int
    mutation_id: str | None
    repeats: str | None
    name: str
    payload_sum: str
    payload: bytes
    status: Status
    code: str
    result: bytes
    received_at: datetime
    fault: str = ""


@dataclass(frozen=True)
class Grant:
    """A device may push to a bucket; `until` is when it was told to drop it (None: not yet)."""

    since: datetime
    until: datetime | None


@dataclass(frozen=True)
class Decision:
    """How a person ended a conflict: `take` is `mine`, `theirs` or `values`."""

    take: str
    person: str
    at: datetime
    mutation_id: str = ""
    """The mutation it came with, for the audit trail; empty at the desk."""


@dataclass(frozen=True)
class Conflict:
    """Two people changed one field group differently; a person decides. A synced row of the bucket its row is in."""

    id: str
    key: RowKey
    bucket: str
    group: str
    base: Fields
    mine: Fields
    theirs: Fields
    mutation_id: str
    device: str
    person: str
    edited_at: datetime
    """Effective time of the edit; merging never looks at it."""
    opened_at: datetime
    decision: Decision | None = None


@dataclass(frozen=True)
class EnrolmentCode:
    """A code as stored: whose phone it registers, until when, and when it was used."""

    person: str
    expires_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True)
class Device:
    """A registered phone in its current incarnation."""

    id: str
    person: str
    public_key: str
    incarnation: str
    prefix: str
    name: str = ""
    app_version: str = ""
    schema: int = 1
    incarnations: int = 1
    """How many ledgers it has begun."""
    active: bool = field(default=True)


class Snapshot(Protocol):
    """One instant of the database."""

    async def device(self, device: str, incarnation: str) -> DeviceState | None:
        """Return the device, or None when nobody enrolled it. One query; no row bodies."""
        ...

    async def scope(self, person: str, now: datetime) -> Scope:
        """Return what the person may hold now, with each bucket's head. One query; no row bodies."""
        ...

    async def entries(self, want: Want, after: Position | None, limit: int) -> Sequence[Entry]:
        """Return up to `limit` wanted entries beyond `after`, in the order of Position."""
        ...


class Pending(Protocol):
    """The rows of one push with everything it has done to them, part of which may not be written yet."""

    async def row(self, key: RowKey) -> Row | None:
        """Return the row, or None if there never was one."""
        ...

    async def flush(self) -> None:
        """Write everything done so far, so that a query sees it."""
        ...


class Conflicts(Protocol):
    """The part of a transaction that keeps what people changed differently."""

    async def conflicts(self, device: str, keys: Collection[RowKey]) -> Sequence[Conflict]:
        """Return the open conflicts of these rows that this device's edits opened."""
        ...

    async def conflict(self, conflict_id: str) -> Conflict | None:
        """Return a conflict, open or decided, locked until the transaction ends."""
        ...

    async def save_conflicts(self, conflicts: Sequence[Conflict]) -> None:
        """Open these conflicts, or replace those whose id is known; a decision is audited."""
        ...

    async def former(self, key: RowKey) -> Fields:
        """Return what is known of a deleted row as it last was; nothing when nobody wrote it down."""
        ...


class Transaction(Conflicts, Protocol):
    """One writing transaction."""

    async def ledger_state(self, device: str, incarnation: str) -> LedgerState | None:
        """Lock the device's ledgers until the transaction ends; return None when nobody enrolled the device."""
        ...

    async def ledger(self, device: str, incarnation: str, ns: range, ids: Collection[str]) -> Sequence[LedgerEntry]:
        """Return this incarnation's entries numbered in `ns`, and those of any ledger whose mutation is in `ids`."""
        ...

    async def record(self, entries: Sequence[LedgerEntry]) -> None:
        """Add entries to the ledger; those quarantined are also put before a dispatcher, each mutation once."""
        ...

    async def scope(self, person: str, now: datetime) -> Scope:
        """Return what the person may hold now."""
        ...

    async def grants(self, device: str, buckets: Collection[str]) -> Mapping[str, Grant]:
        """Return the latest grant of each of these buckets that was ever granted to the device."""
        ...

    async def grant(self, device: str, buckets: Collection[str], now: datetime) -> None:
        """Let the device push to these buckets, as it made rows in them."""
        ...

    async def rows(self, keys: Collection[RowKey]) -> Mapping[RowKey, Row]:
        """Return the rows that exist or existed, locked against other writers; deleted ones say so."""
        ...

    async def admitted(self, write: RowWrite, row: Row | None, pending: Pending, /) -> Fields:
        """Return the fields of a phone's change of a row (None: a new one) as the business stores them.

        Raises sync.handler.Rejection, before anything is written, when its rules are against the change.
        """
        ...

    async def write(self, writes: Sequence[RowWrite]) -> Sequence[str]:
        """Make the changes, in order; return the bucket each row is in."""
        ...

    async def save_view(
        self, device: str, *, revision: int, view: View, keep: Collection[str], complete: bool, now: datetime
    ) -> bool:
        """Store a view, forget views not in `keep`, and return True; if `revision` has moved on, do nothing: False.

        Every bucket of the view is granted. When `complete`, grants of all other buckets end now.
        """
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Undo what was done inside when an exception leaves it."""
        ...


class Registry(Protocol):
    """The part of a transaction that registers phones."""

    async def enrolment_code(self, code_hash: str) -> EnrolmentCode | None:
        """Return the code, locked until the transaction ends."""
        ...

    async def use_code(self, code_hash: str, now: datetime) -> None:
        """Mark the code as used."""
        ...

    async def devices(self, person: str) -> Sequence[Device]:
        """Return every phone the person ever registered, locked until the transaction ends."""
        ...

    async def device(self, device: str) -> Device | None:
        """Return one phone, locked until the transaction ends."""
        ...

    async def save_device(self, device: Device, now: datetime) -> bool:
        """Add the phone, or begin its new incarnation; return False when another phone has its prefix."""
        ...

    async def note_backup(self, held: Mapping[tuple[str, str], int]) -> None:
        """Keep that a verified backup holds each ledger, by (device, incarnation), up to a number."""
        ...


T_co = TypeVar("T_co", bound=Transaction, covariant=True)


class Store(Protocol[T_co]):
    """Where sync keeps everything."""

    def read(self) -> AbstractAsyncContextManager[Snapshot]:
        """Open one snapshot."""
        ...

    def write(self) -> AbstractAsyncContextManager[T_co]:
        """Open one transaction; leaving it commits."""
        ...


class DeviceStore(Protocol):
    """A store that can register phones."""

    def write(self) -> AbstractAsyncContextManager[Registry]:
        """Open one transaction; leaving it commits."""
        ...
