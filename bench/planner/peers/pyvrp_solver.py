"""PyVRP: VRPTW only, as its own `solve` with its own settings. One thread; it has no more."""

from importlib import import_module
from typing import Any

from bench.planner.peers.exchange import Job, Route, answer, route, windows

np: Any = import_module("numpy")
pyvrp: Any = import_module("pyvrp")


def solve(job: Job) -> list[Route]:
    """Return PyVRP's routes; all shifts are alike, and every visit is mandatory."""
    shift = job.shifts[0]
    result = pyvrp.solve(
        _data(job, shift), pyvrp.stop.MaxRuntime(job.seconds), seed=job.seed, collect_stats=False, display=False
    )
    if not result.best.is_feasible():
        return []
    return [
        route(of, [(job.visits[index]["id"], start) for index, start in stops], [])
        for of, stops in zip(job.shifts, map(_stops, result.best.routes()), strict=False)
    ]


def _data(job: Job, shift: dict[str, Any]) -> Any:
    places = [job.place[shift["start_place"]], *(job.place[visit["place"]] for visit in job.visits)]
    table = np.array(job.seconds_between)[np.ix_(places, places)]
    clients = [
        pyvrp.Client(
            location=index, delivery=[visit["load"]], service_duration=visit["duration"],
            tw_early=windows(visit)[0][0], tw_late=windows(visit)[0][1],
        )
        for index, visit in enumerate(job.visits, start=1)
    ]  # fmt: skip
    vehicles = pyvrp.VehicleType(
        num_available=len(job.shifts), capacity=[shift["capacity"]], tw_early=shift["start"], tw_late=shift["end"]
    )
    where = [pyvrp.Location(0, 0) for _ in places]
    return pyvrp.ProblemData(where, clients, [pyvrp.Depot(location=0)], [vehicles], [table], [table])


def _stops(found: Any) -> list[tuple[int, int]]:
    """Return (index of the visit, start of service) of one route."""
    return [(stop.idx, stop.start_time) for stop in found.schedule() if stop.is_client()]


if __name__ == "__main__":
    answer(solve)
