"""Short sessions on SQLite: statements run in the event loop; what waits for somebody else does not stop the loop."""

import asyncio
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from backend.core.sessions import Database
from backend.people.models import Skill
from tests.make import Office

HELD_SECONDS = 1.0
"""How long somebody else holds the one writer's lock."""
STALL_SECONDS = 0.5
"""A loop that stood still for less did not wait for that lock."""


def skill(key: str) -> Skill:
    return Skill(key=key, name_zh="焊接", name_en="welding", needs_certificate=False)


async def keys(database: Database) -> set[str]:
    async with database.read(short=True) as session:
        return set(await session.scalars(select(Skill.key)))


async def longest_stall(until: asyncio.Event) -> float:
    """The longest time the event loop did not come round."""
    longest, last = 0.0, time.monotonic()
    while not until.is_set():
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    return longest


async def write(database: Database, *keys: str) -> None:
    async with database.write(short=True) as session:
        for key in keys:
            session.add(skill(key))
            await session.flush()


async def test_a_short_transaction_is_all_or_nothing(office: Office) -> None:
    await write(office.database, "splicing")
    with pytest.raises(IntegrityError):
        await write(office.database, "filming", "splicing")
    held = await keys(office.database)
    assert "splicing" in held
    assert "filming" not in held


async def test_a_short_reader_cannot_write(sqlite_office: Office) -> None:
    with pytest.raises(Exception, match="readonly"):
        async with sqlite_office.database.read(short=True) as session:
            await session.execute(text("DELETE FROM skill"))


@pytest.mark.parametrize("cancelled", [0, 1, 2], ids=["not cancelled", "cancelled", "cancelled twice"])
async def test_waiting_for_another_writer_does_not_stop_the_loop(sqlite_office: Office, cancelled: int) -> None:
    """A backup or a command line holds the lock; phones that give up meanwhile leave no broken connection."""
    database = sqlite_office.database
    await write(database, "before")
    other = sqlite3.connect(str(database.url.database), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    over = asyncio.Event()
    stall = asyncio.create_task(longest_stall(over))
    writing = asyncio.create_task(write(database, "waited"))
    asyncio.get_running_loop().call_later(HELD_SECONDS, other.execute, "ROLLBACK")
    for _ in range(cancelled):
        await asyncio.sleep(0.1)
        writing.cancel()
    await asyncio.wait([writing])
    over.set()
    assert await stall < STALL_SECONDS
    await write(database, "after")
    other.close()
    assert {"before", "after"} <= await keys(database)
    assert ("waited" in await keys(database)) == (cancelled == 0)


async def test_other_work_in_threads_does_not_keep_the_one_writer_waiting(sqlite_office: Office) -> None:
    await write(sqlite_office.database, "first")
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as only:
        loop.set_default_executor(only)
        busy = asyncio.create_task(asyncio.to_thread(time.sleep, HELD_SECONDS))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await write(sqlite_office.database, "second")
        took = time.monotonic() - began
        await busy
        over.set()
    loop.set_default_executor(ThreadPoolExecutor())
    assert took < HELD_SECONDS / 2


async def test_a_lookup_after_a_failed_one_is_answered(sqlite_office: Office, tmp_path: Path) -> None:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(Exception, match="no such table"):
        await database.look_up(select(Skill.key), {})
    assert (await database.look_up(select(text("1")), {}))[0][0] == 1
    await database.close()
    assert await sqlite_office.database.look_up(select(Skill.key).where(Skill.key == "nothing"), {}) == []
