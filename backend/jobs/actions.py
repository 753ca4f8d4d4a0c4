"""Opening and changing work orders, their visits and windows; notes and parts.

Who goes is decided in `assigning`, what people report comes in through `visit_events`; both are reached from here.
"""

from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.bounds import HAPPENED_DAYS, must_be_ahead, must_be_near
from backend.contracts import actions as contracts
from backend.contracts.models import CommitmentClock
from backend.contracts.queries import clock_of
from backend.core.audit import Actor, record
from backend.core.db import Base
from backend.core.errors import INVALID, NOT_FOUND, Finding, Problem
from backend.core.events import tell
from backend.core.ids import new_id
from backend.core.numbers import next_number
from backend.core.taken import RECORD_ID_TAKEN, must_be_new
from backend.customers.queries import survivor
from backend.forms.models import ChecklistTemplateVersion
from backend.jobs.assigning import assign_visit, claim_visit, withdraw_assignments
from backend.jobs.cases import note_contact
from backend.jobs.faults import NO_WINDOW, ORDER_CLOSED, VISIT_CLOSED
from backend.jobs.history import changed, locked_order, visit_history, visits_of
from backend.jobs.models import JobNote, PartUse, Visit, WorkOrder
from backend.jobs.presets import WorkOrderKind, known_priority, work_order_kind
from backend.jobs.queries import visit_ever_held
from backend.jobs.rules import CLOSED, OrderState, VisitState
from backend.jobs.schemas import NewVisit, NewWorkOrder, PartUseEntry, Tell, VisitPatch, WorkOrderPatch
from backend.jobs.visit_events import cancel_one_visit, follow_visits, record_visit_event
from backend.parts.actions import take_from_van
from backend.people.queries import must_know_skills, no_such
from backend.requests.faults import must_be_open
from backend.requests.models import ServiceRequest
from backend.sites.models import Asset, Site

__all__ = [
    "add_note",
    "add_visit",
    "approve_work_order",
    "assign_visit",
    "cancel_visit",
    "cancel_work_order",
    "claim_visit",
    "open_work_order",
    "patch_visit",
    "patch_work_order",
    "record_visit_event",
    "tell_window",
    "use_part",
    "withdraw_assignments",
]

PRIORITY_PASSIVE: Final = "P3"
PRIORITY_ACTIVE: Final = "P4"
"""Priorities of orders for which nobody chose one (presets §2)."""
ENDED: Final = frozenset({OrderState.COMPLETED, OrderState.CANCELLED})

Known = TypeVar("Known", bound=Base)


async def open_work_order(session: AsyncSession, *, now: datetime, actor: Actor, new: NewWorkOrder) -> WorkOrder:
    """Open a work order with its first visit, unplanned. What `new` leaves out comes from request, kind and site.

    Raises case_not_open, record_id_taken, and invalid: an unknown kind, priority, skill, site or template, an asset or
    a request of another site, a window that has ended or ends before it starts, times nobody can mean.
    """
    must_be_near(now, msgspec.structs.asdict(new))
    await must_be_new(session, WorkOrder, id=new.id, device_number=new.device_number)
    site = await _standing(session, Site, new.site_id, "site_id")
    kind = await work_order_kind(session, new.kind)
    request = await _request_at(session, new.request_id, site)
    asset = await _asset_at(session, new.asset_id or (request and request.asset_id), site)
    priority = new.priority or (request and request.priority) or _default_priority(kind)
    skills = new.required_skills if new.required_skills is not None else (request.required_skills if request else [])
    await must_know_skills(session, skills)
    order = WorkOrder(
        id=new.id or new_id(), unit_id=site.unit_id, number=await next_number(session, "WO"),
        device_number=new.device_number, request_id=new.request_id, site_id=site.id, asset_id=asset and asset.id,
        kind=new.kind, origin=kind.origin, queue=kind.queue, priority=await known_priority(session, priority),
        title=new.title, description=new.description, required_skills=skills,
        form_template_version_id=await _template_for(session, new, kind, asset),
        duration_minutes=new.duration_minutes or kind.duration_minutes,
        technicians=new.technicians or kind.technicians, earliest_at=new.earliest_at,
        parts_ready_at=new.parts_ready_at, due_at=new.due_at or await _arrive_limit(session, new.request_id),
        state=OrderState.OPEN.value, needs_approval=kind.needs_approval,
    )  # fmt: skip
    session.add(order)
    await session.flush()
    window = NewVisit(window_starts_at=new.window_starts_at, window_ends_at=new.window_ends_at)
    told_on = now if actor.mutation_id is None else now - HAPPENED_DAYS  # a phone may come back after its window's end
    _add_visit(session, told_on, order, window, 1)
    facts = {"number": order.number, "kind": order.kind, "request_id": order.request_id and str(order.request_id)}
    record(session, now=now, actor=actor, action="work_order.opened", row=order, after=facts)
    tell(session, now=now, name="work_order.opened", row=order, facts=facts)
    return order


