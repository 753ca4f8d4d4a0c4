"""Undoing an import: what it created goes, what it changed gets its old values back, unless something rests on it.

The audit trail says what the import did. First everything is looked at; with a single obstacle nothing is undone. Then
rows go in transactions of a named size, each looked at once more; an undo that was interrupted can be run again.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.models import CommitmentClock
from backend.core.audit import Actor, AuditEntry, ImportBatch, record
from backend.core.errors import Finding, Problem
from backend.core.events import HANDLE_EVENT, Event
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.core.tasks import Task
from backend.imports.actions import CHANGED, CREATED
from backend.imports.faults import ALREADY_UNDONE, UNDO_OBSTRUCTED
from backend.imports.geocoding import GEOCODED
from backend.imports.known import Columns
from backend.imports.limits import PORTION_REMOVALS_MAXIMUM, QUERY_KEYS_MAXIMUM
from backend.imports.obstacles import REQUEST, Deeds, held, obstacles, referrers, slices, table_of, typed
from backend.imports.schemas import Obstacle, UndoResult
from backend.imports.targets import TARGETS
from backend.requests.models import RequestOwner

OPENED: Final = f"{REQUEST}.received"
"""The audit entry of a Case the import opened."""
REMOVED: Final = "removed_by_undo"
RESTORED: Final = "restored_by_undo"

Progress = Callable[[int, int], None]


async def undo_import(
    database: Database, *, now: datetime, actor: Actor, batch_id: UUID, progress: Progress | None = None
) -> UndoResult:
    """Undo an import; raises import_already_undone, NoResultFound, import_undo_obstructed naming what is in the way."""
    actor = msgspec.structs.replace(actor, import_batch_id=batch_id)
    async with database.read() as session:
        batch = await session.get_one(ImportBatch, batch_id)
        if batch.undone_at is not None:
            raise Problem(ALREADY_UNDONE)
        deeds, refer = await _deeds(session, batch_id), await referrers(session)
        _refuse(await obstacles(session, batch_id, deeds, whole=deeds, refer=refer))
    result = UndoResult(batch_id)
    for part in _parts(deeds):
        async with database.write() as session:
            _refuse(await obstacles(session, batch_id, part, whole=deeds, refer=refer))
            result.restored += await _restore(session, now, actor, part)
            result.removed += await _remove(session, now, actor, part)
        if progress:
            progress(part.count, deeds.count)
    async with database.write() as session:
        batch = await session.get_one(ImportBatch, batch_id)
        batch.undone_at = now
        record(session, now=now, actor=actor, action="import_batch.undone", row=batch)
    return result


def _refuse(obstacles: Sequence[Obstacle]) -> None:
    if obstacles:
        found = (Finding(f"{one.entity} {one.name}", one.zh, one.en) for one in obstacles)
        raise Problem(UNDO_OBSTRUCTED, *found)


async def _deeds(session: AsyncSession, batch_id: UUID) -> Deeds:
    deeds = Deeds()
    entries = select(AuditEntry).where(AuditEntry.import_batch_id == batch_id).order_by(AuditEntry.id)
    async for entry in await session.stream_scalars(entries.execution_options(yield_per=QUERY_KEYS_MAXIMUM)):
        if entry.action in (f"{entry.entity}.{CREATED}", OPENED):
            deeds.created.setdefault(entry.entity, []).append(entry.subject_id)
        elif entry.action in (f"{entry.entity}.{CHANGED}", GEOCODED):
            before, after = deeds.changed.setdefault((entry.entity, entry.subject_id), ({}, {}))
            after |= entry.after or {}
            for name, value in (entry.before or {}).items():
                before.setdefault(name, value)
    mine = {(entity, one) for entity, ids in deeds.created.items() for one in ids}
    deeds.changed = {key: change for key, change in deeds.changed.items() if key not in mine}
    return deeds


def _parts(deeds: Deeds) -> Iterator[Deeds]:
    """Cut what is to be undone into transactions: changed rows, then new ones against the order of foreign keys."""
    for some in slices(list(deeds.changed.items()), PORTION_REMOVALS_MAXIMUM):
        yield Deeds(changed=dict(some))
    for entity in reversed(list(TARGETS)):
        for some in slices(list(reversed(deeds.created.get(entity, ()))), PORTION_REMOVALS_MAXIMUM):
            yield Deeds(created={entity: list(some)})


async def _restore(session: AsyncSession, now: datetime, actor: Actor, part: Deeds) -> int:
    restored = 0
    for (entity, row_id), holds in (await held(session, part.changed)).items():
        before = {name: typed(entity, name, value) for name, value in part.changed[entity, row_id][0].items()}
        if holds == before:
            continue
        source = table_of(entity)
        await session.execute(update(source).where(source.c.id == row_id).values(**before))
        await _audit(
            session, now=now, actor=actor, action=f"{entity}.{RESTORED}", subjects=[(entity, row_id)],
            before=holds, after=before,
        )  # fmt: skip
        restored += 1
    return restored


async def _remove(session: AsyncSession, now: datetime, actor: Actor, part: Deeds) -> int:
    removed = 0
    for entity, ids in part.created.items():
        if entity == REQUEST:
            await _remove_beside(session, ids)
        source = table_of(entity)
        gone = (
            (await session.execute(delete(source).where(source.c.id.in_(ids)).returning(source.c.id))).scalars().all()
        )
        await _audit(
            session, now=now, actor=actor, action=f"{entity}.{REMOVED}", subjects=[(entity, one) for one in gone]
        )
        removed += len(gone)
    return removed


async def _remove_beside(session: AsyncSession, request_ids: Sequence[UUID]) -> None:
    """Remove what opening a Case made: its owner, clocks and event, and what was to react to that."""
    await session.execute(delete(RequestOwner).where(RequestOwner.request_id.in_(request_ids)))
    await session.execute(delete(CommitmentClock).where(CommitmentClock.subject_id.in_(request_ids)))
    told = select(Event.id).where(Event.entity == REQUEST, Event.subject_id.in_(request_ids))
    for event_id in (await session.execute(told)).scalars().all():
        await session.execute(delete(Task).where(Task.key.startswith(f"{HANDLE_EVENT}:{event_id}:")))
    await session.execute(delete(Event).where(Event.entity == REQUEST, Event.subject_id.in_(request_ids)))


async def _audit(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    action: str,
    subjects: Sequence[tuple[str, UUID]],
    before: Columns | None = None,
    after: Columns | None = None,
) -> None:
    entries = [
        {
            "id": new_id(), "at": now, "person_id": actor.person_id, "import_batch_id": actor.import_batch_id,
            "action": action, "entity": entity, "subject_id": row_id, "before": before, "after": after,
        }
        for entity, row_id in subjects
    ]  # fmt: skip
    if entries:
        await session.execute(insert(AuditEntry), entries)
