"""A visit event says in which datum its position came and where from; what is kept is WGS-84.

Nobody asked those from before in which datum they came; they were taken as WGS-84.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two columns; positions from before stay without."""
    op.add_column("visit_event", sa.Column("datum", sa.String(10), nullable=True))
    op.add_column("visit_event", sa.Column("position_source", sa.String(30), nullable=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("visit_event", "position_source")
    op.drop_column("visit_event", "datum")
