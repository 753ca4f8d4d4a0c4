"""What is measured inside a process that has its imports and its compiled code: one name, one seed, one JSON object.

.venv/bin/python -m bench.planner.measure urgent 1
"""

import sys
import time
from collections.abc import Callable
from random import Random
from typing import Final

import msgspec

from bench.planner.evaluate import evaluate
from bench.planner.guaranteed import Region, region
from bench.planner.ours import answer_of, warm
from bench.planner.scenarios import all_scenarios, problem_of
from routing.check import violations
from routing.fixes import fixes
from routing.insertion import insert, propose
from routing.plan import Plan, Progress
from routing.problem import Previous, Prices, Problem, Visit
from routing.relax import relaxed
from routing.solve import solve
from routing.stop import StopWhen

DAY: Final = 86_400
FIRST: Final = Region(visits=300, technicians=30, days=3)
FULL: Final = Region(visits=300, technicians=15, days=3, slack=0.08, overtime=3_600, spare=200)
SEARCH_SECONDS: Final = 5.0
REPAIR_SECONDS: Final = 0.6
"""What a repair may search for, so that it is answered within a second."""
BUDGETS: Final = (0, 3, 10, 30)
URGENT_EACH: Final = 200
FIXED_EACH: Final = 10
"""Visits of a region whose fixes are looked for."""
TOLD: Final = 0.7
"""The share of visits whose customers know their time."""


def first(seed: int) -> dict[str, float]:
    """Return the seconds until a plan was there, until it had every visit, and how many it lacked at the end."""
    problem = region(FIRST, seed).problem
    seen: list[tuple[float, int]] = []
    began = time.perf_counter()

    def note(progress: Progress) -> None:
        seen.append((time.perf_counter() - began, progress.unplanned))

    plan = solve(problem, StopWhen(seconds=SEARCH_SECONDS), seed, note)
    seen.append((time.perf_counter() - began, len(plan.unplanned)))
    complete = [seconds for seconds, unplanned in seen if not unplanned]
    return {"any": seen[0][0], "complete": complete[0] if complete else SEARCH_SECONDS, "missing": seen[-1][1]}


def urgent(seed: int) -> dict[str, object]:
    """Return the milliseconds of each question where to put an urgent visit, and what carrying it out did to others.

    The question comes as it comes to a process that knows nothing of the problem: it is checked and prepared each time.
    """
    problem = region(FULL, seed).problem
    plan = solve(problem, StopWhen(seconds=SEARCH_SECONDS), seed)
    random = Random(seed)
    milliseconds: list[float] = []
    placed, routes, broken = 0, 0, 0
    for number in range(URGENT_EACH):
        visit = _urgent(random, number)
        asked = msgspec.structs.replace(problem, visits=(*problem.visits, visit))
        began = time.perf_counter()
        found = propose(asked, plan, visit.id)
        milliseconds.append(1000 * (time.perf_counter() - began))
        if found:
            after = insert(asked, plan, found[0])
            placed += 1
            routes = max(routes, _routes_changed(plan, after))
            broken += _broken(asked, plan, after)
    return {"milliseconds": milliseconds, "placed": placed, "routes": routes, "broken": broken}


