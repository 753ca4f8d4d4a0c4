"""SQLite asked right here, without the thread its driver keeps for each connection.

The statements, the file and its locks are the same; only nobody is handed a message and waited for. Most of the time
of a history over SQLite went there, and which thread was first was the only thing in it that a seed did not decide.
"""

import sqlite3
from asyncio import Future
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

from sqlalchemy import event
from sqlalchemy.engine import Engine


class _AtOnce:
    """Stands where the driver has the queue of its thread."""

    def put_nowait(self, asked: tuple[Future[Any], Callable[[], Any]]) -> None:
        """Do it, and say so."""
        answer, function = asked
        answer.set_result(function())


class _Cursor:
    """A cursor with the names the driver gives it."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self.arraysize = cursor.arraysize

    async def __aenter__(self) -> Self:
        return self

    @property
    def description(self) -> Any:
        return self._cursor.description

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> "_Cursor":
        self._cursor.execute(statement, parameters)
        return self

    async def executemany(self, statement: str, parameters: Sequence[Sequence[Any]]) -> "_Cursor":
        self._cursor.executemany(statement, parameters)
        return self

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def close(self) -> None:
        self._cursor.close()


class _Connection:
    """A connection with the names the driver gives it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection: sqlite3.Connection | None = connection
        self._conn: Final = connection
        self._tx: Final = _AtOnce()

    @property
    def isolation_level(self) -> str | None:
        return self._conn.isolation_level

    def cursor(self) -> _Cursor:
        return _Cursor(self._conn.cursor())

    async def create_function(self, *args: Any, **named: Any) -> None:
        self._conn.create_function(*args, **named)

    async def commit(self) -> None:
        self._conn.commit()

    async def rollback(self) -> None:
        self._conn.rollback()

    async def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        self._connection = None
        self._conn.close()


async def _connected(*args: Any, **named: Any) -> _Connection:
    return _Connection(sqlite3.connect(*args, **named))


@contextmanager
def asked_here() -> Generator[None]:
    """Let every connection to SQLite that is opened inside be of this kind."""

    def lead(dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        if dialect.driver == "aiosqlite":
            parameters["async_creator_fn"] = _connected

    event.listen(Engine, "do_connect", lead)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", lead)
