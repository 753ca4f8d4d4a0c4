"""A start and technicians for a crew: who together are cheapest, and when."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from routing import arrays as columns
from routing.anchors import Anchors
from routing.arrays import Integers
from routing.draft import Draft
from routing.instance import Instance
from routing.kernel import routes as kernel
from routing.scan import cheapest_insertion

STARTS_TRIED: Final = 60
"""Common starts looked at for one crew for which few of them showed none that is possible."""
COARSE_STARTS: Final = 16
FINE_STARTS: Final = 12
"""Common starts looked at for one crew: over all its time, then around the best of these."""


class Crews:
    """Puts the stays of one crew after another into drafts of one instance."""

    def __init__(self, instance: Instance, anchors: Anchors) -> None:
        self._instance = instance
        self._arrays = instance.arrays
        self._anchors = anchors

    def put_in(self, draft: Draft, stays: Sequence[int], shifts: Sequence[set[int]], bounds: tuple[int, int]) -> bool:
        """Put the stays in on some of their `shifts`, to start together within `bounds`, where that is cheapest.

        False where that is nowhere, or dearer than leaving them out: what was put in by then is for the caller to undo.
        """
        opened = self._possible_starts(draft, stays, bounds)
        tried = _spread(opened, COARSE_STARTS)
        best = self._cheapest_start(draft, stays, shifts, tried)
        if len(opened) > COARSE_STARTS:  # now those around the best, or, where none was possible, more of all
            near = (
                _spread(opened, STARTS_TRIED) if best is None else _spread(_around(opened, tried, best[1]), FINE_STARTS)
            )
            found = self._cheapest_start(draft, stays, shifts, near)
            best = min((one for one in (best, found) if one is not None), default=None)
        if best is None or best[0] >= sum(draft.instance.visits[stay].unserved for stay in stays):
            return False
        for stay in stays:
            self._anchors.reopen(stay)
            self._anchors.clip(stay, best[1], best[1])
        for stay, shift in zip(stays, best[2], strict=True):
            insertion = cheapest_insertion(draft, stay, shifts=[shift])
            if insertion is None:
                return False
            draft.replace(insertion.shift, insertion.route)
        return True

    def _cheapest_start(
        self, draft: Draft, stays: Sequence[int], shifts: Sequence[set[int]], starts: Iterable[int]
    ) -> tuple[int, int, list[int]] | None:
        """Return (added price, start, a shift for each stay) of the cheapest of these starts that is possible."""
        best: tuple[int, int, list[int]] | None = None
        for start in starts:
            for stay in stays:
                self._anchors.reopen(stay)
                self._anchors.clip(stay, start, start)
            chosen = self._cheapest_crew(draft, stays, shifts)
            if chosen is not None and (best is None or chosen[0] < best[0]):
                best = chosen[0], start, chosen[1]
        return best

    def _possible_starts(self, draft: Draft, stays: Sequence[int], bounds: tuple[int, int]) -> list[int]:
        """Return moments at which a crew could start together: when windows open, and when somebody could be there."""
        data, place = self._instance.visits[stays[0]], self._instance.visits[stays[0]].place
        moments = {max(opens, bounds[0]) for opens, _ in data.opens}
        planned = self._instance.problem.visits[stays[0]].previous
        if planned is not None:
            moments.add(planned.start)
        for shift in sorted({shift for stay in stays for shift in self._instance.eligible[stay]}):
            free = self._instance.shifts[shift].start
            here = self._instance.shifts[shift].start_place
            moments.add(free + self._instance.seconds[here][place])
            for visit, stop in zip(draft.routes[shift].visits, draft.routes[shift].times.stops, strict=True):
                moments.add(stop.ends + self._instance.seconds[self._instance.visits[visit].place][place])
        return sorted(_within(moments, data.opens, bounds))

    def _cheapest_crew(
        self, draft: Draft, stays: Sequence[int], shifts: Sequence[set[int]]
    ) -> tuple[int, list[int]] | None:
        """Return (added price, a shift for each stay) of the cheapest different technicians; None if there are too few.

        The first stay may be bound to somebody, so it chooses first; the others are alike, and often it is, too.
        """
        total, taken, chosen = 0, set[str](), list[int]()
        known: dict[bytes, list[tuple[int, int]]] = {}
        for stay, able in zip(stays, shifts, strict=True):
            row = self._arrays.visit[stay].copy()
            row[[columns.OPENS_FROM, columns.OPENS_UNTIL]] = 0  # all of a crew start when it does
            alike = row.tobytes() + bytes(str(sorted(able)), "ascii")
            if alike not in known:
                known[alike] = sorted(self._prices(draft, stay, able))
            best = next((one for one in known[alike] if self._technician(one[1]) not in taken), None)
            if best is None:
                return None
            total += best[0]
            chosen.append(best[1])
            taken.add(self._technician(best[1]))
        return total, chosen

    def _prices(self, draft: Draft, stay: int, able: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Yield (added price, shift) of the cheapest place for a stay on each shift that has one."""
        routes = draft.compiled()
        added = np.zeros(routes.counts.shape[1], dtype=np.int64)
        for shift in able:
            kernel.all_insertions(self._arrays, routes, stay, shift, added)
            price = int(added[: len(draft.routes[shift].visits) + 1].min())
            if price < kernel.IMPOSSIBLE:
                yield price, shift

    def _technician(self, shift: int) -> str:
        return self._instance.problem.shifts[shift].technician


def _spread(starts: Sequence[int], most: int) -> list[int]:
    """Return at most so many of `starts`, the first and the last among them, evenly apart."""
    if len(starts) <= most:
        return list(starts)
    picked: Integers = np.linspace(0, len(starts) - 1, most).astype(np.int64)
    return [starts[index] for index in picked.tolist()]


def _around(starts: Sequence[int], tried: Sequence[int], best: int) -> list[int]:
    """Return the `starts` between those of `tried` that lie before and after the best of these."""
    at = tried.index(best)
    first, last = tried[max(0, at - 1)], tried[min(len(tried) - 1, at + 1)]
    return [start for start in starts if first < start < last and start != best]


def _within(moments: Iterable[int], opens: Sequence[tuple[int, int]], bounds: tuple[int, int]) -> Iterator[int]:
    seen: set[int] = set()
    for moment in moments:
        for begin, end in opens:
            start = max(moment, begin, bounds[0])
            if start <= min(end, bounds[1]) and start not in seen:
                seen.add(start)
                yield start
