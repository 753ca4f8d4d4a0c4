"""Making the plans people asked for, in child processes, and keeping only what the referee passes.

A run is planned whole, or, where there is a queue for several machines, in parts: the first step cuts it, each part is
a step of its own, and the last step joins their plans. Steps may be begun again by another worker after a crash; the
name a worker makes for its attempt (`worker_id`) keeps one that was given up from speaking later.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import load_only

from backend.core.clock import Clock
from backend.core.errors import Problem as Refused
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.core.tasks import TaskRefusedError, release_lease, renew_lease
from backend.dispatch import plan_parts
from backend.dispatch.basis import Basis, basis_of
from backend.dispatch.child import Spares, planner
from backend.dispatch.desk import Desk, PlannerRefusedError, sheet_line
from backend.dispatch.following import Look, follow, unless_cancelled
from backend.dispatch.joining import joined_visits
from backend.dispatch.models import OPEN_STATES, PlanPart, PlanRun, UnplannedVisit
from backend.dispatch.plan import PlanningTask
from backend.dispatch.queries import names as names_in
from backend.dispatch.queue import RUN_PLAN, Step
from backend.dispatch.supposing import planning_task
from backend.dispatch.travel import Roads
from backend.dispatch.wording import FAILED, INTERRUPTED, NOT_LEGAL, named_fault, reason_words
from routing.check import Violation
from routing.check import violations as violations_of
from routing.cutting import cut
from routing.plan import Plan, Progress
from routing.problem import Problem
from routing.protocol import Fault, Message
from routing.questions import Judge

STARTS_MAXIMUM: Final = 3
"""How often a plan, a part, or joining the parts is begun before it is given up: what ends its workers may be in it."""
REFUSED_EACH_TIME: Final = (IntegrityError, ProgrammingError, DataError)
"""What a database answers to what is wrong with us: it would answer the same the next time."""
JOIN_SECONDS: Final = 60.0
"""How long joining the plans of parts, which searches nothing, may take; a planner's grace comes on top."""
JUDGED_HERE: Final = 500
"""Visits up to which the referee, some milliseconds then, works in a thread of the server."""
LOOKED_AT: Final = load_only(PlanRun.state, PlanRun.worker_id, PlanRun.cancel_requested, PlanRun.progress)
"""What a look at a run needs of it: reading its problem takes 0.2 s where that has a table of 1,000 places."""
PART_LOOKED_AT: Final = load_only(PlanPart.worker_id, PlanPart.progress)

log = logging.getLogger(__name__)

Referee: TypeAlias = Callable[[Problem, Plan], Awaitable[Sequence[Violation]]]


def referee(desk: Desk) -> Referee:
    """Return the referee that looks at each plan once more, never in the event loop: a large one at the desk.

    Where the desk has no time for it, in a thread, too: a plan that is made is not lost for that.
    """

    async def judge(problem: Problem, plan: Plan) -> Sequence[Violation]:
        if len(problem.visits) <= JUDGED_HERE:
            return await asyncio.to_thread(violations_of, problem, plan)

        async def sheet() -> bytes:
            return sheet_line(problem, plan)

        try:
            return await desk.ask(Judge(), key=f"judged {new_id()}", sheet=sheet)
        except (Refused, PlannerRefusedError) as refused:
            log.warning("a plan is judged in a thread: %s", refused)
            return await asyncio.to_thread(violations_of, problem, plan)

    return judge


@dataclass(frozen=True)
class Workshop:
    """What planning needs beside the database.

    `memory_mb`: address space a planner may use. `cut_visits`: visits from which a plan is cut into parts; None: never.
    `roads`: where travel times come from; None: they are estimated.
    """

    memory_mb: int
    spares: Spares
    judge: Referee
    cut_visits: int | None = None
    roads: Roads | None = None


