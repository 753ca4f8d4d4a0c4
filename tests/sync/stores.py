"""Stores that something happens to: before they are written, before they commit, or when they do not like a value."""

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


class _PickyTransaction:
    """A transaction that refuses one value, as a column of another type would; the rest goes to the real one."""

    def __init__(self, tx: Any, value: object, error: Exception) -> None:
        self._tx, self._value, self._error = tx, value, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    async def write(self, writes: Any) -> Any:
        if any(self._value in write.fields.values() for write in writes):
            raise self._error
        return await self._tx.write(writes)


class PickyStore:
    """Refuses to write `value` with `error`."""

    def __init__(self, store: Any, value: object, error: Exception) -> None:
        self._store, self._value, self._error = store, value, error

    def read(self) -> AbstractAsyncContextManager[Any]:
        return self._store.read()

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[Any]:
        async with self._store.write() as tx:
            yield _PickyTransaction(tx, self._value, self._error)
