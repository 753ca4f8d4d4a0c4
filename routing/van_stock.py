"""Whose van keeps which parts: a visit may start before its parts are at hand only with the technician who has them.

What is in vans is shared out once, before anything is planned: first to visits whose parts come too late for the
horizon, then to those that could wait, dearest first, each to somebody able who has all it needs, whoever has the most
of it over. What one visit takes is not there for another.
"""

from routing.eligible import exclusion
from routing.problem import Problem, Shift, Visit, horizon_end


def stocked(problem: Problem) -> dict[str, str]:
    """Return the technician whose van keeps the parts of a visit, by the visit's id, for those that have one."""
    if not problem.van_stock:
        return {}
    left: dict[str, dict[str, int]] = {}
    for stock in problem.van_stock:
        van = left.setdefault(stock.technician, {})
        van[stock.part] = van.get(stock.part, 0) + stock.quantity
    shifts: dict[str, list[Shift]] = {}
    for shift in problem.shifts:
        shifts.setdefault(shift.technician, []).append(shift)
    chosen: dict[str, str] = {}
    waiting = [visit for visit in problem.visits if visit.parts and visit.parts_ready != 0 and visit.technicians == 1]
    horizon = horizon_end(problem)

    def need(visit: Visit) -> tuple[bool, bool, int, int, str]:
        waits = visit.parts_ready is not None and visit.parts_ready < horizon
        due = horizon if visit.commitment_due is None else visit.commitment_due
        return waits, visit.pin is None, visit.priority, due, visit.id

    for visit in sorted(waiting, key=need):
        able = [
            technician
            for technician in sorted(left.keys() & shifts.keys())
            if any(_may(visit, shift) for shift in shifts[technician]) and _has(left[technician], visit)
        ]
        if able:
            keeper = max(able, key=lambda technician: _spare(left[technician], visit))
            chosen[visit.id] = keeper
            for part in visit.parts:
                left[keeper][part.part] -= part.quantity
    return chosen


def _may(visit: Visit, shift: Shift) -> bool:
    return not visit.frozen and exclusion(visit, shift) is None and shift.end + shift.overtime_allowed > visit.earliest


def _has(van: dict[str, int], visit: Visit) -> bool:
    return all(van.get(need.part, 0) >= need.quantity for need in visit.parts)


def _spare(van: dict[str, int], visit: Visit) -> int:
    return min(van[need.part] - need.quantity for need in visit.parts)
