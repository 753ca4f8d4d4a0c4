"""Uploads in pieces, and thumbnails of what arrived."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    create_upload()
    create_thumbnail()


def downgrade() -> None:
    """Drop them."""
    op.drop_table("thumbnail")
    op.drop_table("upload")


def create_upload() -> None:
    """Create upload."""
    op.create_table(
        "upload",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("turn", sa.Uuid(), nullable=True),
        sa.Column("busy", sa.Boolean(), nullable=False),
        sa.Column("sent_metadata", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_upload_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upload")),
        sa.UniqueConstraint("person_id", "sha256", name=op.f("uq_upload_person_id_sha256")),
    )
    op.create_index(op.f("ix_upload_expires_at"), "upload", ["expires_at"])


def create_thumbnail() -> None:
    """Create thumbnail."""
    op.create_table(
        "thumbnail",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("side", sa.Integer(), nullable=False),
        sa.Column("thumbnail_sha256", sa.String(length=64), nullable=True),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name=op.f("fk_thumbnail_sha256")),
        sa.ForeignKeyConstraint(["thumbnail_sha256"], ["blob.sha256"], name=op.f("fk_thumbnail_thumbnail_sha256")),
        sa.PrimaryKeyConstraint("sha256", "side", name=op.f("pk_thumbnail")),
    )
