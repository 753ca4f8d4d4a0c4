"""A visit with its whole history, locked; and the rows that follow from it.

What is stored of a visit's progress is always a replay of its events (invariant 14).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import AuditEntry
from backend.core.errors import NOT_FOUND, Fault, Problem
from backend.jobs.faults import STATE_NAMES
from backend.jobs.models import Assignment, Attendance, Visit, VisitEvent, WorkOrder
from backend.jobs.rules import (
    EventKind,
    Happening,
    OrderState,
    Replay,
    Standing,
    VisitState,
    VisitSummary,
    order_state,
    replay,
)
from backend.people.models import Person
from backend.requests.models import ServiceRequest

SYSTEM_NAME = ("系统", "the system")


@dataclass
class History:
    """A visit and everything recorded about it; its work order is locked until the transaction ends."""

    order: WorkOrder
    visit: Visit
    events: list[VisitEvent]
    assignments: list[Assignment]
    attendances: dict[UUID, Attendance]

    @property
    def active(self) -> list[Assignment]:
        """Who holds the visit now."""
        return [one for one in self.assignments if one.withdrawn_at is None]

    @property
    def standing(self) -> Standing:
        """Who holds the visit, as the rules ask."""
        holders = {one.person_id: one.leads for one in self.active if one.person_id}
        return Standing(
            lead_id=next((person for person, leads in holders.items() if leads), None),
            holders=frozenset(holders),
            held_by_crew=any(one.person_id is None for one in self.active),
            cancelled=self.visit.cancelled_at is not None,
            counted_from={one.person_id: one.events_before for one in self.assignments if one.person_id},
        )

    @property
    def happenings(self) -> list[Happening]:
        """The events, as the rules ask."""
        return [happening(event) for event in self.events]

    def replay(self) -> Replay:
        """The visit as its events say it is."""
        return replay(self.happenings, self.standing)


def happening(event: VisitEvent) -> Happening:
    """Return what a replay asks of an event."""
    return Happening(
        id=event.id, sequence=event.sequence, person_id=event.person_id, kind=EventKind(event.kind),
        effective_at=event.effective_at, reason=event.reason, amends_id=event.amends_id, late=event.late,
    )  # fmt: skip


async def locked_order(session: AsyncSession, order_id: UUID) -> WorkOrder:
    """Lock an order, then its Case, until the transaction ends, and read the order anew; raises not_found.

    Everything on the job waits for this lock. Cases lock their clocks after themselves, so nobody waits in a circle.
    """
    wanted = select(WorkOrder).where(WorkOrder.id == order_id).with_for_update()
    order = (await session.execute(wanted.execution_options(populate_existing=True))).scalar_one_or_none()
    if order is None:
        raise Problem(NOT_FOUND)
    if order.request_id is not None:
        await session.execute(select(ServiceRequest.id).where(ServiceRequest.id == order.request_id).with_for_update())
    return order


async def visit_history(session: AsyncSession, visit_id: UUID) -> History:
    """Lock a visit's order and read its history; raises not_found."""
    order_id = (await session.execute(select(Visit.work_order_id).where(Visit.id == visit_id))).scalar_one_or_none()
    if order_id is None:
        raise Problem(NOT_FOUND)
    order = await locked_order(session, order_id)
    visit = await session.get_one(Visit, visit_id, populate_existing=True)

    async def of_visit(model: Any, *keys: Any) -> list[Any]:
        listed = select(model).where(model.visit_id == visit_id).order_by(*keys)
        return list((await session.execute(listed.execution_options(populate_existing=True))).scalars())

    return History(
        order=order,
        visit=visit,
        events=await of_visit(VisitEvent, VisitEvent.sequence),
        assignments=await of_visit(Assignment, Assignment.assigned_at, Assignment.id),
        attendances={one.person_id: one for one in await of_visit(Attendance, Attendance.id)},
    )


def store_replay(session: AsyncSession, history: History, replayed: Replay) -> None:
    """Write what the replay says to the visit and to everybody's attendance."""
    visit, lead_id = history.visit, history.standing.lead_id
    visit.state = replayed.state
    visit.outcome, visit.reason = replayed.lead.outcome, replayed.lead.reason
    visit.arrived_at, visit.finished_at = replayed.lead.arrived_at, replayed.lead.finished_at
    for person_id, attended in replayed.attendances.items():
        row = history.attendances.get(person_id)
        if row is None:
            row = Attendance(work_order_id=visit.work_order_id, visit_id=visit.id, person_id=person_id)
            history.attendances[person_id] = row
            session.add(row)
        row.leads, row.state = person_id == lead_id, attended.state
        row.contacted_at, row.departed_at = attended.contacted_at, attended.departed_at
        row.arrived_at, row.started_at = attended.arrived_at, attended.started_at
        row.paused_at, row.finished_at = attended.paused_at, attended.finished_at


async def visits_of(session: AsyncSession, order_id: UUID) -> Sequence[Visit]:
    """The visits of an order, in order."""
    listed = select(Visit).where(Visit.work_order_id == order_id).order_by(Visit.sequence)
    return (await session.execute(listed)).scalars().all()


async def store_order_state(session: AsyncSession, order: WorkOrder) -> tuple[str, str]:
    """Let the order's state follow its visits; return (before, after)."""
    visits = await visits_of(session, order.id)
    before = order.state
    summaries = [VisitSummary(visit.sequence, VisitState(visit.state), visit.outcome) for visit in visits]
    state = order_state(summaries, cancelled=order.cancelled_reason is not None)
    order.state = state
    order.completed_at = (
        max(visit.finished_at for visit in visits if visit.finished_at) if state is OrderState.COMPLETED else None
    )
    return before, state


NOTED: Final = ("visit.late_report", "visit.part_used", "visit.told", "visit.end_expected")
"""Entries of a visit's audit trail that leave its state, its time and its people as they were."""


async def last_mover(session: AsyncSession, visit_id: UUID) -> tuple[str, str]:
    """Return the name of who last moved a visit, in both languages; what is only noted down about it moves nothing."""
    entries = select(AuditEntry.person_id).where(
        AuditEntry.entity == "visit", AuditEntry.subject_id == visit_id, AuditEntry.action.not_in(NOTED)
    )
    person_id = (await session.execute(entries.order_by(AuditEntry.id.desc()).limit(1))).scalar()
    person = await session.get(Person, person_id) if person_id else None
    return (person.name, person.name) if person else SYSTEM_NAME


async def refuse(session: AsyncSession, fault: Fault, history: History, state: str) -> NoReturn:
    """Refuse for the state somebody is in, naming it and who moved the visit there."""
    mover_zh, mover_en = await last_mover(session, history.visit.id)
    state_zh, state_en = STATE_NAMES[state]
    raise Problem(fault, state=state, state_zh=state_zh, state_en=state_en, mover=mover_zh, mover_en=mover_en)


def changed(row: object, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Set columns of a row; return those that changed, (before, after), for the audit trail."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name, value in values.items():
        was = getattr(row, name)
        if was != value:
            before[name], after[name] = was, value
            setattr(row, name, value)
    return before, after
