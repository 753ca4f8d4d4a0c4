"""Wire structs of service requests."""

from datetime import date, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from backend.contracts.rules import ClockReading
from backend.contracts.schemas import Channel
from backend.people.schemas import Instant, Name, Reason, Request, View

NAME_MAXIMUM: Final = 80
TEXT_MAXIMUM: Final = 4000
SCOPE_MAXIMUM: Final = 500
SKILLS_MAXIMUM: Final = 20
MINUTES_MAXIMUM: Final = 30 * 24 * 60
"""Minutes on site; the longest job in the presets takes half a day."""

NO_NUL: Final = r"^[^\x00]*$"
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern="^[A-Za-z][A-Za-z0-9_]*$")]
Nature = Annotated[str, msgspec.Meta(min_length=1, max_length=30, pattern="^[A-Za-z][A-Za-z0-9_]*$")]
Priority = Annotated[str, msgspec.Meta(min_length=1, max_length=10, pattern="^[A-Za-z][A-Za-z0-9_]*$")]
ExternalId = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=r"^[^\x00]+$")]
Spoken = Annotated[str, msgspec.Meta(max_length=NAME_MAXIMUM, pattern=NO_NUL)]
"""A name as it was given, perhaps not yet known."""
Phone = Annotated[str, msgspec.Meta(max_length=40, pattern=NO_NUL, description="As the caller gave it.")]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAXIMUM, pattern=NO_NUL)]
Said = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAXIMUM, pattern=r"^[^\x00]*[^\s\x00][^\x00]*$")]
Scope = Annotated[str, msgspec.Meta(max_length=SCOPE_MAXIMUM, pattern=NO_NUL)]
Minutes = Annotated[int, msgspec.Meta(ge=1, le=MINUTES_MAXIMUM)]
Skills = Annotated[list[Key], msgspec.Meta(max_length=SKILLS_MAXIMUM)]
ServiceMode = Literal["remote", "on_site", "pull_in"]
Fact = Literal["reporter_name", "reporter_phone", "address", "product_model", "purchased_on", "symptom"]


class NewServiceRequest(Request, frozen=True):
    """A request as it came in on any channel (A001–A003). Site and asset are named by id or by external id.

    `received_at` may be earlier than now; more than a few minutes earlier needs `backdating_reason`, because the clocks
    already run. `id` and `device_number` are given when it was born on a phone.
    """

    channel: Channel
    site_id: UUID | None = None
    site_external_id: ExternalId | None = None
    customer_id: UUID | None = None
    """To be checked against the site's customer; the site decides."""
    customer_external_id: ExternalId | None = None
    asset_id: UUID | None = None
    asset_external_id: ExternalId | None = None
    contact_id: UUID | None = None
    reporter_name: Spoken = ""
    reporter_phone: Phone = ""
    symptom: Text = ""
    wishes: Text = ""
    occurred_at: Instant | None = None
    affected_scope: Scope | None = None
    received_at: Instant | None = None
    backdating_reason: Reason | None = None
    priority: Priority | None = None
    external_id: ExternalId | None = None
    id: UUID | None = None
    device_number: Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=r"^[^\x00]+$")] | None = None


class RequestPatch(Request, frozen=True):
    """Facts of a Case to correct or complete (A024, A027); what is left out stays."""

    reporter_name: Spoken | UnsetType = UNSET
    reporter_phone: Phone | UnsetType = UNSET
    asset_id: UUID | UnsetType | None = UNSET
    contact_id: UUID | UnsetType | None = UNSET
    symptom: Text | UnsetType = UNSET
    wishes: Text | UnsetType = UNSET
    occurred_at: Instant | UnsetType | None = UNSET
    affected_scope: Scope | UnsetType | None = UNSET


class Triage(Request, frozen=True):
    """How a Case is to be served: priority, mode, nature, skills and time (A005, A006); what is left out stays.

    Priority and mode have to be known after the first one.
    """

    priority: Priority | UnsetType = UNSET
    service_mode: ServiceMode | UnsetType = UNSET
    nature: Nature | UnsetType | None = UNSET
    required_skills: Skills | UnsetType = UNSET
    cause: Key | UnsetType | None = UNSET
    estimated_minutes: Minutes | UnsetType | None = UNSET


class ContactEntry(Request, frozen=True):
    """We contacted the customer; the first time stops the clock to respond (A029)."""

    channel: Channel
    at: Instant | None = None
    note: Text = ""


