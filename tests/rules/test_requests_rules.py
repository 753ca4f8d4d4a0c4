"""A Case's states, what must be known of it, and who is asked for help next."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.calendars.bounds import AHEAD_MINUTES
from backend.requests.rules import (
    BACKDATING_MINUTES,
    OPEN_STATES,
    Chain,
    IntakeFacts,
    Move,
    RequestState,
    Resolution,
    after,
    may_close,
    missing_facts,
    moves_from,
    next_steps,
    receipt,
)
from tests.presets_data import of

NOW = datetime(2026, 11, 20, 1, 10, tzinfo=UTC)
RESOLUTIONS = {key: msgspec.convert(entry, Resolution) for key, entry in of("resolution").items()}
CHAINS = {key: msgspec.convert(entry, Chain) for key, entry in of("escalation_chain").items()}
KNOWN = IntakeFacts("赵敏", "13900000001", "湖滨路 1 号", "HK-2", "2025-01-01", "无图像")


@pytest.mark.rule("A021", "A022")
def test_the_six_stages_are_a_path_through_the_states() -> None:
    state = RequestState.RECEIVED
    for move in (Move.TRIAGE, Move.BEGIN, Move.SOLVE, Move.CLOSE, Move.CONFIRM):
        following = after(state, move)
        assert following is not None
        state = following
    assert state is RequestState.CONFIRMED


@pytest.mark.rule("A170")
def test_whatever_ended_can_be_reopened_except_what_was_cancelled() -> None:
    for state in (RequestState.SOLVED, RequestState.CLOSED, RequestState.CONFIRMED):
        assert after(state, Move.REOPEN) is RequestState.REOPENED
    assert moves_from(RequestState.CANCELLED) == ()


def test_triage_does_not_stop_work_under_way() -> None:
    assert after(RequestState.IN_PROGRESS, Move.TRIAGE) is RequestState.IN_PROGRESS
    assert after(RequestState.REOPENED, Move.TRIAGE) is RequestState.TRIAGED
    assert after(RequestState.CLOSED, Move.TRIAGE) is None


@given(st.lists(st.sampled_from(Move), max_size=12))
def test_every_history_is_a_path_and_ends_somewhere_known(moves: list[Move]) -> None:
    state = RequestState.RECEIVED
    for move in moves:
        following = after(state, move)
        assert (following is not None) == (move in moves_from(state))
        if following is RequestState.CONFIRMED:
            assert state is RequestState.CLOSED
        state = following or state
    assert (state in OPEN_STATES) == (after(state, Move.CLOSE) is not None)


@pytest.mark.rule("A012", "A104")
def test_a_case_that_claims_to_be_solved_is_closed_only_after_the_customers_word() -> None:
    for resolution in RESOLUTIONS.values():
        assert may_close(RequestState.SOLVED, resolution) == resolution.closes
        assert may_close(RequestState.IN_PROGRESS, resolution) == (resolution.closes and not resolution.solved)
        assert not may_close(RequestState.CANCELLED, resolution)


@pytest.mark.rule("A002", "A003", "A004")
def test_missing_facts_are_named_in_the_order_people_ask() -> None:
    assert missing_facts(KNOWN) == []
    blank = msgspec.structs.replace(KNOWN, reporter_phone=" ", product_model="", purchased_on="")
    assert missing_facts(blank) == ["reporter_phone", "product_model", "purchased_on"]


def test_a_request_is_received_now_unless_somebody_says_otherwise() -> None:
    said = receipt(None, NOW)
    assert said is not None
    assert (said.at, said.backdated) == (NOW, False)


@given(st.timedeltas(timedelta(days=-9), timedelta(days=9)))
def test_receipt_is_never_in_the_future_and_long_ago_needs_a_reason(offset: timedelta) -> None:
    said = receipt(NOW + offset, NOW)
    assert (said is None) == (offset > AHEAD_MINUTES)
    if said is not None:
        assert said.at <= NOW
        assert said.backdated == (-offset > timedelta(minutes=BACKDATING_MINUTES))


@pytest.mark.rule("A188")
def test_help_comes_from_the_next_role_above_the_owner() -> None:
    fault = CHAINS["fault"]
    assert [fault.steps[step] for step in next_steps(fault, owner_roles={"technician"}, raised=[])] == ["expert"]
    assert [fault.steps[step] for step in next_steps(fault, owner_roles={"technician"}, raised=[1])] == ["head"]
    assert next_steps(fault, owner_roles={"operator"}, raised=[]) == [0]
    assert next_steps(fault, owner_roles=(), raised=[1, 2, 3]) == []


@pytest.mark.rule("A189")
def test_serious_cases_go_to_everybody_of_their_chain_at_once() -> None:
    serious = CHAINS["serious"]
    assert next_steps(serious, owner_roles={"head"}, raised=[]) == [0, 1]
    assert next_steps(serious, owner_roles=(), raised=[0, 1]) == []


@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, unique=True),
    st.sets(st.sampled_from("abcdef")),
    st.sampled_from(("in_order", "in_parallel")),
)
def test_asking_again_and_again_climbs_each_chain_to_its_end_once(
    steps: list[str], owner_roles: set[str], mode: str
) -> None:
    chain = Chain(tuple(steps), mode)
    raised: list[int] = []
    while asked := next_steps(chain, owner_roles=owner_roles, raised=raised):
        assert not set(asked) & set(raised)
        raised += asked
    assert raised == sorted(raised)
    assert not raised or raised[-1] == len(steps) - 1
