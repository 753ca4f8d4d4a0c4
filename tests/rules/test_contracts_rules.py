"""Commitment clocks and fees: the limits of the presets, promises and pauses, and the laws they obey."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend.calendars.rules import ServiceHours, WorkingDays, day_in, service_time_between
from backend.contracts.rules import (
    KIND_WORDS,
    CauseRule,
    ClockBasis,
    ClockFacts,
    ClockLimit,
    ClockReading,
    ClockRules,
    FeeDecision,
    FeeVerdict,
    MovedBy,
    Pause,
    Promised,
    clock_reading,
    deadline,
    fee_verdict,
    minutes_and_hours,
    policy_due,
    read_policy,
    span_words,
    warn_instants,
)
from tests.presets_data import of

SHANGHAI = "Asia/Shanghai"
HOTLINE = ServiceHours(SHANGHAI, time(9), time(22), WorkingDays(frozenset(range(1, 8))))
HOURS = timedelta(hours=1)


def at(text: str) -> datetime:
    """An instant by the clocks of Shanghai."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(SHANGHAI)).astimezone(UTC)


FRIDAY = at("2026-11-20 09:10")


def policy(key: str) -> ClockRules:
    return read_policy(of("clock_policy")[key])


def limit(key: str, kind: str) -> ClockLimit:
    return next(one for one in policy(key).clock if one.kind == kind)


def due(key: str, kind: str, received: datetime = FRIDAY, **basis: Any) -> datetime | None:
    return policy_due(
        limit(key, kind), ClockBasis(received_at=received, **{"zone": SHANGHAI, "service": HOTLINE, **basis})
    )


def arrive_clock(**facts: Any) -> ClockFacts:
    return ClockFacts(**{
        "kind": "arrive", "started_at": FRIDAY, "zone": SHANGHAI, "policy_due_at": FRIDAY + 48 * HOURS, **facts,
    })  # fmt: skip


def read(
    clock: ClockFacts, now: datetime, *promises: Promised, pauses: tuple[Pause, ...] = ()
) -> ClockReading:  # fmt: skip
    return clock_reading(clock, pauses, promises, now)


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A029", "A030", "A031", "A043")
def test_the_standard_is_two_hours_a_day_and_two_days() -> None:
    assert due("std", "respond") == FRIDAY + 2 * HOURS
    assert due("std", "answer") == FRIDAY + 24 * HOURS
    assert due("std", "arrive") == FRIDAY + 48 * HOURS
    assert due("std", "respond", at("2026-11-20 21:30")) == at("2026-11-21 10:30")


@pytest.mark.rule("A032", "A033")
def test_the_fast_policy_responds_within_one_service_hour_and_answers_within_a_day() -> None:
    assert due("fast", "respond", at("2026-11-20 21:30")) == at("2026-11-21 09:30")
    assert due("fast", "answer") == FRIDAY + 24 * HOURS


@pytest.mark.rule("A034", "A035")
def test_the_desk_has_a_day_of_service_and_two_hours_for_an_emergency_at_night() -> None:
    night = at("2026-11-20 23:00")
    assert due("desk", "respond") == at("2026-11-21 20:10")  # 12 h 50 m on Friday, the rest on Saturday
    assert due("desk", "respond", night, priority="P1") == night + 2 * HOURS
    assert due("std", "respond", night, priority="P1") == night + 2 * HOURS
    assert due("std", "respond", night, priority="P3") == at("2026-11-21 11:00")


@pytest.mark.rule("A036", "A047")
def test_the_reporting_day_ends_at_midnight_where_the_site_is() -> None:
    for zone in ("Asia/Shanghai", "Asia/Urumqi", "America/New_York"):
        found = due("same_day", "arrive", zone=zone)
        assert found is not None
        assert found.astimezone(ZoneInfo(zone)).time() == time(0)
        assert day_in(zone, found) - day_in(zone, FRIDAY) == timedelta(days=1)
    assert due("enquiry", "respond") == at("2026-11-21 00:00")


@pytest.mark.rule("A037", "A038")
def test_solving_has_no_limit_until_somebody_arrives_and_then_the_day_of_arrival() -> None:
    assert due("std", "solve") is None
    assert due("std", "solve", arrived_at=at("2026-11-22 15:00")) == at("2026-11-23 00:00")
    assert due("desk", "solve") is None


