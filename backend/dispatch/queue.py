"""The queue of plans: tasks like any other on SQLite, and on PostgreSQL the queue of PgQueuer, for several machines.

A step is put into the queue in the transaction that asks for it, so none is lost and none is there too early. On
PostgreSQL a worker that dies stops its heartbeat, and after the lease another one takes its step. What should be in the
queue and is not (a database brought back from a backup, a step given up) is put into it by any worker within
SWEEP_SECONDS.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import msgspec
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from backend.core.sessions import Database
from backend.core.tasks import DONE_KEPT, TaskRefusedError, add_task
from backend.dispatch.models import OPEN_STATES, PlanPart, PlanRun

if TYPE_CHECKING:
    from pgqueuer.domain.models import Job
    from pgqueuer.domain.types import JobId
    from pgqueuer.queries import Queries

RUN_PLAN: Final = "run_plan"
"""The kind of task, and the entrypoint of the queue."""
SCHEMA: Final = "plan_queue"
"""The PostgreSQL schema of PgQueuer's tables (migration 0033)."""
BEATS_A_LEASE: Final = 4
"""Heartbeats in the time after which a step is another worker's."""
PARTS_KEPT: Final = timedelta(days=1)
"""How long the parts of a plan that is over are kept, for who asks why it became what it is."""
SWEEP_SECONDS: Final = 60.0
"""How often a worker looks for plans that wait and are not in the queue."""
RETRY_SECONDS: Final = 2.0
"""How long a worker waits for a database that does not answer."""

log = logging.getLogger(__name__)


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One piece of a plan run: all of it or its cutting, the part of that number, or the joining of its parts."""

    plan_run_id: UUID
    part: int | None = None
    join: bool = False

    @property
    def key(self) -> str:
        """What keeps a step from being in the queue twice."""
        return f"{self.plan_run_id}:{'join' if self.join else self.part}"


async def enqueue_plan(session: AsyncSession, *, now: datetime, run_id: UUID) -> None:
    """Have a run planned once this transaction is committed."""
    step = Step(plan_run_id=run_id)
    if on_tasks(session):
        add_task(session, now=now, kind=RUN_PLAN, key=str(run_id), payload=msgspec.to_builtins(step))
    else:
        await session.flush()
        await enqueue(session, step)


def on_tasks(session: AsyncSession) -> bool:
    """Whether plans wait as tasks of this database: SQLite, where one process does everything."""
    return session.get_bind().dialect.name == "sqlite"


async def enqueue(session: AsyncSession, step: Step) -> None:
    """Put a step into PostgreSQL's queue with this transaction, unless it waits or runs already."""
    connection = await session.connection()
    raw: Any = (await connection.get_raw_connection()).driver_connection
    if not raw.is_in_transaction():
        raise RuntimeError("a step joins the queue with the transaction that asks for it")
    async with _driver_words(connection):
        queries = await queue_queries(connection)
        await queries.enqueue(RUN_PLAN, msgspec.json.encode(step), dedupe_key=step.key, on_conflict="skip")


@asynccontextmanager
async def _driver_words(connection: AsyncConnection) -> AsyncGenerator[None]:
    """Raise ConnectionError for whatever the driver says, as the library passes its errors on as they are.

    The pool has to be told of a connection that broke.
    """
    from asyncpg import (  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]
        InterfaceError,
        InternalClientError,
        PostgresError,
    )

    try:
        yield
    except (InterfaceError, InternalClientError, PostgresError, OSError) as error:
        await connection.invalidate()
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
    except asyncio.CancelledError:  # a rollback over a connection that is gone, too, would hide that this one is to end
        await connection.invalidate()
        raise


async def queue_queries(connection: AsyncConnection) -> "Queries":
    """Return the library's statements over a connection of ours, in the transaction it is in."""
    # Only a server on PostgreSQL needs the library and what it brings along.
    from pgqueuer.adapters.persistence import qb  # noqa: PLC0415
    from pgqueuer.db import AsyncpgDriver  # noqa: PLC0415
    from pgqueuer.domain.settings import DBSettings  # noqa: PLC0415
    from pgqueuer.queries import Queries  # noqa: PLC0415

    raw: Any = (await connection.get_raw_connection()).driver_connection
    names = DBSettings(db_schema=SCHEMA)
    return Queries(
        AsyncpgDriver(raw), qb.QueryBuilderEnvironment(names), qb.QueryQueueBuilder(names),
        qb.QuerySchedulerBuilder(names),
    )  # fmt: skip


