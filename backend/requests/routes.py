"""Routes of service requests (Cases), their clocks, owners and escalations."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Response, Router, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts import actions as contracts
from backend.contracts.queries import clock_of, clocks_of
from backend.contracts.schemas import NewPromise, SubjectClocks
from backend.core.auth import Principal, requires, requires_any
from backend.core.errors import INVALID, NOT_FOUND, Finding, Problem
from backend.core.etags import IfMatch, etag_of, must_match, with_etag
from backend.core.once import Once
from backend.core.paging import Page, PageRequest
from backend.people.schemas import shown
from backend.requests import actions, queries
from backend.requests.models import ServiceRequest
from backend.requests.rules import RequestState
from backend.requests.schemas import (
    AnswerEntry,
    CancelEntry,
    CloseEntry,
    ContactEntry,
    Escalated,
    EscalationEntry,
    Handover,
    InquiryEntry,
    InquiryView,
    NewServiceRequest,
    ReopenEntry,
    RequestDetail,
    RequestItem,
    RequestPatch,
    RequestView,
    SolvedEntry,
    Triage,
)

Session = NamedDependency[AsyncSession]
Who = NamedDependency[Principal]
Now = NamedDependency[datetime]
Id = FromPath[UUID]
Filter = FromQuery[UUID | None]
States = Annotated[list[RequestState] | None, QueryParameter(name="state", description="Repeat it for several states.")]

READS = requires("case", "read")
WRITES = requires("case", "write")
REOPENS = requires_any(("case", "write"), ("case", "reopen"))


@post("/requests", guards=[WRITES], status_code=201)
async def post_request(
    *, data: JSONBody[NewServiceRequest], write: Session, principal: Who, once: NamedDependency[Once], now: Now
) -> Response[RequestView]:
    """Take a request in, on whatever channel. Its clocks start when it was received."""
    await queries.must_reach_site(write, principal, site_id=data.site_id, external_id=data.site_external_id, now=now)

    async def produce() -> RequestView:
        opened = await actions.open_request(write, now=now, actor=principal.actor, new=data)
        return await queries.request_view(write, opened.id)

    return await once.create(write, now, produce)


@get("/requests", guards=[READS])
async def get_requests(
    *, read: Session, principal: Who, now: Now, page: NamedDependency[PageRequest],
    states: States = None,
    priority: FromQuery[str | None] = None, unit_id: Filter = None, site_id: Filter = None, customer_id: Filter = None,
    owner_id: Filter = None, overdue: FromQuery[bool | None] = None, incomplete: FromQuery[bool | None] = None,
) -> Page[RequestItem]:  # fmt: skip
    """List Cases, newest first. `overdue`: a clock is late; `incomplete`: facts are still to be asked for."""
    equal = {"priority": priority, "unit_id": unit_id, "site_id": site_id, "customer_id": customer_id}
    wanted: list[ColumnElement[bool]] = [
        getattr(ServiceRequest, name) == value for name, value in equal.items() if value is not None
    ]
    if states:
        wanted.append(ServiceRequest.state.in_([one.value for one in states]))
    if owner_id is not None:
        wanted.append(queries.owned_by(owner_id))
    if overdue is not None:
        wanted.append(queries.is_overdue(now, overdue))
    if incomplete is not None:
        wanted.append(queries.lacks_facts(incomplete))
    return await queries.request_page(read, principal, now, page, wanted)


@get("/requests/{request_id:uuid}", guards=[READS])
async def get_request(request_id: Id, read: Session, principal: Who, now: Now) -> Response[RequestDetail]:
    """Show a Case. The ETag is that of its own facts, for PATCH."""
    detail = await queries.request_detail(read, principal, request_id, now)
    return Response(detail, headers={"ETag": etag_of(detail.request)})


@patch("/requests/{request_id:uuid}", guards=[WRITES])
async def patch_request(
    *, request_id: Id, data: JSONBody[RequestPatch], write: Session, principal: Who, now: Now, if_match: IfMatch = None
) -> Response[RequestView]:
    """Correct or complete the facts of a Case."""
    request = await _locked(write, principal, request_id, now)
    must_match(if_match, await queries.request_view(write, request.id))
    await actions.patch_request(write, now=now, actor=principal.actor, request=request, patch=data)
    return await _answer(write, request)


@post("/requests/{request_id:uuid}/inquiries", guards=[WRITES], status_code=201)
async def post_inquiry(
    *, request_id: Id, data: JSONBody[InquiryEntry], write: Session, principal: Who, once: NamedDependency[Once],
    now: Now,
) -> Response[InquiryView]:  # fmt: skip
    """Note who was asked for a missing fact, and what they said."""
    request = await _locked(write, principal, request_id, now)

    async def produce() -> InquiryView:
        asked = await actions.ask_for_fact(
            write, now=now, actor=principal.actor, request=request, asked_by=principal.person_id, entry=data
        )
        return shown(asked, InquiryView)

    return await once.create(write, now, produce)


@post("/requests/{request_id:uuid}/triage", guards=[WRITES], status_code=200)
async def post_triage(
    *, request_id: Id, data: JSONBody[Triage], write: Session, principal: Who, now: Now, if_match: IfMatch = None
) -> Response[RequestView]:
    """Say how the Case is to be served, or change it; needs If-Match."""
    request = await _locked(write, principal, request_id, now)
    must_match(if_match, await queries.request_view(write, request.id))
    await actions.triage_request(write, now=now, actor=principal.actor, request=request, triage=data)
    return await _answer(write, request)


@post("/requests/{request_id:uuid}/contact", guards=[WRITES], status_code=200)
async def post_contact(
    *, request_id: Id, data: JSONBody[ContactEntry], write: Session, principal: Who, now: Now
) -> Response[RequestView]:
    """Note that we contacted the customer; the first time stops the clock to respond."""
    request = await _locked(write, principal, request_id, now)
    await actions.record_contact(write, now=now, actor=principal.actor, request=request, contact=data)
    return await _answer(write, request)


@post("/requests/{request_id:uuid}/answer", guards=[WRITES], status_code=200)
async def post_answer(
    *, request_id: Id, data: JSONBody[AnswerEntry], write: Session, principal: Who, now: Now
) -> Response[RequestView]:
    """Note that solution and time were told; with a resolution, the answer itself solved the Case."""
    request = await _locked(write, principal, request_id, now)
    await actions.answer_request(write, now=now, actor=principal.actor, request=request, answer=data)
    return await _answer(write, request)


@post("/requests/{request_id:uuid}/solve", guards=[WRITES], status_code=200)
async def post_solve(
    *, request_id: Id, data: JSONBody[SolvedEntry], write: Session, principal: Who, now: Now
) -> Response[RequestView]:
    """Note the customer's word that the problem is entirely solved."""
    request = await _locked(write, principal, request_id, now)
    await actions.solve_request(write, now=now, actor=principal.actor, request=request, solved=data)
    return await _answer(write, request)


