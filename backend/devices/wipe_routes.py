"""Routes a revoked phone ends with: its last files, and the word that it has deleted everything."""

import asyncio
import hashlib
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Response, Router, post
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.params import FromPath, PathParameter

from backend.attachments.schemas import Stored
from backend.attachments.store import BLOB_BYTES, HASH_MISMATCH, HEAD_BYTES, blob_store, media_type_of
from backend.core.auth import IDENTITY_ONLY
from backend.core.errors import INVALID, Problem
from backend.core.sessions import Database
from backend.devices.signed import caller_of, signed_in_or_signed
from backend.devices.wiping import keep_file, must_name, note_wiped
from backend.settings import Settings
from sync.protocol import (
    RESCUE_PATH,
    SERVER_TIME,
    WIPED_PATH,
    Refusal,
    RescuedFile,
    WipedAnswer,
    decode_wiped,
    encode,
)

WIPED_BYTES: Final = 1024
"""Bytes of the word that a phone has wiped itself."""
KNOWN_BY_NAME: Final[dict[str, Any]] = {IDENTITY_ONLY: True}

Sha256 = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$", description="sha256 of the bytes, in hex.")]
Asked = Request[Any, Any, Any]


@post(
    f"{RESCUE_PATH}/{{sha256:str}}", guards=[signed_in_or_signed], opt=KNOWN_BY_NAME, status_code=200,
    request_max_body_size=BLOB_BYTES,
)  # fmt: skip
async def post_rescued_file(
    sha256: FromPath[Sha256], request: Asked, database: NamedDependency[Database], settings: NamedDependency[Settings],
    now: NamedDependency[datetime],
) -> Response[bytes]:  # fmt: skip
    """Keep a file of a phone that may not push any more, named by work it has handed over; signed by its key."""
    body = await request.body()
    device = UUID((await caller_of(request, database, body)).device)
    async with database.read() as session:
        await must_name(session, device_id=device, sha256=sha256)
    if hashlib.sha256(body).hexdigest() != sha256:
        raise Problem(HASH_MISMATCH)
    await asyncio.to_thread(blob_store(settings).put, body)
    stored = Stored(sha256=sha256, size=len(body), media_type=media_type_of(body[:HEAD_BYTES]))
    async with database.write() as session:
        await keep_file(session, now=now, device_id=device, stored=stored)
    return _answer(now, RescuedFile(sha256, stored.size))


@post(
    WIPED_PATH, guards=[signed_in_or_signed], opt=KNOWN_BY_NAME, status_code=200, request_max_body_size=WIPED_BYTES
)  # fmt: skip
async def post_wiped(
    request: Asked, database: NamedDependency[Database], now: NamedDependency[datetime]
) -> Response[bytes]:
    """Note that a revoked phone has deleted what it held; the order to wipe stands until this is heard."""
    body = await request.body()
    caller = await caller_of(request, database, body)
    try:
        told = decode_wiped(body)
    except Refusal as refusal:
        raise Problem(INVALID) from refusal
    async with database.write() as session:
        wiped_at = await note_wiped(
            session, now=now, actor=caller.actor, device_id=UUID(caller.device), files=told.files
        )
    return _answer(now, WipedAnswer(wiped_at))


def _answer(now: datetime, message: RescuedFile | WipedAnswer) -> Response[bytes]:
    headers = {SERVER_TIME: now.isoformat()}
    return Response(encode(message), status_code=200, media_type=MediaType.JSON, headers=headers)


router = Router("/", route_handlers=[post_rescued_file, post_wiped], tags=["sync"])
