"""Answers of a whole scope take turns: one processor builds many no sooner at once, only in much more memory.

They go to phones that begin, to phones that compare, and after a restore to every phone.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

LARGE_ANSWERS_AT_ONCE: Final = 3
"""Answers of a whole scope built at once by a process; 200 phones that began at once took 1 GiB, by threes 0.1."""


class Turns:
    """Lets a few in at a time, in the order they came, on whichever event loop asks."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(LARGE_ANSWERS_AT_ONCE)

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait for a place and hold it."""
        if self._loop is not asyncio.get_running_loop():
            self._loop, self._places = asyncio.get_running_loop(), asyncio.Semaphore(LARGE_ANSWERS_AT_ONCE)
        async with self._places:
            yield