@pytest.mark.rule("A236", "A280", "A281", "A288")
def test_dates_of_the_contract_and_of_acceptance_hold_until_their_day_ends() -> None:
    assert due("install", "arrive") is None
    assert due("install", "arrive", contract_on=date(2026, 12, 1)) == at("2026-12-02 00:00")
    assert due("handover", "respond") is None
    assert due("handover", "respond", acceptance_on=date(2026, 12, 31)) == at("2026-12-01 00:00")
    assert due("handover", "solve") is None
    assert due("handover", "solve", acceptance_on=date(2026, 12, 31)) == at("2027-01-15 00:00")


def test_without_a_known_calendar_every_hour_counts() -> None:
    night = at("2026-11-20 23:00")
    basis = ClockBasis(received_at=night, zone=SHANGHAI)
    assert minutes_and_hours(limit("std", "respond"), basis) == (120, "calendar")
    assert policy_due(limit("std", "respond"), basis) == night + 2 * HOURS


@pytest.mark.parametrize(
    ("clock", "told"),
    [
        ({"kind": "arrive", "hours": "calendar", "stop_event": "x"}, "either"),
        ({"kind": "arrive", "hours": "calendar", "stop_event": "x", "minutes": 1, "rule": "promise"}, "either"),
        ({"kind": "arrive", "hours": "calendar", "stop_event": "x", "rule": "soon"}, "soon"),
        ({"kind": "arrive", "hours": "sometimes", "stop_event": "x", "minutes": 1}, "hours"),
    ],
)
def test_a_policy_that_says_nothing_or_too_much_is_refused(clock: dict[str, Any], told: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=told):
        read_policy({"clock": [clock]})


# --- promises and pauses ----------------------------------------------------------------------------------------------


@pytest.mark.rule("A036")
def test_an_appointment_the_customer_asked_for_replaces_the_limit() -> None:
    asked = Promised(at("2026-11-24 14:00"), "customer", FRIDAY + HOURS)
    reading = read(arrive_clock(), at("2026-11-21 14:00"), asked)
    assert (reading.due_at, reading.state, reading.moved_by) == (asked.promised_at, "ok", "customer")
    assert reading.policy_due_at == FRIDAY + 48 * HOURS
    assert "客户要求改至 周二 14:00" in reading.zh
    assert "moved by the customer to Tue 14:00" in reading.en


@pytest.mark.rule("A058", "A072")
def test_a_time_we_moved_counts_beside_the_limit() -> None:
    ours = Promised(at("2026-11-24 14:00"), "us", FRIDAY + HOURS)
    reading = read(arrive_clock(), at("2026-11-23 14:00"), ours)
    assert (reading.due_at, reading.state, reading.promise_kept) == (FRIDAY + 48 * HOURS, "late", None)
    earlier = Promised(at("2026-11-21 14:00"), "us", FRIDAY + HOURS)
    reading = read(arrive_clock(), at("2026-11-21 13:00"), earlier)
    assert (reading.due_at, reading.en) == (earlier.promised_at, "1 h left to arrive (promised for Sat 14:00)")


def test_a_promise_is_kept_or_broken_apart_from_the_limit() -> None:
    earlier = Promised(at("2026-11-21 14:00"), "us", FRIDAY)
    later = Promised(at("2026-11-21 18:00"), "us", FRIDAY + HOURS)
    stopped = arrive_clock(stopped_at=at("2026-11-21 15:00"))
    reading = read(stopped, at("2026-12-01 15:00"), later, earlier)
    assert (reading.state, reading.promise_kept, reading.promised_at) == ("met", True, later.promised_at)
    assert read(arrive_clock(), at("2026-11-21 18:01"), later).promise_kept is False


@pytest.mark.rule("A038", "A048")
def test_the_first_promise_is_the_limit_where_the_policy_has_none() -> None:
    first = Promised(at("2026-11-21 14:00"), "us", FRIDAY)
    second = Promised(at("2026-11-25 14:00"), "us", FRIDAY + HOURS)
    clock = arrive_clock(kind="solve", policy_due_at=None, rule="promise")
    assert read(clock, FRIDAY).state == "waiting"
    assert read(clock, FRIDAY + 2 * HOURS, first, second).due_at == first.promised_at


