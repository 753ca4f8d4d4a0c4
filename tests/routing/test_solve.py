"""`solve` end to end: every plan is legal, nearly as cheap as brute force, repeats, stops, and keeps commitments."""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from routing.areas import first_cut, mapped
from routing.check import violations
from routing.draft import empty_draft
from routing.in_force import in_force
from routing.instance import prepare
from routing.kernel.search import new_memory
from routing.plan import Plan, Progress
from routing.problem import (
    Break,
    PartNeed,
    PerPriority,
    Pin,
    Previous,
    Prices,
    Problem,
    ProblemError,
    VanStock,
    Visit,
    Window,
)
from routing.solve import solve
from routing.stop import StopWhen
from routing.van_stock import stocked
from tests.routing.brute import lowest_price
from tests.routing.make import DAY, HOUR, city_week, problem, problems, put_in_force, shift, visit

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
QUICK = StopWhen(solutions=100)


def planned(plan: Plan) -> dict[str, tuple[str, int]]:
    return {stop.visit: (route.shift, stop.start) for route in plan.routes for stop in route.stops}


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(problems(frozen=True, coupled=True))
def test_every_plan_passes_the_referee_and_accounts_for_every_visit(random_problem: Problem) -> None:
    plan = solve(random_problem, QUICK)
    assert violations(random_problem, plan) == []
    left_out = {unplanned.visit for unplanned in plan.unplanned}
    assert sorted([*planned(plan), *left_out]) == sorted(visit.id for visit in random_problem.visits)
    event("coupled" if any(one.technicians > 1 or one.follows for one in random_problem.visits) else "alone")


