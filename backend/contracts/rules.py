"""What we owe and until when: the arithmetic of commitment clocks, and who pays. Pure.

A clock starts when a request is received, on whatever channel, and runs to a limit that its policy gives: so many
minutes, of every hour or of the service hours only, or the end of a day. The policy's limit is never edited; promises
are added to it. One the customer asked for replaces the limit (A036); one of ours is added and the limit still counts
(A058, A072, X3). Only the clock to solve stands still while the customer keeps us waiting. Instants are aware UTC,
days are days at the site.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from dateutil.relativedelta import relativedelta

from backend.calendars.rules import NO_TIME, ServiceHours, add_service_time, day_in, end_of_day, service_time_between

Hours = Literal["calendar", "service"]
MovedBy = Literal["customer", "us"]
ClockState = Literal["waiting", "ok", "warn", "late", "paused", "met", "breached", "void"]

PAUSABLE: Final = "solve"
"""The one kind a pause moves; arriving, answering and responding are ours to do whatever the customer does."""
WARN_PERCENT: Final = (50, 80)


class PriorityLimit(msgspec.Struct, frozen=True):
    """What a clock's limit is for one priority instead (A035)."""

    priority: str
    minutes: int
    hours: Hours


class ClockLimit(msgspec.Struct, frozen=True):
    """One clock of a policy: `minutes`, or one word of LIMIT_RULES with what that word needs; never both."""

    kind: str
    hours: Hours
    stop_event: str
    minutes: int | None = None
    rule: str | None = None
    months: int = 0
    days: int = 0
    override: tuple[PriorityLimit, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a limit that says nothing, two things or an unknown word; raises ValueError."""
        if (self.minutes is None) == (self.rule is None):
            raise ValueError(f"the clock {self.kind} needs either minutes or a rule")
        if self.rule is not None and self.rule not in LIMIT_RULES:
            raise ValueError(f"the clock {self.kind} has an unknown rule: {self.rule}")


class ClockRules(msgspec.Struct, frozen=True):
    """What a clock policy says, as stored in `clock_policy.rules` and written in presets/clock_policies.toml."""

    clock: tuple[ClockLimit, ...]
    calendar: str = ""
    """Key of the working calendar whose service hours count."""
    warn_percent: tuple[int, ...] = WARN_PERCENT


class ClockBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What a limit is computed from. `service` is None where no calendar is known: then every hour counts."""

    received_at: datetime
    zone: str
    priority: str | None = None
    service: ServiceHours | None = None
    arrived_at: datetime | None = None
    contract_on: date | None = None
    acceptance_on: date | None = None


class Pause(msgspec.Struct, frozen=True):
    """A time on the customer's side; without an end it lasts."""

    started_at: datetime
    ended_at: datetime | None


class Promised(msgspec.Struct, frozen=True):
    """A time told to the customer, who asked for it, and when it was told."""

    promised_at: datetime
    moved_by: MovedBy
    made_at: datetime


class ClockFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A commitment clock as stored; `rule` is the policy's word where it has one."""

    kind: str
    started_at: datetime
    zone: str
    policy_due_at: datetime | None
    priority_due_at: datetime | None = None
    stopped_at: datetime | None = None
    void: bool = False
    hours: Hours = "calendar"
    service: ServiceHours | None = None
    rule: str | None = None
    warn_percent: tuple[int, ...] = WARN_PERCENT

    @property
    def counted(self) -> ServiceHours | None:
        """The service hours whose minutes count; None where every minute does."""
        return self.service if self.hours == "service" else None


class Deadline(msgspec.Struct, frozen=True):
    """The limit that binds, and whose it is: the policy's, the customer's wish or our own earlier promise."""

    at: datetime
    by: Literal["policy", "customer", "us"]


class ClockReading(msgspec.Struct, frozen=True, kw_only=True):
    """A clock as people see it at one moment: seconds left until the limit (negative when late) and one sentence."""

    kind: str
    state: ClockState
    started_at: datetime
    stopped_at: datetime | None
    policy_due_at: datetime | None
    due_at: datetime | None
    promised_at: datetime | None
    moved_by: MovedBy | None
    promise_kept: bool | None
    remaining_seconds: int | None
    remaining_service_seconds: int | None
    share_used: float | None
    warned_percent: int
    zh: str
    en: str


# --- limits -----------------------------------------------------------------------------------------------------------


def read_policy(rules: Mapping[str, Any]) -> ClockRules:
    """Read a stored policy; raises msgspec.ValidationError, which is a ValueError, naming what is wrong."""
    return msgspec.convert(rules, ClockRules)


def minutes_and_hours(limit: ClockLimit, basis: ClockBasis) -> tuple[int | None, Hours]:
    """Return the minutes of a limit for this priority (None: it follows a rule word) and which minutes count."""
    special = next((one for one in limit.override if one.priority == basis.priority), None)
    minutes, hours = (special.minutes, special.hours) if special else (limit.minutes, limit.hours)
    return minutes, hours if basis.service else "calendar"


def policy_due(limit: ClockLimit, basis: ClockBasis) -> datetime | None:
    """Return when a clock's limit ends (A029–A038); None while it rests on an arrival, a date or a promise to come."""
    minutes, hours = minutes_and_hours(limit, basis)
    if minutes is None:
        return LIMIT_RULES[limit.rule or ""](limit, basis)
    allowed = timedelta(minutes=minutes)
    if hours == "service" and basis.service:
        return add_service_time(basis.service, basis.received_at, allowed)
    return basis.received_at + allowed


def _end_of_reporting_day(_limit: ClockLimit, basis: ClockBasis) -> datetime | None:
    return end_of_day(basis.zone, day_in(basis.zone, basis.received_at))


def _end_of_arrival_day(_limit: ClockLimit, basis: ClockBasis) -> datetime | None:
    return basis.arrived_at and end_of_day(basis.zone, day_in(basis.zone, basis.arrived_at))


def _promise(_limit: ClockLimit, _basis: ClockBasis) -> datetime | None:
    return None


def _contract_date(_limit: ClockLimit, basis: ClockBasis) -> datetime | None:
    return basis.contract_on and end_of_day(basis.zone, basis.contract_on)


def _before_acceptance(limit: ClockLimit, basis: ClockBasis) -> datetime | None:
    return basis.acceptance_on and end_of_day(basis.zone, basis.acceptance_on - relativedelta(months=limit.months))


def _after_acceptance(limit: ClockLimit, basis: ClockBasis) -> datetime | None:
    return basis.acceptance_on and end_of_day(basis.zone, basis.acceptance_on + timedelta(days=limit.days))


LIMIT_RULES: Final[Mapping[str, Callable[[ClockLimit, ClockBasis], datetime | None]]] = {
    "end_of_reporting_day": _end_of_reporting_day,
    "end_of_arrival_day": _end_of_arrival_day,
    "promise": _promise,
    "contract_date": _contract_date,
    "before_acceptance": _before_acceptance,
    "after_acceptance": _after_acceptance,
}
"""The words of presets/clock_policies.toml (`clock_rule`)."""


# --- the limit that binds ---------------------------------------------------------------------------------------------


def deadline(
    clock: ClockFacts, promises: Sequence[Promised], pauses: Sequence[Pause], until: datetime
) -> Deadline | None:
    """Return the limit that binds at `until`, pauses included; None while there is none.

    The base is the earlier of the policy's limit and a priority's, or the first promise where there is neither. What
    the customer asked for becomes the base; our latest promise since then counts beside it, and the earlier one binds.
    """
    found = [Deadline(at, "policy") for at in (clock.policy_due_at, clock.priority_due_at) if at]
    base, since = (min(found, key=lambda one: one.at), clock.started_at) if found else (None, clock.started_at)
    ours: tuple[Deadline, datetime] | None = None
    for promise in sorted(promises, key=lambda one: one.made_at):
        made = Deadline(promise.promised_at, promise.moved_by)
        if base is None or promise.moved_by == "customer":
            base, since, ours = made, promise.made_at, None
        else:
            ours = made, promise.made_at
    if base is None:
        return None
    still = pauses if clock.kind == PAUSABLE else ()
    ends = clock.stopped_at or until
    binding = [_moved(one, still, start, ends) for one, start in ((base, since), *([ours] if ours else []))]
    return min(binding, key=lambda one: one.at)


def _moved(limit: Deadline, pauses: Sequence[Pause], since: datetime, until: datetime) -> Deadline:
    """Move a limit, set at `since`, by the pauses that began before it had passed."""
    due = limit.at
    for began, ended in _spans(pauses, since, until):
        if began < due:
            due += ended - began
    return Deadline(due, limit.by)


def _spans(pauses: Sequence[Pause], since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """The pauses between two instants as spans that neither overlap nor touch out of order."""
    spans: list[tuple[datetime, datetime]] = []
    reached = since
    for pause in sorted(pauses, key=lambda one: one.started_at):
        began, ended = max(pause.started_at, reached), min(pause.ended_at or until, until)
        if began < ended:
            spans.append((began, ended))
            reached = ended
    return spans


def warn_instants(clock: ClockFacts, due: datetime) -> list[tuple[int, datetime]]:
    """Return when each warning share of the way to `due` is reached, as (percent, instant), pauses not counted."""
    return [(percent, _after_share(clock, due, percent)) for percent in clock.warn_percent]


def _after_share(clock: ClockFacts, due: datetime, percent: int) -> datetime:
    part = -((-_length(clock, clock.started_at, due) * percent) // 100)  # rounded up to a whole microsecond
    return add_service_time(clock.counted, clock.started_at, part) if clock.counted else clock.started_at + part


def _length(clock: ClockFacts, start: datetime, end: datetime) -> timedelta:
    """The time between two instants that counts for this clock."""
    return service_time_between(clock.counted, start, end) if clock.counted else end - start


# --- reading ----------------------------------------------------------------------------------------------------------


def clock_reading(
    clock: ClockFacts, pauses: Sequence[Pause], promises: Sequence[Promised], now: datetime
) -> ClockReading:
    """Return what a clock says at `now`; a stopped clock says the same for ever."""
    until = clock.stopped_at or now
    binding = deadline(clock, promises, pauses, until)
    due = binding and binding.at
    latest = max(promises, key=lambda one: one.made_at, default=None)
    share, warned = _share_used(clock, pauses, due, until)
    state = _state(clock, pauses, due, now, warned)
    zh, en = sentence(clock, state, binding, now)
    service_seconds = _seconds(_length(clock, until, due)) if due and clock.counted else None
    return ClockReading(
        kind=clock.kind, state=state, started_at=clock.started_at, stopped_at=clock.stopped_at,
        policy_due_at=clock.policy_due_at, due_at=due,
        promised_at=latest and latest.promised_at, moved_by=latest and latest.moved_by,
        promise_kept=latest and _kept(latest, clock.stopped_at, now),
        remaining_seconds=due and _seconds(due - until), remaining_service_seconds=service_seconds,
        share_used=share, warned_percent=warned, zh=zh, en=en,
    )  # fmt: skip


def _state(clock: ClockFacts, pauses: Sequence[Pause], due: datetime | None, now: datetime, warned: int) -> ClockState:
    if clock.void:
        return "void"
    if clock.stopped_at:
        return "met" if due is None or clock.stopped_at <= due else "breached"
    if due is None:
        return "waiting"
    if now > due:
        return "late"
    if clock.kind == PAUSABLE and any(pause.started_at <= now and pause.ended_at is None for pause in pauses):
        return "paused"
    return "warn" if warned else "ok"


def _share_used(
    clock: ClockFacts, pauses: Sequence[Pause], due: datetime | None, until: datetime
) -> tuple[float | None, int]:
    """The share of the time that is used up, and the highest warning share reached."""
    if due is None:
        return None, 0
    spans = _spans(pauses, clock.started_at, min(until, due)) if clock.kind == PAUSABLE else []
    still = sum((ended - began for began, ended in spans), NO_TIME)
    whole, used = _length(clock, clock.started_at, due) - still, _length(clock, clock.started_at, until) - still
    if whole <= NO_TIME:
        return 1.0, max(clock.warn_percent, default=0)
    reached = [percent for percent in clock.warn_percent if used * 100 >= whole * percent]
    return used / whole, max(reached, default=0)


def _kept(promise: Promised, stopped_at: datetime | None, now: datetime) -> bool | None:
    """Whether a promise was kept; None while it still can be."""
    if stopped_at is not None:
        return stopped_at <= promise.promised_at
    return False if now > promise.promised_at else None


def _seconds(span: timedelta) -> int:
    return span // timedelta(seconds=1)


# --- words ------------------------------------------------------------------------------------------------------------

KIND_WORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "respond": ("响应", "respond", "Responded"),
    "answer": ("答复", "answer", "Answered"),
    "arrive": ("到场", "arrive", "Arrived"),
    "solve": ("解决", "solve", "Solved"),
}
STATE_WORDS: Final[Mapping[ClockState, tuple[str, str]]] = {
    "ok": ("{zh}还剩 {time_zh}（{basis_zh}）", "{time_en} left to {en} ({basis_en})"),
    "warn": ("{zh}还剩 {time_zh}（{basis_zh}）", "{time_en} left to {en} ({basis_en})"),
    "paused": ("{zh}计时暂停，还剩 {time_zh}（{basis_zh}）", "Paused with {time_en} left to {en} ({basis_en})"),
    "late": ("{zh}已超时 {time_zh}（{basis_zh}）", "{time_en} late to {en} ({basis_en})"),
    "met": ("{at_zh} 已{zh}，提前 {time_zh}（{basis_zh}）", "{past} {at_en}, {time_en} early ({basis_en})"),
    "breached": ("{at_zh} 已{zh}，超时 {time_zh}（{basis_zh}）", "{past} {at_en}, {time_en} late ({basis_en})"),
    "waiting": ("{zh}期限待定", "No limit yet to {en}"),
    "void": ("{zh}计时已作废", "The clock to {en} is void"),
}
STOPPED_WORDS: Final = ("{at_zh} 已{zh}", "{past} {at_en}")
"""For a clock that was stopped before it had a limit."""
WEEKDAYS: Final = (
    ("周一", "Mon"),
    ("周二", "Tue"),
    ("周三", "Wed"),
    ("周四", "Thu"),
    ("周五", "Fri"),
    ("周六", "Sat"),
    ("周日", "Sun"),
)
WEEKDAY_DAYS: Final = 6
"""Within so many days a weekday names one day only."""
HOUR: Final = 60
DAY: Final = 24 * HOUR
LONG: Final = 3 * DAY
"""Minutes; from here on people count in days."""


def sentence(clock: ClockFacts, state: ClockState, binding: Deadline | None, now: datetime) -> tuple[str, str]:
    """Return what the board says of a clock, in Chinese and English."""
    zh, en, past = KIND_WORDS.get(clock.kind, (clock.kind, clock.kind, clock.kind.capitalize()))
    words: dict[str, str] = {"zh": zh, "en": en, "past": past}
    if clock.stopped_at:
        words["at_zh"], words["at_en"] = moment_words(clock.stopped_at, clock.zone, now)
    if binding:
        words["time_zh"], words["time_en"] = span_words(abs(_length(clock, clock.stopped_at or now, binding.at)))
        words["basis_zh"], words["basis_en"] = _basis_words(clock, binding, now)
    in_zh, in_en = STATE_WORDS[state] if binding or state != "met" else STOPPED_WORDS
    return in_zh.format_map(words), in_en.format_map(words)


def span_words(span: timedelta) -> tuple[str, str]:
    """Return a length of time as people say it: (11 小时 20 分, 11 h 20 m); seconds are not said."""
    minutes = span // timedelta(minutes=1)
    if minutes == 0:
        return "不到 1 分", "under 1 m"
    big, small, in_zh, in_en = (DAY, HOUR, ("天", "小时"), "dh") if minutes >= LONG else (HOUR, 1, ("小时", "分"), "hm")
    counts = (minutes // big, minutes % big // small)
    zh = [f"{count} {unit}" for count, unit in zip(counts, in_zh, strict=True) if count]
    en = [f"{count} {unit}" for count, unit in zip(counts, in_en, strict=True) if count]
    return " ".join(zh), " ".join(en)


def moment_words(instant: datetime, zone: str, now: datetime) -> tuple[str, str]:
    """Return an instant on the clocks of `zone`: by its weekday where that names one day only, else by its date."""
    there, today = instant.astimezone(ZoneInfo(zone)), day_in(zone, now)
    if abs((there.date() - today).days) > WEEKDAY_DAYS:
        return f"{there:%Y-%m-%d %H:%M}", f"{there:%Y-%m-%d %H:%M}"
    zh, en = WEEKDAYS[there.weekday()]
    return f"{zh} {there:%H:%M}", f"{en} {there:%H:%M}"


def _basis_words(clock: ClockFacts, binding: Deadline, now: datetime) -> tuple[str, str]:
    """What the limit rests on: 48 h from Fri 09:10, the end of a day, or who moved it."""
    due_zh, due_en = moment_words(binding.at, clock.zone, now)
    if binding.by == "customer":
        return f"客户要求改至 {due_zh}", f"moved by the customer to {due_en}"
    if binding.by == "us":
        return f"我们承诺 {due_zh}", f"promised for {due_en}"
    if clock.rule:
        return f"截至 {due_zh}", f"due {due_en}"
    from_zh, from_en = moment_words(clock.started_at, clock.zone, now)
    zh, en = span_words(_length(clock, clock.started_at, binding.at))
    hours_zh, hours_en = ("服务时间 ", " of service") if clock.counted else ("", "")
    return f"{from_zh} 起{hours_zh or ' '}{zh}", f"{en}{hours_en} from {from_en}"


# --- who pays ---------------------------------------------------------------------------------------------------------


class FeeDecision(msgspec.Struct, frozen=True):
    """What is done about the fee, as presets/causes.toml has it (`fee_decision`)."""

    key: str
    zh: str
    en: str
    needs_acceptance: bool


class CauseRule(msgspec.Struct, frozen=True):
    """What a cause means for the fee: the key of a decision in warranty and out of it (`cause`)."""

    key: str
    zh: str
    en: str
    in_warranty: str
    out_of_warranty: str


class FeeVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Who pays and why, to be told before the work begins."""

    decision: str
    cause: str
    in_warranty: bool
    warranty_until: date | None
    needs_acceptance: bool
    zh: str
    en: str


def fee_verdict(
    cause: CauseRule, decisions: Mapping[str, FeeDecision], *, warranty_until: date | None, on: date
) -> FeeVerdict:
    """Decide about the fee: the cause first, the date second (A148, A149, X15). The last day of the warranty counts.

    Raises KeyError when the cause names a decision that does not exist.
    """
    covered = warranty_until is not None and on <= warranty_until
    decision = decisions[cause.in_warranty if covered else cause.out_of_warranty]
    if warranty_until is None:
        term_zh, term_en = "没有保修", "no warranty"
    elif covered:
        term_zh, term_en = f"保修至 {warranty_until}", f"in warranty until {warranty_until}"
    else:
        term_zh, term_en = f"保修已于 {warranty_until} 到期", f"warranty ended {warranty_until}"
    return FeeVerdict(
        decision=decision.key, cause=cause.key, in_warranty=covered, warranty_until=warranty_until,
        needs_acceptance=decision.needs_acceptance, zh=f"{cause.zh}，{term_zh}：{decision.zh}",
        en=f"{cause.en}, {term_en}: {decision.en}",
    )  # fmt: skip
