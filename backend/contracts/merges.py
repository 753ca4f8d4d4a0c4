"""What follows when two records of one site or customer become one: contracts here, what stands above elsewhere."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.models import ContractSite, ServiceContract
from backend.core.audit import SYSTEM, record
from backend.core.etags import set_fields
from backend.core.events import Event
from backend.customers.models import Customer
from backend.customers.queries import survivor
from backend.sites.models import Site


async def survivor_of(session: AsyncSession, merged: Event) -> UUID:
    """The site or customer that stands today for the one an event says was merged away."""
    model = Site if merged.entity == Site.__tablename__ else Customer
    return (await survivor(session, model, UUID(str(merged.facts["into_id"])))).id


async def follow_merge(session: AsyncSession, theirs: Select[Any], values: Mapping[str, Any], now: datetime) -> None:
    """Let rows belong to the record that stands now, each with its audit entry; there may be none left to move."""
    for row in (await session.execute(theirs.with_for_update())).scalars().all():
        before, after = set_fields(row, dict(values))
        if after:
            action = f"{row.__tablename__}.followed_merge"
            record(session, now=now, actor=SYSTEM, action=action, row=row, before=before, after=after)


async def move_contract_sites(session: AsyncSession, merged: Event, now: datetime) -> None:
    """React to `site.merged`: contracts cover the site that stands."""
    into_id = await survivor_of(session, merged)
    theirs = select(ContractSite).where(ContractSite.site_id == merged.subject_id)
    await follow_merge(session, theirs, {"site_id": into_id}, now)


async def move_contracts(session: AsyncSession, merged: Event, now: datetime) -> None:
    """React to `customer.merged`: contracts are with the customer that stands."""
    into_id = await survivor_of(session, merged)
    theirs = select(ServiceContract).where(ServiceContract.customer_id == merged.subject_id)
    await follow_merge(session, theirs, {"customer_id": into_id}, now)
