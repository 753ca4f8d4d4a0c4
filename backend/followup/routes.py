"""Routes of call-backs."""

from datetime import datetime
from uuid import UUID

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, requires, requires_any
from backend.core.paging import Page, PageRequest
from backend.followup import actions, queries
from backend.followup.schemas import FollowUpAnswer, FollowUpView

Session = NamedDependency[AsyncSession]
Who = NamedDependency[Principal]
Now = NamedDependency[datetime]


@get("/follow-ups", guards=[requires("case", "read")])
async def get_follow_ups(
    *,
    read: Session,
    principal: Who,
    now: Now,
    page: NamedDependency[PageRequest],
    called: FromQuery[bool | None] = None,
) -> Page[FollowUpView]:
    """List call-backs, newest first. `called=false`: those still to be made."""
    return await queries.follow_up_page(read, principal, now, page, called=called)


@post(
    "/follow-ups/{follow_up_id:uuid}/answer",
    guards=[requires_any(("case", "write"), ("case", "reopen"))],
    status_code=200,
)
async def post_answer(
    *, follow_up_id: FromPath[UUID], data: JSONBody[FollowUpAnswer], write: Session, principal: Who, now: Now
) -> FollowUpView:
    """Record what the customer said: solved confirms the Case, not solved opens it again."""
    follow_up = await queries.follow_up_within(write, principal, follow_up_id, levels=("write", "reopen"), now=now)
    await actions.answer_follow_up(write, now=now, actor=principal.actor, follow_up=follow_up, answer=data)
    await write.flush()
    return await queries.follow_up_view(write, follow_up.id)


router = Router("/", route_handlers=[get_follow_ups, post_answer], tags=["call-backs"])
