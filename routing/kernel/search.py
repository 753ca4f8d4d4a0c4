"""Slack induction by string removals: take neighbouring stops out, put them back greedily, cool down.

Christiaens and Vanden Berghe, "Slack Induction by String Removals for Vehicle Routing Problems", Transportation Science
54(2), 2020. Theirs are the strings, the blinks, the orders of insertion and the cooling; ours are prices instead of a
fleet to minimise, visits that stay out at a price, a budget of changes, and the exact simulator underneath.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing.arrays import (
    DUE,
    DURATION,
    FROZEN_VISITS,
    LOAD,
    NOWHERE,
    OPENS_FROM,
    OPENS_UNTIL,
    PLACE,
    START_PLACE,
    UNSERVED,
    Arrays,
    Integers,
)
from routing.kernel.jit import compiled, inlined
from routing.kernel.routes import (
    LENGTH,
    Routes,
    best_insertion,
    chance,
    changed_visits,
    put_in,
    rebuild,
    total_price,
)

LONGEST_STRING: Final = 10
REMOVED_ON_AVERAGE: Final = 10
SPLIT_CHANCE: Final = 0.5
GAP_GROWTH: Final = 0.01
"""How likely the gap inside a split string is one stop longer, and again: beta of the paper."""
BLINK: Final = 0.01
IN_TIME: Final = 0.5
"""How often the routes nearest in time are taken strings from, and not those nearest on the map."""
WAITING_COUNTS: Final = 5
"""A second of driving keeps two visits as far apart in time as so many of waiting."""
ROWS_AT_ONCE: Final = 256
"""Visits whose neighbours are looked for at once: so much of a table of all with all is held."""
OFFERED: Final = 6
"""Visits left out that are tried again in one step, besides those just taken out."""
OFFERED_NEAR: Final = 4
"""How many of them at most lie near where strings are taken out."""
OFFER_CHANCE: Final = 0.5
"""How likely a visit left out near there is tried again: that it is not always the same ones."""
LEFT_OUT_SEED: Final = 0.2
"""How often the strings are taken around a visit that is left out, while there are such."""
BY_CHANCE, BY_SIZE, BY_DISTANCE, BY_NEARNESS, BY_PRICE, BY_DEADLINE, BY_WORTH = range(7)
ORDERS: Final = np.array([BY_CHANCE] * 4 + [BY_SIZE] * 4 + [BY_DISTANCE] * 2 + [BY_NEARNESS, BY_DEADLINE])
"""How often visits are put back in which order: the paper's weights, and one for deadlines."""
CROWDED_ORDERS: Final = np.array(
    [BY_CHANCE] * 3 + [BY_WORTH] * 4 + [BY_PRICE] * 2 + [BY_SIZE, BY_NEARNESS, BY_NEARNESS, BY_DEADLINE]
)
"""The same where not all can be served: then what takes little time for its price comes first."""

# entries of Memory.sums
TOTAL, BEST, STEPS, CHANGES_ALLOWED, CROWDED, SUM_ENTRIES = range(6)


class Memory(NamedTuple):
    """What the search keeps beside the routes.

    `near[v]`: other visits by driving; `near_in_time[v]`: by driving, waiting and lateness (`_nearest`). `remote[v]`:
    travel from v to the nearest start of a shift. `old[k]`: the visits of shift k as they were before this step,
    `old_length[k]` of them, or NOWHERE where it was not touched; `touched_from[k]`: the first stop that changed.
    `best`, `best_length`: the best routes so far. `offered`: what is to be put in. `sums`: TOTAL and BEST price, STEPS
    done, CHANGES_ALLOWED, and CROWDED, how many of the offered were left out before. `dice`: the state of chance.
    """

    near: Integers
    near_in_time: Integers
    remote: Integers
    old: Integers
    old_length: Integers
    touched_from: Integers
    best: Integers
    best_length: Integers
    offered: Integers
    keys: NDArray[np.float64]
    sums: Integers
    dice: Integers


@compiled
def search(arrays: Arrays, routes: Routes, memory: Memory, steps: int, temperature: float) -> None:
    """Do `steps` steps at one `temperature`, in the unit of prices; the best routes so far are in `memory`."""
    for _ in range(steps):
        taken_out = _take_out(arrays, routes, memory)
        if taken_out:
            _put_back(arrays, routes, memory, taken_out)
            total = total_price(arrays, routes)
            luck = -math.log(max(1e-300, chance(memory.dice)))
            changes = memory.sums[CHANGES_ALLOWED]
            allowed = changes == NOWHERE or changed_visits(arrays, routes) <= changes
            if allowed and total < memory.sums[TOTAL] + temperature * luck:
                _accept(routes, memory, total)
            else:
                _revert(arrays, routes, memory)
        memory.sums[STEPS] += 1


