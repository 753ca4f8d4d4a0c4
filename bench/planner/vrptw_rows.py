"""The rows of VRPTW: gaps to the best known distance, ours beside PyVRP, VROOM and OR-Tools alone."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from bench.planner import vrptw
from bench.planner.options import Options
from bench.planner.runs import Planner, Run, cores, run, side_by_side
from bench.table import Figure
from routing.problem import Problem


class Case(NamedTuple):
    """One instance at one length of search, and the gap that is the goal, in percent."""

    instance: str
    seconds: float
    threads: int
    goal: float


SOLOMON: Final = ("C101", "R101", "RC101", "R201", "RC208")
UNSERVED: Final = 100.0
"""The gap of an answer that leaves somebody unserved."""
THOUSAND: Final = "R1_10_1"
CASES: Final = (
    *(Case(name, 10, 1, 0.5) for name in (*SOLOMON, "R1_2_1", "RC2_2_1")),
    Case("R1_4_1", 10, 1, 1.5),
    Case("R1_2_1", 60, 1, 0.3),
    Case("RC2_2_1", 60, 1, 0.3),
    Case("R1_4_1", 60, 1, 0.7),
    Case(THOUSAND, 60, 1, 3.5),
    Case(THOUSAND, 60, 2, 2.5),
)


def rows(options: Options) -> Iterator[Figure]:
    """Yield the rows of every case; says loudly when there are no instances to solve."""
    if options.data is None:
        print("SKIPPED: all VRPTW rows. Name a folder of instances with --data or VRP_DATA.", file=sys.stderr)
        return
    known = vrptw.best_known(options.data)
    best = dict(known)
    cases = [case for case in CASES if options.wants(case.instance) and case.threads <= len(cores())]
    tried: list[tuple[Case, str, int, list[Run]]] = []
    for case in cases:
        instance = _instance(options.data, case.instance)
        problem = vrptw.problem_of(instance)
        found = _runs(case, problem, options)
        tried.append((case, instance.name, len(problem.visits), found))
        full = [_distance(one) for one in found if one.verdict.served == len(problem.visits)]
        if case.instance not in known and full:
            best[case.instance] = min([best.get(case.instance, full[0]), *full])
    for case, name, size, found in tried:
        asked = case._replace(seconds=case.seconds * options.seconds_scale)
        yield from _figures(asked, name, size, found, best.get(case.instance, 1.0), run_best=case.instance not in known)


def _instance(folder: Path, name: str) -> vrptw.Instance:
    path = folder / f"{name}.txt"
    if path.exists() or name != THOUSAND:
        return vrptw.read_instance(path)
    print(f"{name} is not in the folder: {vrptw.GENERATED} is generated instead", file=sys.stderr)
    return vrptw.generated()


def _runs(case: Case, problem: Problem, options: Options) -> list[Run]:
    """Ours and PyVRP with every seed, in turns; the others, which have no seeds, once.

    With two threads PyVRP, which has one, gets twice the time: equal core-seconds.
    """
    seconds = case.seconds * options.seconds_scale
    jobs: list[tuple[Planner, int, float, int]] = []
    for seed in range(1, options.seeds + 1):
        jobs.append(("ours", seed, seconds, case.threads))
        jobs.append(("pyvrp", seed, seconds * case.threads, 1))
    if case.threads == 1:
        jobs.append(("vroom", 0, seconds, 1))
        jobs.append(("ortools", 1, seconds, 1))
    if options.ours_only:
        jobs = [job for job in jobs if job[0] == "ours"]
    found: list[Run] = []
    for threads in sorted({job[3] for job in jobs}):
        calls = [
            partial(run, planner, problem, length, seed=seed, threads=threads)
            for planner, seed, length, of in jobs
            if of == threads
        ]
        found += side_by_side(calls, threads)
    for one in found:
        print(f"  {case}: {one.planner} {one.seed} {_distance(one):.1f}, {one.answer.seconds:.1f} s", file=sys.stderr)
    return found


def _distance(one: Run) -> float:
    return one.verdict.travel / vrptw.SCALE


def _figures(case: Case, name: str, size: int, found: list[Run], best: float, *, run_best: bool) -> Iterator[Figure]:
    gaps: dict[Planner, float] = {}
    for planner in ("ours", "pyvrp", "vroom", "ortools"):
        of = [one for one in found if one.planner == planner]
        if of:
            gaps[planner] = median(
                100 * (_distance(one) / best - 1) if one.verdict.served == size else UNSERVED for one in of
            )
    ours = gaps["ours"]
    against = "best of this run" if run_best else "best known"
    row = f"VRPTW {name}, {case.seconds:g} s, {case.threads} core(s), % above the {against}"
    yield Figure(row, round(ours, 3), None, None, f"at most {case.goal}", ours <= case.goal)
    for planner, goal in (
        ("pyvrp", "not worse than PyVRP"),
        ("ortools", "not worse than OR-Tools"),
        ("vroom", "not worse than VROOM"),
    ):
        if planner in gaps:
            peer, met = gaps[planner], ours < UNSERVED and round(ours, 2) <= round(gaps[planner], 2)
            ratio = round(ours / peer, 3) if peer > 0 else None
            yield Figure(f"{row}: {planner}", round(ours, 3), round(peer, 3), ratio, goal, met)
