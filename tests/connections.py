"""SQLite connections a test leaves open: told in that test, not where the garbage collector comes by an hour later.

An application keeps its connections until its lifespan ends, and Litestar keeps the application until another is built;
so whoever calls one without its lifespan has the warning of a connection left behind appear in somebody else's test.
"""

import asyncio
import os
from typing import Any
from weakref import WeakKeyDictionary

import aiosqlite
from sqlalchemy import Pool, event

_opened: WeakKeyDictionary[aiosqlite.Connection, tuple[asyncio.AbstractEventLoop, str]] = WeakKeyDictionary()


def watch() -> None:
    """Note from now on every connection that is opened, and by which test."""
    event.listen(Pool, "connect", _note)


def left() -> list[str]:
    """The tests whose event loop is over while connections opened in it are not, once for each connection."""
    open_still = [connection for connection in _opened if connection._connection is not None]
    over = [_opened.pop(connection) for connection in open_still if _opened[connection][0].is_closed()]
    return [test for _, test in over]


def _note(_connection: Any, record: Any) -> None:
    driver = record.driver_connection
    if isinstance(driver, aiosqlite.Connection):
        _opened[driver] = asyncio.get_running_loop(), os.environ.get("PYTEST_CURRENT_TEST", "no test")