@settings(max_examples=20, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(problems(), st.data())
def test_no_more_of_a_plan_in_force_changes_than_may(random_problem: Problem, data: st.DataObject) -> None:
    """Or the problem is refused, where what has happened meanwhile changes more than that already, whatever we do."""
    again = data.draw(put_in_force(random_problem, solve(random_problem, QUICK), most_changes=True))
    refused = ""
    try:
        plan = solve(again, QUICK)
    except ProblemError as error:
        refused = error.code
    else:
        assert violations(again, plan) == []
    assert refused == ("change_budget_too_small" if lowest_price(again) is None else "")


@settings(max_examples=30, deadline=None, suppress_health_check=SLOW, derandomize=True)
@given(problems(), st.data())
def test_a_plan_in_force_is_kept_frozen_where_frozen_and_legal_everywhere(
    random_problem: Problem, data: st.DataObject
) -> None:
    """Also when the frozen visits are behind time: then they start as soon as can be, whatever gives way."""
    before = solve(random_problem, QUICK)
    behind = data.draw(st.sampled_from((0, 0, HOUR)))
    frozen: set[str] = set()
    for route in before.routes:
        count = data.draw(st.integers(min(1, len(route.stops)), len(route.stops)))
        frozen |= {stop.visit for stop in route.stops[:count]}
    known = planned(before)

    def in_force(old: Visit) -> Visit:
        if old.id not in known:
            return old
        where, start = known[old.id]
        previous = Previous(shift=where, start=start - behind)
        return msgspec.structs.replace(old, previous=previous, frozen=old.id in frozen, told=True, pin=None)

    again = msgspec.structs.replace(random_problem, visits=tuple(in_force(old) for old in random_problem.visits))
    plan = solve(again, QUICK)
    event(f"{min(3, len(frozen))} frozen")
    assert violations(again, plan) == []
    for name in frozen:
        assert planned(plan)[name][0] == known[name][0]
        assert behind or planned(plan)[name] == known[name]


def test_cost_is_that_of_brute_force_nearly_always(record_property: Callable[[str, object], None]) -> None:
    compared: list[int] = []

    @settings(max_examples=40, deadline=None, suppress_health_check=SLOW, derandomize=True, database=None)
    @given(problems(most_visits=5, frozen=True))
    def compare(random_problem: Problem) -> None:
        cost = solve(random_problem, StopWhen(solutions=1_000)).cost.total
        best = lowest_price(random_problem)
        assert best is not None
        assert cost >= best
        compared.append(cost - best)

    compare()
    exact = sum(gap == 0 for gap in compared) / len(compared)
    record_property("share_equal_to_brute_force", exact)
    print(f"equal to brute force in {exact:.1%} of {len(compared)} problems")  # noqa: T201
    assert exact >= 0.9


def test_the_same_seed_and_solutions_give_the_same_plan() -> None:
    week = city_week(60, 6, 2, breaks=True)
    first, again = (solve(week, StopWhen(solutions=120), seed=5) for _ in range(2))
    assert first == again
    assert first.status == "solutions"
    assert first.solutions >= 120


def test_another_seed_searches_differently() -> None:
    week = city_week(60, 6, 2)
    one, other = (solve(week, StopWhen(solutions=60), seed=seed) for seed in (1, 2))
    assert one != msgspec.structs.replace(other, seed=1)


def test_a_day_of_acceptance_size_keeps_every_commitment_that_can_be_kept() -> None:
    """About as many visits as two days of a city railway bring, on 32 shifts a day."""
    week = city_week(150, 32, 2)
    told: list[Progress] = []
    plan = solve(week, StopWhen(solutions=400), on_progress=told.append)
    assert [unplanned.visit for unplanned in plan.unplanned] == []
    assert {late.reasons[0].basis for late in plan.late} <= {"proven"}
    assert all(after.cost <= before.cost for before, after in pairwise(told))
    assert told[0].share <= told[-1].share <= 1.0


def test_more_visits_than_one_area_takes_are_planned_in_areas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the work there is room for; the areas are kept small."""
    monkeypatch.setattr("routing.solve.AREA_VISITS", 20)
    monkeypatch.setattr("routing.solve.FIRST_VISITS", 40)
    week = city_week(70, 4, 1, breaks=True)
    plan = solve(week, StopWhen(solutions=800))
    assert violations(week, plan) == []
    assert plan.unplanned
    assert plan == solve(week, StopWhen(solutions=800))


def test_the_first_cut_goes_across_the_map_and_keeps_a_technician_in_one_piece() -> None:
    week = city_week(70, 6, 2)
    cut = first_cut(mapped(week), 20)
    assert len(cut) == 4
    assert sorted(visit for visits, _ in cut for visit in visits) == list(range(70))
    assert sorted(shift for _, shifts in cut for shift in shifts) == list(range(12))
    people = [{week.shifts[shift].technician for shift in shifts} for _, shifts in cut]
    assert sum(map(len, people)) == 6
    alone = city_week(5, 1, 1)
    plane = mapped(alone)
    areas = first_cut(plane, 2)
    assert [shifts for _, shifts in areas] == [[0], [], []]  # one technician: the dearest visits are his
    assert sorted(visit for visits, _ in areas for visit in visits) == list(range(5))


def test_what_is_tied_to_a_shift_is_planned_in_its_area_however_the_map_is_cut() -> None:
    """Frozen, pinned, told and planned visits far from the shift they belong to."""
    week = city_week(40, 4, 1)

    def tied(number: int, one: Visit) -> Visit:
        on = Previous(shift=week.shifts[number % 4].id, start=number * 600)
        changes: tuple[dict[str, Any], ...] = (
            {"frozen": True, "previous": on}, {"pin": Pin(shift=on.shift)}, {"pin": Pin(technician=f"t{number % 4}")},
            {"previous": on, "told": True},
        )  # fmt: skip
        return msgspec.structs.replace(one, skills=(), **changes[number // 4])

    visits = tuple(tied(number, one) if number < 16 else one for number, one in enumerate(week.visits))
    whole = msgspec.structs.replace(week, visits=visits)
    plane = mapped(whole)
    areas = first_cut(plane, 10)
    assert len(areas) == 4
    assert sorted(visit for visits, _ in areas for visit in visits) == list(range(40))
    for visits_of, shifts_of in areas:
        assert {number % 4 for number in visits_of if number < 16} <= set(shifts_of)
        under_way = plane.area(visits_of, shifts_of).instance.frozen
        assert sorted(visits_of[visit] for route in under_way for visit in route) == [v for v in visits_of if v < 4]


def test_whoever_was_planned_with_parts_from_the_van_keeps_them_from_an_urgent_order() -> None:
    belt = (PartNeed(part="belt"),)
    planned_one = visit("planned", "depot", priority=4, parts=belt, parts_ready=None,
                        previous=Previous(shift="li-wei/mon", start=0))  # fmt: skip
    urgent = visit("urgent", "depot", priority=1, parts=belt, parts_ready=None)
    people = (shift(), shift("zhang-qiang/mon"))
    one_belt = (VanStock(technician="li-wei", part="belt", quantity=1),)
    case = problem(people, (urgent, planned_one), van_stock=one_belt)
    now = in_force(case)
    assert (now.misfits, [one.visit for one in now.plan.unplanned]) == ((), ["urgent"])
    assert [one.visit for one in solve(case, QUICK).unplanned] == ["urgent"]
    more = (*one_belt, VanStock(technician="zhang-qiang", part="belt", quantity=5))
    assert stocked(msgspec.structs.replace(case, van_stock=more)) == {0: "zhang-qiang", 1: "li-wei"}
    assert stocked(case, {0: "li-wei"}) == {0: "li-wei"}
    late = msgspec.structs.replace(planned_one, parts_ready=0, previous=Previous(shift="li-wei/mon", start=HOUR))
    assert stocked(msgspec.structs.replace(case, visits=(urgent, late))) == {0: "li-wei"}  # it needs none of the van


def test_an_overloaded_day_serves_the_important_and_explains_the_rest() -> None:
    visits = tuple(visit(f"v{index}", priority=4 if index else 1, duration=2 * HOUR) for index in range(6))
    plan = solve(problem((shift(),), visits), StopWhen(solutions=100))
    assert "v0" in planned(plan)
    assert len(planned(plan)) == 3
    assert {unplanned.reasons[0].code for unplanned in plan.unplanned} == {"no_room"}


def test_a_visit_past_its_commitment_is_still_planned_as_soon_as_possible() -> None:
    overdue = visit("overdue", commitment_due=-HOUR)
    plan = solve(problem((shift(), shift("zhang-qiang/tue", start=DAY, end=DAY + 8 * HOUR)), (overdue,)), QUICK)
    (route,) = plan.routes
    assert route.shift == "li-wei/mon"
    assert route.stops[0].start == route.stops[0].travel_seconds
    assert [(late.visit, late.reasons[0].code) for late in plan.late] == [("overdue", "overdue")]


def test_a_kept_commitment_beats_any_distance() -> None:
    near = [visit(f"near{index}", "depot", duration=2 * HOUR, priority=3) for index in range(3)]
    far = visit("far", "east", duration=HOUR, priority=3, commitment_due=HOUR)
    plan = solve(problem((shift(),), (*near, far)), StopWhen(solutions=60))
    assert plan.routes[0].stops[0].visit == "far"
    assert plan.late == ()


def test_a_told_customer_moves_only_for_more_than_it_costs() -> None:
    """张强 could do it with less driving, but the customer was told 李伟 comes at ten."""
    told = visit("told", "south", told=True, previous=Previous(shift="li-wei/mon", start=2 * HOUR))
    near = shift("zhang-qiang/mon", start_place="south", end_place="south")
    plan = solve(problem((shift(), near), (told,)), QUICK)
    where, start = planned(plan)["told"]
    assert where == "li-wei/mon"
    assert abs(start - 2 * HOUR) <= Prices().told_tolerance
    untold = msgspec.structs.replace(told, told=False)
    assert planned(solve(problem((shift(), near), (untold,)), QUICK))["told"][0] == "zhang-qiang/mon"


def test_the_plan_in_force_stays_when_nothing_is_better() -> None:
    """Two like technicians at one place: who does what must not flip from one planning to the next."""
    days = (shift(), shift("zhang-qiang/mon"))
    wanted = tuple(visit(f"v{index}", ("north", "south")[index % 2], duration=2 * HOUR) for index in range(4))
    first = planned(solve(problem(days, wanted), StopWhen(solutions=60), seed=1))
    in_force = tuple(
        msgspec.structs.replace(one, previous=Previous(shift=first[one.id][0], start=first[one.id][1]))
        for one in wanted
    )
    for seed in range(3):
        assert planned(solve(problem(days, in_force), StopWhen(solutions=60), seed=seed)) == first


def test_preferences_decide_between_equals() -> None:
    days = (shift(territory="west"), shift("zhang-qiang/mon", territory="east"))
    wanted = (
        visit("prefers", preferred_technician="zhang-qiang"),
        visit("west", "south", territory="west", duration=5 * HOUR),
    )
    plan = solve(problem(days, wanted), StopWhen(solutions=40))
    assert {name: where for name, (where, _) in planned(plan).items()} == {
        "prefers": "zhang-qiang/mon",
        "west": "li-wei/mon",
    }
    assert plan.cost.preference == 0


def test_pins_and_windows_with_gaps_are_kept() -> None:
    days = (shift(), shift("zhang-qiang/mon"))
    wanted = (
        visit("pinned", pin=Pin(technician="zhang-qiang", start=3 * HOUR)),
        visit("open", "south", windows=(Window(start=0, end=60), Window(start=6 * HOUR, end=7 * HOUR))),
        *(visit(f"filler{index}", "depot", duration=3 * HOUR) for index in range(2)),
    )
    plan = solve(problem(days, wanted), StopWhen(solutions=60))
    assert planned(plan)["pinned"] == ("zhang-qiang/mon", 3 * HOUR)
    assert 6 * HOUR <= planned(plan)["open"][1] <= 7 * HOUR
    assert plan.unplanned == ()


def test_without_technicians_the_plan_says_so_and_the_caller_may_refuse() -> None:
    nobody = problem((), (visit("v1"), visit("v2")))
    plan = solve(nobody, QUICK)
    assert [(one.visit, one.reasons[0].code, one.reasons[0].basis) for one in plan.unplanned] == [
        ("v1", "no_technicians", "proven"),
        ("v2", "no_technicians", "proven"),
    ]


def test_nothing_to_do_is_a_plan() -> None:
    plan = solve(problem((shift(),), ()), QUICK)
    assert (plan.status, plan.routes, plan.unplanned, plan.cost.total) == ("complete", (), (), 0)
    assert solve(Problem(places=(), shifts=(), visits=()), QUICK).routes == ()


def test_a_shift_across_midnight_is_one_route() -> None:
    night = shift("li-wei/night", start=22 * HOUR, end=30 * HOUR)
    wanted = (visit("before", windows=(Window(start=22 * HOUR, end=23 * HOUR),)), visit("after", earliest=25 * HOUR))
    plan = solve(problem((night,), wanted), QUICK)
    assert [stop.visit for stop in plan.routes[0].stops] == ["before", "after"]


def test_seconds_bound_the_run() -> None:
    started = time.monotonic()
    plan = solve(city_week(150, 12, 3, breaks=True), StopWhen(seconds=0.7))
    assert plan.status == "seconds"
    assert time.monotonic() - started < 15  # the limit, the work in hand, and a busy machine


def test_even_no_time_at_all_gives_a_legal_plan() -> None:
    week = city_week(80, 6, 2)
    plan = solve(week, StopWhen(seconds=1e-9))
    assert plan.status == "seconds"
    assert violations(week, plan) == []


@pytest.mark.parametrize("calls", [0, 1, 30])
def test_cancelling_gives_the_best_so_far(calls: int) -> None:
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return asked > calls

    week = city_week(80, 6, 2)
    plan = solve(week, StopWhen(seconds=60, cancelled=cancelled))
    assert plan.status == "cancelled"
    assert violations(week, plan) == []


def test_a_small_problem_ends_before_its_limit() -> None:
    started = time.monotonic()
    plan = solve(problem((shift(),), (visit("v1"),)), StopWhen(seconds=60))
    assert plan.status == "complete"
    assert time.monotonic() - started < 20


def test_travel_is_labelled() -> None:
    plan = solve(problem((shift(),), (visit("v1"),)), QUICK)
    assert plan.travel_estimated
    assert "estimate" in plan.travel_source


def test_free_travel_and_free_service_are_legal_prices() -> None:
    nothing = PerPriority(p1=0, p2=0, p3=0, p4=0)
    free = Prices(travel_second=0, overtime_second=0, delay_second=nothing, promise_broken=0, promise_second=0)
    late = visit("v1", promise=Window(start=0, end=60), windows=(Window(start=HOUR, end=2 * HOUR),))
    plan = solve(problem((shift(overtime_allowed=HOUR),), (late,), prices=free), QUICK)
    assert plan.cost.total == 0
    assert plan.routes[0].stops[0].promise_late_seconds == HOUR - 60


def test_frozen_visits_run_past_the_shift_and_over_its_break_and_nothing_is_added() -> None:
    """李伟 is stuck at a lift: the plan shows it, and gives him nothing more."""
    stuck = tuple(
        visit(f"v{index}", duration=5 * HOUR, frozen=True, previous=Previous(shift="li-wei/mon", start=index))
        for index in range(2)
    )
    noon = Break(earliest=2 * HOUR, latest=3 * HOUR, duration=HOUR // 2)
    late = Break(earliest=7 * HOUR, latest=7 * HOUR + HOUR // 2, duration=HOUR // 2)
    day = shift(breaks=(noon, late), overtime_allowed=HOUR)
    crowded = problem((day, shift("zhang-qiang/mon")), (*stuck, visit("other", commitment_due=9 * HOUR)))
    plan = solve(crowded, QUICK)
    assert planned(plan)["other"][0] == "zhang-qiang/mon"
    stuck_route = plan.routes[0]
    assert [stop.visit for stop in stuck_route.stops] == ["v0", "v1"]
    assert stuck_route.rests == ()
    assert stuck_route.overtime_seconds > 2 * HOUR


def test_a_break_yields_only_to_frozen_visits_that_leave_no_room_for_it() -> None:
    under_way = visit("v0", duration=3 * HOUR, frozen=True, previous=Previous(shift="li-wei/mon", start=-HOUR))
    breaks = tuple(Break(earliest=hour * HOUR, latest=hour * HOUR + HOUR // 2, duration=HOUR // 2) for hour in (1, 5))
    plan = solve(problem((shift(breaks=breaks),), (under_way, visit("v1", "south"))), QUICK)
    assert [stop.visit for stop in plan.routes[0].stops] == ["v0", "v1"]
    assert [rest.start for rest in plan.routes[0].rests] == [5 * HOUR]


@pytest.mark.parametrize(
    "limits",
    [{}, {"seconds": 0}, {"seconds": -1}, {"seconds": 1e9}, {"seconds": float("nan")}, {"solutions": 0}],
)
def test_a_search_without_end_is_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ProblemError) as refused:
        StopWhen(**limits)  # pyright: ignore[reportArgumentType]
    assert refused.value.code == "stop_limit"


def test_neighbours_in_time_are_those_one_could_serve_one_after_the_other() -> None:
    """Next door but a day later is near on the map; half an hour away and open this morning is near in time."""
    this_morning, tomorrow = Window(start=HOUR, end=2 * HOUR), Window(start=DAY + HOUR, end=DAY + 2 * HOUR)
    case = problem(
        (shift(), shift("li-wei/tue", start=DAY, end=DAY + 8 * HOUR)),
        (
            visit("here", "north", windows=(this_morning,)), visit("next door", "north", windows=(tomorrow,)),
            visit("away", "east", windows=(this_morning,)),
        ),
    )  # fmt: skip
    draft = empty_draft(prepare(case))
    memory = new_memory(draft.instance.arrays, draft.compiled(), neighbours=2, most_changes=None, seed=1)
    assert memory.near[0].tolist() == [1, 2]
    assert memory.near_in_time[0].tolist() == [2, 1]