class AnswerEntry(Request, frozen=True):
    """The solution and its time were told (A009, A030). `resolution` where the answer itself solved it (A010)."""

    channel: Channel
    solution: Said
    at: Instant | None = None
    planned_at: Instant | None = None
    resolution: Key | None = None


class SolvedEntry(Request, frozen=True):
    """The customer confirms that the problem is entirely solved (A104): who, when, and how it was solved."""

    confirmed_by: Name
    resolution: Key
    at: Instant | None = None
    cause: Key | None = None
    note: Text = ""


class CloseEntry(Request, frozen=True):
    """A Case is closed: with the resolution it was solved by, or with one that ends it unsolved (A012)."""

    resolution: Key | None = None
    cause: Key | None = None
    note: Text = ""
    duplicate_of_id: UUID | None = None


class ReopenEntry(Request, frozen=True):
    """Why a Case is opened again."""

    reason: Reason


class CancelEntry(Request, frozen=True):
    """The customer takes the request back: who said so, and why."""

    asked_by: Name
    reason: Reason


class InquiryEntry(Request, frozen=True):
    """Somebody was asked for a missing fact, first the guide, shop or supervisor, then the customer (A004)."""

    fact: Fact
    asked_of: Name
    answer: Said | None = None


class Handover(Request, frozen=True):
    """The Case is offered to somebody else; until they accept, the owner stays the owner (A015)."""

    person_id: UUID
    reason: Reason


class EscalationEntry(Request, frozen=True):
    """Help is asked for: by default from the next role of the default chain (A188)."""

    reason: Reason
    chain: Key | None = None
    person_id: UUID | None = None


class RequestView(View, frozen=True):
    """A Case's own facts; its ETag is taken from these."""

    id: UUID
    unit_id: UUID
    number: str
    device_number: str | None
    external_id: str | None
    customer_id: UUID
    site_id: UUID
    asset_id: UUID | None
    contact_id: UUID | None
    reporter_name: str
    reporter_phone: str
    channel: str
    symptom: str
    wishes: str
    occurred_at: datetime | None
    affected_scope: str | None
    received_at: datetime
    opened_at: datetime
    first_contact_at: datetime | None
    missing_facts: list[str]
    nature: str | None
    service_mode: str | None
    priority: str | None
    required_skills: list[str]
    estimated_minutes: int | None
    state: str
    cause: str | None
    resolution: str | None
    duplicate_of_id: UUID | None
    reopened_count: int
    closed_at: datetime | None


class RequestItem(View, frozen=True):
    """A Case in a list, with the limit that ends first."""

    id: UUID
    number: str
    unit_id: UUID
    customer_id: UUID
    customer_name: str
    site_id: UUID
    site_name: str
    owner_id: UUID | None
    state: str
    priority: str | None
    channel: str
    symptom: str
    missing_facts: list[str]
    service_mode: str | None
    received_at: datetime
    next_kind: str | None
    next_due_at: datetime | None
    late: bool


class OwnerView(View, frozen=True):
    """One person's time as owner; without `accepted_at` an offer."""

    person_id: UUID
    person_name: str
    started_at: datetime
    accepted_at: datetime | None
    ended_at: datetime | None


class InquiryView(View, frozen=True):
    """One question about a missing fact."""

    id: UUID
    fact: str
    asked_of: str
    answer: str | None
    asked_at: datetime
    asked_by_id: UUID


class EscalationView(View, frozen=True):
    """One step up a chain."""

    id: UUID
    chain: str
    step: int
    role_key: str
    person_id: UUID | None
    reason: str
    raised_at: datetime
    answered_at: datetime | None


class Escalated(View, frozen=True):
    """Who was asked for help; several where the chain asks in parallel."""

    steps: list[EscalationView]


class ContractBrief(View, frozen=True):
    """The contract that covers the site on the day of receipt."""

    id: UUID
    number: str
    maintenance_ends_on: date | None
    coverage: dict[str, Any]


class RequestDetail(View, frozen=True):
    """A Case with everything an operator needs on one page. Without `contract` it is outside any (A014)."""

    request: RequestView
    customer_name: str
    site_name: str
    site_address: str
    site_time_zone: str
    contract: ContractBrief | None
    clocks: list[ClockReading]
    owners: list[OwnerView]
    inquiries: list[InquiryView]
    escalations: list[EscalationView]
    may: list[str]
    """Moves that are possible from this state, each with POST /requests/{id}/{move}."""
