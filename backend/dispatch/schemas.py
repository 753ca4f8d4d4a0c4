"""Wire structs of plans and the board."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

HORIZON_HOURS_MAXIMUM: Final = 14 * 24
SECONDS_MAXIMUM: Final = 300
SEED_MAXIMUM: Final = 2**31 - 1

Colour = Literal["ok", "warn", "late"]


class NewPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wish for a plan of a unit and everything below it. `seconds` defaults to the installation's setting."""

    unit_id: UUID
    horizon_hours: Annotated[int, msgspec.Meta(ge=1, le=HORIZON_HOURS_MAXIMUM)] = 72
    seconds: Annotated[float, msgspec.Meta(gt=0, le=SECONDS_MAXIMUM)] | None = None
    seed: Annotated[int, msgspec.Meta(ge=0, le=SEED_MAXIMUM)] = 1


class UnplannedView(msgspec.Struct, frozen=True):
    """A visit a plan leaves out, with each reason's code, basis (proven or searched) and sentences."""

    visit_id: UUID
    work_order_id: UUID
    number: str
    reasons: list[Any]


class StopView(msgspec.Struct, frozen=True):
    """One visit of a route. `slack_minutes` is the time left to the commitment, negative when late."""

    visit_id: UUID
    arrives_at: datetime
    starts_at: datetime
    ends_at: datetime
    travel_minutes: int
    slack_minutes: int | None


class RouteView(msgspec.Struct, frozen=True):
    """One technician's shift as planned."""

    shift_id: UUID
    person_id: UUID
    departs_at: datetime
    ends_at: datetime
    stops: list[StopView]


class PlanView(msgspec.Struct, frozen=True):
    """A plan run: how far it is, and what it says once it is done."""

    id: UUID
    unit_id: UUID
    state: str
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
    cost: dict[str, Any] | None
    routes: list[RouteView]
    unplanned: list[UnplannedView]
    violations: list[Any]
    error: dict[str, Any] | None


class PlanSummary(msgspec.Struct, frozen=True):
    """A plan run in a list."""

    id: UUID
    unit_id: UUID
    state: str
    requested_at: datetime
    finished_at: datetime | None
    published_at: datetime | None


class SkippedVisit(msgspec.Struct, frozen=True):
    """A visit that publishing left alone, and why.

    `code`: begun (under way, finished or cancelled since), decided (assigned, moved, pinned or promised since the plan
    was made), pinned (to somebody the plan found no room with) or shift_gone (of a technician who left or is off).
    """

    visit_id: UUID
    state: str
    code: Literal["begun", "decided", "pinned", "shift_gone"]
    zh: str
    en: str


class Publication(msgspec.Struct, frozen=True):
    """What publishing changed: visits newly assigned or moved, left as they were, taken off, and passed over."""

    plan_id: UUID
    assigned: int
    unchanged: int
    withdrawn: int
    skipped: list[SkippedVisit]


class Card(msgspec.Struct, frozen=True):
    """One open work order on the board, with its arrival commitment as a sentence.

    `colour`: ok, warn (half the time is used), late (the limit is behind us or the plan misses it).
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
    arrives_at: datetime | None
    slack_minutes: int | None


class Board(msgspec.Struct, frozen=True):
    """The dispatcher's board at one instant: open work by colour of its commitment."""

    at: datetime
    late: list[Card]
    warn: list[Card]
    ok: list[Card]