@inlined
def _below(dice: Integers, limit: int) -> int:
    """Return a whole number from 0 to limit - 1 by chance."""
    return min(limit - 1, int(chance(dice) * limit))


@compiled
def _remember(routes: Routes, memory: Memory, shift: int, position: int) -> None:
    """Keep the route as it is, before it is changed from `position` on."""
    if memory.old_length[shift] == NOWHERE:
        length = routes.info[shift, LENGTH]
        for index in range(length):
            memory.old[shift, index] = routes.visits[shift, index]
        memory.old_length[shift] = length
        memory.touched_from[shift] = position
    else:
        memory.touched_from[shift] = min(memory.touched_from[shift], position)


@compiled
def _seed(arrays: Arrays, routes: Routes, memory: Memory) -> int:
    visits = arrays.visit.shape[0]
    wants_left_out = chance(memory.dice) < LEFT_OUT_SEED
    first = _below(memory.dice, visits)
    if wants_left_out:
        for index in range(visits):
            visit = (first + index) % visits
            if routes.where[visit] == NOWHERE and arrays.eligible[visit].any():
                return visit
    return first


@compiled
def _take_out(arrays: Arrays, routes: Routes, memory: Memory) -> int:
    """Take strings out of some neighbouring routes; the visits are in memory.offered, return how many."""
    planned, used = 0, 0
    for shift in range(arrays.shift.shape[0]):
        free = routes.info[shift, LENGTH] - arrays.shift[shift, FROZEN_VISITS]
        planned += free
        used += free > 0
    seed = _seed(arrays, routes, memory)
    if used == 0:
        return _offer_left_out(arrays, routes, memory, 0, seed)
    longest = min(LONGEST_STRING, max(1.0, planned / used))
    most_strings = 4.0 * REMOVED_ON_AVERAGE / (1.0 + longest) - 1.0
    strings = int(1.0 + chance(memory.dice) * most_strings)
    found, ruined, in_time = 0, 0, chance(memory.dice) < IN_TIME
    for index in range(-1, memory.near.shape[1]):
        visit = seed
        if index >= 0:
            visit = memory.near_in_time[seed, index] if in_time else memory.near[seed, index]
        shift = routes.where[visit]
        if shift == NOWHERE or memory.old_length[shift] != NOWHERE:
            continue
        grown = _take_string(arrays, routes, memory, shift, visit, longest, found)
        if grown > found:
            found = grown
            ruined += 1
            if ruined == strings:
                break
    return _offer_left_out(arrays, routes, memory, found, seed)


@inlined
def _position_of(routes: Routes, shift: int, visit: int, first: int) -> int:
    """Return which stop of `shift` is `visit`, from `first` on; NOWHERE where none is."""
    for position in range(first, routes.info[shift, LENGTH]):
        if routes.visits[shift, position] == visit:
            return position
    return NOWHERE


@compiled
def _take_string(
    arrays: Arrays, routes: Routes, memory: Memory, shift: int, visit: int, longest: float, found: int
) -> int:
    """Take a string around `visit` out of its route; return how many visits are out now: no more where rules forbid."""
    frozen, length = arrays.shift[shift, FROZEN_VISITS], routes.info[shift, LENGTH]
    at = _position_of(routes, shift, visit, frozen)
    if at == NOWHERE:
        return found
    most = min(longest, length - frozen)
    size = min(length - frozen, int(1.0 + chance(memory.dice) * most))
    gap = 0
    if size > 1 and chance(memory.dice) < SPLIT_CHANCE:
        gap = 1
        while size + gap < length - frozen and chance(memory.dice) < GAP_GROWTH:
            gap += 1
        if size + gap > length - frozen:
            gap = length - frozen - size
    whole = size + gap
    first = max(frozen, at - whole + 1)
    last = min(at, length - whole)
    begin = first + _below(memory.dice, last - first + 1)
    keep_from = begin + 1 + _below(memory.dice, size - 1) if gap else begin + whole
    _remember(routes, memory, shift, begin)
    visits, kept = routes.visits, begin
    for position in range(begin, length):
        here = visits[shift, position]
        if begin <= position < begin + whole and not keep_from <= position < keep_from + gap:
            memory.offered[found] = here
            found += 1
        else:
            visits[shift, kept] = here
            kept += 1
    routes.info[shift, LENGTH] = kept
    if not rebuild(arrays, routes, shift, begin):
        _restore(arrays, routes, memory, shift)
        return found - (length - kept)
    for index in range(found - (length - kept), found):
        routes.where[memory.offered[index]] = NOWHERE
    return found


