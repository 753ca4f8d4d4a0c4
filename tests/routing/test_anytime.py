"""Whatever is asked and whenever it is stopped: a clear error or an explained plan, soon, and the same each time."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from routing.areas import cut_along_routes, mapped
from routing.check import violations
from routing.plan import Plan, Progress
from routing.problem import (
    Follows,
    GivenTravel,
    Pace,
    PartNeed,
    Pin,
    Place,
    Previous,
    Problem,
    ProblemError,
    VanStock,
    Window,
)
from routing.solve import ROUNDS, solve
from routing.stop import Budget, StopWhen
from tests.routing.make import CITY, DAY, HOUR, city_week, line, problem, shift, visit
from tests.routing.planned_in_areas import digest

QUICK = StopWhen(solutions=60)
SOON = 20.0
"""Seconds; a busy machine takes its time, an endless run would take for ever."""


@dataclass
class Impatient:
    """Cancels when asked for the given time."""

    patience: int
    asked: int = field(default=0)

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked > self.patience


@pytest.mark.parametrize("patience", [0, 1, 7, 40, 85, 100])
def test_cancelled_at_any_moment_of_a_plan_made_in_areas(monkeypatch: pytest.MonkeyPatch, patience: int) -> None:
    monkeypatch.setattr("routing.solve.AREA_VISITS", 20)
    monkeypatch.setattr("routing.solve.FIRST_VISITS", 40)
    week = city_week(70, 6, 1, breaks=True)
    plan = solve(week, StopWhen(solutions=1_000_000, cancelled=Impatient(patience)))
    assert plan.status == "cancelled"
    assert violations(week, plan) == []


def test_progress_is_told_while_areas_are_worked_on_not_only_between_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("routing.solve.AREA_VISITS", 20)
    monkeypatch.setattr("routing.solve.FIRST_VISITS", 40)
    monkeypatch.setattr("routing.stop.REPORT_SECONDS", 0.0)
    told = list[Progress]()
    solve(city_week(70, 6, 1), StopWhen(solutions=3_000), on_progress=told.append)
    assert len(told) > 2 * (1 + ROUNDS)


def test_visits_nobody_can_do_take_no_room_from_those_somebody_can() -> None:
    """Of visits left out an area takes so many; urgent ones that nobody has the skill for were always the first."""
    never = [visit(f"never{number}", skills=("diving",), priority=1) for number in range(9)]
    case = problem((shift(),), (visit("planned"), *never, visit("possible")))
    plane = mapped(case)
    with_somebody = [visits for visits, shifts in cut_along_routes(plane, [[0]], range(1, 11), 4, 0) if shifts]
    assert with_somebody == [[0, 10]]


def test_a_share_of_no_time_at_all_is_no_fault() -> None:
    budget = Budget(StopWhen(seconds=1e-9))
    assert budget.slice(4).spent() in {None, "seconds"}


@pytest.mark.parametrize("in_areas", [False, True])
def test_progress_never_goes_back(monkeypatch: pytest.MonkeyPatch, *, in_areas: bool) -> None:
    if in_areas:
        monkeypatch.setattr("routing.solve.AREA_VISITS", 20)
        monkeypatch.setattr("routing.solve.FIRST_VISITS", 40)
    week, told = city_week(70, 6, 1), list[Progress]()
    plan = solve(week, StopWhen(solutions=3_000), on_progress=told.append)
    assert len(told) >= 2
    for before, after in pairwise(told):
        assert after.cost <= before.cost
        assert after.share >= before.share
        assert after.elapsed_seconds >= before.elapsed_seconds
    assert told[-1].cost == plan.cost.total
    assert told[-1].served + told[-1].unplanned == len(week.visits)
    assert told[-1].unplanned == len(plan.unplanned)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not say which cores to use")
def test_areas_are_planned_alike_on_one_core_and_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Areas are worked on at once where there are cores for it; what comes of them must not depend on that.

    Nor may it hang on the order in which another process happens to keep sets of names.
    """
    command = [sys.executable, "-m", "tests.routing.planned_in_areas", "1", "20", "50", "400"]
    one = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": "7"})
    monkeypatch.setattr("routing.solve.AREA_VISITS", 20)
    monkeypatch.setattr("routing.solve.FIRST_VISITS", 40)
    assert one.stdout == digest(50, 400)


