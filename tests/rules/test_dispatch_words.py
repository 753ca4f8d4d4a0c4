"""What a dispatcher reads when something cannot be planned names people and places, and says what to do next."""

import re
from string import Formatter
from typing import Final
from uuid import UUID

import msgspec
import pytest

from backend.dispatch.fix_wording import fix_words, found_words, relaxation_words
from backend.dispatch.live_wording import Label, Naming, broken_words, refusal_words
from backend.dispatch.plan import LEFT_OUT_TEXTS
from backend.dispatch.wording import reason_words
from routing.answers import Broken, Fix, Fixes, Moved, Outcome
from routing.plan import Cost, Reason
from routing.problem import PartNeed, ProblemError, Window
from routing.protocol import fault
from routing.relax import Kind, Relaxation
from routing.texts import FIX_TEXTS, REASON_TEXTS, Facts, reason_text
from tests.make import START, ZONE

HOSPITAL = UUID(int=1)
NAMING = Naming(
    starts_at=START, visits={"v1": Label("WO-1", "医院", ZONE, HOSPITAL)}, people={"s1": "李伟"}, skills={}, zone=ZONE,
    parts={str(UUID(int=7)): ("电源板", "power board")},
)  # fmt: skip
OF_THE_SOLVER: Final = re.compile(r"\d+ (s|秒)\b|\d{6,}|[0-9a-f]{8}-[0-9a-f]{4}-")
"""Seconds since planning began, prices, and ids: what only the planner can read."""


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
    assert "before it had its turn. Plan again" in reason_text("no_turn", {}, "en")
    assert "还没轮到它，计划就已停止。请重新计划" in reason_text("no_turn", {}, "zh")


@pytest.mark.parametrize("code", REASON_TEXTS)
def test_no_reason_is_in_the_planners_own_language(code: str) -> None:
    mentioned = {name for _, name, _, _ in Formatter().parse(REASON_TEXTS[code].en) if name}
    ids: Facts = {"parts": [str(UUID(int=7))], "pinned": str(HOSPITAL), "followed": str(HOSPITAL), "skills": ["cctv"]}
    facts: Facts = {name: ids.get(name, 3_720) for name in mentioned}
    facts |= {"price": 253_000_000, "unserved_price": 200_000_000}
    names = {str(HOSPITAL): ("医院", "the hospital"), str(UUID(int=7)): ("电源板", "power board")}
    said = reason_words(Reason(code=code, basis="searched", facts=facts), names, NAMING.clock)
    for sentence in (said["zh"], said["en"]):
        assert not OF_THE_SOLVER.search(sentence), sentence
        assert "{" not in sentence


def test_a_reason_says_lengths_times_of_day_and_parts_and_the_planner_alone_its_seconds() -> None:
    long = Reason(code="too_long", basis="proven", facts={"duration": 36_000, "longest": 31_800})
    assert reason_words(long, {})["en"] == (
        "It takes 10 h on site; the longest shift that may take it is 8 h 50 m, overtime included."
    )
    assert "现场需 10 小时；" in reason_words(long, {})["zh"]
    assert "It takes 36000 s on site" in long.sentence("en")
    assert "现场需 36000 秒；" in long.sentence("zh")
    late = Reason(code="due_before_reachable", basis="proven", facts={"due": 3_600, "earliest": 90_000})
    assert reason_words(late, {}, NAMING.clock)["en"] == (
        "Nobody who may take it can be there before 03-03 10:00; its commitment runs out at 10:00."
    )
    awaited = Relaxation(kind="part_ready", visit="v1", at=5_400, parts=(PartNeed(part=str(UUID(int=7))),))
    assert relaxation_words(awaited, NAMING) == (
        "医院 所需的电源板在 10:30 前备齐",
        "power board for 医院 is at hand by 10:30",
    )


@pytest.mark.parametrize("kind", FIX_TEXTS)
def test_whatever_gives_way_is_said_with_nothing_left_open(kind: Kind) -> None:
    one = Relaxation(
        kind=kind, visit="v1", shift="s1", technician="s1", seconds=1_800, window=Window(start=0, end=900), at=900,
        skills=("cctv",), parts=(PartNeed(part="belt"),), amount=3,
    )  # fmt: skip
    for sentence in relaxation_words(one, NAMING):
        assert "{" not in sentence


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


PLACE = Fix(
    relaxations=(), visit="v1", shift="s1", technician="s1", start=0, late_seconds=0, promise_late_seconds=0, price=0,
    cost=Cost(), added_travel_seconds=0, added_overtime_seconds=0, moved=(), shifts=(), routes=(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("late", "promise_late", "opening"),
    [
        (0, 0, "nothing need give way: 李伟 "),
        (0, 60, "with nothing given way it misses the promised window: 李伟 "),
        (60, 0, "with nothing given way it misses its commitment: 李伟 "),
        (60, 60, "with nothing given way it misses its commitment: 李伟 "),
    ],
)
def test_a_place_as_it_is_says_what_it_misses(late: int, promise_late: int, opening: str) -> None:
    place = msgspec.structs.replace(PLACE, late_seconds=late, promise_late_seconds=promise_late)
    assert fix_words(place, NAMING)[1].startswith(opening)


def test_a_place_that_moves_somebody_who_was_told_is_not_called_free() -> None:
    moved = Moved(visit="v1", shift="s1", start_before=0, start_after=1_800, told=True)
    zh, en = fix_words(msgspec.structs.replace(PLACE, moved=(moved,)), NAMING)
    assert en.startswith("no rule need give way: 李伟 ")
    assert en.endswith(", customers to be told anew: 1")
    assert zh.startswith("无需放宽规则:李伟 ")
    assert zh.endswith(",须重新通知 1 位客户")


@pytest.mark.parametrize("outcome", ["misses_commitment", "misses_promise"])
def test_a_place_that_misses_something_says_so_and_what_would_keep_it_or_that_nothing_was_found(
    outcome: Outcome,
) -> None:
    found = Fixes(visit="v1", outcome=outcome, fixes=(), tried=4, levers=3, exhausted=True)
    place, fix = ("现状", "as it is"), ("办法", "the fix")
    assert found_words(found, [place, fix]) == ("现状;要守约:办法", "as it is; to put that right: the fix")
    zh, en = found_words(found, [place])
    assert en.startswith("as it is; to put that right: no fix found among 4 places tried")
    assert zh.startswith("现状;要守约:在尝试的 4 个位置")
