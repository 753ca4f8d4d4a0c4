"""How far each phone's ledger is in a backup, so that phones keep what is not."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no backup was made before."""
    op.add_column("device_incarnation", sa.Column("durable_n", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("device_incarnation", "durable_n")
