"""Lots: a few neighbouring shifts with their visits, chosen for one round and put into the solver's terms."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from routing.draft import Draft, DraftRoute
from routing.instance import FOREVER
from routing.ortools.model import Departure, Lot
from routing.reach import bounding_seconds, earliest_starts
from routing.simulate import first_open
from routing.stop import Budget

LOT_VISITS: Final = (25, 40)
"""Visits of a lot; one of these is drawn for each round."""
LOT_SHIFTS: Final = 20
LOT_UNPLANNED: Final = 15
TROUBLE_CHANCE: Final = 0.5
"""How often a lot is laid around a visit that is late or left out, while there are such."""
EAGER_CHANCE: Final = 0.25
"""How often the solver may plan as if there were no breaks; otherwise shifts begin later by their breaks."""
DAY_WEIGHTS: Final = (0.0, 0.01, 0.03)
"""How many seconds of distance one second between two shifts' begins counts as, when neighbours are chosen."""


@dataclass(frozen=True, slots=True)
class Search:
    """What all rounds share. `deadlines`: the commitments somebody can keep; `hopeless`: visits nobody can do."""

    base: Draft
    deadlines: dict[int, int]
    hopeless: frozenset[int]
    budget: Budget
    rng: random.Random


def begin(base: Draft, budget: Budget, rng: random.Random) -> Search:
    """Return the search over the draft that holds the frozen visits only."""
    instance = base.instance
    starts = earliest_starts(base, bounding_seconds(instance))
    deadlines = {
        visit.index: visit.due for visit in instance.visits if visit.due < FOREVER and starts[visit.index] <= visit.due
    }
    hopeless = frozenset(visit for visit in base.unplanned if starts[visit] == FOREVER)
    return Search(base, deadlines, hopeless, budget, rng)


def cold_lot(search: Search, shifts: Sequence[int], visits: Sequence[int]) -> Lot:
    """Return the lot of `shifts` and `visits`, nothing planned on them yet."""
    return Lot(
        shifts=tuple(shifts),
        departures=tuple(departure(search.base, shift, delayed=True) for shift in shifts),
        visits=tuple(visits),
        deadlines=search.deadlines,
    )


def warm_lot(search: Search, draft: Draft) -> tuple[Lot, list[list[int]]]:
    """Return a lot and its routes, frozen visits left aside, as far as the solver's model allows them.

    The model leaves breaks out: a shift begins later by its breaks, or, where its route would not fit any more, as if
    it had none.
    """
    instance, shifts = draft.instance, neighbours(search, draft)
    may_delay = search.rng.random() >= EAGER_CHANCE
    visits: list[int] = []
    departures: list[Departure] = []
    routes: list[list[int]] = []
    for shift in shifts:
        free = draft.routes[shift].visits[len(instance.frozen[shift]) :]
        leaving = departure(search.base, shift, delayed=may_delay)
        route = _allowed(search, shift, leaving, free)
        if len(route) < len(free) and may_delay:
            leaving = departure(search.base, shift, delayed=False)
            route = _allowed(search, shift, leaving, free)
        visits += free
        departures.append(leaving)
        routes.append(route)
    lot = Lot(
        shifts=tuple(shifts),
        departures=tuple(departures),
        visits=(*visits, *_offered(search, draft, shifts)),
        deadlines=search.deadlines,
    )
    return lot, routes


def departure(base: Draft, shift: int, *, delayed: bool) -> Departure:
    """Return where and when the part of `shift` behind its frozen visits begins; `delayed`: by all its breaks."""
    day, route = base.instance.shifts[shift], base.routes[shift]
    label = min(route.stages[-1], key=lambda label: label.time)
    rest = sum(pause.duration for pause in day.pauses[label.taken :]) if delayed else 0
    place = base.instance.visits[route.visits[-1]].place if route.visits else day.start_place
    return Departure(place, min(label.time + rest, day.last))


def _offered(search: Search, draft: Draft, shifts: list[int]) -> list[int]:
    """Return some of the visits left out that one of `shifts` may take."""
    eligible = draft.instance.eligible
    offered = sorted(
        visit for visit in draft.unplanned - search.hopeless if not set(eligible[visit]).isdisjoint(shifts)
    )
    return sorted(search.rng.sample(offered, min(LOT_UNPLANNED, len(offered))))


