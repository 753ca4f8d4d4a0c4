"""Routes under search: every route with its labels, so that one visit can be tried anywhere without starting over.

`Routes` is changed in place by compiled code. A route is always legal; what is tried and fails leaves it as it was.
"""

from typing import Final, NamedTuple

import numpy as np

from routing.arrays import (
    CAPACITY,
    CHANGES,
    COUNTED,
    DELAY_SECOND,
    DURATION,
    END,
    END_PLACE,
    FROZEN_VISITS,
    LABEL_COLUMNS,
    LAST,
    LOAD,
    NOWHERE,
    OPENS_FROM,
    OPENS_UNTIL,
    OVERTIME_SECOND,
    PACE_MOST,
    PAID,
    PAUSES_FROM,
    PAUSES_UNTIL,
    PLACE,
    PREVIOUS_SHIFT,
    SOFT,
    STAGE_ROWS,
    START_PLACE,
    TAKEN,
    TIME,
    TRAVEL_SECOND,
    TWIN,
    UNSERVED,
    Arrays,
    Integers,
)
from routing.kernel.jit import compiled, inlined
from routing.simulate import (
    PER_MILLE,
    advance,
    delay_price,
    finish,
    first_open,
    late_price,
    promise_price,
    set_off,
    taking_price,
    unfair_price,
)

# columns of Routes.info
LENGTH, PRICE, CHANGED, LOADED, SERVICE, HARD, INFO_COLUMNS = range(7)
# columns of Routes.quick
FREE, LATEST_ARRIVAL, THERE, SLOPE, QUICK_COLUMNS = range(5)

SPARE_STAGES: Final = 3
IMPOSSIBLE: Final = 1 << 60
"""The price of what the rules exclude."""


class Routes(NamedTuple):
    """All routes of a problem, with what is needed to change them quickly.

    `visits[k, i]`: visit i of shift k. `counts[k, i]`: how many labels the stage before it has; `labels`: the stages,
    see `stage`; that behind the last visit is there, too. `where[v]`: the shift of visit v, or NOWHERE.

    `quick[k, i]`: FREE, the earliest moment the technician is free before visit i; LATEST_ARRIVAL, the latest moment he
    may arrive at it with the rest of the route still possible, breaks left aside; THERE, its place (behind the last:
    where the shift ends); SLOPE, what each second that it begins later costs at least, it and the stops that follow
    without a pause.

    `info[k]`: LENGTH; PRICE; CHANGED, visits that count as changed; LOADED; SERVICE, in seconds; HARD, 1 where no start
    has a price and no break is left, so that the route's price is its driving alone.
    """

    visits: Integers
    labels: Integers
    counts: Integers
    quick: Integers
    info: Integers
    where: Integers


def empty_routes(arrays: Arrays, longest: int) -> Routes:
    """Return routes without visits, each with room for `longest`."""
    shifts, visits = len(arrays.shift), len(arrays.visit)
    routes = Routes(
        visits=np.zeros((shifts, longest), dtype=np.int64),
        labels=np.zeros(((shifts * (longest + 1) + SPARE_STAGES) * STAGE_ROWS, LABEL_COLUMNS), dtype=np.int64),
        counts=np.zeros((shifts, longest + 1), dtype=np.int64),
        quick=np.zeros((shifts, longest + 1, QUICK_COLUMNS), dtype=np.int64),
        info=np.zeros((shifts, INFO_COLUMNS), dtype=np.int64),
        where=np.full(visits, NOWHERE, dtype=np.int64),
    )
    for shift in range(shifts):
        rebuild(arrays, routes, shift, 0)
    return routes


@inlined
def place_before(arrays: Arrays, routes: Routes, shift: int, position: int) -> int:
    """Return the place that stop number `position` is driven to from."""
    if position == 0:
        return arrays.shift[shift, START_PLACE]
    return arrays.visit[routes.visits[shift, position - 1], PLACE]


@inlined
def stage(routes: Routes, shift: int, position: int) -> int:
    """Return the first row of the stage before stop number `position`."""
    return (shift * routes.counts.shape[1] + position) * STAGE_ROWS


@inlined
def spare_stage(routes: Routes, number: int) -> int:
    """Return the first row of one of the SPARE_STAGES that belong to no route."""
    return routes.labels.shape[0] - (number + 1) * STAGE_ROWS