async def forget_old_steps(session: AsyncSession, now: datetime) -> int:
    """Delete parts of plans that were over PARTS_KEPT ago, and the queue's log of DONE_KEPT ago; return how many."""
    over = select(PlanRun.id).where(PlanRun.finished_at < now - PARTS_KEPT)
    old_parts = delete(PlanPart).where(PlanPart.plan_run_id.in_(over)).returning(PlanPart.id)
    gone = len((await session.execute(old_parts)).all())
    if not on_tasks(session):
        log_of_then = text(f"DELETE FROM {SCHEMA}.pgqueuer_log WHERE created < :then RETURNING id")  # noqa: S608 - ours
        gone += len((await session.execute(log_of_then, {"then": now - DONE_KEPT})).all())
    return gone


class QueueWorker:
    """Does one step after another from PostgreSQL's queue until stopped; any number may share one database."""

    def __init__(
        self,
        database: Database,
        handler: Callable[[dict[str, Any]], Awaitable[None]],
        *,
        poll_seconds: float,
        lease_seconds: float,
    ) -> None:
        self._database = database
        self._handler = handler
        self._poll_seconds = poll_seconds
        self._lease = timedelta(seconds=lease_seconds)
        self._me = uuid4()
        self._swept = -SWEEP_SECONDS

    async def run(self) -> None:
        """Work until cancelled; a step interrupted by the cancellation goes back into the queue.

        Whatever the database or its driver says (restarted, locked, full) is logged, and the work goes on after a wait:
        a step it happened to has a lease, after which it is begun again.
        """
        while True:
            try:
                await self._sweep_now_and_then()
                worked = await self.run_one()
            except Exception:
                log.exception("the queue of plans does not answer")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not worked:
                await asyncio.sleep(self._poll_seconds)

    async def run_one(self) -> bool:
        """Do one step that waits, or that a worker left behind; return whether there was one."""
        job = await self._take()
        if job is None:
            return False
        beating = asyncio.create_task(self._beat(job.id))
        try:
            await self._handler(msgspec.json.decode(job.payload or b"{}"))
        except TaskRefusedError as refusal:
            log.warning("step %s refused: %s", job.id, refusal)
            await self._log(job, "exception")
        except asyncio.CancelledError:
            try:
                await self._give_back(job)
            except Exception:  # its lease ends by itself; whoever stops us is not kept waiting
                log.exception("step %s was not given back", job.id)
            raise
        else:
            await self._log(job, "successful")
        finally:
            beating.cancel()
            await asyncio.wait([beating])  # not `await beating`, whose end must not hide a wish that this one ends
        return True

    async def sweep(self) -> None:
        """Put every open plan's next steps into the queue that are not there."""
        async with self._database.write() as session:
            for step in await _open_steps(session):
                await enqueue(session, step)

    async def _sweep_now_and_then(self) -> None:
        if monotonic() - self._swept >= SWEEP_SECONDS:
            self._swept = monotonic()
            await self.sweep()

    async def _take(self) -> "Job | None":
        from pgqueuer.domain.types import QueueEntrypoint, QueueManagerId  # noqa: PLC0415
        from pgqueuer.ports.repository import EntrypointExecutionParameter  # noqa: PLC0415

        wanted = {QueueEntrypoint(RUN_PLAN): EntrypointExecutionParameter(concurrency_limit=0)}
        async with self._session() as queries:
            jobs = await queries.dequeue(1, wanted, QueueManagerId(self._me), None, self._lease)
        return jobs[0] if jobs else None

    async def _beat(self, job: "JobId") -> None:
        """Say again and again that the step is being worked on."""
        while True:
            await asyncio.sleep(self._lease.total_seconds() / BEATS_A_LEASE)
            try:
                async with self._session() as queries:
                    await queries.update_heartbeat([job])
            except Exception:
                log.exception("no heartbeat for step %s", job)

    async def _log(self, job: "Job", status: Any) -> None:
        async with self._session() as queries:
            await queries.log_jobs([(job, status, None)])

    async def _give_back(self, job: "Job") -> None:
        async with self._session() as queries:
            await queries.retry_job(job, timedelta(0), None)

    @asynccontextmanager
    async def _session(self) -> "AsyncGenerator[Queries]":
        """The library's statements over a connection of the pool; raises ConnectionError."""
        async with self._database.bare() as connection, _driver_words(connection):
            yield await queue_queries(connection)


async def _open_steps(session: AsyncSession) -> list[Step]:
    """Return what is still to be done of every open run, always in the same order.

    Of two workers that fill an empty queue at the same moment one then waits for the other; in different orders each
    could wait for the other's keys.
    """
    runs = select(PlanRun.id).where(PlanRun.state.in_(OPEN_STATES)).order_by(PlanRun.id)
    steps: list[Step] = []
    for run_id in (await session.execute(runs)).scalars().all():
        parts = select(PlanPart.number, PlanPart.state).where(PlanPart.plan_run_id == run_id).order_by(PlanPart.number)
        rows = (await session.execute(parts)).all()
        waiting = [Step(plan_run_id=run_id, part=row.number) for row in rows if row.state != "done"]
        steps += waiting or [Step(plan_run_id=run_id, join=bool(rows))]
    return steps
