"""Routes of sync (docs/reference/sync-protocol.md). Bodies are read and written by sync/, byte for byte."""

import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

import msgspec
from litestar import Request, Response, Router, post
from litestar.di import NamedDependency
from litestar.enums import MediaType

from backend.core.auth import Principal, anyone_signed_in, public
from backend.core.clock import parse_instant
from backend.core.compression import read_body
from backend.core.errors import Fault, Problem, ProblemDetails
from backend.core.ids import new_id
from backend.core.problems import MEDIA_TYPE
from backend.core.sessions import Database
from backend.devices.handlers import HANDLERS
from backend.devices.store import SqlStore
from sync.enrol import enrol, renew
from sync.limits import PUSH_BYTES
from sync.protocol import (
    DEVICE_TIME,
    DEVICES_PATH,
    INCARNATIONS_PATH,
    PULL_PATH,
    PUSH_PATH,
    SERVER_TIME,
    Refusal,
    decode_enrol,
    decode_pull,
    decode_push,
    encode,
)
from sync.pull import Puller, pull
from sync.push import Pusher, push
from sync.store import Transient

SMALL_BODY: Final = 64 * 1024
"""Bytes of a request that carries no mutations."""
ENVELOPE_BYTES: Final = 64 * 1024
"""What a push may carry beside its mutations."""
RETRY_SECONDS: Final = 2
BUSY_STATUS: Final = 503

NO_DEVICE = Fault(
    "no_device", 403, "这次登录没有绑定手机,不能同步。", "This sign-in is not bound to a phone, so it cannot sync.",
    "请先登记手机,再用登记的手机登录。", "Register the phone first, then sign in with its device_id.",
)  # fmt: skip

log = logging.getLogger(__name__)

Answering = Callable[[], Awaitable[msgspec.Struct | None]]


class RefusalDetails(ProblemDetails, frozen=True, omit_defaults=True):
    """Problem details of a refused sync request; `expected_n` is the mutation the server waits for."""

    expected_n: int | None = None


@post(DEVICES_PATH, guards=[public], status_code=200, request_max_body_size=SMALL_BODY)
async def post_device(
    request: Request[Any, Any, Any], database: NamedDependency[Database], now: NamedDependency[datetime]
) -> Response[bytes]:
    """Register a phone with a one-use code from the office."""
    body = await request.body()
    store = SqlStore(database, now=now)
    return await _answer(
        now,
        lambda: enrol(store, decode_enrol(body), now=now, new_id=_new_id, random_bytes=secrets.token_bytes),
    )


@post(INCARNATIONS_PATH, guards=[anyone_signed_in], status_code=200, request_max_body_size=SMALL_BODY)
async def post_incarnation(
    database: NamedDependency[Database], principal: NamedDependency[Principal], now: NamedDependency[datetime]
) -> Response[bytes]:
    """Begin a new numbering for a phone that lost count of its mutations."""
    device, store = _device(principal), SqlStore(database, now=now)
    return await _answer(now, lambda: renew(store, device, now=now, new_id=_new_id, random_bytes=secrets.token_bytes))


@post(PULL_PATH, guards=[anyone_signed_in], status_code=200, request_max_body_size=SMALL_BODY)
async def post_pull(
    request: Request[Any, Any, Any], database: NamedDependency[Database], principal: NamedDependency[Principal],
    now: NamedDependency[datetime], token_key: NamedDependency[bytes],
) -> Response[bytes]:  # fmt: skip
    """Send a phone what changed in its scope; 204 when nothing did."""
    body = await read_body(request, SMALL_BODY)
    puller = Puller(_device(principal), _cookie_secret(token_key))
    store = SqlStore(database, now=now)
    return await _answer(now, lambda: pull(store, puller=puller, request=decode_pull(body), now=now, new_id=_new_id))


@post(PUSH_PATH, guards=[anyone_signed_in], status_code=200, request_max_body_size=PUSH_BYTES + ENVELOPE_BYTES)
async def post_push(
    request: Request[Any, Any, Any], database: NamedDependency[Database], principal: NamedDependency[Principal],
    now: NamedDependency[datetime],
) -> Response[bytes]:  # fmt: skip
    """Take a batch of mutations; each gets exactly one result, and all of it is durable before the answer."""
    body = await read_body(request, PUSH_BYTES + ENVELOPE_BYTES)
    pusher = Pusher(_device(principal), _device_time(request))
    store = SqlStore(database, principal.actor, now=now)
    return await _answer(
        now, lambda: push(store, HANDLERS, pusher=pusher, request=decode_push(body), now=now, new_id=_new_id)
    )


async def _answer(now: datetime, produce: Answering) -> Response[bytes]:
    """Answer in the protocol's own words, with the server's time on every answer."""
    headers = {SERVER_TIME: now.isoformat()}
    try:
        message = await produce()
    except Refusal as refusal:
        return _refuse(refusal, headers)
    except Transient as error:
        log.warning("sync could not be served now: %s", error)
        return _refuse(Refusal(BUSY_STATUS, "busy"), headers | {"Retry-After": str(RETRY_SECONDS)})
    if message is None:
        return Response(b"", status_code=204, headers=headers)
    return Response(encode(message), status_code=200, media_type=MediaType.JSON, headers=headers)


def _refuse(refusal: Refusal, headers: dict[str, str]) -> Response[bytes]:
    text = refusal.text
    details = RefusalDetails(
        type=f"urn:paigong:problem:{refusal.code}", title=text.en, status=refusal.status, detail=text.en,
        code=refusal.code, detail_zh=text.zh, todo=text.en, todo_zh=text.zh, expected_n=refusal.expected_n,
    )  # fmt: skip
    return Response(encode(details), status_code=refusal.status, media_type=MEDIA_TYPE, headers=headers)


def _device(principal: Principal) -> str:
    if principal.device_id is None:
        raise Problem(NO_DEVICE)
    return str(principal.device_id)


def _device_time(request: Request[Any, Any, Any]) -> datetime | None:
    """The device's wall clock when it sent; one that cannot be read counts as not told."""
    try:
        return parse_instant(request.headers[DEVICE_TIME])
    except (KeyError, ValueError):
        return None


def _cookie_secret(token_key: bytes) -> bytes:
    """A key of its own, so that a cookie can never be taken for a token."""
    return hashlib.sha256(b"paigong sync cookie" + token_key).digest()


def _new_id() -> str:
    return str(new_id())


router = Router("/", route_handlers=[post_device, post_incarnation, post_pull, post_push], tags=["sync"])
