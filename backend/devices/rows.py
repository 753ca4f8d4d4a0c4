"""Rows of synced tables as sync sees them: columns as JSON values, with the bucket they are in."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

import msgspec
from sqlalchemy import Column, RowMapping, Select, Table, bindparam, select
from sqlalchemy.orm import Session

from backend.core.audit import AuditEntry
from backend.core.bulk import among
from backend.core.changes import SYNCED, change
from sync.limits import SUCCESSOR_HOPS
from sync.policy import SUCCESSOR
from sync.store import Fields, Row, RowKey

REMOVED: Final = "removed"
"""Ends the name of the audit entry that keeps what a deleted row was."""


class Standing(NamedTuple):
    """What the change feed last said of a row: in which bucket it was, and since when."""

    bucket: str
    v: int


def known_rows(
    session: Session, keys: Collection[RowKey], live: Mapping[RowKey, Mapping[str, Any]]
) -> dict[RowKey, Row]:
    """Return the rows that are, or were, in some bucket, of which `live` exist; those gone say so.

    A row made in this transaction is known before the feed has it; its `v` is 0. So it is of a row that went so long
    ago that the feed has forgotten it: the audit trail still knows where it was.
    """
    known = [key for key in keys if key.entity in SYNCED]
    standing = _standing(session, known)
    found: dict[RowKey, Row] = {}
    for key in known:
        row = live.get(key)
        bucket = SYNCED[key.entity].bucket_of(row) if row is not None else None
        last = standing.get(key)
        if row is not None and bucket is not None:
            found[key] = Row(key, bucket, fields_of(key.entity, row), deleted=False, v=last.v if last else 0)
        elif last is not None:
            found[key] = Row(key, last.bucket, {}, deleted=True, v=last.v)
    gone = _gone(session, [key for key in known if key not in found and key not in live])
    return found | {key: Row(key, name, {}, deleted=True, v=0) for key, name in gone.items()}


def live_rows(session: Session, keys: Collection[RowKey]) -> dict[RowKey, Mapping[str, Any]]:
    """Read and lock rows in one order, so that two writers never wait for each other in a circle.

    The lock leaves rows that merely refer to these alone.
    """
    live: dict[RowKey, Mapping[str, Any]] = {}
    for entity, row_ids in by_entity(key for key in keys if key.entity in SYNCED).items():
        names = SYNCED[entity].table.columns.keys()
        for values in session.execute(_locked(entity), {"ids": row_ids}).all():
            row = dict(zip(names, values, strict=True))
            live[RowKey(entity, str(row["id"]))] = row
    return live


@cache
def _locked(entity: str) -> Select[Any]:
    table = SYNCED[entity].table
    wanted = select(*table.columns).where(among(table.c.id, "ids"))
    return wanted.order_by(table.c.id).with_for_update(key_share=True)


def seen_row(session: Session, key: RowKey) -> Row | None:
    """Return a row to look at, unlocked; of a record merged into another, the one that stands."""
    table = SYNCED[key.entity].table
    row = _seen(session, table, UUID(key.row))
    for _ in range(SUCCESSOR_HOPS):
        following = row.get(SUCCESSOR) if row else None
        row = (_seen(session, table, following) if following else None) or row
    if row is None:
        return None
    bucket = SYNCED[key.entity].bucket_of(row) or ""
    return Row(RowKey(key.entity, str(row["id"])), bucket, fields_of(key.entity, row), deleted=False, v=0)


def _seen(session: Session, table: Table, row_id: UUID) -> RowMapping | None:
    return session.execute(select(table).where(table.c.id == row_id)).mappings().one_or_none()


def by_entity(keys: Iterable[RowKey]) -> dict[str, list[str]]:
    """Return the ids of each table's rows; tables by name."""
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for key in sorted(set(keys), key=lambda key: (key.entity, key.row)):
        ids[key.entity].append(key.row)
    return ids


def fields_of(entity: str, row: Mapping[Any, Any]) -> Fields:
    """Return the columns a phone may see, as the JSON values it is sent."""
    return json_values(row, SYNCED[entity].columns())


def json_values(row: Mapping[Any, Any], columns: Iterable[Column[Any]]) -> dict[str, Any]:
    """Return these columns of a row as JSON values."""
    return msgspec.to_builtins({column.name: row[column.name] for column in columns})


def _standing(session: Session, keys: Collection[RowKey]) -> dict[RowKey, Standing]:
    """Return each row's newest entry: the bucket it is in, or the one it left last."""
    return {
        RowKey(entity, str(row_id)): Standing(bucket, v)
        for entity, row_ids in by_entity(keys).items()
        for row_id, bucket, v in session.execute(_LISTED, {"entity": entity, "ids": row_ids}).all()
    }


def _gone(session: Session, keys: Collection[RowKey]) -> dict[RowKey, str]:
    """Return in which bucket each row was when it was removed, as far as the audit trail says so."""
    gone: dict[RowKey, str] = {}
    for entity, row_ids in by_entity(keys).items():
        asked = {"entity": entity, "action": f"{entity}.{REMOVED}", "ids": row_ids}
        for row_id, before in session.execute(_REMOVED, asked).all():
            with suppress(KeyError):  # an entry that does not say what the row belonged to
                name = SYNCED[entity].bucket_of({"id": row_id, **(before or {})})
                gone |= {RowKey(entity, str(row_id)): name} if name else {}
    return gone


_TRAIL: Final = cast("Table", AuditEntry.__table__)
_REMOVED: Final = (
    select(_TRAIL.c.subject_id, _TRAIL.c.before)
    .where(_TRAIL.c.entity == bindparam("entity"), _TRAIL.c.action == bindparam("action"))
    .where(among(_TRAIL.c.subject_id, "ids"))
    .order_by(_TRAIL.c.at, _TRAIL.c.id)
)
_LISTED: Final = (
    select(change.c.row_id, change.c.bucket, change.c.v)
    .where(change.c.entity == bindparam("entity"), among(change.c.row_id, "ids"))
    .order_by(change.c.v, change.c.deleted.desc())
)
