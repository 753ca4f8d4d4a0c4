"""Writes of files: bytes that arrived, and the records they belong to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments.models import Attachment, Blob, BlobUpload
from backend.attachments.queries import SUBJECTS, missing_count
from backend.attachments.schemas import AttachedFile, Stored
from backend.core.audit import AccessEntry, Actor, record
from backend.core.auth import Principal
from backend.core.db import insert_ignoring
from backend.core.errors import Fault, Problem
from backend.core.events import tell
from backend.core.ids import new_id

ATTACHMENTS_MAXIMUM: Final = 500
"""Files of one record."""
ARRIVED: Final = "attachments.arrived"
"""Told when the last missing file of a record has come, with entity and subject_id; may be told again later."""

TOO_MANY_ATTACHMENTS = Fault(
    "too_many_attachments", 409, "这条记录的附件过多。", "This record has too many files.",
    "请删除不用的附件。", "Remove files that are no longer needed.",
)  # fmt: skip


ATTACHMENT_FIXED = Fault(
    "attachment_fixed", 409, "这份文件属于已提交的表单,不能删除。", "This file belongs to a filed form; it stays.",
    "如有错误,请提交更正表单。", "File a correction if something is wrong.",
)  # fmt: skip


async def note_upload(session: AsyncSession, *, now: datetime, person_id: UUID, stored: Stored) -> None:
    """Record bytes a person sent; tells `attachments.arrived` for each record whose last missing file this was."""
    await note_blob(session, now=now, stored=stored)
    upload = {"sha256": stored.sha256, "person_id": person_id, "uploaded_at": now}
    if not await session.run_sync(insert_ignoring, BlobUpload.__table__, [upload]):
        return
    waiting = select(Attachment).where(Attachment.sha256 == stored.sha256, Attachment.added_by_id == person_id)
    for attachment in (await session.execute(waiting.order_by(Attachment.id))).scalars().all():
        await _tell_if_complete(session, now, attachment)


async def note_blob(session: AsyncSession, *, now: datetime, stored: Stored) -> None:
    """Record bytes that lie in the store."""
    blob = {"sha256": stored.sha256, "size": stored.size, "media_type": stored.media_type, "stored_at": now}
    await session.run_sync(insert_ignoring, Blob.__table__, [blob])


async def attach(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    entity: str,
    subject_id: UUID,
    bucket: str | None,
    files: Sequence[AttachedFile],
) -> list[Attachment]:
    """Attach files to a record, after those it has; tells `attachments.arrived` if none is missing.

    Give all files of a form at once: half of them could be complete by themselves. Raises too_many_attachments.
    """
    theirs = select(func.count()).select_from(Attachment).where(
        Attachment.entity == entity, Attachment.subject_id == subject_id
    )  # fmt: skip
    before = (await session.execute(theirs)).scalar_one()
    if before + len(files) > ATTACHMENTS_MAXIMUM:
        raise Problem(TOO_MANY_ATTACHMENTS)
    attached = [
        Attachment(
            id=file.id or new_id(), bucket=bucket, entity=entity, subject_id=subject_id, sha256=file.sha256,
            kind=file.kind, name=file.name, position=before + number, added_at=now, added_by_id=actor.person_id,
        )
        for number, file in enumerate(files, start=1)
    ]  # fmt: skip
    session.add_all(attached)
    await session.flush()
    for attachment in attached:
        after = {"entity": entity, "subject_id": subject_id, "sha256": attachment.sha256, "kind": attachment.kind}
        record(session, now=now, actor=actor, action="attachment.added", row=attachment, after=after)
    if attached:
        await _tell_if_complete(session, now, attached[-1])
    return attached


async def detach(session: AsyncSession, *, now: datetime, actor: Actor, attachment: Attachment) -> None:
    """Take a file off a record; the bytes stay, other records may have them. Raises attachment_fixed."""
    if SUBJECTS[attachment.entity].fixed:
        raise Problem(ATTACHMENT_FIXED)
    before = {"entity": attachment.entity, "subject_id": attachment.subject_id, "sha256": attachment.sha256}
    record(session, now=now, actor=actor, action="attachment.removed", row=attachment, before=before)
    await session.delete(attachment)


def log_reading(session: AsyncSession, *, now: datetime, principal: Principal, attachment: Attachment) -> None:
    """Log that somebody read a customer's drawing (A271, A273)."""
    session.add(
        AccessEntry(
            at=now, person_id=principal.person_id, device_id=principal.device_id, what=f"{attachment.kind}.read",
            entity=Attachment.__tablename__, subject_id=attachment.id,
        )
    )  # fmt: skip


async def _tell_if_complete(session: AsyncSession, now: datetime, attachment: Attachment) -> None:
    entity, subject_id = attachment.entity, attachment.subject_id
    if await missing_count(session, entity, subject_id):
        return
    facts = {"entity": entity, "subject_id": str(subject_id)}
    tell(session, now=now, name=ARRIVED, row=attachment, facts=facts)
