"""The referee catches every kind of broken plan: a legal plan is changed in one way, and the change is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import routing.case
import routing.check
from routing.check import violations
from routing.finish import PlanRefused, passed
from routing.plan import Cost, Plan, Reason, Rest, Route, Stop, Unplanned
from routing.problem import Break, Follows, Pace, PartNeed, Pin, Previous, Problem, VanStock, Window
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

    assert {"visit_missing"} <= codes(with_route(legal, name, drop))


def test_a_visit_planned_twice_or_planned_and_left_out(legal: Plan) -> None:
    stop = stop_of(legal, "door")
    twice = with_route(legal, "zhang-qiang/tue", lambda route: changed(route, stops=(*route.stops, stop)))
    assert {"visit_twice"} <= codes(twice)
    reason = Reason(code="no_room", basis="searched", facts={})
    both = changed(legal, unplanned=(*legal.unplanned, Unplanned(visit="door", reasons=(reason,))))
    assert codes(both) == {"visit_twice", "cost_wrong"}


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
    assert {"frozen_unplanned"} <= codes(left_out)


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
    assert codes(changed(legal, late=(changed(late, promise_late_seconds=1),))) == {"late_list_wrong"}


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


CREW = problem(
    (shift(), shift("zhang-qiang/mon"), shift("zhang-qiang/tue", start=DAY, end=DAY + 8 * HOUR)),
    (visit("crew", "depot", technicians=2, pin=Pin(technician="li-wei")),),
)


def with_plan(single: Problem) -> Plan:
    plan = solve(single, StopWhen(solutions=20))
    assert violations(single, plan) == []
    assert plan.unplanned == ()
    return plan


def postponed(route: Route, by: int) -> Route:
    """The route with all that happens on it later by so much."""
    stops = tuple(
        changed(
            one, arrival=one.arrival + by, start=one.start + by, departure=one.departure + by,
            leaves_by=None if one.leaves_by is None else one.leaves_by + by,
        )
        for one in route.stops
    )  # fmt: skip
    return changed(route, stops=stops, leaves=route.leaves + by, end=route.end + by)


def test_a_crew_comes_complete_together_and_with_the_one_asked_for() -> None:
    plan = with_plan(CREW)
    assert [route.shift for route in plan.routes] == ["li-wei/mon", "zhang-qiang/mon"]
    assert codes(changed(plan, routes=plan.routes[:1]), CREW) == {"crew_incomplete"}
    apart = with_route(plan, "zhang-qiang/mon", lambda route: postponed(route, 60))
    assert codes(apart, CREW) == {"crew_apart", "cost_wrong"}  # a minute's delay costs
    one, other = plan.routes
    tomorrow = changed(postponed(other, DAY), shift="zhang-qiang/tue")
    same = codes(changed(plan, routes=(other, tomorrow)), CREW)
    assert same == {"crew_twice_the_same", "crew_apart", "pin_broken", "cost_wrong"}
    assert one.technician == "li-wei"


FOLLOWS = Follows(visit="first", least_gap=HOUR, most_gap=2 * HOUR, same_technician=True)


@pytest.mark.parametrize(
    ("follows", "code"),
    [
        ({"least_gap": HOUR + 1}, "follows_gap"),
        ({"least_gap": 0, "most_gap": HOUR - 1}, "follows_gap"),
        ({"visit": "third"}, "follows_other_technician"),
    ],
)
def test_what_follows_does_so_in_time_and_by_the_same_technician(follows: dict[str, Any], code: str) -> None:
    first, second = visit("first", "depot"), visit("second", "depot", follows=FOLLOWS)
    third = visit("third", "depot", duration=0, allowed_technicians=("zhang-qiang",))
    days = (shift(), shift("zhang-qiang/mon", skills=("lift",)))
    single = problem(days, (changed(first, allowed_technicians=("li-wei",)), second, third))
    plan = with_plan(single)
    assert stop_of(plan, "second").start - stop_of(plan, "first").departure == HOUR
    other = changed(single, visits=(*single.visits[:1], changed(second, follows=changed(FOLLOWS, **follows)), third))
    assert code in codes(plan, other)


def test_what_follows_a_visit_left_out_is_left_out() -> None:
    single = problem((shift(),), (visit("first", skills=("crane",)), visit("second", "depot")))
    plan = solve(single, StopWhen(solutions=20))
    assert codes(plan, single) == set()
    bound = changed(single, visits=(single.visits[0], changed(single.visits[1], follows=Follows(visit="first"))))
    assert codes(plan, bound) == {"follows_nothing"}


def test_a_van_takes_what_it_can_and_gives_each_part_once() -> None:
    needs = {"parts": (PartNeed(part="belt", quantity=2),), "parts_ready": None}
    wanted = (visit("one", "depot", load=3, **needs), visit("two", "depot", load=4, earliest=2 * HOUR))
    held = (
        VanStock(technician="li-wei", part="belt", quantity=1),
        VanStock(technician="li-wei", part="belt", quantity=1),
    )
    single = problem((shift(capacity=7),), wanted, van_stock=held)
    plan = with_plan(single)
    assert codes(plan, changed(single, shifts=(shift(capacity=6),))) == {"van_overloaded"}
    assert codes(plan, changed(single, van_stock=held[:1])) == {"part_missing"}
    assert codes(plan, changed(single, visits=(wanted[0], changed(wanted[1], **needs)))) == {"part_missing"}
    later = changed(wanted[0], parts_ready=HOUR)
    assert codes(plan, changed(single, visits=(later, wanted[1]), van_stock=())) == {"part_missing"}
    soon = changed(wanted[0], parts_ready=stop_of(plan, "one").start)
    assert codes(plan, changed(single, visits=(soon, wanted[1]), van_stock=())) == set()


@pytest.mark.parametrize(
    ("told", "where", "moved_by", "changes"),
    [
        (True, "li-wei/mon", 901, 1),
        (True, "li-wei/mon", 900, 0),
        (False, "li-wei/mon", 3_000, 0),
        (False, "zhang-qiang/mon", 0, 1),
        (True, "gone", 3_000, 0),
    ],
)
def test_changes_of_a_plan_in_force_are_counted(*, told: bool, where: str, moved_by: int, changes: int) -> None:
    days = (shift(), shift("zhang-qiang/mon", skills=()))
    plan = with_plan(problem(days, (visit("v1"),)))
    before = Previous(shift=where, start=stop_of(plan, "v1").start + moved_by)
    limited = problem(days, (visit("v1", told=told, previous=before),), most_changes=0)
    assert ("too_many_changes" in codes(plan, limited)) == bool(changes)
    assert "too_many_changes" not in codes(plan, changed(limited, most_changes=1))


def test_leaving_out_what_was_planned_is_a_change() -> None:
    single = problem((shift(),), (visit("v1", skills=("crane",)),))
    plan = solve(single, StopWhen(solutions=5))
    before = Previous(shift="li-wei/mon", start=0)
    limited = changed(single, visits=(changed(single.visits[0], previous=before),), most_changes=0)
    assert "too_many_changes" in codes(plan, limited)


def test_a_drive_takes_as_long_as_the_hours_it_passes_through() -> None:
    single = problem((shift(),), (visit("v1"),))
    plan = with_plan(single)
    assert codes(plan, changed(single, pace=Pace(begins=-HOUR, per_mille=(1_000,)))) == set()
    rush = codes(plan, changed(single, pace=Pace(begins=0, per_mille=(500, 1_000))))
    assert rush == {"travel_seconds_wrong", "leaves_by_wrong"}
    (out, home) = (plan.routes[0].stops[0].travel_seconds, plan.routes[0].end_travel_seconds)
    assert out < HOUR < plan.routes[0].end - home  # so only the way out passes through the slow hour


def test_frozen_visits_may_overload_a_van_and_lack_parts() -> None:
    """They are on their way already; nothing is added to a van that is full."""
    before = Previous(shift="li-wei/mon", start=0)
    parts = {"parts": (PartNeed(part="belt"),), "parts_ready": None}
    under_way = visit("v1", "depot", load=5, frozen=True, previous=before, **parts)
    single = problem((shift(capacity=2), shift("zhang-qiang/mon")), (under_way, visit("v2", "depot", load=1)))
    other = visit("v3", "depot", allowed_technicians=("zhang-qiang",))
    single = changed(single, visits=(*single.visits, other))
    plan = with_plan(single)
    assert route_with(plan, "v2") == "zhang-qiang/mon"
    assert "van_overloaded" in codes(moved_to(plan, "v2", "li-wei/mon"), single)


def test_a_plan_the_referee_refuses_never_leaves(legal: Plan) -> None:
    with pytest.raises(PlanRefused, match="visit_missing"):
        passed(PROBLEM, changed(legal, routes=legal.routes[1:]), legal.cost.total)
    with pytest.raises(PlanRefused):
        passed(PROBLEM, legal, legal.cost.total + 1)  # legal, but not at the price the search said


def test_nothing_of_the_search_is_used() -> None:
    """The referee must not share the simulator's mistakes."""
    sources = [Path(str(module.__file__)).read_text(encoding="utf-8") for module in (routing.check, routing.case)]
    lines = [line for source in sources for line in source.splitlines()]
    imported = {line.split()[1] for line in lines if line.startswith("from routing")}
    assert imported == {"routing.case", "routing.plan", "routing.problem", "routing.texts", "routing.travel"}
    of_problem = [line for line in lines if line.startswith("from routing.problem import ")]
    names = {name for line in of_problem for name in line.split(" import ")[1].split(", ")}
    assert all(name[0].isupper() for name in names)  # data, and none of its formulas
