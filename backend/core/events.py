"""Domain events: facts stored in the transaction that caused them; handlers react later, and may run again."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, String
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.clock import Clock
from backend.core.db import Row
from backend.core.sessions import Database
from backend.core.tasks import TaskHandler, add_task

HANDLE_EVENT = "handle_event"
"""The task that hands one event to one handler."""


class Event(Row):
    """Something that happened to a record, named in the past tense: `service_request.closed`."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_subject", "entity", "subject_id"), Index("ix_event_name_at", "name", "at"))

    at: Mapped[datetime]
    name: Mapped[str] = mapped_column(String(60))
    entity: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID]
    facts: Mapped[dict[str, Any]]


EventHandler = Callable[[AsyncSession, Event, datetime], Awaitable[None]]
"""Reacts to an event inside a write transaction; must be idempotent."""


class Reactions:
    """Which handlers react to which event. `app.py` fills it; capabilities never call uphill themselves."""

    def __init__(self) -> None:
        self._by_event: dict[str, dict[str, EventHandler]] = {}

    def on(self, event_name: str, handler_name: str, handler: EventHandler) -> None:
        """Register a handler under a name of its own."""
        self._by_event.setdefault(event_name, {})[handler_name] = handler

    def names(self, event_name: str) -> list[str]:
        """Names of the handlers that react to an event."""
        return sorted(self._by_event.get(event_name, {}))

    def handler(self, event_name: str, handler_name: str) -> EventHandler:
        """Return one handler; raises KeyError when it is not registered."""
        return self._by_event[event_name][handler_name]


REACTIONS = Reactions()


def tell(session: AsyncSession, *, now: datetime, name: str, row: Row, facts: dict[str, Any] | None = None) -> None:
    """Store an event with its cause and a task for each handler that reacts to it."""
    happened = Event(at=now, name=name, entity=row.__tablename__, subject_id=row.id, facts=facts or {})
    session.add(happened)
    for handler_name in REACTIONS.names(name):
        add_task(
            session, now=now, kind=HANDLE_EVENT, key=f"{happened.id}:{handler_name}",
            payload={"event_id": str(happened.id), "handler": handler_name},
        )  # fmt: skip


def event_task(database: Database, clock: Clock) -> TaskHandler:
    """Return the task that hands an event to its handler, in one write transaction."""

    async def run(payload: dict[str, Any]) -> None:
        async with database.write() as session:
            happened = await session.get_one(Event, UUID(payload["event_id"]))
            react = REACTIONS.handler(happened.name, payload["handler"])
            await react(session, happened, clock.now())

    return run
