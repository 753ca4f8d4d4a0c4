"""What work means for its Case while it goes on: it has begun, the customer was called."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.actions import pause_clock, resume_clock
from backend.core.audit import Actor
from backend.jobs.fees import newest_quote
from backend.jobs.history import visits_of
from backend.jobs.models import Visit, WorkOrder
from backend.jobs.presets import visit_reason
from backend.requests.actions import begin_work, record_contact
from backend.requests.models import ServiceRequest
from backend.requests.rules import OPEN_STATES, Move, RequestState, after
from backend.requests.schemas import ContactEntry

AFTER_OFFER: Final = "customer_after_offer"


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


async def pause_for_answer(session: AsyncSession, *, order: WorkOrder) -> None:
    """Let the clock to solve stand still while the customer considers a quote the work waits for (presets §5)."""
    last = await _last_ended(session, order.id)
    if order.request_id is None or last is None or last.reason is None or last.finished_at is None:
        return
    if (await visit_reason(session, last.reason)).side_rule != AFTER_OFFER:
        return
    quote = await newest_quote(session, order.id)
    if quote is not None and quote.state == "offered" and quote.offered_at is not None:
        at = max(last.finished_at, quote.offered_at)
        await pause_clock(session, subject_id=order.request_id, at=at, reason=last.reason)


async def end_pause_for_answer(session: AsyncSession, *, order: WorkOrder, at: datetime) -> None:
    """Let the clock to solve go on once the customer has answered the quote."""
    last = await _last_ended(session, order.id)
    if order.request_id is None or last is None or last.reason is None:
        return
    if (await visit_reason(session, last.reason)).side_rule == AFTER_OFFER:
        await resume_clock(session, subject_id=order.request_id, at=at, reason=last.reason)


async def _last_ended(session: AsyncSession, order_id: UUID) -> Visit | None:
    """The visit that ended last, if nobody has arrived on a later one."""
    visits = await visits_of(session, order_id)
    reached = [visit for visit in visits if visit.arrived_at or visit.finished_at]
    return reached[-1] if reached and reached[-1].finished_at else None


async def case_of(session: AsyncSession, order: WorkOrder) -> ServiceRequest | None:
    """The Case an order serves, locked until the transaction ends."""
    if order.request_id is None:
        return None
    return await session.get_one(ServiceRequest, order.request_id, with_for_update=True, populate_existing=True)