@compiled
def rebuild(arrays: Arrays, routes: Routes, shift: int, changed_from: int) -> bool:
    """Simulate `shift` again from stop number `changed_from` on; False (and the route unusable) when it cannot be."""
    length = routes.info[shift, LENGTH]
    at = stage(routes, shift, changed_from)
    if changed_from == 0:
        routes.counts[shift, 0] = set_off(arrays, shift, routes.labels, at)
        routes.quick[shift, 0, FREE] = routes.labels[at, TIME]
    place = place_before(arrays, routes, shift, changed_from)
    for position in range(changed_from, length):
        visit = routes.visits[shift, position]
        count = routes.counts[shift, position]
        count = advance(arrays, shift, place, visit, routes.labels, at, count, at + STAGE_ROWS)
        if count == 0:
            return False
        at += STAGE_ROWS
        routes.counts[shift, position + 1] = count
        routes.quick[shift, position + 1, FREE] = _earliest(routes.labels, at, count)
        place = arrays.visit[visit, PLACE]
    ending = spare_stage(routes, 0)
    if not finish(arrays, shift, place, routes.labels, at, routes.counts[shift, length], ending):
        if length:
            return False
        routes.labels[ending, PAID] = 0
    _summarise(arrays, routes, shift, ending)
    _look_back(arrays, routes, shift)
    return True


@inlined
def _earliest(labels: Integers, at: int, count: int) -> int:
    time = labels[at, TIME]
    for index in range(at + 1, at + count):
        time = min(time, labels[index, TIME])
    return time


@compiled
def _summarise(arrays: Arrays, routes: Routes, shift: int, ending: int) -> None:
    """Write the price of the route and what is counted along it."""
    length = routes.info[shift, LENGTH]
    overtime_free = arrays.shift[shift, LAST] <= arrays.shift[shift, END] or arrays.price[OVERTIME_SECOND] == 0
    pauses = arrays.shift[shift, PAUSES_UNTIL] - arrays.shift[shift, PAUSES_FROM]
    hard = pauses == 0 and overtime_free and arrays.pace.size == 0
    loaded, service, changed = 0, 0, 0
    for position in range(length):
        visit = routes.visits[shift, position]
        loaded += arrays.visit[visit, LOAD]
        service += arrays.visit[visit, DURATION]
        if arrays.visit[visit, COUNTED] and arrays.visit[visit, PREVIOUS_SHIFT] != shift:
            changed += 1
        hard = hard and arrays.visit[visit, SOFT] == 0
    routes.info[shift, HARD] = hard
    routes.info[shift, LOADED] = loaded
    routes.info[shift, SERVICE] = service
    routes.info[shift, CHANGED] = changed + routes.labels[ending, CHANGES] if length else 0
    routes.info[shift, PRICE] = routes.labels[ending, PAID] + unfair_price(arrays, shift, service) if length else 0


@inlined
def least_leg(arrays: Arrays, origin: int, destination: int) -> int:
    """Return the seconds that a drive takes at least, whatever the hour."""
    leg = arrays.seconds[origin, destination]
    return leg if arrays.pace.size == 0 else leg * PER_MILLE // arrays.price[PACE_MOST]


@compiled
def _look_back(arrays: Arrays, routes: Routes, shift: int) -> None:
    """Write the latest moment to arrive at each stop, from the end of the shift backwards."""
    length = routes.info[shift, LENGTH]
    latest = arrays.shift[shift, LAST]
    after = arrays.shift[shift, END_PLACE]
    routes.quick[shift, length, LATEST_ARRIVAL] = latest
    routes.quick[shift, length, THERE] = after
    routes.quick[shift, length, SLOPE] = 0
    for position in range(length - 1, -1, -1):
        visit = routes.visits[shift, position]
        place = arrays.visit[visit, PLACE]
        latest -= least_leg(arrays, place, after) + arrays.visit[visit, DURATION]
        start = NOWHERE
        for index in range(arrays.visit[visit, OPENS_UNTIL] - 1, arrays.visit[visit, OPENS_FROM] - 1, -1):
            if arrays.opens[index, 0] <= latest:
                start = min(latest, arrays.opens[index, 1])
                break
        latest = start
        routes.quick[shift, position, LATEST_ARRIVAL] = latest
        routes.quick[shift, position, THERE] = place
        took = routes.quick[shift, position + 1, FREE] - routes.quick[shift, position, FREE]
        slope = 0
        before = place_before(arrays, routes, shift, position)
        if took == arrays.seconds[before, place] + arrays.visit[visit, DURATION]:
            slope = routes.quick[shift, position + 1, SLOPE] + arrays.visit[visit, DELAY_SECOND]
        routes.quick[shift, position, SLOPE] = slope
        after = place


