"""The outbox: a message is stored with its cause and handed over afterwards, once its transaction is committed."""

import asyncio
import os
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.clock import Clock
from backend.core.sessions import Database
from backend.core.tasks import TaskHandler, add_task
from backend.notifications.models import Notification

SEND_NOTIFICATION: Final = "send_notification"
"""The task that hands one message to the channel."""
OUTBOX_MODE: Final = 0o600
"""Messages carry names and phone numbers: only the server's user reads them."""


class Outgoing(msgspec.Struct, frozen=True):
    """A message as the channel gets it. `key` is the same however often it is handed over."""

    key: str
    channel: str
    address: str
    language: str
    text: str
    handed_over_at: datetime


class OutboxFile:
    """The one way out of this version: a file of JSON lines, for people to read and for a gateway to take up.

    A crash between writing and noting it writes a line twice; a gateway goes by its `key`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def hand_over(self, message: Outgoing) -> None:
        """Append the message and wait until it is on the disk; raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, OUTBOX_MODE)
        try:
            os.write(handle, msgspec.json.encode(message) + b"\n")
            os.fsync(handle)
        finally:
            os.close(handle)


async def enqueue(
    session: AsyncSession,
    *,
    now: datetime,
    key: str,
    channel: str,
    address: str,
    language: str,
    text: str,
    person_id: UUID | None = None,
    contact_id: UUID | None = None,
) -> Notification:
    """Store a message and the task that sends it; the same key again is the same message."""
    known = (await session.execute(select(Notification).where(Notification.key == key))).scalar_one_or_none()
    if known is not None:
        return known
    message = Notification(
        key=key, channel=channel, address=address, language=language, text=text, created_at=now, person_id=person_id,
        contact_id=contact_id,
    )  # fmt: skip
    session.add(message)
    add_task(
        session, now=now, kind=SEND_NOTIFICATION, key=str(message.id), payload={"notification_id": str(message.id)}
    )
    return message


def sending_task(database: Database, clock: Clock, channel: OutboxFile) -> TaskHandler:
    """Return the task that hands a message to the channel; a failure is noted on the message and tried again."""

    async def run(payload: dict[str, Any]) -> None:
        async with database.read() as session:
            message = await session.get_one(Notification, UUID(payload["notification_id"]))
        if message.sent_at is not None:
            return
        outgoing = Outgoing(
            key=message.key, channel=message.channel, address=message.address, language=message.language,
            text=message.text, handed_over_at=clock.now(),
        )  # fmt: skip
        try:
            await asyncio.to_thread(channel.hand_over, outgoing)
        except OSError as error:
            await _note(database, message.id, failed_at=clock.now(), error=str(error))
            raise
        await _note(database, message.id, sent_at=clock.now())

    return run


async def _note(database: Database, message_id: UUID, **values: object) -> None:
    async with database.write() as session:
        message = await session.get_one(Notification, message_id)
        for name, value in values.items():
            setattr(message, name, value)
