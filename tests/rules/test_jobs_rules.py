"""The machine of a visit: what is legal, what was already so, what comes too late; and that states are replays."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.jobs.rules import (
    CORRECTIONS,
    DONE,
    FACTS,
    TO_BE_CONTINUED,
    TRANSITIONS,
    Attended,
    EventKind,
    Happening,
    IllegalEvent,
    OrderState,
    Standing,
    Verdict,
    VisitState,
    VisitSummary,
    after,
    attended,
    counted,
    counted_arrival,
    judge,
    missing_needs,
    order_state,
    replay,
)

NINE = datetime(2026, 3, 2, 1, tzinfo=UTC)
"""09:00 in Shanghai."""
LI_WEI, ZHOU_TAO = UUID(int=1), UUID(int=2)
OURS = Standing(lead_id=LI_WEI, holders=frozenset({LI_WEI, ZHOU_TAO}), counted_from={LI_WEI: 0, ZHOU_TAO: 0})
GONE = Standing(lead_id=ZHOU_TAO, holders=frozenset({ZHOU_TAO}), counted_from={LI_WEI: 0, ZHOU_TAO: 0})
PLAIN = tuple(kind for kind in EventKind if kind not in CORRECTIONS)


def event(number: int, kind: EventKind, person: UUID = LI_WEI, minutes: int | None = None, **values: Any) -> Happening:
    """The visit's event with this number, that many minutes after nine."""
    at = NINE + timedelta(minutes=number if minutes is None else minutes)
    return Happening(
        id=UUID(int=1000 + number), sequence=number, person_id=person, kind=kind, effective_at=at, **values
    )


def day(*kinds: EventKind, person: UUID = LI_WEI) -> list[Happening]:
    """These events, one a minute."""
    return [event(number, kind, person) for number, kind in enumerate(kinds, start=1)]


WHOLE_DAY = day(
    EventKind.CONTACTED, EventKind.DEPART, EventKind.ARRIVE, EventKind.START, EventKind.PAUSE, EventKind.START,
    EventKind.FINISH,
)  # fmt: skip


def test_a_day_at_work_is_replayed_into_one_attendance() -> None:
    """Resuming is starting again; the first start stays the start."""
    seen = attended(WHOLE_DAY)
    assert seen.state is VisitState.FINISHED
    assert (seen.contacted_at, seen.departed_at, seen.arrived_at) == tuple(
        NINE + timedelta(minutes=n) for n in (1, 2, 3)
    )
    assert seen.started_at == NINE + timedelta(minutes=4)
    assert seen.paused_at is None
    assert (seen.finished_at, seen.outcome, seen.reason) == (NINE + timedelta(minutes=7), DONE, None)


def test_a_pause_is_shown_with_its_reason_and_forgotten_with_its_end() -> None:
    paused = [*day(EventKind.ARRIVE, EventKind.START), event(3, EventKind.PAUSE, reason="no_part")]
    assert (attended(paused).paused_at, attended(paused).reason) == (NINE + timedelta(minutes=3), "no_part")
    resumed = attended([*paused, event(4, EventKind.START)])
    assert (resumed.state, resumed.paused_at, resumed.reason) == (VisitState.STARTED, None, None)


@pytest.mark.parametrize(
    ("reported", "states"),
    [
        (EventKind.CONTACTED, "assigned departed"),
        (EventKind.DEPART, "assigned contacted"),
        (EventKind.ARRIVE, "assigned contacted departed"),
        (EventKind.START, "arrived paused"),
        (EventKind.PAUSE, "started"),
        (EventKind.FINISH, "arrived started paused"),
        (EventKind.CANNOT_COMPLETE, "assigned contacted departed arrived started paused"),
    ],
)
def test_each_step_is_possible_from_these_states_and_no_others(reported: EventKind, states: str) -> None:
    assert {str(state) for state, kind in TRANSITIONS if kind is reported} == set(states.split())


@pytest.mark.rule("A074")
def test_a_call_from_the_road_leaves_the_technician_on_the_road() -> None:
    seen = attended(day(EventKind.DEPART, EventKind.CONTACTED))
    assert (seen.state, seen.contacted_at) == (VisitState.DEPARTED, NINE + timedelta(minutes=2))


def test_a_step_out_of_place_is_illegal() -> None:
    assert judge(OURS, [], event(1, EventKind.START)) is Verdict.ILLEGAL
    assert judge(OURS, WHOLE_DAY, event(8, EventKind.PAUSE)) is Verdict.ILLEGAL
    with pytest.raises(IllegalEvent):
        after(Attended(), event(1, EventKind.START))


