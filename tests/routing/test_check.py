"""The referee catches every kind of broken plan: a legal plan is changed in one way, and the change is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import routing.check
from routing.check import violations
from routing.finish import PlanRefused, passed
from routing.plan import Cost, Plan, Reason, Rest, Route, Stop, Unplanned
from routing.problem import Break, Pin, Previous, Problem, Window
from routing.solve import solve
from routing.stop import StopWhen
from tests.routing.make import DAY, HOUR, problem, shift, visit

DAYS = (
    shift(
        breaks=(Break(earliest=3 * HOUR, latest=5 * HOUR, duration=HOUR // 2),),
        skills=("lift", "door"),
        overtime_allowed=HOUR,
        territory="west",
    ),
    shift("zhang-qiang/mon"),
    shift("zhang-qiang/tue", start=DAY, end=DAY + 8 * HOUR),
)
VISITS = (
    visit("frozen", "south", frozen=True, previous=Previous(shift="li-wei/mon", start=1400)),
    visit("door", skills=("door",), commitment_due=6 * HOUR),
    visit("window", "east", windows=(Window(start=5 * HOUR, end=6 * HOUR),), commitment_due=7 * HOUR),
    visit("parts", "north", earliest=6 * HOUR, skills=("door",)),
    visit(
        "promise",
        "south",
        promise=Window(start=HOUR, end=2 * HOUR),
        forbidden_technicians=("li-wei",),
        pin=Pin(shift="zhang-qiang/mon"),
    ),
    visit("allowed", "east", allowed_technicians=("zhang-qiang",), earliest=DAY, pin=Pin(technician="zhang-qiang")),
    visit("timed", "north", pin=Pin(technician="zhang-qiang", start=DAY + 3 * HOUR)),
    visit("overdue", "depot", commitment_due=-HOUR, preferred_technician="zhao-min", territory="east"),
    visit("nobody", skills=("crane",)),
)
PROBLEM = problem(DAYS, VISITS)


@pytest.fixture(scope="module")
def legal() -> Plan:
    plan = solve(PROBLEM, StopWhen(solutions=150))
    assert violations(PROBLEM, plan) == []
    assert [unplanned.visit for unplanned in plan.unplanned] == ["nobody"]
    return plan


def codes(plan: Plan, of: Problem = PROBLEM) -> set[str]:
    return {violation.code for violation in violations(of, plan)}


def with_route(plan: Plan, name: str, change: Callable[[Route], Route]) -> Plan:
    assert name in {route.shift for route in plan.routes}
    routes = tuple(change(route) if route.shift == name else route for route in plan.routes)
    return msgspec.structs.replace(plan, routes=routes)


def with_stop(plan: Plan, name: str, **changes: int) -> Plan:
    """Change figures of one stop; ``shift_by`` moves arrival, start and departure together."""

    def change(stop: Stop) -> Stop:
        if stop.visit != name:
            return stop
        by = changes.get("shift_by", 0)
        values = {key: value for key, value in changes.items() if key != "shift_by"}
        moved = {key: getattr(stop, key) + by for key in ("arrival", "start", "departure")} if by else {}
        return msgspec.structs.replace(stop, **{**moved, **values})

    assert name in {stop.visit for route in plan.routes for stop in route.stops}
    routes = tuple(
        msgspec.structs.replace(route, stops=tuple(change(stop) for stop in route.stops)) for route in plan.routes
    )
    return msgspec.structs.replace(plan, routes=routes)


def stop_of(plan: Plan, name: str) -> Stop:
    return next(stop for route in plan.routes for stop in route.stops if stop.visit == name)


def route_with(plan: Plan, name: str) -> str:
    return next(route.shift for route in plan.routes for stop in route.stops if stop.visit == name)


def moved_to(plan: Plan, name: str, target: str) -> Plan:
    """Put the stop of `name` at the end of another route, all else as it was."""
    stop = stop_of(plan, name)
    source = route_with(plan, name)
    plan = with_route(
        plan, source, lambda route: changed(route, stops=tuple(one for one in route.stops if one.visit != name))
    )
    return with_route(plan, target, lambda route: changed(route, stops=(*route.stops, stop)))


def changed(element: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(element, **changes)


def test_two_stops_exchanged(legal: Plan) -> None:
    def reverse(route: Route) -> Route:
        return changed(route, stops=tuple(reversed(route.stops)))

    broken = codes(with_route(legal, "li-wei/mon", reverse))
    assert {"travel_too_short", "frozen_moved"} <= broken


@pytest.mark.parametrize(
    ("name", "figures", "code"),
    [
        ("door", {"arrival": 0}, "travel_too_short"),
        ("door", {"departure": 0}, "service_length_wrong"),
        ("door", {"start": 0}, "start_before_arrival"),
        ("door", {"travel_seconds": 1}, "travel_seconds_wrong"),
        ("door", {"travel_metres": 1}, "travel_metres_wrong"),
        ("door", {"waiting_seconds": 9_999}, "waiting_wrong"),
        ("door", {"slack_seconds": 9_999}, "slack_wrong"),
        ("door", {"late_seconds": 1}, "late_wrong"),
        ("door", {"promise_late_seconds": 1}, "promise_late_wrong"),
        ("door", {"shift_by": 6 * HOUR}, "late_wrong"),
        ("window", {"shift_by": -HOUR}, "outside_windows"),
        ("window", {"shift_by": 2 * HOUR}, "outside_windows"),
        ("parts", {"shift_by": -3 * HOUR}, "before_earliest"),
        ("promise", {"shift_by": -2 * HOUR}, "before_promise"),
        ("timed", {"shift_by": 60}, "pin_time_broken"),
        ("frozen", {"shift_by": 600}, "frozen_start_moved"),
    ],
)
def test_a_figure_or_a_time_changed(legal: Plan, name: str, figures: dict[str, int], code: str) -> None:
    assert code in codes(with_stop(legal, name, **figures))


@pytest.mark.parametrize(
    ("name", "target", "code"),
    [
        ("door", "zhang-qiang/mon", "skill_missing"),
        ("promise", "li-wei/mon", "technician_forbidden"),
        ("promise", "li-wei/mon", "pin_broken"),
        ("allowed", "li-wei/mon", "technician_not_allowed"),
        ("allowed", "li-wei/mon", "pin_broken"),
        ("frozen", "zhang-qiang/mon", "frozen_moved"),
    ],
)
def test_a_visit_given_to_somebody_else(legal: Plan, name: str, target: str, code: str) -> None:
    assert code in codes(moved_to(legal, name, target))


def test_a_stop_dropped(legal: Plan) -> None:
    name = route_with(legal, "door")

    def drop(route: Route) -> Route:
        return changed(route, stops=tuple(stop for stop in route.stops if stop.visit != "door"))

    assert codes(with_route(legal, name, drop)) == {"visit_missing"}


def test_a_visit_planned_twice_or_planned_and_left_out(legal: Plan) -> None:
    stop = stop_of(legal, "door")
    twice = with_route(legal, "zhang-qiang/tue", lambda route: changed(route, stops=(*route.stops, stop)))
    assert codes(twice) == {"visit_twice"}
    reason = Reason(code="no_room", basis="searched", facts={})
    both = changed(legal, unplanned=(*legal.unplanned, Unplanned(visit="door", reasons=(reason,))))
    assert codes(both) == {"visit_twice"}


def test_strangers_in_the_plan(legal: Plan) -> None:
    stranger = with_route(
        legal, "li-wei/mon", lambda route: changed(route, stops=(changed(route.stops[0], visit="ghost"), *route.stops))
    )
    assert codes(stranger) == {"visit_unknown"}
    assert codes(with_route(legal, "zhang-qiang/tue", lambda route: changed(route, shift="ghost"))) == {"shift_unknown"}


def test_a_shift_with_two_routes_or_none(legal: Plan) -> None:
    assert "shift_twice" in codes(
        with_route(legal, "zhang-qiang/tue", lambda route: changed(route, shift="li-wei/mon"))
    )
    assert "route_empty" in codes(with_route(legal, "zhang-qiang/tue", lambda route: changed(route, stops=())))


def test_a_frozen_visit_left_out(legal: Plan) -> None:
    def drop(route: Route) -> Route:
        return changed(route, stops=tuple(stop for stop in route.stops if stop.visit != "frozen"))

    reason = Reason(code="no_room", basis="searched", facts={})
    left_out = changed(
        with_route(legal, "li-wei/mon", drop),
        unplanned=(*legal.unplanned, Unplanned(visit="frozen", reasons=(reason,))),
    )
    assert codes(left_out) == {"frozen_unplanned"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda rest: (), "break_missing"),
        (lambda rest: (rest, changed(rest, start=rest.end, end=rest.end + 1800)), "break_unknown"),
        (lambda rest: (Rest(start=7 * HOUR, end=7 * HOUR + 1800),), "break_outside_window"),
        (lambda rest: (changed(rest, end=rest.end - 60),), "break_length_wrong"),
        (lambda rest: (changed(rest, end=rest.start + 5 * HOUR),), "break_interrupted"),
        (lambda rest: (changed(rest, start=rest.start - 1799, end=rest.end - 1799),), "break_interrupted"),
    ],
)
def test_a_break_removed_moved_or_shortened(legal: Plan, change: Callable[[Rest], tuple[Rest, ...]], code: str) -> None:
    assert code in codes(with_route(legal, "li-wei/mon", lambda route: changed(route, rests=change(route.rests[0]))))


def test_breaks_that_overlap() -> None:
    breaks = (
        Break(earliest=HOUR, latest=2 * HOUR, duration=1800),
        Break(earliest=3 * HOUR, latest=4 * HOUR, duration=1800),
    )
    two = problem((shift(breaks=breaks),), (visit("v1", duration=60),))
    plan = solve(two, StopWhen(solutions=5))
    both = Rest(start=3 * HOUR, end=3 * HOUR + 1800)
    broken = codes(with_route(plan, "li-wei/mon", lambda route: changed(route, rests=(both, both))), two)
    assert {"breaks_overlap", "break_outside_window"} <= broken


@pytest.mark.parametrize(
    ("figures", "code"),
    [
        ({"end": 10 * HOUR}, "after_shift_end"),
        ({"end": 0}, "travel_too_short"),
        ({"end_travel_seconds": 1}, "travel_seconds_wrong"),
        ({"end_travel_metres": 1}, "travel_metres_wrong"),
        ({"overtime_seconds": 77}, "overtime_wrong"),
        ({"leaves": -60}, "leaves_wrong"),
        ({"technician": "zhao-min"}, "technician_wrong"),
    ],
)
def test_the_route_as_a_whole(legal: Plan, figures: dict[str, Any], code: str) -> None:
    assert code in codes(with_route(legal, "li-wei/mon", lambda route: changed(route, **figures)))


@pytest.mark.parametrize("term", Cost.__struct_fields__)
def test_every_cost_term(legal: Plan, term: str) -> None:
    cost = changed(legal.cost, **{term: getattr(legal.cost, term) + 1})
    (violation,) = violations(PROBLEM, changed(legal, cost=cost))
    assert (violation.code, violation.where) == ("cost_wrong", term)
    assert violation.sentence.startswith(f"cost_wrong: {term} ")


def test_the_legal_plan_pays_for_what_it_should(legal: Plan) -> None:
    """So that the cost terms above are not all zero by chance."""
    assert legal.cost.unserved > 0
    assert legal.cost.late > 0
    assert legal.cost.travel > 0
    assert legal.cost.delay > 0
    assert legal.cost.preference > 0


def test_reasons_missing_unknown_or_of_no_basis(legal: Plan) -> None:
    assert codes(changed(legal, unplanned=(Unplanned(visit="nobody", reasons=()),))) == {"unplanned_without_reason"}
    for reason in (
        Reason(code="because", basis="proven", facts={}),
        Reason(code="no_room", basis="felt", facts={}),  # pyright: ignore[reportArgumentType]
    ):
        unexplained = changed(legal, unplanned=(Unplanned(visit="nobody", reasons=(reason,)),))
        assert codes(unexplained) == {"unplanned_without_reason"}
    (late,) = legal.late
    assert codes(changed(legal, late=(changed(late, reasons=()),))) == {"late_without_reason"}


def test_the_list_of_late_visits_is_complete_and_true(legal: Plan) -> None:
    (late,) = legal.late
    assert codes(changed(legal, late=())) == {"late_list_wrong"}
    assert codes(changed(legal, late=(late, late))) == {"late_list_wrong"}
    assert codes(changed(legal, late=(changed(late, late_seconds=1),))) == {"late_list_wrong"}


def test_the_label_of_the_travel_times(legal: Plan) -> None:
    assert codes(changed(legal, travel_estimated=False)) == {"travel_label_wrong"}


def test_a_told_customer_moved_in_time_or_to_another_shift_costs() -> None:
    told = visit("told", told=True, previous=Previous(shift="zhang-qiang/mon", start=4 * HOUR))
    calm = problem(DAYS, (told,))
    plan = solve(calm, StopWhen(solutions=20))
    assert plan.cost.churn == 0
    untold = problem(DAYS, (changed(told, told=False),))
    assert codes(plan, untold) == set()
    elsewhere = problem(DAYS, (changed(told, previous=Previous(shift="gone", start=0)),))
    assert codes(plan, elsewhere) == {"cost_wrong"}
    earlier = problem(DAYS, (changed(told, previous=Previous(shift="zhang-qiang/mon", start=0)),))
    assert codes(plan, earlier) == {"cost_wrong"}


def test_a_plan_the_referee_refuses_never_leaves(legal: Plan) -> None:
    with pytest.raises(PlanRefused, match="visit_missing"):
        passed(PROBLEM, changed(legal, routes=legal.routes[1:]), legal.cost.total)
    with pytest.raises(PlanRefused):
        passed(PROBLEM, legal, legal.cost.total + 1)  # legal, but not at the price the search said


def test_nothing_of_the_search_is_used() -> None:
    """The referee must not share the simulator's mistakes."""
    source = Path(str(routing.check.__file__)).read_text(encoding="utf-8")
    imported = {line.split()[1] for line in source.splitlines() if line.startswith("from routing")}
    assert imported == {"routing.plan", "routing.problem", "routing.texts", "routing.travel"}
