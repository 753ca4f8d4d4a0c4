"""Reads of customers and contacts, within what the reader's roles reach."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal
from backend.core.errors import NOT_FOUND, Problem
from backend.core.paging import Page, PageRequest, fetch_page
from backend.customers.models import Contact, ContactPoint, Customer
from backend.customers.schemas import ContactPointView, ContactView, CustomerView
from backend.people.rules import normal_phone
from backend.people.schemas import shown

MERGES_FOLLOWED: Final = 20
"""How long a chain of merged records may be; a longer one is a circle."""

Reached = Callable[[Principal, str, str, datetime], Select[Any]]
REACHED: Final[dict[str, Reached]] = {}
"""Ids of customers somebody may use through their work, such as those of their sites; `app.py` adds them by name."""

Merged = TypeVar("Merged", bound=Any)


def customers_within(
    principal: Principal, area: str, level: str, now: datetime, *, through_work: bool = True
) -> ColumnElement[bool]:
    """The condition on Customer that says which the principal may use: of their units, or those their work leads to."""
    whole_units = Customer.unit_id.in_(principal.units(area, level))
    if not through_work:
        return whole_units
    return or_(whole_units, *(Customer.id.in_(reached(principal, area, level, now)) for reached in REACHED.values()))


async def customer_within(
    session: AsyncSession,
    principal: Principal,
    customer_id: UUID,
    *,
    level: str,
    now: datetime,
    locked: bool = False,
    through_work: bool = True,
) -> Customer:
    """Return one customer; raises not_found for one outside what the principal may use."""
    usable = customers_within(principal, "case", level, now, through_work=through_work)
    wanted = select(Customer).where(Customer.id == customer_id, usable)
    customer = (await session.execute(wanted.with_for_update() if locked else wanted)).scalar_one_or_none()
    if customer is None:
        raise Problem(NOT_FOUND)
    return customer


async def contact_within(
    session: AsyncSession,
    principal: Principal,
    contact_id: UUID,
    *,
    level: str,
    now: datetime,
    locked: bool = False,
    through_work: bool = True,
) -> Contact:
    """Return one contact of a customer the principal may use; raises not_found."""
    contact = await session.get(Contact, contact_id, with_for_update=locked)
    if contact is None:
        raise Problem(NOT_FOUND)
    await customer_within(session, principal, contact.customer_id, level=level, now=now, through_work=through_work)
    return contact


async def survivor(session: AsyncSession, model: type[Merged], record_id: UUID) -> Merged:
    """Return the record that stands for an id today: itself, or what it was merged into; raises not_found.

    Pending edits, old QR codes and imports come with ids of records merged away since.
    """
    for _ in range(MERGES_FOLLOWED):
        row = await session.get(model, record_id)
        if row is None:
            raise Problem(NOT_FOUND)
        if row.merged_into_id is None:
            return row
        record_id = row.merged_into_id
    msg = f"{model.__tablename__} {record_id} is merged in a circle"
    raise RuntimeError(msg)


async def customers_page(
    session: AsyncSession, principal: Principal, page: PageRequest, *, now: datetime, text: str | None
) -> Page[CustomerView]:
    """Return a page of customers; `text` is a part of the name, the number, or a telephone number of a contact."""
    listed = select(Customer).where(
        customers_within(principal, "case", "read", now), Customer.merged_into_id.is_(None)
    )  # fmt: skip
    if text:
        called = select(Contact.customer_id).join(ContactPoint, ContactPoint.contact_id == Contact.id)
        phone = normal_phone(text)
        listed = listed.where(
            or_(
                Customer.name.icontains(text, autoescape=True),
                Customer.number == text,
                Customer.id.in_(called.where(ContactPoint.address == phone)),
            )
        )
    return await fetch_page(session, listed, Customer.id, page, lambda customer: shown(customer, CustomerView))


async def contact_view(session: AsyncSession, contact: Contact) -> ContactView:
    """Return a contact with the ways to reach them."""
    return (await _views(session, [contact]))[0]


async def contacts_page(session: AsyncSession, customer_id: UUID, page: PageRequest) -> Page[ContactView]:
    """Return a page of the contacts of a customer that were not merged away."""
    theirs = select(Contact).where(Contact.customer_id == customer_id, Contact.merged_into_id.is_(None))
    rows: Page[Contact] = await fetch_page(session, theirs, Contact.id, page, lambda contact: contact)
    return Page(items=await _views(session, rows.items), next=rows.next)


async def _views(session: AsyncSession, contacts: Sequence[Contact]) -> list[ContactView]:
    ids = [contact.id for contact in contacts]
    theirs = select(ContactPoint).where(ContactPoint.contact_id.in_(ids)).order_by(ContactPoint.id)
    points: dict[UUID, list[ContactPointView]] = {contact_id: [] for contact_id in ids}
    for point in (await session.execute(theirs)).scalars():
        points[point.contact_id].append(shown(point, ContactPointView))
    return [shown(contact, ContactView, points=points[contact.id]) for contact in contacts]
