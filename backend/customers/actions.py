"""Writes of customers and contacts. None of them commits, and none asks who may: their callers did."""

from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from backend.core.audit import Actor, record
from backend.core.errors import INVALID, Fault, Finding, Problem
from backend.core.etags import given, set_fields
from backend.core.events import tell
from backend.core.ids import new_id
from backend.core.numbers import next_number
from backend.customers.models import Contact, ContactPoint, Customer
from backend.customers.schemas import (
    POINTS_MAXIMUM,
    ContactPatch,
    ContactPointPatch,
    CustomerPatch,
    NewContact,
    NewContactPoint,
    NewCustomer,
)
from backend.people.rules import normal_phone

MERGED_AWAY = Fault(
    "merged_away", 409, "这条记录已并入另一条。", "This record was merged into another.",
    "请改用 merged_into_id 所指的记录。", "Use the record that merged_into_id names.",
)  # fmt: skip
MERGE_REFUSED = Fault(
    "merge_refused", 409, "这两条记录不能合并。", "These two records cannot be merged.",
    "请选择两条不同的、属于同一客户的有效记录。", "Choose two different records in use; contacts of one customer.",
)  # fmt: skip
TOO_MANY_POINTS = Fault(
    "too_many_contact_points", 409, "联系方式过多。", "There are too many ways to reach this contact.",
    "请先删除不用的联系方式。", "Remove one that is no longer used.",
)  # fmt: skip


async def add_customer(session: AsyncSession, *, now: datetime, actor: Actor, new: NewCustomer) -> Customer:
    """Add a customer under the next number."""
    customer = Customer(number=await next_number(session, "C"), **given(new))
    session.add(customer)
    await session.flush()
    record(session, now=now, actor=actor, action="customer.added", row=customer, after=given(new))
    return customer


async def edit_customer(
    session: AsyncSession, *, now: datetime, actor: Actor, customer: Customer, patch: CustomerPatch
) -> None:
    """Change the fields a patch gives; raises merged_away."""
    must_stand(customer)
    before, after = set_fields(customer, given(patch))
    await session.flush()
    record(session, now=now, actor=actor, action="customer.edited", row=customer, before=before, after=after)


async def merge_customer(
    session: AsyncSession, *, now: datetime, actor: Actor, customer: Customer, into: Customer
) -> None:
    """Replace a customer by another: contacts follow now, sites on hearing `customer.merged`. Raises merge_refused.

    The event is told of the customer merged away, with `into_id`.
    """
    if customer.id == into.id or customer.merged_into_id or into.merged_into_id:
        raise Problem(MERGE_REFUSED)
    customer.merged_into_id = into.id
    theirs = select(Contact).where(Contact.customer_id == customer.id).with_for_update()
    for contact in (await session.execute(theirs)).scalars():
        contact.customer_id = into.id
    await session.flush()
    after = {"merged_into_id": into.id}
    record(session, now=now, actor=actor, action="customer.merged", row=customer, after=after)
    tell(session, now=now, name="customer.merged", row=customer, facts={"into_id": str(into.id)})


async def add_contact(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    customer: Customer,
    new: NewContact,
    contact_id: UUID | None = None,
) -> Contact:
    """Add a contact to a customer; one born on a phone brings its id. Raises merged_away, invalid."""
    must_stand(customer)
    values = given(new)
    points: tuple[NewContactPoint, ...] = values.pop("points")
    contact = Contact(id=contact_id or new_id(), customer_id=customer.id, **values)
    session.add(contact)
    await session.flush()
    record(session, now=now, actor=actor, action="contact.added", row=contact, after=values)
    for number, point in enumerate(points):
        session.add(ContactPoint(contact_id=contact.id, **_point(point, now, f"points.{number}.address")))
    await session.flush()
    return contact


