"""Starting, stopping and moving commitment clocks; making contracts.

A clock's `policy_due_at` is written when it starts and, where the policy says "the day of arrival", when somebody
arrives; nobody edits it. `due_at`, the limit that counts today, is computed anew from it, the promises and the pauses.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.bounds import must_be_agreeable
from backend.calendars.models import WorkingCalendar
from backend.calendars.queries import service_hours
from backend.contracts.models import ClockPause, ClockPolicy, CommitmentClock, ContractSite, Promise, ServiceContract
from backend.contracts.queries import DEFAULT_POLICY, clock_of, newest_policy, overdue, running
from backend.contracts.rules import (
    PAUSABLE,
    ClockBasis,
    ClockFacts,
    ClockLimit,
    MovedBy,
    Pause,
    Promised,
    deadline,
    minutes_and_hours,
    policy_due,
    read_policy,
)
from backend.contracts.schemas import NewServiceContract
from backend.core.audit import Actor, record
from backend.core.errors import INVALID, Fault, Finding, Problem
from backend.core.events import tell
from backend.customers.models import Customer
from backend.sites.models import Site

ARRIVAL_DAY = "end_of_arrival_day"
CASE_OPENED = "case_opened"

CLOCK_STOPPED = Fault(
    "clock_stopped", 409, "这个时限已经停止或作废。", "This clock has stopped or is void.",
    "请重新读取;不能再对它作出承诺。", "Read it again; nothing more can be promised on it.",
)  # fmt: skip


async def start_clocks(
    session: AsyncSession,
    *,
    now: datetime,
    entity: str,
    subject_id: UUID,
    bucket: str | None,
    policy: ClockPolicy,
    calendar: WorkingCalendar | None,
    received_at: datetime,
    priority: str | None,
    zone: str,
    contract_on: date | None = None,
    acceptance_on: date | None = None,
) -> list[CommitmentClock]:
    """Start the clocks of a policy on a record, from `received_at` on whatever channel (A029–A038).

    `zone` is the site's: days end and service hours are read on its clocks. A clock that stops when the Case is opened
    (X2) is stopped at `now` at once.
    """
    hours = await service_hours(session, calendar, zone) if calendar else None
    basis = ClockBasis(
        received_at=received_at, zone=zone, priority=priority, service=hours, contract_on=contract_on,
        acceptance_on=acceptance_on,
    )  # fmt: skip
    clocks: list[CommitmentClock] = []
    for limit in read_policy(policy.rules).clock:
        due = policy_due(limit, basis)
        at_once = limit.stop_event == CASE_OPENED
        clocks.append(
            CommitmentClock(
                bucket=bucket, entity=entity, subject_id=subject_id, kind=limit.kind, clock_policy_id=policy.id,
                hours=minutes_and_hours(limit, basis)[1], calendar_id=calendar and calendar.id, zone=zone,
                started_at=received_at, policy_due_at=due, due_at=due,
                stopped_at=now if at_once else None, stopped_by=CASE_OPENED if at_once else None,
            )
        )  # fmt: skip
    session.add_all(clocks)
    await session.flush()
    return clocks


async def stop_clock(
    session: AsyncSession, *, subject_id: UUID, kind: str, at: datetime, by: str
) -> CommitmentClock | None:
    """Stop a clock; the first stop wins and a second one changes nothing. None where there is no such clock.

    `by` names what stopped it, an event or a visit. A time before the start counts as the start.
    """
    clock = await clock_of(session, subject_id, kind, locked=True)
    if clock is None or clock.stopped_at or clock.void_reason:
        return clock
    if kind == PAUSABLE:
        await resume_clock(session, subject_id=subject_id, at=at)
    clock.stopped_at, clock.stopped_by = max(at, clock.started_at), by
    if kind == "arrive":
        await _follow_arrival(session, subject_id, clock.stopped_at)
    return clock


async def stop_clocks_on(session: AsyncSession, *, subject_id: UUID, event: str, at: datetime) -> list[CommitmentClock]:
    """Stop every running clock whose policy names this event as its end, such as `first_outbound_contact`."""
    wanted = select(CommitmentClock).where(CommitmentClock.subject_id == subject_id, running()).with_for_update()
    clocks = (await session.execute(wanted)).scalars().all()
    limits = {clock.id: await _limit_of(session, clock) for clock in clocks}
    ended = [clock for clock in clocks if limits[clock.id].stop_event == event]
    for clock in ended:
        await stop_clock(session, subject_id=subject_id, kind=clock.kind, at=at, by=event)
    return ended


async def restart_clock(
    session: AsyncSession, *, subject_id: UUID, kind: str, by: str | None = None
) -> CommitmentClock | None:
    """Take the end of a clock back, as if it had not been: an arrival amended, a Case reopened.

    With `by`, only a stop made by the same. Returns the clock that runs again, else None.
    """
    clock = await clock_of(session, subject_id, kind, locked=True)
    if clock is None or (clock.stopped_at is None and clock.void_reason is None):
        return None
    if by is not None and clock.stopped_by != by:
        return None
    clock.stopped_at = clock.stopped_by = clock.void_reason = None
    if kind == "arrive":
        await _follow_arrival(session, subject_id, None)
    return clock


async def pause_clock(session: AsyncSession, *, subject_id: UUID, at: datetime, reason: str) -> ClockPause | None:
    """Let the clock to solve stand still for a reason on the customer's side (presets §5); pausing twice is once.

    None where that clock is not running.
    """
    clock = await clock_of(session, subject_id, PAUSABLE, locked=True)
    if clock is None or clock.stopped_at or clock.void_reason:
        return None
    standing = await _open_pause(session, clock)
    if standing is None:
        standing = ClockPause(clock_id=clock.id, started_at=max(at, clock.started_at), reason=reason)
        session.add(standing)
        await session.flush()
    return standing


async def resume_clock(
    session: AsyncSession, *, subject_id: UUID, at: datetime, reason: str | None = None
) -> CommitmentClock | None:
    """End the pause of the clock to solve and move its limit by it; None where nothing stood still.

    With `reason`, only a pause made for it.
    """
    clock = await clock_of(session, subject_id, PAUSABLE, locked=True)
    standing = await _open_pause(session, clock) if clock else None
    if clock is None or standing is None or reason not in {None, standing.reason}:
        return None
    standing.ended_at = max(at, standing.started_at)
    await session.flush()
    await _set_due(session, clock)
    return clock


async def promise(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    clock: CommitmentClock,
    promised_at: datetime,
    moved_by: MovedBy,
    channel: str,
    reason: str,
) -> Promise:
    """Record a time told to the customer and move the limit that counts (A036, A048, A058, X3).

    Raises clock_stopped, and invalid for a time before the clock began.
    """
    if clock.stopped_at or clock.void_reason:
        raise Problem(CLOCK_STOPPED)
    must_be_agreeable(now, {"promised_at": promised_at})
    if promised_at < clock.started_at:
        raise Problem(INVALID, Finding("promised_at", "不能早于受理时间", "cannot be before the request was received"))
    made = Promise(
        clock_id=clock.id, promised_at=promised_at, moved_by=moved_by, channel=channel, reason=reason,
        person_id=actor.person_id, made_at=now,
    )  # fmt: skip
    session.add(made)
    await session.flush()
    before = clock.due_at
    await _set_due(session, clock)
    facts = {
        "subject_id": str(clock.subject_id), "kind": clock.kind, "promised_at": promised_at.isoformat(),
        "moved_by": moved_by,
    }  # fmt: skip
    record(
        session, now=now, actor=actor, action="clock.promised", row=clock, reason=reason or None,
        before={"due_at": before}, after={"due_at": clock.due_at, "channel": channel, **facts},
    )  # fmt: skip
    tell(session, now=now, name="commitment_clock.promised", row=clock, facts=facts)
    return made


async def tighten_clocks(session: AsyncSession, *, subject_id: UUID, priority: str) -> list[CommitmentClock]:
    """Let a priority given after the start bring its earlier limits (A035); a lower one never moves a limit later."""
    wanted = select(CommitmentClock).where(CommitmentClock.subject_id == subject_id, running()).with_for_update()
    moved: list[CommitmentClock] = []
    for clock in (await session.execute(wanted)).scalars().all():
        limit, basis = await _limit_of(session, clock), await _basis_of(session, clock, priority)
        due = policy_due(limit, basis)
        standing = min((at for at in (clock.policy_due_at, clock.priority_due_at) if at), default=None)
        if due and standing and due < standing:
            clock.priority_due_at, clock.hours = due, minutes_and_hours(limit, basis)[1]
            await _set_due(session, clock)
            moved.append(clock)
    return moved


async def settle_clocks(session: AsyncSession, *, subject_id: UUID, at: datetime, reason: str) -> None:
    """End what still runs on a record that is solved, closed or cancelled: nothing more is owed, so it becomes void.

    A clock that is late by then is stopped instead: the commitment was broken, however the Case ended.
    """
    passed = select(CommitmentClock.id).where(CommitmentClock.subject_id == subject_id, overdue(at))
    late = set((await session.execute(passed)).scalars())
    wanted = select(CommitmentClock).where(CommitmentClock.subject_id == subject_id, running()).with_for_update()
    for clock in (await session.execute(wanted)).scalars().all():
        if clock.id in late:
            await stop_clock(session, subject_id=subject_id, kind=clock.kind, at=at, by=reason)
        else:
            clock.void_reason = reason


async def unsettle_clocks(session: AsyncSession, *, subject_id: UUID, reasons: Collection[str]) -> None:
    """Take back what settling with one of these reasons ended: those clocks run again, each with its old limit."""
    ended = select(CommitmentClock.kind).where(
        CommitmentClock.subject_id == subject_id,
        or_(CommitmentClock.void_reason.in_(reasons), CommitmentClock.stopped_by.in_(reasons)),
    )
    for kind in (await session.execute(ended)).scalars().all():
        await restart_clock(session, subject_id=subject_id, kind=kind)


async def _follow_arrival(session: AsyncSession, subject_id: UUID, arrived_at: datetime | None) -> None:
    """Give the clock to solve its day of arrival (A037), or take it back with the arrival."""
    solve = await clock_of(session, subject_id, PAUSABLE, locked=True)
    if solve is None:
        return
    limit = await _limit_of(session, solve)
    if limit.rule == ARRIVAL_DAY:
        basis = ClockBasis(received_at=solve.started_at, zone=solve.zone, arrived_at=arrived_at)
        solve.policy_due_at = policy_due(limit, basis)
        await _set_due(session, solve)


async def _set_due(session: AsyncSession, clock: CommitmentClock) -> None:
    """Compute the limit that counts from the policy's, the promises and the ended pauses."""
    listed = select(Promise).where(Promise.clock_id == clock.id).order_by(Promise.made_at, Promise.id)
    promises = (await session.execute(listed)).scalars()
    ended = select(ClockPause).where(ClockPause.clock_id == clock.id, ClockPause.ended_at.is_not(None))
    pauses = [Pause(one.started_at, one.ended_at) for one in (await session.execute(ended)).scalars()]
    facts = ClockFacts(
        kind=clock.kind, started_at=clock.started_at, zone=clock.zone, policy_due_at=clock.policy_due_at,
        priority_due_at=clock.priority_due_at,
    )  # fmt: skip
    made = [msgspec.convert(one, Promised, from_attributes=True) for one in promises]
    until = max((pause.ended_at for pause in pauses if pause.ended_at), default=clock.started_at)
    binding = deadline(facts, made, pauses, until)
    clock.due_at = binding and binding.at


