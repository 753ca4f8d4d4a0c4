"""What the scope is worked out from: whatever it reads must move the clock, or a phone would never be told."""

from sqlalchemy import Table
from sqlalchemy.sql import visitors

from backend.core.changes import SYNCED, bucket
from backend.devices.scope import HELD_WITH_HEADS


def test_the_scope_reads_synced_tables_only() -> None:
    """A pull that finds the clock where it was does not look at the scope again."""
    read = {table.name for table in visitors.iterate(HELD_WITH_HEADS) if isinstance(table, Table)}
    assert read >= {"assignment", "crew_member", "person", "site", "site_contact", "visit", "work_order"}
    assert read - {bucket.name} <= SYNCED.keys()
