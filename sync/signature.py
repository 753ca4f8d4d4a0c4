"""What a phone proves with the key it was registered with: Ed25519 over the address and the body, uncompressed."""

import base64
import binascii
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

DEVICE_ID: Final = "Device-Id"
"""Request header: which phone signs."""
DEVICE_SIGNATURE: Final = "Device-Signature"
"""Request header: its signature, 64 bytes as unpadded base64url."""


def text_of(raw: bytes) -> str:
    """Return bytes as unpadded base64url."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def sign(key: Ed25519PrivateKey, path: str, body: bytes) -> str:
    """Return a phone's signature of a request; nothing signed for one address is good at another."""
    return text_of(key.sign(_signed(path, body)))


def is_signed(public_key: str, signature: str, path: str, body: bytes) -> bool:
    """Whether the owner of a registered key (32 bytes, unpadded base64url) signed this request."""
    try:
        key = Ed25519PublicKey.from_public_bytes(_raw(public_key))
        key.verify(_raw(signature), _signed(path, body))
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _signed(path: str, body: bytes) -> bytes:
    return path.encode() + b"\n" + body


def _raw(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
