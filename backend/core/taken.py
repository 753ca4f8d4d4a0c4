"""Ids and numbers that others make, such as phones: each names one record, whoever comes with it a second time."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.db import Base
from backend.core.errors import Fault, Finding, Problem

RECORD_ID_TAKEN = Fault(
    "record_id_taken", 409, "这个编号已用于另一条记录,此次内容未保存。",
    "This id names another record already, so nothing was stored.",
    "请用新的编号重新提交。", "Send it again under a new id.",
)  # fmt: skip


async def must_be_new(session: AsyncSession, model: type[Base], **given: Any) -> None:
    """Refuse an id or number that names another record of this table already; raises record_id_taken by field."""
    taken: list[str] = []
    for name, value in given.items():
        column = model.__table__.c[name]
        if value is not None and (await session.execute(select(column).where(column == value))).first() is not None:
            taken.append(name)
    if taken:
        raise Problem(
            RECORD_ID_TAKEN, *(Finding(name, "已用于另一条记录", "names another record already") for name in taken)
        )
