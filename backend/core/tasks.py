"""Background work kept in the database: timers and a queue. A task survives a crash and runs at least once.

A worker leases a task in a short transaction, runs it outside any transaction, and marks it done in another. A task
whose worker died is leased again after LEASE. Work is made idempotent by its `key`: adding the same key twice keeps one
task.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Index, Select, String, and_, delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.clock import Clock, SystemClock
from backend.core.db import Row, insert_ignoring
from backend.core.ids import new_id
from backend.core.sessions import Database

LEASE: Final = timedelta(minutes=5)
"""How long a worker may hold a task before another takes it over; one that takes longer renews it."""
ATTEMPTS: Final = 8
"""Tries before a task is given up and shown to the operator; the waits between them add up to about four hours."""
FIRST_WAIT: Final = timedelta(seconds=1)
WAIT_FACTOR: Final = 4
ERROR_LENGTH: Final = 2000
RETRY_SECONDS: Final = 2.0
"""How long a worker waits for a database that does not answer."""
DONE_KEPT: Final = timedelta(days=30)
"""How long a finished task is kept; until then its key cannot be used again."""

log = logging.getLogger(__name__)


class Task(Row):
    """One piece of background work."""

    __tablename__ = "task"
    __table_args__ = (Index("ix_task_ready", "state", "run_at"),)

    kind: Mapped[str] = mapped_column(String(60))
    key: Mapped[str] = mapped_column(String(120), unique=True)
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(10))
    """waiting, done or failed."""
    run_at: Mapped[datetime]
    attempts: Mapped[int]
    leased_until: Mapped[datetime | None]
    leased_by: Mapped[UUID | None]
    finished_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class TaskRefusedError(Exception):
    """Raised by a task that can never succeed; it is given up at once."""


TaskHandler = Callable[[dict[str, Any]], Awaitable[None]]


def add_task(
    session: AsyncSession,
    *,
    now: datetime,
    kind: str,
    key: str,
    payload: dict[str, Any],
    run_at: datetime | None = None,
) -> Task:
    """Add a task to this transaction; it runs after the commit, at `run_at` or at once.

    A key in use breaks the transaction.
    """
    task = Task(kind=kind, key=f"{kind}:{key}", payload=payload, state="waiting", run_at=run_at or now, attempts=0)
    session.add(task)
    return task


async def ensure_task(
    session: AsyncSession,
    *,
    now: datetime,
    kind: str,
    key: str,
    payload: dict[str, Any],
    run_at: datetime | None = None,
) -> None:
    """Add a task to this transaction unless one with this key was ever added; for what may ask for it again."""
    task = {
        "id": new_id(), "kind": kind, "key": f"{kind}:{key}", "payload": payload, "state": "waiting",
        "run_at": run_at or now, "attempts": 0,
    }  # fmt: skip
    await session.run_sync(insert_ignoring, Task.__table__, [task])


async def redo_task(session: AsyncSession, *, now: datetime, kind: str, key: str, rest: timedelta) -> bool:
    """Have a task run again that is over, unless it was given up within `rest`; return whether it waits or runs now."""
    this = Task.key == f"{kind}:{key}"
    over = or_(Task.state == "done", and_(Task.state == "failed", Task.finished_at <= now - rest))
    again = update(Task).where(this, over).values(state="waiting", run_at=now, attempts=0, finished_at=None)
    await session.execute(again)
    return (await session.execute(select(Task.state).where(this))).scalar_one_or_none() == "waiting"


async def renew_lease(session: AsyncSession, *, kind: str, key: str) -> None:
    """Hold a task that runs long for another LEASE, counted from now."""
    held = update(Task).where(Task.key == f"{kind}:{key}", Task.leased_until.is_not(None))
    await session.execute(held.values(leased_until=SystemClock().now() + LEASE))


async def release_lease(session: AsyncSession, *, kind: str, key: str) -> None:
    """Let another worker take a task at once: who held it stops, and leaves it as it was."""
    held = update(Task).where(Task.key == f"{kind}:{key}", Task.state == "waiting")
    await session.execute(held.values(leased_until=None, leased_by=None))


async def forget_done_tasks(session: AsyncSession, now: datetime) -> int:
    """Delete tasks finished longer ago than DONE_KEPT; return how many. Those given up stay for the operator."""
    old = delete(Task).where(Task.state == "done", Task.finished_at < now - DONE_KEPT)
    return len((await session.execute(old.returning(Task.id))).all())


class Worker:
    """Runs the kinds of task it has handlers for, one at a time, until stopped; any number may share one database.

    Tasks become due by the installation's clock; leases run by the machine's own, because they guard against real
    crashes.
    """

    def __init__(
        self, database: Database, clock: Clock, handlers: Mapping[str, TaskHandler], poll_seconds: float
    ) -> None:
        self._database = database
        self._clock = clock
        self._handlers = handlers
        self._poll_seconds = poll_seconds
        self._lease_clock = SystemClock()
        self._me = new_id()

    async def run(self) -> None:
        """Work until cancelled; a task interrupted by the cancellation is leased again later.

        Whatever the database or its driver says (restarted, locked, full) is logged, and the work goes on after a wait:
        a task it happened to has a lease, after which it is run again.
        """
        while True:
            try:
                worked = await self.run_one()
            except Exception:
                log.exception("tasks cannot be taken or settled now")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not worked:
                await asyncio.sleep(self._poll_seconds)

    async def run_one(self) -> bool:
        """Run one task that is due; return whether there was one."""
        task = await self._lease()
        if task is None:
            return False
        error, final = await self._attempt(task)
        async with self._database.write() as session:
            mine = await session.get_one(Task, task.id)
            if mine.leased_by == self._me:
                _settle(mine, now=self._clock.now(), error=error, final=final)
        return True

    async def _attempt(self, task: Task) -> tuple[str | None, bool]:
        try:
            await self._handlers[task.kind](task.payload)
        except TaskRefusedError as refusal:
            log.warning("task %s %s refused: %s", task.kind, task.id, refusal)
            return str(refusal), True
        except Exception as error:
            log.exception("task %s %s failed", task.kind, task.id)
            return f"{type(error).__name__}: {error}", False
        return None, False

    async def _lease(self) -> Task | None:
        async with self._database.read() as session:
            if (await session.execute(self._due())).first() is None:
                return None
        async with self._database.write() as session:
            task = (await session.execute(self._due().with_for_update(skip_locked=True))).scalar_one_or_none()
            if task is not None:
                task.leased_by, task.leased_until = self._me, self._lease_clock.now() + LEASE
                task.attempts += 1
        return task

    def _due(self) -> Select[Task]:
        free = or_(Task.leased_until.is_(None), Task.leased_until < self._lease_clock.now())
        waiting = select(Task).where(Task.state == "waiting", Task.kind.in_(self._handlers))
        return waiting.where(Task.run_at <= self._clock.now(), free).order_by(Task.run_at, Task.id).limit(1)


def _settle(task: Task, *, now: datetime, error: str | None, final: bool) -> None:
    task.leased_by = task.leased_until = None
    task.last_error = error and error[:ERROR_LENGTH]
    if error is None:
        task.state, task.finished_at = "done", now
    elif final or task.attempts >= ATTEMPTS:
        task.state, task.finished_at = "failed", now
    else:
        task.run_at = now + FIRST_WAIT * WAIT_FACTOR ** (task.attempts - 1)
