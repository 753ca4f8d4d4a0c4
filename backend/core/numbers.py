"""Human numbers such as WO-2031, given by the server in the order of commits."""

from sqlalchemy import Column, Integer, String, Table, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from backend.core.db import Base, insert_ignoring

number_series = Table(
    "number_series",
    Base.metadata,
    Column("prefix", String(10), primary_key=True),
    Column("last", Integer, nullable=False),
)


async def next_number(session: AsyncSession, prefix: str) -> str:
    """Return the next number of a series: `WO` gives WO-1, WO-2, ..."""
    (number,) = await next_numbers(session, prefix, 1)
    return number


async def next_numbers(session: AsyncSession, prefix: str, count: int) -> list[str]:
    """Return the next `count` numbers of a series; holds the series until the transaction ends."""

    def take(sync_session: Session) -> int:
        insert_ignoring(sync_session, number_series, [{"prefix": prefix, "last": 0}])
        taken = (
            update(number_series)
            .where(number_series.c.prefix == prefix)
            .values(last=number_series.c.last + count)
            .returning(number_series.c.last)
        )
        return sync_session.execute(taken).scalar_one()

    last = await session.run_sync(take)
    return [f"{prefix}-{number}" for number in range(last - count + 1, last + 1)]
