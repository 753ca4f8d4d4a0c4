"""The reference client over real HTTP, on the loopback."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import pytest
import uvicorn

from sync.client.phone import Line, enrol
from sync.client.transport import HttpTransport, NoAnswer
from sync.protocol import DEVICE_MONOTONIC, DEVICE_TIME, PROBLEM, PULL_PATH, PullAnswer, PullRequest, encode
from tests.sync.handset import enrol_request
from tests.sync.server import Server
from tests.sync.world import START, MemoryWorld


class App:
    """An ASGI application around the test server; keeps the headers it was sent."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.headers: list[dict[str, str]] = []
        self.answer_headers: list[tuple[bytes, bytes]] = []
        self.address = ""

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        reply = await self.server(scope["path"], body)
        headers = [(b"content-type", f"{reply.media_type}; charset=utf-8".encode()), *self.answer_headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})


@pytest.fixture
async def app() -> AsyncGenerator[App]:
    app = App(Server(await MemoryWorld().begin()))
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", lifespan="off", interface="asgi3")
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve([listener]))
    app.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    yield app
    running.should_exit = True
    await task
    listener.close()


async def no_sleep(_: float) -> None:
    pass


async def no_refresh() -> bool:
    return False


async def test_a_phone_enrols_and_pulls_over_http(app: App) -> None:
    world = app.server.world
    async with httpx.AsyncClient(base_url=app.address) as client:
        transport = HttpTransport(client, lambda: "token", lambda: START, lambda: 12.3456)
        line = Line(transport, no_sleep, no_refresh)
        identity = await enrol(line, enrol_request(world, await world.code(world.li_wei)))
        answer = await line.ask(PULL_PATH, encode(PullRequest(identity.incarnation, 1)), PullAnswer)
        assert answer is not None
        assert answer.ops
        assert (
            await line.ask(PULL_PATH, encode(PullRequest(identity.incarnation, 1, answer.cookie)), PullAnswer) is None
        )
        sent = app.headers[-1]
        assert sent["authorization"] == "Bearer token"
        assert sent[DEVICE_TIME.lower()] == START.isoformat()
        assert sent[DEVICE_MONOTONIC.lower()] == "12345"
        app.answer_headers = [(b"retry-after", b"7")]
        refusal = await transport(PULL_PATH, b"{")
        assert (refusal.retry_after, refusal.media_type) == (7, PROBLEM)
        app.answer_headers = [(b"retry-after", b"Sat, 21 Nov 2026 00:00:00 GMT")]
        assert (await transport(PULL_PATH, b"{")).retry_after is None


async def test_nobody_listening_is_no_answer() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        with pytest.raises(NoAnswer):
            await HttpTransport(client, lambda: "", lambda: START, lambda: 0.0)(PULL_PATH, b"{}")
