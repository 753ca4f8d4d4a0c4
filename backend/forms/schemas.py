"""Wire structs of templates, filed forms and their reports."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from backend.forms.signing import Signature
from backend.forms.template import Language

SHOWN_BYTES: Final = 512 * 1024
"""The largest document one form may show."""
SIGNERS_MAXIMUM: Final = 8
ATTACHMENTS_MAXIMUM: Final = 200

Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]


class FormFiling(msgspec.Struct, frozen=True, kw_only=True):
    """A filed form as it was signed. `shown` is the canonical JSON, byte for byte; the phone made `id` and its number.

    `claimed_at` is when the person says it was finished, `device_at` what the phone's clock said then.
    """

    id: UUID
    template_version_id: UUID
    shown: Annotated[str, msgspec.Meta(max_length=SHOWN_BYTES)]
    signatures: Annotated[list[Signature], msgspec.Meta(max_length=SIGNERS_MAXIMUM)]
    claimed_at: Instant
    device_at: Instant
    supersedes_id: UUID | None = None


class TemplateSummary(msgspec.Struct, frozen=True):
    """A template and its newest frozen version."""

    key: str
    name_zh: str
    name_en: str
    version: int
    version_id: UUID
    sha256: str
    frozen_at: datetime


class NewTemplateVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A template body to freeze as the next version of its key (see docs/reference/form-templates.md)."""

    body: dict[str, Any]


class SignatureView(msgspec.Struct, frozen=True):
    """One signer's act."""

    place: int
    role: str
    name: str
    method: str
    reason: str | None
    signed_at: datetime
    signed_sha256: str


class ReportView(msgspec.Struct, frozen=True):
    """A sealed report; its bytes are at GET /forms/{id}/report.pdf."""

    language: Language
    pdf_sha256: str
    certificate_sha256: str
    sealed_at: datetime


class FormView(msgspec.Struct, frozen=True):
    """A filed form."""

    id: UUID
    number: str
    device_number: str
    entity: str
    subject_id: UUID
    template_key: str
    template_version: int
    template_version_id: UUID
    language: str
    shown: msgspec.Raw
    shown_sha256: str
    filled_by_id: UUID
    claimed_at: datetime
    device_at: datetime
    server_at: datetime
    photos_expected: int
    photos_received: int
    late: bool
    supersedes_id: UUID | None
    superseded_by_id: UUID | None
    voided_at: datetime | None
    signatures: list[SignatureView]
    reports: list[ReportView]


class FormSummary(msgspec.Struct, frozen=True):
    """A filed form in a list."""

    id: UUID
    number: str
    device_number: str
    template_key: str
    entity: str
    subject_id: UUID
    server_at: datetime
    sealed: bool


class SealFacts(msgspec.Struct, frozen=True):
    """What is recorded of a sealed report; whether its stored bytes agree is asked of the store.

    `counts`: neither voided nor corrected since.
    """

    shown_sha256: str
    pdf_sha256: str
    certificate_sha256: str
    sealed_at: datetime
    counts: bool


class SealCheckView(msgspec.Struct, frozen=True):
    """What anybody may know about a sealed report: whether the copy kept here is unchanged, and since when."""

    state: Literal["valid", "invalid"]
    sealed_at: datetime
    shown_sha256: str
    sentence_zh: str
    sentence_en: str


class Void(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why a form does not count; it stays."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
