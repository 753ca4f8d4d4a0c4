"""Many rows in one statement, and rows found by many keys: what sync does to hundreds of rows at a time.

The ORM builds each row's parameters anew, and PostgreSQL's driver executes a statement once for every row; of a push
of 200 edits that was half. Here values go to the driver in columns: PostgreSQL takes them as arrays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import JSON, BindParameter, Column, Dialect, LargeBinary, String, Table, Uuid, bindparam
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean, UserDefinedType
from typing_extensions import override

Value = Any
"""What a column holds; an id may also be given as UUID text."""


def insert_many(session: Session, table: Table, names: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
    """Insert rows, their values in the order of `names`; a column that is not named gets what the database gives it."""
    _execute(session, "insert", table, names, rows)


def upsert_many(session: Session, table: Table, names: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
    """Insert rows, or replace what is named of those whose key is taken. No two of them have the same key."""
    _execute(session, "upsert", table, names, rows)


def update_many(session: Session, table: Table, names: Sequence[str], rows: Sequence[Sequence[Value]]) -> None:
    """Change the rows whose key is the first value of each; `names` are the key's column and those that change."""
    _execute(session, "update", table, names, rows)


class among(FunctionElement[bool]):  # noqa: N801 - reads as a word of SQL
    """Whether a column is one of the ids or texts a parameter lists: `among(table.c.id, "ids")`.

    One parameter, however many there are: the statement stays the same, and its plan is kept.
    """

    inherit_cache = True
    type = Boolean()

    def __init__(self, column: Column[Any], parameter: str) -> None:
        listed: BindParameter[Any] = bindparam(parameter, type_=_Listed(isinstance(column.type, Uuid)))
        super().__init__(column, listed)


class _Listed(UserDefinedType[Any]):
    """A list as a parameter: an array, or JSON where there are no arrays."""

    cache_ok = True

    def __init__(self, of_ids: bool) -> None:  # noqa: FBT001 - part of the type's cache key, by position
        self.of_ids = of_ids

    @override
    def bind_processor(self, dialect: Dialect) -> Any:
        if dialect.name != "sqlite":
            return list
        digits = _digits if self.of_ids else str

        def listed(value: Any) -> str:
            return msgspec.json.encode([digits(one) for one in value]).decode()

        return listed


@compiles(among, "sqlite")
def _in_json(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, listed = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({listed}))"  # noqa: S608 - rendered parts


@compiles(among, "postgresql")
def _in_array(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, listed = (compiler.process(one, **options) for one in element.clauses)
    return f"{column} = ANY({listed})"


Doing = Literal["insert", "upsert", "update"]


@dataclass(frozen=True)
class _Statement:
    sql: str
    converters: tuple[tuple[int, Callable[[Value], Any]], ...]
    """For the columns whose values the driver does not take as they are, by their place."""


def _execute(
    session: Session, doing: Doing, table: Table, names: Sequence[str], rows: Sequence[Sequence[Value]]
) -> None:
    if not rows:
        return
    dialect = session.get_bind().dialect
    statement = _statement(dialect, doing, table, tuple(names))
    given = [list(row) for row in rows]
    for place, convert in statement.converters:
        for row in given:
            row[place] = convert(row[place])
    connection = session.connection()
    if dialect.name == "sqlite":
        connection.exec_driver_sql(statement.sql, [tuple(row) for row in given])
    else:
        connection.exec_driver_sql(statement.sql, tuple(list(column) for column in zip(*given, strict=True)))


@lru_cache(maxsize=256)
def _statement(dialect: Dialect, doing: Doing, table: Table, names: tuple[str, ...]) -> _Statement:
    columns = [table.c[name] for name in names]
    converters = tuple(
        (place, convert) for place, column in enumerate(columns) if (convert := _converter(column, dialect)) is not None
    )
    quoted = [dialect.identifier_preparer.quote(name) for name in names]
    write = _for_each_row if dialect.name == "sqlite" else _from_arrays
    return _Statement(write(doing, table, columns, quoted), converters)


def _for_each_row(doing: Doing, table: Table, columns: Sequence[Column[Any]], names: Sequence[str]) -> str:
    if doing == "update":
        changes = ", ".join(f"{name} = ?{place}" for place, name in enumerate(names[1:], start=2))
        return f"UPDATE {table.name} SET {changes} WHERE {names[0]} = ?1"  # noqa: S608 - names of our own tables
    values = ", ".join("?" for _ in names)
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({values}){_replacing(doing, columns, names)}"  # noqa: S608 - names of our own tables


def _from_arrays(doing: Doing, table: Table, columns: Sequence[Column[Any]], names: Sequence[str]) -> str:
    arrays = ", ".join(f"${place}::{_array_type(column)}[]" for place, column in enumerate(columns, start=1))
    many = f"unnest({arrays}) AS many ({', '.join(names)})"
    values = [_value(column, name) for column, name in zip(columns, names, strict=True)]
    if doing == "update":
        changes = ", ".join(f"{name} = {value}" for name, value in zip(names[1:], values[1:], strict=True))
        return f"UPDATE {table.name} SET {changes} FROM {many} WHERE {table.name}.{names[0]} = {values[0]}"  # noqa: S608 - names of our own tables
    return f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {', '.join(values)} FROM {many}{_replacing(doing, columns, names)}"  # noqa: S608, E501 - names of our own tables


def _replacing(doing: Doing, columns: Sequence[Column[Any]], names: Sequence[str]) -> str:
    if doing == "insert":
        return ""
    key = ", ".join(name for column, name in zip(columns, names, strict=True) if column.primary_key)
    rest = [name for column, name in zip(columns, names, strict=True) if not column.primary_key]
    return f" ON CONFLICT ({key}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in rest)}"


def _array_type(column: Column[Any]) -> str:
    """Return the type of an array's elements; of text the column itself judges the length."""
    if isinstance(column.type, (String, JSON)):
        return "text"
    return "bytea" if isinstance(column.type, LargeBinary) else column.type.compile(dialect=_POSTGRESQL)


def _value(column: Column[Any], name: str) -> str:
    return (
        f"many.{name}::{column.type.compile(dialect=_POSTGRESQL)}" if isinstance(column.type, JSON) else f"many.{name}"
    )


def _converter(column: Column[Any], dialect: Dialect) -> Callable[[Value], Any] | None:
    if isinstance(column.type, Uuid):
        return _digits if dialect.name == "sqlite" else None
    return column.type.dialect_impl(dialect).bind_processor(dialect)


def _digits(value: UUID | str | None) -> str | None:
    if value is None:
        return None
    return value.hex if isinstance(value, UUID) else value.replace("-", "")


_POSTGRESQL: Final = PGDialect()
