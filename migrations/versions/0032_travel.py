"""Travel: what trips have taught, and legs that road networks and servers have answered."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    create_travel_model()
    create_travel_factor()
    create_travel_block()


def downgrade() -> None:
    """Drop them."""
    for table in ("travel_block", "travel_factor", "travel_model"):
        op.drop_table(table)


def create_travel_model() -> None:
    """Create travel_model."""
    op.create_table(
        "travel_model",
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("learnt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trips", sa.Integer(), nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.Column("scale", sa.Double(), nullable=False),
        sa.Column("overhead_seconds", sa.Integer(), nullable=False),
        sa.Column("error_before", sa.Double(), nullable=True),
        sa.Column("error_after", sa.Double(), nullable=True),
        sa.Column("in_use", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_travel_model")),
    )
    op.create_index(op.f("ix_travel_model_provider"), "travel_model", ["provider"])


def create_travel_factor() -> None:
    """Create travel_factor."""
    op.create_table(
        "travel_factor",
        sa.Column("travel_model_id", sa.Uuid(), nullable=False),
        sa.Column("origin", sa.String(length=60), nullable=True),
        sa.Column("destination", sa.String(length=60), nullable=True),
        sa.Column("day_type", sa.String(length=10), nullable=True),
        sa.Column("hour", sa.Integer(), nullable=True),
        sa.Column("factor", sa.Double(), nullable=False),
        sa.Column("trips", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["travel_model_id"], ["travel_model.id"], name=op.f("fk_travel_factor_travel_model_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_travel_factor")),
    )
    op.create_index(op.f("ix_travel_factor_travel_model_id"), "travel_factor", ["travel_model_id"])


def create_travel_block() -> None:
    """Create travel_block."""
    op.create_table(
        "travel_block",
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("origin_bucket", sa.Integer(), nullable=False),
        sa.Column("destination_bucket", sa.Integer(), nullable=False),
        sa.Column("origins", sa.LargeBinary(), nullable=False),
        sa.Column("destinations", sa.LargeBinary(), nullable=False),
        sa.Column("legs", sa.LargeBinary(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_travel_block")),
        sa.UniqueConstraint(
            "version",
            "origin_bucket",
            "destination_bucket",
            name=op.f("uq_travel_block_version_origin_bucket_destination_bucket"),
        ),
    )
