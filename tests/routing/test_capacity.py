"""What a problem becomes with other people: nothing else about it changes."""

import msgspec
import pytest

from routing.capacity import longest_at_work, with_one_more, with_skill_for_all, without_technician
from routing.problem import Pin, Previous, ProblemError, VanStock
from routing.solve import solve
from routing.stop import StopWhen
from tests.routing.make import HOUR, problem, shift, visit

WEEK = problem(
    (shift("li-wei/mon"), shift("zhang-qiang/mon", skills=(), end=4 * HOUR)),
    (
        visit("lift", duration=3 * HOUR),
        visit("begun", skills=(), frozen=True, previous=Previous(shift="zhang-qiang/mon", start=0)),
        visit("pinned", skills=(), pin=Pin(technician="zhang-qiang")),
        visit("door", skills=("door",)),
    ),
    van_stock=(VanStock(technician="zhang-qiang", part="fuse", quantity=1),),
)


def served(case: object) -> set[str]:
    plan = solve(msgspec.convert(msgspec.to_builtins(case), type(WEEK)), StopWhen(solutions=3))
    return {stop.visit for route in plan.routes for stop in route.stops}


def test_without_somebody_his_visits_are_free_and_still_planned() -> None:
    fewer = without_technician(WEEK, "zhang-qiang")
    assert [one.id for one in fewer.shifts] == ["li-wei/mon"]
    assert fewer.van_stock == ()
    assert served(fewer) == {"lift", "begun", "pinned"}


def test_a_skill_for_everybody_brings_in_what_nobody_could_do() -> None:
    assert "door" not in served(WEEK)
    assert "door" in served(with_skill_for_all(WEEK, "door"))


def test_one_more_works_as_long_as_the_one_he_is_like() -> None:
    assert longest_at_work(WEEK) == "li-wei"
    more = with_one_more(WEEK, technician="new", like=None, skills=("door",), new_id=lambda: "new/mon")
    like = with_one_more(WEEK, technician="new", like="zhang-qiang", skills=(), new_id=lambda: "new/mon")
    assert (more.shifts[-1].end, like.shifts[-1].end) == (8 * HOUR, 4 * HOUR)
    assert "door" in served(more)


def test_nobody_there_is_refused() -> None:
    empty = problem((), ())
    with pytest.raises(ProblemError):
        without_technician(WEEK, "ghost")
    for like in (None, "ghost"):
        with pytest.raises(ProblemError):
            with_one_more(empty, technician="new", like=like, skills=(), new_id=str)
