"""`make bench-planner`: all rows, or some of them.

.venv/bin/python -m bench.planner --data <folder> --rows vrptw,field --seeds 5
"""

import os
import sys
from collections.abc import Callable, Iterator
from typing import Final

from bench.planner import field_rows, live_rows, vrptw_rows
from bench.planner.options import Options, options
from bench.table import Figure, report

ROWS: Final[dict[str, Callable[[Options], Iterator[Figure]]]] = {
    "vrptw": vrptw_rows.rows,
    "field": field_rows.rows,
    "first": live_rows.first,
    "urgent": live_rows.urgent,
    "repair": live_rows.repair,
    "scale": live_rows.scale,
    "explain": live_rows.explain,
}
BUSY: Final = 0.5
"""Load before we begin, from which on the figures are not those of a quiet machine."""


def main() -> None:
    """Measure what was asked for, and print the table."""
    asked = options()
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if busy > BUSY:
        print(
            f"NOTE: the machine is busy (load {busy:.1f}): every figure of time is worse than it could be",
            file=sys.stderr,
        )
    figures = [figure for name in asked.rows for figure in ROWS[name](asked)]
    if not figures:
        raise SystemExit("nothing was measured")
    report("bench-planner", figures)
    missed = sum(not figure.met for figure in figures)
    print(f"bench-planner.missed={missed}")


if __name__ == "__main__":
    main()
