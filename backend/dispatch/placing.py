"""Carrying out a placement: the visits that move, and no others, get new assignments, all in one transaction."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor
from backend.core.errors import Fault, Finding, Problem
from backend.dispatch.live import BOARD_MOVED_ON, Situation, moved_view, must_rest_on, rule_words, sentences
from backend.dispatch.live_schemas import AcceptedPlacement, PlacementOutcome
from backend.jobs.actions import assign_visit, withdraw_assignments
from backend.jobs.models import Assignment, Visit, WorkOrder
from backend.jobs.reclaiming import REPLANNED
from backend.people.models import Shift
from routing.answers import WhatIf
from routing.differences import NOTICED_SECONDS
from routing.plan import Route, Stop

SHOWN_TOLERANCE: Final = timedelta(minutes=5)
"""By how much a start may differ from what was shown when it was accepted: the clock went on."""

PLACEMENT_REFUSED = Fault(
    "placement_refused", 409, "不能这样安排:{zh}。", "It cannot be done like this: {en}.",
    "请选择别的位置;若只是违反与客户的约定,可确认后仍然执行(even_so)。",
    "Choose another place; only a customer's promised window may be broken, with `even_so`.",
)  # fmt: skip


def must_be_as_shown(seen: Situation, wanted: AcceptedPlacement, tried: WhatIf) -> None:
    """Refuse a placement that breaks a rule, or that no longer comes to what was shown."""
    if tried.broken is not None and not (tried.broken.soft and wanted.even_so):
        zh, en = rule_words(tried.broken, tried.placement, seen.naming)
        raise Problem(PLACEMENT_REFUSED, rule=tried.broken.code, zh=zh, en=en)
    if tried.start is not None:
        must_start_as_shown(seen, tried.placement.visit, tried.start, wanted.starts_at)


def must_start_as_shown(seen: Situation, visit: str, start: int, shown: datetime | None) -> None:
    """Refuse what would start at another time than was shown; raises board_moved_on."""
    if shown is not None and abs(seen.naming.at(start) - shown) > SHOWN_TOLERANCE:
        at = seen.naming.clock(start, visit)
        raise Problem(BOARD_MOVED_ON, Finding("starts_at", f"现在将于 {at} 开始", f"it would start at {at} now"))


def touched_visits(seen: Situation, tried: WhatIf) -> list[UUID]:
    """Return every visit on the shifts a placement touches, and the visit itself."""
    beside = [visit for visit, shift in seen.stands.items() if shift in tried.shifts]
    return sorted({UUID(tried.placement.visit), *map(UUID, beside), *(UUID(one.visit) for one in tried.moved)})


async def carry_out(
    session: AsyncSession, *, now: datetime, actor: Actor, seen: Situation, tried: WhatIf, pinned: bool,
    also: frozenset[str] = frozenset(),
) -> PlacementOutcome:  # fmt: skip
    """Write a placement that was found to work; raises board_moved_on when something it rests on changed meanwhile.

    `also`: visits that change hands, even if they start when they did.
    """
    visits = await locked_visits(session, touched_visits(seen, tried), [UUID(shift) for shift in tried.shifts])
    await must_rest_on(session, base=seen.base, visits=list(visits), shifts=[UUID(shift) for shift in tried.shifts])
    visit_id = UUID(tried.placement.visit)
    changed = {tried.placement.visit, *also} | {
        one.visit for one in tried.moved if abs(one.start_after - one.start_before) >= NOTICED_SECONDS
    }
    if tried.placement.shift is None:
        await withdraw_assignments(session, now=now, actor=actor, visit=visits[visit_id], reason=REPLANNED)
    held = await _leading(session, list(visits))
    for route in tried.routes:
        for stop in route.stops:
            visit = visits.get(UUID(stop.visit))
            if visit is not None and stop.visit in changed:  # who joins a visit keeps to the time they were asked for
                standing = _kept(held.get(visit.id), route)
                given: dict[str, Any] = {"pinned": pinned} if visit.id == visit_id and pinned else standing
                await assign_visit(
                    session, now=now, actor=actor, visit=visit, reason=REPLANNED, **as_assigned(route, stop, seen.at),
                    **given,
                )  # fmt: skip
    return _outcome(seen, tried)


def _kept(held: Assignment | None, route: Route) -> dict[str, Any]:
    """Return what stays of an assignment whose visit only starts at another time: its plan and its pin.

    One given by hand without a shift is its person's on whichever of their shifts.
    """
    if held is None or held.person_id != UUID(route.technician) or held.shift_id not in {None, UUID(route.shift)}:
        return {}
    return {"plan_id": held.plan_id, "pinned": held.pinned}


def as_assigned(route: Route, stop: Stop, starts_at: datetime) -> dict[str, Any]:
    """Return what of an assignment a stop of a route decides; `starts_at`: the instant of second 0."""

    def at(seconds: int) -> datetime:
        return starts_at + timedelta(seconds=seconds)

    return {
        "person_id": UUID(route.technician),
        "shift_id": UUID(route.shift),
        "departs_at": at(stop.departs),
        "arrives_at": at(stop.start),
        "ends_at": at(stop.departure),
        "slack_seconds": stop.slack_seconds,
    }


def _outcome(seen: Situation, tried: WhatIf) -> PlacementOutcome:
    visit, shift = tried.placement.visit, tried.placement.shift
    zh, en = sentences(tried, seen.naming) if tried.broken is None else rule_words(
        tried.broken, tried.placement, seen.naming
    )  # fmt: skip
    moved = [moved_view(one, seen.naming) for one in tried.moved]
    person = next((route.technician for route in tried.routes if route.shift == shift), None)
    return PlacementOutcome(
        visit_id=UUID(visit), shift_id=UUID(shift) if shift else None, person_id=UUID(person) if person else None,
        starts_at=None if tried.start is None else seen.naming.at(tried.start), moved=moved,
        told_again=[one.visit_id for one in moved if one.told], sentence_zh=zh, sentence_en=en,
    )  # fmt: skip


async def locked_visits(session: AsyncSession, visit_ids: list[UUID], shift_ids: list[UUID]) -> dict[UUID, Visit]:
    """Lock the visits' orders, which is what everything on a job waits for, then shifts, and read the visits then.

    Whoever gives out many visits at once locks them here, in one order for all, so that nobody waits in a circle.
    """
    orders = select(Visit.work_order_id).where(Visit.id.in_(visit_ids))
    await session.execute(select(WorkOrder.id).where(WorkOrder.id.in_(orders)).order_by(WorkOrder.id).with_for_update())
    await session.execute(select(Shift.id).where(Shift.id.in_(shift_ids)).order_by(Shift.id).with_for_update())
    found = await session.execute(select(Visit).where(Visit.id.in_(visit_ids)))
    return {visit.id: visit for visit in found.scalars()}


async def _leading(session: AsyncSession, visit_ids: list[UUID]) -> dict[UUID, Assignment]:
    active = select(Assignment).where(
        Assignment.visit_id.in_(visit_ids), Assignment.withdrawn_at.is_(None), Assignment.leads.is_(True)
    )
    return {one.visit_id: one for one in (await session.execute(active)).scalars()}
