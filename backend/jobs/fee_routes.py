"""Routes of what work costs the customer."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, requires, requires_any
from backend.core.errors import NOT_FOUND, Problem
from backend.core.once import Once
from backend.jobs import fees
from backend.jobs.fee_schemas import (
    CoverageEntry,
    CoverageView,
    DisputeDecision,
    DisputeView,
    FeesView,
    NewPayment,
    NewQuote,
    NewQuoteAnswer,
    PaymentView,
    QuoteAnswerView,
    QuoteView,
    ReceiptView,
)
from backend.jobs.models import CoverageDecision, FeeDispute, Payment, Quote, QuoteAnswer, Receipt, WorkOrder
from backend.jobs.queries import order_seen, order_within, view

OrderId = FromPath[UUID]
QuoteId = FromPath[UUID]
DisputeId = FromPath[UUID]
PaymentId = FromPath[UUID]
Me = NamedDependency[Principal]
Write = NamedDependency[AsyncSession]
Now = NamedDependency[datetime]
OnlyOnce = NamedDependency[Once]


@get("/work-orders/{order_id:uuid}/fees", guards=[requires_any(("visit_form", "write"), ("quote", "read"))])
async def show_fees(order_id: OrderId, principal: Me, read: NamedDependency[AsyncSession], now: Now) -> FeesView:
    """Everything about money on one order."""
    order = (await order_seen(read, principal, order_id, now)).order

    async def of_order(model: Any, kind: type[msgspec.Struct]) -> list[Any]:
        listed = select(model).where(model.work_order_id == order.id).order_by(model.id)
        return [view(row, kind) for row in (await read.execute(listed)).scalars()]

    answers = select(QuoteAnswer).where(QuoteAnswer.work_order_id == order.id).order_by(QuoteAnswer.id)
    return FeesView(
        coverage=await of_order(CoverageDecision, CoverageView), quotes=await of_order(Quote, QuoteView),
        answers=[_answer(row, None) for row in (await read.execute(answers)).scalars()],
        disputes=await of_order(FeeDispute, DisputeView), payments=await of_order(Payment, PaymentView),
        receipts=await of_order(Receipt, ReceiptView),
    )  # fmt: skip


@post("/work-orders/{order_id:uuid}/coverage", guards=[requires("case", "write")])
async def decide_coverage(
    *, order_id: OrderId, data: JSONBody[CoverageEntry], once: OnlyOnce, principal: Me, write: Write, now: Now
) -> Response[CoverageView]:
    """Decide free or charged: the cause first, the warranty second."""
    order = await order_within(write, principal, "case", "write", order_id=order_id, now=now)

    async def decided() -> CoverageView:
        made = await fees.decide_coverage(write, now=now, actor=principal.actor, order=order, entry=data)
        return view(made, CoverageView)

    return await once.create(write, now, decided)


@post("/work-orders/{order_id:uuid}/quotes", guards=[requires("quote", "write")])
async def make_quote(
    *, order_id: OrderId, data: JSONBody[NewQuote], once: OnlyOnce, principal: Me, write: Write, now: Now
) -> Response[QuoteView]:
    """Make the next version of an order's quote."""
    order = await _order_to_quote(write, principal, order_id)

    async def made() -> QuoteView:
        quote = await fees.make_quote(
            write, now=now, actor=principal.actor, maker_id=principal.person_id, order=order, new=data
        )
        return view(quote, QuoteView)

    return await once.create(write, now, made)


@post("/quotes/{quote_id:uuid}/offer", guards=[requires("quote", "write")], status_code=200)
async def offer_quote(quote_id: QuoteId, principal: Me, write: Write, now: Now) -> QuoteView:
    """Offer a draft to the customer."""
    quote = await write.get_one(Quote, quote_id, with_for_update=True)
    await _order_to_quote(write, principal, quote.work_order_id)
    await fees.offer_quote(write, now=now, actor=principal.actor, quote=quote)
    return view(quote, QuoteView)


