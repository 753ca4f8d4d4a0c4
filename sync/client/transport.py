"""The way from a phone to the server: a callable that sends bytes. A broken connection can be put in its place."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias

import httpx
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sync.protocol import DEVICE_MONOTONIC, DEVICE_TIME, PUSH_PATH
from sync.signature import DEVICE_ID, DEVICE_SIGNATURE, sign

OK: Final = 200
NO_CONTENT: Final = 204
PACKED_BYTES: Final = 1_000
"""Smaller pushes go as they are."""


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
        if path == PUSH_PATH and len(body) >= PACKED_BYTES:
            body, headers["Content-Encoding"] = zstandard.compress(body), "zstd"
        try:
            response = await self.client.post(path, content=body, headers=headers)
        except httpx.RequestError as error:
            raise NoAnswer(str(error)) from error
        media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return Reply(response.status_code, response.content, _seconds(response.headers.get("Retry-After")), media_type)


def signer(device: str, key: Ed25519PrivateKey) -> Callable[[str, bytes], Mapping[str, str]]:
    """Return what signs a phone's requests with the key it was registered with."""
    return lambda path, body: {DEVICE_ID: device, DEVICE_SIGNATURE: sign(key, path, body)}


def _seconds(text: str | None) -> float | None:
    """Read Retry-After in seconds; its other form, a date, is left to our own pauses."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
