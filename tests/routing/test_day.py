"""What frozen visits do to a day and to the next shift of the same person: nobody is in two places at once."""

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.areas import mapped
from routing.check import violations
from routing.in_force import in_force
from routing.live import OF_PLANS_ONLY
from routing.plan import Plan
from routing.problem import Break, Place, Previous, Problem, Shift, Visit, Window
from routing.redraft import draft_of
from routing.solve import solve
from routing.stop import StopWhen
from tests.routing.make import HOUR, line, problem, problems, shift, visit

AM, PM = "li-wei/am", "li-wei/pm"
SOON = StopWhen(solutions=3)
OF_PEOPLE = frozenset({"skill_missing", "technician_not_allowed", "technician_forbidden", "pin_broken"})


def split_day(**changes: object) -> tuple[Shift, Shift]:
    """李伟 works in the morning, and again in the afternoon."""
    afternoon = {"start": 5 * HOUR, "end": 9 * HOUR, **changes}
    return shift(AM, technician="li-wei", end=4 * HOUR), shift(PM, technician="li-wei", **afternoon)


def stuck(**changes: object) -> Visit:
    """A visit under way since the third hour, which takes until the sixth."""
    values = {"frozen": True, "duration": 3 * HOUR, "previous": Previous(shift=AM, start=3 * HOUR), **changes}
    return visit("stuck", "depot", **values)


def starts(plan: Plan) -> dict[str, int]:
    return {stop.visit: stop.start for route in plan.routes for stop in route.stops}


def legal(case: Problem) -> Plan:
    plan = solve(case, SOON)
    assert violations(case, plan) == []
    return plan


def test_a_visit_that_lasts_into_the_next_shift_holds_it_up() -> None:
    missed = visit("missed", "depot", windows=(Window(start=5 * HOUR, end=6 * HOUR - 1),))
    plan = legal(problem(split_day(), (stuck(), missed, visit("next", "depot"))))
    assert starts(plan) == {"stuck": 3 * HOUR, "next": 6 * HOUR}
    assert [(one.visit, one.reasons[0].code) for one in plan.unplanned] == [("missed", "unreachable")]


def test_a_visit_under_way_that_takes_the_whole_next_shift_leaves_nothing_of_it() -> None:
    plan = legal(problem(split_day(), (stuck(duration=9 * HOUR), visit("next", "depot"))))
    assert (starts(plan), [one.visit for one in plan.unplanned]) == ({"stuck": 3 * HOUR}, ["next"])


def test_a_break_that_went_by_before_the_next_shift_could_begin_is_not_asked_for() -> None:
    tea = Break(earliest=5 * HOUR, latest=5 * HOUR + 60, duration=600)
    supper = Break(earliest=7 * HOUR, latest=7 * HOUR + 60, duration=600)
    case = problem(split_day(breaks=(tea, supper)), (stuck(), visit("next", "depot")))
    plan = legal(case)
    assert [(rest.start, rest.end) for route in plan.routes for rest in route.rests] == [(7 * HOUR, 7 * HOUR + 600)]
    assert [(one.code, one.shift) for one in in_force(case).misfits] == [("late_back", AM)]


def test_of_two_visits_under_way_the_one_of_the_next_shift_waits() -> None:
    other = visit("other", "depot", frozen=True, previous=Previous(shift=PM, start=5 * HOUR))
    case = problem(split_day(), (stuck(), other))
    plan = legal(case)
    assert starts(plan) == {"stuck": 3 * HOUR, "other": 6 * HOUR}
    early = [msgspec.structs.replace(stop, start=5 * HOUR, departure=6 * HOUR) for stop in plan.routes[1].stops]
    moved = msgspec.structs.replace(plan.routes[1], stops=tuple(early), leaves=5 * HOUR)
    found = violations(
        problem(split_day(), (stuck(), other)), msgspec.structs.replace(plan, routes=(plan.routes[0], moved))
    )
    assert "routes_overlap" in {one.code for one in found}


def test_the_referee_refuses_two_routes_of_one_person_at_once() -> None:
    own = visit("own", "depot", pin=None, windows=(Window(start=5 * HOUR, end=5 * HOUR),))
    case = problem(split_day(), (stuck(), own))
    apart = [solve(msgspec.structs.replace(case, visits=(one,)), SOON) for one in case.visits]
    both = msgspec.structs.replace(apart[0], routes=apart[0].routes + apart[1].routes)
    assert [(one.code, one.where) for one in violations(case, both)] == [("routes_overlap", PM)]


def test_an_area_without_the_first_shift_knows_when_the_next_can_begin() -> None:
    case = problem(split_day(), (stuck(), visit("next", "depot")))
    plane = mapped(case)
    assert plane.whole.begins == {PM: 6 * HOUR}
    area = plane.area([1], [1])
    assert [day.start for day in area.instance.shifts] == [6 * HOUR]
    assert np.array_equal(area.instance.eligible, [(0,)])


def test_what_is_published_for_the_next_shift_begins_when_its_technician_is_there() -> None:
    case = problem(split_day(), (stuck(), visit("next", "depot", previous=Previous(shift=PM, start=5 * HOUR))))
    now = in_force(case)
    assert starts(now.plan) == {"stuck": 3 * HOUR, "next": 6 * HOUR}
    assert [(one.code, one.shift) for one in now.misfits] == [("late_back", AM)]


def test_a_technician_may_have_to_wait_for_the_break_before_the_drive_home() -> None:
    """There are three hours to drive, so the break cannot follow it: home comes later than the shift ends."""
    late = Break(earliest=4 * HOUR, latest=5 * HOUR, duration=HOUR // 2)
    far = visit("far", "b", duration=0, frozen=True, previous=Previous(shift="li-wei/mon", start=3 * HOUR))
    case = problem(
        (shift(end=6 * HOUR, breaks=(late,)),), (far,), places=(Place(id="depot"), Place(id="b")),
        travel=line(2, 3 * HOUR),
    )  # fmt: skip
    assert legal(case).routes[0].end == 7 * HOUR + HOUR // 2


@settings(max_examples=40, deadline=None, suppress_health_check=(HealthCheck.too_slow,), derandomize=True)
@given(problems(), st.sampled_from((0, HOUR, 9 * HOUR)), st.data())
def test_days_whose_visits_under_way_last_longer_are_followed_and_planned_legally(
    case: Problem, longer: int, data: st.DataObject
) -> None:
    """Who was given a visit against the rules about people keeps it all the same."""
    under_way = {
        stop.visit: Previous(shift=route.shift, start=stop.start)
        for route in solve(case, SOON).routes
        for stop in route.stops[: data.draw(st.integers(0, 2))]
    }
    visits = (
        msgspec.structs.replace(
            one, frozen=True, pin=None, duration=one.duration + longer, previous=under_way[one.id]
        ) if one.id in under_way else one
        for one in case.visits
    )  # fmt: skip
    again = msgspec.structs.replace(case, visits=tuple(visits))
    now = in_force(again)
    assert {one.code for one in violations(now.problem, now.plan)} <= OF_PEOPLE | OF_PLANS_ONLY - {"cost_wrong"}
    draft_of(now.problem, now.plan)
    legal(again)
