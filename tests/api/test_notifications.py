"""The outbox: messages leave after the commit, once, and a way out that is blocked is noted and tried again."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from backend.notifications.actions import OutboxFile, Outgoing, enqueue
from backend.notifications.models import Notification
from tests.make import START, Office

MESSAGE: dict[str, Any] = {
    "key": "receipt:1", "channel": "sms", "address": "+8613900000001", "language": "zh", "text": "您的报修已收到",
}  # fmt: skip


async def stored(office: Office) -> Notification:
    async with office.database.read() as session:
        return (await session.execute(select(Notification))).scalar_one()


async def test_the_same_message_is_stored_and_sent_once(office: Office) -> None:
    async with office.database.write() as session:
        first = await enqueue(session, now=START, **MESSAGE)
        await session.flush()
        assert (await enqueue(session, now=START, **MESSAGE)).id == first.id
    await office.work()
    await office.work()
    lines = (office.settings.data_dir / "outbox.jsonl").read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Outgoing).text for line in lines] == ["您的报修已收到"]
    assert (await stored(office)).sent_at == START


async def test_a_blocked_way_out_is_noted_and_tried_again(sqlite_office: Office) -> None:
    outbox = sqlite_office.settings.data_dir / "outbox.jsonl"
    outbox.mkdir(parents=True)
    async with sqlite_office.database.write() as session:
        await enqueue(session, now=START, **MESSAGE)
    await sqlite_office.work()
    failed = await stored(sqlite_office)
    assert (failed.sent_at, failed.failed_at) == (None, START)
    assert failed.error is not None
    outbox.rmdir()
    later = sqlite_office.move_clock(minutes=1)
    await sqlite_office.work()
    assert (await stored(sqlite_office)).sent_at == later


def test_the_outbox_is_read_by_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "outbox.jsonl"
    outgoing = Outgoing(**MESSAGE, handed_over_at=datetime(2026, 3, 2, tzinfo=UTC))
    for _ in range(2):
        OutboxFile(path).hand_over(outgoing)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes().splitlines()) == 2
