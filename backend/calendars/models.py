"""Tables of working calendars."""

from datetime import date, time
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.db import Row


class WorkingCalendar(Row):
    """One version of a calendar. `working_weekdays` holds ISO weekday numbers, 1 = Monday."""

    __tablename__ = "working_calendar"
    __table_args__ = (UniqueConstraint("key", "version"),)

    key: Mapped[str] = mapped_column(String(60))
    version: Mapped[int]
    name_zh: Mapped[str]
    name_en: Mapped[str]
    working_weekdays: Mapped[list[Any]]
    service_opens: Mapped[time]
    service_closes: Mapped[time]


class CalendarDay(Row):
    """A day that differs from its weekday: a holiday, or a make-up workday (调休)."""

    __tablename__ = "calendar_day"
    __table_args__ = (UniqueConstraint("calendar_id", "day_on"),)

    calendar_id: Mapped[UUID] = mapped_column(ForeignKey("working_calendar.id"))
    day_on: Mapped[date]
    working: Mapped[bool]
    name_zh: Mapped[str]
    name_en: Mapped[str]
    provisional: Mapped[bool]
    """True until the authorities publish the arrangement of that year."""
