"""Reads of work orders and visits, each within what the reader's roles reach."""

from datetime import datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Grant, Principal
from backend.core.db import Base
from backend.core.errors import INVALID, NOT_FOUND, Finding, Problem
from backend.core.paging import Page, PageRequest, fetch_page
from backend.jobs.models import Assignment, Attendance, JobNote, PartUse, Quote, Visit, VisitEvent, WorkOrder
from backend.jobs.rules import CLOSED, OrderState
from backend.jobs.schemas import (
    AssignmentView,
    AttendanceView,
    LastInspection,
    MyVisit,
    NoteView,
    PartUseView,
    VisitEventView,
    VisitView,
    WorkOrderDetail,
    WorkOrderView,
)
from backend.people.models import Crew, CrewMember, Person
from backend.people.queries import DUTIES_SHOWN
from backend.people.schemas import Duty
from backend.sites.models import Site, SiteOwner

MY_VISITS_MAXIMUM: Final = 100
MY_FINISHED: Final = timedelta(days=1)
"""How long a visit stays on its technician's list after it has ended."""

View = TypeVar("View", bound=msgspec.Struct)


def view(row: Base, kind: type[View]) -> View:
    """Return a row as one of its wire structs."""
    return msgspec.convert(row, kind, from_attributes=True)


def orders_within(principal: Principal, area: str, level: str, now: datetime) -> ColumnElement[bool]:
    """The condition on WorkOrder that says which orders the principal may use at this level."""
    granted = (grant for grant in principal.grants if (grant.permission.area, grant.permission.level) == (area, level))
    return or_(false(), *(_within(grant, principal, now) for grant in granted))


async def order_within(
    session: AsyncSession, principal: Principal, area: str, level: str, *, order_id: UUID, now: datetime
) -> WorkOrder:
    """Return one order; raises not_found for one outside what the principal may use."""
    wanted = select(WorkOrder).where(WorkOrder.id == order_id, orders_within(principal, area, level, now))
    order = (await session.execute(wanted)).scalar_one_or_none()
    if order is None:
        raise Problem(NOT_FOUND)
    return order


async def visit_within(
    session: AsyncSession, principal: Principal, area: str, level: str, *, visit_id: UUID, now: datetime
) -> Visit:
    """Return one visit; raises not_found for one outside what the principal may use."""
    wanted = select(Visit).join(WorkOrder, WorkOrder.id == Visit.work_order_id).where(Visit.id == visit_id)
    visit = (await session.execute(wanted.where(orders_within(principal, area, level, now)))).scalar_one_or_none()
    if visit is None:
        raise Problem(NOT_FOUND)
    return visit


async def visit_ever_held(session: AsyncSession, person_id: UUID, visit_id: UUID) -> bool:
    """Whether the visit was ever given to this person, or to a crew they were in then: their late facts are welcome."""
    crews = select(CrewMember.crew_id).where(
        CrewMember.person_id == person_id,
        CrewMember.valid_from <= Assignment.assigned_at,
        or_(CrewMember.valid_until.is_(None), CrewMember.valid_until > Assignment.assigned_at),
    )
    held = select(Assignment.id).where(
        Assignment.visit_id == visit_id, or_(Assignment.person_id == person_id, Assignment.crew_id.in_(crews))
    )
    return (await session.execute(held.limit(1))).first() is not None


async def visit_held(session: AsyncSession, person_id: UUID, visit_id: UUID) -> bool:
    """Whether the visit is this person's now."""
    held = select(Assignment.id).where(
        Assignment.visit_id == visit_id, Assignment.person_id == person_id, Assignment.withdrawn_at.is_(None)
    )
    return (await session.execute(held.limit(1))).first() is not None


async def visit_to_report_on(
    session: AsyncSession, principal: Principal, person_id: UUID, *, visit_id: UUID, now: datetime
) -> Visit:
    """Return a visit the principal may report on for this person; raises not_found.

    Everybody reports their own part, also of a visit taken from them; those who dispatch it report for others.
    """
    if person_id == principal.person_id and await visit_ever_held(session, person_id, visit_id):
        return await session.get_one(Visit, visit_id)
    return await visit_within(session, principal, "dispatch", "write", visit_id=visit_id, now=now)


async def may_open_at(session: AsyncSession, principal: Principal, site_id: UUID, now: datetime) -> bool:
    """Whether the principal may open work at a site: one of their units', their crew's, or one they are sent to."""
    if principal.reaches("case", "write").keys() & {"unit", "all", "kind"}:
        unit_id = (await session.execute(select(Site.unit_id).where(Site.id == site_id))).scalar_one_or_none()
        if unit_id in principal.units("case", "write"):
            return True
    known = select(WorkOrder.id).where(WorkOrder.site_id == site_id, orders_within(principal, "case", "write", now))
    looked_after = _sites_of(principal.crew_ids, now).where(SiteOwner.site_id == site_id)
    return (await session.execute(known.limit(1))).first() is not None or (
        await session.execute(looked_after.limit(1))
    ).first() is not None


