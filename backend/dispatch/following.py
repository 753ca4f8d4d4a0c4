"""Looking after a plan while it is made: progress is stored, and a wish to cancel is heard at any moment."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any, Final, TypeAlias, TypeVar

from backend.dispatch.child import Planner
from routing.limits import CHILD_GRACE_SECONDS
from routing.plan import Progress
from routing.protocol import Message

LOOK_SECONDS: Final = 0.5
"""How often progress is stored and a wish to cancel is looked for."""
GRACE_SECONDS: Final = CHILD_GRACE_SECONDS
"""How long a cancelled planner may take to hand over its best before it is ended: as long as after its own time."""

Look: TypeAlias = Callable[[Progress | None], Awaitable[bool]]
"""Stores the newest progress, if there is any yet, and returns whether somebody wishes the plan to stop."""

T = TypeVar("T")

log = logging.getLogger(__name__)


async def unless_cancelled(work: Coroutine[Any, Any, T], look: Look) -> T | None:
    """Return what comes of the work, or None where somebody wishes the plan to stop before that; the work ends then."""
    working = asyncio.create_task(work)
    try:
        while working not in (await asyncio.wait([working], timeout=LOOK_SECONDS))[0]:
            if await _wished(look, None):
                return None
        return working.result()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def follow(child: Planner, look: Look) -> Message:
    """Return the child's last word, having looked every LOOK_SECONDS until then.

    A cancelled child that says none within GRACE_SECONDS is ended.
    """
    newest: list[Progress] = []
    over = asyncio.Event()
    looking = asyncio.create_task(_look_again_and_again(child, newest, look, over))
    try:
        async for answer in child.answers():
            if answer.progress is None:
                return answer
            newest[:] = [answer.progress]
    finally:
        over.set()  # a look that is under way is not cut off in the middle of what it writes
        await asyncio.wait([looking])  # not `await looking`, whose end must not hide a wish that this one ends
    raise AssertionError("the child's last answer is a plan or an error")


async def _look_again_and_again(child: Planner, newest: list[Progress], look: Look, over: asyncio.Event) -> None:
    until: float | None = None
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await over.wait()
                return
        if not await _wished(look, newest[0] if newest else None):
            continue
        until = until or monotonic() + GRACE_SECONDS
        if monotonic() < until:
            await child.cancel()
        else:
            child.end()


async def _wished(look: Look, newest: Progress | None) -> bool:
    try:
        return await look(newest)
    except Exception:  # a database that is busy now may answer next time; until then nobody could cancel
        log.exception("the progress of a plan was not stored")
        return False
