"""The parts of a plan run: which sub-unit's people and work go together, and what became of each part.

A part is a branch of the unit that is planned: the people of one sub-unit directly below it, with everything below
that, and the work of the same. What belongs to the unit itself is a part too. `routing.cutting` makes a piece of each:
it moves what a piece alone could not serve, and unites pieces that need each other.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.interfaces import ORMOption

from backend.dispatch.models import PlanPart, PlanRun
from backend.dispatch.queue import Step, enqueue
from backend.jobs.models import Visit, WorkOrder
from backend.people.models import Person, Unit
from backend.people.sign_in import unit_trees
from routing.plan import Plan, Progress
from routing.problem import Problem


async def groups(session: AsyncSession, unit_id: UUID, problem: Problem) -> dict[str, str]:
    """Return the branch each shift and visit of a problem of `unit_id` belongs to, by the problem's own ids.

    The one more person of a what-if is nobody's: that one's shifts end where those do that they were copied from, each
    of which ends at a place of its own, and they are of the same branch.
    """
    branches = await _branches(session, unit_id)
    people = select(Person.id, Person.unit_id).where(Person.id.in_({UUID(one.technician) for one in problem.shifts}))
    unit_of = {str(row.id): row.unit_id for row in await session.execute(people)}
    staff = [shift for shift in problem.shifts if shift.technician in unit_of]
    branch_at = {shift.end_place: branches.get(unit_of[shift.technician], "") for shift in staff}
    found = {shift.id: branch_at.get(shift.end_place, "") for shift in problem.shifts}
    visits = (
        select(Visit.id, WorkOrder.unit_id)
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .where(Visit.id.in_([UUID(visit.id) for visit in problem.visits]))
    )
    found |= {str(row.id): branches.get(row.unit_id, "") for row in await session.execute(visits)}
    return found


async def _branches(session: AsyncSession, unit_id: UUID) -> Mapping[UUID, str]:
    """Return the branch of each unit below `unit_id`: the sub-unit directly below it that it is or belongs to."""
    below = set((await session.execute(select(Unit.id).where(Unit.parent_id == unit_id))).scalars())
    trees = await unit_trees(session, below) if below else {}
    return {unit: str(branch) for branch, tree in trees.items() for unit in tree}


async def begin_parts(session: AsyncSession, run: PlanRun, problems: Sequence[Problem]) -> None:
    """Store the parts of a run and have each of them planned by whoever is free; joining them is counted anew.

    Nobody speaks for the run meanwhile: who cut it could put it back into the queue, where nobody looks at its parts.
    """
    run.worker_id, run.starts = None, 0
    for number, problem in enumerate(problems):
        session.add(
            PlanPart(
                plan_run_id=run.id, number=number, state="queued", problem=msgspec.to_builtins(problem), progress={},
                starts=0,
            )
        )  # fmt: skip
    await session.flush()
    for number in range(len(problems)):
        await enqueue(session, Step(plan_run_id=run.id, part=number))


async def in_parts(session: AsyncSession, run_id: UUID) -> bool:
    """Whether the run was cut into parts."""
    any_part = select(PlanPart.id).where(PlanPart.plan_run_id == run_id).limit(1)
    return (await session.execute(any_part)).first() is not None


async def part_of(session: AsyncSession, run_id: UUID, number: int, *options: ORMOption) -> PlanPart:
    """Return one part of a run; whoever changes it has locked the run."""
    this = select(PlanPart).where(PlanPart.plan_run_id == run_id, PlanPart.number == number).options(*options)
    return (await session.execute(this.execution_options(populate_existing=True))).scalar_one()


async def plans_of(session: AsyncSession, run_id: UUID) -> list[Plan]:
    """Return the plans of all parts of a run, in order."""
    plans = select(PlanPart.plan).where(PlanPart.plan_run_id == run_id).order_by(PlanPart.number)
    return [msgspec.convert(plan, Plan) for plan in (await session.execute(plans)).scalars()]


async def join_if_all_done(session: AsyncSession, run: PlanRun) -> None:
    """Have the plans of a run's parts joined, if this was the last of them."""
    await session.flush()
    open_parts = select(PlanPart.id).where(PlanPart.plan_run_id == run.id, PlanPart.state != "done").limit(1)
    if (await session.execute(open_parts)).first() is None:
        await enqueue(session, Step(plan_run_id=run.id, join=True))


async def sum_up(session: AsyncSession, run: PlanRun) -> None:
    """Let a run's progress say how far its parts are together: as far as the one that is least far."""
    await session.flush()
    rows = await session.execute(select(PlanPart.progress).where(PlanPart.plan_run_id == run.id))
    known = [msgspec.convert(row.progress, Progress) if row.progress else None for row in rows]
    begun = [one for one in known if one is not None]
    total = Progress(
        elapsed_seconds=max(one.elapsed_seconds for one in begun),
        served=sum(one.served for one in begun),
        unplanned=sum(one.unplanned for one in begun),
        late=sum(one.late for one in begun),
        cost=sum(one.cost for one in begun),
        share=min(0.0 if one is None else one.share for one in known),
    )
    run.progress = msgspec.to_builtins(total)
