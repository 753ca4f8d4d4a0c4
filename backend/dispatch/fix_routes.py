"""Routes of explanations: fixes for a visit without a place or late, applying one, and why this technician."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from backend.core.auth import Principal, requires
from backend.core.once import Once
from backend.core.sessions import Database
from backend.dispatch import fixes, fixing, live
from backend.dispatch.desk import Desk
from backend.dispatch.fix_schemas import FIX_NAME_LENGTH, AppliedFix, FixesView, WhyView
from backend.dispatch.live_schemas import PlacementOutcome
from backend.dispatch.travel import Roads

Rows = NamedDependency[Database]
"""Where rows are read before the desk is asked, which may take long, and nobody's connection is held for it."""
Me = NamedDependency[Principal]
Now = NamedDependency[datetime]
Asked = NamedDependency[Desk]
ByRoad = NamedDependency[Roads]
FixName = FromPath[Annotated[str, msgspec.Meta(min_length=1, max_length=FIX_NAME_LENGTH)]]


@get("/visits/{visit_id:uuid}/fixes", guards=[requires("dispatch", "read")])
async def get_fixes(
    *, visit_id: FromPath[UUID], database: Rows, principal: Me, now: Now, desk: Asked, roads: ByRoad
) -> FixesView:
    """Say what could give way so that a visit has a place in the plan in force, or comes in time; cheapest first."""
    async with database.read() as read:
        seen = await fixes.situation_of(read, desk, roads, principal, "read", visit_id=visit_id, now=now)
    return fixes.fixes_view(await fixes.fixes_in_force(seen, visit_id), seen.naming, seen.base)


@get("/visits/{visit_id:uuid}/why", guards=[requires("dispatch", "read")])
async def get_why(
    *, visit_id: FromPath[UUID], database: Rows, principal: Me, now: Now, desk: Asked, roads: ByRoad
) -> WhyView:
    """Say why this technician has a visit: who else could at what price, and who could not by which rule."""
    async with database.read() as read:
        seen = await fixes.situation_of(read, desk, roads, principal, "read", visit_id=visit_id, now=now)
    return fixes.why_view(await fixes.why_in_force(seen, visit_id), seen.naming)


@get("/plans/{plan_id:uuid}/visits/{visit_id:uuid}/fixes", guards=[requires("dispatch", "read")])
async def get_plan_fixes(
    *, plan_id: FromPath[UUID], visit_id: FromPath[UUID], database: Rows, principal: Me, desk: Asked
) -> FixesView:
    """Say what could give way so that a visit has a place in a plan, or comes in time. Applied once it is in force."""
    async with database.read() as read:
        run, naming = await fixes.plan_that_was_made(read, principal, plan_id)
    return fixes.fixes_view(await fixes.of_plan(desk, run, naming, visit_id), naming, None)


@get("/plans/{plan_id:uuid}/visits/{visit_id:uuid}/why", guards=[requires("dispatch", "read")])
async def get_plan_why(
    *, plan_id: FromPath[UUID], visit_id: FromPath[UUID], database: Rows, principal: Me, desk: Asked
) -> WhyView:
    """Say why this technician has a visit in a plan."""
    async with database.read() as read:
        run, naming = await fixes.plan_that_was_made(read, principal, plan_id)
    return fixes.why_view(await fixes.why_of_plan(desk, run, naming, visit_id), naming)


@post("/visits/{visit_id:uuid}/fixes/{fix:str}/apply", guards=[requires("dispatch", "write")], status_code=201)
async def apply_fix(
    *, visit_id: FromPath[UUID], fix: FixName, data: JSONBody[AppliedFix], principal: Me, now: Now,
    once: NamedDependency[Once], desk: Asked, roads: ByRoad, database: Rows,
) -> Response[Any]:  # fmt: skip
    """Carry out a fix as it was shown: overtime, shift or appointment change, and only visits that move are assigned.

    Refused with what changed if the board moved on, and with what has to be done first where somebody else decides.
    """
    async with database.read() as read:
        await live.unit_of_visit(read, principal, "write", visit_id=visit_id, now=now)
        earlier = await once.earlier(read)
        if earlier is not None:
            return earlier
        seen = await fixes.situation_of(read, desk, roads, principal, "write", visit_id=visit_id, now=now)
    found = await fixes.fixes_in_force(seen, visit_id, fixes.APPLY_SECONDS)
    taken = fixing.chosen(seen, found, fix, data)
    async with database.read() as read:
        await fixing.must_rest(read, seen, taken, data.base)

    async with database.write() as write:

        async def produce() -> PlacementOutcome:
            return await fixing.apply_fix(write, now=now, principal=principal, seen=seen, fix=taken, agreed=data.agreed)

        return await once.create(write, now, produce)


FIX_HANDLERS = (get_fixes, get_why, get_plan_fixes, get_plan_why, apply_fix)
