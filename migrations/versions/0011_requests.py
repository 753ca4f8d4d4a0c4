"""Tables of requests."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables in the order of their foreign keys."""
    create_service_request()
    create_escalation()
    create_request_inquiry()
    create_request_owner()


def downgrade() -> None:
    """Drop them in the opposite order."""
    for table in (
        "request_owner",
        "request_inquiry",
        "escalation",
        "service_request",
    ):
        op.drop_table(table)


def create_service_request() -> None:
    """Create service_request."""
    op.create_table(
        "service_request",
        sa.Column("unit_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(length=40), nullable=False),
        sa.Column("device_number", sa.String(length=40), nullable=True),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=True),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column("reporter_name", sa.String(), nullable=False),
        sa.Column("reporter_phone", sa.String(length=40), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("symptom", sa.String(), nullable=False),
        sa.Column("wishes", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("affected_scope", sa.String(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_contact_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("missing_facts", sa.JSON(), nullable=False),
        sa.Column("nature", sa.String(length=30), nullable=True),
        sa.Column("service_mode", sa.String(length=20), nullable=True),
        sa.Column("priority", sa.String(length=10), nullable=True),
        sa.Column("required_skills", sa.JSON(), nullable=False),
        sa.Column("estimated_minutes", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("cause", sa.String(length=60), nullable=True),
        sa.Column("resolution", sa.String(length=60), nullable=True),
        sa.Column("duplicate_of_id", sa.Uuid(), nullable=True),
        sa.Column("reopened_count", sa.Integer(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=True),
        sa.Column("import_batch_id", sa.Uuid(), nullable=True),
        sa.Column("go_live_on", sa.Date(), nullable=True),
        sa.CheckConstraint("received_at <= opened_at", name=op.f("ck_service_request_received_first")),
        sa.CheckConstraint("estimated_minutes > 0", name=op.f("ck_service_request_estimate")),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_service_request_asset_id")),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_service_request_contact_id")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_service_request_customer_id")),
        sa.ForeignKeyConstraint(
            ["duplicate_of_id"], ["service_request.id"], name=op.f("fk_service_request_duplicate_of_id")
        ),
        sa.ForeignKeyConstraint(
            ["import_batch_id"], ["import_batch.id"], name=op.f("fk_service_request_import_batch_id")
        ),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_service_request_site_id")),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_service_request_unit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_request")),
        sa.UniqueConstraint("device_number", name=op.f("uq_service_request_device_number")),
        sa.UniqueConstraint("external_id", name=op.f("uq_service_request_external_id")),
        sa.UniqueConstraint("number", name=op.f("uq_service_request_number")),
    )
    op.create_index(op.f("ix_service_request_customer_id"), "service_request", ["customer_id"], unique=False)
    op.create_index(op.f("ix_service_request_import_batch_id"), "service_request", ["import_batch_id"], unique=False)
    op.create_index(op.f("ix_service_request_site_id"), "service_request", ["site_id"], unique=False)
    op.create_index("ix_service_request_unit_state", "service_request", ["unit_id", "state"], unique=False)


def create_escalation() -> None:
    """Create escalation."""
    op.create_table(
        "escalation",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("chain_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("role_key", sa.String(length=60), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["chain_id"], ["preset.id"], name=op.f("fk_escalation_chain_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_escalation_person_id")),
        sa.ForeignKeyConstraint(["request_id"], ["service_request.id"], name=op.f("fk_escalation_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escalation")),
    )
    op.create_index(op.f("ix_escalation_request_id"), "escalation", ["request_id"], unique=False)


def create_request_inquiry() -> None:
    """Create request_inquiry."""
    op.create_table(
        "request_inquiry",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("fact", sa.String(length=40), nullable=False),
        sa.Column("asked_of", sa.String(), nullable=False),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked_by_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["asked_by_id"], ["person.id"], name=op.f("fk_request_inquiry_asked_by_id")),
        sa.ForeignKeyConstraint(["request_id"], ["service_request.id"], name=op.f("fk_request_inquiry_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request_inquiry")),
    )
    op.create_index(op.f("ix_request_inquiry_request_id"), "request_inquiry", ["request_id"], unique=False)


def create_request_owner() -> None:
    """Create request_owner."""
    op.create_table(
        "request_owner",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_request_owner_person_id")),
        sa.ForeignKeyConstraint(["request_id"], ["service_request.id"], name=op.f("fk_request_owner_request_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request_owner")),
    )
    op.create_index(op.f("ix_request_owner_request_id"), "request_owner", ["request_id"], unique=False)
