"""Sync's storage in SQL: the snapshot pulls read, and the store both sides are opened from (see sync/store.py)."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Executable, String, Uuid, and_, bindparam, or_, select, tuple_, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from backend.core.audit import SYSTEM, Actor
from backend.core.changes import change, commit_clock
from backend.core.sessions import Database
from backend.devices.models import DeviceIncarnation, DeviceView
from backend.devices.scope import scope_of
from backend.devices.transaction import SqlTransaction
from backend.devices.transience import reachable, telling_transient
from backend.people.models import Device
from sync.feed import Entry, Position, Scope, View, Want
from sync.protocol import is_uuid
from sync.store import DeviceState

UUID_DIGITS: Final = 32
NOWHERE: Final = UUID(int=0)
"""Before every row, and the name of no numbering."""


class SqlSnapshot:
    """One instant of the database."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def device(self, device: str, incarnation: str) -> DeviceState | None:
        """See sync.store.Snapshot: the device, its views and the commit clock in one query."""
        asked = await self._session.execute(_DEVICE, _asked_of(device, incarnation))
        return _state(asked.all())

    async def scope(self, person: str, now: datetime) -> Scope:
        """See sync.store.Snapshot."""
        return await self._session.run_sync(scope_of, person, now)

    async def entries(self, want: Want, after: Position | None, limit: int) -> Sequence[Entry]:
        """See sync.store.Snapshot."""
        wanted, asked = _WANTED[bool(want.fresh), bool(want.stayed)], {"most": limit, **_named(want)}
        if after is not None:
            wanted = wanted.where(_BEYOND)
            row_id = UUID(after.row) if after.row else NOWHERE
            asked |= {"after_bucket": after.bucket, "after_entity": after.entity, "after_row": row_id}
        return await self._session.run_sync(_entries, wanted, asked)


class MoreNeeded(Exception):
    """A pull that asks for more than the device's own state."""