def test_the_visit_follows_its_lead_and_everybodys_attendance_is_kept() -> None:
    events = [event(1, EventKind.DEPART), event(2, EventKind.ARRIVE, ZHOU_TAO), event(3, EventKind.START, ZHOU_TAO)]
    seen = replay(events, OURS)
    assert seen.state is VisitState.DEPARTED
    assert {person: one.state for person, one in seen.attendances.items()} == {
        LI_WEI: VisitState.DEPARTED, ZHOU_TAO: VisitState.STARTED,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("standing", "state"),
    [
        (Standing(), VisitState.UNPLANNED),
        (Standing(held_by_crew=True), VisitState.PLANNED),
        (Standing(lead_id=LI_WEI, holders=frozenset({LI_WEI})), VisitState.PLANNED),
        (Standing(lead_id=LI_WEI, holders=frozenset({LI_WEI}), cancelled=True), VisitState.CANCELLED),
    ],
)
def test_before_anybody_moves_the_state_says_who_holds_the_visit(standing: Standing, state: VisitState) -> None:
    assert replay([], standing).state is state


def test_whoever_gets_a_visit_again_begins_anew() -> None:
    again = Standing(lead_id=LI_WEI, holders=frozenset({LI_WEI}), counted_from={LI_WEI: 2})
    events = day(EventKind.CONTACTED, EventKind.DEPART)
    assert replay(events, again).state is VisitState.PLANNED
    assert judge(again, events, event(3, EventKind.DEPART)) is Verdict.APPLY


# --- facts and commands -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PLAIN)
def test_once_a_visit_is_somebody_elses_facts_are_late_and_commands_refused(kind: EventKind) -> None:
    expected = Verdict.LATE if kind in FACTS else Verdict.TAKEN
    assert judge(GONE, [], event(1, kind)) is expected


@pytest.mark.parametrize("kind", sorted(FACTS))
def test_facts_on_a_cancelled_visit_are_late_reports_once(kind: EventKind) -> None:
    cancelled = Standing(cancelled=True, counted_from={LI_WEI: 0})
    assert judge(cancelled, [], event(1, kind)) is Verdict.LATE
    late = event(1, kind, late=True)
    assert judge(cancelled, [late], event(2, kind)) is Verdict.NOOP
    assert replay([late], cancelled).attendances == {}


def test_what_was_true_before_the_visit_was_taken_is_still_true() -> None:
    assert judge(GONE, day(EventKind.DEPART, EventKind.ARRIVE), event(3, EventKind.ARRIVE)) is Verdict.NOOP


def test_a_correction_of_a_visit_that_was_taken_is_a_command() -> None:
    revert = event(2, EventKind.REVERT, amends_id=UUID(int=1001))
    assert judge(GONE, day(EventKind.DEPART), revert) is Verdict.TAKEN


# --- outcomes ---------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A082", "A075", "A074")
@pytest.mark.parametrize(
    ("reason", "counts"), [("no_one", True), ("no_part", True), ("wrong_address", False), ("late", False)]
)
def test_a_reason_met_at_the_right_site_leaves_the_arrival_counted(reason: str, *, counts: bool) -> None:
    ended = [*day(EventKind.DEPART, EventKind.ARRIVE), event(3, EventKind.CANNOT_COMPLETE, reason=reason)]
    seen = attended(ended)
    assert (seen.outcome, seen.reason) == (TO_BE_CONTINUED, reason)
    assert (counted_arrival(seen, {"wrong_address", "late", "weather"}) == NINE + timedelta(minutes=2)) is counts


def test_finishing_for_a_reason_is_not_done_and_differs_from_done() -> None:
    on_site = day(EventKind.ARRIVE, EventKind.START)
    left_over = event(3, EventKind.FINISH, reason="shift_end")
    assert attended([*on_site, left_over]).outcome == TO_BE_CONTINUED
    assert judge(OURS, [*on_site, left_over], event(4, EventKind.FINISH, reason="shift_end")) is Verdict.NOOP
    assert judge(OURS, [*on_site, left_over], event(4, EventKind.FINISH)) is Verdict.ILLEGAL


@pytest.mark.rule("A058", "A087")
def test_a_reason_says_what_the_report_still_owes() -> None:
    needs = ["note", "next_step", "who", "new_time"]
    assert missing_needs(needs, note=None, next_step="call", next_at=None) == ["note", "new_time"]
    assert missing_needs(needs, note="asked for Friday", next_step="call", next_at=NINE) == []
    assert missing_needs(["promise"], note=None, next_step=None, next_at=None) == ["promise"]


