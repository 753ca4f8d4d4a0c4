"""Which database errors may pass when the same work is tried again, and which say that the work itself is bad."""

import sqlite3
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncSession

from sync.store import Collided, Transient

SQLITE_PRIMARY: Final = 0xFF
"""The bits of SQLite's extended error code that say what kind of error it is."""
PASSING_SQLITE: Final = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    )
)
PASSING_POSTGRESQL: Final = ("08", "25006", "40", "53", "55P03", "57", "58")
"""Beginnings of SQLSTATE: connection lost, only a standby, serialisation and deadlock, no resources, lock not free,
ended by the operator, system error."""

COLLISION: Final = "40"
"""Serialisation and deadlock."""


def may_pass(error: DBAPIError) -> bool:
    """Whether the same work may succeed later. An error met while undoing another is judged by the other, too."""
    return any(_passes(one) for one in _with_its_causes(error))


@asynccontextmanager
async def telling_transient() -> AsyncGenerator[None]:
    """Turn database errors that may pass into Transient; every other error goes on as it is."""
    try:
        yield
    except NoConnectionFree as error:
        raise Transient(str(error)) from error
    except DBAPIError as error:
        if not may_pass(error):
            raise
        kind = Collided if any(_collided(one) for one in _with_its_causes(error)) else Transient
        raise kind(str(error)) from error


@asynccontextmanager
async def reachable(opening: AbstractAsyncContextManager[AsyncSession]) -> AsyncGenerator[AsyncSession]:
    """Enter a session with its connection open; a database that is not there, now or later, is Transient."""
    async with telling_transient(), AsyncExitStack() as stack:
        try:
            session = await stack.enter_async_context(opening)
            await session.connection()
        except OSError as error:
            raise Transient(str(error)) from error
        yield session


def _with_its_causes(error: BaseException) -> Iterator[DBAPIError]:
    following: BaseException | None = error
    while following is not None:
        if isinstance(following, DBAPIError):
            yield following
        following = following.__context__


def _collided(error: DBAPIError) -> bool:
    return str(getattr(error.orig, "sqlstate", "")).startswith(COLLISION)


def _passes(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & SQLITE_PRIMARY in PASSING_SQLITE
    sqlstate = getattr(error.orig, "sqlstate", None)
    return isinstance(sqlstate, str) and sqlstate.startswith(PASSING_POSTGRESQL)