class Glance:
    """A store that knows devices only, by one lookup: enough for the pull that finds nothing new, which most do.

    Whoever asks it for more has to begin again with a snapshot, so that all of an answer belongs to one instant.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.state: DeviceState | None = None
        """What it last saw of a device."""

    @asynccontextmanager
    async def read(self) -> AsyncGenerator["Glance"]:
        """See sync.store.Store."""
        async with telling_transient():
            yield self

    async def device(self, device: str, incarnation: str) -> DeviceState | None:
        """See sync.store.Snapshot."""
        self.state = _state(await self._database.look_up(_DEVICE, _asked_of(device, incarnation)))
        return self.state

    async def scope(self, person: str, now: datetime) -> Scope:  # noqa: ARG002
        """Raise MoreNeeded."""
        raise MoreNeeded

    async def entries(self, want: Want, after: Position | None, limit: int) -> Sequence[Entry]:  # noqa: ARG002
        """Raise MoreNeeded."""
        raise MoreNeeded

    def write(self) -> AbstractAsyncContextManager[Any]:
        """Raise MoreNeeded."""
        raise MoreNeeded


class SqlStore:
    """Where sync keeps everything, for one request: `actor` and `now` go into the audit trail of what it pushes."""

    def __init__(self, database: Database, actor: Actor = SYSTEM, *, now: datetime) -> None:
        self._database = database
        self._actor = actor
        self._now = now

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[SqlSnapshot]:
        """Open one snapshot."""
        async with reachable(self._database.read(short=True)) as session:
            yield SqlSnapshot(session)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[SqlTransaction]:
        """Open one transaction; leaving it stamps and commits, an exception undoes it."""
        async with reachable(self._database.write(short=True)) as session:
            yield SqlTransaction(session, self._actor, self._now)


def _entries(session: Session, wanted: Executable, asked: Mapping[str, Any]) -> list[Entry]:
    """Read rows of the feed as the driver gives them: of five thousand, what is done to each counts."""
    found: Iterable[Sequence[Any]] = session.connection().execute(wanted, asked).all()
    return [
        Entry(name, entity, _hyphened(row_id), v, bool(deleted), body)
        for name, entity, row_id, v, deleted, body in found
    ]


def _named(want: Want) -> dict[str, Any]:
    """Return the parameters of what is wanted, of the parts that are."""
    asked: dict[str, Any] = {"fresh": want.fresh} if want.fresh else {}
    return asked | ({"stayed": want.stayed, "since": want.since} if want.stayed else {})


def _hyphened(row_id: Any) -> str:
    """Return an id as UUID text; SQLite keeps it as 32 digits."""
    text = str(row_id)
    if len(text) == UUID_DIGITS:
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    return text


def _asked_of(device: str, incarnation: str) -> dict[str, UUID]:
    return {"device": UUID(device), "numbering": UUID(incarnation) if is_uuid(incarnation) else NOWHERE}


def _state(rows: Sequence[Any]) -> DeviceState | None:
    if not rows:
        return None
    first = rows[0]
    return DeviceState(
        person=str(first.person_id), revoked=first.revoked_at is not None, revision=first.view_revision,
        acked_n=first.acked_n, views={str(row.generation): _view(row) for row in rows if row.generation},
        epoch=str(first.epoch), v=first.clock_v, durable_n=first.durable_n,
    )  # fmt: skip


def _view(row: Any) -> View:
    return View(
        generation=str(row.generation), v=row.v, buckets=row.buckets, valid_until=row.valid_until,
        served_at=row.served_at,
    )  # fmt: skip


# Built once: they are asked at every pull.
_DEVICE: Final = (
    select(
        Device.person_id, Device.revoked_at, Device.view_revision, DeviceIncarnation.acked_n,
        DeviceIncarnation.durable_n,
        commit_clock.c.epoch, commit_clock.c.v.label("clock_v"), DeviceView.generation, DeviceView.v,
        DeviceView.buckets, DeviceView.valid_until, DeviceView.served_at,
    )
    .select_from(Device)
    .join(commit_clock, commit_clock.c.id == 1)
    .outerjoin(
        DeviceIncarnation,
        and_(DeviceIncarnation.device_id == Device.id, DeviceIncarnation.incarnation == bindparam("numbering")),
    )
    .outerjoin(DeviceView, DeviceView.device_id == Device.id)
    .where(Device.id == bindparam("device"))
)  # fmt: skip


class _Utf8(FunctionElement[Any]):
    """A text as its bytes, which go out as they are: nothing is gained by making characters of them."""

    type = NullType()
    inherit_cache = True


@compiles(_Utf8, "sqlite")
def _blob(element: _Utf8, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS BLOB)"


@compiles(_Utf8, "postgresql")
def _bytea(element: _Utf8, compiler: SQLCompiler, **options: Any) -> str:
    return f"convert_to({compiler.process(element.clauses, **options)}, 'UTF8')"


_POSITION: Final = (change.c.bucket, change.c.entity, change.c.row_id)
_FRESH: Final = and_(change.c.bucket.in_(bindparam("fresh", expanding=True)), change.c.deleted.is_(False))
_STAYED: Final = and_(change.c.bucket.in_(bindparam("stayed", expanding=True)), change.c.v > bindparam("since"))
_ENTRIES: Final = (
    select(
        change.c.bucket, change.c.entity, type_coerce(change.c.row_id, NullType()), change.c.v,
        type_coerce(change.c.deleted, NullType()), _Utf8(change.c.body),
    )
    .limit(bindparam("most"))
)  # fmt: skip
_SORTED: Final = (change.c.bucket.concat(""), change.c.entity, change.c.row_id)
"""The order of pages, hidden from SQLite: where few rows are wanted it would read all of them to have them in order."""
_WANTED: Final = {
    (True, True): _ENTRIES.where(or_(_FRESH, _STAYED)).order_by(*_SORTED),
    (True, False): _ENTRIES.where(_FRESH).order_by(*_POSITION),
    (False, True): _ENTRIES.where(_STAYED).order_by(*_SORTED),
}
"""By what is wanted, fresh buckets or stayed ones."""
_BEYOND: Final = tuple_(*_POSITION) > tuple_(
    bindparam("after_bucket", type_=String()),
    bindparam("after_entity", type_=String()),
    bindparam("after_row", type_=Uuid()),
)
