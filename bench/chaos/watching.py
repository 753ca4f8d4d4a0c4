"""Watching over phones that work: a line now and then, and an end with a report when nobody gets on any more."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from bench.chaos.figures import line
from bench.chaos.servers import Servers
from bench.chaos.writers import Writer

LOOK_SECONDS: Final = 1.0
REPORT_SECONDS: Final = 10.0
STACK_FRAMES: Final = 4
ACTIVITY: Final = (
    "SELECT pid, state, wait_event_type, wait_event, now() - xact_start AS age, pg_blocking_pids(pid) AS blocked_by, "
    "left(query, 160) AS query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class Stuck(RuntimeError):
    """Nobody got on for too long; the message says which phone waits for what, and so for servers and database."""


@dataclass(frozen=True)
class Watch:
    """Who is watched, where, and for how many seconds it bears that no phone gets on."""

    writers: Sequence[Writer]
    servers: Servers
    url: str
    patience: float

    async def over(
        self, phase: str, work: Sequence[Coroutine[Any, Any, None]], beside: "Sequence[asyncio.Task[None]]" = ()
    ) -> None:
        """Let all of the work be done; raises Stuck, and whatever the work or a task `beside` it raises."""
        tasks = [asyncio.create_task(one) for one in work]
        try:
            await self._look_after(phase, tasks, beside)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_after(
        self, phase: str, tasks: "list[asyncio.Task[None]]", beside: "Sequence[asyncio.Task[None]]"
    ) -> None:
        began = told = moved = time.monotonic()
        reached, pending = self._reached(), set(tasks)
        while pending:
            done, pending = await asyncio.wait(pending, timeout=LOOK_SECONDS)
            for task in (*done, *(one for one in beside if one.done())):
                task.result()
            now = time.monotonic()
            if self._reached() != reached:
                reached, moved = self._reached(), now
            if now - moved > self.patience:
                raise Stuck(f"{phase}: no phone got on for {self.patience:.0f} s\n{await self.report(tasks)}")
            if now - told > REPORT_SECONDS:
                told = now
                print(line(self._progress(phase, now - began)), flush=True)

    def _reached(self) -> list[tuple[int, ...]]:
        return [writer.reached for writer in self.writers]

    def _progress(self, phase: str, seconds: float) -> dict[str, Any]:
        return {
            "phase": phase, "seconds": round(seconds), "made": sum(writer.book.made for writer in self.writers),
            "settled": sum(writer.settled for writer in self.writers), "kills": self.servers.kills,
            "faults": sum(writer.bad.faults.total() for writer in self.writers),
        }  # fmt: skip

    async def report(self, tasks: "Sequence[asyncio.Task[None]]") -> str:
        """Say what each phone, each server and the database are waiting for."""
        told = [writer.state() for writer in self.writers]
        told += [f"{task.get_name()}: {_where(task)}" for task in tasks if not task.done()]
        for number, process in enumerate(self.servers.running):
            told.append(f"server {number}: exit code {process.poll()}\n{self.servers.said(number)}")
        return "\n".join([*told, *await _activity(self.url)])


def _where(task: "asyncio.Task[None]") -> str:
    frames = task.get_stack(limit=STACK_FRAMES)
    return " > ".join(f"{frame.f_code.co_name}:{frame.f_lineno}" for frame in frames)


async def _activity(url: str) -> list[str]:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            rows = (await connection.execute(text(ACTIVITY))).mappings().all()
    except (OSError, SQLAlchemyError) as error:
        return [f"database: {error!r}"]
    finally:
        await engine.dispose()
    return [f"database: {dict(row)}" for row in rows]
