"""What live dispatching needs: versions of plans, re-plans and what-ifs, and when visits under way will be over."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0033"
branch_labels = None
depends_on = None

COLUMNS = ("hypothesis", "base_id", "published_by_id", "version", "most_changes", "kind")


def upgrade() -> None:
    """Add the columns and the table, and number the plans published so far."""
    with op.batch_alter_table("plan_run") as plan_run:
        plan_run.add_column(sa.Column("kind", sa.String(length=12), server_default="plan", nullable=False))
        plan_run.add_column(sa.Column("most_changes", sa.Integer(), nullable=True))
        plan_run.add_column(sa.Column("version", sa.Integer(), nullable=True))
        plan_run.add_column(sa.Column("published_by_id", sa.Uuid(), nullable=True))
        plan_run.add_column(sa.Column("base_id", sa.Uuid(), nullable=True))
        plan_run.add_column(sa.Column("hypothesis", sa.JSON(), nullable=True))
        plan_run.create_foreign_key(op.f("fk_plan_run_published_by_id"), "person", ["published_by_id"], ["id"])
        plan_run.create_foreign_key(op.f("fk_plan_run_base_id"), "plan_run", ["base_id"], ["id"])
        plan_run.create_unique_constraint(op.f("uq_plan_run_unit_id_version"), ["unit_id", "version"])
    op.execute(
        "UPDATE plan_run SET version = (SELECT count(*) FROM plan_run AS earlier WHERE earlier.unit_id ="
        " plan_run.unit_id AND (earlier.published_at, earlier.id) <= (plan_run.published_at, plan_run.id))"
        " WHERE published_at IS NOT NULL"
    )
    op.create_table(
        "expected_end",
        sa.Column("visit_id", sa.Uuid(), nullable=False),
        sa.Column("expected_ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reported_by_id", sa.Uuid(), nullable=True),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["reported_by_id"], ["person.id"], name=op.f("fk_expected_end_reported_by_id")),
        sa.ForeignKeyConstraint(["visit_id"], ["visit.id"], name=op.f("fk_expected_end_visit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_expected_end")),
    )
    op.create_index(op.f("ix_expected_end_visit_id"), "expected_end", ["visit_id"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("expected_end")
    with op.batch_alter_table("plan_run") as plan_run:
        plan_run.drop_constraint(op.f("uq_plan_run_unit_id_version"), type_="unique")
        plan_run.drop_constraint(op.f("fk_plan_run_base_id"), type_="foreignkey")
        plan_run.drop_constraint(op.f("fk_plan_run_published_by_id"), type_="foreignkey")
        for column in COLUMNS:
            plan_run.drop_column(column)
