"""A plan as a draft, and a draft as a plan."""

from collections.abc import Mapping, Sequence

from routing import arrays as columns
from routing.anchors import Anchors
from routing.assemble import assembled
from routing.differences import late_of
from routing.draft import Draft, empty_draft, simulate_route
from routing.instance import Instance, prepare
from routing.plan import Plan, Route, Unplanned
from routing.problem import Problem, ProblemError, coupled
from routing.stays import apart
from routing.travel import TravelTable
from routing.validate import validate
from routing.van_stock import from_vans


def draft_of(problem: Problem, plan: Plan, *, travel: TravelTable | None = None) -> Draft:
    """Return the draft that equals `plan`; raises `ProblemError` 'plan_contradicts_problem' where it is none.

    Each technician's stay at a visit is a visit of the draft (`routing.stays`), a visit's own index being its first. In
    it visits that depend on others keep to times at which these may stay as they are, and what the plan takes from a
    van stays with that van. `travel` is the table over the problem's places, where it is known already.
    """
    validate(problem)
    stays = apart(problem)
    numbers = {shift.id: number for number, shift in enumerate(problem.shifts)}
    planned = {numbers[route.shift]: route for route in plan.routes if route.shift in numbers}
    if len(planned) < len(plan.routes):
        raise ProblemError("plan_contradicts_problem", "routes", detail=", ".join(one.shift for one in plan.routes))
    seats = stays.seated({shift: [stop.visit for stop in route.stops] for shift, route in planned.items()})
    instance = prepare(stays.problem, travel=travel, kept=kept_in_vans(problem, planned, seats))
    draft = empty_draft(instance)
    anchors = Anchors(stays, instance) if coupled(problem) else None
    if anchors is not None:
        for shift, route in planned.items():
            anchors.fix(dict(zip(seats[shift], (stop.start for stop in route.stops), strict=True)))
    for shift, visits in seats.items():
        route = simulate_route(instance, shift, visits)
        if route is None:
            names = ", ".join(stop.visit for stop in planned[shift].stops)
            raise ProblemError("plan_contradicts_problem", f"route '{planned[shift].shift}'", detail=names)
        draft.replace(shift, route)
    if anchors is not None:
        anchors.offer(draft)
    return draft


def kept_in_vans(problem: Problem, planned: Mapping[int, Route], seats: Mapping[int, Sequence[int]]) -> dict[int, str]:
    """Return who has the parts of which stay in the van, as the plan has it."""
    taken = from_vans(problem, planned.values())
    return {
        stay: route.technician
        for shift, route in planned.items()
        for stay, stop in zip(seats[shift], route.stops, strict=True)
        if (stop.visit, route.shift) in taken
    }


def plan_of(draft: Draft) -> Plan:
    """Return the draft as a plan without reasons."""
    routes, cost = assembled(draft)
    instance = draft.instance
    return Plan(
        status="complete", seed=0, routes=routes, cost=cost, late=late_of(routes), unplanned=left_out(draft),
        travel_source=instance.travel.source, travel_estimated=instance.travel.estimated,
    )  # fmt: skip


def left_out(draft: Draft) -> tuple[Unplanned, ...]:
    """Return the visits of which no stay is in a route, without reasons."""
    visits = draft.instance.problem.visits
    planned = {visits[index].id for route in draft.routes for index in route.visits}
    names = dict.fromkeys(visits[index].id for index in sorted(draft.unplanned))
    return tuple(Unplanned(visit=name, reasons=()) for name in names if name not in planned)


def unbound(instance: Instance) -> Instance:
    """Return the instance of a draft without the times that bind visits to each other."""
    free = prepare(instance.problem, travel=instance.travel)
    kept = [columns.STOCKED, columns.RELEASE]
    free.arrays.visit[:, kept] = instance.arrays.visit[:, kept]
    return free
