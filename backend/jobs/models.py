"""Tables of work orders and visits. A visit's outcome is not the order's completion (model 1)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import synced
from backend.core.db import Imported, Row, personal


@synced("job:{id}")
class WorkOrder(Row, Imported):
    """An order to do something at a site. `state`: open, planned, in_progress, completed, cancelled."""

    __tablename__ = "work_order"
    __table_args__ = (
        Index("ix_work_order_unit_state", "unit_id", "state"),
        CheckConstraint("duration_minutes > 0", name="duration"),
    )

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    number: Mapped[str] = mapped_column(String(40), unique=True)
    device_number: Mapped[str | None] = mapped_column(String(40), unique=True)
    request_id: Mapped[UUID | None] = mapped_column(ForeignKey("service_request.id"), index=True)
    site_id: Mapped[UUID] = mapped_column(ForeignKey("site.id"), index=True)
    asset_id: Mapped[UUID | None] = mapped_column(ForeignKey("asset.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    origin: Mapped[str] = mapped_column(String(10))
    """active (periodic) or passive (repair), A146."""
    queue: Mapped[str] = mapped_column(String(20))
    priority: Mapped[str] = mapped_column(String(10))
    title: Mapped[str]
    description: Mapped[str]
    form_template_version_id: Mapped[UUID | None] = mapped_column(ForeignKey("checklist_template_version.id"))
    required_skills: Mapped[list[Any]]
    duration_minutes: Mapped[int]
    technicians: Mapped[int] = mapped_column(default=1, server_default="1")
    """How many people must come, and work there together."""
    earliest_at: Mapped[datetime | None]
    parts_ready_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]
    """When somebody must have arrived: the arrive clock's limit, or the end of an inspection's month."""
    state: Mapped[str] = mapped_column(String(20))
    needs_approval: Mapped[bool]
    """Not to be planned before the technical head approves (A055); pinned from the kind when the order is opened."""
    approved_at: Mapped[datetime | None]
    approved_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    cause: Mapped[str | None] = mapped_column(String(60))
    completed_at: Mapped[datetime | None]
    cancelled_reason: Mapped[str | None]


@synced("job:{work_order_id}")
class Visit(Row):
    """One trip to the site. `state` follows the lead's events and is a replay of them.

    `state`: unplanned, planned, contacted, departed, arrived, started, paused, finished, cancelled.
    """

    __tablename__ = "visit"
    __table_args__ = (
        UniqueConstraint("work_order_id", "sequence"),
        Index("ix_visit_state", "state"),
        CheckConstraint("window_ends_at IS NULL OR window_ends_at > window_starts_at", name="window"),
    )

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"))
    sequence: Mapped[int]
    continues_id: Mapped[UUID | None] = mapped_column(ForeignKey("visit.id"))
    duration_minutes: Mapped[int]
    window_starts_at: Mapped[datetime | None]
    window_ends_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    """When the customer was told; from then on a plan moves the visit only at a price. A start that moves clears it."""
    state: Mapped[str] = mapped_column(String(20))
    outcome: Mapped[str | None] = mapped_column(String(30))
    reason: Mapped[str | None] = mapped_column(String(60))
    arrived_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    cancelled_at: Mapped[datetime | None]
    cancelled_reason: Mapped[str | None]


@synced("job:{work_order_id}")
class VisitEvent(Row):
    """What one person did on one visit, with three times (model 3). Never edited: `amend` and `revert` are events."""

    __tablename__ = "visit_event"
    __table_args__ = (UniqueConstraint("visit_id", "sequence"),)

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"))
    visit_id: Mapped[UUID] = mapped_column(ForeignKey("visit.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    device_id: Mapped[UUID | None] = mapped_column(ForeignKey("device.id"))
    mutation_id: Mapped[UUID | None] = mapped_column(unique=True)
    sequence: Mapped[int]
    """The order in which the server accepted the visit's events, from 1; a replay follows it."""
    kind: Mapped[str] = mapped_column(String(20))
    claimed_at: Mapped[datetime]
    device_at: Mapped[datetime]
    server_at: Mapped[datetime]
    effective_at: Mapped[datetime]
    """The time commitments count: device time corrected and clamped (sync.md, clocks)."""
    time_flagged: Mapped[bool]
    late: Mapped[bool]
    """A fact that reached us after the visit was cancelled or reassigned; kept as a late report."""
    reason: Mapped[str | None] = mapped_column(String(60))
    note: Mapped[str | None]
    next_step: Mapped[str | None]
    next_at: Mapped[datetime | None]
    """The next time agreed with the customer; the continuation waits for it."""
    amends_id: Mapped[UUID | None] = mapped_column(ForeignKey("visit_event.id"))
    lat: Mapped[float | None] = mapped_column(info=personal("location", "employment"))
    lon: Mapped[float | None] = mapped_column(info=personal("location", "employment"))
    """Where the person was, in WGS-84; kept only of people who consent to it."""
    datum: Mapped[str | None] = mapped_column(String(10))
    """The datum the position was given in; None with a position of before this was asked, taken as WGS-84."""
    position_source: Mapped[str | None] = mapped_column(String(30))


