"""What goes over the pipes: a problem as our own JSON writes it in, sequences with times out.

Stays within the standard library: it is imported in the peers' environment.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]
Route: TypeAlias = dict[str, Any]

WEIGHTS: Final = {1: 100, 2: 30, 3: 10, 4: 5}
"""What leaving out a visit of each priority weighs: in the proportion of `Prices.unserved`, up to VROOM's highest."""


class Job:
    """A problem to solve: `seconds` of wall time, `threads` to use, `seed` where the peer has one."""

    def __init__(self, job: Json) -> None:
        problem = job["problem"]
        self.seconds: float = job["seconds"]
        self.threads: int = job["threads"]
        self.seed: int = job["seed"]
        self.shifts: list[Json] = problem["shifts"]
        self.visits: list[Json] = problem["visits"]
        self.seconds_between: list[list[int]] = problem["travel"]["seconds"]
        self.place = {place["id"]: index for index, place in enumerate(problem["places"])}
        names = sorted({name for shift in self.shifts for name in shift["skills"]})
        self.skill = {name: index for index, name in enumerate(names, start=1)}

    def can_serve(self, shift: Json, visit: Json) -> bool:
        """Return whether the shift has every skill the visit asks for."""
        return set(visit["skills"]) <= set(shift["skills"])


def windows(visit: Json) -> list[tuple[int, int]]:
    """Return the intervals in which service may start: the visit's windows, cut to [earliest, deadline]."""
    last = visit["commitment_due"]
    first = max(0, visit["earliest"])
    given = [(window["start"], window["end"]) for window in visit["windows"]] or [(first, 1 << 31)]
    cut = [(max(first, start), end if last is None else min(last, end)) for start, end in given]
    return sorted((start, end) for start, end in cut if start <= end)


def answer(solve: Callable[[Job], list[Route]]) -> None:
    """Read a job from standard input, let `solve` work on it, and write its routes and its wall time."""
    job = Job(json.load(sys.stdin))
    began = time.perf_counter()
    routes = solve(job)
    json.dump({"routes": routes, "seconds": time.perf_counter() - began}, sys.stdout)


def route(shift: Json, stops: list[tuple[str, int]], rests: list[tuple[int, int]]) -> Route:
    """Return one route: (visit, start of service) in order, and the breaks as (start, end)."""
    return {"shift": shift["id"], "stops": stops, "rests": rests}
