"""Routes of files: bytes by their sha256, and the records they belong to."""

import asyncio
import logging
import re
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Response, Router, delete, get, head, post, put
from litestar.datastructures import Headers
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, PathParameter, QueryParameter
from litestar.response import Stream
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments import actions, queries
from backend.attachments.models import Attachment, Blob
from backend.attachments.schemas import AttachedFile, AttachmentView, Had, Have, NewAttachment, Stored
from backend.attachments.store import BLOB_BYTES, BlobStore, blob_store
from backend.attachments.thumbnails import Side, Wanted, want_thumbnail
from backend.core.auth import Principal, anyone_signed_in, requires_any
from backend.core.errors import FORBIDDEN, NOT_FOUND, Fault, Problem
from backend.core.once import Once
from backend.core.problems import answer_problem
from backend.core.sessions import Database
from backend.people.queries import no_such
from backend.settings import Settings

log = logging.getLogger(__name__)

ONE_RANGE: Final = re.compile(r"bytes=(\d{1,12})-(\d{1,12})?|bytes=-(\d{1,12})")

RANGE_REFUSED = Fault(
    "range_not_satisfiable", 416, "请求的字节范围超出文件。", "The range asked for lies outside the file.",
    "请按 Content-Range 中的大小重新请求。", "Ask again within the size in Content-Range.",
)  # fmt: skip

NO_THUMBNAIL = Fault(
    "no_thumbnail", 404, "这个文件没有缩略图。", "There is no small picture of this file.",
    "请读取文件本身。", "Read the file itself.",
)  # fmt: skip
THUMBNAIL_PENDING = Fault(
    "thumbnail_pending", 503, "缩略图正在生成。", "The small picture is being made.",
    "请稍后再取。", "Ask again in a moment.",
)  # fmt: skip
THUMBNAIL_SECONDS: Final = 2
"""When to ask again for a thumbnail that is being made."""

Session = NamedDependency[AsyncSession]
Now = NamedDependency[datetime]
Who = NamedDependency[Principal]
Sha256 = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$", description="sha256 of the bytes, in hex.")]
SideAsked = Annotated[Side, QueryParameter(name="side", description="The longer side, in pixels.")]
SENDERS: Final = requires_any(("visit_form", "write"), ("case", "write"), ("parts", "write"))


@put("/blobs/{sha256:str}", guards=[SENDERS], request_max_body_size=BLOB_BYTES, status_code=201)
async def put_blob(
    *, sha256: Sha256, request: Request[Any, Any, Any], principal: Who, database: NamedDependency[Database],
    settings: NamedDependency[Settings], now: Now,
) -> Stored:  # fmt: skip
    """Send the bytes of a file as the body; sending them again changes nothing."""
    store = blob_store(settings)
    with store.incoming() as incoming:
        async for chunk in request.stream():
            await asyncio.to_thread(incoming.write, chunk)
        media_type = await store.keep(incoming, sha256)
        stored = Stored(sha256=sha256, size=incoming.size, media_type=media_type)
    async with database.write() as session:
        await actions.note_upload(session, now=now, person_id=principal.person_id, stored=stored)
    return stored


