"""What is to be planned: shifts, visits, places, travel and prices, as plain frozen data.

All instants are integer seconds from the horizon start (the moment of planning), all lengths integer seconds;
who builds the problem turns clocks, zones and calendars into these. Nothing here reads a clock or a database.
"""

from typing import Literal, TypeAlias

import msgspec

from routing.texts import Facts, problem_text

Priority: TypeAlias = Literal[1, 2, 3, 4]
"""P1 emergency, P2 high, P3 normal, P4 planned."""


class ProblemError(ValueError):
    """A problem that cannot be planned as it was given.

    `code` is stable, `where` names the element (such as ``visits[3] 'V17'``), `facts` carry the numbers, and
    `en` / `zh` say what is wrong and what to do.
    """

    def __init__(self, code: str, where: str, **facts: int | str | list[str]) -> None:
        """Build the error from its code; the sentences come from `routing.texts`."""
        self.code = code
        self.where = where
        self.facts: Facts = facts
        self.en = problem_text(code, where, facts, "en")
        self.zh = problem_text(code, where, facts, "zh")
        super().__init__(self.en)


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A point on the map, WGS-84 degrees. Coordinates may be absent where a travel table is given.

    `zone` names the area whose learnt travel factors apply (`EstimatedTravel.zones`).
    """

    id: str
    latitude: float | None = None
    longitude: float | None = None
    zone: str | None = None


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Service may start at `start`, at `end`, and at any second between."""

    start: int
    end: int


