"""The commit clock and the change feed: what phones pull, in an order that can miss nothing.

`stamp` runs as the last step of every writing transaction. Triggers note each touched row of a synced table in
`unstamped`; stamping turns the notes into entries of `change` and deletes them. A note left over breaks a deferred
foreign key, so the database itself refuses to COMMIT an unstamped write, whichever path it came from.

The clock row is the last lock a transaction takes, after its buckets in sorted order: commit order equals `v` order.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from string import Formatter
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    RowMapping,
    String,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.core.db import Base, insert_ignoring
from sync.feed import CHECKSUM_MODULUS, entry_sum

ROWS_A_STATEMENT: Final = 500
"""Rows named in one IN list; SQLite allows 32,766 variables."""
BUCKET_LENGTH: Final = 80
HINT_CHANNEL: Final = "paigong_hint"
HINT_BYTES: Final = 7_000
"""Bytes of a notification that names buckets; PostgreSQL takes 8,000. A longer one has only the `v`: for everybody."""

commit_clock = Table(
    "commit_clock",
    Base.metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="single"), primary_key=True),
    Column("v", BigInteger, nullable=False),
    Column("epoch", Uuid, nullable=False),
)


def _by_code_point(length: int) -> String:
    """Text that both databases sort alike, so that pages of a pull come in one order."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