def _answer_range(request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    """Answer a refusal; one of a range tells the size, as HTTP wants it."""
    refused = answer_problem(request, problem)
    if problem.fault is RANGE_REFUSED:
        refused.headers["Content-Range"] = f"bytes */{problem.facts['size']}"
    return refused


@get("/blobs/{sha256:str}", guards=[anyone_signed_in], exception_handlers={Problem: _answer_range})
async def get_blob(
    *, sha256: Sha256, request: Request[Any, Any, Any], principal: Who, database: NamedDependency[Database],
    settings: NamedDependency[Settings], now: Now,
) -> Stream:  # fmt: skip
    """Read a file of a record one may see; a part of it with `Range`. The reading of a drawing is logged."""
    async with database.read() as session:
        blob, attachment = await queries.blob_read(session, principal, sha256, now)
    first, last = _range(request.headers, blob)
    await _log_drawing(database, now, principal, attachment)
    return await _stream(blob_store(settings), blob, first, last)


@get("/blobs/{sha256:str}/thumbnail", guards=[anyone_signed_in])
async def get_thumbnail(
    *, sha256: Sha256, principal: Who, database: NamedDependency[Database], settings: NamedDependency[Settings],
    now: Now, side: SideAsked = 320,
) -> Stream:  # fmt: skip
    """Read a photo made small, as JPEG, if one may read the photo; it is made when first asked for."""
    async with database.read() as session:
        _, attachment = await queries.blob_read(session, principal, sha256, now)
        made, small = await queries.thumbnail_of(session, sha256, side)
    if made is None:
        async with database.write() as session:
            coming = await want_thumbnail(session, now=now, wanted=Wanted(sha256, side))
        if not coming:
            raise Problem(NO_THUMBNAIL)
        raise Problem(THUMBNAIL_PENDING, retry_after_seconds=THUMBNAIL_SECONDS)
    if small is None:
        raise Problem(NO_THUMBNAIL)
    await _log_drawing(database, now, principal, attachment)
    return await _stream(blob_store(settings), small, 0, small.size - 1)


@head("/blobs/{sha256:str}", guards=[anyone_signed_in])
async def head_blob(sha256: Sha256, principal: Who, read: Session, now: Now) -> Response[None]:
    """Ask whether a file is here and may be read, and how large it is."""
    blob, _ = await queries.blob_read(read, principal, sha256, now)
    headers = {"Content-Length": str(blob.size), "Content-Type": blob.media_type}
    return Response(None, headers=_headers(blob) | headers)


@post("/blobs/have", guards=[anyone_signed_in], status_code=200)
async def have_blobs(
    data: JSONBody[Have], principal: Who, database: NamedDependency[Database], settings: NamedDependency[Settings]
) -> Had:
    """Ask which files need not be sent: those one has sent or announced; of others nothing is said."""
    async with database.read() as session:
        known = await queries.sent(session, principal, data.sha256)
    store = blob_store(settings)
    return Had(have=await asyncio.to_thread(lambda: [sha256 for sha256 in known if store.has(sha256)]))


@get("/attachments", guards=[anyone_signed_in])
async def list_attachments(
    entity: FromQuery[str], subject_id: FromQuery[UUID], principal: Who, read: Session, now: Now
) -> list[AttachmentView]:
    """List the files of a record."""
    if not await queries.may_use(read, principal, entity, subject_id, level="read", now=now):
        raise Problem(NOT_FOUND)
    return await queries.attachments_of(read, entity, subject_id)


@post("/attachments", guards=[SENDERS])
async def add_attachment(
    data: JSONBody[NewAttachment], principal: Who, write: Session, once: NamedDependency[Once], now: Now
) -> Response[AttachmentView]:
    """Attach a file to a record."""

    async def produce() -> AttachmentView:
        if not await queries.may_use(write, principal, data.entity, data.subject_id, level="write", now=now):
            raise no_such("subject_id")
        bucket = await queries.SUBJECTS[data.entity].bucket(write, data.subject_id, data.kind)
        (attached,) = await actions.attach(
            write, now=now, actor=principal.actor, entity=data.entity, subject_id=data.subject_id, bucket=bucket,
            files=[AttachedFile(sha256=data.sha256, kind=data.kind, name=data.name)],
        )  # fmt: skip
        views = await queries.attachments_of(write, data.entity, data.subject_id)
        return next(view for view in views if view.id == attached.id)

    return await once.create(write, now, produce)


@delete("/attachments/{attachment_id:uuid}", guards=[SENDERS])
async def remove_attachment(attachment_id: FromPath[UUID], principal: Who, write: Session, now: Now) -> None:
    """Take a file off a record: one's own, or any as the office; the files of a filed form stay."""
    attachment = await queries.attachment_within(write, principal, attachment_id, level="write", now=now)
    if not await queries.may_detach(write, principal, attachment, now=now):
        raise Problem(FORBIDDEN)
    await actions.detach(write, now=now, actor=principal.actor, attachment=attachment)


def _headers(blob: Blob) -> dict[str, str]:
    """What never changes may be kept for ever, but only by the one it was sent to."""
    return {
        "ETag": _etag(blob),
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, max-age=31536000, immutable",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


async def _log_drawing(database: Database, now: datetime, principal: Principal, attachment: Attachment) -> None:
    if attachment.kind == "drawing":
        async with database.write() as session:
            actions.log_reading(session, now=now, principal=principal, attachment=attachment)


def _range(headers: Headers, blob: Blob) -> tuple[int, int]:
    """Return the first and last byte to send; several ranges at once are answered with the whole file.

    So is a range of a file the reader no longer has the right version of (If-Range).
    """
    asked, size = headers.get("Range", ""), blob.size
    match = ONE_RANGE.fullmatch(asked.strip())
    if match is None or headers.get("If-Range", _etag(blob)) != _etag(blob):
        return 0, size - 1
    start, end, suffix = match.groups()
    first = int(start) if start else max(0, size - int(suffix))
    last = min(int(end), size - 1) if end else size - 1
    if first > last:
        raise Problem(RANGE_REFUSED, size=size)
    return first, last


def _etag(blob: Blob) -> str:
    return f'"{blob.sha256}"'


async def _stream(store: BlobStore, blob: Blob, first: int, last: int) -> Stream:
    headers = _headers(blob) | {"Content-Length": str(last - first + 1)}
    whole = last - first + 1 == blob.size
    if not whole:
        headers["Content-Range"] = f"bytes {first}-{last}/{blob.size}"
    try:
        content = await store.open(blob.sha256, None if whole else (first, last))
    except FileNotFoundError as error:
        log.error("the bytes of %s are not in the store", blob.sha256)  # noqa: TRY400 - where it was seen says nothing
        raise Problem(NOT_FOUND) from error
    return Stream(content, headers=headers, media_type=blob.media_type, status_code=200 if whole else 206)


router = Router(
    "/",
    route_handlers=[
        put_blob, get_blob, get_thumbnail, head_blob, have_blobs, list_attachments, add_attachment, remove_attachment,
    ],
    tags=["attachments"],
)  # fmt: skip
