"""Tables of calendars."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables in the order of their foreign keys."""
    create_working_calendar()
    create_calendar_day()


def downgrade() -> None:
    """Drop them in the opposite order."""
    for table in (
        "calendar_day",
        "working_calendar",
    ):
        op.drop_table(table)


def create_working_calendar() -> None:
    """Create working_calendar."""
    op.create_table(
        "working_calendar",
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name_zh", sa.String(), nullable=False),
        sa.Column("name_en", sa.String(), nullable=False),
        sa.Column("working_weekdays", sa.JSON(), nullable=False),
        sa.Column("service_weekdays", sa.JSON(), nullable=False),
        sa.Column("service_on_holidays", sa.Boolean(), nullable=False),
        sa.Column("service_opens", sa.Time(), nullable=False),
        sa.Column("service_closes", sa.Time(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_working_calendar")),
        sa.UniqueConstraint("key", "version", name=op.f("uq_working_calendar_key_version")),
    )


def create_calendar_day() -> None:
    """Create calendar_day."""
    op.create_table(
        "calendar_day",
        sa.Column("calendar_id", sa.Uuid(), nullable=False),
        sa.Column("day_on", sa.Date(), nullable=False),
        sa.Column("working", sa.Boolean(), nullable=False),
        sa.Column("name_zh", sa.String(), nullable=False),
        sa.Column("name_en", sa.String(), nullable=False),
        sa.Column("provisional", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["calendar_id"], ["working_calendar.id"], name=op.f("fk_calendar_day_calendar_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calendar_day")),
        sa.UniqueConstraint("calendar_id", "day_on", name=op.f("uq_calendar_day_calendar_id_day_on")),
    )
