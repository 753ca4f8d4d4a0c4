"""Anchors: times and shifts that hold visits which depend on each other, while the search looks at single routes."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from routing import arrays as columns
from routing.arrays import FOREVER
from routing.draft import Draft
from routing.instance import Instance
from routing.problem import coupled
from routing.stays import Stays

CLOSED: Final = (FOREVER, -1)
"""An interval in which nothing can start."""
NEVER_LEFT_OUT: Final = 1_000_000_000_000
"""The price, to the search, of leaving out what is anchored: more than anything it could gain."""


@dataclass(frozen=True, slots=True)
class Planned:
    """Where a stay is, and when service starts."""

    shift: int
    start: int


def starts_of(draft: Draft) -> dict[int, Planned]:
    """Return where every planned stay is and when it starts."""
    return {
        visit: Planned(shift, start)
        for shift, route in enumerate(draft.routes)
        for visit, start in zip(route.visits, route.starts(), strict=True)
    }


class Anchors:
    """Who depends on whom, and what that allows in the arrays of an instance of stays.

    `after[v]`: the visit that v follows; `followers[v]`: those that follow v. `coupled`: visits that depend on others
    or have others depend on them, what is followed before what follows, dearest first otherwise. `eligible`: as the
    instance had it.
    """

    def __init__(self, stays: Stays, instance: Instance) -> None:
        self._stays = stays
        self._arrays = instance.arrays
        index = {visit.id: number for number, visit in enumerate(stays.whole.visits)}
        self.after = {
            number: index[visit.follows.visit]
            for number, visit in enumerate(stays.whole.visits)
            if visit.follows is not None
        }
        self.followers: dict[int, list[int]] = defaultdict(list)
        for follower, first in self.after.items():
            self.followers[first].append(follower)
        self.coupled = self._ordered()
        self.eligible = self._arrays.eligible.copy()
        self._original = self._arrays.opens.copy(), self._arrays.visit.copy()
        for visit in self.coupled:
            for stay in stays.of[visit]:
                self._arrays.eligible[stay] = 0  # only placing puts them in

    def hold(self, draft: Draft, but: int | None) -> None:
        """Anchor every coupled visit where it is now, except `but`."""
        self._free(draft)
        self._restrict_others(draft, but)

    def _free(self, draft: Draft) -> None:
        """Lift all anchors."""
        opens, visit = self._original
        self._arrays.opens[:] = opens
        for column in (columns.UNSERVED, columns.OPENS_UNTIL):
            self._arrays.visit[:, column] = visit[:, column]
        draft.forget_compiled()

    def _restrict_others(self, draft: Draft, but: int | None) -> None:
        """Anchor every coupled visit that is planned, except `but`; what is not planned stays out of the search."""
        starts = starts_of(draft)
        for visit in self.coupled:
            stays = self._stays.of[visit]
            for stay in stays:
                self._arrays.eligible[stay] = 0
            if visit == but or any(stay not in starts for stay in stays):
                continue
            for stay in stays:
                self._arrays.visit[stay, columns.UNSERVED] = NEVER_LEFT_OUT
                if len(stays) > 1:
                    self.clip(stay, starts[stay].start, starts[stay].start)
                    self._arrays.eligible[stay, starts[stay].shift] = 1
                else:
                    self._arrays.eligible[stay] = self.eligible[stay]
        for follower, first in self.after.items():
            if but not in {follower, first}:
                self._part(starts, first, follower)

    def fix(self, starts: Mapping[int, int]) -> None:
        """Let each stay of a coupled visit that is in `starts` start then, and at no other time."""
        for visit in self.coupled:
            for stay in self._stays.of[visit]:
                if stay in starts:
                    self.clip(stay, starts[stay], starts[stay])

    def offer(self, draft: Draft) -> None:
        """Anchor all, and let what is in no route start when those it is bound to leave it room.

        Nobody may take a crew, which comes as a whole or not at all, nor what follows a visit that is not planned.
        """
        self.hold(draft, None)
        starts = starts_of(draft)
        for visit in self.coupled:
            (stay, *others), bounds = self._stays.of[visit], self.bounds(starts, visit)
            if others or stay in starts or bounds is None:
                continue
            self._arrays.eligible[stay] = self.eligible[stay]
            self.clip(stay, *bounds)
            duration = self._stays.whole.visits[visit].duration
            for follower in self.followers.get(visit, []):
                relation, begins = self._stays.whole.visits[follower].follows, starts.get(follower)
                if relation is not None and begins is not None:
                    most = begins.start if relation.most_gap is None else relation.most_gap
                    self.clip(stay, begins.start - most - duration, begins.start - relation.least_gap - duration)
                    self._by_the_same(starts, stay, follower, same=relation.same_technician)
            relation = self._stays.whole.visits[visit].follows
            if relation is not None:
                self._by_the_same(starts, stay, self.after[visit], same=relation.same_technician)

    def _by_the_same(self, starts: Mapping[int, Planned], stay: int, other: int, *, same: bool) -> None:
        """Leave `stay` to those who do the visit `other`, where it has to be one of them."""
        if same:
            technicians = self._arrays.shift[:, columns.TECHNICIAN]
            theirs = [technicians[starts[one].shift] for one in self._stays.of[other] if one in starts]
            self._arrays.eligible[stay] &= np.isin(technicians, theirs).astype(np.uint8)

    def bounds(self, starts: Mapping[int, Planned], visit: int) -> tuple[int, int] | None:
        """Return from when until when a visit may start for the one it follows; None while that is not planned."""
        relation = self._stays.whole.visits[visit].follows
        if relation is None:
            return 0, FOREVER
        first = self.after[visit]
        if any(stay not in starts for stay in self._stays.of[first]):
            return None
        over = max(starts[stay].start for stay in self._stays.of[first]) + self._stays.whole.visits[first].duration
        return over + relation.least_gap, FOREVER if relation.most_gap is None else over + relation.most_gap

    def _part(self, starts: dict[int, Planned], first: int, follower: int) -> None:
        """Fix a moment between two visits that follow each other, in the middle of what is free between them.

        Both keep the time they have, even where that is not as it should be: what is in force may be so.
        """
        before, after = self._stays.of[first], self._stays.of[follower]
        relation = self._stays.whole.visits[follower].follows
        if relation is None or any(stay not in starts for stay in (*before, *after)):
            return
        duration = self._stays.whole.visits[first].duration
        over, begins = starts[before[0]].start + duration, starts[after[0]].start
        moment = over + (begins - relation.least_gap - over) // 2
        latest = FOREVER
        earliest_over = 0
        if relation.most_gap is not None:
            latest = begins + (over + relation.most_gap - begins) // 2
            earliest_over = latest - relation.most_gap
        for stay in before:
            self._arrays.visit[stay, columns.UNSERVED] = NEVER_LEFT_OUT
            start = starts[stay].start
            self.clip(stay, min(start, earliest_over - duration), max(start, moment - duration))
        for stay in after:
            start = starts[stay].start
            self.clip(stay, min(start, moment + relation.least_gap), max(start, latest))
        if relation.same_technician:
            technician = self._arrays.shift[starts[before[0]].shift, columns.TECHNICIAN]
            theirs = self._arrays.shift[:, columns.TECHNICIAN] == technician
            for stay in (before[0], after[0]):
                self._arrays.eligible[stay] &= theirs.astype(np.uint8)

    def clip(self, stay: int, earliest: int, latest: int) -> None:
        """Let service start only from `earliest` to `latest`, inside what is open anyway."""
        row, opens = self._arrays.visit[stay], self._arrays.opens
        begin, end = int(row[columns.OPENS_FROM]), int(row[columns.OPENS_UNTIL])
        clipped = [(max(earliest, first), min(latest, last)) for first, last in opens[begin:end].tolist()]
        left = [(first, last) for first, last in clipped if first <= last] or [CLOSED]
        opens[begin : begin + len(left)] = left
        row[columns.OPENS_UNTIL] = begin + len(left)

    def reopen(self, stay: int) -> None:
        """Let the stay start whenever its visit may by itself."""
        opens, visit = self._original
        begin, end = visit[stay, columns.OPENS_FROM], visit[stay, columns.OPENS_UNTIL]
        self._arrays.opens[begin:end] = opens[begin:end]
        self._arrays.visit[stay, columns.OPENS_UNTIL] = end

    def _ordered(self) -> list[int]:
        whole = self._stays.whole
        bound = coupled(whole)
        chosen = [number for number, visit in enumerate(whole.visits) if visit.id in bound]
        chosen.sort(key=lambda n: (whole.visits[n].priority, whole.visits[n].commitment_due or FOREVER, n))
        chosen.sort(key=self._depth)
        return chosen

    def _depth(self, visit: int) -> int:
        depth = 0
        while visit in self.after:
            visit, depth = self.after[visit], depth + 1
        return depth
