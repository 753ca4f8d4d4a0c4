"""Wire structs of customers and contacts."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from backend.people.schemas import Language, Name, Request, View

POINTS_MAXIMUM = 10
"""Ways to reach one contact."""

CustomerKind = Literal["organisation", "household"]
ContactFunction = Literal["contact", "operating_leader", "payer"]
PointKind = Literal["phone", "email", "wechat"]
Address = Annotated[str, msgspec.Meta(min_length=3, max_length=254, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
Consent = Literal["contract", "spoken", "written", "form"]
"""What the consent to be reached this way rests on."""


class NewCustomer(Request, frozen=True):
    """An organisation or household, looked after by a unit."""

    unit_id: UUID
    name: Name
    kind: CustomerKind = "organisation"
    language: Language = "zh"


class CustomerPatch(Request, frozen=True):
    """Fields of a customer to change; what is left out stays."""

    unit_id: UUID | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    kind: CustomerKind | UnsetType = UNSET
    language: Language | UnsetType = UNSET


class CustomerView(View, frozen=True):
    """A customer. `merged_into_id` names the record that replaced this one."""

    id: UUID
    unit_id: UUID
    number: str
    name: str
    kind: str
    language: str
    merged_into_id: UUID | None


class Merge(Request, frozen=True):
    """Two records of the same: this one is replaced by `into_id`, and whatever refers to it follows."""

    into_id: UUID


class NewContactPoint(Request, frozen=True):
    """A way to reach a contact; `consent` says what the permission to use it rests on, null that there is none."""

    kind: PointKind
    address: Address
    consent: Consent | None = None


class ContactPointPatch(Request, frozen=True):
    """A corrected address, or a consent given or withdrawn."""

    address: Address | UnsetType = UNSET
    consent: Consent | UnsetType | None = UNSET


class ContactPointView(View, frozen=True):
    """A way to reach a contact, and since when we may use it."""

    id: UUID
    kind: str
    address: str
    consent: str | None
    consented_at: datetime | None


class NewContact(Request, frozen=True):
    """A person at a customer, with ways to reach them."""

    name: Name
    title: Name | None = None
    function: ContactFunction = "contact"
    language: Language = "zh"
    points: Annotated[tuple[NewContactPoint, ...], msgspec.Meta(max_length=POINTS_MAXIMUM)] = ()


class ContactPatch(Request, frozen=True):
    """Fields of a contact to change; what is left out stays."""

    name: Name | UnsetType = UNSET
    title: Name | UnsetType | None = UNSET
    function: ContactFunction | UnsetType = UNSET
    language: Language | UnsetType = UNSET


class ContactView(View, frozen=True):
    """A person at a customer."""

    id: UUID
    customer_id: UUID
    name: str
    title: str | None
    function: str
    language: str
    merged_into_id: UUID | None
    points: list[ContactPointView]
