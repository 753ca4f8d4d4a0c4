"""Where a history happens: a store with two servers before it, and a referee's own look at what it holds.

Over SQLite the look is plain SQL on a connection of its own; over memory it is the tables themselves.
"""

import json
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import event
from sqlalchemy.engine import Engine

from backend.backup.restore import begin_epoch
from backend.core.sessions import Database
from backend.core.sqlite import HERE
from backend.devices.compaction import forget_old_deletions
from backend.devices.scope import BEHIND
from backend.devices.store import SqlStore
from sync.limits import DELETIONS_KEPT_DAYS
from sync.protocol import Status
from tests.sync.sql_world import AROUND_SITES, HELD_JOBS, SqlWorld, emptied
from tests.sync.world import MemoryWorld, World, scope_of

AHEAD: Final = timedelta(days=7)


class ServerKilled(BaseException):
    """The process is gone in the middle of its work; nothing of ours may catch it."""


@dataclass
class Watch:
    """Sees every statement a request makes, and may end the server there or let something else happen."""

    killed_at: int = 0
    paused_at: int = 0
    meanwhile: Callable[[], Awaitable[None]] | None = None
    statements: int = 0
    calls: int = 0

    def statement(self) -> None:
        """Count a statement; raises ServerKilled."""
        self.statements += 1
        if self.statements == self.killed_at:
            raise ServerKilled

    async def call(self) -> None:
        """Count a call of the store that holds no lock; let the other thing happen when it is time."""
        self.calls += 1
        if self.meanwhile is not None and self.calls > self.paused_at:
            happen, self.meanwhile = self.meanwhile, None
            await happen()


@dataclass(frozen=True)
class Look:
    """What stands: the clock, sites and conflicts, how each mutation ended, and rows changed for each of them.

    `acked` is by device and incarnation; `changes` how often a row was changed for a mutation, at most (None: nobody
    wrote that down).
    """

    v: int
    sites: Mapping[str, Mapping[str, Any]]
    conflicts: Sequence[Mapping[str, Any]]
    ends: Mapping[str, Status]
    acked: Mapping[tuple[str, str], int]
    changes: Mapping[str, int] | None = None


class Place(Protocol):
    """One database with two servers."""

    world: World

    async def begin(self) -> None:
        """Begin with nothing but the furniture of the world."""
        ...

    def server(self, number: int, now: datetime, watch: Watch) -> Any:
        """Return the store as one server sees it for one request."""
        ...

    def watching(self, watch: Watch) -> AbstractAsyncContextManager[None]:
        """Let `watch` see what is done inside."""
        ...

    def look(self) -> Look:
        """See what stands."""
        ...

    def allowed(self, person: str, now: datetime) -> set[str]:
        """Name the buckets a person may be sent."""
        ...

    def answers(self, device: str, incarnation: str, ns: Sequence[int]) -> list[bytes]:
        """Return what the ledger answers to these numbers, as far as it knows them."""
        ...

    def saved(self) -> Any:
        """Copy everything, as a backup does."""
        ...

    async def bring_back(self, saved: Any, now: datetime) -> None:
        """Put the servers back to what was copied, as a restore does: phones learn of it by the epoch."""
        ...

    async def compact(self, at: datetime) -> None:
        """Do the day's housekeeping: deletions that are old enough by now are forgotten."""
        ...


class _Gated:
    """Hands every call on, each after the watch has seen it."""

    def __init__(self, real: Any, gate: Callable[[], Awaitable[None]]) -> None:
        self._real, self._gate = real, gate

    def __getattr__(self, name: str) -> Any:
        known = getattr(self._real, name)
        if not iscoroutinefunction(known):
            return known

        async def gated(*args: Any, **named: Any) -> Any:
            await self._gate()
            return await known(*args, **named)

        return gated


