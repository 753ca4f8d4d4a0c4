"""Bad input: each mistake is refused with its own code, the element it is in, and what to do in both languages."""

from collections.abc import Callable
from string import Formatter
from typing import Any

import msgspec
import pytest

from routing import limits
from routing.problem import (
    Away,
    Break,
    EstimatedTravel,
    GivenTravel,
    PerPriority,
    Pin,
    Place,
    Previous,
    Prices,
    Problem,
    ProblemError,
    Window,
)
from routing.solve import solve
from routing.stop import StopWhen
from routing.texts import PROBLEM_TEXTS, REASON_TEXTS
from routing.validate import validate
from tests.routing.make import CITY, DAY, HOUR, line, problem, shift, visit

FAR = limits.MAX_TIME_SECONDS + 1


def of_visit(**changes: Any) -> Problem:
    return problem((shift(),), (visit("v1"), visit("v2", **changes)))


def of_shift(**changes: Any) -> Problem:
    return problem((shift(), shift("zhang-qiang/mon", **changes)), (visit("v1"),))


def of_travel(travel: EstimatedTravel | GivenTravel) -> Problem:
    return problem((shift(),), (visit("v1"),), travel=travel)


def table(rows: list[list[int]]) -> GivenTravel:
    made = tuple(tuple(row) for row in rows)
    return GivenTravel(seconds=made, metres=tuple(tuple(0 for _ in range(4)) for _ in range(4)), source="by hand")


def at(latitude: float | None, longitude: float | None) -> Problem:
    nowhere = Place(id="nowhere", latitude=latitude, longitude=longitude)
    return problem((shift(),), (visit("v1"),), places=(*CITY, nowhere))


FROZEN = Previous(shift="li-wei/mon", start=0)

