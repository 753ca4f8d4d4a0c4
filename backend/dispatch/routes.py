"""Routes of planning and the board."""

from datetime import datetime
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.response import Stream
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, requires
from backend.core.compression import PLAIN
from backend.core.once import Once
from backend.core.paging import Page, PageRequest
from backend.dispatch import actions, board, queries
from backend.dispatch.fix_routes import FIX_HANDLERS
from backend.dispatch.live_routes import LIVE_HANDLERS
from backend.dispatch.progress import PlanWatch
from backend.dispatch.schemas import Board, NewPlan, PlanSummary, PlanView, Publication
from backend.settings import Settings

EVENTS = "text/event-stream"


@post("/plans", guards=[requires("dispatch", "write")], status_code=201)
async def post_plan(
    *, data: JSONBody[NewPlan], write: NamedDependency[AsyncSession], principal: NamedDependency[Principal],
    once: NamedDependency[Once], now: NamedDependency[datetime], settings: NamedDependency[Settings],
) -> Response[PlanView]:  # fmt: skip
    """Ask for a plan; it is made in the background. Follow it at GET /plans/{id}."""
    queries.must_plan_for(principal, data.unit_id)

    async def produce() -> PlanView:
        run = await actions.request_plan(
            write, now=now, actor=principal.actor, new=data, default_seconds=settings.planner_seconds
        )
        await write.flush()
        return await queries.plan(write, principal, run.id)

    return await once.create(write, now, produce)


@get("/plans", guards=[requires("dispatch", "read")])
async def get_plans(
    read: NamedDependency[AsyncSession], principal: NamedDependency[Principal], page: NamedDependency[PageRequest]
) -> Page[PlanSummary]:
    """List the plans of the units the person dispatches for, newest first."""
    return await queries.plans(read, principal, page)


@get("/plans/{plan_id:uuid}", guards=[requires("dispatch", "read")])
async def get_plan(
    plan_id: FromPath[UUID], read: NamedDependency[AsyncSession], principal: NamedDependency[Principal]
) -> PlanView:
    """Show a plan: its progress, then its routes, unplanned visits and cost."""
    return await queries.plan(read, principal, plan_id)


@get("/plans/{plan_id:uuid}/events", guards=[requires("dispatch", "read")], opt={PLAIN: True}, media_type=EVENTS)
async def get_plan_events(
    plan_id: FromPath[UUID], read: NamedDependency[AsyncSession], principal: NamedDependency[Principal],
    plans: NamedDependency[PlanWatch],
) -> Stream:  # fmt: skip
    """Keep telling how a plan is coming along, as server-sent events: where it stands, each change, and its end."""
    run = await queries.plan_run(read, principal, plan_id, "read", large=False)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(await plans.open(run.id), media_type=EVENTS, headers=headers)


@post("/plans/{plan_id:uuid}/cancel", guards=[requires("dispatch", "write")], status_code=200)
async def cancel_plan(
    plan_id: FromPath[UUID], write: NamedDependency[AsyncSession], principal: NamedDependency[Principal],
    now: NamedDependency[datetime],
) -> PlanView:  # fmt: skip
    """Stop a plan; what was found so far is kept."""
    run = await queries.plan_run(write, principal, plan_id, "write", large=False)
    await actions.cancel_plan(write, now=now, actor=principal.actor, run=run)
    return await queries.plan(write, principal, plan_id)


@post("/plans/{plan_id:uuid}/publish", guards=[requires("dispatch", "write")], status_code=200)
async def publish_plan(
    plan_id: FromPath[UUID], write: NamedDependency[AsyncSession], principal: NamedDependency[Principal],
    now: NamedDependency[datetime],
) -> Publication:  # fmt: skip
    """Publish a plan: its routes become assignments on the technicians' phones."""
    run = await queries.plan_run(write, principal, plan_id, "write")
    return await actions.publish_plan(write, now=now, actor=principal.actor, run=run)


@get("/board", guards=[requires("dispatch", "read")])
async def get_board(
    read: NamedDependency[AsyncSession], principal: NamedDependency[Principal], now: NamedDependency[datetime]
) -> Board:
    """Show the board: open work by how much of its arrival commitment is left."""
    return await board.board(read, principal, now)


router = Router(
    "/", route_handlers=[post_plan, get_plans, get_plan, get_plan_events, cancel_plan, publish_plan, get_board,
                         *LIVE_HANDLERS, *FIX_HANDLERS],
    tags=["dispatch"],
)  # fmt: skip
