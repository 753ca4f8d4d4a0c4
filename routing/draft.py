"""A plan under construction: the routes as lists of visit indices, each with its exact price, always legal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from routing.instance import Instance, ShiftData
from routing.problem import ProblemError
from routing.simulate import Label, finish, stages


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
        starts: list[int] = []
        label = self.last
        while label is not None and label.parent is not None:
            starts.append(label.start)
            label = label.parent
        return starts[::-1]


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

    Raises `ProblemError` 'frozen_does_not_fit' when the frozen visits of a shift exclude each other.
    """
    routes: list[DraftRoute] = []
    for shift, frozen in enumerate(instance.frozen):
        route = simulate_route(instance, shift, frozen)
        if route is None:
            name = instance.problem.shifts[shift].id
            raise ProblemError("frozen_does_not_fit", f"shifts[{shift}] '{name}'")
        routes.append(route)
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
