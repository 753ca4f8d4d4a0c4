"""Visits that depend on each other across routes: several technicians at once, and one visit after another.

The search knows single routes only. So each technician's *stay* at such a visit becomes a visit of its own, and what
binds them is turned into times: the stays of a crew are *anchored* to one start and their shifts, and between a visit
and the one that follows it a moment is fixed by which the first is over. What the search finds under these times is
legal; between its rounds every coupled visit is taken out and put where it is cheapest now, which moves the times.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from routing import arrays as columns
from routing.arrays import FOREVER, Integers
from routing.draft import Draft, driven, simulate_route
from routing.instance import Instance
from routing.kernel import routes as kernel
from routing.plan import Late, Plan, Reason, Unplanned
from routing.problem import Problem, Visit, Window
from routing.scan import candidates, cheapest_insertion, inserted
from routing.texts import Facts

STARTS_TRIED: Final = 60
"""Common starts looked at for one crew."""
PLACES_TRIED: Final = 12
"""Places looked at for a visit that makes room for the one that follows it."""
CLOSED: Final = (FOREVER, -1)
"""An interval in which nothing can start."""
NEVER_LEFT_OUT: Final = 1_000_000_000_000
"""The price, to the search, of leaving out what is anchored: more than anything it could gain."""


def coupled(problem: Problem) -> bool:
    """Return whether some visits of `problem` depend on others."""
    return any(visit.technicians > 1 or visit.follows is not None for visit in problem.visits)


@dataclass(frozen=True, slots=True)
class Stays:
    """A problem in which every visit is one technician's stay; `of[v]`: the stays of visit v of `whole`, as indices."""

    whole: Problem
    problem: Problem
    of: tuple[tuple[int, ...], ...]

    def together(self, plan: Plan, couplings: "Couplings", draft: Draft) -> Plan:
        """Return `plan`, made of stays, as a plan of the whole."""
        names = {
            self.problem.visits[stay].id: visit.id
            for visit, stays in zip(self.whole.visits, self.of, strict=True)
            for stay in stays
        }
        numbers = {visit.id: number for number, visit in enumerate(self.whole.visits)}
        own = {visit.id for visit in self.whole.visits if visit.technicians > 1 or visit.follows is not None}
        unplanned: dict[str, Unplanned] = {}
        for one in plan.unplanned:
            name = names[one.visit]
            reasons = one.reasons
            if name in own and reasons[0].basis != "proven":
                reasons = (couplings.reason(draft, numbers[name]),)
            unplanned.setdefault(name, msgspec.structs.replace(one, visit=name, reasons=reasons))
        late: dict[str, Late] = {}
        for entry in plan.late:
            late.setdefault(names[entry.visit], msgspec.structs.replace(entry, visit=names[entry.visit]))
        routes = tuple(
            msgspec.structs.replace(
                route, stops=tuple(msgspec.structs.replace(stop, visit=names[stop.visit]) for stop in route.stops)
            )
            for route in plan.routes
        )
        return msgspec.structs.replace(
            plan, routes=routes, unplanned=tuple(unplanned.values()), late=tuple(late.values())
        )

    def first_where_told(self, draft: Draft) -> None:
        """Let the stay of every crew that carries its plan in force be the one on the shift it had there."""
        where = {visit: shift for shift, route in enumerate(draft.routes) for visit in route.visits}
        shifts = {shift.id: index for index, shift in enumerate(self.problem.shifts)}
        for visit, stays in zip(self.whole.visits, self.of, strict=True):
            before = None if visit.previous is None else shifts.get(visit.previous.shift)
            there = None if before is None else next((stay for stay in stays if where.get(stay) == before), None)
            keeper = next((stay for stay in stays if self.problem.visits[stay].previous is not None), None)
            if there is not None and keeper is not None and keeper in where and keeper != there:
                self._exchange(draft, keeper, there, where)

    @staticmethod
    def _exchange(draft: Draft, one: int, other: int, where: dict[int, int]) -> None:
        swap = {one: other, other: one}
        for shift in {where[one], where[other]}:
            visits = [swap.get(visit, visit) for visit in draft.routes[shift].visits]
            draft.replace(shift, driven(draft.instance, shift, visits))
        draft.unplanned -= {one, other}  # each left one route before it came into the other


