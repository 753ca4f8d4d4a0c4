"""Wire structs of sign-in, people, their roles, crews, skills and devices."""

from datetime import datetime
from typing import Annotated, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from backend.core.auth import PASSWORD_MAXIMUM
from backend.core.db import Row

Login = Annotated[str, msgspec.Meta(min_length=1, max_length=254, description="Phone, employee number or e-mail.")]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=PASSWORD_MAXIMUM)]
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=80, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
"""A name people read: not blank, and without the NUL that databases do not agree on."""
Text = Annotated[str, msgspec.Meta(max_length=2000, pattern=r"^[^\x00]*$")]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
Number = Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=r"^[^\s\x00]+$")]
Phone = Annotated[str, msgspec.Meta(min_length=3, max_length=40, description="As people write it; kept in E.164.")]
Email = Annotated[str, msgspec.Meta(max_length=254, pattern=r"^[^@\s\x00]+@[^@\s\x00]+\.[^@\s\x00]+$")]
Language = Literal["zh", "en"]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
UnitKind = Literal["company", "region", "outlet", "department", "partner"]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request's body: the office API refuses fields it does not know."""


class View(msgspec.Struct, frozen=True, kw_only=True):
    """An answer's body."""


Shown = TypeVar("Shown", bound=View)


class SignIn(Request, frozen=True):
    """A sign-in by phone, employee number or e-mail; from a registered phone it names the device."""

    login: Login
    password: Password
    device_id: UUID | None = None


class Refresh(Request, frozen=True):
    """A refresh token; from a registered phone it names the device the token is bound to."""

    refresh_token: Secret
    device_id: UUID | None = None


class Tokens(View, frozen=True):
    """What a sign-in gives: a short access token and the refresh token that follows it."""

    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    person_id: UUID


class PasswordChange(Request, frozen=True):
    """The signed-in person's old and new password."""

    old: Password
    new: Password


class ResetPassword(Request, frozen=True):
    """An administrator's one-time code and the password the person chooses."""

    code: Secret
    password: Password


class SessionView(View, frozen=True):
    """One open sign-in of the person."""

    id: UUID
    device_id: UUID | None
    device_name: str | None
    address: str
    started_at: datetime
    last_used_at: datetime
    expires_at: datetime
    current: bool


class PermissionView(View, frozen=True):
    """One thing a role allows: an area, a level and how far it reaches."""

    area: str
    level: str
    reach: str


class Me(View, frozen=True):
    """The signed-in person."""

    person_id: UUID
    name: str
    employee_number: str
    language: str
    unit_id: UUID
    location_consent_at: datetime | None
    roles: list[str]
    permissions: list[PermissionView]


class MePatch(Request, frozen=True):
    """What people decide about themselves: their language, and whether their position may go with their events."""

    language: Language | UnsetType = UNSET
    location_consent: bool | UnsetType = UNSET


class GeoPoint(Request, frozen=True):
    """A place in WGS-84 degrees."""

    lat: Latitude
    lon: Longitude


class NewPerson(Request, frozen=True):
    """An employee or an external technician. Roles, crews and skills are given separately, each with its dates."""

    unit_id: UUID
    employee_number: Number
    name: Name
    phone: Phone | None = None
    email: Email | None = None
    language: Language = "zh"
    external: bool = False
    home: GeoPoint | None = None


class PersonPatch(Request, frozen=True):
    """Fields of a person to change; what is left out stays."""

    unit_id: UUID | UnsetType = UNSET
    employee_number: Number | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    phone: Phone | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    language: Language | UnsetType = UNSET
    external: bool | UnsetType = UNSET
    home: GeoPoint | UnsetType | None = UNSET


class PersonView(View, frozen=True):
    """A person as colleagues see them; `home` is shown to administrators only."""

    id: UUID
    unit_id: UUID
    employee_number: str
    name: str
    phone: str | None
    email: str | None
    language: str
    external: bool
    active: bool
    deactivated_at: datetime | None
    location_consent_at: datetime | None
    home: GeoPoint | None


class Deactivation(Request, frozen=True):
    """Somebody leaves: why, and who takes over what they held (sites at once; Cases by their dispatcher)."""

    reason: Reason
    successor_id: UUID | None = None


