"""The insertion scan: the cheapest place for one visit in routes that exist, every place exactly simulated."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from routing.arrays import FOREVER, NOWHERE
from routing.draft import Draft, DraftRoute, driven, simulate_route
from routing.instance import Instance
from routing.kernel import routes as kernel


@dataclass(frozen=True, slots=True)
class Insertion:
    """Visit `visit` at `position` on `shift`: the route as it would be, and what that adds to the price."""

    visit: int
    shift: int
    position: int
    route: DraftRoute
    added: int


def candidates(draft: Draft, visit: int, shifts: Iterable[int] | None = None) -> list[tuple[int, int, int]]:
    """Return (added price, shift, position) of every place the rules allow, cheapest first."""
    instance, routes = draft.instance, draft.compiled()
    found: list[tuple[int, int, int]] = []
    if instance.visits[visit].frozen:
        return found
    added = np.zeros(routes.counts.shape[1], dtype=np.int64)
    for shift in instance.eligible[visit] if shifts is None else shifts:
        kernel.all_insertions(instance.arrays, routes, visit, shift, added)
        places = len(draft.routes[shift].visits) + 1
        found += [
            (price, shift, position)
            for position, price in enumerate(added[:places].tolist())
            if price < kernel.IMPOSSIBLE
        ]
    found.sort()
    return found


def inserted(draft: Draft, visit: int, shift: int, position: int) -> DraftRoute | None:
    """Return the route of `shift` with `visit` at `position`, exactly simulated, or None where rules exclude it."""
    visits = draft.routes[shift].visits
    return simulate_route(draft.instance, shift, [*visits[:position], visit, *visits[position:]])


def cheapest_insertion(
    draft: Draft, visit: int, *, limit: int = FOREVER, shifts: Iterable[int] | None = None
) -> Insertion | None:
    """Return the cheapest insertion of `visit` that adds less than `limit` to the price, or None."""
    if draft.instance.visits[visit].frozen:
        return None
    if shifts is None:
        dice = np.zeros(1, dtype=np.int64)
        shift, position, added = kernel.best_insertion(draft.instance.arrays, draft.compiled(), visit, limit, 0.0, dice)
    else:
        added, shift, position = next(iter(candidates(draft, visit, shifts)), (limit, NOWHERE, 0))
    if shift == NOWHERE or added >= limit:
        return None
    visits = draft.routes[shift].visits
    route = driven(draft.instance, shift, [*visits[:position], visit, *visits[position:]])
    return Insertion(visit, int(shift), int(position), route, route.price - draft.routes[shift].price)


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
        relocate(draft, visit)


def relocate(draft: Draft, visit: int) -> bool:
    """Take `visit` out and put it in at the cheapest place; False, and nothing changed, when that gains nothing."""
    shift = next(index for index, route in enumerate(draft.routes) if visit in route.visits)
    route = draft.routes[shift]
    rest = simulate_route(draft.instance, shift, [index for index in route.visits if index != visit])
    if rest is None or draft.instance.visits[visit].frozen:
        return False
    draft.replace(shift, rest)
    insertion = cheapest_insertion(draft, visit, limit=route.price - rest.price)
    if insertion is None:
        draft.replace(shift, route)
        return False
    apply(draft, insertion)
    return True
