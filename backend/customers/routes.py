"""Routes of customers and contacts."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, requires
from backend.core.errors import NOT_FOUND, Problem
from backend.core.etags import IfMatch, must_match, with_etag
from backend.core.once import Once
from backend.core.paging import Page, PageRequest
from backend.customers import actions, queries
from backend.customers.models import ContactPoint, Customer
from backend.customers.schemas import (
    ContactPatch,
    ContactPointPatch,
    ContactPointView,
    ContactView,
    CustomerPatch,
    CustomerView,
    Merge,
    NewContact,
    NewContactPoint,
    NewCustomer,
)
from backend.people.queries import no_such
from backend.people.schemas import shown

Session = NamedDependency[AsyncSession]
Now = NamedDependency[datetime]
Who = NamedDependency[Principal]
Id = FromPath[UUID]
Search = Annotated[
    str | None,
    QueryParameter(
        name="q", max_length=100, pattern=r"^[^\x00]*$", description="Part of a name, a number, or a telephone number."
    ),
]

READS = requires("case", "read")
WRITES = requires("case", "write")


@get("/customers", guards=[READS])
async def list_customers(
    *, principal: Who, read: Session, page: NamedDependency[PageRequest], now: Now, q: Search = None
) -> Page[CustomerView]:
    """List customers, newest first, or find one by name, number or telephone."""
    return await queries.customers_page(read, principal, page, now=now, text=q)


@post("/customers", guards=[WRITES])
async def add_customer(
    data: JSONBody[NewCustomer], principal: Who, write: Session, once: NamedDependency[Once], now: Now
) -> Response[CustomerView]:
    """Add a customer."""

    async def produce() -> CustomerView:
        if data.unit_id not in principal.units("case", "write"):
            raise no_such("unit_id")
        return shown(await actions.add_customer(write, now=now, actor=principal.actor, new=data), CustomerView)

    return await once.create(write, now, produce)


@get("/customers/{customer_id:uuid}", guards=[READS])
async def read_customer(customer_id: Id, principal: Who, read: Session, now: Now) -> Response[CustomerView]:
    """Read a customer; one that was merged away names its successor."""
    customer = await queries.customer_within(read, principal, customer_id, level="read", now=now)
    return with_etag(shown(customer, CustomerView))


@patch("/customers/{customer_id:uuid}", guards=[WRITES])
async def edit_customer(
    *,
    customer_id: Id,
    data: JSONBody[CustomerPatch],
    principal: Who,
    write: Session,
    now: Now,
    if_match: IfMatch = None,
) -> Response[CustomerView]:
    """Change fields of a customer."""
    customer = await _office_customer(write, principal, customer_id, now)
    must_match(if_match, shown(customer, CustomerView))
    if data.unit_id is not msgspec.UNSET and data.unit_id not in principal.units("case", "write"):
        raise no_such("unit_id")
    await actions.edit_customer(write, now=now, actor=principal.actor, customer=customer, patch=data)
    return with_etag(shown(customer, CustomerView))


@post("/customers/{customer_id:uuid}/merge", guards=[WRITES], status_code=200)
async def merge_customer(
    customer_id: Id, data: JSONBody[Merge], principal: Who, write: Session, now: Now
) -> CustomerView:
    """Replace a customer by another record of the same; contacts, sites and pending edits follow."""
    locked = {
        known: await _office_customer(write, principal, known, now) for known in sorted({customer_id, data.into_id})
    }
    customer, into = locked[customer_id], locked[data.into_id]
    await actions.merge_customer(write, now=now, actor=principal.actor, customer=customer, into=into)
    return shown(customer, CustomerView)


@get("/customers/{customer_id:uuid}/contacts", guards=[READS])
async def list_contacts(
    *, customer_id: Id, principal: Who, read: Session, page: NamedDependency[PageRequest], now: Now
) -> Page[ContactView]:
    """List the contacts of a customer, newest first."""
    await queries.customer_within(read, principal, customer_id, level="read", now=now)
    return await queries.contacts_page(read, customer_id, page)


@post("/customers/{customer_id:uuid}/contacts", guards=[WRITES])
async def add_contact(
    *,
    customer_id: Id,
    data: JSONBody[NewContact],
    principal: Who,
    write: Session,
    once: NamedDependency[Once],
    now: Now,
) -> Response[ContactView]:
    """Add a contact with ways to reach them."""

    async def produce() -> ContactView:
        customer = await queries.customer_within(write, principal, customer_id, level="write", now=now, locked=True)
        contact = await actions.add_contact(write, now=now, actor=principal.actor, customer=customer, new=data)
        return await queries.contact_view(write, contact)

    return await once.create(write, now, produce)


@get("/contacts/{contact_id:uuid}", guards=[READS])
async def read_contact(contact_id: Id, principal: Who, read: Session, now: Now) -> Response[ContactView]:
    """Read a contact."""
    contact = await queries.contact_within(read, principal, contact_id, level="read", now=now)
    return with_etag(await queries.contact_view(read, contact))


@patch("/contacts/{contact_id:uuid}", guards=[WRITES])
async def edit_contact(
    *, contact_id: Id, data: JSONBody[ContactPatch], principal: Who, write: Session, now: Now, if_match: IfMatch = None
) -> Response[ContactView]:
    """Change fields of a contact."""
    contact = await queries.contact_within(write, principal, contact_id, level="write", now=now, locked=True)
    must_match(if_match, await queries.contact_view(write, contact))
    await actions.edit_contact(write, now=now, actor=principal.actor, contact=contact, patch=data)
    return with_etag(await queries.contact_view(write, contact))


@post("/contacts/{contact_id:uuid}/merge", guards=[WRITES], status_code=200)
async def merge_contact(contact_id: Id, data: JSONBody[Merge], principal: Who, write: Session, now: Now) -> ContactView:
    """Replace a contact by another record of the same person; the office's decision."""
    locked = {
        known: await queries.contact_within(
            write, principal, known, level="write", now=now, locked=True, through_work=False
        )
        for known in sorted({contact_id, data.into_id})
    }
    contact, into = locked[contact_id], locked[data.into_id]
    await actions.merge_contact(write, now=now, actor=principal.actor, contact=contact, into=into)
    return await queries.contact_view(write, contact)


