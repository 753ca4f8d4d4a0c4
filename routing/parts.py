"""The plans of the parts of a problem (`routing.cutting`), joined into a plan of the whole."""

from collections.abc import Sequence
from typing import Final

import msgspec

from routing.draft import empty_draft
from routing.finish import Part, finished
from routing.in_force import draft_of
from routing.plan import Plan, Status
from routing.problem import Problem

WORST_FIRST: Final[tuple[Status, ...]] = ("cancelled", "seconds", "solutions", "complete")
"""What a joined plan says of its search: how that part's ended which was cut off soonest."""


def join(problem: Problem, plans: Sequence[Plan], seed: int) -> Plan:
    """Return the plan of `problem` that has every route of `plans`, explained and priced as a plan of the whole.

    Crews start when their part has them start, and who has something in the van there has it here. Raises
    `ProblemError` 'plan_contradicts_problem' for a route that the whole does not allow. The referee passed it.
    """
    routes = tuple(route for plan in plans for route in plan.routes)
    draft = draft_of(problem, msgspec.structs.replace(plans[0], routes=routes))
    solutions = sum(plan.solutions for plan in plans)
    part = Part(empty_draft(draft.instance), draft)
    return finished(problem, [part], status=_status(plans), seed=seed, solutions=solutions)


def _status(plans: Sequence[Plan]) -> Status:
    found: set[Status] = {plan.status for plan in plans}
    for status in WORST_FIRST:
        if status in found:
            return status
    return "complete"
