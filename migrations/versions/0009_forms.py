"""Tables of forms."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables in the order of their foreign keys."""
    create_checklist_template()
    create_seal_key()
    create_checklist_template_version()
    create_checklist_answer()
    create_completion_form()
    create_service_report()
    create_signature()


def downgrade() -> None:
    """Drop them in the opposite order."""
    for table in (
        "signature",
        "service_report",
        "completion_form",
        "checklist_answer",
        "checklist_template_version",
        "seal_key",
        "checklist_template",
    ):
        op.drop_table(table)


def create_checklist_template() -> None:
    """Create checklist_template."""
    op.create_table(
        "checklist_template",
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("name_zh", sa.String(), nullable=False),
        sa.Column("name_en", sa.String(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checklist_template")),
        sa.UniqueConstraint("key", name=op.f("uq_checklist_template_key")),
    )


def create_seal_key() -> None:
    """Create seal_key."""
    op.create_table(
        "seal_key",
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("certificate_sha256", sa.String(length=64), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seal_key")),
        sa.UniqueConstraint("certificate_sha256", name=op.f("uq_seal_key_certificate_sha256")),
    )


def create_checklist_template_version() -> None:
    """Create checklist_template_version."""
    op.create_table(
        "checklist_template_version",
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["template_id"], ["checklist_template.id"], name=op.f("fk_checklist_template_version_template_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checklist_template_version")),
        sa.UniqueConstraint("template_id", "version", name=op.f("uq_checklist_template_version_template_id_version")),
    )


def create_checklist_answer() -> None:
    """Create checklist_answer."""
    op.create_table(
        "checklist_answer",
        sa.Column("bucket", sa.String(length=80), nullable=True),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("template_version_id", sa.Uuid(), nullable=False),
        sa.Column("item", sa.String(length=80), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=True),
        sa.Column("author_id", sa.Uuid(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["person.id"], name=op.f("fk_checklist_answer_author_id")),
        sa.ForeignKeyConstraint(
            ["template_version_id"],
            ["checklist_template_version.id"],
            name=op.f("fk_checklist_answer_template_version_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checklist_answer")),
        sa.UniqueConstraint(
            "entity",
            "subject_id",
            "template_version_id",
            "item",
            "asset_id",
            "author_id",
            name=op.f("uq_checklist_answer_entity_subject_id_template_version_id_item_asset_id_author_id"),
        ),
    )


def create_completion_form() -> None:
    """Create completion_form."""
    op.create_table(
        "completion_form",
        sa.Column("bucket", sa.String(length=80), nullable=True),
        sa.Column("unit_id", sa.Uuid(), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("template_version_id", sa.Uuid(), nullable=False),
        sa.Column("device_number", sa.String(length=40), nullable=False),
        sa.Column("number", sa.String(length=40), nullable=False),
        sa.Column("language", sa.String(length=5), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("shown_sha256", sa.String(length=64), nullable=False),
        sa.Column("filled_by_id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.Uuid(), nullable=True),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("device_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("server_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("photos_expected", sa.Integer(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("supersedes_id", sa.Uuid(), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("void_reason", sa.String(), nullable=True),
        sa.Column("relinked_from_id", sa.Uuid(), nullable=True),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reviewed_by_id", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_completion_form_unit_id")),
        sa.ForeignKeyConstraint(["device_id"], ["device.id"], name=op.f("fk_completion_form_device_id")),
        sa.ForeignKeyConstraint(["filled_by_id"], ["person.id"], name=op.f("fk_completion_form_filled_by_id")),
        sa.ForeignKeyConstraint(["reviewed_by_id"], ["person.id"], name=op.f("fk_completion_form_reviewed_by_id")),
        sa.ForeignKeyConstraint(
            ["supersedes_id"], ["completion_form.id"], name=op.f("fk_completion_form_supersedes_id")
        ),
        sa.ForeignKeyConstraint(
            ["template_version_id"],
            ["checklist_template_version.id"],
            name=op.f("fk_completion_form_template_version_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_completion_form")),
        sa.UniqueConstraint("device_number", name=op.f("uq_completion_form_device_number")),
        sa.UniqueConstraint("number", name=op.f("uq_completion_form_number")),
    )
    op.create_index("ix_completion_form_subject", "completion_form", ["entity", "subject_id"], unique=False)
    op.create_index(op.f("ix_completion_form_unit_id"), "completion_form", ["unit_id"], unique=False)


def create_service_report() -> None:
    """Create service_report."""
    op.create_table(
        "service_report",
        sa.Column("bucket", sa.String(length=80), nullable=True),
        sa.Column("form_id", sa.Uuid(), nullable=False),
        sa.Column("language", sa.String(length=5), nullable=False),
        sa.Column("pdf_sha256", sa.String(length=64), nullable=False),
        sa.Column("certificate_sha256", sa.String(length=64), nullable=False),
        sa.Column("sealed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["form_id"], ["completion_form.id"], name=op.f("fk_service_report_form_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_report")),
        sa.UniqueConstraint("form_id", "language", name=op.f("uq_service_report_form_id_language")),
    )
    op.create_index(op.f("ix_service_report_form_id"), "service_report", ["form_id"], unique=False)


def create_signature() -> None:
    """Create signature."""
    op.create_table(
        "signature",
        sa.Column("bucket", sa.String(length=80), nullable=True),
        sa.Column("form_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("signer_role", sa.String(length=30), nullable=False),
        sa.Column("signer_name", sa.String(), nullable=False),
        sa.Column("signer_title", sa.String(), nullable=True),
        sa.Column("signer_phone", sa.String(length=20), nullable=True),
        sa.Column("method", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("assisted_by", sa.String(), nullable=True),
        sa.Column("strokes", sa.JSON(), nullable=True),
        sa.Column("image_sha256", sa.String(length=64), nullable=True),
        sa.Column("signed_sha256", sa.String(length=64), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("server_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("method <> 'refused' OR reason IS NOT NULL", name=op.f("ck_signature_refusal_has_reason")),
        sa.ForeignKeyConstraint(["form_id"], ["completion_form.id"], name=op.f("fk_signature_form_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signature")),
        sa.UniqueConstraint("form_id", "place", name=op.f("uq_signature_form_id_place")),
    )
    op.create_index(op.f("ix_signature_form_id"), "signature", ["form_id"], unique=False)
