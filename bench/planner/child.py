"""The planning process as the server starts it, `python -m routing`: its answer, its time and its memory."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from bench.planner.runs import ROOT, cores, environment
from routing.plan import Plan
from routing.problem import Problem
from routing.protocol import Limits, Request, decode_message, encode

SAMPLE_SECONDS: Final = 0.2


@dataclass(frozen=True)
class Planned:
    """`first`: seconds until a plan was there; `complete`: until one had every visit (None: never)."""

    plan: Plan
    first: float
    complete: float | None
    seconds: float
    peak_bytes: int
    """Most memory of the process and its workers together, what they share counted once."""


def planned(problem: Problem, limits: Limits, seed: int) -> Planned:
    """Let a process of its own plan `problem`, from its start to its last line."""
    request = encode(Request(problem=problem, stop=limits, seed=seed))
    began = time.perf_counter()
    seen: list[tuple[float, int]] = []
    with subprocess.Popen(
        [sys.executable, "-m", "routing"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
        env=environment(len(cores())),
    ) as child, _Memory(child.pid) as memory:  # fmt: skip
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("the process has no pipes")
        child.stdin.write(request)
        child.stdin.flush()
        for line in child.stdout:
            message = decode_message(line)
            if message.error is not None:
                raise RuntimeError(f"the planning process refused: {message.error.en}")
            if message.progress is not None:
                seen.append((time.perf_counter() - began, message.progress.unplanned))
            if message.plan is not None:
                seen.append((time.perf_counter() - began, len(message.plan.unplanned)))
                complete = next((seconds for seconds, unplanned in seen if not unplanned), None)
                return Planned(message.plan, seen[0][0], complete, seen[-1][0], memory.stopped())
    raise RuntimeError(f"the planning process ended with {child.returncode} and no plan")


class _Memory:
    """Watches a process and its descendants. Where the system has no /proc it sees nothing."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._over = threading.Event()
        self._peak = 0
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped()

    def stopped(self) -> int:
        """Stop watching, and return the most bytes seen."""
        self._over.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self._peak = max(self._peak, sum(map(_resident, _family(self._process))))


def _family(process: int) -> Iterator[int]:
    """Yield the process and its descendants."""
    yield process
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        for child in _read(listed).split():
            yield from _family(int(child))


def _resident(process: int) -> int:
    """Return the process's share of memory in bytes: what several share is divided among them (PSS)."""
    for line in _read(Path(f"/proc/{process}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _read(path: Path) -> str:
    """Return the file's text, or none of a process that is gone."""
    try:
        return path.read_text("ascii")
    except OSError:
        return ""
