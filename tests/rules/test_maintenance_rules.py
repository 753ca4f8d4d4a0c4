"""When periodic care is due: periods of a rule, what is raised the first time and later, and what counts as done."""

from datetime import date, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.maintenance.rules import (
    LONGEST,
    PERIODS_MAXIMUM,
    BadRecurrence,
    CarePlan,
    DueState,
    Period,
    check_recurrence,
    covers,
    due_periods,
    periods,
    settled,
)


def monthly(**values: date | None) -> CarePlan:
    """Every month from the first of January 2026."""
    return CarePlan(recurrence="FREQ=MONTHLY", starts_on=date(2026, 1, 1), **values)


def days(found: list[Period]) -> list[tuple[str, str]]:
    """Periods as text."""
    return [(period.from_on.isoformat(), period.until_on.isoformat()) for period in found]


@pytest.mark.rule("A130")
def test_a_month_is_one_period_whatever_its_length() -> None:
    assert days(periods(monthly(), since=date(2026, 1, 1), until=date(2026, 3, 31))) == [
        ("2026-01-01", "2026-01-31"), ("2026-02-01", "2026-02-28"), ("2026-03-01", "2026-03-31"),
    ]  # fmt: skip


@pytest.mark.rule("A133", "A135")
@pytest.mark.parametrize(("interval", "until"), [(3, "2026-03-31"), (6, "2026-06-30")])
def test_quarters_and_half_years_are_months_counted_by_three_and_six(interval: int, until: str) -> None:
    plan = CarePlan(recurrence=f"FREQ=MONTHLY;INTERVAL={interval}", starts_on=date(2026, 1, 1))
    assert days(periods(plan, since=date(2026, 1, 1), until=date(2026, 1, 1))) == [("2026-01-01", until)]


def test_a_rule_begun_on_the_31st_leaves_no_month_out() -> None:
    """RFC 5545 alone would skip February."""
    plan = CarePlan(recurrence="FREQ=MONTHLY", starts_on=date(2026, 1, 31))
    found = periods(plan, since=date(2026, 1, 31), until=date(2026, 4, 30))
    assert [period.from_on.isoformat() for period in found] == ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"]


def test_a_rule_that_names_its_own_day_keeps_it() -> None:
    plan = CarePlan(recurrence="BYDAY=1MO;FREQ=MONTHLY", starts_on=date(2026, 1, 30))
    found = periods(plan, since=date(2026, 2, 1), until=date(2026, 3, 31))
    assert days(found) == [("2026-02-02", "2026-03-01"), ("2026-03-02", "2026-04-05")]


def test_a_plan_that_begins_later_has_no_period_before() -> None:
    assert days(periods(monthly(), since=date(2025, 6, 1), until=date(2026, 1, 15))) == [("2026-01-01", "2026-01-31")]
    assert periods(monthly(), since=date(2025, 6, 1), until=date(2025, 12, 31)) == []


@pytest.mark.rule("A137")
def test_care_ends_with_the_plan_or_with_the_contracts_maintenance() -> None:
    whole_year = {"since": date(2026, 1, 1), "until": date(2026, 12, 31)}
    assert days(periods(monthly(ends_on=date(2026, 2, 10)), **whole_year))[-1] == ("2026-02-01", "2026-02-10")
    both = monthly(ends_on=date(2026, 6, 30), maintained_until_on=date(2026, 1, 31))
    assert days(periods(both, **whole_year)) == [("2026-01-01", "2026-01-31")]


@pytest.mark.parametrize(
    "recurrence",
    [
        "", "monthly", "FREQ=SECONDLY", "FREQ=HOURLY", "FREQ=MONTHLY;COUNT=3", "FREQ=MONTHLY;UNTIL=20270101T000000",
        "FREQ=MONTHLY;INTERVAL=x", "FREQ=MONTHLY\nEXDATE:20260101T000000", "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYHOUR=1,2", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=YEARLY;INTERVAL=12",
        "FREQ=MONTHLY;BYMONTH=99", "FREQ=MONTHLY;BYDAY=XX", "FREQ=MONTHLY;COLOUR=RED", "FREQ=MONTHLY;INTERVAL=0",
    ],
)  # fmt: skip
def test_a_rule_a_plan_cannot_follow_is_refused(recurrence: str) -> None:
    with pytest.raises(BadRecurrence):
        check_recurrence(CarePlan(recurrence=recurrence, starts_on=date(2026, 1, 1)))


@pytest.mark.parametrize("recurrence", ["FREQ=MONTHLY", "freq=weekly;byday=mo", "FREQ=YEARLY;INTERVAL=10"])
def test_a_rule_that_recurs_is_taken(recurrence: str) -> None:
    plan = CarePlan(recurrence=recurrence, starts_on=date(2026, 1, 1))
    check_recurrence(plan)
    assert len(periods(plan, since=date(2026, 1, 1), until=date(2036, 1, 1))) > 1


# --- what is raised ---------------------------------------------------------------------------------------------------

MARCH_10: date = date(2026, 3, 10)


def raised(plan: CarePlan, raised_until: date | None = None, until: date = MARCH_10) -> list[str]:
    """First days of the periods raised on 10 March."""
    found = due_periods(plan, raised_until=raised_until, today=MARCH_10, until=until)
    return [period.from_on.isoformat() for period in found]


