"""Why a visit is unplanned or late.

A reason is *proven* when the rules exclude the visit whatever the plan, and *searched* when all we can say is what was
tried. Nothing that was only searched is ever called impossible.
"""

import time
from collections.abc import Iterator
from functools import cached_property
from operator import itemgetter
from typing import Final, NamedTuple

from routing.arrays import FOREVER
from routing.draft import Draft, taken_out
from routing.exclusions import Exclusions
from routing.instance import VisitData
from routing.obstacles import OBSTACLES, Attempts, Positions, attempts, positions
from routing.plan import Basis, Late, Reason, Unplanned
from routing.problem import Problem, coupled
from routing.texts import Facts

MAX_INSERTIONS: Final = 4_000
"""Insertions simulated to explain one plan, shared evenly by its unplanned and late visits: about half a second."""
MIN_INSERTIONS: Final = 20
"""Insertions simulated for each of them at least, while there is time."""
EXPLAIN_SECONDS: Final = 4.0
"""Trying where the visits of one plan could go that ended because its time was over."""
NOT_LOOKED_AT: Final = Reason(code="not_looked_at", basis="searched", facts={})
NO_TURN: Final = Reason(code="no_turn", basis="searched", facts={})


class Explainer:
    """Explains the visits of one draft; `base` holds its frozen visits only.

    Where the draft is of one area, `whole` is the problem it is part of: what is called proven holds for all of it.
    From `until` on (`time.monotonic`) nothing is tried any more, and what is left is said not to have been looked at.
    For `not_looked_at` the search itself had no time, which is said instead.
    """

    def __init__(
        self, base: Draft, draft: Draft, whole: Problem | None = None, *, until: float | None = None,
        not_looked_at: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        self._not_looked_at = not_looked_at
        self._draft = draft
        self._instance = base.instance
        self._coupled = coupled(base.instance.problem)
        self._until = until
        self._exclusions = Exclusions(base, whole)
        self._proven: dict[int, bool] = {}

    def unplanned(self) -> tuple[Unplanned, ...]:
        """Return every unplanned visit with its reasons, in the order of the problem."""
        share = self._share(len(self._unplanned))
        return tuple(
            Unplanned(visit=name, reasons=(self._why_unplanned(index, share),))
            for name, index in sorted(self._unplanned.items(), key=itemgetter(1))
        )

    def late(self, only: frozenset[int] | None = None) -> tuple[Late, ...]:
        """Return every visit (of `only`, if given) that misses its commitment or its promised window, in order.

        The order is that of the problem. One that misses both has a reason for each, the commitment's first.
        """
        missed = self._instance.visits
        found = {
            visit: start
            for route in self._draft.routes
            for visit, start in zip(route.visits, route.starts(), strict=True)
            if start > min(missed[visit].due, missed[visit].promise_end) and (only is None or visit in only)
        }
        visits = self._instance.problem.visits
        firsts = {visits[index].id: index for index in sorted(found, reverse=True)}  # of a crew, which starts together
        share = self._share(len(firsts))
        return tuple(
            Late(
                visit=visits[index].id,
                late_seconds=max(0, start - missed[index].due),
                promise_late_seconds=max(0, start - missed[index].promise_end),
                reasons=tuple(self._why_late(index, start, share)),
            )
            for index, start in sorted((index, found[index]) for index in firsts.values())
        )

    def _share(self, visits: int) -> int:
        return max(MIN_INSERTIONS, MAX_INSERTIONS // max(1, visits))

    def _why_unplanned(self, visit: int, share: int) -> Reason:
        return (
            self._exclusions.reason(visit)
            or self._left_with_another(visit)
            or self._not_as_bound(visit)
            or self._no_room(visit, share)
        )

    def _not_as_bound(self, visit: int) -> Reason | None:
        """Return that nothing was found for all of a crew at once, or behind what a visit must follow, if it has to."""
        wanted = self._instance.problem.visits[visit]
        if visit in self._not_looked_at:
            return NO_TURN
        if wanted.technicians > 1:
            facts: Facts = {"needed": wanted.technicians, "able": self._exclusions.able_in_a_crew(visit)}
            return Reason(code="no_common_start", basis="searched", facts=facts)
        if wanted.follows is not None:
            return Reason(code="no_room_after", basis="searched", facts={"followed": wanted.follows.visit})
        return None

    def _left_with_another(self, visit: int) -> Reason | None:
        """Return that what it must follow is unplanned, if so: proven where that is, or what that one follows."""
        before = self._followed(visit)
        if before is None:
            return None
        facts: Facts = {"followed": self._instance.problem.visits[before].id}
        basis: Basis = "proven" if self._never(before) else "searched"
        return Reason(code="follows_unplanned", basis=basis, facts=facts)

    def _never(self, visit: int) -> bool:
        """Return whether rules exclude an unplanned visit, or one that it follows, directly or not."""
        chain: list[int] = []
        one: int | None = visit
        while one is not None and one not in self._proven:
            chain.append(one)
            one = self._followed(one)
        for one in reversed(chain):
            why, before = self._exclusions.reason(one), self._followed(one)
            excluded = why is not None and why.basis == "proven"
            self._proven[one] = excluded or (before is not None and self._proven[before])
        return self._proven[visit]

    def _followed(self, visit: int) -> int | None:
        """Return the unplanned visit that this one must follow, if there is one."""
        follows = self._instance.problem.visits[visit].follows
        return None if follows is None else self._unplanned.get(follows.visit)

    @cached_property
    def _unplanned(self) -> dict[str, int]:
        """By name, the first index of every visit of which no technician is in a route."""
        visits = self._instance.problem.visits
        planned = {visits[index].id for route in self._draft.routes for index in route.visits}
        left = {visits[index].id: index for index in sorted(self._draft.unplanned, reverse=True)}
        return {name: index for name, index in left.items() if name not in planned}

    @cached_property
    def _positions(self) -> Positions:
        return positions(self._draft)

    def _over(self) -> bool:
        return self._until is not None and time.monotonic() >= self._until

    def _no_room(self, visit: int, share: int) -> Reason:
        if self._over():
            return NOT_LOOKED_AT
        tries = attempts(self._draft, visit, share, self._positions)
        price = self._instance.visits[visit].unserved
        facts: Facts = {"tried": tries.tried}
        worth_it = price if tries.feasible else FOREVER  # dearer than leaving it out, it is not the budget's doing
        if tries.cheapest >= price and min(tries.over_budget_by(FOREVER), default=FOREVER) < worth_it:
            facts |= {"over": len(tries.over_budget), "allowed": self._instance.problem.most_changes or 0}
            return Reason(code="change_budget", basis="searched", facts=facts)
        if not tries.feasible:
            facts["shifts"] = len(self._instance.eligible[visit])
            facts.update({obstacle: tries.obstacles[obstacle] for obstacle in OBSTACLES})
            return Reason(code="no_room", basis="searched", facts=facts)
        if tries.cheapest < price:
            facts["feasible"] = tries.feasible
            return Reason(code="not_settled", basis="searched", facts=facts)
        facts |= {"price": tries.cheapest, "unserved_price": price, "made_late": tries.made_late}
        return Reason(code="costs_more", basis="searched", facts=facts)

    def _why_late(self, visit: int, start: int, share: int) -> Iterator[Reason]:
        """Yield why a visit misses its commitment, if it does, and why its promised window, if it does."""
        data, tries = self._instance.visits[visit], None
        earliest = start if data.frozen else self._exclusions.earliest(visit)  # nothing moves what is under way
        if data.due < 0:
            yield Reason(code="overdue", basis="proven", facts={"overdue": -data.due})
        for missed in _missed(data, start):
            facts: Facts = {"due": missed.moment}
            if data.frozen or earliest > missed.moment:
                basis = "proven" if data.frozen else self._exclusions.bound_basis
                yield Reason(code=missed.unreachable, basis=basis, facts=facts | {"earliest": earliest})
            elif visit in self._not_looked_at:
                yield NO_TURN
            elif self._over():
                yield NOT_LOOKED_AT
            elif self._instance.problem.visits[visit].id in self._coupled:  # trying it alone says nothing of the others
                yield Reason(code="no_earlier_as_bound", basis="searched", facts=facts)
            else:
                tries = tries or self._tried_elsewhere(visit, share)
                yield tries.reason(missed, facts)

    def _tried_elsewhere(self, visit: int, share: int) -> "_Elsewhere":
        """Take the visit out and try it everywhere else."""
        without, gain = taken_out(self._draft, visit)
        return _Elsewhere(attempts(without, visit, share), gain, self._instance.problem.most_changes or 0)


class _Missed(NamedTuple):
    """A moment by which a visit should have begun, and the codes of what is said about it."""

    moment: int
    unreachable: str
    no_room: str


def _missed(data: VisitData, start: int) -> Iterator[_Missed]:
    """Yield what a visit that begins at `start` misses, but for a commitment that ran out before planning began."""
    if 0 <= data.due < start:
        yield _Missed(data.due, "due_before_reachable", "no_earlier_room")
    if data.promise_end < start:
        yield _Missed(data.promise_end, "promise_before_reachable", "no_room_as_promised")


class _Elsewhere(NamedTuple):
    """What trying a late visit everywhere came to, what taking it out of its place saves, and the changes allowed."""

    tries: Attempts
    gain: int
    allowed: int

    def reason(self, missed: _Missed, facts: Facts) -> Reason:
        """Return why it does not begin by then."""
        in_time, over = self.tries.by(missed.moment), self.tries.over_budget_by(missed.moment)
        facts |= {"tried": self.tries.tried, "feasible": len(in_time)}
        if min(in_time, default=FOREVER) < self.gain:
            return Reason(code="not_settled", basis="searched", facts=facts)
        if min(over, default=FOREVER) < self.gain:
            facts |= {"over": len(over), "allowed": self.allowed}
            return Reason(code="change_budget_in_time", basis="searched", facts=facts)
        return Reason(code=missed.no_room, basis="searched", facts=facts)