@compiled
def _offer_left_out(arrays: Arrays, routes: Routes, memory: Memory, found: int, seed: int) -> int:
    """Add some of the visits that were out before to those just taken out: some near `seed`, and some from anywhere."""
    visits, fresh = arrays.visit.shape[0], found
    for index in range(-1, memory.near.shape[1]):
        if found - fresh == OFFERED_NEAR:
            break
        visit = seed if index < 0 else memory.near[seed, index]
        if _is_left_out(arrays, routes, memory, visit, found) and chance(memory.dice) < OFFER_CHANCE:
            memory.offered[found] = visit
            found += 1
    first = _below(memory.dice, visits)
    for index in range(visits):
        if found - fresh == OFFERED:
            break
        visit = (first + index) % visits
        if _is_left_out(arrays, routes, memory, visit, found):
            memory.offered[found] = visit
            found += 1
    memory.sums[CROWDED] = found - fresh
    return found


@compiled
def _is_left_out(arrays: Arrays, routes: Routes, memory: Memory, visit: int, found: int) -> bool:
    """Return whether `visit` is in no route, could be, and is not among the `found` offered already."""
    if routes.where[visit] != NOWHERE:
        return False
    for index in range(found):
        if memory.offered[index] == visit:
            return False
    return arrays.eligible[visit].any()


@compiled
def _put_back(arrays: Arrays, routes: Routes, memory: Memory, count: int) -> None:
    """Put the offered visits in, one after the other, each at its cheapest place, if that is cheaper than out."""
    _sort(arrays, memory, count)
    for index in range(count):
        visit = memory.offered[index]
        most = arrays.visit[visit, UNSERVED]
        shift, position, _ = best_insertion(arrays, routes, visit, most, BLINK, memory.dice)
        if shift != NOWHERE:
            _remember(routes, memory, shift, position)
            put_in(arrays, routes, shift, position, visit)


@compiled
def _sort(arrays: Arrays, memory: Memory, count: int) -> None:
    orders = CROWDED_ORDERS if memory.sums[CROWDED] else ORDERS
    order = orders[_below(memory.dice, orders.size)]
    for index in range(count):
        visit = memory.offered[index]
        row = arrays.visit[visit]
        if order == BY_CHANCE:
            key = chance(memory.dice)
        elif order == BY_SIZE:
            key = -float(row[LOAD]) if row[LOAD] else -float(row[DURATION])
        elif order == BY_DISTANCE:
            key = -float(memory.remote[visit])
        elif order == BY_NEARNESS:
            key = float(memory.remote[visit])
        elif order == BY_PRICE:
            key = -float(row[UNSERVED])
        elif order == BY_WORTH:
            key = -float(row[UNSERVED]) / (row[DURATION] + 1.0)
        else:
            closes = arrays.opens[row[OPENS_UNTIL] - 1, 1] if row[OPENS_UNTIL] > row[OPENS_FROM] else row[DUE]
            key = float(min(row[DUE], closes))
        memory.keys[index] = key
    for index in range(1, count):
        key, visit, place = memory.keys[index], memory.offered[index], index
        while place > 0 and memory.keys[place - 1] > key:
            memory.keys[place] = memory.keys[place - 1]
            memory.offered[place] = memory.offered[place - 1]
            place -= 1
        memory.keys[place], memory.offered[place] = key, visit


@compiled
def _accept(routes: Routes, memory: Memory, total: int) -> None:
    memory.sums[TOTAL] = total
    memory.old_length[:] = NOWHERE
    if total < memory.sums[BEST]:
        memory.sums[BEST] = total
        for shift in range(routes.visits.shape[0]):
            length = routes.info[shift, LENGTH]
            memory.best_length[shift] = length
            for position in range(length):
                memory.best[shift, position] = routes.visits[shift, position]


