"""Routes of work orders and visits. What lies outside one's reach is answered with 404, as if it were not there."""

from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import Response, Router, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.bounds import must_have_happened
from backend.core.auth import Principal, requires, requires_any
from backend.core.errors import NOT_FOUND, Problem
from backend.core.etags import IfMatch, etag_of, must_match, with_etag
from backend.core.once import Once
from backend.core.paging import Page, PageRequest
from backend.jobs import actions, queries
from backend.jobs.fee_routes import FEE_HANDLERS
from backend.jobs.history import locked_order
from backend.jobs.models import Visit, WorkOrder
from backend.jobs.queries import order_within, view, visit_within
from backend.jobs.reclaiming import take_back_visit
from backend.jobs.rules import OrderState
from backend.jobs.schemas import (
    Assign,
    AssignmentView,
    Because,
    Claim,
    EventAnswer,
    EventEntry,
    Kind,
    MyVisit,
    NewVisit,
    NewWorkOrder,
    NoteEntry,
    NoteView,
    PartUseEntry,
    PartUseView,
    Tell,
    VisitEventReport,
    VisitEventView,
    VisitPatch,
    VisitView,
    Withdraw,
    WorkOrderDetail,
    WorkOrderPatch,
    WorkOrderView,
)

TAGS: Final = ["work orders"]
MY_DAYS_DEFAULT: Final = 2
"""Today and tomorrow."""
MY_DAYS_MAXIMUM: Final = 14

StateAsked = Annotated[OrderState | None, QueryParameter(name="state")]
Read = NamedDependency[AsyncSession]
Write = NamedDependency[AsyncSession]
OrderId = FromPath[UUID]
VisitId = FromPath[UUID]
Me = NamedDependency[Principal]
Now = NamedDependency[datetime]
OnlyOnce = NamedDependency[Once]


READS_ORDERS = requires_any(("visit_form", "read"), ("quote", "read"))


@post("/work-orders", guards=[requires("case", "write")])
async def open_work_order(
    *, data: JSONBody[NewWorkOrder], once: OnlyOnce, principal: Me, write: Write, now: Now
) -> Response[WorkOrderDetail]:
    """Open a work order with its first visit."""
    if not await queries.may_open_at(write, principal, data.site_id, now):
        raise Problem(NOT_FOUND)

    async def opened() -> WorkOrderDetail:
        order = await actions.open_work_order(write, now=now, actor=principal.actor, new=data)
        return await queries.order_detail(write, order)

    return await once.create(write, now, opened)


@get("/work-orders", guards=[READS_ORDERS])
async def list_work_orders(
    *, principal: Me, read: Read, now: Now, page: NamedDependency[PageRequest],
    order_state: StateAsked = None, kind: FromQuery[Kind | None] = None,
    site_id: FromQuery[UUID | None] = None, request_id: FromQuery[UUID | None] = None,
) -> Page[WorkOrderView]:  # fmt: skip
    """The work orders in one's reach, newest first."""
    return await queries.order_page(
        read, principal, now, page, state=order_state, kind=kind, site_id=site_id, request_id=request_id
    )


@get("/work-orders/{order_id:uuid}", guards=[READS_ORDERS])
async def show_work_order(order_id: OrderId, principal: Me, read: Read, now: Now) -> Response[WorkOrderDetail]:
    """One work order with its visits, events, notes and parts; its head alone for who only quotes for it.

    The ETag is that of the order's own fields.
    """
    detail = await queries.order_seen(read, principal, order_id, now)
    return Response(detail, headers={"ETag": etag_of(detail.order)})


@patch("/work-orders/{order_id:uuid}", guards=[requires("dispatch", "write")])
async def change_work_order(
    *,
    order_id: OrderId,
    data: JSONBody[WorkOrderPatch],
    principal: Me,
    write: Write,
    now: Now,
    if_match: IfMatch = None,
) -> Response[WorkOrderView]:
    """Change an open work order; needs If-Match."""
    order = await _orders_dispatcher(write, principal, order_id, now)
    must_match(if_match, view(order, WorkOrderView))
    await actions.patch_work_order(write, now=now, actor=principal.actor, order=order, patch=data)
    return with_etag(view(order, WorkOrderView))


@post("/work-orders/{order_id:uuid}/approve", guards=[requires("visit_form", "approve")], status_code=200)
async def approve_work_order(order_id: OrderId, principal: Me, write: Write, now: Now) -> WorkOrderView:
    """Sign an order that must be approved before it is assigned (A055)."""
    order = await order_within(write, principal, "visit_form", "approve", order_id=order_id, now=now)
    order = await locked_order(write, order.id)
    await actions.approve_work_order(write, now=now, actor=principal.actor, order=order)
    return view(order, WorkOrderView)


