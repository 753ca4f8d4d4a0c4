"""What work means for its Case while it goes on: it has begun, the customer was called."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor
from backend.jobs.models import WorkOrder
from backend.requests.actions import begin_work, record_contact
from backend.requests.models import ServiceRequest
from backend.requests.rules import OPEN_STATES, Move, RequestState, after
from backend.requests.schemas import ContactEntry


async def begin_case(session: AsyncSession, *, now: datetime, actor: Actor, order: WorkOrder) -> None:
    """Note on the order's Case that work has begun, if it has one that waits for it."""
    case = await case_of(session, order)
    if case is None or case.state == RequestState.IN_PROGRESS or after(RequestState(case.state), Move.BEGIN) is None:
        return
    await begin_work(session, now=now, actor=actor, request=case)


async def note_contact(
    session: AsyncSession, *, now: datetime, actor: Actor, order: WorkOrder, at: datetime, channel: str
) -> None:
    """Note on the order's Case that somebody spoke to the customer; the first time stops the clock to respond."""
    case = await case_of(session, order)
    if case is None or case.state not in OPEN_STATES:
        return
    contact = ContactEntry(channel=channel, at=max(at, case.received_at), note=order.number)
    await record_contact(session, now=now, actor=actor, request=case, contact=contact)


async def case_of(session: AsyncSession, order: WorkOrder) -> ServiceRequest | None:
    """The Case an order serves, locked until the transaction ends."""
    if order.request_id is None:
        return None
    return await session.get_one(ServiceRequest, order.request_id, with_for_update=True, populate_existing=True)
