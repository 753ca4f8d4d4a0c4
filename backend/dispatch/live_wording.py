"""What the planner says of a move, as a dispatcher says it: people, places and clock times, Chinese and English."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from backend.contracts.rules import span_words
from routing.answers import Broken, Misfit, Moved, Proposal, WhatIf
from routing.differences import NOTICED_SECONDS
from routing.protocol import Fault

Words = tuple[str, str]
"""A sentence in Chinese and in English."""
QUOTED: Final = re.compile(r"visits?(\[\d+\])? '(?P<visit>[^']+)'")
"""How the planner names a visit."""
NAMED: Final = 3
"""Visits a sentence names; of more it gives the number."""
SECONDS_A_MINUTE: Final = 60


class Label(NamedTuple):
    """What a visit is called: its order's number, its site and its time zone, and its id (a stay: of what it joins)."""

    number: str
    site: str
    zone: str
    visit: UUID


@dataclass(frozen=True)
class Naming:
    """What the ids of one problem are called, and when its second 0 is."""

    starts_at: datetime
    visits: Mapping[str, Label]
    people: Mapping[str, str]
    """Technicians and their shifts: the person's name."""
    skills: Mapping[str, Words]
    zone: str
    """Of the unit: for times that belong to no site."""
    parts: Mapping[str, Words] = field(default_factory=dict[str, Words])
    """Of fixes only: nothing else names parts."""

    def at(self, seconds: int) -> datetime:
        """Return the instant of a second of the problem."""
        return self.starts_at + timedelta(seconds=seconds)

    def clock(self, seconds: int, visit: str | None = None) -> str:
        """Return the time of day, at the visit's site if one is given; with the date when it is not today."""
        label = self.visits.get(visit or "")
        return clock_words(self.at(seconds), label.zone if label else self.zone, self.starts_at)

    def site(self, visit: str) -> str:
        """Return where a visit is."""
        label = self.visits.get(visit)
        return label.site if label else visit

    def person(self, technician_or_shift: str) -> str:
        """Return who that is, or whose shift."""
        return self.people.get(technician_or_shift, technician_or_shift)


def clock_words(instant: datetime, zone: str, today: datetime) -> str:
    """Return the time of day on the clocks of `zone`; with the date when that is not the day of `today` there."""
    there = instant.astimezone(ZoneInfo(zone))
    same_day = there.date() == today.astimezone(ZoneInfo(zone)).date()
    return f"{there:%H:%M}" if same_day else f"{there:%m-%d %H:%M}"


RULES: Final[Mapping[str, Words]] = {
    "frozen": ("{visit}已在进行或即将出发,不能移动", "{visit} is under way or about to begin and cannot be moved"),
    "pinned": ("{visit}已固定给{pinned},请先取消固定", "{visit} is pinned to {pinned}; unpin it first"),
    "no_skill": ("{who}缺少{skills}", "{who} lacks {skills}"),
    "not_allowed": ("{who}不在{visit}允许上门的名单内", "{who} is not among the people {visit} allows"),
    "behind_frozen": (
        "{other}已在进行或即将出发,{visit}只能排在其后",
        "{other} is under way or about to begin; {visit} comes after it",
    ),
    "late_back": (
        "{who}将于 {back} 才能收工,比其班次最晚结束时间晚 {over}",
        "{who} would be back at {back}, {over} after the latest end of the shift",
    ),
    "no_break": ("{who}将没有休息时间({earliest} 至 {latest} 之间须开始)",
                 "{who} would have no time for the break that begins between {earliest} and {latest}"),
    "window_missed": ("{visit}的上门时间截至 {closes},最早 {earliest} 才能到",
                      "{visit} opens until {closes}, the earliest arrival is {earliest}"),
    "later_window_missed": ("其后的{other}上门时间截至 {closes},最早 {earliest} 才能到",
                            "{other} after it opens until {closes}, the earliest arrival would be {earliest}"),
    "promise_missed": ("客户的约定时间截至 {closes},最早 {earliest} 才能到",
                       "the customer's window ends at {closes}, earliest arrival {earliest}"),
    "van_full": ("{who}的车装不下{visit}所需的东西,请改派他人,或先撤下当天别的上门",
                 "{who}'s van cannot take what {visit} needs as well; choose somebody else, or take another visit off"),
    "does_not_fit": ("{who}当天排不下{visit}", "{visit} does not fit into {who}'s day"),
    "rule": ("违反排程规则({rule}:{detail})", "it breaks a rule of planning ({rule}: {detail})"),
}  # fmt: skip
"""A broken rule, by code of `routing.live.Broken`."""
MISFITS: Final[Mapping[str, Words]] = {
    "late_back": RULES["late_back"],
    "no_break": ("{who}已没有时间休息({earliest} 至 {latest} 之间须开始)",
                 "{who} has no time left for the break that begins between {earliest} and {latest}"),
    "dropped": ("{who}已无法按时到达{visit}", "{who} can no longer reach {visit} in time"),
}  # fmt: skip
"""What of a day no longer works, by code of `routing.answers.Misfit`."""
NO_PLACE: Final[Words] = (
    "没有人能在不影响他人承诺的情况下接下这次上门;可查看办法 (fixes) 或请求重新计划。",
    "Nobody can take it without breaking what others were promised; look at its fixes, or ask for a re-plan.",
)


