"""Working days and service hours: which minutes count, in the zone of the people concerned. Pure.

Instants are aware UTC. A day is a day on the wall in an IANA zone; it may last 23 or 25 hours where clocks are moved,
and a wall time that is skipped stands for the moment the clock jumps over it, so days neither overlap nor leave a hole.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

ONE_DAY: Final = timedelta(days=1)
ONE_WEEK: Final = timedelta(days=7)
PROBED: Final = (timedelta(0), timedelta(days=4), timedelta(days=8))
"""Where a week is looked at for moved clocks; its last service may end on the eighth day.

No zone has moved its clocks there and back within four days since 1990; the shortest was a week (Brazil, 2000).
"""
ONE_SECOND: Final = timedelta(seconds=1)
NO_TIME: Final = timedelta(0)
SEARCH_DAYS: Final = 3660
"""How far ahead an open day is looked for before the calendar is called closed for good."""
NO_EXCEPTIONS: Final[Mapping[date, bool]] = MappingProxyType({})


class NeverOpenError(ValueError):
    """A calendar without an open day within SEARCH_DAYS; no limit can be computed from it."""


class WorkingDays(msgspec.Struct, frozen=True):
    """Days of planned work: ISO weekdays (1 = Monday) and the days that differ, True for a make-up workday (调休)."""

    weekdays: frozenset[int]
    exceptions: Mapping[date, bool] = NO_EXCEPTIONS


class ServiceHours(msgspec.Struct, frozen=True):
    """When somebody answers (A043): from `opens` until `closes` on the days of `days`, wall-clock times in `zone`.

    `closes` at or before `opens` means the next day, so 00:00–00:00 is round the clock and 20:00–04:00 a night line.
    """

    zone: str
    opens: time
    closes: time
    days: WorkingDays


def is_working_day(days: WorkingDays, day: date) -> bool:
    """Whether work is planned on a day: what the calendar says of that very day, else of its weekday (A046)."""
    return days.exceptions.get(day, day.isoweekday() in days.weekdays)


def working_day_after(days: WorkingDays, day: date, count: int) -> date:
    """Return the `count`-th working day after `day`, `day` itself not counted; raises NeverOpenError.

    A count of 0 gives `day` itself, working or not.
    """
    for _ in range(count):
        day = _next_working_day(days, day)
    return day


def _next_working_day(days: WorkingDays, day: date) -> date:
    for ahead in range(1, SEARCH_DAYS + 1):
        if is_working_day(days, day + ahead * ONE_DAY):
            return day + ahead * ONE_DAY
    raise NeverOpenError(f"no working day within {SEARCH_DAYS} days after {day}")


def instant_of(wall: datetime, zone: str) -> datetime:
    """Return the first instant at which clocks in `zone` show the naive time `wall`, or have jumped over it."""
    where = ZoneInfo(zone)
    shown = wall.replace(tzinfo=where, fold=0).astimezone(UTC)
    if shown.astimezone(where).replace(tzinfo=None) == wall:
        return shown
    return _jump_over(wall, where, before=wall.replace(tzinfo=where, fold=1).astimezone(UTC), after=shown)


def _jump_over(wall: datetime, where: ZoneInfo, *, before: datetime, after: datetime) -> datetime:
    """Halve down to the second at which the clock jumps over `wall`; jumps happen at whole seconds."""
    while after - before > ONE_SECOND:
        middle = before + timedelta(seconds=(after - before) // ONE_SECOND // 2)
        if middle.astimezone(where).replace(tzinfo=None) < wall:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def day_in(zone: str, instant: datetime) -> date:
    """Return the date clocks in `zone` show at an instant."""
    return instant.astimezone(ZoneInfo(zone)).date()


def end_of_day(zone: str, day: date) -> datetime:
    """Return the instant a day ends in `zone`: the midnight after it."""
    return instant_of(datetime.combine(day + ONE_DAY, time()), zone)


def opening(hours: ServiceHours, day: date) -> tuple[datetime, datetime]:
    """Return when the service that begins on `day` starts and ends; both are the same instant on a closed day."""
    starts = instant_of(datetime.combine(day, hours.opens), hours.zone)
    if not is_working_day(hours.days, day):
        return starts, starts
    closing_day = day + ONE_DAY if hours.closes <= hours.opens else day
    return starts, instant_of(datetime.combine(closing_day, hours.closes), hours.zone)


def service_time_between(hours: ServiceHours, start: datetime, end: datetime) -> timedelta:
    """Return how much service time lies between two instants; negative when `end` is the earlier one."""
    if end < start:
        return -service_time_between(hours, end, start)
    total = NO_TIME
    day, whole_from, ends_on = _first_day(hours, start), day_in(hours.zone, start) + ONE_DAY, day_in(hours.zone, end)
    while True:
        week = _whole_week(hours, day) if day >= whole_from and day + PROBED[-1] <= ends_on else None
        if week is not None:  # years are walked in weeks
            total += week
            day += ONE_WEEK
            continue
        opens, closes = opening(hours, day)
        if opens >= end:
            return total
        total += max(NO_TIME, min(closes, end) - max(opens, start))
        day += ONE_DAY


def add_service_time(hours: ServiceHours, start: datetime, amount: timedelta) -> datetime:
    """Return the earliest instant by which `amount` of service time has passed since `start`; raises NeverOpenError.

    Nothing passes at once: an amount of 0 gives `start` itself, inside the service hours or not.
    """
    if amount <= NO_TIME:
        return start
    day = _first_day(hours, start)
    for _ in range(SEARCH_DAYS):
        opens, closes = opening(hours, day)
        begins = max(opens, start)
        if closes - begins >= amount:
            return begins + amount
        amount -= max(NO_TIME, closes - begins)
        day += ONE_DAY
    raise NeverOpenError(f"fewer service hours than needed within {SEARCH_DAYS} days after {start}")


def _whole_week(hours: ServiceHours, day: date) -> timedelta | None:
    """Return the service time of the seven days from `day`; None where clocks are moved meanwhile."""
    where = ZoneInfo(hours.zone)
    if len({datetime.combine(day + ahead, time(), where).utcoffset() for ahead in PROBED}) > 1:
        return None
    length = datetime.combine(day, hours.closes) - datetime.combine(day, hours.opens)
    open_days = sum(is_working_day(hours.days, day + ahead * ONE_DAY) for ahead in range(7))
    return open_days * (length if length > NO_TIME else length + ONE_DAY)


def _first_day(hours: ServiceHours, instant: datetime) -> date:
    """The earliest day whose service may reach beyond `instant`: the day before, for lines that run past midnight."""
    return day_in(hours.zone, instant) - ONE_DAY
