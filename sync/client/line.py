"""Asking the server until it answers, and what its answers mean.

No answer, 408, 429 and 5xx: the same bytes again. 401: refresh, then again. A refusal is the server's word only as
problem details; a gateway or a hotel's portal may say 400 to everything.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from sync.client.transport import NO_CONTENT, OK, NoAnswer, Reply, Transport
from sync.limits import RETRY_SECONDS, RETRY_SECONDS_MOST
from sync.protocol import PROBLEM, RefusalBody

CREATED: Final = 201
SAME_AGAIN: Final = frozenset((408, 425, 429))
UNAUTHORISED: Final = 401
SERVER_ERRORS: Final = 500

Answer = TypeVar("Answer", bound=msgspec.Struct)


class Offline(Exception):
    """The server did not answer to the purpose; everything stays as it is for the next contact.

    `heard` says that something did answer, so that another question may still be worth asking.
    """

    def __init__(self, path: str, *, heard: bool) -> None:
        super().__init__(path)
        self.heard = heard


class SignedOut(Exception):
    """The server asks for a new sign-in; work goes on offline meanwhile."""


class Refused(Exception):
    """The server refused: HTTP status, code, and the number it expects if it is one that is missing."""

    def __init__(self, status: int, code: str, expected_n: int | None = None) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.expected_n = expected_n


class _Again(Exception):
    """No usable answer: send the same bytes again, not before `after` seconds."""

    def __init__(self, *, heard: bool, after: float = 0.0) -> None:
        super().__init__(after)
        self.heard = heard
        self.after = after


@dataclass(frozen=True)
class Line:
    """Asking the server until it answers. `refresh` gets a new access token and says whether there is one."""

    transport: Transport
    sleep: Callable[[float], Awaitable[None]]
    refresh: Callable[[], Awaitable[bool]]

    async def ask(self, path: str, body: bytes, kind: type[Answer]) -> Answer | None:
        """Post the same bytes until they are answered; return the answer, or None for 204.

        Raises Refused, SignedOut, or Offline after the last attempt.
        """
        for pause in RETRY_SECONDS:
            try:
                return await self._once(path, body, kind)
            except _Again as again:
                await self.sleep(min(max(pause, again.after), RETRY_SECONDS_MOST))
        try:
            return await self._once(path, body, kind)
        except _Again as again:
            raise Offline(path, heard=again.heard) from again

    async def _once(self, path: str, body: bytes, kind: type[Answer]) -> Answer | None:
        try:
            reply = await self.transport(path, body)
            if reply.status == UNAUTHORISED:
                if not await self.refresh():
                    raise SignedOut(path)
                reply = await self.transport(path, body)
        except NoAnswer as error:
            raise _Again(heard=False) from error
        return _read(path, reply, kind)


def _read(path: str, reply: Reply, kind: type[Answer]) -> Answer | None:
    if reply.status == UNAUTHORISED:
        raise SignedOut(path)
    if reply.status in SAME_AGAIN or reply.status >= SERVER_ERRORS:
        raise _Again(heard=True, after=reply.retry_after or 0.0)
    if reply.status == NO_CONTENT:
        return None
    try:
        if reply.status in (OK, CREATED):
            return msgspec.json.decode(reply.body, type=kind)
        if reply.media_type != PROBLEM:
            raise _Again(heard=False)  # from somebody between us and the server
        refusal = msgspec.json.decode(reply.body, type=RefusalBody)
    except msgspec.DecodeError as error:  # cut off, or a page for people
        raise _Again(heard=False) from error
    raise Refused(reply.status, refusal.code, refusal.expected_n)