CREW_TOGETHER: Final[Words] = (
    "需要 {count} 人同时上门,不逐一建议位置;请重新计划,或逐一指派人员。",
    "{count} people are needed there at once, for whom no places are proposed: plan again, or assign each of them.",
)
NONE_KEEPS: Final[Words] = (
    ";所列均赶不上约定时间,可查看办法 (fixes)",
    "; none of these keeps the window, look at its fixes",
)
NO_PLACE_YET: Final[Words] = (
    "{visit}在计划中还没有位置;可查看建议 (proposals) 或办法 (fixes)",
    "{visit} has no place in the plan yet; look at its proposals or its fixes",
)
IN_TIME: Final[Words] = (
    "{visit}已在计划中且能按时到场,无需放宽;换人请看 why",
    "{visit} has its place in the plan in time, so nothing need give way; see its `why` for somebody else",
)


def refusal_words(fault: Fault, naming: Naming) -> Words:
    """Return why the planner does not answer a question, with sites where it knows ids, ready to end in a full stop."""
    said = None
    if fault.code == "plan_contradicts_problem" and fault.facts.get("detail") == "unplanned":
        said = NO_PLACE_YET
    elif fault.code == "visit_planned":
        said = IN_TIME
    if said is not None:
        named = fault.where.partition("'")[2].rstrip("'")
        zh, en = (words.format(visit=naming.site(named)) for words in said)
        return zh, en
    zh, en = (QUOTED.sub(lambda found: naming.site(found["visit"]), words) for words in (fault.zh, fault.en))
    return zh.rstrip("。"), en.rstrip(".")


def length_words(seconds: int) -> Words:
    """Return a length as people say it."""
    return span_words(timedelta(seconds=abs(seconds)))


def minutes(seconds: int) -> int:
    """Return whole minutes, rounded to the nearest."""
    return round(seconds / SECONDS_A_MINUTE)


def broken_words(broken: Broken, naming: Naming, *, visit: str, shift: str | None) -> Words:
    """Return the broken rule as one sentence in each language."""
    facts = broken.facts
    other = str(facts.get("other") or facts.get("visit") or visit)
    over = length_words(_int(facts.get("back")) - _int(facts.get("last")))
    values: dict[str, str] = {
        "who": naming.person(shift or ""), "visit": naming.site(visit), "other": naming.site(other),
        "pinned": naming.person(str(facts.get("pinned", ""))), "rule": str(facts.get("rule", "")),
        "detail": str(facts.get("detail", "")),
    }  # fmt: skip
    clocks = {
        name: naming.clock(_int(facts[name]), None if name == "back" else other)
        for name in ("back", "closes", "earliest", "latest")
        if name in facts
    }
    listed = facts.get("skills")
    skills = [naming.skills.get(key, (key, key)) for key in listed] if isinstance(listed, list) else []
    zh, en = RULES[broken.code]
    return (
        zh.format_map(values | clocks | {"over": over[0], "skills": "、".join(skill[0] for skill in skills)}),
        en.format_map(values | clocks | {"over": over[1], "skills": " and ".join(skill[1] for skill in skills)}),
    )