@dataclass(frozen=True)
class _WatchedStore:
    """A store whose calls are seen; `each` says whether each of them counts as a statement."""

    store: Any
    watch: Watch
    each: bool

    async def _free(self) -> None:
        if self.each:
            self.watch.statement()
        await self.watch.call()

    async def _locked(self) -> None:
        if self.each:
            self.watch.statement()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[Any]:
        async with self.store.read() as snapshot:
            yield _Gated(snapshot, self._free)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[Any]:
        await self._free()
        async with self.store.write() as tx:
            yield _Gated(tx, self._locked)
            await self._locked()
        self.watch.statement()


class MemoryPlace:
    """Everything in memory; a store call is a statement."""

    def __init__(self) -> None:
        self.world: World = MemoryWorld()
        self._memory = MemoryWorld()
        self._marks: dict[int, datetime] = {}
        """Where the clock stood at each day's housekeeping."""

    async def begin(self) -> None:
        """See Place."""
        self._marks = {}
        self.world = self._memory = await MemoryWorld().begin()

    def server(self, number: int, now: datetime, watch: Watch) -> Any:  # noqa: ARG002 - here servers are alike
        """See Place; both servers stand on the same tables."""
        return _WatchedStore(self._memory.store, watch, each=True)

    @asynccontextmanager
    async def watching(self, watch: Watch) -> AsyncGenerator[None]:  # noqa: ARG002 - the store itself tells the watch
        """See Place."""
        yield

    def look(self) -> Look:
        """See Place."""
        tables = self._memory.store.backup().tables
        rows = [(key, row.fields) for key, row in tables.rows.items() if not row.deleted]
        return Look(
            v=tables.v,
            sites={key.row: fields for key, fields in rows if key.entity == "site"},
            conflicts=[fields for key, fields in rows if key.entity == "field_conflict"],
            ends={name: entry.status for name, entry in tables.mutations.items()},
            acked=tables.acked,
        )

    def allowed(self, person: str, now: datetime) -> set[str]:
        """See Place."""
        return set(scope_of(self._memory.store.backup().tables.rows, person, now)[0])

    def answers(self, device: str, incarnation: str, ns: Sequence[int]) -> list[bytes]:
        """See Place."""
        ledger = self._memory.store.backup().tables.ledger
        return [ledger[device, incarnation, n].result for n in ns if (device, incarnation, n) in ledger]

    def saved(self) -> Any:
        """See Place."""
        return self._memory.store.backup(), dict(self._marks)

    async def bring_back(self, saved: Any, now: datetime) -> None:  # noqa: ARG002 - here no epoch has a time
        """See Place."""
        snapshot, marks = saved
        self._marks = dict(marks)
        self._memory.store.restore(snapshot, epoch=self._memory.ids())

    async def compact(self, at: datetime) -> None:
        """See Place."""
        self._marks.setdefault(self._memory.store.backup().tables.v, at)
        old = [v for v, noted in self._marks.items() if noted <= at - timedelta(days=DELETIONS_KEPT_DAYS)]
        if old:
            self._memory.store.compact(max(old))
            self._marks = {v: noted for v, noted in self._marks.items() if v >= max(old)}


