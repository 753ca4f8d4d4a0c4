"""Rows of synced tables as sync sees them: columns as JSON values, with the bucket they are in."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import Column, RowMapping, Table, select, tuple_
from sqlalchemy.orm import Session

from backend.core.changes import SYNCED, change
from sync.limits import SUCCESSOR_HOPS
from sync.policy import SUCCESSOR
from sync.store import Fields, Row, RowKey


class Standing(NamedTuple):
    """What the change feed last said of a row: in which bucket it was, and since when."""

    bucket: str
    v: int


def known_rows(session: Session, keys: Collection[RowKey]) -> dict[RowKey, Row]:
    """Return the rows that are, or were, in some bucket, locked against other writers; those gone say so.

    A row made in this transaction is known before the feed has it; its `v` is 0.
    """
    known = [key for key in keys if key.entity in SYNCED]
    live = live_rows(session, known)
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
    return found


def live_rows(session: Session, keys: Collection[RowKey]) -> dict[RowKey, RowMapping]:
    """Read and lock rows in one order, so that two writers never wait for each other in a circle.

    The lock leaves rows that merely refer to these alone.
    """
    live: dict[RowKey, RowMapping] = {}
    for entity, row_ids in by_entity(keys).items():
        table = SYNCED[entity].table
        wanted = select(table).where(table.c.id.in_(row_ids)).order_by(table.c.id).with_for_update(key_share=True)
        live |= {RowKey(entity, str(row["id"])): row for row in session.execute(wanted).mappings()}
    return live


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


def by_entity(keys: Iterable[RowKey]) -> dict[str, list[UUID]]:
    """Return the ids of each table's rows; tables by name."""
    ids: defaultdict[str, list[UUID]] = defaultdict(list)
    for key in sorted(set(keys), key=lambda key: (key.entity, key.row)):
        ids[key.entity].append(UUID(key.row))
    return ids


def fields_of(entity: str, row: Mapping[Any, Any]) -> Fields:
    """Return the columns a phone may see, as the JSON values it is sent."""
    return json_values(row, SYNCED[entity].columns())


def json_values(row: Mapping[Any, Any], columns: Iterable[Column[Any]]) -> dict[str, Any]:
    """Return these columns of a row as JSON values."""
    return msgspec.to_builtins({column.name: row[column.name] for column in columns})


def _standing(session: Session, keys: Collection[RowKey]) -> dict[RowKey, Standing]:
    """Return each row's newest entry: the bucket it is in, or the one it left last."""
    wanted = [(key.entity, UUID(key.row)) for key in keys]
    if not wanted:
        return {}
    listed = (
        select(change.c.entity, change.c.row_id, change.c.bucket, change.c.v)
        .where(tuple_(change.c.entity, change.c.row_id).in_(wanted))
        .order_by(change.c.v, change.c.deleted.desc())
    )
    return {RowKey(row.entity, str(row.row_id)): Standing(row.bucket, row.v) for row in session.execute(listed)}
