"""The plan in force followed from now on, a move tried on it, and what differs between two plans."""

from typing import get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing import questions
from routing.answers import Placement, Proposal, WhatIf
from routing.check import violations
from routing.desk import FUNCTIONS, Sheet
from routing.differences import Placed, changes, terms
from routing.in_force import in_force
from routing.live import what_if
from routing.plan import Plan
from routing.problem import Break, PerPriority, Pin, Previous, Prices, Problem, ProblemError, Shift, Visit, Window
from routing.questions import Offer, Question, TryMove, answer_type
from routing.redraft import draft_of
from routing.solve import solve
from routing.stop import StopWhen
from tests.routing.make import DAY, HOUR, city_week, problem, shift, visit

LI_WEI, ZHANG_QIANG = "li-wei/mon", "zhang-qiang/mon"


def day(*visits: Visit, shifts: tuple[Shift, ...] = (), **changes: object) -> Problem:
    """A Monday of 李伟 and 张强, who may not work on lifts."""
    people = shifts or (shift(LI_WEI), shift(ZHANG_QIANG, skills=()))
    return problem(people, visits, **changes)


def at(name: str, start: int, place: str = "depot", on: str = LI_WEI, **changes: object) -> Visit:
    """A visit that the plan in force has on a shift."""
    return visit(name, place, **{"previous": Previous(shift=on, start=start), "skills": (), **changes})


def starts(plan: Plan) -> dict[str, int]:
    return {stop.visit: stop.start for route in plan.routes for stop in route.stops}


def tried(case: Problem, **placement: object) -> WhatIf:
    """What the desk answers to a move in the plan in force."""
    move = Placement(**{"shift": LI_WEI, **placement})
    return FUNCTIONS[TryMove](Sheet(case, in_force(case).plan), TryMove(placement=move))


def offered(case: Problem, name: str) -> tuple[Proposal, ...]:
    return FUNCTIONS[Offer](Sheet(case, in_force(case).plan), Offer(visit=name))


# --- in force -----------------------------------------------------------------------------------------------------


def test_what_is_published_is_followed_from_now_on_in_its_order_and_never_earlier() -> None:
    now = in_force(day(at("second", 3 * HOUR), at("first", HOUR), visit("loose", skills=())))
    assert starts(now.plan) == {"first": HOUR, "second": 3 * HOUR}
    assert [one.visit for one in now.plan.unplanned] == ["loose"]
    assert now.misfits == ()


def test_a_day_that_got_too_long_is_followed_all_the_same_and_its_end_is_said() -> None:
    now = in_force(day(at("stuck", 0, frozen=True, duration=6 * HOUR), at("after", HOUR, duration=3 * HOUR)))
    (misfit,) = now.misfits
    assert (misfit.code, misfit.shift, misfit.facts) == ("late_back", LI_WEI, {"back": 9 * HOUR, "last": 8 * HOUR})
    assert starts(now.plan) == {"stuck": 0, "after": 6 * HOUR}
    draft_of(now.problem, now.plan)  # what is widened is a plan of the widened problem


def test_a_break_there_is_no_time_for_is_said() -> None:
    pause = Break(earliest=3 * HOUR, latest=4 * HOUR, duration=HOUR)
    now = in_force(day(at("long", 0, duration=7 * HOUR), shifts=(shift(LI_WEI, breaks=(pause,)),)))
    assert [one.code for one in now.misfits] == ["no_break"]
    assert starts(now.plan) == {"long": 0}


def test_a_visit_under_way_that_alone_takes_the_day_or_the_break_is_said() -> None:
    """What is frozen needs no leave to overrun, but whoever plans wants to hear of it."""
    lunch = Break(earliest=3 * HOUR, latest=4 * HOUR, duration=HOUR)
    now = in_force(day(at("stuck", 0, frozen=True, duration=9 * HOUR), shifts=(shift(LI_WEI, breaks=(lunch,)),)))
    assert [(one.code, one.facts) for one in now.misfits] == [
        ("late_back", {"back": 9 * HOUR, "last": 8 * HOUR}),
        ("no_break", {"earliest": 3 * HOUR, "latest": 4 * HOUR}),
    ]
    now = in_force(day(at("stuck", 0, frozen=True, duration=7 * HOUR), shifts=(shift(LI_WEI, breaks=(lunch,)),)))
    assert [one.code for one in now.misfits] == ["no_break"]


