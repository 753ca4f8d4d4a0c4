"""Tables of checklist templates, filled forms and signatures. Frozen versions and filed forms are never changed."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import BUCKET_LENGTH, synced
from backend.core.db import Row, personal


class ChecklistTemplate(Row):
    """A form people fill, by a stable key."""

    __tablename__ = "checklist_template"

    key: Mapped[str] = mapped_column(String(60), unique=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]


@synced("catalogue")
class ChecklistTemplateVersion(Row):
    """A frozen version of a template; forms pin it by id and sha256."""

    __tablename__ = "checklist_template_version"
    __table_args__ = (UniqueConstraint("template_id", "version"),)

    template_id: Mapped[UUID] = mapped_column(ForeignKey("checklist_template.id"))
    key: Mapped[str] = mapped_column(String(60))
    version: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    body: Mapped[dict[str, Any]]
    frozen_at: Mapped[datetime]


@synced("{bucket}")
class ChecklistAnswer(Row):
    """One answer of one author while a checklist is being filled; two authors keep both."""

    __tablename__ = "checklist_answer"
    __table_args__ = (UniqueConstraint("entity", "subject_id", "template_version_id", "item", "asset_id", "author_id"),)

    bucket: Mapped[str | None] = mapped_column(String(BUCKET_LENGTH))
    entity: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID]
    template_version_id: Mapped[UUID] = mapped_column(ForeignKey("checklist_template_version.id"))
    item: Mapped[str] = mapped_column(String(80))
    asset_id: Mapped[UUID | None]
    author_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    value: Mapped[dict[str, Any]]
    answered_at: Mapped[datetime]


@synced("{bucket}")
class CompletionForm(Row):
    """A filled form, exactly as it was shown: canonical JSON and its sha256.

    A correction is a new form that supersedes it.
    """

    __tablename__ = "completion_form"
    __table_args__ = (Index("ix_completion_form_subject", "entity", "subject_id"),)

    bucket: Mapped[str | None] = mapped_column(String(BUCKET_LENGTH))
    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"), index=True)
    entity: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[UUID]
    template_version_id: Mapped[UUID] = mapped_column(ForeignKey("checklist_template_version.id"))
    device_number: Mapped[str] = mapped_column(String(40), unique=True)
    """The number printed on the form: the phone's prefix and its own counter."""
    number: Mapped[str] = mapped_column(String(40), unique=True)
    """The server's number, an alias beside it."""
    language: Mapped[str] = mapped_column(String(5))
    shown: Mapped[str] = mapped_column(Text)
    """The canonical JSON (RFC 8785) of what was shown."""
    shown_sha256: Mapped[str] = mapped_column(String(64))
    filled_by_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    device_id: Mapped[UUID | None] = mapped_column(ForeignKey("device.id"))
    claimed_at: Mapped[datetime]
    device_at: Mapped[datetime]
    server_at: Mapped[datetime]
    photos_expected: Mapped[int]
    late: Mapped[bool]
    """Filed after the visit was cancelled or reassigned: kept as a late report for the dispatcher."""
    supersedes_id: Mapped[UUID | None] = mapped_column(ForeignKey("completion_form.id"))
    voided_at: Mapped[datetime | None]
    void_reason: Mapped[str | None]
    relinked_from_id: Mapped[UUID | None]
    reviewed_at: Mapped[datetime | None]
    reviewed_by_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))


@synced("{bucket}")
class Signature(Row):
    """One signer's act under a form, bound to the sha256 of what was shown."""

    __tablename__ = "signature"
    __table_args__ = (
        UniqueConstraint("form_id", "place"),
        CheckConstraint("method <> 'refused' OR reason IS NOT NULL", name="refusal_has_reason"),
    )

    bucket: Mapped[str | None] = mapped_column(String(BUCKET_LENGTH))
    form_id: Mapped[UUID] = mapped_column(ForeignKey("completion_form.id"), index=True)
    place: Mapped[int]
    """Order of signing, from 1."""
    signer_role: Mapped[str] = mapped_column(String(30))
    signer_name: Mapped[str] = mapped_column(info=personal("name", "proof"))
    signer_title: Mapped[str | None]
    signer_phone: Mapped[str | None] = mapped_column(String(20), info=personal("contact", "proof"))
    method: Mapped[str] = mapped_column(String(20))
    """drawn, typed, assisted, paper or refused."""
    reason: Mapped[str | None]
    assisted_by: Mapped[str | None] = mapped_column(info=personal("name", "proof"))
    strokes: Mapped[list[Any] | None] = mapped_column(info=personal("signature", "proof"))
    image_sha256: Mapped[str | None] = mapped_column(String(64))
    signed_sha256: Mapped[str] = mapped_column(String(64))
    signed_at: Mapped[datetime]
    server_at: Mapped[datetime]


@synced("{bucket}")
class ServiceReport(Row):
    """The sealed PDF of a form. Its bytes are stored as a blob and never rendered again."""

    __tablename__ = "service_report"
    __table_args__ = (UniqueConstraint("form_id", "language"),)

    bucket: Mapped[str | None] = mapped_column(String(BUCKET_LENGTH))
    form_id: Mapped[UUID] = mapped_column(ForeignKey("completion_form.id"), index=True)
    language: Mapped[str] = mapped_column(String(5))
    pdf_sha256: Mapped[str] = mapped_column(String(64))
    certificate_sha256: Mapped[str] = mapped_column(String(64))
    sealed_at: Mapped[datetime]


class SealKey(Row):
    """A certificate the organisation seals with; the private key lies in the data folder, not here."""

    __tablename__ = "seal_key"

    certificate: Mapped[bytes] = mapped_column(LargeBinary)
    certificate_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime]
