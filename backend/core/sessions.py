"""Using the database: `read` is a snapshot, `write` one transaction, committed before the answer is sent."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import msgspec
from sqlalchemy import Executable, Row, create_engine, event
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from backend.core.changes import stamp

READERS: Final = 8
"""Read connections a process keeps; PostgreSQL writers share the same number."""
LOOKUP_SECONDS: Final = 1
"""How long a single statement waits where readers hardly ever wait: only for a file that is being recovered."""
BUSY_SECONDS: Final = 30
"""How long a transaction waits for SQLite's one writer, or for a connection, before its caller is told `busy`."""


def _json_text(value: object) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


class Database:
    """Sessions on SQLite (one writer, many readers, WAL) or PostgreSQL."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.on_sqlite = self.url.get_backend_name() == "sqlite"
        self._readers = self._sqlite_engine(write=False) if self.on_sqlite else self._postgresql_engine()
        self._writers = self._sqlite_engine(write=True) if self.on_sqlite else self._readers
        self._read_sessions = async_sessionmaker(self._readers, expire_on_commit=False)
        self._write_sessions = async_sessionmaker(self._writers, expire_on_commit=False)
        self._one_writer = asyncio.Lock()
        self._lookups = self._lookup_engine() if self.on_sqlite else None
        self._bare = None if self.on_sqlite else self._readers.execution_options(isolation_level="AUTOCOMMIT")

    def _postgresql_engine(self) -> AsyncEngine:
        return create_async_engine(
            self.url, pool_size=READERS, max_overflow=READERS, pool_timeout=BUSY_SECONDS,
            json_serializer=_json_text, json_deserializer=msgspec.json.decode,
        )  # fmt: skip

    def _sqlite_engine(self, *, write: bool) -> AsyncEngine:
        engine = create_async_engine(
            self.url, pool_size=1 if write else READERS, max_overflow=0, pool_timeout=BUSY_SECONDS,
            connect_args={"timeout": BUSY_SECONDS}, json_serializer=_json_text, json_deserializer=msgspec.json.decode,
        )  # fmt: skip
        prepare_sqlite(engine.sync_engine, write=write)
        return engine

    def _lookup_engine(self) -> Engine:
        engine = create_engine(
            self.url.set(drivername="sqlite"), connect_args={"timeout": LOOKUP_SECONDS},
            json_deserializer=msgspec.json.decode,
        )  # fmt: skip
        prepare_sqlite(engine, write=False, begin=False)
        return engine

    async def look_up(self, statement: Executable, parameters: Mapping[str, Any]) -> Sequence[Row[Any]]:
        """Return the rows of one statement that finds what it needs by key, outside any transaction.

        It is a snapshot of its own, and the cheapest question there is: on SQLite it is asked right here, in some
        hundredths of a millisecond, where a thread of its own and a transaction around it would cost fifty times that.
        """
        if self._lookups is not None:
            with self._lookups.connect() as connection:
                return connection.execute(statement, parameters).all()
        async with cast("AsyncEngine", self._bare).connect() as connection:
            return (await connection.execute(statement, parameters)).all()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncSession]:
        """One snapshot: everything read inside belongs to the same instant.

        Writing inside is refused by the database.
        """
        async with self._read_sessions() as session:
            if not self.on_sqlite:
                await session.connection(
                    execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                )
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncSession]:
        """One transaction, stamped with the commit clock and committed on leaving.

        An exception rolls all of it back.
        """
        if self.on_sqlite:
            async with self._one_writer, self._transaction() as session:
                yield session
        else:
            async with self._transaction() as session:
                yield session

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[AsyncSession]:
        async with self._write_sessions() as session, session.begin():
            yield session
            await session.flush()
            await session.run_sync(stamp)

    async def close(self) -> None:
        """Close every connection; whoever asks again, on whatever event loop, gets new ones."""
        await self._readers.dispose()
        await self._writers.dispose()
        if self._lookups is not None:
            self._lookups.dispose()
        self._one_writer = asyncio.Lock()


def prepare_sqlite(engine: Any, *, write: bool, begin: bool = True) -> None:
    """Make every connection of a (sync) SQLite engine obey: foreign keys, WAL, full fsync, explicit BEGIN."""

    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={BUSY_SECONDS * 1000}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        if not write:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    event.listen(engine, "connect", on_connect)
    if begin:
        event.listen(engine, "begin", on_begin)
