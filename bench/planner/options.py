"""What the benchmark can be told."""

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROWS: Final = ("vrptw", "field", "first", "urgent", "repair", "scale", "explain")


@dataclass(frozen=True, kw_only=True)
class Options:
    """`only`: parts of names of instances or scenarios; empty for all. `data`: a folder with VRPTW instances."""

    rows: tuple[str, ...] = ROWS
    seeds: int = 5
    seconds_scale: float = 1.0
    data: Path | None = None
    only: tuple[str, ...] = ()
    ours_only: bool = False

    def wants(self, name: str) -> bool:
        """Return whether a row of this name is asked for."""
        return not self.only or any(part in name for part in self.only)


def options(arguments: list[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bench-planner", description=__doc__)
    parser.add_argument("--rows", default=",".join(ROWS), help=f"some of {','.join(ROWS)}")
    parser.add_argument("--seeds", type=int, default=5, help="runs of which the median counts")
    parser.add_argument("--seconds-scale", type=float, default=1.0, help="search times are multiplied by this")
    parser.add_argument("--data", type=Path, default=os.environ.get("VRP_DATA"), help="folder with VRPTW instances")
    parser.add_argument("--only", default="", help="parts of names of instances or scenarios, separated by commas")
    parser.add_argument("--ours-only", action="store_true", help="leave the peers of VRPTW out")
    given = parser.parse_args(arguments)
    rows = tuple(given.rows.split(","))
    if not set(rows) <= set(ROWS):
        parser.error(f"--rows takes some of {','.join(ROWS)}")
    if given.data is not None and not Path(given.data).is_dir():
        parser.error("--data is not a folder")
    return Options(
        rows=rows, seeds=max(1, given.seeds), seconds_scale=given.seconds_scale,
        data=None if given.data is None else Path(given.data),
        only=tuple(part for part in given.only.split(",") if part), ours_only=given.ours_only,
    )  # fmt: skip
