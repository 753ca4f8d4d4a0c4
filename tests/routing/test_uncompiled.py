"""The compiled search does what the same functions do as plain Python, where every index is checked."""

import os
import subprocess
import sys
from collections.abc import Callable

import msgspec
from hypothesis import HealthCheck, Phase, given, settings

from routing.check import violations
from routing.kernel import cache
from routing.plan import Plan
from routing.problem import Problem
from tests.routing.make import city_week, problems
from tests.routing.one_search import searched

EXAMPLES = 10


def random_problems() -> list[Problem]:
    found: list[Problem] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    @given(problems(frozen=True))
    def keep(problem: Problem) -> None:
        found.append(problem)

    keep()
    return found


def test_compiled_and_plain_python_find_the_same_plans(record_property: Callable[[str, object], None]) -> None:
    tried = [*random_problems(), city_week(10, 2, 1, breaks=True)]
    lines = b"".join(msgspec.json.encode(problem) + b"\n" for problem in tried)
    plain = subprocess.run(
        [sys.executable, "-m", "tests.routing.one_search"],
        input=lines,
        env={**os.environ, cache.INTERPRET: "1"},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert plain.returncode == 0, plain.stderr.decode()
    answers = [msgspec.json.decode(line, type=tuple[Plan, Plan]) for line in plain.stdout.splitlines()]
    plans = [plan for plan, _ in answers]
    assert plans == [searched(problem) for problem in tried]
    assert sum(bool(plan.routes) for plan in plans) > EXAMPLES // 3
    for problem, (_, before_compiling) in zip(tried, answers, strict=True):
        assert violations(problem, before_compiling) == []
    record_property("plans_compared", len(plans))
