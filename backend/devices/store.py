"""Sync's storage in SQL: the snapshot pulls read, and the store both sides are opened from (see sync/store.py)."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import String, Uuid, and_, bindparam, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

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
        asked: dict[str, Any] = {"fresh": want.fresh, "stayed": want.stayed, "since": want.since, "most": limit}
        wanted = _ENTRIES
        if after is not None:
            wanted = _ENTRIES_BEYOND
            row_id = UUID(after.row) if after.row else NOWHERE
            asked |= {"after_bucket": after.bucket, "after_entity": after.entity, "after_row": row_id}
        found = await (await self._session.connection()).execute(wanted, asked)
        return [
            Entry(name, entity, str(row_id), v, deleted=deleted, body=body)
            for name, entity, row_id, v, deleted, body in found.all()
        ]


class MoreNeeded(Exception):
    """A pull that asks for more than the device's own state."""


class Glance:
    """A store that knows devices only, by one lookup: enough for the pull that finds nothing new, which most do.

    Whoever asks it for more has to begin again with a snapshot, so that all of an answer belongs to one instant.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def read(self) -> AsyncGenerator["Glance"]:
        """See sync.store.Store."""
        async with telling_transient():
            yield self

    async def device(self, device: str, incarnation: str) -> DeviceState | None:
        """See sync.store.Snapshot."""
        return _state(await self._database.look_up(_DEVICE, _asked_of(device, incarnation)))

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
        async with reachable(self._database.read()) as session:
            yield SqlSnapshot(session)

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[SqlTransaction]:
        """Open one transaction; leaving it stamps and commits, an exception undoes it."""
        async with reachable(self._database.write()) as session:
            yield SqlTransaction(session, self._actor, self._now)


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
_POSITION: Final = (change.c.bucket, change.c.entity, change.c.row_id)
_ENTRIES: Final = (
    select(*_POSITION, change.c.v, change.c.deleted, change.c.body)
    .where(
        or_(
            and_(change.c.bucket.in_(bindparam("fresh", expanding=True)), change.c.deleted.is_(False)),
            and_(change.c.bucket.in_(bindparam("stayed", expanding=True)), change.c.v > bindparam("since")),
        )
    )
    .order_by(*_POSITION)
    .limit(bindparam("most"))
)
_ENTRIES_BEYOND: Final = _ENTRIES.where(
    tuple_(*_POSITION)
    > tuple_(
        bindparam("after_bucket", type_=String()),
        bindparam("after_entity", type_=String()),
        bindparam("after_row", type_=Uuid()),
    )
)
