"""What stands in the way of inserting a visit: it is tried everywhere, and the rules that would break are counted."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from routing.arrays import FOREVER
from routing.draft import Draft, DraftRoute, overloaded
from routing.instance import Instance, with_day
from routing.scan import inserted
from routing.simulate import Reached, simulated

Obstacle: TypeAlias = Literal["late_back", "window_missed", "later_visit_missed", "no_break", "van_full"]
OBSTACLES: Final[tuple[Obstacle, ...]] = (
    "late_back", "window_missed", "later_visit_missed", "no_break", "van_full",
)  # fmt: skip


@dataclass(slots=True)
class Attempts:
    """What trying to insert one visit everywhere came to."""

    tried: int = 0
    feasible: int = 0
    in_time: int = 0
    cheapest: int = FOREVER
    cheapest_in_time: int = FOREVER
    made_late: int = 0
    over_budget: int = 0
    obstacles: Counter[str] = field(default_factory=Counter[str])


def attempts(draft: Draft, visit: int, most: int) -> Attempts:
    """Try `visit` at the positions of every shift that may take it, nearest first, at most `most` of them."""
    instance, found = draft.instance, Attempts()
    here = instance.visits[visit].place
    positions: list[tuple[int, int, int]] = []
    for shift in instance.eligible[visit]:
        visits = draft.routes[shift].visits
        places = [instance.shifts[shift].start_place, *(instance.visits[index].place for index in visits)]
        first = len(instance.frozen[shift])
        positions += [(instance.seconds[places[at]][here], shift, at) for at in range(first, len(places))]
    for _, shift, position in sorted(positions)[:most]:
        _attempt(found, draft, visit, shift, position)
    return found


def obstacle(instance: Instance, shift: int, visits: list[int], position: int) -> Obstacle:
    """Return which rule keeps the visit at `position` out of the order `visits`: the first that would have to give."""
    day = instance.shifts[shift]
    if overloaded(instance, shift, visits):
        return "van_full"
    unbroken = replace(day, pauses=())
    if not isinstance(simulated(with_day(instance, unbroken), shift, visits), Reached):
        return "no_break"
    endless = simulated(with_day(instance, replace(unbroken, last=FOREVER)), shift, visits)
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
    if added < found.cheapest and _over_budget(draft, shift, new):
        found.over_budget += 1
        return
    found.feasible += 1
    starts = dict(zip(new.visits, new.starts(), strict=True))
    if starts[visit] <= instance.visits[visit].due:
        found.in_time += 1
        found.cheapest_in_time = min(found.cheapest_in_time, added)
    if added < found.cheapest:
        before = dict(zip(old.visits, old.starts(), strict=True))
        dues = {index: instance.visits[index].due for index in old.visits}
        found.cheapest = added
        found.made_late = sum(before[index] <= due < starts[index] for index, due in dues.items())


def _over_budget(draft: Draft, shift: int, route: DraftRoute) -> bool:
    most = draft.instance.problem.most_changes
    if most is None:
        return False
    after = draft.copy()
    after.replace(shift, route)
    return after.changes() > most