@post("/requests/{request_id:uuid}/close", guards=[WRITES], status_code=200)
async def post_close(
    *, request_id: Id, data: JSONBody[CloseEntry], write: Session, principal: Who, now: Now
) -> Response[RequestView]:
    """Close the Case; a call-back becomes due."""
    request = await _locked(write, principal, request_id, now)
    await actions.close_request(write, now=now, actor=principal.actor, request=request, closing=data)
    return await _answer(write, request)


@post("/requests/{request_id:uuid}/reopen", guards=[REOPENS], status_code=200)
async def post_reopen(
    *, request_id: Id, data: JSONBody[ReopenEntry], write: Session, principal: Who, now: Now
) -> Response[RequestView]:
    """Open a Case again that was not solved after all."""
    request = await _locked(write, principal, request_id, now, "reopen")
    await actions.reopen_request(write, now=now, actor=principal.actor, request=request, reopening=data)
    return await _answer(write, request)


@post("/requests/{request_id:uuid}/cancel", guards=[WRITES], status_code=200)
async def post_cancel(
    *, request_id: Id, data: JSONBody[CancelEntry], write: Session, principal: Who, now: Now
) -> Response[RequestView]:
    """Cancel a Case the customer takes back."""
    request = await _locked(write, principal, request_id, now)
    await actions.cancel_request(write, now=now, actor=principal.actor, request=request, cancelling=data)
    return await _answer(write, request)


