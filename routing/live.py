"""What-if for one move on the board: a visit to another place, simulated exactly, with all that follows from it.

Either it works, and the answer says who moves by how much, who becomes late, the overtime and the price; or a rule
breaks, and the answer says which one, with the figures a sentence needs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from routing import arrays as columns
from routing.answers import Broken, Lateness, Overtime, Placement, Proposal, WhatIf
from routing.arrays import FOREVER
from routing.check import violations
from routing.day import Pause, simulated_on
from routing.differences import added_cost, driving, overtime, stops_of
from routing.draft import Draft, driven, simulate_route
from routing.eligible import exclusion
from routing.insertion import in_order, moved, ranked
from routing.instance import Instance
from routing.obstacles import obstacle
from routing.plan import Plan, Route, Stop
from routing.problem import Problem, ProblemError, Shift, Visit, coupled, visit_number
from routing.redraft import draft_of, left_out, plan_of, unbound
from routing.scan import candidates, inserted
from routing.simulate import RouteTimes, arrival
from routing.texts import Facts

OF_PLANS_ONLY: Final = frozenset({"unplanned_without_reason", "late_list_wrong", "late_without_reason", "cost_wrong"})
"""What the referee asks of a searched plan and not of a move: reasons."""


def what_if(problem: Problem, plan: Plan, placement: Placement, *, draft: Draft | None = None) -> WhatIf:
    """Return what `placement` comes to on `plan`; a few milliseconds at 300 visits where `draft_of` both is at hand.

    Raises `ProblemError` 'visit_unknown' or 'plan_contradicts_problem' (a shift or a neighbour that is not there).
    """
    index = visit_number(problem, placement.visit)
    visit = problem.visits[index]
    draft = draft_of(problem, plan) if draft is None else draft
    move = _Move(problem, plan, draft, placement, visit, index)
    without, broken = move.without()
    if broken is not None:
        return WhatIf(placement=placement, broken=broken)
    if placement.shift is None:
        return move.consequences(without)
    if placement.at is not None:
        if visit.pin is not None and visit.pin.start is not None and visit.pin.start < placement.at:
            facts: Facts = {"visit": visit.id, "closes": visit.pin.start, "earliest": placement.at}
            return WhatIf(placement=placement, broken=Broken(code="window_missed", facts=facts))
        without, move = move.not_before(placement.at, without)
    return move.onto(without, _shift(problem, placement.shift))


def proposals(
    problem: Problem, plan: Plan, visit: str, *, limit: int = 5, draft: Draft | None = None
) -> tuple[Proposal, ...]:
    """Return the best place of each shift for `visit`, cheapest first; a visit that has a place leaves it.

    Nothing is proposed for a visit that is frozen, or that several come to together. Raises as `propose` does.
    """
    index = visit_number(problem, visit)
    wanted = problem.visits[index]
    if wanted.frozen or wanted.technicians > 1:
        return ()
    draft = draft_of(problem, plan) if draft is None else draft
    if index not in draft.unplanned:
        draft, broken = _Move(problem, plan, draft, Placement(visit=visit), wanted, index).without()
        if broken is not None:
            return ()
    return ranked(draft, index, limit=limit, best_of_each_shift=True)


@dataclass(frozen=True, slots=True)
class _Move:
    """One visit being moved in one draft."""

    problem: Problem
    plan: Plan
    """The plan as it is; `draft` equals it."""
    draft: Draft
    placement: Placement
    visit: Visit
    index: int

    def without(self) -> tuple[Draft, Broken | None]:
        """Return the draft with the visit on no shift, or why it cannot leave its own."""
        if self.visit.frozen:
            return self.draft, Broken(code="frozen")
        taken, visits = self.draft.copy(), self.draft.instance.problem.visits
        for shift, route in enumerate(self.draft.routes):
            kept = [one for one in route.visits if visits[one].id != self.visit.id]
            if len(kept) < len(route.visits):
                rest = simulate_route(taken.instance, shift, kept)
                if rest is None:
                    return self.draft, Broken(code="does_not_fit")
                taken.replace(shift, rest)
        return (self._bound_anew(taken) if coupled(self.problem) else taken), None

    def _bound_anew(self, draft: Draft) -> Draft:
        """Return the draft with the times that bind visits to each other as they are with these routes."""
        return draft_of(self.problem, plan_of(draft), travel=draft.instance.travel)

    def not_before(self, at: int, without: Draft) -> "tuple[Draft, _Move]":
        """Return `without` and the move in the problem where the visit starts no earlier than `at`."""
        later = msgspec.structs.replace(self.visit, earliest=max(self.visit.earliest, at))
        move = replace(self, problem=_with_visit(self.problem, self.visit, later), visit=later)
        held = move._bound_anew(without)  # noqa: SLF001 - its own
        release = self.draft.instance.arrays.visit[self.index, columns.RELEASE]
        held.instance.arrays.visit[self.index, columns.RELEASE] = release  # to wait is delay all the same
        return held, move

    def onto(self, without: Draft, shift: Shift) -> WhatIf:
        """Return what becomes of the visit on `shift`."""
        broken = self._refused_by_people(shift)
        if broken is not None:
            return WhatIf(placement=self.placement, broken=broken)
        number = self.problem.shifts.index(shift)
        sequence, broken = self._sequence(without, number)
        if broken is not None:
            return WhatIf(placement=self.placement, broken=broken)
        instance = without.instance
        route = simulate_route(instance, number, sequence)
        if route is None and coupled(self.problem):  # what it is bound to is in its way, or the day is: see which
            instance = unbound(instance)
            route = simulate_route(instance, number, sequence)
        if route is None:
            return WhatIf(
                placement=self.placement, broken=_broken(instance, number, sequence, sequence.index(self.index))
            )
        after = Draft(instance, list(without.routes), set(without.unplanned))
        after.replace(number, route)
        return self.consequences(after)

    def consequences(self, after: Draft) -> WhatIf:
        """Return all that changes from the draft to `after`."""
        touched = [
            number for number, route in enumerate(after.routes) if route.visits != self.draft.routes[number].visits
        ]
        old, new = plan_of(_narrowed(self.draft, touched)), plan_of(_narrowed(after, touched))
        were, are = _by_shift(old), _by_shift(new)
        names = [self.problem.shifts[number].id for number in touched]
        stops = _stops(new)
        return WhatIf(
            placement=self.placement, broken=self._refused_by_referee(after, new, names) or self._missed_promise(stops),
            start=stops[self.visit.id].start if self.visit.id in stops else None,
            lateness=tuple(_lateness(_stops(old), stops)),
            moved=tuple(one for one in moved(self.problem, old.routes, new.routes) if one.visit != self.visit.id),
            overtime=tuple(
                Overtime(shift=name, before_seconds=before, after_seconds=later)
                for name in names
                if (before := overtime(were.get(name, ()))) != (later := overtime(are.get(name, ())))
            ),
            added_travel_seconds=driving(new.routes) - driving(old.routes),
            added_cost=new.cost.total - old.cost.total, cost=added_cost(old.cost, new.cost), shifts=tuple(names),
            routes=new.routes,
        )  # fmt: skip

    def _refused_by_referee(self, after: Draft, new: Plan, names: Sequence[str]) -> Broken | None:
        """Return what the referee says of the move and did not say before: rules between routes, such as an order."""
        kept = tuple(route for route in self.plan.routes if route.shift not in names)
        whole = msgspec.structs.replace(self.plan, routes=kept + new.routes, unplanned=left_out(after), late=())
        found = [one for one in violations(self.problem, whole) if one.code not in OF_PLANS_ONLY]
        known = {(one.code, one.where) for one in (violations(self.problem, self.plan) if found else ())}
        for one in found:
            if (one.code, one.where) not in known:
                return Broken(code="rule", facts={"rule": one.code, "where": one.where, "detail": one.detail})
        return None

    def _refused_by_people(self, shift: Shift) -> Broken | None:
        """Return the rule that keeps the visit off the shift whatever the time."""
        pin, rule = self.visit.pin, exclusion(self.visit, shift)
        if rule == "no_skill":
            return Broken(code=rule, facts={"skills": sorted(set(self.visit.skills) - set(shift.skills))})
        if rule == "pinned_away" and pin is not None:
            return Broken(code="pinned", facts={"pinned": pin.shift or pin.technician or ""})
        if self.visit.technicians > 1:  # they go together, and nobody says here which of them is to go
            return Broken(code="rule", facts={"rule": "crew_apart", "detail": str(self.visit.technicians)})
        return None if rule is None else Broken(code="not_allowed")

    def _sequence(self, without: Draft, shift: int) -> tuple[list[int], Broken | None]:
        """Return the order of the visits on `shift` with the visit in its place, or what stands in its way."""
        others = without.routes[shift].visits
        position = self._position(without, shift)
        frozen = len(without.instance.frozen[shift])
        if position < frozen:
            other = without.instance.problem.visits[others[frozen - 1]].id
            return [], Broken(code="behind_frozen", facts={"other": other})
        return [*others[:position], self.index, *others[position:]], None

    def _position(self, without: Draft, shift: int) -> int:
        route, placement = without.routes[shift], self.placement
        names = [without.instance.problem.visits[one].id for one in route.visits]
        neighbour = placement.after or placement.before
        if neighbour is not None:
            if neighbour not in names:
                raise ProblemError("plan_contradicts_problem", f"neighbour '{neighbour}'", detail=str(placement.shift))
            return names.index(neighbour) + (placement.after is not None)
        if placement.at is not None:
            return sum(start < placement.at for start in route.starts())
        positions = [position for _, _, position in candidates(without, self.index, [shift])]
        for position in positions:
            found = inserted(without, self.index, shift, position)
            if found is not None and in_order(without, self.index, found):
                return position
        return next(iter(positions), len(names))

    def _missed_promise(self, stops: Mapping[str, Stop]) -> Broken | None:
        promise, stop = self.visit.promise, stops.get(self.visit.id)
        if promise is None or stop is None or not stop.promise_late_seconds:
            return None
        return Broken(code="promise_missed", facts={"closes": promise.end, "earliest": stop.start}, soft=True)


def _shift(problem: Problem, name: str) -> Shift:
    found = next((shift for shift in problem.shifts if shift.id == name), None)
    if found is None:
        raise ProblemError("plan_contradicts_problem", f"shift '{name}'", detail=name)
    return found


def _with_visit(problem: Problem, visit: Visit, changed: Visit) -> Problem:
    visits = tuple(changed if one is visit else one for one in problem.visits)
    return msgspec.structs.replace(problem, visits=visits)


def _narrowed(draft: Draft, shifts: Sequence[int]) -> Draft:
    """Return the draft with routes on `shifts` only: what a move leaves alone need not be priced twice."""
    alone = {number: draft.routes[number] for number in shifts}
    empty = [driven(draft.instance, number, []) for number in range(len(draft.routes))]
    return Draft(draft.instance, [alone.get(number, route) for number, route in enumerate(empty)], set(draft.unplanned))


def _by_shift(plan: Plan) -> dict[str, list[Route]]:
    """Return the route of each shift, as all routes of that shift."""
    return {route.shift: [route] for route in plan.routes}


def _stops(plan: Plan) -> dict[str, Stop]:
    return {stop.visit: stop for stop in stops_of(plan.routes)}


def _lateness(were: Mapping[str, Stop], are: Mapping[str, Stop]) -> Iterator[Lateness]:
    for name, stop in are.items():
        before = were.get(name)
        pairs = (
            (False, before.late_seconds if before else 0, stop.late_seconds),
            (True, before.promise_late_seconds if before else 0, stop.promise_late_seconds),
        )
        for promise, was, later in pairs:
            if was != later:
                yield Lateness(visit=name, promise=promise, before_seconds=was, after_seconds=later)


def _broken(instance: Instance, shift: int, sequence: list[int], position: int) -> Broken:
    """Return the rule that excludes the order `sequence` with the visit that moved at `position`, with its figures."""
    day, code = instance.shifts[shift], obstacle(instance, shift, sequence, position)
    endless = replace(day, last=FOREVER)
    unbroken = simulated_on(replace(endless, pauses=()), instance.arrays, sequence)
    if code == "van_full":
        loads = instance.arrays.visit[sequence, columns.LOAD]
        room = int(instance.arrays.shift[shift, columns.CAPACITY])
        return Broken(code=code, facts={"load": int(loads.sum()), "capacity": room})
    if code == "no_break":
        pause = _in_the_way(instance, shift, sequence)
        return Broken(code=code, facts={"earliest": pause.earliest, "latest": pause.latest})
    if isinstance(unbroken, RouteTimes):
        rested = simulated_on(endless, instance.arrays, sequence)
        back = rested.back if isinstance(rested, RouteTimes) else unbroken.back
        return Broken(code="late_back", facts={"back": back, "last": day.last})
    missed = sequence[unbroken.visits]
    visit, closes = instance.problem.visits[missed], _closes(instance.problem.visits[missed])
    if closes is None:
        return Broken(code="does_not_fit")
    before = [day.start_place, *(instance.visits[one].place for one in sequence)][unbroken.visits]
    leg = instance.seconds[before][instance.visits[missed].place]
    facts: Facts = {"visit": visit.id, "closes": closes, "earliest": int(arrival(instance.arrays, unbroken.free, leg))}
    return Broken(code="window_missed" if code == "window_missed" else "later_window_missed", facts=facts)


def _in_the_way(instance: Instance, shift: int, sequence: list[int]) -> Pause:
    """Return the break without which the order `sequence` would work; the first where several are in its way."""
    day = instance.shifts[shift]
    for pause in day.pauses:
        others = replace(day, pauses=tuple(one for one in day.pauses if one != pause))
        if isinstance(simulated_on(others, instance.arrays, sequence), RouteTimes):
            return pause
    return day.pauses[0]


def _closes(visit: Visit) -> int | None:
    """Return the last moment at which service may start, if there is one."""
    ends = [window.end for window in visit.windows]
    pinned = [visit.pin.start] if visit.pin is not None and visit.pin.start is not None else []
    return min([*pinned, *([max(ends)] if ends else [])], default=None)
