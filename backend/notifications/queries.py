"""Reads of message texts."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.presets import Preset
from backend.notifications.rules import MessageText


async def message_text(session: AsyncSession, key: str) -> MessageText | None:
    """The newest active version of a text; None where the organisation has switched it off."""
    versions = (
        select(Preset.name_zh, Preset.name_en, Preset.body)
        .where(Preset.kind == "text", Preset.key == key, Preset.active)
        .order_by(Preset.version.desc())
    )
    row = (await session.execute(versions.limit(1))).one_or_none()
    if row is None:
        return None
    return MessageText(
        key=key, zh=row.name_zh, en=row.name_en, placeholders=tuple(row.body["placeholders"]),
        channels=tuple(row.body["channels"]),
    )  # fmt: skip
