"""The end of a revoked phone: files its rescued work names are kept, and its word that it is wiped is noted."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments.actions import note_upload
from backend.attachments.schemas import Stored
from backend.core.audit import Actor, record
from backend.core.errors import Problem
from backend.devices.faults import FILE_NOT_NAMED, NOT_REVOKED
from backend.devices.models import LedgerEntry
from backend.people.models import Device

ACTION: Final = "device.wiped"


async def must_name(session: AsyncSession, *, device_id: UUID, sha256: str) -> UUID:
    """Return whose phone it is, if work it handed over names the file; raises file_not_named.

    Without this the key of a revoked phone would open a store for anything.
    """
    handed_over = select(LedgerEntry.person_id, LedgerEntry.payload).where(LedgerEntry.device_id == device_id)
    name = sha256.encode()
    for person_id, payload in await session.execute(handed_over):  # the databases have no common search in bytes
        if name in payload:
            return person_id
    raise Problem(FILE_NOT_NAMED)


async def keep_file(session: AsyncSession, *, now: datetime, device_id: UUID, stored: Stored) -> None:
    """Note a file that a phone which may not push any more handed over; raises file_not_named."""
    person_id = await must_name(session, device_id=device_id, sha256=stored.sha256)
    await note_upload(session, now=now, person_id=person_id, stored=stored)


async def note_wiped(
    session: AsyncSession, *, now: datetime, actor: Actor, device_id: UUID, files: int
) -> datetime:  # fmt: skip
    """Note that a revoked phone has deleted what it held; return when that was first heard. Raises not_revoked.

    `files` of its own were lost with it. Said again, it changes nothing.
    """
    device = await session.get_one(Device, device_id, with_for_update=True)
    if device.revoked_at is None:
        raise Problem(NOT_REVOKED)
    if device.wiped_at is None:
        device.wiped_at = now
        record(session, now=now, actor=actor, action=ACTION, row=device, after={"wiped_at": now, "files_lost": files})
    return device.wiped_at