def apart(problem: Problem) -> Stays:
    """Return `problem` with each technician's stay as a visit of its own, and without relations between visits.

    The first stay of a crew carries what names one technician or shift: a pin, the plan in force, what was told.
    """
    mark = "#"
    while any(mark in visit.id for visit in problem.visits):
        mark += "#"
    stays: list[Visit] = []
    of: list[tuple[int, ...]] = []
    for visit in problem.visits:
        of.append(tuple(range(len(stays), len(stays) + visit.technicians)))
        alone = msgspec.structs.replace(visit, technicians=1, follows=None)
        named = [f"{visit.id}{mark}{number}" for number in range(2, visit.technicians + 1)]
        stays += [alone, *_others(alone, named, problem)] if named else [alone]
        if named and not _pin_allows(visit, problem):
            stays[-len(named) - 1] = msgspec.structs.replace(alone, previous=None, told=False)
    return Stays(problem, msgspec.structs.replace(problem, visits=tuple(stays)), tuple(of))


def _others(first: Visit, names: Sequence[str], problem: Problem) -> Iterator[Visit]:
    """Yield the stays besides the first; one of them has what was planned, where the pin keeps the first from it."""
    pinned_start = None if first.pin is None else first.pin.start
    windows = first.windows if pinned_start is None else (Window(start=pinned_start, end=pinned_start),)
    for number, name in enumerate(names):
        carries = number == 0 and not _pin_allows(first, problem)
        yield msgspec.structs.replace(
            first,
            id=name,
            pin=None,
            windows=windows,
            previous=first.previous if carries else None,
            told=first.told and carries,
        )


def _pin_allows(visit: Visit, problem: Problem) -> bool:
    """Return whether the pin leaves the visit on the shift it had in the plan in force."""
    pin, previous = visit.pin, visit.previous
    if pin is None or previous is None:
        return True
    technician = next((shift.technician for shift in problem.shifts if shift.id == previous.shift), None)
    return pin.shift in {None, previous.shift} and pin.technician in {None, technician}


