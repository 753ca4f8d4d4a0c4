"""Tables of service requests."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import synced
from backend.core.db import Imported, Row, personal


@synced("request:{id}")
class ServiceRequest(Row, Imported):
    """A Case. `received_at` starts its clocks, whatever the channel; `opened_at` is when it was registered (A011).

    `state`: received, triaged, in_progress, solved, closed, confirmed, reopened, cancelled.
    """

    __tablename__ = "service_request"
    __table_args__ = (
        Index("ix_service_request_unit_state", "unit_id", "state"),
        CheckConstraint("received_at <= opened_at", name="received_first"),
        CheckConstraint("estimated_minutes > 0", name="estimate"),
    )

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    number: Mapped[str] = mapped_column(String(40), unique=True)
    device_number: Mapped[str | None] = mapped_column(String(40), unique=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    site_id: Mapped[UUID] = mapped_column(ForeignKey("site.id"), index=True)
    asset_id: Mapped[UUID | None] = mapped_column(ForeignKey("asset.id"), index=True)
    contact_id: Mapped[UUID | None] = mapped_column(ForeignKey("contact.id"))
    reporter_name: Mapped[str] = mapped_column(info=personal("name", "customer"))
    reporter_phone: Mapped[str] = mapped_column(String(40), info=personal("contact", "customer"))
    channel: Mapped[str] = mapped_column(String(20))
    symptom: Mapped[str] = mapped_column(info=personal("text", "customer"))
    wishes: Mapped[str]
    occurred_at: Mapped[datetime | None]
    affected_scope: Mapped[str | None]
    received_at: Mapped[datetime]
    opened_at: Mapped[datetime]
    first_contact_at: Mapped[datetime | None]
    missing_facts: Mapped[list[Any]]
    """Names of intake fields still to be asked for (A004)."""
    nature: Mapped[str | None] = mapped_column(String(30))
    service_mode: Mapped[str | None] = mapped_column(String(20))
    """remote, on_site or pull_in (A006)."""
    priority: Mapped[str | None] = mapped_column(String(10))
    required_skills: Mapped[list[Any]]
    estimated_minutes: Mapped[int | None]
    """How long the work on site should take; what the planner starts from."""
    state: Mapped[str] = mapped_column(String(20))
    cause: Mapped[str | None] = mapped_column(String(60))
    resolution: Mapped[str | None] = mapped_column(String(60))
    duplicate_of_id: Mapped[UUID | None] = mapped_column(ForeignKey("service_request.id"))
    reopened_count: Mapped[int]
    closed_at: Mapped[datetime | None]


class RequestOwner(Row):
    """Who owns a Case, with no gap: the next owner begins where the last one ends (A015, A016)."""

    __tablename__ = "request_owner"

    request_id: Mapped[UUID] = mapped_column(ForeignKey("service_request.id"), index=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    started_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class RequestInquiry(Row):
    """Who was asked for a missing fact, and what they said (A004)."""

    __tablename__ = "request_inquiry"

    request_id: Mapped[UUID] = mapped_column(ForeignKey("service_request.id"), index=True)
    fact: Mapped[str] = mapped_column(String(40))
    asked_of: Mapped[str]
    answer: Mapped[str | None]
    asked_at: Mapped[datetime]
    asked_by_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))


class Escalation(Row):
    """One step up a chain; the owner stays the owner (A188)."""

    __tablename__ = "escalation"

    request_id: Mapped[UUID] = mapped_column(ForeignKey("service_request.id"), index=True)
    chain_id: Mapped[UUID] = mapped_column(ForeignKey("preset.id"))
    step: Mapped[int]
    role_key: Mapped[str] = mapped_column(String(60))
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    reason: Mapped[str]
    raised_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]
