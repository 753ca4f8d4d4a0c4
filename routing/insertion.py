"""An urgent visit into a plan in force: one route changes, nobody else's commitment is broken.

`propose` ranks the places, `insert` makes one of them part of the plan. Both simulate exactly and take milliseconds.
"""

import msgspec

from routing.assemble import assembled, route_of
from routing.draft import Draft, DraftRoute, empty_draft, simulate_route
from routing.explain import Explainer
from routing.finish import passed
from routing.instance import prepare
from routing.plan import Late, Plan, Route
from routing.problem import Problem, ProblemError
from routing.scan import Insertion, candidates, inserted
from routing.validate import validate

MAX_PROPOSALS = 20


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Another visit of the same route that would start at another time."""

    visit: str
    start_before: int
    start_after: int


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One place for the urgent visit: on `shift`, as stop number `position` (from 0), starting at `start`.

    `added_cost` is in the unit of `Prices`; `added_travel_seconds` may be negative where travel is not a metric.
    """

    visit: str
    shift: str
    position: int
    start: int
    late_seconds: int
    added_cost: int
    added_travel_seconds: int
    moved: tuple[Moved, ...]
    route: Route


def propose(problem: Problem, plan: Plan, visit: str, *, limit: int = 5) -> tuple[Proposal, ...]:
    """Return up to `limit` places for the unplanned `visit`, cheapest first; none when nothing fits.

    A place is offered only when every other visit that keeps its commitment or its promised window still does, and
    frozen visits stay. `plan` is a legal plan of `problem`, with `visit` unplanned or not in it at all. Raises
    `ProblemError` 'visit_unknown', 'visit_planned' or 'plan_contradicts_problem'.
    """
    draft, index = _draft_of(problem, plan, visit)
    found: list[Insertion] = []
    limit = max(1, min(limit, MAX_PROPOSALS))
    for bound, shift, position in candidates(draft, index):
        if len(found) == limit and bound >= found[-1].added:
            break
        route = inserted(draft, index, shift, position)
        if route is None or not _keeps_others(draft, draft.routes[shift], route):
            continue
        insertion = Insertion(index, shift, position, route, route.price - draft.routes[shift].price)
        found = sorted([*found, insertion], key=lambda one: (one.added, one.shift, one.position))[:limit]
    return tuple(_proposal(draft, insertion) for insertion in found)


def insert(problem: Problem, plan: Plan, proposal: Proposal) -> Plan:
    """Return `plan` with `proposal` carried out; one route differs. The referee has passed it.

    Raises `ProblemError` 'plan_contradicts_problem' when the proposal does not fit the plan any more.
    """
    draft, visit = _draft_of(problem, plan, proposal.visit)
    shift = next((index for index, day in enumerate(problem.shifts) if day.id == proposal.shift), None)
    route = None
    if shift in draft.instance.eligible[visit] and 0 <= proposal.position <= len(draft.routes[shift].visits):
        route = inserted(draft, visit, shift, proposal.position)
    if shift is None or route is None:
        raise ProblemError("plan_contradicts_problem", f"proposal for '{proposal.visit}'", detail=proposal.shift)
    draft.replace(shift, route)
    routes, cost = assembled(draft)
    return passed(
        draft,
        msgspec.structs.replace(
            plan,
            routes=routes,
            cost=cost,
            unplanned=tuple(one for one in plan.unplanned if one.visit != proposal.visit),
            late=_late(draft, plan),
        ),
    )


def _draft_of(problem: Problem, plan: Plan, visit: str) -> tuple[Draft, int]:
    """Return the draft that equals `plan`, and the index of the unplanned `visit`."""
    validate(problem)
    index = {known.id: number for number, known in enumerate(problem.visits)}
    if visit not in index:
        raise ProblemError("visit_unknown", f"visit '{visit}'")
    draft = empty_draft(prepare(problem))
    shifts = {shift.id: number for number, shift in enumerate(problem.shifts)}
    for planned in plan.routes:
        names = [stop.visit for stop in planned.stops]
        known = planned.shift in shifts and all(name in index for name in names)
        route = (
            simulate_route(draft.instance, shifts[planned.shift], [index[name] for name in names]) if known else None
        )
        if route is None:
            raise ProblemError("plan_contradicts_problem", f"route '{planned.shift}'", detail=", ".join(names))
        draft.replace(shifts[planned.shift], route)
    if index[visit] not in draft.unplanned:
        raise ProblemError("visit_planned", f"visit '{visit}'")
    return draft, index[visit]


def _keeps_others(draft: Draft, old: DraftRoute, new: DraftRoute) -> bool:
    """Return whether every visit of `old` that keeps its commitment, or its promise, still does in `new`."""
    starts = dict(zip(new.visits, new.starts(), strict=True))
    for visit, before in zip(old.visits, old.starts(), strict=True):
        data, after = draft.instance.visits[visit], starts[visit]
        if before <= data.due < after or before <= data.promise_end < after:
            return False
    return True


def _proposal(draft: Draft, insertion: Insertion) -> Proposal:
    instance, old = draft.instance, draft.routes[insertion.shift]
    visits = instance.problem.visits
    starts = dict(zip(insertion.route.visits, insertion.route.starts(), strict=True))
    data, start = instance.visits[insertion.visit], starts[insertion.visit]
    return Proposal(
        visit=visits[insertion.visit].id,
        shift=instance.problem.shifts[insertion.shift].id,
        position=insertion.position,
        start=start,
        late_seconds=max(0, start - data.due),
        added_cost=insertion.added,
        added_travel_seconds=insertion.route.work - old.work - data.duration,
        moved=tuple(
            Moved(visit=visits[visit].id, start_before=before, start_after=starts[visit])
            for visit, before in zip(old.visits, old.starts(), strict=True)
            if before != starts[visit]
        ),
        route=route_of(instance, insertion.shift, insertion.route.visits),
    )


def _late(draft: Draft, plan: Plan) -> tuple[Late, ...]:
    """Return the late visits of `draft`: those of `plan` with their reasons, and what is newly late explained."""
    known = {late.visit: late.reasons for late in plan.late}
    visits = draft.instance.problem.visits
    news = frozenset(index for index, visit in enumerate(visits) if visit.id not in known)
    found = {late.visit: late for late in Explainer(empty_draft(draft.instance), draft).late(news)}
    for route in draft.routes:
        for visit, start in zip(route.visits, route.starts(), strict=True):
            name, due = visits[visit].id, draft.instance.visits[visit].due
            if name in known and start > due:
                found[name] = Late(visit=name, late_seconds=start - due, reasons=known[name])
    return tuple(found[visit.id] for visit in visits if visit.id in found)