async def patch_work_order(
    session: AsyncSession, *, now: datetime, actor: Actor, order: WorkOrder, patch: WorkOrderPatch
) -> None:
    """Change fields of an open order; raises order_closed and invalid."""
    values = _given(patch)
    must_be_near(now, values)
    if order.state in ENDED:
        raise Problem(ORDER_CLOSED)
    if "asset_id" in values:
        asset = await _asset_at(session, values["asset_id"], await session.get_one(Site, order.site_id))
        values["asset_id"] = asset and asset.id
    if "priority" in values:
        await known_priority(session, values["priority"])
    await must_know_skills(session, values.get("required_skills", []))
    before, after = changed(order, values)
    if after:
        record(session, now=now, actor=actor, action="work_order.changed", row=order, before=before, after=after)


async def approve_work_order(session: AsyncSession, *, now: datetime, actor: Actor, order: WorkOrder) -> None:
    """Sign an order that must be approved before it is assigned (A055); once is enough."""
    if order.state in ENDED:
        raise Problem(ORDER_CLOSED)
    if order.approved_at is None:
        order.approved_at, order.approved_by_id = now, actor.person_id
        record(session, now=now, actor=actor, action="work_order.approved", row=order)


async def cancel_work_order(
    session: AsyncSession, *, now: datetime, actor: Actor, order: WorkOrder, reason: str
) -> None:
    """Cancel an order with every visit that has not ended; raises order_closed for a completed one. Twice is once."""
    order = await locked_order(session, order.id)
    if order.state == OrderState.CANCELLED:
        return
    if order.state == OrderState.COMPLETED:
        raise Problem(ORDER_CLOSED)
    before = order.state
    order.cancelled_reason = reason
    for visit in await visits_of(session, order.id):
        if visit.state not in CLOSED:
            await cancel_one_visit(session, now=now, actor=actor, visit_id=visit.id, reason=reason)
    order.state = OrderState.CANCELLED.value
    record(
        session, now=now, actor=actor, action="work_order.cancelled", row=order,
        before={"state": before}, after={"state": order.state}, reason=reason,
    )  # fmt: skip
    facts = {"request_id": order.request_id and str(order.request_id), "kind": order.kind, "reason": reason}
    tell(session, now=now, name="work_order.cancelled", row=order, facts=facts)


async def add_visit(session: AsyncSession, *, now: datetime, actor: Actor, order: WorkOrder, new: NewVisit) -> Visit:
    """Add another trip to an open order; raises order_closed and invalid."""
    order = await locked_order(session, order.id)
    if order.state in ENDED:
        raise Problem(ORDER_CLOSED)
    visits = await visits_of(session, order.id)
    visit = _add_visit(session, now, order, new, len(visits) + 1)
    await session.flush()
    record(session, now=now, actor=actor, action="visit.added", row=visit, after={"sequence": visit.sequence})
    await follow_visits(session, now=now, actor=actor, history=await visit_history(session, visit.id))
    return visit


async def patch_visit(session: AsyncSession, *, now: datetime, actor: Actor, visit: Visit, patch: VisitPatch) -> None:
    """Change a visit's window or duration; a moved window has to be told again. Raises visit_closed and invalid."""
    values = _given(patch)
    if visit.state in CLOSED:
        raise Problem(VISIT_CLOSED)
    window = {"window_starts_at", "window_ends_at"} & values.keys()
    starts = values.get("window_starts_at", visit.window_starts_at)
    ends = values.get("window_ends_at", visit.window_ends_at)
    if window and (starts, ends) != (visit.window_starts_at, visit.window_ends_at):
        _must_be_window(now, starts, ends)
        values["told_at"] = None
    before, after = changed(visit, values)
    if after:
        record(session, now=now, actor=actor, action="visit.changed", row=visit, before=before, after=after)


