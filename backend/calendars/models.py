"""Tables of working calendars."""

from datetime import date, time
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.db import Row

EVERY_WEEKDAY: Final = (1, 2, 3, 4, 5, 6, 7)


class WorkingCalendar(Row):
    """One version of a calendar. Weekdays are ISO numbers, 1 = Monday.

    Working days are for planned work; the service hours of the hotline have weekdays of their own and by default run on
    holidays too, because the line is then forwarded to the person on duty (A043, A045).
    """

    __tablename__ = "working_calendar"
    __table_args__ = (UniqueConstraint("key", "version"),)

    key: Mapped[str] = mapped_column(String(60))
    version: Mapped[int]
    name_zh: Mapped[str]
    name_en: Mapped[str]
    working_weekdays: Mapped[list[Any]]
    service_weekdays: Mapped[list[Any]] = mapped_column(default=lambda: list(EVERY_WEEKDAY))
    service_on_holidays: Mapped[bool] = mapped_column(default=True)
    service_opens: Mapped[time]
    service_closes: Mapped[time]
    """Wall-clock times; 00:00 is the midnight that ends the day."""


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