@pytest.mark.rule("A035")
def test_a_higher_priority_binds_earlier_and_leaves_the_policys_limit_as_it_was() -> None:
    reading = read(arrive_clock(priority_due_at=FRIDAY + 2 * HOURS), FRIDAY + HOURS)
    assert (reading.due_at, reading.policy_due_at) == (FRIDAY + 2 * HOURS, FRIDAY + 48 * HOURS)


@pytest.mark.rule("A058")
def test_the_customers_side_stops_only_the_clock_to_solve() -> None:
    pause = Pause(at("2026-11-20 12:00"), at("2026-11-20 15:00"))
    assert read(arrive_clock(), FRIDAY, pauses=(pause,)).due_at == FRIDAY + 48 * HOURS
    solve = arrive_clock(kind="solve", policy_due_at=at("2026-11-21 00:00"), rule="end_of_arrival_day")
    assert read(solve, at("2026-11-20 16:00"), pauses=(pause,)).due_at == at("2026-11-21 03:00")


def test_an_open_pause_keeps_what_is_left() -> None:
    solve = arrive_clock(kind="solve", policy_due_at=at("2026-11-21 00:00"), rule="end_of_arrival_day")
    for now in (at("2026-11-20 16:00"), at("2026-11-25 16:00")):
        reading = read(solve, now, pauses=(Pause(at("2026-11-20 15:00"), None),))
        assert (reading.state, reading.remaining_seconds) == ("paused", 9 * 3600)
    assert reading.zh.startswith("解决计时暂停，还剩 9 小时（截至 ")


def test_a_pause_after_the_limit_heals_nothing() -> None:
    solve = arrive_clock(kind="solve", policy_due_at=at("2026-11-21 00:00"))
    reading = read(solve, at("2026-11-22 00:00"), pauses=(Pause(at("2026-11-21 01:00"), None),))
    assert (reading.state, reading.due_at) == ("late", at("2026-11-21 00:00"))


@pytest.mark.rule("A040")
def test_warnings_come_at_half_and_at_four_fifths_of_the_time_that_counts() -> None:
    clock = arrive_clock()
    assert warn_instants(clock, FRIDAY + 48 * HOURS) == [(50, FRIDAY + 24 * HOURS), (80, FRIDAY + 38.4 * HOURS)]
    night = at("2026-11-20 21:00")
    respond = ClockFacts(
        kind="respond", started_at=night, zone=SHANGHAI, policy_due_at=at("2026-11-21 10:00"), hours="service",
        service=HOTLINE,
    )  # fmt: skip
    assert warn_instants(respond, at("2026-11-21 10:00")) == [
        (50, at("2026-11-20 22:00")),
        (80, at("2026-11-21 09:36")),
    ]


# --- readings ---------------------------------------------------------------------------------------------------------


def test_the_boards_sentence() -> None:
    reading = read(arrive_clock(), FRIDAY + 36 * HOURS + timedelta(minutes=40))
    assert reading.zh == "到场还剩 11 小时 20 分（周五 09:10 起 48 小时）"
    assert reading.en == "11 h 20 m left to arrive (48 h from Fri 09:10)"
    assert (reading.state, reading.warned_percent, reading.remaining_seconds) == ("warn", 50, 40800)


def test_every_state_has_its_sentence() -> None:
    solve = arrive_clock(kind="solve", policy_due_at=None, rule="end_of_arrival_day")
    readings = [
        read(arrive_clock(), FRIDAY + 60 * HOURS),
        read(arrive_clock(stopped_at=FRIDAY + 47 * HOURS), FRIDAY + 60 * HOURS),
        read(arrive_clock(stopped_at=FRIDAY + 49 * HOURS), FRIDAY + 600 * HOURS),
        read(arrive_clock(void=True), FRIDAY),
        read(solve, FRIDAY),
        read(msgspec.structs.replace(solve, stopped_at=FRIDAY), FRIDAY),
    ]
    assert [(one.state, one.zh, one.en) for one in readings] == [
        ("late", "到场已超时 12 小时（周五 09:10 起 48 小时）", "12 h late to arrive (48 h from Fri 09:10)"),
        (
            "met",
            "周日 08:10 已到场，提前 1 小时（周五 09:10 起 48 小时）",
            "Arrived Sun 08:10, 1 h early (48 h from Fri 09:10)",
        ),
        (
            "breached",
            "2026-11-22 10:10 已到场，超时 1 小时（2026-11-20 09:10 起 48 小时）",
            "Arrived 2026-11-22 10:10, 1 h late (48 h from 2026-11-20 09:10)",
        ),
        ("void", "到场计时已作废", "The clock to arrive is void"),
        ("waiting", "解决期限待定", "No limit yet to solve"),
        ("met", "周五 09:10 已解决", "Solved Fri 09:10"),
    ]