def test_only_the_break_there_is_no_time_for_is_taken() -> None:
    lunch, supper = (Break(earliest=begin, latest=begin + HOUR, duration=HOUR) for begin in (3 * HOUR, 9 * HOUR))
    long = (shift(LI_WEI, end=12 * HOUR, breaks=(lunch, supper)),)
    at_once = (Window(start=0, end=0),)
    now = in_force(day(at("morning", 0, duration=6 * HOUR, windows=at_once), shifts=long))
    assert [(one.code, one.facts["earliest"]) for one in now.misfits] == [("no_break", 3 * HOUR)]
    assert now.problem.shifts[0].breaks == (supper,)
    assert [rest.start for route in now.plan.routes for rest in route.rests] == [9 * HOUR]


def test_a_visit_whose_window_can_no_longer_be_met_is_dropped_and_said() -> None:
    window = Window(start=0, end=HOUR)
    now = in_force(day(at("stuck", 0, frozen=True, duration=2 * HOUR), at("missed", HOUR, windows=(window,))))
    assert [(one.code, one.visit) for one in now.misfits] == [("dropped", "missed")]
    assert [one.visit for one in now.plan.unplanned] == ["missed"]


def test_a_visit_pinned_to_another_time_than_it_was_published_for_is_followed_at_that() -> None:
    now = in_force(day(at("moved", 3 * HOUR, pin=Pin(shift=LI_WEI, start=HOUR))))
    assert starts(now.plan) == {"moved": HOUR}
    later = tried(day(at("moved", HOUR, pin=Pin(shift=LI_WEI, start=HOUR))), visit="moved", at=2 * HOUR)
    assert later.broken is not None
    assert (later.broken.code, later.broken.facts["closes"]) == ("window_missed", HOUR)


def test_a_visit_that_costs_more_than_it_is_worth_is_still_followed() -> None:
    """What is published is not dropped for its price: only what can no longer be reached is."""
    far = at("far", 0, "east", windows=(Window(start=0, end=2 * HOUR),))
    calm = Prices(unserved=PerPriority(p1=1, p2=1, p3=1, p4=1), moved=0)
    behind = at("missed", HOUR, windows=(Window(start=0, end=HOUR),))
    now = in_force(day(far, behind, prices=calm))
    assert starts(now.plan).keys() == {"far"}
    assert [(one.code, one.visit) for one in now.misfits] == [("dropped", "missed")]


def test_a_day_gets_no_longer_than_the_next_one_of_the_same_person() -> None:
    tomorrow = shift("li-wei/tue", technician="li-wei", start=9 * HOUR, end=17 * HOUR)
    now = in_force(day(at("stuck", 0, duration=7 * HOUR), at("more", HOUR, duration=3 * HOUR),
                       shifts=(shift(LI_WEI), tomorrow)))  # fmt: skip
    assert [(one.code, one.visit) for one in now.misfits] == [("dropped", "more")]


# --- what if ------------------------------------------------------------------------------------------------------


def test_a_move_says_who_moves_by_how_much() -> None:
    seen = tried(day(at("a", 0), at("b", HOUR, told=True), visit("urgent", "depot", skills=())), visit="urgent",
                 after="a")  # fmt: skip
    assert (seen.broken, seen.start, seen.added_travel_seconds) == (None, HOUR, 0)
    assert [(one.visit, one.start_before, one.start_after, one.told) for one in seen.moved] == [
        ("b", HOUR, 2 * HOUR, True)
    ]
    assert seen.cost.churn > 0
    assert seen.added_cost == seen.cost.total