bucket = Table(
    "bucket",
    Base.metadata,
    Column("name", _by_code_point(BUCKET_LENGTH), primary_key=True),
    Column("head_v", BigInteger, nullable=False),
    Column("live_count", Integer, nullable=False),
    Column("checksum", BigInteger, nullable=False),
)
change = Table(
    "change",
    Base.metadata,
    Column("entity", _by_code_point(40), primary_key=True),
    Column("row_id", Uuid, primary_key=True),
    Column("bucket", _by_code_point(BUCKET_LENGTH), primary_key=True),
    Column("v", BigInteger, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("checksum", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_change_bucket_v", "bucket", "v"),
)
never = Table("never", Base.metadata, Column("id", Integer, CheckConstraint("1 = 0", name="empty"), primary_key=True))
unstamped = Table(
    "unstamped",
    Base.metadata,
    Column("tx", BigInteger, primary_key=True, autoincrement=False),
    Column("entity", String(40), primary_key=True),
    Column("row_id", Uuid, primary_key=True),
    Column(
        "never_id", Integer, ForeignKey("never.id", deferrable=True, initially="DEFERRED"), nullable=False,
        server_default=text("1"),
    ),
)  # fmt: skip


Model = TypeVar("Model", bound=type[Base])
Item = TypeVar("Item")


@dataclass(frozen=True)
class SyncedTable:
    """A table whose rows phones hold. `bucket` is a template over its columns; a row with a None there is not sent.

    Or it is in the bucket `otherwise` names, if there is one.
    """

    table: Table
    bucket: str
    otherwise: str | None = None

    def bucket_of(self, row: Mapping[Any, Any]) -> str | None:
        """Return the one bucket the row is in, or None for a row no phone holds."""
        for template in filter(None, (self.bucket, self.otherwise)):
            values = {name: row[name] for name in _names_in(template)}
            if None not in values.values():
                return template.format_map(values)
        return None

    def columns(self) -> list[Column[Any]]:
        """The columns a phone may see, in table order."""
        return [column for column in self.table.columns if not column.info.get("private")]


@cache
def _names_in(template: str) -> tuple[str, ...]:
    return tuple(name for _, name, _, _ in Formatter().parse(template) if name)


SYNCED: Final[dict[str, SyncedTable]] = {}
"""Every synced table by name; the name is the entity's name on the wire."""


def synced(bucket: str, *, otherwise: str | None = None) -> Callable[[Model], Model]:
    """Declare a table as synced: `@synced("job:{work_order_id}")`. Its triggers come with a migration."""

    def declare(model: Model) -> Model:
        table = cast("Table", model.__table__)
        SYNCED[table.name] = SyncedTable(table, bucket, otherwise)
        return model

    return declare


@dataclass(frozen=True)
class _Entry:
    entity: str
    row_id: UUID
    bucket: str
    body: str
    """Empty for a tombstone."""

    @property
    def checksum(self) -> int:
        return entry_sum(self.entity, str(self.row_id), self.body) if self.body else 0


def stamp(session: Session) -> int | None:
    """Give everything this transaction wrote to synced tables the next `v`; return it, or None if nothing was."""
    mine = unstamped.c.tx == _transaction_id(session)
    touched = [
        (row.entity, row.row_id) for row in session.execute(select(unstamped.c.entity, unstamped.c.row_id).where(mine))
    ]
    if not touched:
        return None
    old = _standing(session, touched)
    fresh = _fresh(session, touched)
    buckets = _lock_buckets(session, {entry.bucket for entry in fresh} | {bucket_name for _, _, bucket_name in old})
    v = session.execute(update(commit_clock).values(v=commit_clock.c.v + 1).returning(commit_clock.c.v)).scalar_one()
    if buckets:  # rows no phone holds leave no entry, only the step of the clock
        _write(session, v, fresh, old, buckets)
        _hint(session, v, buckets)
    session.execute(delete(unstamped).where(mine))
    return v


def _hint(session: Session, v: int, names: Collection[str]) -> None:
    """Let who watches the feed know, once this commits; where the database cannot tell, they look for themselves."""
    if session.get_bind().dialect.name != "postgresql":
        return
    told = " ".join((str(v), *names))
    payload = told if len(told.encode()) <= HINT_BYTES else str(v)
    session.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": HINT_CHANNEL, "payload": payload})


def current(session: Session) -> tuple[int, UUID]:
    """Return the commit clock as this snapshot sees it: (v, epoch)."""
    row = session.execute(select(commit_clock.c.v, commit_clock.c.epoch)).one()
    return row.v, row.epoch


def _transaction_id(session: Session) -> int:
    if session.get_bind().dialect.name == "sqlite":
        return 0
    return session.execute(text("SELECT pg_current_xact_id()::text::bigint")).scalar_one()


def _standing(session: Session, touched: Sequence[tuple[str, UUID]]) -> dict[tuple[str, UUID, str], int]:
    """Return the live entries of the touched rows, each with its checksum; they may be in a bucket the row has left."""
    standing: dict[tuple[str, UUID, str], int] = {}
    for some in _chunks(touched):
        rows = session.execute(
            select(change.c.entity, change.c.row_id, change.c.bucket, change.c.checksum).where(
                tuple_(change.c.entity, change.c.row_id).in_(some), change.c.deleted.is_(False)
            )
        )
        standing |= {(row.entity, row.row_id, row.bucket): row.checksum for row in rows}
    return standing


def _fresh(session: Session, touched: Sequence[tuple[str, UUID]]) -> list[_Entry]:
    """Read the touched rows as they are now and encode each as phones will get it."""
    ids: defaultdict[str, list[UUID]] = defaultdict(list)
    for entity, row_id in touched:
        ids[entity].append(row_id)
    entries: list[_Entry] = []
    for entity, row_ids in ids.items():
        source = SYNCED[entity]
        columns = source.columns()
        for some in _chunks(row_ids):
            rows = session.execute(select(source.table).where(source.table.c.id.in_(some))).mappings()
            for row in rows:
                name = source.bucket_of(row)
                if name is not None:
                    entries.append(_Entry(entity, row["id"], name, _encode(columns, row)))
    return entries


def _encode(columns: Sequence[Column[Any]], row: RowMapping) -> str:
    return msgspec.json.encode({column.name: row[column.name] for column in columns}, order="sorted").decode()


def _lock_buckets(session: Session, names: set[str]) -> dict[str, tuple[int, int]]:
    """Lock the buckets in sorted order (so that writers never wait in a circle); return what each counts.

    That is (live rows, checksum).
    """
    ordered = sorted(names)
    locked: dict[str, tuple[int, int]] = {}
    for some in _chunks(ordered):
        empty = [{"name": name, "head_v": 0, "live_count": 0, "checksum": 0} for name in some]
        insert_ignoring(session, bucket, empty)
        rows = session.execute(select(bucket).where(bucket.c.name.in_(some)).order_by(bucket.c.name).with_for_update())
        locked |= {row.name: (row.live_count, row.checksum) for row in rows}
    return locked


def _write(
    session: Session,
    v: int,
    fresh: Sequence[_Entry],
    standing: Mapping[tuple[str, UUID, str], int],
    buckets: dict[str, tuple[int, int]],
) -> None:
    now_live = {(entry.entity, entry.row_id, entry.bucket): entry for entry in fresh}
    gone = [_Entry(*key, body="") for key in standing if key not in now_live]
    for key, checksum in standing.items():
        count, total = buckets[key[2]]
        buckets[key[2]] = (count - 1, (total - checksum) % CHECKSUM_MODULUS)
    for entry in fresh:
        count, total = buckets[entry.bucket]
        buckets[entry.bucket] = (count + 1, (total + entry.checksum) % CHECKSUM_MODULUS)
    _upsert(session, v, [*fresh, *gone])
    session.execute(
        update(bucket).where(bucket.c.name == bindparam("key")).values(
            head_v=v, live_count=bindparam("count"), checksum=bindparam("total")
        ),
        [{"key": name, "count": count, "total": total} for name, (count, total) in buckets.items()],
    )  # fmt: skip


def _upsert(session: Session, v: int, entries: Sequence[_Entry]) -> None:
    make = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    statement = make(change)
    new = statement.excluded
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[change.c.entity, change.c.row_id, change.c.bucket],
            set_={"v": new.v, "deleted": new.deleted, "checksum": new.checksum, "body": new.body},
        ),
        [
            {
                "entity": entry.entity, "row_id": entry.row_id, "bucket": entry.bucket, "v": v,
                "deleted": not entry.body, "checksum": entry.checksum, "body": entry.body,
            }
            for entry in entries
        ],
    )  # fmt: skip


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + ROWS_A_STATEMENT] for start in range(0, len(items), ROWS_A_STATEMENT))
