"""How far each phone's ledger is in a backup, so that phones keep what is not; where the clock stood each day."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; no backup was made before. Days are noted from now on."""
    op.add_column("device_incarnation", sa.Column("durable_n", sa.Integer(), nullable=True))
    op.create_table(
        "clock_mark",
        sa.Column("v", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("v", name=op.f("pk_clock_mark")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("clock_mark")
    op.drop_column("device_incarnation", "durable_n")
