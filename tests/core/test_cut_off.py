"""Who is cut off while using SQLite leaves neither a connection nor the thread it works in, and holds up nobody."""

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import event, text

from backend.core.sessions import Database


def workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if "_connection_worker_thread" in thread.name}


async def only(threads: set[threading.Thread]) -> None:
    """Wait until no others work, which takes a moment and must not take long."""
    async with asyncio.timeout(10):
        while workers() - threads:  # noqa: ASYNC110 - a thread that ends tells nobody
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("moment", ["do_connect", "connect"], ids=["before_it_is_open", "before_it_is_prepared"])
@pytest.mark.parametrize("write", [False, True], ids=["reader", "writer"])
async def test_a_connection_is_closed_whose_user_was_cut_off_while_it_opened(
    sqlite_url: str, moment: str, *, write: bool
) -> None:
    before, database, cuts = workers(), Database(sqlite_url), [True]

    async def use() -> int:
        async with database.write() if write else database.read() as session:
            return (await session.execute(text("SELECT 7"))).scalar_one()

    def cut(*_: Any) -> None:
        if cuts:
            cuts.clear()
            using.cancel()

    for engine in database._engines:
        event.listen(engine.sync_engine, moment, cut, insert=moment == "connect")
    using = asyncio.create_task(use())
    with pytest.raises(asyncio.CancelledError):
        await using
    assert not cuts
    await only(before)
    assert await use() == 7, "the next one has what it needs"
    await database.close()
    await only(before)


async def test_whoever_writes_next_does_not_wait_for_one_who_was_cut_off_in_a_query(sqlite_url: str) -> None:
    """Not even while the traceback of that is kept, and with it the cursor whose rows nobody fetched."""
    database, cuts = Database(sqlite_url), [True]

    async def write() -> int:
        async with database.write() as session:
            return (await session.execute(text("SELECT 7"))).scalar_one()

    def cut(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if cuts and statement.startswith("SELECT"):
            cuts.clear()
            writing.cancel()

    for engine in database._engines:
        event.listen(engine.sync_engine, "before_cursor_execute", cut)
    writing = asyncio.create_task(write())
    with pytest.raises(asyncio.CancelledError) as kept:
        await writing
    async with asyncio.timeout(5):
        assert await write() == 7
    assert kept.tb is not None
    await database.close()
