"""Tables of follow-up."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.db import Row, personal


class FollowUp(Row):
    """A call-back (回访) that is due, and what was said. The caller is not the technician.

    It belongs to the unit of its Case, or without one to its customer's.
    """

    __tablename__ = "follow_up"
    __table_args__ = (CheckConstraint("satisfaction BETWEEN 1 AND 5", name="satisfaction"),)

    request_id: Mapped[UUID | None] = mapped_column(ForeignKey("service_request.id"), index=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"))
    rule_id: Mapped[UUID] = mapped_column(ForeignKey("preset.id"))
    due_at: Mapped[datetime]
    called_at: Mapped[datetime | None]
    caller_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    solved: Mapped[bool | None]
    satisfaction: Mapped[int | None]
    other_needs: Mapped[str | None]


class Complaint(Row):
    """A complaint (投诉) with a named follower until it is done (A187).

    It belongs to the unit of its Case, or without one to its customer's.
    """

    __tablename__ = "complaint"

    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    request_id: Mapped[UUID | None] = mapped_column(ForeignKey("service_request.id"))
    number: Mapped[str] = mapped_column(String(40), unique=True)
    kind: Mapped[str] = mapped_column(String(30))
    serious: Mapped[bool]
    text: Mapped[str] = mapped_column(info=personal("text", "customer"))
    received_at: Mapped[datetime]
    follower_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    answered_at: Mapped[datetime | None]
    closed_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
