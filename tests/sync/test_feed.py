"""The feed's arithmetic: views compared with a scope, generations kept, checks; and cookies."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sync.clock import effective_time, last_seen
from sync.cursor import Cookie, PageToken, seal, unseal
from sync.desk import Reach, reach_of
from sync.feed import CHECKSUM_MODULUS, Head, Scope, View, compare, entry_sum, kept, unsent
from sync.limits import CLOCK_FLAG_SECONDS, GRANT_DAYS, VIEWS_KEPT
from sync.protocol import Refusal
from sync.store import Grant
from tests.sync.world import SECRET, START

NAMES = st.sets(st.sampled_from([f"site:{letter}" for letter in "abcdef"]))


@given(
    NAMES,
    st.dictionaries(st.sampled_from([f"site:{letter}" for letter in "abcdef"]), st.integers(0, 9)),
    st.integers(0, 9),
)
def test_a_plan_enters_leaves_and_stays(held: set[str], scope: dict[str, int], since: int) -> None:
    plan = compare(held, since, Scope({name: Head(v=v) for name, v in scope.items()}, None))
    assert set(plan.enter) == scope.keys() - held
    assert set(plan.leave) == held - scope.keys()
    assert set(plan.stay) == {name for name in held & scope.keys() if scope[name] > since}
    assert plan.empty == (held == scope.keys() and all(v <= since for v in scope.values()))


def test_an_unfinished_view_asks_for_what_it_has_not_sent() -> None:
    view = View("g", 9, {"site:b": 0, "site:a": 0, "job:a": 5}, None, START)
    assert unsent(view).fresh == ("site:a", "site:b")
    assert (unsent(view).stayed, unsent(view).since) == (("job:a",), 5)
    assert unsent(View("g", 9, {}, None, START)).since == 0


@given(st.lists(st.integers(0, 5), max_size=8), st.data())
def test_the_proven_views_and_the_newest_are_kept(vs: list[int], data: st.DataObject) -> None:
    views = [View(str(place), v, {}, None, START + timedelta(seconds=place)) for place, v in enumerate(vs)]
    needed = (
        data.draw(st.sets(st.sampled_from([view.generation for view in views]), max_size=2)) if views else set[str]()
    )
    chosen = kept(views, needed)
    assert needed <= chosen
    assert len(chosen) == min(len(views), VIEWS_KEPT - 1)
    others = [view for view in views if view.generation not in needed]
    newest = sorted(others, key=lambda view: (view.v, view.served_at))[len(others) - len(chosen - needed) :]
    assert chosen - needed == {view.generation for view in newest}


@given(st.text(), st.text(), st.text())
def test_a_share_is_six_bytes(entity: str, row: str, body: str) -> None:
    assert 0 <= entry_sum(entity, row, body) < CHECKSUM_MODULUS


@given(st.integers(0), st.text(), st.text(min_size=1))
def test_a_cookie_comes_back_as_it_was(v: int, generation: str, device: str) -> None:
    cookie = Cookie("epoch", v, generation, 1, "incarnation", 3)
    text = seal(cookie, secret=SECRET, device=device)
    assert unseal(text, Cookie, secret=SECRET, device=device) == cookie
    for secret, other in ((SECRET, device + "x"), (b"another", device)):
        with pytest.raises(Refusal, match="bad_cookie"):
            unseal(text, Cookie, secret=secret, device=other)
    with pytest.raises(Refusal, match="bad_cookie"):
        unseal(text, PageToken, secret=SECRET, device=device)


@given(st.text())
def test_any_other_text_is_no_cookie(text: str) -> None:
    with pytest.raises(Refusal, match="bad_cookie"):
        unseal(text, Cookie, secret=SECRET, device="device")


def test_reach_is_what_the_server_recorded() -> None:
    scope = Scope({"site:a": Head()}, None)
    long_ago = START - timedelta(days=GRANT_DAYS)
    assert reach_of("site:a", scope, None, START) is Reach.IN_SCOPE
    assert reach_of("site:b", scope, None, START) is Reach.NONE
    assert reach_of("site:b", scope, Grant(long_ago, None), START) is Reach.GRANTED
    assert reach_of("site:b", scope, Grant(long_ago, long_ago), START) is Reach.GRANTED
    assert reach_of("site:b", scope, Grant(long_ago, long_ago - timedelta(seconds=1)), START) is Reach.STALE


INSTANTS = st.timedeltas(timedelta(days=-4000), timedelta(days=4000)).map(lambda delta: START + delta)


@given(INSTANTS, st.none() | INSTANTS, INSTANTS)
def test_an_effective_time_stays_within_what_the_server_knows(
    occurred: datetime, device_now: datetime | None, floor: datetime
) -> None:
    found = effective_time(occurred, device_now=device_now, received_at=START, not_before=floor)
    assert min(floor, START) <= found.at <= START
    assert found.flagged == (abs(found.at - occurred) > timedelta(seconds=CLOCK_FLAG_SECONDS))


@given(st.timedeltas(timedelta(days=-3650), timedelta(days=3650)), st.timedeltas(timedelta(), timedelta(hours=20)))
def test_moving_a_devices_clock_moves_no_effective_time(offset: timedelta, ago: timedelta) -> None:
    happened = START - ago
    found = effective_time(
        happened + offset, device_now=START + offset, received_at=START, not_before=START - timedelta(days=1)
    )
    assert found.at == happened
    assert found.flagged == (abs(offset) > timedelta(seconds=CLOCK_FLAG_SECONDS))


def test_a_time_no_calendar_holds_is_clamped() -> None:
    latest = START.replace(year=9999, month=12, day=31)
    found = effective_time(
        latest, device_now=START - timedelta(days=30), received_at=START, not_before=START - timedelta(days=1)
    )
    assert (found.at, found.flagged) == (START, True)


def test_a_phone_was_last_seen_when_it_got_what_it_worked_on() -> None:
    served = [(5, START), (9, START + timedelta(hours=1))]
    enrolled = START - timedelta(days=1)
    assert last_seen(9, served, enrolled) == START + timedelta(hours=1)
    assert last_seen(7, served, enrolled) == START
    assert last_seen(4, served, enrolled) == enrolled
    assert last_seen(None, served, enrolled) == enrolled
