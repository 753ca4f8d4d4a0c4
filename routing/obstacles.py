"""What stands in the way of inserting a visit: it is tried everywhere, and the rules that would break are counted."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np

from routing.arrays import FOREVER, Integers
from routing.day import simulated_on
from routing.draft import Draft, DraftRoute, overloaded
from routing.instance import Instance
from routing.scan import inserted
from routing.simulate import Reached

Obstacle: TypeAlias = Literal["late_back", "window_missed", "later_visit_missed", "no_break", "van_full"]
OBSTACLES: Final[tuple[Obstacle, ...]] = (
    "late_back", "window_missed", "later_visit_missed", "no_break", "van_full",
)  # fmt: skip


@dataclass(slots=True)
class Attempts:
    """What trying to insert one visit everywhere came to."""

    tried: int = 0
    cheapest: int = FOREVER
    made_late: int = 0
    obstacles: Counter[str] = field(default_factory=Counter[str])
    found: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """Start and added price of each that breaks no rule."""
    over_budget: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """The same of each that breaks none but changes more visits of the plan in force than may."""

    @property
    def feasible(self) -> int:
        """How many break no rule."""
        return len(self.found)

    def by(self, moment: int) -> list[int]:
        """Return the added prices of those that break no rule and start by `moment`."""
        return [added for start, added in self.found if start <= moment]

    def over_budget_by(self, moment: int) -> list[int]:
        """Return the added prices of those that only change too much and start by `moment`."""
        return [added for start, added in self.over_budget if start <= moment]


class Positions(NamedTuple):
    """Every position behind the frozen visits of a draft: the place before it, its shift, its number there."""

    places: Integers
    shifts: Integers
    numbers: Integers


def positions(draft: Draft) -> Positions:
    """Return the positions of a draft, in the order of shifts and routes."""
    instance, found = draft.instance, list[tuple[int, int, int]]()
    for shift, route in enumerate(draft.routes):
        places = [instance.shifts[shift].start_place, *(instance.visits[index].place for index in route.visits)]
        first = len(instance.frozen[shift])
        found += [(place, shift, first + number) for number, place in enumerate(places[first:])]
    return Positions(*np.array(found, dtype=np.int64).reshape(-1, 3).T)


def attempts(draft: Draft, visit: int, most: int, known: Positions | None = None) -> Attempts:
    """Try `visit` at the positions of every shift that may take it, nearest first, at most `most` of them.

    `known`: the draft's positions, where they are known already.
    """
    instance, found = draft.instance, Attempts()
    draft = draft.copy()  # routes are put on it to count what they change
    places, shifts, numbers = known or positions(draft)
    able = np.zeros(len(instance.shifts), dtype=np.bool_)
    able[list(instance.eligible[visit])] = True
    chosen = np.flatnonzero(able[shifts])
    away = instance.travel.seconds[places[chosen], instance.visits[visit].place]
    nearest = chosen[np.argsort(away, kind="stable")[:most]]
    for shift, number in zip(shifts[nearest].tolist(), numbers[nearest].tolist(), strict=True):
        _attempt(found, draft, visit, shift, number)
    return found


def obstacle(instance: Instance, shift: int, visits: list[int], position: int) -> Obstacle:
    """Return which rule keeps the visit at `position` out of the order `visits`: the first that would have to give."""
    day = instance.shifts[shift]
    if overloaded(instance, shift, visits):
        return "van_full"
    unbroken = replace(day, pauses=())
    if not isinstance(simulated_on(unbroken, instance.arrays, visits), Reached):
        return "no_break"
    endless = simulated_on(replace(unbroken, last=FOREVER), instance.arrays, visits)
    if not isinstance(endless, Reached):
        return "late_back"
    return "window_missed" if endless.visits <= position else "later_visit_missed"


def _attempt(found: Attempts, draft: Draft, visit: int, shift: int, position: int) -> None:
    instance, old = draft.instance, draft.routes[shift]
    found.tried += 1
    new = inserted(draft, visit, shift, position)
    if new is None:
        visits = [*old.visits[:position], visit, *old.visits[position:]]
        found.obstacles[obstacle(instance, shift, visits, position)] += 1
        return
    added = new.price - old.price
    starts = dict(zip(new.visits, new.starts(), strict=True))
    if _over_budget(draft, shift, new):
        found.over_budget.append((starts[visit], added))
        return
    found.found.append((starts[visit], added))
    if added < found.cheapest:
        before = dict(zip(old.visits, old.starts(), strict=True))
        dues = {index: instance.visits[index].due for index in old.visits}
        found.cheapest = added
        found.made_late = sum(before[index] <= due < starts[index] for index, due in dues.items())


def _over_budget(draft: Draft, shift: int, route: DraftRoute) -> bool:
    most = draft.instance.problem.most_changes
    if most is None:
        return False
    before = draft.routes[shift]
    draft.replace(shift, route)
    changes = draft.changes()
    draft.replace(shift, before)
    return changes > most
