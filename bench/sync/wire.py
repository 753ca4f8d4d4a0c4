"""A small HTTP/1.1 client: one connection, one request at a time. A larger one would cost more than it measures."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec

STREAM_LIMIT = 64 * 1024 * 1024
"""Bytes of one answer; a peer sends five thousand records in one."""


@dataclass(frozen=True)
class Answer:
    """Status, headers by lower-case name, and the body as it came over the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def checked(self, *expected: int) -> "Answer":
        """Return the answer; raises RuntimeError when it is not what the benchmark measures."""
        if self.status not in (expected or (200,)):
            raise RuntimeError(f"answered {self.status}: {self.body[:500]!r}")
        return self


class Wire:
    """One connection, with headers sent with every request."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self.port = port
        self.headers = dict(headers or {})
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        """Connect."""
        self._streams = await asyncio.open_connection("127.0.0.1", self.port, limit=STREAM_LIMIT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
            await self._streams[1].wait_closed()

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """Return the bytes of a request, to be sent as often as one likes."""
        told = {"Host": "127.0.0.1", "Content-Length": str(len(body)), **self.headers, **(headers or {})}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
        return "\r\n".join(lines).encode() + body

    async def send(self, request: bytes) -> Answer:
        """Send a request and return its answer; raises IncompleteReadError when the server goes away."""
        if self._streams is None:
            raise RuntimeError("not connected")
        if self._streams[0].at_eof():  # the server closes what has been idle for seconds
            await self.__aenter__()
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        return Answer(int(head[0].split(" ")[1]), headers, await _body(reader, headers))

    async def ask(
        self, method: str, path: str, message: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a message as JSON."""
        body = b"" if message is None else msgspec.json.encode(message)
        return await self.send(
            self.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
        )


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding") == "chunked":
        parts: list[bytes] = []
        while size := int(await reader.readline(), 16):
            parts.append(await reader.readexactly(size))
            await reader.readline()
        await reader.readline()
        return b"".join(parts)
    return await reader.readexactly(int(headers.get("content-length", "0")))
