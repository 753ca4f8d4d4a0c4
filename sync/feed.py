"""The change feed as values: what a bucket holds, what a device was sent, and what it must be sent now. Pure."""

import hashlib
from collections.abc import Iterable, Mapping, Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sync.limits import VIEWS_KEPT

CHECKSUM_MODULUS: Final = 2**48


def entry_sum(entity: str, row_id: str, body: str) -> int:
    """Return one live row's share of its bucket's checksum: the first 6 bytes, big endian, of sha256(entity|row_id|body).

    Shares are added modulo 2**48, so a bucket's checksum follows each change without reading its other rows. A deleted
    row has no share.
    """
    return int.from_bytes(hashlib.sha256(f"{entity}|{row_id}|{body}".encode()).digest()[:6], "big")
