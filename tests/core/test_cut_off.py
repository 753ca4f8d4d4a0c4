"""Who is cut off while a connection to SQLite is being opened leaves neither it nor the thread it works in."""

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
