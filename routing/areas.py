"""Cutting a problem that is too large to search in one piece: first by place, then along the routes there are.

A cut runs along the line that halves the work; its direction turns from round to round, so that visits which lay at a
border once lie in the middle next time.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from routing.eligible import exclusion, rules_about_people
from routing.instance import Instance, Whole, prepare
from routing.limits import FIRST_VISITS
from routing.problem import Problem, horizon_end
from routing.travel import TravelBetween, travel_between
from routing.van_stock import stocked

GOLDEN_ANGLE: Final = math.pi * (3 - math.sqrt(5))
"""Turning by it, no direction comes near an earlier one for long."""
METRES_A_DEGREE: Final = 111_195.0

Points = NDArray[np.float64]
Members: TypeAlias = tuple[list[int], list[int]]
"""The visits and the shifts of an area, as indices."""


@dataclass(frozen=True, slots=True)
class Area:
    """An area of a problem: which of its visits and shifts, as indices, and the instance they make."""

    visits: list[int]
    shifts: list[int]
    instance: Instance

    def own(self, routes: Sequence[Sequence[int]]) -> list[list[int]]:
        """Return what its shifts have in `routes`, which are the problem's, its visits numbered as they are here."""
        number = {visit: own for own, visit in enumerate(self.visits)}
        return [[number[visit] for visit in routes[shift]] for shift in self.shifts]


@dataclass(frozen=True, slots=True)
class Map:
    """A problem laid out on a plane, in metres (or table seconds where places have no coordinates)."""

    problem: Problem
    whole: Whole
    travel: TravelBetween
    places: Points
    visit_place: NDArray[np.intp]
    start_place: NDArray[np.intp]
    end_place: NDArray[np.intp]

    def area(self, visits: Sequence[int], shifts: Sequence[int]) -> Area:
        """Return the area with these visits and shifts."""
        problem = self.problem
        some, days = list(visits), list(shifts)
        columns = (self.visit_place[some], self.start_place[days], self.end_place[days])
        used: list[int] = sorted({place for column in columns for place in column.tolist()})
        alone = msgspec.structs.replace(
            problem,
            places=tuple(problem.places[place] for place in used),
            visits=tuple(problem.visits[visit] for visit in visits),
            shifts=tuple(problem.shifts[shift] for shift in shifts),
        )
        return Area(
            list(visits), list(shifts), prepare(alone, self.whole, self.travel.table(np.array(used, dtype=np.intp)))
        )


def mapped(problem: Problem, kept: Mapping[int, str] | None = None) -> Map:
    """Return the problem laid out; `kept`: as `prepare` has it."""
    index, travel = {place.id: number for number, place in enumerate(problem.places)}, travel_between(problem)
    keepers = {problem.visits[visit].id: keeper for visit, keeper in stocked(problem, kept).items()}
    return Map(
        problem,
        Whole(horizon_end(problem), keepers, _begins(problem, travel)),
        travel,
        _points(problem, travel),
        np.array([index[visit.place] for visit in problem.visits], dtype=np.intp),
        np.array([index[shift.start_place] for shift in problem.shifts], dtype=np.intp),
        np.array([index[shift.end_place] for shift in problem.shifts], dtype=np.intp),
    )


def _begins(problem: Problem, travel: TravelBetween) -> dict[str, int]:
    """Return when shifts begin that frozen visits on the technician's earlier shifts run into, by id."""
    begun = tuple(visit for visit in problem.visits if visit.frozen)
    held = {visit.previous.shift for visit in begun if visit.previous is not None}
    if not held:
        return {}
    shifts = tuple(shift for shift in problem.shifts if shift.id in held)
    used = {visit.place for visit in begun} | {place for one in shifts for place in (one.start_place, one.end_place)}
    places = [index for index, place in enumerate(problem.places) if place.id in used]
    alone = msgspec.structs.replace(
        problem, places=tuple(problem.places[index] for index in places), shifts=shifts, visits=begun
    )
    instance = prepare(alone, travel=travel.table(np.array(places, dtype=np.intp)))
    back = defaultdict[str, list[tuple[int, int]]](list)
    for shift, day in zip(shifts, instance.shifts, strict=True):
        back[shift.technician].append((shift.start, day.last))
    begins: dict[str, int] = {}
    for shift in problem.shifts:
        begin = max((last for start, last in back[shift.technician] if start < shift.start), default=shift.start)
        if begin > shift.start:
            begins[shift.id] = begin
    return begins


