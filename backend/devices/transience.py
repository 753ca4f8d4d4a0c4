"""Database errors that may pass, as sync knows them."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.transience import collided, may_pass
from sync.store import Collided, Transient


@asynccontextmanager
async def telling_transient() -> AsyncGenerator[None]:
    """Turn database errors that may pass into Transient; every other error goes on as it is."""
    try:
        yield
    except NoConnectionFree as error:
        raise Transient(str(error)) from error
    except DBAPIError as error:
        if not may_pass(error):
            raise
        raise (Collided if collided(error) else Transient)(str(error)) from error


@asynccontextmanager
async def reachable(opening: AbstractAsyncContextManager[AsyncSession]) -> AsyncGenerator[AsyncSession]:
    """Enter a session with its connection open; a database that is not there, now or later, is Transient."""
    async with telling_transient(), AsyncExitStack() as stack:
        try:
            session = await stack.enter_async_context(opening)
            await session.connection()
        except OSError as error:
            raise Transient(str(error)) from error
        yield session
