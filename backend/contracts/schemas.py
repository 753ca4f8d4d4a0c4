"""Wire structs of clocks, prices and service contracts."""

from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec

from backend.contracts.rules import ClockReading, MovedBy
from backend.people.schemas import Instant, Number, Reason, Request, View

SITES_A_CONTRACT: Final = 500
"""Sites one contract may name at once."""
COVERAGE_KEYS: Final = 50

Channel = Annotated[str, msgspec.Meta(min_length=1, max_length=20, pattern=r"^[a-z][a-z_]*$")]
SiteIds = Annotated[list[UUID], msgspec.Meta(max_length=SITES_A_CONTRACT)]
Coverage = Annotated[dict[str, bool], msgspec.Meta(max_length=COVERAGE_KEYS)]


class NewPromise(Request, frozen=True):
    """A time told to the customer: who asked for it, through which channel, and why it was moved (X3)."""

    promised_at: Instant
    moved_by: MovedBy
    channel: Channel
    reason: Reason


class PromiseView(View, frozen=True):
    """A promise as it was made."""

    id: UUID
    kind: str
    promised_at: datetime
    moved_by: str
    channel: str
    reason: str
    person_id: UUID | None
    made_at: datetime


class PauseView(View, frozen=True):
    """A time a clock stood still."""

    kind: str
    started_at: datetime
    ended_at: datetime | None
    reason: str


class SubjectClocks(View, frozen=True):
    """The clocks of one record as they stand, with every promise and pause behind them."""

    clocks: list[ClockReading]
    promises: list[PromiseView]
    pauses: list[PauseView]


class PriceListView(View, frozen=True):
    """One version of the charges; amounts in the smallest unit of `currency`."""

    id: UUID
    key: str
    version: int
    name_zh: str
    name_en: str
    currency: str
    valid_from_on: date
    valid_until_on: date | None
    lines: list[Any]


class NewServiceContract(Request, frozen=True):
    """A contract with a customer. Without `clock_policy` (a key) the default policy's newest version is pinned."""

    customer_id: UUID
    number: Number
    starts_on: date
    maintenance_ends_on: date | None = None
    ends_on: date | None = None
    clock_policy: Number | None = None
    site_ids: SiteIds = msgspec.field(default_factory=list[UUID])
    coverage: Coverage = msgspec.field(default_factory=dict[str, bool])


class ServiceContractView(View, frozen=True):
    """A contract, the policy version it pins and the sites it covers on the day asked for."""

    id: UUID
    customer_id: UUID
    number: str
    clock_policy_id: UUID
    starts_on: date
    maintenance_ends_on: date | None
    ends_on: date | None
    coverage: dict[str, Any]
    site_ids: list[UUID]
