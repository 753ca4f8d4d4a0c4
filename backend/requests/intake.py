"""Taking a request in, on whatever channel, and completing its facts. Phones, imports and the web come through here."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.bounds import HAPPENED_DAYS, OLDEST_IMPORTED, must_have_happened
from backend.calendars.rules import day_in
from backend.contracts.actions import start_clocks
from backend.contracts.models import CommitmentClock
from backend.contracts.queries import calendar_of, contract_of_site, policy_of
from backend.contracts.rules import moment_words
from backend.core.audit import Actor, record
from backend.core.errors import INVALID, Finding, Problem
from backend.core.etags import given, set_fields
from backend.core.events import tell
from backend.core.ids import new_id
from backend.core.numbers import next_number
from backend.core.taken import must_be_new
from backend.customers.models import Contact, ContactPoint, Customer
from backend.customers.queries import survivor
from backend.notifications.actions import enqueue
from backend.notifications.queries import message_text
from backend.notifications.rules import filled_in, first_way
from backend.people.queries import no_such
from backend.people.rules import normal_phone
from backend.requests.faults import must_be_open
from backend.requests.models import RequestInquiry, ServiceRequest
from backend.requests.owners import note_owner
from backend.requests.queries import known_preset
from backend.requests.rules import IntakeFacts, RequestState, missing_facts, receipt
from backend.requests.schemas import InquiryEntry, NewServiceRequest, RequestPatch
from backend.sites.models import Asset, AssetModel, Site

OFFLINE: Final = "离线登记 / registered offline"
IMPORTED: Final = "导入 / imported"

Found = TypeVar("Found", Asset, Contact)


async def open_request(
    session: AsyncSession, *, now: datetime, actor: Actor, new: NewServiceRequest, go_live_on: date | None = None
) -> ServiceRequest:
    """Open a Case: its clocks start when it was received, whoever takes it owns it (A016), the customer gets a receipt.

    Raises invalid: no or an unknown site, an asset or contact of somebody else, a time in the future, an earlier one
    without a reason, an unknown priority; record_id_taken: an id or number that names another request.
    """
    await must_be_new(session, ServiceRequest, id=new.id, device_number=new.device_number)
    site = await _site_of(session, new)
    customer = await survivor(session, Customer, site.customer_id)
    asset, contact = await _things_of(session, new, site, customer)
    if new.priority is not None:
        await known_preset(session, "priority", new.priority, "priority")
    _must_have_happened(new, now, actor)
    received = receipt(new.received_at, now)
    if received is None:
        raise Problem(INVALID, Finding("received_at", "不能在将来", "cannot be in the future"))
    reason = _backdating_reason(new, actor) if received.backdated else None
    if received.backdated and reason is None:
        raise Problem(INVALID, Finding("backdating_reason", "补录须说明原因", "an earlier time needs a reason"))
    request = ServiceRequest(
        id=new.id or new_id(), unit_id=site.unit_id, number=await next_number(session, "SR"),
        device_number=new.device_number, customer_id=customer.id, site_id=site.id, asset_id=asset and asset.id,
        contact_id=contact and contact.id, reporter_name=new.reporter_name, reporter_phone=new.reporter_phone,
        channel=new.channel, symptom=new.symptom, wishes=new.wishes, occurred_at=new.occurred_at,
        affected_scope=new.affected_scope, received_at=received.at, opened_at=now, priority=new.priority,
        missing_facts=[], required_skills=[], state=RequestState.RECEIVED.value, reopened_count=0,
        external_id=new.external_id, import_batch_id=actor.import_batch_id, go_live_on=go_live_on,
    )  # fmt: skip
    request.missing_facts = await _missing(session, request, site)
    session.add(request)
    await session.flush()
    note_owner(session, request, actor.person_id if actor.import_batch_id is None else None, now)
    clocks = await _start_clocks(session, request, site, now)
    facts = {"number": request.number, "channel": request.channel, "priority": request.priority}
    record(
        session, now=now, actor=actor, action="service_request.received", row=request, reason=reason,
        after={"received_at": received.at, "backdated": received.backdated, **facts},
    )  # fmt: skip
    tell(session, now=now, name="service_request.received", row=request, facts=facts)
    if actor.import_batch_id is None:  # what is imported was received long ago; nobody wants a message about it
        await _send_receipt(
            session, request, customer=customer, contact=contact, zone=site.time_zone, clocks=clocks, now=now
        )
    return request


def _must_have_happened(new: NewServiceRequest, now: datetime, actor: Actor) -> None:
    """Refuse a mistyped year. A phone's own times were corrected already; an import may bring what is long past."""
    since = OLDEST_IMPORTED if actor.import_batch_id else None
    must_have_happened(now, {"occurred_at": new.occurred_at}, since=since)
    if actor.mutation_id is None:
        must_have_happened(now, {"received_at": new.received_at}, since=since)