async def tell_window(session: AsyncSession, *, now: datetime, actor: Actor, visit: Visit, told: Tell) -> None:
    """Confirm that the customer was told the window: a promise on the Case's arrive clock, by whose wish (A036, A058).

    Raises no_window, visit_closed, and invalid for a window that has ended.
    """
    if visit.state in CLOSED:
        raise Problem(VISIT_CLOSED)
    if visit.window_starts_at is None or visit.window_ends_at is None:
        raise Problem(NO_WINDOW)
    must_be_ahead(now, {"window_ends_at": visit.window_ends_at})
    visit.told_at = now
    order = await session.get_one(WorkOrder, visit.work_order_id)
    clock = await _arrive_clock(session, order.request_id)
    if clock is not None and clock.stopped_at is None and clock.void_reason is None:
        await contracts.promise(
            session, now=now, actor=actor, clock=clock, promised_at=visit.window_ends_at, moved_by=told.asked_by,
            channel=told.channel, reason=told.reason,
        )  # fmt: skip
        order.due_at = clock.due_at
    await note_contact(session, now=now, actor=actor, order=order, at=now, channel=told.channel)
    record(
        session, now=now, actor=actor, action="visit.told", row=visit, reason=told.reason or None,
        after={"window_ends_at": visit.window_ends_at, "channel": told.channel, "asked_by": told.asked_by},
    )  # fmt: skip


async def cancel_visit(session: AsyncSession, *, now: datetime, actor: Actor, visit: Visit, reason: str) -> None:
    """Cancel one trip; the order stays open. Raises visit_closed for a finished one. Twice is once."""
    history = await visit_history(session, visit.id)
    if history.visit.state == VisitState.CANCELLED:
        return
    if history.visit.state == VisitState.FINISHED:
        raise Problem(VISIT_CLOSED)
    await cancel_one_visit(session, now=now, actor=actor, visit_id=visit.id, reason=reason)
    await follow_visits(session, now=now, actor=actor, history=history)


async def add_note(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    order: WorkOrder,
    person_id: UUID,
    text: str,
    visit_id: UUID | None = None,
    written_at: datetime | None = None,
    note_id: UUID | None = None,
) -> JobNote:
    """Add a note to an order, in any of its states; under a repeated `note_id` the same note is returned.

    Raises not_found, and record_id_taken for an id that names another note.
    """
    if visit_id is not None:
        await _must_belong(session, visit_id, order.id)
    known = await session.get(JobNote, note_id) if note_id else None
    if known is not None:
        _must_say(known, work_order_id=order.id, visit_id=visit_id, person_id=person_id, text=text)
        return known
    note = JobNote(
        id=note_id or new_id(), work_order_id=order.id, visit_id=visit_id, person_id=person_id, text=text,
        written_at=min(written_at or now, now), server_at=now, mutation_id=actor.mutation_id,
    )  # fmt: skip
    session.add(note)
    record(session, now=now, actor=actor, action="work_order.noted", row=order, after={"note_id": str(note.id)})
    return note


async def use_part(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    visit: Visit,
    person_id: UUID,
    entry: PartUseEntry,
    part_use_id: UUID | None = None,
) -> PartUse:
    """Record a part built in and take it from the person's van, below zero if need be (flagged).

    A use that reaches us after the visit was cancelled or reassigned is kept as late; under a repeated `part_use_id`
    the same use is returned. Raises not_found for a visit that never was theirs, invalid for a part nobody knows, and
    record_id_taken for an id that names another use.
    """
    known = await session.get(PartUse, part_use_id) if part_use_id else None
    if known is not None:
        _must_say(
            known, visit_id=visit.id, person_id=person_id, part_id=entry.part_id, quantity=entry.quantity,
            serial=entry.serial, old_part_to=entry.old_part_to,
        )  # fmt: skip
        return known
    if not await visit_ever_held(session, person_id, visit.id):
        raise Problem(NOT_FOUND)
    history = await visit_history(session, visit.id)
    standing = history.standing
    used_at = min(entry.used_at or now, now)
    movement = await take_from_van(
        session, now=now, actor=actor, person_id=person_id, unit_id=history.order.unit_id, part_id=entry.part_id,
        quantity=entry.quantity, serial=entry.serial, happened_at=used_at,
    )  # fmt: skip
    use = PartUse(
        id=part_use_id or new_id(), work_order_id=history.order.id, visit_id=visit.id, person_id=person_id,
        part_id=entry.part_id, quantity=entry.quantity, serial=entry.serial, old_part_to=entry.old_part_to,
        used_at=used_at, late=standing.cancelled or person_id not in standing.holders, mutation_id=actor.mutation_id,
    )  # fmt: skip
    session.add(use)
    facts = {"part_use_id": use.id, "stock_movement_id": movement.id, "went_negative": movement.went_negative}
    record(session, now=now, actor=actor, action="visit.part_used", row=history.visit, after=facts)
    return use


