"""What a plan run was made from is more than how its visits stood: the column is called after all of it."""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rename the column."""
    op.execute("ALTER TABLE plan_run RENAME COLUMN standings TO basis")


def downgrade() -> None:
    """Name it as before."""
    op.execute("ALTER TABLE plan_run RENAME COLUMN basis TO standings")
