"""Reads of call-backs. One belongs where its Case does, or, without a Case, where its customer does."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal
from backend.core.errors import NOT_FOUND, Problem
from backend.core.paging import Page, PageRequest, fetch_rows
from backend.core.presets import Preset
from backend.customers.models import Customer
from backend.followup.models import FollowUp
from backend.followup.schemas import FollowUpView
from backend.jobs.models import Assignment, WorkOrder
from backend.requests.models import ServiceRequest
from backend.requests.queries import requests_within


def follow_ups_within(principal: Principal, level: str, now: datetime) -> ColumnElement[bool]:
    """The condition on FollowUp that says which call-backs the principal may use."""
    cases = select(ServiceRequest.id).where(requests_within(principal, level, now))
    customers = select(Customer.id).where(Customer.unit_id.in_(principal.units("case", level)))
    return or_(FollowUp.request_id.in_(cases), and_(FollowUp.request_id.is_(None), FollowUp.customer_id.in_(customers)))


async def follow_up_within(
    session: AsyncSession, principal: Principal, follow_up_id: UUID, *, levels: tuple[str, ...], now: datetime
) -> FollowUp:
    """Return one call-back, locked; raises not_found for one the principal may use at none of the levels."""
    usable = or_(*(follow_ups_within(principal, level, now) for level in levels))
    wanted = select(FollowUp).where(FollowUp.id == follow_up_id, usable).with_for_update()
    follow_up = (await session.execute(wanted)).scalar_one_or_none()
    if follow_up is None:
        raise Problem(NOT_FOUND)
    return follow_up


async def follow_up_page(
    session: AsyncSession, principal: Principal, now: datetime, page: PageRequest, *, called: bool | None
) -> Page[FollowUpView]:
    """A page of the call-backs whose Cases the principal may read, newest first; `called` those answered, or not."""
    listed = _views().where(follow_ups_within(principal, "read", now))
    if called is not None:
        listed = listed.where(FollowUp.called_at.is_not(None) if called else FollowUp.called_at.is_(None))
    return await fetch_rows(session, listed, FollowUp.id, page, lambda row: FollowUpView(**row))


async def follow_up_view(session: AsyncSession, follow_up_id: UUID) -> FollowUpView:
    """One call-back."""
    return FollowUpView(**(await session.execute(_views().where(FollowUp.id == follow_up_id))).mappings().one())


async def worked_on(session: AsyncSession, person_id: UUID, request_id: UUID) -> bool:
    """Whether somebody was ever sent for a Case: they do not ask the customer how it went."""
    sent = exists().where(
        Assignment.person_id == person_id, Assignment.work_order_id == WorkOrder.id, WorkOrder.request_id == request_id
    )
    return bool((await session.execute(select(sent))).scalar())


def _views() -> Select[*tuple[Any, ...]]:
    named = {
        "request_number": ServiceRequest.number, "request_state": ServiceRequest.state,
        "reporter_name": ServiceRequest.reporter_name, "reporter_phone": ServiceRequest.reporter_phone,
        "customer_name": Customer.name, "rule": Preset.key,
    }  # fmt: skip
    own = [getattr(FollowUp, name) for name in FollowUpView.__struct_fields__ if name not in named]
    return (
        select(*own, *(column.label(name) for name, column in named.items()))
        .join(Customer, Customer.id == FollowUp.customer_id)
        .join(Preset, Preset.id == FollowUp.rule_id)
        .outerjoin(ServiceRequest, ServiceRequest.id == FollowUp.request_id)
    )
