"""Working days and service hours: the laws of their arithmetic, also where clocks are moved."""

from datetime import UTC, date, datetime, time, timedelta
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from backend.calendars.rules import (
    NeverOpenError,
    ServiceHours,
    WorkingDays,
    add_service_time,
    day_in,
    end_of_day,
    instant_of,
    is_working_day,
    opening,
    service_time_between,
    working_day_after,
)

SHANGHAI = "Asia/Shanghai"
# Gaps at 02:00 (Berlin), at midnight (Beirut), from 23:00 to 24:00 (Nuuk), of half an hour (Lord Howe), a day (Apia).
ZONES = (SHANGHAI, "Europe/Berlin", "America/New_York", "Asia/Beirut", "America/Nuuk", "Australia/Lord_Howe")
WEEK = WorkingDays(frozenset(range(1, 6)))
HOTLINE = ServiceHours(SHANGHAI, time(9), time(22), WorkingDays(frozenset(range(1, 8))))

instants = st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone
walls = st.datetimes(datetime(2011, 12, 1), datetime(2027, 12, 31))  # noqa: DTZ001 - wall times
amounts = st.integers(0, 24 * 60).map(lambda minutes: timedelta(minutes=minutes))
exceptions = st.dictionaries(st.dates(date(2024, 1, 1), date(2027, 12, 31)), st.booleans(), max_size=8)
week_days = st.frozensets(st.integers(1, 7), min_size=1)
some_days = st.builds(WorkingDays, week_days, exceptions)


@st.composite
def service_hours(draw: st.DrawFn) -> ServiceHours:
    """At least an hour a day, also past midnight and round the clock."""
    opens = datetime(2024, 1, 1, draw(st.integers(0, 23)), draw(st.sampled_from([0, 15, 30])), draw(st.integers(0, 59)))  # noqa: DTZ001 - a wall time
    closes = opens + timedelta(minutes=draw(st.integers(60, 24 * 60)))
    return ServiceHours(draw(st.sampled_from(ZONES)), opens.time(), closes.time(), draw(some_days))


some_hours = service_hours()


def in_shanghai(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(SHANGHAI)).astimezone(UTC)


@pytest.mark.rule("A046")
def test_a_holiday_is_no_working_day_and_a_make_up_workday_is_one() -> None:
    days = WorkingDays(frozenset(range(1, 6)), {date(2026, 10, 1): False, date(2026, 10, 10): True})
    assert not is_working_day(days, date(2026, 10, 1))  # Thursday, National Day
    assert is_working_day(days, date(2026, 10, 10))  # Saturday, made up
    assert is_working_day(days, date(2026, 10, 8))
    assert not is_working_day(days, date(2026, 10, 11))


def test_two_working_days_after_a_friday_are_tuesday() -> None:
    assert working_day_after(WEEK, date(2026, 11, 20), 2) == date(2026, 11, 24)
    assert working_day_after(WEEK, date(2026, 11, 21), 0) == date(2026, 11, 21)


def test_a_calendar_that_never_opens_says_so() -> None:
    closed = WorkingDays(frozenset())
    with pytest.raises(NeverOpenError):
        working_day_after(closed, date(2026, 1, 1), 1)
    with pytest.raises(NeverOpenError):
        add_service_time(
            ServiceHours(SHANGHAI, time(9), time(22), closed), in_shanghai("2026-01-01 10:00"), timedelta(minutes=1)
        )


@pytest.mark.rule("A043", "A029")
def test_two_service_hours_after_nine_in_the_evening_end_the_next_morning() -> None:
    asked = in_shanghai("2026-11-20 21:00")
    assert add_service_time(HOTLINE, asked, timedelta(hours=2)) == in_shanghai("2026-11-21 10:00")
    assert add_service_time(HOTLINE, in_shanghai("2026-11-20 23:30"), timedelta(hours=2)) == in_shanghai(
        "2026-11-21 11:00"
    )


def test_the_end_of_a_service_day_is_reached_that_evening_not_the_next_morning() -> None:
    assert add_service_time(HOTLINE, in_shanghai("2026-11-20 21:00"), timedelta(hours=1)) == in_shanghai(
        "2026-11-20 22:00"
    )


def test_a_night_line_runs_past_midnight() -> None:
    night = ServiceHours(SHANGHAI, time(20), time(4), WorkingDays(frozenset(range(1, 8))))
    asked = in_shanghai("2026-11-20 01:00")
    assert add_service_time(night, asked, timedelta(hours=4)) == in_shanghai("2026-11-20 21:00")
    assert service_time_between(night, asked, in_shanghai("2026-11-21 03:00")) == timedelta(hours=10)


def test_round_the_clock_is_every_minute() -> None:
    always = ServiceHours(SHANGHAI, time(), time(), WorkingDays(frozenset(range(1, 8))))
    asked = in_shanghai("2026-11-20 01:00")
    assert add_service_time(always, asked, timedelta(hours=100)) == asked + timedelta(hours=100)


def test_a_day_with_moved_clocks_has_23_or_25_hours() -> None:
    for day, hours in ((date(2026, 3, 29), 23), (date(2026, 10, 25), 25), (date(2026, 6, 1), 24)):
        length = end_of_day("Europe/Berlin", day) - end_of_day("Europe/Berlin", day - timedelta(days=1))
        assert length == timedelta(hours=hours)


