"""Plans with crews and with visits that follow others: places offered, moves tried, what is in force, pieces joined."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from routing.answers import Placement, WhatIf
from routing.check import Violation, violations
from routing.cutting import cut
from routing.in_force import in_force
from routing.insertion import insert, propose
from routing.live import OF_PLANS_ONLY, proposals, what_if
from routing.pieces import join
from routing.plan import Plan, Progress, Unplanned
from routing.problem import Follows, PartNeed, Pin, Previous, Problem, ProblemError, VanStock, Visit, Window
from routing.redraft import draft_of, plan_of
from routing.solve import solve
from routing.stop import StopWhen
from routing.why import why
from tests.routing.make import HOUR, problem, problems, put_in_force, shift, visit

LI_WEI, ZHANG_QIANG, WANG_LEI = "li-wei/mon", "zhang-qiang/mon", "wang-lei/mon"
SOON = StopWhen(solutions=4)
RANDOM = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def day(*visits: Visit, people: tuple[str, ...] = (LI_WEI, ZHANG_QIANG)) -> Problem:
    """A Monday of 李伟 and 张强, or of these people."""
    return problem(tuple(shift(name) for name in people), visits)


def frozen(name: str, on: str, **changes: Any) -> Visit:
    """A visit that takes somebody's whole day, and is under way."""
    return visit(name, "depot", duration=8 * HOUR, frozen=True, previous=Previous(shift=on, start=0), **changes)


def starts(plan: Plan, name: str) -> dict[str, int]:
    """Where and when a visit starts, by shift."""
    return {route.shift: stop.start for route in plan.routes for stop in route.stops if stop.visit == name}


def carried_out(case: Problem, plan: Plan, seen: WhatIf) -> list[Violation]:
    """What the referee says of the plan after a move, but of reasons, which a move has none of."""
    routes = (*(route for route in plan.routes if route.shift not in seen.shifts), *seen.routes)
    cost = {name: getattr(plan.cost, name) + getattr(seen.cost, name) for name in plan.cost.__struct_fields__}
    served = {stop.visit for route in routes for stop in route.stops}
    left = tuple(Unplanned(visit=one.id, reasons=()) for one in case.visits if one.id not in served)
    changed = msgspec.structs.replace(plan, routes=routes, unplanned=left, cost=type(plan.cost)(**cost), late=())
    return [one for one in violations(case, changed) if one.code not in OF_PLANS_ONLY - {"cost_wrong"}]


# --- places in a plan ---------------------------------------------------------------------------------------------


