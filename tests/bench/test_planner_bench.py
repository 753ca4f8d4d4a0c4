"""The planner's benchmark: its reader, its judge, and the regions it says have a full plan."""

from pathlib import Path

import msgspec
import pytest

from bench.planner.evaluate import Answer, Line, evaluate
from bench.planner.guaranteed import Region, region
from bench.planner.referee_rows import compiled_orders
from bench.planner.scenarios import all_scenarios, problem_of
from bench.planner.vrptw import DISTANCE_ONLY, generated, read_instance
from bench.planner.vrptw import problem_of as vrptw_problem
from routing.problem import Break, GivenTravel, Place, Problem, Shift, Visit, Window
from routing.validate import validate
from tests.routing.brute import lowest_price

INSTANCE = """tiny

VEHICLE
NUMBER     CAPACITY
  2         10

CUSTOMER
CUST NO.  XCOORD.    YCOORD.    DEMAND   READY TIME  DUE DATE   SERVICE TIME

    0      0          0          0          0        100          0
    1      1          1          7          5         20          3
    2      3          4          4          0         90          3
"""
TABLE = ((0, 100, 200), (100, 0, 150), (200, 150, 0))
PROBLEM = Problem(
    places=tuple(Place(id=name) for name in ("home", "a", "b")),
    shifts=(
        Shift(
            id="li", technician="李伟", start=0, end=2000, start_place="home", end_place="home", skills=("cctv",),
            breaks=(Break(earliest=400, latest=800, duration=60),), capacity=3,
        ),
    ),
    visits=(
        Visit(id="A", place="a", duration=300, skills=("cctv",), windows=(Window(start=100, end=500),), load=1),
        Visit(id="B", place="b", duration=300, commitment_due=700, load=2),
    ),
    travel=GivenTravel(seconds=TABLE, metres=TABLE, source="test"),
)  # fmt: skip


def answer(*stops: tuple[str, int], rests: tuple[tuple[int, int], ...] = ((400, 460),), shift: str = "li") -> Answer:
    return Answer((Line(shift, stops, rests),))


def test_an_instance_is_read_with_distances_cut_after_one_decimal(tmp_path: Path) -> None:
    path = tmp_path / "tiny.txt"
    path.write_text(INSTANCE, "utf-8")
    problem = vrptw_problem(read_instance(path))
    validate(problem)
    assert isinstance(problem.travel, GivenTravel)
    assert problem.travel.seconds == ((0, 14, 50), (14, 0, 36), (50, 36, 0))
    assert [shift.capacity for shift in problem.shifts] == [10, 10]
    assert problem.visits[0].windows == (Window(start=50, end=200),)
    assert (problem.visits[0].duration, problem.visits[0].load) == (30, 7)
    assert problem.prices == DISTANCE_ONLY


def test_what_is_no_instance_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.txt"
    path.write_text("NAME: something else\n1 2 3\n", "utf-8")
    with pytest.raises(ValueError, match="Solomon"):
        read_instance(path)


def test_a_generated_instance_of_a_thousand_can_be_served_by_its_fleet_one_by_one() -> None:
    instance = generated()
    depot, *customers = instance.customers
    assert len(customers) == 1000
    assert sum(one.demand for one in customers) <= instance.vehicles * instance.capacity
    for one in customers:
        away = ((one.x - depot.x) ** 2 + (one.y - depot.y) ** 2) ** 0.5
        assert away <= one.due
        assert max(away, one.ready) + one.service + away <= depot.due


def test_the_judge_counts_what_a_legal_answer_serves() -> None:
    verdict = evaluate(PROBLEM, answer(("A", 100), ("B", 650)))
    assert verdict.faults == []
    assert (verdict.served, verdict.late, verdict.travel) == (2, 0, 100 + 150 + 200)
    assert verdict.weight == 2 * PROBLEM.prices.unserved.p3


def test_the_judge_counts_a_visit_after_its_commitment_as_late() -> None:
    verdict = evaluate(PROBLEM, answer(("A", 100), ("B", 701)))
    assert (verdict.faults, verdict.late) == ([], 1)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (answer(("A", 99), ("B", 650)), "outside its windows"),
        (answer(("A", 100), ("B", 609)), "before anybody can be there"),
        (answer(("A", 100), ("B", 1501)), "back after the end of the shift"),
        (answer(("A", 100), ("B", 650), rests=()), "0 breaks of 1"),
        (answer(("A", 100), ("B", 650), rests=((390, 450),)), "a break from"),
        (answer(("A", 100), ("B", 550), rests=((700, 760),)), "within visit B"),
        (answer(("A", 100), ("A", 650)), "is served at"),
        (answer(("A", 100), ("C", 650)), "unknown visits"),
        (answer(("A", 100), shift="王"), "1 routes"),
        (Answer((*answer(("A", 100)).routes, *answer(("B", 650)).routes)), "2 routes"),
    ],
)
def test_the_judge_finds_a_known_fault(given: Answer, fault: str) -> None:
    assert any(fault in found for found in evaluate(PROBLEM, given).faults)


def test_the_judge_knows_skills_and_loads() -> None:
    shift = msgspec.structs.replace(PROBLEM.shifts[0], skills=(), capacity=2)
    faults = evaluate(msgspec.structs.replace(PROBLEM, shifts=(shift,)), answer(("A", 100), ("B", 650))).faults
    assert any("lacks a skill" in fault for fault in faults)
    assert any("more load" in fault for fault in faults)


def test_a_region_with_a_hidden_plan_is_served_whole_by_it() -> None:
    hidden = region(Region(visits=120, technicians=9, days=2), seed=3)
    validate(hidden.problem)
    verdict = evaluate(hidden.problem, hidden.plan)
    assert verdict.faults == []
    assert (verdict.served, verdict.late) == (len(hidden.problem.visits), 0) == (120, 0)


def test_there_are_enough_scenarios_and_they_repeat() -> None:
    scenarios = all_scenarios()
    assert len(scenarios) >= 20
    assert len({one.name for one in scenarios}) == len({one.seed for one in scenarios}) == len(scenarios)
    problem = problem_of(scenarios[-1])
    validate(problem)
    assert problem == problem_of(scenarios[-1])


def test_brute_force_runs_compiled_and_finds_the_same_price() -> None:
    assert lowest_price(PROBLEM, compiled_orders) == lowest_price(PROBLEM)
