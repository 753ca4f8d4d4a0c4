"""`solve`: problem in, plan out. No clock but for its own limits, no database, no network."""

import random
from collections.abc import Callable

from routing.draft import Draft, empty_draft
from routing.finish import finished
from routing.improve import first_plan, improve
from routing.instance import prepare
from routing.lots import begin, late_visits
from routing.plan import Plan, Progress
from routing.problem import Problem
from routing.stop import Budget, StopWhen
from routing.validate import validate


def solve(
    problem: Problem, stop: StopWhen, seed: int = 0, on_progress: Callable[[Progress], None] | None = None
) -> Plan:
    """Return the best plan found until `stop`; every visit is in a route or unplanned with reasons.

    The same problem, seed and `stop.solutions` (without `stop.seconds`) give the same plan. `on_progress` is called
    after each round with the best so far. Raises `ProblemError` for a problem that cannot be planned as given.
    """
    validate(problem)
    budget = Budget(stop)
    base = empty_draft(prepare(problem))
    search = begin(base, budget, random.Random(seed))  # noqa: S311

    def report(draft: Draft) -> None:
        if on_progress is not None:
            on_progress(_progress(draft, budget))

    draft = first_plan(search)
    draft = improve(search, draft, report)
    status = budget.spent() or "complete"
    return finished(base, draft, status=status, seed=seed, solutions=budget.solutions)


def _progress(draft: Draft, budget: Budget) -> Progress:
    return Progress(
        elapsed_seconds=round(budget.elapsed, 3),
        served=len(draft.instance.visits) - len(draft.unplanned),
        unplanned=len(draft.unplanned),
        late=sum(len(late_visits(draft, route)) for route in draft.routes),
        cost=draft.price(),
        share=budget.share,
    )
