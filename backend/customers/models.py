"""Tables of customers and contacts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import synced
from backend.core.db import Imported, Row, personal


@synced("customer:{id}")
class Customer(Row, Imported):
    """An organisation or household we serve. After a merge, `merged_into_id` leads pending edits and old codes on."""

    __tablename__ = "customer"

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"), index=True)
    number: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(info=personal("name", "customer"))
    kind: Mapped[str] = mapped_column(String(20))
    language: Mapped[str] = mapped_column(String(5))
    merged_into_id: Mapped[UUID | None] = mapped_column(ForeignKey("customer.id"))


@synced("contact:{id}")
class Contact(Row, Imported):
    """A person at a customer; the leader of the operating side (使用方领导) signs quarterly inspections."""

    __tablename__ = "contact"

    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    name: Mapped[str] = mapped_column(info=personal("name", "customer"))
    title: Mapped[str | None] = mapped_column(info=personal("name", "customer"))
    function: Mapped[str] = mapped_column(String(30))
    """contact, operating_leader, payer."""
    language: Mapped[str] = mapped_column(String(5))
    merged_into_id: Mapped[UUID | None] = mapped_column(ForeignKey("contact.id"))


@synced("contact:{contact_id}")
class ContactPoint(Row):
    """A phone, e-mail or WeChat address of a contact, with the consent it rests on."""

    __tablename__ = "contact_point"

    contact_id: Mapped[UUID] = mapped_column(ForeignKey("contact.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    address: Mapped[str] = mapped_column(String(254), info=personal("contact", "customer"))
    consent: Mapped[str | None] = mapped_column(String(30))
    consented_at: Mapped[datetime | None]
