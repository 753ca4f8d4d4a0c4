"""The end of a revoked phone: files its rescued work names are kept, and its word that it is wiped is noted."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Integer, LargeBinary, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from backend.core.audit import Actor, record
from backend.core.errors import Problem
from backend.devices.faults import FILE_NOT_NAMED, NOT_REVOKED
from backend.devices.models import LedgerEntry
from backend.people.models import Device

ACTION: Final = "device.wiped"


async def must_name(session: AsyncSession, *, device_id: UUID, sha256: str) -> UUID:
    """Return whose phone it is, if work it handed over names the file; raises file_not_named.

    Without this the key of a revoked phone would open a store for anything. The database searches, where the work lies:
    a phone may have handed over hundreds of megabytes.
    """
    named = _place_in(LedgerEntry.payload, literal(sha256.encode(), LargeBinary())) > 0
    by = select(LedgerEntry.person_id).where(LedgerEntry.device_id == device_id, named).limit(1)
    person_id = (await session.execute(by)).scalar_one_or_none()
    if person_id is None:
        raise Problem(FILE_NOT_NAMED)
    return person_id


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


class _place_in(FunctionElement[int]):  # noqa: N801 - reads as a function of SQL
    """Where bytes lie within bytes, counted from 1; 0 where they do not."""

    type = Integer()
    inherit_cache = True


@compiles(_place_in, "sqlite")
def _instr(element: _place_in, compiler: SQLCompiler, **options: Any) -> str:
    whole, part = (compiler.process(clause, **options) for clause in element.clauses)
    return f"instr({whole}, {part})"


@compiles(_place_in, "postgresql")
def _position(element: _place_in, compiler: SQLCompiler, **options: Any) -> str:
    whole, part = (compiler.process(clause, **options) for clause in element.clauses)
    return f"position({part} IN {whole})"
