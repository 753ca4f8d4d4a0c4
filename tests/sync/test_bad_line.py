"""The proxy `make chaos` puts between phones and servers does to a request what it says, over real sockets."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from bench.chaos.proxy import LOOPBACK, BadLine, Fault

ANSWER = b"the whole answer"
REQUEST = b"a request of some length"


@dataclass
class Told:
    """A server that notes what reaches it, and how much of it."""

    heard: list[bytes] = field(default_factory=list[bytes])
    cut: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heard.append(await reader.readexactly(len(REQUEST)))
            assert b"Connection: close" in head
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER))
        except asyncio.IncompleteReadError:
            self.cut += 1
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def line(told: Told, **odds: float) -> AsyncIterator[tuple[BadLine, httpx.AsyncClient]]:
    """A phone, its bad line, and the server behind it."""
    server = await asyncio.start_server(told.serve, LOOPBACK, 0)
    port = server.sockets[0].getsockname()[1]
    bad = BadLine(
        [port],
        random.Random(3),  # noqa: S311 - which faults come, not a secret
        {Fault(name): share for name, share in odds.items()},
        healed=not odds,
        late_seconds=0.2,
    )
    async with httpx.AsyncClient(base_url=await bad.start(), timeout=0.5) as phone:
        yield bad, phone
    await bad.stop()
    server.close()


async def test_a_healed_line_changes_nothing() -> None:
    told = Told()
    async with line(told) as (bad, phone):
        answer = await phone.post("/", content=REQUEST)
    assert (answer.status_code, answer.content, told.heard, bad.faults.total()) == (200, ANSWER, [REQUEST], 0)


@pytest.mark.parametrize(("fault", "heard"), [("cut_request", 0), ("cut_answer", 1)])
async def test_a_cut_is_no_answer_whether_or_not_the_server_has_served(fault: str, heard: int) -> None:
    told = Told()
    async with line(told, **{fault: 1.0}) as (bad, phone):
        with pytest.raises(httpx.TransportError):
            await phone.post("/", content=REQUEST)
    assert (len(told.heard), told.cut, bad.faults) == (heard, 1 - heard, {Fault(fault): 1})


async def test_a_truncated_answer_looks_whole() -> None:
    async with line(Told(), truncate=1.0) as (_, phone):
        answer = await phone.post("/", content=REQUEST)
    assert answer.status_code == 200
    assert answer.content != ANSWER
    assert ANSWER.startswith(answer.content)


async def test_a_request_arrives_twice_even_after_the_phone_has_its_answer() -> None:
    told = Told()
    async with line(told, twice=1.0) as (bad, phone):
        assert (await phone.post("/", content=REQUEST)).content == ANSWER
        await bad.quiet()
    assert told.heard == [REQUEST, REQUEST]


async def test_a_black_hole_keeps_still_until_the_phone_gives_up() -> None:
    async with line(Told(), black_hole=1.0) as (bad, phone):
        with pytest.raises(httpx.ReadTimeout):
            await phone.post("/", content=REQUEST)
    assert bad.faults[Fault.BLACK_HOLE] == 1
