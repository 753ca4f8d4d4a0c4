"""Tables of periodic care."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.db import Imported, Row


class MaintenancePlan(Row, Imported):
    """What is cared for at a site and how often. `recurrence` is an RFC 5545 rule.

    Each period begins on an occurrence.
    """

    __tablename__ = "maintenance_plan"

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    site_id: Mapped[UUID] = mapped_column(ForeignKey("site.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    template_version_id: Mapped[UUID] = mapped_column(ForeignKey("checklist_template_version.id"))
    asset_types: Mapped[list[Any]]
    """Asset types with a due item each; empty means one item for the whole site."""
    recurrence: Mapped[str]
    starts_on: Mapped[date]
    ends_on: Mapped[date | None]
    last_done_on: Mapped[date | None]
    duration_minutes: Mapped[int]
    required_skills: Mapped[list[Any]]
    active: Mapped[bool]


class MaintenanceDue(Row):
    """One item of the ledger: due within a period, then done, missed or waived (A138)."""

    __tablename__ = "maintenance_due"
    __table_args__ = (
        UniqueConstraint("plan_id", "period_from_on", "asset_id"),
        Index("ix_maintenance_due_state", "state", "period_until_on"),
    )

    plan_id: Mapped[UUID] = mapped_column(ForeignKey("maintenance_plan.id"))
    asset_id: Mapped[UUID | None] = mapped_column(ForeignKey("asset.id"), index=True)
    period_from_on: Mapped[date]
    period_until_on: Mapped[date]
    """The last day that still counts."""
    state: Mapped[str] = mapped_column(String(10))
    work_order_id: Mapped[UUID | None] = mapped_column(ForeignKey("work_order.id"), index=True)
    settled_at: Mapped[datetime | None]
    waived_reason: Mapped[str | None]
