"""What a plan was made from, kept with it, so that publishing it later sees what has changed since.

Rows are compared, not times: whoever changes a shift, or publishes another plan, waits for locks between their request
and their commit, and a plan may read its rows just then.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.dispatch.models import PlanRun
from backend.dispatch.open_visits import Standing
from backend.dispatch.plan import PlanningTask
from backend.people.models import Person, Shift


class Hours(msgspec.Struct, frozen=True):
    """A shift as it is worked: all of it that a route depends on."""

    starts_at: datetime
    ends_at: datetime
    overtime_minutes: int
    start_lat: float
    start_lon: float
    breaks: list[Any]


class Basis(msgspec.Struct, frozen=True):
    """What a plan was made from.

    `visits`: how they stood, by visit, or by assignment for who joins one. `shifts`: those of its problem.
    `versions`: the newest published plan of each unit that has one.
    """

    visits: dict[UUID, Standing]
    shifts: dict[UUID, Hours]
    versions: dict[UUID, int]


async def basis_of(session: AsyncSession, task: PlanningTask) -> Basis:
    """Return what a plan is made from; ask in the transaction that read its problem."""
    shifts = await hours_of(session, [UUID(shift.id) for shift in task.problem.shifts])
    return Basis(task.standings, shifts, await newest_versions(session))


async def hours_of(session: AsyncSession, shift_ids: Sequence[UUID]) -> dict[UUID, Hours]:
    """Return the shifts that stand, of people who are still here."""
    columns = (getattr(Shift, name) for name in Hours.__struct_fields__)
    worked = select(Shift.id, *columns).join(Person, Person.id == Shift.person_id).where(Person.active)
    found = (await session.execute(worked.where(Shift.id.in_(shift_ids)))).mappings()
    return {row["id"]: Hours(**{name: row[name] for name in Hours.__struct_fields__}) for row in found}


async def newest_versions(session: AsyncSession) -> dict[UUID, int]:
    """Return the newest version published of each unit that has one."""
    newest = select(PlanRun.unit_id, func.max(PlanRun.version).label("version")).where(PlanRun.version.is_not(None))
    return {row.unit_id: row.version for row in await session.execute(newest.group_by(PlanRun.unit_id))}
