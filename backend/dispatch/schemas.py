"""Wire structs of plans and the board."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from backend.people.roster_schemas import AbsenceKind

HORIZON_HOURS_MAXIMUM: Final = 14 * 24
"""How far ahead is planned at most: two weeks."""
SECONDS_MAXIMUM: Final = 300
"""How long a plan may be searched for at most."""
SEED_MAXIMUM: Final = 2**31 - 1
"""The largest seed of a search."""
CHANGES_MAXIMUM: Final = 20_000
"""Visits a re-plan may change at most."""
NOTE_MAXIMUM: Final = 4_000
"""Characters of the note on somebody who is away."""
SKILLS_MAXIMUM: Final = 100
"""Skills one person of a what-if may have."""

Colour = Literal["ok", "warn", "late"]


class NewPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wish for a plan of a unit and everything below it. `seconds` defaults to the installation's setting."""

    unit_id: UUID
    horizon_hours: Annotated[int, msgspec.Meta(ge=1, le=HORIZON_HOURS_MAXIMUM)] = 72
    seconds: Annotated[float, msgspec.Meta(gt=0, le=SECONDS_MAXIMUM)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAXIMUM)] = 1


class Away(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody who is ill or otherwise away from now on; entered as an absence with the wish for a re-plan."""

    person_id: UUID
    until: Annotated[datetime, msgspec.Meta(tz=True)]
    kind: AbsenceKind = "ill"
    note: Annotated[str, msgspec.Meta(max_length=NOTE_MAXIMUM, pattern="^[^\\x00]*$")] | None = None


class NewReplan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wish to plan anew with at most so many visits of the plan in force changed.

    Those of somebody who is `away` have to change and are not counted. Told customers are moved at a price only.
    """

    unit_id: UUID
    most_changes: Annotated[int, msgspec.Meta(ge=0, le=CHANGES_MAXIMUM)]
    away: Away | None = None
    horizon_hours: Annotated[int, msgspec.Meta(ge=1, le=HORIZON_HOURS_MAXIMUM)] = 72
    seconds: Annotated[float, msgspec.Meta(gt=0, le=SECONDS_MAXIMUM)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAXIMUM)] = 1


class OneMore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One more person with these skills, at work when `like_person_id` is, or else whoever works longest."""

    skills: Annotated[list[Annotated[str, msgspec.Meta(max_length=60)]], msgspec.Meta(max_length=SKILLS_MAXIMUM)] = []
    like_person_id: UUID | None = None


class Hypothesis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a what-if supposes, exactly one: somebody gone, one more person, or a skill that everybody has."""

    without_person_id: UUID | None = None
    one_more: OneMore | None = None
    everybody_has: Annotated[str, msgspec.Meta(min_length=1, max_length=60)] | None = None


class PlacedView(msgspec.Struct, frozen=True):
    """Where a plan has a visit."""

    shift_id: str
    person_id: UUID
    person_name: str
    starts_at: datetime


class ChangeView(msgspec.Struct, frozen=True):
    """A visit that is not where it was. `kind`: moved, retimed, added or taken_off; `told`: tell the customer anew.

    `counted`: it is one of those `most_changes` limits.
    """

    visit_id: UUID
    number: str
    site_name: str
    kind: str
    before: PlacedView | None
    after: PlacedView | None
    told: bool
    counted: bool
    sentence_zh: str
    sentence_en: str


class TermsView(msgspec.Struct, frozen=True):
    """What a plan comes to. `cost`: the planner's price by term."""

    served: int
    unplanned: int
    late: int
    late_minutes: int
    travel_minutes: int
    travel_km: float
    overtime_minutes: int
    cost: dict[str, Any]


class Difference(msgspec.Struct, frozen=True):
    """What a plan changes. `against`: in_force (what is published now), or the id of another plan.

    `counted`: the changes `most_changes` limits: to another shift, off the plan, or to another time than was told.
    `retimed`: visits that only start at another time, which may be any number.
    """

    plan_id: UUID
    against: str
    sentence_zh: str
    sentence_en: str
    counted: int
    most_changes: int | None
    retimed: int
    changes: list[ChangeView]
    told_again: list[UUID]
    before: TermsView
    after: TermsView


class PlanVersion(msgspec.Struct, frozen=True):
    """A plan that was published: which of its unit, when, by whom, and what publishing changed.

    `told_again`: the visits whose customers had to be told anew then.
    """

    unit_id: UUID
    version: int
    plan_id: UUID
    kind: str
    published_at: datetime
    published_by_id: UUID | None
    published_by: str | None
    assigned: int
    unchanged: int
    withdrawn: int
    skipped: int
    told_again: list[UUID]


