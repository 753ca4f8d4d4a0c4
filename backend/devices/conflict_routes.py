"""Routes of the desk for conflicts: list, compare, decide."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, requires
from backend.core.etags import IfMatch, with_etag
from backend.core.paging import Page, PageRequest
from backend.devices.actions import decide_conflict
from backend.devices.conflicts import State, conflict_detail, conflict_row, conflicts_page
from backend.devices.rows import seen_row
from backend.devices.schemas import ConflictDetail, ConflictView, DecisionBody
from sync.store import RowKey

WRITES: Final = requires("case", "write")
Read = NamedDependency[AsyncSession]
StateFilter = Annotated[State, QueryParameter(name="state", description="open, decided or all.")]
SiteFilter = Annotated[UUID | None, QueryParameter(name="site_id", description="Only about this site.")]
EntityFilter = Annotated[str | None, QueryParameter(name="entity", description="Only about this kind of record.")]


@get("/conflicts", guards=[WRITES])
async def list_conflicts(
    *,
    principal: NamedDependency[Principal], read: Read, now: NamedDependency[datetime],
    page: NamedDependency[PageRequest], conflict_state: StateFilter = "open", site_id: SiteFilter = None,
    entity: EntityFilter = None,
) -> Page[ConflictView]:  # fmt: skip
    """List what people changed differently and may be decided by the reader, newest first."""
    return await conflicts_page(read, principal, page, now=now, state=conflict_state, site_id=site_id, entity=entity)


@get("/conflicts/{conflict_id:uuid}", guards=[WRITES])
async def read_conflict(
    conflict_id: FromPath[UUID], principal: NamedDependency[Principal], read: Read, now: NamedDependency[datetime]
) -> Response[ConflictDetail]:
    """Compare: what the phone saw, what it made of it, what the server had, what it has now; who and when."""
    found = await conflict_row(read, principal, conflict_id, now)
    row = await read.run_sync(seen_row, RowKey(found.entity, str(found.subject_id)))
    return with_etag(await conflict_detail(read, found, row))


@post("/conflicts/{conflict_id:uuid}/decision", guards=[WRITES], status_code=200)
async def post_decision(
    *,
    conflict_id: FromPath[UUID], data: JSONBody[DecisionBody], principal: NamedDependency[Principal],
    write: NamedDependency[AsyncSession], now: NamedDependency[datetime], if_match: IfMatch = None,
) -> Response[ConflictDetail]:  # fmt: skip
    """Take one side or say the values; phones have it with their next pull."""
    detail = await decide_conflict(write, principal, conflict_id, data, if_match=if_match, now=now)
    return with_etag(detail)


router = Router("/", route_handlers=[list_conflicts, read_conflict, post_decision], tags=["conflicts"])
