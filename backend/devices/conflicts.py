"""Conflicts as the desk reads them, within what the reader may decide."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, and_, false, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from backend.core.audit import AuditEntry
from backend.core.auth import Principal
from backend.core.errors import NOT_FOUND, Problem
from backend.core.paging import Page, PageRequest, fetch_rows
from backend.customers.models import Contact, Customer
from backend.customers.queries import customers_within
from backend.devices.conflict_rows import conflict_of
from backend.devices.field_words import entity_words, field_words
from backend.devices.models import FieldConflict
from backend.devices.schemas import ConflictDetail, ConflictView, FieldView, WhoView
from backend.devices.scope import bucket_name
from backend.jobs.queries import crew_members
from backend.people.models import Person
from backend.sites.models import Site
from backend.sites.queries import sites_within
from sync.deciding import part_in_conflict
from sync.store import ROW_GROUP, Conflict, Row

State = Literal["open", "decided", "all"]
HISTORY_READ: Final = 50
"""Newest audit entries of a record among which whoever changed it meanwhile is looked for."""

_Decider = aliased(Person)


def conflicts_within(principal: Principal, now: datetime) -> ColumnElement[bool]:
    """The condition on FieldConflict: those of the office's units; in the field, those of one's own (crew's) edits."""
    reaches = principal.reaches("case", "write")
    mine: list[ColumnElement[bool]] = [false()]
    if reaches.keys() & {"own", "crew"}:
        mine.append(FieldConflict.person_id == principal.person_id)
    if "crew" in reaches:
        mine.append(FieldConflict.person_id.in_(crew_members(principal.crew_ids, now)))
    whole_units = about(principal, now, through_work=False)
    return or_(whole_units, and_(or_(*mine), about(principal, now, through_work=True)))


def about(principal: Principal, now: datetime, *, through_work: bool) -> ColumnElement[bool]:
    """The condition that a conflict is about a site, or a contact, the principal may write."""
    sites = sites_within(principal, "case", "write", now, through_work=through_work)
    customers = customers_within(principal, "case", "write", now, through_work=through_work)
    of_customers = select(bucket_name("contact", Contact.id)).join(Customer, Customer.id == Contact.customer_id)
    return or_(
        FieldConflict.bucket.in_(select(bucket_name("site", Site.id)).where(sites)),
        FieldConflict.bucket.in_(of_customers.where(customers)),
    )


async def conflicts_page(
    session: AsyncSession, principal: Principal, page: PageRequest, *, now: datetime, state: State,
    site_id: UUID | None, entity: str | None,
) -> Page[ConflictView]:  # fmt: skip
    """Return a page of conflicts, newest first."""
    listed = _listed().where(conflicts_within(principal, now))
    if state != "all":
        listed = listed.where(
            FieldConflict.decided_at.is_(None) if state == "open" else FieldConflict.decided_at.is_not(None)
        )
    if site_id is not None:
        listed = listed.where(FieldConflict.bucket == f"site:{site_id}")
    if entity is not None:
        listed = listed.where(FieldConflict.entity == entity)
    return await fetch_rows(session, listed, FieldConflict.id, page, _view)


async def conflict_row(session: AsyncSession, principal: Principal, conflict_id: UUID, now: datetime) -> Any:
    """Return one conflict's columns with the names of its people; raises not_found."""
    wanted = _listed().where(FieldConflict.id == conflict_id, conflicts_within(principal, now))
    row = (await session.execute(wanted)).one_or_none()
    if row is None:
        raise Problem(NOT_FOUND)
    return row


async def conflict_detail(session: AsyncSession, found: Any, row: Row | None) -> ConflictDetail:
    """Return a conflict to compare; `row` is the record as it is now."""
    conflict = conflict_of(found)
    current = part_in_conflict(conflict, row)
    names = sorted(
        {*conflict.base, *conflict.mine, *conflict.theirs, *(current if conflict.group != ROW_GROUP else ())}
    )
    return ConflictDetail(
        conflict=_view(found._mapping),  # noqa: SLF001 - SQLAlchemy's public name for it
        fields=[_field(name, conflict, current) for name in names],
        row_exists=row is not None and not row.deleted,
        mine_removes=conflict.group == ROW_GROUP and not conflict.mine,
        theirs=await _changed_by(session, conflict, names),
    )


def _field(name: str, conflict: Conflict, current: Mapping[str, Any]) -> FieldView:
    sides = (side.get(name) for side in (conflict.base, conflict.mine, conflict.theirs, current))
    return FieldView(name, field_words(name), *sides)


async def _changed_by(session: AsyncSession, conflict: Conflict, names: list[str]) -> WhoView | None:
    """Find who gave the record the value the phone's edit met, by the audit trail."""
    entries = (
        select(AuditEntry.at, AuditEntry.person_id, Person.name, AuditEntry.after, AuditEntry.mutation_id)
        .outerjoin(Person, Person.id == AuditEntry.person_id)
        .where(AuditEntry.entity == conflict.key.entity, AuditEntry.subject_id == UUID(conflict.key.row))
        .where(AuditEntry.at <= conflict.opened_at)
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
        .limit(HISTORY_READ)
    )
    for entry in await session.execute(entries):
        removed = entry.after is None
        if str(entry.mutation_id) != conflict.mutation_id and (removed or set(names) & entry.after.keys()):
            return WhoView(entry.person_id, entry.name, entry.at)
    return None


def _listed() -> Select[Any]:
    return (
        select(*FieldConflict.__table__.columns, Person.name.label("person_name"), _Decider.name.label("decider_name"))
        .join(Person, Person.id == FieldConflict.person_id)
        .outerjoin(_Decider, _Decider.id == FieldConflict.decided_by_id)
    )


def _view(row: RowMapping) -> ConflictView:
    decided = WhoView(row["decided_by_id"], row["decider_name"], row["decided_at"]) if row["decided_at"] else None
    return ConflictView(
        id=row["id"], entity=row["entity"], entity_words=entity_words(row["entity"]), subject_id=row["subject_id"],
        bucket=row["bucket"], field=row["field"],
        edited=WhoView(row["person_id"], row["person_name"], row["edited_at"]), opened_at=row["opened_at"],
        decision=row["decision"], decided=decided,
    )  # fmt: skip
