"""Why a visit is unplanned or late.

A reason is *proven* when the rules exclude the visit whatever the plan, and *searched* when all we can say is what was
tried. Nothing that was only searched is ever called impossible.
"""

from typing import Final

from routing.draft import Draft, simulate_route
from routing.exclusions import Exclusions
from routing.obstacles import OBSTACLES, attempts
from routing.plan import Late, Reason, Unplanned
from routing.problem import Problem
from routing.texts import Facts

MAX_INSERTIONS: Final = 4_000
"""Insertions simulated to explain one plan, shared evenly by its unplanned and late visits: about half a second."""
MIN_INSERTIONS: Final = 20
"""Insertions simulated for each of them at least."""


class Explainer:
    """Explains the visits of one draft; `base` holds its frozen visits only.

    Where the draft is of one area, `whole` is the problem it is part of: what is called proven holds for all of it.
    """

    def __init__(self, base: Draft, draft: Draft, whole: Problem | None = None) -> None:
        self._draft = draft
        self._instance = base.instance
        self._exclusions = Exclusions(base, whole)

    def unplanned(self) -> tuple[Unplanned, ...]:
        """Return every unplanned visit with its reasons, in the order of the problem."""
        share = self._share(len(self._draft.unplanned))
        visits = self._instance.problem.visits
        return tuple(
            Unplanned(visit=visits[index].id, reasons=(self._why_unplanned(index, share),))
            for index in sorted(self._draft.unplanned)
        )

    def late(self, only: frozenset[int] | None = None) -> tuple[Late, ...]:
        """Return every late visit (of `only`, if given) with its reasons, in the order of the problem."""
        found = {
            visit: start - self._instance.visits[visit].due
            for route in self._draft.routes
            for visit, start in zip(route.visits, route.starts(), strict=True)
            if start > self._instance.visits[visit].due and (only is None or visit in only)
        }
        share = self._share(len(found))
        visits = self._instance.problem.visits
        return tuple(
            Late(visit=visits[index].id, late_seconds=seconds, reasons=(self._why_late(index, share),))
            for index, seconds in sorted(found.items())
        )

    def _share(self, visits: int) -> int:
        return max(MIN_INSERTIONS, MAX_INSERTIONS // max(1, visits))

    def _why_unplanned(self, visit: int, share: int) -> Reason:
        return self._exclusions.reason(visit) or self._left_with_another(visit, share) or self._no_room(visit, share)

    def _left_with_another(self, visit: int, share: int) -> Reason | None:
        """Return that what it must follow is unplanned, if so: proven where that is."""
        follows, visits = self._instance.problem.visits[visit].follows, self._instance.problem.visits
        before = next((one for one in self._draft.unplanned if follows and visits[one].id == follows.visit), None)
        if before is None or follows is None:
            return None
        basis = self._why_unplanned(before, share).basis
        return Reason(code="follows_unplanned", basis=basis, facts={"followed": follows.visit})

    def _no_room(self, visit: int, share: int) -> Reason:
        tries = attempts(self._draft, visit, share)
        price = self._instance.visits[visit].unserved
        facts: Facts = {"tried": tries.tried}
        if tries.over_budget and tries.cheapest >= price:
            facts |= {"over": tries.over_budget, "allowed": self._instance.problem.most_changes or 0}
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

    def _why_late(self, visit: int, share: int) -> Reason:
        data = self._instance.visits[visit]
        if data.due < 0:
            return Reason(code="overdue", basis="proven", facts={"overdue": -data.due})
        earliest = self._exclusions.earliest(visit)
        if earliest > data.due or data.frozen:
            facts: Facts = {"earliest": earliest, "due": data.due}
            return Reason(code="due_before_reachable", basis=self._exclusions.bound_basis, facts=facts)
        return self._no_earlier_room(visit, share)

    def _no_earlier_room(self, visit: int, share: int) -> Reason:
        """Return the reason after taking the visit out and trying it everywhere else."""
        due = self._instance.visits[visit].due
        without = self._draft.copy()
        shift = next(index for index, route in enumerate(without.routes) if visit in route.visits)
        route = without.routes[shift]
        rest = simulate_route(self._instance, shift, [index for index in route.visits if index != visit])
        gain = 0
        if rest is not None:
            without.replace(shift, rest)
            gain = route.price - rest.price
        tries = attempts(without, visit, share)
        code = "not_settled" if tries.cheapest_in_time < gain else "no_earlier_room"
        facts: Facts = {"tried": tries.tried, "due": due, "feasible": tries.in_time}
        return Reason(code=code, basis="searched", facts=facts)
