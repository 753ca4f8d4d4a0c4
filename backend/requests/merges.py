"""Cases follow their site and their customer when two records of one become one."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.merges import follow_merge, survivor_of
from backend.core.events import Event
from backend.customers.models import Customer
from backend.customers.queries import survivor
from backend.requests.models import ServiceRequest
from backend.requests.rules import OPEN_STATES
from backend.sites.models import Site


async def move_cases_to_site(session: AsyncSession, merged: Event, now: datetime) -> None:
    """React to `site.merged`: its Cases are the surviving site's and its customer's; open ones go to its unit."""
    site = await session.get_one(Site, await survivor_of(session, merged))
    place = {"site_id": site.id, "customer_id": (await survivor(session, Customer, site.customer_id)).id}
    theirs = select(ServiceRequest).where(ServiceRequest.site_id == merged.subject_id).order_by(ServiceRequest.id)
    await follow_merge(
        session, theirs.where(ServiceRequest.state.in_(OPEN_STATES)), {**place, "unit_id": site.unit_id}, now
    )
    await follow_merge(session, theirs.where(ServiceRequest.state.not_in(OPEN_STATES)), place, now)


async def move_cases_to_customer(session: AsyncSession, merged: Event, now: datetime) -> None:
    """React to `customer.merged`: its Cases are those of the customer that stands."""
    into_id = await survivor_of(session, merged)
    theirs = select(ServiceRequest).where(ServiceRequest.customer_id == merged.subject_id).order_by(ServiceRequest.id)
    await follow_merge(session, theirs, {"customer_id": into_id}, now)
