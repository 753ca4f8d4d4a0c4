"""Sign-in: password hashes, access tokens, refresh tokens, and what a signed-in person may do.

Permissions are data: a role grants (area, level, reach) within an organisation unit. A guard asks for (area, level);
which records that covers, the queries of each capability decide from the reach.
"""

import hashlib
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import jwt
import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from backend.core.audit import Actor
from backend.core.errors import FORBIDDEN, NOT_SIGNED_IN, Problem

PASSWORD_MINIMUM: Final = 10
PASSWORD_MAXIMUM: Final = 200
"""Characters; argon2 hashes any length, the limit keeps a hash from becoming a way to spend the server's time."""
REFRESH_BYTES: Final = 32
IDENTITY_ONLY: Final = "identity_only"
"""Routes that say `opt={IDENTITY_ONLY: True}` ask who it is and on which phone: a Principal without grants."""
TOKENS_KNOWN: Final = 4_096
"""Access tokens whose signature need not be checked again: those of the people at work."""
LEVELS: Final = ("read", "propose", "comment", "assist", "write", "approve")
REACHES: Final = ("own", "crew", "kind", "unit", "all")

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


class Permission(msgspec.Struct, frozen=True):
    """One line of a role: an area (`case`, `dispatch`, ...), a level and how far it reaches."""

    area: str
    level: str
    reach: str


class Grant(msgspec.Struct, frozen=True):
    """A permission somebody holds within a unit and everything below it."""

    permission: Permission
    unit_ids: frozenset[UUID]
    """The unit and its descendants."""
    queues: frozenset[str] = frozenset()
    """The work-order queues that reach `kind` stands for."""


class Principal(msgspec.Struct, frozen=True):
    """The person behind a request, through which session and device."""

    person_id: UUID
    session_id: UUID
    device_id: UUID | None
    language: str
    grants: tuple[Grant, ...]
    crew_ids: frozenset[UUID] = frozenset()

    @property
    def actor(self) -> Actor:
        """The principal as the audit trail names it."""
        return Actor(person_id=self.person_id, device_id=self.device_id)

    def may(self, area: str, level: str) -> bool:
        """Whether any role allows this at all, for some record."""
        return bool(self.reaches(area, level))

    def reaches(self, area: str, level: str) -> dict[str, frozenset[UUID]]:
        """Return the reaches granted for (area, level), each with the units it holds in."""
        found: dict[str, frozenset[UUID]] = {}
        for grant in self.grants:
            if grant.permission.area == area and grant.permission.level == level:
                found[grant.permission.reach] = found.get(grant.permission.reach, frozenset()) | grant.unit_ids
        return found

    def units(self, area: str, level: str) -> frozenset[UUID]:
        """Units in which every record may be used at this level (reach `unit`, `kind` or `all`)."""
        reaches = self.reaches(area, level)
        return frozenset(unit for reach in ("unit", "kind", "all") for unit in reaches.get(reach, frozenset[UUID]()))


Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]
"""Asynchronous, though none waits for anything: the framework would hand a plain function to a thread."""


def requires(area: str, level: str) -> Guard:
    """Return a guard that lets in people whose roles allow (area, level) for at least some record."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        if not signed_in(connection).may(area, level):
            raise Problem(FORBIDDEN)

    return guard


def requires_any(*needs: tuple[str, str]) -> Guard:
    """Return a guard that lets in people whose roles allow one of the (area, level) pairs for at least some record."""

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
        principal = signed_in(connection)
        if not any(principal.may(area, level) for area, level in needs):
            raise Problem(FORBIDDEN)

    return guard


async def anyone_signed_in(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Guard: any signed-in person; the handler serves only their own records."""
    signed_in(connection)


async def public(_connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Guard that says aloud: this route needs no sign-in."""


def signed_in(connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
    """Return the request's principal; raises not_signed_in without one."""
    principal: object = connection.scope.get("user")  # pyright: ignore[reportUnknownMemberType]
    if not isinstance(principal, Principal):
        raise Problem(NOT_SIGNED_IN)
    return principal


def hash_password(password: str) -> str:
    """Return an argon2id hash (19 MiB, t=2, p=1). Takes tens of milliseconds: in a thread, before a transaction."""
    return _hasher.hash(password)


UNUSABLE_HASH: Final = hash_password(secrets.token_hex())
"""Checked when there is no such person, so that an unknown name takes as long as a wrong password."""


def password_matches(password: str, stored: str) -> bool:
    """Check a password against a stored hash; as slow as hashing, see there."""
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


class AccessToken(msgspec.Struct, frozen=True):
    """What an access token says."""

    person_id: UUID
    session_id: UUID
    expires: float
    """Seconds of the epoch."""


def issue_access_token(key: bytes, *, person_id: UUID, session_id: UUID, now: datetime, lifetime: timedelta) -> str:
    """Return a signed JWT (HS256) that names the person and the session."""
    claims = {"sub": str(person_id), "sid": str(session_id), "iat": now, "exp": now + lifetime}
    return jwt.encode(claims, key, algorithm="HS256")


def read_access_token(key: bytes, token: str, *, now: datetime) -> AccessToken:
    """Check a token's signature and lifetime against `now`; raises not_signed_in."""
    said = _signed(key, token)
    if now.timestamp() >= said.expires:
        raise Problem(NOT_SIGNED_IN)
    return said


@lru_cache(maxsize=TOKENS_KNOWN)
def _signed(key: bytes, token: str) -> AccessToken:
    """Check a token's signature. It stays true; whether the token has expired, or its session ended, does not."""
    try:
        claims = jwt.decode(
            token, key, algorithms=["HS256"],
            options={"require": ["sub", "sid", "exp"], "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )  # fmt: skip
        return AccessToken(UUID(claims["sub"]), UUID(claims["sid"]), float(claims["exp"]))
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
        raise Problem(NOT_SIGNED_IN) from error


def new_secret() -> str:
    """Return a random token for a refresh or an enrolment."""
    return secrets.token_urlsafe(REFRESH_BYTES)


def secret_hash(secret: str) -> str:
    """Return what is stored of a random token: its sha256, enough for 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()
