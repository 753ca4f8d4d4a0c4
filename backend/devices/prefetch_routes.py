"""The route that tells a phone which files to fetch ahead."""

from datetime import datetime
from typing import Annotated

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, anyone_signed_in
from backend.devices.prefetch import PREFETCH_BYTES_DEFAULT, PREFETCH_BYTES_MOST, Prefetch, files_to_hold

Room = Annotated[
    int, QueryParameter(name="bytes", ge=0, le=PREFETCH_BYTES_MOST, description="The room the phone has for files.")
]


@get("/sync/v1/prefetch", guards=[anyone_signed_in])
async def get_prefetch(
    principal: NamedDependency[Principal], read: NamedDependency[AsyncSession], now: NamedDependency[datetime],
    bytes: Room = PREFETCH_BYTES_DEFAULT,  # noqa: A002 - a refusal names the parameter by it
) -> Prefetch:  # fmt: skip
    """List the files of one's jobs that fit into so many bytes, the most needed first."""
    return await files_to_hold(read, principal=principal, now=now, room=bytes)


router = Router("/", route_handlers=[get_prefetch], tags=["sync"])
