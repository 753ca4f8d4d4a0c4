"""Reasons: proven ones hold against brute force, searched ones say what was tried, all make sentences."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from routing import exclusions, reach
from routing.differences import terms
from routing.draft import empty_draft, put_in_order
from routing.explain import Explainer
from routing.instance import prepare
from routing.obstacles import attempts, obstacle
from routing.plan import Reason
from routing.problem import Break, Follows, PartNeed, Pin, Place, Previous, Problem, VanStock, Window
from routing.reach import shortest_paths
from routing.solve import solve
from routing.stop import StopWhen
from routing.texts import Facts
from routing.travel import travel_table
from tests.routing.brute import can_ever_be_served, earliest_ever
from tests.routing.make import DAY, HOUR, line, problem, problems, shift, visit

QUICK = StopWhen(solutions=20)


def reason_of(single: Problem, name: str = "v1") -> Reason:
    plan = solve(single, QUICK)
    found = {one.visit: one.reasons for one in (*plan.unplanned, *plan.late)}
    (reason,) = found[name]
    for language in ("en", "zh"):
        assert "{" not in reason.sentence(language)
    return reason


def alone(shifts: tuple[Any, ...] = (shift(),), **changes: Any) -> Problem:
    return problem(shifts, (visit("v1", **changes),))


PROVEN: list[tuple[str, Problem, dict[str, Any]]] = [
    ("no_technicians", alone(()), {}),
    ("no_skill", alone(skills=("crane", "lift")), {"shifts": 1, "skills": ["crane", "lift"]}),
    ("not_allowed", alone(allowed_technicians=("zhao-min",)), {"skilled": 1}),
    ("not_allowed", alone(forbidden_technicians=("li-wei",)), {"skilled": 1}),
    ("pinned_away", alone(pin=Pin(technician="zhao-min")), {"pinned": "zhao-min"}),
    ("too_long", alone(duration=9 * HOUR), {"duration": 9 * HOUR, "longest": 8 * HOUR}),
    ("no_shift_in_window", alone(windows=(Window(start=9 * HOUR, end=DAY),)), {"candidates": 1}),
    ("no_shift_in_window", alone(earliest=7 * HOUR + 1), {"candidates": 1}),
    ("unreachable", alone(windows=(Window(start=0, end=60),)), {"candidates": 1}),
    ("unreachable", alone(duration=8 * HOUR), {"candidates": 1}),
    ("overdue", alone(commitment_due=-60), {"overdue": 60}),
]


@pytest.mark.parametrize(
    ("code", "single", "facts"), PROVEN, ids=[f"{code}{n}" for n, (code, _, _) in enumerate(PROVEN)]
)
def test_what_the_rules_exclude_is_called_proven(code: str, single: Problem, facts: dict[str, Any]) -> None:
    assert reason_of(single) == Reason(code=code, basis="proven", facts=facts)


def first_reason(whole: Problem, name: str = "v1") -> Reason:
    """Why the visit has no place while nothing has one."""
    base = empty_draft(prepare(whole))
    found = {one.visit: one.reasons[0] for one in Explainer(base, base).unplanned()}
    for language in ("en", "zh"):
        assert "{" not in found[name].sentence(language)
    return found[name]


PUMP = (PartNeed(part="pump", quantity=2),)


@pytest.mark.parametrize(
    ("whole", "expected"),
    [
        (alone(parts=PUMP, parts_ready=None), ("parts_missing", {"parts": ["pump"]})),
        (alone(parts=PUMP, parts_ready=7 * HOUR + 1), ("parts_missing", {"parts": ["pump"]})),
        (alone((shift(capacity=2), shift("b/mon", capacity=3)), load=4), ("van_too_small", {"load": 4, "largest": 3})),
        (alone((shift(), shift("b/mon", skills=())), technicians=2), ("crew_too_small", {"needed": 2, "most": 1})),
        (
            alone((shift(), shift("b/tue", start=DAY, end=DAY + 8 * HOUR)), technicians=2),
            ("crew_too_small", {"needed": 2, "most": 1}),
        ),
    ],
    ids=["no parts", "parts too late", "van", "crew", "crew on two days"],
)
def test_parts_vans_and_crews_that_are_not_there_are_proven(
    whole: Problem, expected: tuple[str, dict[str, Any]]
) -> None:
    code, facts = expected
    assert first_reason(whole) == Reason(code=code, basis="proven", facts=facts)


def test_parts_in_a_van_or_in_time_and_a_crew_at_once_prove_nothing() -> None:
    stock = VanStock(technician="li-wei", part="pump", quantity=2)
    for whole in (
        problem((shift(),), (visit("v1", parts=PUMP, parts_ready=None),), van_stock=(stock,)),
        alone(parts=PUMP, parts_ready=6 * HOUR),
        alone((shift(capacity=4),), load=4),
        alone((shift(), shift("b/mon", start=6 * HOUR, end=14 * HOUR)), technicians=2),
    ):
        assert first_reason(whole).basis == "searched"


def test_what_must_follow_a_visit_without_a_place_is_as_sure_as_that_one() -> None:
    after = visit("v2", follows=Follows(visit="v1"))
    proven = first_reason(problem((shift(),), (visit("v1", skills=("crane",)), after)), "v2")
    assert proven == Reason(code="follows_unplanned", basis="proven", facts={"followed": "v1"})
    assert first_reason(problem((shift(),), (visit("v1"), after)), "v2").basis == "searched"


def test_a_commitment_nobody_can_reach_in_time_says_when_somebody_could() -> None:
    reason = reason_of(problem((shift(),), (visit("v1", commitment_due=60),), travel=line(4, 1200)))
    assert reason == Reason(code="due_before_reachable", basis="proven", facts={"earliest": 1200, "due": 60})


def test_a_way_round_that_is_shorter_is_no_proof() -> None:
    """Straight to the north takes 10 hours, by way of the south two minutes: nothing is proven by going straight."""
    straight = ((0, 36000, 60, 60), (60, 0, 60, 60), (60, 60, 0, 60), (60, 60, 60, 0))
    table = msgspec.structs.replace(line(4, 60), seconds=straight)
    reason = reason_of(problem((shift(),), (visit("v1"),), travel=table))
    assert reason.basis == "searched"


def test_beyond_the_limit_for_shortest_paths_unreachable_is_only_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusions, "CLOSURE_PLACES", 3)
    monkeypatch.setattr(reach, "CLOSURE_PLACES", 3)
    reason = reason_of(alone(windows=(Window(start=0, end=60),)))
    assert (reason.code, reason.basis) == ("unreachable", "searched")


def test_no_room_says_what_was_tried_and_what_stood_in_the_way() -> None:
    full = problem((shift(),), (visit("big", "depot", duration=8 * HOUR, priority=1), visit("v1", "depot")))
    reason = reason_of(full)
    assert (reason.code, reason.basis) == ("no_room", "searched")
    assert reason.facts == {
        "tried": 2,
        "shifts": 1,
        "late_back": 2,
        "window_missed": 0,
        "later_visit_missed": 0,
        "no_break": 0,
        "van_full": 0,
    }


def test_each_obstacle_is_told_apart() -> None:
    noon = Break(earliest=4 * HOUR, latest=4 * HOUR, duration=HOUR)
    window = (Window(start=3 * HOUR, end=3 * HOUR),)
    visits = (
        visit("fixed", "depot", windows=window),
        visit("missed", "depot", windows=(Window(start=0, end=60),)),
        visit("pushes", "depot", duration=3 * HOUR + 60),
        visit("long", "depot", duration=7 * HOUR),
        visit("over_noon", "depot", duration=HOUR + 60),
    )
    instance = empty_draft(prepare(problem((shift(breaks=(noon,)),), visits))).instance
    assert obstacle(instance, 0, [0, 1], 1) == "window_missed"
    assert obstacle(instance, 0, [2, 0], 0) == "later_visit_missed"
    assert obstacle(instance, 0, [0, 3], 1) == "late_back"
    calm = empty_draft(prepare(problem((shift(end=8 * HOUR + 60, breaks=(noon,)),), visits))).instance
    assert obstacle(calm, 0, [3, 4], 1) == "no_break"


def test_room_that_would_make_others_late_is_called_dearer() -> None:
    due = visit("due", "depot", duration=4 * HOUR, priority=1, commitment_due=HOUR)
    early = visit("v1", "depot", duration=2 * HOUR, priority=4, windows=(Window(start=0, end=HOUR),))
    reason = reason_of(problem((shift(),), (due, early)))
    assert (reason.code, reason.basis) == ("costs_more", "searched")
    assert reason.facts["made_late"] == 1
    assert int(str(reason.facts["price"])) > int(str(reason.facts["unserved_price"]))


def told_at_nine(most_changes: int | None, **prices: int) -> Problem:
    """A customer was told of the first two hours, and v1 is due within the first."""
    told = visit("told", "depot", duration=2 * HOUR, told=True, previous=Previous(shift="li-wei/mon", start=0))
    whole = problem((shift(),), (told, visit("v1", "depot", commitment_due=HOUR)), most_changes=most_changes)
    return msgspec.structs.replace(whole, prices=msgspec.structs.replace(whole.prices, **prices))


def test_a_visit_late_because_no_more_may_change_says_so() -> None:
    facts: Facts = {"due": HOUR, "tried": 2, "feasible": 0, "over": 1, "allowed": 0}
    assert reason_of(told_at_nine(0)) == Reason(code="change_budget_in_time", basis="searched", facts=facts)
    assert solve(told_at_nine(1), QUICK).late == ()


def test_a_place_too_dear_anyway_is_not_blamed_on_the_budget_of_changes() -> None:
    """李伟's customer was told a time, 周涛's is due at once: v1 before either costs more than leaving it out."""
    told = visit("told", "depot", duration=2 * HOUR, told=True, previous=Previous(shift="li-wei/mon", start=0))
    due = visit("due", "depot", priority=1, commitment_due=0, previous=Previous(shift="zhou-tao/mon", start=0))
    early = visit("v1", "depot", windows=(Window(start=0, end=HOUR // 2),))
    whole = problem((shift(), shift("zhou-tao/mon")), (told, due, early), most_changes=0)
    assert reason_of(whole).code == "change_budget"
    dear = msgspec.structs.replace(whole, prices=msgspec.structs.replace(whole.prices, told_moved=150_000_000))
    assert reason_of(dear).code == "costs_more"


def test_what_changes_too_much_is_never_counted_as_possible() -> None:
    """Moving the told customer is the dearer of the two places, and forbidden all the same."""
    base = empty_draft(prepare(told_at_nine(0, told_moved=900_000_000)))
    put_in_order(base, 0, [0])
    tries = attempts(base, 1, 20)
    assert (tries.tried, [start for start, _ in tries.found], [start for start, _ in tries.over_budget]) == (
        2, [2 * HOUR], [0],
    )  # fmt: skip
    assert sorted(base.unplanned) == [1]


def test_a_visit_late_for_the_sake_of_others_says_what_was_tried() -> None:
    rivals = tuple(
        visit(name, "depot", duration=4 * HOUR, priority=priority, commitment_due=HOUR)
        for name, priority in (("first", 1), ("v1", 4))
    )
    reason = reason_of(problem((shift(),), rivals))
    assert (reason.code, reason.basis) == ("no_earlier_room", "searched")
    assert (reason.facts["due"], reason.facts["feasible"]) == (HOUR, 1)


def test_a_crew_or_a_follower_that_comes_late_is_not_said_to_have_been_tried_alone() -> None:
    urgent = tuple(visit(name, "depot", duration=4 * HOUR, priority=1, commitment_due=0) for name in ("a", "b"))
    crew = visit("v1", "depot", priority=4, technicians=2, commitment_due=HOUR)
    bound = Reason(code="no_earlier_as_bound", basis="searched", facts={"due": HOUR})
    assert reason_of(problem((shift(), shift("zhou-tao/mon")), (*urgent, crew))) == bound

    first = visit("first", "depot", duration=2 * HOUR)
    after = visit("v1", "depot", follows=Follows(visit="first"), commitment_due=HOUR)
    assert reason_of(problem((shift(),), (first, after))) == bound


def test_a_search_cut_short_says_that_room_was_found() -> None:
    crowd = problem((shift(),), tuple(visit(f"v{index}", "depot", duration=60) for index in range(3)))
    plan = solve(crowd, StopWhen(seconds=60, cancelled=lambda: True))
    assert plan.status == "cancelled"
    assert {one.reasons[0].code for one in plan.unplanned} == {"not_settled"}
    late = problem(
        (shift(),),
        (
            visit("v1", "depot", commitment_due=0, previous=Previous(shift="li-wei/mon", start=99)),
            visit("v2", "depot", duration=HOUR, previous=Previous(shift="li-wei/mon", start=0)),
        ),
    )
    settled = solve(late, StopWhen(seconds=60, cancelled=lambda: True))
    assert [one.reasons[0].code for one in settled.late] == ["not_settled"]


def test_a_frozen_visit_behind_time_is_late_for_a_reason() -> None:
    frozen = visit("v1", frozen=True, previous=Previous(shift="li-wei/mon", start=2 * HOUR), commitment_due=HOUR)
    reason = reason_of(problem((shift(),), (frozen,)))
    assert reason == Reason(code="due_before_reachable", basis="proven", facts={"earliest": 2 * HOUR, "due": HOUR})


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        (
            {"commitment_due": HOUR, "promise": Window(start=0, end=2 * HOUR)},
            ["no_earlier_room", "no_room_as_promised"],
        ),
        ({"commitment_due": -60, "promise": Window(start=0, end=2 * HOUR)}, ["overdue", "no_room_as_promised"]),
        ({"commitment_due": HOUR, "promise": Window(start=0, end=5 * HOUR)}, ["no_earlier_room"]),
    ],
)
def test_a_visit_that_misses_commitment_and_appointment_says_why_for_each(
    changes: dict[str, Any], codes: list[str]
) -> None:
    first = visit("first", "depot", duration=4 * HOUR, priority=1, commitment_due=0)
    plan = solve(problem((shift(),), (first, visit("v1", "depot", priority=4, **changes))), QUICK)
    (late,) = plan.late
    assert [one.code for one in late.reasons] == codes
    for one in late.reasons:
        for language in ("en", "zh"):
            assert "{" not in one.sentence(language)


def test_a_visit_that_misses_its_appointment_only_says_why() -> None:
    first = visit("first", "depot", duration=4 * HOUR, priority=1, commitment_due=0)
    promised = visit("v1", "depot", priority=4, commitment_due=48 * HOUR, promise=Window(start=0, end=2 * HOUR))
    plan = solve(problem((shift(),), (first, promised)), QUICK)
    (late,) = plan.late
    assert (late.visit, late.late_seconds, late.promise_late_seconds) == ("v1", 0, 2 * HOUR)
    assert [(one.code, one.facts["due"]) for one in late.reasons] == [("no_room_as_promised", 2 * HOUR)]
    assert terms(plan).late == 0, "the commitment is kept"

    far = visit("v1", commitment_due=48 * HOUR, promise=Window(start=0, end=120))
    reason = reason_of(problem((shift(),), (far,), travel=line(4, 1_200)))
    facts: Facts = {"earliest": 1_200, "due": 120}
    assert reason == Reason(code="promise_before_reachable", basis="proven", facts=facts)


def test_an_appointment_nobody_can_keep_is_proven() -> None:
    far = visit("v1", commitment_due=60, promise=Window(start=0, end=120))
    plan = solve(problem((shift(),), (far,), travel=line(4, 1_200)), QUICK)
    assert [(one.code, one.basis, one.facts["earliest"]) for one in plan.late[0].reasons] == [
        ("due_before_reachable", "proven", 1_200), ("promise_before_reachable", "proven", 1_200),
    ]  # fmt: skip


def test_what_no_time_was_left_for_is_said_not_to_have_been_looked_at_but_what_is_proven_stays_proven() -> None:
    base = empty_draft(prepare(problem((shift(),), (visit("v1"), visit("crane", skills=("crane",))))))
    free, skill = Explainer(base, base, until=0.0).unplanned()
    assert (free.reasons[0].code, free.reasons[0].basis) == ("not_looked_at", "searched")
    assert (skill.reasons[0].code, skill.reasons[0].basis) == ("no_skill", "proven")


def test_a_long_chain_without_a_place_is_explained() -> None:
    chain = [visit("v0", skills=("crane",))]
    chain += [visit(f"v{number}", follows=Follows(visit=f"v{number - 1}")) for number in range(1, 1_200)]
    reason = first_reason(problem((shift(),), tuple(chain)), "v1199")
    assert reason == Reason(code="follows_unplanned", basis="proven", facts={"followed": "v1198"})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(problems(most_visits=4, most_shifts=3))
def test_reasons_marked_proven_hold_against_brute_force(random_problem: Problem) -> None:
    plan = solve(random_problem, StopWhen(solutions=4))
    for one in plan.unplanned:
        if one.reasons[0].basis == "proven":
            assert not can_ever_be_served(random_problem, one.visit)
    for late in plan.late:
        for reason in late.reasons:
            if reason.code in {"due_before_reachable", "promise_before_reachable"}:
                earliest = earliest_ever(random_problem, late.visit)
                assert earliest is not None
                assert earliest >= int(str(reason.facts["earliest"]))
                assert earliest > int(str(reason.facts["due"]))


def test_shortest_paths_go_round() -> None:
    places = tuple(Place(id=str(index)) for index in range(3))
    table = msgspec.structs.replace(line(3, 60), seconds=((0, 500, 100), (500, 0, 100), (100, 100, 0)))
    seconds = travel_table(Problem(places=places, shifts=(), visits=(), travel=table)).seconds
    assert shortest_paths(seconds).tolist() == [[0, 200, 100], [200, 0, 100], [100, 100, 0]]
