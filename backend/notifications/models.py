"""Table of the outbox."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.db import Row, personal


class Notification(Row):
    """One message to one address; `key` makes sending idempotent."""

    __tablename__ = "notification"

    key: Mapped[str] = mapped_column(String(120), unique=True)
    channel: Mapped[str] = mapped_column(String(20))
    address: Mapped[str] = mapped_column(String(254), info=personal("contact", "message"))
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    contact_id: Mapped[UUID | None] = mapped_column(ForeignKey("contact.id"))
    language: Mapped[str] = mapped_column(String(5))
    text: Mapped[str] = mapped_column(info=personal("text", "message"))
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]
    error: Mapped[str | None]
