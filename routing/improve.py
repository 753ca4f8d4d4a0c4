"""The search: a first plan, then rounds that each improve a few neighbouring routes.

A round takes some shifts near each other with their visits (a *lot*), lets the solver improve them, simulates the
answer exactly, puts in what was left out, and keeps the whole when it is cheaper. Small lots make a round take
hundredths of a second, so there are many, the best plan is always at hand, and cancelling is prompt. When rounds stop
helping, some visits are taken out of the lot first, which leads out of local optima.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from routing.draft import Draft, DraftRoute, put_in_order, simulate_route
from routing.instance import FOREVER, Instance
from routing.limits import MODEL_VISITS
from routing.ortools.model import Answer, Departure, Limits, Lot, first_routes, improved_routes
from routing.reach import earliest_starts
from routing.scan import fill, settle
from routing.stop import Budget

LOT_VISITS: Final = (25, 40)
"""Visits of a lot; one of these is drawn for each round."""
LOT_SHIFTS: Final = 20
LOT_UNPLANNED: Final = 15
LOT_SECONDS: Final = 2.0
"""Wall time of one round where the search is bounded by seconds."""
TROUBLE_CHANCE: Final = 0.5
DAY_WEIGHTS: Final = (0.0, 0.01, 0.03)
"""How many seconds of distance one second between two shifts' begins counts as, when neighbours are chosen."""
RUIN_SHARE: Final = 0.4
RUIN_CHANCE: Final = 0.7
STALE_BEFORE_RUIN: Final = 10
"""Rounds without gain after which ruining begins to become likely."""
STALE_ROUNDS: Final = 40
"""Rounds without gain, and as many again for every two shifts in use, after which the search is complete."""


@dataclass(frozen=True, slots=True)
class Search:
    """What all rounds share. `deadlines`: the commitments somebody can keep; `hopeless` visits nobody can do."""

    base: Draft
    deadlines: dict[int, int]
    hopeless: frozenset[int]
    budget: Budget
    rng: random.Random


def begin(base: Draft, budget: Budget, rng: random.Random) -> Search:
    """Return the search over the draft that holds the frozen visits only."""
    instance = base.instance
    starts = earliest_starts(base, instance.seconds)
    deadlines = {
        visit.index: visit.due for visit in instance.visits if visit.due < FOREVER and starts[visit.index] <= visit.due
    }
    hopeless = frozenset(visit for visit in base.unplanned if starts[visit] == FOREVER)
    return Search(base, deadlines, hopeless, budget, rng)


def first_plan(search: Search) -> Draft:
    """Return a first plan: the plan in force with the new visits put in, or where there is none, a built one."""
    base, budget = search.base, search.budget
    free = sorted(base.unplanned - search.hopeless)
    known = sum(1 for visit in free if base.instance.problem.visits[visit].previous is not None)
    draft = _plan_in_force(base) if 2 * known >= len(free) else _built(search, free)
    fill(draft, draft.unplanned - search.hopeless, stop=budget.out_of_time)
    settle(draft, stop=budget.out_of_time)
    return draft


def _plan_in_force(base: Draft) -> Draft:
    """Return the draft that repeats the plan in force as far as it is still legal."""
    draft = base.copy()
    instance = base.instance
    shift_index = {shift.id: index for index, shift in enumerate(instance.problem.shifts)}
    by_shift: dict[int, list[tuple[int, int]]] = {}
    for visit in sorted(base.unplanned):
        previous = instance.problem.visits[visit].previous
        shift = None if previous is None else shift_index.get(previous.shift)
        if previous is not None and shift is not None and shift in instance.eligible[visit]:
            by_shift.setdefault(shift, []).append((previous.start, visit))
    for shift, planned in by_shift.items():
        put_in_order(draft, shift, [visit for _, visit in sorted(planned)])
    return draft