@post("/contacts/{contact_id:uuid}/points", guards=[WRITES])
async def add_point(
    *,
    contact_id: Id,
    data: JSONBody[NewContactPoint],
    principal: Who,
    write: Session,
    once: NamedDependency[Once],
    now: Now,
) -> Response[ContactPointView]:
    """Add a way to reach a contact, with the consent it rests on."""

    async def produce() -> ContactPointView:
        contact = await queries.contact_within(write, principal, contact_id, level="write", now=now, locked=True)
        point = await actions.add_contact_point(write, now=now, actor=principal.actor, contact=contact, new=data)
        return shown(point, ContactPointView)

    return await once.create(write, now, produce)


@patch("/contacts/{contact_id:uuid}/points/{point_id:uuid}", guards=[WRITES])
async def edit_point(
    *, contact_id: Id, point_id: Id, data: JSONBody[ContactPointPatch], principal: Who, write: Session, now: Now,
    if_match: IfMatch = None,
) -> Response[ContactPointView]:  # fmt: skip
    """Correct an address, or note a consent given or withdrawn; If-Match is the ETag of the point."""
    point = await _point(write, principal, contact_id, point_id, now)
    must_match(if_match, shown(point, ContactPointView))
    await actions.edit_contact_point(write, now=now, actor=principal.actor, point=point, patch=data)
    return with_etag(shown(point, ContactPointView))


@get("/contacts/{contact_id:uuid}/points/{point_id:uuid}", guards=[READS])
async def read_point(
    contact_id: Id, point_id: Id, principal: Who, read: Session, now: Now
) -> Response[ContactPointView]:
    """Read one way to reach a contact."""
    point = await _point(read, principal, contact_id, point_id, now, level="read")
    return with_etag(shown(point, ContactPointView))


@delete("/contacts/{contact_id:uuid}/points/{point_id:uuid}", guards=[WRITES])
async def remove_point(contact_id: Id, point_id: Id, principal: Who, write: Session, now: Now) -> None:
    """Delete a way to reach a contact."""
    point = await _point(write, principal, contact_id, point_id, now)
    await actions.remove_contact_point(write, now=now, actor=principal.actor, point=point)


async def _office_customer(session: AsyncSession, principal: Principal, customer_id: UUID, now: datetime) -> Customer:
    return await queries.customer_within(
        session, principal, customer_id, level="write", now=now, locked=True, through_work=False
    )  # fmt: skip


async def _point(
    session: AsyncSession,
    principal: Principal,
    contact_id: UUID,
    point_id: UUID,
    now: datetime,
    *,
    level: str = "write",
) -> ContactPoint:
    await queries.contact_within(session, principal, contact_id, level=level, now=now)
    point = await session.get(ContactPoint, point_id, with_for_update=level == "write")
    if point is None or point.contact_id != contact_id:
        raise Problem(NOT_FOUND)
    return point


router = Router(
    "/",
    route_handlers=[
        list_customers, add_customer, read_customer, edit_customer, merge_customer, list_contacts, add_contact,
        read_contact, edit_contact, merge_contact, add_point, read_point, edit_point, remove_point,
    ],
    tags=["customers"],
)  # fmt: skip
