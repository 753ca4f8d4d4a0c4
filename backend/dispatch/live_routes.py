"""Routes of live dispatching: the days as they go, urgent visits, moves on the board, re-plans, what-ifs."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, requires, requires_any
from backend.core.once import Once
from backend.core.paging import Page, PageRequest
from backend.core.sessions import Database
from backend.dispatch import actions, differences, live, placing, queries
from backend.dispatch.desk import Desk
from backend.dispatch.live_schemas import (
    LIVE_HOURS,
    PROPOSALS_MAXIMUM,
    AcceptedPlacement,
    LiveDays,
    PlacementOutcome,
    Proposals,
    WantedPlacement,
    WhatIfView,
)
from backend.dispatch.schemas import HORIZON_HOURS_MAXIMUM, Difference, Hypothesis, NewReplan, PlanVersion, PlanView
from backend.dispatch.travel import Roads
from backend.jobs import queries as jobs
from backend.jobs.expecting import expect_end
from backend.jobs.models import Visit
from backend.jobs.schemas import ExpectedEndEntry, ExpectedEndView
from backend.settings import Settings

Read = NamedDependency[AsyncSession]
Rows = NamedDependency[Database]
"""Where rows are read before the desk is asked, which may take long, and nobody's connection is held for it."""
Me = NamedDependency[Principal]
Now = NamedDependency[datetime]
WithinHours = FromQuery[Annotated[int, msgspec.Meta(ge=1, le=HORIZON_HOURS_MAXIMUM)]]
Limit = FromQuery[Annotated[int, msgspec.Meta(ge=1, le=PROPOSALS_MAXIMUM)]]


@get("/live/days", guards=[requires("dispatch", "read")])
async def get_live_days(
    *, unit_id: FromQuery[UUID], database: Rows, principal: Me, now: Now, desk: NamedDependency[Desk],
    roads: NamedDependency[Roads], hours: WithinHours = LIVE_HOURS,
) -> LiveDays:  # fmt: skip
    """Show each technician's day as it goes from now on: who is behind, who will be late, before anybody re-plans."""
    until = now + timedelta(hours=hours)
    async with database.read() as read:
        units = await live.units_of(read, principal, "read", unit_id)
        seen = await live.situation(read, desk, roads, now=now, units=units, until=until)
        states = await live.states_of(read, seen)
    return await live.live_days(seen, states)


@get("/visits/{visit_id:uuid}/proposals", guards=[requires("dispatch", "read")])
async def get_proposals(
    *, visit_id: FromPath[UUID], database: Rows, principal: Me, now: Now, desk: NamedDependency[Desk],
    roads: NamedDependency[Roads], hours: WithinHours = LIVE_HOURS, limit: Limit = 5,
) -> Proposals:  # fmt: skip
    """Offer places for an urgent visit in the plan in force, best first: who, when, and what else moves by how much."""
    async with database.read() as read:
        seen = await live.situation_of_visit(
            read, desk, roads, principal, "read", visit_id=visit_id, now=now, hours=hours
        )
    return await live.proposals(seen, visit_id, limit)


@post("/visits/{visit_id:uuid}/what-if", guards=[requires("dispatch", "read")], status_code=200)
async def try_placement(
    *, visit_id: FromPath[UUID], data: JSONBody[WantedPlacement], database: Rows, principal: Me, now: Now,
    desk: NamedDependency[Desk], roads: NamedDependency[Roads],
) -> WhatIfView:  # fmt: skip
    """Say what dragging a visit there comes to, or which rule breaks. Nothing is changed."""
    async with database.read() as read:
        seen = await live.situation_of_visit(
            read, desk, roads, principal, "read", visit_id=visit_id, now=now, shift_id=data.shift_id
        )
    return live.what_if_view(seen, visit_id, await live.tried(seen, visit_id, data))


@post("/visits/{visit_id:uuid}/place", guards=[requires("dispatch", "write")], status_code=201)
async def place_visit(
    *, visit_id: FromPath[UUID], data: JSONBody[AcceptedPlacement], principal: Me, now: Now,
    once: NamedDependency[Once], desk: NamedDependency[Desk], roads: NamedDependency[Roads], database: Rows,
) -> Response[Any]:  # fmt: skip
    """Put a visit where a proposal or a what-if showed it; only visits that move change. Refused if the board moved on.

    What it comes to is worked out before the transaction that writes it, and holds only if nothing changed between.
    """
    async with database.read() as read:
        await live.unit_of_visit(read, principal, "write", visit_id=visit_id, now=now)
        earlier = await once.earlier(read)
        if earlier is not None:
            return earlier
        seen = await live.situation_of_visit(
            read, desk, roads, principal, "write", visit_id=visit_id, now=now, shift_id=data.shift_id
        )
    tried = await live.tried(seen, visit_id, data)
    async with database.read() as read:
        await live.must_rest_on(
            read, base=data.base, visits=placing.touched_visits(seen, tried), shifts=map(UUID, tried.shifts)
        )
    placing.must_be_as_shown(seen, data, tried)

    async with database.write() as write:

        async def produce() -> PlacementOutcome:
            return await placing.carry_out(
                write, now=now, actor=principal.actor, seen=seen, tried=tried, pinned=data.pinned
            )

        return await once.create(write, now, produce)