@pytest.mark.rule("A043")
def test_service_hours_are_named_and_both_counts_are_given() -> None:
    night = at("2026-11-20 21:00")
    respond = ClockFacts(
        kind="respond", started_at=night, zone=SHANGHAI, policy_due_at=at("2026-11-21 10:00"), hours="service",
        service=HOTLINE,
    )  # fmt: skip
    reading = read(respond, at("2026-11-20 21:30"))
    assert (reading.remaining_seconds, reading.remaining_service_seconds) == (12.5 * 3600, 1.5 * 3600)
    assert reading.zh == "响应还剩 1 小时 30 分（周五 21:00 起服务时间 2 小时）"
    assert reading.en == "1 h 30 m left to respond (2 h of service from Fri 21:00)"


def test_a_kind_without_words_of_its_own_is_called_by_its_key() -> None:
    assert read(arrive_clock(kind="review"), FRIDAY).en == "48 h left to review (48 h from Fri 09:10)"
    assert set(KIND_WORDS) == {"respond", "answer", "arrive", "solve"}


def test_a_limit_before_the_start_is_used_up() -> None:
    reading = read(arrive_clock(policy_due_at=FRIDAY - HOURS, rule="contract_date"), FRIDAY)
    assert (reading.state, reading.share_used, reading.warned_percent) == ("late", 1.0, 80)


@pytest.mark.parametrize(
    ("span", "zh", "en"),
    [
        (timedelta(seconds=59), "不到 1 分", "under 1 m"),
        (timedelta(minutes=20), "20 分", "20 m"),
        (timedelta(hours=71, minutes=59), "71 小时 59 分", "71 h 59 m"),
        (timedelta(days=3, minutes=59), "3 天", "3 d"),
        (timedelta(days=4, hours=5), "4 天 5 小时", "4 d 5 h"),
    ],
)
def test_lengths_are_said_as_people_say_them(span: timedelta, zh: str, en: str) -> None:
    assert span_words(span) == (zh, en)


# --- laws -------------------------------------------------------------------------------------------------------------

spans = st.timedeltas(timedelta(0), timedelta(days=5)).map(lambda span: span - span % timedelta(seconds=1))
moments = spans.map(lambda span: FRIDAY + span)
movers: st.SearchStrategy[MovedBy] = st.sampled_from(("customer", "us"))
some_promises = st.lists(st.builds(Promised, moments, movers, moments), max_size=4)
some_pauses = st.lists(
    st.builds(lambda began, lasted: Pause(began, lasted and began + lasted), moments, st.none() | spans), max_size=3
)
clocks = st.builds(
    lambda kind, due, priority_due, stopped, hours, service: ClockFacts(
        kind=kind, started_at=FRIDAY, zone=SHANGHAI, policy_due_at=due, priority_due_at=priority_due,
        stopped_at=stopped, hours=hours, service=service,
    ),
    st.sampled_from(sorted(KIND_WORDS)), st.none() | moments, st.none() | moments, st.none() | moments,
    st.sampled_from(("calendar", "service")), st.sampled_from((None, HOTLINE)),
)  # fmt: skip


@given(clocks, some_promises, some_pauses, moments, moments)
def test_our_promise_never_moves_a_limit_later(
    clock: ClockFacts, promises: list[Promised], pauses: list[Pause], until: datetime, promised: datetime
) -> None:
    before = deadline(clock, promises, pauses, until)
    assume(before is not None and not any(one.moved_by == "us" for one in promises))
    ours = Promised(promised, "us", FRIDAY + timedelta(days=9))
    after = deadline(clock, [*promises, ours], pauses, until)
    assert before is not None
    assert after is not None
    assert after.at <= before.at


