"""What an import can make: the entities, their fields, and how rows elsewhere may name them.

Fields are called as the columns they fill; a reference `site` fills `site_id`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from backend.calendars.models import WorkingCalendar
from backend.contracts.models import ClockPolicy, ContractSite, ServiceContract
from backend.core.db import Base, Imported
from backend.customers.models import Contact, ContactPoint, Customer
from backend.forms.models import ChecklistTemplateVersion
from backend.maintenance.models import MaintenancePlan
from backend.parts.models import Part
from backend.people.models import Person, PersonSkill, Role, RoleGrant, Skill, Territory, Unit
from backend.requests.models import ServiceRequest
from backend.sites.models import Asset, AssetModel, AssetPlacement, Position, Site, SiteContact

Kind = Literal[
    "text", "integer", "decimal", "degrees", "date", "instant", "flag", "choice", "list", "phone", "email", "zone",
    "reference",
]  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One field a mapping may fill."""

    kind: Kind = "text"
    required: bool = False
    default: Any = None
    """What a new record gets where the file says nothing."""
    of: str = ""
    """For a reference the entity; for a text or list the preset set (or `skill`) its keys must be in."""
    choices: tuple[str, ...] = ()
    characters: int = 2000
    """The longest text; a shorter column of the table counts instead."""
    least: float | None = None
    most: float | None = None
    fixed: bool = False
    """An import never changes it later: something rests on it."""


