"""The task `run_plan`: plan in a child process, store progress while it runs.

And keep only a plan the referee passes.
"""

import asyncio
import contextlib
import logging
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.clock import Clock
from backend.core.sessions import Database
from backend.core.tasks import TaskRefusedError, renew_lease
from backend.dispatch.actions import RUN_PLAN
from backend.dispatch.child import Planner, planner
from backend.dispatch.models import PlanRun, UnplannedVisit
from backend.dispatch.plan import PlanningTask, build_problem
from backend.dispatch.queries import names as names_in
from backend.dispatch.wording import FAILED, INTERRUPTED, NOT_LEGAL, Names, named_fault, reason_words
from backend.people.sign_in import unit_trees
from routing.check import violations as violations_of
from routing.plan import Plan, Progress
from routing.protocol import Fault, Message

LOOK_SECONDS: Final = 0.5
"""How often progress is stored and a wish to cancel is looked for."""
OPEN_STATES: Final = ("queued", "running")

log = logging.getLogger(__name__)


class PlanRunner:
    """Runs one plan after another, each in its own child process that may use `memory_mb` of address space."""

    def __init__(self, database: Database, clock: Clock, memory_mb: int) -> None:
        self._database = database
        self._clock = clock
        self._memory_mb = memory_mb

    async def run(self, payload: dict[str, Any]) -> None:
        """Plan the run the payload names; one that is cancelled or settled already is left alone.

        However it ends, the run says so: nobody waits for a plan that nobody makes. Raises TaskRefusedError when it
        failed here, because the dispatcher who sees that plans again.
        """
        run_id = UUID(payload["plan_run_id"])
        try:
            await self._plan(run_id)
        except asyncio.CancelledError:
            await self._fail(run_id, INTERRUPTED, ("running",))
            raise
        except Exception as error:
            await self._fail(run_id, FAILED, OPEN_STATES)
            log.exception("plan %s failed", run_id)
            raise TaskRefusedError(f"{type(error).__name__}: {error}") from error

    async def _plan(self, run_id: UUID) -> None:
        task = await self._begin(run_id)
        if task is None:
            return
        async with self._database.read() as session:
            run = await session.get_one(PlanRun, run_id)
        async with planner() as child:
            await child.ask(task.problem, seconds=run.seconds, seed=run.seed, memory_mb=self._memory_mb)
            answer = await self._listen(run_id, child)
        await self._settle(run_id, task, answer)

    async def _begin(self, run_id: UUID) -> PlanningTask | None:
        """Mark the run as running and return what to plan; None when there is nothing to do.

        A run that is running already was begun by a worker that is no more: its lease ran out.
        """
        asked_at = self._clock.now()
        now = asked_at.replace(microsecond=0)
        async with self._database.read() as session:
            run = await session.get_one(PlanRun, run_id)
            units = (await unit_trees(session, {run.unit_id}))[run.unit_id]
            task = await build_problem(session, now=now, unit_ids=units, horizon_ends_at=run.horizon_ends_at)
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            if run.state == "running":
                _end(run, now, INTERRUPTED)
            elif run.cancel_requested and run.state == "queued":
                run.state, run.finished_at = "cancelled", now
            elif run.state == "queued":
                run.state, run.started_at, run.horizon_starts_at = "running", asked_at, now
                run.problem = msgspec.to_builtins(task.problem)
                run.standings = msgspec.to_builtins(task.standings)
                return task
        return None

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
            with contextlib.suppress(asyncio.CancelledError):
                await following
        raise AssertionError("the child's last answer is a plan or an error")

    async def _follow(self, run_id: UUID, child: Planner, newest: list[Progress]) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                cancelled = await self._look(run_id, newest)
            except Exception:  # a database that is busy now may answer next time; until then nobody could cancel
                log.exception("the progress of plan %s was not stored", run_id)
                continue
            if cancelled:
                await child.cancel()

    async def _look(self, run_id: UUID, newest: list[Progress]) -> bool:
        """Store the newest progress and hold the task; return whether somebody wishes to cancel."""
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id)
            if newest:
                run.progress = msgspec.to_builtins(newest[0])
            await renew_lease(session, kind=RUN_PLAN, key=str(run_id))
            return run.cancel_requested

    async def _settle(self, run_id: UUID, task: PlanningTask, answer: Message) -> None:
        violations = violations_of(task.problem, answer.plan) if answer.plan else []
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            if run.state != "running":
                return
            names = await names_in(session, task.problem, run.horizon_starts_at)
            if answer.plan is None:
                _end(run, self._clock.now(), named_fault(answer.error or FAILED, names))
                return
            run.plan = msgspec.to_builtins(answer.plan)
            run.violations = msgspec.to_builtins(violations)
            run.state, run.finished_at = "done", self._clock.now()
            if violations:
                _end(run, self._clock.now(), NOT_LEGAL)
            _keep_unplanned(session, run_id, task, answer.plan, names)

    async def _fail(self, run_id: UUID, fault: Fault, states: tuple[str, ...]) -> None:
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            if run.state in states:
                _end(run, self._clock.now(), fault)


def _end(run: PlanRun, now: datetime, fault: Fault) -> None:
    run.state, run.finished_at, run.error = "failed", now, msgspec.to_builtins(fault)


def _keep_unplanned(session: AsyncSession, run_id: UUID, task: PlanningTask, plan: Plan, names: Names) -> None:
    reasons = {UUID(one.visit): [reason_words(reason, names) for reason in one.reasons] for one in plan.unplanned}
    reasons |= {left.visit_id: [left.reason()] for left in task.left_out}
    session.add_all(
        UnplannedVisit(plan_run_id=run_id, visit_id=visit_id, reasons=why) for visit_id, why in reasons.items()
    )
