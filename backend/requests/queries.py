"""Reads of service requests, within what the reader's roles reach.

Office roles see the Cases of their units. Field staff see the Cases they own or were offered, crew leaders also those
of their crew's people and sites. How else somebody comes to a Case, by a visit assigned to them, capabilities above add
to REACHED: a Case knows nothing of work orders.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, and_, cast, exists, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.rules import day_in
from backend.contracts.models import CommitmentClock
from backend.contracts.queries import contract_of_site, next_limits, overdue, readings
from backend.core.auth import Principal
from backend.core.errors import INVALID, NOT_FOUND, Finding, Problem
from backend.core.paging import Page, PageRequest, fetch_rows
from backend.core.presets import Preset
from backend.customers.models import Customer
from backend.customers.queries import Reached
from backend.people.models import CrewMember, Person, Role, RoleGrant, Unit
from backend.people.queries import DUTIES_SHOWN, in_effect
from backend.people.schemas import Duty
from backend.requests.models import Escalation, RequestInquiry, RequestOwner, ServiceRequest
from backend.requests.rules import OPEN_STATES, RequestState, offered_moves
from backend.requests.schemas import (
    ContractBrief,
    EscalationView,
    InquiryView,
    OwnerView,
    RequestDetail,
    RequestItem,
    RequestView,
)
from backend.sites.models import Site, SiteOwner
from backend.sites.queries import owner_in_effect, sites_within

REACHED: Final[dict[str, Reached]] = {}
"""Ids of Cases somebody may use through their work, by name: capabilities above add theirs in `app.py` (orders)."""
Evidence = Callable[[AsyncSession, UUID], Awaitable[bool]]
EVIDENCE: Final[dict[str, Evidence]] = {}
"""Whether work left on record what a resolution needs (`resolution_need`), by name; `app.py` adds them."""
FIELD_REACHES: Final = frozenset({"own", "crew"})


# --- who may see what -------------------------------------------------------------------------------------------------


def requests_within(principal: Principal, level: str, now: datetime) -> ColumnElement[bool]:
    """The condition on ServiceRequest that says which Cases the principal may use at this level.

    Whoever was offered a Case may read it; it is theirs to change once they have accepted.
    """
    ways: list[ColumnElement[bool]] = [ServiceRequest.unit_id.in_(principal.units("case", level))]
    reaches = principal.reaches("case", level).keys()
    held = RequestOwner.accepted_at.is_not(None) if level != "read" else true()
    if "own" in reaches:
        ways.append(ServiceRequest.id.in_(_owned_by(and_(RequestOwner.person_id == principal.person_id, held))))
    if "crew" in reaches:
        mates = select(CrewMember.person_id).where(
            CrewMember.crew_id.in_(principal.crew_ids), in_effect(CrewMember, now)
        )
        ways.append(ServiceRequest.id.in_(_owned_by(and_(RequestOwner.person_id.in_(mates), held))))
        ways.append(ServiceRequest.site_id.in_(_sites_of_crews(principal, now)))
    if FIELD_REACHES & reaches:
        ways += [ServiceRequest.id.in_(reached(principal, "case", level, now)) for reached in REACHED.values()]
    return or_(*ways)


def _owned_by(whose: ColumnElement[bool]) -> Select[Any]:
    return select(RequestOwner.request_id).where(whose, RequestOwner.ended_at.is_(None))


def _sites_of_crews(principal: Principal, now: datetime) -> Select[Any]:
    return select(SiteOwner.site_id).where(SiteOwner.crew_id.in_(principal.crew_ids), owner_in_effect(now))


async def request_within(
    session: AsyncSession, principal: Principal, request_id: UUID, *, levels: Sequence[str], now: datetime
) -> ServiceRequest:
    """Return one Case, locked for a change; raises not_found for one the principal may use at none of the levels."""
    usable = or_(*(requests_within(principal, level, now) for level in levels))
    wanted = select(ServiceRequest).where(ServiceRequest.id == request_id, usable).with_for_update()
    request = (await session.execute(wanted)).scalar_one_or_none()
    if request is None:
        raise Problem(NOT_FOUND)
    return request


async def request_offered(
    session: AsyncSession, principal: Principal, request_id: UUID, now: datetime
) -> ServiceRequest:
    """Return a Case one may read, locked, to answer an offer of it; raises not_found. There may be no offer."""
    wanted = select(ServiceRequest).where(ServiceRequest.id == request_id, requests_within(principal, "read", now))
    request = (await session.execute(wanted.with_for_update())).scalar_one_or_none()
    if request is None:
        raise Problem(NOT_FOUND)
    return request


async def must_reach(session: AsyncSession, principal: Principal, request_id: UUID, now: datetime) -> None:
    """Refuse, with not_found, a Case the principal may not read."""
    wanted = select(ServiceRequest.id).where(ServiceRequest.id == request_id, requests_within(principal, "read", now))
    if (await session.execute(wanted)).first() is None:
        raise Problem(NOT_FOUND)


async def must_reach_site(
    session: AsyncSession, principal: Principal, *, site_id: UUID | None, external_id: str | None, now: datetime
) -> None:
    """Refuse, with not_found, a site at which the principal may not open a Case; what names none is refused later."""
    named = Site.id == site_id if site_id else Site.external_id == external_id
    if site_id is None and external_id is None:
        return
    wanted = select(Site.id).where(named, sites_within(principal, "case", "write", now))
    if (await session.execute(wanted)).first() is None:
        raise Problem(NOT_FOUND)


# --- reading ----------------------------------------------------------------------------------------------------------


async def request_view(session: AsyncSession, request_id: UUID) -> RequestView:
    """A Case's own facts."""
    columns = [getattr(ServiceRequest, name) for name in RequestView.__struct_fields__]
    row = (await session.execute(select(*columns).where(ServiceRequest.id == request_id))).mappings().one()
    return RequestView(**row)


