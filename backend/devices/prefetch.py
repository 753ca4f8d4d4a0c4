"""Which files a phone should hold before it loses its signal: those of its jobs, as many as it has room for."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import case, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from backend.attachments.models import Attachment, Blob
from backend.attachments.queries import readable
from backend.core.auth import Principal
from backend.devices.scope import Held, buckets_of, held_by
from backend.people.schemas import View

PREFETCH_BYTES_MOST: Final = 2_000_000_000
"""The most room a phone may name."""
PREFETCH_BYTES_DEFAULT: Final = 200_000_000
PREFETCH_FILES_MOST: Final = 1_000
"""Files looked at; what comes later in the order waits until there is less before it."""
SOON: Final = timedelta(days=1)
"""A job that begins this soon is one of today's."""
PAPERS: Final = ("drawing", "manual", "document")
"""What work is done by; photos come after it."""


class PrefetchFile(View, frozen=True):
    """A file to fetch with GET /blobs/{sha256}, and one attachment it belongs to."""

    sha256: str
    size: int
    media_type: str
    attachment_id: UUID
    kind: str


class Prefetch(View, frozen=True):
    """What a phone should hold, the most needed first; what it holds beside this may go."""

    files: list[PrefetchFile]
    bytes: int
    """The sizes added up, never more than was asked for."""


async def files_to_hold(session: AsyncSession, *, principal: Principal, now: datetime, room: int) -> Prefetch:
    """Return the files in a person's scope that fit into `room` bytes.

    Today's jobs first, then papers before photos, then the newest. A file that does not fit is passed over for smaller
    ones. What may not be held offline is in no bucket (`no_offline_drawings`), so it is never named.
    """
    named, soon = await session.run_sync(_buckets, str(principal.person_id), now)
    order = (case((Attachment.bucket.in_(soon), 0), else_=1), case((Attachment.kind.in_(PAPERS), 0), else_=1))
    in_scope = (
        select(Attachment, Blob)
        .join(Blob, Blob.sha256 == Attachment.sha256)
        .where(Attachment.bucket.in_(named), readable(principal, now))
        .order_by(*order, Attachment.added_at.desc(), Attachment.id.desc())
        .limit(PREFETCH_FILES_MOST)
    )
    files: dict[str, PrefetchFile] = {}
    left = room
    for attachment, blob in (await session.execute(in_scope)).all():
        if blob.sha256 not in files and blob.size <= left:
            left -= blob.size
            files[blob.sha256] = PrefetchFile(
                sha256=blob.sha256, size=blob.size, media_type=blob.media_type, attachment_id=attachment.id,
                kind=attachment.kind,
            )  # fmt: skip
    return Prefetch(files=list(files.values()), bytes=room - left)


def is_soon(held: Held, now: datetime) -> bool:
    """Whether the job is going on, or about to."""
    coming = held.arrives_at is not None and held.arrives_at < now + SOON
    return held.ended_at is None and (held.begun or coming)


def _buckets(session: Session, person: str, now: datetime) -> tuple[list[str], list[str]]:
    """Return the buckets the person may hold now, and those of today's jobs."""
    held = held_by(session, person, now)
    everything, _ = buckets_of(person, held, now)
    today, _ = buckets_of(person, {one for one in held if is_soon(one, now)}, now)
    idle, _ = buckets_of(person, (), now)
    return sorted(everything), sorted(today - idle)
