"""Wire structs of what work costs the customer: coverage, quotes, disputes, payments, receipts. In fen."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from backend.jobs.schemas import LINES_MAXIMUM, Channel, Count, Fen, Instant, Key, PaidFen, Refusing, Said, Text, Title


class CoverageEntry(Refusing, frozen=True, kw_only=True):
    """Why it broke; the warranty is looked up for the day of the report."""

    cause: Key
    reason: Text = ""


class CoverageView(msgspec.Struct, frozen=True, kw_only=True):
    """Free or charged, and why; `verdict` is free, quote, contract, manager or call_out."""

    id: UUID
    work_order_id: UUID
    cause: str
    in_warranty: bool
    verdict: str
    reason: str
    decided_at: datetime
    decided_by_id: UUID | None


class QuoteLine(Refusing, frozen=True, kw_only=True):
    """One line of an offer: parts, travel or labour (A150)."""

    kind: Key
    text: Title
    quantity: Count
    unit_fen: Fen


class NewQuote(Refusing, frozen=True, kw_only=True):
    """A new version of an offer; `offered` at once, or a draft. The way of paying is agreed before the work."""

    lines: Annotated[list[QuoteLine], msgspec.Meta(min_length=1, max_length=LINES_MAXIMUM)]
    price_list_id: UUID | None = None
    payment_way: Literal["cash", "wechat", "alipay", "transfer", "invoice", "card"] | None = None
    offered: bool = True


class QuoteView(msgspec.Struct, frozen=True, kw_only=True):
    """A version of an offer."""

    id: UUID
    work_order_id: UUID
    version: int
    price_list_id: UUID | None
    lines: list[Any]
    total_fen: int
    currency: str
    payment_way: str | None
    state: str
    offered_at: datetime | None
    made_by_id: UUID


class NewQuoteAnswer(Refusing, frozen=True, kw_only=True):
    """What the customer said to an offer, who said it and how."""

    answer: Literal["accepted", "refused", "disputed"]
    given_by: Title
    channel: Channel
    note: Said | None = None


class QuoteAnswerView(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to an offer; a dispute goes to the head and never blocks the signature for the work."""

    id: UUID
    quote_id: UUID
    answer: str
    given_by: str
    channel: str
    note: str | None
    answered_at: datetime
    dispute_id: UUID | None


class DisputeDecision(Refusing, frozen=True, kw_only=True):
    """What the head decides about a disputed fee."""

    decision: Said


class DisputeView(msgspec.Struct, frozen=True, kw_only=True):
    """A disputed fee."""

    id: UUID
    work_order_id: UUID
    quote_id: UUID | None
    claim: str
    raised_at: datetime
    decided_at: datetime | None
    decided_by_id: UUID | None
    decision: str | None


class NewPayment(Refusing, frozen=True, kw_only=True):
    """Money received."""

    amount_fen: PaidFen
    way: Literal["cash", "wechat", "alipay", "transfer", "invoice", "card"]
    quote_id: UUID | None = None
    paid_at: Instant | None = None


class PaymentView(msgspec.Struct, frozen=True, kw_only=True):
    """Money received."""

    id: UUID
    work_order_id: UUID
    quote_id: UUID | None
    amount_fen: int
    currency: str
    way: str
    received_by_id: UUID
    paid_at: datetime


class ReceiptView(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt handed over for a payment."""

    id: UUID
    payment_id: UUID
    number: str
    issued_at: datetime


class FeesView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about money on one order."""

    coverage: list[CoverageView]
    quotes: list[QuoteView]
    answers: list[QuoteAnswerView]
    disputes: list[DisputeView]
    payments: list[PaymentView]
    receipts: list[ReceiptView]
