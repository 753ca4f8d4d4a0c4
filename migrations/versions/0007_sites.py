"""Tables of sites."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables in the order of their foreign keys."""
    create_asset_model()
    create_geocoded_address()
    create_site()
    create_asset()
    create_credential()
    create_position()
    create_site_contact()
    create_site_owner()
    create_asset_placement()


def downgrade() -> None:
    """Drop them in the opposite order."""
    for table in (
        "asset_placement",
        "site_owner",
        "site_contact",
        "position",
        "credential",
        "asset",
        "site",
        "geocoded_address",
        "asset_model",
    ):
        op.drop_table(table)


def create_asset_model() -> None:
    """Create asset_model."""
    op.create_table(
        "asset_model",
        sa.Column("asset_type", sa.String(length=40), nullable=False),
        sa.Column("brand", sa.String(length=60), nullable=False),
        sa.Column("model", sa.String(length=120), nullable=False),
        sa.Column("needs_original_box", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset_model")),
        sa.UniqueConstraint("brand", "model", name=op.f("uq_asset_model_brand_model")),
    )


def create_geocoded_address() -> None:
    """Create geocoded_address."""
    op.create_table(
        "geocoded_address",
        sa.Column("geocoder", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("datum", sa.String(length=10), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_geocoded_address")),
        sa.UniqueConstraint("geocoder", "address", name=op.f("uq_geocoded_address_geocoder_address")),
    )


def create_site() -> None:
    """Create site."""
    op.create_table(
        "site",
        sa.Column("unit_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("territory_id", sa.Uuid(), nullable=True),
        sa.Column("number", sa.String(length=40), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("original_lat", sa.Double(), nullable=True),
        sa.Column("original_lon", sa.Double(), nullable=True),
        sa.Column("original_datum", sa.String(length=10), nullable=True),
        sa.Column("position_source", sa.String(length=30), nullable=True),
        sa.Column("position_confidence", sa.Double(), nullable=True),
        sa.Column("time_zone", sa.String(length=40), nullable=False),
        sa.Column("acceptance_on", sa.Date(), nullable=True),
        sa.Column("access_notes", sa.String(), nullable=False),
        sa.Column("no_photos", sa.Boolean(), nullable=False),
        sa.Column("no_phone", sa.Boolean(), nullable=False),
        sa.Column("no_offline_drawings", sa.Boolean(), nullable=False),
        sa.Column("merged_into_id", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=True),
        sa.Column("import_batch_id", sa.Uuid(), nullable=True),
        sa.Column("go_live_on", sa.Date(), nullable=True),
        sa.CheckConstraint("(lat IS NULL) = (lon IS NULL)", name=op.f("ck_site_whole_position")),
        sa.CheckConstraint("lat BETWEEN -90 AND 90", name=op.f("ck_site_lat_range")),
        sa.CheckConstraint("lon BETWEEN -180 AND 180", name=op.f("ck_site_lon_range")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_site_customer_id")),
        sa.ForeignKeyConstraint(["import_batch_id"], ["import_batch.id"], name=op.f("fk_site_import_batch_id")),
        sa.ForeignKeyConstraint(["merged_into_id"], ["site.id"], name=op.f("fk_site_merged_into_id")),
        sa.ForeignKeyConstraint(["territory_id"], ["territory.id"], name=op.f("fk_site_territory_id")),
        sa.ForeignKeyConstraint(["unit_id"], ["unit.id"], name=op.f("fk_site_unit_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site")),
        sa.UniqueConstraint("external_id", name=op.f("uq_site_external_id")),
        sa.UniqueConstraint("number", name=op.f("uq_site_number")),
    )
    op.create_index(op.f("ix_site_customer_id"), "site", ["customer_id"], unique=False)
    op.create_index(op.f("ix_site_import_batch_id"), "site", ["import_batch_id"], unique=False)
    op.create_index(op.f("ix_site_unit_id"), "site", ["unit_id"], unique=False)


def create_asset() -> None:
    """Create asset."""
    op.create_table(
        "asset",
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("asset_type", sa.String(length=40), nullable=False),
        sa.Column("asset_model_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("serial", sa.String(length=120), nullable=True),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("software_version", sa.String(length=60), nullable=True),
        sa.Column("protocol", sa.String(length=60), nullable=True),
        sa.Column("connection", sa.String(length=120), nullable=True),
        sa.Column("purchased_on", sa.Date(), nullable=True),
        sa.Column("warranty_until", sa.Date(), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("merged_into_id", sa.Uuid(), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=True),
        sa.Column("import_batch_id", sa.Uuid(), nullable=True),
        sa.Column("go_live_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["asset_model_id"], ["asset_model.id"], name=op.f("fk_asset_asset_model_id")),
        sa.ForeignKeyConstraint(["import_batch_id"], ["import_batch.id"], name=op.f("fk_asset_import_batch_id")),
        sa.ForeignKeyConstraint(["merged_into_id"], ["asset.id"], name=op.f("fk_asset_merged_into_id")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_asset_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset")),
        sa.UniqueConstraint("external_id", name=op.f("uq_asset_external_id")),
    )
    op.create_index(op.f("ix_asset_import_batch_id"), "asset", ["import_batch_id"], unique=False)
    op.create_index(op.f("ix_asset_serial"), "asset", ["serial"], unique=False)
    op.create_index(op.f("ix_asset_site_id"), "asset", ["site_id"], unique=False)


def create_credential() -> None:
    """Create credential."""
    op.create_table(
        "credential",
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["changed_by_id"], ["person.id"], name=op.f("fk_credential_changed_by_id")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_credential_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credential")),
    )
    op.create_index(op.f("ix_credential_site_id"), "credential", ["site_id"], unique=False)


def create_position() -> None:
    """Create position."""
    op.create_table(
        "position",
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("parent_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("external_id", sa.String(length=120), nullable=True),
        sa.Column("import_batch_id", sa.Uuid(), nullable=True),
        sa.Column("go_live_on", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(["import_batch_id"], ["import_batch.id"], name=op.f("fk_position_import_batch_id")),
        sa.ForeignKeyConstraint(["parent_id"], ["position.id"], name=op.f("fk_position_parent_id")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_position_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_position")),
        sa.UniqueConstraint("external_id", name=op.f("uq_position_external_id")),
    )
    op.create_index(op.f("ix_position_import_batch_id"), "position", ["import_batch_id"], unique=False)
    op.create_index(op.f("ix_position_site_id"), "position", ["site_id"], unique=False)


def create_site_contact() -> None:
    """Create site_contact."""
    op.create_table(
        "site_contact",
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("primary", sa.Boolean(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_site_contact_contact_id")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_site_contact_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_contact")),
        sa.UniqueConstraint("site_id", "contact_id", name=op.f("uq_site_contact_site_id_contact_id")),
    )
    op.create_index(op.f("ix_site_contact_contact_id"), "site_contact", ["contact_id"], unique=False)


def create_site_owner() -> None:
    """Create site_owner."""
    op.create_table(
        "site_owner",
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("crew_id", sa.Uuid(), nullable=True),
        sa.Column("person_id", sa.Uuid(), nullable=True),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("(person_id IS NULL) <> (crew_id IS NULL)", name=op.f("ck_site_owner_one_owner")),
        sa.ForeignKeyConstraint(["crew_id"], ["crew.id"], name=op.f("fk_site_owner_crew_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_site_owner_person_id")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_site_owner_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_owner")),
    )
    op.create_index(op.f("ix_site_owner_site_id"), "site_owner", ["site_id"], unique=False)


def create_asset_placement() -> None:
    """Create asset_placement."""
    op.create_table(
        "asset_placement",
        sa.Column("site_id", sa.Uuid(), nullable=False),
        sa.Column("position_id", sa.Uuid(), nullable=False),
        sa.Column("asset_id", sa.Uuid(), nullable=False),
        sa.Column("installed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["asset_id"], ["asset.id"], name=op.f("fk_asset_placement_asset_id")),
        sa.ForeignKeyConstraint(["position_id"], ["position.id"], name=op.f("fk_asset_placement_position_id")),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name=op.f("fk_asset_placement_site_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_asset_placement")),
    )
    op.create_index(op.f("ix_asset_placement_asset_id"), "asset_placement", ["asset_id"], unique=False)
    op.create_index(op.f("ix_asset_placement_position_id"), "asset_placement", ["position_id"], unique=False)