@compiled
def price_with(arrays: Arrays, routes: Routes, shift: int, position: int, visit: int, most: int) -> int:
    """Return the exact price of the route with `visit` as stop number `position`; IMPOSSIBLE where rules exclude it.

    IMPOSSIBLE, too, as soon as it is seen to be `most` or more.
    """
    labels, length = routes.labels, routes.info[shift, LENGTH]
    old_service = routes.info[shift, SERVICE]
    unfair = unfair_price(arrays, shift, old_service + arrays.visit[visit, DURATION])
    place = place_before(arrays, routes, shift, position)
    old, here, onward = stage(routes, shift, position), spare_stage(routes, 1), spare_stage(routes, 2)
    count = advance(arrays, shift, place, visit, labels, old, routes.counts[shift, position], here)
    place = arrays.visit[visit, PLACE]
    for index in range(position, length):
        if count == 0 or (count == 1 and labels[here, PAID] + unfair >= most):
            return IMPOSSIBLE
        follower = routes.visits[shift, index]
        count = advance(arrays, shift, place, follower, labels, here, count, onward)
        place = arrays.visit[follower, PLACE]
        here, onward, old = onward, here, old + STAGE_ROWS
        alone = count == 1 and routes.counts[shift, index + 1] == 1
        if alone and labels[here, TIME] == labels[old, TIME] and labels[here, TAKEN] == labels[old, TAKEN]:
            added = labels[here, PAID] - labels[old, PAID] + unfair - unfair_price(arrays, shift, old_service)
            return routes.info[shift, PRICE] + added
    ending = spare_stage(routes, 0)
    if count == 0 or not finish(arrays, shift, place, labels, here, count, ending):
        return IMPOSSIBLE
    return labels[ending, PAID] + unfair


@compiled
def put_in(arrays: Arrays, routes: Routes, shift: int, position: int, visit: int) -> bool:
    """Make `visit` stop number `position`; False, and nothing changed, when rules exclude it."""
    length = routes.info[shift, LENGTH]
    if length == routes.visits.shape[1]:
        return False
    visits = routes.visits
    for index in range(length, position, -1):
        visits[shift, index] = visits[shift, index - 1]
    visits[shift, position] = visit
    routes.info[shift, LENGTH] = length + 1
    if rebuild(arrays, routes, shift, position):
        routes.where[visit] = shift
        return True
    for index in range(position, length):
        visits[shift, index] = visits[shift, index + 1]
    routes.info[shift, LENGTH] = length
    rebuild(arrays, routes, shift, position)
    return False


@compiled
def best_insertion(
    arrays: Arrays, routes: Routes, visit: int, most: int, blink: float, dice: Integers
) -> tuple[int, int, int]:
    """Return (shift, position, added price) of the cheapest place for `visit` that adds less than `most`.

    (NOWHERE, 0, most) when there is none. Each position is overlooked with the chance `blink`, drawn from `dice`.
    """
    shift, position, added = NOWHERE, 0, most
    load = arrays.visit[visit, LOAD]
    for other in range(arrays.shift.shape[0]):
        if not arrays.eligible[visit, other]:
            continue
        length, twin = routes.info[other, LENGTH], arrays.shift[other, TWIN]
        if routes.info[other, LOADED] + load > arrays.shift[other, CAPACITY] or length == routes.visits.shape[1]:
            continue
        if length == 0 and twin != NOWHERE and routes.info[twin, LENGTH] == 0:
            continue  # the same empty shift was looked at already
        at, price = _best_on(arrays, routes, other, visit, added, blink, dice)
        if price < added:
            shift, position, added = other, at, price
    return shift, position, added


@inlined
def _least_added(arrays: Arrays, routes: Routes, shift: int, position: int, visit: int, most: int, exact: int) -> int:
    """Return a price that `visit` as stop number `position` does not undercut, or `most` where it cannot be less.

    Left aside is what depends on the shift only. `exact`: 1 where nothing on the route has a price but driving.
    """
    quick, seconds, here = routes.quick, arrays.seconds, arrays.visit[visit, PLACE]
    length, duration = routes.info[shift, LENGTH], arrays.visit[visit, DURATION]
    before = quick[shift, position - 1, THERE] if position else arrays.shift[shift, START_PLACE]
    after, direct = quick[shift, position, THERE], 0
    if length:
        direct = seconds[before, after]
    bound = 0
    if arrays.pace.size == 0:
        bound = arrays.price[TRAVEL_SECOND] * (seconds[before, here] + seconds[here, after] - direct)
    if bound >= most:
        return most
    start = first_open(arrays, visit, quick[shift, position, FREE] + least_leg(arrays, before, here))
    if start == NOWHERE or start + duration + least_leg(arrays, here, after) > quick[shift, position, LATEST_ARRIVAL]:
        return most
    if exact:
        return bound
    if arrays.visit[visit, SOFT]:
        bound += late_price(arrays, visit, start) + promise_price(arrays, visit, start)
        bound += delay_price(arrays, visit, start)
    if position < length:
        pushed = start + duration + seconds[here, after] - quick[shift, position, FREE] - direct
        bound += quick[shift, position, SLOPE] * max(0, pushed)
    return bound


