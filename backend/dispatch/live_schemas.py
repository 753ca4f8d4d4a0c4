"""Wire structs of live dispatching: proposals, what-ifs, placements, and the days as they go."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec

LIVE_HOURS: Final = 48
"""How far ahead the board looks unless told otherwise; further, if a visit that is asked about lies further."""
PROPOSALS_MAXIMUM: Final = 20
"""Places one answer offers for a visit at most."""
BASE_LENGTH: Final = 51
"""Characters of a `Base`: a commit's number of up to 18 digits, a point, and an audit entry's id."""

Base = Annotated[str, msgspec.Meta(min_length=1, max_length=BASE_LENGTH, pattern=r"^[0-9]{1,18}(\.[0-9a-f]{32})?$")]
"""What the board showed: everything committed up to here. Sent back, it is refused when what it rests on moved on."""


class WantedPlacement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where somebody drags a visit: on a shift (null: off the plan), right behind or before another, or at a time.

    With a shift alone, it goes where it costs least.
    """

    shift_id: UUID | None = None
    after_visit_id: UUID | None = None
    before_visit_id: UUID | None = None
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class AcceptedPlacement(WantedPlacement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A placement to carry out. `base` and `starts_at` are those of the proposal or the what-if that was shown.

    `even_so`: break a customer's promised window all the same. `pinned`: plans leave the visit there.
    """

    base: Base
    starts_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    even_so: bool = False
    pinned: bool = False


class VisitLabel(msgspec.Struct, frozen=True, kw_only=True):
    """What people call a visit."""

    visit_id: UUID
    number: str
    site_name: str


class MovedView(VisitLabel, frozen=True, kw_only=True):
    """A visit that starts at another time. `told`: the customer was told the time before and is to be told anew."""

    person_name: str
    starts_before: datetime
    starts_after: datetime
    minutes: int
    told: bool


class LatenessView(VisitLabel, frozen=True, kw_only=True):
    """A visit later than its commitment, or than its promised window (`promise`), by other minutes than before."""

    promise: bool
    before_minutes: int
    after_minutes: int


class OvertimeView(msgspec.Struct, frozen=True, kw_only=True):
    """A shift whose overtime changes."""

    shift_id: UUID
    person_name: str
    before_minutes: int
    after_minutes: int


class ProposalView(msgspec.Struct, frozen=True, kw_only=True):
    """One place for an urgent visit, with a sentence that says all of it. `added_cost` is in the planner's unit."""

    shift_id: UUID
    person_id: UUID
    person_name: str
    after_visit_id: UUID | None
    starts_at: datetime
    late_minutes: int
    promise_late_minutes: int
    added_travel_minutes: int
    added_overtime_minutes: int
    added_cost: int
    moved: list[MovedView]
    sentence_zh: str
    sentence_en: str


class Proposals(msgspec.Struct, frozen=True, kw_only=True):
    """Places for a visit in the plan in force, best first. `base` is what to accept one with."""

    visit_id: UUID
    at: datetime
    base: str
    travel_source: str
    travel_estimated: bool
    proposals: list[ProposalView]
    sentence_zh: str
    sentence_en: str


class WhatIfView(msgspec.Struct, frozen=True, kw_only=True):
    """What a placement comes to. `feasible` is false where `rule` is broken, which `soft` ones may be with `even_so`.

    `told_again`: visits whose customers were told another time.
    """

    visit_id: UUID
    at: datetime
    base: str
    feasible: bool
    rule: str | None
    soft: bool
    sentence_zh: str
    sentence_en: str
    starts_at: datetime | None
    moved: list[MovedView]
    lateness: list[LatenessView]
    overtime: list[OvertimeView]
    told_again: list[UUID]
    added_travel_minutes: int
    added_cost: int
    cost: dict[str, Any]


class PlacementOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a placement changed: the visit and the others that moved; nobody else's phone hears of it."""

    visit_id: UUID
    shift_id: UUID | None
    person_id: UUID | None
    starts_at: datetime | None
    moved: list[MovedView]
    told_again: list[UUID]
    sentence_zh: str
    sentence_en: str


class DayWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a day that a dispatcher should know."""

    code: str
    zh: str
    en: str


class LiveStop(VisitLabel, frozen=True, kw_only=True):
    """A visit of a day: when people were told it is, and when it will be by what is known now."""

    state: str
    planned_at: datetime | None
    starts_at: datetime
    ends_at: datetime
    behind_minutes: int
    late_minutes: int
    promise_late_minutes: int


class LiveDay(msgspec.Struct, frozen=True, kw_only=True):
    """One technician's shift as it goes from now on."""

    shift_id: UUID
    person_id: UUID
    person_name: str
    starts_at: datetime
    ends_at: datetime
    back_at: datetime | None
    overtime_minutes: int
    stops: list[LiveStop]
    warnings: list[DayWarning]


class LiveDays(msgspec.Struct, frozen=True, kw_only=True):
    """The days of a unit as they go from now on, re-planned by nobody."""

    at: datetime
    base: str
    travel_source: str
    travel_estimated: bool
    days: list[LiveDay]
    unplanned: list[VisitLabel]
