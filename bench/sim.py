"""`make sim`: a company of phones under faults, seed after seed, over the store in memory, every promise checked.

    .venv/bin/python -m bench.sim --seeds 50 --steps 200 --seed 1

A failing seed is printed with the promise it broke; `--seed N --seeds 1` replays it exactly.
"""

import argparse
import sys
import time

from tests.sync.simulation import walk


def main() -> int:
    """Walk the seeds, print the line of figures, and return 0 if none broke a promise."""
    parser = argparse.ArgumentParser(prog="sim", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--steps", type=int, default=200, help="steps of each history")
    options = parser.parse_args()
    began, violations = time.perf_counter(), 0
    for seed in range(options.seed, options.seed + options.seeds):
        try:
            walk(seed, options.steps)
        except AssertionError as broken:
            violations += 1
            print(
                f"seed {seed}: {broken}\n  replay: make sim OPTIONS='--seed {seed} --seeds 1 --steps {options.steps}'"
            )
    seconds = round(time.perf_counter() - began)
    print(f"seeds={options.seeds} steps={options.steps} violations={violations} seconds={seconds}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
