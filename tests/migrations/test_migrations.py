"""The schema goes up from nothing, down to nothing and up again, on both databases, and its triggers are all there."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from backend.core import migrate
from backend.core.changes import SYNCED
from backend.core.sessions import Database
from backend.imports.presets import load_presets
from backend.tables import metadata

TRIGGERS = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT tgname FROM pg_trigger JOIN pg_class c ON c.oid = tgrelid "
    "WHERE NOT tgisinternal AND c.relnamespace = 'public'::regnamespace",
}
FUNCTIONS = "SELECT proname FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE n.nspname = 'public'"


def ask(url: str, question: str) -> set[str]:
    async def run() -> set[str]:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            answer = {str(row[0]) for row in (await connection.execute(text(question))).all()}
        await engine.dispose()
        return answer

    return asyncio.run(run())


def tables_in(url: str) -> set[str]:
    async def run() -> Sequence[str]:
        engine = create_async_engine(url)
        async with engine.connect() as connection:
            names = await connection.run_sync(lambda sync: inspect(sync).get_table_names())
        await engine.dispose()
        return names

    return set(asyncio.run(run())) - {"alembic_version"}


def kind_of(url: str) -> str:
    return url.partition("+")[0]


def test_up_down_and_up_again_leaves_the_schema_the_code_expects(empty_database_url: str) -> None:
    url = empty_database_url
    migrate.upgrade(url)
    assert tables_in(url) == set(metadata.tables)
    migrate.check(url)
    migrate.downgrade(url)
    assert tables_in(url) == set()
    assert ask(url, TRIGGERS[kind_of(url)]) == set()
    if kind_of(url) == "postgresql":
        assert ask(url, FUNCTIONS) == set()
    migrate.upgrade(url)
    migrate.check(url)
    assert tables_in(url) == set(metadata.tables)


def test_every_single_step_goes_up_and_down(empty_database_url: str) -> None:
    url = empty_database_url
    config = Config(migrate.ROOT / "alembic.ini")
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]
    for revision in revisions:
        migrate.upgrade(url, revision)
    for revision in reversed([None, *revisions[:-1]]):
        migrate.downgrade(url, revision or "base")
    assert tables_in(url) == set()


def test_there_is_one_line_of_migrations() -> None:
    scripts = ScriptDirectory.from_config(Config(migrate.ROOT / "alembic.ini"))
    assert len(scripts.get_heads()) == 1
    numbers = [script.revision for script in scripts.walk_revisions()]
    assert numbers == sorted(numbers, reverse=True)


def test_a_database_with_rows_goes_down(database_url: str) -> None:
    """Deferred constraints and triggers must not hold a downgrade up."""
    url = database_url

    async def fill() -> None:
        database = Database(url)
        async with database.write() as session:
            assert await load_presets(session, now=datetime(2026, 3, 2, tzinfo=UTC)) > 0
        await database.close()

    asyncio.run(fill())
    migrate.downgrade(url)
    assert tables_in(url) == set()


def test_exactly_the_synced_tables_have_their_triggers(database_url: str) -> None:
    expected = {f"unstamped_{table}_{write}" for table in SYNCED for write in ("insert", "update", "delete")}
    assert ask(database_url, TRIGGERS[kind_of(database_url)]) == expected
    assert len(SYNCED) > 20


@pytest.mark.parametrize("name", sorted(SYNCED))
def test_a_synced_table_has_a_key_and_a_bucket_of_its_own_columns(name: str) -> None:
    synced = SYNCED[name]
    assert [column.name for column in synced.table.primary_key] == ["id"]
    columns = {column.name: f"<{column.name}>" for column in synced.table.columns}
    bucket = synced.bucket_of(columns)
    assert bucket is not None
    assert "{" not in bucket
    assert synced.bucket_of(dict.fromkeys(columns)) is None or "{" not in synced.bucket
