"""The task `seal_form`: render the service report of a signed form, seal it, and keep the sealed bytes for ever."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments.actions import note_blob
from backend.attachments.models import Attachment, Blob
from backend.attachments.schemas import Stored
from backend.attachments.store import blob_store
from backend.core.clock import Clock
from backend.core.db import insert_ignoring
from backend.core.events import tell
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.forms.canonical import sha256_hex
from backend.forms.models import CompletionForm, SealKey, ServiceReport
from backend.forms.queries import signatures_of
from backend.forms.signing import Signature as SignedBy
from backend.people.models import Unit
from backend.settings import Settings

SEAL_FOLDER: Final = "seal"
PDF: Final = "application/pdf"
REASON: Final = "服务报告 service report"


@dataclass(frozen=True)
class _Material:
    """What one report is made from, read in one snapshot."""

    form: CompletionForm
    organisation: str
    signatures: list[SignedBy]
    images: list[str]


class Sealer:
    """Seals the reports of filed forms."""

    def __init__(self, database: Database, clock: Clock, settings: Settings) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings
        self._store = blob_store(settings)

    async def run(self, payload: dict[str, Any]) -> None:
        """Seal the form the payload names; a form that is sealed already stays as it is."""
        async with self._database.read() as session:
            material = await _material(session, UUID(payload["form_id"]))
        if material is None:
            return
        now = self._clock.now()
        pdf, certificate, pdf_sha256 = await asyncio.to_thread(self._make, material, now)
        async with self._database.write() as session:
            await _keep_certificate(session, certificate)
            await note_blob(session, now=now, stored=Stored(sha256=pdf_sha256, size=len(pdf), media_type=PDF))
            await _keep_report(session, material.form, pdf_sha256, certificate.sha256, now)

    def _reference(self, form: CompletionForm) -> str:
        """What the report's QR code says: where anybody can check it; empty where nobody outside reaches us."""
        public = self._settings.public_url.rstrip("/")
        return f"{public}/verify/{form.shown_sha256}" if public else ""

    def _make(self, material: _Material, now: datetime) -> "tuple[bytes, _Certificate, str]":
        """Render, seal and store; runs in a thread."""
        # Loaded by who seals: a seventh of the time in which the server starts.
        from backend.forms.report import render_report  # noqa: PLC0415
        from backend.forms.sealing import load_seal_key, seal  # noqa: PLC0415

        form = material.form
        images = {sha256: self._store.read(sha256) for sha256 in material.images}
        report = render_report(
            form.shown.encode(), material.signatures, verify_reference=self._reference(form), now=now, images=images
        )
        key = load_seal_key(self._settings.data_dir / SEAL_FOLDER, material.organisation, now=now)
        sealed = seal(report, key, reason=REASON, location=material.organisation, now=now)
        certificate = _Certificate(
            der=key.certificate_der, sha256=sha256_hex(key.certificate_der),
            valid_from=key.certificate.not_valid_before_utc, valid_until=key.certificate.not_valid_after_utc,
        )  # fmt: skip
        return sealed, certificate, self._store.put(sealed)


@dataclass(frozen=True)
class _Certificate:
    der: bytes
    sha256: str
    valid_from: datetime
    valid_until: datetime


async def _material(session: AsyncSession, form_id: UUID) -> _Material | None:
    if (await session.execute(select(ServiceReport.id).where(ServiceReport.form_id == form_id))).first() is not None:
        return None
    form = await session.get_one(CompletionForm, form_id)
    images = (
        select(Attachment.sha256)
        .join(Blob, Blob.sha256 == Attachment.sha256)
        .where(Attachment.entity == CompletionForm.__tablename__, Attachment.subject_id == form_id)
        .order_by(Attachment.position)
    )
    return _Material(
        form=form,
        organisation=await _organisation(session, form.unit_id),
        signatures=await signatures_of(session, form_id),
        images=list((await session.execute(images)).scalars()),
    )


async def _organisation(session: AsyncSession, unit_id: UUID) -> str:
    """Who seals: the organisation at the root of the form's unit, by the name a certificate can carry anywhere."""
    unit = await session.get_one(Unit, unit_id)
    while unit.parent_id is not None:
        unit = await session.get_one(Unit, unit.parent_id)
    return unit.name_en or unit.name_zh


async def _keep_certificate(session: AsyncSession, certificate: _Certificate) -> None:
    known = select(SealKey.id).where(SealKey.certificate_sha256 == certificate.sha256)
    if (await session.execute(known)).first() is None:
        key = {
            "id": new_id(), "certificate": certificate.der, "certificate_sha256": certificate.sha256,
            "valid_from": certificate.valid_from, "valid_until": certificate.valid_until,
        }  # fmt: skip
        await session.run_sync(insert_ignoring, SealKey.__table__, [key])


async def _keep_report(
    session: AsyncSession, form: CompletionForm, pdf_sha256: str, certificate_sha256: str, now: datetime
) -> None:
    report = ServiceReport(
        bucket=form.bucket, form_id=form.id, language=form.language, pdf_sha256=pdf_sha256,
        certificate_sha256=certificate_sha256, sealed_at=now,
    )  # fmt: skip
    known = select(ServiceReport.id).where(ServiceReport.form_id == form.id, ServiceReport.language == form.language)
    if (await session.execute(known)).first() is None:
        session.add(report)
        tell(session, now=now, name="service_report.sealed", row=report, facts={"form_id": str(form.id)})
