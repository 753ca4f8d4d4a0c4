"""Routes of sync (docs/reference/sync-protocol.md). Bodies are read and written by sync/, byte for byte."""

import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.response import Stream

from backend.core.audit import Actor
from backend.core.auth import IDENTITY_ONLY, Principal, anyone_signed_in, public
from backend.core.clock import parse_instant
from backend.core.compression import PLAIN, read_body
from backend.core.errors import Problem, ProblemDetails
from backend.core.ids import new_id
from backend.core.problems import MEDIA_TYPE
from backend.core.sessions import Database
from backend.devices.handlers import HANDLERS
from backend.devices.hints import HintBoard
from backend.devices.service import SyncService
from backend.devices.signed import NO_DEVICE, claim_of, claimed_device, has_signed, signed_in_or_signed
from backend.devices.store import Glance, MoreNeeded, SqlStore
from sync.enrol import enrol, renew
from sync.limits import PUSH_BYTES, RECONCILE_BYTES, RESCUE_BYTES
from sync.protocol import (
    DEVICE_TIME,
    DEVICES_PATH,
    HINTS_PATH,
    INCARNATIONS_PATH,
    PULL_PATH,
    PUSH_PATH,
    RECONCILE_PATH,
    RESCUE_PATH,
    SERVER_TIME,
    PullAnswer,
    PullRequest,
    Refusal,
    decode_enrol,
    decode_pull,
    decode_push,
    decode_reconcile,
    decode_rescue,
    encode,
)
from sync.pull import Puller, begins_anew, pull
from sync.push import Pusher, push
from sync.reconcile import reconcile
from sync.rescue import rescue
from sync.store import Transient

SMALL_BODY: Final = 64 * 1024
"""Bytes of a request that carries no mutations."""
ENVELOPE_BYTES: Final = 64 * 1024
"""What a push may carry beside its mutations."""
RETRY_SECONDS: Final = 2
BUSY_STATUS: Final = 503
KNOWN_BY_NAME: Final[dict[str, Any]] = {IDENTITY_ONLY: True}
EVENTS: Final = "text/event-stream"

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


@post(PULL_PATH, guards=[signed_in_or_signed], opt=KNOWN_BY_NAME, status_code=200, request_max_body_size=SMALL_BODY)
async def post_pull(request: Request[Any, Any, Any], sync: NamedDependency[SyncService]) -> Response[bytes]:
    """Send a phone what changed in its scope; 204 when nothing did."""
    now = sync.now()
    claim = await claim_of(request, sync.database)
    body = await read_body(request, SMALL_BODY)
    puller = Puller(claim.proven(request, body).device, sync.cookie_secret)

    return await _answer(now, lambda: _pulled(sync, puller, decode_pull(body), now))


@post(
    RECONCILE_PATH, guards=[signed_in_or_signed], opt=KNOWN_BY_NAME, status_code=200,
    request_max_body_size=RECONCILE_BYTES,
)  # fmt: skip
async def post_reconcile(request: Request[Any, Any, Any], sync: NamedDependency[SyncService]) -> Response[bytes]:
    """Compare what a phone holds with its scope; send the differences."""
    now = sync.now()
    claim = await claim_of(request, sync.database)
    body = await read_body(request, RECONCILE_BYTES)
    puller = Puller(claim.proven(request, body).device, sync.cookie_secret)
    store = SqlStore(sync.database, now=now)

    async def reconciled() -> PullAnswer | None:
        asked = decode_reconcile(body)
        async with sync.large_answers.turn():
            return await reconcile(store, puller=puller, request=asked, now=now, new_id=_new_id)

    return await _answer(now, reconciled)


@post(
    PUSH_PATH,
    guards=[signed_in_or_signed],
    opt=KNOWN_BY_NAME,
    status_code=200,
    request_max_body_size=PUSH_BYTES + ENVELOPE_BYTES,
)
async def post_push(request: Request[Any, Any, Any], sync: NamedDependency[SyncService]) -> Response[bytes]:
    """Take a batch of mutations; each gets exactly one result, and all of it is durable before the answer."""
    now = sync.now()
    claim = await claim_of(request, sync.database)
    body = await read_body(request, PUSH_BYTES + ENVELOPE_BYTES)
    caller = claim.proven(request, body)
    pusher = Pusher(caller.device, _device_time(request))
    store = SqlStore(sync.database, caller.actor, now=now)
    return await _answer(
        now, lambda: push(store, HANDLERS, pusher=pusher, request=decode_push(body), now=now, new_id=_new_id)
    )


@post(RESCUE_PATH, guards=[public], status_code=200, request_max_body_size=RESCUE_BYTES)
async def post_rescue(
    request: Request[Any, Any, Any], database: NamedDependency[Database], now: NamedDependency[datetime]
) -> Response[bytes]:
    """Keep the raw queue of a phone that may not push any more, signed by its key; a dispatcher looks at it."""
    device = await claimed_device(request, database)
    if device is None:
        return await _answer(now, _refusing(404, "unknown_device"))
    body = await read_body(request, RESCUE_BYTES)
    if not has_signed(device, request, body):
        return await _answer(now, _refusing(403, "bad_signature"))
    store = SqlStore(database, Actor(person_id=device.person_id, device_id=device.id), now=now)
    return await _answer(
        now, lambda: rescue(store, decode_rescue(body), device=str(device.id), now=now, new_id=_new_id)
    )


def _refusing(status: int, code: str) -> Answering:
    async def refusing() -> None:
        raise Refusal(status, code)

    return refusing


@get(HINTS_PATH, guards=[anyone_signed_in], opt={PLAIN: True}, media_type=EVENTS)
async def get_hints(principal: NamedDependency[Principal], hints: NamedDependency[HintBoard]) -> Stream:
    """Keep telling a phone, as server-sent events, the `v` at which something it holds has changed."""
    device = UUID(_device(principal))
    return Stream(
        await hints.open(principal, device), media_type=EVENTS,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )  # fmt: skip


async def _pulled(sync: SyncService, puller: Puller, request: PullRequest, now: datetime) -> PullAnswer | None:
    """Pull by a glance at the device's state if that is enough, else from a snapshot; all of a scope in its turn."""
    glance = Glance(sync.database)
    try:
        return await pull(glance, puller=puller, request=request, now=now, new_id=_new_id)
    except MoreNeeded:
        anew = glance.state is not None and begins_anew(glance.state, puller, request)
        async with sync.large_answers.turn() if anew else nullcontext():
            store = SqlStore(sync.database, now=now)
            return await pull(store, puller=puller, request=request, now=now, new_id=_new_id)


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


def _new_id() -> str:
    return str(new_id())


router = Router(
    "/",
    route_handlers=[
        get_hints, post_device, post_incarnation, post_pull, post_reconcile, post_push, post_rescue,
    ],
    tags=["sync"],
)  # fmt: skip
