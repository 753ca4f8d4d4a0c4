"""Reads of calendars, as the rules want them."""

from datetime import date
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.models import CalendarDay, WorkingCalendar
from backend.calendars.rules import NO_EXCEPTIONS, ServiceHours, WorkingDays


async def newest_calendar(session: AsyncSession, key: str) -> WorkingCalendar | None:
    """The newest version of a calendar."""
    versions = select(WorkingCalendar).where(WorkingCalendar.key == key).order_by(WorkingCalendar.version.desc())
    return (await session.execute(versions.limit(1))).scalar_one_or_none()


async def working_days(session: AsyncSession, calendar: WorkingCalendar) -> WorkingDays:
    """The days on which work is planned."""
    return WorkingDays(frozenset(calendar.working_weekdays), await _exceptions(session, calendar.id))


async def service_hours(session: AsyncSession, calendar: WorkingCalendar, zone: str) -> ServiceHours:
    """The hours in which somebody answers, read on the clocks of `zone`.

    Holidays and make-up workdays count only where the line does not run on holidays.
    """
    exceptions = NO_EXCEPTIONS if calendar.service_on_holidays else await _exceptions(session, calendar.id)
    days = WorkingDays(frozenset(calendar.service_weekdays), exceptions)
    return ServiceHours(zone=zone, opens=calendar.service_opens, closes=calendar.service_closes, days=days)


async def _exceptions(session: AsyncSession, calendar_id: UUID) -> dict[date, bool]:
    listed = select(CalendarDay.day_on, CalendarDay.working).where(CalendarDay.calendar_id == calendar_id)
    return {row.day_on: row.working for row in (await session.execute(listed)).all()}
