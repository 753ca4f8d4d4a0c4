"""First pulls take turns: one processor builds many large answers no sooner at once, only in much more memory."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

FIRST_PULLS_AT_ONCE: Final = 3
"""First pulls a process builds at once; 200 phones that began at once took 1 GiB, three at a time 0.1 GiB."""


class Turns:
    """Lets a few in at a time, in the order they came, on whichever event loop asks."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(FIRST_PULLS_AT_ONCE)

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for a place and hold it."""
        if self._loop is not asyncio.get_running_loop():
            self._loop, self._places = asyncio.get_running_loop(), asyncio.Semaphore(FIRST_PULLS_AT_ONCE)
        async with self._places:
            yield
