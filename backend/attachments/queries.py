"""Reads of files. Bytes are read through a record one may see, never by knowing their hash."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments.models import Attachment, Blob, BlobUpload, Thumbnail
from backend.attachments.schemas import AttachmentView
from backend.core.auth import Principal
from backend.core.errors import NOT_FOUND, Problem
from backend.people.schemas import shown


@dataclass(frozen=True)
class Subject:
    """A kind of record files may belong to."""

    area: str
    """The area whose levels decide who reads and adds."""
    ids: Callable[[Principal, str, str, datetime], Select[Any]]
    """Ids of the records the principal may use: (principal, area, level, now)."""
    bucket: Callable[[AsyncSession, UUID, str], Awaitable[str | None]]
    """The bucket a file of a kind is in: (session, subject id, kind of file)."""
    fixed: bool = False
    """Whether files of such a record can never be taken off again."""


SUBJECTS: Final[dict[str, Subject]] = {}
"""The records files may belong to, by entity; capabilities above add theirs in `app.py`."""

THROUGH_WORK: Final = ("own", "crew")
"""Reaches that come with work; the others make somebody keep every record of a unit."""

_vouched = or_(
    Attachment.added_by_id.is_(None),
    exists().where(BlobUpload.sha256 == Attachment.sha256, BlobUpload.person_id == Attachment.added_by_id),
)
"""Whoever attached the file had its bytes: the server itself, or somebody who sent them."""


def readable(principal: Principal, now: datetime) -> ColumnElement[bool]:
    """The condition on Attachment that says whose bytes the principal may read."""
    through = [
        and_(Attachment.entity == entity, Attachment.subject_id.in_(subject.ids(principal, subject.area, "read", now)))
        for entity, subject in SUBJECTS.items()
    ]
    return and_(or_(*through, Attachment.added_by_id == principal.person_id), _vouched)


async def blob_read(session: AsyncSession, principal: Principal, sha256: str, now: datetime) -> tuple[Blob, Attachment]:
    """Return a file the principal may read and a record it belongs to; raises not_found.

    A drawing is found as a drawing if it is one anywhere: its reading must be logged (A271).
    """
    through = (
        select(Blob, Attachment)
        .join(Attachment, Attachment.sha256 == Blob.sha256)
        .where(Blob.sha256 == sha256, readable(principal, now))
        .order_by((Attachment.kind == "drawing").desc(), Attachment.id)
        .limit(1)
    )
    found = (await session.execute(through)).one_or_none()
    if found is None:
        raise Problem(NOT_FOUND)
    return found[0], found[1]


async def thumbnail_of(session: AsyncSession, sha256: str, side: int) -> tuple[Thumbnail | None, Blob | None]:
    """Return the note that a thumbnail was made, if it was, and the thumbnail, if there can be one."""
    made = (
        select(Thumbnail, Blob)
        .outerjoin(Blob, Blob.sha256 == Thumbnail.thumbnail_sha256)
        .where(Thumbnail.sha256 == sha256, Thumbnail.side == side)
    )
    found = (await session.execute(made)).one_or_none()
    return (None, None) if found is None else (found[0], found[1])


async def had(session: AsyncSession, principal: Principal, wanted: Sequence[str], now: datetime) -> list[str]:
    """Return those hashes whose bytes are here and the principal may read or has sent; of others nothing is said."""
    read = select(Attachment.sha256).where(Attachment.sha256.in_(wanted), readable(principal, now))
    here = select(Blob.sha256).where(Blob.sha256.in_(wanted), or_(Blob.sha256.in_(read), _sent(principal, wanted)))
    return sorted((await session.execute(here)).scalars())


async def sent(session: AsyncSession, principal: Principal, wanted: Sequence[str]) -> list[str]:
    """Return those hashes whose bytes are here and the principal has sent or announced; of others nothing is said.

    What somebody else sent does not count for a form of theirs (`_vouched`), even where they may read it.
    """
    here = select(Blob.sha256).where(Blob.sha256.in_(wanted), _sent(principal, wanted))
    return sorted((await session.execute(here)).scalars())


def _sent(principal: Principal, wanted: Sequence[str]) -> ColumnElement[bool]:
    theirs = (BlobUpload.sha256.in_(wanted), BlobUpload.person_id == principal.person_id)
    return Blob.sha256.in_(select(BlobUpload.sha256).where(*theirs))


async def attachments_of(session: AsyncSession, entity: str, subject_id: UUID) -> list[AttachmentView]:
    """Return the files of a record in their order, each with whether its bytes are here."""
    arrived = and_(exists().where(Blob.sha256 == Attachment.sha256), _vouched)
    theirs = (
        select(Attachment, arrived)
        .where(Attachment.entity == entity, Attachment.subject_id == subject_id)
        .order_by(Attachment.position, Attachment.id)
    )
    return [shown(row, AttachmentView, arrived=here) for row, here in (await session.execute(theirs)).all()]


async def missing_count(session: AsyncSession, entity: str, subject_id: UUID) -> int:
    """Count the files of a record whose bytes are not here yet ("3 of 5 photos received")."""
    here = and_(exists().where(Blob.sha256 == Attachment.sha256), _vouched)
    missing = select(func.count()).select_from(Attachment).where(
        Attachment.entity == entity, Attachment.subject_id == subject_id, ~here
    )  # fmt: skip
    return (await session.execute(missing)).scalar_one()


async def attachment_within(
    session: AsyncSession, principal: Principal, attachment_id: UUID, *, level: str, now: datetime
) -> Attachment:
    """Return an attachment of a record the principal may use at this level; raises not_found."""
    attachment = await session.get(Attachment, attachment_id)
    if attachment is None or not await may_use(
        session, principal, attachment.entity, attachment.subject_id, level=level, now=now
    ):
        raise Problem(NOT_FOUND)
    return attachment


async def may_detach(session: AsyncSession, principal: Principal, attachment: Attachment, *, now: datetime) -> bool:
    """Whether the principal may take a file off: one's own, or any where one keeps the unit's records.

    Whoever comes to a record through the work there adds to it, but does not clear away what others filed.
    """
    if attachment.added_by_id == principal.person_id:
        return True
    kept = tuple(grant for grant in principal.grants if grant.permission.reach not in THROUGH_WORK)
    keeper = msgspec.structs.replace(principal, grants=kept, crew_ids=frozenset())
    return await may_use(session, keeper, attachment.entity, attachment.subject_id, level="write", now=now)


async def may_use(
    session: AsyncSession, principal: Principal, entity: str, subject_id: UUID, *, level: str, now: datetime
) -> bool:
    """Whether the principal may use a record files belong to, at this level."""
    subject = SUBJECTS.get(entity)
    if subject is None:
        return False
    ids = subject.ids(principal, subject.area, level, now).subquery()
    return (await session.execute(select(ids).where(ids.c[0] == subject_id))).first() is not None
