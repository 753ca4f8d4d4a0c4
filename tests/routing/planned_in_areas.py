"""Run as a module: plan a week in small areas on as many cores as the argument says, and write the plan's digest."""

import hashlib
import os
import sys

import msgspec

import routing.solve
from routing.stop import StopWhen
from tests.routing.make import city_week


def digest(visits: int, solutions: int) -> str:
    """Return a digest of the plan of a week with so many visits."""
    plan = routing.solve.solve(city_week(visits, visits // 12, 2, breaks=True), StopWhen(solutions=solutions), seed=4)
    return f"{hashlib.sha256(msgspec.json.encode(plan)).hexdigest()} {plan.solutions} {plan.cost.total}"


if __name__ == "__main__":
    cores, area, count, solutions = (int(argument) for argument in sys.argv[1:])
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:cores])
    routing.solve.AREA_VISITS = area  # pyright: ignore[reportAttributeAccessIssue]
    routing.solve.FIRST_VISITS = 2 * area
    sys.stdout.write(digest(count, solutions))
