"""Priced fixes for a visit that has no place or comes too late: what would have to give way, and a plan that shows it.

Looked for in this order: places that break no rule at all, also after an exchange of visits between a few routes (then
nothing need give way); one rule opened; two; and last such an exchange with at most two rules given way. Exchanges are
chosen exactly, by CP-SAT. Every fix carries a witness: a whole plan of the relaxed problem that the referee passes (of
what is in force, that breaks no rule which is not broken already), in which every other visit keeps its place in the
plan, its commitment and its promised window. What is not found within the time is not said to be impossible.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Final

import msgspec

from routing.answers import Fix, Fixes, Outcome
from routing.assemble import route_of
from routing.differences import added_cost, late_of
from routing.draft import Draft, simulate_route, taken_out
from routing.exchange import exchanges
from routing.ortools.exact import solver
from routing.plan import Plan
from routing.problem import Problem, ProblemError, Visit, visit_number
from routing.redraft import draft_of
from routing.relax import LEVERS, Lever, Place, Relaxation, quarter_after
from routing.scan import candidates, inserted
from routing.witness import Witnesses

MOST_FIXES: Final = 5
FIX_SECONDS: Final = 0.5
"""Searching for the fixes of one visit; half of it is left to the exchange of visits."""
BEST_EACH: Final = 2
"""Fixes of one kind, for different technicians."""
SIMULATED_EACH: Final = 40
"""Places simulated of those one lever allows, cheapest first."""
WITNESSES_EACH: Final = 4


def fixes(
    problem: Problem,
    plan: Plan,
    visit: str,
    *,
    draft: Draft | None = None,
    seconds: float = FIX_SECONDS,
    past_quarter: int = 0,
) -> Fixes:
    """Return what could give way so that the unplanned `visit` has a place, or a late one comes in time.

    `plan` is a legal plan of `problem` or what is in force, with or without reasons, `draft` the draft equal to it;
    `past_quarter`: by how many seconds second 0 is past a quarter of the hour, on which offered times lie. Raises
    `ProblemError` 'visit_unknown', 'visit_planned' (it has a place, in time and as promised) or
    'plan_contradicts_problem'.
    """
    index = visit_number(problem, visit)
    draft = draft_of(problem, plan) if draft is None else draft
    return _Search(problem, plan, draft, index, seconds=seconds, past_quarter=past_quarter).found()


def without_witness(found: Fixes) -> Fixes:
    """Return the fixes without the whole plans: what differs is in their `routes`."""
    slim = tuple(msgspec.structs.replace(fix, witness=None) for fix in found.fixes)
    return msgspec.structs.replace(found, fixes=slim)


class _Search:
    """The search for one visit."""

    def __init__(
        self, problem: Problem, plan: Plan, draft: Draft, index: int, *, seconds: float, past_quarter: int
    ) -> None:
        self.problem, self.plan, self.index, self.past_quarter = problem, plan, index, past_quarter
        self.visit: Visit = problem.visits[index]
        self.witnesses = Witnesses(problem, plan, draft, index)
        anchored = self.witnesses.driven(problem, _orders(plan, problem)) if self.witnesses.anchors else None
        self.draft = anchored or draft
        self.without, self.limit = self._taken_out()
        self.orders = {_shift_id(self.without, at): route.visits for at, route in enumerate(self.without.routes)}
        self.until = time.monotonic() + seconds
        self.half, self.fifth = self.until - seconds / 2, self.until - seconds * 4 / 5
        self.tried, self.opened_levers, self.exhausted = 0, 0, True

    def _taken_out(self) -> tuple[Draft, int]:
        """Return the draft without the visit, and what a place for it may add to its price at most."""
        if not self.witnesses.planned:
            return self.draft, self.draft.instance.visits[self.index].unserved
        late = next((one for one in late_of(self.plan.routes) if one.visit == self.visit.id), None)
        if late is None:
            raise ProblemError("visit_planned", f"visit '{self.visit.id}'")
        self.witnesses.as_promised = not late.late_seconds
        return taken_out(self.draft, self.index)

    def found(self) -> Fixes:
        """Return what was found."""
        if self.visit.technicians > 1 or self.visit.frozen:
            self.exhausted = False
            return self._answer("under_way" if self.visit.frozen else "crew", ())
        place = self._as_it_is()
        if place is None:
            found = self._given_way(None)
            return self._answer("fixed" if found else "none", found)
        while missed := self.witnesses.missed(place):
            better = self._as_it_is()
            if better is None:
                return self._answer(missed, (place, *self._given_way(place)))
            place = better
        return self._answer("no_need", (place,))

    def _as_it_is(self) -> Fix | None:
        """Return the cheapest place we find with no rule given way."""
        return next(self._of(()), None) or next(iter(self._exchanged(())), None)

    def _given_way(self, place: Fix | None) -> tuple[Fix, ...]:
        """Return the fixes in which something gives way, those that ask least first.

        `place`: the best one with nothing given way, if there is one.
        """
        singles = [fix for lever in LEVERS if self._in_time(self.half) for fix in self._of((lever,))]
        if self.witnesses.in_time:
            singles += self._later_deadline(self.plan if place is None or place.witness is None else place.witness)
        return tuple(_ranked(singles or self._pairs() or self._exchanged(LEVERS)))

    def _answer(self, outcome: Outcome, found: tuple[Fix, ...]) -> Fixes:
        return Fixes(
            visit=self.visit.id, outcome=outcome, fixes=found, tried=self.tried, levers=self.opened_levers,
            exhausted=self.exhausted,
        )  # fmt: skip

    def _in_time(self, until: float) -> bool:
        """Return whether there is time left until then; once there was not, the answer says so."""
        left = time.monotonic() < until
        self.exhausted = self.exhausted and left
        return left

    def _pairs(self) -> list[Fix]:
        usable = [lever for lever in LEVERS if lever.opened(self.problem, self.visit) is not None]
        found: list[Fix] = []
        for pair in combinations(usable, 2):
            if not self._in_time(self.half):
                break
            found += self._of(pair)
        return found

    def _exchanged(self, levers: Sequence[Lever]) -> list[Fix]:
        """Return the fix of the exchange with the fewest of `levers` given way, if there is one."""
        drafts: list[tuple[Lever | None, Draft]] = [(None, self.without)]
        if not (levers or self.without.instance.eligible[self.index]):
            return []
        if len(self.without.routes) < 2:  # noqa: PLR2004 - nobody to exchange with
            return []
        self._load_solver()
        for lever in levers:
            opened = self._opened((lever,)) if lever.kind not in {"shift_added", "changes"} else None
            if opened is not None:
                drafts.append((lever, opened))
        until, held = self.until if levers else self.fifth, self.witnesses.anchors  # what others depend on stays
        for orders, places in exchanges(drafts, self.index, until, held):
            self.tried += 1
            closed = (lever.closed(self._place(draft, shift, orders[shift])) for lever, draft, shift in places)
            named = {_shift_id(self.without, shift): visits for shift, visits in orders.items()}
            for way in product(*filter(None, closed)):
                fix = self._fix(tuple(dict.fromkeys(way)), named)
                if fix is not None and _worth_it(self.plan, fix):
                    return [fix]
        self._in_time(self.until)
        return []

    def _load_solver(self) -> None:
        """Load CP-SAT if that has not been done; it does not count as searching."""
        began = time.monotonic()
        solver()
        loading = time.monotonic() - began
        self.until, self.half, self.fifth = self.until + loading, self.half + loading, self.fifth + loading

    def _opened(self, levers: Sequence[Lever]) -> Draft | None:
        """Return the draft in the problem with the levers open; None where one of them has nothing to give."""
        problem = self.problem
        for lever in levers:
            opened = lever.opened(problem, self.visit)
            if opened is None:
                return None
            problem = opened
        if not levers:
            return self.without
        instance = self.witnesses.prepared(problem)
        routes = list(self.without.routes)
        for shift in range(len(routes), len(problem.shifts)):
            empty = simulate_route(instance, shift, [])
            assert empty is not None, "an empty route is always legal"  # noqa: S101
            routes.append(empty)
        return Draft(instance, routes, set(self.without.unplanned))

    def _of(self, levers: tuple[Lever, ...]) -> Iterator[Fix]:
        """Yield fixes in which exactly these levers give way, cheapest first, for different technicians."""
        draft = self._opened(levers)
        if draft is None:
            return
        self.opened_levers += bool(levers)
        self.tried += sum(len(draft.routes[shift].visits) + 1 for shift in draft.instance.eligible[self.index])
        simulated, witnesses, who = 0, 0, set[str]()
        for added, shift, position in candidates(draft, self.index):
            enough = len(who) >= (BEST_EACH if levers else 1) or witnesses >= WITNESSES_EACH
            if enough or simulated >= SIMULATED_EACH or added >= self.limit:
                return
            technician = draft.instance.problem.shifts[shift].technician
            if technician in who:
                continue
            simulated += 1
            route = inserted(draft, self.index, shift, position)
            if route is None or not self.witnesses.kept_on(draft.instance, route):
                continue
            place = self._place(draft, shift, route.visits)
            named = {place.route.shift: route.visits}
            for way in product(*(lever.closed(place) for lever in levers)):
                witnesses += 1
                fix = self._fix(way, named)
                if fix is not None:
                    who.add(technician)
                    yield fix
                    break

    def _place(self, draft: Draft, shift: int, visits: list[int]) -> Place:
        route = route_of(draft.instance, shift, visits)
        known = {one.id: one for one in self.problem.shifts}
        changes = 0
        if self.problem.most_changes is not None:
            after, driven = draft.copy(), simulate_route(draft.instance, shift, visits)
            if driven is not None:
                after.replace(shift, driven)
            changes = after.changes()
        start = next((stop.start for stop in route.stops if stop.visit == self.visit.id), 0)
        day = known.get(route.shift, draft.instance.problem.shifts[shift])
        return Place(self.problem, self.visit, day, route, start, changes, self.past_quarter)

    def _fix(self, relaxations: tuple[Relaxation, ...], named: Mapping[str, list[int]]) -> Fix | None:
        """Return the fix in which the routes `named` are these and all others stay, or None where it is not legal."""
        return self.witnesses.fix(relaxations, self.orders | dict(named), tried=self.tried)

    def _later_deadline(self, plan: Plan) -> list[Fix]:
        """Return the fix in which everybody is where `plan` has them and the commitment moves to when somebody comes.

        In the plan in force that may be before the time that was published.
        """
        orders = _orders(plan, self.problem)
        draft = self.witnesses.driven(self.problem, orders)
        route = next((one for one in draft.routes if self.index in one.visits), None) if draft else None
        if route is None:
            return []
        start = route.starts()[route.visits.index(self.index)]
        one = Relaxation(kind="deadline", visit=self.visit.id, at=quarter_after(start, self.past_quarter))
        fix = self._fix((one,), orders)
        return [] if fix is None else [fix]


def _shift_id(draft: Draft, shift: int) -> str:
    return draft.instance.problem.shifts[shift].id


def _orders(plan: Plan, problem: Problem) -> dict[str, list[int]]:
    """Return the visits of each shift by index, in order."""
    index = {visit.id: number for number, visit in enumerate(problem.visits)}
    return {route.shift: [index[stop.visit] for stop in route.stops] for route in plan.routes}


def _worth_it(plan: Plan, fix: Fix) -> bool:
    """Return whether the fix costs less than leaving `plan` as it is, once the customer has agreed."""
    if fix.witness is None:
        return False
    added = added_cost(plan.cost, fix.witness.cost)
    return added.total - added.unserved + fix.cost.unserved < 0


def _ranked(found: Sequence[Fix]) -> list[Fix]:
    return sorted(found, key=lambda fix: (len(fix.relaxations), fix.price, fix.start))[:MOST_FIXES]
