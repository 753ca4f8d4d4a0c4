"""Crew members reach phones: joining and leaving a crew moves the clock. A crew's assignments come with their job.

Rows from before are touched, so that the stamp at the end of the migrations enters them into the feed.
"""

from alembic import op

from migrations.triggers import install, remove

revision = "0025"
down_revision = "0023"
branch_labels = None
depends_on = None

SYNCED = ("crew_member",)


def upgrade() -> None:
    """Put them on, and touch the rows whose place in the feed is new."""
    install(SYNCED)
    op.execute("UPDATE crew_member SET id = id")
    op.execute("UPDATE assignment SET id = id WHERE person_id IS NULL")


def downgrade() -> None:
    """Take them off."""
    remove(SYNCED)
