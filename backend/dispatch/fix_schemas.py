"""Wire structs of explanations: what could give way for a visit, applying it, and why this technician."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from backend.dispatch.live_schemas import Base, MovedView
from backend.jobs.schemas import Tell

FIX_NAME_LENGTH: Final = 16
"""Characters of what a fix is called (`fixes.fix_name`)."""

Decides = Literal["dispatcher", "customer", "others"]
"""Who makes it so: the dispatcher by applying the fix, after the customer's agreement, or somebody else first."""


class GivesWay(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that gives way. `first`: what has to be done before the fix can be applied, where that is needed."""

    kind: str
    zh: str
    en: str
    decides: Decides
    first_zh: str | None = None
    first_en: str | None = None


class FixView(msgspec.Struct, frozen=True, kw_only=True):
    """One way to a place for the visit: what gives way, what it costs by term, and what else moves by how much.

    `fix` names it when it is applied; `price` and `cost` are in the planner's unit, against the plan as it is.
    """

    fix: str
    gives_way: list[GivesWay]
    person_id: UUID
    person_name: str
    starts_at: datetime
    late_minutes: int
    promise_late_minutes: int
    price: int
    cost: dict[str, Any]
    added_travel_minutes: int
    added_overtime_minutes: int
    moved: list[MovedView]
    told_again: list[UUID]
    applicable: bool
    sentence_zh: str
    sentence_en: str


class FixesView(msgspec.Struct, frozen=True, kw_only=True):
    """What could give way for a visit without a place, or late.

    `base` is what to apply one with (None: of a plan that is not in force). `outcome`: fixed, no_need (there is a
    place as it is), misses_commitment or misses_promise (there is, but after the commitment or the promised window: it
    comes first, and what would put that right after it, if anything was found) or none; crew and under_way: none are
    looked for. `tried`: places priced under `rules` opened rules.
    """

    visit_id: UUID
    at: datetime
    base: str | None
    outcome: str
    fixes: list[FixView]
    tried: int
    rules: int
    exhausted: bool
    sentence_zh: str
    sentence_en: str


class AppliedFix(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fix to carry out, as it was shown. `agreed`: how a customer whose time moves was told, and by whose wish."""

    base: Base
    starts_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    agreed: Tell | None = None


class AlternativeView(msgspec.Struct, frozen=True, kw_only=True):
    """Another technician: the best place, what moves then, or the rule that excludes them."""

    person_id: UUID
    person_name: str
    shift_id: UUID
    feasible: bool
    rule: str | None
    starts_at: datetime | None
    added_travel_minutes: int
    added_cost: int
    moved: list[MovedView]
    sentence_zh: str
    sentence_en: str


class WhyView(msgspec.Struct, frozen=True, kw_only=True):
    """Why this technician: everybody else, who could at what price first, then who could not and why."""

    visit_id: UUID
    at: datetime
    person_id: UUID
    person_name: str
    starts_at: datetime
    able: int
    alternatives: list[AlternativeView]
    sentence_zh: str
    sentence_en: str