async def must_be_within_reach(
    session: AsyncSession, principal: Principal, *, person_id: UUID | None, crew_id: UUID | None, now: datetime
) -> None:
    """Refuse to assign people and crews that are neither of one's units nor in one's own crews; raises invalid."""
    units = principal.units("dispatch", "write")
    people = select(Person.id).where(Person.id == person_id)
    crews = select(Crew.id).where(Crew.id == crew_id)
    people = people.where(or_(Person.unit_id.in_(units), Person.id.in_(crew_members(principal.crew_ids, now))))
    crews = crews.where(or_(Crew.unit_id.in_(units), Crew.id.in_(principal.crew_ids)))
    if person_id is not None and (await session.execute(people)).first() is None:
        raise Problem(INVALID, Finding("person_id", "没有此人,或不归您调度", "there is no such person you dispatch"))
    if crew_id is not None and (await session.execute(crews)).first() is None:
        raise Problem(INVALID, Finding("crew_id", "没有此小组,或不归您调度", "there is no such crew you dispatch"))


async def order_page(
    session: AsyncSession, principal: Principal, now: datetime, page: PageRequest, **wanted: object
) -> Page[WorkOrderView]:
    """A page of the orders the principal may read, newest first; `wanted` are columns with the value asked for."""
    listed = select(WorkOrder).where(orders_readable(principal, now))
    for name, value in wanted.items():
        if value is not None:
            listed = listed.where(getattr(WorkOrder, name) == value)
    return await fetch_page(session, listed, WorkOrder.id, page, lambda order: view(order, WorkOrderView))


def orders_readable(principal: Principal, now: datetime) -> ColumnElement[bool]:
    """The condition on WorkOrder that says whose heads one may read; who has no part in work quotes for it."""
    area = "visit_form" if principal.may("visit_form", "read") else "quote"
    return orders_within(principal, area, "read", now)


async def order_seen(session: AsyncSession, principal: Principal, order_id: UUID, now: datetime) -> WorkOrderDetail:
    """An order with all that happened on it; its head alone for who only quotes. Raises not_found."""
    wanted = select(WorkOrder, orders_within(principal, "visit_form", "read", now)).where(
        WorkOrder.id == order_id, orders_readable(principal, now)
    )
    found = (await session.execute(wanted)).one_or_none()
    if found is None:
        raise Problem(NOT_FOUND)
    order, whole = found
    if whole:
        return await order_detail(session, order)
    return WorkOrderDetail(
        order=view(order, WorkOrderView), visits=[], assignments=[], attendances=[], events=[], notes=[], part_uses=[],
        last_inspections=[],
    )  # fmt: skip


async def order_detail(session: AsyncSession, order: WorkOrder) -> WorkOrderDetail:
    """An order with all that happened on it."""

    async def of_order(model: Any, struct: type[View], *keys: Any) -> list[View]:
        listed = select(model).where(model.work_order_id == order.id).order_by(*keys)
        return [view(row, struct) for row in (await session.execute(listed)).scalars()]

    return WorkOrderDetail(
        order=view(order, WorkOrderView),
        visits=await of_order(Visit, VisitView, Visit.sequence),
        assignments=await of_order(Assignment, AssignmentView, Assignment.id),
        attendances=await of_order(Attendance, AttendanceView, Attendance.id),
        events=await of_order(VisitEvent, VisitEventView, VisitEvent.server_at, VisitEvent.sequence),
        notes=await of_order(JobNote, NoteView, JobNote.id),
        part_uses=await of_order(PartUse, PartUseView, PartUse.id),
        last_inspections=await last_inspections(session, order.site_id) if order.origin == "passive" else [],
    )


async def last_inspections(session: AsyncSession, site_id: UUID) -> list[LastInspection]:
    """The latest completed periodic order of each kind at a site (A147)."""
    latest = (
        select(WorkOrder.kind, func.max(WorkOrder.completed_at).label("completed_at"))
        .where(WorkOrder.site_id == site_id, WorkOrder.origin == "active", WorkOrder.state == OrderState.COMPLETED)
        .group_by(WorkOrder.kind)
        .subquery()
    )
    orders = (
        select(WorkOrder)
        .join(latest, and_(WorkOrder.kind == latest.c.kind, WorkOrder.completed_at == latest.c.completed_at))
        .where(WorkOrder.site_id == site_id, WorkOrder.origin == "active")
        .order_by(WorkOrder.completed_at.desc())
    )
    return [
        LastInspection(kind=order.kind, work_order_id=order.id, number=order.number, completed_at=order.completed_at)
        for order in (await session.execute(orders)).scalars()
        if order.completed_at is not None
    ]


