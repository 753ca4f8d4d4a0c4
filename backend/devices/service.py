"""What every pull needs, in one piece: gathering four things for each of thousands of requests costs more than one."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from backend.core.sessions import Database
from backend.devices.turns import Turns


@dataclass(frozen=True)
class SyncService:
    """The database, the server's clock, the secret cookies are sealed with, and the turns of large answers."""

    database: Database
    now: Callable[[], datetime]
    cookie_secret: bytes
    large_answers: Turns = field(default_factory=Turns)


def cookie_secret(token_key: bytes) -> bytes:
    """Return a key of its own, so that a cookie can never be taken for a token."""
    return hashlib.sha256(b"paigong sync cookie" + token_key).digest()
