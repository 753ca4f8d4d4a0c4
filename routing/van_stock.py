"""Whose van keeps which parts: a visit may start before its parts are at hand only with the technician who has them.

What is in vans is shared out once, before anything is planned: dearest visits first, each to somebody able who has all
it needs, whoever has the most of it over. What one visit takes is not there for another.
"""

from routing.problem import Problem, Visit


def stocked(problem: Problem) -> dict[str, str]:
    """Return the technician whose van keeps the parts of a visit, by the visit's id, for those that have one."""
    if not problem.van_stock:
        return {}
    left: dict[str, dict[str, int]] = {}
    for stock in problem.van_stock:
        van = left.setdefault(stock.technician, {})
        van[stock.part] = van.get(stock.part, 0) + stock.quantity
    skills: dict[str, set[str]] = {}
    for shift in problem.shifts:
        skills.setdefault(shift.technician, set()).update(shift.skills)
    chosen: dict[str, str] = {}
    waiting = [visit for visit in problem.visits if visit.parts and visit.parts_ready != 0 and visit.technicians == 1]
    for visit in sorted(waiting, key=lambda visit: (visit.priority, visit.commitment_due or 0, visit.id)):
        able = [
            technician
            for technician in sorted(left.keys() & skills.keys())
            if _may(visit, technician, skills[technician]) and _has(left[technician], visit)
        ]
        if able:
            keeper = max(able, key=lambda technician: _spare(left[technician], visit))
            chosen[visit.id] = keeper
            for need in visit.parts:
                left[keeper][need.part] -= need.quantity
    return chosen


def _may(visit: Visit, technician: str, skills: set[str]) -> bool:
    if visit.previous is not None and visit.frozen:
        return False
    pinned = None if visit.pin is None else visit.pin.technician
    allowed = visit.allowed_technicians is None or technician in visit.allowed_technicians
    excluded = technician in visit.forbidden_technicians or pinned not in {None, technician}
    return set(visit.skills) <= skills and allowed and not excluded


def _has(van: dict[str, int], visit: Visit) -> bool:
    return all(van.get(need.part, 0) >= need.quantity for need in visit.parts)


def _spare(van: dict[str, int], visit: Visit) -> int:
    return min(van[need.part] - need.quantity for need in visit.parts)
