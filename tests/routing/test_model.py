"""The solver's wrapper: what it plans, what it refuses, and that it leaves nothing behind."""

import gc

from ortools.constraint_solver import pywrapcp

from routing.draft import empty_draft
from routing.improve import departure
from routing.instance import prepare
from routing.ortools.model import Limits, Lot, first_routes, improved_routes
from routing.problem import Problem, Window
from tests.routing.make import HOUR, city_week, problem, shift, visit

FREELY = Limits(seconds=None, solutions=None, cancelled=lambda: False)


def lot_of(single: Problem, deadlines: dict[int, int] | None = None) -> Lot:
    base = empty_draft(prepare(single))
    shifts = range(len(single.shifts))
    return Lot(
        shifts=tuple(shifts),
        departures=tuple(departure(base, one) for one in shifts),
        visits=tuple(range(len(single.visits))),
        deadlines=deadlines or {},
    )


def test_models_are_freed_when_their_answer_is_read() -> None:
    """A callback that held its model kept megabytes a round, and a plan has hundreds of rounds."""
    week = city_week(12, 3, 1)
    instance = prepare(week)
    for _ in range(3):
        answer = improved_routes(instance, lot_of(week), [[], [], []], FREELY)
        assert answer is not None
        assert first_routes(instance, lot_of(week), FREELY) is not None
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, pywrapcp.RoutingModel)]


def test_improving_serves_everybody_there_is_time_for() -> None:
    week = city_week(12, 4, 1)
    answer = improved_routes(prepare(week), lot_of(week), [[], [], [], []], FREELY)
    assert answer is not None
    assert sorted(index for route in answer.routes for index in route) == list(range(12))
    assert answer.solutions > 1


def test_a_start_against_the_model_is_refused() -> None:
    wanted = (visit("v0", windows=(Window(start=0, end=60),)), visit("v1"))
    single = problem((shift(),), wanted)
    assert improved_routes(prepare(single), lot_of(single), [[0]], FREELY) is None
    assert improved_routes(prepare(single), lot_of(single, {1: 60}), [[1]], FREELY) is None


def test_a_deadline_is_kept_or_the_visit_left_out() -> None:
    rivals = problem((shift(),), tuple(visit(f"v{index}", "depot", duration=2 * HOUR) for index in range(3)))
    answer = improved_routes(prepare(rivals), lot_of(rivals, {0: 60, 1: 60}), [[]], FREELY)
    assert answer is not None
    (route,) = answer.routes
    assert len(route) == 2
    assert 2 in route


def test_gaps_between_windows_stay_closed() -> None:
    windows = (Window(start=0, end=60), Window(start=30, end=90), Window(start=6 * HOUR, end=7 * HOUR))
    single = problem((shift(),), (visit("v0", windows=windows), visit("v1", "depot", duration=6 * HOUR)))
    answer = improved_routes(prepare(single), lot_of(single), [[]], FREELY)
    assert answer is not None
    assert answer.routes == [[1, 0]]


def test_cancelling_ends_the_search_at_its_next_solution() -> None:
    week = city_week(40, 6, 1)
    stopped = Limits(seconds=None, solutions=None, cancelled=lambda: True)
    answer = improved_routes(prepare(week), lot_of(week), [[] for _ in range(6)], stopped)
    assert answer is None or answer.solutions <= 2