def misfit_words(misfit: Misfit, naming: Naming) -> Words:
    """Return what of a day no longer works, as one sentence in each language."""
    facts = misfit.facts
    over = length_words(_int(facts.get("back")) - _int(facts.get("last")))
    values = {"who": naming.person(misfit.shift), "visit": naming.site(misfit.visit or "")}
    values |= {name: naming.clock(_int(facts[name])) for name in ("back", "earliest", "latest") if name in facts}
    zh, en = MISFITS[misfit.code]
    return zh.format_map(values | {"over": over[0]}), en.format_map(values | {"over": over[1]})


def late_words(visit: str, *, late: int, promise_late: int, naming: Naming) -> Words:
    """Return that a visit comes too late, for whom and by how much."""
    zh, en = length_words(promise_late or late)
    site = naming.site(visit)
    if promise_late:
        return f"{site}将比约定时间晚 {zh}", f"{site} will be {en} after the promised window"
    return f"{site}将超过时限 {zh}", f"{site} will be {en} past its commitment"


def proposal_words(proposal: Proposal, naming: Naming) -> Words:
    """Return a proposal as one sentence: 李伟 10:40, moves 海尔大厦 by 12 m, nobody late."""
    who = naming.person(proposal.shift)
    zh_moved, en_moved = _moved_words(proposal.moved, naming)
    zh_late, en_late = "无人迟到", "nobody late"
    if proposal.late_seconds or proposal.promise_late_seconds:
        zh_late, en_late = late_words(
            proposal.visit, late=proposal.late_seconds, promise_late=proposal.promise_late_seconds, naming=naming
        )
    at = naming.clock(proposal.start, proposal.visit)
    return f"{who} {at},{zh_moved},{zh_late}", f"{who} {at}, {en_moved}, {en_late}"


def outcome_words(seen: WhatIf, naming: Naming) -> Words:
    """Return what a move comes to, as one sentence in each language."""
    if seen.start is None:
        zh, en = _moved_words(seen.moved, naming)
        return f"撤下{naming.site(seen.placement.visit)},{zh}", f"{naming.site(seen.placement.visit)} taken off, {en}"
    who = naming.person(seen.placement.shift or "")
    at = naming.clock(seen.start, seen.placement.visit)
    zh_moved, en_moved = _moved_words(seen.moved, naming)
    later = [one for one in seen.lateness if one.after_seconds > one.before_seconds]
    zh_late, en_late = "无人迟到", "nobody late"
    if later:
        worst = max(later, key=lambda one: one.after_seconds)
        zh_late, en_late = late_words(
            worst.visit, late=worst.after_seconds, promise_late=worst.after_seconds if worst.promise else 0,
            naming=naming,
        )  # fmt: skip
    return f"{who} {at},{zh_moved},{zh_late}", f"{who} {at}, {en_moved}, {en_late}"


def _moved_words(moved: Sequence[Moved], naming: Naming) -> Words:
    noticed = [one for one in moved if abs(one.start_after - one.start_before) >= NOTICED_SECONDS]
    if not noticed:
        return "其他上门不变", "moves nobody"
    if len(noticed) > NAMED:
        worst = max(noticed, key=lambda one: abs(one.start_after - one.start_before))
        zh, en = length_words(worst.start_after - worst.start_before)
        return f"移动 {len(noticed)} 次上门,最多 {zh}", f"moves {len(noticed)} visits, by {en} at most"
    parts = [(naming.site(one.visit), one.start_after - one.start_before) for one in noticed]
    zh = "、".join(f"{site}{'推迟' if seconds > 0 else '提前'} {length_words(seconds)[0]}" for site, seconds in parts)
    en = ", ".join(f"{site} {length_words(seconds)[1]} {_way(seconds)}" for site, seconds in parts)
    return zh, f"moves {en}"


def _way(seconds: int) -> str:
    return "later" if seconds > 0 else "earlier"


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