async def request_detail(
    session: AsyncSession, principal: Principal, request_id: UUID, now: datetime
) -> RequestDetail:  # fmt: skip
    """A Case with clocks, owners, questions and escalations; raises not_found."""
    await must_reach(session, principal, request_id, now)
    view = await request_view(session, request_id)
    place = (
        select(Customer.name.label("customer_name"), Site.name, Site.address, Site.time_zone)
        .select_from(ServiceRequest)
        .join(Customer, Customer.id == ServiceRequest.customer_id)
        .join(Site, Site.id == ServiceRequest.site_id)
        .where(ServiceRequest.id == request_id)
    )
    site = (await session.execute(place)).one()
    contract = await contract_of_site(session, view.site_id, day_in(site.time_zone, view.received_at))
    return RequestDetail(
        request=view, customer_name=site.customer_name, site_name=site.name, site_address=site.address,
        site_time_zone=site.time_zone,
        contract=contract
        and ContractBrief(
            id=contract.id, number=contract.number, maintenance_ends_on=contract.maintenance_ends_on,
            coverage=contract.coverage,
        ),
        clocks=(await readings(session, [request_id], now)).get(request_id, []),
        owners=await owners_of(session, request_id),
        inquiries=await _inquiries_of(session, request_id),
        escalations=await escalations_of(session, request_id),
        may=[move.value for move in offered_moves(RequestState(view.state))],
    )  # fmt: skip


async def owners_of(session: AsyncSession, request_id: UUID) -> list[OwnerView]:
    """Who owned a Case, when, and to whom it is offered, oldest first."""
    listed = (
        select(
            RequestOwner.person_id, Person.name.label("person_name"), RequestOwner.started_at,
            RequestOwner.accepted_at, RequestOwner.ended_at,
        )
        .join(Person, Person.id == RequestOwner.person_id)
        .where(RequestOwner.request_id == request_id)
        .order_by(RequestOwner.id)
    )  # fmt: skip
    return [OwnerView(**row) for row in (await session.execute(listed)).mappings()]


