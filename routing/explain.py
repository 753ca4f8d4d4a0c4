"""Why a visit is unplanned or late.

A reason is *proven* when the rules exclude the visit whatever the plan, and *searched* when all we can say is what was
tried. Nothing that was only searched is ever called impossible.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from routing.arrays import FOREVER
from routing.draft import Draft, DraftRoute, overloaded, simulate_route
from routing.eligible import exclusion
from routing.instance import Instance, with_day
from routing.limits import CLOSURE_PLACES
from routing.plan import Basis, Late, Reason, Unplanned
from routing.problem import PartNeed, Problem, Shift
from routing.reach import bounding_seconds, first_start_on
from routing.scan import inserted
from routing.simulate import Reached, simulated
from routing.texts import Facts

MAX_INSERTIONS: Final = 4_000
"""Insertions simulated to explain one plan, shared evenly by its unplanned and late visits: about half a second."""
MIN_INSERTIONS: Final = 20
"""Insertions simulated for each of them at least."""

Obstacle: TypeAlias = Literal["late_back", "window_missed", "later_visit_missed", "no_break", "van_full"]
OBSTACLES: Final[tuple[Obstacle, ...]] = (
    "late_back", "window_missed", "later_visit_missed", "no_break", "van_full",
)  # fmt: skip


@dataclass(slots=True)
class Attempts:
    """What trying to insert one visit everywhere came to."""

    tried: int = 0
    feasible: int = 0
    in_time: int = 0
    cheapest: int = FOREVER
    cheapest_in_time: int = FOREVER
    made_late: int = 0
    over_budget: int = 0
    obstacles: Counter[str] = field(default_factory=Counter[str])


class Explainer:
    """Explains the visits of one draft; `base` holds its frozen visits only.

    Where the draft is of one area, `whole` is the problem it is part of: what is called proven holds for all of it.
    """

    def __init__(self, base: Draft, draft: Draft, whole: Problem | None = None) -> None:
        self._base = base
        self._draft = draft
        self._instance = base.instance
        self._whole = whole or base.instance.problem
        everything = len(self._whole.shifts) == len(base.instance.shifts)
        self._bounded = everything and len(base.instance.problem.places) <= CLOSURE_PLACES
        self._bounding: Sequence[Sequence[int]] | None = None

    def unplanned(self) -> tuple[Unplanned, ...]:
        """Return every unplanned visit with its reasons, in the order of the problem."""
        share = self._share(len(self._draft.unplanned))
        visits = self._instance.problem.visits
        return tuple(
            Unplanned(visit=visits[index].id, reasons=(self._why_unplanned(index, share),))
            for index in sorted(self._draft.unplanned)
        )

    def late(self, only: frozenset[int] | None = None) -> tuple[Late, ...]:
        """Return every late visit (of `only`, if given) with its reasons, in the order of the problem."""
        found = {
            visit: start - self._instance.visits[visit].due
            for route in self._draft.routes
            for visit, start in zip(route.visits, route.starts(), strict=True)
            if start > self._instance.visits[visit].due and (only is None or visit in only)
        }
        share = self._share(len(found))
        visits = self._instance.problem.visits
        return tuple(
            Late(visit=visits[index].id, late_seconds=seconds, reasons=(self._why_late(index, share),))
            for index, seconds in sorted(found.items())
        )

    def _share(self, visits: int) -> int:
        return max(MIN_INSERTIONS, MAX_INSERTIONS // max(1, visits))

    def _seconds(self) -> Sequence[Sequence[int]]:
        """Return travel that no way round undercuts, so that 'unreachable' holds for every plan."""
        seconds = self._bounding
        if seconds is None:
            seconds = self._bounding = bounding_seconds(self._instance)
        return seconds

    def _bound_basis(self) -> Basis:
        return "proven" if self._bounded else "searched"

    def _why_unplanned(self, visit: int, share: int) -> Reason:
        return (
            self._excluded_by_people(visit)
            or self._excluded_by_crew(visit)
            or self._excluded_by_time(visit)
            or self._excluded_by_parts(visit)
            or self._left_with_another(visit, share)
            or self._no_room(visit, self._attempts(self._draft, visit, share))
        )

    def _excluded_by_people(self, visit: int) -> Reason | None:
        """Return why no shift may take the visit at any time, or None when some may."""
        problem, wanted = self._whole, self._instance.problem.visits[visit]
        if not problem.shifts:
            return Reason(code="no_technicians", basis="proven", facts={})
        if self._instance.eligible[visit]:
            return None
        causes = Counter(exclusion(wanted, shift) for shift in problem.shifts)
        if causes[None]:
            return None  # somebody in another area may
        skilled = len(problem.shifts) - causes["no_skill"]
        if not skilled:
            facts: Facts = {"shifts": len(problem.shifts), "skills": sorted(wanted.skills)}
            return Reason(code="no_skill", basis="proven", facts=facts)
        if causes["pinned_away"] and wanted.pin is not None:
            pinned = wanted.pin.shift or wanted.pin.technician or ""
            return Reason(code="pinned_away", basis="proven", facts={"pinned": pinned})
        return Reason(code="not_allowed", basis="proven", facts={"skilled": skilled})

    def _excluded_by_time(self, visit: int) -> Reason | None:
        """Return why no shift that may take the visit can do so in its working time, or None when some can."""
        data, days = self._instance.visits[visit], self._working_times(visit)
        longest = max(last - start for start, last in days)
        if data.duration > longest:
            return Reason(code="too_long", basis="proven", facts={"duration": data.duration, "longest": longest})
        candidates = len(days)
        if not any(_works_when_open(data.opens, data.duration, start, last) for start, last in days):
            return Reason(code="no_shift_in_window", basis="proven", facts={"candidates": candidates})
        seconds, able = self._seconds(), self._instance.eligible[visit]
        if able and all(first_start_on(self._base, visit, shift, seconds) is None for shift in able):
            return Reason(code="unreachable", basis=self._bound_basis(), facts={"candidates": candidates})
        return None

    def _excluded_by_crew(self, visit: int) -> Reason | None:
        """Return that fewer able technicians than it needs are ever at work together when it may be done, if so."""
        wanted, opens = self._instance.problem.visits[visit], self._instance.visits[visit].opens
        if wanted.technicians == 1 or wanted.frozen:
            return None
        shifts = [shift for shift in self._whole.shifts if exclusion(wanted, shift) is None]
        spans = [
            (shift.technician, max(shift.start, opening), min(self._last(shift) - wanted.duration, closing))
            for shift in shifts
            for opening, closing in opens
        ]
        most = max((_together(spans, begin) for _, begin, latest in spans if begin <= latest), default=0)
        if most >= wanted.technicians:
            return None
        facts: Facts = {"needed": wanted.technicians, "most": most}
        return Reason(code="crew_too_small", basis="proven", facts=facts)

    def _excluded_by_parts(self, visit: int) -> Reason | None:
        """Return that its parts come too late and no van has them, or that it fits in no van; None otherwise."""
        wanted, data = self._instance.problem.visits[visit], self._instance.visits[visit]
        shifts = [shift for shift in self._whole.shifts if exclusion(wanted, shift) is None]
        largest = max(FOREVER if shift.capacity is None else shift.capacity for shift in shifts)
        if wanted.load > largest:
            return Reason(code="van_too_small", basis="proven", facts={"load": wanted.load, "largest": largest})
        ready = FOREVER if wanted.parts_ready is None else wanted.parts_ready
        if not wanted.parts or any(_carries(self._whole, shift.technician, wanted.parts) for shift in shifts):
            return None
        works = ((max(start, ready), last) for start, last in self._working_times(visit))
        if any(_works_when_open(data.opens, data.duration, start, last) for start, last in works):
            return None
        facts: Facts = {"parts": sorted({need.part for need in wanted.parts})}
        return Reason(code="parts_missing", basis="proven", facts=facts)

    def _left_with_another(self, visit: int, share: int) -> Reason | None:
        """Return that what it must follow is unplanned, if so: proven where that is."""
        follows, visits = self._instance.problem.visits[visit].follows, self._instance.problem.visits
        before = next((one for one in self._draft.unplanned if follows and visits[one].id == follows.visit), None)
        if before is None or follows is None:
            return None
        basis = self._why_unplanned(before, share).basis
        return Reason(code="follows_unplanned", basis=basis, facts={"followed": follows.visit})

    def _last(self, shift: Shift) -> int:
        """Return the last moment of a shift, which frozen visits may have moved."""
        here = next((day for day in self._instance.shifts if self._instance.problem.shifts[day.index] == shift), None)
        return shift.end + shift.overtime_allowed if here is None else here.last

    def _working_times(self, visit: int) -> list[tuple[int, int]]:
        """Return (start, last moment) of every shift of the whole problem that may take the visit."""
        instance = self._instance
        here = {shift.id: day for shift, day in zip(instance.problem.shifts, instance.shifts, strict=True)}
        wanted = instance.problem.visits[visit]
        return [
            (here[shift.id].start, here[shift.id].last)
            if shift.id in here
            else (shift.start, shift.end + shift.overtime_allowed)
            for shift in self._whole.shifts
            if exclusion(wanted, shift) is None
        ]

    def _no_room(self, visit: int, attempts: Attempts) -> Reason:
        price = self._instance.visits[visit].unserved
        facts: Facts = {"tried": attempts.tried}
        if attempts.over_budget and attempts.cheapest >= price:
            facts |= {"over": attempts.over_budget, "allowed": self._instance.problem.most_changes or 0}
            return Reason(code="change_budget", basis="searched", facts=facts)
        if not attempts.feasible:
            facts["shifts"] = len(self._instance.eligible[visit])
            facts.update({obstacle: attempts.obstacles[obstacle] for obstacle in OBSTACLES})
            return Reason(code="no_room", basis="searched", facts=facts)
        if attempts.cheapest < price:
            facts["feasible"] = attempts.feasible
            return Reason(code="not_settled", basis="searched", facts=facts)
        facts |= {"price": attempts.cheapest, "unserved_price": price, "made_late": attempts.made_late}
        return Reason(code="costs_more", basis="searched", facts=facts)

    def _why_late(self, visit: int, share: int) -> Reason:
        data = self._instance.visits[visit]
        if data.due < 0:
            return Reason(code="overdue", basis="proven", facts={"overdue": -data.due})
        seconds = self._seconds()
        starts = [first_start_on(self._base, visit, shift, seconds) for shift in self._instance.eligible[visit]]
        earliest = min((start for start in starts if start is not None), default=FOREVER)
        if earliest > data.due or data.frozen:
            facts: Facts = {"earliest": earliest, "due": data.due}
            return Reason(code="due_before_reachable", basis=self._bound_basis(), facts=facts)
        return self._no_earlier_room(visit, share)

    def _no_earlier_room(self, visit: int, share: int) -> Reason:
        """Return the reason after taking the visit out and trying it everywhere else."""
        due = self._instance.visits[visit].due
        without = self._draft.copy()
        shift = next(index for index, route in enumerate(without.routes) if visit in route.visits)
        route = without.routes[shift]
        rest = simulate_route(self._instance, shift, [index for index in route.visits if index != visit])
        gain = 0
        if rest is not None:
            without.replace(shift, rest)
            gain = route.price - rest.price
        attempts = self._attempts(without, visit, share)
        code = "not_settled" if attempts.cheapest_in_time < gain else "no_earlier_room"
        facts: Facts = {"tried": attempts.tried, "due": due, "feasible": attempts.in_time}
        return Reason(code=code, basis="searched", facts=facts)

    def _attempts(self, draft: Draft, visit: int, share: int) -> Attempts:
        """Try `visit` at the positions of every shift that may take it, nearest first, at most `share` of them."""
        instance, attempts = self._instance, Attempts()
        here = instance.visits[visit].place
        positions: list[tuple[int, int, int]] = []
        for shift in instance.eligible[visit]:
            visits = draft.routes[shift].visits
            places = [instance.shifts[shift].start_place, *(instance.visits[index].place for index in visits)]
            first = len(instance.frozen[shift])
            positions += [(instance.seconds[places[at]][here], shift, at) for at in range(first, len(places))]
        for _, shift, position in sorted(positions)[:share]:
            self._attempt(attempts, draft, visit, shift, position)
        return attempts

    def _attempt(self, attempts: Attempts, draft: Draft, visit: int, shift: int, position: int) -> None:
        attempts.tried += 1
        old = draft.routes[shift]
        new = inserted(draft, visit, shift, position)
        if new is None:
            visits = [*old.visits[:position], visit, *old.visits[position:]]
            attempts.obstacles[obstacle(self._instance, shift, visits, position)] += 1
            return
        if new.price - old.price < attempts.cheapest and self._over_budget(draft, shift, new):
            attempts.over_budget += 1
            return
        attempts.feasible += 1
        starts = dict(zip(new.visits, new.starts(), strict=True))
        added = new.price - old.price
        if starts[visit] <= self._instance.visits[visit].due:
            attempts.in_time += 1
            attempts.cheapest_in_time = min(attempts.cheapest_in_time, added)
        if added < attempts.cheapest:
            before = dict(zip(old.visits, old.starts(), strict=True))
            dues = {index: self._instance.visits[index].due for index in old.visits}
            attempts.cheapest = added
            attempts.made_late = sum(before[index] <= due < starts[index] for index, due in dues.items())

    def _over_budget(self, draft: Draft, shift: int, route: DraftRoute) -> bool:
        most = self._instance.problem.most_changes
        if most is None:
            return False
        after = draft.copy()
        after.replace(shift, route)
        return after.changes() > most


def obstacle(instance: Instance, shift: int, visits: list[int], position: int) -> Obstacle:
    """Return which rule keeps the visit at `position` out of the order `visits`: the first that would have to give."""
    day = instance.shifts[shift]
    if overloaded(instance, shift, visits):
        return "van_full"
    unbroken = replace(day, pauses=())
    if not isinstance(simulated(with_day(instance, unbroken), shift, visits), Reached):
        return "no_break"
    endless = simulated(with_day(instance, replace(unbroken, last=FOREVER)), shift, visits)
    if not isinstance(endless, Reached):
        return "late_back"
    return "window_missed" if endless.visits <= position else "later_visit_missed"


def _together(spans: Sequence[tuple[str, int, int]], moment: int) -> int:
    """Return how many technicians could begin at `moment`."""
    return len({technician for technician, begin, latest in spans if begin <= moment <= latest})


def _carries(problem: Problem, technician: str, parts: Sequence[PartNeed]) -> bool:
    """Return whether the technician's van has all of `parts`, if nothing else takes of it."""
    held = Counter[str]()
    for stock in problem.van_stock:
        if stock.technician == technician:
            held[stock.part] += stock.quantity
    needed = Counter[str]()
    for need in parts:
        needed[need.part] += need.quantity
    return all(held[part] >= quantity for part, quantity in needed.items())


def _works_when_open(opens: Sequence[tuple[int, int]], duration: int, begins: int, last: int) -> bool:
    start = next((max(begins, opening) for opening, closing in opens if begins <= closing), None)
    return start is not None and start + duration <= last
