"""What a phone may not remove: a row that others refer to. The database would refuse it, too, but not say why."""

from collections.abc import Mapping
from functools import cache
from typing import Final
from uuid import UUID

from sqlalchemy import Column, String, literal, null, select, union_all
from sqlalchemy import cast as sql_cast
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.db import Base
from backend.core.errors import Problem
from backend.devices.faults import STILL_IN_USE
from sync.store import RowKey

USES: Final[Mapping[str, tuple[str, str]]] = {
    "position": ("下级位置", "places within it"), "asset_placement": ("安装记录", "what was installed"),
    "asset": ("合并到此的设备", "equipment merged into it"), "warranty": ("质保", "warranties"),
    "work_order": ("工单", "work orders"), "service_request": ("报修", "requests"),
    "maintenance_due": ("维保计划", "planned maintenance"),
}  # fmt: skip
"""What people call the tables that refer to what phones may remove."""


async def must_not_be_in_use(session: AsyncSession, key: RowKey) -> None:
    """Refuse to remove a row that others refer to; raises still_in_use, naming what does."""
    references = _references(key.entity)
    if not references:
        return
    asked = union_all(
        *(
            select(sql_cast(literal(column.table.name), String())).where(
                select(null()).where(column == UUID(key.row)).exists()
            )
            for column in references
        )
    )
    uses = sorted(set((await session.execute(asked)).scalars()))
    if uses:
        named = [USES.get(name, (name, name)) for name in uses]
        raise Problem(STILL_IN_USE, uses_zh="、".join(zh for zh, _ in named), uses_en=", ".join(en for _, en in named))


@cache
def _references(entity: str) -> tuple[Column[UUID], ...]:
    """Every column that refers to a table's rows."""
    return tuple(
        column
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if any(reference.column.table.name == entity for reference in column.foreign_keys)
    )