def _backdating_reason(new: NewServiceRequest, actor: Actor) -> str | None:
    if new.backdating_reason:
        return new.backdating_reason
    if actor.import_batch_id:
        return IMPORTED
    return OFFLINE if actor.mutation_id else None


async def _site_of(session: AsyncSession, new: NewServiceRequest) -> Site:
    """The site a request names, or what it was merged into; the customer named beside it must be the site's."""
    if (new.site_id is None) == (new.site_external_id is None):
        raise Problem(INVALID, Finding("site_id", "现场须用一种编号指明", "name the site by one of its two ids"))
    by = Site.id == new.site_id if new.site_id else Site.external_id == new.site_external_id
    site_id = (await session.execute(select(Site.id).where(by))).scalar_one_or_none()
    if site_id is None:
        raise no_such("site_id" if new.site_id else "site_external_id")
    site = await survivor(session, Site, site_id)
    for field, column in (("customer_id", Customer.id), ("customer_external_id", Customer.external_id)):
        named = getattr(new, field)
        if named is None:
            continue
        customer_id = (await session.execute(select(Customer.id).where(column == named))).scalar_one_or_none()
        owner = await survivor(session, Customer, site.customer_id)
        if customer_id is None or (await survivor(session, Customer, customer_id)).id != owner.id:
            raise Problem(INVALID, Finding(field, "不是该现场的客户", "not the customer of this site"))
    return site


async def _things_of(
    session: AsyncSession, new: NewServiceRequest, site: Site, customer: Customer
) -> tuple[Asset | None, Contact | None]:
    asset_id = new.asset_id
    if new.asset_external_id is not None:
        named = select(Asset.id).where(Asset.external_id == new.asset_external_id)
        asset_id = (await session.execute(named)).scalar_one_or_none()
        if asset_id is None:
            raise no_such("asset_external_id")
    return await _asset_at(session, asset_id, site.id), await _contact_of(session, new.contact_id, customer.id)


async def _asset_at(session: AsyncSession, asset_id: UUID | None, site_id: UUID) -> Asset | None:
    asset = await _standing(session, Asset, asset_id, "asset_id")
    if asset is not None and asset.site_id != site_id:
        raise Problem(INVALID, Finding("asset_id", "设备不在该现场", "the asset is not at this site"))
    return asset


async def _contact_of(session: AsyncSession, contact_id: UUID | None, customer_id: UUID) -> Contact | None:
    contact = await _standing(session, Contact, contact_id, "contact_id")
    if contact is not None and contact.customer_id != customer_id:
        raise Problem(INVALID, Finding("contact_id", "不是该客户的联系人", "not a contact of this customer"))
    return contact


async def _standing(session: AsyncSession, model: type[Found], row_id: UUID | None, field: str) -> Found | None:
    """The record an id stands for today; raises invalid, naming the field, for one that leads nowhere."""
    if row_id is None:
        return None
    if await session.get(model, row_id) is None:
        raise no_such(field)
    return await survivor(session, model, row_id)


