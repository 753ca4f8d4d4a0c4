"""Hints: a phone that listens is told the new `v` when one of its buckets has changed, so that it pulls soon.

Nothing rests on them (sync.md, invariant 23): a hint may be lost, doubled or late, and a phone that never listens only
learns later. A process watches its database once for all its streams: on PostgreSQL it LISTENs for what stamping
NOTIFYs, on SQLite it looks whether the file's `data_version` has moved. No stream holds a connection.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Uuid, bindparam, or_, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from backend.core.auth import Principal
from backend.core.changes import HINT_CHANNEL, bucket, commit_clock
from backend.core.db import UtcDateTime
from backend.core.errors import BUSY, Problem
from backend.core.sessions import Database
from backend.devices.scope import scope_of
from backend.jobs.models import Assignment
from backend.people.models import CrewMember, Device, Person, SignInSession

STREAMS_MOST: Final = 1_000
"""Streams one process keeps open; a phone has one, its newest."""
HEARTBEAT_SECONDS: Final = 15.0
"""Between signs of life on a silent stream; then it is also asked whether the phone may still listen."""
STREAM_SECONDS: Final = 15 * 60.0
"""A stream ends after this time; the phone opens the next with the token it has then."""
LOOK_SECONDS: Final = 0.5
"""How often a SQLite file is looked at."""
SIGN_OF_LIFE: Final = b": \n\n"
"""A comment, which readers of events pass over."""
JOB: Final = "job:"
CREW: Final = "crew:"
HEARD_MOST: Final = 1_000
"""Notifications a process has heard and not yet looked at, of at most 7,000 bytes each."""
GONE: Final = ""
"""No notification: the connection is lost."""
RETRY_SECONDS: Final = 2.0
"""Between attempts to watch a database that has gone away."""

log = logging.getLogger(__name__)


@dataclass
class _Listener:
    """One open stream: what its phone holds, and the newest `v` it has to be told."""

    buckets: frozenset[str]
    v: int
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    replaced: bool = False


@dataclass
class HintBoard:
    """Every stream of this process, and the one watcher they share. It watches only while somebody listens."""

    database: Database
    clock: Callable[[], datetime]
    heartbeat_seconds: float = HEARTBEAT_SECONDS
    look_seconds: float = LOOK_SECONDS
    streams_most: int = STREAMS_MOST
    _listeners: dict[UUID, _Listener] = field(default_factory=dict[UUID, _Listener])
    _watcher: asyncio.Task[None] | None = None
    _ending: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    """Watchers told to end that still hold their connection."""

    async def open(self, principal: Principal, device: UUID) -> AsyncGenerator[bytes]:
        """Return the phone's stream of server-sent events; raises busy when there are too many.

        The first event carries the `v` of now, so that nothing between the last pull and the first hint is missed.
        """
        if len(self._listeners) >= self.streams_most and device not in self._listeners:
            raise Problem(BUSY, retry_after_seconds=int(RETRY_SECONDS))
        listener = _Listener(frozenset(), 0)
        await self._look(listener, principal)
        return self._events(listener, principal, device)

    async def close(self) -> None:
        """End every stream, and wait until nothing watches the database any more."""
        for listener in self._listeners.values():
            listener.replaced = True
            listener.woken.set()
        self._end_watcher()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def tell(self, v: int, names: Collection[str] | None) -> None:
        """Wake who holds one of these buckets; None: whoever listens."""
        for listener in self._listeners.values():
            if names is None or not listener.buckets.isdisjoint(names):
                listener.v = max(v, listener.v)
                listener.woken.set()

    async def _events(self, listener: _Listener, principal: Principal, device: UUID) -> AsyncGenerator[bytes]:
        self._add(device, listener)
        until = monotonic() + STREAM_SECONDS
        try:
            yield _event(listener.v)
            while monotonic() < until and await self._woken_or_silent(listener, principal):
                told = listener.woken.is_set()
                listener.woken.clear()
                yield _event(listener.v) if told else SIGN_OF_LIFE
        finally:
            self._remove(device, listener)

    async def _woken_or_silent(self, listener: _Listener, principal: Principal) -> bool:
        """Wait for a hint or a heartbeat; return whether the phone may still listen."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.heartbeat_seconds):
                await listener.woken.wait()
        return not listener.replaced and await self._look(listener, principal)

    async def _look(self, listener: _Listener, principal: Principal) -> bool:
        """Learn what the phone holds now; return whether it may listen at all."""
        async with self.database.read() as session:
            if (await session.execute(_WELCOME, {"session": principal.session_id})).first() is None:
                return False
            scope = await session.run_sync(scope_of, str(principal.person_id), self.clock())
            v = (await session.execute(select(commit_clock.c.v))).scalar_one()
            in_crews = {"person": principal.person_id, "now": self.clock()}
            crews = [_crew(crew_id) for crew_id in (await session.execute(_CREWS, in_crews)).scalars()]
        listener.buckets = frozenset((*scope.heads, *crews))
        listener.v = max(listener.v, v)
        return True

    def _add(self, device: UUID, listener: _Listener) -> None:
        before = self._listeners.pop(device, None)
        if before is not None:
            before.replaced = True
            before.woken.set()
        self._listeners[device] = listener
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())

    def _remove(self, device: UUID, listener: _Listener) -> None:
        if self._listeners.get(device) is listener:
            del self._listeners[device]
        if not self._listeners:
            self._end_watcher()

    def _end_watcher(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            self._ending.add(watcher)
            watcher.add_done_callback(self._ending.discard)
            watcher.cancel()

    async def _watch(self) -> None:
        """Watch until nobody listens; after a gap, whoever listens is woken, for anything may have happened in it."""
        while True:
            try:
                async with _on_its_own(self.database) as connection:
                    await (self._watch_file(connection) if self.database.on_sqlite else self._hear(connection))
            except (SQLAlchemyError, OSError) as error:
                log.warning("hints pause: the database cannot be watched: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    async def _watch_file(self, connection: Any) -> None:
        version, seen = None, (await connection.execute(select(commit_clock.c.v))).scalar_one()
        self.tell(seen, None)
        while True:
            now = (await connection.execute(text("PRAGMA data_version"))).scalar_one()
            if now != version:
                version = now
                found = (await connection.execute(_CHANGED, {"seen": seen})).all()
                seen = found[0].v
                names = [row.name for row in found if row.name is not None]
                if names:
                    await self._tell_crews_too(connection, seen, names)
            await asyncio.sleep(self.look_seconds)

    async def _tell_crews_too(self, connection: Any, v: int, names: Collection[str]) -> None:
        """Wake also the crews that were given one of these jobs: nobody in them holds its bucket yet."""
        jobs = [UUID(name.removeprefix(JOB)) for name in names if name.startswith(JOB)]
        crews: list[str] = []
        if jobs and any(name.startswith(CREW) for one in self._listeners.values() for name in one.buckets):
            given = await connection.execute(_GIVEN, {"jobs": jobs})
            crews = [_crew(crew_id) for crew_id in given.scalars()]
        self.tell(v, [*names, *crews])

    async def _hear(self, connection: Any) -> None:
        told: asyncio.Queue[str] = asyncio.Queue(HEARD_MOST)

        def heard(_connection: object, _pid: int, _channel: str, payload: str) -> None:
            _keep(told, payload)

        def gone(_connection: object) -> None:
            _keep(told, GONE)

        driver: Any = (await connection.get_raw_connection()).driver_connection
        driver.add_termination_listener(gone)
        await driver.add_listener(HINT_CHANNEL, heard)
        self.tell(0, None)
        while (payload := await told.get()) != GONE:
            v, *names = payload.split(" ")
            if names:
                await self._tell_crews_too(connection, int(v), names)
            else:
                self.tell(int(v), None)


@asynccontextmanager
async def _on_its_own(database: Database) -> AsyncGenerator[Any]:
    """Open a connection outside the pool, and outside any transaction."""
    engine = create_async_engine(database.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


def _keep(told: "asyncio.Queue[str]", payload: str) -> None:
    """Keep a notification until it is looked at; where there is no room left, one for everybody stands for all."""
    if told.full():
        while not told.empty():
            told.get_nowait()
        payload = payload.partition(" ")[0]
    told.put_nowait(payload)


def _crew(crew_id: UUID) -> str:
    """Name a crew as if it were a bucket: what it is given concerns everybody in it."""
    return f"{CREW}{crew_id}"


def _event(v: int) -> bytes:
    return f"data: {v}\n\n".encode()


_CHANGED: Final = select(commit_clock.c.v, bucket.c.name).select_from(
    commit_clock.outerjoin(bucket, bucket.c.head_v > bindparam("seen"))
)
"""The clock and what is newer than `seen`, in one statement: a commit between two would never be told."""
_CREWS: Final = select(CrewMember.crew_id).where(
    CrewMember.person_id == bindparam("person", type_=Uuid()),
    CrewMember.valid_from <= bindparam("now", type_=UtcDateTime()),
    or_(CrewMember.valid_until.is_(None), CrewMember.valid_until > bindparam("now", type_=UtcDateTime())),
)
_GIVEN: Final = select(Assignment.crew_id).where(
    Assignment.work_order_id.in_(bindparam("jobs", expanding=True)), Assignment.crew_id.is_not(None),
    Assignment.withdrawn_at.is_(None),
)  # fmt: skip
_WELCOME: Final = (
    select(SignInSession.id)
    .join(Person, Person.id == SignInSession.person_id)
    .join(Device, Device.id == SignInSession.device_id)
    .where(SignInSession.id == bindparam("session"), SignInSession.revoked_at.is_(None))
    .where(Person.active.is_(True), Device.revoked_at.is_(None))
)