@RANDOM
@given(problems(coupled=True), st.data())
def test_every_place_that_is_offered_can_be_taken_and_passes_the_referee(case: Problem, data: st.DataObject) -> None:
    plan = solve(case, SOON)
    if data.draw(st.booleans()):
        case = data.draw(put_in_force(case, plan, most_changes=False))
        plan = solve(case, SOON)
    assert draft_of(case, plan).price() == plan.cost.total
    urgent = visit("urgent", case.places[0].id, priority=1, skills=(), duration=HOUR // 2)
    grown = msgspec.structs.replace(case, visits=(*case.visits, urgent))
    bound = any(len(starts(plan, one.id)) > 1 or one.follows is not None for one in case.visits)
    for name in ("urgent", *(one.visit for one in plan.unplanned)):
        known = grown if name == "urgent" else case
        offered = propose(known, plan, name, limit=20)
        event(f"offered beside coupled visits: {bound and bool(offered)}")
        for one in offered:
            changed = insert(known, plan, one)  # judged by the referee
            assert starts(changed, name) == {one.shift: one.start}


@RANDOM
@given(problems(coupled=True, most_visits=5), st.data())
def test_a_move_that_is_said_to_work_passes_the_referee(case: Problem, data: st.DataObject) -> None:
    plan = solve(case, SOON)
    if not case.visits or not case.shifts:
        return
    wanted = data.draw(st.sampled_from(case.visits))
    for on in (None, *case.shifts):
        at = data.draw(st.none() | st.integers(0, 8 * HOUR))
        seen = what_if(case, plan, Placement(visit=wanted.id, shift=on and on.id, at=at))
        event(f"works: {seen.broken is None or seen.broken.soft}")
        if seen.broken is None or seen.broken.soft:
            assert carried_out(case, plan, seen) == [], carried_out(case, plan, seen)
    for one in proposals(case, plan, wanted.id):
        broken = what_if(case, plan, Placement(visit=wanted.id, shift=one.shift)).broken
        assert broken is None or broken.soft, (broken, one)


def test_a_place_before_a_crews_visit_is_offered_only_where_it_still_starts_together() -> None:
    pair = visit("pair", "north", technicians=2, windows=(Window(start=2 * HOUR, end=6 * HOUR),))
    plan = solve(day(pair), SOON)
    (begins,) = set(starts(plan, "pair").values())
    long = visit("urgent", "depot", duration=3 * HOUR)
    offered = propose(day(pair, long), plan, "urgent", limit=20)
    assert {one.position for one in offered} == {1}
    short = visit("urgent", "depot", duration=HOUR // 2)
    for one in propose(day(pair, short), plan, "urgent", limit=20):
        assert set(starts(insert(day(pair, short), plan, one), "pair").values()) == {begins}


def test_nobody_is_offered_a_crews_visit_alone() -> None:
    plan = solve(day(visit("other")), SOON)
    grown = day(visit("other"), visit("pair", technicians=2))
    assert propose(grown, plan, "pair") == ()
    seen = what_if(grown, plan_of(draft_of(grown, plan)), Placement(visit="pair", shift=LI_WEI))
    assert seen.broken is not None
    assert (seen.broken.code, seen.broken.facts) == ("rule", {"rule": "crew_apart", "detail": "2"})


def test_what_follows_is_offered_places_behind_what_it_follows() -> None:
    first = visit("first", "depot", windows=(Window(start=2 * HOUR, end=3 * HOUR),))
    plan = solve(day(first), SOON)
    after = visit("after", "depot", follows=Follows(visit="first", least_gap=HOUR, same_technician=True))
    found = propose(day(first, after), plan, "after", limit=20)
    (on,) = starts(plan, "first")
    assert {(one.shift, one.position) for one in found} == {(on, 1)}
    assert insert(day(first, after), plan, found[0]).unplanned == ()


# --- a move on the board ------------------------------------------------------------------------------------------


def board() -> tuple[Problem, Plan]:
    """李伟 does the first visit, then the one that follows it; 张强 another one."""
    first = visit("first", "depot", previous=Previous(shift=LI_WEI, start=0))
    after = visit("after", "depot", follows=Follows(visit="first"), previous=Previous(shift=LI_WEI, start=4 * HOUR))
    other = visit("other", "depot", previous=Previous(shift=ZHANG_QIANG, start=0))
    now = in_force(day(first, after, other))
    return now.problem, now.plan


def test_what_others_follow_cannot_be_taken_off_and_only_moves_to_before_them() -> None:
    case, plan = board()
    seen = what_if(case, plan, Placement(visit="first", shift=None))
    assert seen.broken is not None
    assert seen.broken.facts["rule"] == "follows_nothing"
    late = what_if(case, plan, Placement(visit="first", shift=ZHANG_QIANG, at=5 * HOUR))
    assert late.broken is not None
    assert (late.broken.code, late.broken.facts["rule"]) == ("rule", "follows_gap")
    soon = what_if(case, plan, Placement(visit="first", shift=ZHANG_QIANG, at=2 * HOUR))
    assert (soon.broken, soon.start) == (None, 2 * HOUR)


def test_a_rule_between_routes_is_seen_though_the_plan_in_force_has_half_a_crew() -> None:
    half = visit("pair", "depot", technicians=2, previous=Previous(shift=WANG_LEI, start=0))
    first = visit("first", "depot", previous=Previous(shift=LI_WEI, start=0))
    after = visit(
        "after", "depot", follows=Follows(visit="first"), previous=Previous(shift=ZHANG_QIANG, start=2 * HOUR)
    )
    now = in_force(day(half, first, after, people=(LI_WEI, ZHANG_QIANG, WANG_LEI)))
    assert "crew_incomplete" in {one.code for one in violations(now.problem, now.plan)}
    seen = what_if(now.problem, now.plan, Placement(visit="first", shift=None))
    assert seen.broken is not None
    assert seen.broken.facts["rule"] == "follows_nothing"
    assert what_if(now.problem, now.plan, Placement(visit="after", shift=LI_WEI)).broken is None


def test_half_a_crew_that_was_pinned_to_somebody_else_since_is_still_where_it_is() -> None:
    half = visit("pair", technicians=2, pin=Pin(technician="li-wei"), previous=Previous(shift=ZHANG_QIANG, start=HOUR))
    now = in_force(day(half))
    assert starts(now.plan, "pair").keys() == {ZHANG_QIANG}
    assert why(now.problem, now.plan, "pair").technician == "zhang-qiang"


def test_a_crew_is_taken_off_as_a_whole() -> None:
    case = day(visit("pair", technicians=2))
    plan = solve(case, SOON)
    assert len(starts(plan, "pair")) == 2
    seen = what_if(case, plan, Placement(visit="pair", shift=None))
    assert (seen.broken, seen.routes, sorted(seen.shifts)) == (None, (), sorted([LI_WEI, ZHANG_QIANG]))
    assert seen.cost.unserved > -seen.cost.travel > 0
    assert carried_out(case, plan, seen) == []


# --- in force -----------------------------------------------------------------------------------------------------


def test_who_follows_waits_for_what_is_late_and_a_crew_for_the_last_of_it() -> None:
    first = visit("first", "depot", frozen=True, previous=Previous(shift=LI_WEI, start=0), duration=3 * HOUR)
    after = visit("after", "depot", follows=Follows(visit="first"), previous=Previous(shift=ZHANG_QIANG, start=HOUR))
    now = in_force(day(first, after))
    assert starts(now.plan, "after") == {ZHANG_QIANG: 3 * HOUR}
    without_reasons = {"unplanned_without_reason", "late_without_reason"}
    assert {one.code for one in violations(now.problem, now.plan)} <= without_reasons
    pair, before = visit("pair", "depot", technicians=2), visit("before", "depot", duration=2 * HOUR)
    waited = in_force(day(pair, before), {LI_WEI: ["before", "pair"], ZHANG_QIANG: ["pair"]})
    assert starts(waited.plan, "pair") == {LI_WEI: 2 * HOUR, ZHANG_QIANG: 2 * HOUR}
    assert violations(waited.problem, waited.plan) == []


def test_what_is_under_way_stays_so_whatever_becomes_of_what_it_follows() -> None:
    never, later = visit("first", skills=("crane",)), visit("first", "depot", earliest=4 * HOUR)
    under_way = visit(
        "after", "depot", follows=Follows(visit="first"), frozen=True, previous=Previous(shift=LI_WEI, start=0)
    )
    for first in (never, later):
        case = day(first, under_way, visit("third", follows=Follows(visit="after")))
        plan = solve(case, SOON)  # judged by the referee
        assert starts(plan, "after") == {LI_WEI: 0}
        assert starts(plan, "third")
        assert starts(in_force(case).plan, "after") == {LI_WEI: 0}


def test_a_crew_in_force_stays_where_no_more_may_change_though_others_are_nearer() -> None:
    far = shift(LI_WEI, start_place="east", end_place="east")
    before = Previous(shift=LI_WEI, start=2 * HOUR)
    pair, after = visit("pair", "depot", technicians=2, previous=before), Follows(visit="pair")
    case = problem((far, shift(ZHANG_QIANG), shift(WANG_LEI)), (pair, visit("after", "depot", follows=after)))
    assert starts(solve(case, SOON), "pair").keys() == {ZHANG_QIANG, WANG_LEI}
    kept = solve(msgspec.structs.replace(case, most_changes=0), SOON)
    assert LI_WEI in starts(kept, "pair")
    assert starts(kept, "after")


def test_who_stops_at_once_is_told_that_a_crew_was_not_looked_for() -> None:
    case = day(visit("pair", "depot", technicians=2), visit("after", follows=Follows(visit="pair")))
    plan = solve(case, StopWhen(seconds=60, cancelled=lambda: True))
    told = {one.visit: one.reasons[0].code for one in plan.unplanned}
    assert told == {"pair": "no_turn", "after": "follows_unplanned"}
    assert violations(case, plan) == []
    joined = join(case, [plan], seed=1)
    assert {one.visit: one.reasons[0].code for one in joined.unplanned} == told, "joining looks for no place either"


def test_crews_in_force_use_up_no_budget_of_changes_by_being_looked_at_last() -> None:
    previous = [Previous(shift=shift, start=2 * HOUR) for shift in (LI_WEI, ZHANG_QIANG)]
    pairs = [visit(f"pair{number}", technicians=2, previous=previous[number]) for number in range(2)]
    case = msgspec.structs.replace(day(*pairs, visit("new")), most_changes=0)
    for stop in (StopWhen(seconds=60, cancelled=lambda: True), StopWhen(seconds=1e-6)):
        kept = solve(case, stop)
        assert violations(case, kept) == []
        assert LI_WEI in starts(kept, "pair0")
        assert ZHANG_QIANG in starts(kept, "pair1")
    assert starts(kept, "new"), "out of time, what has come in is still put in"


def test_a_visit_in_a_plan_more_often_than_it_needs_people_is_refused() -> None:
    case = day(visit("pair", technicians=2))
    plan = solve(case, SOON)
    with pytest.raises(ProblemError, match="pair"):
        draft_of(day(visit("pair")), plan)
    assert len(draft_of(day(visit("pair", technicians=3)), plan).unplanned) == 1


# --- reasons and progress -----------------------------------------------------------------------------------------


def test_a_crew_that_can_never_be_is_proven_and_a_pinned_one_is_no_smaller() -> None:
    pinned = visit("pair", technicians=2, priority=4, pin=Pin(technician="li-wei"))
    assert len(starts(solve(day(pinned), SOON), "pair")) == 2
    never = problem((shift(LI_WEI), shift(ZHANG_QIANG, skills=())), (pinned,))
    (left,) = solve(never, SOON).unplanned
    assert [(one.code, one.basis, one.facts) for one in left.reasons] == [
        ("crew_too_small", "proven", {"needed": 2, "most": 1})
    ]
    full = day(pinned, frozen("busy", ZHANG_QIANG))
    (searched,) = [one for one in solve(full, SOON).unplanned if one.visit == "pair"]
    assert [(one.code, one.basis, one.facts) for one in searched.reasons] == [
        ("no_common_start", "searched", {"needed": 2, "able": 2})
    ]


def test_progress_counts_visits_and_not_the_people_they_need() -> None:
    case = day(visit("four", technicians=4), visit("pair", technicians=2, commitment_due=1), visit("one"))
    said: list[Progress] = []
    plan = solve(case, SOON, on_progress=said.append)
    assert len(plan.unplanned) == 1
    for one in said:
        assert 0 <= one.served <= 3
        assert one.served + one.unplanned == 3
    assert (said[-1].served, said[-1].unplanned, said[-1].late) == (2, 1, 1)


# --- pieces -------------------------------------------------------------------------------------------------------


def test_pieces_with_crews_and_full_vans_join_to_the_plan_they_make() -> None:
    east = (shift("a/mon", start=HOUR), shift("b/mon", start=2 * HOUR, end=9 * HOUR))
    west = (shift("c/mon"), shift("d/mon", technician="d"))
    wanted = (
        visit("pair", "north", technicians=2), visit("after", "east", follows=Follows(visit="pair")),
        visit("parts", "south", parts=(PartNeed(part="belt"),), parts_ready=None), visit("far", technicians=3),
    )  # fmt: skip
    stock = (VanStock(technician="c", part="belt", quantity=1), VanStock(technician="a", part="belt", quantity=5))
    whole = problem((*east, *west), wanted, van_stock=stock)
    groups = {"a/mon": "east", "b/mon": "east", "pair": "east", "after": "east"}
    pieces = cut(whole, groups)
    assert [[one.id for one in piece.visits] for piece in pieces] == [["parts", "far"], ["pair", "after"]]
    joined = join(whole, [solve(piece, SOON) for piece in pieces], seed=1)
    assert starts(joined, "pair").keys() == {"a/mon", "b/mon"}
    assert starts(joined, "parts").keys() == {"c/mon"}
    assert [one.visit for one in joined.unplanned] == ["far"]


@settings(RANDOM, max_examples=8)
@given(problems(coupled=True, most_visits=8))
def test_whatever_is_cut_joins_to_a_legal_plan(whole: Problem) -> None:
    people = sorted({one.technician for one in whole.shifts})
    groups = {one.id: "ab"[people.index(one.technician) % 2] for one in whole.shifts}
    pieces = cut(whole, groups | {one.id: "ab"[number % 2] for number, one in enumerate(whole.visits)})
    event(f"pieces: {len(pieces)}")
    plans = [solve(piece, SOON) for piece in pieces]
    assert list(_orders(join(whole, plans, seed=0))) == sorted(order for plan in plans for order in _orders(plan))


def _orders(plan: Plan) -> Iterator[tuple[str, list[str]]]:
    yield from sorted((route.shift, [stop.visit for stop in route.stops]) for route in plan.routes)
