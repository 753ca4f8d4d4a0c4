"""Writes of uploads in pieces: opened, counted on, finished, ended.

The row holds how far an upload has come, so any process on the same database and storage can go on with it.
"""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments.actions import note_upload
from backend.attachments.models import Blob, Upload
from backend.attachments.queries import had
from backend.attachments.schemas import Stored
from backend.attachments.store import (
    BLOB_BYTES,
    BLOB_TOO_LARGE,
    HASH_MISMATCH,
    INCOMING,
    MEDIA_TYPES,
    TYPE_REFUSED,
    BlobStore,
)  # fmt: skip
from backend.attachments.tus import UPLOAD_OFFSET, UPLOAD_TOO_LONG, Creation
from backend.core.auth import Principal
from backend.core.clock import SystemClock
from backend.core.db import insert_ignoring
from backend.core.errors import NOT_FOUND, Fault, Problem
from backend.core.housekeeping import Forget
from backend.core.ids import new_id

UPLOAD_DAYS: Final = timedelta(days=7)
"""How long an upload is kept after its last piece; what is not finished by then is begun anew."""
INCOMING_KEPT: Final = timedelta(days=1)
"""How long bytes may lie that were arriving when a server was killed, by the machine's own clock, as its files."""
UPLOADS_A_PERSON_MAXIMUM: Final = 100
"""Unfinished uploads of one person."""

TOO_MANY_UPLOADS = Fault(
    "too_many_uploads", 409, "未完成的上传过多。", "There are too many unfinished uploads.",
    "请先完成或取消其中一些。", "Finish some of them first, or end them with DELETE.",
)  # fmt: skip
UPLOAD_GONE = Fault(
    "upload_gone", 410, "这次上传已过期或已丢失。", "The upload has expired, or its bytes were lost.",
    "请重新开始上传。", "Begin the upload anew.",
)  # fmt: skip


class Turn(msgspec.Struct, frozen=True):
    """The right of one request to add to an upload, until another takes it over."""

    id: UUID
    upload_id: UUID
    person_id: UUID
    sha256: str
    length: int
    offset: int


async def open_upload(
    session: AsyncSession, *, now: datetime, principal: Principal, creation: Creation, store: BlobStore, lost: bool
) -> Upload:
    """Return the person's upload of this content: the one begun before, or a new one; finished if they may read it.

    `lost` says that the rows claim bytes the store has not.
    Raises blob_too_large, blob_type_refused, blob_hash_mismatch, too_many_uploads.
    """
    _check(creation)
    blob = await _known(session, principal, creation, now) if not lost else None
    upload = await _mine(session, principal.person_id, creation.sha256)
    gone = lost and upload is not None and upload.finished_at is not None
    if upload and (gone or upload.length != creation.length or not _stands(upload, now, store)):
        await end_upload(session, upload=upload, store=store)
        upload = None
    if upload is None:
        upload = await _new(session, now=now, person_id=principal.person_id, creation=creation)
    if blob and upload.finished_at is None:
        stored = Stored(sha256=blob.sha256, size=blob.size, media_type=blob.media_type)
        await note_upload(session, now=now, person_id=principal.person_id, stored=stored)
        upload.received, upload.turn, upload.busy, upload.finished_at = upload.length, None, False, now
    return upload


async def upload_of(
    session: AsyncSession, *, now: datetime, person_id: UUID, upload_id: UUID, store: BlobStore
) -> Upload:
    """Return somebody's own upload; raises not_found, and upload_gone for one that expired or lost its bytes."""
    upload = await session.get(Upload, upload_id)
    if upload is None or upload.person_id != person_id:
        raise Problem(NOT_FOUND)
    if not _stands(upload, now, store):
        raise Problem(UPLOAD_GONE)
    return upload


async def take_turn(
    session: AsyncSession, *, now: datetime, person_id: UUID, upload_id: UUID, store: BlobStore, offset: int,
    coming: int,
) -> Turn:  # fmt: skip
    """Give this request the upload, if it goes on where the upload stands and brings no more than is missing.

    Raises not_found, upload_gone, upload_offset, upload_too_long. Whoever had the turn loses it: a phone that lost its
    signal comes back before the server notices that it left.
    """
    upload = await upload_of(session, now=now, person_id=person_id, upload_id=upload_id, store=store)
    if offset + coming > upload.length:
        raise Problem(UPLOAD_TOO_LONG)
    turn = Turn(new_id(), upload.id, person_id, upload.sha256, upload.length, offset)
    standing = (Upload.id == upload_id, Upload.received == offset, Upload.finished_at.is_(None))
    expires_at = now + UPLOAD_DAYS
    taken = update(Upload).where(*standing).values(turn=turn.id, busy=True, expires_at=expires_at).returning(Upload.id)
    if (await session.execute(taken)).first() is None:
        raise Problem(UPLOAD_OFFSET)
    return turn


async def count_bytes(session: AsyncSession, *, turn: Turn, received: int, busy: bool) -> None:
    """Note that the first `received` bytes are on the disk, and whether more are coming.

    Raises upload_offset if the turn was taken over.
    """
    mine = update(Upload).where(Upload.id == turn.upload_id, Upload.turn == turn.id, Upload.received <= received)
    if (await session.execute(mine.values(received=received, busy=busy).returning(Upload.id))).first() is None:
        raise Problem(UPLOAD_OFFSET)


