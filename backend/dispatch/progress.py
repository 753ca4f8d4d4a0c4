"""How a plan is coming along, as server-sent events: where it stands, then each change, until it is over.

A stream looks at the plan's row, wherever it is being planned, every LOOK_SECONDS: one question by key, a tenth of a
millisecond on SQLite. Whoever was cut off asks again and is told where the plan stands now; nothing else is needed,
because each event says everything.
"""

import asyncio
from collections.abc import AsyncGenerator
from datetime import datetime
from time import monotonic
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from backend.core.errors import BUSY, Problem
from backend.core.sessions import Database
from backend.dispatch.models import OPEN_STATES, PlanRun

STREAMS_MOST: Final = 200
"""Plans one process tells of at a time."""
LOOK_SECONDS: Final = 0.5
"""How often a stream looks at its plan."""
HEARTBEAT_SECONDS: Final = 15.0
"""Between signs of life on a silent stream."""
STREAM_SECONDS: Final = 15 * 60.0
"""A stream ends after this time; who still wants to know asks again, with the token of then."""
SIGN_OF_LIFE: Final = b": \n\n"
"""A comment, which readers of events pass over."""
RETRY_SECONDS: Final = 2
"""When to ask again where too many are told already, or the stream broke off."""
ONE_PLAN: Final = select(
    PlanRun.state, PlanRun.progress, PlanRun.cancel_requested, PlanRun.started_at, PlanRun.finished_at, PlanRun.error
).where(PlanRun.id == bindparam("plan_id"))


class PlanEvent(msgspec.Struct, frozen=True):
    """Where a plan stands; the fields are those of GET /plans/{id}."""

    id: UUID
    state: str
    progress: dict[str, Any]
    cancel_requested: bool
    started_at: datetime | None
    finished_at: datetime | None
    error: dict[str, Any] | None


class PlanWatch:
    """Every stream of this process."""

    def __init__(self, database: Database, *, streams_most: int = STREAMS_MOST) -> None:
        self._database = database
        self._streams_most = streams_most
        self._streams = 0
        self._closed = asyncio.Event()

    async def open(self, plan_id: UUID) -> AsyncGenerator[bytes]:
        """Return the events of a plan the reader may see; raises busy when there are too many streams.

        A stream counts once it is begun, as one that never is would be counted for ever; so of many opened at the same
        moment those beyond the limit are told where the plan stands, and end.
        """
        if self._streams >= self._streams_most:
            raise Problem(BUSY, retry_after_seconds=RETRY_SECONDS)
        return self._events(plan_id, await self._look(plan_id))

    async def close(self) -> None:
        """End every stream; it can be opened anew afterwards, in another event loop too."""
        self._closed.set()
        self._closed = asyncio.Event()

    async def _events(self, plan_id: UUID, event: PlanEvent) -> AsyncGenerator[bytes]:
        self._streams += 1
        lasts = STREAM_SECONDS if self._streams <= self._streams_most else 0.0
        closed, until, number = self._closed, monotonic() + lasts, 1
        try:
            yield b"retry: %d\n" % (RETRY_SECONDS * 1000) + _lines(event, number)
            said_at = monotonic()
            while event.state in OPEN_STATES and monotonic() < until and not await _set_within(closed, LOOK_SECONDS):
                newer = await self._look_or(plan_id, event)
                if newer != event:
                    event, number, said_at = newer, number + 1, monotonic()
                    yield _lines(event, number)
                elif monotonic() - said_at >= HEARTBEAT_SECONDS:
                    said_at = monotonic()
                    yield SIGN_OF_LIFE
        finally:
            self._streams -= 1

    async def _look_or(self, plan_id: UUID, known: PlanEvent) -> PlanEvent:
        """Return the plan as it stands, or as it was known while the database does not answer."""
        try:
            return await self._look(plan_id)
        except (SQLAlchemyError, OSError):
            return known

    async def _look(self, plan_id: UUID) -> PlanEvent:
        (row,) = await self._database.look_up(ONE_PLAN, {"plan_id": plan_id})
        return PlanEvent(plan_id, *row)


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def _lines(event: PlanEvent, number: int) -> bytes:
    return b"event: plan\nid: %d\ndata: %s\n\n" % (number, msgspec.json.encode(event))
