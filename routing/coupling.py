"""Visits that depend on each other across routes: several technicians at once, and one visit after another.

The search knows single routes only. So each technician's *stay* at such a visit becomes a visit of its own, and what
binds them is turned into times: the stays of a crew are *anchored* to one start and their shifts, and between a visit
and the one that follows it a moment is fixed by which the first is over. What the search finds under these times is
legal; between its rounds every coupled visit is taken out and put where it is cheapest now, which moves the times.
"""

from collections.abc import Callable
from typing import Final

from routing import arrays as columns
from routing.anchors import Anchors, starts_of
from routing.crew import Crews
from routing.draft import Draft, driven, simulate_route
from routing.instance import Instance
from routing.scan import candidates, cheapest_insertion, inserted
from routing.stays import Stays

PLACES_TRIED: Final = 12
"""Places looked at for a visit that makes room for the one that follows it."""


class Couplings:
    """The coupled visits of one problem of stays: they are placed here, between rounds of the search."""

    def __init__(self, stays: Stays, instance: Instance) -> None:
        self._stays = stays
        self._instance = instance
        self._arrays = instance.arrays
        self._anchors = Anchors(stays, instance)
        self._crews = Crews(instance, self._anchors)
        self._at_home = False  # whether what is in force stays on its shift
        self._looked_at = set[int]()

    def stays(self) -> frozenset[int]:
        """Return the stays that only this places."""
        return frozenset(stay for visit in self._anchors.coupled for stay in self._stays.of[visit])

    def settle(self, draft: Draft, stop: Callable[[], bool]) -> None:
        """Take every coupled visit out, one after the other, and put it where it is cheapest; then anchor all.

        Where more of the plan in force changes so than may, it is put on the shift it had, if there is room: even
        once it is time to stop, as a plan that changes too much is none.
        """
        for visit in self._anchors.coupled:
            if stop():
                if not _too_many(self._stays.whole.most_changes, draft):
                    break
            else:
                self._looked_at.add(visit)
                self._place_anew(draft, visit)
            if _too_many(self._stays.whole.most_changes, draft):
                self._at_home = True
                self._place_anew(draft, visit)
                self._at_home = False
        self._drop_orphans(draft)
        self._anchors.hold(draft, None)
        for shift, route in enumerate(draft.routes):  # waiting for a told customer may cost less under the new anchors
            draft.replace(shift, driven(self._instance, shift, route.visits))

    def not_looked_at(self) -> frozenset[int]:
        """Return the stays for which there was no time to look for a place."""
        waiting = (visit for visit in self._anchors.coupled if visit not in self._looked_at)
        return frozenset(stay for visit in waiting for stay in self._stays.of[visit])

    def _place_anew(self, draft: Draft, visit: int) -> None:
        """Take a visit and what follows it out and put them in again, unless that is worse."""
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
        return self._crews.put_in(draft, stays, shifts, bounds)

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
        for stay, shifts in zip(self._stays.of[visit], allowed, strict=True):
            if self._at_home and self._instance.visits[stay].previous_shift >= 0:
                shifts.intersection_update({self._instance.visits[stay].previous_shift})
        if relation is not None and relation.same_technician:
            first = starts_of(draft)[self._stays.of[self._anchors.after[visit]][0]].shift
            technician = self._instance.problem.shifts[first].technician
            allowed[0] = {n for n in allowed[0] if self._instance.problem.shifts[n].technician == technician}
        return allowed


def _better(most_changes: int | None, draft: Draft, before: Draft) -> bool:
    """Return whether a draft changes less than the one before of what may not change, or as much and is no dearer."""
    over, was = _too_many(most_changes, draft), _too_many(most_changes, before)
    return over < was if over != was else draft.price() <= before.price()


def _too_many(most_changes: int | None, draft: Draft) -> int:
    """Return by how many visits of the plan in force more than may a draft changes."""
    return 0 if most_changes is None else max(0, draft.changes() - most_changes)