async def give_turn_back(session: AsyncSession, *, turn: Turn) -> None:
    """Note that the request ended without counting what it had; nothing happens if another has the turn."""
    mine = update(Upload).where(Upload.id == turn.upload_id, Upload.turn == turn.id)
    await session.execute(mine.values(turn=None, busy=False))


async def finish_upload(session: AsyncSession, *, now: datetime, turn: Turn, stored: Stored) -> None:
    """Note that the whole has become a blob, sent by this person; raises upload_offset if the turn was taken over."""
    await count_bytes(session, turn=turn, received=turn.length, busy=False)
    done = update(Upload).where(Upload.id == turn.upload_id)
    await session.execute(done.values(turn=None, finished_at=now, expires_at=now + UPLOAD_DAYS))
    await note_upload(session, now=now, person_id=turn.person_id, stored=stored)


async def end_upload(session: AsyncSession, *, upload: Upload, store: BlobStore) -> None:
    """Forget an upload and what has come of it; a blob it has become stays.

    The part file goes first: a row without its bytes ends as a wrong hash, bytes without a row would stay for ever.
    """
    store.drop_part(upload.id)
    await session.delete(upload)
    await session.flush()


def forget_old_uploads(store: BlobStore) -> Forget:
    """Return what housekeeping does: remove expired uploads and what has come of them; the answer is how many."""

    async def forget(session: AsyncSession, now: datetime) -> int:
        old = (await session.execute(select(Upload.id).where(Upload.expires_at <= now))).scalars().all()
        for upload_id in old:
            store.drop_part(upload_id)
        await session.execute(delete(Upload).where(Upload.expires_at <= now))
        await _drop_orphans(session, store)
        return len(old)

    return forget


def forget_old_incoming(folder: Path) -> Forget:
    """Return what housekeeping does: remove what was arriving when a server was killed; a living request writes on."""

    async def forget(_session: AsyncSession, _now: datetime) -> int:
        return await asyncio.to_thread(_drop_untouched, folder / INCOMING, SystemClock().now() - INCOMING_KEPT)

    return forget


def _drop_untouched(folder: Path, since: datetime) -> int:
    old = [path for path in folder.glob("*") if path.stat().st_mtime < since.timestamp()]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


async def _drop_orphans(session: AsyncSession, store: BlobStore) -> None:
    """Remove part files without an upload: another machine ended it, or a restore did. A row is there before its file.

    Each file is asked about by itself: there are few.
    """
    for upload_id in store.part_ids():
        if (await session.execute(select(Upload.id).where(Upload.id == upload_id))).first() is None:
            store.drop_part(upload_id)


def _stands(upload: Upload, now: datetime, store: BlobStore) -> bool:
    """Whether one can go on with it: a server restored from a backup has the row, but not what had come."""
    here = upload.finished_at is not None or store.part_size(upload.id) >= upload.received
    return here and upload.expires_at > now


def _check(creation: Creation) -> None:
    if creation.length > BLOB_BYTES:
        raise Problem(BLOB_TOO_LARGE)
    if creation.length == 0 or (creation.media_type is not None and creation.media_type not in MEDIA_TYPES):
        raise Problem(TYPE_REFUSED)


async def _known(session: AsyncSession, principal: Principal, creation: Creation, now: datetime) -> Blob | None:
    """The blob, if it is here and the person may read it or has sent it; to others it is as if it were not here."""
    if not await had(session, principal, [creation.sha256], now):
        return None
    blob = await session.get_one(Blob, creation.sha256)
    if blob.size != creation.length:
        raise Problem(HASH_MISMATCH)
    return blob


async def _mine(session: AsyncSession, person_id: UUID, sha256: str) -> Upload | None:
    mine = select(Upload).where(Upload.person_id == person_id, Upload.sha256 == sha256).with_for_update()
    return (await session.execute(mine)).scalar_one_or_none()


async def _new(session: AsyncSession, *, now: datetime, person_id: UUID, creation: Creation) -> Upload:
    """Add an upload, or return the one another request has just added."""
    unfinished = select(func.count()).select_from(Upload).where(
        Upload.person_id == person_id, Upload.finished_at.is_(None), Upload.expires_at > now
    )  # fmt: skip
    if (await session.execute(unfinished)).scalar_one() >= UPLOADS_A_PERSON_MAXIMUM:
        raise Problem(TOO_MANY_UPLOADS)
    upload = {
        "id": new_id(), "person_id": person_id, "sha256": creation.sha256, "length": creation.length, "received": 0,
        "turn": None, "busy": False, "sent_metadata": creation.metadata, "created_at": now,
        "expires_at": now + UPLOAD_DAYS, "finished_at": None,
    }  # fmt: skip
    await session.run_sync(insert_ignoring, Upload.__table__, [upload])
    added = await _mine(session, person_id, creation.sha256)
    if added is None:
        raise Problem(NOT_FOUND)
    return added
