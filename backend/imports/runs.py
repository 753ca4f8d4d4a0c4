"""Running an import: the file goes through in portions, each read, decided on, written and committed before the next.

What the database refuses in a portion is found by writing that portion once more, row by row. A run that is cancelled
keeps the portions it has committed; running it again goes on where it stopped, and undoing it takes them back.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

import msgspec
from sqlalchemy import update
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor, ImportBatch
from backend.core.errors import Finding, Problem
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.imports.actions import open_batch, write_decisions
from backend.imports.converters import Reading
from backend.imports.faults import file_refused
from backend.imports.geocoding import OFF, Unpinned, pin_by_address
from backend.imports.known import Columns, Decided, Known
from backend.imports.limits import ATOMIC_ROWS_MAXIMUM, PORTION_ROWS_MAXIMUM, ROWS_MAXIMUM
from backend.imports.mapping import wanted_columns
from backend.imports.matching import Basis, Decision, decide_rows
from backend.imports.queries import load_catalogues, load_known
from backend.imports.readers import SheetRow, Source, open_source
from backend.imports.rows import RowDraft, RowReader
from backend.imports.schemas import Counts, FileLayout, ImportMapping, ImportResult, Refusal
from backend.sites.geocode import Geocoder
from backend.sites.models import Site

Progress = Callable[[str, int, int], None]
"""Called with what goes on (`rows` or `addresses`), how much was done since the last call, and how much there is."""


@dataclass(frozen=True)
class ImportOrder:
    """What is to be imported, how, and on whose behalf."""

    path: Path
    mapping: ImportMapping
    actor: Actor
    batch_id: UUID = field(default_factory=new_id)
    name: str = ""
    """What the file is called, where its path says something else."""
    units: frozenset[UUID] | None = None
    """The units whose records may be written; None for all."""
    dry_run: bool = False
    all_or_nothing: bool = False
    most_rows: int = ROWS_MAXIMUM
    sheet: str = ""
    encoding: str = ""

    @property
    def layout(self) -> FileLayout:
        """How the file is written: as the caller says, else as the mapping does."""
        said = self.mapping.file
        return msgspec.structs.replace(said, sheet=self.sheet or said.sheet, encoding=self.encoding or said.encoding)


TO_BE_ASKED = ("导入时将询问地理编码服务", "the import will ask the geocoder")
REFUSED_BY_DATABASE = (IntegrityError, DataError, Problem)
"""What makes a row refused; anything else ends the run."""


class _TakenBack(Exception):
    """Rolls an all-or-nothing import back."""


def _no_progress(_what: str, _done: int, _total: int) -> None:
    """For whoever does not want to see it."""


async def run_import(
    database: Database,
    order: ImportOrder,
    *,
    now: datetime,
    geocoder: Geocoder | None = None,
    progress: Progress = _no_progress,
) -> ImportResult:
    """Import a file; return what was done, with every refused row and every site somebody must pin.

    Raises Problem (import_file_refused) for a file that cannot be read as a whole; nothing is changed then.
    """
    source = await asyncio.to_thread(open_source, order.path, order.layout, wanted_columns(order.mapping))
    if source.row_count > order.most_rows:
        raise file_refused(f"超过 {order.most_rows} 行", f"more than {order.most_rows} rows")
    if order.all_or_nothing and source.row_count > ATOMIC_ROWS_MAXIMUM:
        raise file_refused(
            f"整体导入最多 {ATOMIC_ROWS_MAXIMUM} 行",
            f"an all-or-nothing import takes at most {ATOMIC_ROWS_MAXIMUM} rows",
        )
    async with database.read() as session:
        basis = Basis(order.mapping, now, await load_catalogues(session), order.units)
    run = _Run(database, order, source, basis, progress)
    if order.dry_run:
        await run.look()
    elif order.all_or_nothing:
        await run.write_at_once()
    else:
        await run.write()
    await run.pin(geocoder)
    return run.result


class _Run:
    """One run of an import."""

    def __init__(
        self, database: Database, order: ImportOrder, source: Source, basis: Basis, progress: Progress
    ) -> None:
        self._database = database
        self._order = order
        self._source = source
        self._basis = basis
        self._progress = progress
        self._reader = RowReader(order.mapping, Reading(order.mapping.time_zone, source.epoch))
        self._actor = msgspec.structs.replace(order.actor, import_batch_id=order.batch_id)
        self._decided = Decided()
        self._unpinned: dict[UUID, Unpinned] = {}
        self.result = ImportResult(
            file=order.name or order.path.name, mapping=order.mapping.name or "-", dry_run=order.dry_run,
            encoding=source.encoding, sheet=source.sheet,
        )  # fmt: skip

    async def look(self) -> None:
        """Decide on every row and write nothing."""
        async for rows in self._portions():
            async with self._database.read() as session:
                known = await load_known(session, rows)
            decisions, refusals, decided = decide_rows(rows, known, self._decided, self._basis)
            self._decided.absorb(decided)
            self._count(rows, decisions, refusals, known)

    async def write(self) -> None:
        """Write in portions, each committed."""
        async with self._database.write() as session:
            await self._open_batch(session)
        async for rows in self._portions():
            async with self._database.write() as session:
                await self._write_portion(session, rows)

    async def write_at_once(self) -> None:
        """Write everything in one transaction, and take it back if a single row is refused."""
        try:
            async with self._database.write() as session:
                await self._open_batch(session)
                async for rows in self._portions():
                    await self._write_portion(session, rows)
                self._refuse_all_for_one()
        except _TakenBack:
            self.result.batch_id, self.result.imported_rows, self.result.counts = None, 0, {}
            self._unpinned.clear()

    def _refuse_all_for_one(self) -> None:
        if self.result.refused:
            raise _TakenBack

    async def pin(self, geocoder: Geocoder | None) -> None:
        """Look positions up for the sites of the file that have none; list what is left for a person."""
        sites = list(self._unpinned.values())
        if self._order.dry_run:
            self.result.unpinned = [site.listed(TO_BE_ASKED if geocoder else OFF) for site in sites]
            return
        looked_up = await pin_by_address(
            self._database, sites, geocoder, now=self._basis.now, actor=self._actor,
            progress=lambda done, total: self._progress("addresses", done, total),
        )  # fmt: skip
        self.result.geocoded, self.result.unpinned = looked_up.pinned, looked_up.left

    async def _portions(self) -> AsyncIterator[Sequence[RowDraft]]:
        rows = self._source.rows()
        while portion := await asyncio.to_thread(self._next_portion, rows):
            yield portion
            self._progress("rows", len(portion), self._source.row_count)

    def _next_portion(self, rows: Iterator[SheetRow]) -> list[RowDraft]:
        return [self._reader.draft(row) for row in islice(rows, PORTION_ROWS_MAXIMUM)]

    async def _open_batch(self, session: AsyncSession) -> None:
        self.result.batch_id = self._order.batch_id
        await open_batch(
            session, now=self._basis.now, batch_id=self._order.batch_id, actor=self._actor,
            source_name=self.result.file, sha256=self._source.sha256, mapping=self.result.mapping,
        )  # fmt: skip

    async def _write_portion(self, session: AsyncSession, rows: Sequence[RowDraft]) -> None:
        known = await load_known(session, rows)
        decisions, refusals, decided = decide_rows(rows, known, self._decided, self._basis)
        try:
            async with session.begin_nested():
                await write_decisions(session, now=self._basis.now, actor=self._actor, decisions=decisions)
            self._decided.absorb(decided)
        except REFUSED_BY_DATABASE:
            decisions, refusals = await self._write_rows(session, rows)
        self._count(rows, decisions, refusals, known)
        self._decided.forget_what_is_stored()
        counts = {
            "created_count": self.result.created, "changed_count": self.result.changed,
            "refused_count": self.result.refused_count,
        }  # fmt: skip
        await session.execute(update(ImportBatch).where(ImportBatch.id == self._order.batch_id).values(**counts))

    async def _write_rows(
        self, session: AsyncSession, rows: Sequence[RowDraft]
    ) -> tuple[list[Decision], list[Refusal]]:
        """Write a portion row by row, to find the rows that are refused."""
        decisions, refusals = list[Decision](), list[Refusal]()
        for row in rows:
            known = await load_known(session, [row])
            made, refused, decided = decide_rows([row], known, self._decided, self._basis)
            try:
                async with session.begin_nested():
                    await write_decisions(session, now=self._basis.now, actor=self._actor, decisions=made)
            except REFUSED_BY_DATABASE as error:
                refusals.append(Refusal(row.line, _reasons(error)))
                continue
            self._decided.absorb(decided)
            decisions.extend(made)
            refusals.extend(refused)
        return decisions, refusals

    def _count(
        self, rows: Sequence[RowDraft], decisions: Sequence[Decision], refusals: Sequence[Refusal], known: Known
    ) -> None:
        self.result.rows += len(rows)
        self.result.imported_rows += len(rows) - len(refusals)
        self.result.refused.extend(refusals)
        self.result.refused_count = len(self.result.refused)
        for one in decisions:
            if one.kind == "repeat":
                continue
            counts = self.result.counts.setdefault(one.target.entity, Counts())
            counts.created += one.kind == "create"
            counts.changed += one.kind == "change"
            counts.unchanged += one.kind == "same"
            if one.target.model is Site:
                self._note_position(one, {**known.rows.get("site", {}).get(one.id, {}), **one.values})

    def _note_position(self, decision: Decision, site: Columns) -> None:
        if site["lat"] is None:
            self._unpinned[decision.id] = Unpinned(decision.id, decision.line, site["name"], site["address"])
        else:
            self._unpinned.pop(decision.id, None)


def _reasons(error: Exception) -> tuple[Finding, ...]:
    """What refused a row, as reasons."""
    if isinstance(error, Problem):
        details = error.details()
        return error.findings or (Finding("", details.detail_zh, details.detail),)
    refused = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return (Finding("", f"数据库拒绝: {refused}", f"the database refuses it: {refused}"),)
