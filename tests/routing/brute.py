"""Brute force over small problems: every order of every subset of visits on every shift."""

from collections.abc import Iterator
from itertools import permutations

from routing.draft import empty_draft, simulate_route
from routing.instance import Instance, prepare
from routing.problem import Problem


def lowest_price(problem: Problem) -> int:
    """Return the lowest price of any plan of a problem without frozen visits."""
    instance = prepare(problem)
    assert not any(empty_draft(instance).instance.frozen)
    everything = (1 << len(instance.visits)) - 1
    # best[mask]: lowest price of shifts so far having served exactly the visits of mask.
    best = {0: 0}
    for shift in range(len(instance.shifts)):
        routes = _cheapest_routes(instance, shift)
        grown: dict[int, int] = {}
        for mask, price in best.items():
            for served, added in routes.items():
                if not mask & served:
                    grown[mask | served] = min(grown.get(mask | served, price + added), price + added)
        best = grown
    return min(price + _left_out(instance, everything & ~mask) for mask, price in best.items())


def _left_out(instance: Instance, mask: int) -> int:
    return sum(visit.unserved for visit in instance.visits if mask >> visit.index & 1)


def _cheapest_routes(instance: Instance, shift: int) -> dict[int, int]:
    able = [visit for visit in range(len(instance.visits)) if shift in instance.eligible[visit]]
    cheapest = {0: 0}
    for count in range(1, len(able) + 1):
        for order in permutations(able, count):
            route = simulate_route(instance, shift, order)
            if route is not None:
                mask = sum(1 << visit for visit in order)
                cheapest[mask] = min(cheapest.get(mask, route.price), route.price)
    return cheapest


def _orders_with(instance: Instance, visit: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    for shift in range(len(instance.shifts)):
        able = [index for index in range(len(instance.visits)) if shift in instance.eligible[index]]
        for count in range(1, len(able) + 1):
            for order in permutations(able, count):
                if visit in order:
                    yield shift, order


def can_ever_be_served(problem: Problem, name: str) -> bool:
    """Return whether any order of any visits on any shift serves the visit."""
    return earliest_ever(problem, name) is not None


def earliest_ever(problem: Problem, name: str) -> int | None:
    """Return the earliest start of the visit in any order of any visits on any shift, or None when there is none."""
    instance = prepare(problem)
    visit = next(index for index, one in enumerate(problem.visits) if one.id == name)
    starts: list[int] = []
    for shift, order in _orders_with(instance, visit):
        route = simulate_route(instance, shift, order)
        if route is not None:
            starts.append(route.starts()[order.index(visit)])
    return min(starts, default=None)
