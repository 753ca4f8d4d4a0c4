"""OR-Tools alone: the routing model as its manual builds it, guided local search. One thread; docs/decisions/0210."""

from importlib import import_module
from itertools import pairwise
from typing import Any, Final

from bench.planner.peers.exchange import WEIGHTS, Job, Json, Route, answer, route, windows

cp: Any = import_module("ortools.constraint_solver.pywrapcp")
enums: Any = import_module("ortools.constraint_solver.routing_enums_pb2")
switch: Any = import_module("ortools.util.optional_boolean_pb2")

FIRST: Final = (
    enums.FirstSolutionStrategy.LOCAL_CHEAPEST_INSERTION,
    enums.FirstSolutionStrategy.PARALLEL_CHEAPEST_INSERTION,  # the one where it runs once
)
"""It has no seed; where it is run twice, the second run begins elsewhere."""
SLOW: Final = (
    "use_path_lns",
    "use_inactive_lns",
    "use_full_path_lns",
    "use_lin_kernighan",
    "use_tsp_opt",
    "use_tsp_lns",
)
"""Operators that cost more than they bring here; without them the same seconds end at better plans."""
WEIGHT_SECONDS: Final = 20_000
"""What one unit of weight costs in seconds of driving: no visit is left out to save a drive."""


class Model:
    """The routing model of one job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.nodes = [*(job.place[visit["place"]] for visit in job.visits)]
        ends = [(job.place[shift["start_place"]], job.place[shift["end_place"]]) for shift in job.shifts]
        count, vehicles = len(job.visits), len(job.shifts)
        starts = list(range(count, count + vehicles))
        lasts = list(range(count + vehicles, count + 2 * vehicles))
        self.nodes += [start for start, _ in ends] + [end for _, end in ends]
        self.manager = cp.RoutingIndexManager(len(self.nodes), vehicles, starts, lasts)
        self.routing = cp.RoutingModel(self.manager)
        self.solver = self.routing.solver()
        self.index: list[int] = [self.manager.NodeToIndex(node) for node in range(count)]
        self.rests: list[list[Any]] = []
        self._travel_and_time()
        self._loads()
        for number, visit in enumerate(job.visits):
            self._visit(self.index[number], visit)
        self._breaks()

    def _travel_and_time(self) -> None:
        job = self.job
        service = [visit["duration"] for visit in job.visits] + [0] * (2 * len(job.shifts))
        travel = [[job.seconds_between[a][b] for b in self.nodes] for a in self.nodes]
        busy = [[service[a] + leg for leg in row] for a, row in enumerate(travel)]
        self.service = [0] * self.routing.Size()
        for node, index in enumerate(self.index):
            self.service[index] = service[node]
        legs = self.routing.RegisterTransitMatrix(travel)
        times = self.routing.RegisterTransitMatrix(busy)
        self.routing.SetArcCostEvaluatorOfAllVehicles(legs)
        last = max(shift["end"] for shift in job.shifts)
        self.routing.AddDimension(times, last, last, False, "time")
        self.time = self.routing.GetDimensionOrDie("time")
        for vehicle, shift in enumerate(job.shifts):
            self.time.CumulVar(self.routing.Start(vehicle)).SetRange(shift["start"], shift["end"])
            self.time.CumulVar(self.routing.End(vehicle)).SetRange(shift["start"], shift["end"])

    def _loads(self) -> None:
        capacities = [shift["capacity"] for shift in self.job.shifts]
        if None in capacities:
            return
        loads = [visit["load"] for visit in self.job.visits] + [0] * (2 * len(self.job.shifts))
        taken = self.routing.RegisterUnaryTransitVector(loads)
        self.routing.AddDimensionWithVehicleCapacity(taken, 0, capacities, True, "load")

    def _visit(self, index: int, visit: Json) -> None:
        shifts = [n for n, shift in enumerate(self.job.shifts) if self.job.can_serve(shift, visit)]
        opens = windows(visit)
        self.routing.AddDisjunction([index], WEIGHT_SECONDS * WEIGHTS[visit["priority"]])
        if not shifts or not opens:
            self.routing.VehicleVar(index).SetValue(-1)
            return
        if len(shifts) < len(self.job.shifts):
            self.routing.VehicleVar(index).SetValues([-1, *shifts])
        start = self.time.CumulVar(index)
        start.SetRange(opens[0][0], min(opens[-1][1], start.Max()))
        for (_, end), (begin, _) in pairwise(opens):
            start.RemoveInterval(end + 1, begin - 1)

    def _breaks(self) -> None:
        for vehicle, shift in enumerate(self.job.shifts):
            rests = [
                self.solver.FixedDurationIntervalVar(
                    pause["earliest"], pause["latest"], pause["duration"], False, f"break {vehicle}"
                )
                for pause in shift["breaks"]
            ]
            self.rests.append(rests)
            if rests:
                self.time.SetBreakIntervalsOfVehicle(rests, vehicle, self.service)

    def solved(self) -> list[Route]:
        """Return the routes found by guided local search within the job's seconds."""
        parameters = cp.DefaultRoutingSearchParameters()
        parameters.first_solution_strategy = FIRST[self.job.seed % len(FIRST)]
        parameters.local_search_metaheuristic = enums.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
        parameters.time_limit.FromMilliseconds(int(self.job.seconds * 1000))
        for name in SLOW:
            setattr(parameters.local_search_operators, name, switch.BOOL_FALSE)
        found = self.routing.SolveWithParameters(parameters)
        return [] if found is None else [self._route(found, vehicle) for vehicle in range(len(self.job.shifts))]

    def _route(self, found: Any, vehicle: int) -> Route:
        stops: list[tuple[str, int]] = []
        index = found.Value(self.routing.NextVar(self.routing.Start(vehicle)))
        while not self.routing.IsEnd(index):
            visit = self.job.visits[int(self.manager.IndexToNode(index))]
            stops.append((visit["id"], found.Min(self.time.CumulVar(index))))
            index = found.Value(self.routing.NextVar(index))
        rests = [(found.StartMin(rest), found.StartMin(rest) + found.DurationMin(rest)) for rest in self.rests[vehicle]]
        return route(self.job.shifts[vehicle], stops, rests)


def solve(job: Job) -> list[Route]:
    """Return the routes of OR-Tools' own model."""
    return Model(job).solved()


if __name__ == "__main__":
    answer(solve)
