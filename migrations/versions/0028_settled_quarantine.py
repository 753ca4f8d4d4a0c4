"""What became of a mutation that was set aside: its result when it was accepted, why it was dismissed."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two columns; what was set aside before has neither yet."""
    op.add_column("quarantined_mutation", sa.Column("result", sa.LargeBinary(), nullable=True))
    op.add_column("quarantined_mutation", sa.Column("reason", sa.String(), nullable=True))
    op.create_index(op.f("ix_quarantined_mutation_person_id"), "quarantined_mutation", ["person_id"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index(op.f("ix_quarantined_mutation_person_id"), "quarantined_mutation")
    op.drop_column("quarantined_mutation", "reason")
    op.drop_column("quarantined_mutation", "result")
