"""How work and its Case answer each other: solved by what the customer signed, dropped when the Case is cancelled."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.merges import follow_merge, survivor_of
from backend.core.audit import SYSTEM
from backend.core.events import Event
from backend.forms.models import CompletionForm, Signature
from backend.forms.shown import ShownForm, ShownItem, read_shown
from backend.jobs.actions import cancel_work_order
from backend.jobs.cases import case_of, end_pause_for_answer, pause_for_answer
from backend.jobs.history import locked_order
from backend.jobs.models import PartUse, Visit, WorkOrder
from backend.jobs.rules import OrderState
from backend.requests.actions import solve_request
from backend.requests.models import ServiceRequest
from backend.requests.rules import OPEN_STATES, Move, RequestState, after
from backend.requests.schemas import SolvedEntry
from backend.sites.models import Site

SOLVED_YES: Final = "yes"
CUSTOMER: Final = "customer"
REFUSED: Final = "refused"
NO_FAULT: Final = "no_fault_found"
UNKNOWN_CAUSE: Final = "unknown"
CASE_CANCELLED: Final = "case_cancelled"
CASE_CLOSED: Final = "case_closed_unsolved"


@dataclass(frozen=True)
class Confirmation:
    """The customer's word on a signed form that the problem is entirely solved (A104)."""

    by: str
    cause: str
    effect: str


async def drop_orders(session: AsyncSession, happened: Event, now: datetime) -> None:
    """React to `service_request.cancelled` and `.closed`: what was not solved sends nobody any more.

    A Case that was opened again meanwhile keeps its orders.
    """
    case = await session.get_one(ServiceRequest, happened.subject_id)
    if happened.facts.get("solved") or case.state in OPEN_STATES:
        return
    reason = CASE_CANCELLED if case.state == RequestState.CANCELLED else CASE_CLOSED
    open_orders = select(WorkOrder).where(
        WorkOrder.request_id == happened.subject_id,
        WorkOrder.state.not_in((OrderState.COMPLETED, OrderState.CANCELLED)),
    )
    for order in (await session.execute(open_orders.order_by(WorkOrder.id))).scalars().all():
        await cancel_work_order(session, now=now, actor=SYSTEM, order=order, reason=reason)


async def move_orders(session: AsyncSession, merged: Event, now: datetime) -> None:
    """React to `site.merged`: its orders are at the site that stands; those not ended go to its unit."""
    site = await session.get_one(Site, await survivor_of(session, merged))
    ended = (OrderState.COMPLETED, OrderState.CANCELLED)
    theirs = select(WorkOrder).where(WorkOrder.site_id == merged.subject_id).order_by(WorkOrder.id)
    standing = {"site_id": site.id, "unit_id": site.unit_id}
    await follow_merge(session, theirs.where(WorkOrder.state.not_in(ended)), standing, now)
    await follow_merge(session, theirs.where(WorkOrder.state.in_(ended)), {"site_id": site.id}, now)


async def wait_for_answer(session: AsyncSession, offered: Event, _now: datetime) -> None:
    """React to `quote.offered`: from now on it is the customer the work waits for."""
    await pause_for_answer(session, order=await locked_order(session, UUID(str(offered.facts["work_order_id"]))))


async def go_on_after_answer(session: AsyncSession, answered: Event, _now: datetime) -> None:
    """React to `quote.answered`: the customer is waited for no more."""
    order = await locked_order(session, UUID(str(answered.facts["work_order_id"])))
    await end_pause_for_answer(session, order=order, at=answered.at)


async def solve_case(session: AsyncSession, happened: Event, now: datetime) -> None:
    """React to `work_order.completed` and `completion_form.filed`: with both, what was signed is solved (A104).

    A refused signature, "partly" and "no" leave the Case to its owner.
    """
    order = await completed_order(session, happened)
    case = await case_of(session, order) if order else None
    if order is None or case is None or after(RequestState(case.state), Move.SOLVE) is None:
        return
    confirmed = await _confirmation(session, order)
    if confirmed is None:
        return
    solved = SolvedEntry(
        confirmed_by=confirmed.by, resolution=await _resolution(session, order, confirmed),
        cause=confirmed.cause, at=order.completed_at and max(order.completed_at, case.received_at),
        note=confirmed.effect,
    )  # fmt: skip
    await solve_request(session, now=now, actor=SYSTEM, request=case, solved=solved)


async def completed_order(session: AsyncSession, happened: Event) -> WorkOrder | None:
    """The order an event is about, if it is completed: its own, or the one whose visit a form was filed on."""
    if happened.entity == WorkOrder.__tablename__:
        order = await session.get(WorkOrder, happened.subject_id)
    else:
        visit = await session.get(Visit, UUID(happened.facts["subject_id"]))
        order = await session.get(WorkOrder, visit.work_order_id) if visit else None
    return order if order and order.state == OrderState.COMPLETED else None


async def _confirmation(session: AsyncSession, order: WorkOrder) -> Confirmation | None:
    """What the newest form says that the customer signed, if it says solved."""
    signed = (
        select(CompletionForm.shown, Signature.signer_name)
        .join(Signature, Signature.form_id == CompletionForm.id)
        .join(Visit, Visit.id == CompletionForm.subject_id)
        .where(Visit.work_order_id == order.id, CompletionForm.voided_at.is_(None))
        .where(Signature.signer_role == CUSTOMER, Signature.method != REFUSED)
        .order_by(CompletionForm.server_at.desc(), CompletionForm.id.desc())
    )
    for shown, signer in (await session.execute(signed)).all():
        items = _items(read_shown(shown.encode()))
        solved = next((item for item in items if item.kind == "solved"), None)
        if solved is not None:
            values = {item.key: item.value for item in items}
            cause, effect = values.get("cause"), values.get("effect")
            confirmed = Confirmation(signer, str(cause or order.cause or UNKNOWN_CAUSE), str(effect or solved.shown))
            return confirmed if solved.value == SOLVED_YES else None
    return None


def _items(form: ShownForm) -> list[ShownItem]:
    return [item for section in form.sections for group in section.groups for item in group.items]


async def _resolution(session: AsyncSession, order: WorkOrder, confirmed: Confirmation) -> str:
    """How it was solved, as far as the records say (presets §4)."""
    if confirmed.cause == NO_FAULT:
        return "no_fault"
    parts = select(PartUse.id).where(PartUse.work_order_id == order.id).limit(1)
    return "part_replaced" if (await session.execute(parts)).first() else "repaired"
