"""What stands in the way of undoing an import: whatever came later and rests on it, or has changed it since."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import msgspec
from sqlalchemy import Table, Uuid, column, inspect, or_, select, table
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from backend.contracts.models import CommitmentClock
from backend.core.audit import AuditEntry, ImportBatch
from backend.imports.known import Columns
from backend.imports.limits import OBSTACLES_NAMED_MAXIMUM, QUERY_KEYS_MAXIMUM
from backend.imports.schemas import Obstacle
from backend.imports.targets import TARGETS
from backend.requests.models import RequestOwner, ServiceRequest

REQUEST: Final = ServiceRequest.__tablename__
CLOCK: Final = CommitmentClock.__tablename__
HISTORY: Final = frozenset({"audit_entry", "access_entry", "event"})
"""Tables that tell of a record and do not rest on it."""
COMES_ALONG: Final = frozenset({RequestOwner.__tablename__, CLOCK})
"""What opening a Case makes beside it, and what goes with it."""
SUBJECT: Final = "subject_id"
"""The column of tables whose rows may belong to records of any kind."""

Item = TypeVar("Item")
Change = tuple[Columns, Columns]
"""The fields an import changed: before, after. As the audit trail has them, in JSON."""


@dataclass
class Deeds:
    """What an import did, by the audit trail."""

    created: dict[str, list[UUID]] = field(default_factory=dict[str, list[UUID]])
    changed: dict[tuple[str, UUID], Change] = field(default_factory=dict[tuple[str, UUID], Change])

    @property
    def count(self) -> int:
        """Rows to be undone."""
        return sum(map(len, self.created.values())) + len(self.changed)


@dataclass(frozen=True)
class Referrer:
    """A column whose rows refer to an entity's; to any entity's where `entity` is empty."""

    table: str
    column: str
    keys: tuple[str, ...]
    entity: str = ""


async def referrers(session: AsyncSession) -> list[Referrer]:
    """Ask the database which columns refer to what an import can make; it knows tables nobody thought of here."""
    return await session.run_sync(_referrers)


def _referrers(session: Session) -> list[Referrer]:
    looked_at = inspect(session.connection())
    keys = {
        name: tuple(pk["constrained_columns"]) for (_, name), pk in looked_at.get_multi_pk_constraint().items() if pk
    }
    found: list[Referrer] = []
    for (_, name), foreign_keys in looked_at.get_multi_foreign_keys().items():
        found.extend(
            Referrer(name, key["constrained_columns"][0], keys[name], key["referred_table"])
            for key in foreign_keys
            if key["referred_table"] in TARGETS
        )
    for (_, name), columns in looked_at.get_multi_columns().items():
        if name not in HISTORY and any(one["name"] == SUBJECT for one in columns):
            found.append(Referrer(name, SUBJECT, keys[name]))
    return found


async def obstacles(
    session: AsyncSession, batch_id: UUID, deeds: Deeds, *, whole: Deeds, refer: Sequence[Referrer]
) -> list[Obstacle]:
    """What would be lost or broken by undoing `deeds`, a part of the `whole` that goes; a limited number of them."""
    going = {entity: frozenset(ids) for entity, ids in whole.created.items()}
    found: list[Obstacle] = []
    for entity, ids in deeds.created.items():
        concerned = [one for one in refer if one.entity in {entity, ""} and not _goes_along(entity, one)]
        for some in slices(ids, QUERY_KEYS_MAXIMUM):
            found.extend(await _referring(session, entity, some, concerned, going))
            found.extend(await _edited(session, batch_id, entity, some))
            if entity == REQUEST:
                clocks = select(CommitmentClock.id).where(CommitmentClock.subject_id.in_(some))
                found.extend(await _edited(session, batch_id, CLOCK, (await session.execute(clocks)).scalars().all()))
    for some in slices(list(deeds.changed.items()), QUERY_KEYS_MAXIMUM):
        found.extend(await _overtaken(session, dict(some)))
    return found[:OBSTACLES_NAMED_MAXIMUM]


def _goes_along(entity: str, referrer: Referrer) -> bool:
    return entity == REQUEST and referrer.table in COMES_ALONG


async def _referring(
    session: AsyncSession,
    entity: str,
    ids: Sequence[UUID],
    concerned: Sequence[Referrer],
    going: Mapping[str, Collection[UUID]],
) -> list[Obstacle]:
    """Rows the import did not make that refer to rows it made."""
    found: list[Obstacle] = []
    for one in concerned:
        named = column(one.column, Uuid())
        rows = select(*(column(key, Uuid() if key == "id" else None) for key in one.keys), named)
        refer: defaultdict[UUID, int] = defaultdict(int)
        for row in await session.execute(rows.select_from(table(one.table)).where(named.in_(ids))):
            refer[row[-1]] += row[0] not in going.get(one.table, ())
        for row_id, count in refer.items():
            if count:
                name = await _name_of(session, entity, row_id)
                zh, en = f"被 {count} 条 {one.table} 引用", f"referred to by {count} of {one.table}"
                found.append(Obstacle(entity, row_id, name, zh, en))
    return found


async def _edited(session: AsyncSession, batch_id: UUID, entity: str, ids: Sequence[UUID]) -> list[Obstacle]:
    """Rows the import made and somebody, or a later import that still stands, has changed since."""
    undone = select(ImportBatch.id).where(ImportBatch.undone_at.is_not(None))
    others = or_(
        AuditEntry.import_batch_id.is_(None),
        (AuditEntry.import_batch_id != batch_id) & AuditEntry.import_batch_id.not_in(undone),
    )
    wanted = select(AuditEntry).where(AuditEntry.entity == entity, AuditEntry.subject_id.in_(ids), others)
    return [
        Obstacle(
            entity, entry.subject_id, await _name_of(session, entity, entry.subject_id),
            f"之后有 {entry.action}({entry.at:%Y-%m-%d %H:%M} UTC)",
            f"{entry.action} since ({entry.at:%Y-%m-%d %H:%M} UTC)",
        )
        for entry in (await session.execute(wanted)).scalars()
    ]  # fmt: skip


async def _overtaken(session: AsyncSession, changed: Mapping[tuple[str, UUID], Change]) -> list[Obstacle]:
    """Rows the import changed and somebody has changed again: going back to the old values would lose theirs."""
    found: list[Obstacle] = []
    for (entity, row_id), holds in (await held(session, changed)).items():
        before, after = changed[entity, row_id]
        for name, value in holds.items():
            if value not in (typed(entity, name, after[name]), typed(entity, name, before[name])):
                zh, en = f"{name} 之后又改为 {value}", f"{name} has become {value} since"
                found.append(Obstacle(entity, row_id, await _name_of(session, entity, row_id), zh, en))
    return found


async def held(session: AsyncSession, changed: Mapping[tuple[str, UUID], Change]) -> dict[tuple[str, UUID], Columns]:
    """What changed rows hold today, in the fields the import changed."""
    by_entity: defaultdict[str, list[UUID]] = defaultdict(list)
    for entity, row_id in changed:
        by_entity[entity].append(row_id)
    found: dict[tuple[str, UUID], Columns] = {}
    for entity, ids in by_entity.items():
        source = table_of(entity)
        for row in (await session.execute(select(source).where(source.c.id.in_(ids)))).mappings():
            found[entity, row["id"]] = {name: row[name] for name in changed[entity, row["id"]][1]}
    return found


async def _name_of(session: AsyncSession, entity: str, row_id: UUID) -> str:
    """What people call a row: its external id, else its own id."""
    if entity not in TARGETS or not TARGETS[entity].has_external_id:
        return str(row_id)
    source = table_of(entity)
    named = select(source.c.external_id).where(source.c.id == row_id)
    return (await session.execute(named)).scalar_one_or_none() or str(row_id)


def typed(entity: str, name: str, value: Any) -> Any:
    """Return a value of the audit trail, which is JSON, as its column holds it."""
    if value is None:
        return None
    wanted = table_of(entity).c[name].type.python_type
    return value if wanted in (dict, list) else msgspec.convert(value, wanted, strict=False)


def table_of(entity: str) -> Table:
    """The table of an entity an import can make."""
    return cast("Table", TARGETS[entity].model.__table__)


def slices(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Cut a sequence into pieces of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))
