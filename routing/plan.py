"""The answer: routes with their times, what stays unplanned and why, and what it all costs."""

from typing import Literal, TypeAlias

import msgspec

from routing.texts import Facts, Language, reason_text

Status: TypeAlias = Literal["complete", "seconds", "solutions", "cancelled"]
"""Why the search ended: it was long enough for so many visits, a limit was met, or somebody cancelled it."""

Basis: TypeAlias = Literal["proven", "searched"]
"""Proven: the rules exclude it. Searched: what was tried found nothing, which is no proof."""


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price of a plan by term, in the unit of `Prices`."""

    unserved: int = 0
    late: int = 0
    promise: int = 0
    churn: int = 0
    overtime: int = 0
    travel: int = 0
    delay: int = 0
    preference: int = 0
    fairness: int = 0

    @property
    def total(self) -> int:
        """Return the sum of all terms: what the search minimises."""
        return sum(msgspec.structs.astuple(self))


class Stop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One visit in a route; instants in seconds from the horizon start.

    `travel_seconds` / `travel_metres`: from the place before; the drive ends at `arrival` without a rest in between.
    `waiting_seconds`: from arrival to start, breaks taken out. `slack_seconds`: commitment minus start, negative when
    late, None without a commitment. `promise_late_seconds`: start after the end of the promised window.
    """

    visit: str
    arrival: int
    start: int
    departure: int
    travel_seconds: int
    travel_metres: int
    waiting_seconds: int
    slack_seconds: int | None = None
    late_seconds: int = 0
    promise_late_seconds: int = 0
    leaves_by: int | None = None
    """The latest departure that needs no waiting at the customer's door."""

    @property
    def departs(self) -> int:
        """When to leave: as late as needs no waiting. Plans of older versions say the earliest departure only."""
        return self.arrival - self.travel_seconds if self.leaves_by is None else self.leaves_by


class Rest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A break as it is taken."""

    start: int
    end: int


class Route(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One technician's day: the stops in order, the breaks, and the way back.

    `leaves`: when the first drive begins. `end`: back at the end place. Breaks that fall after `end` are listed too.
    """

    shift: str
    technician: str
    leaves: int
    stops: tuple[Stop, ...]
    rests: tuple[Rest, ...]
    end: int
    end_travel_seconds: int
    end_travel_metres: int
    overtime_seconds: int


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a visit is unplanned or late: a stable code, how sure that is, and the figures behind it."""

    code: str
    basis: Basis
    facts: Facts

    def sentence(self, language: Language) -> str:
        """Return the reason as a sentence in Chinese or English."""
        return reason_text(self.code, self.facts, language)


class Unplanned(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A visit in no route, with at least one reason."""

    visit: str
    reasons: tuple[Reason, ...]


class Late(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A planned visit that misses its commitment, its promised window, or both, with at least one reason.

    0 seconds late: that one is kept. Plans of older versions list those that miss their commitment only.
    """

    visit: str
    late_seconds: int
    reasons: tuple[Reason, ...]
    promise_late_seconds: int = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan that the referee has passed. Shifts without visits have no route.

    `travel_source` and `travel_estimated` say what the travel times rest on. `solutions` is how many the solver
    looked at: the figure to bound a run by so that it repeats.
    """

    status: Status
    seed: int
    routes: tuple[Route, ...]
    unplanned: tuple[Unplanned, ...]
    late: tuple[Late, ...]
    cost: Cost
    travel_source: str
    travel_estimated: bool
    solutions: int = 0


class Progress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a search is, and how good its best plan so far."""

    elapsed_seconds: float
    served: int
    unplanned: int
    late: int
    cost: int
    share: float
    """Part of the allowed search that is over, 0 to 1."""