def _built(search: Search, visits: list[int]) -> Draft:
    """Return a plan built by the solver from the frozen visits up, cluster by cluster."""
    draft = search.base.copy()
    shifts = list(range(len(draft.routes)))
    for cluster_visits, cluster_shifts in clusters(draft.instance, visits, shifts):
        if search.budget.spent():
            break
        lot = _lot(search, draft, cluster_shifts, cluster_visits, delayed=True)
        answer = first_routes(draft.instance, lot, _limits(search.budget, search.budget.seconds_left))
        if answer is not None:
            search.budget.solutions += answer.solutions
            take_over(draft, lot.shifts, answer.routes)
    return draft


def clusters(instance: Instance, visits: list[int], shifts: list[int]) -> list[tuple[list[int], list[int]]]:
    """Cut visits and shifts into neighbourhoods of at most MODEL_VISITS visits, by halving along the longest way.

    All shifts of a technician stay together; each half gets technicians in proportion to its visits.
    """
    technicians = _by_technician(instance, shifts)
    if len(visits) <= MODEL_VISITS or len(technicians) < 2:  # noqa: PLR2004
        return [(visits, shifts)]
    place = {visit: instance.visits[visit].place for visit in visits}
    seconds = instance.seconds
    one = max(place.values(), key=lambda there: (seconds[place[visits[0]]][there], there))
    other = max(place.values(), key=lambda there: (seconds[one][there], there))

    def nearer(there: int) -> int:
        return seconds[one][there] - seconds[other][there]

    ordered = sorted(visits, key=lambda visit: (nearer(place[visit]), visit))
    crews = sorted(technicians, key=lambda crew: (nearer(instance.shifts[crew[0]].start_place), crew[0]))
    half, half_crews = len(ordered) // 2, len(crews) // 2
    near = [shift for crew in crews[:half_crews] for shift in crew]
    far = [shift for crew in crews[half_crews:] for shift in crew]
    return clusters(instance, ordered[:half], sorted(near)) + clusters(instance, ordered[half:], sorted(far))


def _by_technician(instance: Instance, shifts: list[int]) -> list[list[int]]:
    def technician(shift: int) -> str:
        return instance.problem.shifts[shift].technician

    return [list(crew) for _, crew in groupby(sorted(shifts, key=lambda shift: (technician(shift), shift)), technician)]


def improve(search: Search, draft: Draft, report: Callable[[Draft], None]) -> Draft:
    """Return the best draft that rounds lead to until the budget is spent or rounds have long stopped helping."""
    stale = 0
    price = draft.price()
    report(draft)
    if not draft.routes:
        return draft
    while not search.budget.spent() and stale < STALE_ROUNDS + _shifts_in_use(draft) // 2 * STALE_ROUNDS // 10:
        better = _round(search, draft, stale)
        stale += 1
        if better is not None and better.price() < price:
            draft, price, stale = better, better.price(), 0
        report(draft)
    settle(draft, stop=search.budget.out_of_time)
    return draft


def _shifts_in_use(draft: Draft) -> int:
    return sum(1 for route in draft.routes if route.visits)


def _round(search: Search, draft: Draft, stale: int) -> Draft | None:
    """Return the draft with one lot improved, or None when the lot offers nothing to do."""
    rng = search.rng
    shifts = _neighbours(search, draft)
    lot, routes = _warm_lot(search, draft, shifts)
    if not lot.visits:
        search.budget.solutions += 1
        return None
    if rng.random() < min(RUIN_CHANCE, (stale + 1 - STALE_BEFORE_RUIN) / STALE_BEFORE_RUIN):
        routes = [[visit for visit in route if rng.random() >= RUIN_SHARE] for route in routes]
    answer = _answer(search, draft.instance, lot, routes)
    search.budget.solutions += 1 if answer is None else answer.solutions
    if answer is None:
        return None
    better = draft.copy()
    take_over(better, lot.shifts, answer.routes)
    fill(better, better.unplanned - search.hopeless, stop=search.budget.out_of_time)
    return better


def _answer(search: Search, instance: Instance, lot: Lot, routes: list[list[int]]) -> Answer | None:
    left = search.budget.seconds_left
    limits = _limits(search.budget, None if left is None else min(left, LOT_SECONDS))
    return improved_routes(instance, lot, routes, limits)


def _limits(budget: Budget, seconds: float | None) -> Limits:
    return Limits(seconds=seconds, solutions=budget.solutions_left, cancelled=budget.cancelled)


