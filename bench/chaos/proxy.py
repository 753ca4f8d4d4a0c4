"""A bad line: a TCP proxy between one phone and the servers, which cuts, delays, repeats and swallows by a seed.

It stands on the loopback like anybody's access point, and knows of HTTP only where a message ends. Each connection
carries one request; which server gets it, and what goes wrong with it, is drawn anew for each.
"""

import asyncio
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

LOOPBACK: Final = "127.0.0.1"
HEAD_END: Final = b"\r\n\r\n"
LENGTH: Final = re.compile(rb"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)
READ_BYTES: Final = 64 * 1024
DELAY_SECONDS: Final = 1.0
LATE_SECONDS: Final = 4.0
"""The most by which a copy of a request comes after the first, when its phone has long gone on."""


class Fault(StrEnum):
    """What a line may do to one request."""

    CUT_REQUEST = "cut_request"
    """The connection ends within the request."""
    CUT_ANSWER = "cut_answer"
    """The request is served, and the connection ends before the answer, or within it."""
    TRUNCATE = "truncate"
    """The answer comes as if it were whole, and is not: somebody in between got only half of it."""
    DELAY = "delay"
    """The request waits on its way."""
    TWICE = "twice"
    """The request arrives once more, at any server: at the same moment, or when the phone has gone on."""
    BLACK_HOLE = "black_hole"
    """The request, or its answer, is swallowed; the connection stays open and silent until the phone gives up."""


ODDS: Final[Mapping[Fault, float]] = {
    Fault.CUT_REQUEST: 0.05, Fault.CUT_ANSWER: 0.06, Fault.TRUNCATE: 0.03, Fault.DELAY: 0.03, Fault.TWICE: 0.06,
    Fault.BLACK_HOLE: 0.005,
}  # fmt: skip


@dataclass
class BadLine:
    """The line of one phone to the servers at `ports`. While it is `healed` nothing goes wrong on it."""

    ports: Sequence[int]
    dice: random.Random
    odds: Mapping[Fault, float] = field(default_factory=lambda: ODDS)
    healed: bool = True
    late_seconds: float = LATE_SECONDS
    faults: Counter[Fault] = field(default_factory=Counter[Fault])
    _server: asyncio.Server = field(init=False)
    _serving: "set[asyncio.Task[Any]]" = field(default_factory=set["asyncio.Task[Any]"])
    _late: "set[asyncio.Task[bytes]]" = field(default_factory=set["asyncio.Task[bytes]"])

    async def start(self) -> str:
        """Begin; return the address the phone uses."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return f"http://{LOOPBACK}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Let nobody in any more, and end what is still open."""
        self._server.close()
        await self.quiet()
        for one in self._serving:
            one.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def quiet(self) -> None:
        """Wait until every copy of a request has arrived."""
        await asyncio.gather(*self._late)

    async def _serve(self, phone: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        if serving is not None:
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):  # the phone has given up
                request = await _message(phone)
                fault = self._drawn()
                if fault is Fault.BLACK_HOLE:
                    await self._swallow(request, phone)
                else:
                    answer.write(await self._carry(request, fault))
                    await answer.drain()
        finally:
            await _closed(answer)

    def _drawn(self) -> Fault | None:
        if self.healed:
            return None
        fault = self.dice.choices([*self.odds, None], [*self.odds.values(), 1 - sum(self.odds.values())])[0]
        if fault is not None:
            self.faults[fault] += 1
        return fault

    async def _carry(self, request: bytes, fault: Fault | None) -> bytes:
        """Bring a request to some server; return what of the answer reaches the phone."""
        if fault is Fault.CUT_REQUEST:
            await self._break_off(request[: self.dice.randrange(len(request))])
            return b""
        if fault is Fault.DELAY:
            await asyncio.sleep(self.dice.uniform(0, DELAY_SECONDS))
        if fault is Fault.TWICE:
            late = asyncio.create_task(self._delivered(request, self.dice.choice((0.0, self.dice.random()))))
            self._late.add(late)
            late.add_done_callback(self._late.discard)
        said = await self._delivered(request)
        if fault is Fault.CUT_ANSWER:
            return said[: self.dice.choice((0, self.dice.randrange(len(said) + 1)))]
        return self._halved(said) if fault is Fault.TRUNCATE else said

    async def _swallow(self, request: bytes, phone: asyncio.StreamReader) -> None:
        if self.dice.choice((False, True)):
            await self._delivered(request)
        await phone.read()

    def _halved(self, said: bytes) -> bytes:
        """Return an answer of which a part is missing, though its head says that it is whole."""
        head, end, body = said.partition(HEAD_END)
        kept = body[: self.dice.randrange(len(body))] if body else b""
        return LENGTH.sub(b"content-length: %d" % len(kept), head) + end + kept

    async def _break_off(self, part: bytes) -> None:
        """Give some server the beginning of a request, and end the connection."""
        with suppress(OSError):
            _, ask = await asyncio.open_connection(LOOPBACK, self.dice.choice(self.ports))
            ask.write(part)
            await ask.drain()
            await _closed(ask)

    async def _delivered(self, request: bytes, lateness: float = 0.0) -> bytes:
        """Give a request to some server; return what it says, as far as it lives to say it."""
        if lateness:
            await asyncio.sleep(lateness * self.late_seconds)
        said = b""
        with suppress(OSError):  # it has just been killed
            server, ask = await asyncio.open_connection(LOOPBACK, self.dice.choice(self.ports))
            try:
                ask.write(_last_on_its_connection(request))
                while some := await server.read(READ_BYTES):
                    said += some
            finally:
                await _closed(ask)
        return said


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection and see it closed, however its other end left it."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Read one request, whose head says how long its body is."""
    head = await reader.readuntil(HEAD_END)
    length = LENGTH.search(head)
    return head + await reader.readexactly(int(length[1]) if length else 0)


def _last_on_its_connection(request: bytes) -> bytes:
    """Let the server end the connection when it has answered, as its answer's end is then plain to see."""
    return request.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
