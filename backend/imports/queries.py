"""Reads of imports: what the rows in hand may meet in the database, the preset sets, and the imports run so far."""

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from typing import Any, Final, cast
from uuid import UUID

from sqlalchemy import ColumnElement, Table, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.queries import DEFAULT_POLICY
from backend.core.audit import ImportBatch
from backend.core.db import Base
from backend.core.presets import Preset
from backend.imports.converters import folded
from backend.imports.known import Columns, Known
from backend.imports.limits import QUERY_KEYS_MAXIMUM
from backend.imports.rows import Draft, RowDraft
from backend.imports.schemas import BatchView
from backend.imports.targets import CATALOGUES, TARGETS, known_by, model_of
from backend.people.models import Person, Skill

PRESET_SETS: Final = ("asset_type", "priority", "work_order_kind")
BEHIND: Final = (
    ("asset", "merged_into_id", "asset"),
    ("asset", "site_id", "site"),
    ("site", "merged_into_id", "site"),
    ("site", "unit_id", "unit"),
    ("customer", "merged_into_id", "customer"),
    ("contact", "merged_into_id", "contact"),
    ("contact", "customer_id", "customer"),
    ("position", "site_id", "site"),
)
"""Entity, column, and the entity behind it that a decision looks at."""
BATCHES_LISTED_MAXIMUM: Final = 200


async def load_catalogues(session: AsyncSession) -> dict[str, frozenset[str]]:
    """Return the keys of the preset sets fields may be restricted to, by set."""
    active = select(Preset.kind, Preset.key).where(Preset.kind.in_(PRESET_SETS), Preset.active.is_(True))
    found: dict[str, set[str]] = {name: set() for name in PRESET_SETS}
    for kind, key in (await session.execute(active)).all():
        found[kind].add(key)
    found["skill"] = set((await session.execute(select(Skill.key))).scalars())
    return {name: frozenset(keys) for name, keys in found.items()}


async def load_known(session: AsyncSession, rows: Sequence[RowDraft]) -> Known:
    """Read every row of the database that these rows may mean, refer to or clash with."""
    known = Known()
    drafts = [draft for row in rows for draft in row.drafts]
    await _load_by_external_id(session, drafts, known)
    await _load_by_name(session, drafts, known)
    await _load_behind(session, known)
    await _load_by_identity(session, drafts, known)
    await _load_taken(session, drafts, known)
    return known


async def _load_by_external_id(session: AsyncSession, drafts: Sequence[Draft], known: Known) -> None:
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for draft in drafts:
        if draft.external_id:
            wanted[draft.target.entity].add(draft.external_id)
        for reference in draft.references.values():
            if reference.by_external_id:
                wanted[reference.entity].add(reference.text)
    for entity, keys in wanted.items():
        table = _table(TARGETS[entity].model)
        async for row in _rows(session, table, table.c.external_id, keys):
            _keep(known, entity, row)
            known.external_ids[entity, row["external_id"]] = row["id"]


async def _load_by_name(session: AsyncSession, drafts: Sequence[Draft], known: Known) -> None:
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for draft in drafts:
        for reference in draft.references.values():
            if not reference.by_external_id:
                wanted[reference.entity].add(reference.text)
    if any(draft.target.entity == "service_contract" for draft in drafts):
        wanted["clock_policy"].add(DEFAULT_POLICY)
    for entity, names in wanted.items():
        if entity in CATALOGUES:
            await _load_catalogue(session, entity, names, known)
            continue
        table = _table(model_of(entity))
        for column in known_by(entity):
            async for row in _rows(session, table, table.c[column], names):
                _keep(known, entity, row)
                known.names.setdefault((entity, row[column]), []).append(row["id"])


async def _load_catalogue(session: AsyncSession, entity: str, names: Collection[str], known: Known) -> None:
    """Catalogues are small and named by people, so letter case and width do not matter; the newest version counts."""
    catalogue = CATALOGUES[entity]
    table = _table(catalogue.model)
    ordered = select(table).order_by(table.c.version.desc()) if catalogue.versioned else select(table)
    found: dict[str, UUID] = {}
    for row in (await session.execute(ordered)).mappings():
        _keep(known, entity, dict(row))
        for column in catalogue.known_by:
            found.setdefault(folded(row[column]), row["id"])
    for name in names:
        if folded(name) in found:
            known.names[entity, name] = [found[folded(name)]]