@post("/requests/{request_id:uuid}/owner", guards=[WRITES], status_code=200)
async def post_owner(
    *, request_id: Id, data: JSONBody[Handover], write: Session, principal: Who, now: Now
) -> Response[RequestView]:
    """Offer the Case to somebody, or take it oneself; the owner stays the owner until the offer is accepted."""
    request = await _locked(write, principal, request_id, now)
    units = frozenset[UUID]().union(*principal.reaches("case", "write").values())
    await actions.hand_over(write, now=now, actor=principal.actor, request=request, offer=data, units=units)
    return await _answer(write, request)


@post("/requests/{request_id:uuid}/owner/accept", guards=[WRITES], status_code=200)
async def post_accept(*, request_id: Id, write: Session, principal: Who, now: Now) -> Response[RequestView]:
    """Accept the Case that was offered to oneself."""
    request = await queries.request_offered(write, principal, request_id, now)
    await actions.accept_case(write, now=now, actor=principal.actor, request=request, person_id=principal.person_id)
    return await _answer(write, request)


@post("/requests/{request_id:uuid}/owner/decline", guards=[WRITES], status_code=200)
async def post_decline(*, request_id: Id, write: Session, principal: Who, now: Now) -> Response[RequestView]:
    """Decline the Case that was offered to oneself."""
    request = await queries.request_offered(write, principal, request_id, now)
    await actions.decline_case(write, now=now, actor=principal.actor, request=request, person_id=principal.person_id)
    return await _answer(write, request)


@post("/requests/{request_id:uuid}/escalate", guards=[WRITES], status_code=201)
async def post_escalation(
    *, request_id: Id, data: JSONBody[EscalationEntry], write: Session, principal: Who, once: NamedDependency[Once],
    now: Now,
) -> Response[Escalated]:  # fmt: skip
    """Ask the next role of a chain for help; the owner stays the owner."""
    request = await _locked(write, principal, request_id, now)

    async def produce() -> Escalated:
        raised = await actions.escalate_request(write, now=now, actor=principal.actor, request=request, entry=data)
        ids = {one.id for one in raised}
        return Escalated(steps=[one for one in await queries.escalations_of(write, request.id) if one.id in ids])

    return await once.create(write, now, produce)


@get("/requests/{request_id:uuid}/clocks", guards=[READS])
async def get_clocks(request_id: Id, read: Session, principal: Who, now: Now) -> SubjectClocks:
    """Show the Case's clocks with every promise and pause behind them."""
    await queries.must_reach(read, principal, request_id, now)
    return await clocks_of(read, request_id, now)


@post("/requests/{request_id:uuid}/clocks/{kind:str}/promises", guards=[WRITES], status_code=201)
async def post_promise(
    *, request_id: Id, kind: FromPath[str], data: JSONBody[NewPromise], write: Session, principal: Who,
    once: NamedDependency[Once], now: Now,
) -> Response[SubjectClocks]:  # fmt: skip
    """Record a time told to the customer; it moves the clock by the rules of whose wish it was."""
    request = await _locked(write, principal, request_id, now)
    if data.promised_at <= now:
        raise Problem(INVALID, Finding("promised_at", "须在将来", "must be in the future"))

    async def produce() -> SubjectClocks:
        clock = await clock_of(write, request.id, kind, locked=True)
        if clock is None:
            raise Problem(NOT_FOUND)
        await contracts.promise(
            write, now=now, actor=principal.actor, clock=clock, promised_at=data.promised_at, moved_by=data.moved_by,
            channel=data.channel, reason=data.reason,
        )  # fmt: skip
        return await clocks_of(write, request.id, now)

    return await once.create(write, now, produce)


async def _locked(
    session: AsyncSession, principal: Principal, request_id: UUID, now: datetime, *levels: str
) -> ServiceRequest:
    return await queries.request_within(session, principal, request_id, levels=("write", *levels), now=now)


async def _answer(session: AsyncSession, request: ServiceRequest) -> Response[RequestView]:
    return with_etag(await queries.request_view(session, request.id))


router = Router(
    "/",
    route_handlers=[
        post_request, get_requests, get_request, patch_request, post_inquiry, post_triage, post_contact, post_answer,
        post_solve, post_close, post_reopen, post_cancel, post_owner, post_accept, post_decline, post_escalation,
        get_clocks, post_promise,
    ],
    tags=["requests"],
)  # fmt: skip
