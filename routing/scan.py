"""The insertion scan: the cheapest place for one visit in routes that exist.

Candidates are sorted by a price they cannot fall below as long as travel keeps the triangle inequality, then simulated
exactly until no later one can win: a full plan is scanned in milliseconds.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from routing.draft import Draft, DraftRoute, overfull, simulate_route
from routing.instance import FOREVER, Instance
from routing.simulate import Label, advance, finish, first_open, start_terms


@dataclass(frozen=True, slots=True)
class Insertion:
    """Visit `visit` at `position` on `shift`: the route as it would be, and what that adds to the price."""

    visit: int
    shift: int
    position: int
    route: DraftRoute
    added: int


def candidates(draft: Draft, visit: int, shifts: Iterable[int] | None = None) -> list[tuple[int, int, int]]:
    """Return (price not to be undercut, shift, position) for every insertion not excluded at a glance, best first."""
    chosen = draft.instance.eligible[visit] if shifts is None else shifts
    found: list[tuple[int, int, int]] = []
    for shift in chosen:
        found.extend(_on_route(draft, visit, shift))
    found.sort()
    return found


def _on_route(draft: Draft, visit: int, shift: int) -> Iterator[tuple[int, int, int]]:
    instance = draft.instance
    data, day = instance.visits[visit], instance.shifts[shift]
    if data.frozen:
        return
    route = draft.routes[shift]
    places = [day.start_place, *(instance.visits[index].place for index in route.visits), day.end_place]
    here, seconds, travel = data.place, instance.seconds, instance.prices.travel_second
    fixed = instance.preference[visit][shift]
    for position in range(len(instance.frozen[shift]), len(route.visits) + 1):
        before, after = places[position], places[position + 1]
        there = seconds[before][here]
        start = first_open(data, route.stages[position][0].time + there)
        detour = there + seconds[here][after] - (seconds[before][after] if route.visits else 0)
        if start is None or overfull(day, route.work + detour + data.duration):
            continue
        terms = start_terms(data, shift, start, instance)
        yield travel * detour + fixed + terms.late + terms.promise + terms.delay, shift, position


def inserted(draft: Draft, visit: int, shift: int, position: int) -> DraftRoute | None:
    """Return the route of `shift` with `visit` at `position`, exactly simulated, or None where rules exclude it."""
    instance = draft.instance
    day = instance.shifts[shift]
    route = draft.routes[shift]
    visits = [*route.visits[:position], visit, *route.visits[position:]]
    reached: list[list[Label]] = route.stages[: position + 1]
    place = instance.visits[visits[position - 1]].place if position else day.start_place
    for index in visits[position:]:
        data = instance.visits[index]
        labels = advance(instance, day, reached[-1], place, data)
        if not labels:
            return None
        reached.append(labels)
        place = data.place
    ending = finish(instance, day, reached[-1], place)
    if ending is None:
        return None
    origin = instance.visits[visits[position - 1]].place if position else day.start_place
    onward = instance.visits[visits[position + 1]].place if position + 1 < len(visits) else day.end_place
    here = instance.visits[visit].place
    saved = instance.seconds[origin][onward] if route.visits else 0
    work = route.work + instance.seconds[origin][here] + instance.seconds[here][onward] - saved
    return DraftRoute(visits, reached, ending.price, ending.last, work + instance.visits[visit].duration)


def cheapest_insertion(
    draft: Draft, visit: int, *, limit: int = FOREVER, shifts: Iterable[int] | None = None
) -> Insertion | None:
    """Return the cheapest insertion of `visit` that adds less than `limit` to the price, or None."""
    best: Insertion | None = None
    for bound, shift, position in candidates(draft, visit, shifts):
        if bound >= limit:
            break
        route = inserted(draft, visit, shift, position)
        if route is None:
            continue
        added = route.price - draft.routes[shift].price
        if added < limit:
            best, limit = Insertion(visit, shift, position, route, added), added
    return best


def apply(draft: Draft, insertion: Insertion) -> None:
    """Make `insertion` part of the draft."""
    draft.replace(insertion.shift, insertion.route)


def urgency(instance: Instance, visit: int) -> tuple[int, int, int]:
    """Return the order in which visits are put in: dearest to leave out, then earliest due, then as given."""
    data = instance.visits[visit]
    return -data.unserved, min(data.due, data.opens[-1][1] if data.opens else 0), visit


def fill(draft: Draft, visits: Iterable[int] | None = None, *, stop: Callable[[], bool] = lambda: False) -> None:
    """Insert unplanned visits one by one where that is cheaper than leaving them out; dearest to leave out first."""
    chosen = draft.unplanned if visits is None else visits
    for visit in sorted(chosen, key=lambda index: urgency(draft.instance, index)):
        if stop():
            return
        insertion = cheapest_insertion(draft, visit, limit=draft.instance.visits[visit].unserved)
        if insertion is not None:
            apply(draft, insertion)


def settle(draft: Draft, *, stop: Callable[[], bool] = lambda: False) -> None:
    """Move each visit that misses its commitment or its promise to where it is cheapest, dearest to leave out first."""
    instance = draft.instance
    missed = [
        visit
        for route in draft.routes
        for visit, start in zip(route.visits, route.starts(), strict=True)
        if start > min(instance.visits[visit].due, instance.visits[visit].promise_end)
    ]
    for visit in sorted(missed, key=lambda index: urgency(instance, index)):
        if stop():
            return
        moved = relocated(draft, visit)
        if moved is not None:
            draft.routes, draft.unplanned = moved.routes, moved.unplanned


def relocated(draft: Draft, visit: int) -> Draft | None:
    """Return the draft with `visit` taken out and put in at the cheapest place, or None when that gains nothing."""
    shift = next(index for index, route in enumerate(draft.routes) if visit in route.visits)
    route = draft.routes[shift]
    rest = simulate_route(draft.instance, shift, [index for index in route.visits if index != visit])
    if rest is None or draft.instance.visits[visit].frozen:
        return None
    moved = draft.copy()
    moved.replace(shift, rest)
    insertion = cheapest_insertion(moved, visit, limit=route.price - rest.price)
    if insertion is None:
        return None
    apply(moved, insertion)
    return moved
