"""Pages of lists: a cursor is the key of the last row sent, so pages stay right while rows are added."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec
from litestar.params import QueryParameter
from sqlalchemy import RowMapping, Select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.errors import INVALID, Finding, Problem

PAGE_DEFAULT: Final = 50
PAGE_MAXIMUM: Final = 200

View = TypeVar("View")
Model = TypeVar("Model")


class Page(msgspec.Struct, Generic[View], frozen=True):
    """One page of a list, newest first; `next` is the cursor of the page after it, or null at the end."""

    items: list[View]
    next: str | None


class PageRequest(msgspec.Struct, frozen=True):
    """Which page is wanted, as it was asked for: after which row, and how many rows.

    It is read when the page is fetched, inside the handler. A dependency that raises while another opens a transaction
    would leave that one open: the framework starts both at once and forgets those it has started.
    """

    cursor: str | None = None
    rows: str | None = None

    @property
    def after(self) -> UUID | None:
        """The key of the last row already sent; raises invalid."""
        return _read_cursor(self.cursor) if self.cursor else None

    @property
    def limit(self) -> int:
        """How many rows; raises invalid."""
        try:
            limit = PAGE_DEFAULT if self.rows is None else int(self.rows)
        except ValueError:
            limit = 0
        if not 1 <= limit <= PAGE_MAXIMUM:
            zh, en = f"limit 须在 1 到 {PAGE_MAXIMUM} 之间", f"limit must be 1 to {PAGE_MAXIMUM}"
            raise Problem(INVALID, Finding("limit", zh, en))
        return limit


Cursor = Annotated[str | None, QueryParameter(name="cursor", description="`next` of the page before.")]
Rows = Annotated[
    str | None,
    QueryParameter(name="limit", description=f"Rows a page, 1 to {PAGE_MAXIMUM}; {PAGE_DEFAULT} if left out."),
]


def provide_page(cursor: Cursor = None, limit: Rows = None) -> PageRequest:
    """Dependency `page`: take `?cursor=` and `?limit=` as they are."""
    return PageRequest(cursor, limit)


async def fetch_page(
    session: AsyncSession, listed: Select[Model], key: Any, page: PageRequest, view: Callable[[Model], View]
) -> Page[View]:
    """Fetch a page of `listed`, newest first by `key` (a UUIDv7 column of the listed model)."""
    if page.after is not None:
        listed = listed.where(key < page.after)
    rows: Sequence[Model] = (await session.execute(listed.order_by(key.desc()).limit(page.limit + 1))).scalars().all()
    shown = rows[: page.limit]
    more = len(rows) > page.limit
    return Page(items=[view(row) for row in shown], next=_cursor(getattr(shown[-1], key.key)) if more else None)


async def fetch_rows(
    session: AsyncSession,
    listed: Select[*tuple[Any, ...]],
    key: Any,
    page: PageRequest,
    view: Callable[[RowMapping], View],
) -> Page[View]:
    """Fetch a page of rows of chosen columns, newest first by `key`, a UUIDv7 column among them."""
    if page.after is not None:
        listed = listed.where(key < page.after)
    rows = (await session.execute(listed.order_by(key.desc()).limit(page.limit + 1))).mappings().all()
    shown = rows[: page.limit]
    more = len(rows) > page.limit
    return Page(items=[view(row) for row in shown], next=_cursor(shown[-1][key.key]) if more else None)


def _cursor(key: UUID) -> str:
    return base64.urlsafe_b64encode(key.bytes).decode().rstrip("=")


def _read_cursor(cursor: str) -> UUID:
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, binascii.Error) as error:
        raise Problem(
            INVALID, Finding("cursor", "游标无效,请从第一页开始", "not a cursor; start from the first page")
        ) from error
