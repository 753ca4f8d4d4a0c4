"""Changes of rows by sync, many at a time: JSON values become what columns hold, and each change is audited."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, Final, cast
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Column, Integer, String, Table, delete, insert
from sqlalchemy.orm import Session
from sqlalchemy.orm.util import identity_key
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from backend.core.audit import Actor, AuditEntry
from backend.core.bulk import insert_many, update_many
from backend.core.changes import SYNCED
from backend.core.db import Base
from backend.core.ids import new_id
from backend.devices.primaries import with_consequences
from backend.devices.row_rules import beside
from backend.devices.rows import json_values, live_rows
from sync.store import Fields, RowKey, RowWrite, WriteKind

ADDED: Final[Mapping[str, Mapping[str, Any]]] = {
    "asset": {"quantity": 1, "note": ""},
    "position": {"description": ""},
    "contact": {"function": "contact", "language": "zh"},
    "site_contact": {"primary": False},
}
"""What a row made on a phone gets where the phone said nothing. Whatever else a table asks for, the phone must say."""
DONE: Final = {WriteKind.INSERT: "added", WriteKind.UPDATE: "edited", WriteKind.DELETE: "removed"}
"""What the audit trail calls it."""
INTEGER_MOST: Final = 2**31 - 1
BIG_INTEGER_MOST: Final = 2**63 - 1


def write_rows(
    session: Session, writes: Sequence[RowWrite], read: Mapping[RowKey, Mapping[str, Any]], actor: Actor,
    now: datetime,
) -> list[str]:  # fmt: skip
    """Make the changes in order, with one audit entry each; rows in `read` need not be read and locked again.

    Return the bucket each row is in ("" for none).

    Raises ValueError for a value its column cannot hold, for a row that is not there, and for one that already is.
    """
    all_writes = with_consequences(session, writes)
    rows = {**read, **live_rows(session, [write.key for write in all_writes if write.key not in read])}
    batch = _Batch({write.key: dict(rows[write.key]) for write in all_writes if write.key in rows})
    done = [batch.take(write) for write in all_writes]
    for (kind, _), steps in groupby(done, key=_run):
        _MAKE[kind](session, list(steps))
    _forget(session, done)
    insert_many(session, _AUDIT, _AUDITED, [_audit_row(step, actor, now) for step in done])
    asked = {id(write) for write in writes}
    return [step.bucket for step in done if id(step.write) in asked]


@dataclass(frozen=True)
class _Done:
    """One change: the columns it sets, and the row before and after."""

    write: RowWrite
    values: dict[str, Any]
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    row_id: UUID

    @property
    def table(self) -> Table:
        return SYNCED[self.write.key.entity].table

    @property
    def bucket(self) -> str:
        return SYNCED[self.write.key.entity].bucket_of(self.after or self.before or {}) or ""


@dataclass
class _Batch:
    """The rows as they are after the changes taken so far."""

    rows: dict[RowKey, dict[str, Any]]
    _tables: dict[str, Mapping[str, Column[Any]]] = field(default_factory=dict[str, Mapping[str, Column[Any]]])

    def take(self, write: RowWrite) -> _Done:
        """Work one change out."""
        row_id, standing = UUID(write.key.row), self.rows.get(write.key)
        if (standing is None) is not (write.kind is WriteKind.INSERT):
            raise ValueError(f"there is {'no' if standing is None else 'already'} {write.key}")
        columns = self._columns(write.key.entity)
        values: dict[str, Any] = {}
        after: dict[str, Any] | None = None
        if write.kind is WriteKind.INSERT:
            values = _defaults(columns) | typed(columns, {**ADDED.get(write.key.entity, {}), **write.fields})
            after = dict.fromkeys(columns) | values | {"id": row_id}
        elif write.kind is WriteKind.UPDATE:
            values = beside(write.key.entity, standing or {}, typed(columns, write.fields))
            after = {**(standing or {}), **values}
        self.rows.pop(write.key, None)
        if after is not None:
            self.rows[write.key] = after
        return _Done(write, values, standing, after, row_id)

    def _columns(self, entity: str) -> Mapping[str, Column[Any]]:
        if entity not in self._tables:
            self._tables[entity] = {column.name: column for column in SYNCED[entity].table.columns}
        return self._tables[entity]


def typed(columns: Mapping[str, Column[Any]], fields: Fields) -> dict[str, Any]:
    """Convert JSON values to what the columns hold; raises ValueError naming the first that cannot be.

    Both databases then take, or refuse, the same: SQLite by itself would keep text of any length and NUL characters.
    """
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in columns:
            raise ValueError(f"no such field: {name}")
        if name != "id":
            values[name] = None if value is None else _typed(columns[name], value)
    return values


def _typed(column: Column[Any], value: Any) -> Any:
    kind = column.type.python_type
    if kind is int and isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON knows only numbers
    try:
        held = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{column.name}: {error}") from error
    if not _fits(column, held):
        raise ValueError(f"{column.name} cannot hold this value")
    return held


def _fits(column: Column[Any], held: Any) -> bool:
    if isinstance(held, str):
        length = column.type.length if isinstance(column.type, String) else None
        return "\0" not in held and (length is None or len(held) <= length)
    if isinstance(held, datetime):
        return held.tzinfo is not None
    if isinstance(column.type, Integer) and isinstance(held, int):
        most = BIG_INTEGER_MOST if isinstance(column.type, BigInteger) else INTEGER_MOST
        return -most - 1 <= held <= most
    return True


def _defaults(columns: Mapping[str, Column[Any]]) -> dict[str, Any]:
    defaults = {name: column.default for name, column in columns.items()}
    return {name: default.arg for name, default in defaults.items() if isinstance(default, ScalarElementColumnDefault)}


def _run(done: _Done) -> tuple[WriteKind, str]:
    """Name what can be made at once: any updates, or insertions into, or deletions from, one table.

    Updates of different rows cannot get in each other's way; insertions may wait for their parents, and deletions make
    room for what must be unique.
    """
    kind = done.write.kind
    return kind, "" if kind is WriteKind.UPDATE else done.write.key.entity


def _insert(session: Session, done: Sequence[_Done]) -> None:
    for _, steps in groupby(done, key=lambda step: step.values.keys()):
        session.execute(insert(done[0].table), [{"id": step.row_id, **step.values} for step in steps])


def _update(session: Session, done: Sequence[_Done]) -> None:
    merged: dict[RowKey, dict[str, Any]] = {}
    for step in done:
        merged.setdefault(step.write.key, {}).update(step.values)
    alike: defaultdict[tuple[str, tuple[str, ...]], list[tuple[Any, ...]]] = defaultdict(list)
    for key, values in merged.items():
        names = tuple(sorted(values))
        alike[key.entity, names].append((key.row, *(values[name] for name in names)))
    for (entity, names), rows in alike.items():
        if names:
            update_many(session, SYNCED[entity].table, ("id", *names), rows)


def _delete(session: Session, done: Sequence[_Done]) -> None:
    table = done[0].table
    session.execute(delete(table).where(table.c.id.in_([step.row_id for step in done])))


_MAKE: Final = {WriteKind.INSERT: _insert, WriteKind.UPDATE: _update, WriteKind.DELETE: _delete}
_AUDIT: Final = cast("Table", AuditEntry.__table__)


def _forget(session: Session, done: Sequence[_Done]) -> None:
    """Let the session read these rows anew: its own objects do not know of changes made in sets."""
    if not session.identity_map:
        return
    models = {mapper.local_table: mapper.class_ for mapper in Base.registry.mappers}
    for step in done:
        known = session.identity_map.get(identity_key(models[step.table], step.row_id))
        if known is not None:
            session.expire(known) if step.after is not None else session.expunge(known)


_AUDITED: Final = (
    "id", "at", "person_id", "device_id", "mutation_id", "import_batch_id", "action", "entity", "subject_id", "before",
    "after", "reason",
)  # fmt: skip


def _audit_row(done: _Done, actor: Actor, now: datetime) -> tuple[Any, ...]:
    write = done.write
    touched = done.table.columns if write.kind is WriteKind.DELETE else (done.table.c[name] for name in done.values)
    columns = [column for column in touched if not column.info.get("private")]
    return (
        new_id(), now, actor.person_id, actor.device_id, write.mutation_id or None, None,
        f"{write.key.entity}.{DONE[write.kind]}", write.key.entity, done.row_id,
        json_values(done.before, columns) if done.before is not None else None,
        json_values(done.after, columns) if done.after is not None else None, None,
    )  # fmt: skip
