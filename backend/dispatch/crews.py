"""Who of those that a plan sends to one visit leads it."""

from collections.abc import Mapping
from typing import NamedTuple

from routing.plan import Plan, Route, Stop
from routing.problem import Problem, Shift, Visit


class Part(NamedTuple):
    """One technician's part in a visit."""

    route: Route
    stop: Stop


def crews(problem: Problem, plan: Plan) -> dict[str, list[Part]]:
    """Return the parts in each visit a plan serves, in the order of the plan, but who leads it first.

    That is who it is pinned to, who leads it by the plan in force, who is preferred there, or else the first.
    """
    found: dict[str, list[Part]] = {}
    for route in plan.routes:
        for stop in route.stops:
            found.setdefault(stop.visit, []).append(Part(route, stop))
    shifts = {shift.id: shift for shift in problem.shifts}
    for visit in problem.visits:
        if len(found.get(visit.id, ())) > 1:
            found[visit.id].sort(key=lambda part: _rank(visit, part.route, shifts))
    return found


def _rank(visit: Visit, route: Route, shifts: Mapping[str, Shift]) -> tuple[bool, bool, bool]:
    pin, led = visit.pin, None if visit.previous is None else visit.previous.shift
    pinned = pin is not None and (pin.shift == route.shift or pin.technician == route.technician)
    there = led is not None and led in shifts and shifts[led].technician == route.technician
    return not pinned, not there, visit.preferred_technician != route.technician