@inlined
def _best_on(
    arrays: Arrays, routes: Routes, shift: int, visit: int, most: int, blink: float, dice: Integers
) -> tuple[int, int]:
    duration, service, price = arrays.visit[visit, DURATION], routes.info[shift, SERVICE], routes.info[shift, PRICE]
    fixed = taking_price(arrays, visit, shift)
    fixed += unfair_price(arrays, shift, service + duration) - unfair_price(arrays, shift, service)
    at, added = 0, most
    if fixed >= most:
        return at, added
    exact = routes.info[shift, HARD] * (1 - arrays.visit[visit, SOFT])
    opens, closes = arrays.visit[visit, OPENS_FROM], arrays.visit[visit, OPENS_UNTIL]
    if opens == closes:
        return at, added
    over_first, begins_last = arrays.opens[opens, 0] + duration, arrays.opens[closes - 1, 1]
    quick, first = routes.quick, arrays.shift[shift, FROZEN_VISITS]
    for position in range(first, routes.info[shift, LENGTH] + 1):
        if quick[shift, position, FREE] > begins_last:
            break
        if quick[shift, position, LATEST_ARRIVAL] < over_first:
            continue
        bound = fixed + _least_added(arrays, routes, shift, position, visit, added - fixed, exact)
        if bound >= added or (blink > 0.0 and chance(dice) < blink):
            continue
        if not exact:
            bound = price_with(arrays, routes, shift, position, visit, price + added) - price
        if bound < added:
            at, added = position, bound
    return at, added


@inlined
def chance(dice: Integers) -> float:
    """Return the next number, from 0 to below 1, of a linear congruential generator; its state is `dice[0]`.

    Constants: ISO C's example of rand(). Its low bits are poor, its high ones, which count here, are good enough.
    """
    dice[0] = (dice[0] * 1_103_515_245 + 12_345) & 0x7FFFFFFF
    return dice[0] * (1.0 / 0x80000000)


@compiled
def write_route(arrays: Arrays, routes: Routes, shift: int, visits: Integers) -> bool:
    """Make `visits` the route of `shift`; False when rules exclude it."""
    for position in range(routes.info[shift, LENGTH]):
        visit = routes.visits[shift, position]
        if routes.where[visit] == shift:
            routes.where[visit] = NOWHERE
    for position in range(visits.size):
        routes.visits[shift, position] = visits[position]
        routes.where[visits[position]] = shift
    routes.info[shift, LENGTH] = visits.size
    return rebuild(arrays, routes, shift, 0)


@compiled
def all_insertions(arrays: Arrays, routes: Routes, visit: int, shift: int, added: Integers) -> None:
    """Write to `added[position]` what each place for `visit` on `shift` adds to the price, or IMPOSSIBLE."""
    price, load = routes.info[shift, PRICE], routes.info[shift, LOADED] + arrays.visit[visit, LOAD]
    for position in range(routes.info[shift, LENGTH] + 1):
        added[position] = IMPOSSIBLE
        if position >= arrays.shift[shift, FROZEN_VISITS] and load <= arrays.shift[shift, CAPACITY]:
            whole = price_with(arrays, routes, shift, position, visit, IMPOSSIBLE)
            added[position] = whole if whole == IMPOSSIBLE else whole - price


@compiled
def total_price(arrays: Arrays, routes: Routes) -> int:
    """Return the price of all routes and of all visits left out."""
    total = routes.info[:, PRICE].sum()
    for visit in range(arrays.visit.shape[0]):
        if routes.where[visit] == NOWHERE:
            total += arrays.visit[visit, UNSERVED]
    return total


@compiled
def changed_visits(arrays: Arrays, routes: Routes) -> int:
    """Return how many visits of the plan in force are elsewhere, at another time than was told, or left out."""
    changed = routes.info[:, CHANGED].sum()
    for visit in range(arrays.visit.shape[0]):
        if routes.where[visit] == NOWHERE:
            changed += arrays.visit[visit, COUNTED]
    return changed
