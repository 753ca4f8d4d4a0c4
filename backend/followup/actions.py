"""Call-backs: what somebody has to ask a customer, by when, and what follows from the answer."""

from datetime import datetime
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.models import EVERY_WEEKDAY, WorkingCalendar
from backend.calendars.queries import newest_calendar, working_days
from backend.calendars.rules import WorkingDays, day_in, end_of_day, working_day_after
from backend.contracts.merges import follow_merge, survivor_of
from backend.core.audit import Actor, record
from backend.core.errors import Fault, Problem
from backend.core.events import Event, tell
from backend.core.presets import Preset
from backend.followup.models import Complaint, FollowUp
from backend.followup.queries import worked_on
from backend.followup.schemas import FollowUpAnswer
from backend.people.models import Unit
from backend.requests.actions import confirm_request, reopen_request
from backend.requests.models import ServiceRequest
from backend.requests.rules import Move, RequestState, after
from backend.requests.schemas import ReopenEntry
from backend.sites.models import Site

CASE_CLOSED: Final = "case_closed"
"""The rule that follows `service_request.closed` (presets/callbacks.toml)."""
HOME_CALENDAR: Final = "cn"
"""For units that name no calendar of their own."""
EVERY_DAY: Final = WorkingDays(frozenset(EVERY_WEEKDAY))
"""For an installation without any calendar."""
ANSWERED = Fault(
    "follow_up_answered", 409, "这次回访已有记录。", "This call-back was made already.",
    "请重新读取回访列表。", "Read the list of call-backs again.",
)  # fmt: skip
CALLER_WAS_THERE = Fault(
    "caller_was_there", 409, "回访人不能是上过门的技术员。", "Who was sent for the Case does not make its call-back.",
    "请由其他人员回访。", "Let somebody else call the customer.",
)  # fmt: skip


async def plan_call_back(session: AsyncSession, closed: Event, _now: datetime) -> None:
    """Make a call-back due after a Case closes (A170), by the end of so many working days at the site.

    A reaction to `service_request.closed`: handling one closing again, or closing again before anybody called, adds
    nothing. A rule that is switched off makes nothing due.
    """
    rule = await _rule(session)
    if rule is None:
        return
    request = await session.get_one(ServiceRequest, closed.subject_id)
    due_at = await _due_at(session, request, closed.at, rule.body["within_working_days"])
    planned = (
        select(FollowUp.id)
        .join(Preset, Preset.id == FollowUp.rule_id)
        .where(FollowUp.request_id == request.id, Preset.key == CASE_CLOSED)
        .where(or_(FollowUp.called_at.is_(None), FollowUp.called_at >= closed.at))
    )
    if (await session.execute(planned)).first() is None:
        session.add(FollowUp(request_id=request.id, customer_id=request.customer_id, rule_id=rule.id, due_at=due_at))


async def move_follow_ups(session: AsyncSession, merged: Event, now: datetime) -> None:
    """React to `customer.merged`: call-backs and complaints are those of the customer that stands."""
    into_id = await survivor_of(session, merged)
    for model in (FollowUp, Complaint):
        theirs = select(model).where(model.customer_id == merged.subject_id).order_by(model.id)
        await follow_merge(session, theirs, {"customer_id": into_id}, now)


async def answer_follow_up(
    session: AsyncSession, *, now: datetime, actor: Actor, follow_up: FollowUp, answer: FollowUpAnswer
) -> None:
    """Record a call-back (A170): solved confirms the closed Case, "no" opens it again; the answer is kept in any state.

    Raises follow_up_answered, and caller_was_there for somebody who was sent for the Case.
    """
    if follow_up.called_at is not None:
        raise Problem(ANSWERED)
    if follow_up.request_id and actor.person_id and await worked_on(session, actor.person_id, follow_up.request_id):
        raise Problem(CALLER_WAS_THERE)
    follow_up.called_at, follow_up.caller_id = now, actor.person_id
    follow_up.solved, follow_up.satisfaction = answer.solved, answer.satisfaction
    follow_up.other_needs = answer.other_needs
    facts = {"solved": answer.solved, "satisfaction": answer.satisfaction}
    record(
        session, now=now, actor=actor, action="follow_up.answered", row=follow_up, after=facts,
        reason=answer.note or None,
    )  # fmt: skip
    told = facts | {"request_id": follow_up.request_id and str(follow_up.request_id)}
    tell(session, now=now, name="follow_up.answered", row=follow_up, facts=told)
    if follow_up.request_id is not None:
        case = await session.get_one(ServiceRequest, follow_up.request_id, with_for_update=True, populate_existing=True)
        await _move_case(session, case, answer, now=now, actor=actor)


async def _move_case(
    session: AsyncSession, case: ServiceRequest, answer: FollowUpAnswer, *, now: datetime, actor: Actor
) -> None:
    """Let the Case follow what the customer said; one that somebody reopened meanwhile stays where it is."""
    state = RequestState(case.state)
    if answer.solved and after(state, Move.CONFIRM):
        await confirm_request(session, now=now, actor=actor, request=case)
    elif not answer.solved and after(state, Move.REOPEN):
        reason = f"回访:未解决 / call-back: not solved. {answer.note}".strip()
        await reopen_request(session, now=now, actor=actor, request=case, reopening=ReopenEntry(reason=reason))


async def _rule(session: AsyncSession) -> Preset | None:
    """The newest version of the rule, if it is switched on."""
    versions = (
        select(Preset).where(Preset.kind == "call_back_rule", Preset.key == CASE_CLOSED).order_by(Preset.version.desc())
    )
    newest = (await session.execute(versions.limit(1))).scalar_one_or_none()
    return newest if newest and newest.active else None


async def _due_at(session: AsyncSession, request: ServiceRequest, at: datetime, count: int) -> datetime:
    """The end of the `count`-th working day after an instant, by the unit's calendar on the site's clocks."""
    zone = (await session.get_one(Site, request.site_id)).time_zone
    unit = await session.get_one(Unit, request.unit_id)
    own = await session.get_one(WorkingCalendar, unit.calendar_id) if unit.calendar_id else None
    calendar = own or await newest_calendar(session, HOME_CALENDAR)
    days = await working_days(session, calendar) if calendar else EVERY_DAY
    return end_of_day(zone, working_day_after(days, day_in(zone, at), count))
