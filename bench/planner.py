"""`make bench-planner`: first plans and plans of generated field-service days.

    .venv/bin/python -m bench.planner --seeds 3

The peer of the first plan is the same problem given several seconds: what the quick answer gives away.
"""

import argparse
import statistics
import time
from random import Random
from typing import Final

from bench.table import Figure, report
from routing.check import violations
from routing.plan import Plan
from routing.problem import Place, Problem, Shift, Visit
from routing.solve import solve
from routing.stop import StopWhen

HOUR: Final = 3_600
DAY: Final = 24 * HOUR
SKILLS: Final = ("cctv", "network", "elevator")
FIRST_SECONDS: Final = 0.5
LONG_SECONDS: Final = 5.0
LEAST: Final = 0.97


def main() -> None:
    """Solve the scenarios and print the table."""
    parser = argparse.ArgumentParser(prog="bench-planner", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    figures: list[Figure] = []
    for visits, technicians in ((100, 10), (300, 30)):
        runs = [_measure(day(visits, technicians, seed)) for seed in range(options.seeds)]
        first, share, long_share = (statistics.median(column) for column in zip(*runs, strict=True))
        name = f"{visits} visits, {technicians} technicians, 3 days"
        figures += [
            Figure(f"{name}: first plan, s", first, None, None, "under 1 s", first < 1),
            Figure(
                f"{name}: served, share",
                share,
                long_share,
                share / long_share,
                "at least 0.97 of it",
                share >= 0.97 * long_share,
            ),
        ]
    report("bench-planner", figures)


def day(visits: int, technicians: int, seed: int) -> Problem:
    """Three days of a city: shifts of eight hours with a skill in three, visits of 20 to 90 minutes due within 48 h."""
    random = Random(seed)
    places = [Place(id="depot", latitude=31.0, longitude=117.0)]
    places += [
        Place(id=f"p{n}", latitude=31 + random.uniform(-0.1, 0.1), longitude=117 + random.uniform(-0.1, 0.1))
        for n in range(visits)
    ]
    shifts = [
        Shift(
            id=f"s{worker}-{on}", technician=f"t{worker}", start=on * DAY + 8 * HOUR, end=on * DAY + 16 * HOUR,
            start_place="depot", end_place="depot", skills=("cctv", SKILLS[worker % len(SKILLS)]),
        )
        for worker in range(technicians)
        for on in range(3)
    ]  # fmt: skip
    asked = [
        Visit(
            id=f"v{n}", place=f"p{n}", duration=random.randrange(20, 90) * 60, commitment_due=2 * DAY,
            skills=(random.choice(SKILLS),),
        )
        for n in range(visits)
    ]  # fmt: skip
    return Problem(places=tuple(places), shifts=tuple(shifts), visits=tuple(asked))


def _measure(problem: Problem) -> tuple[float, float, float]:
    """Seconds to the first plan, and the share served by it and after a longer search."""
    began = time.perf_counter()
    quick = _solved(problem, FIRST_SECONDS)
    seconds = time.perf_counter() - began
    return seconds, _share(problem, quick), _share(problem, _solved(problem, LONG_SECONDS))


def _solved(problem: Problem, seconds: float) -> Plan:
    plan = solve(problem, StopWhen(seconds=seconds), 1)
    found = violations(problem, plan)
    if found:
        raise SystemExit(f"the referee refuses a plan: {found[:3]}")
    return plan


def _share(problem: Problem, plan: Plan) -> float:
    return sum(len(route.stops) for route in plan.routes) / len(problem.visits)


if __name__ == "__main__":
    main()
