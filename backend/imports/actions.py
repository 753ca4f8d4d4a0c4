"""Writing what was decided: new rows in bulk, changed rows one by one, Cases through the action everybody uses.

Master data is written in bulk, because one statement a row would make twenty thousand rows an affair of minutes; every
row is audited under the import's batch all the same. Nothing here commits.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor, AuditEntry, ImportBatch
from backend.core.db import Imported, Row
from backend.core.errors import INVALID, Problem
from backend.core.findings import BODY, finding
from backend.core.ids import new_id
from backend.core.numbers import next_numbers
from backend.customers.models import Contact, Customer
from backend.imports.known import Columns
from backend.imports.matching import Decision
from backend.imports.targets import TARGETS
from backend.requests.actions import open_request
from backend.requests.models import ServiceRequest
from backend.requests.schemas import NewServiceRequest
from backend.sites.models import Asset, Site

CREATED: Final = "imported"
CHANGED: Final = "changed_by_import"
REQUEST: Final = ServiceRequest.__tablename__


async def open_batch(
    session: AsyncSession, *, now: datetime, batch_id: UUID, actor: Actor, source_name: str, sha256: str, mapping: str
) -> ImportBatch:
    """Add the batch the rows of an import will carry."""
    batch = ImportBatch(
        id=batch_id, started_at=now, person_id=actor.person_id, source_name=source_name[-255:], source_sha256=sha256,
        mapping_name=mapping[-255:], created_count=0, changed_count=0, refused_count=0,
    )  # fmt: skip
    session.add(batch)
    await session.flush()
    return batch


async def write_decisions(session: AsyncSession, *, now: datetime, actor: Actor, decisions: Sequence[Decision]) -> None:
    """Write decisions, entity by entity in the order of their foreign keys; `actor` names the batch.

    Raises what the database or the actions of a capability refuse: IntegrityError, Problem.
    """
    created = [one for one in decisions if one.kind == "create"]
    for entity in TARGETS:
        new = [one for one in created if one.target.entity == entity]
        if new and entity != REQUEST:
            await _insert(session, now, actor, new)
    for one in decisions:
        if one.kind == "change":
            await write_change(session, now=now, actor=actor, decision=one)
    requests = [one for one in created if one.target.entity == REQUEST]
    beside = await _read_ahead(session, requests)
    for one in requests:
        await _open_request(session, now, actor, one)
    beside.clear()


async def _insert(session: AsyncSession, now: datetime, actor: Actor, decisions: Sequence[Decision]) -> None:
    target = decisions[0].target
    rows = [{"id": one.id, **one.values} for one in decisions]
    if issubclass(target.model, Imported):
        rows = [{**row, "import_batch_id": actor.import_batch_id} for row in rows]
    nameless = [row for row in rows if target.series and not row["number"]]
    for row, number in zip(nameless, await _numbers(session, target.series, len(nameless)), strict=True):
        row["number"] = number
    await session.execute(insert(target.model), _same_columns(rows))
    await session.execute(
        insert(AuditEntry), [_entry(now, actor, one, CREATED, before=None, after=one.given) for one in decisions]
    )


async def _numbers(session: AsyncSession, series: str, count: int) -> list[str]:
    return await next_numbers(session, series, count) if count else []


def _same_columns(rows: Sequence[Columns]) -> list[Columns]:
    """Give every row the same columns, so that one statement takes them all."""
    empty: Columns = dict.fromkeys(name for row in rows for name in row)
    return [{**empty, **row} for row in rows]


async def write_change(session: AsyncSession, *, now: datetime, actor: Actor, decision: Decision) -> None:
    """Set the changed columns of one row, and audit them."""
    model = decision.target.model
    await session.execute(update(model).where(model.__table__.c.id == decision.id).values(**decision.values))
    entry = _entry(now, actor, decision, CHANGED, before=decision.before, after=decision.values)
    await session.execute(insert(AuditEntry), [entry])


def _entry(
    now: datetime, actor: Actor, decision: Decision, verb: str, *, before: Columns | None, after: Columns
) -> Columns:
    entity = decision.target.entity
    return {
        "id": new_id(), "at": now, "person_id": actor.person_id, "import_batch_id": actor.import_batch_id,
        "action": f"{entity}.{verb}", "entity": entity, "subject_id": decision.id, "before": before, "after": after,
    }  # fmt: skip


async def _read_ahead(session: AsyncSession, requests: Sequence[Decision]) -> list[Row]:
    """Read what opening these Cases looks at, in one query a table instead of several a Case.

    The session hands out rows it has read as long as somebody holds them, so the caller keeps the list.
    """
    held: list[Row] = []
    for model, column in ((Site, "site_id"), (Customer, "customer_id"), (Asset, "asset_id"), (Contact, "contact_id")):
        ids = {one.values[column] for one in requests if one.values.get(column)}
        found = await session.execute(select(model).where(model.id.in_(ids)))
        held.extend(found.scalars())
    return held


async def _open_request(session: AsyncSession, now: datetime, actor: Actor, decision: Decision) -> None:
    values = decision.values
    given = {name: value for name, value in values.items() if name in NewServiceRequest.__struct_fields__}
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        new = msgspec.convert({**wanted, "id": decision.id}, NewServiceRequest)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        raise Problem(INVALID, finding(place.rstrip("`") or BODY, message)) from error
    await open_request(session, now=now, actor=actor, new=new, go_live_on=values.get("go_live_on"))
