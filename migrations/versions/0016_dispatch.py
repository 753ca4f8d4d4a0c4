"""Tables of dispatch."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables in the order of their foreign keys."""
    create_plan_run()
    create_unplanned_visit()


def downgrade() -> None:
    """Drop them in the opposite order."""
    for table in (
        "unplanned_visit",
        "plan_run",
    ):
        op.drop_table(table)


def create_plan_run() -> None:
    """Create plan_run."""
    op.create_table(
        "plan_run",
        sa.Column("unit_id", sa.Uuid(), nullable=False),
        sa.Column("horizon_starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("horizon_ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("requested_by_id", sa.Uuid(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("plan", sa.JSON(), nullable=True),
        sa.Column("violations", sa.JSON(), nullable=False),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["requested_by_id"], ["person.id"], name=op.f("fk_plan_run_requested_by_id")),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_plan_run_unit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan_run")),
    )
    op.create_index("ix_plan_run_unit", "plan_run", ["unit_id", "requested_at"], unique=False)


def create_unplanned_visit() -> None:
    """Create unplanned_visit."""
    op.create_table(
        "unplanned_visit",
        sa.Column("plan_run_id", sa.Uuid(), nullable=False),
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["plan_run_id"], ["plan_run.id"], name=op.f("fk_unplanned_visit_plan_run_id")),
        sa.ForeignKeyConstraint(["visit_id"], ["visit.id"], name=op.f("fk_unplanned_visit_visit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_unplanned_visit")),
    )
    op.create_index(op.f("ix_unplanned_visit_plan_run_id"), "unplanned_visit", ["plan_run_id"], unique=False)
    op.create_index(op.f("ix_unplanned_visit_visit_id"), "unplanned_visit", ["visit_id"], unique=False)