def _add_visit(session: AsyncSession, now: datetime, order: WorkOrder, new: NewVisit, sequence: int) -> Visit:
    _must_be_window(now, new.window_starts_at, new.window_ends_at)
    visit = Visit(
        work_order_id=order.id, sequence=sequence, duration_minutes=new.duration_minutes or order.duration_minutes,
        window_starts_at=new.window_starts_at, window_ends_at=new.window_ends_at, state=VisitState.UNPLANNED.value,
    )  # fmt: skip
    session.add(visit)
    return visit


def _must_be_window(now: datetime, starts_at: datetime | None, ends_at: datetime | None) -> None:
    if (starts_at is None) != (ends_at is None):
        raise Problem(INVALID, Finding("window_ends_at", "时间段须有开始和结束", "a window has a start and an end"))
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        raise Problem(INVALID, Finding("window_ends_at", "结束须晚于开始", "the window must end after it starts"))
    must_be_ahead(now, {"window_ends_at": ends_at})


async def _known(session: AsyncSession, model: type[Known], row_id: UUID, field: str) -> Known:
    row = await session.get(model, row_id)
    if row is None:
        raise Problem(INVALID, Finding(field, "没有这条记录", "there is no such record"))
    return row


async def _standing(session: AsyncSession, model: type[Known], row_id: UUID, field: str) -> Known:
    """The record an id stands for today; raises invalid, naming the field, for one that leads nowhere."""
    await _known(session, model, row_id, field)
    return await survivor(session, model, row_id)


async def _request_at(session: AsyncSession, request_id: UUID | None, site: Site) -> ServiceRequest | None:
    if request_id is None:
        return None
    request = await session.get(ServiceRequest, request_id, with_for_update=True, populate_existing=True)
    if request is None:
        raise no_such("request_id")
    must_be_open(request)
    if (await survivor(session, Site, request.site_id)).id != site.id:
        raise Problem(INVALID, Finding("request_id", "报修属于另一站点", "the request is about another site"))
    return request


async def _asset_at(session: AsyncSession, asset_id: UUID | None, site: Site) -> Asset | None:
    if asset_id is None:
        return None
    asset = await _standing(session, Asset, asset_id, "asset_id")
    if asset.site_id != site.id:
        raise Problem(INVALID, Finding("asset_id", "设备属于另一站点", "the asset is at another site"))
    return asset


async def _template_for(
    session: AsyncSession, new: NewWorkOrder, kind: WorkOrderKind, asset: Asset | None
) -> UUID | None:
    """The frozen version the order is completed with: the one named, or the newest of the kind's own form."""
    if new.form_template_version_id is not None:
        named = await _known(
            session, ChecklistTemplateVersion, new.form_template_version_id, "form_template_version_id"
        )
        return named.id
    key = kind.form_key(asset and asset.asset_type)
    if key is None:
        return None
    versions = select(ChecklistTemplateVersion.id).where(ChecklistTemplateVersion.key == key)
    newest = versions.order_by(ChecklistTemplateVersion.version.desc()).limit(1)
    return (await session.execute(newest)).scalar_one_or_none()


async def _arrive_clock(session: AsyncSession, request_id: UUID | None) -> CommitmentClock | None:
    return await clock_of(session, request_id, "arrive") if request_id else None


async def _arrive_limit(session: AsyncSession, request_id: UUID | None) -> datetime | None:
    clock = await _arrive_clock(session, request_id)
    return clock.due_at if clock else None


def _must_say(known: JobNote | PartUse, **told: object) -> None:
    """Refuse an id that names another record already: answering 'done' for what is thrown away would be a lie."""
    if any(getattr(known, name) != value for name, value in told.items()):
        raise Problem(RECORD_ID_TAKEN)


async def _must_belong(session: AsyncSession, visit_id: UUID, order_id: UUID) -> None:
    visit = await session.get(Visit, visit_id)
    if visit is None or visit.work_order_id != order_id:
        raise Problem(NOT_FOUND)


def _default_priority(kind: WorkOrderKind) -> str:
    return PRIORITY_ACTIVE if kind.origin == "active" else PRIORITY_PASSIVE


def _given(patch: msgspec.Struct) -> dict[str, Any]:
    """The fields a patch names."""
    named = {name: getattr(patch, name) for name in patch.__struct_fields__}
    return {name: value for name, value in named.items() if value is not msgspec.UNSET}
