"""SQLite as the product uses it: WAL, full fsync, explicit BEGIN; and a driver that works in the event loop itself."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import AsyncAdaptedQueuePool, Connection, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor, ExecutionContext
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import await_only
from typing_extensions import override

BUSY_SECONDS: Final = 30
"""How long a transaction waits for SQLite's one writer, or for a connection, before its caller is told `busy`."""
HERE: Final = "sqlite+here"
"""URLs that begin so have their statements run where they are asked, without a thread of their own."""
WAITERS: Final = 4
"""Threads that wait for SQLite; a database has one writer at a time, and a process hardly ever two databases."""

_WAITING: Final = ThreadPoolExecutor(WAITERS, thread_name_prefix="sqlite")
"""Threads that only wait for SQLite: a slow mail server must not keep the one writer waiting for a thread."""


class _Cursor(sqlite3.Cursor):
    async def _async_soft_close(self) -> None:
        """What SQLAlchemy asks of the cursors of an async driver: nothing is left to wait for."""


class SqliteConnection(sqlite3.Connection):
    """A connection that takes back what was not committed, and gives up the one writer's lock, when it is closed.

    Whoever is cut off in the middle of a query leaves its cursor behind, in the traceback; SQLite keeps a closed
    connection, and its lock, for as long as there is one. What that cursor was reading stays readable until it goes.
    """

    @override
    def close(self) -> None:
        with suppress(sqlite3.Error):  # it is closed in any case
            self.rollback()
        super().close()

    @override
    def cursor(self, factory: type[sqlite3.Cursor] = _Cursor) -> sqlite3.Cursor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().cursor(factory)


class HereDialect(SQLiteDialect_pysqlite):
    """Statements run in the event loop, for transactions whose statements are known to be short.

    A short statement takes some hundredths of a millisecond; handing it to a thread and back takes several times that.
    What may wait for somebody else, BEGIN IMMEDIATE for another writer and COMMIT for the disk, still goes to a thread.
    """

    driver = "here"
    is_async = True
    supports_statement_cache = True

    @override
    @classmethod
    def get_pool_class(cls, url: URL) -> type[AsyncAdaptedQueuePool]:
        """Connections are waited for, not blocked on."""
        return AsyncAdaptedQueuePool

    @override
    def connect(self, *arguments: Any, **options: Any) -> DBAPIConnection:
        """Connect so that the thread that commits may be another."""
        return super().connect(*arguments, **{**options, "check_same_thread": False})

    @override
    def do_commit(self, dbapi_connection: PoolProxiedConnection) -> None:
        """Commit, letting others go on while the disk is waited for."""
        await_only(_elsewhere(dbapi_connection.commit))

    @override
    def do_execute_no_params(
        self, cursor: DBAPICursor, statement: str, context: ExecutionContext | None = None
    ) -> None:
        """Execute a statement that may have to wait; only BEGIN IMMEDIATE is said this way."""
        await_only(_elsewhere(lambda: cursor.execute(statement)))


async def _elsewhere(work: Callable[[], object]) -> None:
    """Do it in a thread, and to its end even when nobody waits any more: the connection is not free before."""
    doing = asyncio.get_running_loop().run_in_executor(_WAITING, work)
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        while not doing.done():
            with suppress(asyncio.CancelledError):  # told again: it still has to end first
                await asyncio.wait([doing])
        doing.exception()  # nobody is left to hear of it
        raise


registry.register("sqlite.here", __name__, HereDialect.__name__)


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

    def on_begin(connection: Connection) -> None:
        if write:
            connection.exec_driver_sql("BEGIN IMMEDIATE", execution_options={"no_parameters": True})
        else:
            connection.exec_driver_sql("BEGIN")

    event.listen(engine, "connect", on_connect)
    if begin:
        event.listen(engine, "begin", on_begin)
