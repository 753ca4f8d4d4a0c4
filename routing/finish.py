"""The last steps of every plan: explained, priced, and passed by the referee."""

from routing.assemble import assembled
from routing.check import violations
from routing.draft import Draft
from routing.explain import Explainer
from routing.plan import Plan, Status
from routing.problem import ProblemError


class PlanRefused(ProblemError):
    """The referee refused our own plan: a fault of the planner, never of the problem."""

    def __init__(self, detail: str) -> None:
        super().__init__("plan_refused", "plan", detail=detail)


def finished(base: Draft, draft: Draft, *, status: Status, seed: int, solutions: int) -> Plan:
    """Return the plan of `draft` with explanations, once the referee has passed it."""
    explainer = Explainer(base, draft)
    routes, cost = assembled(draft)
    travel = draft.instance.travel
    plan = Plan(
        status=status,
        seed=seed,
        routes=routes,
        unplanned=explainer.unplanned(),
        late=explainer.late(),
        cost=cost,
        travel_source=travel.source,
        travel_estimated=travel.estimated,
        solutions=solutions,
    )
    return passed(draft, plan)


def passed(draft: Draft, plan: Plan) -> Plan:
    """Return `plan`, or raise `PlanRefused` when the referee or the search's own price disagrees with it."""
    broken = violations(draft.instance.problem, plan)
    if broken or plan.cost.total != draft.price():
        sentences = [violation.sentence for violation in broken]
        raise PlanRefused("; ".join(sentences) or f"it costs {plan.cost.total}, the search said {draft.price()}")
    return plan
