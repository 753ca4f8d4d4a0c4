"""Planning call-backs: what somebody has to ask a customer, and by when."""

from datetime import datetime
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.models import EVERY_WEEKDAY, WorkingCalendar
from backend.calendars.queries import newest_calendar, working_days
from backend.calendars.rules import WorkingDays, day_in, end_of_day, working_day_after
from backend.core.events import Event
from backend.core.presets import Preset
from backend.followup.models import FollowUp
from backend.people.models import Unit
from backend.requests.models import ServiceRequest
from backend.sites.models import Site

CASE_CLOSED: Final = "case_closed"
"""The rule that follows `service_request.closed` (presets/callbacks.toml)."""
HOME_CALENDAR: Final = "cn"
"""For units that name no calendar of their own."""
EVERY_DAY: Final = WorkingDays(frozenset(EVERY_WEEKDAY))
"""For an installation without any calendar."""


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
