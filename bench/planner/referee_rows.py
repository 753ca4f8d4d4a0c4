"""`make bench-referee`: thousands of random small problems; is each plan legal, and how far is it from brute force?

Hypothesis makes the problems, seeded. Brute force tries every order of every subset of visits on every shift and every
sharing of what is in vans. Where visits depend on each other across routes it tries every arrangement of few visits, of
problems in which waiting never pays; of the others only the referee judges.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from typing import Final

import msgspec
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from bench.table import OUT
from routing.check import violations
from routing.improve import cores
from routing.kernel.jit import compiled
from routing.plan import Plan
from routing.problem import Problem, ProblemError
from routing.solve import solve
from routing.stop import StopWhen
from tests.routing.brute import lowest_price, price_orders
from tests.routing.brute_coupled import lowest_coupled_price, plain
from tests.routing.make import problems, put_in_force

MOST_VISITS: Final = 8
MOST_COUPLED: Final = 4
KINDS: Final = ("alone", "frozen", "in force", "coupled", "coupled in force", "plain coupled")
"""Visits that know nothing of each other; some frozen; a plan in force, perhaps with a limit of changes; crews and
visits that follow others, the same with a plan in force, and the same without what could make waiting pay, few enough
for brute force.
"""
GOAL: Final = 0.95
BUDGET: Final = "change_budget_too_small"
"""What the rules of the problem exclude is no fault of the plan; whether they do, the planner alone says."""

compiled_orders = compiled(price_orders)


@dataclass
class Tally:
    """What was seen. `gaps`: dearer than brute force by that share of its price, kind by kind; `refused`: problems.

    `without_plan`: problems by kind that, says the planner, change more than may change whatever it does.
    """

    problems: Counter[str] = field(default_factory=Counter[str])
    without_plan: Counter[str] = field(default_factory=Counter[str])
    gaps: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    refused: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    cheaper: list[str] = field(default_factory=list[str])
    """Problems with a plan cheaper than brute force found: one of the two is wrong."""
    worst: tuple[float, str] = (0.0, "")

    def add(self, other: "Tally") -> None:
        """Take in what another worker saw."""
        self.problems += other.problems
        self.without_plan += other.without_plan
        for kind, gaps in other.gaps.items():
            self.gaps.setdefault(kind, []).extend(gaps)
        self.refused += other.refused
        self.cheaper += other.cheaper
        self.worst = max(self.worst, other.worst)


def main() -> None:
    """Measure, print one line of figures, and keep what failed in bench/out/referee.json."""
    parser = argparse.ArgumentParser(prog="bench-referee", description=__doc__)
    parser.add_argument("--problems", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4_000, help="steps of the search for each plan")
    parser.add_argument("--kind", choices=KINDS, help="problems of this kind only")
    asked = parser.parse_args()
    kinds = KINDS if asked.kind is None else (asked.kind,)
    began, tally, workers = time.perf_counter(), Tally(), cores()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        share = -(-asked.problems // workers)
        seeds = [asked.seed * 1_000 + worker for worker in range(workers)]
        for part in pool.map(partial(tallied, steps=asked.steps, kinds=kinds), [share] * workers, seeds):
            tally.add(part)
    OUT.mkdir(exist_ok=True)
    kept = {"refused": tally.refused, "cheaper": tally.cheaper, "worst": tally.worst}
    (OUT / "referee.json").write_text(json.dumps(kept, ensure_ascii=False, indent=1), "utf-8")
    figures = figures_of(tally, time.perf_counter() - began)
    print("bench-referee " + " ".join(f"{name}={value}" for name, value in figures.items()))
    dearer = bool(tally.gaps) and float(figures["equal_to_brute_force"]) < GOAL
    if tally.refused or tally.cheaper or dearer:
        sys.exit("bench-referee: NOT MET, see bench/out/referee.json")


def tallied(examples: int, first_seed: int, *, steps: int, kinds: Sequence[str] = KINDS) -> Tally:
    """Return what `examples` random problems of these kinds show."""
    tally = Tally()

    @seed(first_seed)
    @settings(
        max_examples=examples, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )  # fmt: skip
    @given(st.sampled_from(kinds), st.data())
    def look(kind: str, data: st.DataObject) -> None:
        few = kind == "plain coupled"
        most = (MOST_COUPLED, 3) if few else (MOST_VISITS, 4)
        problem = data.draw(problems(*most, frozen=kind == "frozen", coupled="coupled" in kind))
        problem = plain(problem) if few else problem
        if "in force" in kind:
            before = planned(problem, steps // 10, tally)
            if before is None:
                return
            problem = data.draw(put_in_force(problem, before, most_changes=data.draw(st.booleans())))
        look_at(problem, kind, steps, tally)

    look()
    return tally


def planned(problem: Problem, steps: int, tally: Tally) -> Plan | None:
    """Return the plan, or None where there is none: noted, unless the rules of the problem exclude every plan."""
    try:
        plan = solve(problem, StopWhen(solutions=steps))
        wrong = "; ".join(violation.sentence for violation in violations(problem, plan))
    except (ProblemError, AssertionError, ArithmeticError, LookupError, ValueError) as error:
        plan, wrong = None, f"{getattr(error, 'code', type(error).__name__)}: {error}"
    if wrong and not wrong.startswith(BUDGET):
        tally.refused.append((wrong, msgspec.json.encode(problem).decode()))
        plan = None
    return plan


def look_at(problem: Problem, kind: str, steps: int, tally: Tally) -> None:
    """Plan `problem`, and compare the plan's cost with that of brute force."""
    tally.problems[kind] += 1
    refused = len(tally.refused)
    plan = planned(problem, steps, tally)
    tally.without_plan[kind] += plan is None and len(tally.refused) == refused
    if plan is None or kind in {"coupled", "coupled in force"}:
        return
    best = lowest_coupled_price(problem) if kind == "plain coupled" else lowest_price(problem, compiled_orders)
    text = msgspec.json.encode(problem).decode()
    if best is None or plan.cost.total < best:
        tally.cheaper.append(text)
        return
    gap = (plan.cost.total - best) / max(1, best)
    tally.gaps.setdefault(kind, []).append(gap)
    tally.worst = max(tally.worst, (gap, text))


def figures_of(tally: Tally, seconds: float) -> dict[str, str]:
    """Return every figure by name; shares and gaps are parts of one."""
    gaps = [gap for some in tally.gaps.values() for gap in some]
    figures = {
        "problems": str(tally.problems.total()),
        "refused": str(len(tally.refused)),
        "without_plan": str(tally.without_plan.total()),
        "cheaper_than_brute_force": str(len(tally.cheaper)),
        "compared": str(len(gaps)),
        "equal_to_brute_force": f"{equal(gaps):.4f}" if gaps else "-",
        "gap_mean": f"{sum(gaps) / max(1, len(gaps)):.2e}",
        "gap_max": f"{max(gaps, default=0.0):.2e}",
        "seconds": f"{seconds:.0f}",
    }
    for kind, some in sorted(tally.gaps.items()):
        name = kind.replace(" ", "_")
        figures |= {f"{name}_compared": str(len(some))}
        figures |= {f"{name}_equal": f"{equal(some):.4f}", f"{name}_gap_max": f"{max(some, default=0.0):.2e}"}
    return figures


def equal(gaps: list[float]) -> float:
    """Return the share of plans that cost just what brute force found."""
    return sum(gap == 0 for gap in gaps) / max(1, len(gaps))


if __name__ == "__main__":
    main()
