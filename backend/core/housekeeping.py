"""What is kept for a while only is forgotten here, once a day."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.clock import Clock
from backend.core.sessions import Database
from backend.core.tasks import TaskHandler, ensure_task

HOUSEKEEPING: Final = "housekeeping"
EVERY: Final = timedelta(days=1)

Forget = Callable[[AsyncSession, datetime], Awaitable[int]]
"""Deletes what is older than its own limit; returns how many rows that was."""


async def start_housekeeping(session: AsyncSession, *, now: datetime) -> None:
    """Make sure it runs today; called when the server starts. Every start of a day shares its key."""
    await ensure_task(session, now=now, kind=HOUSEKEEPING, key=f"{now:%Y-%m-%d}", payload={})


def housekeeping_task(database: Database, clock: Clock, forgets: Sequence[Forget]) -> TaskHandler:
    """Return the task: each thing to forget in a transaction of its own, then the task of tomorrow."""

    async def run(_payload: dict[str, Any]) -> None:
        now = clock.now()
        for forget in forgets:
            async with database.write() as session:
                await forget(session, now)
        tomorrow = now + EVERY
        async with database.write() as session:
            await ensure_task(
                session, now=now, kind=HOUSEKEEPING, key=f"{tomorrow:%Y-%m-%d}", payload={}, run_at=tomorrow
            )

    return run
