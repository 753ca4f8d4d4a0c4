"""Tables of devices."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables in the order of their foreign keys."""
    create_device_grant()
    create_device_incarnation()
    create_device_view()
    create_field_conflict()
    create_ledger_entry()
    create_quarantined_mutation()


def downgrade() -> None:
    """Drop them in the opposite order."""
    for table in (
        "quarantined_mutation",
        "ledger_entry",
        "field_conflict",
        "device_view",
        "device_incarnation",
        "device_grant",
    ):
        op.drop_table(table)


def create_device_grant() -> None:
    """Create device_grant."""
    op.create_table(
        "device_grant",
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("bucket", sa.String(length=80), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_device_grant_device_id")),
        sa.PrimaryKeyConstraint("device_id", "bucket", name=op.f("pk_device_grant")),
    )


def create_device_incarnation() -> None:
    """Create device_incarnation."""
    op.create_table(
        "device_incarnation",
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("incarnation", sa.Uuid(), nullable=False),
        sa.Column("prefix", sa.String(length=8), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("acked_n", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_device_incarnation_device_id")),
        sa.PrimaryKeyConstraint("device_id", "incarnation", name=op.f("pk_device_incarnation")),
        sa.UniqueConstraint("prefix", name=op.f("uq_device_incarnation_prefix")),
    )


def create_device_view() -> None:
    """Create device_view."""
    op.create_table(
        "device_view",
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Uuid(), nullable=False),
        sa.Column("v", sa.BigInteger(), nullable=False),
        sa.Column("buckets", sa.JSON(), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("served_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_device_view_device_id")),
        sa.PrimaryKeyConstraint("device_id", "generation", name=op.f("pk_device_view")),
    )


def create_field_conflict() -> None:
    """Create field_conflict."""
    op.create_table(
        "field_conflict",
        sa.Column("bucket", sa.String(length=80), nullable=True),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("field", sa.String(length=40), nullable=False),
        sa.Column("base", sa.JSON(), nullable=False),
        sa.Column("mine", sa.JSON(), nullable=False),
        sa.Column("theirs", sa.JSON(), nullable=False),
        sa.Column("mutation_id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by_id", sa.Uuid(), nullable=True),
        sa.Column("decision", sa.String(length=10), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["decided_by_id"], ["person.id"], name=op.f("fk_field_conflict_decided_by_id")),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_field_conflict_device_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_field_conflict_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_field_conflict")),
    )
    op.create_index("ix_field_conflict_row", "field_conflict", ["entity", "subject_id", "decided_at"], unique=False)


def create_ledger_entry() -> None:
    """Create ledger_entry."""
    op.create_table(
        "ledger_entry",
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("incarnation", sa.Uuid(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("mutation_id", sa.Uuid(), nullable=True),
        sa.Column("repeats_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("payload_sum", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("result", sa.LargeBinary(), nullable=False),
        sa.Column("fault", sa.String(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_ledger_entry_device_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_ledger_entry_person_id")),
        sa.PrimaryKeyConstraint("device_id", "incarnation", "n", name=op.f("pk_ledger_entry")),
        sa.UniqueConstraint("mutation_id", name=op.f("uq_ledger_entry_mutation_id")),
    )
    op.create_index(op.f("ix_ledger_entry_status"), "ledger_entry", ["status"], unique=False)


def create_quarantined_mutation() -> None:
    """Create quarantined_mutation."""
    op.create_table(
        "quarantined_mutation",
        sa.Column("device_id", sa.Uuid(), nullable=False),
        sa.Column("incarnation", sa.Uuid(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by_id", sa.Uuid(), nullable=True),
        sa.Column("settlement", sa.String(length=20), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_quarantined_mutation_device_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_quarantined_mutation_person_id")),
        sa.ForeignKeyConstraint(["settled_by_id"], ["person.id"], name=op.f("fk_quarantined_mutation_settled_by_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantined_mutation")),
        sa.UniqueConstraint(
            "device_id", "incarnation", "n", name=op.f("uq_quarantined_mutation_device_id_incarnation_n")
        ),
    )
