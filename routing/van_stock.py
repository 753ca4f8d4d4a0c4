"""Whose van keeps which parts: a visit may start before its parts are at hand only with the technician who has them.

What is in vans is shared out once, before anything is planned: to what the plan in force has there already, then to
visits whose parts come too late for the horizon, then to those that could wait, dearest first, each to somebody able
who has all it needs, whoever has the most of it over. What one visit takes is not there for another.
"""

from collections.abc import Iterable, Mapping

from routing.eligible import exclusion
from routing.plan import Route
from routing.problem import Problem, Shift, Visit, horizon_end


def stocked(problem: Problem, kept: Mapping[int, str] | None = None) -> dict[int, str]:
    """Return the technician whose van keeps the parts of a visit, by the visit's index, for those that have one.

    `kept`: visits that have theirs from somebody already, before all others.
    """
    if not problem.van_stock:
        return {}
    left: dict[str, dict[str, int]] = {}
    for stock in problem.van_stock:
        van = left.setdefault(stock.technician, {})
        van[stock.part] = van.get(stock.part, 0) + stock.quantity
    shifts: dict[str, list[Shift]] = {}
    for shift in problem.shifts:
        shifts.setdefault(shift.technician, []).append(shift)
    technicians, horizon = {shift.id: shift.technician for shift in problem.shifts}, horizon_end(problem)
    chosen: dict[int, str] = {}

    def need(index: int) -> tuple[bool, bool, bool, bool, int, int, str, int]:
        visit = problem.visits[index]
        waits = visit.parts_ready is not None and visit.parts_ready < horizon
        due = horizon if visit.commitment_due is None else visit.commitment_due
        planned = index in known, _before_parts(visit)
        return not planned[0], not planned[1], waits, visit.pin is None, visit.priority, due, visit.id, index

    known = kept or {}
    for index in sorted((index for index, visit in enumerate(problem.visits) if _asks(visit)), key=need):
        visit = problem.visits[index]
        able = [
            technician
            for technician in sorted(left.keys() & shifts.keys())
            if any(_may(visit, shift) for shift in shifts[technician]) and _has(left[technician], visit)
        ]
        before = technicians.get(visit.previous.shift) if visit.previous is not None else None
        own = next((one for one in (known.get(index), before) if one in able), None)
        if able:
            keeper = own or max(able, key=lambda technician: _spare(left[technician], visit))
            chosen[index] = keeper
            for part in visit.parts:
                left[keeper][part.part] -= part.quantity
    return chosen


def from_vans(problem: Problem, routes: Iterable[Route]) -> set[tuple[str, str]]:
    """Return (visit, shift) of every stop of `routes` that begins before the parts are at hand otherwise."""
    asking = {visit.id: visit for visit in problem.visits if _asks(visit)}
    return {
        (stop.visit, route.shift)
        for route in routes
        for stop in route.stops
        if stop.visit in asking and _before(asking[stop.visit], stop.start)
    }


def _asks(visit: Visit) -> bool:
    return bool(visit.parts) and visit.parts_ready != 0 and not visit.frozen


def _before(visit: Visit, start: int) -> bool:
    return visit.parts_ready is None or start < visit.parts_ready


def _before_parts(visit: Visit) -> bool:
    """Return whether the plan in force has the visit begin before its parts are at hand otherwise."""
    return visit.previous is not None and _before(visit, visit.previous.start)


def _may(visit: Visit, shift: Shift) -> bool:
    return not visit.frozen and exclusion(visit, shift) is None and shift.end + shift.overtime_allowed > visit.earliest


def _has(van: dict[str, int], visit: Visit) -> bool:
    return all(van.get(need.part, 0) >= need.quantity for need in visit.parts)


def _spare(van: dict[str, int], visit: Visit) -> int:
    return min(van[need.part] - need.quantity for need in visit.parts)