class PlanRunner:
    """Does one step of planning after another, each in its own child process."""

    def __init__(self, database: Database, clock: Clock, workshop: Workshop) -> None:
        self._database = database
        self._clock = clock
        self._workshop = workshop

    async def run(self, payload: dict[str, Any]) -> None:
        """Do the step the payload names; one whose run is cancelled or settled already is left alone.

        A step that ends with its server goes back into the queue. One that a database out of reach ended is begun again
        later, as one whose worker died: OSError, and DBAPIError but for what the database would refuse each time, are
        passed on for that. However else it ends, the run says so: nobody waits for a plan that nobody makes. Raises
        TaskRefusedError when it failed here, because the dispatcher who sees that plans again.
        """
        try:
            step = msgspec.convert(payload, Step)
        except msgspec.ValidationError as error:  # of another version's server
            raise TaskRefusedError(str(error)) from error
        claim = new_id()
        try:
            if step.part is not None:
                await self._plan_part(step.plan_run_id, step.part, claim)
            elif step.join:
                await self._join(step.plan_run_id, claim)
            else:
                await self._plan(step.plan_run_id, claim)
        except asyncio.CancelledError:
            try:
                await self._put_back(step, claim)
            except (SQLAlchemyError, OSError):  # the lease ends by itself; whoever stops us is not kept waiting
                log.exception("plan %s was not put back", step.plan_run_id)
            raise
        except Refused as refused:
            await self._fail(step.plan_run_id, _told(refused))
        except Exception as error:
            if isinstance(error, DBAPIError | OSError) and not isinstance(error, REFUSED_EACH_TIME):
                log.warning("plan %s is begun again", step.plan_run_id)
                raise
            await self._fail(step.plan_run_id, FAILED)
            log.exception("plan %s failed", step.plan_run_id)
            raise TaskRefusedError(f"{type(error).__name__}: {error}") from error

    async def _plan(self, run_id: UUID, claim: UUID) -> None:
        began = await self._begin(run_id, claim)
        if began is None:
            return
        prepared = await unless_cancelled(self._prepared(run_id, began), self._look_at(run_id, claim))
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            if run.state != "running" or run.worker_id != claim:
                return
            if prepared is None or run.cancel_requested:
                _cancel(run, self._clock.now())
                return
            task, basis, problems = prepared
            run.horizon_starts_at = task.starts_at
            run.problem = msgspec.to_builtins(task.problem)
            run.basis = msgspec.to_builtins(basis)
            if len(problems) > 1:
                _keep_left_out(session, run_id, task)
                await plan_parts.begin_parts(session, run, problems)
                return
        answer = await self._answer(task.problem, run, self._look_at(run_id, claim))
        await self._settle(run_id, claim, task.problem, answer, task)

    async def _begin(self, run_id: UUID, claim: UUID) -> datetime | None:
        """Take the run, unless it is over, was cancelled or is in parts already; return when, if it was taken.

        Before anything else is done for it, so that whatever ends its workers is counted.
        """
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            now = self._clock.now()
            if run.state not in OPEN_STATES or await plan_parts.in_parts(session, run.id):
                return None
            if run.cancel_requested:
                _cancel(run, now)
                return None
            if run.starts >= STARTS_MAXIMUM:
                _end(run, now, INTERRUPTED)
                return None
            run.state, run.started_at = "running", now
            run.worker_id, run.starts = claim, run.starts + 1
            return now

    async def _prepared(self, run_id: UUID, now: datetime) -> tuple[PlanningTask, Basis, Sequence[Problem]]:
        """Return what is to be planned, on its roads, what it is made from, and the parts it is planned in."""
        async with self._database.read() as session:
            run = await session.get_one(PlanRun, run_id)
            task = await planning_task(session, run, now.replace(microsecond=0))
            basis = await basis_of(session, task)
        if task.standings and self._workshop.roads is not None:  # a what-if keeps the travel of the plan it began with
            task = replace(task, problem=await self._workshop.roads.on_roads(task.problem))
        async with self._database.read() as session:
            return task, basis, await self._cut(session, run, task.problem)

    async def _cut(self, session: AsyncSession, run: PlanRun, problem: Problem) -> Sequence[Problem]:
        least = self._workshop.cut_visits
        if least is None or len(problem.visits) < least:
            return (problem,)
        groups = await plan_parts.groups(session, run.unit_id, problem)
        return await asyncio.to_thread(cut, problem, groups)

    async def _plan_part(self, run_id: UUID, number: int, claim: UUID) -> None:
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            part = await plan_parts.part_of(session, run_id, number)
            if run.state != "running" or part.state == "done":
                return
            if part.starts >= STARTS_MAXIMUM:
                _end(run, self._clock.now(), INTERRUPTED)
                return
            part.state, part.worker_id, part.starts = "running", claim, part.starts + 1
        problem = msgspec.convert(part.problem, Problem)
        answer = await self._answer(problem, run, self._look_at_part(run_id, number, claim))
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            part = await plan_parts.part_of(session, run_id, number)
            if run.state != "running" or part.worker_id != claim:
                return
            if answer.plan is None:
                await self._end_without_plan(session, run, answer, msgspec.convert(run.problem, Problem))
                return
            part.state, part.plan = "done", msgspec.to_builtins(answer.plan)
            await plan_parts.join_if_all_done(session, run)

    async def _join(self, run_id: UUID, claim: UUID) -> None:
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            if run.state != "running":
                return
            if run.starts >= STARTS_MAXIMUM:
                _end(run, self._clock.now(), INTERRUPTED)
                return
            run.worker_id, run.starts = claim, run.starts + 1
            plans = await plan_parts.plans_of(session, run_id)
        problem = msgspec.convert(run.problem, Problem)
        look = self._look_at(run_id, claim, cancelled=False)  # handing over what there is means joining it
        answer = await self._answer(problem, run, look, plans)
        await self._settle(run_id, claim, problem, answer)

    async def _answer(self, problem: Problem, run: PlanRun, look: Look, plans: Sequence[Plan] = ()) -> Message:
        async with planner(self._workshop.spares) as child:
            seconds, memory_mb = JOIN_SECONDS if plans else run.seconds, self._workshop.memory_mb
            await child.ask(problem, seconds=seconds, seed=run.seed, memory_mb=memory_mb, pieces=plans)
            return await follow(child, look)

    def _look_at(self, run_id: UUID, claim: UUID, *, cancelled: bool = True) -> Look:
        """Return what looks after a run; not `cancelled`: a wish to cancel it is left alone."""

        async def look(newest: Progress | None) -> bool:
            async with self._database.write() as session:
                run = await session.get_one(PlanRun, run_id, options=[LOOKED_AT])
                if run.worker_id != claim or run.state != "running":
                    return True
                if newest is not None:
                    run.progress = msgspec.to_builtins(newest)
                await renew_lease(session, kind=RUN_PLAN, key=str(run_id))
                return cancelled and run.cancel_requested

        return look

    def _look_at_part(self, run_id: UUID, number: int, claim: UUID) -> Look:
        async def look(newest: Progress | None) -> bool:
            async with self._database.write() as session:
                run = await session.get_one(PlanRun, run_id, options=[LOOKED_AT], with_for_update=True)
                part = await plan_parts.part_of(session, run_id, number, PART_LOOKED_AT)
                if part.worker_id != claim or run.state != "running":
                    return True
                if newest is not None:
                    part.progress = msgspec.to_builtins(newest)
                    await plan_parts.sum_up(session, run)
                return run.cancel_requested

        return look

    async def _settle(
        self, run_id: UUID, claim: UUID, problem: Problem, answer: Message, task: PlanningTask | None = None
    ) -> None:
        violations = await self._workshop.judge(problem, answer.plan) if answer.plan else ()
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            if run.state != "running" or run.worker_id != claim:
                return
            if answer.plan is None:
                await self._end_without_plan(session, run, answer, problem)
                return
            names = await names_in(session, problem, run.horizon_starts_at)
            run.plan = msgspec.to_builtins(answer.plan)
            run.violations = msgspec.to_builtins(violations)
            run.state, run.finished_at = "done", self._clock.now()
            run.progress = {**run.progress, "share": 1.0} if run.progress else {}
            if violations:
                _end(run, self._clock.now(), NOT_LEGAL)
            stays = await joined_visits(session, [UUID(one.visit) for one in answer.plan.unplanned])
            for one in answer.plan.unplanned:
                if UUID(one.visit) in stays:
                    continue
                reasons = [reason_words(reason, names) for reason in one.reasons]
                session.add(UnplannedVisit(plan_run_id=run_id, visit_id=UUID(one.visit), reasons=reasons))
            if task is not None:
                _keep_left_out(session, run_id, task)

    async def _end_without_plan(self, session: AsyncSession, run: PlanRun, answer: Message, problem: Problem) -> None:
        """End a run whose planner had none to hand over, which is nobody's fault where it was to be cancelled."""
        if run.cancel_requested:
            _cancel(run, self._clock.now())
            return
        names = await names_in(session, problem, run.horizon_starts_at)
        _end(run, self._clock.now(), named_fault(answer.error or FAILED, names))

    async def _put_back(self, step: Step, claim: UUID) -> None:
        """Let the next worker begin anew: this one's server stops, which is nobody's fault."""
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, step.plan_run_id, with_for_update=True)
            row: PlanRun | PlanPart = run
            if step.part is not None:
                row = await plan_parts.part_of(session, run.id, step.part)
            if run.state == "running" and row.worker_id == claim:
                row.worker_id, row.starts = None, row.starts - 1
                if not step.join:
                    row.state = "queued"
            await release_lease(session, kind=RUN_PLAN, key=str(run.id))

    async def _fail(self, run_id: UUID, fault: Fault) -> None:
        async with self._database.write() as session:
            run = await session.get_one(PlanRun, run_id, with_for_update=True)
            if run.state in OPEN_STATES:
                _end(run, self._clock.now(), fault)


def _cancel(run: PlanRun, now: datetime) -> None:
    run.state, run.finished_at = "cancelled", now


def _end(run: PlanRun, now: datetime, fault: Fault) -> None:
    run.state, run.finished_at, run.error = "failed", now, msgspec.to_builtins(fault)


def _told(refused: Refused) -> Fault:
    """Return why there is nothing to ask the planner, as it is stored."""
    said = refused.details()
    zh, en = said.detail_zh + said.todo_zh, f"{said.detail} {said.todo}"
    return Fault(code=said.code, where="problem", facts={**said.facts}, zh=zh, en=en)


def _keep_left_out(session: AsyncSession, run_id: UUID, task: PlanningTask) -> None:
    session.add_all(
        UnplannedVisit(plan_run_id=run_id, visit_id=left.visit_id, reasons=[left.reason()]) for left in task.left_out
    )
