"""Rows of synced tables as phones see them: read as JSON values, written field by field, each change audited."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import Column, RowMapping, delete, insert, select, tuple_, update
from sqlalchemy.orm import Session

from backend.core.audit import Actor, AuditEntry
from backend.core.changes import SYNCED, change
from sync.store import Fields, Row, RowKey, RowWrite, WriteKind

ADDED: Final[Mapping[str, Mapping[str, Any]]] = {
    "asset": {"quantity": 1, "note": ""},
    "position": {"description": ""},
    "contact": {"function": "contact", "language": "zh"},
    "site_contact": {"primary": False},
}
"""What a row made on a phone gets where the phone said nothing."""


def known_rows(session: Session, keys: Collection[RowKey]) -> dict[RowKey, Row]:
    """Return the rows that exist or existed in some bucket, locked against other writers; deleted ones say so."""
    known = {key for key in keys if key.entity in SYNCED}
    live = _live_fields(session, known)
    found: dict[RowKey, Row] = {}
    for entry in _entries(session, known):
        key = RowKey(entry.entity, str(entry.row_id))
        if key in live and not entry.deleted:
            found[key] = Row(key, entry.bucket, live[key], deleted=False, v=entry.v)
        elif key not in live and (key not in found or found[key].v < entry.v):
            found[key] = Row(key, entry.bucket, {}, deleted=True, v=entry.v)
    return found


def write_row(session: Session, write: RowWrite, actor: Actor, now: datetime) -> str:
    """Make one change and audit it; return the bucket the row is in. Raises ValueError for what no column can hold."""
    source = SYNCED[write.key.entity]
    table, row_id = source.table, UUID(write.key.row)
    before = _mapping(session, write.key)
    if write.kind is WriteKind.DELETE:
        session.execute(delete(table).where(table.c.id == row_id))
    elif write.kind is WriteKind.UPDATE:
        session.execute(update(table).where(table.c.id == row_id).values(**_typed(table.columns, write.fields)))
    else:
        fields = {**ADDED.get(write.key.entity, {}), **write.fields}
        session.execute(insert(table).values(id=row_id, **_typed(table.columns, fields)))
    after = _mapping(session, write.key)
    _audit(session, write, actor, now, before)
    standing = after or before
    return (standing is not None and source.bucket_of(standing)) or ""


def json_fields(columns: Iterable[Column[Any]], row: RowMapping) -> Fields:
    """Return a row's columns as the JSON values phones are sent."""
    return msgspec.json.decode(msgspec.json.encode({column.name: row[column.name] for column in columns}))


def _live_fields(session: Session, keys: Collection[RowKey]) -> dict[RowKey, Fields]:
    by_entity: defaultdict[str, list[UUID]] = defaultdict(list)
    for key in sorted(keys, key=lambda key: (key.entity, key.row)):
        by_entity[key.entity].append(UUID(key.row))
    live: dict[RowKey, Fields] = {}
    for entity, row_ids in by_entity.items():
        source = SYNCED[entity]
        wanted = select(source.table).where(source.table.c.id.in_(row_ids)).order_by(source.table.c.id)
        for row in session.execute(wanted.with_for_update()).mappings():
            live[RowKey(entity, str(row["id"]))] = json_fields(source.columns(), row)
    return live


def _entries(session: Session, keys: Collection[RowKey]) -> list[Any]:
    wanted = [(key.entity, UUID(key.row)) for key in keys]
    if not wanted:
        return []
    listed = select(change.c.entity, change.c.row_id, change.c.bucket, change.c.v, change.c.deleted)
    return list(session.execute(listed.where(tuple_(change.c.entity, change.c.row_id).in_(wanted))))


def _mapping(session: Session, key: RowKey) -> RowMapping | None:
    table = SYNCED[key.entity].table
    return session.execute(select(table).where(table.c.id == UUID(key.row))).mappings().one_or_none()


def _typed(columns: Any, fields: Fields) -> dict[str, Any]:
    """Convert JSON values to what the columns hold; raises ValueError naming a column that is not there."""
    typed: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "id":
            continue
        if name not in columns:
            raise ValueError(f"no such field: {name}")
        typed[name] = None if value is None else msgspec.convert(value, columns[name].type.python_type)
    return typed


def _audit(session: Session, write: RowWrite, actor: Actor, now: datetime, before: RowMapping | None) -> None:
    source = SYNCED[write.key.entity]
    shown = json_fields(source.columns(), before) if before is not None else {}
    session.add(
        AuditEntry(
            at=now, person_id=actor.person_id, device_id=actor.device_id,
            mutation_id=UUID(write.mutation_id) if write.mutation_id else None,
            action=f"{write.key.entity}.{write.kind.value}", entity=write.key.entity, subject_id=UUID(write.key.row),
            before={name: shown[name] for name in write.fields if name in shown} or None,
            after=dict(write.fields) or None,
        )
    )  # fmt: skip