async def edit_contact(
    session: AsyncSession, *, now: datetime, actor: Actor, contact: Contact, patch: ContactPatch
) -> None:
    """Change the fields a patch gives; raises merged_away."""
    must_stand(contact)
    before, after = set_fields(contact, given(patch))
    await session.flush()
    record(session, now=now, actor=actor, action="contact.edited", row=contact, before=before, after=after)


async def merge_contact(session: AsyncSession, *, now: datetime, actor: Actor, contact: Contact, into: Contact) -> None:
    """Replace a contact by another of the same customer; their ways to be reached follow. Raises merge_refused."""
    if contact.id == into.id or contact.merged_into_id or into.merged_into_id:
        raise Problem(MERGE_REFUSED)
    if contact.customer_id != into.customer_id:
        raise Problem(MERGE_REFUSED)
    contact.merged_into_id = into.id
    moved = update(ContactPoint).where(ContactPoint.contact_id == contact.id).values(contact_id=into.id)
    await session.flush()
    await session.execute(moved)
    record(session, now=now, actor=actor, action="contact.merged", row=contact, after={"merged_into_id": into.id})
    tell(session, now=now, name="contact.merged", row=contact, facts={"into_id": str(into.id)})


async def add_contact_point(
    session: AsyncSession, *, now: datetime, actor: Actor, contact: Contact, new: NewContactPoint
) -> ContactPoint:
    """Add a way to reach a contact; raises merged_away, too_many_contact_points, invalid."""
    must_stand(contact)
    theirs = select(func.count()).select_from(ContactPoint).where(ContactPoint.contact_id == contact.id)
    if (await session.execute(theirs)).scalar_one() >= POINTS_MAXIMUM:
        raise Problem(TOO_MANY_POINTS)
    point = ContactPoint(contact_id=contact.id, **_point(new, now, "address"))
    session.add(point)
    await session.flush()
    record(session, now=now, actor=actor, action="contact_point.added", row=point, after=given(new))
    return point


async def edit_contact_point(
    session: AsyncSession, *, now: datetime, actor: Actor, point: ContactPoint, patch: ContactPointPatch
) -> None:
    """Correct an address, or note a consent given (now) or withdrawn."""
    values = given(patch)
    if "address" in values:
        values["address"] = checked_address(point.kind, values["address"], "address")
    if "consent" in values:
        values["consented_at"] = now if values["consent"] else None
    before, after = set_fields(point, values)
    await session.flush()
    record(session, now=now, actor=actor, action="contact_point.edited", row=point, before=before, after=after)


async def remove_contact_point(session: AsyncSession, *, now: datetime, actor: Actor, point: ContactPoint) -> None:
    """Delete a way to reach a contact: personal data nobody needs any more."""
    before = {"contact_id": point.contact_id, "kind": point.kind}
    record(session, now=now, actor=actor, action="contact_point.removed", row=point, before=before)
    await session.delete(point)


class Mergeable(Protocol):
    """A record that may be replaced by another of the same."""

    merged_into_id: Mapped[UUID | None]


def must_stand(row: Mergeable) -> None:
    """Refuse to change a record that was merged away; raises merged_away, naming the record that replaced it."""
    if row.merged_into_id is not None:
        raise Problem(MERGED_AWAY, into_id=str(row.merged_into_id))


def _point(new: NewContactPoint, now: datetime, field: str) -> dict[str, Any]:
    values = given(new)
    values["address"] = checked_address(new.kind, new.address, field)
    return values | {"consented_at": now if new.consent else None}


def checked_address(kind: str, text: str, field: str) -> str:
    """Return an address as it is kept: a telephone number in E.164, an e-mail in small letters; raises invalid."""
    if kind == "phone":
        phone = normal_phone(text)
        if phone is None:
            raise Problem(INVALID, Finding(field, "不是电话号码", "not a telephone number"))
        return phone
    if kind == "email":
        name, at, domain = text.strip().partition("@")
        if not (name and at and "." in domain) or "@" in domain or " " in text.strip():
            raise Problem(INVALID, Finding(field, "不是电子邮箱", "not an e-mail address"))
        return text.strip().lower()
    return text.strip()
