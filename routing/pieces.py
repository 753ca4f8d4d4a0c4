"""The plans of the pieces of a problem (`routing.cutting`), joined into a plan of the whole."""

from collections.abc import Sequence
from typing import Final

import msgspec

from routing.areas import cut_along_routes, mapped
from routing.draft import empty_draft, simulate_route
from routing.explain import NO_TURN
from routing.finish import Piece, finished
from routing.limits import AREA_VISITS, WHOLE_VISITS
from routing.plan import Plan, Status
from routing.problem import Problem, ProblemError, coupled
from routing.redraft import draft_of, kept_in_vans

WORST_FIRST: Final[tuple[Status, ...]] = ("cancelled", "seconds", "solutions", "complete")
"""What a joined plan says of its search: how that piece's ended which was cut off soonest."""


def join(problem: Problem, plans: Sequence[Plan], seed: int, *, at_once: int = WHOLE_VISITS) -> Plan:
    """Return the plan of `problem` that has every route of `plans`, explained and priced as a plan of the whole.

    Crews start when their piece has them start, and who has something in the van there has it here. More visits than
    `at_once` are joined area by area: tables of their legs are small, and no reason was tried beyond its area. Raises
    `ProblemError` 'plan_contradicts_problem' for a route that the whole does not allow. The referee passed it.
    """
    whole = msgspec.structs.replace(plans[0], routes=tuple(route for plan in plans for route in plan.routes))
    if coupled(problem) or len(problem.visits) <= at_once or not whole.routes:
        draft = draft_of(problem, whole)
        pieces = [Piece(empty_draft(draft.instance), draft, _not_looked_at(problem, plans))]
    else:
        pieces = _by_area(problem, whole)
    solutions, ends = sum(plan.solutions for plan in plans), list[Status](plan.status for plan in plans)
    return finished(problem, pieces, status=min(ends, key=WORST_FIRST.index), seed=seed, solutions=solutions)


def _not_looked_at(problem: Problem, plans: Sequence[Plan]) -> frozenset[int]:
    """Return the visits for which no piece had time to look for a place."""
    said = [one for plan in plans for one in (*plan.unplanned, *plan.late)]
    names = {one.visit for one in said if NO_TURN in one.reasons}
    return frozenset(index for index, visit in enumerate(problem.visits) if visit.id in names)


def _by_area(problem: Problem, plan: Plan) -> list[Piece]:
    """Return the drafts of neighbourhoods of the plan's routes, each with a table of its own legs only."""
    shifts = {shift.id: number for number, shift in enumerate(problem.shifts)}
    visits = {visit.id: number for number, visit in enumerate(problem.visits)}
    orders: list[list[int]] = [[] for _ in problem.shifts]
    for route in plan.routes:
        if route.shift not in shifts or any(stop.visit not in visits for stop in route.stops):
            raise _contradiction(route.shift)
        orders[shifts[route.shift]] = [visits[stop.visit] for stop in route.stops]
    planned = {visit for order in orders for visit in order}
    left_out = [visit for visit in visits.values() if visit not in planned]
    kept = kept_in_vans(problem, {shifts[route.shift]: route for route in plan.routes}, dict(enumerate(orders)))
    plane, pieces = mapped(problem, kept), list[Piece]()
    for members in cut_along_routes(plane, orders, left_out, AREA_VISITS, 0):
        area = plane.area(*members)
        base = empty_draft(area.instance)
        draft = base.copy()
        for shift, order in enumerate(area.own(orders)):
            driven = simulate_route(area.instance, shift, order)
            if driven is None:
                raise _contradiction(area.instance.problem.shifts[shift].id)
            draft.replace(shift, driven)
        pieces.append(Piece(base, draft))
    return pieces


def _contradiction(shift: str) -> ProblemError:
    return ProblemError("plan_contradicts_problem", f"route '{shift}'", detail=shift)
