"""What work costs the customer: coverage, quotes, disputes, payments, receipts. In fen (model 10)."""

from datetime import date, datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.bounds import must_have_happened
from backend.calendars.rules import day_in
from backend.contracts.models import PriceList
from backend.contracts.queries import fee_verdict_of
from backend.core.audit import Actor, record
from backend.core.errors import INVALID, Finding, Problem
from backend.core.events import tell
from backend.core.numbers import next_number
from backend.jobs.faults import QUOTE_STATE, RECEIPT_GIVEN
from backend.jobs.fee_schemas import CoverageEntry, NewPayment, NewQuote, NewQuoteAnswer
from backend.jobs.history import locked_order
from backend.jobs.models import CoverageDecision, FeeDispute, Payment, Quote, QuoteAnswer, Receipt, WorkOrder
from backend.jobs.presets import preset_body
from backend.jobs.schemas import FEN_MAXIMUM
from backend.requests.models import ServiceRequest
from backend.sites.models import Site

CURRENCY = "CNY"
SUPERSEDED: Final = "superseded"


async def decide_coverage(
    session: AsyncSession, *, now: datetime, actor: Actor, order: WorkOrder, entry: CoverageEntry
) -> CoverageDecision:
    """Decide free or charged by the cause first and the warranty second (A148, A149, X15); the latest decision counts.

    Raises invalid for an unknown cause.
    """
    on = await _reported_on(session, order, now)
    verdict = await fee_verdict_of(session, cause=entry.cause, asset_id=order.asset_id, on=on)
    if verdict is None:
        raise Problem(INVALID, Finding("cause", f"没有原因“{entry.cause}”", f"there is no cause {entry.cause!r}"))
    decision = CoverageDecision(
        work_order_id=order.id, cause=entry.cause, in_warranty=verdict.in_warranty, verdict=verdict.decision,
        reason=entry.reason or f"{verdict.zh} / {verdict.en}", decided_at=now, decided_by_id=actor.person_id,
    )  # fmt: skip
    session.add(decision)
    order.cause = entry.cause
    facts = {"cause": entry.cause, "in_warranty": verdict.in_warranty, "verdict": verdict.decision}
    record(session, now=now, actor=actor, action="work_order.coverage_decided", row=order, after=facts)
    return decision


async def make_quote(
    session: AsyncSession, *, now: datetime, actor: Actor, maker_id: UUID, order: WorkOrder, new: NewQuote
) -> Quote:
    """Make the next version of an order's quote; raises invalid (unknown kind of line or price list)."""
    for place, line in enumerate(new.lines):
        if await preset_body(session, "quote_line", line.kind) is None:
            raise Problem(INVALID, Finding(f"lines.{place}.kind", "没有此费用类别", "there is no such kind of line"))
    if new.price_list_id is not None and await session.get(PriceList, new.price_list_id) is None:
        raise Problem(INVALID, Finding("price_list_id", "没有此收费标准", "there is no such price list"))
    total_fen = sum(line.quantity * line.unit_fen for line in new.lines)
    if total_fen > FEN_MAXIMUM:
        raise Problem(INVALID, Finding("lines", "总额超过上限", "the total is beyond the limit"))
    await locked_order(session, order.id)
    latest = select(func.coalesce(func.max(Quote.version), 0)).where(Quote.work_order_id == order.id)
    quote = Quote(
        work_order_id=order.id, version=(await session.execute(latest)).scalar_one() + 1,
        price_list_id=new.price_list_id, lines=msgspec.to_builtins(new.lines), currency=CURRENCY,
        total_fen=total_fen, payment_way=new.payment_way,
        state="offered" if new.offered else "draft", offered_at=now if new.offered else None,
        made_by_id=maker_id,
    )  # fmt: skip
    session.add(quote)
    facts = {"version": quote.version, "total_fen": quote.total_fen, "state": quote.state}
    record(session, now=now, actor=actor, action="quote.made", row=quote, after=facts)
    if new.offered:
        tell(session, now=now, name="quote.offered", row=quote, facts={"work_order_id": str(order.id)})
    return quote


async def newest_quote(session: AsyncSession, order_id: UUID) -> Quote | None:
    """The version of an order's quote that counts; those before it are superseded."""
    versions = select(Quote).where(Quote.work_order_id == order_id).order_by(Quote.version.desc())
    return (await session.execute(versions.limit(1))).scalar_one_or_none()


async def _must_be_newest(session: AsyncSession, quote: Quote) -> None:
    await locked_order(session, quote.work_order_id)  # a new version waits for this lock, or we for it
    newest = await newest_quote(session, quote.work_order_id)
    if newest is None or newest.id != quote.id:
        raise Problem(QUOTE_STATE, state=SUPERSEDED)


