"""Priced fixes for a visit that has no place or comes too late: what would have to give way, and a plan that shows it.

Looked for in this order: places that break no rule at all, also after an exchange of visits between a few routes (then
nothing need give way); one rule opened; two; and last such an exchange with at most two rules given way. Exchanges are
chosen exactly, by CP-SAT. Every fix carries
a witness: a whole plan of the relaxed problem that the referee passes, in which every other visit keeps its place in
the plan, its commitment and its promised window. What is not found within the time is not said to be impossible.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np

from routing.arrays import FOREVER, OPENS_FROM, OPENS_UNTIL
from routing.assemble import assembled, route_of
from routing.check import violations
from routing.draft import Draft, DraftRoute, empty_draft, simulate_route
from routing.exchange import exchanges
from routing.explain import Explainer
from routing.in_force import draft_of
from routing.insertion import Moved
from routing.instance import Instance, prepare
from routing.ortools.exact import solver
from routing.plan import Cost, Late, Plan, Reason, Route, Stop
from routing.problem import Problem, ProblemError, Visit
from routing.relax import LEVERS, QUARTER, Lever, Place, Relaxation, relaxed
from routing.scan import candidates, inserted
from routing.validate import validate

MOST_FIXES: Final = 5
FIX_SECONDS: Final = 0.5
"""Searching for the fixes of one visit; half of it is left to the exchange of visits."""
PLAN_SECONDS: Final = 10.0
"""Searching for the fixes of all visits of a plan."""
BEST_EACH: Final = 2
"""Fixes of one kind, for different technicians."""
SIMULATED_EACH: Final = 40
"""Places simulated of those one lever allows, cheapest first."""
WITNESSES_EACH: Final = 4

Outcome: TypeAlias = Literal["fixed", "no_need", "none"]
"""Fixes were found; or nothing need give way, there is a place; or we found neither."""


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """What gives way (nothing, where there is a place as it is), and what then comes of the visit and of the others.

    `cost`: by term, the difference to the plan as it is; `price`: its sum but for `unserved`, in the unit of `Prices`.
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


class Fixes(msgspec.Struct, frozen=True, kw_only=True):
    """The fixes found, cheapest first. `tried`: places priced, in the problem as it is and with rules opened.

    `levers`: rules, and pairs of rules, that were opened. `exhausted`: all that we look at was looked at in time.
    """

    visit: str
    outcome: Outcome
    fixes: tuple[Fix, ...]
    tried: int
    levers: int
    exhausted: bool


def fixes(
    problem: Problem, plan: Plan, visit: str, *, draft: Draft | None = None, seconds: float = FIX_SECONDS
) -> Fixes:
    """Return what could give way so that the unplanned `visit` has a place, or a late one comes in time.

    `plan` is a legal plan of `problem` with reasons (`explained`), `draft` the draft equal to it. Raises `ProblemError`
    'visit_unknown', 'visit_planned' (it has a place and is in time) or 'plan_contradicts_problem'.
    """
    index = next((number for number, known in enumerate(problem.visits) if known.id == visit), None)
    if index is None:
        raise ProblemError("visit_unknown", f"visit '{visit}'")
    draft = draft_of(problem, plan) if draft is None else draft
    return _Search(problem, plan, draft, index, seconds).found()


def all_fixes(problem: Problem, plan: Plan, *, seconds: float = PLAN_SECONDS) -> tuple[Fixes, ...]:
    """Return the fixes of every unplanned and late visit of `plan`; where time runs out, only places as it is."""
    draft, until = draft_of(problem, plan), time.monotonic() + seconds
    names = [*(one.visit for one in plan.unplanned), *(one.visit for one in plan.late)]
    return tuple(
        fixes(problem, plan, name, draft=draft, seconds=min(FIX_SECONDS, max(0.0, until - time.monotonic())))
        for name in names
    )


def explained(problem: Problem, plan: Plan) -> Plan:
    """Return `plan` with a reason for everything unplanned or late, where it has none."""
    if all(one.reasons for one in (*plan.unplanned, *plan.late)):
        return plan
    draft = draft_of(problem, plan)
    why = Explainer(empty_draft(draft.instance), draft)
    return msgspec.structs.replace(plan, unplanned=why.unplanned(), late=why.late())


