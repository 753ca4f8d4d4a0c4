"""What tables are made of: the base classes, the naming of constraints and the column types both databases share."""

from collections.abc import Mapping, Sequence
from datetime import MAXYEAR, UTC, date, datetime
from typing import Any, ClassVar, Final, cast
from uuid import UUID

from sqlalchemy import JSON, DateTime, Dialect, ForeignKey, FromClause, MetaData, String, Table, Uuid
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import TypeDecorator
from typing_extensions import override

from backend.core.ids import new_id

NAMING: Final = {
    "ix": "ix_%(column_0_N_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC instant in microseconds. SQLite keeps it without offset; a naive value is refused on the way in."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "an instant in storage must be aware"
            raise ValueError(msg)
        utc = _in_utc(value)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _in_utc(value: datetime) -> datetime:
    """Return the instant in UTC; one beyond the calendar's ends (a phone with a broken clock) is kept as the end."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC) if value.year == MAXYEAR else datetime.min.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Every table's base. Columns marked `info={"private": True}` never leave the server in the change feed."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime(),
        UUID: Uuid(),
        dict[str, Any]: JSON(),
        list[Any]: JSON(),
    }


class Row(Base):
    """A table with a UUIDv7 key; the key carries the time of creation, so there is no column for it."""

    __abstract__ = True

    id: Mapped[UUID] = mapped_column(primary_key=True)

    def __init__(self, **values: object) -> None:
        super().__init__(**{"id": new_id(), **values})


class Imported:
    """Columns of a table that `paigong import` fills: idempotent by external id, undone by batch."""

    external_id: Mapped[str | None] = mapped_column(String(120), unique=True)
    import_batch_id: Mapped[UUID | None] = mapped_column(ForeignKey("import_batch.id"), index=True)
    go_live_on: Mapped[date | None]
    """Clocks and inspections before this day stay out of the figures."""


def personal(kind: str, retention: str) -> dict[str, Any]:
    """Column info that marks personal data: its class (`name`, `contact`, `location` …) and the rule that ends it."""
    return {"personal": kind, "retention": retention}


def insert_ignoring(session: Session, table: FromClause, rows: Sequence[Mapping[str, Any]]) -> int:
    """Insert rows, passing over those whose key is taken; return how many were new. The same on both databases.

    A row another transaction is inserting is waited for, so a key belongs to exactly one of them.
    """
    target = cast("Table", table)
    make = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    inserted = make(target).on_conflict_do_nothing().returning(*target.primary_key.columns)
    return len(session.execute(inserted, list(rows)).all())


def upsert(session: Session, table: FromClause, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, replacing the other columns of those whose key is taken; the same on both databases."""
    target = cast("Table", table)
    statement = (postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert)(target)
    replaced = {column.name: statement.excluded[column.name] for column in target.columns if not column.primary_key}
    key = list(target.primary_key.columns)
    session.execute(statement.on_conflict_do_update(index_elements=key, set_=replaced), list(rows))
