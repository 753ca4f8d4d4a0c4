"""Fixes and comparisons as a dispatcher says them: people, places and clock times, Chinese and English."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from backend.dispatch.live_wording import Naming, Words, length_words, minutes, outcome_words
from routing.answers import Fix, Fixes, Lateness, Placement, WhatIf, Why
from routing.relax import Relaxation
from routing.texts import FIX_TEXTS

OF_DISPATCHERS: Final = frozenset({"overtime", "shift_earlier", "shift_added", "pin"})
OF_CUSTOMERS: Final = frozenset({"window", "promise", "deadline"})

FIRST: Final[Mapping[str, Words]] = {
    "skill": (
        "请先在{technician}的人员档案登记该技能及有效期",
        "first have the skill, and how long it is valid, entered in {technician}'s file",
    ),
    "allowed": (
        "请先征得客户同意并修改其允许名单",
        "first ask the customer, and change their list of people",
    ),
    "earliest": (
        "请先确认届时可以上门(备件到货或现场就绪),并修改工单的最早时间",
        "first make sure it can begin then (parts at hand, site ready), and change the order's earliest time",
    ),
    "part_ready": ("请先确认备件届时到货", "first make sure that the parts are at hand by then"),
    "part_van": ("请先把备件调到该车", "first have the parts moved to that van"),
    "van": ("请先安排该车辆", "first arrange for that van"),
    "changes": ("请以更大的改动限额重新计划", "ask for a re-plan that may change that many"),
}
"""What has to be done first, where it is not a dispatcher's to do by applying a fix."""
ASK_FIRST: Final[Words] = (
    "请先与客户商定,并在应用时填写 agreed(渠道、由谁提出)",
    "first agree on it with the customer, and say so in `agreed` (channel, by whose wish)",
)


NO_NEED: Final[Words] = ("无需放宽", "nothing need give way")
NO_RULE: Final[Words] = ("无需放宽规则", "no rule need give way")
NOT_SEARCHED: Final[Mapping[str, Words]] = {
    "crew": (
        "需要多人同时上门,不逐项查找办法;请重新计划,或逐一指派人员。",
        "Several people are needed there at once, so no fixes are looked for: plan again, or assign each of them.",
    ),
    "under_way": (
        "技术员即将出发、已在途或已开工,计划不再变动;请直接联系技术员。",
        "The technician is about to leave, on the way or at work there, so plans leave it alone: call them.",
    ),
}
MISSES_COMMITMENT: Final[Words] = ("不放宽则赶不上时限", "with nothing given way it misses its commitment")
MISSES_PROMISE: Final[Words] = ("不放宽则赶不上约定时间", "with nothing given way it misses the promised window")


def relaxation_words(one: Relaxation, naming: Naming) -> Words:
    """Return what gives way."""
    text = FIX_TEXTS[one.kind]
    span = one.window
    values: dict[str, object] = {
        "visit": naming.site(one.visit or ""), "technician": naming.person(one.technician or ""),
        "minutes": one.seconds // 60, "amount": one.amount,
        "opens": naming.clock(span.start, one.visit) if span else "", "at": naming.clock(one.at or 0, one.visit),
        "closes": naming.clock(span.end, one.visit) if span else "",
    }  # fmt: skip
    skills = [naming.skills.get(key, (key, key)) for key in one.skills]
    parts = [naming.parts.get(need.part, (need.part, need.part)) for need in one.parts]
    zh, en = (
        {"skills": "、".join(zh for zh, _ in skills), "parts": "、".join(zh for zh, _ in parts)},
        {"skills": " and ".join(en for _, en in skills), "parts": " and ".join(en for _, en in parts)},
    )
    return text.zh.format_map(values | zh), text.en.format_map(values | en)


def first_words(one: Relaxation, naming: Naming) -> Words | None:
    """Return what has to be done before the fix can be applied, None where nothing has."""
    if one.kind in OF_DISPATCHERS:
        return None
    zh, en = ASK_FIRST if one.kind in OF_CUSTOMERS else FIRST[one.kind]
    who = naming.person(one.technician or "")
    return zh.format(technician=who), en.format(technician=who)


