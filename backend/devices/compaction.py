"""Deletions that every phone has heard of, or is too late to hear of, are forgotten once a day."""

from datetime import datetime, timedelta
from typing import Final, cast

from sqlalchemy import Table, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.changes import change, current
from backend.core.db import insert_ignoring
from backend.devices.models import ClockMark, DeviceView
from sync.feed import View
from sync.limits import DELETIONS_KEPT_DAYS


async def forget_old_deletions(session: AsyncSession, now: datetime) -> int:
    """Note where the clock stands today, forget what was deleted up to the floor, and return how many rows that was.

    The floor is where the clock stood `DELETIONS_KEPT_DAYS` ago. Views older than that go too: their phones cannot be
    told what changed since, so they are asked to compare what they hold (sync.reconcile).
    """
    v, _ = await session.run_sync(current)
    await session.run_sync(insert_ignoring, ClockMark.__table__, [{"v": v, "at": now}])
    before = ClockMark.at <= now - timedelta(days=DELETIONS_KEPT_DAYS)
    newest = select(ClockMark.v).where(before).order_by(ClockMark.v.desc()).limit(1)
    floor = (await session.execute(newest)).scalar_one_or_none()
    if floor is None:
        return 0
    old = delete(change).where(change.c.deleted.is_(True), change.c.v <= floor).returning(change.c.row_id)
    forgotten = len((await session.execute(old)).all())
    await _forget_views(session, floor)
    await session.execute(delete(ClockMark).where(ClockMark.v < floor))
    return forgotten


async def _forget_views(session: AsyncSession, floor: int) -> None:
    """Forget views that would have to tell of a deletion that is forgotten: an unfinished one can be newer."""
    await session.execute(delete(DeviceView).where(DeviceView.v < floor))
    for row in (await session.execute(select(*_VIEW.columns))).all():
        view = View(str(row.generation), row.v, row.buckets, row.valid_until, row.served_at)
        if not view.outlives(floor):
            mine = (_VIEW.c.device_id == row.device_id, _VIEW.c.generation == row.generation)
            await session.execute(delete(_VIEW).where(*mine))


_VIEW: Final = cast("Table", DeviceView.__table__)
