"""Routes a revoked phone ends with: its last files, and the word that it has deleted everything."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Response, Router, post
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.params import FromPath, PathParameter

from backend.attachments.actions import note_upload
from backend.attachments.schemas import Stored
from backend.attachments.store import BLOB_BYTES, Incoming, blob_store
from backend.core.auth import IDENTITY_ONLY
from backend.core.errors import INVALID, Problem
from backend.core.sessions import Database
from backend.devices.signed import Caller, Claim, claim_of, signed_in_or_signed
from backend.devices.wiping import must_name, note_wiped
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
    claim = await claim_of(request, database)
    store = blob_store(settings)
    with store.incoming() as incoming:
        async for chunk in request.stream():
            await asyncio.to_thread(incoming.write, chunk)
        await asyncio.to_thread(incoming.check, sha256)
        device = UUID((await asyncio.to_thread(_proven, claim, request, incoming)).device)
        async with database.read() as session:
            person_id = await must_name(session, device_id=device, sha256=sha256)
        stored = Stored(sha256=sha256, size=incoming.size, media_type=await store.keep(incoming, sha256))
    async with database.write() as session:
        await note_upload(session, now=now, person_id=person_id, stored=stored)
    return _answer(now, RescuedFile(sha256, stored.size))


def _proven(claim: Claim, request: Asked, incoming: Incoming) -> Caller:
    """Return who asks. Only a file that is what its address says is read for it: the signature is over all of it."""
    return claim.proven(request, b"" if claim.revoked is None else incoming.read())


@post(
    WIPED_PATH, guards=[signed_in_or_signed], opt=KNOWN_BY_NAME, status_code=200, request_max_body_size=WIPED_BYTES
)  # fmt: skip
async def post_wiped(
    request: Asked, database: NamedDependency[Database], now: NamedDependency[datetime]
) -> Response[bytes]:
    """Note that a revoked phone has deleted what it held; the order to wipe stands until this is heard."""
    claim = await claim_of(request, database)
    body = await request.body()
    caller = claim.proven(request, body)
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
