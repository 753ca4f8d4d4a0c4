"""Who goes: giving visits to people and crews, and taking them away."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.bounds import must_be_agreeable
from backend.core.audit import Actor, record
from backend.core.errors import INVALID, Finding, Problem
from backend.core.events import tell
from backend.jobs.faults import NO_CREW, NOT_APPROVED, VISIT_BEGUN, VISIT_CLOSED
from backend.jobs.history import History, changed, refuse, store_replay, visit_history
from backend.jobs.models import Assignment, Visit
from backend.jobs.queries import crew_members
from backend.jobs.rules import CLOSED, UNBEGUN
from backend.jobs.visit_events import follow_visits
from backend.people.models import Crew, CrewMember, Person

TOLD_TOLERANCE: Final = timedelta(minutes=15)
"""A start that moves by no more is still the one a customer was told, for plans, too."""


async def assign_visit(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    visit: Visit,
    person_id: UUID | None = None,
    crew_id: UUID | None = None,
    leads: bool = True,
    departs_at: datetime | None = None,
    arrives_at: datetime | None = None,
    ends_at: datetime | None = None,
    shift_id: UUID | None = None,
    plan_id: UUID | None = None,
    slack_seconds: int | None = None,
    pinned: bool = False,
    even_begun: bool = False,
    reason: str = "reassigned",
) -> Assignment:
    """Give a visit to a person, or to a crew whose leader names people.

    Who leads replaces the lead before them; helpers (`leads=False`) join; a crew replaces everybody. Somebody who holds
    the visit already keeps their assignment with the new times. A customer who was told of a start that moves, or is
    given up, counts as told no more. Raises visit_closed, not_approved (A055), visit_begun (the lead is on the way or
    at work, unless `even_begun`) and invalid (unknown or inactive person or crew).
    """
    must_be_agreeable(now, {"departs_at": departs_at, "arrives_at": arrives_at, "ends_at": ends_at})
    history = await visit_history(session, visit.id)
    _must_be_assignable(history)
    await _must_be_holder(session, person_id, crew_id)
    held, was_at = _held(history, person_id, crew_id), _planned_start(history)
    others = [one for one in history.active if one is not held]
    leads = leads or not any(one.leads for one in others)
    replaced = [one for one in others if one.leads or one.person_id is None or person_id is None] if leads else []
    if replaced and not even_begun:
        await _must_not_have_begun(session, history)
    _withdraw(replaced, now, reason)
    given: dict[str, Any] = {
        "leads": leads, "departs_at": departs_at, "arrives_at": arrives_at, "ends_at": ends_at, "shift_id": shift_id,
        "plan_id": plan_id, "slack_seconds": slack_seconds, "pinned": pinned,
    }  # fmt: skip
    if held is None:
        held = Assignment(
            work_order_id=history.order.id, visit_id=visit.id, person_id=person_id, crew_id=crew_id,
            events_before=len(history.events), assigned_at=now, assigned_by_id=actor.person_id, **given,
        )  # fmt: skip
        session.add(held)
        history.assignments.append(held)
    else:
        changed(held, given)
    await _follow_assignments(
        session, now=now, actor=actor, history=history, action="visit.assigned", was_at=was_at,
        reason=reason if replaced else None,
        facts={"assignment_id": str(held.id), "person_id": _text(person_id), "crew_id": _text(crew_id), "leads": leads},
    )  # fmt: skip
    return held


async def withdraw_assignments(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    visit: Visit,
    reason: str,
    person_id: UUID | None = None,
    even_begun: bool = False,
) -> int:
    """Take everybody, or one person, off a visit; return how many there were. When the lead leaves, the next one leads.

    A customer who was told of a start that is given up counts as told no more.
    Raises visit_closed, and visit_begun when the lead is on the way or at work, unless `even_begun`.
    """
    history = await visit_history(session, visit.id)
    if history.visit.state in CLOSED:
        raise Problem(VISIT_CLOSED)
    leaving = [one for one in history.active if person_id in {None, one.person_id}]
    if not leaving:
        return 0
    if any(one.leads for one in leaving) and not even_begun:
        await _must_not_have_begun(session, history)
    was_at = _planned_start(history)
    _withdraw(leaving, now, reason)
    staying = history.active
    if staying and not any(one.leads for one in staying):
        staying[0].leads = True
    await _follow_assignments(
        session, now=now, actor=actor, history=history, action="visit.withdrawn", was_at=was_at, reason=reason,
        facts={"person_ids": [_text(one.person_id) for one in leaving]},
    )  # fmt: skip
    return len(leaving)


async def claim_visit(
    session: AsyncSession, *, now: datetime, actor: Actor, visit: Visit, lead_id: UUID, helper_ids: list[UUID]
) -> None:
    """A crew leader takes a visit given to the crew and names who goes (A056). Raises no_crew and invalid."""
    crew_row, crew_id = await _row_of_crew_led_by(session, visit.id, actor.person_id, now)
    members = set((await session.execute(crew_members(frozenset({crew_id}), now))).scalars())
    if {lead_id, *helper_ids} - members:
        raise Problem(INVALID, Finding("helper_ids", "只能指派本组成员", "only members of the crew can be named"))
    times: dict[str, Any] = {
        "departs_at": crew_row.departs_at, "arrives_at": crew_row.arrives_at, "ends_at": crew_row.ends_at,
        "pinned": crew_row.pinned,
    }  # fmt: skip
    await assign_visit(
        session, now=now, actor=actor, visit=visit, person_id=lead_id, crew_id=crew_id, reason="claimed", **times
    )
    for helper_id in dict.fromkeys(one for one in helper_ids if one != lead_id):
        await assign_visit(
            session, now=now, actor=actor, visit=visit, person_id=helper_id, crew_id=crew_id, leads=False, **times
        )


def _held(history: History, person_id: UUID | None, crew_id: UUID | None) -> Assignment | None:
    """The assignment this person, or this crew as a whole, holds already."""
    if person_id is not None:
        return next((one for one in history.active if one.person_id == person_id), None)
    return next((one for one in history.active if one.person_id is None and one.crew_id == crew_id), None)


def starts_anew(was_at: datetime | None, starts_at: datetime | None) -> bool:
    """Return whether a visit that had a start has another now, or none."""
    return was_at is not None and (starts_at is None or abs(starts_at - was_at) > TOLD_TOLERANCE)


def _planned_start(history: History) -> datetime | None:
    """When who leads is to be there."""
    return next((one.arrives_at for one in history.active if one.leads), None)


def _withdraw(assignments: Iterable[Assignment], now: datetime, reason: str) -> None:
    for one in assignments:
        one.withdrawn_at, one.withdrawn_reason = now, reason


async def _follow_assignments(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    history: History,
    action: str,
    was_at: datetime | None,
    reason: str | None,
    facts: dict[str, Any],
) -> None:
    """Let the visit follow who goes now; `was_at`: when it was to start before that, as its customer may have heard."""
    before = history.visit.state
    store_replay(session, history, history.replay())
    untold = {"told_at": None} if starts_anew(was_at, _planned_start(history)) else {}
    told_before, told_after = changed(history.visit, untold)
    record(
        session, now=now, actor=actor, action=action, row=history.visit, reason=reason,
        before={"state": before} | told_before, after={"state": history.visit.state} | facts | told_after,
    )  # fmt: skip
    tell(session, now=now, name=action, row=history.visit, facts={"work_order_id": str(history.order.id)} | facts)
    await follow_visits(session, now=now, actor=actor, history=history)


def _must_be_assignable(history: History) -> None:
    if history.visit.state in CLOSED:
        raise Problem(VISIT_CLOSED)
    if history.order.needs_approval and history.order.approved_at is None:
        raise Problem(NOT_APPROVED)


async def _must_not_have_begun(session: AsyncSession, history: History) -> None:
    if history.visit.state not in UNBEGUN:
        await refuse(session, VISIT_BEGUN, history, history.visit.state)


async def _must_be_holder(session: AsyncSession, person_id: UUID | None, crew_id: UUID | None) -> None:
    person = await session.get(Person, person_id) if person_id else None
    crew = await session.get(Crew, crew_id) if crew_id else None
    if person_id is None and crew_id is None:
        raise Problem(INVALID, Finding("person_id", "须指定人员或小组", "name a person or a crew"))
    if person_id is not None and (person is None or not person.active):
        raise Problem(INVALID, Finding("person_id", "没有此人或已离职", "there is no such person, or they have left"))
    if crew_id is not None and (crew is None or not crew.active):
        raise Problem(INVALID, Finding("crew_id", "没有此小组或已解散", "there is no such crew, or it is no more"))


async def _row_of_crew_led_by(
    session: AsyncSession, visit_id: UUID, person_id: UUID | None, now: datetime
) -> tuple[Assignment, UUID]:
    led = select(CrewMember.crew_id).where(
        CrewMember.person_id == person_id,
        CrewMember.leads.is_(True),
        CrewMember.valid_from <= now,
        or_(CrewMember.valid_until.is_(None), CrewMember.valid_until > now),
    )
    given = select(Assignment).where(
        Assignment.visit_id == visit_id, Assignment.withdrawn_at.is_(None), Assignment.crew_id.in_(led)
    )
    row = (await session.execute(given.order_by(Assignment.person_id.is_not(None)).limit(1))).scalar_one_or_none()
    if row is None or row.crew_id is None:
        raise Problem(NO_CREW)
    return row, row.crew_id


def _text(row_id: UUID | None) -> str | None:
    return str(row_id) if row_id else None
