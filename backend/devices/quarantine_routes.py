"""Routes of the desk for what phones sent and nobody has done yet: list, read, accept, dismiss."""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import AccessEntry
from backend.core.auth import Principal, requires
from backend.core.paging import Page, PageRequest
from backend.devices.actions import accept_quarantined, dismiss_quarantined
from backend.devices.quarantine import State, item_within, quarantine_detail, quarantine_page
from backend.devices.schemas import DismissalBody, QuarantineDetail, QuarantineView

WRITES: Final = requires("dispatch", "write")
Me = NamedDependency[Principal]
Read = NamedDependency[AsyncSession]
Write = NamedDependency[AsyncSession]
Now = NamedDependency[datetime]
StateFilter = Annotated[State, QueryParameter(name="state", description="waiting, settled or all.")]
PersonFilter = Annotated[UUID | None, QueryParameter(name="person_id", description="Only from this person.")]


@get("/quarantine", guards=[WRITES])
async def list_quarantine(
    *, principal: Me, read: Read, page: NamedDependency[PageRequest], item_state: StateFilter = "waiting",
    person_id: PersonFilter = None,
) -> Page[QuarantineView]:  # fmt: skip
    """List what was set aside, of people in the units the reader dispatches for, newest first."""
    return await quarantine_page(read, principal, page, state=item_state, person_id=person_id)


@get("/quarantine/{item_id:uuid}", guards=[WRITES])
async def read_quarantined(*, item_id: FromPath[UUID], principal: Me, write: Write, now: Now) -> QuarantineDetail:
    """Read what a phone sent, word for word. It may hold what a customer said or signed, so the reading is logged."""
    row = await item_within(write, principal, item_id)
    write.add(
        AccessEntry(
            at=now, person_id=principal.person_id, device_id=principal.device_id, what="quarantine.read",
            entity="quarantined_mutation", subject_id=item_id,
        )
    )  # fmt: skip
    return await quarantine_detail(write, row)


@post("/quarantine/{item_id:uuid}/accept", guards=[WRITES], status_code=200)
async def post_acceptance(*, item_id: FromPath[UUID], principal: Me, write: Write, now: Now) -> QuarantineDetail:
    """Do it now, as the person who made it; what cannot be done says why and waits on."""
    return await accept_quarantined(write, principal, item_id, now=now)


@post("/quarantine/{item_id:uuid}/dismiss", guards=[WRITES], status_code=200)
async def post_dismissal(
    *, item_id: FromPath[UUID], data: JSONBody[DismissalBody], principal: Me, write: Write, now: Now
) -> QuarantineDetail:
    """Say why it will not be done; it is kept all the same."""
    return await dismiss_quarantined(write, principal, item_id, data, now=now)


router = Router(
    "/", route_handlers=[list_quarantine, read_quarantined, post_acceptance, post_dismissal], tags=["quarantine"]
)
