"""The change feed in the order pages are sent in, so that a page need not sort what is left."""

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index."""
    op.create_index("ix_change_page", "change", ["bucket", "entity", "row_id"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_change_page", table_name="change")
