"""An urgent visit goes into one route and breaks nobody else's commitment."""

import statistics
import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from routing.answers import Proposal
from routing.check import violations
from routing.draft import empty_draft
from routing.insertion import insert, propose
from routing.instance import prepare
from routing.plan import Plan
from routing.problem import Previous, Problem, ProblemError, Visit, Window
from routing.scan import candidates, cheapest_insertion
from routing.solve import solve
from routing.stop import StopWhen
from tests.routing.make import DAY, HOUR, city_week, problem, problems, shift, visit


def with_visit(known: Problem, urgent: Visit) -> Problem:
    return msgspec.structs.replace(known, visits=(*known.visits, urgent))


def kept(plan: Plan) -> set[str]:
    """Visits whose commitment is kept, and, apart, whose promise is."""
    stops = [stop for route in plan.routes for stop in route.stops]
    return {stop.visit for stop in stops if stop.slack_seconds is not None and stop.slack_seconds >= 0} | {
        f"{stop.visit} promise" for stop in stops if not stop.promise_late_seconds
    }


@pytest.fixture(scope="module")
def week() -> Problem:
    return city_week(240, 20, 2, breaks=True)


@pytest.fixture(scope="module")
def plan(week: Problem) -> Plan:
    return solve(week, StopWhen(solutions=150))


def test_urgent_visits_change_one_route_and_break_nothing_in_milliseconds(week: Problem, plan: Plan) -> None:
    spent: list[float] = []
    placed = 0
    for number in range(25):
        urgent = visit(
            f"urgent{number}",
            f"p{number * 29 % 80}",
            priority=1,
            commitment_due=6 * HOUR + number * 7919 % (2 * DAY - 6 * HOUR),
            skills=(("lift", "escalator")[number % 2],),
        )
        grown = with_visit(week, urgent)
        started = time.process_time()
        proposals = propose(grown, plan, urgent.id)
        spent.append(time.process_time() - started)
        if not proposals:
            continue
        placed += 1
        changed = insert(grown, plan, proposals[0])
        assert violations(grown, changed) == []
        others = [[route for route in one.routes if route.shift != proposals[0].shift] for one in (plan, changed)]
        assert others[0] == others[1]
        assert kept(plan) <= kept(changed)
        assert changed.cost.total - plan.cost.total == proposals[0].added_cost
    assert placed >= 15
    assert statistics.median(spent) < 0.1


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(problems())
def test_every_proposal_on_any_plan_is_legal_and_keeps_the_others(random_problem: Problem) -> None:
    if not random_problem.visits:
        return
    urgent = msgspec.structs.replace(random_problem.visits[0], id="urgent", previous=None, pin=None)
    plan = solve(random_problem, StopWhen(solutions=4))
    grown = with_visit(random_problem, urgent)
    proposals = propose(grown, plan, "urgent")
    assert [one.added_cost for one in proposals] == sorted(one.added_cost for one in proposals)
    for proposal in proposals:
        changed = insert(grown, plan, proposal)
        assert violations(grown, changed) == []
        assert kept(plan) <= kept(changed)
        assert proposal.route in changed.routes


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(problems(frozen=True))
def test_bounds_pass_over_no_place_that_is_cheaper(random_problem: Problem) -> None:
    """The search simulates only places whose bound could still win; `candidates` simulates all."""
    draft = empty_draft(prepare(random_problem))
    for number in sorted(draft.unplanned):
        cheapest = min((added for added, _, _ in candidates(draft, number)), default=None)
        found = cheapest_insertion(draft, number)
        assert (None if found is None else found.added) == cheapest
        if found is not None:
            draft.replace(found.shift, found.route)


def test_a_proposal_says_what_moves_and_by_how_much() -> None:
    day = problem((shift(),), (visit("first", "depot"), visit("second", "depot", earliest=HOUR)))
    plan = solve(day, StopWhen(solutions=20))
    urgent = visit("urgent", "depot", priority=1, duration=1800)
    proposals = propose(with_visit(day, urgent), plan, "urgent")
    best = proposals[0]
    assert (best.position, best.start, best.late_seconds, best.added_travel_seconds) == (0, 0, 0, 0)
    assert [(one.visit, one.start_before, one.start_after) for one in best.moved] == [
        ("first", 0, 1800),
        ("second", HOUR, HOUR + 1800),
    ]


