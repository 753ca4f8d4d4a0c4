"""Indexes of columns that decide who may see what: every list of a technician or a crew is filtered by them."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

INDEXED = (
    ("request_owner", "person_id"),
    ("site_owner", "person_id"),
    ("site_owner", "crew_id"),
    ("assignment", "crew_id"),
    ("person", "unit_id"),
    ("stock_movement", "from_location_id"),
    ("stock_movement", "to_location_id"),
)


def upgrade() -> None:
    """Add them."""
    for table, column in INDEXED:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def downgrade() -> None:
    """Drop them."""
    for table, column in reversed(INDEXED):
        op.drop_index(op.f(f"ix_{table}_{column}"), table)
