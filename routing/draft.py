"""A plan under construction: the routes as lists of visit indices, each exactly simulated, always legal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from routing import arrays as columns
from routing.arrays import FOREVER
from routing.instance import Instance
from routing.kernel import routes as kernel
from routing.kernel.routes import changed_visits
from routing.simulate import RouteTimes, simulated


@dataclass(frozen=True, slots=True)
class DraftRoute:
    """One route: its visits in order, and its cheapest schedule."""

    visits: list[int]
    times: RouteTimes

    @property
    def price(self) -> int:
        """What the route costs: 0 when it is empty."""
        return self.times.price

    @property
    def driving(self) -> int:
        """Seconds on the road, the way back included."""
        driven = sum(stop.arrives - stop.leaves for stop in self.times.stops)
        return driven + self.times.back - self.times.leaves

    def starts(self) -> list[int]:
        """Return when service starts at each visit on the cheapest schedule."""
        return self.times.starts()


@dataclass(slots=True)
class Draft:
    """Routes of all shifts, in their order, and what is in none of them."""

    instance: Instance
    routes: list[DraftRoute]
    unplanned: set[int] = field(default_factory=set[int])
    _compiled: kernel.Routes | None = None

    def price(self) -> int:
        """Return the exact price of the whole: routes plus visits left out."""
        visits = self.instance.visits
        return sum(route.price for route in self.routes) + sum(visits[index].unserved for index in self.unplanned)

    def copy(self) -> "Draft":
        """Return a draft that can be changed without changing this one; routes are replaced, never altered."""
        return Draft(self.instance, list(self.routes), set(self.unplanned))

    def replace(self, shift: int, route: DraftRoute) -> None:
        """Put `route` on `shift`; visits that were on it and are not any more become unplanned."""
        self.unplanned.update(self.routes[shift].visits)
        self.routes[shift] = route
        self.unplanned.difference_update(route.visits)
        if self._compiled is not None:
            _write(self.instance, self._compiled, shift, route.visits)

    def late(self) -> int:
        """Return how many visits start after their commitment."""
        visits, named = self.instance.visits, self.instance.problem.visits
        late = {
            named[visit].id
            for route in self.routes
            for visit, start in zip(route.visits, route.starts(), strict=True)
            if start > visits[visit].due
        }
        return len(late)

    def changes(self) -> int:
        """Return how many visits of the plan in force this one changes, as `Problem.most_changes` counts."""
        return int(changed_visits(self.instance.arrays, self.compiled()))

    def forget_compiled(self) -> None:
        """Let the routes be written anew for the compiled search: the arrays have changed."""
        self._compiled = None

    def compiled(self) -> kernel.Routes:
        """Return the routes as the compiled search reads them, kept up to date from now on."""
        if self._compiled is None:
            self._compiled = kernel.empty_routes(self.instance.arrays, _longest(self.instance))
            for shift, route in enumerate(self.routes):
                if route.visits:
                    _write(self.instance, self._compiled, shift, route.visits)
        return self._compiled


def _write(instance: Instance, routes: kernel.Routes, shift: int, visits: Sequence[int]) -> None:
    kernel.write_route(instance.arrays, routes, shift, np.array(visits, dtype=np.int64))


def _longest(instance: Instance) -> int:
    """Return how many visits a route can have at most: as many of the shortest, and of the lightest, as a shift takes.

    Frozen visits may be more than that.
    """
    shift, visit = instance.arrays.shift, instance.arrays.visit
    if not len(shift) or not len(visit):
        return 1
    longest = int((shift[:, columns.LAST] - shift[:, columns.START]).max())
    carried = int(shift[:, columns.CAPACITY].max())
    by_time = np.searchsorted(np.cumsum(np.sort(visit[:, columns.DURATION])), longest, side="right")
    by_load = np.searchsorted(np.cumsum(np.sort(visit[:, columns.LOAD])), carried, side="right")
    frozen = max(len(route) for route in instance.frozen)
    return min(len(visit), int(min(by_time, by_load)) + frozen + 1)


def simulate_route(instance: Instance, shift: int, visits: Sequence[int]) -> DraftRoute | None:
    """Return the route, or None when the rules of the day exclude it."""
    if not len(visits):
        begins = instance.shifts[shift].start
        return DraftRoute([], RouteTimes((), begins, begins, (), 0))
    if overloaded(instance, shift, visits):
        return None
    times = simulated(instance.arrays, shift, visits)
    return DraftRoute(list(visits), times) if isinstance(times, RouteTimes) else None


def overloaded(instance: Instance, shift: int, visits: Sequence[int]) -> bool:
    """Return whether the van cannot take what `visits` need."""
    capacity = instance.arrays.shift[shift, columns.CAPACITY]
    return bool(capacity < FOREVER and instance.arrays.visit[list(visits), columns.LOAD].sum() > capacity)


def taken_out(draft: Draft, visit: int) -> tuple[Draft, int]:
    """Return the draft without the planned `visit`, and what that saves; itself and 0 where rules keep it there."""
    shift = next(number for number, route in enumerate(draft.routes) if visit in route.visits)
    route = draft.routes[shift]
    rest = simulate_route(draft.instance, shift, [one for one in route.visits if one != visit])
    if rest is None:
        return draft, 0
    left = draft.copy()
    left.replace(shift, rest)
    return left, route.price - rest.price


def driven(instance: Instance, shift: int, visits: Sequence[int]) -> DraftRoute:
    """Return the route of `visits`, which are known to fit."""
    route = simulate_route(instance, shift, visits)
    if route is None:
        raise AssertionError(f"visits {visits} do not fit on shift {shift}")
    return route


def empty_draft(instance: Instance) -> Draft:
    """Return the draft that holds the frozen visits and nothing else."""
    routes = [driven(instance, shift, frozen) for shift, frozen in enumerate(instance.frozen)]
    planned = {index for frozen in instance.frozen for index in frozen}
    return Draft(instance, routes, set(range(len(instance.visits))) - planned)


def put_in_order(draft: Draft, shift: int, visits: Iterable[int]) -> None:
    """Append `visits` to the route of `shift` one by one, leaving out each that does not fit behind the others."""
    route = draft.routes[shift]
    for index in visits:
        grown = simulate_route(draft.instance, shift, [*route.visits, index])
        if grown is not None and grown.price < route.price + draft.instance.visits[index].unserved:
            route = grown
    draft.replace(shift, route)
