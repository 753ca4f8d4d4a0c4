"""One problem cut into pieces that can be planned apart; `routing.pieces` joins their plans.

Technicians stay with their own group's visits; that is what is given up for planning the groups at the same time, on
several machines. What would make a piece worse than it must be is not cut through: see `groups_kept`.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from routing.problem import GivenTravel, Problem, Shift, Visit

REST: Final = ""
"""The group of what belongs to no other."""


def cut(problem: Problem, groups: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return the pieces of `problem`; only itself where it cannot be cut.

    `groups` names the group of each shift and each visit by id; what it leaves out is in the group REST. Every shift
    and every visit is in exactly one piece. A budget of changes is one for all, so such a problem stays whole.
    """
    if problem.most_changes is not None:
        return (problem,)
    kept = groups_kept(problem, groups)
    names = sorted({kept[shift.id] for shift in problem.shifts})
    if len(names) < 2:  # noqa: PLR2004 - one piece is the whole
        return (problem,)
    return tuple(_piece(problem, kept, name) for name in names)


def groups_kept(problem: Problem, groups: Mapping[str, str]) -> dict[str, str]:
    """Return the group of each shift and visit such that a piece has what its visits need.

    A technician's shifts are in one group. A visit goes where its pin, its plan in force or the technicians it allows
    are, else to its own group; where nobody there has its skills, to the largest group where somebody has. Visits that
    follow each other are in one group, whose pieces become one. Groups without shifts join REST, or the largest.
    """
    shifts = _shift_groups(problem, groups)
    by_group: defaultdict[str, list[Shift]] = defaultdict(list)
    for shift in problem.shifts:
        by_group[shifts[shift.id]].append(shift)
    largest_first = sorted(by_group, key=lambda name: (-len(by_group[name]), name))
    technicians = {shift.technician: shifts[shift.id] for shift in problem.shifts}
    kept = dict(shifts)
    for visit in problem.visits:
        tied = _tied(visit, shifts, technicians)  # REST is empty, and a group all the same
        kept[visit.id] = _able(visit, groups.get(visit.id, REST) if tied is None else tied, by_group, largest_first)
    return _united(problem, kept)


def _shift_groups(problem: Problem, groups: Mapping[str, str]) -> dict[str, str]:
    first: dict[str, str] = {}
    for shift in problem.shifts:
        first.setdefault(shift.technician, groups.get(shift.id, REST))
    return {shift.id: first[shift.technician] for shift in problem.shifts}


def _tied(visit: Visit, shifts: Mapping[str, str], technicians: Mapping[str, str]) -> str | None:
    """Return the group a decision ties the visit to, if one does."""
    if visit.frozen and visit.previous is not None:
        return shifts.get(visit.previous.shift)
    if visit.pin is not None:
        there = None if visit.pin.shift is None else shifts.get(visit.pin.shift)
        return technicians.get(visit.pin.technician or "") if there is None else there
    allowed = [technicians[name] for name in visit.allowed_technicians or () if name in technicians]
    before = None if visit.previous is None else shifts.get(visit.previous.shift)
    if allowed:
        return before if before in allowed else Counter(allowed).most_common(1)[0][0]
    return before


def _able(visit: Visit, wanted: str, by_group: Mapping[str, Sequence[Shift]], largest_first: Sequence[str]) -> str:
    """Return `wanted`, or the largest group that has enough technicians with the visit's skills where it has not."""
    if visit.frozen or visit.pin is not None:
        return wanted
    need = set(visit.skills)
    for name in (wanted, *largest_first):
        able = {shift.technician for shift in by_group.get(name, ()) if need <= set(shift.skills)}
        if len(able) >= visit.technicians:
            return name
    return wanted


def _united(problem: Problem, kept: dict[str, str]) -> dict[str, str]:
    """Return `kept` with the groups united that hold visits which follow each other, or that have no shifts."""
    united: dict[str, str] = {}

    def root(name: str) -> str:
        while name in united:
            name = united[name]
        return name

    for visit in problem.visits:
        if visit.follows is not None:
            one, other = root(kept[visit.id]), root(kept.get(visit.follows.visit, kept[visit.id]))
            if one != other:
                united[max(one, other)] = min(one, other)
    working = Counter(root(kept[shift.id]) for shift in problem.shifts)
    if working:
        home = root(REST) if root(REST) in working else min(working, key=lambda name: (-working[name], name))
        for name in {root(kept[visit.id]) for visit in problem.visits} - working.keys():
            united[name] = home
    return {key: root(name) for key, name in kept.items()}


def _piece(problem: Problem, kept: Mapping[str, str], name: str) -> Problem:
    shifts = tuple(shift for shift in problem.shifts if kept[shift.id] == name)
    visits = tuple(visit for visit in problem.visits if kept[visit.id] == name)
    used = {place for shift in shifts for place in (shift.start_place, shift.end_place)}
    used |= {visit.place for visit in visits}
    indexes = [index for index, place in enumerate(problem.places) if place.id in used]
    people = {shift.technician for shift in shifts}
    return msgspec.structs.replace(
        problem,
        places=tuple(problem.places[index] for index in indexes),
        shifts=shifts,
        visits=visits,
        travel=_travel(problem.travel, indexes) if isinstance(problem.travel, GivenTravel) else problem.travel,
        van_stock=tuple(stock for stock in problem.van_stock if stock.technician in people),
    )


def _travel(travel: GivenTravel, indexes: Sequence[int]) -> GivenTravel:
    def cut_out(table: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(table[row][column] for column in indexes) for row in indexes)

    return msgspec.structs.replace(travel, seconds=cut_out(travel.seconds), metres=cut_out(travel.metres))
