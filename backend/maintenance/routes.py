"""Routes of maintenance plans and their ledger."""

from datetime import date, datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from litestar import Response, Router, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, requires
from backend.core.errors import INVALID, NOT_FOUND, Finding, Problem
from backend.core.etags import IfMatch, must_match, with_etag
from backend.core.once import Once
from backend.core.paging import Page, PageRequest
from backend.jobs.queries import view
from backend.jobs.schemas import Kind
from backend.maintenance import actions, plans, queries
from backend.maintenance.schemas import (
    DueView,
    LedgerCount,
    MaintenancePlanPatch,
    MaintenancePlanView,
    NewMaintenancePlan,
    Raised,
    RaiseDue,
    Waive,
)
from backend.maintenance.timer import RAISE_AHEAD
from backend.sites.models import Site

TAGS: Final = ["maintenance"]
AHEAD_MAXIMUM: Final = timedelta(days=366)

PlanId = FromPath[UUID]
Me = NamedDependency[Principal]
Read = NamedDependency[AsyncSession]
Write = NamedDependency[AsyncSession]
Now = NamedDependency[datetime]
StateAsked = Annotated[Literal["due", "done", "missed", "waived"] | None, QueryParameter(name="state")]
FromAsked = Annotated[date | None, QueryParameter(name="from")]
ToAsked = Annotated[date | None, QueryParameter(name="to")]
SiteAsked = Annotated[UUID | None, QueryParameter(name="site_id")]


@post("/maintenance/plans", guards=[requires("dispatch", "write")])
async def make_plan(
    *, data: JSONBody[NewMaintenancePlan], once: NamedDependency[Once], principal: Me, write: Write, now: Now
) -> Response[MaintenancePlanView]:
    """Make a plan for a site of one of one's units; its current period is raised at once."""
    site = await write.get(Site, data.site_id)
    if site is None or site.unit_id not in principal.units("dispatch", "write"):
        raise Problem(NOT_FOUND)

    async def made() -> MaintenancePlanView:
        plan = await plans.make_plan(write, now=now, actor=principal.actor, new=data)
        await write.flush()
        await actions.raise_plan(write, plan.id, now=now, until=(now + RAISE_AHEAD).date())
        return view(plan, MaintenancePlanView)

    return await once.create(write, now, made)


@get("/maintenance/plans", guards=[requires("visit_form", "read")])
async def list_plans(
    *, principal: Me, read: Read, now: Now, page: NamedDependency[PageRequest], site: SiteAsked = None
) -> Page[MaintenancePlanView]:
    """The plans in one's reach."""
    return await queries.plan_page(read, principal, now, page, site)


@get("/maintenance/plans/{plan_id:uuid}", guards=[requires("visit_form", "read")])
async def show_plan(plan_id: PlanId, principal: Me, read: Read, now: Now) -> Response[MaintenancePlanView]:
    """One plan, with the ETag an edit needs."""
    plan = await queries.plan_within(read, principal, "read", plan_id=plan_id, now=now)
    return with_etag(view(plan, MaintenancePlanView))


@patch("/maintenance/plans/{plan_id:uuid}", guards=[requires("dispatch", "write")])
async def change_plan(
    *, plan_id: PlanId, data: JSONBody[MaintenancePlanPatch], principal: Me, write: Write, now: Now,
    if_match: IfMatch = None,
) -> Response[MaintenancePlanView]:  # fmt: skip
    """Change a plan, end it or make it inactive; needs If-Match."""
    plan = await queries.plan_within(write, principal, "write", plan_id=plan_id, now=now, lock=True)
    must_match(if_match, view(plan, MaintenancePlanView))
    await plans.patch_plan(write, now=now, actor=principal.actor, plan=plan, patch=data)
    return with_etag(view(plan, MaintenancePlanView))


@post("/maintenance/plans/{plan_id:uuid}/raise", guards=[requires("dispatch", "write")], status_code=200)
async def raise_plan(plan_id: PlanId, data: JSONBody[RaiseDue], principal: Me, write: Write, now: Now) -> Raised:
    """Raise a plan's periods that begin by a day ahead, to plan them earlier; repeating it adds nothing."""
    plan = await queries.plan_within(write, principal, "write", plan_id=plan_id, now=now)
    if data.until > (now + AHEAD_MAXIMUM).date():
        raise Problem(INVALID, Finding("until", "最多提前一年", "at most a year ahead"))
    return Raised(raised=await actions.raise_plan(write, plan.id, now=now, until=data.until))


@get("/maintenance/ledger", guards=[requires("visit_form", "read")])
async def list_ledger(
    *, principal: Me, read: Read, now: Now, page: NamedDependency[PageRequest], due_state: StateAsked = None,
    from_on: FromAsked = None, until_on: ToAsked = None, site_id: SiteAsked = None,
    kind: FromQuery[Kind | None] = None,
) -> Page[DueView]:  # fmt: skip
    """What was owed and what became of it: by state, by days the periods overlap, by site and kind."""
    return await queries.ledger_page(
        read, principal, now, page, due_state=due_state, from_on=from_on, until_on=until_on, site_id=site_id, kind=kind
    )


@get("/maintenance/ledger/counts", guards=[requires("visit_form", "read")])
async def count_ledger(
    *, principal: Me, read: Read, now: Now, from_on: FromAsked = None, until_on: ToAsked = None,
    site_id: SiteAsked = None,
) -> list[LedgerCount]:  # fmt: skip
    """How many items of each kind are due, done, missed or waived (A138)."""
    return await queries.ledger_counts(read, principal, now, from_on=from_on, until_on=until_on, site_id=site_id)


@post("/maintenance/ledger/{due_id:uuid}/waive", guards=[requires("visit_form", "approve")], status_code=200)
async def waive_due(due_id: FromPath[UUID], data: JSONBody[Waive], principal: Me, write: Write, now: Now) -> DueView:
    """Say that an item is not owed and why; the head's decision, since a miss costs points."""
    due = await queries.due_within(write, principal, "approve", due_id=due_id, now=now)
    await actions.waive_due(write, now=now, actor=principal.actor, due=due, reason=data.reason)
    await write.flush()
    return (await queries.due_views(write, [due.id]))[due.id]


router = Router(
    "/",
    route_handlers=[
        make_plan, list_plans, show_plan, change_plan, raise_plan, list_ledger, count_ledger, waive_due,
    ],
    tags=TAGS,
)  # fmt: skip
