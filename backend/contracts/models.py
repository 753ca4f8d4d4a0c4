"""Tables of contracts, prices and clocks."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import BUCKET_LENGTH, synced
from backend.core.db import Imported, Row


class ClockPolicy(Row):
    """One version of a set of time limits, such as 2 h / 24 h / 48 h. `rules` is read by contracts/rules.py."""

    __tablename__ = "clock_policy"
    __table_args__ = (UniqueConstraint("key", "version"),)

    key: Mapped[str] = mapped_column(String(60))
    version: Mapped[int]
    name_zh: Mapped[str]
    name_en: Mapped[str]
    rules: Mapped[dict[str, Any]]


@synced("catalogue")
class PriceList(Row):
    """One version of the charges customers are shown; amounts in the smallest unit of `currency` (fen).

    It holds for every unit: what a part costs is the organisation's word, not an outlet's.
    """

    __tablename__ = "price_list"
    __table_args__ = (UniqueConstraint("key", "version"),)

    key: Mapped[str] = mapped_column(String(60))
    version: Mapped[int]
    name_zh: Mapped[str]
    name_en: Mapped[str]
    currency: Mapped[str] = mapped_column(String(3))
    valid_from_on: Mapped[date]
    valid_until_on: Mapped[date | None]
    lines: Mapped[list[Any]]


class ServiceContract(Row, Imported):
    """What we owe a customer and for how long; after `maintenance_ends_on` another agreement is needed (A151, A152).

    It belongs to the unit of its customer.
    """

    __tablename__ = "service_contract"

    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customer.id"), index=True)
    number: Mapped[str] = mapped_column(String(40), unique=True)
    clock_policy_id: Mapped[UUID] = mapped_column(ForeignKey("clock_policy.id"))
    starts_on: Mapped[date]
    maintenance_ends_on: Mapped[date | None]
    ends_on: Mapped[date | None]
    coverage: Mapped[dict[str, Any]]


class ContractSite(Row):
    """A site a contract covers for a time."""

    __tablename__ = "contract_site"

    contract_id: Mapped[UUID] = mapped_column(ForeignKey("service_contract.id"), index=True)
    site_id: Mapped[UUID] = mapped_column(ForeignKey("site.id"), index=True)
    valid_from_on: Mapped[date]
    valid_until_on: Mapped[date | None]


class Warranty(Row):
    """The maker's or our warranty on an asset."""

    __tablename__ = "warranty"

    asset_id: Mapped[UUID] = mapped_column(ForeignKey("asset.id"), index=True)
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    terms: Mapped[str]


@synced("{bucket}")
class CommitmentClock(Row):
    """One promise running on one subject. `policy_due_at` is never edited; promises made later are rows of `promise`.

    `kind` is respond, answer, arrive or solve; later hand-over, complaint, form review.
    """

    __tablename__ = "commitment_clock"
    __table_args__ = (
        UniqueConstraint("subject_id", "kind"),
        CheckConstraint("stopped_at IS NULL OR stopped_at >= started_at", name="order"),
        CheckConstraint("hours IN ('calendar', 'service')", name="hours"),
        Index("ix_commitment_clock_open", "stopped_at", "due_at"),
    )

    bucket: Mapped[str | None] = mapped_column(String(BUCKET_LENGTH))
    entity: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID]
    kind: Mapped[str] = mapped_column(String(20))
    clock_policy_id: Mapped[UUID] = mapped_column(ForeignKey("clock_policy.id"))
    hours: Mapped[str] = mapped_column(String(10))
    """calendar or service: which minutes count."""
    calendar_id: Mapped[UUID | None] = mapped_column(ForeignKey("working_calendar.id"))
    """The version of the calendar whose service hours count; None where every hour does."""
    zone: Mapped[str] = mapped_column(String(40))
    """The site's time zone: where days end and service hours are read."""
    started_at: Mapped[datetime]
    policy_due_at: Mapped[datetime | None]
    priority_due_at: Mapped[datetime | None]
    """An earlier limit brought by a priority given after the start (A035); a lower priority never moves one later."""
    due_at: Mapped[datetime | None]
    """The limit that counts today, ended pauses included: the earliest that binds, or the customer's promise instead.

    None: rests on an arrival or a promise still to come.
    """
    stopped_at: Mapped[datetime | None]
    stopped_by: Mapped[str | None] = mapped_column(String(60))
    void_reason: Mapped[str | None]


class ClockPause(Row):
    """A time a clock stood still for a reason on the customer's side."""

    __tablename__ = "clock_pause"

    clock_id: Mapped[UUID] = mapped_column(ForeignKey("commitment_clock.id"), index=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    reason: Mapped[str] = mapped_column(String(60))


class Promise(Row):
    """A time promised to the customer: who moved it, through which channel, and why (X3)."""

    __tablename__ = "promise"
    __table_args__ = (CheckConstraint("moved_by IN ('customer', 'us')", name="moved_by"),)

    clock_id: Mapped[UUID] = mapped_column(ForeignKey("commitment_clock.id"), index=True)
    promised_at: Mapped[datetime]
    """The instant promised."""
    moved_by: Mapped[str] = mapped_column(String(10))
    channel: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str]
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    made_at: Mapped[datetime]