@pytest.mark.rule("A138")
def test_an_old_plan_does_not_begin_with_a_list_of_misses() -> None:
    assert raised(CarePlan(recurrence="FREQ=MONTHLY", starts_on=date(2020, 1, 1))) == ["2026-03-01"]


def test_once_begun_no_period_is_forgotten_however_long_nobody_raised_any() -> None:
    assert raised(monthly(), raised_until=date(2026, 1, 1)) == ["2026-02-01", "2026-03-01"]
    assert raised(monthly(), raised_until=date(2026, 3, 1)) == []


def test_care_before_go_live_is_not_owed_and_care_just_done_is_not_asked_again() -> None:
    assert raised(monthly(go_live_on=date(2026, 3, 20))) == ["2026-03-01"]
    assert raised(monthly(go_live_on=date(2026, 4, 1))) == []
    assert raised(monthly(last_done_on=date(2026, 3, 4))) == []
    assert raised(monthly(last_done_on=date(2026, 2, 27))) == ["2026-03-01"]


def test_a_period_is_raised_ahead_of_its_first_day() -> None:
    assert raised(monthly(), until=date(2026, 4, 1)) == ["2026-03-01", "2026-04-01"]


def test_a_very_long_absence_is_caught_up_in_parts() -> None:
    plan = CarePlan(recurrence="FREQ=DAILY", starts_on=date(2020, 1, 1))
    first = due_periods(plan, raised_until=date(2020, 1, 1), today=MARCH_10, until=MARCH_10)
    assert len(first) == PERIODS_MAXIMUM
    rest = due_periods(plan, raised_until=first[-1].from_on, today=MARCH_10, until=MARCH_10)
    assert rest[0].from_on == first[-1].from_on + timedelta(days=1)


@pytest.mark.rule("A138")
def test_done_on_the_last_day_counts_and_a_day_later_is_missed() -> None:
    assert settled(date(2026, 3, 31), date(2026, 3, 31)) is DueState.DONE
    assert settled(date(2026, 3, 31), date(2026, 4, 1)) is DueState.MISSED


@pytest.mark.rule("A137", "A142")
def test_a_sheet_covers_the_assets_it_names_or_the_whole_site() -> None:
    camera, lift = UUID(int=1), UUID(int=2)
    assert not covers([], None)
    assert covers([frozenset()], camera)
    assert covers([frozenset({str(camera)})], None)
    assert covers([frozenset({str(lift)}), frozenset({str(camera)})], camera)
    assert not covers([frozenset({str(lift)})], camera)


# --- laws -------------------------------------------------------------------------------------------------------------

plans = st.builds(
    CarePlan,
    recurrence=st.sampled_from(
        ["FREQ=MONTHLY", "FREQ=MONTHLY;INTERVAL=3", "FREQ=MONTHLY;INTERVAL=6", "FREQ=WEEKLY", "FREQ=YEARLY",
         "FREQ=MONTHLY;BYDAY=1MO", "FREQ=DAILY;INTERVAL=10"]
    ),
    starts_on=st.dates(date(2020, 1, 1), date(2026, 12, 31)).filter(lambda day: (day.month, day.day) != (2, 29)),
    ends_on=st.none() | st.dates(date(2024, 1, 1), date(2027, 12, 31)),
)  # fmt: skip
spans = st.tuples(st.dates(date(2023, 1, 1), date(2026, 6, 1)), st.integers(0, 700))


@given(plans, spans)
def test_periods_follow_one_another_without_gap_or_overlap(plan: CarePlan, span: tuple[date, int]) -> None:
    since, length = span
    found = periods(plan, since=since, until=since + timedelta(days=length))
    for one, following in pairwise(found):
        assert following.from_on == one.until_on + timedelta(days=1)
    for period in found:
        assert period.from_on <= period.until_on
        assert period.until_on >= since
        assert plan.ends_on is None or period.until_on <= plan.ends_on


@given(plans, spans, st.integers(0, 700))
def test_raising_day_by_day_or_at_once_raises_the_same(plan: CarePlan, span: tuple[date, int], split: int) -> None:
    """Nothing twice, nothing forgotten: a server that was down raises later what it did not raise then."""
    today, length = span
    end = today + timedelta(days=length)
    middle = min(end, today + timedelta(days=split))
    first = due_periods(plan, raised_until=None, today=today, until=middle)
    raised_until = first[-1].from_on if first else None
    later = due_periods(plan, raised_until=raised_until, today=today, until=end)
    at_once = due_periods(plan, raised_until=None, today=today, until=end)
    assert first + later == at_once


@given(plans)
def test_a_plan_always_has_its_current_period(plan: CarePlan) -> None:
    today = max(plan.starts_on, date(2026, 3, 10))
    found = periods(plan, since=today, until=today)
    ended = plan.ends_on is not None and plan.ends_on < today
    not_begun = plan.recurrence.endswith("1MO") and not found  # the first Monday may still be ahead
    assert (len(found) == 1) or ended or not_begun


def test_the_longest_rule_has_a_next_period_to_end_before() -> None:
    plan = CarePlan(recurrence="FREQ=YEARLY;INTERVAL=10", starts_on=date(2026, 1, 1))
    (only,) = periods(plan, since=date(2026, 1, 1), until=date(2026, 1, 1))
    assert only.until_on == date(2035, 12, 31)
    assert only.until_on - only.from_on < LONGEST
