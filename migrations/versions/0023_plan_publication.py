"""A plan run keeps what it was made from, and what publishing it changed."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two columns; runs made before have neither, and those done are planned again."""
    op.add_column("plan_run", sa.Column("standings", sa.JSON(), nullable=True))
    op.add_column("plan_run", sa.Column("publication", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("plan_run", "publication")
    op.drop_column("plan_run", "standings")
