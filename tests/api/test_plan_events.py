"""A plan's progress as server-sent events, from a real server over a real socket."""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from litestar import Litestar

from backend.core.errors import Problem
from backend.core.sessions import READERS
from backend.dispatch import progress
from backend.dispatch.progress import PlanWatch
from tests.make import Desk, Office
from tests.personas import LI_WEI, MA_CHAO, WANG_FANG
from tests.planning import PATIENCE, much_work, shift_of, wish, worker
from tests.work import ok, opened, refused

pytestmark = pytest.mark.usefixtures("quick_planners")


@asynccontextmanager
async def serving(app: Litestar) -> AsyncGenerator[str]:
    """The application on a port of its own; its lifespan is the office's."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", lifespan="off", access_log=False, ws="none")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
        listener.close()


async def events(desk: Desk, address: str, plan_id: str, **headers: str) -> AsyncIterator[dict[str, Any]]:
    """What the server tells of a plan, one event after the other."""
    headers |= {"Authorization": f"Bearer {desk.tokens['access_token']}", "Accept-Encoding": "zstd, gzip"}
    client = httpx.AsyncClient(base_url=address, timeout=PATIENCE)
    async with client, client.stream("GET", f"/plans/{plan_id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


async def test_a_stream_tells_where_the_plan_stands_each_change_and_the_end(office: Office) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    await much_work(wang_fang, office, orders=60)
    plan = await wish(wang_fang, office, seconds=60)
    async with serving(office.app) as address:
        told = events(wang_fang, address, plan["id"])
        first = await anext(told)
        assert (first["id"], first["state"], first["progress"]) == (plan["id"], "queued", {})
        working = asyncio.create_task(worker(office).run_one())
        seen = [await anext(told)]
        while not seen[-1]["progress"]:
            seen.append(await anext(told))
        assert {one["state"] for one in seen} == {"running"}
        ok(await wang_fang.post(f"/plans/{plan['id']}/cancel"))
        again = await anext(events(wang_fang, address, plan["id"], **{"Last-Event-ID": "2"}))
        assert again["state"] == "running"
        assert again["progress"]["served"] > 0
        *_, last = [one async for one in told]
        assert await working
    assert (last["state"], last["cancel_requested"]) == ("done", True)
    assert last["finished_at"]
    view = ok(await wang_fang.get(f"/plans/{plan['id']}"))
    assert {name: view[name] for name in last} == last  # a page that is loaded anew is told the same


async def test_a_plan_that_is_over_is_told_at_once_and_only_to_who_may_see_it(sqlite_office: Office) -> None:
    office = sqlite_office
    wang_fang, ma_chao, li_wei = [await office.sign_in(one) for one in (WANG_FANG, MA_CHAO, LI_WEI)]
    await shift_of(office, LI_WEI)
    await opened(wang_fang, office)
    plan = await wish(wang_fang, office)
    ok(await wang_fang.post(f"/plans/{plan['id']}/cancel"))
    assert await worker(office).run_one()
    async with serving(office.app) as address:
        (only,) = [one async for one in events(wang_fang, address, plan["id"])]
        assert only["state"] == "cancelled"
    refused(await ma_chao.get(f"/plans/{plan['id']}/events"), "not_found")
    refused(await li_wei.get(f"/plans/{plan['id']}/events"), "forbidden")


async def test_streams_hold_no_connection_and_end_with_the_reader(sqlite_office: Office) -> None:
    office = sqlite_office
    wang_fang = await office.sign_in(WANG_FANG)
    await shift_of(office, LI_WEI)
    plan = await wish(wang_fang, office)
    async with serving(office.app) as address:
        streams = [events(wang_fang, address, plan["id"]) for _ in range(READERS + 2)]
        for stream in streams:
            assert (await anext(stream))["state"] == "queued"
        assert ok(await wang_fang.get(f"/plans/{plan['id']}"))["state"] == "queued"
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]


async def test_a_silent_stream_shows_that_it_lives_and_ends_in_time(
    sqlite_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = sqlite_office
    wang_fang = await office.sign_in(WANG_FANG)
    await shift_of(office, LI_WEI)
    plan = UUID((await wish(wang_fang, office))["id"])
    for name, seconds in (("LOOK_SECONDS", 0.01), ("HEARTBEAT_SECONDS", 0.05), ("STREAM_SECONDS", 0.3)):
        monkeypatch.setattr(progress, name, seconds)
    said = [one async for one in await PlanWatch(office.database).open(plan)]
    assert said[0].startswith(b"retry: 2000\nevent: plan\nid: 1\ndata: {")
    assert set(said[1:]) == {progress.SIGN_OF_LIFE}


async def test_the_number_of_streams_is_bounded_and_all_end_with_the_server(sqlite_office: Office) -> None:
    office = sqlite_office
    wang_fang = await office.sign_in(WANG_FANG)
    await shift_of(office, LI_WEI)
    plan = UUID((await wish(wang_fang, office))["id"])
    watch = PlanWatch(office.database, streams_most=1)
    stream, at_the_same_moment = await watch.open(plan), await watch.open(plan)
    assert await anext(stream)
    async with asyncio.timeout(PATIENCE):
        assert len([one async for one in at_the_same_moment]) == 1
    with pytest.raises(Problem) as busy:
        await watch.open(plan)
    assert busy.value.fault.status == 503
    rest = asyncio.create_task(anext(stream, None))
    await asyncio.sleep(0)
    await watch.close()
    assert await rest is None
    assert await anext(await watch.open(plan))