async def _open_pause(session: AsyncSession, clock: CommitmentClock) -> ClockPause | None:
    wanted = select(ClockPause).where(ClockPause.clock_id == clock.id, ClockPause.ended_at.is_(None))
    return (await session.execute(wanted)).scalar_one_or_none()


async def _limit_of(session: AsyncSession, clock: CommitmentClock) -> ClockLimit:
    policy = await session.get_one(ClockPolicy, clock.clock_policy_id)
    return next(limit for limit in read_policy(policy.rules).clock if limit.kind == clock.kind)


async def _basis_of(session: AsyncSession, clock: CommitmentClock, priority: str) -> ClockBasis:
    calendar = await session.get(WorkingCalendar, clock.calendar_id) if clock.calendar_id else None
    hours = await service_hours(session, calendar, clock.zone) if calendar else None
    return ClockBasis(received_at=clock.started_at, zone=clock.zone, priority=priority, service=hours)


# --- contracts --------------------------------------------------------------------------------------------------------


async def make_contract(
    session: AsyncSession, *, now: datetime, actor: Actor, new: NewServiceContract
) -> ServiceContract:
    """Make a contract that pins the newest version of its clock policy; raises invalid and no_clock_policy."""
    findings = [*_date_findings(new), *await _site_findings(session, new)]
    if findings:
        raise Problem(INVALID, *findings)
    policy = await newest_policy(session, new.clock_policy or DEFAULT_POLICY)
    contract = ServiceContract(
        customer_id=new.customer_id, number=new.number, clock_policy_id=policy.id, starts_on=new.starts_on,
        maintenance_ends_on=new.maintenance_ends_on, ends_on=new.ends_on, coverage=new.coverage,
    )  # fmt: skip
    session.add(contract)
    await session.flush()
    session.add_all(
        ContractSite(contract_id=contract.id, site_id=site_id, valid_from_on=new.starts_on, valid_until_on=new.ends_on)
        for site_id in dict.fromkeys(new.site_ids)
    )
    await session.flush()
    after: dict[str, Any] = msgspec.to_builtins(new)
    record(session, now=now, actor=actor, action="service_contract.made", row=contract, after=after)
    return contract


def _date_findings(new: NewServiceContract) -> Sequence[Finding]:
    return [
        Finding(field, "不能早于开始日期", "cannot be before starts_on")
        for field, day in (("maintenance_ends_on", new.maintenance_ends_on), ("ends_on", new.ends_on))
        if day is not None and day < new.starts_on
    ]


async def _site_findings(session: AsyncSession, new: NewServiceContract) -> Sequence[Finding]:
    theirs = select(Site.id).join(Customer, Customer.id == Site.customer_id).where(Customer.id == new.customer_id)
    known = set((await session.execute(theirs.where(Site.id.in_(new.site_ids)))).scalars())
    return [
        Finding(f"site_ids.{place}", "不是该客户的现场", "not a site of this customer")
        for place, site_id in enumerate(new.site_ids)
        if site_id not in known
    ]
