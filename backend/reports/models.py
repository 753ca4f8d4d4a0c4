"""Tables of month-end."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.db import Row


class ClosedPeriod(Row):
    """A month whose book is closed for a unit."""

    __tablename__ = "closed_period"
    __table_args__ = (UniqueConstraint("unit_id", "month_on"),)

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    month_on: Mapped[date]
    """The first day of the month."""
    closed_at: Mapped[datetime]
    closed_by_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))


class Restatement(Row):
    """Something of a closed month that reached us later; shown beside the closed figures."""

    __tablename__ = "restatement"

    period_id: Mapped[UUID] = mapped_column(ForeignKey("closed_period.id"), index=True)
    entity: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID]
    effective_at: Mapped[datetime]
    arrived_at: Mapped[datetime]


class ScoreEntry(Row):
    """Points proposed by a rule or a person, linked to the evidence, confirmed by a person (A226-A245)."""

    __tablename__ = "score_entry"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    month_on: Mapped[date]
    rule_id: Mapped[UUID] = mapped_column(ForeignKey("preset.id"))
    points: Mapped[int]
    evidence_entity: Mapped[str | None] = mapped_column(String(40))
    evidence_id: Mapped[UUID | None]
    note: Mapped[str]
    proposed_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]
    confirmed_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    comment: Mapped[str | None]
