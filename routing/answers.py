"""What the planner answers to live questions: what it says, without what it takes to find it out.

Who asks and who shows an answer need no more than this; the search, and with it the compiled functions, stays with the
process that answers.
"""

from typing import Literal, TypeAlias

import msgspec

from routing.plan import Cost, Plan, Route
from routing.problem import Problem
from routing.relax import Relaxation
from routing.texts import Facts


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Another visit that would start at another time. `told`: a person was told of a time, and not of this one."""

    visit: str
    shift: str
    start_before: int
    start_after: int
    told: bool = False


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One place for the urgent visit: on `shift`, as stop number `position` (from 0), starting at `start`.

    `added_cost` is in the unit of `Prices`; `added_travel_seconds` may be negative where travel is not a metric.
    `promise_late_seconds`: start after the end of the promised window.
    """

    visit: str
    shift: str
    position: int
    start: int
    late_seconds: int
    promise_late_seconds: int
    added_cost: int
    added_travel_seconds: int
    added_overtime_seconds: int
    moved: tuple[Moved, ...]
    route: Route


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that the plan in force no longer keeps.

    `code`: late_back (facts: back, last; the latest end of the shift), no_break (there is no time left for the one
    that could begin between the facts earliest and latest) or dropped (behind what comes before it `visit` can no
    longer be reached in time, or the van no longer has the room or the parts for it). Instants are seconds.
    """

    code: str
    shift: str
    visit: str | None = None
    facts: Facts = {}


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """The plan in force.

    `problem` is the one given, but that nothing starts before the time it was published for, and that shifts are as
    long, and have as few breaks, as what is still to be done needs; what is under way may overrun anyway. `plan` gives
    no reasons for what is unplanned or late: nobody searched.
    """

    problem: Problem
    plan: Plan
    misfits: tuple[Misfit, ...]


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody puts a visit: on `shift` (None: on none), right behind `after` or right before `before`.

    Or at its place in the order of the day so that it starts at `at` or as soon after as can be; with none of the
    three, where it costs least.
    """

    visit: str
    shift: str | None = None
    after: str | None = None
    before: str | None = None
    at: int | None = None


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """The rule a placement breaks. `soft`: of a customer's window that was promised, which people may break.

    `code` and facts (instants and lengths in seconds): frozen, pinned (pinned), no_skill (skills), not_allowed,
    behind_frozen (other), van_full (load, capacity), late_back (back, last), no_break (earliest, latest), window_missed
    and later_window_missed (visit, closes, earliest), promise_missed (closes, earliest), does_not_fit, rule (rule,
    detail): one of the referee's (`routing.check`).
    """

    code: str
    facts: Facts = {}
    soft: bool = False


class Lateness(msgspec.Struct, frozen=True, kw_only=True):
    """A visit that misses its commitment, or its promised window, by another length than before; 0: kept."""

    visit: str
    promise: bool
    before_seconds: int
    after_seconds: int


class Overtime(msgspec.Struct, frozen=True, kw_only=True):
    """A shift whose overtime changes."""

    shift: str
    before_seconds: int
    after_seconds: int


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """What a placement comes to; without `broken` it can be carried out.

    `shifts`: those it touches; `routes`: what is on them then, if anything. `start` is the visit's own. `added_cost` is
    in the unit of `Prices`, `cost` the same by term, both differences to the plan as it is.
    """

    placement: Placement
    broken: Broken | None = None
    start: int | None = None
    moved: tuple[Moved, ...] = ()
    lateness: tuple[Lateness, ...] = ()
    overtime: tuple[Overtime, ...] = ()
    added_travel_seconds: int = 0
    added_cost: int = 0
    cost: Cost = Cost()
    shifts: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """What gives way (nothing, where there is a place as it is), and what then comes of the visit and of the others.

    `cost`: by term, the difference to the plan as it is; `price`: its sum but for `unserved`, in the unit of `Prices`.
    What a customer agrees to keeps its price: coming after the deadline or window as it was.
    `routes`: those that differ; `shifts`: their shifts. `witness`: the whole plan, of `relaxed(problem, relaxations)`.
    """

    relaxations: tuple[Relaxation, ...]
    visit: str
    shift: str
    technician: str
    start: int
    late_seconds: int
    promise_late_seconds: int
    price: int
    cost: Cost
    added_travel_seconds: int
    added_overtime_seconds: int
    moved: tuple[Moved, ...]
    shifts: tuple[str, ...]
    routes: tuple[Route, ...]
    witness: Plan | None = None


Outcome: TypeAlias = Literal["fixed", "no_need", "misses_commitment", "misses_promise", "none", "crew", "under_way"]
"""Fixes were found; or nothing need give way, there is a place; or there is one, the first told, but after the
commitment or the promised window, and fixes for that follow where we found some; or we found neither place nor fix. Or
none were looked for: the visit needs several technicians at once, or is frozen."""


class Fixes(msgspec.Struct, frozen=True, kw_only=True):
    """The fixes found: a place as it is, then what asks least, then the cheapest.

    `tried`: places priced, in the problem as it is and with rules opened. `levers`: rules, and pairs of rules, that
    were opened. `exhausted`: all that we look at was looked at in time; not so where none were looked for.
    """

    visit: str
    outcome: Outcome
    fixes: tuple[Fix, ...]
    tried: int
    levers: int
    exhausted: bool


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """Another technician's best shift for the visit, and what putting it there comes to, or the rule against it."""

    technician: str
    shift: str
    what_if: WhatIf


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Who has the visit and when, and everybody else: who could at what price, cheapest first, then who could not.

    `able`: how many technicians the rules about people allow, the one who has it included.
    """

    visit: str
    technician: str
    shift: str
    start: int
    able: int
    alternatives: tuple[Alternative, ...]
