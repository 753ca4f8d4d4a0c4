"""Brute force over small problems: every order of every subset of visits on every shift, every sharing of the vans."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import permutations
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from routing.arrays import (
    CAPACITY,
    CHANGES,
    COUNTED,
    DURATION,
    LABEL_COLUMNS,
    LOAD,
    PAID,
    PLACE,
    PREVIOUS_SHIFT,
    STAGE_ROWS,
    START_PLACE,
    UNSERVED,
    Arrays,
    Integers,
)
from routing.draft import simulate_route
from routing.instance import Instance, Whole, prepare
from routing.problem import Problem, Visit, horizon_end
from routing.simulate import advance, finish, set_off, unfair_price

NEVER: Final = 1 << 60
MASK, LOADED, SERVICE, MOVED, THERE, COUNT = range(COLUMNS := 6)
"""Columns of what is known of a route so far."""


class Desk(NamedTuple):
    """Room for `price_orders` to write in: compiled code makes no arrays (`routing.kernel.jit`)."""

    labels: Integers
    known: Integers
    waiting: Integers
    cheapest: Integers


Pricing: TypeAlias = Callable[[Arrays, int, Integers, Integers, Desk], None]


def price_orders(arrays: Arrays, shift: int, frozen: Integers, able: Integers, desk: Desk) -> None:
    """Write to ``desk.cheapest[mask, changes]`` the price of the cheapest order of exactly the visits of `mask`.

    The `frozen` visits come first. Bit i of a mask stands for ``able[i]``; changes are counted where there is a column
    for them. Orders grow from the front, so that one which cannot be driven is not tried longer. Runs compiled, too.
    """
    labels, known, waiting, cheapest = desk
    place, count = arrays.shift[shift, START_PLACE], set_off(arrays, shift, labels, 0)
    for index in range(frozen.size):
        at, visit = index * STAGE_ROWS, int(frozen[index])
        count = advance(arrays, shift, place, visit, labels, at, count, at + STAGE_ROWS)
        place = arrays.visit[visit, PLACE]
        known[0, LOADED] += arrays.visit[visit, LOAD]
        known[0, SERVICE] += arrays.visit[visit, DURATION]
    known[0, THERE], known[0, COUNT] = place, count
    ending, left = labels.shape[0] - STAGE_ROWS, 1
    while left:
        left -= 1
        depth, bit = waiting[left]
        at, here = (frozen.size + depth) * STAGE_ROWS, known[depth]
        if depth:
            visit, before = int(able[bit]), known[depth - 1]
            count = advance(arrays, shift, before[THERE], visit, labels, at - STAGE_ROWS, before[COUNT], at)
            here[LOADED] = before[LOADED] + arrays.visit[visit, LOAD]
            if count == 0 or here[LOADED] > arrays.shift[shift, CAPACITY]:
                continue
            elsewhere = arrays.visit[visit, COUNTED] and arrays.visit[visit, PREVIOUS_SHIFT] != shift
            here[MASK] = before[MASK] | 1 << bit
            here[SERVICE] = before[SERVICE] + arrays.visit[visit, DURATION]
            here[MOVED] = before[MOVED] + int(elsewhere)
            here[THERE], here[COUNT] = arrays.visit[visit, PLACE], count
        if finish(arrays, shift, here[THERE], labels, at, here[COUNT], ending):
            idle = frozen.size + depth == 0
            price = 0 if idle else labels[ending, PAID] + unfair_price(arrays, shift, here[SERVICE])
            changes = here[MOVED] + labels[ending, CHANGES] if cheapest.shape[1] > 1 else 0
            cheapest[here[MASK], changes] = min(cheapest[here[MASK], changes], price)
        for following in range(able.size):
            if not here[MASK] >> following & 1:
                waiting[left, 0], waiting[left, 1] = depth + 1, following
                left += 1
    if frozen.size == 0:
        cheapest[0, 0] = 0


def lowest_price(problem: Problem, pricing: Pricing = price_orders) -> int | None:
    """Return the lowest price of any plan; None where every plan changes more visits than may change."""
    prices = [_lowest(prepare(problem, whole), pricing) for whole in _sharings(problem)]
    return min((price for price in prices if price is not None), default=None)


def _sharings(problem: Problem) -> Iterator[Whole]:
    """Yield every way of keeping what is in vans for visits; only those in which nothing more could be kept."""
    stock: Counter[tuple[str, str]] = Counter()
    for held in problem.van_stock:
        stock[held.technician, held.part] += held.quantity
    waiting = [visit for visit in problem.visits if visit.parts and visit.parts_ready != 0 and not visit.frozen]
    technicians = sorted({shift.technician for shift in problem.shifts} & {technician for technician, _ in stock})
    every = list(_kept(stock, waiting, technicians))
    for keepers in every:
        if not any(keepers.items() < other.items() for other in every):
            yield Whole(horizon_end(problem), keepers)


def _kept(
    stock: Counter[tuple[str, str]], waiting: Sequence[Visit], technicians: Sequence[str]
) -> Iterator[dict[str, str]]:
    """Yield every choice of a keeper, or none, for each visit that the stock allows."""
    if not waiting:
        yield {}
        return
    visit, *others = waiting
    yield from _kept(stock, others, technicians)
    for technician in technicians:
        left = stock.copy()
        for need in visit.parts:
            left[technician, need.part] -= need.quantity
        if min(left.values()) >= 0:
            for keepers in _kept(left, others, technicians):
                yield {visit.id: technician, **keepers}


def _lowest(instance: Instance, pricing: Pricing) -> int | None:
    counted, limit = instance.problem.most_changes is not None, instance.problem.most_changes
    # best[mask, changes]: lowest price of the shifts so far, having served exactly the visits of mask.
    best = {(0, 0): 0}
    for shift in range(len(instance.shifts)):
        routes = _cheapest_routes(instance, shift, pricing, counted=counted)
        grown: dict[tuple[int, int], int] = {}
        for (mask, changes), price in best.items():
            for served, changed, added in routes:
                key = mask | served, changes + changed
                if not mask & served and price + added < grown.get(key, NEVER):
                    grown[key] = price + added
        best = grown
    ends: list[int] = []
    for (mask, changes), price in best.items():
        out = [visit for visit in range(len(instance.visits)) if not mask >> visit & 1]
        rows = instance.arrays.visit[out]
        if limit is None or changes + int(rows[:, COUNTED].sum()) <= limit:
            ends.append(price + int(rows[:, UNSERVED].sum()))
    return min(ends, default=None)


def _cheapest_routes(instance: Instance, shift: int, pricing: Pricing, *, counted: bool) -> list[tuple[int, int, int]]:
    """Return (mask of visits, changes, price) of the cheapest route for each mask, the frozen visits always in it."""
    frozen = instance.frozen[shift]
    able = [visit for visit in range(len(instance.visits)) if shift in instance.eligible[visit] and visit not in frozen]
    changes = len(instance.visits) if counted else 0
    cheapest = np.full((1 << len(able), changes + 1), NEVER, dtype=np.int64)
    first, others = (np.array(visits, dtype=np.int64) for visits in (frozen, able))
    desk = Desk(
        np.zeros(((len(frozen) + len(able) + 2) * STAGE_ROWS, LABEL_COLUMNS), dtype=np.int64),
        np.zeros((len(able) + 1, COLUMNS), dtype=np.int64),
        np.zeros((len(able) ** 2 + 1, 2), dtype=np.int64),
        cheapest,
    )
    pricing(instance.arrays, shift, first, others, desk)
    always = _mask(frozen)
    return [
        (
            always | _mask([one for bit, one in enumerate(able) if mask >> bit & 1]),
            changed,
            int(cheapest[mask, changed]),
        )
        for mask, changed in np.argwhere(cheapest < NEVER).tolist()
    ]


def _mask(visits: Sequence[int]) -> int:
    return sum(1 << visit for visit in visits)


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
