"""The physical limit: what the same database needs when it is only read and spliced, or only written, and no more."""

# pyright: basic
# asyncpg has no types

import sqlite3
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Final

import asyncpg
from sqlalchemy.engine import make_url

from backend.core.ids import new_id

SPLICE: Final = (
    "SELECT body FROM change WHERE bucket LIKE 'site:%' AND deleted = {false} ORDER BY bucket, entity, row_id"
)
TABLE: Final = "CREATE TABLE IF NOT EXISTS raw_insert (id TEXT PRIMARY KEY, body TEXT NOT NULL)"
MILLISECONDS: Final = 1_000


class RawSqlite:
    """sqlite3 in this process, with WAL and full fsync as the product has it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def splice(self) -> float:
        """Milliseconds to read the records and join them."""
        with closing(sqlite3.connect(self.path)) as connection:
            began = perf_counter()
            _spliced(body for (body,) in connection.execute(SPLICE.format(false="0")))
            return (perf_counter() - began) * MILLISECONDS

    async def insert(self, rows: int, body: str) -> float:
        """Milliseconds to insert rows of this size in one durable transaction."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(TABLE)
            new = [(new_id().hex, body) for _ in range(rows)]
            began = perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO raw_insert VALUES (?, ?)", new)
            connection.execute("COMMIT")
            return (perf_counter() - began) * MILLISECONDS


class RawPostgresql:
    """asyncpg in this process."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)

    async def splice(self) -> float:
        """Milliseconds to read the records and join them."""
        connection = await asyncpg.connect(self.url)
        try:
            began = perf_counter()
            _spliced(row[0] for row in await connection.fetch(SPLICE.format(false="false")))
            return (perf_counter() - began) * MILLISECONDS
        finally:
            await connection.close()

    async def insert(self, rows: int, body: str) -> float:
        """Milliseconds to insert rows of this size in one durable transaction."""
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(TABLE)
            new = [(new_id().hex, body) for _ in range(rows)]
            began = perf_counter()
            async with connection.transaction():
                await connection.executemany("INSERT INTO raw_insert VALUES ($1, $2)", new)
            return (perf_counter() - began) * MILLISECONDS
        finally:
            await connection.close()


def _spliced(bodies) -> bytes:
    return b"[" + b",".join(body.encode() for body in bodies) + b"]"