@post(
    "/visits/{visit_id:uuid}/expected-end",
    guards=[requires_any(("visit_form", "write"), ("dispatch", "write"))],
    status_code=201,
)
async def report_expected_end(
    *, visit_id: FromPath[UUID], data: JSONBody[ExpectedEndEntry], write: NamedDependency[AsyncSession], principal: Me,
    now: Now, once: NamedDependency[Once],
) -> Response[ExpectedEndView]:  # fmt: skip
    """Report when a visit under way will be over: one's own, or by whoever dispatches it."""
    visit = await _visit_under_way(write, principal, visit_id, now)

    async def produce() -> ExpectedEndView:
        expected = await expect_end(write, now=now, actor=principal.actor, visit=visit, entry=data)
        await write.flush()
        return jobs.view(expected, ExpectedEndView)

    return await once.create(write, now, produce)


@post("/replans", guards=[requires("dispatch", "write")], status_code=201)
async def post_replan(
    *, data: JSONBody[NewReplan], write: NamedDependency[AsyncSession], principal: Me, now: Now,
    once: NamedDependency[Once], settings: NamedDependency[Settings],
) -> Response[PlanView]:  # fmt: skip
    """Plan anew with at most so many visits changed; somebody who is ill is entered as away first."""
    queries.must_plan_for(principal, data.unit_id)

    async def produce() -> PlanView:
        run = await actions.request_replan(
            write, now=now, actor=principal.actor, new=data, units=principal.units("dispatch", "write"),
            default_seconds=settings.planner_seconds,
        )  # fmt: skip
        await write.flush()
        return await queries.plan(write, principal, run.id)

    return await once.create(write, now, produce)


@post("/plans/{plan_id:uuid}/what-ifs", guards=[requires("dispatch", "write")], status_code=201)
async def post_what_if(
    *, plan_id: FromPath[UUID], data: JSONBody[Hypothesis], database: Rows, principal: Me, now: Now,
    once: NamedDependency[Once],
) -> Response[PlanView]:  # fmt: skip
    """Plan a plan's problem again without somebody, with one more person, or with a skill everybody has.

    Follow it at GET /plans/{id}, and see what it would bring at GET /plans/{id}/difference. It is never published.
    """
    async with database.read() as read:
        base = await queries.plan_run(read, principal, plan_id, "read")
        queries.must_plan_for(principal, base.unit_id)
        earlier = await once.earlier(read)
    if earlier is not None:
        return earlier
    problem = await actions.problem_with(base, data)
    async with database.write() as write:

        async def produce() -> PlanView:
            run = await actions.request_what_if(
                write, now=now, actor=principal.actor, base=base, hypothesis=data, problem=problem
            )
            await write.flush()
            return await queries.plan(write, principal, run.id)

        return await once.create(write, now, produce)


@get("/plans/{plan_id:uuid}/difference", guards=[requires("dispatch", "read")])
async def get_difference(
    *, plan_id: FromPath[UUID], database: Rows, principal: Me, desk: NamedDependency[Desk],
    against: FromQuery[UUID | None] = None,
) -> Difference:  # fmt: skip
    """Say what a plan changes against what is published now, or against another plan: who moves, who is told anew."""
    return await differences.difference(database, desk, principal, plan_id=plan_id, against=against)


@get("/plan-versions", guards=[requires("dispatch", "read")])
async def get_plan_versions(
    *, read: Read, principal: Me, page: NamedDependency[PageRequest], unit_id: FromQuery[UUID | None] = None
) -> Page[PlanVersion]:
    """List the plans that were published, by unit and version, newest first."""
    return await differences.plan_versions(read, principal, unit_id, page)


async def _visit_under_way(session: AsyncSession, principal: Principal, visit_id: UUID, now: datetime) -> Visit:
    """Return a visit the person is sent to, or dispatches; raises not_found."""
    if await jobs.visit_held(session, principal.person_id, visit_id):
        return await session.get_one(Visit, visit_id)
    return await jobs.visit_within(session, principal, "dispatch", "write", visit_id=visit_id, now=now)


LIVE_HANDLERS = (
    get_live_days, get_proposals, try_placement, place_visit, report_expected_end, post_replan, post_what_if,
    get_difference, get_plan_versions,
)  # fmt: skip
