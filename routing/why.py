"""Why this technician: where else a planned visit could go, what that would come to, and who cannot take it and why."""

from collections.abc import Iterator
from typing import Final

from routing.answers import Alternative, Placement, Why
from routing.draft import Draft, taken_out
from routing.eligible import exclusion
from routing.live import what_if
from routing.plan import Plan
from routing.problem import Problem, ProblemError, Shift, visit_number
from routing.redraft import draft_of
from routing.scan import candidates

MOST_ALTERNATIVES: Final = 30
"""Other technicians that are compared, those with the cheapest places first."""


def why(problem: Problem, plan: Plan, visit: str, *, draft: Draft | None = None) -> Why:
    """Return the comparison; a few milliseconds a technician. `draft` is the draft equal to `plan`.

    Raises `ProblemError` 'visit_unknown', or 'plan_contradicts_problem' for a visit without a place.
    """
    index = visit_number(problem, visit)
    draft = draft_of(problem, plan) if draft is None else draft
    held = next((number for number, route in enumerate(draft.routes) if index in route.visits), None)
    if held is None:
        raise ProblemError("plan_contradicts_problem", f"visit '{visit}'", detail="unplanned")
    own, route = problem.shifts[held], draft.routes[held]
    found = [
        Alternative(
            technician=shift.technician, shift=shift.id,
            what_if=what_if(problem, plan, Placement(visit=visit, shift=shift.id), draft=draft),
        )
        for shift in _best_shifts(draft, index, held)
    ]  # fmt: skip
    wanted = problem.visits[index]
    return Why(
        visit=visit, technician=own.technician, shift=own.id, start=route.starts()[route.visits.index(index)],
        able=len({shift.technician for shift in problem.shifts if exclusion(wanted, shift) is None}),
        alternatives=tuple(sorted(found, key=_rank)),
    )  # fmt: skip


def _rank(one: Alternative) -> tuple[bool, bool, int, str]:
    broken = one.what_if.broken
    return broken is not None, broken is not None and not broken.soft, one.what_if.added_cost, one.technician


def _best_shifts(draft: Draft, visit: int, held: int) -> Iterator[Shift]:
    """Yield one shift of every other technician: where the visit costs least, else the nearest in time that may."""
    problem, (without, _) = draft.instance.problem, taken_out(draft, visit)
    own, seen = problem.shifts[held], {problem.shifts[held].technician}
    cheapest = [shift for _, shift, _ in candidates(without, visit)]
    able = set(draft.instance.eligible[visit])
    others = sorted(
        range(len(problem.shifts)),
        key=lambda number: (number not in able, abs(problem.shifts[number].start - own.start)),
    )
    for number in [*cheapest, *others]:
        shift = problem.shifts[number]
        if shift.technician in seen:
            continue
        seen.add(shift.technician)
        yield shift
        if len(seen) > MOST_ALTERNATIVES:
            return