class Break(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rest of `duration` seconds that begins between `earliest` and `latest`.

    It interrupts neither a service nor a drive; it may be taken before leaving a place or after arriving at one.
    """

    earliest: int
    latest: int
    duration: int


class Shift(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One technician's working time of one day: one route.

    The technician is at `start_place` at `start`, and back at `end_place` by `end`, or later by at most
    `overtime_allowed` seconds, at a price. `skills` are those valid on that day.
    """

    id: str
    technician: str
    start: int
    end: int
    start_place: str
    end_place: str
    breaks: tuple[Break, ...] = ()
    overtime_allowed: int = 0
    skills: tuple[str, ...] = ()
    territory: str | None = None
    capacity: int | None = None
    """How much load the van takes on this route, in the unit of `Visit.load`; None: no limit."""


class VanStock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a technician's van carries from the horizon start on: `quantity` pieces of `part`."""

    technician: str
    part: str
    quantity: int


class PartNeed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a visit needs to be useful: `quantity` pieces of `part`."""

    part: str
    quantity: int = 1


class Follows(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Service starts only after another visit's has ended: at least `least_gap` and at most `most_gap` seconds later.

    Where the other visit is not planned, this one is not either. `same_technician`: one person does both.
    """

    visit: str
    least_gap: int = 0
    most_gap: int | None = None
    same_technician: bool = False


class Pin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dispatcher's decision: on this shift, or with this technician on any day; at `start` exactly, if given."""

    shift: str | None = None
    technician: str | None = None
    start: int | None = None


class Previous(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the plan in force has the visit. The shift may be one that is no longer in the problem."""

    shift: str
    start: int


class Visit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stay of a technician at a place.

    `windows`: service starts inside one of them (none given: at any time).
    `earliest`: service starts no sooner.
    `parts`: what the technician, and each of a crew, must have with him. Before `parts_ready` (None: within the horizon
    never) that is only somebody whose van still has all of it; from then on it is at hand for everybody.
    `technicians`: how many different technicians start it together and leave it together.
    `load`: what it takes of `Shift.capacity`.
    `delay_per_mille`: how much a second of its delay counts, per mille of its priority's `Prices.delay_second`.
    `commitment_due`: the commitment is kept when service starts by then; later costs dearly, never is dearer still.
    `commitment_margin`: the price of being late counts from so many seconds before, as reality takes its share. Late is
    what starts after `commitment_due`, and nothing else is called so.
    `promise`: the appointment; never before its start, and later than its end at a price. A policy of arriving some
    minutes early is already taken off by who builds the problem.
    `told`: a person was told of the time in `previous`; moving it costs `Prices.told_moved`.
    `frozen`: stays on `previous.shift`, before everything that is not frozen, in the order of `previous.start`, and
    starts then or as soon after as can be. Reality has decided it, so its windows, its skills and what it follows are
    not asked again, and where it runs past the end of its shift or over a break, that end or that break gives way.
    """

    id: str
    place: str
    duration: int
    priority: Priority = 3
    windows: tuple[Window, ...] = ()
    earliest: int = 0
    commitment_due: int | None = None
    commitment_margin: int = 0
    promise: Window | None = None
    told: bool = False
    skills: tuple[str, ...] = ()
    technicians: int = 1
    territory: str | None = None
    preferred_technician: str | None = None
    allowed_technicians: tuple[str, ...] | None = None
    forbidden_technicians: tuple[str, ...] = ()
    pin: Pin | None = None
    previous: Previous | None = None
    frozen: bool = False
    parts: tuple[PartNeed, ...] = ()
    parts_ready: int | None = 0
    follows: Follows | None = None
    load: int = 0
    delay_per_mille: int = 1_000


class PerPriority(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One price for each of the four priorities."""

    p1: int
    p2: int
    p3: int
    p4: int

    def of(self, priority: Priority) -> int:
        """Return the price for `priority`."""
        return (self.p1, self.p2, self.p3, self.p4)[priority - 1]


class Prices(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exchange rates between the things a plan can be good at: data, not code.

    The unit is a hundredth of a second of driving. The defaults give the order of the design: commitments kept and
    visits served, by priority; then promised windows; then one sum of churn, overtime, travel and delay.
    """

    unserved: PerPriority = PerPriority(p1=200_000_000, p2=60_000_000, p3=20_000_000, p4=10_000_000)
    late: PerPriority = PerPriority(p1=200_000_000, p2=60_000_000, p3=20_000_000, p4=10_000_000)
    late_second: PerPriority = PerPriority(p1=200, p2=60, p3=20, p4=10)
    promise_broken: int = 2_000_000
    promise_second: int = 100
    told_moved: int = 600_000
    told_tolerance: int = 900
    """Seconds by which a told start may shift on its own shift without counting as moved."""
    moved: int = 6_000
    """A visit nobody was told of, planned on another shift than in the plan in force."""
    overtime_second: int = 150
    travel_second: int = 100
    delay_second: PerPriority = PerPriority(p1=100, p2=30, p3=10, p4=2)
    """Each second between the first moment service could start and its start: today's capacity is not saved.

    A visit's own is this times its `delay_per_mille`, rounded down (`routing.backlog` says what that should be).
    """
    not_preferred: int = 60_000
    outside_territory: int = 180_000
    pin_unserved: int = 400_000_000
    """On top of `unserved` for a visit that a dispatcher pinned."""
    unfair_second: int = 5
    """Each second of service on a shift beyond its fair share."""
    fair_per_mille: int = 600
    """The fair share of service in a shift's time: beyond it others should work first."""


class ZoneFactor(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much longer than estimated the way from zone `origin` to zone `destination` takes, learnt from trips."""

    origin: str
    destination: str
    factor: float


class EstimatedTravel(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="estimate", tag_field="kind"
):
    """Travel estimated from coordinates: ``overhead + scale * factor * 2.0 s * metres ** 0.67``; said on the plan.

    `factor` is that of the two places' zones in `zones`, 1 where there is none.
    """

    overhead_seconds: int = 120
    scale: float = 1.0
    zones: tuple[ZoneFactor, ...] = ()


class GivenTravel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="table", tag_field="kind"):
    """Travel tables over `Problem.places`, row = from, column = to, both in the order of the places."""

    seconds: tuple[tuple[int, ...], ...]
    metres: tuple[tuple[int, ...], ...]
    source: str
    estimated: bool = False


class Away(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Time in which a technician cannot be asked to work more: an absence, or work that is not planned here."""

    technician: str
    start: int
    end: int


class Pace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How fast traffic moves in each hour: per mille of the travel table's speed.

    Hour ``i`` lasts from ``begins + 3600 i`` for 3,600 s; the first also counts before that, the last for ever after.
    A drive keeps the pace of every hour it passes through, so that leaving later never arrives earlier.
    """

    begins: int
    per_mille: tuple[int, ...]


class Problem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a plan depends on. `routing.validate.validate` checks it; `solve` does so first.

    `pace`: how the hours change travel (None: all alike). `most_changes`: how many visits of the plan in force may
    change, None for any number: be on another shift or left out, or, where a person was told, start more than
    `Prices.told_tolerance` from then. A visit whose shift of then is not in the problem any more does not count.
    `away`: asked only where a fix lengthens, moves or adds shifts; shifts themselves never reach into it.
    """

    places: tuple[Place, ...]
    shifts: tuple[Shift, ...]
    visits: tuple[Visit, ...]
    travel: EstimatedTravel | GivenTravel = EstimatedTravel()
    prices: Prices = Prices()
    van_stock: tuple[VanStock, ...] = ()
    pace: Pace | None = None
    most_changes: int | None = None
    away: tuple[Away, ...] = ()


def visit_number(problem: Problem, name: str) -> int:
    """Return which visit of `problem` has this id; raise `ProblemError` 'visit_unknown' where none has."""
    found = next((number for number, visit in enumerate(problem.visits) if visit.id == name), None)
    if found is None:
        raise ProblemError("visit_unknown", f"visit '{name}'")
    return found


def coupled(problem: Problem) -> frozenset[str]:
    """Return the ids of visits that depend on others or have others depend on them: crews, and one behind another."""
    bound = [visit for visit in problem.visits if visit.technicians > 1 or visit.follows is not None]
    return frozenset(visit.id for visit in bound).union(visit.follows.visit for visit in bound if visit.follows)


def delay_second(visit: Visit, prices: Prices) -> int:
    """Return the price of each second that service of `visit` starts later than it could."""
    return prices.delay_second.of(visit.priority) * visit.delay_per_mille // 1_000


def overdue(visit: Visit, start: int) -> int:
    """Return for how many seconds the price of being late is paid where service of `visit` starts at `start`."""
    return 0 if visit.commitment_due is None else max(0, start - visit.commitment_due + visit.commitment_margin)


def told_anew(visit: Visit, shift: str, start: int, prices: Prices) -> bool:
    """Return whether a person was told of a time, and `start` on `shift` is another one, or another person's."""
    before = visit.previous
    if not visit.told or before is None:
        return False
    return before.shift != shift or abs(start - before.start) > prices.told_tolerance


def horizon_end(problem: Problem) -> int:
    """Return the second at which the last shift ends, overtime included; 0 without shifts."""
    return max((shift.end + shift.overtime_allowed for shift in problem.shifts), default=0)