@pytest.mark.parametrize(
    ("visits", "state"),
    [
        ([], OrderState.OPEN),
        ([("unplanned", None)], OrderState.OPEN),
        ([("planned", None)], OrderState.PLANNED),
        ([("contacted", None)], OrderState.PLANNED),
        ([("departed", None)], OrderState.IN_PROGRESS),
        ([("finished", TO_BE_CONTINUED), ("unplanned", None)], OrderState.IN_PROGRESS),
        ([("finished", TO_BE_CONTINUED), ("finished", DONE)], OrderState.COMPLETED),
        ([("finished", DONE), ("planned", None)], OrderState.IN_PROGRESS),
        ([("finished", DONE), ("cancelled", None)], OrderState.COMPLETED),
        ([("finished", TO_BE_CONTINUED), ("cancelled", None)], OrderState.IN_PROGRESS),
        ([("cancelled", None)], OrderState.OPEN),
    ],
)
def test_an_order_is_completed_by_its_last_visit_and_not_before(
    visits: list[tuple[str, str | None]], state: OrderState
) -> None:
    """A visit's outcome is not the order's completion (model 1)."""
    given = [VisitSummary(number, VisitState(one), outcome) for number, (one, outcome) in enumerate(visits)]
    assert order_state(given, cancelled=False) is state
    assert order_state(given, cancelled=True) is OrderState.CANCELLED


# --- corrections ------------------------------------------------------------------------------------------------------


def test_an_amended_arrival_moves_the_arrival_and_nothing_else() -> None:
    amended = [*WHOLE_DAY, event(8, EventKind.AMEND, minutes=2, amends_id=UUID(int=1003), reason="forgot to tap")]
    assert attended(amended).arrived_at == NINE + timedelta(minutes=2)
    assert attended(amended).state is VisitState.FINISHED


@pytest.mark.parametrize(
    ("minutes", "verdict"), [(1, Verdict.OUT_OF_ORDER), (2, Verdict.APPLY), (5, Verdict.OUT_OF_ORDER)]
)
def test_an_amended_time_stays_between_the_steps_around_it(minutes: int, verdict: Verdict) -> None:
    amend = event(8, EventKind.AMEND, minutes=minutes, amends_id=UUID(int=1003))
    assert judge(OURS, WHOLE_DAY, amend) is verdict


def test_the_same_amendment_twice_is_once() -> None:
    amend = event(8, EventKind.AMEND, minutes=2, amends_id=UUID(int=1003))
    again = event(9, EventKind.AMEND, minutes=2, amends_id=UUID(int=1003))
    assert judge(OURS, [*WHOLE_DAY, amend], again) is Verdict.NOOP


def test_a_mistaken_tap_is_taken_back_from_the_end() -> None:
    arrived = day(EventKind.DEPART, EventKind.ARRIVE, EventKind.START)
    middle = event(4, EventKind.REVERT, amends_id=UUID(int=1002))
    last = event(4, EventKind.REVERT, amends_id=UUID(int=1003))
    assert judge(OURS, arrived, middle) is Verdict.OUT_OF_ORDER
    assert judge(OURS, arrived, last) is Verdict.APPLY
    assert attended([*arrived, last]).state is VisitState.ARRIVED
    assert judge(OURS, [*arrived, last], event(5, EventKind.REVERT, amends_id=UUID(int=1003))) is Verdict.NOOP
    assert judge(OURS, [*arrived, last], event(5, EventKind.START)) is Verdict.APPLY


def test_an_amendment_can_be_taken_back() -> None:
    amended = [*WHOLE_DAY, event(8, EventKind.AMEND, minutes=2, amends_id=UUID(int=1003))]
    revert = event(9, EventKind.REVERT, amends_id=UUID(int=1008))
    assert judge(OURS, amended, revert) is Verdict.APPLY
    assert attended([*amended, revert]).arrived_at == NINE + timedelta(minutes=3)


@pytest.mark.parametrize("target", [None, 999, 1008])
def test_what_is_not_there_cannot_be_corrected(target: int | None) -> None:
    """999 does not exist; 1008 is an amendment, which is not amended but made anew."""
    amended = [*WHOLE_DAY, event(8, EventKind.AMEND, minutes=2, amends_id=UUID(int=1003))]
    amends_id = target and UUID(int=target)
    assert judge(OURS, amended, event(9, EventKind.AMEND, amends_id=amends_id)) is Verdict.NO_TARGET


