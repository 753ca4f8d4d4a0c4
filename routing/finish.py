"""The last steps of every plan: explained, priced, and passed by the referee."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from routing.assemble import assembled
from routing.check import violations
from routing.draft import Draft
from routing.explain import EXPLAIN_SECONDS, Explainer
from routing.plan import Cost, Plan, Status
from routing.problem import Problem, ProblemError


class PlanRefused(ProblemError):
    """The referee refused our own plan: a fault of the planner, never of the problem."""

    def __init__(self, detail: str) -> None:
        super().__init__("plan_refused", "plan", detail=detail)


@dataclass(frozen=True, slots=True)
class Piece:
    """The draft of what was searched in one piece: a problem, or an area of it; `base` holds its frozen visits only.

    `not_looked_at`: visits for which there was no time to look for a place.
    """

    base: Draft
    draft: Draft
    not_looked_at: frozenset[int] = frozenset()


def finished(problem: Problem, pieces: Sequence[Piece], *, status: Status, seed: int, solutions: int) -> Plan:
    """Return the plan that the drafts of all pieces of `problem` make, explained, once the referee has passed it."""
    plan = _drawn_up(problem, pieces, status=status, seed=seed, solutions=solutions)
    return passed(problem, plan, sum(piece.draft.price() for piece in pieces))


def _drawn_up(problem: Problem, pieces: Sequence[Piece], *, status: Status, seed: int, solutions: int) -> Plan:
    """Return the plan that the drafts of all pieces of `problem` make, explained; the referee has not seen it."""
    shift_order = {shift.id: index for index, shift in enumerate(problem.shifts)}
    visit_order = {visit.id: index for index, visit in enumerate(problem.visits)}
    hurried = status in {"seconds", "cancelled"}  # a run bounded by what it looks at explains all, so that it repeats
    until = time.monotonic() + EXPLAIN_SECONDS if hurried else None
    explainers = [
        Explainer(piece.base, piece.draft, problem, until=until, not_looked_at=piece.not_looked_at) for piece in pieces
    ]
    routed = [assembled(piece.draft) for piece in pieces]
    travel = pieces[0].draft.instance.travel
    return Plan(
        status=status,
        seed=seed,
        routes=tuple(
            sorted((route for routes, _ in routed for route in routes), key=lambda route: shift_order[route.shift])
        ),
        unplanned=tuple(
            sorted(
                (left_out for explainer in explainers for left_out in explainer.unplanned()),
                key=lambda left_out: visit_order[left_out.visit],
            )
        ),
        late=tuple(
            sorted(
                (late for explainer in explainers for late in explainer.late()),
                key=lambda late: visit_order[late.visit],
            )
        ),
        cost=_summed([cost for _, cost in routed]),
        travel_source=travel.source,
        travel_estimated=travel.estimated,
        solutions=solutions,
    )


def _summed(costs: Sequence[Cost]) -> Cost:
    terms = [msgspec.structs.asdict(cost) for cost in costs]
    return Cost(**{term: sum(one[term] for one in terms) for term in terms[0]})


def passed(problem: Problem, plan: Plan, price: int) -> Plan:
    """Return `plan`, or raise `PlanRefused` when the referee or the search's own `price` disagrees with it."""
    broken = violations(problem, plan)
    if broken or plan.cost.total != price:
        sentences = [violation.sentence for violation in broken]
        raise PlanRefused("; ".join(sentences) or f"it costs {plan.cost.total}, the search said {price}")
    return plan
