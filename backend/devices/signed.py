"""Phones that prove who they are with their own key, because nobody is signed in on them any more."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from backend.core.audit import Actor
from backend.core.auth import Principal
from backend.core.errors import NOT_SIGNED_IN, Fault, Problem
from backend.core.sessions import Database
from backend.people.models import Device
from sync.protocol import is_uuid
from sync.signature import DEVICE_ID, DEVICE_SIGNATURE, is_signed

NO_DEVICE = Fault(
    "no_device", 403, "这次登录没有绑定手机,不能同步。", "This sign-in is not bound to a phone, so it cannot sync.",
    "请先登记手机,再用登记的手机登录。", "Register the phone first, then sign in with its device_id.",
)  # fmt: skip
PROOF: Final = (DEVICE_ID, DEVICE_SIGNATURE)


@dataclass(frozen=True)
class Caller:
    """Which phone asks, and as whom the audit trail names it."""

    device: str
    actor: Actor


async def signed_in_or_signed(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """Guard: somebody signed in, or a phone that signs its request; `Claim.proven` checks the signature."""
    user: object = connection.scope.get("user")  # pyright: ignore[reportUnknownMemberType]
    if not isinstance(user, Principal) and not all(name in connection.headers for name in PROOF):
        raise Problem(NOT_SIGNED_IN)


@dataclass(frozen=True)
class Claim:
    """Who a request says it is from, as far as that can be said before its body has come."""

    caller: Caller
    revoked: Device | None
    """The phone whose key must have signed the request; None: somebody is signed in."""

    def proven(self, request: Request[Any, Any, Any], body: bytes) -> Caller:
        """Return who asks, now that the body is here; raises not_signed_in."""
        if self.revoked is not None and not has_signed(self.revoked, request, body):
            raise Problem(NOT_SIGNED_IN)
        return self.caller


async def claim_of(request: Request[Any, Any, Any], database: Database) -> Claim:
    """Return which phone a request claims to be from. Its key alone is enough only when the phone was revoked.

    Such a phone is sent nothing but the notice to wipe, and what it sends is set aside: so it gets 200, never 401.
    Raises not_signed_in, no_device.
    """
    user: object = request.scope.get("user")  # pyright: ignore[reportUnknownMemberType]
    if isinstance(user, Principal):
        if user.device_id is None:
            raise Problem(NO_DEVICE)
        return Claim(Caller(str(user.device_id), user.actor), None)
    device = await claimed_device(request, database)
    if device is None or device.revoked_at is None:
        raise Problem(NOT_SIGNED_IN)
    return Claim(Caller(str(device.id), Actor(person_id=device.person_id, device_id=device.id)), device)


async def claimed_device(request: Request[Any, Any, Any], database: Database) -> Device | None:
    """Return the phone a request says it is from; whether that is so, `has_signed` says."""
    device_id = request.headers.get(DEVICE_ID, "")
    if not is_uuid(device_id):
        return None
    async with database.read() as session:
        return await session.get(Device, UUID(device_id))


def has_signed(device: Device, request: Request[Any, Any, Any], body: bytes) -> bool:
    """Whether the phone's key signed this request."""
    return is_signed(device.public_key, request.headers.get(DEVICE_SIGNATURE, ""), request.url.path, body)