async def _missing(session: AsyncSession, request: ServiceRequest, site: Site) -> list[Any]:
    """Names of intake fields still to be asked for (A004)."""
    asset = await session.get(Asset, request.asset_id) if request.asset_id else None
    model = await session.get(AssetModel, asset.asset_model_id) if asset and asset.asset_model_id else None
    return missing_facts(
        IntakeFacts(
            reporter_name=request.reporter_name, reporter_phone=request.reporter_phone, address=site.address,
            product_model=model.model if model else "", symptom=request.symptom,
            purchased_on=str(asset.purchased_on) if asset and asset.purchased_on else "",
        )
    )  # fmt: skip


async def _start_clocks(
    session: AsyncSession, request: ServiceRequest, site: Site, now: datetime
) -> list[CommitmentClock]:
    contract = await contract_of_site(session, site.id, day_in(site.time_zone, request.received_at))
    policy = await policy_of(session, contract)
    return await start_clocks(
        session, now=now, entity=ServiceRequest.__tablename__, subject_id=request.id,
        bucket=f"request:{request.id}", policy=policy, calendar=await calendar_of(session, policy),
        received_at=request.received_at, priority=request.priority, zone=site.time_zone,
        acceptance_on=site.acceptance_on,
    )  # fmt: skip


async def _send_receipt(
    session: AsyncSession,
    request: ServiceRequest,
    *,
    customer: Customer,
    contact: Contact | None,
    zone: str,
    clocks: Sequence[CommitmentClock],
    now: datetime,
) -> None:
    """Tell the customer "we have it and are working on it" (A020), where there is an address and a text to do so."""
    text = await message_text(session, "request_receipt")
    points: dict[str, str] = {}
    if contact is not None:
        listed = select(ContactPoint.kind, ContactPoint.address).where(ContactPoint.contact_id == contact.id)
        points = {row.kind: row.address for row in (await session.execute(listed.order_by(ContactPoint.id))).all()}
    phone = request.reporter_phone or points.get("phone", "")
    way = text and first_way(text, {"sms": normal_phone(phone), "email": points.get("email")})
    if text is None or way is None:
        return
    language = contact.language if contact else customer.language
    due = next((clock.due_at for clock in clocks if clock.kind == "respond"), None)
    soon = moment_words(due, zone, now) if due else ("今日", "today")
    values = {
        "customer": request.reporter_name or customer.name, "number": request.number,
        "respond_by": soon[0] if language == "zh" else soon[1],
    }  # fmt: skip
    await enqueue(
        session, now=now, key=f"request_receipt:{request.id}", channel=way[0], address=way[1], language=language,
        text=filled_in(text, language, values), contact_id=contact and contact.id,
    )  # fmt: skip


async def patch_request(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, patch: RequestPatch
) -> None:
    """Correct or complete the facts of an open Case (A024); raises case_not_open and invalid."""
    must_be_open(request)
    values = given(patch)
    must_have_happened(now, values, since=request.received_at - HAPPENED_DAYS)
    asset = await _asset_at(session, values.get("asset_id"), request.site_id)
    contact = await _contact_of(session, values.get("contact_id"), request.customer_id)
    values |= {name: row.id for name, row in (("asset_id", asset), ("contact_id", contact)) if row}
    before, changed = set_fields(request, values)
    request.missing_facts = await _missing(session, request, await session.get_one(Site, request.site_id))
    if changed:
        record(
            session, now=now, actor=actor, action="service_request.changed", row=request, before=before, after=changed
        )


async def ask_for_fact(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, asked_by: UUID, entry: InquiryEntry
) -> RequestInquiry:
    """Note who was asked for a missing fact and what they said (A004); raises case_not_open."""
    must_be_open(request)
    inquiry = RequestInquiry(
        request_id=request.id, fact=entry.fact, asked_of=entry.asked_of, answer=entry.answer, asked_at=now,
        asked_by_id=asked_by,
    )  # fmt: skip
    session.add(inquiry)
    record(
        session, now=now, actor=actor, action="service_request.inquired", row=request,
        after={"fact": entry.fact, "asked_of": entry.asked_of, "answered": entry.answer is not None},
    )  # fmt: skip
    return inquiry
