"""Live questions about a plan: answered by a process that stays; whatever happens to it, there is an answer."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
import pytest

from backend.core.errors import Problem as Refused
from backend.dispatch import desk as desks
from backend.dispatch import runner
from backend.dispatch.child import Spares, planner
from backend.dispatch.desk import Desk, PlannerRefusedError, sheet_line
from backend.dispatch.runner import referee
from routing.check import violations
from routing.insertion import propose
from routing.limits import DESK_SHEETS
from routing.plan import Plan
from routing.problem import Problem
from routing.questions import Judge, Propose
from routing.solve import solve
from routing.stop import StopWhen
from tests.planning import children
from tests.routing.make import city_week

Sheet = Callable[[], Awaitable[bytes]]
MEMORY_MB = 4096


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk(MEMORY_MB)
    yield desk
    await desk.close()


@pytest.fixture(scope="module")
def week() -> tuple[Problem, Plan]:
    """A plan with one visit taken out of its longest route."""
    problem = city_week(16, 8, 1)
    plan = solve(problem, StopWhen(solutions=5), seed=1)
    longest = max(plan.routes, key=lambda route: len(route.stops))
    visit = longest.stops[0].visit
    left = msgspec.structs.replace(problem, visits=tuple(one for one in problem.visits if one.id != visit))
    plan = solve(left, StopWhen(solutions=5), seed=1)
    return problem, plan


def missing(week: tuple[Problem, Plan]) -> str:
    problem, plan = week
    planned = {stop.visit for route in plan.routes for stop in route.stops} | {one.visit for one in plan.unplanned}
    (visit,) = {one.id for one in problem.visits} - planned
    return visit


class Sent:
    """Brings the plan and counts how often it had to."""

    def __init__(self, week: tuple[Problem, Plan]) -> None:
        self.line = sheet_line(*week)
        self.times = 0

    async def __call__(self) -> bytes:
        self.times += 1
        return self.line


@pytest.mark.usefixtures("quick_planners")
async def test_the_answer_is_the_functions_and_the_plan_is_sent_once(desk: Desk, week: tuple[Problem, Plan]) -> None:
    sent, visit = Sent(week), missing(week)
    for _ in range(3):
        assert await desk.ask(Propose(visit=visit, limit=2), key="week", sheet=sent) == propose(*week, visit, limit=2)
    assert sent.times == 1
    (violation,) = await desk.ask(Judge(), key="week", sheet=sent)
    assert (violation.code, violation.where) == ("visit_missing", visit)


@pytest.mark.usefixtures("quick_planners")
async def test_a_question_the_planner_refuses_is_told_and_the_process_goes_on(
    desk: Desk, week: tuple[Problem, Plan]
) -> None:
    sent = Sent(week)
    with pytest.raises(PlannerRefusedError) as refused:
        await desk.ask(Propose(visit="moon"), key="week", sheet=sent)
    assert (refused.value.fault.code, refused.value.fault.where) == ("visit_unknown", "visit 'moon'")
    assert refused.value.fault.zh
    assert await desk.ask(Propose(visit=missing(week)), key="week", sheet=sent)
    assert sent.times == 1


@pytest.mark.usefixtures("quick_planners")
async def test_a_plan_let_go_of_is_sent_again(desk: Desk, week: tuple[Problem, Plan]) -> None:
    sent = Sent(week)
    for number in (*range(DESK_SHEETS + 1), 0):
        await desk.ask(Judge(), key=f"plan {number}", sheet=sent)
    assert sent.times == DESK_SHEETS + 2


async def test_the_process_dies_and_the_question_is_answered_by_the_next(
    desk: Desk, week: tuple[Problem, Plan]
) -> None:
    sent, before = Sent(week), children()
    assert await desk.ask(Judge(), key="week", sheet=sent)
    (process,) = children() - before
    os.kill(process, signal.SIGSTOP)
    asking = asyncio.create_task(desk.ask(Judge(), key="week", sheet=sent))
    await asyncio.sleep(0.05)
    os.kill(process, signal.SIGKILL)
    assert await asking
    assert sent.times == 2


async def test_a_question_that_takes_too_long_is_given_up(
    desk: Desk, week: tuple[Problem, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, before = Sent(week), children()
    assert await desk.ask(Judge(), key="week", sheet=sent)
    (process,) = children() - before
    os.kill(process, signal.SIGSTOP)
    monkeypatch.setattr(desks, "DESK_PATIENCE", 0.1)
    with pytest.raises(Refused) as refused:
        await desk.ask(Judge(), key="week", sheet=sent)
    assert refused.value.fault.code == "desk_slow"
    assert process not in children()
    monkeypatch.undo()
    assert await desk.ask(Judge(), key="week", sheet=sent)


async def test_a_process_that_never_comes_up_is_told(week: tuple[Problem, Plan]) -> None:
    desk = Desk(0)
    with pytest.raises(Refused) as refused:
        await desk.ask(Judge(), key="week", sheet=Sent(week))
    assert refused.value.fault.code == "desk_down"
    await desk.close()


@pytest.mark.usefixtures("quick_planners")
async def test_who_goes_away_leaves_no_answer_for_the_next(desk: Desk, week: tuple[Problem, Plan]) -> None:
    sent = Sent(week)
    await desk.ask(Judge(), key="week", sheet=sent)
    for _ in range(5):
        gone = asyncio.create_task(desk.ask(Judge(), key="week", sheet=sent))
        await asyncio.sleep(0)
        gone.cancel()
    found = await asyncio.gather(
        *(desk.ask(Propose(visit=missing(week), limit=n), key="week", sheet=sent) for n in (1, 2, 3))
    )
    assert [len(one) for one in found] == [1, 2, 3]


@pytest.mark.usefixtures("quick_planners")
async def test_too_many_questions_are_refused(
    desk: Desk, week: tuple[Problem, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desks, "DESK_WAITING", 3)
    sent = Sent(week)
    asked = [desk.ask(Judge(), key="week", sheet=sent) for _ in range(5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    refusals = [one for one in answers if isinstance(one, Refused)]
    assert [one.fault.code for one in refusals] == ["desk_busy"] * 2
    assert sum(isinstance(one, list) for one in answers) == 3


@pytest.mark.usefixtures("quick_planners")
async def test_a_large_plan_is_judged_at_the_desk_and_a_small_one_in_a_thread(
    desk: Desk, week: tuple[Problem, Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = children()
    judge = referee(desk)
    here = await judge(*week)
    assert children() == before
    monkeypatch.setattr(runner, "JUDGED_HERE", 0)
    assert await judge(*week) == here == violations(*week)
    assert len(children() - before) == 1
    assert [violation.code for violation in here] == ["visit_missing"]
    monkeypatch.setattr(desks, "DESK_WAITING", 0)
    assert await judge(*week) == here, "a plan that is made is not lost where the desk is busy"


async def test_a_spare_child_is_ready_and_replaced(week: tuple[Problem, Plan]) -> None:
    problem, _ = week
    spares, before = Spares(), children()
    await spares.start()
    (spare,) = children() - before
    async with planner(spares) as child:
        assert len(children() - before) == 2
        await child.ask(problem, seconds=0.1, seed=1, memory_mb=MEMORY_MB)
        *_, last = [answer async for answer in child.answers()]
    assert last.plan is not None
    (next_one,) = children() - before
    assert next_one != spare
    os.kill(next_one, signal.SIGKILL)
    await asyncio.sleep(0.1)  # until the loop has heard of it
    async with planner(spares) as child:
        await child.ask(problem, seconds=0.1, seed=1, memory_mb=MEMORY_MB)
        *_, last = [answer async for answer in child.answers()]
    assert last.plan is not None
    await spares.close()
    assert children() == before
