"""The cookie a phone shows to say what it holds, and the token of the next page: opaque, and authenticated by HMAC.

Both name a view by its random generation; the server's own record of that view says what the phone was sent. The MAC
covers the device, so a cookie is worth nothing on another phone.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final, TypeVar

import msgspec

from sync.feed import Position
from sync.protocol import Refusal

MAC_BYTES: Final = 16
LABEL: Final = b"paigong sync 1"
"""Keeps these MACs apart from any other use of the same secret."""


class Cookie(msgspec.Struct, frozen=True, array_like=True, tag="c"):
    """A complete pull. `v` and `epoch` are the server's at that time: a phone that shows more proves a restore.

    `acked_n` is what it acknowledged, in the ledger of `incarnation`; `durable_n` what it said a backup holds of that.
    """

    epoch: str
    v: int
    generation: str
    schema: int
    incarnation: str
    acked_n: int
    durable_n: int | None = None


class PageToken(msgspec.Struct, frozen=True, array_like=True, tag="p"):
    """An unfinished pull: the view being sent, the view the phone still holds ("" for none), the last row sent."""

    epoch: str
    generation: str
    held: str
    schema: int
    bucket: str
    entity: str
    row: str

    @property
    def position(self) -> Position:
        """The last row sent."""
        return Position(self.bucket, self.entity, self.row)


Sealed = TypeVar("Sealed", Cookie, PageToken)


def seal(token: Cookie | PageToken, *, secret: bytes, device: str) -> str:
    """Return the token as text a phone can keep but neither read into nor change."""
    body = msgspec.json.encode(token)
    return _text(_mac(body, secret, device) + body)


def unseal(text: str, kind: type[Sealed], *, secret: bytes, device: str) -> Sealed:
    """Read a token back; raises Refusal 400 `bad_cookie` for anything not sealed by us for this device and use."""
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        mac, body = sealed[:MAC_BYTES], sealed[MAC_BYTES:]
        if _text(sealed) != text or not hmac.compare_digest(mac, _mac(body, secret, device)):
            raise Refusal(400, "bad_cookie")
        return msgspec.json.decode(body, type=kind)
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise Refusal(400, "bad_cookie") from error


def _text(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _mac(body: bytes, secret: bytes, device: str) -> bytes:
    return hmac.digest(secret, LABEL + b"\0" + device.encode() + b"\0" + body, hashlib.sha256)[:MAC_BYTES]
