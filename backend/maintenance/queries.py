"""Reads of maintenance plans and their ledger, within what the reader's roles reach."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.models import ContractSite, ServiceContract
from backend.core.auth import Principal
from backend.core.errors import NOT_FOUND, Problem
from backend.core.paging import Page, PageRequest, fetch_page
from backend.jobs.models import WorkOrder
from backend.jobs.queries import view
from backend.maintenance.models import MaintenanceDue, MaintenancePlan
from backend.maintenance.schemas import DueView, LedgerCount, MaintenancePlanView
from backend.sites.models import Asset, Site, SiteOwner


def plans_within(principal: Principal, level: str, now: datetime) -> ColumnElement[bool]:
    """The condition on MaintenancePlan that says which plans the principal may use.

    Those of their units; in the field those of the sites they or their crews look after (A140).
    """
    area = "dispatch" if level == "write" else "visit_form"
    reaches = principal.reaches(area, level)
    in_units = MaintenancePlan.unit_id.in_(principal.units(area, level))
    if not reaches.keys() & {"own", "crew"}:
        return in_units
    cared_for = select(SiteOwner.site_id).where(
        or_(SiteOwner.person_id == principal.person_id, SiteOwner.crew_id.in_(principal.crew_ids)),
        SiteOwner.valid_from <= now,
        or_(SiteOwner.valid_until.is_(None), SiteOwner.valid_until > now),
    )
    return or_(in_units, MaintenancePlan.site_id.in_(cared_for))


async def plan_within(
    session: AsyncSession, principal: Principal, level: str, *, plan_id: UUID, now: datetime, lock: bool = False
) -> MaintenancePlan:
    """Return one plan, locked on request; raises not_found for one outside what the principal may use."""
    wanted = select(MaintenancePlan).where(MaintenancePlan.id == plan_id, plans_within(principal, level, now))
    plan = (await session.execute(wanted.with_for_update() if lock else wanted)).scalar_one_or_none()
    if plan is None:
        raise Problem(NOT_FOUND)
    return plan


async def due_within(
    session: AsyncSession, principal: Principal, level: str, *, due_id: UUID, now: datetime
) -> MaintenanceDue:
    """Return one item of the ledger, locked; raises not_found for one outside what the principal may use."""
    wanted = (
        select(MaintenanceDue)
        .join(MaintenancePlan, MaintenancePlan.id == MaintenanceDue.plan_id)
        .where(MaintenanceDue.id == due_id, plans_within(principal, level, now))
        .with_for_update(of=MaintenanceDue)
    )
    due = (await session.execute(wanted)).scalar_one_or_none()
    if due is None:
        raise Problem(NOT_FOUND)
    return due


async def plan_page(
    session: AsyncSession, principal: Principal, now: datetime, page: PageRequest, site_id: UUID | None
) -> Page[MaintenancePlanView]:
    """A page of plans, newest first."""
    listed = select(MaintenancePlan).where(plans_within(principal, "read", now))
    if site_id is not None:
        listed = listed.where(MaintenancePlan.site_id == site_id)
    return await fetch_page(session, listed, MaintenancePlan.id, page, lambda plan: view(plan, MaintenancePlanView))


async def ledger_page(
    session: AsyncSession, principal: Principal, now: datetime, page: PageRequest, **wanted: Any
) -> Page[DueView]:
    """A page of the ledger, newest first; `wanted` as in `_asked`."""
    listed = (
        select(MaintenanceDue)
        .join(MaintenancePlan, MaintenancePlan.id == MaintenanceDue.plan_id)
        .where(plans_within(principal, "read", now), *_asked(**wanted))
    )
    found = await fetch_page(session, listed, MaintenanceDue.id, page, lambda due: due.id)
    shown = await due_views(session, found.items)
    return Page(items=[shown[due_id] for due_id in found.items], next=found.next)


async def due_views(session: AsyncSession, due_ids: list[UUID]) -> dict[UUID, DueView]:
    """These items of the ledger with the names people know them by."""
    named = (
        select(MaintenanceDue, MaintenancePlan, Site.name, Asset.name, WorkOrder.number)
        .join(MaintenancePlan, MaintenancePlan.id == MaintenanceDue.plan_id)
        .join(Site, Site.id == MaintenancePlan.site_id)
        .outerjoin(Asset, Asset.id == MaintenanceDue.asset_id)
        .outerjoin(WorkOrder, WorkOrder.id == MaintenanceDue.work_order_id)
        .where(MaintenanceDue.id.in_(due_ids))
    )
    rows = (await session.execute(named)).all()
    return {
        due.id: DueView(
            id=due.id, plan_id=plan.id, kind=plan.kind, site_id=plan.site_id, site_name=site_name,
            asset_id=due.asset_id, asset_name=asset_name, period_from_on=due.period_from_on,
            period_until_on=due.period_until_on, state=due.state, work_order_id=due.work_order_id,
            work_order_number=number, settled_at=due.settled_at, waived_reason=due.waived_reason,
        )
        for due, plan, site_name, asset_name, number in rows
    }  # fmt: skip


async def ledger_counts(session: AsyncSession, principal: Principal, now: datetime, **wanted: Any) -> list[LedgerCount]:
    """How many items of each kind are in each state (A138)."""
    counted = (
        select(MaintenancePlan.kind, MaintenanceDue.state, func.count())
        .join(MaintenancePlan, MaintenancePlan.id == MaintenanceDue.plan_id)
        .where(plans_within(principal, "read", now), *_asked(**wanted))
        .group_by(MaintenancePlan.kind, MaintenanceDue.state)
        .order_by(MaintenancePlan.kind, MaintenanceDue.state)
    )
    rows = (await session.execute(counted)).all()
    return [LedgerCount(kind=kind, state=state, count=count) for kind, state, count in rows]


async def maintained_until(session: AsyncSession, site_id: UUID) -> date | None:
    """The last day of a site's maintenance by contract; None while one is open, or where there is none (A137)."""
    ends = (
        select(ServiceContract.maintenance_ends_on)
        .join(ContractSite, ContractSite.contract_id == ServiceContract.id)
        .where(ContractSite.site_id == site_id)
    )
    found = list((await session.execute(ends)).scalars())
    known = [day for day in found if day is not None]
    return max(known) if known and len(known) == len(found) else None


def _asked(
    *,
    due_state: str | None = None,
    from_on: date | None = None,
    until_on: date | None = None,
    site_id: UUID | None = None,
    kind: str | None = None,
) -> list[ColumnElement[bool]]:
    """Conditions of what a reader asks for; a period counts when it overlaps [from_on, until_on]."""
    conditions = (
        (due_state, MaintenanceDue.state == due_state),
        (from_on, MaintenanceDue.period_until_on >= from_on if from_on else false()),
        (until_on, MaintenanceDue.period_from_on <= until_on if until_on else false()),
        (site_id, MaintenancePlan.site_id == site_id),
        (kind, MaintenancePlan.kind == kind),
    )
    return [condition for asked, condition in conditions if asked is not None]