BAD: list[tuple[str, Callable[[], Problem], str]] = [
    ("wrong_type", lambda: of_visit(duration=1.5), "problem"),
    ("wrong_type", lambda: of_visit(duration="an hour"), "problem"),
    ("wrong_type", lambda: of_visit(place=None), "problem"),
    ("empty_id", lambda: problem((shift(id=""),), ()), "shifts[0]"),
    ("empty_id", lambda: problem((), (visit("v"),), places=(Place(id=""),)), "places[0]"),
    ("empty_id", lambda: of_shift(technician=""), "shifts[1] 'zhang-qiang/mon' .technician"),
    ("duplicate_id", lambda: problem((), (visit("v"), visit("v"))), "visits[1] 'v'"),
    ("duplicate_id", lambda: problem((shift(), shift()), ()), "shifts[1]"),
    ("place_unknown", lambda: of_visit(place="moon"), "visits[1] 'v2'"),
    ("place_unknown", lambda: of_shift(start_place="moon"), "shifts[1]"),
    ("place_unknown", lambda: of_shift(end_place="moon"), "shifts[1]"),
    ("place_without_coordinates", lambda: at(None, 121.0), "places[4] 'nowhere'"),
    ("place_without_coordinates", lambda: at(31.0, None), "places[4] 'nowhere'"),
    ("coordinates_out_of_range", lambda: at(float("nan"), 121.0), "places[4] 'nowhere'"),
    ("coordinates_out_of_range", lambda: at(90.5, 121.0), "places[4]"),
    ("coordinates_out_of_range", lambda: at(31.0, -180.5), "places[4]"),
    ("travel_scale", lambda: of_travel(EstimatedTravel(scale=0.0)), "travel"),
    ("travel_scale", lambda: of_travel(EstimatedTravel(scale=1e9)), "travel"),
    ("travel_scale", lambda: of_travel(EstimatedTravel(overhead_seconds=-1)), "travel"),
    ("travel_shape", lambda: of_travel(line(3, 60)), "travel.seconds"),
    ("travel_shape", lambda: of_travel(table([[0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])), "travel.seconds"),
    ("travel_value", lambda: of_travel(table([[0, -1, 0, 0], *[[0, 0, 0, 0]] * 3])), "travel.seconds[0]"),
    ("travel_value", lambda: of_travel(table([[7, 0, 0, 0], *[[0, 0, 0, 0]] * 3])), "travel.seconds[0]"),
    ("time_out_of_range", lambda: of_visit(earliest=FAR), "visits[1] 'v2' .earliest"),
    ("time_out_of_range", lambda: of_visit(commitment_due=-FAR), "commitment_due"),
    ("time_out_of_range", lambda: of_visit(previous=Previous(shift="gone", start=FAR)), "previous.start"),
    ("time_out_of_range", lambda: of_visit(pin=Pin(technician="li-wei", start=FAR)), "pin.start"),
    ("time_out_of_range", lambda: of_visit(windows=(Window(start=0, end=FAR),)), ".windows[0] .end"),
    ("window_inverted", lambda: of_visit(windows=(Window(start=2, end=1),)), ".windows[0]"),
    ("window_inverted", lambda: of_visit(promise=Window(start=2, end=1)), ".promise"),
    ("window_inverted", lambda: problem((), (), away=(Away(technician="li-wei", start=2, end=1),)), "away[0] 'li-wei'"),
    ("shift_inverted", lambda: of_shift(start=HOUR, end=HOUR), "shifts[1]"),
    ("overtime_negative", lambda: of_shift(overtime_allowed=-1), "shifts[1]"),
    ("shift_outside_horizon", lambda: of_shift(start=-1), "shifts[1]"),
    ("shift_outside_horizon", lambda: of_shift(end=limits.MAX_HORIZON_SECONDS + 1), "shifts[1]"),
    ("shifts_overlap", lambda: of_shift(technician="li-wei", start=4 * HOUR, end=12 * HOUR), "shifts[1]"),
    ("break_inverted", lambda: of_shift(breaks=(Break(earliest=2, latest=1, duration=60),)), ".breaks[0]"),
    ("break_inverted", lambda: of_shift(breaks=(Break(earliest=1, latest=2, duration=0),)), ".breaks[0]"),
    ("break_outside_shift", lambda: of_shift(breaks=(Break(earliest=-1, latest=2, duration=9),)), ".breaks[0]"),
    ("break_outside_shift", lambda: of_shift(breaks=(Break(earliest=0, latest=8 * HOUR, duration=9),)), ".breaks[0]"),
    (
        "breaks_overlap",
        lambda: of_shift(breaks=(Break(earliest=0, latest=60, duration=60), Break(earliest=90, latest=99, duration=1))),
        ".breaks[1]",
    ),
    ("duration_out_of_range", lambda: of_visit(duration=-1), "visits[1]"),
    ("duration_out_of_range", lambda: of_visit(duration=limits.MAX_HORIZON_SECONDS + 1), "visits[1]"),
    ("wrong_type", lambda: of_visit(priority=5), "problem"),
    ("crew_size", lambda: of_visit(technicians=9), "visits[1] 'v2'"),
    ("crew_size", lambda: of_visit(technicians=0), "visits[1] 'v2'"),
    ("pin_empty", lambda: of_visit(pin=Pin(start=60)), "visits[1] 'v2' .pin"),
    ("pin_unknown_shift", lambda: of_visit(pin=Pin(shift="gone")), ".pin"),
    ("pin_technician_mismatch", lambda: of_visit(pin=Pin(shift="li-wei/mon", technician="zhang-qiang")), ".pin"),
    ("pin_outside_shift", lambda: of_visit(pin=Pin(shift="li-wei/mon", start=8 * HOUR)), ".pin"),
    ("pin_without_skill", lambda: of_visit(pin=Pin(shift="li-wei/mon"), skills=("crane",)), ".pin"),
    (
        "pin_not_allowed",
        lambda: of_visit(pin=Pin(shift="li-wei/mon"), forbidden_technicians=("li-wei",)),
        ".pin",
    ),
    (
        "pin_not_allowed",
        lambda: of_visit(pin=Pin(shift="li-wei/mon"), allowed_technicians=("zhao-min",)),
        ".pin",
    ),
    (
        "pin_outside_windows",
        lambda: of_visit(pin=Pin(technician="li-wei", start=60), windows=(Window(start=90, end=99),)),
        ".pin",
    ),
    ("pin_outside_windows", lambda: of_visit(pin=Pin(technician="li-wei", start=60), earliest=61), ".pin"),
    (
        "pin_outside_windows",
        lambda: of_visit(pin=Pin(technician="li-wei", start=60), promise=Window(start=61, end=99)),
        ".pin",
    ),
    ("frozen_without_previous", lambda: of_visit(frozen=True), "visits[1]"),
    ("frozen_without_previous", lambda: of_visit(frozen=True, previous=Previous(shift="gone", start=0)), "visits[1]"),
    ("frozen_contradicts_pin", lambda: of_visit(frozen=True, previous=FROZEN, pin=Pin(technician="zhao")), "visits[1]"),
    ("price_out_of_range", lambda: problem((), (), prices=Prices(moved=-1)), "prices.moved"),
    (
        "price_out_of_range",
        lambda: problem((), (), prices=Prices(late_second=PerPriority(p1=1, p2=1, p3=1, p4=10**6))),
        "prices.late_second",
    ),
    ("too_many", lambda: problem((), tuple(visit(f"v{n}") for n in range(limits.MAX_VISITS + 1))), "visits"),
    ("too_many", lambda: problem((), tuple(visit(f"v{n}", technicians=8) for n in range(700))), "visits × technicians"),
    (
        "too_many",
        lambda: msgspec.structs.replace(problem((), tuple(visit(f"v{n}") for n in range(5_001))), most_changes=3),
        "visits × technicians",
    ),
    ("too_many", lambda: problem(tuple(shift(f"s{n}") for n in range(limits.MAX_SHIFTS + 1)), ()), "shifts"),
    (
        "too_many",
        lambda: problem((), (), places=tuple(Place(id=f"p{n}") for n in range(limits.MAX_PLACES + 1))),
        "places",
    ),
    (
        "too_many",
        lambda: of_shift(
            breaks=tuple(Break(earliest=n, latest=n, duration=1) for n in range(limits.MAX_BREAKS_PER_SHIFT + 1))
        ),
        ".breaks",
    ),
    ("too_many", lambda: of_visit(windows=tuple(Window(start=n, end=n) for n in range(17))), ".windows"),
    ("too_many", lambda: of_visit(skills=tuple(f"skill{n}" for n in range(501))), "lists of skills"),
    ("too_many", lambda: of_shift(skills=tuple(f"skill{n}" for n in range(501))), ".skills"),
]


@pytest.mark.parametrize(("code", "make", "where"), BAD, ids=[f"{code}-{n}" for n, (code, _, _) in enumerate(BAD)])
def test_each_mistake_is_named(code: str, make: Callable[[], Problem], where: str) -> None:
    with pytest.raises(ProblemError) as refused:
        solve(make(), StopWhen(solutions=1))
    error = refused.value
    assert error.code == code
    assert where in error.where
    assert error.where in error.en
    assert error.where in error.zh
    assert error.en != error.zh
    assert "{" not in error.en + error.zh


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_coordinates_that_are_no_numbers_are_refused(value: float) -> None:
    for latitude, longitude in ((value, 121.0), (31.0, value)):
        with pytest.raises(ProblemError) as refused:
            validate(at(latitude, longitude))
        assert refused.value.code == "coordinates_out_of_range"


def test_every_text_has_two_languages_and_the_same_facts() -> None:
    for text in (*PROBLEM_TEXTS.values(), *REASON_TEXTS.values()):
        english, chinese = ({name for _, name, _, _ in Formatter().parse(one) if name} for one in text)
        assert english == chinese
        assert text.en.isascii()
        assert any("一" <= letter <= "鿿" for letter in text.zh)


def test_what_only_makes_a_visit_impossible_is_no_error() -> None:
    impossible = (
        visit("crane", skills=("crane",)),
        visit("never", windows=(Window(start=-5, end=-1),)),
        visit("long", duration=DAY),
        visit("past", commitment_due=-DAY),
        visit("absent", pin=Pin(technician="zhao-min")),
    )
    whole = problem((shift(),), impossible)
    validate(whole)
    plan = solve(whole, StopWhen(solutions=1))
    assert {one.visit for one in plan.unplanned} == {"crane", "never", "long", "absent"}
    assert [one.visit for one in plan.late] == ["past"]


def test_a_table_needs_no_coordinates() -> None:
    places = tuple(msgspec.structs.replace(place, latitude=None, longitude=None) for place in CITY)
    whole = problem((shift(),), (visit("v1"),), places=places, travel=line(4, 60))
    validate(whole)
    assert solve(whole, StopWhen(solutions=1)).unplanned == ()


def test_coordinates_beside_a_table_are_numbers_all_the_same() -> None:
    """Large problems are laid out on a map of them."""
    with pytest.raises(ProblemError) as refused:
        validate(msgspec.structs.replace(at(float("nan"), 121.0), travel=line(5, 60)))
    assert refused.value.code == "coordinates_out_of_range"


def test_a_frozen_visit_may_be_pinned_where_it_is() -> None:
    pinned = of_visit(frozen=True, previous=FROZEN, pin=Pin(shift="li-wei/mon"), skills=("crane",))
    validate(pinned)
    past_the_end = Previous(shift="li-wei/mon", start=8 * HOUR)
    validate(of_visit(frozen=True, previous=past_the_end, pin=Pin(shift="li-wei/mon", start=8 * HOUR)))
    (day,) = solve(pinned, StopWhen(solutions=1)).routes
    assert day.stops[0].visit == "v2"