def _allowed(search: Search, shift: int, leaving: Departure, visits: Sequence[int]) -> list[int]:
    """Return `visits` without those that the solver's model excludes on this shift: late ones, or for the delay."""
    instance = search.base.instance
    day = instance.shifts[shift]
    time, place = leaving.time, leaving.place
    allowed: list[int] = []
    for visit in visits:
        data = instance.visits[visit]
        start = first_open(data, time + instance.seconds[place][data.place])
        if start is None or start > search.deadlines.get(visit, FOREVER):
            continue
        if start + data.duration + instance.seconds[data.place][day.end_place] > day.last:
            continue
        time, place = start + data.duration, data.place
        allowed.append(visit)
    return allowed


def neighbours(search: Search, draft: Draft) -> list[int]:
    """Return the shifts of a lot: around a visit in trouble every other time, else around some shift."""
    rng = search.rng
    if rng.random() < TROUBLE_CHANCE:
        trouble = troubled(search, draft)
        if trouble:
            return _around_visit(search, draft, rng.choice(trouble))
    return _around_shift(draft, rng.randrange(len(draft.routes)), rng)


def troubled(search: Search, draft: Draft) -> list[int]:
    """Return the visits that are left out or late though somebody could do better by them."""
    late = {visit for route in draft.routes for visit in late_visits(draft, route)}
    return sorted((late & set(search.deadlines)) | (draft.unplanned - search.hopeless))


def _around_visit(search: Search, draft: Draft, visit: int) -> list[int]:
    """Return shifts that could do `visit` by its commitment, near ones first, and the one it is on now."""
    instance, rng = draft.instance, search.rng
    here, due = instance.visits[visit].place, search.deadlines.get(visit, FOREVER)
    now = [shift for shift, route in enumerate(draft.routes) if visit in route.visits]
    able = [shift for shift in instance.eligible[visit] if instance.shifts[shift].start <= due and shift not in now]

    def distance(shift: int) -> float:
        return instance.seconds[_representative(draft, shift, rng)][here] * (0.3 + rng.random())

    return _grown(draft, now, sorted((distance(shift), shift) for shift in able), rng)


def _around_shift(draft: Draft, seed: int, rng: random.Random) -> list[int]:
    """Return `seed` and the shifts near it in space and time, with some chance."""
    instance = draft.instance
    centre = _representative(draft, seed, rng)
    weight = rng.choice(DAY_WEIGHTS)
    begins = instance.shifts[seed].start

    def distance(shift: int) -> float:
        apart = abs(instance.shifts[shift].start - begins)
        away = instance.seconds[centre][_representative(draft, shift, rng)]
        return away * (0.3 + rng.random()) + weight * apart * rng.random()

    others = (shift for shift in range(len(draft.routes)) if shift != seed)
    return _grown(draft, [seed], sorted((distance(shift), shift) for shift in others), rng)


def _grown(draft: Draft, chosen: list[int], near: list[tuple[float, int]], rng: random.Random) -> list[int]:
    """Return `chosen` and as many of the shifts `near` as make up a lot, in order of their index."""
    size = rng.choice(LOT_VISITS)
    visits = sum(len(draft.routes[shift].visits) for shift in chosen)
    for _, shift in near:
        if visits >= size or len(chosen) >= LOT_SHIFTS:
            break
        chosen.append(shift)
        visits += len(draft.routes[shift].visits)
    return sorted(chosen)


def _representative(draft: Draft, shift: int, rng: random.Random) -> int:
    visits = draft.routes[shift].visits
    return draft.instance.visits[rng.choice(visits)].place if visits else draft.instance.shifts[shift].start_place


def late_visits(draft: Draft, route: DraftRoute) -> set[int]:
    """Return the visits of `route` that start after their commitment on its cheapest schedule."""
    starts = route.starts()
    return {
        visit for visit, start in zip(route.visits, starts, strict=True) if start > draft.instance.visits[visit].due
    }
