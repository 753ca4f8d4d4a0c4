"""The plans that show what fixes come to: driven, passed by the referee, and compared with the plan as it is.

Where the plan as it is breaks rules already, as one in force may, the referee must find no more that are broken.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Literal

import msgspec
import numpy as np

from routing.answers import Fix, Moved
from routing.arrays import FOREVER, OPENS_FROM, OPENS_UNTIL
from routing.assemble import assembled
from routing.check import violations
from routing.differences import added_cost, driving, late_of, overtime, stops_of
from routing.draft import Draft, DraftRoute, simulate_route
from routing.explain import NOT_LOOKED_AT
from routing.instance import Instance, prepare
from routing.plan import Plan, Reason, Stop
from routing.problem import Problem, ProblemError, Visit, coupled, told_anew
from routing.relax import Relaxation, relaxed
from routing.simulate import late_price, promise_price
from routing.validate import validate


class Witnesses:
    """Builds and checks the witnesses of one visit's fixes. `draft` is the draft equal to `plan`.

    `starts`: when each visit of the plan starts; `planned`: the visit is among them; `in_time`, `as_promised`: it is to
    keep its commitment, its promised window; `anchors`: when visits that depend on others may start.
    """

    def __init__(self, problem: Problem, plan: Plan, draft: Draft, index: int) -> None:
        self._problem, self._plan, self._index = problem, plan, index
        self._visit: Visit = problem.visits[index]
        self._travel, self._arrays = draft.instance.travel, draft.instance.arrays
        self._unserved = draft.instance.visits[index].unserved
        self.starts = _starts(plan)
        self.planned = self._visit.id in self.starts
        self.in_time = self.planned
        self.as_promised = False
        self.anchors = _anchors(problem, plan)

    def fix(self, relaxations: tuple[Relaxation, ...], orders: Mapping[str, list[int]], *, tried: int) -> Fix | None:
        """Return the fix with the plan of these `orders`, or None where it is no legal one."""
        problem = relaxed(self._problem, relaxations)
        try:
            validate(problem)
        except ProblemError:
            return None
        draft = self.driven(problem, orders)
        if draft is None:
            return None
        witness = self._plan_of(draft, tried)
        if not self._keeps(witness):
            return None
        if any((one.code, one.where) not in self._broken for one in violations(problem, witness)):
            return None
        return self._described(relaxations, witness, draft.instance)

    @cached_property
    def _broken(self) -> frozenset[tuple[str, str]]:
        """Which rules the plan as it is breaks, and where: what is in force may, and that is nothing of a fix's."""
        return frozenset((one.code, one.where) for one in violations(self._problem, self._plan))

    def prepared(self, problem: Problem) -> Instance:
        """Return the instance, in which visits that others depend on stay when they are (`anchors`)."""
        instance = prepare(problem, travel=self._travel)
        rows = instance.arrays.visit
        for visit, (begin, end) in self.anchors.items():
            opens = instance.arrays.opens[rows[visit, OPENS_FROM] : rows[visit, OPENS_UNTIL]]
            opens[:, 0] = np.maximum(opens[:, 0], begin)
            opens[:, 1] = np.minimum(opens[:, 1], end)
        return instance

    def driven(self, problem: Problem, orders: Mapping[str, list[int]]) -> Draft | None:
        """Return the draft of these orders, by shift, or None where one of them is not legal."""
        instance = self.prepared(problem)
        routes: list[DraftRoute] = []
        for number, shift in enumerate(problem.shifts):
            route = simulate_route(instance, number, orders.get(shift.id, []))
            if route is None:
                return None
            routes.append(route)
        planned = {visit for route in routes for visit in route.visits}
        return Draft(instance, routes, set(range(len(problem.visits))) - planned)

    def kept_on(self, instance: Instance, route: DraftRoute) -> bool:
        """Return whether everybody else on the route keeps what they kept, and the visit what it is to keep."""
        for visit, start in zip(route.visits, route.starts(), strict=True):
            if visit == self._index:
                due = self._problem.visits[visit].commitment_due
                promise = instance.problem.visits[visit].promise if self.as_promised else None
                if (self.in_time and due is not None and start > due) or (promise is not None and start > promise.end):
                    return False
            elif not _kept(self._problem.visits[visit], self.starts.get(instance.problem.visits[visit].id), start):
                return False
        return True

    def missed(self, place: Fix) -> Literal["misses_commitment", "misses_promise"] | None:
        """Return what a place misses, the commitment first, and let no place do so from now on.

        A commitment that ran out before now is missed wherever the visit goes.
        """
        due = self._visit.commitment_due
        if place.late_seconds and due is not None and due >= 0:
            self.in_time = True
            return "misses_commitment"
        if place.promise_late_seconds:
            self.as_promised = True
            return "misses_promise"
        return None

    def _plan_of(self, draft: Draft, tried: int) -> Plan:
        routes, cost = assembled(draft)
        left = [(draft.instance.visits[one].unserved, draft.instance.problem.visits[one]) for one in draft.unplanned]
        cost = msgspec.structs.replace(cost, unserved=sum(price * visit.technicians for price, visit in left))
        known = {one.visit: one.reasons for one in self._plan.late}
        even_so = (Reason(code="late_even_so", basis="searched", facts={"tried": tried}),)
        unsaid = (NOT_LOOKED_AT,)  # the plan in force gives no reasons, and the referee asks for some
        late = tuple(
            msgspec.structs.replace(one, reasons=known.get(one.visit, even_so) or unsaid) for one in late_of(routes)
        )
        unplanned = tuple(
            msgspec.structs.replace(one, reasons=one.reasons or unsaid)
            for one in self._plan.unplanned
            if one.visit != self._visit.id
        )
        return msgspec.structs.replace(self._plan, routes=routes, cost=cost, unplanned=unplanned, late=late)

    def _keeps(self, witness: Plan) -> bool:
        """Return whether the visit has its place and keeps what it is to keep, and nobody else loses anything."""
        after = _starts(witness)
        if self._visit.id not in after:
            return False
        own = _stop(witness, self._visit.id)
        if (self.in_time and own.late_seconds) or (self.as_promised and own.promise_late_seconds):
            return False
        return all(
            _kept(visit, self.starts.get(visit.id), after.get(visit.id))
            for visit in self._problem.visits
            if visit.id != self._visit.id
        )

    def _described(self, relaxations: tuple[Relaxation, ...], witness: Plan, instance: Instance) -> Fix:
        own = next(route for route in witness.routes if any(stop.visit == self._visit.id for stop in route.stops))
        stop = _stop(witness, self._visit.id)
        cost = added_cost(self._plan.cost, witness.cost)
        unserved = 0 if self.planned else -self._unserved
        late, promise = self._agreed(instance, stop.start)
        cost = msgspec.structs.replace(cost, unserved=unserved, late=cost.late + late, promise=cost.promise + promise)
        old = {route.shift: route for route in self._plan.routes}
        new = {route.shift: route for route in witness.routes}
        touched = tuple(name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name))
        return Fix(
            relaxations=relaxations, visit=self._visit.id, shift=own.shift, technician=own.technician, start=stop.start,
            late_seconds=stop.late_seconds, promise_late_seconds=stop.promise_late_seconds,
            price=cost.total - cost.unserved, cost=cost, moved=self._moved(witness), shifts=touched,
            added_travel_seconds=driving(witness.routes) - driving(self._plan.routes),
            added_overtime_seconds=overtime(witness.routes) - overtime(self._plan.routes),
            routes=tuple(route for route in witness.routes if route.shift in touched), witness=witness,
        )  # fmt: skip

    def _agreed(self, instance: Instance, start: int) -> tuple[int, int]:
        """Return what the customer's agreement took off the price of missing the commitment, and the promised window.

        The relaxed problem, that of `instance`, calls nobody late who agreed to a later deadline or window.
        """
        before, now, visit = self._arrays, instance.arrays, self._index
        late = late_price(before, visit, start) - late_price(now, visit, start)
        return int(late), int(promise_price(before, visit, start) - promise_price(now, visit, start))

    def _moved(self, witness: Plan) -> tuple[Moved, ...]:
        was: dict[str, dict[str, int]] = {}
        for route in self._plan.routes:
            for stop in route.stops:
                was.setdefault(stop.visit, {})[route.shift] = stop.start
        visits = {visit.id: visit for visit in self._problem.visits}
        return tuple(
            Moved(
                visit=stop.visit, shift=route.shift, start_before=self.starts[stop.visit], start_after=stop.start,
                told=told_anew(visits[stop.visit], route.shift, stop.start, self._problem.prices),
            )
            for route in witness.routes
            for stop in route.stops
            if stop.visit != self._visit.id and was[stop.visit].get(route.shift) != stop.start
        )  # fmt: skip