async def _inquiries_of(session: AsyncSession, request_id: UUID) -> list[InquiryView]:
    columns = [getattr(RequestInquiry, name) for name in InquiryView.__struct_fields__]
    listed = select(*columns).where(RequestInquiry.request_id == request_id).order_by(RequestInquiry.id)
    return [InquiryView(**row) for row in (await session.execute(listed)).mappings()]


async def escalations_of(session: AsyncSession, request_id: UUID) -> list[EscalationView]:
    """The steps asked for help, oldest first."""
    columns = [getattr(Escalation, name) for name in EscalationView.__struct_fields__ if name != "chain"]
    listed = (
        select(*columns, Preset.key.label("chain"))
        .join(Preset, Preset.id == Escalation.chain_id)
        .where(Escalation.request_id == request_id)
        .order_by(Escalation.id)
    )
    return [EscalationView(**row) for row in (await session.execute(listed)).mappings()]


async def request_page(
    session: AsyncSession,
    principal: Principal,
    now: datetime,
    page: PageRequest,
    wanted: Sequence[ColumnElement[bool]],
) -> Page[RequestItem]:
    """A page of the Cases the principal may read, newest first."""
    named = {
        "customer_name": Customer.name, "site_name": Site.name, "owner_id": RequestOwner.person_id,
    }  # fmt: skip
    own = {"next_kind", "next_due_at", "late"} | named.keys()
    columns = [getattr(ServiceRequest, name) for name in RequestItem.__struct_fields__ if name not in own]
    owning = and_(
        RequestOwner.request_id == ServiceRequest.id, RequestOwner.ended_at.is_(None),
        RequestOwner.accepted_at.is_not(None),
    )  # fmt: skip
    listed = (
        select(*columns, *(column.label(name) for name, column in named.items()))
        .join(Customer, Customer.id == ServiceRequest.customer_id)
        .join(Site, Site.id == ServiceRequest.site_id)
        .outerjoin(RequestOwner, owning)
        .where(requests_within(principal, "read", now), *wanted)
    )
    found = await fetch_rows(session, listed, ServiceRequest.id, page, dict)
    limits = await next_limits(session, [row["id"] for row in found.items], now)
    items: list[RequestItem] = []
    for row in found.items:
        limit = limits.get(row["id"])
        items.append(
            RequestItem(
                **row, next_kind=limit and limit.kind, next_due_at=limit and limit.due_at,
                late=limit is not None and limit.late,
            )
        )  # fmt: skip
    return Page(items=items, next=found.next)


def is_overdue(now: datetime, wanted: bool) -> ColumnElement[bool]:  # noqa: FBT001 - the filter's value
    """The condition that one of a Case's clocks is late, or that none is."""
    late = exists().where(CommitmentClock.subject_id == ServiceRequest.id, overdue(now))
    return late if wanted else ~late


def lacks_facts(wanted: bool) -> ColumnElement[bool]:  # noqa: FBT001 - the filter's value
    """The condition that facts of a Case are still to be asked for (A004), or that none are."""
    complete = cast(ServiceRequest.missing_facts, String) == "[]"
    return ~complete if wanted else complete


def owned_by(person_id: UUID) -> ColumnElement[bool]:
    """The condition that somebody owns a Case or was offered it."""
    return ServiceRequest.id.in_(_owned_by(RequestOwner.person_id == person_id))


async def open_cases_of(session: AsyncSession, person_id: UUID, _now: datetime) -> list[Duty]:
    """The open Cases somebody owns: what must be handed over when they leave."""
    listed = (
        select(ServiceRequest.id, ServiceRequest.number)
        .where(owned_by(person_id), ServiceRequest.state.in_([state.value for state in OPEN_STATES]))
        .order_by(ServiceRequest.received_at)
        .limit(DUTIES_SHOWN)
    )
    return [Duty(kind="case", id=row.id, label=row.number) for row in (await session.execute(listed)).all()]


# --- presets, skills, people ------------------------------------------------------------------------------------------


