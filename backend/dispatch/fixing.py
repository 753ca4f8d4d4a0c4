"""Applying a fix: the roster or the appointment gives way as it said, and the witness's routes become assignments."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal
from backend.core.clock import parse_instant
from backend.core.errors import Fault, Finding, Problem
from backend.dispatch.fix_schemas import AppliedFix
from backend.dispatch.fix_wording import as_what_if, first_words, fix_words
from backend.dispatch.fixes import decides, fix_name, past_quarter
from backend.dispatch.live import Situation, must_rest_on
from backend.dispatch.live_schemas import PlacementOutcome
from backend.dispatch.placing import carry_out, must_start_as_shown, touched_visits
from backend.jobs.actions import patch_visit, patch_work_order, tell_window
from backend.jobs.models import Visit, WorkOrder
from backend.jobs.schemas import Tell, VisitPatch, WorkOrderPatch
from backend.people.models import Shift
from backend.people.roster_actions import add_shifts, edit_shift
from backend.people.roster_queries import shift_within
from backend.people.roster_schemas import Break, NewShift, ShiftPatch
from backend.people.schemas import GeoPoint
from routing.answers import Fix, Fixes, WhatIf
from routing.relax import Relaxation, quarter_before

MINUTE: Final = timedelta(minutes=1)
SHORTEST_APPOINTMENT: Final = timedelta(minutes=30)
"""An appointment made by a fix is at least this long: a shorter one would name a point in time."""

FIX_GONE = Fault(
    "fix_gone", 409, "情况已有变化,这个办法不再成立。", "Things have changed: this fix is not there any more.",
    "请重新查看可行的办法。", "Look at the fixes again.",
)  # fmt: skip
FIX_NEEDS = Fault(
    "fix_needs", 409, "这个办法要先做别的事,才能应用。", "Something has to be done before this fix can be applied.",
    "请按 findings 所列先行办理,再重新查看办法。", "Do what the findings say, then look at the fixes again.",
)  # fmt: skip


def chosen(seen: Situation, found: Fixes, name: str, wanted: AppliedFix) -> Fix:
    """Return the fix that was shown; raises fix_gone, fix_needs, and board_moved_on where it starts at another time."""
    fix = next((one for one in found.fixes if fix_name(one, seen.naming) == name), None)
    if fix is None:
        raise Problem(FIX_GONE)
    missing = [
        Finding(one.kind, *words)
        for one in fix.relaxations
        if (decides(one) == "others" or (decides(one) == "customer" and wanted.agreed is None))
        and (words := first_words(one, seen.naming)) is not None
    ]
    if missing:
        raise Problem(FIX_NEEDS, *missing)
    must_start_as_shown(seen, fix.visit, fix.start, wanted.starts_at)
    return fix


async def must_rest(session: AsyncSession, seen: Situation, fix: Fix, base: str) -> None:
    """Refuse a fix of which anything it rests on changed since it was shown, with what changed."""
    tried = as_what_if(fix)
    shifts = [UUID(shift) for shift in tried.shifts if "+" not in shift]
    await must_rest_on(session, base=base, visits=_visits(seen, fix), shifts=shifts)


def _visits(seen: Situation, fix: Fix) -> list[UUID]:
    return sorted({*touched_visits(seen, as_what_if(fix)), *(UUID(one.visit) for one in fix.moved)})


async def apply_fix(
    session: AsyncSession, *, now: datetime, principal: Principal, seen: Situation, fix: Fix, agreed: Tell | None
) -> PlacementOutcome:
    """Carry out a fix; raises board_moved_on, and what the roster or the appointment refuses.

    A shift is added first, because visits go on it. What is changed of other shifts and of appointments comes after the
    assignments, which lock orders and shifts in everybody's order.
    """
    added: dict[str, str] = {}
    for one in fix.relaxations:
        if one.kind == "shift_added":
            added[fix.shift] = str(await _added_shift(session, now, principal, seen, one))
    tried = _on_real_shifts(as_what_if(fix), added)
    changed_hands = frozenset(one.visit for one in fix.moved if seen.stands.get(one.visit) != one.shift)
    outcome = await carry_out(
        session, now=now, actor=principal.actor, seen=seen, tried=tried, pinned=False, also=changed_hands
    )
    for one in fix.relaxations:
        if one.kind in {"overtime", "shift_earlier"}:
            await _changed_shift(session, now, principal, seen, fix, one)
        elif agreed is not None and decides(one) == "customer":
            await _agreed_time(session, now, principal, seen, fix, one, agreed)
    zh, en = fix_words(fix, seen.naming)
    return msgspec.structs.replace(outcome, sentence_zh=zh, sentence_en=en)


def _on_real_shifts(tried: WhatIf, added: dict[str, str]) -> WhatIf:
    """Return the move with the shifts that were only proposed replaced by those that are there now."""
    placement = tried.placement
    return msgspec.structs.replace(
        tried, placement=msgspec.structs.replace(placement, shift=added.get(placement.shift or "", placement.shift)),
        shifts=tuple(added.get(shift, shift) for shift in tried.shifts),
        routes=tuple(
            msgspec.structs.replace(route, shift=added.get(route.shift, route.shift)) for route in tried.routes
        ),
    )  # fmt: skip


async def _added_shift(
    session: AsyncSession, now: datetime, principal: Principal, seen: Situation, one: Relaxation
) -> UUID:
    """Add a shift like the one it repeats, so many days later."""
    units = principal.units("dispatch", "write")
    model = await shift_within(session, UUID(one.shift or ""), units)
    later = timedelta(seconds=one.at or 0)
    span = one.window
    assert span is not None, "an added shift says from when to when"  # noqa: S101
    starts_at, ends_at = seen.naming.at(span.start), seen.naming.at(span.end)
    breaks = tuple(
        Break(
            start_at=max(starts_at, parse_instant(pause["start_at"]) + later),
            end_at=min(ends_at, parse_instant(pause["end_at"]) + later), minutes=pause["minutes"],
        )
        for pause in model.breaks
    )  # fmt: skip
    inside = tuple(one for one in breaks if one.end_at - one.start_at >= timedelta(minutes=one.minutes))
    new = NewShift(
        person_id=model.person_id, starts_at=starts_at, ends_at=ends_at, breaks=inside, vehicle_id=model.vehicle_id,
        start=GeoPoint(lat=model.start_lat, lon=model.start_lon),
    )  # fmt: skip
    (shift,) = await add_shifts(session, now=now, actor=principal.actor, units=units, new=[new])
    return shift.id


async def _changed_shift(  # noqa: PLR0917
    session: AsyncSession, now: datetime, principal: Principal, seen: Situation, fix: Fix, one: Relaxation
) -> None:
    """Let a shift end later, or begin earlier.

    A day that is late already has more overtime in the plan than in the roster: there it gets all that it needs.
    """
    units = principal.units("dispatch", "write")
    shift: Shift = await shift_within(session, UUID(one.shift or ""), units, locked=True)
    if one.kind == "overtime":
        back = max(
            (seen.naming.at(route.end) for route in fix.routes if route.shift == one.shift), default=shift.ends_at
        )
        longer = max(timedelta(minutes=shift.overtime_minutes, seconds=one.seconds), back - shift.ends_at)
        patch = ShiftPatch(overtime_minutes=-(-longer // MINUTE))
    else:
        patch = ShiftPatch(starts_at=shift.starts_at - timedelta(seconds=one.seconds))
    await edit_shift(session, now=now, actor=principal.actor, units=units, shift=shift, patch=patch)


async def _agreed_time(  # noqa: PLR0917
    session: AsyncSession, now: datetime, principal: Principal, seen: Situation, fix: Fix, one: Relaxation, told: Tell
) -> None:
    """Write down the appointment a customer agreed to, and that they were told.

    By their own wish the limit moves, too, also that of an order without a case, which has no clock.
    """
    start = one.window.start if one.window else fix.start
    begins = seen.naming.at(quarter_before(start, past_quarter(seen.naming)))
    ends = seen.naming.at(one.window.end if one.window else one.at or 0)
    visit = await session.get_one(Visit, UUID(one.visit or ""))
    patch = VisitPatch(window_starts_at=begins, window_ends_at=max(ends, begins + SHORTEST_APPOINTMENT))
    await patch_visit(session, now=now, actor=principal.actor, visit=visit, patch=patch)
    await tell_window(session, now=now, actor=principal.actor, visit=visit, told=told)
    order = await session.get_one(WorkOrder, visit.work_order_id)
    if one.kind == "deadline" and told.asked_by == "customer" and order.request_id is None:
        later = WorkOrderPatch(due_at=visit.window_ends_at)
        await patch_work_order(session, now=now, actor=principal.actor, order=order, patch=later)
