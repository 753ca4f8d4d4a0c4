"""The twin keeps its laws: nothing is lost, nobody is in two places, and luck is the same for every policy."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.dispatch.twin_scenes import city_scene
from backend.dispatch.twin_tables import variant_label
from routing.problem import Break, Place, Shift
from routing.twin.city import BY_HOUR, City, city_shifts, city_world, everybody_can
from routing.twin.compare import Variant, run_variant, spreads
from routing.twin.field import AGAIN_AFTER, NOBODY_WAIT, TOLD_TOLERANCE, Field, Told
from routing.twin.figures import Figures, day_figures, figures
from routing.twin.nearest import Nearest
from routing.twin.planned import Planned, Planning, pace_from
from routing.twin.refusal import TwinError
from routing.twin.run import Outcome, live
from routing.twin.world import (
    COMMITMENT_SECONDS,
    DAY,
    EXACT,
    FASTEST_DRIVE,
    HOUR,
    MOST_ATTEMPTS,
    Call,
    Reality,
    World,
    build_world,
    with_roster,
)

QUICK = Planning(every=3 * HOUR, solutions=10)
ROUGH = Reality(work_spread=0.6, drive_spread=0.4, nobody_share=0.2, ill_share=0.15, van_share=0.15)


def _small(seed: int = 3, reality: Reality = ROUGH, *, technicians: int = 3, calls: float = 12, days: int = 2) -> World:
    return city_world(City(technicians=technicians, calls_per_day=calls, days=days), reality, seed)


@pytest.fixture(scope="module")
def lived() -> dict[str, Outcome]:
    world = _small()
    return {
        "nearest": live(world, Nearest(), every=HOUR),
        "planned": live(world, Planned(QUICK, 1), every=QUICK.every),
    }


@pytest.fixture(params=["nearest", "planned"])
def outcome(request: pytest.FixtureRequest, lived: dict[str, Outcome]) -> Outcome:
    return lived[request.param]


def _laws(outcome: Outcome) -> None:
    """Every law that holds whatever the policy."""
    _nothing_is_lost(outcome)
    _nobody_does_two_things_at_once(outcome)
    _nobody_is_faster_than_the_table_allows(outcome)
    _work_is_done_by_who_can(outcome)


def _nothing_is_lost(outcome: Outcome) -> None:
    done = sum(case.done_at is not None for case in outcome.cases)
    given_up = sum(case.given_up_at is not None for case in outcome.cases)
    assert done + given_up + outcome.waiting == len(outcome.cases) == len(outcome.world.calls)
    assert not any(case.done_at is not None and case.given_up_at is not None for case in outcome.cases)
    worked = [act.case for act in outcome.log if act.kind == "work" and act.case is not None]
    assert sorted(worked) == [case.number for case in outcome.cases if case.done_at is not None]
    assert sum(day.done for day in outcome.days) == done
    for case in outcome.cases:
        nobody = sum(act.case == case.number for act in outcome.log if act.kind == "nobody")
        assert case.attempts == nobody + (case.done_at is not None)
        assert (case.given_up_at is not None) == (nobody == MOST_ATTEMPTS)
    received = np.cumsum([sum(case.call.received_at // DAY == day for case in outcome.cases) for day in range(99)])
    ended = np.cumsum([day.done for day in outcome.days])
    for number, day in enumerate(outcome.days):
        gone = sum(case.given_up_at is not None and case.given_up_at // DAY <= number for case in outcome.cases)
        assert day.waiting == received[number] - ended[number] - gone


def _nobody_does_two_things_at_once(outcome: Outcome) -> None:
    by_technician: dict[str, list[Any]] = {}
    for act in outcome.log:
        by_technician.setdefault(act.technician, []).append(act)
    for acts in by_technician.values():
        acts.sort(key=lambda act: (act.start, act.end))
        for before, after in pairwise(acts):
            assert after.start >= before.end
            if before.shift == after.shift:
                assert after.origin == before.destination


def _nobody_is_faster_than_the_table_allows(outcome: Outcome) -> None:
    for act in outcome.log:
        if act.kind in {"drive", "home"}:
            assert act.table_seconds == outcome.world.table(act.origin, act.destination)
            assert act.end - act.start >= math.ceil(FASTEST_DRIVE * act.table_seconds)


def _work_is_done_by_who_can(outcome: Outcome) -> None:
    shifts = {shift.id: shift for shift in outcome.world.shifts}
    for act in outcome.log:
        shift = shifts[act.shift]
        assert act.start >= shift.start
        assert shift.id not in outcome.world.ill
        if act.kind == "drive":
            assert act.case is not None
            case = outcome.cases[act.case]
            assert set(case.call.skills) <= set(shift.skills)
            assert act.start >= case.call.received_at
            assert act.start <= outcome.world.van_stops.get(shift.id, act.start)


def test_the_laws_hold(outcome: Outcome) -> None:
    _laws(outcome)
    assert any(case.attempts > 1 for case in outcome.cases)
    assert outcome.world.ill
    assert outcome.world.van_stops


@given(seed=st.integers(0, 10_000), technicians=st.integers(1, 4), calls=st.integers(1, 40))
@settings(max_examples=15)
def test_the_laws_hold_in_any_city_for_whoever_is_nearest(seed: int, technicians: int, calls: int) -> None:
    try:
        world = _small(seed, technicians=technicians, calls=calls)
    except TwinError as error:
        assert error.code in {"no_calls", "no_shifts"}  # noqa: PT017 - chance may bring neither
        return
    _laws(live(world, Nearest(), every=HOUR))


def test_the_same_seed_gives_the_same_run(lived: dict[str, Outcome]) -> None:
    again = live(_small(), Planned(QUICK, 1), every=QUICK.every)
    assert again.log == lived["planned"].log
    assert figures(again) == figures(lived["planned"])


def test_every_policy_meets_the_same_luck(lived: dict[str, Outcome]) -> None:
    nearest, planned = lived["nearest"], lived["planned"]
    assert nearest.world is planned.world
    worked = [
        {(act.case, act.end - act.start) for act in run.log if act.kind == "work" and _first_time(run, act.case)}
        for run in (nearest, planned)
    ]
    common = {case for case, _ in worked[0]} & {case for case, _ in worked[1]}
    assert common
    assert {one for one in worked[0] if one[0] in common} == {one for one in worked[1] if one[0] in common}


def _first_time(run: Outcome, case: int | None) -> bool:
    return case is not None and run.cases[case].attempts == 1


def test_one_cause_of_luck_leaves_the_others_alone() -> None:
    usual, rougher = _small(), _small(reality=Reality(drive_spread=1.0, nobody_share=0.2, work_spread=0.6))
    assert usual.calls == rougher.calls
    assert [(fate.work_seconds, fate.nobody_there) for fate in usual.fates] == [
        (fate.work_seconds, fate.nobody_there) for fate in rougher.fates
    ]
    assert usual.fates != rougher.fates
    assert usual.calls != _small(seed=4).calls


def test_one_more_technician_changes_nobody_elses_luck() -> None:
    world = _small()
    more = with_roster(world, city_shifts(4, 2), 3)
    assert more.fates is world.fates
    assert len(more.shifts) > len(world.shifts)
    others = {shift.id for shift in world.shifts}
    assert more.ill & others == world.ill
    assert {shift: factor for shift, factor in more.homeward.items() if shift in others} == world.homeward


def test_calls_come_by_hour_and_weekday() -> None:
    world = _small(calls=200, days=28)
    expected = 200 * 28
    assert abs(len(world.calls) - expected) < 5 * math.sqrt(expected)
    hours = np.bincount([call.received_at % DAY // HOUR for call in world.calls], minlength=24)
    for hour, weight in enumerate(BY_HOUR):
        mean = expected * weight / sum(BY_HOUR)
        assert abs(hours[hour] - mean) < 5 * math.sqrt(mean)
    monday, sunday = (sum(call.received_at // DAY % 7 == day for call in world.calls) for day in (0, 6))
    assert monday > 1.5 * sunday


# A world made by hand: a depot, and places on the equator; everything goes as planned.


def _by_hand(calls: list[Call], reality: Reality = EXACT, shifts: list[Shift] | None = None) -> World:
    places = [Place(id=f"km{km}", latitude=0.0, longitude=km / 111.0) for km in (0, 1, 2, 5, 20, 40)]
    return build_world(days=1, places=places, shifts=shifts or [_shift("wei")], calls=calls, reality=reality, seed=1)


def _shift(name: str, *, start: int = 8, end: int = 17, at: str = "km0", **more: Any) -> Shift:
    return Shift(
        id=name, technician=name, start=start * HOUR, end=end * HOUR, start_place=at, end_place=at, skills=("cctv",),
        **more,
    )  # fmt: skip


def _call(name: str, place: str, hour: float, *, priority: Any = 3, minutes: int = 30) -> Call:
    received = int(hour * HOUR)
    return Call(
        id=name, place=place, received_at=received, priority=priority, skills=("cctv",), planned_seconds=minutes * 60
    )


def test_the_nearest_free_technician_goes_first_come_first_served() -> None:
    world = _by_hand(
        [_call("a", "km2", 9), _call("b", "km2", 9.1), _call("c", "km1", 9.2)],
        shifts=[_shift("wei", at="km1"), _shift("na", at="km40")],
    )
    outcome = live(world, Nearest(), every=HOUR)
    went = [(act.technician, act.case, act.start) for act in outcome.log if act.kind == "drive"]
    assert went[:2] == [("wei", 0, 9 * HOUR), ("na", 1, int(9.1 * HOUR))]
    assert went[2][:2] == ("wei", 2)
    a = outcome.cases[0]
    assert a.arrived_at == 9 * HOUR + world.table("km1", "km2")
    assert a.done_at == 9 * HOUR + world.table("km1", "km2") + 30 * 60


def test_a_clock_counts_from_the_call_whatever_happened_since() -> None:
    world = _by_hand([_call("a", "km1", 9)], Reality(nobody_share=1, ill_share=0, van_share=0))
    outcome = live(world, Nearest(), every=HOUR)
    case = outcome.cases[0]
    assert case.attempts == 2
    assert case.arrived_at is None
    assert figures(outcome).arrived_48h == 0
    first, second = (act for act in outcome.log if act.kind == "nobody")
    assert first.end - first.start == NOBODY_WAIT
    assert second.start >= first.end + AGAIN_AFTER
    assert outcome.waiting == 1


def test_a_call_is_within_48_hours_to_the_second_and_counted_from_received_at() -> None:
    world = _by_hand([_call("a", "km1", 0.0)])
    outcome = live(world, Nearest(), every=HOUR)
    for late, share in ((0, 1.0), (1, 0.0)):
        outcome.cases[0].arrived_at = outcome.cases[0].call.received_at + COMMITMENT_SECONDS + late
        assert figures(outcome).arrived_48h == share
        assert day_figures(outcome)[0].arrived_48h == share


@pytest.mark.parametrize("policy", [Nearest(), Planned(QUICK, 1)])
def test_breaks_are_taken_and_nobody_is_late_home_when_all_goes_as_planned(policy: Any) -> None:
    lunch = Break(earliest=11 * HOUR, latest=13 * HOUR, duration=45 * 60)
    world = _by_hand([_call(f"c{n}", "km2", 8, minutes=60) for n in range(9)], shifts=[_shift("wei", breaks=(lunch,))])
    outcome = live(world, policy, every=HOUR)
    _laws(outcome)
    rests = [act for act in outcome.log if act.kind == "rest"]
    assert [act.end - act.start for act in rests] == [45 * 60]
    assert lunch.earliest <= rests[0].start <= lunch.latest
    assert max(act.end for act in outcome.log) <= 17 * HOUR
    assert figures(outcome).overtime_hours == 0
    assert figures(outcome).done == 8


def test_work_that_outlasts_its_plan_is_finished_and_is_overtime() -> None:
    world = _by_hand([_call("a", "km1", 15.5, minutes=60)])
    longer = World(**{**vars(world), "fates": (type(world.fates[0])((3 * HOUR,) * 4, (1.0,) * 4, (False,) * 4),)})
    outcome = live(longer, Nearest(), every=HOUR)
    home = next(act for act in outcome.log if act.kind == "home")
    assert outcome.cases[0].done_at is not None
    assert figures(outcome).overtime_hours == pytest.approx((home.end - 17 * HOUR) / HOUR)
    assert home.end > 18 * HOUR


def test_an_emergency_does_not_wait_for_the_next_moment_to_plan() -> None:
    calls = [_call("soon", "km2", 10.2), _call("now", "km5", 10.1, priority=1)]
    outcome = live(_by_hand(calls), Planned(Planning(every=4 * HOUR, solutions=20), 1), every=4 * HOUR)
    starts = {act.case: act.start for act in outcome.log if act.kind == "drive"}
    assert starts[0] == int(10.1 * HOUR)
    assert starts[1] == 12 * HOUR


def test_the_planner_knows_the_hours_and_not_the_luck() -> None:
    rush = (1.0,) * 8 + (1.25,) + (1.0,) * 15
    pace = pace_from(rush, 7 * HOUR + 600, 2 * HOUR)
    assert pace is not None
    assert pace.begins == -600
    assert pace.per_mille[:3] == (1000, 800, 1000)
    assert pace.begins + len(pace.per_mille) * HOUR >= DAY, "beyond the look-ahead: shifts end later than they begin"
    assert pace_from((1.0,) * 24, 0, DAY) is None


def test_a_van_that_stops_hands_its_stops_to_others() -> None:
    world = _by_hand([_call("a", "km20", 7), _call("b", "km20", 7)], shifts=[_shift("wei"), _shift("na", at="km40")])
    stopped = World(**{**vars(world), "van_stops": {"wei": 8 * HOUR + 60, "na": 8 * HOUR + 60}})
    outcome = live(stopped, Planned(QUICK, 1), every=HOUR)
    _laws(outcome)
    assert {act.start for act in outcome.log if act.kind == "drive"} == {8 * HOUR}
    alone = World(**{**vars(world), "van_stops": {"wei": 8 * HOUR}})
    outcome = live(alone, Planned(QUICK, 1), every=HOUR)
    assert {act.technician for act in outcome.log if act.kind == "work"} == {"na"}
    assert figures(outcome).done == 2


def test_a_told_customer_is_moved_by_another_time_or_another_technician_only() -> None:
    field = Field(_by_hand([_call("a", "km1", 9)]))
    case = field.take_call(0)
    steps: list[tuple[Told | None, int]] = [
        (Told("wei", 1000), 0),
        (Told("wei", 1000 + TOLD_TOLERANCE), 0),
        (Told("wei", 1001 + TOLD_TOLERANCE), 1),
        (Told("na", 1001 + TOLD_TOLERANCE), 2),
        (None, 3),
        (None, 3),
        (Told("wei", 1000), 3),
    ]
    for told, moves in steps:
        field.tell(case, told)
        assert len(case.moves) == moves
    assert field.today.moved == 3


def test_a_policy_cannot_send_who_is_not_free() -> None:
    field = Field(_by_hand([_call("a", "km1", 9), _call("b", "km1", 9)]))
    first, second = field.take_call(0), field.take_call(1)
    assert field.begin_shift(field.world.shifts[0])
    field.send(field.workers["wei"], first)
    with pytest.raises(AssertionError, match="cannot set out"):
        field.send(field.workers["wei"], second)


def test_a_cancelled_run_keeps_the_days_that_are_over() -> None:
    days: list[int] = []
    outcome = live(
        _small(), Nearest(), every=HOUR, on_day=lambda day, _: days.append(day), cancelled=lambda: len(days) > 1
    )
    assert outcome.cancelled
    assert len(outcome.days) == 2
    assert not any(day.decided for day in day_figures(outcome))


def test_spreads_leave_cancelled_runs_out() -> None:
    variant = Variant(policy="nearest")
    scene = _scene()
    runs = [
        run_variant(scene, variant, QUICK, seed, on_day=lambda _day, _of: None, cancelled=lambda: False)
        for seed in (1, 2, 3)
    ]
    cut = run_variant(scene, variant, QUICK, 4, on_day=lambda _day, _of: None, cancelled=lambda: True)
    assert cut.cancelled
    found = spreads([*runs, cut])["nearest"]
    assert set(found) == set(Figures.__struct_fields__)
    calls = sorted(run.figures.calls for run in runs)
    assert (found["calls"].least, found["calls"].median, found["calls"].most) == tuple(calls)


def _scene() -> Any:
    return city_scene(City(technicians=3, calls_per_day=12, days=2), ROUGH)


def test_variants_change_the_staff_and_nothing_else() -> None:
    trained = everybody_can(city_shifts(3, 2), "elevator")
    assert all("elevator" in shift.skills for shift in trained)
    with pytest.raises(TwinError, match="elevator"):
        run_variant(
            _scene(), Variant(policy="nearest", everybody_knows="piano"), QUICK, 1,
            on_day=lambda _day, _of: None, cancelled=lambda: False,
        )  # fmt: skip
    more = Variant(policy="planned", extra_technicians=2, everybody_knows="elevator")
    assert more.name == "planned+2+elevator"
    assert variant_label(more.name, "zh") == "排程, 已通知的少动, 增 2 人, 人人会 elevator"
    assert variant_label("planned-nochurn", "en") == "planned, free to move"


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("no_technicians", lambda: City(technicians=0)),
        ("no_calls", lambda: City(calls_per_day=0)),
        ("no_calls", lambda: _by_hand([])),
        ("no_technicians", lambda: build_world(days=1, places=[], shifts=[], calls=[], reality=EXACT, seed=1)),
        ("no_shifts", lambda: _by_hand([_call("a", "km1", 9)], shifts=[_shift("wei", start=30, end=31)])),
        ("out_of_range", lambda: City(technicians=-1)),
        ("out_of_range", lambda: City(calls_per_day=float("nan"))),
        ("out_of_range", lambda: City(calls_per_day=-3)),
        ("out_of_range", lambda: City(days=0)),
        ("out_of_range", lambda: Reality(work_spread=-0.1)),
        ("out_of_range", lambda: Reality(nobody_share=1.5)),
        ("out_of_range", lambda: Reality(hour_factors=(1.0,) * 23)),
        ("out_of_range", lambda: Planning(every=0)),
        ("out_of_range", lambda: Planning(seconds=-1)),
        ("out_of_range", lambda: Variant(policy="planned", extra_technicians=-1)),
        ("out_of_range", lambda: city_world(City(), EXACT, -1)),
        ("bad_call", lambda: _by_hand([_call("a", "nowhere", 9)])),
        ("bad_call", lambda: _by_hand([_call("a", "km1", 25)])),
        ("bad_call", lambda: _by_hand([_call("a", "km1", 9, minutes=-5)])),
    ],
)
def test_what_cannot_be_simulated_is_said_in_both_languages(code: str, make: Callable[[], object]) -> None:
    with pytest.raises(TwinError) as caught:
        make()
    assert caught.value.code == code
    assert caught.value.zh
    assert caught.value.en
    assert f"{caught.value.zh} / {caught.value.en}" == str(caught.value)


def test_a_day_without_calls_is_an_empty_day() -> None:
    world = _by_hand([_call("a", "km1", 9)])
    quiet = live(World(**{**vars(world), "days": 2}), Nearest(), every=HOUR)
    second = day_figures(quiet)[1]
    assert (second.calls, second.arrived_48h, second.mean_hours) == (0, None, None)
