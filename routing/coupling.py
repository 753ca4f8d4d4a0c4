"""Visits that depend on each other across routes: several technicians at once, and one visit after another.

The search knows single routes only. So each technician's *stay* at such a visit becomes a visit of its own, and what
binds them is turned into times: the stays of a crew are *anchored* to one start and their shifts, and between a visit
and the one that follows it a moment is fixed by which the first is over. What the search finds under these times is
legal; between its rounds every coupled visit is taken out and put where it is cheapest now, which moves the times.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from routing import arrays as columns
from routing.anchors import Anchors, starts_of
from routing.arrays import Integers
from routing.draft import Draft, driven, simulate_route
from routing.instance import Instance
from routing.kernel import routes as kernel
from routing.scan import candidates, cheapest_insertion, inserted
from routing.stays import Stays

STARTS_TRIED: Final = 60
"""Common starts looked at for one crew for which few of them showed none that is possible."""
COARSE_STARTS: Final = 16
FINE_STARTS: Final = 12
"""Common starts looked at for one crew: over all its time, then around the best of these."""
PLACES_TRIED: Final = 12
"""Places looked at for a visit that makes room for the one that follows it."""


class Couplings:
    """The coupled visits of one problem of stays: they are placed here, between rounds of the search."""

    def __init__(self, stays: Stays, instance: Instance) -> None:
        self._stays = stays
        self._instance = instance
        self._arrays = instance.arrays
        self._anchors = Anchors(stays, instance)

    def stays(self) -> frozenset[int]:
        """Return the stays that only this places."""
        return frozenset(stay for visit in self._anchors.coupled for stay in self._stays.of[visit])

    def settle(self, draft: Draft, stop: Callable[[], bool]) -> None:
        """Take every coupled visit out, one after the other, and put it where it is cheapest; then anchor all."""
        for visit in self._anchors.coupled:
            if stop():
                break
            before = draft.copy()
            self._anchors.hold(draft, visit)
            self.take_out(draft, visit)
            out = all(stay in draft.unplanned for stay in self._stays.of[visit])
            placed = out and (self._place(draft, visit) or self._place_both(draft, visit))
            if placed:
                self._place_followers(draft, visit)
            if not placed or not _better(self._stays.whole.most_changes, draft, before):
                draft.routes, draft.unplanned = before.routes, before.unplanned
                draft.forget_compiled()
        self._drop_orphans(draft)
        self._anchors.hold(draft, None)
        for shift, route in enumerate(draft.routes):  # waiting for a told customer may cost less under the new anchors
            draft.replace(shift, driven(self._instance, shift, route.visits))

    def _place_followers(self, draft: Draft, visit: int) -> None:
        """Put in what follows a visit, directly or not, as far as there is room."""
        waiting = list(self._anchors.followers.get(visit, []))
        while waiting:
            follower = waiting.pop(0)
            self._anchors.hold(draft, follower)
            if self._place(draft, follower):
                waiting += self._anchors.followers.get(follower, [])

    def take_out(self, draft: Draft, visit: int) -> None:
        """Take a visit and all that follows it off their shifts; where rules keep one there, it stays."""
        waiting, out = [visit], set[int]()
        while waiting:
            one = waiting.pop()
            waiting += self._anchors.followers.get(one, [])
            out.update(self._stays.of[one])
        for shift, route in enumerate(draft.routes):
            if not out.isdisjoint(route.visits):
                rest = simulate_route(self._instance, shift, [stay for stay in route.visits if stay not in out])
                if rest is not None:
                    draft.replace(shift, rest)

    def _drop_orphans(self, draft: Draft) -> None:
        """Leave out crews that are not complete, and what follows a visit that is left out."""
        for visit, stays in enumerate(self._stays.of):
            missing = any(stay in draft.unplanned for stay in stays)
            if missing and (len(stays) > 1 or visit in self._anchors.followers):
                self.take_out(draft, visit)

    def _place(self, draft: Draft, visit: int) -> bool:
        """Put the stays of a visit in where that is cheapest; False where there is no place for all of them."""
        bounds = self._bounds(draft, visit)
        if bounds is None:
            return False
        opens, until = self._arrays.opens.copy(), self._arrays.visit[:, columns.OPENS_UNTIL].copy()
        starts = starts_of(draft)
        for stay in self._stays.of[self._anchors.after[visit]] if visit in self._anchors.after else ():
            self._anchors.clip(stay, 0, starts[stay].start)  # put in on its route, the visit must not push it later
        placed = self._place_within(draft, visit, bounds)
        self._arrays.opens[:], self._arrays.visit[:, columns.OPENS_UNTIL] = opens, until
        draft.forget_compiled()
        return placed

    def _place_within(self, draft: Draft, visit: int, bounds: tuple[int, int]) -> bool:
        stays = self._stays.of[visit]
        for stay in stays:
            self._anchors.reopen(stay)
            self._anchors.clip(stay, *bounds)
            self._arrays.eligible[stay] = self._anchors.eligible[stay]
        shifts = self._shifts_allowed(draft, visit)
        draft.forget_compiled()
        if len(stays) == 1:
            limit = draft.instance.visits[stays[0]].unserved
            insertion = cheapest_insertion(draft, stays[0], limit=limit, shifts=sorted(shifts[0]))
            if insertion is None:
                return False
            draft.replace(insertion.shift, insertion.route)
            return True
        return self._place_crew(draft, stays, shifts, bounds)

    def _place_both(self, draft: Draft, visit: int) -> bool:
        """Move what a visit follows to where it has room behind it, too; False where none of the places tried has."""
        first = self._anchors.after.get(visit)
        if first is None or len(self._stays.of[first]) > 1 or first in self._anchors.after:
            return False
        self._anchors.hold(draft, first)
        self.take_out(draft, first)
        stay = self._stays.of[first][0]
        if stay not in draft.unplanned:
            return False
        best: Draft | None = None
        for _, shift, position in candidates(draft, stay)[:PLACES_TRIED]:
            route = inserted(draft, stay, shift, position)
            if route is not None:
                tried = draft.copy()
                tried.replace(shift, route)
                if self._place(tried, visit) and (best is None or tried.price() < best.price()):
                    best = tried
        if best is None:
            return False
        draft.routes, draft.unplanned = best.routes, best.unplanned
        draft.forget_compiled()
        return True

    def _bounds(self, draft: Draft, visit: int) -> tuple[int, int] | None:
        """Return from when until when the visit may start for the one it follows; None while that is not planned."""
        return self._anchors.bounds(starts_of(draft), visit)

    def _shifts_allowed(self, draft: Draft, visit: int) -> list[set[int]]:
        """Return the shifts that may take each stay of a visit."""
        relation = self._stays.whole.visits[visit].follows
        allowed = [set(self._instance.eligible[stay]) for stay in self._stays.of[visit]]
        if relation is not None and relation.same_technician:
            first = starts_of(draft)[self._stays.of[self._anchors.after[visit]][0]].shift
            technician = self._instance.problem.shifts[first].technician
            allowed[0] = {n for n in allowed[0] if self._instance.problem.shifts[n].technician == technician}
        return allowed

    def _place_crew(
        self, draft: Draft, stays: Sequence[int], shifts: Sequence[set[int]], bounds: tuple[int, int]
    ) -> bool:
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


def _better(most_changes: int | None, draft: Draft, before: Draft) -> bool:
    """Return whether a draft is no dearer than the one before, and changes no more of the plan in force than may."""
    if draft.price() > before.price():
        return False
    return most_changes is None or draft.changes() <= max(most_changes, before.changes())