async def known_preset(session: AsyncSession, kind: str, key: str, field: str) -> Preset:
    """The newest active version of a preset; raises invalid, naming the keys there are."""
    active = select(Preset).where(Preset.kind == kind, Preset.active).order_by(Preset.version)
    newest = {row.key: row for row in (await session.execute(active)).scalars()}
    if key not in newest:
        keys = ", ".join(sorted(newest))
        raise Problem(INVALID, Finding(field, f"应为以下之一:{keys}", f"must be one of {keys}"))
    return newest[key]


async def may_own_cases(
    session: AsyncSession, person_id: UUID, request: ServiceRequest, units: frozenset[UUID], now: datetime
) -> bool:
    """Whether somebody of these units, or whose role reaches the Case's, works here and acts on Cases.

    A Case given to others would be lost.
    """
    near = or_(Person.unit_id.in_(units), RoleGrant.unit_id.in_(await _units_above(session, request.unit_id)))
    held = (
        select(Role.permissions)
        .join(RoleGrant, RoleGrant.role_id == Role.id)
        .join(Person, Person.id == RoleGrant.person_id)
        .where(Person.id == person_id, Person.active, near, in_effect(RoleGrant, now))
    )
    granted = [one for permissions in (await session.execute(held)).scalars() for one in permissions]
    return any((one["area"], one["level"]) == ("case", "write") for one in granted)


async def roles_of(session: AsyncSession, person_id: UUID, now: datetime) -> frozenset[str]:
    """The keys of the roles somebody holds."""
    held = select(Role.key).join(RoleGrant, RoleGrant.role_id == Role.id).where(
        RoleGrant.person_id == person_id, in_effect(RoleGrant, now)
    )  # fmt: skip
    return frozenset((await session.execute(held)).scalars())


async def holder_of(
    session: AsyncSession, role_key: str, unit_id: UUID, now: datetime, *, besides: UUID | None
) -> UUID | None:
    """Somebody who holds a role for a unit, the nearest first; None where nobody else does."""
    above = await _units_above(session, unit_id)
    held = (
        select(RoleGrant.unit_id, RoleGrant.person_id)
        .join(Role, Role.id == RoleGrant.role_id)
        .join(Person, Person.id == RoleGrant.person_id)
        .where(Role.key == role_key, Person.active, RoleGrant.unit_id.in_(above), in_effect(RoleGrant, now))
        .order_by(RoleGrant.id)
    )
    holders = [row for row in (await session.execute(held)).all() if row.person_id != besides]
    nearest = sorted(holders, key=lambda row: above.index(row.unit_id))
    return nearest[0].person_id if nearest else None


async def _units_above(session: AsyncSession, unit_id: UUID) -> list[UUID]:
    """The unit itself and those above it, nearest first."""
    parents = {row.id: row.parent_id for row in (await session.execute(select(Unit.id, Unit.parent_id))).all()}
    above: list[UUID] = []
    at: UUID | None = unit_id
    while at is not None and at not in above:
        above.append(at)
        at = parents.get(at)
    return above


async def owner_of(session: AsyncSession, request_id: UUID) -> RequestOwner | None:
    """Who owns a Case now; None for one nobody has taken yet."""
    owning = select(RequestOwner).where(
        RequestOwner.request_id == request_id, RequestOwner.ended_at.is_(None), RequestOwner.accepted_at.is_not(None)
    )
    return (await session.execute(owning)).scalar_one_or_none()


async def offer_to(session: AsyncSession, request_id: UUID, person_id: UUID | None = None) -> RequestOwner | None:
    """The offer of a Case that waits for an answer, from one person or anybody."""
    waiting = select(RequestOwner).where(
        RequestOwner.request_id == request_id, RequestOwner.ended_at.is_(None), RequestOwner.accepted_at.is_(None)
    )
    if person_id is not None:
        waiting = waiting.where(RequestOwner.person_id == person_id)
    return (await session.execute(waiting)).scalar_one_or_none()
