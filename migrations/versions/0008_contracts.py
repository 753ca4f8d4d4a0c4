"""Tables of contracts."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables in the order of their foreign keys."""
    create_clock_policy()
    create_price_list()
    create_commitment_clock()
    create_clock_pause()
    create_promise()
    create_service_contract()
    create_contract_site()
    create_warranty()


def downgrade() -> None:
    """Drop them in the opposite order."""
    for table in (
        "warranty",
        "contract_site",
        "service_contract",
        "promise",
        "clock_pause",
        "commitment_clock",
        "price_list",
        "clock_policy",
    ):
        op.drop_table(table)


def create_clock_policy() -> None:
    """Create clock_policy."""
    op.create_table(
        "clock_policy",
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name_zh", sa.String(), nullable=False),
        sa.Column("name_en", sa.String(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock_policy")),
        sa.UniqueConstraint("key", "version", name=op.f("uq_clock_policy_key_version")),
    )


def create_price_list() -> None:
    """Create price_list."""
    op.create_table(
        "price_list",
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name_zh", sa.String(), nullable=False),
        sa.Column("name_en", sa.String(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("valid_from_on", sa.Date(), nullable=False),
        sa.Column("valid_until_on", sa.Date(), nullable=True),
        sa.Column("lines", sa.JSON(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_list")),
        sa.UniqueConstraint("key", "version", name=op.f("uq_price_list_key_version")),
    )


def create_commitment_clock() -> None:
    """Create commitment_clock."""
    op.create_table(
        "commitment_clock",
        sa.Column("bucket", sa.String(length=80), nullable=True),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("clock_policy_id", sa.Uuid(), nullable=False),
        sa.Column("hours", sa.String(length=10), nullable=False),
        sa.Column("calendar_id", sa.Uuid(), nullable=True),
        sa.Column("zone", sa.String(length=40), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("priority_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_by", sa.String(length=60), nullable=True),
        sa.Column("void_reason", sa.String(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("stopped_at IS NULL OR stopped_at >= started_at", name=op.f("ck_commitment_clock_order")),
        sa.CheckConstraint("hours IN ('calendar', 'service')", name=op.f("ck_commitment_clock_hours")),
        sa.ForeignKeyConstraint(["calendar_id"], ["working_calendar.id"], name=op.f("fk_commitment_clock_calendar_id")),
        sa.ForeignKeyConstraint(
            ["clock_policy_id"], ["clock_policy.id"], name=op.f("fk_commitment_clock_clock_policy_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commitment_clock")),
        sa.UniqueConstraint("subject_id", "kind", name=op.f("uq_commitment_clock_subject_id_kind")),
    )
    op.create_index("ix_commitment_clock_open", "commitment_clock", ["stopped_at", "due_at"], unique=False)


def create_clock_pause() -> None:
    """Create clock_pause."""
    op.create_table(
        "clock_pause",
        sa.Column("clock_id", sa.Uuid(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(length=60), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["clock_id"], ["commitment_clock.id"], name=op.f("fk_clock_pause_clock_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock_pause")),
    )
    op.create_index(op.f("ix_clock_pause_clock_id"), "clock_pause", ["clock_id"], unique=False)


def create_promise() -> None:
    """Create promise."""
    op.create_table(
        "promise",
        sa.Column("clock_id", sa.Uuid(), nullable=False),
        sa.Column("promised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("moved_by", sa.String(length=10), nullable=False),
        sa.Column("channel", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("moved_by IN ('customer', 'us')", name=op.f("ck_promise_moved_by")),
        sa.ForeignKeyConstraint(["clock_id"], ["commitment_clock.id"], name=op.f("fk_promise_clock_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_promise_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promise")),
    )
    op.create_index(op.f("ix_promise_clock_id"), "promise", ["clock_id"], unique=False)


def create_service_contract() -> None:
    """Create service_contract."""
    op.create_table(
        "service_contract",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(length=40), nullable=False),
        sa.Column("clock_policy_id", sa.Uuid(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("maintenance_ends_on", sa.Date(), nullable=True),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("coverage", sa.JSON(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=True),
        sa.Column("import_batch_id", sa.Uuid(), nullable=True),
        sa.Column("go_live_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["clock_policy_id"], ["clock_policy.id"], name=op.f("fk_service_contract_clock_policy_id")
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_service_contract_customer_id")),
        sa.ForeignKeyConstraint(
            ["import_batch_id"], ["import_batch.id"], name=op.f("fk_service_contract_import_batch_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_contract")),
        sa.UniqueConstraint("external_id", name=op.f("uq_service_contract_external_id")),
        sa.UniqueConstraint("number", name=op.f("uq_service_contract_number")),
    )
    op.create_index(op.f("ix_service_contract_customer_id"), "service_contract", ["customer_id"], unique=False)
    op.create_index(op.f("ix_service_contract_import_batch_id"), "service_contract", ["import_batch_id"], unique=False)


def create_contract_site() -> None:
    """Create contract_site."""
    op.create_table(
        "contract_site",
        sa.Column("contract_id", sa.Uuid(), nullable=False),
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("valid_from_on", sa.Date(), nullable=False),
        sa.Column("valid_until_on", sa.Date(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["contract_id"], ["service_contract.id"], name=op.f("fk_contract_site_contract_id")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_contract_site_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contract_site")),
    )
    op.create_index(op.f("ix_contract_site_contract_id"), "contract_site", ["contract_id"], unique=False)
    op.create_index(op.f("ix_contract_site_site_id"), "contract_site", ["site_id"], unique=False)


def create_warranty() -> None:
    """Create warranty."""
    op.create_table(
        "warranty",
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("terms", sa.String(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_warranty_asset_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_warranty")),
    )
    op.create_index(op.f("ix_warranty_asset_id"), "warranty", ["asset_id"], unique=False)