def test_a_skipped_wall_time_is_the_moment_the_clock_jumps() -> None:
    jump = datetime(2026, 3, 29, 1, tzinfo=UTC)  # 02:00 becomes 03:00 in Berlin
    for wall in (datetime(2026, 3, 29, 2), datetime(2026, 3, 29, 2, 30, 5, 7), datetime(2026, 3, 29, 3)):  # noqa: DTZ001 - a wall time
        assert instant_of(wall, "Europe/Berlin") == jump


def test_a_repeated_wall_time_is_its_first_occurrence() -> None:
    assert instant_of(datetime(2026, 10, 25, 2, 30), "Europe/Berlin") == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # noqa: DTZ001 - a wall time


@given(st.sampled_from([*ZONES, "Pacific/Apia"]), walls, st.data())
def test_later_on_the_wall_is_never_earlier_in_time(zone: str, wall: datetime, draw: st.DataObject) -> None:
    later = wall + draw.draw(st.timedeltas(timedelta(0), timedelta(days=2)))
    assert instant_of(wall, zone) <= instant_of(later, zone)


@given(st.sampled_from([*ZONES, "Pacific/Apia"]), st.dates(date(2011, 12, 20), date(2027, 12, 31)))
@example("Pacific/Apia", date(2011, 12, 30))
def test_days_follow_one_another_without_hole_or_overlap(zone: str, day: date) -> None:
    ends, ended = end_of_day(zone, day), end_of_day(zone, day - timedelta(days=1))
    assert ended <= ends
    assert ended == ends or (day_in(zone, ended) == day and day_in(zone, ends - timedelta(seconds=1)) == day)


@given(some_hours, st.dates(date(2024, 1, 1), date(2027, 12, 30)))
@example(ServiceHours("America/Nuuk", time(), time(23, 30), WorkingDays(frozenset(range(1, 8)))), date(2024, 3, 30))
def test_one_days_service_ends_before_the_next_begins(hours: ServiceHours, day: date) -> None:
    opens, closes = opening(hours, day)
    assert opens <= closes <= opening(hours, day + timedelta(days=1))[0]


@given(some_hours, instants)
def test_adding_nothing_changes_nothing(hours: ServiceHours, start: datetime) -> None:
    assert add_service_time(hours, start, timedelta(0)) == start


@given(some_hours, instants, amounts)
def test_what_was_added_lies_between(hours: ServiceHours, start: datetime, amount: timedelta) -> None:
    assert service_time_between(hours, start, add_service_time(hours, start, amount)) == amount


@given(some_hours, instants, amounts, amounts)
def test_adding_twice_is_adding_the_sum(
    hours: ServiceHours, start: datetime, first: timedelta, second: timedelta
) -> None:
    twice = add_service_time(hours, add_service_time(hours, start, first), second)
    assert twice == add_service_time(hours, start, first + second)


@given(some_hours, instants, st.timedeltas(timedelta(0), timedelta(days=9)), amounts)
def test_later_starts_end_no_earlier(hours: ServiceHours, start: datetime, wait: timedelta, amount: timedelta) -> None:
    assert add_service_time(hours, start, amount) <= add_service_time(hours, start + wait, amount)


@given(some_hours, instants, st.timedeltas(timedelta(days=-20), timedelta(days=20)))
def test_service_time_is_no_longer_than_time_and_turns_with_its_sign(
    hours: ServiceHours, start: datetime, span: timedelta
) -> None:
    served = service_time_between(hours, start, start + span)
    assert abs(served) <= abs(span)
    assert served == -service_time_between(hours, start + span, start)
    assert served * (1 if span >= timedelta(0) else -1) >= timedelta(0)


@given(some_hours, st.lists(instants, min_size=3, max_size=3))
def test_service_time_adds_up(hours: ServiceHours, three: list[datetime]) -> None:
    a, b, c = sorted(three)
    assume(c - a < timedelta(days=60))
    assert service_time_between(hours, a, c) == service_time_between(hours, a, b) + service_time_between(hours, b, c)


@given(some_hours, instants, st.timedeltas(timedelta(0), timedelta(days=400)))
def test_years_walked_in_weeks_are_the_sum_of_their_days(hours: ServiceHours, start: datetime, span: timedelta) -> None:
    """Day by day, as its docstring has it: what of each day's service lies between the two instants."""
    end = start + span
    first = day_in(hours.zone, start) - timedelta(days=1)
    openings = [opening(hours, first + timedelta(days=ahead)) for ahead in range(span.days + 4)]
    by_day = sum((max(timedelta(0), min(closes, end) - max(opens, start)) for opens, closes in openings), timedelta(0))
    assert service_time_between(hours, start, end) == by_day


def test_a_mistyped_century_is_counted_at_once() -> None:
    """Two thousand years took thirteen seconds on the event loop while they were walked day by day."""
    began = process_time()
    service_time_between(HOTLINE, datetime(3, 1, 2, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))
    assert process_time() - began < 3


@given(some_days, st.dates(date(2024, 1, 1), date(2027, 6, 30)), st.integers(1, 30))
def test_up_to_the_nth_working_day_there_are_n(days: WorkingDays, day: date, count: int) -> None:
    found = working_day_after(days, day, count)
    passed = [day + timedelta(days=ahead) for ahead in range(1, (found - day).days + 1)]
    assert is_working_day(days, found)
    assert sum(is_working_day(days, one) for one in passed) == count
