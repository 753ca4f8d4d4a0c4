"""Brute force over small problems with crews and visits that follow others: every arrangement, each as early as can be.

As early as can be is cheapest only where nothing is gained by waiting, so `plain` takes out of a problem what could:
breaks, told customers, hours of different speed, and gaps that must not grow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import msgspec

from routing.arrays import FOREVER, OPENS_FROM, OPENS_UNTIL
from routing.draft import simulate_route
from routing.instance import Instance, prepare
from routing.problem import Problem, Visit
from routing.stays import Stays, apart

Routes = tuple[tuple[int, ...], ...]


def plain(problem: Problem) -> Problem:
    """Return the problem without what could make waiting pay."""

    def calm(visit: Visit) -> Visit:
        follows = None if visit.follows is None else msgspec.structs.replace(visit.follows, most_gap=None)
        previous = visit.previous if visit.technicians == 1 else None
        return msgspec.structs.replace(visit, told=False, follows=follows, previous=previous)

    shifts = tuple(msgspec.structs.replace(shift, breaks=()) for shift in problem.shifts)
    visits = tuple(calm(visit) for visit in problem.visits)
    return msgspec.structs.replace(problem, shifts=shifts, visits=visits, pace=None, van_stock=())


def lowest_coupled_price(problem: Problem) -> int:
    """Return the lowest price of any plan of a problem that `plain` has made."""
    stays = apart(problem)
    instance = prepare(stays.problem)
    nothing: Routes = ((),) * len(problem.shifts)
    prices = (_price(stays, instance, routes) for routes in _arranged(stays, instance, 0, nothing))
    return min(price for price in prices if price is not None)


def _arranged(stays: Stays, instance: Instance, visit: int, routes: Routes) -> Iterator[Routes]:
    """Yield the routes with every choice of places, or none, for `visit` and those behind it."""
    if visit == len(stays.of):
        yield routes
        return
    yield from _arranged(stays, instance, visit + 1, routes)
    shifts = instance.problem.shifts
    for chosen in product(*(instance.eligible[stay] for stay in stays.of[visit])):
        if len({shifts[shift].technician for shift in chosen}) == len(chosen):
            places = (range(len(routes[shift]) + 1) for shift in chosen)
            for positions in product(*places):
                yield from _arranged(stays, instance, visit + 1, _with(routes, stays.of[visit], chosen, positions))


def _with(routes: Routes, stays: Sequence[int], shifts: Sequence[int], positions: Sequence[int]) -> Routes:
    changed = list(routes)
    for stay, shift, position in zip(stays, shifts, positions, strict=True):
        changed[shift] = (*changed[shift][:position], stay, *changed[shift][position:])
    return tuple(changed)


def _price(stays: Stays, instance: Instance, routes: Routes) -> int | None:
    """Return the price with every start as early as the routes and the relations allow; None where they do not."""
    where = {stay: shift for shift, route in enumerate(routes) for stay in route}
    if not _related(stays, instance, where):
        return None
    earliest: dict[int, int] = {}
    while True:
        starts, price = dict[int, int](), 0
        for shift, route in enumerate(routes):
            simulated = simulate_route(_not_before(instance, earliest), shift, route)
            if simulated is None:
                return None
            starts |= dict(zip(route, simulated.starts(), strict=True))
            price += simulated.price
        wanted = _wanted(stays, starts)
        if all(starts[stay] >= start for stay, start in wanted.items()):
            return price + sum(visit.unserved for visit in instance.visits if visit.index not in starts)
        earliest = wanted


def _related(stays: Stays, instance: Instance, where: dict[int, int]) -> bool:
    """Return whether everything follows something that is planned, by whom it should."""
    numbers = {visit.id: number for number, visit in enumerate(stays.whole.visits)}
    for number, visit in enumerate(stays.whole.visits):
        if visit.follows is None or stays.of[number][0] not in where:
            continue
        before = stays.of[numbers[visit.follows.visit]]
        if before[0] not in where:
            return False
        people = [
            {instance.problem.shifts[where[stay]].technician for stay in crew} for crew in (before, stays.of[number])
        ]
        if visit.follows.same_technician and not people[0] & people[1]:
            return False
    return True


def _wanted(stays: Stays, starts: dict[int, int]) -> dict[int, int]:
    """Return from when on each stay may start for the sake of its crew and of what it follows."""
    numbers = {visit.id: number for number, visit in enumerate(stays.whole.visits)}
    wanted: dict[int, int] = {}
    for number, visit in enumerate(stays.whole.visits):
        if stays.of[number][0] not in starts:
            continue
        begins = max(starts[stay] for stay in stays.of[number])
        if visit.follows is not None:
            first = numbers[visit.follows.visit]
            over = max(starts[stay] for stay in stays.of[first]) + stays.whole.visits[first].duration
            begins = max(begins, over + visit.follows.least_gap)
        wanted |= dict.fromkeys(stays.of[number], begins)
    return wanted


def _not_before(instance: Instance, earliest: dict[int, int]) -> Instance:
    """Return the instance in which no stay may start before its time in `earliest`."""
    if not earliest:
        return instance
    opens = instance.arrays.opens.copy()
    for stay, begins in earliest.items():
        for row in range(instance.arrays.visit[stay, OPENS_FROM], instance.arrays.visit[stay, OPENS_UNTIL]):
            opens[row, 0] = max(opens[row, 0], begins)
            if opens[row, 0] > opens[row, 1]:
                opens[row] = FOREVER, -1
    return replace(instance, arrays=instance.arrays._replace(opens=opens))