def as_what_if(fix: Fix) -> WhatIf:
    """Return what the fix comes to, as a move on the board."""
    pairs = ((False, fix.late_seconds), (True, fix.promise_late_seconds))
    late = tuple(
        Lateness(visit=fix.visit, promise=promise, before_seconds=0, after_seconds=seconds)
        for promise, seconds in pairs
        if seconds
    )
    return WhatIf(
        placement=Placement(visit=fix.visit, shift=fix.shift), start=fix.start, moved=fix.moved, lateness=late,
        added_travel_seconds=fix.added_travel_seconds, added_cost=fix.price, cost=fix.cost, shifts=fix.shifts,
        routes=fix.routes,
    )  # fmt: skip


def fix_words(fix: Fix, naming: Naming) -> Words:
    """Return a fix as one sentence: what gives way, then who comes when, who else moves and has to be told so."""
    model = fix.shift.partition("+")[0]
    placement = Placement(visit=fix.visit, shift=model)
    zh, en = outcome_words(msgspec.structs.replace(as_what_if(fix), placement=placement), naming)
    if told := _told_anew(fix):
        zh, en = f"{zh},须重新通知 {told} 位客户", f"{en}, customers to be told anew: {told}"
    parts = [relaxation_words(one, naming) for one in fix.relaxations]
    if not parts:
        opening_zh, opening_en = _opening(fix)
        return f"{opening_zh}:{zh}", f"{opening_en}: {en}"
    return f"{';'.join(part[0] for part in parts)}:{zh}", f"{'; '.join(part[1] for part in parts)}: {en}"


def _opening(fix: Fix) -> Words:
    """Return what a fix with nothing given way is: a place, or one that misses something."""
    if fix.late_seconds:
        return MISSES_COMMITMENT
    if fix.promise_late_seconds:
        return MISSES_PROMISE
    return NO_RULE if _told_anew(fix) else NO_NEED


def _told_anew(fix: Fix) -> int:
    return sum(one.told for one in fix.moved)


def found_words(found: Fixes, shown: Sequence[Words]) -> Words:
    """Return what was found, in one sentence, of the fixes as they are `shown`; where nothing was, what was tried."""
    if found.outcome in {"misses_commitment", "misses_promise"}:
        (zh, en), (right_zh, right_en) = shown[0], shown[1] if len(shown) > 1 else _tried_words(found)
        return f"{zh};要守约:{right_zh}", f"{en}; to put that right: {right_en}"
    return shown[0] if shown else NOT_SEARCHED.get(found.outcome) or _tried_words(found)


def _tried_words(found: Fixes) -> Words:
    zh, en = (
        f"在尝试的 {found.tried} 个位置、{found.levers} 种放宽中未找到办法",
        (f"no fix found among {found.tried} places tried with {found.levers} rules, or pairs of them, opened"),
    )
    if not found.exhausted:
        zh, en = f"{zh}(时间用完,未全部查完)", f"{en}; time ran out before all was looked at"
    return f"{zh}。", f"{en}."


def why_words(why: Why, naming: Naming) -> Words:
    """Return why this technician, in one sentence: the next best and what it would cost, or that there is none."""
    who, at = naming.person(why.shift), naming.clock(why.start, why.visit)
    best = next((one for one in why.alternatives if one.what_if.broken is None), None)
    if best is None:
        return (
            f"{who} {at}:{why.able} 人可承担,未找到其他人的空档",
            f"{who} {at}: {why.able} may take it, no room was found with anybody else",
        )
    other, more = naming.person(best.shift), best.what_if.added_travel_seconds
    zh, en = length_words(more)
    if best.what_if.added_cost < 0:
        return f"{other}现在更合适,可改派", f"{other} would be better now"
    more_zh, more_en = ("多", "more") if more >= 0 else ("少", "less")
    if not minutes(more):
        return f"{who} {at}:次优为{other},路程相同", f"{who} {at}: next best is {other}, with the same travel"
    return (
        f"{who} {at}:次优为{other},行车{more_zh} {zh}",
        f"{who} {at}: next best is {other}, with {en} {more_en} travel",
    )
