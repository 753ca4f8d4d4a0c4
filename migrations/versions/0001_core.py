"""Tables of core."""

from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables in the order of their foreign keys."""
    create_access_entry()
    create_audit_entry()
    create_bucket()
    create_change()
    create_commit_clock()
    create_creation()
    create_event()
    create_import_batch()
    create_never()
    create_number_series()
    create_preset()
    create_task()
    create_unstamped()
    op.bulk_insert(
        sa.table(
            "commit_clock", sa.column("id", sa.Integer), sa.column("v", sa.BigInteger), sa.column("epoch", sa.Uuid)
        ),
        [{"id": 1, "v": 0, "epoch": uuid4()}],
    )


def downgrade() -> None:
    """Drop them in the opposite order."""
    for table in (
        "unstamped",
        "task",
        "preset",
        "number_series",
        "never",
        "import_batch",
        "event",
        "creation",
        "commit_clock",
        "change",
        "bucket",
        "audit_entry",
        "access_entry",
    ):
        op.drop_table(table)


def by_code_point(length: int) -> sa.String:
    """Text that both databases sort alike."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def create_access_entry() -> None:
    """Create access_entry."""
    op.create_table(
        "access_entry",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("device_id", sa.Uuid(), nullable=True),
        sa.Column("what", sa.String(length=60), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_entry")),
    )


def create_audit_entry() -> None:
    """Create audit_entry."""
    op.create_table(
        "audit_entry",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("device_id", sa.Uuid(), nullable=True),
        sa.Column("mutation_id", sa.Uuid(), nullable=True),
        sa.Column("import_batch_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entry")),
    )
    op.create_index(op.f("ix_audit_entry_import_batch_id"), "audit_entry", ["import_batch_id"], unique=False)
    op.create_index(op.f("ix_audit_entry_mutation_id"), "audit_entry", ["mutation_id"], unique=False)
    op.create_index("ix_audit_entry_subject", "audit_entry", ["entity", "subject_id"], unique=False)


def create_bucket() -> None:
    """Create bucket."""
    op.create_table(
        "bucket",
        sa.Column("name", by_code_point(80), nullable=False),
        sa.Column("head_v", sa.BigInteger(), nullable=False),
        sa.Column("live_count", sa.Integer(), nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bucket")),
    )


def create_change() -> None:
    """Create change."""
    op.create_table(
        "change",
        sa.Column("entity", by_code_point(40), nullable=False),
        sa.Column("row_id", sa.Uuid(), nullable=False),
        sa.Column("bucket", by_code_point(80), nullable=False),
        sa.Column("v", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("checksum", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("entity", "row_id", "bucket", name=op.f("pk_change")),
    )
    op.create_index("ix_change_bucket_v", "change", ["bucket", "v"], unique=False)


def create_commit_clock() -> None:
    """Create commit_clock."""
    op.create_table(
        "commit_clock",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("v", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commit_clock")),
    )


def create_creation() -> None:
    """Create creation."""
    op.create_table(
        "creation",
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=100), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "key", name=op.f("pk_creation")),
    )
    op.create_index(op.f("ix_creation_created_at"), "creation", ["created_at"], unique=False)


def create_event() -> None:
    """Create event."""
    op.create_table(
        "event",
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    op.create_index("ix_event_name_at", "event", ["name", "at"], unique=False)
    op.create_index("ix_event_subject", "event", ["entity", "subject_id"], unique=False)


def create_import_batch() -> None:
    """Create import_batch."""
    op.create_table(
        "import_batch",
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("source_name", sa.String(length=255), nullable=False),
        sa.Column("source_sha256", sa.String(length=64), nullable=False),
        sa.Column("mapping_name", sa.String(length=255), nullable=False),
        sa.Column("created_count", sa.Integer(), nullable=False),
        sa.Column("changed_count", sa.Integer(), nullable=False),
        sa.Column("refused_count", sa.Integer(), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_batch")),
    )


def create_never() -> None:
    """Create never."""
    op.create_table(
        "never", sa.Column("id", sa.Integer(), nullable=False), sa.PrimaryKeyConstraint("id", name=op.f("pk_never"))
    )


def create_number_series() -> None:
    """Create number_series."""
    op.create_table(
        "number_series",
        sa.Column("prefix", sa.String(length=10), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_number_series")),
    )


def create_preset() -> None:
    """Create preset."""
    op.create_table(
        "preset",
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=60), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name_zh", sa.String(), nullable=False),
        sa.Column("name_en", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_preset")),
        sa.UniqueConstraint("kind", "key", "version", name=op.f("uq_preset_kind_key_version")),
    )


def create_task() -> None:
    """Create task."""
    op.create_table(
        "task",
        sa.Column("kind", sa.String(length=60), nullable=False),
        sa.Column("key", sa.String(length=120), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("run_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("leased_by", sa.Uuid(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
        sa.UniqueConstraint("key", name=op.f("uq_task_key")),
    )
    op.create_index("ix_task_ready", "task", ["state", "run_at"], unique=False)


def create_unstamped() -> None:
    """Create unstamped."""
    op.create_table(
        "unstamped",
        sa.Column("tx", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("row_id", sa.Uuid(), nullable=False),
        sa.Column("never_id", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.ForeignKeyConstraint(
            ["never_id"], ["never.id"], name=op.f("fk_unstamped_never_id"), initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("tx", "entity", "row_id", name=op.f("pk_unstamped")),
    )
