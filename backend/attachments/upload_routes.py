"""Routes of uploads in pieces: tus 1.0 (https://tus.io/protocols/resumable-upload). docs/decisions/0307-uploads.md."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, Router, delete, head, patch, post, route
from litestar.di import NamedDependency, Provide
from litestar.enums import HttpMethod, MediaType
from litestar.params import FromPath
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments import queries, tus, uploads
from backend.attachments.models import Upload
from backend.attachments.receiving import Receiver, settle
from backend.attachments.routes import SENDERS
from backend.attachments.store import BLOB_BYTES, BlobStore, blob_store
from backend.core.auth import Principal, public
from backend.core.errors import Problem
from backend.core.problems import METHOD_NOT_ALLOWED, PROBLEM_HANDLERS
from backend.core.sessions import Database
from backend.settings import Settings

UPLOADS_PATH: Final = "/uploads"
UPLOAD_PATH: Final = "/uploads/{upload_id:uuid}"

Asked = Request[Any, Any, Any]


@dataclass(frozen=True)
class Call:
    """One request about an upload, in the version spoken here."""

    request: Asked
    person: Principal
    database: Database
    store: BlobStore
    now: datetime

    async def open(self) -> Response[None]:
        """Open an upload, and take the bytes that came along if it begins with them."""
        headers = self.request.headers
        creation, checksum = tus.read_creation(headers), tus.read_checksum(headers)
        async with self.database.read() as session:
            known = await queries.had(session, self.person, [creation.sha256], self.now)
        lost = bool(known) and not await asyncio.to_thread(self.store.has, creation.sha256)
        async with self.database.write() as session:
            upload = await uploads.open_upload(
                session, now=self.now, principal=self.person, creation=creation, store=self.store, lost=lost
            )
        offset = upload.received
        if offset == 0 and tus.carries_piece(headers):
            offset = await self._receive(await self._turn(upload.id, 0), checksum)
        expiry = {"Upload-Expires": _http_date(upload.expires_at)} if offset < upload.length else {}
        return _answer(201, expiry | {"Location": f"{UPLOADS_PATH}/{upload.id}", "Upload-Offset": str(offset)})

    async def tell(self, upload_id: UUID) -> Response[None]:
        """Tell how far an upload has come."""
        await settle(self.database, upload_id)
        async with self.database.read() as session:
            upload = await self._upload(session, upload_id)
        headers = {
            "Upload-Offset": str(upload.received), "Upload-Length": str(upload.length),
            "Upload-Metadata": upload.sent_metadata, "Cache-Control": "no-store",
        }  # fmt: skip
        expiry = {} if upload.finished_at else {"Upload-Expires": _http_date(upload.expires_at)}
        return _answer(200, headers | expiry)

    async def go_on(self, upload_id: UUID) -> Response[None]:
        """Take bytes from where the upload stands."""
        headers = self.request.headers
        tus.check_piece_type(headers)
        offset, checksum = tus.read_offset(headers), tus.read_checksum(headers)
        await settle(self.database, upload_id)
        turn = await self._turn(upload_id, offset)
        received = await self._receive(turn, checksum)
        expiry = {"Upload-Expires": _http_date(self.now + uploads.UPLOAD_DAYS)} if received < turn.length else {}
        return _answer(204, expiry | {"Upload-Offset": str(received)})

    async def give_up(self, upload_id: UUID) -> Response[None]:
        """Forget an upload."""
        async with self.database.write() as session:
            await uploads.end_upload(session, upload=await self._upload(session, upload_id), store=self.store)
        return _answer(204, {})

    async def _upload(self, session: AsyncSession, upload_id: UUID) -> Upload:
        return await uploads.upload_of(
            session, now=self.now, person_id=self.person.person_id, upload_id=upload_id, store=self.store
        )

    async def _turn(self, upload_id: UUID, offset: int) -> uploads.Turn:
        async with self.database.write() as session:
            return await uploads.take_turn(
                session, now=self.now, person_id=self.person.person_id, upload_id=upload_id, store=self.store,
                offset=offset, coming=self.request.content_length or 0,
            )  # fmt: skip

    async def _receive(self, turn: uploads.Turn, checksum: tus.Checksum | None) -> int:
        receiver = Receiver(self.database, self.store, now=self.now, turn=turn)
        return await receiver.take(self.request.stream(), checksum)


def provide_call(
    request: Asked, principal: NamedDependency[Principal], database: NamedDependency[Database],
    settings: NamedDependency[Settings], now: NamedDependency[datetime],
) -> Call:  # fmt: skip
    """Dependency `call`; raises tus_version."""
    tus.check_version(request.headers)
    return Call(request, principal, database, blob_store(settings), now)


@route(
    [UPLOADS_PATH, UPLOAD_PATH], http_method=[HttpMethod.OPTIONS], guards=[public], status_code=204,
    sync_to_thread=False,
)  # fmt: skip
def uploads_options() -> Response[None]:
    """Tell what of tus is spoken here."""
    return _answer(
        204, {
            "Tus-Version": tus.VERSION, "Tus-Extension": tus.EXTENSIONS, "Tus-Max-Size": str(BLOB_BYTES),
            "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
        },
    )  # fmt: skip


@post(UPLOADS_PATH, guards=[SENDERS], request_max_body_size=BLOB_BYTES)
async def open_upload(call: NamedDependency[Call]) -> Response[None]:
    """Announce a file by `sha256` in Upload-Metadata; its first bytes may come along.

    What the server has already, and the sender may read, is answered as complete: look at Upload-Offset.
    """
    return await call.open()


@head(UPLOAD_PATH, guards=[SENDERS])
async def head_upload(upload_id: FromPath[UUID], call: NamedDependency[Call]) -> Response[None]:
    """Ask how far an upload has come."""
    return await call.tell(upload_id)


@patch(UPLOAD_PATH, guards=[SENDERS], request_max_body_size=BLOB_BYTES, status_code=204)
async def patch_upload(upload_id: FromPath[UUID], call: NamedDependency[Call]) -> Response[None]:
    """Go on with an upload where it stands; what arrives counts, even when the connection is cut."""
    return await call.go_on(upload_id)


@delete(UPLOAD_PATH, guards=[SENDERS], status_code=204)
async def delete_upload(upload_id: FromPath[UUID], call: NamedDependency[Call]) -> Response[None]:
    """Give an upload up."""
    return await call.give_up(upload_id)


@post(UPLOAD_PATH, guards=[SENDERS], request_max_body_size=BLOB_BYTES, status_code=204)
async def override_upload(upload_id: FromPath[UUID], call: NamedDependency[Call]) -> Response[None]:
    """Go on or give up by X-HTTP-Method-Override, for networks that let no PATCH or DELETE through."""
    meant = call.request.headers.get("X-HTTP-Method-Override", "").upper()
    if meant == HttpMethod.PATCH:
        return await call.go_on(upload_id)
    if meant == HttpMethod.DELETE:
        return await call.give_up(upload_id)
    raise Problem(METHOD_NOT_ALLOWED)


def _http_date(at: datetime) -> str:
    return format_datetime(at.astimezone(UTC), usegmt=True)


def _answer(status: int, headers: Mapping[str, str]) -> Response[None]:
    told = {"Tus-Resumable": tus.VERSION, **headers}
    return Response(None, status_code=status, headers=told, media_type=MediaType.TEXT)  # as JSON it would be `null`


def _in_tus(answer: Callable[[Asked, Any], Response[bytes]]) -> Callable[[Asked, Any], Response[bytes]]:
    """Give a refusal the headers tus wants on every answer."""

    def refuse(request: Asked, error: Any) -> Response[bytes]:
        refused = answer(request, error)
        refused.headers["Tus-Resumable"] = tus.VERSION
        if refused.status_code == tus.TUS_VERSION.status:
            refused.headers["Tus-Version"] = tus.VERSION
        return refused

    return refuse


router = Router(
    "/",
    route_handlers=[uploads_options, open_upload, head_upload, patch_upload, delete_upload, override_upload],
    dependencies={"call": Provide(provide_call, sync_to_thread=False)},
    exception_handlers={kind: _in_tus(answer) for kind, answer in PROBLEM_HANDLERS.items()},
    tags=["attachments"],
)