@post("/work-orders/{order_id:uuid}/cancel", guards=[requires("dispatch", "write")], status_code=200)
async def cancel_work_order(
    *, order_id: OrderId, data: JSONBody[Because], principal: Me, write: Write, now: Now
) -> WorkOrderView:
    """Cancel a work order with every visit that has not ended."""
    order = await _orders_dispatcher(write, principal, order_id, now)
    await actions.cancel_work_order(write, now=now, actor=principal.actor, order=order, reason=data.reason)
    return view(order, WorkOrderView)


@post("/work-orders/{order_id:uuid}/visits", guards=[requires("dispatch", "write")])
async def add_visit(
    *, order_id: OrderId, data: JSONBody[NewVisit], once: OnlyOnce, principal: Me, write: Write, now: Now
) -> Response[VisitView]:
    """Add another trip to an open order."""
    order = await _orders_dispatcher(write, principal, order_id, now)

    async def added() -> VisitView:
        return view(await actions.add_visit(write, now=now, actor=principal.actor, order=order, new=data), VisitView)

    return await once.create(write, now, added)


@post("/work-orders/{order_id:uuid}/notes", guards=[requires_any(("case", "write"), ("case", "assist"))])
async def add_note(
    *, order_id: OrderId, data: JSONBody[NoteEntry], once: OnlyOnce, principal: Me, write: Write, now: Now
) -> Response[NoteView]:
    """Add a note to an order: one's own work, or work one is asked to help with (A188)."""
    level = "write" if principal.may("case", "write") else "assist"
    order = await order_within(write, principal, "case", level, order_id=order_id, now=now)

    async def added() -> NoteView:
        note = await actions.add_note(
            write, now=now, actor=principal.actor, order=order, person_id=principal.person_id, text=data.text,
            visit_id=data.visit_id,
        )  # fmt: skip
        return view(note, NoteView)

    return await once.create(write, now, added)


@get("/visits/{visit_id:uuid}", guards=[requires("visit_form", "read")])
async def show_visit(visit_id: VisitId, principal: Me, read: Read, now: Now) -> Response[VisitView]:
    """One visit, with the ETag an edit needs."""
    visit = await visit_within(read, principal, "visit_form", "read", visit_id=visit_id, now=now)
    return with_etag(view(visit, VisitView))


@patch("/visits/{visit_id:uuid}", guards=[requires("dispatch", "write")])
async def change_visit(
    *, visit_id: VisitId, data: JSONBody[VisitPatch], principal: Me, write: Write, now: Now, if_match: IfMatch = None
) -> Response[VisitView]:
    """Change a visit's window or duration; needs If-Match."""
    visit = await _visits_dispatcher(write, principal, visit_id, now)
    must_match(if_match, view(visit, VisitView))
    await actions.patch_visit(write, now=now, actor=principal.actor, visit=visit, patch=data)
    return with_etag(view(visit, VisitView))


@post("/visits/{visit_id:uuid}/assign", guards=[requires("dispatch", "write")], status_code=200)
async def assign_visit(
    *, visit_id: VisitId, data: JSONBody[Assign], principal: Me, write: Write, now: Now, if_match: IfMatch = None
) -> AssignmentView:
    """Give a visit to a person or a crew; who leads replaces the lead before them (A058). Needs If-Match."""
    visit = await _visits_dispatcher(write, principal, visit_id, now)
    must_match(if_match, view(visit, VisitView))
    await queries.must_be_within_reach(write, principal, person_id=data.person_id, crew_id=data.crew_id, now=now)
    wanted = msgspec.structs.asdict(data)
    wanted["reason"] = data.reason or "reassigned"
    assignment = await actions.assign_visit(write, now=now, actor=principal.actor, visit=visit, **wanted)
    return view(assignment, AssignmentView)


@post("/visits/{visit_id:uuid}/withdraw", guards=[requires("dispatch", "write")], status_code=200)
async def withdraw_visit(
    visit_id: VisitId, data: JSONBody[Withdraw], principal: Me, write: Write, now: Now
) -> VisitView:
    """Take everybody, or one person, off a visit."""
    visit = await _visits_dispatcher(write, principal, visit_id, now)
    await actions.withdraw_assignments(
        write, now=now, actor=principal.actor, visit=visit, reason=data.reason, person_id=data.person_id,
        even_begun=data.even_begun,
    )  # fmt: skip
    return view(visit, VisitView)


@post("/visits/{visit_id:uuid}/claim", guards=[requires("dispatch", "claim")], status_code=200)
async def claim_visit(visit_id: VisitId, data: JSONBody[Claim], principal: Me, write: Write, now: Now) -> VisitView:
    """A crew leader takes the crew's visit and names who goes (A056)."""
    visit = await visit_within(write, principal, "dispatch", "claim", visit_id=visit_id, now=now)
    await actions.claim_visit(
        write, now=now, actor=principal.actor, visit=visit, lead_id=data.lead_id, helper_ids=data.helper_ids
    )
    return view(visit, VisitView)


