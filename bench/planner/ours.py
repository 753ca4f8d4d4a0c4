"""Our planner as a process like the peers': a job in, sequences with times out. Imports and compiling come before."""

import sys
import time

import msgspec

from bench.planner.evaluate import Answer, Line
from routing.plan import Plan
from routing.problem import EstimatedTravel, Place, Problem, Shift, Visit
from routing.solve import solve
from routing.stop import StopWhen


class Job(msgspec.Struct, frozen=True):
    """What every planner gets."""

    problem: Problem
    seconds: float
    threads: int
    seed: int


def answer_of(plan: Plan, seconds: float) -> Answer:
    """Return a plan as the judge reads it."""
    return Answer(
        routes=tuple(
            Line(
                route.shift,
                tuple((stop.visit, stop.start) for stop in route.stops),
                tuple((rest.start, rest.end) for rest in route.rests),
            )
            for route in plan.routes
        ),
        seconds=seconds,
    )


def warm() -> None:
    """Have everything loaded and compiled that the first plan of a process needs."""
    places = tuple(Place(id=f"p{n}", latitude=31 + n / 100, longitude=117.0) for n in range(12))
    shifts = tuple(
        Shift(id=f"s{n}", technician=f"t{n}", start=0, end=28_800, start_place="p0", end_place="p0") for n in range(2)
    )
    visits = tuple(Visit(id=f"v{n}", place=f"p{n}", duration=1800) for n in range(12))
    problem = Problem(places=places, shifts=shifts, visits=visits, travel=EstimatedTravel())
    solve(problem, StopWhen(seconds=5, solutions=50))


def main() -> None:
    """Solve one job from standard input."""
    warm()
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    began = time.perf_counter()
    plan = solve(job.problem, StopWhen(seconds=job.seconds), job.seed)
    sys.stdout.buffer.write(msgspec.json.encode(answer_of(plan, time.perf_counter() - began)))


if __name__ == "__main__":
    main()