def test_who_is_told_anew_is_judged_by_what_was_told_and_not_by_the_delay_there_is() -> None:
    """Fourteen minutes late already, and as many more: neither is much, together they are."""
    held_up, told = at("a", 0, frozen=True, duration=HOUR + 840), at("b", HOUR, told=True)
    seen = tried(day(held_up, told, visit("new", "depot", skills=(), duration=840)), visit="new", after="a")
    assert [(one.visit, one.start_after, one.told) for one in seen.moved] == [("b", HOUR + 1_680, True)]
    assert seen.cost.churn > 0


def test_a_move_from_one_shift_to_another_moves_both() -> None:
    case = day(at("a", 0), at("b", HOUR), at("c", 0, on=ZHANG_QIANG))
    seen = tried(case, visit="a", shift=ZHANG_QIANG, before="c")
    assert (seen.start, seen.broken) == (0, None)
    assert [(one.visit, one.shift, one.start_after) for one in seen.moved] == [("c", ZHANG_QIANG, HOUR)]
    assert sorted(route.shift for route in seen.routes) == sorted([LI_WEI, ZHANG_QIANG])


def test_a_move_to_an_hour_waits_for_it() -> None:
    case = day(at("a", 0), at("b", HOUR), visit("new", "depot", skills=()))
    seen = tried(case, visit="new", at=5 * HOUR)
    assert (seen.start, seen.moved) == (5 * HOUR, ())
    own = tried(case, visit="a", at=5 * HOUR)
    assert (own.start, own.moved) == (5 * HOUR, ())
    early = tried(case, visit="new", at=HOUR // 2)
    assert (early.start, [one.visit for one in early.moved]) == (HOUR, ["b"])


def test_taking_a_visit_off_says_what_that_costs() -> None:
    seen = tried(day(at("a", 0), at("b", HOUR)), visit="a", shift=None)
    assert seen.start is None
    assert seen.cost.unserved > 0
    assert seen.moved == ()


def test_lateness_and_overtime_of_others_are_told() -> None:
    case = day(
        at("a", 0), at("b", HOUR, commitment_due=HOUR, promise=Window(start=0, end=HOUR), duration=7 * HOUR),
        visit("new", "depot", skills=()), shifts=(shift(LI_WEI, overtime_allowed=2 * HOUR),),
    )  # fmt: skip
    seen = tried(case, visit="new", before="b")
    assert [(one.visit, one.promise, one.before_seconds, one.after_seconds) for one in seen.lateness] == [
        ("b", False, 0, HOUR), ("b", True, 0, HOUR),
    ]  # fmt: skip
    assert [(one.shift, one.before_seconds, one.after_seconds) for one in seen.overtime] == [(LI_WEI, 0, HOUR)]


def test_the_rule_that_breaks_is_named_with_its_figures() -> None:
    window = (Window(start=0, end=HOUR),)
    new = visit("new", "depot", skills=())
    long = at("long", 0, duration=7 * HOUR)
    cases: list[tuple[Problem, dict[str, object], str, dict[str, object]]] = [
        (day(visit("new")), {"shift": ZHANG_QIANG}, "no_skill", {"skills": ["lift"]}),
        (day(visit("new", skills=(), forbidden_technicians=("li-wei",))), {}, "not_allowed", {}),
        (day(visit("new", skills=(), pin=Pin(technician="zhang-qiang"))), {}, "pinned", {"pinned": "zhang-qiang"}),
        (day(at("new", 0, frozen=True)), {"shift": ZHANG_QIANG}, "frozen", {}),
        (day(at("a", 0, frozen=True), new), {"before": "a"}, "behind_frozen", {"other": "a"}),
        (day(long, visit("new", "depot", skills=(), duration=2 * HOUR)), {"after": "long"}, "late_back",
         {"back": 9 * HOUR, "last": 8 * HOUR}),
        (day(at("a", 0, duration=2 * HOUR), visit("new", "depot", skills=(), windows=window)), {"after": "a"},
         "window_missed", {"visit": "new", "closes": HOUR, "earliest": 2 * HOUR}),
        (day(at("a", 0, windows=window), visit("new", "depot", skills=(), duration=2 * HOUR)), {"before": "a"},
         "later_window_missed", {"visit": "a", "closes": HOUR, "earliest": 2 * HOUR}),
        (day(at("a", 0, load=3), visit("new", "depot", skills=(), load=2), shifts=(shift(LI_WEI, capacity=4),)), {},
         "van_full", {"load": 5, "capacity": 4}),
        (day(at("a", 0), visit("new", "depot", skills=(), promise=Window(start=0, end=60))), {"after": "a"},
         "promise_missed", {"closes": 60, "earliest": HOUR}),
    ]  # fmt: skip
    for case, placement, code, facts in cases:
        seen = tried(case, visit="new", **placement)
        assert seen.broken is not None, code
        assert (seen.broken.code, seen.broken.facts, seen.broken.soft) == (code, facts, code == "promise_missed")


def test_a_break_that_finds_no_time_is_the_rule_that_breaks() -> None:
    pause = Break(earliest=2 * HOUR, latest=3 * HOUR, duration=HOUR)
    case = day(at("a", 0, duration=2 * HOUR), visit("new", "depot", skills=(), duration=5 * HOUR),
               shifts=(shift(LI_WEI, breaks=(pause,)),))  # fmt: skip
    seen = tried(case, visit="new", before="a")
    assert seen.broken is not None
    assert (seen.broken.code, seen.broken.facts) == ("no_break", {"earliest": 2 * HOUR, "latest": 3 * HOUR})


def test_of_two_breaks_the_one_in_the_way_is_named() -> None:
    lunch, supper = (Break(earliest=begin, latest=begin + HOUR, duration=HOUR) for begin in (2 * HOUR, 9 * HOUR))
    long = (shift(LI_WEI, end=12 * HOUR, breaks=(lunch, supper)),)
    evening = (Window(start=8 * HOUR, end=8 * HOUR),)
    new = visit("new", "depot", skills=(), duration=3 * HOUR, windows=evening)
    seen = tried(day(at("a", 0), new, shifts=long), visit="new", after="a")
    assert seen.broken is not None
    assert (seen.broken.code, seen.broken.facts) == ("no_break", {"earliest": 9 * HOUR, "latest": 10 * HOUR})


def test_what_is_not_there_is_refused() -> None:
    case = day(at("a", 0), visit("new", skills=()))
    for placement, code in (
        ({"visit": "ghost"}, "visit_unknown"),
        ({"visit": "new", "shift": "gone"}, "plan_contradicts_problem"),
        ({"visit": "new", "after": "ghost"}, "plan_contradicts_problem"),
    ):
        with pytest.raises(ProblemError) as refused:
            tried(case, **placement)
        assert refused.value.code == code


# --- proposals ----------------------------------------------------------------------------------------------------


def test_each_person_is_proposed_once_cheapest_first() -> None:
    case = day(at("a", 0, "north"), at("b", HOUR, "south"), visit("urgent", "north", skills=()))
    found = offered(case, "urgent")
    assert sorted(one.shift for one in found) == sorted([LI_WEI, ZHANG_QIANG])
    assert [one.added_cost for one in found] == sorted(one.added_cost for one in found)


def test_a_visit_that_has_a_place_is_proposed_others_and_a_frozen_one_none() -> None:
    case = day(at("a", 0, "north"), at("b", HOUR, frozen=True))
    assert {one.shift for one in offered(case, "a")} == {LI_WEI, ZHANG_QIANG}
    assert offered(case, "b") == ()


@settings(max_examples=25)
@given(st.integers(0, 39), st.integers(0, 11), st.integers(1, 99))
def test_every_move_that_is_offered_passes_the_referee_and_is_priced_rightly(number: int, on: int, step: int) -> None:
    case = city_week(40, 4, 3, breaks=True, step=7919 + 2 * step)
    plan = solve(case, StopWhen(solutions=1))
    seen = what_if(case, plan, Placement(visit=f"v{number}", shift=case.shifts[on].id))
    if seen.broken is not None:
        assert not seen.broken.soft
        return
    kept = [route for route in plan.routes if route.shift not in seen.shifts]
    cost = {name: getattr(plan.cost, name) + getattr(seen.cost, name) for name in plan.cost.__struct_fields__}
    changed = msgspec.structs.replace(
        plan, routes=(*kept, *seen.routes), late=(), cost=type(plan.cost)(**cost),
        unplanned=tuple(one for one in plan.unplanned if one.visit != f"v{number}"),
    )  # fmt: skip
    assert {one.code for one in violations(case, changed)} <= {"late_list_wrong"}


# --- differences --------------------------------------------------------------------------------------------------


def test_what_differs_between_two_plans_is_told_visit_by_visit() -> None:
    case = day(
        at("same", 0), at("moved", HOUR, told=True), at("later", 2 * HOUR, told=True), at("off", 3 * HOUR),
        at("hardly", 4 * HOUR), visit("added", skills=()),
    )  # fmt: skip
    before = published(case)
    after = {
        "same": before["same"],
        "moved": Placed(shift=ZHANG_QIANG, technician="zhang-qiang", start=HOUR),
        "later": Placed(shift=LI_WEI, technician="li-wei", start=2 * HOUR + 600),
        "hardly": Placed(shift=LI_WEI, technician="li-wei", start=4 * HOUR + 59),
        "added": Placed(shift=LI_WEI, technician="li-wei", start=3 * HOUR),
    }
    found = {one.visit: (one.kind, one.told, one.counted) for one in changes(case, before, after)}
    assert found == {
        "moved": ("moved", True, True), "later": ("retimed", False, False), "off": ("taken_off", False, True),
        "added": ("added", False, False),
    }  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from((LI_WEI, ZHANG_QIANG, "gone")), st.integers(0, 5_000)),
                min_size=1, max_size=4))  # fmt: skip
