"""Who has which key of a site; until now nobody wrote it down, so nothing is filled in."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create key_custody."""
    op.create_table(
        "key_custody",
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("returned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_key_custody_person_id")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_key_custody_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key_custody")),
    )
    op.create_index(op.f("ix_key_custody_site_id"), "key_custody", ["site_id"], unique=False)
    op.create_index(op.f("ix_key_custody_person_id"), "key_custody", ["person_id"], unique=False)


def downgrade() -> None:
    """Drop it."""
    op.drop_table("key_custody")
