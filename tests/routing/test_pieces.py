"""Problems cut into pieces and their plans joined: nothing is lost or doubled, the referee passes the whole."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.check import violations
from routing.cutting import REST, cut, groups_kept
from routing.pieces import join
from routing.plan import Plan
from routing.problem import Follows, PartNeed, Pin, Previous, Problem, ProblemError, VanStock
from routing.solve import solve
from routing.stop import StopWhen
from tests.routing.make import city_week, problem, shift, visit

SOON = StopWhen(solutions=3)


def halves(of: Problem) -> dict[str, str]:
    """Technicians by turns to the east and the west, visits as well."""
    people = sorted({one.technician for one in of.shifts})
    side = {person: "east" if number % 2 else "west" for number, person in enumerate(people)}
    found = {one.id: side[one.technician] for one in of.shifts}
    return found | {one.id: "east" if number % 2 else "west" for number, one in enumerate(of.visits)}


def planned(of: Problem) -> Plan:
    return solve(of, SOON, seed=1)


@settings(max_examples=30)
@given(seed=st.integers(0, 30), visits=st.integers(4, 14), technicians=st.integers(2, 4))
def test_pieces_cover_the_whole_and_their_plans_join_to_a_legal_plan(seed: int, visits: int, technicians: int) -> None:
    whole = city_week(visits, technicians, 1, breaks=bool(seed % 2), step=7919 + 2 * seed)
    pieces = cut(whole, halves(whole))
    assert sorted(one.id for piece in pieces for one in piece.shifts) == sorted(one.id for one in whole.shifts)
    assert sorted(one.id for piece in pieces for one in piece.visits) == sorted(one.id for one in whole.visits)
    plans = [planned(piece) for piece in pieces]
    joined = join(whole, plans, seed=seed)
    assert violations(whole, joined) == []
    assert joined.seed == seed
    served = {stop.visit for plan in plans for route in plan.routes for stop in route.stops}
    assert {stop.visit for route in joined.routes for stop in route.stops} == served


def test_what_is_joined_area_by_area_is_what_is_joined_at_once() -> None:
    week = city_week(440, 30, 1, breaks=True)
    busy = msgspec.structs.replace(week, van_stock=(VanStock(technician="t1", part="belt", quantity=1),))
    parted = msgspec.structs.replace(busy.visits[5], parts=(PartNeed(part="belt"),), parts_ready=None)
    whole = msgspec.structs.replace(busy, visits=(*busy.visits[:5], parted, *busy.visits[6:]))
    plans = [planned(piece) for piece in cut(whole, halves(whole))]
    at_once, by_area = join(whole, plans, seed=1), join(whole, plans, seed=1, at_once=300)
    assert (by_area.routes, by_area.cost, by_area.status) == (at_once.routes, at_once.cost, at_once.status)
    assert [one.visit for one in by_area.unplanned] == [one.visit for one in at_once.unplanned]
    assert [one.visit for one in by_area.late] == [one.visit for one in at_once.late]
    with pytest.raises(ProblemError) as refused:
        join(msgspec.structs.replace(whole, shifts=whole.shifts[1:]), plans, seed=1, at_once=300)
    assert refused.value.code == "plan_contradicts_problem"


def test_a_visit_goes_where_somebody_is_able_pinned_or_had_it() -> None:
    week = problem(
        (shift("s1", technician="t1", skills=("cctv",)), shift("s2", technician="t2", skills=("elevator",))),
        (
            visit("able", skills=("elevator",)),
            visit("pinned", pin=Pin(technician="t2")),
            visit("had", previous=Previous(shift="s2", start=4000)),
            visit("allowed", allowed_technicians=("t2",)),
            visit("own"),
            visit("nobodys", skills=("diving",)),
        ),
    )
    groups = {one.id: "west" for one in week.visits} | {"s1": "west", "s2": "east"}
    kept = groups_kept(week, groups)
    assert {name for name, group in kept.items() if group == "east"} == {"s2", "able", "pinned", "had", "allowed"}


def test_what_is_tied_to_people_of_the_rest_is_planned_with_them() -> None:
    """The people of the unit itself are in the group REST, whose name is empty."""
    on = Previous(shift="s1", start=0)
    week = problem(
        (shift("s1", technician="t1"), shift("s2", technician="t2")),
        (
            visit("frozen", frozen=True, previous=on), visit("pinned", pin=Pin(shift="s1")),
            visit("to", pin=Pin(technician="t1")), visit("had", previous=on), visit("own"),
        ),
    )  # fmt: skip
    rest, east = cut(week, {one.id: "east" for one in (*week.visits, *week.shifts[1:])})
    assert [one.id for one in rest.visits] == ["frozen", "pinned", "to", "had"]
    assert [one.id for one in east.visits] == ["own"]
    assert [one.visit for one in join(week, [planned(rest), planned(east)], seed=1).unplanned] == []


def test_what_follows_each_other_stays_together() -> None:
    week = problem(
        (shift("s1", technician="t1"), shift("s2", technician="t2"), shift("s3", technician="t3")),
        (visit("first"), visit("second", follows=Follows(visit="first")), visit("other")),
    )
    groups = {"s1": "a", "first": "a", "s2": "b", "second": "b", "s3": "c", "other": "c"}
    assert [[one.id for one in piece.visits] for piece in cut(week, groups)] == [["first", "second"], ["other"]]


def test_a_group_without_technicians_joins_the_rest() -> None:
    week = problem((shift("s1", technician="t1"), shift("s2", technician="t2")), (visit("far"), visit("own")))
    groups = {"s1": "a", "own": "a", "far": "nobody works here"}
    kept = groups_kept(week, groups)
    assert kept["far"] == kept["s2"] == REST
    assert groups_kept(week, {"s1": "a", "s2": "a", "far": "b"})["far"] == "a"


def test_what_cannot_be_cut_stays_whole() -> None:
    week = city_week(6, 2, 1)
    assert cut(week, {}) == (week,)
    nobody = msgspec.structs.replace(week, shifts=())
    assert cut(nobody, halves(week)) == (nobody,)
    few_changes = msgspec.structs.replace(week, most_changes=1)
    assert cut(few_changes, halves(week)) == (few_changes,)


def test_one_technician_is_in_one_piece() -> None:
    week = problem(
        (
            shift("mon", technician="t1"),
            shift("tue", technician="t1", start=90_000, end=118_800),
            shift("s2", technician="t2"),
        ),
        (visit("v1"),),
    )
    kept = groups_kept(week, {"mon": "a", "tue": "b", "s2": "b", "v1": "b"})
    assert kept["mon"] == kept["tue"] == "a"
