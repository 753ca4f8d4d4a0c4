# pyright: basic
"""The routing model of OR-Tools for a *lot*: some shifts, and the visits that may go on them.

What the model says is close to the exact simulation, never meant to be equal to it; every answer is simulated exactly
before it counts. The differences, each for speed or because the solver has no word for it:

- breaks are not in the model (they made it 7 to 30 times slower); a shift simply starts later by its breaks;
- a commitment that can be kept is a hard deadline here, and a visit that misses it is left out, to be put in late by
  the insertion scan: so the solver's own search is over plans that keep commitments;
- the step in the price of a broken promise is a slope;
- a customer told of a time is charged for another shift, not for another time on the same shift;
- all hours have the same pace, and parts are at hand.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ortools.constraint_solver import pywrapcp, routing_enums_pb2
from ortools.util import optional_boolean_pb2

from routing.arrays import CAPACITY, FOREVER, LOAD
from routing.instance import Instance, moved_price, preference_price

PROMISE_STEP_SECONDS: Final = 3_600
"""Lateness at which the slope that stands for a broken promise reaches its price."""
UNUSED_OPERATORS: Final = ("use_lin_kernighan", "use_tsp_opt")
"""Slow here without gain, like all 'lns' operators; measured."""


@dataclass(frozen=True, slots=True)
class Departure:
    """Where and when a shift's free part begins: behind its frozen visits, breaks to come taken off."""

    place: int
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """Part of a problem: `shifts` with their `departures`, and the `visits` that may be put on them.

    `deadlines` maps a visit to its latest start where the commitment can be kept.
    """

    shifts: tuple[int, ...]
    departures: tuple[Departure, ...]
    visits: tuple[int, ...]
    deadlines: dict[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one run of the solver."""

    seconds: float | None
    solutions: int | None
    cancelled: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Answer:
    """The routes found, one for each shift of the lot, and how many solutions were looked at."""

    routes: list[list[int]]
    solutions: int


def first_routes(instance: Instance, lot: Lot, limits: Limits) -> Answer | None:
    """Return routes built by parallel cheapest insertion, or None when the solver found none within its limits."""
    model = _Model(instance, lot)
    parameters = _parameters(limits)
    parameters.solution_limit = 1
    return model.answer(model.routing.SolveWithParameters(parameters))


def improved_routes(instance: Instance, lot: Lot, routes: Sequence[Sequence[int]], limits: Limits) -> Answer | None:
    """Return the best that guided local search finds from `routes`, or without seconds the first local optimum.

    Visits of the lot that are not in `routes` are free. None when `routes` are no solution of the model, or nothing was
    found within the limits.
    """
    model = _Model(instance, lot)
    parameters = _parameters(limits)
    if limits.seconds is not None:  # a number of solutions alone might never be reached
        parameters.local_search_metaheuristic = routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    model.routing.CloseModelWithParameters(parameters)
    node = {visit: index for index, visit in enumerate(lot.visits)}
    nodes = [[model.manager.NodeToIndex(node[visit]) for visit in route] for route in routes]
    start = model.routing.ReadAssignmentFromRoutes(nodes, True)
    if start is None:
        return None
    model.stop_at_solution(limits.cancelled)
    return model.answer(model.routing.SolveFromAssignmentWithParameters(start, parameters))


def _parameters(limits: Limits) -> Any:
    parameters = pywrapcp.DefaultRoutingSearchParameters()
    parameters.first_solution_strategy = routing_enums_pb2.FirstSolutionStrategy.PARALLEL_CHEAPEST_INSERTION
    parameters.local_search_metaheuristic = routing_enums_pb2.LocalSearchMetaheuristic.GREEDY_DESCENT
    operators = parameters.local_search_operators
    for operator in operators.DESCRIPTOR.fields:
        if "lns" in operator.name or operator.name in UNUSED_OPERATORS:
            setattr(operators, operator.name, optional_boolean_pb2.BOOL_FALSE)
    if limits.seconds is not None:
        parameters.time_limit.FromMilliseconds(max(1, int(limits.seconds * 1000)))
    if limits.solutions is not None:
        parameters.solution_limit = max(1, limits.solutions)
    return parameters


class _Seen:
    """Counts solutions. The solver keeps its callbacks alive, so none may hold the model: it would never be freed."""

    def __init__(self) -> None:
        self.solutions = 0

    def one_more(self) -> None:
        self.solutions += 1


class _Model:
    """The routing model of one lot; nodes are its visits in order, then the places where shifts begin and end."""

    def __init__(self, instance: Instance, lot: Lot) -> None:
        self.instance = instance
        self.lot = lot
        ends = [instance.shifts[shift].end_place for shift in lot.shifts]
        depots = sorted({departure.place for departure in lot.departures} | set(ends))
        node = {place: len(lot.visits) + index for index, place in enumerate(depots)}
        self.places = [instance.visits[visit].place for visit in lot.visits] + depots
        self.manager = pywrapcp.RoutingIndexManager(
            len(self.places),
            len(lot.shifts),
            [node[departure.place] for departure in lot.departures],
            [node[place] for place in ends],
        )
        self.routing = pywrapcp.RoutingModel(self.manager)
        self.seen = _Seen()
        self.routing.AddAtSolutionCallback(self.seen.one_more)
        self.time = self._add_time()
        self._add_shifts()
        self._add_visits()
        self._add_preferences()
        self._add_loads()

    def stop_at_solution(self, cancelled: Callable[[], bool]) -> None:
        """Make the search end at its next solution once `cancelled` answers True."""
        solver = self.routing.solver()

        def check() -> None:
            if cancelled():
                solver.FinishCurrentSearch()

        self.routing.AddAtSolutionCallback(check)

    def _add_time(self) -> Any:
        travel = self.instance.travel.seconds[np.ix_(self.places, self.places)].astype(np.int64)
        service = np.zeros(len(self.places), dtype=np.int64)
        service[: len(self.lot.visits)] = [self.instance.visits[visit].duration for visit in self.lot.visits]
        arcs = self.routing.RegisterTransitMatrix((travel * self.instance.prices.travel_second).tolist())
        self.routing.SetArcCostEvaluatorOfAllVehicles(arcs)
        transit = self.routing.RegisterTransitMatrix((travel + service[:, None]).tolist())
        horizon = self.instance.horizon
        self.routing.AddDimension(transit, horizon, horizon, False, "time")
        return self.routing.GetDimensionOrDie("time")

    def _add_shifts(self) -> None:
        price = self.instance.prices.overtime_second
        for vehicle, (shift, departure) in enumerate(zip(self.lot.shifts, self.lot.departures, strict=True)):
            day = self.instance.shifts[shift]
            start, end = self.routing.Start(vehicle), self.routing.End(vehicle)
            self.time.CumulVar(start).SetRange(departure.time, departure.time)
            self.time.CumulVar(end).SetRange(departure.time, max(day.last, departure.time))
            if day.last > day.end and price:
                self.time.SetCumulVarSoftUpperBound(end, day.end, price)

    def _add_visits(self) -> None:
        vehicle = {shift: index for index, shift in enumerate(self.lot.shifts)}
        for node, visit in enumerate(self.lot.visits):
            index = self.manager.NodeToIndex(node)
            self.routing.AddDisjunction([index], self.instance.visits[visit].unserved)
            allowed = [vehicle[shift] for shift in self.instance.eligible[visit] if shift in vehicle]
            if len(allowed) < len(vehicle):
                # SetAllowedVehiclesForIndex raises TypeError in 9.15; -1 stands for 'left out'.
                self.routing.VehicleVar(index).SetValues([-1, *allowed])
            self._add_opening(index, visit)

    def _add_opening(self, index: int, visit: int) -> None:
        data = self.instance.visits[visit]
        start = self.time.CumulVar(index)
        opens = [(max(0, begin), min(end, self.instance.horizon)) for begin, end in data.opens]
        start.SetRange(opens[0][0], min(max(end for _, end in opens), self.lot.deadlines.get(visit, FOREVER)))
        closed_until = opens[0][1]
        for begin, end in opens[1:]:
            if begin > closed_until + 1:
                start.RemoveInterval(closed_until + 1, begin - 1)
            closed_until = max(closed_until, end)
        bound, price = self._slope(visit)
        if price:
            self.time.SetCumulVarSoftUpperBound(index, bound, price)

    def _slope(self, visit: int) -> tuple[int, int]:
        """Return (from when, price a second): the solver knows one slope a visit, so the dearest is chosen."""
        data, prices = self.instance.visits[visit], self.instance.prices
        if data.due < FOREVER and visit not in self.lot.deadlines:
            return max(0, data.due), data.late_second + data.delay_second
        if data.promise_end < FOREVER:
            step = prices.promise_broken // PROMISE_STEP_SECONDS
            return max(0, data.promise_end), prices.promise_second + step + data.delay_second
        return data.release, data.delay_second

    def _add_preferences(self) -> None:
        """Add what it costs that just this shift takes a visit, as a sum along each route."""
        problem, visits = self.instance.problem, self.lot.visits
        prices = [
            [
                moved_price(problem.visits[visit], problem.shifts[shift].id, problem.prices)
                + preference_price(problem.visits[visit], problem.shifts[shift], problem.prices)
                for visit in visits
            ]
            for shift in self.lot.shifts
        ]
        if not any(map(any, prices)):
            return
        nothing = [0] * (len(self.places) - len(visits))
        transits = [self.routing.RegisterUnaryTransitVector(row + nothing) for row in prices]
        most = sum(map(max, zip(*prices, strict=True)))
        self.routing.AddDimensionWithVehicleTransits(transits, 0, most, True, "preference")
        self.routing.GetDimensionOrDie("preference").SetSpanCostCoefficientForAllVehicles(1)

    def _add_loads(self) -> None:
        arrays, visits = self.instance.arrays, list(self.lot.visits)
        loads = arrays.visit[visits, LOAD].tolist()
        if any(loads):
            carried = self.routing.RegisterUnaryTransitVector(loads + [0] * (len(self.places) - len(visits)))
            capacities = [min(int(arrays.shift[shift, CAPACITY]), sum(loads)) for shift in self.lot.shifts]
            self.routing.AddDimensionWithVehicleCapacity(carried, 0, capacities, True, "load")

    def answer(self, solution: Any) -> Answer | None:
        """Return the routes of `solution`, or None when there is none."""
        if solution is None:
            return None
        routes: list[list[int]] = []
        for vehicle in range(len(self.lot.shifts)):
            route: list[int] = []
            index = solution.Value(self.routing.NextVar(self.routing.Start(vehicle)))
            while not self.routing.IsEnd(index):
                route.append(self.lot.visits[self.manager.IndexToNode(index)])
                index = solution.Value(self.routing.NextVar(index))
            routes.append(route)
        return Answer(routes, max(1, self.seen.solutions))