def take_over(draft: Draft, shifts: Sequence[int], routes: Sequence[Sequence[int]]) -> None:
    """Put the solver's `routes`, behind the frozen visits, on `shifts`; what does not fit exactly becomes unplanned."""
    for shift in shifts:
        frozen = simulate_route(draft.instance, shift, draft.instance.frozen[shift])
        assert frozen is not None, "frozen visits were simulated before the search began"  # noqa: S101
        draft.replace(shift, frozen)
    for shift, visits in zip(shifts, routes, strict=True):
        route = simulate_route(draft.instance, shift, [*draft.instance.frozen[shift], *visits])
        if route is not None:
            draft.replace(shift, route)
        else:
            put_in_order(draft, shift, visits)


def _neighbours(search: Search, draft: Draft) -> list[int]:
    """Return the shifts of a lot: around a visit in trouble every other time, else around some shift."""
    rng = search.rng
    if rng.random() < TROUBLE_CHANCE:
        troubled = _troubled(search, draft)
        if troubled:
            return _around_visit(search, draft, rng.choice(troubled))
    return _around_shift(draft, rng.randrange(len(draft.routes)), rng)


def _troubled(search: Search, draft: Draft) -> list[int]:
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


def _warm_lot(search: Search, draft: Draft, shifts: list[int]) -> tuple[Lot, list[list[int]]]:
    """Return the lot of `shifts`, and its routes as far as the solver's model allows them, without frozen visits."""
    rng, instance = search.rng, draft.instance
    offered = sorted(
        visit for visit in draft.unplanned - search.hopeless if not set(instance.eligible[visit]).isdisjoint(shifts)
    )
    offered = sorted(rng.sample(offered, min(LOT_UNPLANNED, len(offered))))
    visits = [visit for shift in shifts for visit in draft.routes[shift].visits[len(instance.frozen[shift]) :]]
    delayed = _lot(search, draft, shifts, visits + offered, delayed=True)
    eager = _lot(search, draft, shifts, visits + offered, delayed=False)
    departures: list[Departure] = []
    routes: list[list[int]] = []
    for index, shift in enumerate(shifts):
        free = draft.routes[shift].visits[len(instance.frozen[shift]) :]
        departure = delayed.departures[index]
        route = _allowed(search, instance, shift, departure, free)
        if len(route) < len(free) and departure != eager.departures[index]:
            departure = eager.departures[index]
            route = _allowed(search, instance, shift, departure, free)
        departures.append(departure)
        routes.append(route)
    lot = Lot(shifts=delayed.shifts, departures=tuple(departures), visits=delayed.visits, deadlines=search.deadlines)
    return lot, routes


def _lot(search: Search, draft: Draft, shifts: list[int], visits: list[int], *, delayed: bool) -> Lot:
    instance = draft.instance
    departures: list[Departure] = []
    for shift in shifts:
        day, base = instance.shifts[shift], search.base.routes[shift]
        label = min(base.stages[-1], key=lambda label: label.time)
        rest = sum(pause.duration for pause in day.pauses[label.taken :]) if delayed else 0
        place = instance.visits[base.visits[-1]].place if base.visits else day.start_place
        departures.append(Departure(place, min(label.time + rest, day.last)))
    return Lot(shifts=tuple(shifts), departures=tuple(departures), visits=tuple(visits), deadlines=search.deadlines)


def _allowed(search: Search, instance: Instance, shift: int, departure: Departure, visits: Sequence[int]) -> list[int]:
    """Return `visits` without those that the solver's model excludes on this shift: late ones, or for the delay."""
    day = instance.shifts[shift]
    time, place = departure.time, departure.place
    allowed: list[int] = []
    for visit in visits:
        data = instance.visits[visit]
        ready = time + instance.seconds[place][data.place]
        start = next((max(ready, opens) for opens, closes in data.opens if ready <= closes), None)
        if start is None or start > search.deadlines.get(visit, FOREVER):
            continue
        if start + data.duration + instance.seconds[data.place][day.end_place] > day.last:
            continue
        time, place = start + data.duration, data.place
        allowed.append(visit)
    return allowed
