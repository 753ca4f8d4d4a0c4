"""The earliest moment somebody could start a visit: what no plan can beat."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from routing.arrays import FOREVER
from routing.draft import Draft
from routing.instance import Instance, VisitData, rows_of
from routing.limits import CLOSURE_PLACES
from routing.simulate import PER_MILLE

Seconds = Sequence[Sequence[int]]


def first_start_on(base: Draft, visit: int, shift: int, seconds: Seconds) -> int | None:
    """Return the earliest start of `visit` as the only free visit on `shift`, breaks left aside; None if never.

    `base` holds the frozen visits only. With `seconds` being shortest paths this is a bound for every plan: other
    visits on the way and breaks only make it later.
    """
    instance = base.instance
    data, day, route = instance.visits[visit], instance.shifts[shift], base.routes[shift]
    place = instance.visits[route.visits[-1]].place if route.visits else day.start_place
    free = route.times.stops[-1].ends if route.visits else day.start
    start = first_open(data, free + seconds[place][data.place])
    if start is None or start + data.duration + seconds[data.place][day.end_place] > day.last:
        return None
    return start


def first_open(visit: VisitData, ready: int) -> int | None:
    """Return the first moment from `ready` on at which service may start, or None."""
    return next((max(ready, opens) for opens, closes in visit.opens if ready <= closes), None)


def earliest_starts(base: Draft, seconds: Seconds) -> list[int]:
    """Return for every visit the earliest start on any shift that may take it; FOREVER when there is none."""
    return [
        min(
            (
                start
                for shift in base.instance.eligible[visit]
                if (start := first_start_on(base, visit, shift, seconds)) is not None
            ),
            default=FOREVER,
        )
        for visit in range(len(base.instance.visits))
    ]


def bounding_seconds(instance: Instance) -> Seconds:
    """Return travel that no way round and no hour undercuts; for more than CLOSURE_PLACES places, no hour."""
    table = instance.travel.seconds
    if instance.problem.pace is not None:
        table = (table.astype(np.int64) * PER_MILLE // max(instance.problem.pace.per_mille)).astype(np.int32)
    return rows_of(shortest_paths(table) if len(table) <= CLOSURE_PLACES else table)


def shortest_paths(seconds: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the shortest travel between all places, stopping over anywhere (Floyd 1962); cubic in the places."""
    closed = seconds.copy()
    for middle in range(len(closed)):
        np.minimum(closed, closed[:, middle, None] + closed[None, middle, :], out=closed)
    return closed
