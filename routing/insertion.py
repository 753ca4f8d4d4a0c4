"""An urgent visit into a plan in force: one route changes, nobody else's commitment is broken.

`propose` ranks the places, `insert` makes one of them part of the plan. Both simulate exactly and take milliseconds.
"""

from collections.abc import Sequence

import msgspec

from routing.answers import Moved, Proposal
from routing.assemble import assembled, route_of
from routing.differences import driving, late_of, overtime
from routing.draft import Draft, DraftRoute, empty_draft
from routing.explain import Explainer
from routing.finish import passed
from routing.plan import Late, Plan, Route
from routing.problem import Problem, ProblemError, told_anew, visit_number
from routing.redraft import draft_of
from routing.scan import Insertion, candidates, inserted

MAX_PROPOSALS = 20


def propose(
    problem: Problem, plan: Plan, visit: str, *, limit: int = 5, best_of_each_shift: bool = False
) -> tuple[Proposal, ...]:
    """Return up to `limit` places for the unplanned `visit`, cheapest first; none when nothing fits.

    A place is offered only when every other visit that keeps its commitment or its promised window still does, and
    frozen visits stay. `best_of_each_shift`: one place a shift, so that a dispatcher chooses among people. `plan` is a
    legal plan of `problem`, with `visit` unplanned or not in it at all. A place is one route, so a crew has none; what
    others depend on stays when it leaves them room. Raises `ProblemError` 'visit_unknown', 'visit_planned' or
    'plan_contradicts_problem'.
    """
    draft, index = _draft_of(problem, plan, visit)
    return ranked(draft, index, limit=limit, best_of_each_shift=best_of_each_shift)


def ranked(draft: Draft, visit: int, *, limit: int, best_of_each_shift: bool) -> tuple[Proposal, ...]:
    """Return what `propose` does, of a draft and one of its unplanned visits."""
    found: list[Insertion] = []
    limit = max(1, min(limit, MAX_PROPOSALS))
    for bound, shift, position in candidates(draft, visit, _takers(draft, visit)):
        if len(found) == limit and bound >= found[-1].added:
            break
        route = inserted(draft, visit, shift, position)
        if route is None or not in_order(draft, visit, route) or not _keeps_others(draft, draft.routes[shift], route):
            continue
        found.append(Insertion(visit, shift, position, route, route.price - draft.routes[shift].price))
        found.sort(key=lambda one: (one.added, one.shift, one.position))
        if best_of_each_shift:
            found = _first_of_each_shift(found)
        del found[limit:]
    return tuple(_proposal(draft, insertion) for insertion in found)


def insert(problem: Problem, plan: Plan, proposal: Proposal) -> Plan:
    """Return `plan` with `proposal` carried out; one route differs. The referee has passed it.

    Raises `ProblemError` 'plan_contradicts_problem' when the proposal does not fit the plan any more.
    """
    draft, visit = _draft_of(problem, plan, proposal.visit)
    shift = next((index for index, day in enumerate(problem.shifts) if day.id == proposal.shift), None)
    route = None
    if shift in _takers(draft, visit) and 0 <= proposal.position <= len(draft.routes[shift].visits):
        route = inserted(draft, visit, shift, proposal.position)
    if shift is None or route is None:
        raise ProblemError("plan_contradicts_problem", f"proposal for '{proposal.visit}'", detail=proposal.shift)
    draft.replace(shift, route)
    routes, cost = assembled(draft)
    changed = msgspec.structs.replace(
        plan,
        routes=routes,
        cost=cost,
        unplanned=tuple(one for one in plan.unplanned if one.visit != proposal.visit),
        late=_late(problem, draft, routes, plan),
    )
    return passed(problem, changed, draft.price())


def _draft_of(problem: Problem, plan: Plan, visit: str) -> tuple[Draft, int]:
    """Return the draft that equals `plan`, and the index of the unplanned `visit`."""
    index = visit_number(problem, visit)
    draft = draft_of(problem, plan)
    if index not in draft.unplanned:
        raise ProblemError("visit_planned", f"visit '{visit}'")
    return draft, index


