"""Reads of templates, filed forms and sealed reports."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments.queries import missing_count
from backend.core.auth import Principal
from backend.core.errors import NOT_FOUND, Problem
from backend.core.paging import Page, PageRequest, fetch_page
from backend.forms.models import (
    ChecklistTemplate,
    ChecklistTemplateVersion,
    CompletionForm,
    ServiceReport,
    Signature,
)
from backend.forms.schemas import (
    FormSummary,
    FormView,
    ReportView,
    SealFacts,
    SignatureView,
    TemplateSummary,
)
from backend.forms.signing import Signature as SignedBy
from backend.forms.signing import Stroke
from backend.forms.template import Language, Method


async def templates(session: AsyncSession) -> list[TemplateSummary]:
    """Return every template with its newest version."""
    version = ChecklistTemplateVersion
    newest = (
        select(version.template_id, func.max(version.version).label("version")).group_by(version.template_id).subquery()
    )
    rows = await session.execute(
        select(version, ChecklistTemplate.name_zh, ChecklistTemplate.name_en)
        .join(ChecklistTemplate, ChecklistTemplate.id == version.template_id)
        .join(newest, (newest.c.template_id == version.template_id) & (newest.c.version == version.version))
        .order_by(version.key)
    )
    return [
        TemplateSummary(
            key=frozen.key, name_zh=name_zh, name_en=name_en, version=frozen.version, version_id=frozen.id,
            sha256=frozen.sha256, frozen_at=frozen.frozen_at,
        )
        for frozen, name_zh, name_en in rows
    ]  # fmt: skip


async def template_body(session: AsyncSession, version_id: UUID) -> dict[str, object]:
    """Return a frozen template body; raises not_found."""
    frozen = await session.get(ChecklistTemplateVersion, version_id)
    if frozen is None:
        raise Problem(NOT_FOUND)
    return frozen.body


def readable(principal: Principal) -> ColumnElement[bool]:
    """Which forms a person may read: those of their units, and those they filled in themselves."""
    units = principal.units("visit_form", "read")
    return or_(CompletionForm.unit_id.in_(units), CompletionForm.filled_by_id == principal.person_id)


async def readable_form(session: AsyncSession, principal: Principal, form_id: UUID) -> CompletionForm:
    """Return a form the person may read; raises not_found."""
    found = await session.execute(select(CompletionForm).where(CompletionForm.id == form_id, readable(principal)))
    form = found.scalar_one_or_none()
    if form is None:
        raise Problem(NOT_FOUND)
    return form


async def forms(
    session: AsyncSession, principal: Principal, page: PageRequest, *, subject_id: UUID | None
) -> Page[FormSummary]:
    """Return filed forms, newest first, of one subject or of all."""
    listed = select(CompletionForm).where(readable(principal))
    if subject_id is not None:
        listed = listed.where(CompletionForm.subject_id == subject_id)
    found = await fetch_page(session, listed, CompletionForm.id, page, lambda form: form)
    sealed = await _sealed(session, [form.id for form in found.items])
    keys = await _template_keys(session, {form.template_version_id for form in found.items})
    return Page(
        items=[
            FormSummary(
                id=form.id, number=form.number, device_number=form.device_number,
                template_key=keys[form.template_version_id], entity=form.entity, subject_id=form.subject_id,
                server_at=form.server_at, sealed=form.id in sealed,
            )
            for form in found.items
        ],
        next=found.next,
    )  # fmt: skip


async def form_view(session: AsyncSession, principal: Principal, form_id: UUID) -> FormView:
    """Return one form with its signatures and reports; raises not_found."""
    form = await readable_form(session, principal, form_id)
    template = await session.get_one(ChecklistTemplateVersion, form.template_version_id)
    signatures = select(Signature).where(Signature.form_id == form_id).order_by(Signature.place)
    reports = select(ServiceReport).where(ServiceReport.form_id == form_id).order_by(ServiceReport.sealed_at)
    missing = await missing_count(session, form.__tablename__, form.id)
    successor = select(CompletionForm.id).where(CompletionForm.supersedes_id == form_id).limit(1)
    return FormView(
        id=form.id, number=form.number, device_number=form.device_number, entity=form.entity,
        subject_id=form.subject_id, template_key=template.key, template_version=template.version,
        template_version_id=template.id, language=form.language, shown=msgspec.Raw(form.shown.encode()),
        shown_sha256=form.shown_sha256, filled_by_id=form.filled_by_id, claimed_at=form.claimed_at,
        device_at=form.device_at, server_at=form.server_at, photos_expected=form.photos_expected,
        photos_received=form.photos_expected - missing, late=form.late, supersedes_id=form.supersedes_id,
        superseded_by_id=(await session.execute(successor)).scalar_one_or_none(), voided_at=form.voided_at,
        signatures=[_signature(row) for row in (await session.execute(signatures)).scalars()],
        reports=[_report(row) for row in (await session.execute(reports)).scalars()],
    )  # fmt: skip


async def report_of(session: AsyncSession, principal: Principal, form_id: UUID) -> ServiceReport:
    """Return the sealed report of a form the person may read; raises not_found while there is none."""
    await readable_form(session, principal, form_id)
    newest = select(ServiceReport).where(ServiceReport.form_id == form_id).order_by(ServiceReport.sealed_at.desc())
    report = (await session.execute(newest.limit(1))).scalar_one_or_none()
    if report is None:
        raise Problem(NOT_FOUND)
    return report


async def seal_facts(session: AsyncSession, shown_sha256: str) -> SealFacts:
    """Return what is recorded of the sealed report of a signed document; raises not_found while there is none."""
    known = (
        select(ServiceReport, CompletionForm.voided_at, _superseded())
        .join(CompletionForm, CompletionForm.id == ServiceReport.form_id)
        .where(CompletionForm.shown_sha256 == shown_sha256)
        .order_by(ServiceReport.sealed_at.desc())
    )
    row = (await session.execute(known.limit(1))).first()
    if row is None:
        raise Problem(NOT_FOUND)
    report, voided_at, superseded = row
    return SealFacts(
        shown_sha256=shown_sha256, pdf_sha256=report.pdf_sha256, certificate_sha256=report.certificate_sha256,
        sealed_at=report.sealed_at, counts=voided_at is None and not superseded,
    )  # fmt: skip


async def signatures_of(session: AsyncSession, form_id: UUID) -> list[SignedBy]:
    """Return the signature records of a form as they were filed, in signing order."""
    rows = select(Signature).where(Signature.form_id == form_id).order_by(Signature.place)
    return [
        SignedBy(
            document_sha256=row.signed_sha256, role=row.signer_role, method=msgspec.convert(row.method, Method),
            signed_at=row.signed_at, name=row.signer_name, title=row.signer_title or "", phone=row.signer_phone or "",
            reason=row.reason or "", assisted_by=row.assisted_by or "", image_sha256=row.image_sha256 or "",
            strokes=msgspec.convert(row.strokes or [], tuple[Stroke, ...]),
        )
        for row in (await session.execute(rows)).scalars()
    ]  # fmt: skip


def _superseded() -> ColumnElement[bool]:
    later = CompletionForm.__table__.alias("later")
    return exists(select(later.c.id).where(later.c.supersedes_id == CompletionForm.id))


async def _sealed(session: AsyncSession, form_ids: Sequence[UUID]) -> set[UUID]:
    return set(
        (await session.execute(select(ServiceReport.form_id).where(ServiceReport.form_id.in_(form_ids)))).scalars()
    )


async def _template_keys(session: AsyncSession, version_ids: set[UUID]) -> dict[UUID, str]:
    version = ChecklistTemplateVersion
    rows = await session.execute(select(version.id, version.key).where(version.id.in_(version_ids)))
    return {row.id: row.key for row in rows}


def _signature(row: Signature) -> SignatureView:
    return SignatureView(
        place=row.place, role=row.signer_role, name=row.signer_name, method=row.method, reason=row.reason,
        signed_at=row.signed_at, signed_sha256=row.signed_sha256,
    )  # fmt: skip


def _report(row: ServiceReport) -> ReportView:
    return ReportView(
        language=msgspec.convert(row.language, Language), pdf_sha256=row.pdf_sha256,
        certificate_sha256=row.certificate_sha256, sealed_at=row.sealed_at,
    )  # fmt: skip