def _urgent(random: Random, number: int) -> Visit:
    return Visit(
        id=f"urgent{number}", place=f"spare{number % FULL.spare}", duration=random.randrange(15, 60) * 60, priority=1,
        skills=(random.choice(("cctv", "network", "elevator")),), commitment_due=random.randrange(DAY // 2, 2 * DAY),
    )  # fmt: skip


def _starts(plan: Plan) -> dict[str, int]:
    return {stop.visit: stop.start for route in plan.routes for stop in route.stops}


def _routes_changed(before: Plan, after: Plan) -> int:
    """Return how many routes have other visits or other times than before."""
    old, new = ({line.shift: line.stops for line in answer_of(plan, 0).routes} for plan in (before, after))
    return sum(old.get(shift) != new.get(shift) for shift in old.keys() | new.keys())


def _broken(problem: Problem, before: Plan, after: Plan) -> int:
    """Return how many visits lost their place or their commitment; an illegal plan breaks them all."""
    if evaluate(problem, answer_of(after, 0)).faults:
        return len(problem.visits)
    old, new = _starts(before), _starts(after)
    due = {visit.id: visit.commitment_due for visit in problem.visits}
    return sum(
        name not in new or ((limit := due[name]) is not None and start <= limit < new[name])
        for name, start in old.items()
    )


def repair(seed: int) -> dict[str, object]:
    """Return, for each budget of changes: the seconds, the visits changed, and the visits served before and after.

    One technician does not come on the first day, and ten urgent visits have come in.
    """
    problem = region(FULL, seed).problem
    plan = solve(problem, StopWhen(seconds=SEARCH_SECONDS), seed)
    random = Random(seed)
    where = {stop.visit: Previous(shift=route.shift, start=stop.start) for route in plan.routes for stop in route.stops}
    ill = random.choice([shift.id for shift in problem.shifts if shift.start < DAY])
    visits = tuple(
        msgspec.structs.replace(visit, previous=where.get(visit.id), told=visit.id in where and random.random() < TOLD)
        for visit in problem.visits
    )
    asked = msgspec.structs.replace(
        problem,
        shifts=tuple(shift for shift in problem.shifts if shift.id != ill),
        visits=(*visits, *(_urgent(random, number) for number in range(10))),
    )
    found: list[dict[str, float]] = []
    for budget in BUDGETS:
        began = time.perf_counter()
        changed = solve(msgspec.structs.replace(asked, most_changes=budget), StopWhen(seconds=REPAIR_SECONDS), seed)
        seconds = time.perf_counter() - began
        legal = not evaluate(asked, answer_of(changed, 0)).faults
        found.append({
            "budget": budget, "seconds": seconds, "changes": _changes(asked, changed), "legal": legal,
            "waiting": len(asked.visits) - len(_starts(plan)) + sum(one.shift == ill for one in where.values()),
            "unplanned": len(changed.unplanned),
        })  # fmt: skip
    return {"repairs": found}


def _changes(problem: Problem, plan: Plan) -> int:
    """Count as `Problem.most_changes` is defined, from the plan alone."""
    now = {stop.visit: (route.shift, stop.start) for route in plan.routes for stop in route.stops}
    shifts = {shift.id for shift in problem.shifts}
    count = 0
    for visit in problem.visits:
        before = visit.previous
        if before is None or before.shift not in shifts:
            continue
        shift, start = now.get(visit.id, ("", 0))
        late = visit.told and abs(start - before.start) > problem.prices.told_tolerance
        count += shift != before.shift or late
    return count


def explain(seed: int) -> dict[str, int]:
    """Return how many visits of overloaded regions stay unplanned, how many of them say why, and what of their fixes.

    The fixes of FIXED_EACH visits of each region are looked for; `legal` counts those whose witness plan is.
    """
    unplanned = explained = proven = asked = offered = legal = unfixed = 0
    for scenario in all_scenarios():
        if scenario.name.startswith(("overloaded", "rare", "tight")):
            problem = msgspec.structs.replace(problem_of(scenario), prices=Prices())
            plan = solve(problem, StopWhen(seconds=SEARCH_SECONDS), seed)
            for one in plan.unplanned:
                unplanned += 1
                explained += bool(one.reasons) and all(why.basis in {"proven", "searched"} for why in one.reasons)
                proven += any(why.basis == "proven" for why in one.reasons)
            for one in plan.unplanned[:FIXED_EACH]:
                found = fixes(problem, plan, one.visit)
                asked += 1
                unfixed += not found.fixes
                offered += len(found.fixes)
                legal += sum(
                    fix.witness is not None and not violations(relaxed(problem, fix.relaxations), fix.witness)
                    for fix in found.fixes
                )
    return {
        "unplanned": unplanned, "explained": explained, "proven": proven, "asked": asked, "offered": offered,
        "legal": legal, "unfixed": unfixed,
    }  # fmt: skip


MEASURES: Final[dict[str, Callable[[int], object]]] = {
    "first": first,
    "urgent": urgent,
    "repair": repair,
    "explain": explain,
}


def main() -> None:
    """Measure one thing with one seed."""
    name, seed = sys.argv[1:]
    warm()
    sys.stdout.buffer.write(msgspec.json.encode(MEASURES[name](int(seed))))


if __name__ == "__main__":
    main()