@given(clocks, some_promises, moments)
def test_the_customers_last_wish_is_the_limit_where_nothing_pauses(
    clock: ClockFacts, promises: list[Promised], wish: datetime
) -> None:
    asked = Promised(wish, "customer", FRIDAY + timedelta(days=9))
    found = deadline(clock, [asked, *promises], [], FRIDAY)
    assert found is not None
    assert (found.at, found.by) == (wish, "customer")


@given(clocks, some_promises, some_pauses, moments)
def test_a_pause_never_moves_a_limit_earlier_and_only_that_to_solve(
    clock: ClockFacts, promises: list[Promised], pauses: list[Pause], until: datetime
) -> None:
    still, moved = deadline(clock, promises, [], until), deadline(clock, promises, pauses, until)
    if still is None or moved is None:
        assert still is moved
        return
    assert moved.at >= still.at
    assert clock.kind == "solve" or moved == still


@given(clocks, some_promises, some_pauses, moments)
def test_a_reading_agrees_with_itself(
    clock: ClockFacts, promises: list[Promised], pauses: list[Pause], now: datetime
) -> None:
    reading = clock_reading(clock, pauses, promises, now)
    late = reading.remaining_seconds is not None and reading.remaining_seconds < 0
    assert (reading.state in ("late", "breached")) == late
    assert (reading.due_at is None) == (reading.share_used is None) == (reading.remaining_seconds is None)
    assert reading.zh
    assert reading.en
    if clock.stopped_at:
        assert msgspec.structs.replace(reading, zh="", en="") == msgspec.structs.replace(
            clock_reading(clock, pauses, promises, now + timedelta(days=99)), zh="", en=""
        )


@given(clocks, moments)
def test_a_clock_warns_exactly_from_its_warning_instant(clock: ClockFacts, now: datetime) -> None:
    reading = clock_reading(clock, [], [], now)
    assume(reading.due_at is not None and reading.due_at > FRIDAY and clock.stopped_at is None)
    assert reading.due_at is not None
    assume(not clock.counted or service_time_between(HOTLINE, FRIDAY, reading.due_at) > timedelta(0))
    reached = [percent for percent, instant in warn_instants(clock, reading.due_at) if now >= instant]
    assert reading.warned_percent == max(reached, default=0)


# --- who pays ---------------------------------------------------------------------------------------------------------

DECISIONS = {key: msgspec.convert(entry, FeeDecision) for key, entry in of("fee_decision").items()}
CAUSES = {key: msgspec.convert(entry, CauseRule) for key, entry in of("cause").items()}
TODAY = date(2026, 11, 20)
IN_WARRANTY, OUT = date(2026, 11, 20), date(2026, 11, 19)


def verdict(cause: str, warranty_until: date | None) -> FeeVerdict:
    return fee_verdict(CAUSES[cause], DECISIONS, warranty_until=warranty_until, on=TODAY)


@pytest.mark.rule("A148", "A150")
@pytest.mark.parametrize("cause", ["manufacture", "assembly", "material"])
def test_quality_faults_are_free_in_warranty_and_quoted_after_it(cause: str) -> None:
    assert [verdict(cause, until).decision for until in (IN_WARRANTY, OUT, None)] == ["free", "quote", "quote"]


@pytest.mark.rule("A149")
def test_misuse_is_quoted_whatever_the_date() -> None:
    for until in (IN_WARRANTY, OUT, None):
        found = verdict("misuse", until)
        assert (found.decision, found.needs_acceptance) == ("quote", True)


def test_the_verdict_says_why() -> None:
    assert verdict("misuse", IN_WARRANTY).zh == "使用不当，保修至 2026-11-20：先报价，客户认可后施工"
    assert verdict("material", OUT).en == (
        "Material fault, warranty ended 2026-11-19: Quoted; work begins once the customer accepts"
    )
    assert verdict("unknown", None).zh.startswith("原因待查，没有保修：")


@pytest.mark.rule("A148", "A149")
@given(st.sampled_from(sorted(CAUSES)), st.none() | st.dates(), st.dates())
def test_the_cause_decides_first_and_the_date_only_between_its_two_answers(
    cause: str, warranty_until: date | None, on: date
) -> None:
    found = fee_verdict(CAUSES[cause], DECISIONS, warranty_until=warranty_until, on=on)
    assert found.decision in {CAUSES[cause].in_warranty, CAUSES[cause].out_of_warranty}
    assert found.in_warranty == (warranty_until is not None and on <= warranty_until)