def many(visits: int, shifts: int, places: int, duration: int = HOUR) -> Problem:
    """Visits and shifts dealt out to places that lie in a row, a hundredth of a degree apart."""
    where = tuple(Place(id=f"p{n}", latitude=31 + n % 100 / 100, longitude=121.4) for n in range(places))
    days = tuple(shift(f"t{n}/mon", start_place=f"p{n % places}", end_place=f"p{n % places}") for n in range(shifts))
    wanted = tuple(visit(f"v{n}", f"p{n * 7 % places}", duration=duration) for n in range(visits))
    return Problem(places=where, shifts=days, visits=wanted)


def without(travel: int) -> GivenTravel:
    nothing = ((0,) * travel,) * travel
    return GivenTravel(seconds=nothing, metres=nothing, source="nothing is far")


UNPLANNED: dict[str, tuple[Callable[[], Problem], set[str]]] = {
    "no technicians": (lambda: problem((), (visit("v"),)), {"no_technicians"}),
    "empty days": (lambda: problem((shift(), shift("zhang-qiang/mon")), ()), set()),
    "no places, no days, no visits": (lambda: Problem(places=(), shifts=(), visits=()), set()),
    "a shift of a minute": (lambda: problem((shift(end=60),), (visit("v"),)), {"too_long"}),
    "a window that no shift meets": (
        lambda: problem((shift(),), (visit("v", windows=(Window(start=-DAY, end=-HOUR),)),)),
        {"no_shift_in_window"},
    ),
    "a window next year": (
        lambda: problem((shift(),), (visit("v", windows=(Window(start=366 * DAY, end=367 * DAY),)),)),
        {"no_shift_in_window"},
    ),
    "a place too far": (
        lambda: problem(
            (shift(),),
            (visit("v", "moon"),),
            places=(*CITY, Place(id="moon", latitude=-31.0, longitude=-58.0)),
        ),
        {"unreachable"},
    ),
    "a skill nobody has": (lambda: problem((shift(),), (visit("v", skills=("crane",)),)), {"no_skill"}),
    "a crew larger than the staff": (
        lambda: problem((shift(),), (visit("v", technicians=3),)),
        {"crew_too_small"},
    ),
    "behind what cannot be": (
        lambda: problem((shift(),), (visit("v", skills=("crane",)), visit("w", follows=Follows(visit="v")))),
        {"no_skill", "follows_unplanned"},
    ),
    "a load no van takes": (lambda: problem((shift(capacity=1),), (visit("v", load=2),)), {"van_too_small"}),
}


@pytest.mark.parametrize("name", UNPLANNED)
def test_what_cannot_be_planned_is_explained(name: str) -> None:
    made, codes = UNPLANNED[name]
    single = made()
    plan = solve(single, QUICK)
    assert violations(single, plan) == []
    found = {reason.code for unplanned in plan.unplanned for reason in unplanned.reasons}
    assert found == codes


PLANNED: dict[str, Callable[[], Problem]] = {
    "a deadline in the past": lambda: problem((shift(),), (visit("v", commitment_due=-30 * DAY),)),
    "everything at one place": lambda: problem(
        (shift(),), tuple(visit(f"v{n}", "depot", duration=60) for n in range(40))
    ),
    "no travel": lambda: problem((shift(),), tuple(visit(f"v{n}") for n in range(8)), travel=without(4)),
    "no travel, no work": lambda: problem(
        (shift(), shift("zhang-qiang/mon")), tuple(visit(f"v{n}", duration=0) for n in range(80)), travel=without(4)
    ),
    "far more shifts than visits": lambda: many(visits=5, shifts=400, places=300),
    "the last second": lambda: problem((shift(),), (visit("v", "depot", earliest=7 * HOUR),)),
}


@pytest.mark.parametrize("name", PLANNED)
def test_what_is_odd_but_possible_is_planned(name: str) -> None:
    single = PLANNED[name]()
    plan = solve(single, QUICK)
    assert violations(single, plan) == []
    assert plan.unplanned == ()


def of_visit(**changes: Any) -> Problem:
    return problem((shift(),), (visit("v", **changes),))