@post("/visits/{visit_id:uuid}/tell", guards=[requires("dispatch", "write")], status_code=200)
async def tell_window(
    *, visit_id: VisitId, data: JSONBody[Tell], principal: Me, write: Write, now: Now, if_match: IfMatch = None
) -> Response[VisitView]:
    """Confirm that the customer was told the window, the very one just read; needs If-Match."""
    visit = await _visits_dispatcher(write, principal, visit_id, now)
    must_match(if_match, view(visit, VisitView))
    await actions.tell_window(write, now=now, actor=principal.actor, visit=visit, told=data)
    return with_etag(view(visit, VisitView))


@post("/visits/{visit_id:uuid}/cancel", guards=[requires("dispatch", "write")], status_code=200)
async def cancel_visit(visit_id: VisitId, data: JSONBody[Because], principal: Me, write: Write, now: Now) -> VisitView:
    """Cancel one trip; the order stays open."""
    visit = await _visits_dispatcher(write, principal, visit_id, now)
    await actions.cancel_visit(write, now=now, actor=principal.actor, visit=visit, reason=data.reason)
    return view(visit, VisitView)


@post(
    "/visits/{visit_id:uuid}/events",
    guards=[requires_any(("visit_form", "write"), ("dispatch", "write"))],
    status_code=200,
)
async def report_event(
    *, visit_id: VisitId, data: JSONBody[EventEntry], principal: Me, write: Write, now: Now
) -> EventAnswer:
    """Report what somebody did on a visit: oneself, or a technician who phoned in. Repeating it changes nothing."""
    person_id = data.person_id or principal.person_id
    visit = await queries.visit_to_report_on(write, principal, person_id, visit_id=visit_id, now=now)
    report = _report(data, visit, person_id, now)
    await take_back_visit(write, now=now, actor=principal.actor, report=report)
    event = await actions.record_visit_event(write, now=now, actor=principal.actor, report=report)
    status = "noop" if event is None else "late" if event.late else "applied"
    return EventAnswer(status=status, event=event and view(event, VisitEventView), visit=view(visit, VisitView))


@post("/visits/{visit_id:uuid}/parts", guards=[requires("parts", "write")])
async def use_part(
    *, visit_id: VisitId, data: JSONBody[PartUseEntry], once: OnlyOnce, principal: Me, write: Write, now: Now
) -> Response[PartUseView]:
    """Record a part built in, out of one's own van."""
    visit = await queries.visit_to_report_on(write, principal, principal.person_id, visit_id=visit_id, now=now)

    async def used() -> PartUseView:
        use = await actions.use_part(
            write, now=now, actor=principal.actor, visit=visit, person_id=principal.person_id, entry=data
        )
        return view(use, PartUseView)

    return await once.create(write, now, used)


@get("/my/visits", guards=[requires("visit_form", "read")])
async def list_my_visits(principal: Me, read: Read, now: Now, days: FromQuery[int] = MY_DAYS_DEFAULT) -> list[MyVisit]:
    """One's own visits, today's and the next days', in the order of the day."""
    ahead = timedelta(days=max(1, min(days, MY_DAYS_MAXIMUM)))
    return await queries.my_visits(read, principal.person_id, now=now, until=now + ahead)


def _report(entry: EventEntry, visit: Visit, person_id: UUID, now: datetime) -> VisitEventReport:
    """By web there is no clock to correct: it happened now. Another time may be claimed; it counts once amended."""
    must_have_happened(now, {"claimed_at": entry.claimed_at})
    return VisitEventReport(
        visit_id=visit.id, person_id=person_id, kind=entry.kind, claimed_at=entry.claimed_at or now, device_at=now,
        effective_at=now, reason=entry.reason, note=entry.note, next_step=entry.next_step, next_at=entry.next_at,
        amends_id=entry.amends_id, lat=entry.lat, lon=entry.lon, datum=entry.datum,
    )  # fmt: skip


async def _orders_dispatcher(
    session: AsyncSession, principal: Principal, order_id: OrderId, now: datetime
) -> WorkOrder:
    """The order, locked, for somebody who may dispatch it."""
    order = await order_within(session, principal, "dispatch", "write", order_id=order_id, now=now)
    return await locked_order(session, order.id)


async def _visits_dispatcher(session: AsyncSession, principal: Principal, visit_id: VisitId, now: datetime) -> Visit:
    """The visit, its order locked, for somebody who may dispatch it."""
    visit = await visit_within(session, principal, "dispatch", "write", visit_id=visit_id, now=now)
    await locked_order(session, visit.work_order_id)
    await session.refresh(visit)
    return visit


router = Router(
    "/",
    route_handlers=[
        open_work_order, list_work_orders, show_work_order, change_work_order, approve_work_order, cancel_work_order,
        add_visit, add_note, show_visit, change_visit, assign_visit, withdraw_visit, claim_visit, tell_window,
        cancel_visit, report_event, use_part, list_my_visits, *FEE_HANDLERS,
    ],
    tags=TAGS,
)  # fmt: skip