@dataclass
class SqlitePlace:
    """A migrated SQLite file with two servers, each with connections of its own, and the office's.

    All statements run where they are asked: which thread was first would be the only thing a seed does not decide.
    """

    file: Path
    databases: list[Database] = field(default_factory=list[Database])
    _seen: list[Watch] = field(default_factory=list[Watch])

    def __post_init__(self) -> None:
        self.databases = [Database(f"{HERE}:///{self.file}") for _ in range(3)]
        self.world: World = SqlWorld(self.databases[2])
        self._sql = sqlite3.connect(self.file, isolation_level=None)
        self._sql.row_factory = sqlite3.Row
        event.listen(Engine, "before_cursor_execute", self._executes)
        event.listen(Engine, "commit", self._commits)

    async def close(self) -> None:
        """Close every connection."""
        event.remove(Engine, "before_cursor_execute", self._executes)
        event.remove(Engine, "commit", self._commits)
        self._sql.close()
        for database in self.databases:
            await database.close()

    async def begin(self) -> None:
        """See Place."""
        await emptied(self.databases[2])
        self.world = await SqlWorld(self.databases[2]).begin()

    def server(self, number: int, now: datetime, watch: Watch) -> Any:
        """See Place."""
        return _WatchedStore(SqlStore(self.databases[number], now=now), watch, each=False)

    @asynccontextmanager
    async def watching(self, watch: Watch) -> AsyncGenerator[None]:
        """See Place; what happens meanwhile is not seen by it."""
        self._seen.append(watch)
        try:
            yield
        finally:
            self._seen.pop()

    def _executes(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._seen and not statement.startswith("BEGIN"):
            self._seen[-1].statement()

    def _commits(self, _connection: Any) -> None:
        if self._seen:
            self._seen[-1].statement()

    def look(self) -> Look:
        """See Place."""
        acked = self._sql.execute("SELECT device_id, incarnation, acked_n FROM device_incarnation")
        return Look(
            v=self._sql.execute("SELECT v FROM commit_clock").fetchone()["v"],
            sites={_text(row["id"]): dict(row) for row in self._sql.execute("SELECT * FROM site")},
            conflicts=[_conflict(row) for row in self._sql.execute("SELECT * FROM field_conflict")],
            ends={_text(row["mutation_id"]): Status(row["status"]) for row in self._sql.execute(ENDS)},
            acked={(_text(row["device_id"]), _text(row["incarnation"])): row["acked_n"] for row in acked},
            changes={_text(row["mutation_id"]): row["times"] for row in self._sql.execute(CHANGES)},
        )

    def allowed(self, person: str, now: datetime) -> set[str]:
        """See Place."""
        instants = {"arrives_before": now + AHEAD, "cancelled_after": now - BEHIND, "now": now}
        wanted = {name: f"{at:%Y-%m-%d %H:%M:%S.%f}" for name, at in instants.items()}
        jobs = self._sql.execute(HELD_JOBS, {"person": UUID(person).hex, **wanted}).fetchall()
        names = {f"user:{person}", "catalogue", *(f"job:{_text(job['id'])}" for job in jobs)}
        names |= {f"site:{_text(job['site_id'])}" for job in jobs}
        listed = ", ".join(f"'{job['site_id']}'" for job in jobs) or "''"
        return names | {f"{kind}:{_text(row)}" for kind, row in self._sql.execute(AROUND_SITES.format(sites=listed))}

    def answers(self, device: str, incarnation: str, ns: Sequence[int]) -> list[bytes]:
        """See Place."""
        numbering = (UUID(device).hex, UUID(incarnation).hex, min(ns, default=0), max(ns, default=0))
        return [bytes(row["result"]) for row in self._sql.execute(ANSWERS, numbering)]

    def saved(self) -> Any:
        """See Place."""
        copy = sqlite3.connect(":memory:")
        self._sql.backup(copy)
        return copy

    async def bring_back(self, saved: Any, now: datetime) -> None:
        """See Place."""
        saved.backup(self._sql)
        async with self.databases[2].write() as session:
            await session.run_sync(lambda restored: begin_epoch(restored.connection(), now))

    async def compact(self, at: datetime) -> None:
        """See Place."""
        async with self.databases[2].write() as session:
            await forget_old_deletions(session, at)


ENDS: Final = "SELECT mutation_id, status FROM ledger_entry WHERE mutation_id IS NOT NULL"
CHANGES: Final = """
SELECT mutation_id, max(times) AS times FROM (
  SELECT mutation_id, count(*) AS times FROM audit_entry WHERE mutation_id IS NOT NULL
  GROUP BY mutation_id, entity, subject_id
) GROUP BY mutation_id
"""
ANSWERS: Final = (
    "SELECT result FROM ledger_entry WHERE device_id = ? AND incarnation = ? AND n BETWEEN ? AND ? ORDER BY n"
)


def _text(digits: str) -> str:
    return str(UUID(digits))


def _conflict(row: sqlite3.Row) -> dict[str, Any]:
    sides = {side: json.loads(row[side]) for side in ("base", "mine", "theirs")}
    return {**dict(row), "id": _text(row["id"]), "subject_id": _text(row["subject_id"]), **sides}