def _kept(visit: Visit, before: int | None, after: int | None) -> bool:
    """Return whether a visit that was planned still is, and keeps the commitment and the promise that it kept."""
    if before is None:
        return True
    if after is None:
        return False
    limits = [visit.commitment_due, visit.promise.end if visit.promise else None]
    return not any(limit is not None and before <= limit < after for limit in limits)


def _anchors(problem: Problem, plan: Plan) -> dict[int, tuple[int, int]]:
    """Return when visits that depend on others may start.

    Planned ones: as they are planned. One without a place: when what it follows is over.
    """
    bound = coupled(problem)
    planned = {stop.visit: stop for stop in stops_of(plan.routes)}
    found: dict[int, tuple[int, int]] = {}
    for number, visit in enumerate(problem.visits):
        own = planned.get(visit.id)
        before = planned.get(visit.follows.visit) if visit.follows is not None else None
        if own is not None and visit.id in bound:
            found[number] = own.start, own.start
        elif own is None and before is not None and visit.follows is not None:
            most = FOREVER if visit.follows.most_gap is None else before.departure + visit.follows.most_gap
            found[number] = before.departure + visit.follows.least_gap, most
    return found


def _stop(plan: Plan, visit: str) -> Stop:
    return next(stop for stop in stops_of(plan.routes) if stop.visit == visit)


def _starts(plan: Plan) -> dict[str, int]:
    return {stop.visit: stop.start for stop in stops_of(plan.routes)}
