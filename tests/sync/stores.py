"""A store that something happens to: before it is written, and before it commits."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any


async def _nothing(*_: Any) -> None:
    pass


class EventfulStore:
    """Hands everything on to a store; `before_write()` and `before_commit(tx)` may do, or raise, whatever they like."""

    def __init__(
        self,
        store: Any,
        *,
        before_write: Callable[[], Awaitable[None]] = _nothing,
        before_commit: Callable[[Any], Awaitable[None]] = _nothing,
    ) -> None:
        self._store = store
        self._before_write = before_write
        self._before_commit = before_commit

    def read(self) -> AbstractAsyncContextManager[Any]:
        return self._store.read()

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[Any]:
        await self._before_write()
        async with self._store.write() as tx:
            yield tx
            await self._before_commit(tx)
