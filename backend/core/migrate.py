"""Bringing a database to the newest schema, from the program itself: nothing to run by hand."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from backend.core.sqlite import prepare_sqlite

ROOT = Path(__file__).resolve().parents[2]


def upgrade(url: str, revision: str = "head") -> None:
    """Migrate up to `revision`, in one transaction. Must not be called from a running event loop."""
    in_transaction(url, lambda config: command.upgrade(config, revision))


def downgrade(url: str, revision: str = "base") -> None:
    """Migrate down to `revision`, in one transaction; rows of dropped tables are gone."""
    in_transaction(url, lambda config: command.downgrade(config, revision))


def check(url: str) -> None:
    """Raise alembic.util.CommandError if the tables in the code and in the database differ."""
    in_transaction(url, command.check)


def head() -> str:
    """Return the newest schema revision this version knows."""
    return str(_scripts().get_current_head())


def knows(revision: str) -> bool:
    """Whether this version can bring a database at that revision to its own."""
    return any(one.revision == revision for one in _scripts().walk_revisions())


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(Config(ROOT / "alembic.ini"))


def in_transaction(url: str, work: Callable[[Config], None]) -> None:
    """Run an Alembic command on one connection to `url`, in one transaction."""

    def on_connection(connection: Connection) -> None:
        config = Config(ROOT / "alembic.ini")
        config.attributes["connection"] = connection
        work(config)

    async def run() -> None:
        engine = create_async_engine(url)
        if engine.dialect.name == "sqlite":
            prepare_sqlite(engine.sync_engine, write=True)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(on_connection)
        finally:
            await engine.dispose()

    asyncio.run(run())
