"""A plan under construction: the routes as lists of visit indices, each with its exact price, always legal."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from routing.instance import FOREVER, Instance, ShiftData
from routing.simulate import Label, finish, run, stages


@dataclass(slots=True)
class DraftRoute:
    """One route: visits in order, the labels before the first and after each, and the price (0 when empty).

    `last` is the label of the last visit on the cheapest schedule. `work` is driving and service without any waiting
    or break: what the day cannot be shorter than.
    """

    visits: list[int]
    stages: list[list[Label]]
    price: int
    last: Label | None = None
    work: int = 0

    def starts(self) -> list[int]:
        """Return when service starts at each visit on the cheapest schedule."""
        return [] if self.last is None else self.last.starts()


@dataclass(slots=True)
class Draft:
    """Routes of all shifts, in their order, and what is in none of them."""

    instance: Instance
    routes: list[DraftRoute]
    unplanned: set[int] = field(default_factory=set[int])

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


def simulated(instance: Instance, shift: int, visits: Sequence[int]) -> DraftRoute:
    """Return the route of `visits`, which are known to fit."""
    route = simulate_route(instance, shift, visits)
    if route is None:
        raise AssertionError(f"visits {visits} do not fit on shift {shift}")
    return route


def simulate_route(instance: Instance, shift: int, visits: Sequence[int]) -> DraftRoute | None:
    """Return the route, or None when the rules of the day exclude it."""
    data = instance.shifts[shift]
    reached = stages(instance, data, visits)
    if len(reached) <= len(visits):
        return None
    if not visits:
        return DraftRoute([], reached, 0)
    ending = finish(instance, data, reached[-1], instance.visits[visits[-1]].place)
    if ending is None:
        return None
    return DraftRoute(list(visits), reached, ending.price, ending.last, _work(instance, data, visits))


def _work(instance: Instance, shift: ShiftData, visits: Sequence[int]) -> int:
    work, place = 0, shift.start_place
    for index in visits:
        visit = instance.visits[index]
        work += instance.seconds[place][visit.place] + visit.duration
        place = visit.place
    return work + instance.seconds[place][shift.end_place]


def overfull(shift: ShiftData, work: int) -> bool:
    """Return whether `work` seconds of driving and service cannot be done in time on `shift`, even without waiting.

    A break that would have to begin before such a route ends is part of the route, whatever its order.
    """
    end = shift.start + work
    for pause in shift.pauses:
        if end > pause.latest:
            end += pause.duration
    return end > shift.last


def empty_draft(instance: Instance) -> Draft:
    """Return the draft that holds the frozen visits and nothing else.

    Where frozen visits run past the end of their shift or over a break, that end or that break gives way: the draft's
    instance has such a shift as long as its frozen visits take, without the breaks they leave no room for.
    """
    shifts = tuple(_fitted(instance, day, instance.frozen[day.index]) for day in instance.shifts)
    horizon = max((day.last for day in shifts), default=0)
    fitted = dataclasses.replace(instance, shifts=shifts, horizon=horizon)
    routes = [simulated(fitted, shift, frozen) for shift, frozen in enumerate(fitted.frozen)]
    planned = {index for frozen in instance.frozen for index in frozen}
    return Draft(fitted, routes, set(range(len(instance.visits))) - planned)


def _fitted(instance: Instance, day: ShiftData, frozen: Sequence[int]) -> ShiftData:
    """Return `day` with its end and breaks changed as far as the `frozen` visits force it.

    Breaks that can still begin after the last of them stay; an earlier one stays if it delays none of them.
    """
    if not frozen:
        return day
    endless = dataclasses.replace(day, last=FOREVER, pauses=())
    undisturbed = stages(instance, endless, frozen)[-1][0]
    starts = undisturbed.starts()
    kept = [pause for pause in day.pauses if pause.latest >= undisturbed.time]
    for pause in day.pauses:
        if pause not in kept:
            ending = run(instance, dataclasses.replace(endless, pauses=tuple(sorted([*kept, pause]))), frozen)
            if ending is not None and ending.last.starts() == starts:
                kept.append(pause)
    fitted = dataclasses.replace(endless, pauses=tuple(sorted(kept)))
    ending = run(instance, fitted, frozen)
    if ending is None:
        raise AssertionError("frozen visits fit a day without end and without the breaks in their way")
    return dataclasses.replace(fitted, last=max(day.last, ending.end))


def put_in_order(draft: Draft, shift: int, visits: Iterable[int]) -> None:
    """Append `visits` to the route of `shift` one by one, leaving out each that does not fit behind the others."""
    route = draft.routes[shift]
    for index in visits:
        grown = simulate_route(draft.instance, shift, [*route.visits, index])
        if grown is not None and grown.price < route.price + draft.instance.visits[index].unserved:
            route = grown
    draft.replace(shift, route)
