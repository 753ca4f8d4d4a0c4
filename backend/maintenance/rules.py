"""When periodic care is due: periods of a recurrence rule, and what became of each (A130, A133, A135, A138). Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from itertools import islice, pairwise, takewhile
from typing import Final, cast
from uuid import UUID

from dateutil.rrule import rrule, rrulestr

PERIODS_MAXIMUM: Final = 400
"""Periods raised in one go; what is left follows the next time."""
LONGEST: Final = timedelta(days=11 * 365)
"""A rule that does not recur within this time never does: nobody is asked to care for something every twelve years."""
LAST_COMMON_DAY: Final = 28
"""The last day of the month that every month has."""
LAST_YEAR: Final = 9988
LEAP_CYCLE: Final = 28
"""Years after which dates fall on the same weekdays again, within a century."""
FORBIDDEN: Final = (
    "DTSTART", "UNTIL", "COUNT", "EXDATE", "RDATE", "BYHOUR", "BYMINUTE", "BYSECOND", "BYEASTER", "INTERVAL=0", "\n",
)  # fmt: skip
"""Parts of RFC 5545 a plan says in columns of its own, or not at all: periods are whole days."""
FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")


class DueState(StrEnum):
    """What became of one item of the ledger."""

    DUE = "due"
    DONE = "done"
    MISSED = "missed"
    WAIVED = "waived"


@dataclass(frozen=True)
class Period:
    """The days from one occurrence of the rule to the eve of the next; care on any of them counts."""

    from_on: date
    until_on: date
    """The last day that still counts."""


@dataclass(frozen=True)
class CarePlan:
    """What of a plan decides its periods. `recurrence` is an RFC 5545 rule such as FREQ=MONTHLY;INTERVAL=3."""

    recurrence: str
    starts_on: date
    ends_on: date | None = None
    go_live_on: date | None = None
    last_done_on: date | None = None
    maintained_until_on: date | None = None
    """When the maintenance period of the site's contract ends (A137)."""

    @property
    def last_on(self) -> date | None:
        """The last day on which anything is due."""
        return min((day for day in (self.ends_on, self.maintained_until_on) if day is not None), default=None)


class BadRecurrence(ValueError):
    """The rule is not one a plan can follow."""


def recurrence_of(plan: CarePlan, until: date) -> rrule:
    """Return the plan's rule from its first day to LONGEST after `until`; raises BadRecurrence.

    A monthly rule begun on the 29th, 30th or 31st recurs on the last day of shorter months, where RFC 5545 alone would
    leave those months out.
    """
    parts = plan.recurrence.upper()
    if any(forbidden in parts for forbidden in FORBIDDEN) or not any(f"FREQ={one}" in parts for one in FREQUENCIES):
        raise BadRecurrence(plan.recurrence)
    if plan.starts_on.day > LAST_COMMON_DAY and "MONTHLY" in parts and "BY" not in parts:
        days = ",".join(str(day) for day in range(LAST_COMMON_DAY, plan.starts_on.day + 1))
        parts += f";BYMONTHDAY={days};BYSETPOS=-1"
    try:
        rule = cast("rrule", rrulestr(parts, dtstart=datetime.combine(plan.starts_on, time())))
    except (ValueError, TypeError, KeyError) as error:
        raise BadRecurrence(plan.recurrence) from error
    last = max(until, plan.starts_on) + LONGEST
    return rule.replace(until=datetime.combine(last, time()))  # bounded: a rule may match no day at all


def check_recurrence(plan: CarePlan) -> None:
    """Raise BadRecurrence unless the plan's rule can be read and recurs."""
    late = replace(plan, starts_on=_same_day_late(plan.starts_on))
    if len(list(islice(recurrence_of(late, late.starts_on), 2))) < len(("this", "next")):
        raise BadRecurrence(plan.recurrence)


def periods(plan: CarePlan, *, since: date, until: date) -> list[Period]:
    """Return the plan's periods that end on or after `since` and begin on or before `until`; raises BadRecurrence."""
    last_on = until if plan.last_on is None else min(until, plan.last_on)
    begun = takewhile(lambda pair: pair[0] <= last_on, pairwise(_occurrences(plan, since, until)))
    found = (Period(from_on, _ends(next_on, plan.last_on)) for from_on, next_on in begun)
    return list(islice((period for period in found if period.until_on >= since), PERIODS_MAXIMUM))


def due_periods(plan: CarePlan, *, raised_until: date | None, today: date, until: date) -> list[Period]:
    """Return the periods to raise now: those that begin by `until` and were not raised, care outstanding.

    The first time (`raised_until` is None) nothing before today is due: a new plan does not begin with a list of misses
    (model 13). After that, periods passed while nobody raised them are still raised. Periods over before the go-live
    day, and those the last care before it falls into, are not due.
    """
    since = today if raised_until is None else raised_until + timedelta(days=1)
    return [
        period
        for period in periods(plan, since=since, until=until)
        if (raised_until is None or period.from_on > raised_until)
        and (plan.go_live_on is None or period.until_on >= plan.go_live_on)
        and (plan.last_done_on is None or period.from_on > plan.last_done_on)
    ]


def settled(until_on: date, done_on: date) -> DueState:
    """Return what care on this day makes of an item: done within its period, or missed although done later."""
    return DueState.DONE if done_on <= until_on else DueState.MISSED


def covers(sheets: Iterable[frozenset[str]], asset_id: UUID | None) -> bool:
    """Whether one of the filed sheets shows that an item was done.

    `sheets` are the ids of the assets each sheet names. A sheet that names none speaks for the whole site, and an item
    without an asset is the whole site's (A137, A142).
    """
    return any(not named or asset_id is None or str(asset_id) in named for named in sheets)


def _same_day_late(day: date) -> date:
    """Return the same day of the year and week shortly before dates end.

    For a rule that matches no day at all, dateutil searches to the year 9999; from there it is not far.
    """
    return day.replace(year=LAST_YEAR - (LAST_YEAR - day.year) % LEAP_CYCLE)


def _occurrences(plan: CarePlan, since: date, until: date) -> Iterator[date]:
    """The rule's days, from the one that begins the period `since` falls into."""
    rule = recurrence_of(plan, max(since, until))
    begins = rule.before(datetime.combine(since, time()), inc=True) or datetime.combine(plan.starts_on, time())
    return (occurrence.date() for occurrence in rule.xafter(begins, inc=True))


def _ends(next_on: date, last_on: date | None) -> date:
    eve = next_on - timedelta(days=1)
    return eve if last_on is None else min(eve, last_on)
