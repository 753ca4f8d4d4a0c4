"""Tables of plans."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.db import Row


class PlanRun(Row):
    """One run of the planner. `state`: queued, running, done, failed, cancelled.

    A published run's routes are assignments.
    """

    __tablename__ = "plan_run"
    __table_args__ = (Index("ix_plan_run_unit", "unit_id", "requested_at"),)

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    horizon_starts_at: Mapped[datetime]
    horizon_ends_at: Mapped[datetime]
    seed: Mapped[int]
    seconds: Mapped[float]
    """How long the planner may search."""
    state: Mapped[str] = mapped_column(String(12))
    progress: Mapped[dict[str, Any]]
    cancel_requested: Mapped[bool]
    requested_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    requested_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    problem: Mapped[dict[str, Any] | None]
    plan: Mapped[dict[str, Any] | None]
    violations: Mapped[list[Any]]
    """What the referee found; a plan with any is never published."""
    error: Mapped[dict[str, Any] | None]
    standings: Mapped[dict[str, Any] | None]
    """What people had decided about each visit when the plan was made (`plan.Standing`, by visit)."""
    publication: Mapped[dict[str, Any] | None]
    """What publishing changed; a second wish to publish is answered with it."""


class UnplannedVisit(Row):
    """A visit a plan left out, with the reasons it gave."""

    __tablename__ = "unplanned_visit"

    plan_run_id: Mapped[UUID] = mapped_column(ForeignKey("plan_run.id"), index=True)
    visit_id: Mapped[UUID] = mapped_column(ForeignKey("visit.id"), index=True)
    reasons: Mapped[list[Any]]
