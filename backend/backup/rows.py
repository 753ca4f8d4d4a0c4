"""Rows as JSON lines, the same from either database, so that a backup of one can be restored on the other.

A line is the row's values in the order of the table's columns. JSON columns are kept as text, so that SQL's NULL stays
different from JSON's null and numbers stay as they were written.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    Integer,
    LargeBinary,
    Select,
    String,
    Table,
    TableClause,
    Text,
    Time,
    Uuid,
    cast,
    column,
    select,
    table,
)
from sqlalchemy.types import TypeEngine, UserDefinedType
from typing_extensions import override

from backend.core.db import UtcDateTime


class _JsonText(UserDefinedType[str]):
    """A JSON column that is given its text."""

    cache_ok = True

    @override
    def get_col_spec(self, **_: Any) -> str:
        return "JSON"


class ColumnShape(msgspec.Struct, frozen=True, array_like=True):
    """A column as a backup names it."""

    name: str
    kind: str


KINDS: Final[Mapping[str, tuple[Any, TypeEngine[Any]]]] = {
    "bool": (bool, Boolean()),
    "bytes": (bytes, LargeBinary()),
    "date": (dt.date, Date()),
    "float": (float, Float(53)),
    "instant": (dt.datetime, UtcDateTime()),
    "int": (int, BigInteger()),
    "json": (str, _JsonText()),
    "text": (str, String()),
    "time": (dt.time, Time()),
    "uuid": (UUID, Uuid()),
}
"""How each kind of value is read from a line, and how it is put into a column."""
_KIND_OF: Final[Sequence[tuple[type[TypeEngine[Any]], str]]] = (
    (UtcDateTime, "instant"), (Uuid, "uuid"), (JSON, "json"), (LargeBinary, "bytes"), (Boolean, "bool"),
    (Date, "date"), (Time, "time"), (Float, "float"), (Integer, "int"), (String, "text"),
)  # fmt: skip


def shape_of(source: Table) -> list[ColumnShape]:
    """Return a table's columns; raises LookupError for a type no backup knows how to keep."""
    return [ColumnShape(str(one.name), _kind(one)) for one in source.columns]


def _kind(one: Column[Any]) -> str:
    for known, kind in _KIND_OF:
        if isinstance(one.type, known):
            return kind
    msg = f"{one} has a type backups cannot keep: {one.type!r}"
    raise LookupError(msg)


def reading(source: Table) -> Select[Any]:
    """Return the query for all rows of a table, in the order of its columns."""
    return select(*(cast(one, Text) if isinstance(one.type, JSON) else one for one in source.columns))


def line(values: Sequence[Any]) -> bytes:
    """Return a row as a line."""
    return msgspec.json.encode(list(values)) + b"\n"


class RowReader:
    """Reads the lines of one table as it was when the backup was made."""

    def __init__(self, name: str, columns: Sequence[ColumnShape]) -> None:
        self._names = [one.name for one in columns]
        self._decoder = msgspec.json.Decoder(tuple[tuple(KINDS[one.kind][0] | None for one in columns)])
        self.target: TableClause = table(name, *(column(one.name, KINDS[one.kind][1]) for one in columns))
        """The table to insert into."""

    def read(self, text: bytes) -> dict[str, Any]:
        """Return a line's row by column; raises msgspec.DecodeError."""
        return dict(zip(self._names, self._decoder.decode(text), strict=True))