def test_a_revert_is_not_reverted_and_nobody_corrects_for_another() -> None:
    taken_back = [*day(EventKind.DEPART), event(2, EventKind.REVERT, amends_id=UUID(int=1001))]
    assert judge(OURS, taken_back, event(3, EventKind.REVERT, amends_id=UUID(int=1002))) is Verdict.NO_TARGET
    assert judge(OURS, taken_back, event(3, EventKind.AMEND, amends_id=UUID(int=1001))) is Verdict.NO_TARGET
    theirs = event(3, EventKind.REVERT, ZHOU_TAO, amends_id=UUID(int=1001))
    assert judge(OURS, day(EventKind.DEPART), theirs) is Verdict.NO_TARGET


# --- laws -------------------------------------------------------------------------------------------------------------

Report = tuple[EventKind, UUID, int, str | None, int, Standing]

reports = st.tuples(
    st.sampled_from(list(EventKind)), st.sampled_from([LI_WEI, ZHOU_TAO]), st.integers(0, 30),
    st.sampled_from([None, "no_one", "wrong_address"]), st.integers(1, 12), st.sampled_from([OURS, GONE]),
)  # fmt: skip


def take_in(
    given_reports: list[Report],
) -> list[tuple[Happening, Verdict]]:
    """Judge reports one after the other, as the server does; return what became of each."""
    kept: list[Happening] = []
    judged: list[tuple[Happening, Verdict]] = []
    for kind, person, minutes, reason, target, standing in given_reports:
        said = None if kind in CORRECTIONS else reason
        new = event(len(kept) + 1, kind, person, minutes, reason=said, amends_id=UUID(int=1000 + target))
        verdict = judge(standing, kept, new)
        judged.append((new, verdict))
        if verdict in {Verdict.APPLY, Verdict.LATE}:
            late = verdict is Verdict.LATE
            kept.append(event(len(kept) + 1, kind, person, minutes, reason=said, amends_id=new.amends_id, late=late))
    return judged


def kept_of(judged: list[tuple[Happening, Verdict]]) -> list[Happening]:
    """The events that were recorded and count."""
    return [new for new, verdict in judged if verdict is Verdict.APPLY]


@given(st.lists(reports, max_size=25))
def test_every_history_is_a_path_of_the_machine(
    given_reports: list[Report],
) -> None:
    """Invariant 14: whatever is sent in whatever order, the states between two kept events are edges of the machine."""
    kept = kept_of(take_in(given_reports))
    for person in (LI_WEI, ZHOU_TAO):
        mine = counted(kept, OURS, person)
        for length in range(len(mine)):
            before, new = attended(mine[:length]), mine[length]
            now = attended(mine[: length + 1])
            if new.kind not in CORRECTIONS:
                assert TRANSITIONS[before.state, new.kind] is now.state
            elif new.kind is EventKind.AMEND:
                assert before.state is now.state


@given(st.lists(reports, max_size=25))
def test_the_state_step_by_step_equals_the_replay_of_everything(
    given_reports: list[Report],
) -> None:
    """Applying each plain event to the state before it gives what a replay of the whole log gives."""
    plain = [one for one in kept_of(take_in(given_reports)) if one.kind not in CORRECTIONS]
    states = {LI_WEI: Attended(), ZHOU_TAO: Attended()}
    legal: list[Happening] = []
    for new in plain:  # corrections left out, some of the rest may no longer fit; the machine says which
        if (states[new.person_id].state, new.kind) in TRANSITIONS:
            states[new.person_id] = after(states[new.person_id], new)
            legal.append(new)
    seen = replay(legal, OURS)
    assert all(seen.attendances.get(person, Attended()) == state for person, state in states.items())


@given(st.lists(reports, max_size=25))
def test_saying_it_again_changes_nothing(
    given_reports: list[Report],
) -> None:
    """The last report, sent again under a new id by the same person, is a noop if it was kept the first time."""
    judged = take_in(given_reports)
    twice = take_in([*given_reports, given_reports[-1]]) if given_reports else []
    if judged and judged[-1][1] in {Verdict.APPLY, Verdict.LATE}:
        assert twice[-1][1] is Verdict.NOOP


@given(st.lists(reports, max_size=25))
def test_late_reports_move_no_state(
    given_reports: list[Report],
) -> None:
    judged = take_in(given_reports)
    recorded = [
        event(
            new.sequence,
            new.kind,
            new.person_id,
            reason=new.reason,
            late=verdict is Verdict.LATE,
            amends_id=new.amends_id,
        )
        for new, verdict in judged
        if verdict in {Verdict.APPLY, Verdict.LATE}
    ]
    without = [one for one in recorded if not one.late]
    assert replay(recorded, GONE) == replay(without, GONE)
