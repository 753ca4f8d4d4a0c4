"""Tables of maintenance."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables in the order of their foreign keys."""
    create_maintenance_plan()
    create_maintenance_due()


def downgrade() -> None:
    """Drop them in the opposite order."""
    for table in (
        "maintenance_due",
        "maintenance_plan",
    ):
        op.drop_table(table)


def create_maintenance_plan() -> None:
    """Create maintenance_plan."""
    op.create_table(
        "maintenance_plan",
        sa.Column("unit_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("template_version_id", sa.Uuid(), nullable=False),
        sa.Column("asset_types", sa.JSON(), nullable=False),
        sa.Column("recurrence", sa.String(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("last_done_on", sa.Date(), nullable=True),
        sa.Column("duration_minutes", sa.Integer(), nullable=False),
        sa.Column("required_skills", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=True),
        sa.Column("import_batch_id", sa.Uuid(), nullable=True),
        sa.Column("go_live_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["import_batch_id"], ["import_batch.id"], name=op.f("fk_maintenance_plan_import_batch_id")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_maintenance_plan_site_id")),
        sa.ForeignKeyConstraint(
            ["template_version_id"],
            ["checklist_template_version.id"],
            name=op.f("fk_maintenance_plan_template_version_id"),
        ),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_maintenance_plan_unit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maintenance_plan")),
        sa.UniqueConstraint("external_id", name=op.f("uq_maintenance_plan_external_id")),
    )
    op.create_index(op.f("ix_maintenance_plan_import_batch_id"), "maintenance_plan", ["import_batch_id"], unique=False)
    op.create_index(op.f("ix_maintenance_plan_site_id"), "maintenance_plan", ["site_id"], unique=False)


def create_maintenance_due() -> None:
    """Create maintenance_due."""
    op.create_table(
        "maintenance_due",
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=True),
        sa.Column("period_from_on", sa.Date(), nullable=False),
        sa.Column("period_until_on", sa.Date(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("work_order_id", sa.Uuid(), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waived_reason", sa.String(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_maintenance_due_asset_id")),
        sa.ForeignKeyConstraint(["plan_id"], ["maintenance_plan.id"], name=op.f("fk_maintenance_due_plan_id")),
        sa.ForeignKeyConstraint(["work_order_id"], ["work_order.id"], name=op.f("fk_maintenance_due_work_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maintenance_due")),
        sa.UniqueConstraint(
            "plan_id", "period_from_on", "asset_id", name=op.f("uq_maintenance_due_plan_id_period_from_on_asset_id")
        ),
    )
    op.create_index("ix_maintenance_due_state", "maintenance_due", ["state", "period_until_on"], unique=False)
    op.create_index(op.f("ix_maintenance_due_work_order_id"), "maintenance_due", ["work_order_id"], unique=False)
