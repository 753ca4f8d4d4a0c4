"""The commit clock and the change feed: what phones pull, in an order that can miss nothing.

`stamp` runs as the last step of every writing transaction. Triggers note each touched row of a synced table in
`unstamped`; stamping turns the notes into entries of `change` and deletes them. A note left over breaks a deferred
foreign key, so the database itself refuses to COMMIT an unstamped write, whichever path it came from.

The clock row is the last lock a transaction takes, after its buckets in sorted order: commit order equals `v` order.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
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
    Select,
    String,
    Table,
    Text,
    Uuid,
    bindparam,
    delete,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from backend.core.bulk import among, update_many, upsert_many
from backend.core.db import Base, insert_ignoring
from sync.feed import CHECKSUM_MODULUS, entry_sum

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
    Index("ix_change_page", "bucket", "entity", "row_id"),
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
    touched = [(row.entity, row.row_id) for row in session.execute(_OF_THIS_TRANSACTION[_dialect(session)]).all()]
    if not touched:
        return None
    old = _standing(session, touched)
    fresh = _fresh(session, touched)
    buckets = _lock_buckets(session, {entry.bucket for entry in fresh} | {bucket_name for _, _, bucket_name in old})
    v = session.execute(update(commit_clock).values(v=commit_clock.c.v + 1).returning(commit_clock.c.v)).scalar_one()
    if buckets:  # rows no phone holds leave no entry, only the step of the clock
        _write(session, v, fresh, old, buckets)
        _hint(session, v, buckets)
    session.execute(_STAMPED[_dialect(session)])
    return v


def _hint(session: Session, v: int, names: Collection[str]) -> None:
    """Let who watches the feed know, once this commits; where the database cannot tell, they look for themselves."""
    if _dialect(session) != "postgresql":
        return
    told = " ".join((str(v), *names))
    payload = told if len(told.encode()) <= HINT_BYTES else str(v)
    session.execute(text("SELECT pg_notify(:channel, :payload)"), {"channel": HINT_CHANNEL, "payload": payload})


def current(session: Session) -> tuple[int, UUID]:
    """Return the commit clock as this snapshot sees it: (v, epoch)."""
    row = session.execute(select(commit_clock.c.v, commit_clock.c.epoch)).one()
    return row.v, row.epoch


def _dialect(session: Session) -> str:
    return session.get_bind().dialect.name


_MINE: Final = {
    "sqlite": unstamped.c.tx == 0,
    "postgresql": unstamped.c.tx == literal_column("pg_current_xact_id()::text::bigint"),
}
"""SQLite has one writer at a time."""
_OF_THIS_TRANSACTION: Final = {
    name: select(unstamped.c.entity, unstamped.c.row_id).where(mine) for name, mine in _MINE.items()
}
_STAMPED: Final = {name: delete(unstamped).where(mine) for name, mine in _MINE.items()}


def _standing(session: Session, touched: Sequence[tuple[str, UUID]]) -> dict[tuple[str, UUID, str], int]:
    """Return the live entries of the touched rows, each with its checksum; they may be in a bucket the row has left."""
    return {
        (entity, row_id, name): checksum
        for entity, row_ids in _by_entity(touched).items()
        for row_id, name, checksum in session.execute(_STANDING, {"entity": entity, "ids": row_ids}).all()
    }


def _fresh(session: Session, touched: Sequence[tuple[str, UUID]]) -> list[_Entry]:
    """Read the touched rows as they are now and encode each as phones will get it."""
    entries: list[_Entry] = []
    for entity, row_ids in _by_entity(touched).items():
        source = SYNCED[entity]
        private = [column.name for column in source.table.columns if column.info.get("private")]
        names = source.table.columns.keys()
        for values in session.execute(_rows_of(entity), {"ids": row_ids}).all():
            row = dict(zip(names, values, strict=True))
            name = source.bucket_of(row)
            if name is not None:
                row_id = row["id"]
                for hidden in private:
                    del row[hidden]
                entries.append(_Entry(entity, row_id, name, msgspec.json.encode(row, order="sorted").decode()))
    return entries


@cache
def _rows_of(entity: str) -> Select[Any]:
    table = SYNCED[entity].table
    return select(*table.columns).where(among(table.c.id, "ids"))


def _by_entity(touched: Sequence[tuple[str, UUID]]) -> dict[str, list[UUID]]:
    ids: defaultdict[str, list[UUID]] = defaultdict(list)
    for entity, row_id in touched:
        ids[entity].append(row_id)
    return ids


def _lock_buckets(session: Session, names: set[str]) -> dict[str, tuple[int, int]]:
    """Lock the buckets in sorted order, those that are not there yet first; return (live rows, checksum) of each.

    Nobody waits in a circle: while new ones are made, no lock of an old one is held.
    """
    wanted = {"names": sorted(names)}
    known = set(session.scalars(_KNOWN, wanted))
    missing = [name for name in wanted["names"] if name not in known]
    if missing:
        insert_ignoring(
            session, bucket, [{"name": name, "head_v": 0, "live_count": 0, "checksum": 0} for name in missing]
        )
    return {row.name: (row.live_count, row.checksum) for row in session.execute(_LOCKED, wanted).all()}


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
    update_many(
        session, bucket, ("name", "head_v", "live_count", "checksum"),
        [(name, v, count, total) for name, (count, total) in buckets.items()],
    )  # fmt: skip


def _upsert(session: Session, v: int, entries: Sequence[_Entry]) -> None:
    upsert_many(
        session, change, ("entity", "row_id", "bucket", "v", "deleted", "checksum", "body"),
        [
            (entry.entity, entry.row_id, entry.bucket, v, not entry.body, entry.checksum, entry.body)
            for entry in entries
        ],
    )  # fmt: skip


_STANDING: Final = select(change.c.row_id, change.c.bucket, change.c.checksum).where(
    change.c.entity == bindparam("entity"), among(change.c.row_id, "ids"), change.c.deleted.is_(False)
)
_KNOWN: Final = select(bucket.c.name).where(among(bucket.c.name, "names"))
_LOCKED: Final = select(bucket).where(among(bucket.c.name, "names")).order_by(bucket.c.name).with_for_update()
