"""Wire structs of sites, positions and assets."""

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from backend.people.schemas import Instant, Latitude, Longitude, Name, Request, Text, View
from backend.sites.datum import Datum

QUANTITY_MAXIMUM = 100_000

LongName = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
Address = Annotated[str, msgspec.Meta(min_length=1, max_length=300, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
Zone = Annotated[str, msgspec.Meta(max_length=40)]
Key = Annotated[str, msgspec.Meta(max_length=40, pattern="^[a-z][a-z0-9_]*$")]
Short = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[^\x00]+$")]
Serial = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=r"^[^\x00]+$")]
Quantity = Annotated[int, msgspec.Meta(ge=1, le=QUANTITY_MAXIMUM)]
LocationSource = Literal["pin", "import", "geocoder", "phone", "survey"]
Confidence = Annotated[float, msgspec.Meta(ge=0, le=1)]


class NewLocation(Request, frozen=True):
    """Where a site lies, as given: degrees in a datum, where they come from, and how sure they are (1: certain)."""

    lat: Latitude
    lon: Longitude
    datum: Datum = "wgs84"
    source: LocationSource = "pin"
    confidence: Confidence | None = None


class LocationView(View, frozen=True):
    """Where a site lies, in WGS-84, and what was originally given."""

    lat: float
    lon: float
    original_lat: float
    original_lon: float
    original_datum: str
    source: str
    confidence: float | None


class NewSite(Request, frozen=True):
    """A place we go to. Without a location it is listed until somebody pins it."""

    unit_id: UUID
    customer_id: UUID
    name: LongName
    address: Address
    location: NewLocation | None = None
    territory_id: UUID | None = None
    time_zone: Zone = "Asia/Shanghai"
    acceptance_on: date | None = None
    access_notes: Text = ""
    no_photos: bool = False
    no_phone: bool = False
    no_offline_drawings: bool = False


class SitePatch(Request, frozen=True):
    """Fields of a site to change; what is left out stays."""

    unit_id: UUID | UnsetType = UNSET
    customer_id: UUID | UnsetType = UNSET
    name: LongName | UnsetType = UNSET
    address: Address | UnsetType = UNSET
    location: NewLocation | UnsetType | None = UNSET
    territory_id: UUID | UnsetType | None = UNSET
    time_zone: Zone | UnsetType = UNSET
    acceptance_on: date | UnsetType | None = UNSET
    access_notes: Text | UnsetType = UNSET
    no_photos: bool | UnsetType = UNSET
    no_phone: bool | UnsetType = UNSET
    no_offline_drawings: bool | UnsetType = UNSET


class SiteView(View, frozen=True):
    """A site. `merged_into_id` names the record that replaced it."""

    id: UUID
    unit_id: UUID
    customer_id: UUID
    territory_id: UUID | None
    number: str
    name: str
    address: str
    location: LocationView | None
    time_zone: str
    acceptance_on: date | None
    access_notes: str
    no_photos: bool
    no_phone: bool
    no_offline_drawings: bool
    merged_into_id: UUID | None


class NewOwner(Request, frozen=True):
    """The crew or person responsible for a site from an instant on (A140); exactly one of the two."""

    crew_id: UUID | None = None
    person_id: UUID | None = None
    valid_from: Instant | None = None


class OwnerView(View, frozen=True):
    """Who is, was or will be responsible for a site."""

    id: UUID
    site_id: UUID
    crew_id: UUID | None
    person_id: UUID | None
    valid_from: datetime
    valid_until: datetime | None


class NewKey(Request, frozen=True):
    """A key of the site, and who has it from now on."""

    name: Name
    person_id: UUID


class KeyMove(Request, frozen=True):
    """Who has the key from now on; null: the customer has it back."""

    person_id: UUID | None = None


class KeyView(View, frozen=True):
    """Somebody's time with a key."""

    id: UUID
    site_id: UUID
    name: str
    person_id: UUID
    taken_at: datetime
    returned_at: datetime | None


class SiteContactPut(Request, frozen=True):
    """A contact to be asked for at the site; one of them is the first to call."""

    primary: bool = False


class SiteContactView(View, frozen=True):
    """A contact to be asked for at a site."""

    contact_id: UUID
    primary: bool


class NewPosition(Request, frozen=True):
    """A place on the layout: camera 12, lift 3."""

    name: Name
    description: Text = ""
    parent_id: UUID | None = None


class PositionPatch(Request, frozen=True):
    """Fields of a position to change."""

    name: Name | UnsetType = UNSET
    description: Text | UnsetType = UNSET


class PositionView(View, frozen=True):
    """A place on the layout and the asset there now."""

    id: UUID
    site_id: UUID
    parent_id: UUID | None
    name: str
    description: str
    asset_id: UUID | None


class NewAssetModel(Request, frozen=True):
    """A brand and model; some need their original box when they are sent in (A118)."""

    asset_type: Key
    brand: Short
    model: Serial
    needs_original_box: bool = False


class AssetModelView(View, frozen=True):
    """A brand and model."""

    id: UUID
    asset_type: str
    brand: str
    model: str
    needs_original_box: bool


class NewAsset(Request, frozen=True):
    """A piece of equipment (A113); with `position_id` it stands there from `installed_at` on."""

    asset_type: Key
    name: LongName
    asset_model_id: UUID | None = None
    serial: Serial | None = None
    quantity: Quantity = 1
    software_version: Short | None = None
    protocol: Short | None = None
    connection: Serial | None = None
    purchased_on: date | None = None
    warranty_until: date | None = None
    note: Text = ""
    position_id: UUID | None = None
    installed_at: Instant | None = None


class AssetPatch(Request, frozen=True):
    """Fields of an asset to change; what is left out stays."""

    asset_type: Key | UnsetType = UNSET
    name: LongName | UnsetType = UNSET
    asset_model_id: UUID | UnsetType | None = UNSET
    serial: Serial | UnsetType | None = UNSET
    quantity: Quantity | UnsetType = UNSET
    software_version: Short | UnsetType | None = UNSET
    protocol: Short | UnsetType | None = UNSET
    connection: Serial | UnsetType | None = UNSET
    purchased_on: date | UnsetType | None = UNSET
    warranty_until: date | UnsetType | None = UNSET
    note: Text | UnsetType = UNSET


class AssetView(View, frozen=True):
    """A piece of equipment and the position it stands at now."""

    id: UUID
    site_id: UUID
    position_id: UUID | None
    asset_type: str
    asset_model_id: UUID | None
    name: str
    serial: str | None
    quantity: int
    software_version: str | None
    protocol: str | None
    connection: str | None
    purchased_on: date | None
    warranty_until: date | None
    note: str
    retired_at: datetime | None
    merged_into_id: UUID | None


class NewPlacement(Request, frozen=True):
    """An asset comes to a position; what stood there is removed at the same instant."""

    asset_id: UUID
    at: Instant | None = None


class Removal(Request, frozen=True):
    """An asset is taken away, and retired if it does not come back."""

    at: Instant | None = None
    retired: bool = False


class PlacementView(View, frozen=True):
    """An asset's time at a position."""

    id: UUID
    site_id: UUID
    position_id: UUID
    asset_id: UUID
    installed_at: datetime
    removed_at: datetime | None