class UnplannedView(msgspec.Struct, frozen=True):
    """A visit a plan leaves out, with each reason's code, basis (proven or searched) and sentences."""

    visit_id: UUID
    work_order_id: UUID
    number: str
    reasons: list[Any]


class LateView(msgspec.Struct, frozen=True):
    """A visit a plan brings after its commitment, its promised window, or both; 0 minutes: that one is kept.

    `reasons`: each one's code, basis (proven or searched) and sentences.
    """

    visit_id: UUID
    work_order_id: UUID
    number: str
    late_minutes: int
    promise_late_minutes: int
    reasons: list[Any]


class StopView(msgspec.Struct, frozen=True):
    """One visit of a route. `slack_minutes` is the time left to the commitment, negative when late.

    Who does not `leads` it comes to help whoever does.
    """

    visit_id: UUID
    leads: bool
    arrives_at: datetime
    starts_at: datetime
    ends_at: datetime
    travel_minutes: int
    slack_minutes: int | None


class RouteView(msgspec.Struct, frozen=True):
    """One technician's shift as planned."""

    shift_id: UUID
    person_id: UUID
    person_name: str
    departs_at: datetime
    ends_at: datetime
    stops: list[StopView]


class PlanView(msgspec.Struct, frozen=True):
    """A plan run: how far it is, and what it says once it is done.

    `travel_estimated`: its travel times are no roads' but reckoned from positions; `travel_source` says from what.
    """

    id: UUID
    unit_id: UUID
    kind: str
    version: int | None
    most_changes: int | None
    base_id: UUID | None
    hypothesis: dict[str, Any] | None
    state: str
    cancel_requested: bool
    horizon_starts_at: datetime
    horizon_ends_at: datetime
    seconds: float
    seed: int
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    published_at: datetime | None
    progress: dict[str, Any]
    summary_zh: str | None
    summary_en: str | None
    travel_source: str | None
    travel_estimated: bool | None
    cost: dict[str, Any] | None
    routes: list[RouteView]
    unplanned: list[UnplannedView]
    late: list[LateView]
    violations: list[Any]
    error: dict[str, Any] | None


class PlanSummary(msgspec.Struct, frozen=True):
    """A plan run in a list. `kind`: plan, replan or what_if; `version` once it is published."""

    id: UUID
    unit_id: UUID
    kind: str
    version: int | None
    state: str
    requested_at: datetime
    finished_at: datetime | None
    published_at: datetime | None


SkipCode = Literal["begun", "decided", "pinned", "shift_gone", "shift_changed", "away", "past"]


class SkippedVisit(msgspec.Struct, frozen=True):
    """A visit that publishing left alone, and why.

    `code`: begun (under way, finished or cancelled since), decided (assigned, moved, pinned or promised since the plan
    was made), pinned (to somebody the plan found no room with), shift_gone (removed, or of a technician who left),
    shift_changed (its hours, breaks or start, since the plan was made), away (its technician, at that time) or past
    (more than 15 minutes after they were to set off).
    """

    visit_id: UUID
    state: str
    code: SkipCode
    zh: str
    en: str


class Publication(msgspec.Struct, frozen=True):
    """What publishing changed: visits newly assigned or moved, left as they were, taken off, and passed over.

    `told_again`: those of the assigned and the taken off whose customers were told a time, and have to be told anew.
    """

    plan_id: UUID
    assigned: int
    unchanged: int
    withdrawn: int
    skipped: list[SkippedVisit]
    version: int | None = None
    told_again: list[UUID] = []


class Card(msgspec.Struct, frozen=True):
    """One open work order on the board, with its arrival commitment as a sentence.

    `colour`: ok, warn (half the time is used), late (the limit is behind us or the plan misses it). `helpers`: who goes
    along with `person_name`.
    """

    work_order_id: UUID
    number: str
    priority: str
    kind: str
    title: str
    site_name: str
    address: str
    state: str
    visit_id: UUID | None
    visit_state: str | None
    due_at: datetime | None
    colour: Colour
    sentence_zh: str
    sentence_en: str
    person_id: UUID | None
    person_name: str | None
    helpers: list[str]
    arrives_at: datetime | None
    slack_minutes: int | None


class Board(msgspec.Struct, frozen=True):
    """The dispatcher's board at one instant: open work by colour of its commitment."""

    at: datetime
    late: list[Card]
    warn: list[Card]
    ok: list[Card]
