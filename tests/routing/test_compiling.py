"""Before the search is compiled: plans are made all the same, and whoever compiles it ends with whoever wanted that."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from routing.check import violations
from routing.protocol import Limits, Request, decode_message, encode
from routing.solve import solve
from routing.stop import StopWhen
from tests.routing.make import city_week

ROUTING = Path(__file__).parents[2] / "routing"
PATIENCE = 60


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A folder with the planner as it was just installed: nothing is compiled."""
    shutil.copytree(ROUTING, tmp_path / "routing", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def planner(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-m", *arguments], cwd=folder, stdin=pipe, stdout=pipe)


def test_a_plan_asked_before_the_search_is_compiled_is_legal_and_nearly_as_good(fresh: Path) -> None:
    week = city_week(40, 5, 2, breaks=True)
    with planner(fresh, "routing", "warm") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(encode(Request(problem=week, stop=Limits(seconds=1), seed=1)))
        process.stdin.flush()
        *_, last = process.stdout
    plan = decode_message(last).plan
    assert plan is not None
    assert violations(week, plan) == []
    assert not list(fresh.rglob("compiled"))
    compiled = solve(week, StopWhen(seconds=1), seed=1)
    assert len(plan.unplanned) <= len(compiled.unplanned)
    assert plan.cost.total <= 1.1 * compiled.cost.total


def test_compiling_in_the_background_ends_when_nobody_waits_for_it(fresh: Path) -> None:
    with planner(fresh, "routing.compile", "background") as process:
        assert process.stdin is not None
        maps, deadline = Path(f"/proc/{process.pid}/maps"), time.monotonic() + PATIENCE
        while "llvmlite" not in maps.read_text("utf-8"):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.stdin.close()
        assert process.wait(PATIENCE) == 1
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert not list(fresh.rglob("compiled"))
