"""A bad connection: a TCP proxy on the loopback that cuts each connection after so many bytes from the client.

It keeps what crossed of each upload, so a test can count what had to be sent again.
"""

import asyncio
import fcntl
import re
import socket
import struct
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

READ_BYTES: Final = 64 * 1024
NOTICED_SECONDS: Final = 0.02
"""What the server gets to read of a connection before it is asked whether it is idle."""
OFFSET: Final = re.compile(rb"^upload-offset: *(\d+)", re.IGNORECASE | re.MULTILINE)
HEADER_END: Final = b"\r\n\r\n"


@dataclass
class Crossing:
    """A PATCH as it crossed the proxy: where its body began, how much came through, whether it was cut."""

    offset: int
    sent: int = 0
    cut: bool = False


@dataclass
class CuttingProxy:
    """Passes connections on to `port`, cutting each when `budget()` bytes from the client have come through.

    `budget()` None lets the connection live. `harshly()` says whether a cut is a reset, or an orderly end. The client
    learns of a cut when the server is `idle()` again: a phone needs longer to notice and to come back.
    """

    port: int
    budget: Callable[[], int | None]
    harshly: Callable[[], bool]
    idle: Callable[[], bool]
    crossings: list[Crossing] = field(default_factory=list[Crossing])
    cuts: int = 0

    async def start(self) -> str:
        """Begin; return the address clients use."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """End."""
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        server, ask = await asyncio.open_connection("127.0.0.1", self.port)
        back = asyncio.create_task(_copy(server, answer))
        try:
            cut = await self._pass(client, ask, back)
        except ConnectionError:  # one of the two has ended it
            cut = False
        self.cuts += cut
        back.cancel()
        ask.close()
        answer.close()

    async def _pass(self, client: asyncio.StreamReader, ask: asyncio.StreamWriter, back: asyncio.Task[None]) -> bool:
        """Pass on what the client says; return whether the connection is to be cut."""
        left, head, crossing = self.budget(), b"", None
        while left is None or left > 0:
            some = await client.read(READ_BYTES if left is None else min(READ_BYTES, left))
            if not some:
                return False
            ask.write(some)
            await ask.drain()
            left = None if left is None else left - len(some)
            if crossing is not None:
                crossing.sent += len(some)
            elif HEADER_END not in head:
                head += some
                crossing = self._begun(head)
        if crossing is not None:
            crossing.cut = True
        back.cancel()
        await self._cut(ask)
        await asyncio.sleep(NOTICED_SECONDS)
        while not self.idle():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.001)
        return True

    async def _cut(self, ask: asyncio.StreamWriter) -> None:
        """End the connection to the server. A reset would take along what the server's kernel has not got yet."""
        if self.harshly():
            while _on_the_way(ask):  # noqa: ASYNC110 - the kernel sends no event
                await asyncio.sleep(0.001)
            ask.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ask.close()

    def _begun(self, head: bytes) -> Crossing | None:
        """Return the PATCH whose header is now whole; one request a connection, as the client library does."""
        header, end, body = head.partition(HEADER_END)
        offset = OFFSET.search(header)
        if not end or not head.startswith(b"PATCH") or offset is None:
            return None
        crossing = Crossing(int(offset[1]), len(body))
        self.crossings.append(crossing)
        return crossing


def sent_again(crossings: list[Crossing]) -> list[int]:
    """Return for each cut how many of the bytes that had come through were sent once more."""
    return [before.offset + before.sent - after.offset for before, after in pairwise(crossings) if before.cut]


def _on_the_way(writer: asyncio.StreamWriter) -> int:
    """Count the bytes the other side has not acknowledged: in our buffer, and in the kernel's."""
    unsent = fcntl.ioctl(writer.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4))
    return writer.transport.get_write_buffer_size() + struct.unpack("i", unsent)[0]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while some := await reader.read(READ_BYTES):
            writer.write(some)
            await writer.drain()
        writer.close()