def without_witness(found: Fixes) -> Fixes:
    """Return the fixes without the whole plans: what differs is in their `routes`."""
    slim = tuple(msgspec.structs.replace(fix, witness=None) for fix in found.fixes)
    return msgspec.structs.replace(found, fixes=slim)


class _Search:
    """The search for one visit."""

    def __init__(self, problem: Problem, plan: Plan, draft: Draft, index: int, seconds: float) -> None:
        self.problem, self.plan, self.index = problem, plan, index
        self.visit: Visit = problem.visits[index]
        self.starts = _starts(plan)
        self.travel = draft.instance.travel
        self.anchors = _anchors(problem, plan)
        self.draft = draft if not self.anchors else self._driven(problem, _orders(plan, problem)) or draft
        self.late = self.visit.id in self.starts
        self.without, self.limit = self._taken_out()
        self.until = time.monotonic() + seconds
        self.half, self.fifth = self.until - seconds / 2, self.until - seconds * 4 / 5
        self.tried, self.opened_levers, self.exhausted = 0, 0, True

    def _taken_out(self) -> tuple[Draft, int]:
        """Return the draft without the visit, and what a place for it may add to its price at most."""
        if not self.late:
            return self.draft, self.draft.instance.visits[self.index].unserved
        if not any(one.visit == self.visit.id for one in self.plan.late):
            raise ProblemError("visit_planned", f"visit '{self.visit.id}'")
        taken = self.draft.copy()
        shift = next(number for number, route in enumerate(taken.routes) if self.index in route.visits)
        old = taken.routes[shift]
        rest = simulate_route(taken.instance, shift, [one for one in old.visits if one != self.index])
        if rest is None:
            return self.draft, 0
        taken.replace(shift, rest)
        return taken, old.price - rest.price

    def found(self) -> Fixes:
        """Return what was found."""
        if self.visit.technicians > 1 or self.visit.frozen:
            return self._answer("none", ())  # who comes together, or is under way, is not searched
        place = next(self._of(()), None) or next(iter(self._exchanged(())), None)
        if place is not None:
            return self._answer("no_need", (place,))
        singles = [fix for lever in LEVERS if self._in_time(self.half) for fix in self._of((lever,))]
        if self.late:
            singles += self._later_deadline()
        found = singles or self._pairs() or self._exchanged(LEVERS)
        return self._answer("fixed" if found else "none", tuple(_ranked(found)))

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
        if self.anchors or not (levers or self.without.instance.eligible[self.index]):
            return []  # what others depend on does not change places
        if len(self.without.routes) < 2:  # noqa: PLR2004 - nobody to exchange with
            return []
        self._load_solver()
        for lever in levers:
            opened = self._opened((lever,)) if lever.kind not in {"shift_added", "changes"} else None
            if opened is not None:
                drafts.append((lever, opened))
        for orders, places in exchanges(drafts, self.index, self.until if levers else self.fifth):
            self.tried += 1
            ways = [lever.closed(self._place(draft, shift, orders[shift])) or [()] for lever, draft, shift in places]
            named = {self._shift_id(self.without, shift): visits for shift, visits in orders.items()}
            for way in product(*ways):
                fix = self._witness(tuple(dict.fromkeys(one for part in way for one in part)), named)
                if fix is not None and fix.price < self.limit:
                    return [fix]
        self._in_time(self.until)
        return []

    def _load_solver(self) -> None:
        """Load CP-SAT if that has not been done; it does not count as searching."""
        began = time.monotonic()
        solver()
        loading = time.monotonic() - began
        self.until, self.half, self.fifth = self.until + loading, self.half + loading, self.fifth + loading

    # --- places in an opened problem ------------------------------------------------------------------------------

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
        instance = self._prepared(problem)
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
            if route is None or not self._kept_on(draft.instance, route):
                continue
            place = self._place(draft, shift, route.visits)
            named = {place.route.shift: route.visits}
            for way in product(*(lever.closed(place) for lever in levers)):
                witnesses += 1
                fix = self._witness(tuple(one for part in way for one in part), named)
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
        return Place(self.problem, self.visit, day, route, start, changes)

    def _kept_on(self, instance: Instance, route: DraftRoute) -> bool:
        """Return whether everybody else on the route is served in time if they were, and a late visit comes in time."""
        for visit, start in zip(route.visits, route.starts(), strict=True):
            if visit == self.index:
                due = self.problem.visits[visit].commitment_due
                if self.late and due is not None and start > due:
                    return False
            elif not _kept(self.problem.visits[visit], self.starts.get(instance.problem.visits[visit].id), start):
                return False
        return True

    # --- witnesses ------------------------------------------------------------------------------------------------

    def _shift_id(self, draft: Draft, shift: int) -> str:
        return draft.instance.problem.shifts[shift].id

    def _witness(self, relaxations: tuple[Relaxation, ...], orders: Mapping[str, list[int]]) -> Fix | None:
        """Return the fix with the plan that has the visit in `orders`, or None where it is no legal one."""
        problem = relaxed(self.problem, relaxations)
        try:
            validate(problem)
        except ProblemError:
            return None
        kept = {self._shift_id(self.without, number): route.visits for number, route in enumerate(self.without.routes)}
        draft = self._driven(problem, kept | dict(orders))
        if draft is None:
            return None
        witness = self._plan_of(draft)
        if not self._keeps(witness) or violations(problem, witness):
            return None
        return self._fix(relaxations, witness)

    def _prepared(self, problem: Problem) -> Instance:
        """Return the instance, in which visits that others depend on stay when they are (`_anchors`)."""
        instance = prepare(problem, travel=self.travel)
        rows = instance.arrays.visit
        for visit, (begin, end) in self.anchors.items():
            opens = instance.arrays.opens[rows[visit, OPENS_FROM] : rows[visit, OPENS_UNTIL]]
            opens[:, 0] = np.maximum(opens[:, 0], begin)
            opens[:, 1] = np.minimum(opens[:, 1], end)
        return instance

    def _driven(self, problem: Problem, orders: Mapping[str, list[int]]) -> Draft | None:
        instance = self._prepared(problem)
        routes: list[DraftRoute] = []
        for number, shift in enumerate(problem.shifts):
            route = simulate_route(instance, number, orders.get(shift.id, []))
            if route is None:
                return None
            routes.append(route)
        planned = {visit for route in routes for visit in route.visits}
        return Draft(instance, routes, set(range(len(problem.visits))) - planned)

    def _plan_of(self, draft: Draft) -> Plan:
        routes, cost = assembled(draft)
        left = [(draft.instance.visits[one].unserved, draft.instance.problem.visits[one]) for one in draft.unplanned]
        cost = msgspec.structs.replace(cost, unserved=sum(price * visit.technicians for price, visit in left))
        known = {one.visit: one.reasons for one in self.plan.late}
        even_so = (Reason(code="late_even_so", basis="searched", facts={"tried": self.tried}),)
        late = tuple(
            Late(visit=stop.visit, late_seconds=stop.late_seconds, reasons=known.get(stop.visit, even_so))
            for route in routes
            for stop in route.stops
            if stop.late_seconds
        )
        unplanned = tuple(one for one in self.plan.unplanned if one.visit != self.visit.id)
        return msgspec.structs.replace(self.plan, routes=routes, cost=cost, unplanned=unplanned, late=late)

    def _keeps(self, witness: Plan) -> bool:
        """Return whether the visit has its place, in time if it was late, and nobody else loses anything."""
        after = _starts(witness)
        due = self.problem.visits[self.index].commitment_due
        agreed = any(one.visit == self.visit.id for one in witness.late)
        if self.visit.id not in after or (self.late and due is not None and agreed):
            return False
        return all(
            _kept(visit, self.starts.get(visit.id), after.get(visit.id))
            for visit in self.problem.visits
            if visit.id != self.visit.id
        )

    def _fix(self, relaxations: tuple[Relaxation, ...], witness: Plan) -> Fix:
        own = next(route for route in witness.routes if any(stop.visit == self.visit.id for stop in route.stops))
        stop = next(stop for stop in own.stops if stop.visit == self.visit.id)
        cost = _difference(self.plan.cost, witness.cost)
        unserved = 0 if self.late else -self.draft.instance.visits[self.index].unserved
        cost = msgspec.structs.replace(cost, unserved=unserved)
        old = {route.shift: route for route in self.plan.routes}
        new = {route.shift: route for route in witness.routes}
        touched = tuple(name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name))
        return Fix(
            relaxations=relaxations, visit=self.visit.id, shift=own.shift, technician=own.technician, start=stop.start,
            late_seconds=stop.late_seconds, promise_late_seconds=stop.promise_late_seconds,
            price=cost.total - cost.unserved, cost=cost, moved=self._moved(witness), shifts=touched,
            added_travel_seconds=_driving(witness) - _driving(self.plan),
            added_overtime_seconds=_overtime(witness) - _overtime(self.plan),
            routes=tuple(route for route in witness.routes if route.shift in touched), witness=witness,
        )  # fmt: skip

    def _moved(self, witness: Plan) -> tuple[Moved, ...]:
        was = {stop.visit: (route.shift, stop.start) for route in self.plan.routes for stop in route.stops}
        told = {visit.id for visit in self.problem.visits if visit.told}
        tolerance = self.problem.prices.told_tolerance
        return tuple(
            Moved(
                visit=stop.visit, shift=route.shift, start_before=was[stop.visit][1], start_after=stop.start,
                told=stop.visit in told
                and (was[stop.visit][0] != route.shift or abs(stop.start - was[stop.visit][1]) > tolerance),
            )
            for route in witness.routes
            for stop in route.stops
            if stop.visit != self.visit.id and was[stop.visit] != (route.shift, stop.start)
        )  # fmt: skip

    def _later_deadline(self) -> list[Fix]:
        """Return the fix in which everything stays and the commitment is moved to when somebody comes."""
        start = self.starts[self.visit.id]
        one = Relaxation(kind="deadline", visit=self.visit.id, at=-(-start // QUARTER) * QUARTER)
        fix = self._witness((one,), _orders(self.plan, self.problem))
        return [] if fix is None else [fix]


def _kept(visit: Visit, before: int | None, after: int | None) -> bool:
    """Return whether a visit that was planned still is, and keeps the commitment and the promise that it kept."""
    if before is None:
        return True
    if after is None:
        return False
    limits = [visit.commitment_due, visit.promise.end if visit.promise else None]
    return not any(limit is not None and before <= limit < after for limit in limits)


def _orders(plan: Plan, problem: Problem) -> dict[str, list[int]]:
    """Return the visits of each shift by index, in order."""
    index = {visit.id: number for number, visit in enumerate(problem.visits)}
    return {route.shift: [index[stop.visit] for stop in route.stops] for route in plan.routes}


def _anchors(problem: Problem, plan: Plan) -> dict[int, tuple[int, int]]:
    """Return when visits that depend on others may start.

    Planned ones: as they are planned. One without a place: when what it follows is over.
    """
    followed = {visit.follows.visit for visit in problem.visits if visit.follows is not None}
    planned = {stop.visit: stop for stop in _stops(plan)}
    found: dict[int, tuple[int, int]] = {}
    for number, visit in enumerate(problem.visits):
        own = planned.get(visit.id)
        before = planned.get(visit.follows.visit) if visit.follows is not None else None
        if own is not None and (visit.technicians > 1 or visit.follows is not None or visit.id in followed):
            found[number] = own.start, own.start
        elif own is None and before is not None and visit.follows is not None:
            most = FOREVER if visit.follows.most_gap is None else before.departure + visit.follows.most_gap
            found[number] = before.departure + visit.follows.least_gap, most
    return found


def _ranked(found: Sequence[Fix]) -> list[Fix]:
    return sorted(found, key=lambda fix: (len(fix.relaxations), fix.price, fix.start))[:MOST_FIXES]


def _stops(plan: Plan) -> Iterator[Stop]:
    for route in plan.routes:
        yield from route.stops


def _starts(plan: Plan) -> dict[str, int]:
    return {stop.visit: stop.start for stop in _stops(plan)}


def _driving(plan: Plan) -> int:
    return sum(stop.travel_seconds for stop in _stops(plan)) + sum(route.end_travel_seconds for route in plan.routes)


def _overtime(plan: Plan) -> int:
    return sum(route.overtime_seconds for route in plan.routes)


def _difference(old: Cost, new: Cost) -> Cost:
    return Cost(**{name: getattr(new, name) - getattr(old, name) for name in Cost.__struct_fields__})
