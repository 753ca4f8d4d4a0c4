"""`make sim`: a company of phones under faults, seed after seed, every promise of the design checked.

    .venv/bin/python -m bench.sim --seed 1 --seeds 2000 --steps 200
    .venv/bin/python -m bench.sim --seed 1 --seeds 200 --steps 200 --store sqlite

A failing seed is cut down to the steps it needs and printed as Python; `tests/sync/test_simulation.py` keeps such
histories. Exit code 1 if any seed broke a promise.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable

from bench.sim.runs import Figures, Run, Walked, walk_all

LONGEST_PROCESSES = 8


def main() -> int:
    """Walk the seeds, print the line of figures, and return 0 if none broke a promise."""
    given = _parser().parse_args()
    stores = ("memory", "sqlite") if given.store == "both" else (given.store,)
    runs = [
        Run(seed, given.steps, store)
        for seed in range(given.seed, given.seed + given.seeds)
        for store in stores
        if given.store != "both" or store == "memory" or seed % given.sqlite_every == 0
    ]
    began = time.perf_counter()
    figures = _counted(walk_all(runs, processes=given.processes))
    seconds = time.perf_counter() - began
    print(f"histories={len(runs)} store={given.store} sqlite={sum(run.store == 'sqlite' for run in runs)}")
    print(
        f"seeds={given.seeds} steps={given.steps} violations={figures.violations} mutations={figures.mutations} "
        f"lost={figures.lost} duplicated={figures.duplicated} seconds={seconds:.0f}"
    )
    return 1 if figures.violations or figures.lost or figures.duplicated else 0


def _counted(walks: Iterable[Walked]) -> Figures:
    figures = Figures()
    for walked in walks:
        figures.add(walked)
        if walked.broken:
            print(f"seed {walked.run.seed} over {walked.run.store}, step {walked.broken_at}: {walked.broken}")
            print(walked.replay, flush=True)
    return figures


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sim", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--steps", type=int, default=200, help="steps of each history")
    parser.add_argument("--store", choices=("memory", "sqlite", "both"), default="both")
    parser.add_argument("--sqlite-every", type=int, default=4, help="with both: which seeds SQLite walks too")
    parser.add_argument("--processes", type=int, default=min(LONGEST_PROCESSES, os.cpu_count() or 1))
    return parser


if __name__ == "__main__":
    sys.exit(main())
