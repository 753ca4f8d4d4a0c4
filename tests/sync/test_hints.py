"""Hints: a real server process tells a phone that listens what another wrote; the board by itself ends streams."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select, update

from backend.core.auth import Principal
from backend.core.changes import commit_clock
from backend.core.clock import SystemClock
from backend.core.errors import Problem
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.devices.hints import GONE, HintBoard, _keep, _Listener, _on_its_own
from backend.people.models import Device, SignInSession
from bench.sync.house import House
from bench.sync.phone import Note, Phone, phone_of, statuses
from bench.sync.servers import Process, ours
from sync.client.hints import hinted
from sync.client.transport import NoAnswer
from tests.make import Office
from tests.personas import LI_WEI, WANG_FANG
from tests.work import change, ok, opened

SOON = 10


async def _house(url: str) -> House:
    house = House(Database(url), records=30)
    await house.furnish()
    return house


async def _next(events: AsyncGenerator[Any]) -> Any:
    async with asyncio.timeout(SOON):
        return await anext(events)


async def _ends(events: AsyncGenerator[bytes]) -> bool:
    async with asyncio.timeout(SOON):
        async for _ in events:
            pass
    return True


async def _hears(house: House, listening: Process, writing: Process) -> tuple[int, int, int]:
    """李伟 listens to one process while a colleague pushes through the other.

    Return the version 李伟 had, the one that was heard of, and the one there is after a pull.
    """
    listener = await phone_of(house, house.people[0], listening.port)
    writer = await phone_of(house, house.people[1], writing.port)
    await writer.first_pull()
    await listener.first_pull()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{listening.port}") as client:
        events = hinted(client, lambda: listener.wire.headers["Authorization"].removeprefix("Bearer "))
        assert await _next(events) == listener.v
        had = listener.v
        await asyncio.sleep(1)  # the watcher has begun by now, so that what follows is heard and not looked up
        assert statuses(await _pushed(house, writer)) == ["applied"]
        heard = await _next(events)
        while heard <= had:
            heard = await _next(events)
        await listener.pull()
        await events.aclose()
    for phone in (listener, writer):
        await phone.wire.close()
    return had, heard, listener.v


async def _pushed(house: House, writer: Phone) -> Any:
    row = house.of_site(house.sites[0])[0]
    return await writer.wire.send(writer.push_request([Note(row, house.notes[row], "镜头已换")]))


async def test_a_push_through_one_process_wakes_a_phone_on_the_other(postgresql_url: str, tmp_path: Path) -> None:
    house = await _house(postgresql_url)
    with ours(postgresql_url, tmp_path, processes=2) as (one, other):
        had, heard, pulled = await _hears(house, one, other)
    assert had < heard == pulled
    await house.database.close()


async def test_a_phone_is_woken_on_sqlite(sqlite_url: str, tmp_path: Path) -> None:
    house = await _house(sqlite_url)
    with ours(sqlite_url, tmp_path) as (one,):
        had, heard, pulled = await _hears(house, one, one)
        assert had < heard == pulled
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{one.port}") as client:
            with pytest.raises(NoAnswer):
                await _next(hinted(client, lambda: "nobody's"))
    await house.database.close()


async def _signed_in(house: House, at: int) -> tuple[Principal, Device]:
    return await _signed_in_as(house.database, house.people[at], at)


async def _signed_in_as(database: Database, person: UUID, at: int) -> tuple[Principal, Device]:
    now = SystemClock().now()
    device = Device(
        person_id=person, prefix=f"K{at}", public_key="", name="", app_version="", schema_version=1,
        incarnation=new_id(), incarnations=1, view_revision=0, enrolled_at=now,
    )  # fmt: skip
    opened = SignInSession(
        person_id=person, device_id=device.id, next_hashes=[], started_at=now, last_used_at=now,
        expires_at=now, address="",
    )  # fmt: skip
    async with database.write() as session:
        session.add(device)
        await session.flush()
        session.add(opened)
    return Principal(person, opened.id, device.id, "zh", ()), device


async def test_who_is_in_a_crew_hears_of_the_work_it_is_given(office: Office) -> None:
    board = HintBoard(office.database, lambda: office.now)
    principal, device = await _signed_in_as(office.database, office.house.id_of(LI_WEI), 1)
    events = await board.open(principal, device.id)
    assert (await _next(events)).startswith(b"data: ")
    assert (await _next(events)).startswith(b"data: "), "the watcher begins, and wakes whoever listens"
    wang_fang = await office.sign_in(WANG_FANG)
    visit_id = (await opened(wang_fang, office))["visits"][0]["id"]
    async with office.database.read() as session:
        before = (await session.execute(select(commit_clock.c.v))).scalar_one()
    ok(await change(wang_fang, visit_id, "assign", {"crew_id": str(office.house.crew)}))
    assert int((await _next(events)).removeprefix(b"data: ")) > before
    await board.close()


class Busy:
    """A connection after whose every statement somebody else commits."""

    def __init__(self, connection: Any, path: str, left: int) -> None:
        self._connection, self._path, self.left = connection, path, left

    async def execute(self, *asked: Any) -> Any:
        result = await self._connection.execute(*asked)
        if self.left:
            with closing(sqlite3.connect(self._path)) as other, other:
                other.execute("UPDATE commit_clock SET v = v + 1")
                other.execute("INSERT INTO bucket SELECT ?, v, 1, 0 FROM commit_clock", (f"site:{self.left}",))
            self.left -= 1
        return result


async def test_a_commit_between_two_looks_at_a_file_is_told(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    board = HintBoard(database, SystemClock().now, look_seconds=0.02)
    commits = range(6, 0, -1)
    listeners = {number: _Listener(frozenset((f"site:{number}",)), 0) for number in commits}
    for listener in listeners.values():
        board._listeners[new_id()] = listener
    async with _on_its_own(database) as connection:
        busy = Busy(connection, sqlite_url.partition("///")[2], len(commits))
        watching = asyncio.create_task(board._watch_file(busy))
        async with asyncio.timeout(SOON):
            while any(listeners[number].v < v for v, number in enumerate(commits, start=1)):  # noqa: ASYNC110 - they have no event
                await asyncio.sleep(0.02)
        watching.cancel()
    assert busy.left == 0, "every commit came between two looks"
    await database.close()


async def test_a_closed_board_watches_nothing_though_its_last_stream_had_ended_before(database_url: str) -> None:
    database = Database(database_url)
    board = HintBoard(database, SystemClock().now)
    device, listener, before = new_id(), _Listener(frozenset(), 0), asyncio.all_tasks()
    board._add(device, listener)
    async with asyncio.timeout(SOON):
        await listener.woken.wait()  # the watcher has its connection
    board._remove(device, listener)
    await board.close()
    assert asyncio.all_tasks() == before
    await database.close()


def test_more_than_can_be_looked_at_wakes_everybody_once() -> None:
    told: asyncio.Queue[str] = asyncio.Queue(2)
    for payload in ("5 site:1", "6 site:2", "7 site:3", "8 site:4"):
        _keep(told, payload)
    assert [told.get_nowait() for _ in range(2)] == ["7", "8 site:4"]
    for payload in ("9 site:1", "9 site:2", GONE):
        _keep(told, payload)
    assert (told.get_nowait(), told.empty()) == (GONE, True)


async def test_a_board_tells_only_whom_it_concerns_and_ends_revoked_streams(database_url: str) -> None:
    house = await _house(database_url)
    board = HintBoard(house.database, SystemClock().now, heartbeat_seconds=0.1, streams_most=2)
    streams: list[AsyncGenerator[bytes]] = []
    devices: list[Device] = []
    principals: list[Principal] = []
    for at in (1, 2):
        principal, device = await _signed_in(house, at)
        streams.append(await board.open(principal, device.id))
        principals.append(principal)
        devices.append(device)
        assert (await _next(streams[-1])).startswith(b"data: ")
    third, another = await _signed_in(house, 3)
    with pytest.raises(Problem, match="busy"):
        await board.open(third, another.id)
    await asyncio.sleep(0.7)
    for stream in streams:  # what the watcher's own beginning told
        while not (await _next(stream)).startswith(b": "):
            pass
    await house.edit("serial", house.of_site(house.sites[0])[:1])
    told = await _next(streams[0])
    while told.startswith(b": "):
        told = await _next(streams[0])
    assert told.startswith(b"data: ")
    for _ in range(8):
        assert (await _next(streams[1])).startswith(b": ")
    again = await board.open(principals[0], devices[0].id)
    await _next(again)
    assert await _ends(streams[0])
    async with house.database.write() as session:
        await session.execute(update(Device).values(revoked_at=SystemClock().now()))
    for stream in (again, streams[1]):
        assert await _ends(stream)
    await board.close()
    await house.database.close()
