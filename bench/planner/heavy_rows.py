"""`make bench-heavy`: problems as large or as odd as the limits allow, each in a process with a child's memory.

Each must end soon after its seconds with a plan that the referee has passed, or with an error that says what to do.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from routing.limits import CHILD_ADDRESS_SPACE_BYTES
from routing.plan import Plan
from routing.problem import Follows, GivenTravel, PartNeed, Place, Problem, ProblemError, Shift, VanStock, Visit
from routing.solve import solve
from routing.stop import StopWhen

HOUR: Final = 3_600
GRACE: Final = 15.0
"""Seconds beyond those asked for in which a plan must be there: loading, the first plan, explaining, the referee."""


def dealt(visits: int, shifts: int, places: int, *, duration: int = HOUR // 2, days: int = 1) -> Problem:
    """Return visits and shifts dealt out to places scattered over a city; `days` shifts in a row are one person's."""
    dice = Random(1)
    where = tuple(
        Place(id=f"p{n}", latitude=31.2 + dice.uniform(-0.1, 0.1), longitude=121.4 + dice.uniform(-0.1, 0.1))
        for n in range(places)
    )
    working = tuple(
        Shift(
            id=f"s{n}",
            technician=f"t{n // days}",
            start=n % days * 24 * HOUR,
            end=n % days * 24 * HOUR + 8 * HOUR,
            start_place=f"p{n % places}",
            end_place=f"p{n % places}",
        )
        for n in range(shifts)
    )
    wanted = tuple(Visit(id=f"v{n}", place=f"p{n % places}", duration=duration) for n in range(visits))
    return Problem(places=where, shifts=working, visits=wanted)


def each(problem: Problem, change: Callable[[int, Visit], Visit]) -> Problem:
    """Return the problem with every visit changed."""
    visits = tuple(change(number, visit) for number, visit in enumerate(problem.visits))
    return msgspec.structs.replace(problem, visits=visits)


def _with(**changes: object) -> Callable[[int, Visit], Visit]:
    return lambda _, visit: msgspec.structs.replace(visit, **changes)


def _chained(number: int, visit: Visit) -> Visit:
    return msgspec.structs.replace(visit, follows=Follows(visit=f"v{number - 1}")) if number else visit


def _crews(every: int) -> Callable[[int, Visit], Visit]:
    return lambda number, visit: msgspec.structs.replace(visit, technicians=1 if number % every else 2)


def _nothing_is_far(problem: Problem) -> Problem:
    size = len(problem.places)
    table = ((0,) * size,) * size
    return msgspec.structs.replace(problem, travel=GivenTravel(seconds=table, metres=table, source="nothing is far"))


def _full_vans(problem: Problem) -> Problem:
    """Return the problem with 100,000 entries of stock, from which every visit needs something."""
    people = len(problem.shifts)
    stock = tuple(VanStock(technician=f"t{n % people}", part=f"x{n % 50}", quantity=1) for n in range(100_000))
    needing = each(
        problem,
        lambda n, visit: msgspec.structs.replace(visit, parts=(PartNeed(part=f"x{n % 50}"),), parts_ready=None),
    )
    return msgspec.structs.replace(needing, van_stock=stock)


PROBLEMS: Final[dict[str, Callable[[], Problem]]] = {
    "100,000 visits": lambda: dealt(100_000, 10, 1_000),
    "20,000 visits, 1 shift": lambda: dealt(20_000, 1, 20_000),
    "20,000 visits, 5 shifts": lambda: dealt(20_000, 5, 20_000),
    "20,000 visits at one place": lambda: _nothing_is_far(dealt(20_000, 100, 1)),
    "20,000 visits without service, 5,000 shifts": lambda: dealt(20_000, 5_000, 5_000, duration=0),
    "20,000 visits nobody can do": lambda: each(dealt(20_000, 50, 1_000), _with(skills=("none",))),
    "20,000 visits, one a crew's": lambda: each(dealt(20_000, 2_000, 20_000), _crews(20_000)),
    "20,000 visits, each after the last": lambda: each(dealt(20_000, 300, 20_000), _chained),
    "2,000 visits, each after the last": lambda: each(dealt(2_000, 300, 2_000), _chained),
    "2,000 visits, a budget of 3 changes": lambda: msgspec.structs.replace(dealt(2_000, 300, 2_000), most_changes=3),
    "2,000 visits, full vans": lambda: _full_vans(dealt(2_000, 200, 200)),
    "500 visits, 1 technician": lambda: dealt(500, 1, 500),
    "500 visits, 1 technician, 31 days": lambda: dealt(500, 31, 500, days=31),
    "500 visits without service, 1 shift": lambda: dealt(500, 1, 500, duration=0),
    "400 visits, no travel": lambda: _nothing_is_far(dealt(400, 10, 100)),
    "300 visits, 100 crews": lambda: each(dealt(300, 60, 300), _crews(3)),
    "300 visits, each after the last": lambda: each(dealt(300, 60, 300), _chained),
    "300 visits, 5,000 shifts": lambda: dealt(300, 5_000, 5_300),
    "10 visits, 5,000 shifts": lambda: dealt(10, 5_000, 5_000),
}


def main() -> None:
    """Plan each in a process of its own, and print a line for each."""
    parser = argparse.ArgumentParser(prog="bench-heavy", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", default="", help="part of names")
    parser.add_argument("--one", default="", help="plan this one here: for the processes this starts")
    asked = parser.parse_args()
    if asked.one:
        sys.stdout.write(planned(PROBLEMS[asked.one](), asked.seconds))
        return
    names = [name for name in PROBLEMS if asked.only in name]
    missed = sum(not in_a_process(name, asked.seconds) for name in names)
    print(f"bench-heavy problems={len(names)} missed={missed}")
    if missed:
        sys.exit(1)


def in_a_process(name: str, seconds: float) -> bool:
    """Plan the problem called `name` in a process of its own; return whether it ended in time and said something."""
    command = [sys.executable, "-m", "bench.planner.heavy_rows", "--one", name, "--seconds", str(seconds)]
    began, limit = time.perf_counter(), 10 * seconds + 60
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        print(f"{name:45} MISSED: no answer in {limit:.0f} s")
        return False
    took = time.perf_counter() - began
    said = ended.stdout if ended.returncode == 0 else ended.stderr.strip().splitlines()[-1]
    good = ended.returncode == 0 and took <= seconds + GRACE
    print(f"{name:45} {'ok' if good else 'MISSED':6} {took:6.1f} s  {said}", flush=True)
    return good


def planned(problem: Problem, seconds: float) -> str:
    """Plan `problem` with a child's memory, and return what came of it."""
    import resource  # noqa: PLC0415 - not on every system

    resource.setrlimit(resource.RLIMIT_AS, (CHILD_ADDRESS_SPACE_BYTES, CHILD_ADDRESS_SPACE_BYTES))
    try:
        plan = solve(problem, StopWhen(seconds=seconds))
    except ProblemError as refused:
        return f"{'refused by the referee' if refused.code == 'plan_refused' else 'refused'}: {refused.en}"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
    return f"{served(plan)} served, {len(plan.unplanned)} left out, {plan.status}, {memory} MB"


def served(plan: Plan) -> int:
    """Return how many visits are in a route, a crew's once."""
    return len({stop.visit for route in plan.routes for stop in route.stops})


if __name__ == "__main__":
    main()