@post("/quotes/{quote_id:uuid}/answers", guards=[requires_any(("quote", "write"), ("case", "write"))])
async def answer_quote(
    *, quote_id: QuoteId, data: JSONBody[NewQuoteAnswer], once: OnlyOnce, principal: Me, write: Write, now: Now
) -> Response[QuoteAnswerView]:
    """Record what the customer said to a quote."""
    quote = await write.get_one(Quote, quote_id, with_for_update=True)
    await _order_to_speak_of(write, principal, quote.work_order_id, now)

    async def answered() -> QuoteAnswerView:
        answer, dispute = await fees.answer_quote(write, now=now, actor=principal.actor, quote=quote, new=data)
        return _answer(answer, dispute)

    return await once.create(write, now, answered)


@post("/fee-disputes/{dispute_id:uuid}/decide", guards=[requires("quote", "approve")], status_code=200)
async def decide_dispute(
    *, dispute_id: DisputeId, data: JSONBody[DisputeDecision], principal: Me, write: Write, now: Now
) -> DisputeView:
    """Decide a disputed fee."""
    dispute = await write.get_one(FeeDispute, dispute_id, with_for_update=True)
    order = await write.get_one(WorkOrder, dispute.work_order_id)
    if order.unit_id not in principal.units("quote", "approve"):
        raise Problem(NOT_FOUND)
    await fees.decide_dispute(write, now=now, actor=principal.actor, dispute=dispute, decision=data.decision)
    return view(dispute, DisputeView)


@post("/work-orders/{order_id:uuid}/payments", guards=[requires("case", "write")])
async def take_payment(
    *, order_id: OrderId, data: JSONBody[NewPayment], once: OnlyOnce, principal: Me, write: Write, now: Now
) -> Response[PaymentView]:
    """Record money received."""
    order = await order_within(write, principal, "case", "write", order_id=order_id, now=now)

    async def taken() -> PaymentView:
        paid = await fees.take_payment(
            write, now=now, actor=principal.actor, taker_id=principal.person_id, order=order, new=data
        )
        return view(paid, PaymentView)

    return await once.create(write, now, taken)


@post("/payments/{payment_id:uuid}/receipt", guards=[requires("case", "write")])
async def give_receipt(
    *, payment_id: PaymentId, once: OnlyOnce, principal: Me, write: Write, now: Now
) -> Response[ReceiptView]:
    """Give a numbered receipt for a payment."""
    payment = await write.get_one(Payment, payment_id)
    await order_within(write, principal, "case", "write", order_id=payment.work_order_id, now=now)

    async def given() -> ReceiptView:
        return view(await fees.give_receipt(write, now=now, actor=principal.actor, payment=payment), ReceiptView)

    return await once.create(write, now, given)


def _answer(answer: QuoteAnswer, dispute: FeeDispute | None) -> QuoteAnswerView:
    return QuoteAnswerView(
        id=answer.id, quote_id=answer.quote_id, answer=answer.answer, given_by=answer.given_by, channel=answer.channel,
        note=answer.note, answered_at=answer.answered_at, dispute_id=dispute and dispute.id,
    )  # fmt: skip


async def _order_to_quote(session: AsyncSession, principal: Principal, order_id: UUID) -> WorkOrder:
    """The order, for somebody who quotes in its unit: quoting is nobody's own work and no queue's."""
    order = await session.get(WorkOrder, order_id)
    if order is None or order.unit_id not in principal.units("quote", "write"):
        raise Problem(NOT_FOUND)
    return order


async def _order_to_speak_of(session: AsyncSession, principal: Principal, order_id: OrderId, now: datetime) -> None:
    if principal.may("quote", "write"):
        await _order_to_quote(session, principal, order_id)
    else:
        await order_within(session, principal, "case", "write", order_id=order_id, now=now)


FEE_HANDLERS: Final = (
    show_fees, decide_coverage, make_quote, offer_quote, answer_quote, decide_dispute, take_payment, give_receipt,
)  # fmt: skip
