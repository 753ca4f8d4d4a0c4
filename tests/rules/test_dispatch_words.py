"""What a dispatcher reads when something cannot be planned names people and places, and says what to do next."""

from uuid import UUID

import pytest

from backend.dispatch.fix_wording import found_words
from backend.dispatch.live_wording import Label, Naming, broken_words, refusal_words
from backend.dispatch.plan import LEFT_OUT_TEXTS
from routing.answers import Broken, Fixes
from routing.problem import ProblemError
from routing.protocol import fault
from routing.texts import reason_text
from tests.make import START, ZONE

HOSPITAL = UUID(int=1)
NAMING = Naming(
    starts_at=START, visits={"v1": Label("WO-1", "医院", ZONE, HOSPITAL)}, people={"s1": "李伟"}, skills={}, zone=ZONE
)


@pytest.mark.parametrize("code", LEFT_OUT_TEXTS)
def test_what_the_planner_is_not_asked_about_says_what_to_do(code: str) -> None:
    zh, en = LEFT_OUT_TEXTS[code]
    assert "。请" in zh
    assert en.count(". ") == 1
    assert en.endswith(".")


def test_a_full_van_and_a_visit_nobody_had_time_for_say_what_to_do() -> None:
    full = broken_words(Broken(code="van_full", facts={"load": 5, "capacity": 4}), NAMING, visit="v1", shift="s1")
    assert full == (
        "李伟的车装不下医院所需的东西,请改派他人,或先撤下当天别的上门",
        "李伟's van cannot take what 医院 needs as well; choose somebody else, or take another visit off",
    )
    assert "Look at its fixes, or plan again" in reason_text("not_looked_at", {}, "en")
    assert "请查看其办法" in reason_text("not_looked_at", {}, "zh")


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (ProblemError("visit_planned", "visit 'v1'"), "医院 has its place in the plan in time"),
        (
            ProblemError("plan_contradicts_problem", "visit 'v1'", detail="unplanned"),
            "医院 has no place in the plan yet",
        ),
        (ProblemError("visit_unknown", "visit 'v1'"), "医院: there is no such visit in the problem"),
    ],
)
def test_a_refusal_of_the_planner_names_the_place(refused: ProblemError, said: str) -> None:
    zh, en = refusal_words(fault(refused), NAMING)
    assert en.startswith(said)
    assert "医院" in zh


def test_a_place_that_misses_the_window_says_so_and_what_would_keep_it_or_that_nothing_was_found() -> None:
    found = Fixes(visit="v1", outcome="misses_promise", fixes=(), tried=4, levers=3, exhausted=True)
    place, fix = ("现状", "as it is"), ("办法", "the fix")
    assert found_words(found, [place, fix]) == ("现状;要守约:办法", "as it is; to put that right: the fix")
    zh, en = found_words(found, [place])
    assert en.startswith("as it is; to put that right: no fix found among 4 places tried")
    assert zh.startswith("现状;要守约:在尝试的 4 个位置")