def _takers(draft: Draft, visit: int) -> list[int]:
    """Return the shifts that may take the visit, by its own rules and by those that bind it to others."""
    instance = draft.instance
    return [shift for shift in instance.eligible[visit] if instance.arrays.eligible[visit, shift]]


def in_order(draft: Draft, visit: int, route: DraftRoute) -> bool:
    """Return whether the visit, put into the route, keeps to what it follows there, and to what follows it."""
    visits = draft.instance.problem.visits
    starts = {visits[one].id: start for one, start in zip(route.visits, route.starts(), strict=True)}
    for one in route.visits:
        relation = visits[one].follows
        if relation is None or relation.visit not in starts or (one != visit and relation.visit != visits[visit].id):
            continue
        before = next(other for other in route.visits if visits[other].id == relation.visit)
        gap = starts[visits[one].id] - starts[relation.visit] - visits[before].duration
        if gap < relation.least_gap or (relation.most_gap is not None and gap > relation.most_gap):
            return False
    return True


def _first_of_each_shift(ranked: list[Insertion]) -> list[Insertion]:
    best: dict[int, Insertion] = {}
    for one in ranked:
        best.setdefault(one.shift, one)
    return list(best.values())


def _keeps_others(draft: Draft, old: DraftRoute, new: DraftRoute) -> bool:
    """Return whether every visit of `old` that keeps its commitment, or its promise, still does in `new`."""
    starts = dict(zip(new.visits, new.starts(), strict=True))
    for visit, before in zip(old.visits, old.starts(), strict=True):
        data, after = draft.instance.visits[visit], starts[visit]
        if before <= data.due < after or before <= data.promise_end < after:
            return False
    return True


def _proposal(draft: Draft, insertion: Insertion) -> Proposal:
    instance, shift = draft.instance, insertion.shift
    visits = instance.problem.visits
    old = [route_of(instance, shift, draft.routes[shift].visits)] if draft.routes[shift].visits else []
    new = route_of(instance, shift, insertion.route.visits)
    stop = new.stops[insertion.position]
    return Proposal(
        visit=visits[insertion.visit].id,
        shift=new.shift,
        position=insertion.position,
        start=stop.start,
        late_seconds=stop.late_seconds,
        promise_late_seconds=stop.promise_late_seconds,
        added_cost=insertion.added,
        added_travel_seconds=driving([new]) - driving(old),
        added_overtime_seconds=overtime([new]) - overtime(old),
        moved=moved(instance.problem, old, [new]),
        route=new,
    )


def moved(problem: Problem, old: Sequence[Route], new: Sequence[Route]) -> tuple[Moved, ...]:
    """Return the visits that are in `old` and in `new` routes of the same shifts, and start at another time."""
    visits = {visit.id: visit for visit in problem.visits}
    starts = {(route.shift, stop.visit): stop.start for route in new for stop in route.stops}
    return tuple(
        Moved(
            visit=stop.visit, shift=route.shift, start_before=stop.start, start_after=after,
            told=told_anew(visits[stop.visit], route.shift, after, problem.prices),
        )
        for route in old
        for stop in route.stops
        if (after := starts.get((route.shift, stop.visit), stop.start)) != stop.start
    )  # fmt: skip


def _late(problem: Problem, draft: Draft, routes: Sequence[Route], plan: Plan) -> tuple[Late, ...]:
    """Return the late visits of a draft with these routes: those of `plan` with their reasons, the others explained."""
    known = {late.visit: late.reasons for late in plan.late}
    visits = draft.instance.problem.visits
    news = frozenset(index for index, visit in enumerate(visits) if visit.id not in known)
    found = {late.visit: late for late in Explainer(empty_draft(draft.instance), draft).late(news)}
    for late in late_of(routes):
        if late.visit in known:
            found[late.visit] = msgspec.structs.replace(late, reasons=known[late.visit])
    return tuple(found[visit.id] for visit in problem.visits if visit.id in found)
