"""Routes of imports: a file with its mapping, the imports run so far, and taking one back."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import ImportBatch
from backend.core.auth import Principal, requires
from backend.core.errors import FORBIDDEN, NOT_FOUND, Problem
from backend.core.sessions import Database
from backend.imports import queries
from backend.imports.limits import REFUSALS_ANSWERED_MAXIMUM, UPLOADED_ROWS_MAXIMUM
from backend.imports.mapping import parse_mapping
from backend.imports.runs import ImportOrder, run_import
from backend.imports.schemas import BatchView, ImportResult, NewImport, UndoResult
from backend.imports.undo import undo_import

TAGS: Final[Sequence[str]] = ["imports"]


@post("/imports", guards=[requires("case", "write")], status_code=200)
async def import_route(
    data: JSONBody[NewImport], principal: NamedDependency[Principal], database: NamedDependency[Database],
    now: NamedDependency[datetime],
) -> ImportResult:  # fmt: skip
    """Import customers, sites, assets and Cases of your own units; a dry run unless `dry_run` is false.

    Sending the same file again changes nothing: records are known by their external ids.
    """
    units = _office_units(principal)
    with TemporaryDirectory(prefix="paigong-import-") as folder:
        path = Path(folder, "upload")
        await asyncio.to_thread(path.write_bytes, data.content)
        order = ImportOrder(
            path=path, mapping=parse_mapping(data.mapping.encode()), actor=principal.actor, name=data.file_name,
            units=units, dry_run=data.dry_run, all_or_nothing=data.all_or_nothing,
            sheet=data.sheet, encoding=data.encoding, most_rows=UPLOADED_ROWS_MAXIMUM,
        )  # fmt: skip
        result = await run_import(database, order, now=now)
    result.refused = result.refused[:REFUSALS_ANSWERED_MAXIMUM]
    return result


@get("/imports", guards=[requires("case", "write")])
async def batches_route(principal: NamedDependency[Principal], read: NamedDependency[AsyncSession]) -> list[BatchView]:
    """List the imports you have run, newest first."""
    _office_units(principal)
    return await queries.batches(read, person_id=principal.person_id)


@post("/imports/{batch_id:uuid}/undo", guards=[requires("case", "write")], status_code=200)
async def undo_route(
    batch_id: FromPath[UUID], principal: NamedDependency[Principal], database: NamedDependency[Database],
    now: NamedDependency[datetime],
) -> UndoResult:  # fmt: skip
    """Undo one of your imports: what it created goes, what it changed gets its old values back."""
    async with database.read() as session:
        batch = await session.get(ImportBatch, batch_id)
    if batch is None or batch.person_id != principal.person_id:
        raise Problem(NOT_FOUND)
    return await undo_import(database, now=now, actor=principal.actor, batch_id=batch_id)


def _office_units(principal: Principal) -> frozenset[UUID]:
    """Units all of whose Cases somebody may write; raises forbidden for people who write their own only."""
    units = principal.units("case", "write")
    if not units:
        raise Problem(FORBIDDEN)
    return units


router = Router("/", route_handlers=[import_route, batches_route, undo_route], tags=TAGS)
