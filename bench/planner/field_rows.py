"""The rows of field service: visits served, and travel at equal visits served, beside VROOM and OR-Tools alone.

VROOM runs first, on every core, until it has nothing more to try (or the limit); what it took is everybody's time.
OR-Tools knows one thread, so it gets one process on each core, with different first solutions, and the better counts.
Ours gets one core: every seed counts alone, and as many run side by side as there are cores.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Final

from bench.planner.options import Options
from bench.planner.runs import Run, cores, run, side_by_side
from bench.planner.scenarios import Scenario, all_scenarios, only, problem_of
from bench.table import Figure
from routing.problem import Problem

LIMIT_SECONDS: Final = 30.0
LEAST_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Compared:
    """Ours beside one peer in one scenario: medians over the seeds."""

    name: str
    visits: int
    served: float
    weight: float
    hours: float
    peer_served: int
    peer_weight: int
    peer_hours: float
    of_peers: float
    """Visits served when given only those the peer served."""
    equal_hours: float
    """Travel then."""

    @property
    def complete(self) -> bool:
        """Return whether the median run served all that the peer served."""
        return self.of_peers >= self.peer_served


def rows(options: Options) -> Iterator[Figure]:
    """Yield two rows for each scenario and peer, and their sums."""
    compared: dict[str, list[Compared]] = {"VROOM": [], "OR-Tools": []}
    for scenario in all_scenarios():
        if options.wants(scenario.name):
            for peer, one in _scenario(scenario, options).items():
                compared[peer].append(one)
                yield from _figures(peer, one)
    for peer, found in compared.items():
        if found:
            yield from _sums(peer, found)


def _scenario(scenario: Scenario, options: Options) -> dict[str, Compared]:
    problem = problem_of(scenario)
    every = len(cores())
    vroom = _all_cores(partial(run, "vroom", problem, LIMIT_SECONDS * options.seconds_scale, threads=every))
    seconds = max(LEAST_SECONDS, min(vroom.answer.seconds, LIMIT_SECONDS))
    ortools = max(
        side_by_side([partial(run, "ortools", problem, seconds, seed=seed) for seed in range(1, every + 1)]),
        key=lambda one: (one.verdict.weight, -one.verdict.travel),
    )
    ours = _ours(problem, seconds, options)
    compared: dict[str, Compared] = {}
    for name, peer in (("VROOM", vroom), ("OR-Tools", ortools)):
        equal = _ours(only(problem, peer.verdict.visits), seconds, options)
        compared[name] = Compared(
            scenario.name, len(problem.visits),
            median(one.verdict.served for one in ours), median(one.verdict.weight for one in ours),
            median(one.verdict.hours for one in ours),
            peer.verdict.served, peer.verdict.weight, peer.verdict.hours,
            median(one.verdict.served for one in equal), median(one.verdict.hours for one in equal),
        )  # fmt: skip
        print(f"  {seconds:.1f} s, {name}: {compared[name]}", file=sys.stderr, flush=True)
    return compared


def _all_cores(call: partial[Run]) -> Run:
    return side_by_side([call], len(cores()))[0]


def _ours(problem: Problem, seconds: float, options: Options) -> list[Run]:
    seeds = range(1, options.seeds + 1)
    return side_by_side([partial(run, "ours", problem, seconds, seed=seed) for seed in seeds])


def _figures(peer: str, one: Compared) -> Iterator[Figure]:
    row = f"field service, {one.name}, {peer}"
    goal = "at least as many" if peer == "VROOM" else "ahead, or all"
    yield Figure(
        f"{row}: served of {one.visits}", one.served, one.peer_served, _ratio(one.served, one.peer_served), goal,
        one.served >= one.peer_served,
    )  # fmt: skip
    yield Figure(
        f"{row}: travel for what it served, h", round(one.equal_hours, 2), round(one.peer_hours, 2),
        _ratio(one.equal_hours, one.peer_hours),
        "no more" if one.complete else f"no more; served {one.of_peers:g} of {one.peer_served}",
        one.complete and one.equal_hours <= one.peer_hours,
    )  # fmt: skip


def _sums(peer: str, found: list[Compared]) -> Iterator[Figure]:
    row = f"field service, {len(found)} scenarios, {peer}"
    strict = peer != "VROOM"
    pairs = {
        f"served of {sum(one.visits for one in found)}": (
            sum(one.served for one in found), sum(one.peer_served for one in found)
        ),
        "served, weighted by priority, millions": (
            sum(one.weight for one in found) / 1e6, sum(one.peer_weight for one in found) / 1e6
        ),
    }  # fmt: skip
    for name, (ours, theirs) in pairs.items():
        met = ours > theirs if strict else ours >= theirs
        yield Figure(
            f"{row}: {name}", ours, theirs, _ratio(ours, theirs), "ahead" if strict else "at least as many", met
        )
    complete = [one for one in found if one.complete]
    yield Figure(
        f"{row}: scenarios where we serve all it served", len(complete), len(found), None, "all",
        len(complete) == len(found),
    )  # fmt: skip
    if complete:
        ours, theirs = sum(one.equal_hours for one in complete), sum(one.peer_hours for one in complete)
        met = ours < theirs if strict else ours <= theirs
        goal = "ahead" if strict else "no more"
        yield Figure(
            f"{row}: travel at equal served, h", round(ours, 2), round(theirs, 2), _ratio(ours, theirs), goal, met
        )


def _ratio(ours: float, theirs: float) -> float | None:
    return round(ours / theirs, 4) if theirs else None