REFUSED: dict[str, tuple[Callable[[], Problem], str]] = {
    "a load below nothing": (lambda: of_visit(load=-1), "load_out_of_range"),
    "no piece of a part": (lambda: of_visit(parts=(PartNeed(part="belt", quantity=0),)), "quantity_out_of_range"),
    "a van that takes less than nothing": (lambda: problem((shift(capacity=-1),), ()), "capacity_out_of_range"),
    "a van with less than nothing": (
        lambda: problem((shift(),), (), van_stock=(VanStock(technician="li-wei", part="belt", quantity=-1),)),
        "quantity_out_of_range",
    ),
    "a budget below nothing": (lambda: problem((shift(),), (), most_changes=-1), "most_changes_out_of_range"),
    "no hours": (lambda: problem((), (), pace=Pace(begins=0, per_mille=())), "pace_hours"),
    "an hour that stands still": (lambda: problem((), (), pace=Pace(begins=0, per_mille=(0,))), "pace_out_of_range"),
    "following nobody": (lambda: of_visit(follows=Follows(visit="nobody")), "follows_unknown"),
    "a gap that ends before it begins": (
        lambda: of_visit(follows=Follows(visit="v", least_gap=2, most_gap=1)),
        "follows_gap_impossible",
    ),
    "a crew that is frozen": (
        lambda: of_visit(technicians=2, frozen=True, previous=Previous(shift="li-wei/mon", start=0)),
        "crew_frozen",
    ),
    "more changes than may be, whatever is done": (
        lambda: problem(
            (shift(skills=()), shift("zhang-qiang/mon")),
            (visit("v", previous=Previous(shift="li-wei/mon", start=0)),),
            most_changes=0,
        ),
        "change_budget_too_small",
    ),
    "a hundred thousand visits": (lambda: many(visits=100_000, shifts=2, places=10), "too_many"),
    "a negative duration": (lambda: problem((shift(),), (visit("v", duration=-60),)), "duration_out_of_range"),
    "not a number": (
        lambda: problem((), (), places=(Place(id="p", latitude=float("nan"), longitude=0.0),)),
        "coordinates_out_of_range",
    ),
    "infinitely far": (
        lambda: problem((), (), places=(Place(id="p", latitude=0.0, longitude=float("inf")),)),
        "coordinates_out_of_range",
    ),
    "a pin that contradicts its shift": (
        lambda: problem((shift(),), (visit("v", pin=Pin(shift="li-wei/mon", start=9 * HOUR)),)),
        "pin_outside_shift",
    ),
    "following in a circle": (
        lambda: problem((shift(),), (visit("v", follows=Follows(visit="w")), visit("w", follows=Follows(visit="v")))),
        "follows_in_a_circle",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused_at_once(name: str) -> None:
    made, code = REFUSED[name]
    single, began = made(), time.monotonic()
    with pytest.raises(ProblemError) as refused:
        solve(single, QUICK)
    assert refused.value.code == code
    assert time.monotonic() - began < SOON


def test_areas_are_cut_where_only_travel_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without coordinates, and with more work than people, of whom some start at one place."""
    monkeypatch.setattr("routing.solve.AREA_VISITS", 10)
    monkeypatch.setattr("routing.solve.FIRST_VISITS", 20)
    row = many(visits=60, shifts=4, places=30)
    places = tuple(Place(id=place.id) for place in row.places)
    days = (
        *row.shifts,
        *(shift(f"night{n}", start=12 * HOUR, end=20 * HOUR, start_place="p0", end_place="p0") for n in range(2)),
    )
    crowd = Problem(places=places, shifts=days, visits=row.visits, travel=line(30, 300))
    plan = solve(crowd, StopWhen(solutions=400))
    assert violations(crowd, plan) == []
    assert planned_visits(plan) >= 6 * 3
    assert plan.unplanned


def test_one_technician_and_far_too_much_to_do_ends_in_time() -> None:
    crowd, began = many(visits=500, shifts=1, places=60), time.monotonic()
    plan = solve(crowd, StopWhen(seconds=0.3))
    assert time.monotonic() - began < SOON
    assert 0 < planned_visits(plan) < 9
    assert violations(crowd, plan) == []


def planned_visits(plan: Plan) -> int:
    return sum(len(route.stops) for route in plan.routes)
