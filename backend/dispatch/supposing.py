"""What a plan run is to plan: what is open now, or, for a what-if, an earlier plan's problem with other people."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.errors import Fault, Problem
from backend.core.ids import new_id
from backend.dispatch.models import PlanRun
from backend.dispatch.plan import PlanningTask, build_problem
from backend.dispatch.schemas import Hypothesis
from backend.people.sign_in import unit_trees
from routing import capacity
from routing import problem as planning

WHAT_IF: Final = "what_if"

HYPOTHESIS = Fault(
    "hypothesis", 422, "假设须恰好有一项,且所涉及的人员须在该计划中有班次。",
    "A what-if supposes exactly one thing, of people who have shifts in that plan.",
    "请只填写一项:缺少某人、增加一人,或人人具备某技能。",
    "Give one of without_person_id, one_more and everybody_has.",
)  # fmt: skip


async def planning_task(session: AsyncSession, run: PlanRun, now: datetime) -> PlanningTask:
    """Return what `run` is to plan, from `now` on; a what-if keeps the moment of the plan it started from."""
    if run.kind == WHAT_IF:
        return PlanningTask(run.horizon_starts_at, msgspec.convert(run.problem, planning.Problem), [], {})
    units = (await unit_trees(session, {run.unit_id}))[run.unit_id]
    return await build_problem(
        session, now=now, unit_ids=units, horizon_ends_at=run.horizon_ends_at, most_changes=run.most_changes, anew=True
    )


def supposed(problem: planning.Problem, hypothesis: Hypothesis) -> planning.Problem:
    """Return the problem as `hypothesis` would have it; raises hypothesis."""
    if sum(given is not None for given in msgspec.structs.astuple(hypothesis)) != 1:
        raise Problem(HYPOTHESIS)
    try:
        return _supposed(problem, hypothesis)
    except planning.ProblemError as error:
        raise Problem(HYPOTHESIS) from error


def _supposed(problem: planning.Problem, hypothesis: Hypothesis) -> planning.Problem:
    if hypothesis.without_person_id is not None:
        return capacity.without_technician(problem, str(hypothesis.without_person_id))
    if hypothesis.everybody_has is not None:
        return capacity.with_skill_for_all(problem, hypothesis.everybody_has)
    more = hypothesis.one_more
    assert more is not None, "exactly one is given"  # noqa: S101
    return capacity.with_one_more(
        problem, technician=_name(), like=_text(more.like_person_id), skills=tuple(sorted(set(more.skills))),
        new_id=_name,
    )  # fmt: skip


def _name() -> str:
    return str(new_id())


def _text(row_id: UUID | None) -> str | None:
    return str(row_id) if row_id else None
