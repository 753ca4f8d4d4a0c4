"""The triggers that make the database refuse a commit nobody stamped (see backend/core/changes.py).

Each touched row of a synced table is noted in `unstamped`, whose deferred foreign key can never hold; stamping deletes
the notes. PostgreSQL notes rows per statement from its transition tables; SQLite per row, and only one transaction
writes there.
"""

from collections.abc import Iterator, Sequence

from alembic import op

WRITES = (("INSERT", "fresh"), ("UPDATE", "fresh"), ("DELETE", "stale"))

NOTE_FUNCTION = """
CREATE FUNCTION note_unstamped() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO unstamped (tx, entity, row_id)
    SELECT pg_current_xact_id()::text::bigint, TG_TABLE_NAME, touched.id FROM touched
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""


def install_function() -> None:
    """Create what the triggers call (PostgreSQL), and spare `unstamped` the write-ahead log.

    It is empty at every commit.
    """
    if op.get_bind().dialect.name == "postgresql":
        op.execute(NOTE_FUNCTION)
        op.execute("ALTER TABLE unstamped SET UNLOGGED")


def remove_function() -> None:
    """Take the function away again."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION note_unstamped")


def install(tables: Sequence[str]) -> None:
    """Put the triggers on synced tables."""
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for table in tables:
        for statement in _on_postgresql(table) if on_postgresql else _on_sqlite(table):
            op.execute(statement)


def remove(tables: Sequence[str]) -> None:
    """Take the triggers off."""
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for table in tables:
        for write, _ in WRITES:
            name = _name(table, write)
            op.execute(f"DROP TRIGGER {name} ON {table}" if on_postgresql else f"DROP TRIGGER {name}")


def _name(table: str, write: str) -> str:
    return f"unstamped_{table}_{write.lower()}"


def _on_postgresql(table: str) -> Iterator[str]:
    for write, rows in WRITES:
        version = "NEW" if rows == "fresh" else "OLD"
        yield (
            f"CREATE TRIGGER {_name(table, write)} AFTER {write} ON {table} "
            f"REFERENCING {version} TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION note_unstamped()"
        )


def _on_sqlite(table: str) -> Iterator[str]:
    for write, rows in WRITES:
        version = "NEW" if rows == "fresh" else "OLD"
        yield (
            f"CREATE TRIGGER {_name(table, write)} AFTER {write} ON {table} BEGIN "
            f"INSERT INTO unstamped (tx, entity, row_id) SELECT 0, '{table}', {version}.id "
            f"WHERE NOT EXISTS (SELECT 1 FROM unstamped WHERE entity = '{table}' AND row_id = {version}.id); END"
        )