@dataclass(frozen=True)
class Target:
    """An entity an import can make."""

    model: type[Base]
    fields: Mapping[str, Field]
    identity: tuple[str, ...] = ()
    """The fields by which a record without an external id is recognised."""
    unique: tuple[str, ...] = ()
    """Columns no two records share."""
    known_by: tuple[str, ...] = ()
    """Columns by which a file may name a record that exists, besides its external id."""
    series: str = ""
    """The prefix of human numbers, for a record the file gives none."""
    always: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Columns every new record has and no file decides."""

    @property
    def entity(self) -> str:
        """The table's name, which is the entity's."""
        return self.model.__tablename__

    @property
    def has_external_id(self) -> bool:
        """Whether records are recognised by an external id."""
        return issubclass(self.model, Imported)

    def column(self, name: str) -> str:
        """The column a field fills."""
        return f"{name}_id" if self.fields[name].kind == "reference" else name

    def field_of(self, column: str) -> str:
        """The field that fills a column, or the column itself where none does."""
        return next((name for name in self.fields if self.column(name) == column), column)


@dataclass(frozen=True)
class Catalogue:
    """Rows a file may name and not make; of several versions the newest counts."""

    model: type[Base]
    known_by: tuple[str, ...] = ("key",)
    versioned: bool = False


def _reference(entity: str, *, required: bool = False, fixed: bool = False) -> Field:
    return Field("reference", required=required, of=entity, fixed=fixed)


def _choice(*choices: str, default: str | None = None, required: bool = False) -> Field:
    return Field("choice", choices=choices, default=default, required=required)


_REQUIRED: Final = Field(required=True)
_NAME: Final = Field(required=True, characters=80)
_LONG_NAME: Final = Field(required=True, characters=200)
_NOTE: Final = Field(default="")
_LANGUAGE: Final = _choice("zh", "en", default="zh")
_FLAG: Final = Field("flag", default=False)
_DATE: Final = Field("date")
_GO_LIVE: Final = {"go_live_on": _DATE}
_LATITUDE: Final = Field("degrees", least=-90, most=90)
_LONGITUDE: Final = Field("degrees", least=-180, most=180)

_TARGETS: Final = (
    Target(
        Unit,
        {
            "parent": _reference("unit"),
            "kind": _choice("company", "region", "department", "outlet", "partner", required=True),
            "name_zh": _NAME, "name_en": _NAME, "calendar": _reference("working_calendar"),
            "time_zone": Field("zone", required=True),
        } | _GO_LIVE,
        known_by=("name_zh", "name_en"),
    ),
    Target(
        Person,
        {
            "unit": _reference("unit", required=True), "employee_number": _REQUIRED, "name": _NAME,
            "phone": Field("phone"), "email": Field("email"), "language": _LANGUAGE, "external": _FLAG,
            "home_lat": _LATITUDE, "home_lon": _LONGITUDE,
        } | _GO_LIVE,
        unique=("employee_number", "phone", "email"), known_by=("employee_number",), always={"active": True},
    ),
    Target(
        RoleGrant,
        {
            "person": _reference("person", required=True), "role": _reference("role", required=True),
            "unit": _reference("unit", required=True), "valid_from": Field("instant"), "valid_until": Field("instant"),
        },
        identity=("person", "role", "unit"),
    ),
    Target(
        PersonSkill,
        {
            "person": _reference("person", required=True), "skill": _reference("skill", required=True),
            "certificate_number": Field(), "valid_from": Field("instant"), "valid_until": Field("instant"),
        },
        identity=("person", "skill"),
    ),
    Target(
        Customer,
        {
            "unit": _reference("unit", required=True), "number": Field(), "name": _NAME,
            "kind": _choice("organisation", "household", default="organisation"), "language": _LANGUAGE,
        } | _GO_LIVE,
        unique=("number",), known_by=("number",), series="C",
    ),
    Target(
        Contact,
        {
            "customer": _reference("customer", required=True), "name": _NAME, "title": Field(characters=80),
            "function": _choice("contact", "operating_leader", "payer", default="contact"), "language": _LANGUAGE,
        } | _GO_LIVE,
    ),
    Target(
        ContactPoint,
        {
            "contact": _reference("contact", required=True), "kind": _choice("phone", "email", "wechat", required=True),
            "address": _REQUIRED, "consent": _choice("contract", "spoken", "written", "form"),
            "consented_at": Field("instant"),
        },
        identity=("contact", "kind", "address"),
    ),
    Target(
        Site,
        {
            "unit": _reference("unit", required=True), "customer": _reference("customer", required=True),
            "territory": _reference("territory"), "number": Field(), "name": _LONG_NAME,
            "address": Field(default="", characters=300),
            "lat": _LATITUDE, "lon": _LONGITUDE, "time_zone": Field("zone"), "acceptance_on": _DATE,
            "access_notes": _NOTE, "no_photos": _FLAG, "no_phone": _FLAG, "no_offline_drawings": _FLAG,
        } | _GO_LIVE,
        unique=("number",), known_by=("number",), series="S",
    ),
    Target(
        SiteContact,
        {
            "site": _reference("site", required=True), "contact": _reference("contact", required=True),
            "primary": _FLAG,
        },
        identity=("site", "contact"),
    ),
    Target(
        Position,
        {
            "site": _reference("site", required=True, fixed=True), "parent": _reference("position"), "name": _NAME,
            "description": _NOTE,
        } | _GO_LIVE,
    ),
    Target(
        AssetModel,
        {
            "asset_type": Field(required=True, of="asset_type"), "brand": _REQUIRED, "model": _REQUIRED,
            "needs_original_box": _FLAG,
        },
        identity=("brand", "model"), known_by=("model",),
    ),
    Target(
        Asset,
        {
            "site": _reference("site", required=True, fixed=True), "asset_type": Field(required=True, of="asset_type"),
            "asset_model": _reference("asset_model"), "name": _LONG_NAME, "serial": Field(),
            "quantity": Field("integer", default=1, least=1), "software_version": Field(), "protocol": Field(),
            "connection": Field(), "purchased_on": _DATE, "warranty_until": _DATE, "note": _NOTE,
        } | _GO_LIVE,
        known_by=("serial",),
    ),
    Target(
        AssetPlacement,
        {
            "asset": _reference("asset", required=True), "position": _reference("position", required=True),
            "installed_at": Field("instant"),
        },
        identity=("asset", "position"), unique=("asset_id",),
    ),
    Target(
        Part,
        {
            "number": _REQUIRED, "name_zh": _NAME, "name_en": _NAME, "measure": Field(default="piece"),
            "price_fen": Field("integer", default=0, least=0), "serialised": _FLAG,
            "active": Field("flag", default=True),
        } | _GO_LIVE,
        unique=("number",), known_by=("number",),
    ),
    Target(
        ServiceContract,
        {
            "customer": _reference("customer", required=True), "number": _REQUIRED,
            "clock_policy": _reference("clock_policy"), "starts_on": Field("date", required=True),
            "maintenance_ends_on": _DATE, "ends_on": _DATE,
        } | _GO_LIVE,
        unique=("number",), known_by=("number",), always={"coverage": {}},
    ),
    Target(
        ContractSite,
        {
            "contract": _reference("service_contract", required=True), "site": _reference("site", required=True),
            "valid_from_on": Field("date", required=True), "valid_until_on": _DATE,
        },
        identity=("contract", "site"),
    ),
    Target(
        MaintenancePlan,
        {
            "site": _reference("site", required=True, fixed=True), "kind": Field(required=True, of="work_order_kind"),
            "template_version": _reference("checklist_template_version", required=True),
            "asset_types": Field("list", default=[], of="asset_type"),
            "recurrence": Field(required=True, characters=200), "starts_on": Field("date", required=True),
            "ends_on": _DATE, "last_done_on": _DATE, "duration_minutes": Field("integer", required=True, least=1),
            "required_skills": Field("list", default=[], of="skill"), "active": Field("flag", default=True),
        } | _GO_LIVE,
    ),
    Target(
        ServiceRequest,
        {
            "site": _reference("site", fixed=True), "asset": _reference("asset", fixed=True),
            "contact": _reference("contact"), "reporter_name": Field(default="", characters=80),
            "reporter_phone": _NOTE, "channel": Field(default="import"), "priority": Field(of="priority"),
            "symptom": _REQUIRED, "wishes": _NOTE, "occurred_at": Field("instant"),
            "affected_scope": Field(characters=500), "received_at": Field("instant", required=True, fixed=True),
        } | _GO_LIVE,
        known_by=("number",),
    ),
)  # fmt: skip

TARGETS: Final[Mapping[str, Target]] = {target.entity: target for target in _TARGETS}
CATALOGUES: Final[Mapping[str, Catalogue]] = {
    "role": Catalogue(Role, versioned=True),
    "skill": Catalogue(Skill),
    "clock_policy": Catalogue(ClockPolicy, versioned=True),
    "working_calendar": Catalogue(WorkingCalendar, versioned=True),
    "checklist_template_version": Catalogue(ChecklistTemplateVersion, versioned=True),
    "territory": Catalogue(Territory, known_by=("name_zh", "name_en")),
}


def known_by(entity: str) -> tuple[str, ...]:
    """Columns by which a file may name a row of an entity, besides its external id."""
    return TARGETS[entity].known_by if entity in TARGETS else CATALOGUES[entity].known_by


def model_of(entity: str) -> type[Base]:
    """The table of an entity a file may name."""
    return TARGETS[entity].model if entity in TARGETS else CATALOGUES[entity].model