async def _load_behind(session: AsyncSession, known: Known) -> None:
    """Read what stands behind the rows found: an asset's site, a site's unit, and whatever replaced a merged record."""
    for entity, column, behind in BEHIND:
        rows = known.rows.get(entity, {}).values()
        ids = {row[column] for row in rows if row[column]} - known.rows.get(behind, {}).keys()
        while ids:
            table = _table(TARGETS[behind].model)
            async for row in _rows(session, table, table.c.id, ids):
                _keep(known, behind, row)
            newly = [known.rows.get(behind, {}).get(one) for one in ids]
            ids = {row["merged_into_id"] for row in newly if row and row.get("merged_into_id")}
            ids -= known.rows.get(behind, {}).keys()


async def _load_by_identity(session: AsyncSession, drafts: Sequence[Draft], known: Known) -> None:
    """Records without an external id are found under what they belong to: a contact's addresses, a person's skills."""
    wanted: defaultdict[str, set[Any]] = defaultdict(set)
    for draft in drafts:
        if draft.target.identity:
            wanted[draft.target.entity].update(_parents(draft, known))
    for entity, values in wanted.items():
        target = TARGETS[entity]
        table = _table(target.model)
        columns = [target.column(name) for name in target.identity]
        async for row in _rows(session, table, table.c[columns[0]], values):
            _keep(known, entity, row)
            known.identities[entity, tuple(row[column] for column in columns)] = row["id"]


def _parents(draft: Draft, known: Known) -> Iterator[Any]:
    """What the first field of an identity may be, as far as the database has it."""
    first = draft.target.identity[0]
    if first in draft.values:
        yield draft.values[first]
    reference = draft.references.get(first)
    if reference is None:
        return
    if reference.by_external_id:
        found = known.external_ids.get((reference.entity, reference.text))
        yield from [found] if found else []
    else:
        yield from known.names.get((reference.entity, reference.text), ())


async def _load_taken(session: AsyncSession, drafts: Sequence[Draft], known: Known) -> None:
    wanted: defaultdict[tuple[str, str], set[Any]] = defaultdict(set)
    for draft in drafts:
        for column in draft.target.unique:
            if column in draft.values:
                wanted[draft.target.entity, column].add(draft.values[column])
    for (entity, column), values in wanted.items():
        table = _table(TARGETS[entity].model)
        async for row in _rows(session, table, table.c[column], values):
            known.taken[entity, column, row[column]] = row["id"]
    for row in known.rows.get("asset_placement", {}).values():
        if row["removed_at"] is None:
            known.taken["asset_placement", "asset_id", row["asset_id"]] = row["id"]
    for row in known.rows.get("site_contact", {}).values():
        if row["primary"]:
            known.taken["site_contact", "primary", row["site_id"]] = row["contact_id"]


async def _rows(
    session: AsyncSession, table: Table, column: ColumnElement[Any], keys: Iterable[Any]
) -> AsyncIterator[Columns]:
    """Every row whose column is one of the keys."""
    ordered = list(keys)
    for start in range(0, len(ordered), QUERY_KEYS_MAXIMUM):
        found = await session.execute(select(table).where(column.in_(ordered[start : start + QUERY_KEYS_MAXIMUM])))
        for row in found.mappings():
            yield dict(row)


def _keep(known: Known, entity: str, row: Columns) -> None:
    known.rows.setdefault(entity, {})[row["id"]] = row


def _table(model: type[Base]) -> Table:
    return cast("Table", model.__table__)


async def batches(session: AsyncSession, *, person_id: UUID | None = None) -> list[BatchView]:
    """The newest imports, or those of one person, newest first, at most BATCHES_LISTED_MAXIMUM."""
    wanted = (
        select(ImportBatch, Person.name)
        .outerjoin(Person, Person.id == ImportBatch.person_id)
        .order_by(ImportBatch.started_at.desc(), ImportBatch.id.desc())
        .limit(BATCHES_LISTED_MAXIMUM)
    )
    if person_id is not None:
        wanted = wanted.where(ImportBatch.person_id == person_id)
    return [batch_view(batch, name) for batch, name in (await session.execute(wanted)).all()]


def batch_view(batch: ImportBatch, person_name: str | None) -> BatchView:
    """Return a batch as it is shown."""
    return BatchView(
        id=batch.id, started_at=batch.started_at, person_id=batch.person_id, person_name=person_name,
        source_name=batch.source_name, source_sha256=batch.source_sha256, mapping_name=batch.mapping_name,
        created_count=batch.created_count, changed_count=batch.changed_count, refused_count=batch.refused_count,
        undone_at=batch.undone_at,
    )  # fmt: skip


async def person_by_number(session: AsyncSession, employee_number: str) -> Person | None:
    """The active person with an employee number."""
    wanted = select(Person).where(Person.employee_number == employee_number, Person.active.is_(True))
    return (await session.execute(wanted)).scalar_one_or_none()
