"""Wire structs of maintenance plans and their ledger."""

from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from backend.jobs.schemas import NO_NUL, Key, Kind, Minutes, Reason, Refusing, Skills

ASSET_TYPES_MAXIMUM: Final = 50
RECURRENCE_LENGTH: Final = 200

Recurrence = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=RECURRENCE_LENGTH, pattern=NO_NUL, description="An RFC 5545 rule."),
]
AssetTypes = Annotated[list[Key], msgspec.Meta(max_length=ASSET_TYPES_MAXIMUM)]


class NewMaintenancePlan(Refusing, frozen=True, kw_only=True):
    """What is cared for at a site and how often. Template, rule and duration come from the kind where left out.

    With `asset_types` each asset of those types has an item of its own in the ledger; without, the site has one.
    `last_done_on` and `go_live_on` keep the first day from being a list of misses.
    """

    site_id: UUID
    kind: Kind
    starts_on: date
    recurrence: Recurrence | None = None
    template_version_id: UUID | None = None
    asset_types: AssetTypes = msgspec.field(default_factory=list[str])
    ends_on: date | None = None
    last_done_on: date | None = None
    go_live_on: date | None = None
    duration_minutes: Minutes | None = None
    required_skills: Skills = msgspec.field(default_factory=list[str])


class MaintenancePlanPatch(Refusing, frozen=True, kw_only=True):
    """What may change on a plan; a field left out stays. A plan is ended or made inactive, never deleted."""

    recurrence: Recurrence | UnsetType = UNSET
    template_version_id: UUID | UnsetType = UNSET
    asset_types: AssetTypes | UnsetType = UNSET
    ends_on: date | UnsetType | None = UNSET
    last_done_on: date | UnsetType | None = UNSET
    duration_minutes: Minutes | UnsetType = UNSET
    required_skills: Skills | UnsetType = UNSET
    active: bool | UnsetType = UNSET


class MaintenancePlanView(msgspec.Struct, frozen=True, kw_only=True):
    """A plan."""

    id: UUID
    unit_id: UUID
    site_id: UUID
    kind: str
    template_version_id: UUID
    asset_types: list[Any]
    recurrence: str
    starts_on: date
    ends_on: date | None
    last_done_on: date | None
    go_live_on: date | None
    duration_minutes: int
    required_skills: list[Any]
    active: bool


class DueView(msgspec.Struct, frozen=True, kw_only=True):
    """One item of the ledger: what was owed in a period and what became of it."""

    id: UUID
    plan_id: UUID
    kind: str
    site_id: UUID
    site_name: str
    asset_id: UUID | None
    asset_name: str | None
    period_from_on: date
    period_until_on: date
    state: str
    work_order_id: UUID | None
    work_order_number: str | None
    settled_at: datetime | None
    """When it was done; on a missed item, when it was done too late."""
    waived_reason: str | None


class LedgerCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many items of a kind are in a state; monthly, quarterly and half-yearly count separately (A138)."""

    kind: str
    state: str
    count: int


class Waive(Refusing, frozen=True, kw_only=True):
    """Why an item is not owed."""

    reason: Reason


class RaiseDue(Refusing, frozen=True, kw_only=True):
    """Up to which day periods are raised that begin by then."""

    until: date


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """How many items were added to the ledger."""

    raised: int