@compiled
def _revert(arrays: Arrays, routes: Routes, memory: Memory) -> None:
    for shift in range(routes.visits.shape[0]):
        if memory.old_length[shift] != NOWHERE:
            for position in range(routes.info[shift, LENGTH]):
                routes.where[routes.visits[shift, position]] = NOWHERE
    for shift in range(routes.visits.shape[0]):
        if memory.old_length[shift] != NOWHERE:
            _restore(arrays, routes, memory, shift)


@compiled
def _restore(arrays: Arrays, routes: Routes, memory: Memory, shift: int) -> None:
    length = memory.old_length[shift]
    for index in range(length):
        routes.visits[shift, index] = memory.old[shift, index]
    routes.info[shift, LENGTH] = length
    rebuild(arrays, routes, shift, memory.touched_from[shift])
    for position in range(length):
        routes.where[routes.visits[shift, position]] = shift
    memory.old_length[shift] = NOWHERE


def _nearest(arrays: Arrays, count: int, *, in_time: bool) -> Integers:
    """Return for each visit `count` others, the nearest first: by driving there and back, or by time as well.

    `in_time`: by driving, waiting at a fifth of it, and lateness, in the order of the two that takes less: neighbours
    on the map whose windows are days apart have little to exchange. The measure is that of Vidal et al., "A hybrid
    genetic algorithm with adaptive diversity management for a large class of vehicle routing problems with
    time-windows", Computers & Operations Research 40(1), 2013.
    """
    behind = _behind_in_time if in_time else _behind
    visits = len(arrays.visit)
    everybody = np.arange(visits)
    near = np.empty((visits, max(0, min(count, visits - 1))), dtype=np.int64)
    for begin in range(0, visits, ROWS_AT_ONCE):
        some = everybody[begin : begin + ROWS_AT_ONCE]
        there, back = behind(arrays, some, everybody), behind(arrays, everybody, some).T
        apart = np.minimum(there, back) if in_time else there + back
        apart[np.arange(len(some)), some] = -1
        near[some] = np.argsort(apart, axis=1, kind="stable")[:, 1 : near.shape[1] + 1]
    return near


def _behind(arrays: Arrays, first: Integers, then: Integers) -> Integers:
    """Return the seconds of driving from each of `first` to each of `then`."""
    there = arrays.visit[:, PLACE]
    return arrays.seconds[np.ix_(there[first], there[then])].astype(np.int64)


def _behind_in_time(arrays: Arrays, first: Integers, then: Integers) -> Integers:
    """Return the seconds it costs to serve each of `then` right behind each of `first`, at the best of times."""
    rows, last = arrays.visit, len(arrays.opens) - 1
    opens = arrays.opens[np.minimum(rows[:, OPENS_FROM], last), 0]
    closes = arrays.opens[np.maximum(rows[:, OPENS_UNTIL] - 1, 0), 1]
    driving = _behind(arrays, first, then)
    leaves = driving + rows[first, DURATION, None]
    waiting = np.maximum(0, opens[None, then] - (closes[first, None] + leaves))
    late = np.maximum(0, opens[first, None] + leaves - closes[None, then])
    return driving + waiting // WAITING_COUNTS + late


def new_memory(arrays: Arrays, routes: Routes, *, neighbours: int, most_changes: int | None, seed: int) -> Memory:
    """Return the memory of a search that begins at `routes`."""
    visits, shifts = len(arrays.visit), len(arrays.shift)
    there = arrays.visit[:, PLACE]
    starts = np.unique(arrays.shift[:, START_PLACE])
    total = int(total_price(arrays, routes))
    sums = np.zeros(SUM_ENTRIES, dtype=np.int64)
    sums[TOTAL] = sums[BEST] = total
    sums[CHANGES_ALLOWED] = NOWHERE if most_changes is None else most_changes
    return Memory(
        near=_nearest(arrays, neighbours, in_time=False),
        near_in_time=_nearest(arrays, neighbours, in_time=True),
        remote=arrays.seconds[np.ix_(starts, there)].min(axis=0).astype(np.int64),
        old=np.zeros_like(routes.visits),
        old_length=np.full(shifts, NOWHERE, dtype=np.int64),
        touched_from=np.zeros(shifts, dtype=np.int64),
        best=routes.visits.copy(),
        best_length=routes.info[:, LENGTH].astype(np.int64),
        offered=np.zeros(visits + OFFERED, dtype=np.int64),
        keys=np.zeros(visits + OFFERED, dtype=np.float64),
        sums=sums,
        dice=np.array([1 + (seed * 7_919 + 12_345) % 2_147_483_646], dtype=np.int64),
    )