class Duty(View, frozen=True):
    """What a person holds and somebody must take over: a site, a key, an open Case, a visit, a duty slot, a van."""

    kind: str
    id: UUID
    label: str


class Duties(View, frozen=True):
    """What a person holds; empty when everything is handed over."""

    person_id: UUID
    active: bool
    duties: list[Duty]


class OneTimeCode(View, frozen=True):
    """A code that works once; it is shown now and never again."""

    code: str
    expires_at: datetime


class DeviceView(View, frozen=True):
    """A registered phone."""

    id: UUID
    person_id: UUID
    prefix: str
    name: str
    app_version: str
    enrolled_at: datetime
    last_seen_at: datetime | None
    revoked_at: datetime | None
    wiped_at: datetime | None


class RoleView(View, frozen=True):
    """A role and what it allows."""

    id: UUID
    key: str
    version: int
    name_zh: str
    name_en: str
    side: str
    permissions: list[PermissionView]
    queues: list[str]


class NewRoleGrant(Request, frozen=True):
    """A role for a person within a unit and everything below it, from now or a given instant."""

    role_id: UUID
    unit_id: UUID
    valid_from: Instant | None = None
    valid_until: Instant | None = None


class RoleGrantView(View, frozen=True):
    """A role somebody holds."""

    id: UUID
    person_id: UUID
    role_id: UUID
    unit_id: UUID
    valid_from: datetime
    valid_until: datetime | None


class Ending(Request, frozen=True):
    """When something with effective dates ends; left out, it ends now."""

    at: Instant | None = None


class NewUnit(Request, frozen=True):
    """A region, outlet, department or partner company under another unit."""

    parent_id: UUID
    kind: UnitKind
    name_zh: Name
    name_en: Name
    time_zone: Annotated[str, msgspec.Meta(max_length=40)] = "Asia/Shanghai"
    calendar_id: UUID | None = None


class UnitPatch(Request, frozen=True):
    """Fields of a unit to change."""

    name_zh: Name | UnsetType = UNSET
    name_en: Name | UnsetType = UNSET
    time_zone: Annotated[str, msgspec.Meta(max_length=40)] | UnsetType = UNSET
    calendar_id: UUID | UnsetType | None = UNSET


class UnitView(View, frozen=True):
    """An organisation unit."""

    id: UUID
    parent_id: UUID | None
    kind: str
    name_zh: str
    name_en: str
    time_zone: str
    calendar_id: UUID | None


class NewCrew(Request, frozen=True):
    """A crew of a unit."""

    unit_id: UUID
    name: Name


class CrewPatch(Request, frozen=True):
    """Fields of a crew to change."""

    name: Name | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class CrewView(View, frozen=True):
    """A crew."""

    id: UUID
    unit_id: UUID
    name: str
    active: bool


class NewCrewMember(Request, frozen=True):
    """Somebody joins a crew; the one who leads claims work and names people."""

    person_id: UUID
    leads: bool = False
    valid_from: Instant | None = None
    valid_until: Instant | None = None


class CrewMemberView(View, frozen=True):
    """Somebody's time in a crew."""

    id: UUID
    crew_id: UUID
    person_id: UUID
    leads: bool
    valid_from: datetime
    valid_until: datetime | None


class SkillView(View, frozen=True):
    """A skill work may require."""

    id: UUID
    key: str
    name_zh: str
    name_en: str
    needs_certificate: bool


class NewPersonSkill(Request, frozen=True):
    """A skill somebody has; where it needs a certificate (A209), its number and its last day of validity too."""

    skill_id: UUID
    certificate_number: Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[^\x00]+$")] | None = None
    valid_from: Instant | None = None
    valid_until: Instant | None = None


class PersonSkillView(View, frozen=True):
    """A skill somebody holds for a time."""

    id: UUID
    person_id: UUID
    skill_id: UUID
    certificate_number: str | None
    valid_from: datetime
    valid_until: datetime | None


def shown(row: Row, view: type[Shown], **beside: object) -> Shown:
    """Return a row as one of its views: the columns of the same names, and `beside` for what is no column."""
    columns = {name: getattr(row, name) for name in view.__struct_fields__ if name not in beside}
    return view(**columns, **beside)