def test_what_counts_as_a_change_is_what_a_budget_of_changes_counts(was: list[tuple[bool, str, int]]) -> None:
    case = day(*(
        at(f"v{number}", start, told=told, on=on, windows=() if number else (Window(start=9 * DAY, end=9 * DAY),))
        for number, (told, on, start) in enumerate(was)
    ))  # fmt: skip
    plan = solve(case, StopWhen(solutions=1), seed=0)
    counted = [one for one in changes(case, published(case), placements(plan)) if one.counted]
    assert len(counted) == draft_of(case, plan).changes()


def published(case: Problem) -> dict[str, Placed]:
    """Where the plan in force has each visit; on shift "gone", technician "gone", what is on none of the problem's."""
    technicians = {one.id: one.technician for one in case.shifts}
    was = {one.id: one.previous for one in case.visits if one.previous is not None}
    return {
        name: Placed(shift=one.shift, technician=technicians.get(one.shift, "gone"), start=one.start)
        for name, one in was.items()
    }


def placements(plan: Plan) -> dict[str, Placed]:
    """Where a plan without crews has each visit."""
    return {
        stop.visit: Placed(shift=route.shift, technician=route.technician, start=stop.start)
        for route in plan.routes
        for stop in route.stops
    }


def test_terms_are_what_the_routes_come_to() -> None:
    case = day(at("a", 0, "north"), visit("never", "north", windows=(Window(start=2 * DAY, end=2 * DAY),)))
    plan = in_force(case).plan
    said = terms(plan)
    (route,) = plan.routes
    assert (said.served, said.unplanned, said.late, said.overtime_seconds) == (1, 1, 0, 0)
    assert said.travel_seconds == route.stops[0].travel_seconds + route.end_travel_seconds
    pair = problem((shift(LI_WEI), shift(ZHANG_QIANG)), (visit("pair", technicians=2, commitment_due=0),))
    said = terms(solve(pair, StopWhen(solutions=3)))
    assert (said.served, said.late, said.late_seconds) == (1, 1, said.travel_seconds // 4)  # two went there and back


# --- what can be asked --------------------------------------------------------------------------------------------


def test_every_question_is_answered_and_by_what_its_class_says() -> None:
    kinds = {one for one in vars(questions).values() if isinstance(one, type) and issubclass(one, Question)}
    assert set(FUNCTIONS) == kinds - {Question}
    for kind, function in FUNCTIONS.items():
        assert get_type_hints(function)["return"] == answer_type(kind), kind
