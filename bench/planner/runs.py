"""Running a planner: a process of its own, on cores of its own, judged as soon as it has answered."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Literal, TypeAlias

import msgspec

from bench.peers import installed
from bench.planner.evaluate import Answer, Verdict, evaluate
from bench.planner.ours import Job
from routing.problem import Problem

ROOT: Final = Path(__file__).parents[2]
GRACE_SECONDS: Final = 300.0

Planner: TypeAlias = Literal["ours", "pyvrp", "vroom", "ortools"]


@dataclass(frozen=True)
class Run:
    """One planner's answer to one job."""

    planner: Planner
    seed: int
    answer: Answer
    verdict: Verdict


def cores() -> list[int]:
    """Return the cores this process may use, where the system tells."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def run(planner: Planner, problem: Problem, seconds: float, *, seed: int = 1, threads: int = 1) -> Run:
    """Let `planner` work on `problem`. One that fails, or breaks a rule, is named aloud and has served nobody."""
    python, module = (
        (Path(sys.executable), "bench.planner.ours")
        if planner == "ours"
        else (installed(), f"bench.planner.peers.{planner}_solver")
    )
    job = msgspec.json.encode(Job(problem=problem, seconds=seconds, threads=threads, seed=seed))
    done = subprocess.run(
        [python, "-m", module], input=job, capture_output=True, cwd=ROOT, check=False,
        timeout=seconds + GRACE_SECONDS, env=environment(threads),
    )  # fmt: skip
    if done.returncode:
        verdict, answer = Verdict(faults=[done.stderr.decode(errors="replace")[-2000:]]), Answer(())
    else:
        answer = msgspec.json.decode(done.stdout, type=Answer)
        verdict = evaluate(problem, answer)
    if verdict.faults:
        print(f"FAULT: {planner}, seed {seed}: {len(verdict.faults)}, such as {verdict.faults[:3]}", file=sys.stderr)
        verdict = Verdict(faults=verdict.faults)
    return Run(planner, seed, answer, verdict)


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a planner that may use `threads` cores."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads))
    return {**os.environ, **limits, "PYTHONWARNINGS": "ignore"}


def side_by_side(calls: Iterable[Callable[[], Run]], threads: int = 1) -> list[Run]:
    """Run the calls, as many at once as there are cores for, each bound to `threads` cores; results in their order."""
    free: SimpleQueue[list[int]] = SimpleQueue()
    known = cores()
    slots = max(1, len(known) // threads)
    for slot in range(slots):
        free.put(known[slot * threads : (slot + 1) * threads])

    def bound(call: Callable[[], Run]) -> Run:
        mine = free.get()
        try:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, mine)  # of this thread alone; its child inherits it
            return call()
        finally:
            free.put(mine)

    with ThreadPoolExecutor(slots) as pool:
        return list(pool.map(bound, calls))
