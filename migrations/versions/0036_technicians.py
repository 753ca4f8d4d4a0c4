"""How many people a work order needs at once; those of before need one."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("work_order", sa.Column("technicians", sa.Integer(), server_default="1", nullable=False))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("work_order", "technicians")
