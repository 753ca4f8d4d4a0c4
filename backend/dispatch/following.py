"""Listening to a planning child while it plans: progress is stored, and a wish to cancel is passed on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from backend.dispatch.child import Planner
from routing.plan import Progress
from routing.protocol import Message

LOOK_SECONDS: Final = 0.5
"""How often progress is stored and a wish to cancel is looked for."""

Look: TypeAlias = Callable[[Progress | None], Awaitable[bool]]
"""Stores the newest progress, if there is any yet, and returns whether somebody wishes the plan to stop."""

log = logging.getLogger(__name__)


async def follow(child: Planner, look: Look) -> Message:
    """Return the child's last word, having looked every LOOK_SECONDS until then."""
    newest: list[Progress] = []
    looking = asyncio.create_task(_look_again_and_again(child, newest, look))
    try:
        async for answer in child.answers():
            if answer.progress is None:
                return answer
            newest[:] = [answer.progress]
    finally:
        looking.cancel()
        await asyncio.wait([looking])  # not `await looking`, whose end must not hide a wish that this one ends
    raise AssertionError("the child's last answer is a plan or an error")


async def _look_again_and_again(child: Planner, newest: list[Progress], look: Look) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            cancelled = await look(newest[0] if newest else None)
        except Exception:  # a database that is busy now may answer next time; until then nobody could cancel
            log.exception("the progress of a plan was not stored")
            continue
        if cancelled:
            await child.cancel()
