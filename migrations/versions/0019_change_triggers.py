"""Triggers that refuse an unstamped commit, on every synced table."""

from migrations.triggers import install, install_function, remove, remove_function

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

SYNCED = (
    "asset",
    "asset_model",
    "asset_placement",
    "assignment",
    "attachment",
    "attendance",
    "checklist_answer",
    "checklist_template_version",
    "commitment_clock",
    "completion_form",
    "contact",
    "contact_point",
    "coverage_decision",
    "customer",
    "field_conflict",
    "job_note",
    "knowledge_article",
    "part",
    "part_use",
    "payment",
    "person",
    "position",
    "preset",
    "price_list",
    "quote",
    "quote_answer",
    "receipt",
    "service_report",
    "service_request",
    "signature",
    "site",
    "site_contact",
    "visit",
    "visit_event",
    "work_order",
)


def upgrade() -> None:
    """Put them on."""
    install_function()
    install(SYNCED)


def downgrade() -> None:
    """Take them off."""
    remove(SYNCED)
    remove_function()
