"""The way from a phone to the server: a callable that sends bytes. A broken connection can be put in its place."""

import gzip
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

import httpx
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.protocol import DEVICE_MONOTONIC, DEVICE_TIME, PUSH_PATH, RECONCILE_PATH
from sync.signature import DEVICE_ID, DEVICE_SIGNATURE, sign

OK: Final = 200
NO_CONTENT: Final = 204
PACKED_BYTES: Final = 1_000
"""Smaller bodies go as they are."""
PACKED_PATHS: Final = frozenset((PUSH_PATH, RECONCILE_PATH))
PACKERS: Final[Mapping[str, Callable[[bytes], bytes]]] = {"zstd": zstandard.compress, "gzip": gzip.compress}
"""How a body may be packed, the best first."""
NOT_UNDERSTOOD: Final = 415


@dataclass(frozen=True)
class Reply:
    """What came back: HTTP status, body, the seconds the server asks us to wait, if it does, and the media type."""

    status: int
    body: bytes
    retry_after: float | None = None
    media_type: str = ""


class NoAnswer(Exception):
    """Nothing came back, or not all of it; the server may or may not have done what was asked."""


Transport: TypeAlias = Callable[[str, bytes], Awaitable[Reply]]
"""Posts a body to a path and returns the reply; raises NoAnswer."""


@dataclass(frozen=True)
class HttpTransport:
    """Posts over HTTP, telling the device's clocks and its access token with each attempt; answers may come as zstd."""

    client: httpx.AsyncClient
    token: Callable[[], str]
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    """Seconds since the device booted."""
    signed: Callable[[str, bytes], Mapping[str, str]] | None = None
    """Headers that prove which phone asks (see `signer`), for when its sign-in is over."""
    packers: list[str] = field(default_factory=lambda: list(PACKERS))
    """What the server has not refused so far; the first is used, none left means: as it is."""

    async def __call__(self, path: str, body: bytes) -> Reply:
        """Post a body; raises NoAnswer."""
        token = self.token()
        headers = {"Authorization": f"Bearer {token}"} if token else {}  # a phone that registers has none yet
        headers |= {
            "Content-Type": "application/json",
            DEVICE_TIME: self.clock().isoformat(),
            DEVICE_MONOTONIC: str(int(self.monotonic() * 1000)),
        }
        headers |= self.signed(path, body) if self.signed else {}
        response = await self._posted(path, body, headers)
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Reply(response.status_code, response.content, _seconds(response.headers.get("Retry-After")), media_type)

    async def _posted(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Post a body, packed as the server knows it: one that refuses a packing (415) is sent the next for ever."""
        while self.packers and path in PACKED_PATHS and len(body) >= PACKED_BYTES:
            packer = self.packers[0]
            response = await self._sent(path, PACKERS[packer](body), headers | {"Content-Encoding": packer})
            if response.status_code != NOT_UNDERSTOOD:
                return response
            if packer in self.packers:  # another request may have learnt it meanwhile
                self.packers.remove(packer)
        return await self._sent(path, body, headers)

    async def _sent(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        try:
            return await self.client.post(path, content=body, headers=headers)
        except httpx.RequestError as error:
            raise NoAnswer(str(error)) from error


def signer(device: str, key: Ed25519PrivateKey) -> Callable[[str, bytes], Mapping[str, str]]:
    """Return what signs a phone's requests with the key it was registered with."""
    return lambda path, body: {DEVICE_ID: device, DEVICE_SIGNATURE: sign(key, path, body)}


def _seconds(text: str | None) -> float | None:
    """Read Retry-After in seconds; its other form, a date, is left to our own pauses."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