def _points(problem: Problem, travel: TravelBetween) -> Points:
    if all(place.latitude is not None and place.longitude is not None for place in problem.places):
        degrees = np.array([(place.latitude, place.longitude) for place in problem.places], dtype=np.float64)
        east = np.cos(np.radians(degrees[:, 0].mean()))
        return degrees * METRES_A_DEGREE * np.array([1.0, east])
    return np.column_stack([_between_far_ends(len(problem.places), travel, start) for start in (0, None)])


def _between_far_ends(size: int, travel: TravelBetween, start: int | None) -> NDArray[np.float64]:
    """Return how much nearer each place is to one far end than to another: a coordinate made of travel alone."""
    everywhere = np.arange(size)

    def seconds_from(place: int) -> NDArray[np.int32]:
        return travel.legs(np.full(size, place), everywhere).seconds

    one = int(seconds_from(start if start is not None else size // 2).argmax())
    other = int(seconds_from(one).argmax())
    return (seconds_from(one) - seconds_from(other)).astype(np.float64)


def first_cut(plane: Map, most: int) -> list[Members]:
    """Cut everything into areas of at most `most` visits, with technicians in proportion; all their shifts together."""
    problem = plane.problem
    order = sorted(range(len(problem.shifts)), key=lambda shift: (problem.shifts[shift].technician, shift))
    shifts_of = [list(own) for _, own in groupby(order, lambda shift: problem.shifts[shift].technician)]
    shifts_of.sort(key=lambda own: sorted(problem.shifts[own[0]].skills))  # halving each kind of skills alike
    homes = plane.places[plane.start_place[[own[0] for own in shifts_of]]] if shifts_of else np.zeros((0, 2))
    areas: list[Members] = []

    def cut(some: NDArray[np.intp], people: NDArray[np.intp]) -> None:
        if len(some) <= most or len(people) < 2:  # noqa: PLR2004
            first, *rest = _chunks(_dearest_first(problem, some.tolist()), most)
            chosen: list[int] = people.tolist()
            areas.append((sorted(first), sorted(shift for one in chosen for shift in shifts_of[one])))
            areas.extend((sorted(left), []) for left in rest)
            return
        points, home = plane.places[plane.visit_place[some]], homes[people]
        axis = int(np.ptp(points, axis=0).argmax())
        ordered, nearest = np.argsort(points[:, axis], kind="stable"), np.argsort(home[:, axis], kind="stable")
        if np.ptp(home[:, axis]) == 0:
            nearest = np.concatenate([nearest[::2], nearest[1::2]])
        half_visits, half_people = len(some) // 2, len(people) // 2
        cut(some[ordered[:half_visits]], people[nearest[:half_people]])
        cut(some[ordered[half_visits:]], people[nearest[half_people:]])

    cut(np.arange(len(problem.visits)), np.arange(len(shifts_of)))
    return _with_their_shifts(problem, areas)


def _with_their_shifts(problem: Problem, areas: list[Members]) -> list[Members]:
    """Return `areas` with every visit that is planned, frozen or pinned already where its shift is."""
    by_shift: dict[str | None, int] = {}
    by_technician: dict[str | None, int] = {}
    for number, (_, shifts) in enumerate(areas):
        for shift in shifts:
            by_shift[problem.shifts[shift].id] = by_technician[problem.shifts[shift].technician] = number
    moved: list[list[int]] = [[] for _ in areas]
    for number, (visits, _) in enumerate(areas):
        for index in visits:
            pin, previous = problem.visits[index].pin, problem.visits[index].previous
            where = None if pin is None else by_shift.get(pin.shift, by_technician.get(pin.technician))
            if where is None and previous is not None:
                where = by_shift.get(previous.shift)
            moved[number if where is None else where].append(index)
    return [(sorted(visits), shifts) for visits, (_, shifts) in zip(moved, areas, strict=True)]


def cut_along_routes(
    plane: Map, routes: Sequence[Sequence[int]], unplanned: Sequence[int], most: int, turn: int
) -> list[Members]:
    """Cut a plan into neighbourhoods of whole routes, of at most about `most` visits; `turn` turns the cuts.

    Empty shifts are dealt out evenly; visits left out go to the nearest route of somebody who may take them, at most
    `most` to an area. What is left then, where there is far more to do than time, and what nobody may take, makes
    areas without shifts.
    """
    used = [shift for shift, route in enumerate(routes) if route]
    centres = np.array([plane.places[plane.visit_place[list(routes[shift])]].mean(axis=0) for shift in used])
    stops = np.array([len(routes[shift]) for shift in used], dtype=np.intp)
    shifts: list[list[int]] = []

    def cut(some: NDArray[np.intp], angle: float) -> None:
        visits = stops[some]
        if visits.sum() <= most or len(some) < 2:  # noqa: PLR2004
            chosen: list[int] = some.tolist()
            shifts.append([used[index] for index in chosen])
            return
        along = centres[some] @ np.array([math.cos(angle), math.sin(angle)])
        ordered = np.argsort(along, kind="stable")
        half = int(np.searchsorted(np.cumsum(visits[ordered]), int(visits.sum()) / 2))
        half = min(max(1, half), len(some) - 1)
        cut(some[ordered[:half]], angle + math.pi / 2)
        cut(some[ordered[half:]], angle + math.pi / 2)

    cut(np.arange(len(used)), turn * GOLDEN_ANGLE)
    visits = [[visit for shift in some for visit in routes[shift]] for some in shifts]
    empty = [shift for shift, route in enumerate(routes) if not route]
    for number, shift in enumerate(empty):
        shifts[(number + turn) % len(shifts)].append(shift)
    area_of = {shift: number for number, some in enumerate(shifts) for shift in some}
    room = [most] * len(shifts)
    left: list[int] = []
    able: dict[Hashable, NDArray[np.bool_]] = {}
    for visit in _dearest_first(plane.problem, unplanned, turn):
        wanted = plane.problem.visits[visit]
        rules = rules_about_people(wanted)
        if rules not in able:
            able[rules] = np.array([exclusion(wanted, shift) is None for shift in plane.problem.shifts])
        away = ((centres - plane.places[plane.visit_place[visit]]) ** 2).sum(axis=1)
        if able[rules][used].any():
            nearest = used[int(np.where(able[rules][used], away, np.inf).argmin())]
        elif able[rules][empty].any():
            nearest = empty[int(able[rules][empty].argmax())]
        else:
            left.append(visit)  # nobody can do it, so it takes nobody's room
            continue
        area = area_of[nearest]
        (visits[area] if room[area] else left).append(visit)
        room[area] = max(0, room[area] - 1)
    areas = [(sorted(some), sorted(days)) for some, days in zip(visits, shifts, strict=True)]
    return areas + [(sorted(chunk), []) for chunk in _chunks(left, FIRST_VISITS) if chunk]


def _dearest_first(problem: Problem, visits: Sequence[int], turn: int = 0) -> list[int]:
    """Return `visits` by their priority; which of several alike comes first changes with `turn`."""
    size = max(1, len(visits))
    shifted = [(index + turn * size // 3) % size for index in range(len(visits))]
    return [
        visits[index]
        for _, _, index in sorted(
            (problem.visits[v].priority, k, i) for i, (v, k) in enumerate(zip(visits, shifted, strict=True))
        )
    ]


def _chunks(visits: list[int], most: int) -> list[list[int]]:
    """Return `visits` in pieces of at most `most`: one empty piece where there are none."""
    return [visits[begin : begin + most] for begin in range(0, max(1, len(visits)), most)]
