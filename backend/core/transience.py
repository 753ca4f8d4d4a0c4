"""Which database errors may pass when the same work is tried again, and which say that the work itself is bad."""

import sqlite3
from collections.abc import Iterator
from typing import Final

from sqlalchemy.exc import DBAPIError

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


def collided(error: DBAPIError) -> bool:
    """Whether others were in the way: a deadlock, or a history that could not have happened one after another."""
    return any(str(getattr(one.orig, "sqlstate", "")).startswith(COLLISION) for one in _with_its_causes(error))


def _with_its_causes(error: BaseException) -> Iterator[DBAPIError]:
    following: BaseException | None = error
    while following is not None:
        if isinstance(following, DBAPIError):
            yield following
        following = following.__context__


def _passes(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & SQLITE_PRIMARY in PASSING_SQLITE
    sqlstate = getattr(error.orig, "sqlstate", None)
    return isinstance(sqlstate, str) and sqlstate.startswith(PASSING_POSTGRESQL)
