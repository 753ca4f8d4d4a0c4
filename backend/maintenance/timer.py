"""The daily round, after midnight at the sites: raise what is due, mark what was missed. Each round adds the next."""

from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.rules import day_in, end_of_day
from backend.core.clock import Clock
from backend.core.sessions import Database
from backend.core.tasks import TaskHandler, ensure_task, renew_lease
from backend.maintenance.actions import active_plans, mark_missed, raise_plan
from backend.maintenance.models import MaintenancePlan
from backend.sites.models import Site

MAINTENANCE_ROUND: Final = "maintenance_round"
RAISE_AHEAD: Final = timedelta(days=7)
"""How long before its first day a period is raised, so that it can be planned between repairs."""
AFTER_MIDNIGHT: Final = timedelta(minutes=30)


async def start_rounds(session: AsyncSession, *, now: datetime) -> None:
    """Make sure a round runs today; called when the server starts. The rounds of two starts soon share their keys."""
    await _add_round(session, now=now, run_at=now, key=f"{now:%Y-%m-%d}")


def round_task(database: Database, clock: Clock) -> TaskHandler:
    """Return the task that makes one round and adds the next. Each plan is a transaction of its own: nobody waits."""

    async def run(payload: dict[str, Any]) -> None:
        now = clock.now()
        async with database.read() as session:
            plan_ids = await active_plans(session)
        for plan_id in plan_ids:
            async with database.write() as session:
                await raise_plan(session, plan_id, now=now, until=(now + RAISE_AHEAD).date())
                await renew_lease(session, kind=MAINTENANCE_ROUND, key=str(payload.get("key")))
        async with database.write() as session:
            await mark_missed(session, now=now)
            run_at = await next_round_at(session, now)
            await _add_round(session, now=now, run_at=run_at, key=run_at.isoformat())

    return run


async def next_round_at(session: AsyncSession, now: datetime) -> datetime:
    """Return when the next midnight of any site with a plan is past, in UTC; without sites, a day from now."""
    cared_for = select(MaintenancePlan.site_id).where(MaintenancePlan.active.is_(True))
    zones = select(Site.time_zone).where(Site.id.in_(cared_for)).distinct()
    nights = [_next_night(zone, now) for zone in (await session.execute(zones)).scalars()]
    return min(nights, default=now + timedelta(days=1))


def _next_night(zone: str, now: datetime) -> datetime:
    """The next half past midnight in a zone; just after midnight that is today's."""
    today = day_in(zone, now)
    nights = (end_of_day(zone, day) + AFTER_MIDNIGHT for day in (today - timedelta(days=1), today))
    return next(night for night in nights if night > now)


async def _add_round(session: AsyncSession, *, now: datetime, run_at: datetime, key: str) -> None:
    await ensure_task(session, now=now, kind=MAINTENANCE_ROUND, key=key, payload={"key": key}, run_at=run_at)
