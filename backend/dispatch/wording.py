"""The planner's sentences with people, places and hours in them, where the planner knows ids only."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, TypeAlias

import msgspec

from backend.contracts.rules import span_words
from routing.plan import Reason
from routing.protocol import Fault
from routing.texts import PROBLEM_TEXTS, SECONDS, Facts, Language, problem_text, reason_text

Names: TypeAlias = Mapping[str, tuple[str, str]]
"""What an id of a problem is called, Chinese and English."""

ELEMENT: Final = re.compile(r"(?P<kind>places|shifts|visits|process)(\[\d+\] '(?P<id>[^']+)')?")
"""How the planner says where something is wrong: shifts[7] 'id' .breaks[1]."""
KINDS: Final[Names] = {
    "places": ("地点", "places"),
    "shifts": ("班次", "shifts"),
    "visits": ("上门", "visits"),
    "process": ("计划程序", "the planner"),
}
INTERRUPTED: Final = Fault(
    code="plan_interrupted", where="process", facts={},
    zh="计划多次开始都未能完成:服务器意外终止,或数据库无法访问。请重新计划;若再次发生,请把计划编号告诉管理员。",
    en=(
        "Planning was begun several times and never finished: its server died, or the database was out of reach."
        " Plan again; if it recurs, report the plan's id."
    ),
)  # fmt: skip
FAILED: Final = Fault(
    code="plan_failed", where="process", facts={},
    zh="计划因内部错误而中止,详情已记入服务器日志。请重新计划;若再次发生,请把计划编号告诉管理员。",
    en="Planning ended by an internal error; the server's log has it. Plan again; if it recurs, report the plan's id.",
)  # fmt: skip
NOT_LEGAL: Final = Fault(
    code="plan_not_legal", where="plan", facts={},
    zh="复核发现计划违反规则,已弃用。请重新计划;若再次发生,请把计划编号告诉管理员。",
    en="The referee found a broken rule in the plan; it is not used. Plan again; if it recurs, report the plan's id.",
)  # fmt: skip


def named_fault(fault: Fault, names: Names) -> Fault:
    """Return a fault of the planner whose sentences name people and hours; code, element and facts stay."""
    if fault.code not in PROBLEM_TEXTS:
        return fault
    zh, en = (
        problem_text(fault.code, _where(fault.where, names, language), _facts(fault.facts, names, language), language)
        for language in LANGUAGES
    )
    return msgspec.structs.replace(fault, zh=zh, en=en)


def reason_words(reason: Reason, names: Names, clock: Callable[[int], str] | None = None) -> dict[str, str]:
    """Return a reason as people read it: code, basis and both sentences, with names, lengths and times of day.

    `clock` says a second of the problem as the time where the visit is; only what comes late is told such times.
    """
    zh, en = (
        reason_text(
            reason.code, _facts(reason.facts, names, language) | _times(reason.facts, language, clock), language
        )
        for language in LANGUAGES
    )
    return {"code": reason.code, "basis": reason.basis, "zh": zh, "en": en}


LENGTHS: Final = frozenset({"duration", "longest", "overdue"})
MOMENTS: Final = SECONDS - LENGTHS
"""Facts of reasons that are seconds: how long something takes, and since the problem's second 0."""
LANGUAGES: Final[tuple[Language, Language]] = ("zh", "en")


def _where(where: str, names: Names, language: Language) -> str:
    element = ELEMENT.match(where)
    return where if element is None else _name(element["id"] or element["kind"], names, language)


def _facts(facts: Facts, names: Names, language: Language) -> Facts:
    return {key: _named(value, names, language) for key, value in facts.items()}


def _times(facts: Facts, language: Language, clock: Callable[[int], str] | None) -> Facts:
    said: Facts = {}
    for key, value in facts.items():
        if isinstance(value, int) and key in LENGTHS:
            zh, en = span_words(timedelta(seconds=value))
            said[key] = zh if language == "zh" else en
        elif isinstance(value, int) and key in MOMENTS and clock is not None:
            said[key] = clock(value)
    return said


def _named(value: int | str | list[str], names: Names, language: Language) -> int | str | list[str]:
    if isinstance(value, list):
        return [_name(one, names, language) for one in value]
    return _name(value, names, language) if isinstance(value, str) else value


def _name(key: str, names: Names, language: Language) -> str:
    zh, en = names.get(key) or KINDS.get(key) or (key, key)
    return zh if language == "zh" else en
