"""What is going on in the demo city on its first morning: requests of the last two days, most of them triaged."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor
from backend.forms.models import ChecklistTemplateVersion
from backend.imports.demo_state import City
from backend.jobs.actions import open_work_order
from backend.jobs.schemas import NewWorkOrder
from backend.maintenance.models import MaintenancePlan
from backend.requests.actions import record_contact, triage_request
from backend.requests.intake import open_request
from backend.requests.models import ServiceRequest
from backend.requests.schemas import ContactEntry, NewServiceRequest, Triage
from backend.sites.models import Asset, Site

OLDEST: Final = timedelta(hours=40)
"""The oldest open request; its 48 hours are nearly over."""
UNTRIAGED: Final = 4
"""Requests the dispatcher finds untouched in the morning."""
TRIAGE_AFTER: Final = timedelta(minutes=35)
CONTACT_AFTER: Final = timedelta(minutes=50)
INSPECTED_SITES: Final = 12
INSPECTION_MINUTES: Final = 60


async def open_demo_work(session: AsyncSession, city: City) -> None:
    """Open the city's requests, oldest first, and its monthly inspections."""
    count = city.source["counts"]["open_requests"]
    ages = sorted((OLDEST * city.random.random() for _ in range(count)), reverse=True)
    for number, age in enumerate(ages):
        request, fault = await _report(session, city, city.now - age)
        if number < count - UNTRIAGED:
            await _triage(session, city, request, fault)
    await _plan_inspections(session, city)


async def _report(session: AsyncSession, city: City, at: datetime) -> tuple[ServiceRequest, dict[str, Any]]:
    site, asset, fault = _broken(city)
    contact = next(iter(city.contacts_of(site)), None)
    weights = [channel["weight"] for channel in city.source["channel"]]
    channel = city.random.choices(city.source["channel"], weights)[0]
    new = NewServiceRequest(
        channel=channel["key"], site_id=site.id, asset_id=asset.id, contact_id=contact and contact.id,
        reporter_name=contact.name if contact else "", reporter_phone="+8619900000101", symptom=city.both(fault),
        wishes="", occurred_at=at - timedelta(minutes=city.random.randint(5, 90)), priority=_priority(city, fault),
    )  # fmt: skip
    request = await open_request(session, now=at, actor=_by(city, "he_lin"), new=new)
    await session.flush()
    return request, fault


def _broken(city: City) -> tuple[Site, Asset, dict[str, Any]]:
    """Draw a fault, and an asset of its type somewhere in the city."""
    while True:
        fault = city.random.choice(city.source["fault"])
        site = city.random.choice(city.sites)
        assets = [asset for asset in city.assets[site.id] if asset.asset_type == fault["asset_type"]]
        if assets:
            return site, city.random.choice(assets), fault


def _priority(city: City, fault: dict[str, Any]) -> str:
    return city.random.choices(("P1", "P2", "P3", "P4"), fault["priority_weights"])[0]


async def _triage(session: AsyncSession, city: City, request: ServiceRequest, fault: dict[str, Any]) -> None:
    """Do what a dispatcher does: triage, call the customer, open the work order."""
    dispatcher = _by(city, "wang_fang")
    least, most = fault["minutes"]
    minutes = city.random.randint(least, most)
    await triage_request(
        session, now=_soon(city, request, TRIAGE_AFTER), actor=dispatcher, request=request,
        triage=Triage(
            priority=request.priority or "P3", service_mode="on_site", required_skills=fault["skills"],
            estimated_minutes=minutes,
        ),
    )  # fmt: skip
    called_at = _soon(city, request, CONTACT_AFTER)
    await record_contact(
        session, now=called_at, actor=dispatcher, request=request, contact=ContactEntry(channel="phone", at=called_at)
    )
    await open_work_order(
        session, now=called_at, actor=dispatcher,
        new=NewWorkOrder(
            site_id=request.site_id, kind="repair", title=city.both(fault)[:200], request_id=request.id,
            asset_id=request.asset_id, required_skills=fault["skills"], duration_minutes=minutes,
        ),
    )  # fmt: skip
    await session.flush()


def _soon(city: City, request: ServiceRequest, after: timedelta) -> datetime:
    return min(request.received_at + after, city.now)


def _by(city: City, key: str) -> Actor:
    return Actor(person_id=city.people[key].id)


async def _plan_inspections(session: AsyncSession, city: City) -> None:
    """Some sites have a monthly inspection, due in this month."""
    version = await _template(session, "inspect_m")
    month = city.today.replace(day=1)
    session.add_all(
        MaintenancePlan(
            unit_id=site.unit_id, site_id=site.id, kind="inspect_m", template_version_id=version, asset_types=[],
            recurrence="FREQ=MONTHLY;BYMONTHDAY=1", starts_on=month, duration_minutes=INSPECTION_MINUTES,
            required_skills=[], active=True, go_live_on=month,
        )
        for site in city.sites[:INSPECTED_SITES]
    )  # fmt: skip


async def _template(session: AsyncSession, key: str) -> UUID:
    versions = select(ChecklistTemplateVersion.id).where(ChecklistTemplateVersion.key == key)
    newest = versions.order_by(ChecklistTemplateVersion.version.desc()).limit(1)
    return (await session.execute(newest)).scalar_one()
