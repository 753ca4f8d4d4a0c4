"""Tables of sites and assets. A position (camera 12, lift 3) holds different assets over time."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import synced
from backend.core.db import Imported, Row, personal


@synced("site:{id}")
class Site(Row, Imported):
    """A place we go to, with its long-term file (A112, A113). Coordinates are WGS-84.

    The original is kept with its datum.
    """

    __tablename__ = "site"
    __table_args__ = (
        CheckConstraint("lat BETWEEN -90 AND 90", name="lat_range"),
        CheckConstraint("lon BETWEEN -180 AND 180", name="lon_range"),
        CheckConstraint("(lat IS NULL) = (lon IS NULL)", name="whole_position"),
    )

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"), index=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    territory_id: Mapped[UUID | None] = mapped_column(ForeignKey("territory.id"))
    number: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str]
    address: Mapped[str] = mapped_column(info=personal("location", "customer"))
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    original_lat: Mapped[float | None] = mapped_column(info={"private": True})
    original_lon: Mapped[float | None] = mapped_column(info={"private": True})
    original_datum: Mapped[str | None] = mapped_column(String(10), info={"private": True})
    position_source: Mapped[str | None] = mapped_column(String(30))
    position_confidence: Mapped[float | None]
    time_zone: Mapped[str] = mapped_column(String(40))
    acceptance_on: Mapped[date | None]
    access_notes: Mapped[str]
    no_photos: Mapped[bool]
    no_phone: Mapped[bool]
    no_offline_drawings: Mapped[bool]
    merged_into_id: Mapped[UUID | None] = mapped_column(ForeignKey("site.id"))


class SiteOwner(Row):
    """The crew or person responsible for a site for a time (A140)."""

    __tablename__ = "site_owner"
    __table_args__ = (CheckConstraint("(person_id IS NULL) <> (crew_id IS NULL)", name="one_owner"),)

    site_id: Mapped[UUID] = mapped_column(ForeignKey("site.id"), index=True)
    crew_id: Mapped[UUID | None] = mapped_column(ForeignKey("crew.id"), index=True)
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"), index=True)
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]


@synced("site:{site_id}")
class SiteContact(Row):
    """A contact of the customer who is to be asked for at a site."""

    __tablename__ = "site_contact"
    __table_args__ = (UniqueConstraint("site_id", "contact_id"),)

    site_id: Mapped[UUID] = mapped_column(ForeignKey("site.id"))
    contact_id: Mapped[UUID] = mapped_column(ForeignKey("contact.id"), index=True)
    primary: Mapped[bool]


@synced("site:{site_id}")
class Position(Row, Imported):
    """A place on the site's layout: camera 12, lift 3."""

    __tablename__ = "position"

    site_id: Mapped[UUID] = mapped_column(ForeignKey("site.id"), index=True)
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("position.id"), index=True)
    name: Mapped[str]
    description: Mapped[str]


@synced("catalogue")
class AssetModel(Row):
    """A brand and model; some need their original box when they are sent in (A118)."""

    __tablename__ = "asset_model"
    __table_args__ = (UniqueConstraint("brand", "model"),)

    asset_type: Mapped[str] = mapped_column(String(40))
    brand: Mapped[str] = mapped_column(String(60))
    model: Mapped[str] = mapped_column(String(120))
    needs_original_box: Mapped[bool]


@synced("site:{site_id}")
class Asset(Row, Imported):
    """A piece of equipment with its serial number. `site_id` is where it is now."""

    __tablename__ = "asset"

    site_id: Mapped[UUID] = mapped_column(ForeignKey("site.id"), index=True)
    asset_type: Mapped[str] = mapped_column(String(40))
    asset_model_id: Mapped[UUID | None] = mapped_column(ForeignKey("asset_model.id"))
    name: Mapped[str]
    serial: Mapped[str | None] = mapped_column(String(120), index=True)
    quantity: Mapped[int]
    software_version: Mapped[str | None] = mapped_column(String(60))
    protocol: Mapped[str | None] = mapped_column(String(60))
    connection: Mapped[str | None] = mapped_column(String(120))
    purchased_on: Mapped[date | None]
    warranty_until: Mapped[date | None]
    note: Mapped[str]
    retired_at: Mapped[datetime | None]
    merged_into_id: Mapped[UUID | None] = mapped_column(ForeignKey("asset.id"), index=True)


@synced("site:{site_id}")
class AssetPlacement(Row):
    """An asset's time at a position; a swap ends one and begins another; its history stays with it."""

    __tablename__ = "asset_placement"

    site_id: Mapped[UUID] = mapped_column(ForeignKey("site.id"))
    position_id: Mapped[UUID] = mapped_column(ForeignKey("position.id"), index=True)
    asset_id: Mapped[UUID] = mapped_column(ForeignKey("asset.id"), index=True)
    installed_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]


class Credential(Row):
    """A login of a handed-over system, encrypted; never sent to phones, every reading logged (A272)."""

    __tablename__ = "credential"

    site_id: Mapped[UUID] = mapped_column(ForeignKey("site.id"), index=True)
    name: Mapped[str]
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    changed_at: Mapped[datetime]
    changed_by_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))


class KeyCustody(Row):
    """Somebody's time with a key of a site: kept, then given back or passed on; handed over when somebody leaves."""

    __tablename__ = "key_custody"

    site_id: Mapped[UUID] = mapped_column(ForeignKey("site.id"), index=True)
    name: Mapped[str] = mapped_column(String(80))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    taken_at: Mapped[datetime]
    returned_at: Mapped[datetime | None]


class GeocodedAddress(Row):
    """What a geocoder said of an address, kept so that nobody asks twice. No `lat` means: not found."""

    __tablename__ = "geocoded_address"
    __table_args__ = (UniqueConstraint("geocoder", "address"),)

    geocoder: Mapped[str] = mapped_column(String(40))
    address: Mapped[str]
    lat: Mapped[float | None]
    lon: Mapped[float | None]
    datum: Mapped[str] = mapped_column(String(10))
    confidence: Mapped[float | None]
    answer: Mapped[dict[str, Any]]
    asked_at: Mapped[datetime]
