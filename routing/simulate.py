"""The exact simulation of one route: travel, opening times, breaks, shift end, overtime and prices.

Earliest is best except for two choices: where to put a break, and whether to wait so that a customer who was told a
time is not moved. The simulation therefore carries a few *labels* (moments the technician can be free at, with the
price paid by then) and drops a label when another is as early, as cheap and has as many breaks behind it. What
remains contains the cheapest schedule of the given order of visits, where drives begin as soon as they can.

The functions are compiled (`routing.kernel.jit`); the search, the insertion scan, what-ifs and explanations all call
these, and nothing else says what a route costs. The referee (`routing.check`) is written apart from them.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from routing.arrays import (
    BEGUN,
    CHANGES,
    DELAY_SECOND,
    DUE,
    DURATION,
    END,
    END_PLACE,
    FAIR,
    FOREVER,
    FROZEN,
    LABEL_COLUMNS,
    LAST,
    LATE,
    LATE_SECOND,
    MAX_LABELS,
    MOVED_PRICE,
    NOT_PREFERRED,
    NOWHERE,
    OPENS_FROM,
    OPENS_UNTIL,
    OUTSIDE_TERRITORY,
    OVERTIME_SECOND,
    PACE_BEGINS,
    PAID,
    PARENT,
    PARTS_READY,
    PAUSES_FROM,
    PAUSES_UNTIL,
    PLACE,
    PREVIOUS_SHIFT,
    PROMISE_BROKEN,
    PROMISE_END,
    PROMISE_SECOND,
    RELEASE,
    RESTS_AFTER,
    RESTS_BEFORE,
    SHIFT_TERRITORY,
    STAGE_ROWS,
    START,
    START_PLACE,
    STOCKED,
    TAKEN,
    TECHNICIAN,
    TERRITORY,
    TIME,
    TOLD_FROM,
    TOLD_MOVED,
    TOLD_SHIFT,
    TOLD_UNTIL,
    TRAVEL_SECOND,
    UNFAIR_SECOND,
    WANTED_TECHNICIAN,
    Arrays,
    Labels,
)
from routing.kernel.jit import compiled, inlined

HOUR: Final = 3_600
PER_MILLE: Final = 1_000
EARLIEST, LATEST, LENGTH = range(3)
"""Columns of Arrays.pause."""


@inlined
def arrival(arrays: Arrays, leaves: int, leg: int) -> int:
    """Return when a drive of `leg` table seconds that begins at `leaves` ends, each hour at its own pace."""
    pace = arrays.pace
    if pace.size == 0:
        return leaves + leg
    left, time = leg * PER_MILLE, leaves
    begins = arrays.price[PACE_BEGINS]
    hour = min(max(0, (leaves - begins) // HOUR), pace.size - 1)
    while True:
        over = time - (-left // pace[hour])
        until = begins + (hour + 1) * HOUR
        if hour == pace.size - 1 or over <= until:
            return over
        left -= (until - time) * pace[hour]
        time = until
        hour += 1


@inlined
def first_open(arrays: Arrays, visit: int, ready: int) -> int:
    """Return the first moment from `ready` on at which service may start, or NOWHERE."""
    for index in range(arrays.visit[visit, OPENS_FROM], arrays.visit[visit, OPENS_UNTIL]):
        if ready <= arrays.opens[index, 1]:
            return max(ready, arrays.opens[index, 0])
    return NOWHERE


@inlined
def taking_price(arrays: Arrays, visit: int, shift: int) -> int:
    """Return what it costs that just this shift takes the visit: moved, not preferred, outside the territory."""
    visits, shifts, price = arrays.visit, arrays.shift, 0
    if visits[visit, PREVIOUS_SHIFT] not in (NOWHERE, shift):
        price += visits[visit, MOVED_PRICE]
    if visits[visit, WANTED_TECHNICIAN] not in (NOWHERE, shifts[shift, TECHNICIAN]):
        price += arrays.price[NOT_PREFERRED]
    territory = visits[visit, TERRITORY]
    if territory != NOWHERE and shifts[shift, SHIFT_TERRITORY] not in (NOWHERE, territory):
        price += arrays.price[OUTSIDE_TERRITORY]
    return price


@inlined
def late_price(arrays: Arrays, visit: int, start: int) -> int:
    """Return what starting after the commitment costs."""
    overdue = start - arrays.visit[visit, DUE]
    return arrays.visit[visit, LATE] + arrays.visit[visit, LATE_SECOND] * overdue if overdue > 0 else 0


@inlined
def promise_price(arrays: Arrays, visit: int, start: int) -> int:
    """Return what starting after the promised window costs."""
    end = arrays.visit[visit, PROMISE_END]
    return arrays.price[PROMISE_BROKEN] + arrays.price[PROMISE_SECOND] * (start - end) if start > end else 0


@inlined
def delay_price(arrays: Arrays, visit: int, start: int) -> int:
    """Return what each second since the first moment service could start costs."""
    return arrays.visit[visit, DELAY_SECOND] * max(0, start - arrays.visit[visit, RELEASE])


@inlined
def told_otherwise(arrays: Arrays, visit: int, shift: int, start: int) -> bool:
    """Return whether a customer told of a time on this shift would see `start` as another time."""
    visits = arrays.visit
    return visits[visit, TOLD_SHIFT] == shift and not visits[visit, TOLD_FROM] <= start <= visits[visit, TOLD_UNTIL]


@inlined
def start_price(arrays: Arrays, visit: int, shift: int, start: int) -> int:
    """Return what starting `visit` at `start` on `shift` costs; the choice of the shift itself is priced apart."""
    churn = arrays.price[TOLD_MOVED] if told_otherwise(arrays, visit, shift, start) else 0
    return (
        late_price(arrays, visit, start)
        + promise_price(arrays, visit, start)
        + delay_price(arrays, visit, start)
        + churn
    )


@inlined
def unfair_price(arrays: Arrays, shift: int, service: int) -> int:
    """Return what `service` seconds on `shift` cost beyond its fair share."""
    return arrays.price[UNFAIR_SECOND] * max(0, service - arrays.shift[shift, FAIR])


@inlined
def set_off(arrays: Arrays, shift: int, labels: Labels, to: int) -> int:
    """Write the one label of a technician who has not left the start place yet; return how many there are: 1."""
    for column in range(LABEL_COLUMNS):
        labels[to, column] = 0
    labels[to, TIME] = arrays.shift[shift, START]
    labels[to, PARENT] = NOWHERE
    return 1


@inlined
def _copy(labels: Labels, source: int, to: int) -> None:
    for column in range(LABEL_COLUMNS):
        labels[to, column] = labels[source, column]


@inlined
def _keep(labels: Labels, at: int, count: int) -> int:
    """Make the row behind the `count` labels of a stage one of them, unless one there is as good; drop those it beats.

    Return how many there are then.
    """
    new = at + count
    time, paid, taken = labels[new, TIME], labels[new, PAID], labels[new, TAKEN]
    kept = at
    for index in range(at, new):
        if labels[index, TIME] <= time and labels[index, PAID] <= paid and labels[index, TAKEN] >= taken:
            return count  # nothing can have been dropped yet: what it beats, that one beats, too
        if not (time <= labels[index, TIME] and paid <= labels[index, PAID] and taken >= labels[index, TAKEN]):
            if kept != index:
                _copy(labels, index, kept)
            kept += 1
    if kept - at == MAX_LABELS:
        dearest = at
        for index in range(at + 1, kept):
            if labels[index, PAID] > labels[dearest, PAID]:
                dearest = index
        if labels[dearest, PAID] > paid:
            _copy(labels, new, dearest)
        return MAX_LABELS
    if kept != new:
        _copy(labels, new, kept)
    return kept + 1 - at


@inlined
def _add(arrays: Arrays, visit: int, shift: int, start: int, labels: Labels, to: int, count: int) -> int:
    """Start service at `start`, if the day allows: the row behind the stage's `count` labels holds all but the start.

    Return how many labels the stage has then.
    """
    new = to + count
    over = start + arrays.visit[visit, DURATION]
    pause = arrays.shift[shift, PAUSES_FROM] + labels[new, TAKEN]
    rests_left = pause < arrays.shift[shift, PAUSES_UNTIL]
    if over > arrays.shift[shift, LAST] or (rests_left and over > arrays.pause[pause, LATEST]):
        return count
    labels[new, TIME] = over
    labels[new, BEGUN] = start
    labels[new, PAID] += start_price(arrays, visit, shift, start)
    labels[new, CHANGES] += int(told_otherwise(arrays, visit, shift, start))
    return _keep(labels, to, count)


@inlined
def advance(arrays: Arrays, shift: int, place: int, visit: int, labels: Labels, at: int, count: int, to: int) -> int:
    """Write the stage after `visit`, coming from `place`; return how many labels it has: 0 when it is out of reach.

    A stage is MAX_LABELS rows of `labels` and a spare one; `at` is the first row of the stage before, which has
    `count` labels, `to` that of the stage to write.
    """
    leg = arrays.seconds[place, arrays.visit[visit, PLACE]]
    fixed, drive_second = taking_price(arrays, visit, shift), arrays.price[TRAVEL_SECOND]
    stocked = arrays.visit[visit, STOCKED] == arrays.shift[shift, TECHNICIAN]
    parts = 0 if stocked else arrays.visit[visit, PARTS_READY]
    told_here = arrays.visit[visit, TOLD_SHIFT] == shift
    told_from, told_until = arrays.visit[visit, TOLD_FROM], arrays.visit[visit, TOLD_UNTIL]
    found = 0
    for index in range(at, at + count):
        leaves, before, taken = labels[index, TIME], 0, labels[index, TAKEN]
        while leaves != NOWHERE:
            arrives, after = arrival(arrays, leaves, leg), 0
            paid = labels[index, PAID] + fixed + drive_second * (arrives - leaves)
            ready = arrives
            while ready != NOWHERE:
                start = first_open(arrays, visit, max(ready, parts))
                while start != NOWHERE:
                    new = to + found
                    labels[new, PAID] = paid
                    labels[new, TAKEN] = taken + before + after
                    labels[new, CHANGES] = labels[index, CHANGES]
                    labels[new, PARENT] = index - at
                    labels[new, RESTS_BEFORE] = before
                    labels[new, RESTS_AFTER] = after
                    found = _add(arrays, visit, shift, start, labels, to, found)
                    if not told_here or start >= told_from:
                        break
                    start = first_open(arrays, visit, told_from)  # waiting until then keeps what was told
                    if start > told_until:
                        break
                ready = _rested(arrays, shift, taken + before + after, ready)
                after += 1
            leaves = _rested(arrays, shift, taken + before, leaves)
            before += 1
    return _undelayed(labels, to, found) if arrays.visit[visit, FROZEN] else found


@inlined
def _rested(arrays: Arrays, shift: int, taken: int, time: int) -> int:
    """Return when the next break, begun at `time` or as soon as it may, is over; NOWHERE when there is none then."""
    pause = arrays.shift[shift, PAUSES_FROM] + taken
    if pause == arrays.shift[shift, PAUSES_UNTIL]:
        return NOWHERE
    begin = max(time, arrays.pause[pause, EARLIEST])
    return NOWHERE if begin > arrays.pause[pause, LATEST] else begin + arrays.pause[pause, LENGTH]


@compiled
def _undelayed(labels: Labels, at: int, count: int) -> int:
    """Keep the labels that start first only: a break never delays what is frozen."""
    first = FOREVER
    for index in range(at, at + count):
        first = min(first, labels[index, BEGUN])
    kept = 0
    for index in range(at, at + count):
        if labels[index, BEGUN] == first:
            _copy(labels, index, at + kept)
            kept += 1
    return kept


@compiled
def finish(arrays: Arrays, shift: int, place: int, labels: Labels, at: int, count: int, to: int) -> bool:
    """Write to row `to` the cheapest way home from `place` (the earliest of them); False when there is none in time.

    Its TIME is when the technician is back, PAID the price of the route without fairness, BEGUN when the drive began.
    """
    leg = arrays.seconds[place, arrays.shift[shift, END_PLACE]]
    pauses = arrays.shift[shift, PAUSES_UNTIL] - arrays.shift[shift, PAUSES_FROM]
    found = False
    for index in range(at, at + count):
        leaves, before, taken = labels[index, TIME], 0, labels[index, TAKEN]
        while True:
            back = arrival(arrays, leaves, leg)
            after, ready = 0, back
            while taken + before + after < pauses and ready != NOWHERE:
                ready = _rested(arrays, shift, taken + before + after, ready)
                after += 1
            overtime = arrays.price[OVERTIME_SECOND] * max(0, back - arrays.shift[shift, END])
            paid = labels[index, PAID] + arrays.price[TRAVEL_SECOND] * (back - leaves) + overtime
            better = not found or paid < labels[to, PAID] or (paid == labels[to, PAID] and back < labels[to, TIME])
            if ready != NOWHERE and back <= arrays.shift[shift, LAST] and better:
                found = True
                labels[to, TIME] = back
                labels[to, PAID] = paid
                labels[to, TAKEN] = pauses
                labels[to, CHANGES] = labels[index, CHANGES]
                labels[to, PARENT] = index - at
                labels[to, BEGUN] = leaves
                labels[to, RESTS_BEFORE] = before
                labels[to, RESTS_AFTER] = after
            leaves = _rested(arrays, shift, taken + before, leaves)
            if leaves == NOWHERE:
                break
            before += 1
    return found


@compiled
def run_route(arrays: Arrays, shift: int, visits: Labels, labels: Labels, counts: Labels) -> int:
    """Simulate `visits` in order on `shift`; return how many are reached in time, one more when the way home is, too.

    Stage i of `labels` is that before visit i (stage 0: not left yet) with `counts[i]` labels; one stage more than
    there are visits and another for the ending are needed.
    """
    counts[0] = set_off(arrays, shift, labels, 0)
    place, size = arrays.shift[shift, START_PLACE], visits.size
    for index in range(size):
        at = index * STAGE_ROWS
        counts[index + 1] = advance(arrays, shift, place, visits[index], labels, at, counts[index], at + STAGE_ROWS)
        if counts[index + 1] == 0:
            return index
        place = arrays.visit[visits[index], PLACE]
    end = size * STAGE_ROWS
    return size + int(finish(arrays, shift, place, labels, end, counts[size], end + STAGE_ROWS))


class StopTimes(NamedTuple):
    """One visit of a simulated route, in seconds from the horizon start.

    `rests`: begin and end of each break taken since the stop before.
    """

    leaves: int
    arrives: int
    start: int
    ends: int
    rests: tuple[tuple[int, int], ...]


class RouteTimes(NamedTuple):
    """The cheapest schedule of a route: its stops, the drive home from `leaves` until `back`, and the price in all."""

    stops: tuple[StopTimes, ...]
    leaves: int
    back: int
    rests: tuple[tuple[int, int], ...]
    price: int

    def starts(self) -> list[int]:
        """Return when service starts at each visit."""
        return [stop.start for stop in self.stops]


class Reached(NamedTuple):
    """How far a route that cannot be driven gets.

    `visits`: how many are reached in time, all of them if only the way home fails; `free`: when the technician is free
    behind the last of these at the earliest.
    """

    visits: int
    free: int


def simulated(arrays: Arrays, shift: int, visits: Sequence[int]) -> RouteTimes | Reached:
    """Return the cheapest schedule of `visits` in this order on `shift`, or how far it gets."""
    size = len(visits)
    labels = np.zeros(((size + 2) * STAGE_ROWS, LABEL_COLUMNS), dtype=np.int64)
    counts = np.zeros(size + 1, dtype=np.int64)
    reached = run_route(arrays, shift, np.array(visits, dtype=np.int64), labels, counts)
    stages = labels.reshape(size + 2, STAGE_ROWS, LABEL_COLUMNS)
    if reached <= size:
        return Reached(int(reached), int(stages[reached, : counts[reached], TIME].min()))
    return _traced(arrays, shift, visits, stages, stages[size + 1, 0])


def _traced(arrays: Arrays, shift: int, visits: Sequence[int], stages: Labels, ending: Labels) -> RouteTimes:
    """Follow the labels back from the ending and return every time on the way."""
    size = len(visits)
    chosen = [stages[0, 0]] * (size + 1)
    label = ending
    for index in range(size, -1, -1):
        chosen[index] = stages[index, label[PARENT]]
        label = chosen[index]
    stops: list[StopTimes] = []
    for index in range(size):
        before, here = chosen[index], chosen[index + 1]
        origin = arrays.shift[shift, START_PLACE] if index == 0 else arrays.visit[visits[index - 1], PLACE]
        leg = int(arrays.seconds[origin, arrays.visit[visits[index], PLACE]])
        leaves, arrives, rests = _drive(arrays, shift, before, here, leg)
        stops.append(StopTimes(leaves, arrives, int(here[BEGUN]), int(here[TIME]), rests))
    place = arrays.visit[visits[-1], PLACE] if size else arrays.shift[shift, START_PLACE]
    leg = int(arrays.seconds[place, arrays.shift[shift, END_PLACE]])
    leaves, back, rests = _drive(arrays, shift, chosen[size], ending, leg)
    service = int(arrays.visit[list(visits), DURATION].sum()) if size else 0
    price = int(ending[PAID]) + int(unfair_price(arrays, shift, service)) if size else 0
    return RouteTimes(tuple(stops), leaves, back, rests, price)


Drive: TypeAlias = tuple[int, int, tuple[tuple[int, int], ...]]


def _drive(arrays: Arrays, shift: int, before: Labels, here: Labels, leg: int) -> Drive:
    """Return when the drive between two labels begins and ends, and the breaks around it."""
    pause = int(arrays.shift[shift, PAUSES_FROM] + before[TAKEN])
    rests: list[tuple[int, int]] = []

    def rest(time: int) -> int:
        earliest, _, length = (int(number) for number in arrays.pause[pause + len(rests)])
        begin = max(time, earliest)
        rests.append((begin, begin + length))
        return begin + length

    leaves = int(before[TIME])
    for _ in range(here[RESTS_BEFORE]):
        leaves = rest(leaves)
    arrives = int(arrival(arrays, leaves, leg))
    ready = arrives
    for _ in range(here[RESTS_AFTER]):
        ready = rest(ready)
    return leaves, arrives, tuple(rests)