@synced("job:{work_order_id}")
class Attendance(Row):
    """One person on one visit; a replay of that person's events."""

    __tablename__ = "attendance"
    __table_args__ = (UniqueConstraint("visit_id", "person_id"),)

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"))
    visit_id: Mapped[UUID] = mapped_column(ForeignKey("visit.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    leads: Mapped[bool]
    state: Mapped[str] = mapped_column(String(20))
    contacted_at: Mapped[datetime | None]
    departed_at: Mapped[datetime | None]
    arrived_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    paused_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ExpectedEnd(Row):
    """When somebody expects a visit under way to be over; the newest report counts, and the day is planned by it."""

    __tablename__ = "expected_end"

    visit_id: Mapped[UUID] = mapped_column(ForeignKey("visit.id"), index=True)
    expected_ends_at: Mapped[datetime]
    reported_at: Mapped[datetime]
    reported_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    note: Mapped[str | None] = mapped_column(info=personal("text", "customer"))


@synced("user:{person_id}", otherwise="job:{work_order_id}")
class Assignment(Row):
    """A visit given to a person, or to a crew whose leader names people. Withdrawn, never deleted.

    A crew's own is in the job's bucket: whoever has the job through the crew sees why.
    """

    __tablename__ = "assignment"
    __table_args__ = (
        CheckConstraint("person_id IS NOT NULL OR crew_id IS NOT NULL", name="holder"),
        Index("ix_assignment_person", "person_id", "withdrawn_at"),
        Index("ix_assignment_visit", "visit_id", "withdrawn_at"),
    )

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"), index=True)
    visit_id: Mapped[UUID] = mapped_column(ForeignKey("visit.id"))
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    crew_id: Mapped[UUID | None] = mapped_column(ForeignKey("crew.id"), index=True)
    leads: Mapped[bool]
    shift_id: Mapped[UUID | None] = mapped_column(ForeignKey("shift.id"))
    plan_id: Mapped[UUID | None] = mapped_column(index=True)
    pinned: Mapped[bool]
    departs_at: Mapped[datetime | None]
    arrives_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    events_before: Mapped[int] = mapped_column(default=0)
    """The visit's events recorded before this assignment; they do not count for this person."""
    slack_seconds: Mapped[int | None]
    """Time left to the commitment at the planned arrival; negative when it will be late."""
    assigned_at: Mapped[datetime]
    assigned_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    withdrawn_at: Mapped[datetime | None]
    withdrawn_reason: Mapped[str | None]


@synced("job:{work_order_id}")
class PartUse(Row):
    """A part built in, append-only."""

    __tablename__ = "part_use"
    __table_args__ = (CheckConstraint("quantity > 0", name="quantity"),)

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"))
    visit_id: Mapped[UUID] = mapped_column(ForeignKey("visit.id"), index=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    part_id: Mapped[UUID] = mapped_column(ForeignKey("part.id"))
    quantity: Mapped[int]
    serial: Mapped[str | None] = mapped_column(String(120))
    old_part_to: Mapped[str | None] = mapped_column(String(60))
    used_at: Mapped[datetime]
    late: Mapped[bool]
    mutation_id: Mapped[UUID | None] = mapped_column(unique=True)


@synced("job:{work_order_id}")
class JobNote(Row):
    """A note on a work order, append-only."""

    __tablename__ = "job_note"

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"), index=True)
    visit_id: Mapped[UUID | None] = mapped_column(ForeignKey("visit.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    text: Mapped[str] = mapped_column(info=personal("text", "customer"))
    written_at: Mapped[datetime]
    server_at: Mapped[datetime]
    mutation_id: Mapped[UUID | None] = mapped_column(unique=True)


@synced("job:{work_order_id}")
class CoverageDecision(Row):
    """Free or charged, and why: cause first, date second (X15)."""

    __tablename__ = "coverage_decision"

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"), index=True)
    cause: Mapped[str] = mapped_column(String(60))
    in_warranty: Mapped[bool]
    verdict: Mapped[str] = mapped_column(String(20))
    """free, quote, contract, manager or call_out."""
    reason: Mapped[str]
    decided_at: Mapped[datetime]
    decided_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))


@synced("job:{work_order_id}")
class Quote(Row):
    """One version of an offer; amounts in fen. `state`: draft, offered, accepted, refused, disputed."""

    __tablename__ = "quote"
    __table_args__ = (UniqueConstraint("work_order_id", "version"),)

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"))
    version: Mapped[int]
    price_list_id: Mapped[UUID | None] = mapped_column(ForeignKey("price_list.id"))
    lines: Mapped[list[Any]]
    total_fen: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    payment_way: Mapped[str | None] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    offered_at: Mapped[datetime | None]
    made_by_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))


@synced("job:{work_order_id}")
class QuoteAnswer(Row):
    """The customer's acceptance, refusal or dispute of a quote; a dispute never blocks the signature for the work."""

    __tablename__ = "quote_answer"

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"))
    quote_id: Mapped[UUID] = mapped_column(ForeignKey("quote.id"), index=True)
    answer: Mapped[str] = mapped_column(String(20))
    given_by: Mapped[str] = mapped_column(info=personal("name", "proof"))
    channel: Mapped[str] = mapped_column(String(20))
    note: Mapped[str | None]
    answered_at: Mapped[datetime]


class FeeDispute(Row):
    """A fee the customer does not accept; a manager decides."""

    __tablename__ = "fee_dispute"

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"), index=True)
    quote_id: Mapped[UUID | None] = mapped_column(ForeignKey("quote.id"))
    claim: Mapped[str]
    raised_at: Mapped[datetime]
    decided_at: Mapped[datetime | None]
    decided_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    decision: Mapped[str | None]


@synced("job:{work_order_id}")
class Payment(Row):
    """Money received."""

    __tablename__ = "payment"
    __table_args__ = (CheckConstraint("amount_fen > 0", name="amount"),)

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"), index=True)
    quote_id: Mapped[UUID | None] = mapped_column(ForeignKey("quote.id"))
    amount_fen: Mapped[int]
    currency: Mapped[str] = mapped_column(String(3))
    way: Mapped[str] = mapped_column(String(20))
    received_by_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    paid_at: Mapped[datetime]


@synced("job:{work_order_id}")
class Receipt(Row):
    """A receipt handed over for a payment."""

    __tablename__ = "receipt"

    work_order_id: Mapped[UUID] = mapped_column(ForeignKey("work_order.id"), index=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payment.id"))
    number: Mapped[str] = mapped_column(String(40), unique=True)
    issued_at: Mapped[datetime]