def test_a_place_that_would_break_a_commitment_or_a_promise_is_not_offered() -> None:
    due = visit("due", "depot", commitment_due=60, duration=3 * HOUR)
    promised = visit("promised", "depot", promise=Window(start=3 * HOUR, end=3 * HOUR + 60), duration=5 * HOUR)
    day = problem((shift(),), (due, promised))
    plan = solve(day, StopWhen(solutions=20))
    urgent = visit("urgent", "depot", priority=1, duration=1800)
    assert propose(with_visit(day, urgent), plan, "urgent") == ()


def test_frozen_visits_stay_first() -> None:
    frozen = visit("frozen", "depot", frozen=True, previous=Previous(shift="li-wei/mon", start=0))
    day = problem((shift(),), (frozen,))
    plan = solve(day, StopWhen(solutions=5))
    proposals = propose(with_visit(day, visit("urgent", "depot", priority=1)), plan, "urgent")
    assert [one.position for one in proposals] == [1]


def test_an_unplanned_visit_can_be_put_in_later_and_lateness_is_explained() -> None:
    full = problem((shift(),), (visit("v1", "depot", duration=8 * HOUR), visit("v2", "depot", priority=4)))
    plan = solve(full, StopWhen(solutions=20))
    assert [one.visit for one in plan.unplanned] == ["v2"]
    overtime = msgspec.structs.replace(full, shifts=(shift(overtime_allowed=2 * HOUR),))
    (proposal,) = propose(overtime, plan, "v2", limit=1)
    changed = insert(overtime, plan, proposal)
    assert changed.unplanned == ()
    late = visit("late", "north", commitment_due=1, duration=60)
    grown = with_visit(overtime, late)
    after = insert(grown, changed, propose(grown, changed, "late")[0])
    assert [one.visit for one in after.late] == ["late"]
    later = visit("later", "depot", duration=60)
    last = with_visit(grown, later)
    still = insert(last, after, propose(last, after, "later")[0])
    assert [one.visit for one in still.late] == ["late"]


@pytest.mark.parametrize(
    ("name", "code"),
    [("ghost", "visit_unknown"), ("v1", "visit_planned")],
)
def test_only_a_known_unplanned_visit_can_be_put_in(name: str, code: str) -> None:
    day = problem((shift(),), (visit("v1"),))
    plan = solve(day, StopWhen(solutions=3))
    with pytest.raises(ProblemError) as refused:
        propose(day, plan, name)
    assert refused.value.code == code


def test_a_plan_of_another_problem_is_refused() -> None:
    day = problem((shift(),), (visit("v1"), visit("v2")))
    plan = solve(day, StopWhen(solutions=5))
    shorter = problem((shift(end=HOUR),), (visit("v1"), visit("v2"), visit("urgent")))
    fewer = problem((shift(),), (visit("v1"), visit("urgent")))
    other = problem((shift("zhao-min/mon"),), (visit("v1"), visit("v2"), visit("urgent")))
    for changed in (shorter, fewer, other):
        with pytest.raises(ProblemError) as refused:
            propose(changed, plan, "urgent")
        assert refused.value.code == "plan_contradicts_problem"


@pytest.mark.parametrize(
    "changes", [{"shift": "gone"}, {"position": 9}, {"position": -1}, {"shift": "zhang-qiang/mon"}]
)
def test_a_proposal_that_does_not_fit_any_more_is_refused(changes: dict[str, str | int]) -> None:
    day = problem((shift(), shift("zhang-qiang/mon", skills=())), (visit("v1"), visit("urgent")))
    calm = problem(day.shifts, (visit("v1"),))
    plan = solve(calm, StopWhen(solutions=3))
    proposal: Proposal = msgspec.structs.replace(propose(day, plan, "urgent")[0], **changes)
    with pytest.raises(ProblemError) as refused:
        insert(day, plan, proposal)
    assert refused.value.code == "plan_contradicts_problem"
