"""The task `run_plan`: plan in a child process, store progress while it runs.

And keep only a plan the referee passes.
"""

import asyncio
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.clock import Clock
from backend.core.sessions import Database
from backend.dispatch.child import Planner, planner
from backend.dispatch.models import PlanRun, UnplannedVisit
from backend.dispatch.plan import PlanningTask, build_problem
from backend.people.sign_in import unit_trees
from routing.check import violations as violations_of
from routing.plan import Plan, Progress
from routing.protocol import Fault, Message

LOOK_SECONDS: Final = 0.5
"""How often progress is stored and a wish to cancel is looked for."""
OPEN_STATES: Final = ("queued", "running")


class PlanRunner:
    """Runs one plan after another, each in its own child process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def run(self, payload: dict[str, Any]) -> None:
        """Plan the run the payload names; one that is cancelled or settled already is left alone."""
        run_id = UUID(payload["plan_run_id"])
        task = await self._begin(run_id)
        if task is None:
            return
        async with self._database.read() as session:
            run = await session.get_one(PlanRun, run_id)
        async with planner() as child:
            await child.ask(task.problem, seconds=run.seconds, seed=run.seed)
            answer = await self._listen(run_id, child)
        await self._settle(run_id, task, answer)

    async def _begin(self, run_id: UUID) -> PlanningTask | None:
        now = self._clock.now().replace(microsecond=0)
        async with self._database.read() as session:
            run = await session.get_one(PlanRun, run_id)
            units = (await unit_trees(session, {run.unit_id}))[run.unit_id]
            task = await build_problem(session, now=now, unit_ids=units, horizon_ends_at=run.horizon_ends_at)
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            if run.state not in OPEN_STATES:
                return None
            if run.cancel_requested:
                run.state, run.finished_at = "cancelled", now
                return None
            run.state, run.started_at, run.horizon_starts_at = "running", now, now
            run.problem = msgspec.to_builtins(task.problem)
        return task

    async def _listen(self, run_id: UUID, child: Planner) -> Message:
        """Follow the child to its last word, storing the newest progress and passing on a wish to cancel."""
        newest: list[Progress] = []
        following = asyncio.create_task(self._follow(run_id, child, newest))
        try:
            async for answer in child.answers():
                if answer.progress is None:
                    return answer
                newest[:] = [answer.progress]
        finally:
            following.cancel()
        raise AssertionError("the child's last answer is a plan or an error")

    async def _follow(self, run_id: UUID, child: Planner, newest: list[Progress]) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            async with self._database.write() as session:
                run = await session.get_one(PlanRun, run_id)
                if newest:
                    run.progress = msgspec.to_builtins(newest[0])
                cancelled = run.cancel_requested
            if cancelled:
                await child.cancel()

    async def _settle(self, run_id: UUID, task: PlanningTask, answer: Message) -> None:
        violations = violations_of(task.problem, answer.plan) if answer.plan else []
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            run.finished_at = self._clock.now()
            if answer.plan is None:
                run.state, run.error = "failed", msgspec.to_builtins(answer.error)
                return
            run.plan = msgspec.to_builtins(answer.plan)
            run.violations = msgspec.to_builtins(violations)
            run.state = "failed" if violations else "done"
            if violations:
                run.error = msgspec.to_builtins(NOT_LEGAL)
            _keep_unplanned(session, run_id, task, answer.plan)


NOT_LEGAL: Final = Fault(
    code="plan_not_legal",
    where="plan",
    facts={},
    zh="复核发现计划违反规则,已弃用。请重新计划;若再次发生,请把计划编号告诉管理员。",
    en="The referee found a broken rule in the plan; it is not used. Plan again; if it recurs, report the plan's id.",
)


def _keep_unplanned(session: AsyncSession, run_id: UUID, task: PlanningTask, plan: Plan) -> None:
    session.add_all(
        UnplannedVisit(
            plan_run_id=run_id,
            visit_id=UUID(unplanned.visit),
            reasons=[
                {
                    "code": reason.code, "basis": reason.basis,
                    "zh": reason.sentence("zh"), "en": reason.sentence("en"),
                }
                for reason in unplanned.reasons
            ],
        )
        for unplanned in plan.unplanned
    )  # fmt: skip
    session.add_all(
        UnplannedVisit(plan_run_id=run_id, visit_id=left.visit_id, reasons=[left.reason()]) for left in task.left_out
    )
