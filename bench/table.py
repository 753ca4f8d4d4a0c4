"""How a benchmark reports: a table for people, and bench/out/<name>.json for programs."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

OUT: Final = Path(__file__).parent / "out"


@dataclass(frozen=True)
class Figure:
    """One row: our figure beside a peer's, their ratio (ours / peer), the goal, and whether it is met."""

    row: str
    ours: float
    peer: float | None
    ratio: float | None
    goal: str
    met: bool


def report(name: str, figures: list[Figure]) -> None:
    """Print the table and write it to bench/out/<name>.json."""
    width = max(len(figure.row) for figure in figures)
    print(f"{'':{width}}  {'ours':>10}  {'peer':>10}  {'ratio':>7}  goal")
    for figure in figures:
        peer = f"{figure.peer:10.3f}" if figure.peer is not None else " " * 10
        ratio = f"{figure.ratio:7.2f}" if figure.ratio is not None else " " * 7
        met = "met" if figure.met else "NOT MET"
        print(f"{figure.row:{width}}  {figure.ours:10.3f}  {peer}  {ratio}  {figure.goal}: {met}")
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps([asdict(figure) for figure in figures], indent=2), "utf-8")
