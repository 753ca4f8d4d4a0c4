"""Tables of plans."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.db import Row

OPEN_STATES: Final = ("queued", "running")
"""States of a plan that is still to be made."""


class PlanRun(Row):
    """One run of the planner. `state`: queued, running, done, failed, cancelled.

    A published run's routes are assignments.
    """

    __tablename__ = "plan_run"
    __table_args__ = (Index("ix_plan_run_unit", "unit_id", "requested_at"), UniqueConstraint("unit_id", "version"))

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
    basis: Mapped[dict[str, Any] | None]
    """What it was made from (`basis.Basis`): how visits and shifts stood, and which plans were published."""
    publication: Mapped[dict[str, Any] | None]
    """What publishing changed; a second wish to publish is answered with it."""
    worker_id: Mapped[UUID | None]
    """Who plans it now: a name a worker makes for each attempt, so that one that was given up cannot speak for it."""
    starts: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often a worker began with it, or, once it is in parts, with joining them.

    Those that ended with their server in good order are not counted.
    """
    kind: Mapped[str] = mapped_column(String(12), default="plan", server_default="plan")
    """plan, replan (of what is in force, with `most_changes`) or what_if (of a plan's own problem, never published)."""
    most_changes: Mapped[int | None]
    """How many visits of the plan in force may change; None for any number."""
    version: Mapped[int | None]
    """Which plan of its unit this is, counted from 1 as they are published."""
    published_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    base_id: Mapped[UUID | None] = mapped_column(ForeignKey("plan_run.id"))
    """The plan a what-if started from."""
    hypothesis: Mapped[dict[str, Any] | None]
    """What a what-if supposes (`schemas.Hypothesis`)."""


class PlanPart(Row):
    """A part of a plan run that one worker plans while others plan others. `state`: queued, running, done."""

    __tablename__ = "plan_part"
    __table_args__ = (UniqueConstraint("plan_run_id", "number", name="uq_plan_part_number"),)

    plan_run_id: Mapped[UUID] = mapped_column(ForeignKey("plan_run.id"))
    number: Mapped[int]
    state: Mapped[str] = mapped_column(String(12))
    problem: Mapped[dict[str, Any]]
    progress: Mapped[dict[str, Any]]
    plan: Mapped[dict[str, Any] | None]
    worker_id: Mapped[UUID | None]
    starts: Mapped[int]


class UnplannedVisit(Row):
    """A visit a plan left out, with the reasons it gave."""

    __tablename__ = "unplanned_visit"

    plan_run_id: Mapped[UUID] = mapped_column(ForeignKey("plan_run.id"), index=True)
    visit_id: Mapped[UUID] = mapped_column(ForeignKey("visit.id"), index=True)
    reasons: Mapped[list[Any]]
