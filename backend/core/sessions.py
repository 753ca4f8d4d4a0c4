"""Using the database: `read` is a snapshot, `write` one transaction, committed before the answer is sent."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import msgspec
from sqlalchemy import Connection, Executable, Row, create_engine
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from backend.core.changes import stamp
from backend.core.sqlite import BUSY_SECONDS, HERE, SqliteConnection, prepare_sqlite

READERS: Final = 8
"""Read connections a process keeps; PostgreSQL writers share the same number."""
LOOKERS: Final = 4
"""Connections a process keeps for single statements on PostgreSQL."""
LOOKUP_SECONDS: Final = 1
"""How long a single statement waits where readers hardly ever wait: only for a file that is being recovered."""


def _json_text(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


class Database:
    """Sessions on SQLite (one writer, many readers, WAL) or PostgreSQL.

    Who says that a session is `short` promises that no statement of it takes long: SQLite then works in the event loop
    itself, which costs a fraction of handing each statement to a thread.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.on_sqlite = self.url.get_backend_name() == "sqlite"
        engines = _sqlite_engines(self.url) if self.on_sqlite else [_postgresql_engine(self.url)] * 4
        self._engines = set(engines)
        self._readers, self._writers, self._short_readers, self._short_writers = (
            async_sessionmaker(engine, expire_on_commit=False) for engine in engines
        )
        self._one_writer = asyncio.Lock()
        self._lookups = _lookup_engine(self.url) if self.on_sqlite else None
        self._lookup: Connection | None = None
        self._bare = None if self.on_sqlite else _bare_engine(self.url)

    async def look_up(self, statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Return the rows of one statement that finds what it needs by key, outside any transaction.

        It is a snapshot of its own, and the cheapest question there is: on SQLite it is asked right here, in some
        hundredths of a millisecond, where a thread of its own and a transaction around it would cost fifty times that.
        """
        if self._lookups is not None:
            return self._looked_up_here(self._lookups, statement, parameters)
        async with cast("AsyncEngine", self._bare).connect() as connection:
            return (await connection.execute(statement, parameters)).all()

    def _looked_up_here(
        self, engine: Engine, statement: Executable, parameters: Mapping[str, Any]
    ) -> Sequence[Row[Any]]:
        """Ask over one connection that stays open: fetching one from a pool takes as long as the question."""
        if self._lookup is None:
            self._lookup = engine.connect()
        try:
            return self._lookup.execute(statement, parameters).all()
        except DBAPIError:
            self._lookup.close()
            self._lookup = None
            raise

    @asynccontextmanager
    async def read(self, *, short: bool = False) -> AsyncGenerator[AsyncSession]:
        """One snapshot: everything read inside belongs to the same instant.

        Writing inside is refused by the database.
        """
        async with (self._short_readers if short else self._readers)() as session:
            if not self.on_sqlite:
                await session.connection(
                    execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                )
            yield session

    @asynccontextmanager
    async def write(self, *, short: bool = False) -> AsyncGenerator[AsyncSession]:
        """One transaction, stamped with the commit clock and committed on leaving.

        An exception rolls all of it back.
        """
        sessions = self._short_writers if short else self._writers
        if self.on_sqlite:
            async with self._one_writer, _transaction(sessions) as session:
                yield session
        else:
            async with _transaction(sessions) as session:
                yield session

    @asynccontextmanager
    async def bare(self) -> AsyncGenerator[AsyncConnection]:
        """A connection to PostgreSQL for single statements, each of which is committed at once."""
        async with cast("AsyncEngine", self._bare).connect() as connection:
            yield connection

    async def close(self) -> None:
        """Close every connection; whoever asks again, on whatever event loop, gets new ones."""
        for engine in self._engines:
            await engine.dispose()
        if self._bare is not None:
            await self._bare.dispose()
        if self._lookup is not None:
            self._lookup.close()
            self._lookup = None
        if self._lookups is not None:
            self._lookups.dispose()
        self._one_writer = asyncio.Lock()


@asynccontextmanager
async def _transaction(sessions: async_sessionmaker[AsyncSession]) -> AsyncGenerator[AsyncSession]:
    async with sessions() as session, session.begin():
        yield session
        await session.flush()
        await session.run_sync(stamp)


def _postgresql_engine(url: URL) -> AsyncEngine:
    return create_async_engine(
        url, pool_size=READERS, max_overflow=READERS, pool_timeout=BUSY_SECONDS,
        json_serializer=_json_text, json_deserializer=msgspec.json.decode,
    )  # fmt: skip


def _bare_engine(url: URL) -> AsyncEngine:
    """Connections for single statements: no transaction is begun, so none has to be ended when one is given back."""
    return create_async_engine(
        url, pool_size=LOOKERS, max_overflow=0, pool_timeout=BUSY_SECONDS, isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None, json_deserializer=msgspec.json.decode,
    )  # fmt: skip


def _sqlite_engines(url: URL) -> list[AsyncEngine]:
    """Return the engines of readers, writers, short readers and short writers."""
    short = url.set(drivername=HERE)
    return [_sqlite_engine(one, write=write) for one in (url, short) for write in (False, True)]


def _sqlite_engine(url: URL, *, write: bool) -> AsyncEngine:
    engine = create_async_engine(
        url, pool_size=1 if write else READERS, max_overflow=0, pool_timeout=BUSY_SECONDS,
        connect_args={"timeout": BUSY_SECONDS, "factory": SqliteConnection}, json_serializer=_json_text,
        json_deserializer=msgspec.json.decode,
    )  # fmt: skip
    prepare_sqlite(engine.sync_engine, write=write)
    return engine


def _lookup_engine(url: URL) -> Engine:
    engine = create_engine(
        url.set(drivername="sqlite"), connect_args={"timeout": LOOKUP_SECONDS, "check_same_thread": False},
        json_deserializer=msgspec.json.decode,
    )  # fmt: skip
    prepare_sqlite(engine, write=False, begin=False)
    return engine
