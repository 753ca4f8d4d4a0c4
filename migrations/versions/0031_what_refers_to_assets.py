"""Indexes of what refers to assets and positions, which is asked before one of them is removed."""

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

REFERENCES = (
    ("asset", "merged_into_id"),
    ("maintenance_due", "asset_id"),
    ("position", "parent_id"),
    ("service_request", "asset_id"),
    ("work_order", "asset_id"),
)


def upgrade() -> None:
    """Create the indexes."""
    for table, column in REFERENCES:
        op.create_index(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    """Drop them."""
    for table, column in REFERENCES:
        op.drop_index(f"ix_{table}_{column}", table_name=table)