class Couplings:
    """The coupled visits of one problem of stays, and the anchors that hold them while the search runs."""

    def __init__(self, stays: Stays, instance: Instance) -> None:
        self._stays = stays
        self._instance = instance
        self._arrays = instance.arrays
        index = {visit.id: number for number, visit in enumerate(stays.whole.visits)}
        self._after = {
            number: index[visit.follows.visit]
            for number, visit in enumerate(stays.whole.visits)
            if visit.follows is not None
        }
        self._followers: dict[int, list[int]] = defaultdict(list)
        for follower, first in self._after.items():
            self._followers[first].append(follower)
        self._coupled = self._ordered()
        self._original = self._arrays.opens.copy(), self._arrays.eligible.copy(), self._arrays.visit.copy()
        for visit in self.visits():
            for stay in stays.of[visit]:
                self._arrays.eligible[stay] = 0  # only `place` puts them in

    def visits(self) -> list[int]:
        """Return the visits to be placed here, what is followed before what follows; dearest first otherwise."""
        return self._coupled

    def _ordered(self) -> list[int]:
        whole = self._stays.whole
        chosen = [
            n
            for n, visit in enumerate(whole.visits)
            if visit.technicians > 1 or n in self._after or n in self._followers
        ]
        chosen.sort(key=lambda n: (whole.visits[n].priority, whole.visits[n].commitment_due or FOREVER, n))
        chosen.sort(key=self._depth)
        return chosen

    def _depth(self, visit: int) -> int:
        depth = 0
        while visit in self._after:
            visit, depth = self._after[visit], depth + 1
        return depth

    def settle(self, draft: Draft, stop: Callable[[], bool]) -> None:
        """Take every coupled visit out, one after the other, and put it where it is cheapest; then anchor all."""
        for visit in self.visits():
            if stop():
                break
            before = draft.copy()
            self._hold(draft, visit)
            self.take_out(draft, visit)
            out = all(stay in draft.unplanned for stay in self._stays.of[visit])
            placed = out and (self._place(draft, visit) or self._place_both(draft, visit))
            if placed:
                self._place_followers(draft, visit)
            if not placed or not self._better(draft, before):
                draft.routes, draft.unplanned = before.routes, before.unplanned
                draft.forget_compiled()
        self._drop_orphans(draft)
        self._hold(draft, None)
        for shift, route in enumerate(draft.routes):  # waiting for a told customer may cost less under the new anchors
            draft.replace(shift, driven(self._instance, shift, route.visits))

    def _place_followers(self, draft: Draft, visit: int) -> None:
        """Put in what follows a visit, directly or not, as far as there is room."""
        waiting = list(self._followers.get(visit, []))
        while waiting:
            follower = waiting.pop(0)
            self._hold(draft, follower)
            if self._place(draft, follower):
                waiting += self._followers.get(follower, [])

    def _better(self, draft: Draft, before: Draft) -> bool:
        most = self._stays.whole.most_changes
        if draft.price() > before.price():
            return False
        return most is None or draft.changes() <= max(most, before.changes())

    def take_out(self, draft: Draft, visit: int) -> None:
        """Take a visit and all that follows it off their shifts; where rules keep one there, it stays."""
        waiting, out = [visit], set[int]()
        while waiting:
            one = waiting.pop()
            waiting += self._followers.get(one, [])
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
            if missing and (len(stays) > 1 or visit in self._followers):
                self.take_out(draft, visit)

    def reason(self, draft: Draft, visit: int) -> Reason:
        """Return why a coupled visit is in no route."""
        wanted = self._stays.whole.visits[visit]
        first = self._after.get(visit)
        if first is not None and any(stay in draft.unplanned for stay in self._stays.of[first]):
            followed = self._stays.whole.visits[first].id
            return Reason(code="follows_unplanned", basis="searched", facts={"followed": followed})
        if first is not None and wanted.technicians == 1:
            followed = self._stays.whole.visits[first].id
            return Reason(code="no_room_after", basis="searched", facts={"followed": followed})
        shifts = self._instance.problem.shifts
        able = {shifts[shift].technician for shift in self._instance.eligible[self._stays.of[visit][-1]]}
        if len(able) < wanted.technicians:
            facts: Facts = {"able": len(able), "needed": wanted.technicians}
            return Reason(code="too_few_technicians", basis="proven", facts=facts)
        return Reason(code="no_common_start", basis="searched", facts={"needed": wanted.technicians, "able": len(able)})

    # what may start when, while the search runs

    def _hold(self, draft: Draft, but: int | None) -> None:
        """Anchor every coupled visit where it is now, except `but`."""
        self._free(draft)
        self._restrict_others(draft, but)

    def _free(self, draft: Draft) -> None:
        """Lift all anchors."""
        opens, _, visit = self._original
        self._arrays.opens[:] = opens
        for column in (columns.UNSERVED, columns.OPENS_UNTIL):
            self._arrays.visit[:, column] = visit[:, column]
        draft.forget_compiled()

    def _restrict_others(self, draft: Draft, but: int | None) -> None:
        """Anchor every coupled visit that is planned, except `but`; what is not planned stays out of the search."""
        starts = _starts(draft)
        for visit in self.visits():
            stays = self._stays.of[visit]
            for stay in stays:
                self._arrays.eligible[stay] = 0
            if visit == but or any(stay not in starts for stay in stays):
                continue
            for stay in stays:
                self._arrays.visit[stay, columns.UNSERVED] = NEVER_LEFT_OUT
                if len(stays) > 1:
                    self._clip(stay, starts[stay].start, starts[stay].start)
                    self._arrays.eligible[stay, starts[stay].shift] = 1
                else:
                    self._arrays.eligible[stay] = self._original[1][stay]
        for follower, first in self._after.items():
            if but not in {follower, first}:
                self._part(starts, first, follower)

    def _part(self, starts: "dict[int, _Planned]", first: int, follower: int) -> None:
        """Fix a moment between two visits that follow each other, in the middle of what is free between them."""
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
            self._clip(stay, earliest_over - duration, moment - duration)
        for stay in after:
            self._clip(stay, moment + relation.least_gap, latest)
        if relation.same_technician:
            technician = self._arrays.shift[starts[before[0]].shift, columns.TECHNICIAN]
            theirs = self._arrays.shift[:, columns.TECHNICIAN] == technician
            for stay in (before[0], after[0]):
                self._arrays.eligible[stay] &= theirs.astype(np.uint8)

    def _clip(self, stay: int, earliest: int, latest: int) -> None:
        """Let service start only from `earliest` to `latest`, inside what is open anyway."""
        row, opens = self._arrays.visit[stay], self._arrays.opens
        begin, end = int(row[columns.OPENS_FROM]), int(row[columns.OPENS_UNTIL])
        clipped = [(max(earliest, first), min(latest, last)) for first, last in opens[begin:end].tolist()]
        left = [(first, last) for first, last in clipped if first <= last] or [CLOSED]
        opens[begin : begin + len(left)] = left
        row[columns.OPENS_UNTIL] = begin + len(left)

    def _place(self, draft: Draft, visit: int) -> bool:
        """Put the stays of a visit in where that is cheapest; False where there is no place for all of them."""
        bounds = self._bounds(draft, visit)
        if bounds is None:
            return False
        opens, until = self._arrays.opens.copy(), self._arrays.visit[:, columns.OPENS_UNTIL].copy()
        starts = _starts(draft)
        for stay in self._stays.of[self._after[visit]] if visit in self._after else ():
            self._clip(stay, 0, starts[stay].start)  # put in on its route, the visit must not push it later
        placed = self._place_within(draft, visit, bounds)
        self._arrays.opens[:], self._arrays.visit[:, columns.OPENS_UNTIL] = opens, until
        draft.forget_compiled()
        return placed

    def _place_within(self, draft: Draft, visit: int, bounds: tuple[int, int]) -> bool:
        stays = self._stays.of[visit]
        for stay in stays:
            self._reopen(stay)
            self._clip(stay, *bounds)
            self._arrays.eligible[stay] = self._original[1][stay]
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
        first = self._after.get(visit)
        if first is None or len(self._stays.of[first]) > 1 or first in self._after:
            return False
        self._hold(draft, first)
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
        relation = self._stays.whole.visits[visit].follows
        if relation is None:
            return 0, FOREVER
        first, starts = self._after[visit], _starts(draft)
        if any(stay not in starts for stay in self._stays.of[first]):
            return None
        over = starts[self._stays.of[first][0]].start + self._stays.whole.visits[first].duration
        return over + relation.least_gap, FOREVER if relation.most_gap is None else over + relation.most_gap

    def _shifts_allowed(self, draft: Draft, visit: int) -> list[set[int]]:
        """Return the shifts that may take each stay of a visit."""
        relation = self._stays.whole.visits[visit].follows
        allowed = [set(self._instance.eligible[stay]) for stay in self._stays.of[visit]]
        if relation is not None and relation.same_technician:
            first = _starts(draft)[self._stays.of[self._after[visit]][0]].shift
            technician = self._instance.problem.shifts[first].technician
            allowed[0] = {n for n in allowed[0] if self._instance.problem.shifts[n].technician == technician}
        return allowed

    def _place_crew(
        self, draft: Draft, stays: Sequence[int], shifts: Sequence[set[int]], bounds: tuple[int, int]
    ) -> bool:
        best: tuple[int, int, list[int]] | None = None
        for start in self._possible_starts(draft, stays, bounds):
            for stay in stays:
                self._reopen(stay)
                self._clip(stay, start, start)
            chosen = self._cheapest_crew(draft, stays, shifts)
            if chosen is not None and (best is None or chosen[0] < best[0]):
                best = chosen[0], start, chosen[1]
        if best is None or best[0] >= sum(draft.instance.visits[stay].unserved for stay in stays):
            return False
        for stay in stays:
            self._reopen(stay)
            self._clip(stay, best[1], best[1])
        for stay, shift in zip(stays, best[2], strict=True):
            insertion = cheapest_insertion(draft, stay, shifts=[shift])
            if insertion is None:
                return False
            draft.replace(insertion.shift, insertion.route)
        return True

    def _reopen(self, stay: int) -> None:
        """Let the stay start whenever its visit may by itself."""
        opens, _, visit = self._original
        begin, end = visit[stay, columns.OPENS_FROM], visit[stay, columns.OPENS_UNTIL]
        self._arrays.opens[begin:end] = opens[begin:end]
        self._arrays.visit[stay, columns.OPENS_UNTIL] = end

    def _possible_starts(self, draft: Draft, stays: Sequence[int], bounds: tuple[int, int]) -> list[int]:
        """Return moments at which a crew could start together: when windows open, and when somebody could be there."""
        data, place = self._instance.visits[stays[0]], self._instance.visits[stays[0]].place
        moments = {max(opens, bounds[0]) for opens, _ in data.opens}
        planned = self._instance.problem.visits[stays[0]].previous
        if planned is not None:
            moments.add(planned.start)
        for shift in self._instance.eligible[stays[0]]:
            free = self._instance.shifts[shift].start
            here = self._instance.shifts[shift].start_place
            moments.add(free + self._instance.seconds[here][place])
            for visit, stop in zip(draft.routes[shift].visits, draft.routes[shift].times.stops, strict=True):
                moments.add(stop.ends + self._instance.seconds[self._instance.visits[visit].place][place])
        opened = sorted(_within(moments, data.opens, bounds))
        if len(opened) <= STARTS_TRIED:
            return opened
        picked: Integers = np.linspace(0, len(opened) - 1, STARTS_TRIED).astype(np.int64)
        return [opened[index] for index in picked.tolist()]

    def _cheapest_crew(
        self, draft: Draft, stays: Sequence[int], shifts: Sequence[set[int]]
    ) -> tuple[int, list[int]] | None:
        """Return (added price, a shift for each stay) of the cheapest different technicians; None if there are too few.

        The first stay may be bound to somebody, so it chooses first; the others are alike.
        """
        total, taken, chosen = 0, set[str](), list[int]()
        routes, added = draft.compiled(), np.zeros(draft.compiled().counts.shape[1], dtype=np.int64)
        for stay, able in zip(stays, shifts, strict=True):
            best: tuple[int, int] | None = None
            for shift in sorted(able):
                if self._instance.problem.shifts[shift].technician in taken:
                    continue
                kernel.all_insertions(self._arrays, routes, stay, shift, added)
                price = int(added[: len(draft.routes[shift].visits) + 1].min())
                if price < kernel.IMPOSSIBLE and (best is None or price < best[0]):
                    best = price, shift
            if best is None:
                return None
            total += best[0]
            chosen.append(best[1])
            taken.add(self._instance.problem.shifts[best[1]].technician)
        return total, chosen


@dataclass(frozen=True, slots=True)
class _Planned:
    shift: int
    start: int


def _starts(draft: Draft) -> dict[int, _Planned]:
    return {
        visit: _Planned(shift, start)
        for shift, route in enumerate(draft.routes)
        for visit, start in zip(route.visits, route.starts(), strict=True)
    }


def _within(moments: Iterable[int], opens: Sequence[tuple[int, int]], bounds: tuple[int, int]) -> Iterator[int]:
    seen: set[int] = set()
    for moment in moments:
        for begin, end in opens:
            start = max(moment, begin, bounds[0])
            if start <= min(end, bounds[1]) and start not in seen:
                seen.add(start)
                yield start
