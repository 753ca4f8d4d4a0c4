"""Requests of files: any method, headers both ways, bodies that are streamed either way."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import httpx
import msgspec

from sync.client.line import UNAUTHORISED, SignedOut
from sync.client.transport import NoAnswer
from sync.protocol import PROBLEM
from sync.texts import Text

SILENCE_SECONDS: Final = 30.0
"""Without a byte either way the connection is taken for dead."""


class Said(msgspec.Struct, frozen=True):
    """An answer without its body: status, headers, and the refusal if the body is one."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def refusal(self) -> tuple[str, Text | None]:
        """The code and the sentence of a refusal that the server itself made."""
        if self.headers.get("content-type", "").partition(";")[0] != PROBLEM or not self.body:
            return "", None
        try:
            told = msgspec.json.decode(self.body, type=_Problem)
        except msgspec.DecodeError:
            return "", None
        return told.code, Text(told.detail_zh, told.detail)


class _Problem(msgspec.Struct, frozen=True):
    code: str
    detail: str
    detail_zh: str


@dataclass(frozen=True)
class Web:
    """Asks with the phone's access token. `refresh` gets a new one and says whether there is one."""

    client: httpx.AsyncClient
    token: Callable[[], str]
    refresh: Callable[[], Awaitable[bool]]

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str],
        content: Callable[[], AsyncIterable[bytes]] | bytes = b"",
    ) -> Said:  # fmt: skip
        """Ask; a body that is streamed is made anew for each attempt. Raises NoAnswer, SignedOut."""
        for _ in range(2):
            body = content if isinstance(content, bytes) else content()
            async with self._opened(method, path, headers, body) as answer:
                said = Said(answer.status_code, answer.headers, await answer.aread())
            if said.status != UNAUTHORISED:
                return said
            if not await self.refresh():
                break
        raise SignedOut(path)

    @asynccontextmanager
    async def download(
        self, path: str, headers: Mapping[str, str]
    ) -> AsyncGenerator[tuple[Said, AsyncIterator[bytes]]]:
        """Open a download: its answer, and the bytes as they come. Raises NoAnswer; 401 is for `ask` to find."""
        async with self._opened("GET", path, headers, b"") as answer:
            yield Said(answer.status_code, answer.headers), answer.aiter_raw()

    @asynccontextmanager
    async def _opened(
        self, method: str, path: str, headers: Mapping[str, str], body: AsyncIterable[bytes] | bytes
    ) -> AsyncGenerator[httpx.Response]:
        told: dict[str, Any] = {"Authorization": f"Bearer {self.token()}", "Accept-Encoding": "identity", **headers}
        try:
            async with self.client.stream(
                method, path, headers=told, content=body, timeout=SILENCE_SECONDS
            ) as answer:  # fmt: skip
                yield answer
        except httpx.HTTPError as error:
            raise NoAnswer(str(error)) from error