async def offer_quote(session: AsyncSession, *, now: datetime, actor: Actor, quote: Quote) -> None:
    """Offer a draft to the customer; raises quote_state for anything else, but offering twice is once."""
    await _must_be_newest(session, quote)
    if quote.state == "offered":
        return
    if quote.state != "draft":
        raise Problem(QUOTE_STATE, state=quote.state)
    quote.state, quote.offered_at = "offered", now
    record(session, now=now, actor=actor, action="quote.offered", row=quote)
    tell(session, now=now, name="quote.offered", row=quote, facts={"work_order_id": str(quote.work_order_id)})


async def answer_quote(
    session: AsyncSession, *, now: datetime, actor: Actor, quote: Quote, new: NewQuoteAnswer
) -> tuple[QuoteAnswer, FeeDispute | None]:
    """Record what the customer said (A085, A150); a dispute is put before the head and blocks no signature.

    Raises quote_state when the quote's state allows no such answer (presets §4), or a newer version has replaced it.
    """
    await _must_be_newest(session, quote)
    states = await preset_body(session, "quote_state", quote.state) or {}
    if new.answer not in msgspec.convert(states.get("next", []), list[str]):
        raise Problem(QUOTE_STATE, state=quote.state)
    answer = QuoteAnswer(
        work_order_id=quote.work_order_id, quote_id=quote.id, answer=new.answer, given_by=new.given_by,
        channel=new.channel, note=new.note, answered_at=now,
    )  # fmt: skip
    session.add(answer)
    before, quote.state = quote.state, new.answer
    dispute = None
    if new.answer == "disputed":
        claim = new.note or new.given_by
        dispute = FeeDispute(work_order_id=quote.work_order_id, quote_id=quote.id, claim=claim, raised_at=now)
        session.add(dispute)
    record(
        session, now=now, actor=actor, action=f"quote.{new.answer}", row=quote,
        before={"state": before}, after={"state": quote.state, "given_by": new.given_by, "channel": new.channel},
    )  # fmt: skip
    facts = {"answer": new.answer, "work_order_id": str(quote.work_order_id)}
    tell(session, now=now, name="quote.answered", row=quote, facts=facts)
    return answer, dispute


async def decide_dispute(
    session: AsyncSession, *, now: datetime, actor: Actor, dispute: FeeDispute, decision: str
) -> None:
    """Decide a disputed fee; a later decision replaces an earlier one, both stay in the audit trail."""
    before = dispute.decision
    dispute.decided_at, dispute.decided_by_id, dispute.decision = now, actor.person_id, decision
    record(
        session, now=now, actor=actor, action="fee_dispute.decided", row=dispute,
        before={"decision": before}, after={"decision": decision},
    )  # fmt: skip


async def take_payment(
    session: AsyncSession, *, now: datetime, actor: Actor, taker_id: UUID, order: WorkOrder, new: NewPayment
) -> Payment:
    """Record money received for an order; raises invalid: a quote of another order, a mistyped time."""
    if new.quote_id is not None:
        quote = await session.get(Quote, new.quote_id)
        if quote is None or quote.work_order_id != order.id:
            raise Problem(INVALID, Finding("quote_id", "报价属于另一工单", "the quote is of another order"))
    must_have_happened(now, {"paid_at": new.paid_at})
    payment = Payment(
        work_order_id=order.id, quote_id=new.quote_id, amount_fen=new.amount_fen, currency=CURRENCY, way=new.way,
        received_by_id=taker_id, paid_at=min(new.paid_at or now, now),
    )  # fmt: skip
    session.add(payment)
    facts = {"amount_fen": new.amount_fen, "way": new.way}
    record(session, now=now, actor=actor, action="payment.taken", row=payment, after=facts)
    return payment


async def give_receipt(session: AsyncSession, *, now: datetime, actor: Actor, payment: Payment) -> Receipt:
    """Give a numbered receipt for a payment; raises receipt_given when there is one."""
    await locked_order(session, payment.work_order_id)
    given = select(Receipt.id).where(Receipt.payment_id == payment.id)
    if (await session.execute(given)).first() is not None:
        raise Problem(RECEIPT_GIVEN)
    receipt = Receipt(
        work_order_id=payment.work_order_id, payment_id=payment.id, number=await next_number(session, "RC"),
        issued_at=now,
    )  # fmt: skip
    session.add(receipt)
    record(session, now=now, actor=actor, action="receipt.given", row=receipt, after={"number": receipt.number})
    return receipt


async def _reported_on(session: AsyncSession, order: WorkOrder, now: datetime) -> date:
    """The day the fault was reported, on the site's clocks."""
    request = await session.get(ServiceRequest, order.request_id) if order.request_id else None
    site = await session.get_one(Site, order.site_id)
    return day_in(site.time_zone, request.received_at if request else now)
