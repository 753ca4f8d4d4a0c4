"""The earliest moment somebody could start a visit: what no plan can beat."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from routing.arrays import FOREVER, Integers
from routing.draft import Draft
from routing.instance import Instance
from routing.limits import CLOSURE_PLACES
from routing.simulate import PER_MILLE

Seconds = NDArray[np.int32]

PLACE, FREE, END_PLACE, LAST = range(4)
"""Columns of what a shift has left behind its frozen visits: where and when it is free, and where and when it ends."""


class Reach:
    """The earliest starts of visits behind the frozen visits, which alone `base` holds.

    With `seconds` (from place, to place) being shortest paths, they are a bound for every plan: other visits on the way
    and breaks only make it later.
    """

    def __init__(self, base: Draft, seconds: Seconds) -> None:
        self._instance: Final = base.instance
        self._seconds: Final = seconds
        self._left: Final[Integers] = _left(base)
        self._distinct: Final[dict[int, Integers]] = {}

    def earliest(self, visit: int) -> int:
        """Return the earliest start as the only free visit of any shift that may take it; FOREVER if there is none."""
        data, left = self._instance.visits[visit], self._of(visit)
        ready = left[:, FREE] + self._seconds[left[:, PLACE], data.place]
        starts = np.full(len(left), FOREVER)
        for opens, closes in reversed(data.opens):
            starts = np.where(ready <= closes, np.maximum(ready, opens), starts)
        back = starts + data.duration + self._seconds[data.place, left[:, END_PLACE]]
        return int(np.where(back <= left[:, LAST], starts, FOREVER).min(initial=FOREVER))

    def _of(self, visit: int) -> Integers:
        """Return what the shifts that may take the visit have left, those alike once."""
        able = self._instance.eligible[visit]
        if id(able) not in self._distinct:  # visits with the same rules share one tuple, as long as the instance lives
            self._distinct[id(able)] = np.unique(self._left[list(able)], axis=0)
        return self._distinct[id(able)]


def _left(base: Draft) -> Integers:
    rows = np.zeros((len(base.routes), 4), dtype=np.int64)
    for day, route in zip(base.instance.shifts, base.routes, strict=True):
        place = base.instance.visits[route.visits[-1]].place if route.visits else day.start_place
        free = route.times.stops[-1].ends if route.visits else day.start
        rows[day.index] = place, free, day.end_place, day.last
    return rows


def earliest_starts(base: Draft, seconds: Seconds) -> list[int]:
    """Return for every visit the earliest start on any shift that may take it; FOREVER when there is none."""
    reach = Reach(base, seconds)
    return [reach.earliest(visit) for visit in range(len(base.instance.visits))]


def bounding_seconds(instance: Instance) -> Seconds:
    """Return travel that no way round and no hour undercuts; for more than CLOSURE_PLACES places, no hour."""
    table = instance.travel.seconds
    if instance.problem.pace is not None:
        table = (table.astype(np.int64) * PER_MILLE // max(instance.problem.pace.per_mille)).astype(np.int32)
    return shortest_paths(table) if len(table) <= CLOSURE_PLACES else table


def shortest_paths(seconds: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the shortest travel between all places, stopping over anywhere (Floyd 1962); cubic in the places."""
    closed = seconds.copy()
    for middle in range(len(closed)):
        np.minimum(closed, closed[:, middle, None] + closed[None, middle, :], out=closed)
    return closed