async def my_visits(session: AsyncSession, person_id: UUID, *, now: datetime, until: datetime) -> list[MyVisit]:
    """A technician's own visits in the order of the day: open ones planned before `until`, and those just ended."""
    soon = or_(Assignment.arrives_at.is_(None), Assignment.arrives_at < until)
    listed = (
        select(Visit, Assignment, WorkOrder, Site)
        .join(Assignment, Assignment.visit_id == Visit.id)
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .join(Site, Site.id == WorkOrder.site_id)
        .where(Assignment.person_id == person_id, Assignment.withdrawn_at.is_(None))
        .where(or_(and_(Visit.state.not_in(CLOSED), soon), Visit.finished_at > now - MY_FINISHED))
        .order_by(Assignment.arrives_at.is_(None), Assignment.arrives_at, Visit.id)
        .limit(MY_VISITS_MAXIMUM)
    )
    return [_my_visit(*row) for row in (await session.execute(listed)).all()]


async def visits_held(session: AsyncSession, person_id: UUID, _now: datetime) -> list[Duty]:
    """The open visits somebody holds: what must be handed over when they leave (for people.queries.DUTIES)."""
    listed = (
        select(Visit.id, WorkOrder.number)
        .join(Assignment, Assignment.visit_id == Visit.id)
        .join(WorkOrder, WorkOrder.id == Visit.work_order_id)
        .where(Assignment.person_id == person_id, Assignment.withdrawn_at.is_(None), Visit.state.not_in(CLOSED))
        .order_by(Visit.id)
        .limit(DUTIES_SHOWN)
    )
    return [Duty(kind="visit", id=row.id, label=row.number) for row in (await session.execute(listed)).all()]


async def parts_used_on(session: AsyncSession, request_id: UUID) -> bool:
    """Whether a part was built in on the work of a Case (for requests.queries.EVIDENCE)."""
    used = select(PartUse.id).join(WorkOrder, WorkOrder.id == PartUse.work_order_id)
    return (await session.execute(used.where(WorkOrder.request_id == request_id).limit(1))).first() is not None


async def quoted_on(session: AsyncSession, request_id: UUID) -> bool:
    """Whether a quote was offered for the work of a Case (for requests.queries.EVIDENCE)."""
    made = select(Quote.id).join(WorkOrder, WorkOrder.id == Quote.work_order_id)
    offered = made.where(WorkOrder.request_id == request_id, Quote.offered_at.is_not(None))
    return (await session.execute(offered.limit(1))).first() is not None


def crew_members(crew_ids: frozenset[UUID], now: datetime) -> Select[UUID]:
    """The people who are in any of these crews now."""
    return select(CrewMember.person_id).where(
        CrewMember.crew_id.in_(crew_ids),
        CrewMember.valid_from <= now,
        or_(CrewMember.valid_until.is_(None), CrewMember.valid_until > now),
    )


def _within(grant: Grant, principal: Principal, now: datetime) -> ColumnElement[bool]:
    in_units = WorkOrder.unit_id.in_(grant.unit_ids)
    held = select(Assignment.work_order_id).where(Assignment.withdrawn_at.is_(None))
    match grant.permission.reach:
        case "unit" | "all":
            return in_units
        case "kind":
            return and_(in_units, WorkOrder.queue.in_(grant.queues))
        case "crew":
            crews, people = principal.crew_ids, crew_members(principal.crew_ids, now)
            by_crew = held.where(or_(Assignment.crew_id.in_(crews), Assignment.person_id.in_(people)))
            return or_(WorkOrder.id.in_(by_crew), WorkOrder.site_id.in_(_sites_of(crews, now)))
        case _:
            return WorkOrder.id.in_(held.where(Assignment.person_id == principal.person_id))


def _sites_of(crews: frozenset[UUID], now: datetime) -> Select[UUID]:
    """The sites these crews look after (A140)."""
    return select(SiteOwner.site_id).where(
        SiteOwner.crew_id.in_(crews),
        SiteOwner.valid_from <= now,
        or_(SiteOwner.valid_until.is_(None), SiteOwner.valid_until > now),
    )


def _my_visit(visit: Visit, assignment: Assignment, order: WorkOrder, site: Site) -> MyVisit:
    return MyVisit(
        visit=view(visit, VisitView), assignment=view(assignment, AssignmentView), order=view(order, WorkOrderView),
        site_name=site.name, address=site.address, lat=site.lat, lon=site.lon, time_zone=site.time_zone,
        access_notes=site.access_notes,
    )  # fmt: skip
