"""Long work and old work is not put off for ever for what is quick, and nothing else about a visit changes."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.backlog import Backlog
from routing.check import violations
from routing.problem import Prices, Priority, Problem, ProblemError, Visit
from routing.solve import solve
from routing.stop import StopWhen
from routing.validate import validate
from tests.routing.make import CITY, HOUR, line, problem, shift, visit

PRICES = Prices()
MINUTE = 60
DAY = 24 * HOUR
PRIORITIES = st.sampled_from((1, 2, 3, 4))
WORK = st.integers(min_value=5 * MINUTE, max_value=8 * HOUR)
DUE = st.integers(min_value=-3 * DAY, max_value=5 * DAY)


def _price(backlog: Backlog, priority: Priority, work: int, due_in: int | None) -> float:
    """What a second of delay costs."""
    placed = backlog.placed(priority, work, due_in, PRICES)
    return PRICES.delay_second.of(placed.priority) * placed.delay_per_mille / 1_000


@given(PRIORITIES, WORK, WORK, st.none() | DUE)
def test_more_work_is_a_dearer_delay_but_not_dearer_by_the_hour(
    priority: Priority, one: int, other: int, due_in: int | None
) -> None:
    short, long = sorted((one, other))
    prices = [_price(Backlog(), priority, work, due_in) for work in (short, long)]
    assert prices[0] <= prices[1] + 0.1
    assert prices[0] / short >= prices[1] / long - 0.1


@given(PRIORITIES, WORK, DUE, DUE)
def test_what_is_due_sooner_is_never_cheaper(priority: Priority, work: int, one: int, other: int) -> None:
    sooner, later = (Backlog().placed(priority, work, due_in, PRICES) for due_in in sorted((one, other)))
    assert sooner.priority <= later.priority
    soon, late = (_price(Backlog(), priority, work, due_in) for due_in in sorted((one, other)))
    assert soon >= late - 0.1


@given(PRIORITIES, WORK, DUE, st.integers(min_value=0, max_value=DAY))
def test_plans_aim_early_while_that_can_be_had_and_never_past_the_commitment(
    priority: Priority, work: int, due_in: int, margin: int
) -> None:
    found = Backlog(margin=margin).placed(priority, work, due_in, PRICES).margin
    assert found == (margin if due_in > margin else 0)


def test_the_figures_of_an_hours_work() -> None:
    backlog = Backlog(margin=6 * HOUR, escalated=24 * HOUR, urgency=4)
    fresh, soon, due = (backlog.placed(3, HOUR, hours * HOUR, PRICES) for hours in (48, 24, 0))
    assert (fresh.priority, fresh.delay_per_mille, fresh.margin) == (3, 1_000, 6 * HOUR)
    assert (soon.priority, soon.delay_per_mille) == (2, 1_000)  # three times as dear, at a third of the price of P2
    assert (due.priority, due.delay_per_mille, due.margin) == (1, 500, 0)
    free = Prices(delay_second=msgspec.structs.replace(PRICES.delay_second, p2=0))
    assert backlog.placed(3, HOUR, 20 * HOUR, free).priority == 2


def _overload(backlog: Backlog | None) -> Problem:
    """More than today holds: two hours' work due tomorrow at noon, and half hours called in just now."""
    days = (shift(), shift("li-wei/tue", start=DAY, end=DAY + 8 * HOUR))
    called: list[tuple[str, int, int]] = [("long", 120, 28)]
    called += [(f"short{number}", 30, 48) for number in range(20)]
    return problem(
        days, tuple(_waiting(name, minutes * MINUTE, due * HOUR, backlog) for name, minutes, due in called),
        travel=line(len(CITY), 5 * MINUTE),
    )  # fmt: skip


def _waiting(name: str, work: int, due_in: int, backlog: Backlog | None) -> Visit:
    values: dict[str, Any] = {}
    if backlog is not None:
        placed = backlog.placed(3, work, due_in, PRICES)
        values = {
            "priority": placed.priority, "commitment_margin": placed.margin, "delay_per_mille": placed.delay_per_mille,
        }  # fmt: skip
    return visit(name, duration=work, commitment_due=due_in, **values)


@pytest.mark.parametrize(("backlog", "waits"), [(None, True), (Backlog(margin=0), False)])
def test_a_long_job_is_not_left_for_short_ones(backlog: Backlog | None, *, waits: bool) -> None:
    """Priced alike by the second, the long job is left for tomorrow, when it may be late; by its work, it is not."""
    asked = _overload(backlog)
    plan = solve(asked, StopWhen(solutions=3_000), seed=1)
    assert list(violations(asked, plan)) == []
    start = next(stop.start for route in plan.routes for stop in route.stops if stop.visit == "long")
    assert (start >= DAY) == waits
    assert not plan.unplanned


def test_within_the_margin_is_dear_but_not_late() -> None:
    """Only one can be first: the one with a margin, which costs as if it were late and is not called so."""
    pair = (
        visit("plain", commitment_due=3 * HOUR),
        visit("early", commitment_due=3 * HOUR, commitment_margin=2 * HOUR),
    )
    asked = problem((shift(),), pair, travel=line(len(CITY), 5 * MINUTE))
    plan = solve(asked, StopWhen(solutions=200), seed=1)
    assert list(violations(asked, plan)) == []
    assert [stop.visit for stop in plan.routes[0].stops] == ["early", "plain"]
    all_early = problem(
        (shift(),), tuple(msgspec.structs.replace(one, commitment_margin=2 * HOUR) for one in pair),
        travel=line(len(CITY), 5 * MINUTE),
    )  # fmt: skip
    dearer = solve(all_early, StopWhen(solutions=200), seed=1)
    assert dearer.late == ()
    assert dearer.cost.late > plan.cost.late == 0


@pytest.mark.parametrize("name", ["delay_per_mille", "commitment_margin"])
def test_figures_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(ProblemError, match=name):
        validate(problem((shift(),), (msgspec.structs.replace(visit("a"), **{name: -1}),)))
