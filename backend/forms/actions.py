"""Filing forms exactly as they were signed, correcting them by new ones, and freezing templates."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments.actions import attach
from backend.attachments.queries import missing_count
from backend.attachments.schemas import AttachedFile
from backend.core.audit import Actor, record
from backend.core.errors import Finding, Problem
from backend.core.events import Event, tell
from backend.core.numbers import next_number
from backend.core.tasks import ensure_task
from backend.forms.authoring import validate_template
from backend.forms.canonical import sha256_hex
from backend.forms.faults import (
    ALREADY_VOIDED,
    FORM_ID_TAKEN,
    FORM_INCOMPLETE,
    FORM_NOT_AS_TEMPLATE,
    SIGNATURE_UNFIT,
    SIGNER_MISSING,
    TEMPLATE_INVALID,
    TEMPLATE_UNKNOWN,
)
from backend.forms.matching import FormSubject, must_be_about, must_be_numbered_by, must_correct
from backend.forms.models import ChecklistTemplate, ChecklistTemplateVersion, CompletionForm, Signature
from backend.forms.queries import signatures_of
from backend.forms.rules import FormFinding, SiteFlags, may_sign, missing_signers, validate_answers
from backend.forms.schemas import FormFiling
from backend.forms.shown import ShownForm, filled_form, read_shown, template_mismatches, template_sha256
from backend.forms.signing import Signature as SignedBy
from backend.forms.signing import signature_findings
from backend.forms.template import Template

SEAL_FORM: Final = "seal_form"
FORM_NUMBERS: Final = "F"
FINDINGS_TOLD: Final = 20


async def file_form(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    filing: FormFiling,
    about: FormSubject,
    late: bool,
    prefixes: frozenset[str] = frozenset(),
) -> CompletionForm:
    """Keep a signed form; filing the same one again returns it as it is.

    The caller has checked that `actor` may file for the subject, and holds its lock. `prefixes` are those of the phone
    it comes from, empty where it comes from none. Raises shown_unreadable, template_unknown, template_unfit,
    form_of_other_work, form_number_foreign, form_not_corrected, form_not_as_template, form_incomplete, signature_unfit,
    signer_missing, form_id_taken. The report is sealed by a task, once every photo is here.
    """
    standing = await session.get(CompletionForm, filing.id)
    if standing is not None:
        await _must_be_the_same(session, standing, filing, about)
        return standing
    shown = filing.shown.encode()
    form = read_shown(shown)
    version = await _template_version(session, filing.template_version_id)
    if prefixes:
        must_be_numbered_by(prefixes, form.number)
    await must_be_about(session, form, about)
    await must_correct(session, form, about, filing.supersedes_id)
    _must_be_sound(form, shown, msgspec.convert(version.body, Template), filing.signatures, about.flags)
    await _must_be_new(session, form.number)
    filed = CompletionForm(
        id=filing.id, bucket=about.bucket, unit_id=about.unit_id, entity=about.entity, subject_id=about.subject_id,
        template_version_id=version.id, device_number=form.number,
        number=await next_number(session, FORM_NUMBERS), language=form.language, shown=filing.shown,
        shown_sha256=sha256_hex(shown), filled_by_id=actor.person_id, device_id=actor.device_id,
        claimed_at=filing.claimed_at, device_at=filing.device_at, server_at=now,
        photos_expected=len(images_of(form, filing.signatures)), late=late, supersedes_id=filing.supersedes_id,
    )  # fmt: skip
    session.add(filed)
    await session.flush()
    _add_signatures(session, filed, filing.signatures, now)
    await _expect_images(session, now=now, actor=actor, filed=filed, images=images_of(form, filing.signatures))
    record(
        session, now=now, actor=actor, action="completion_form.filed", row=filed, after={"sha256": filed.shown_sha256}
    )
    facts = {"subject_id": str(about.subject_id), "late": late}
    tell(session, now=now, name="completion_form.filed", row=filed, facts=facts)
    await session.flush()
    await seal_when_complete(session, now=now, form=filed)
    return filed


def images_of(form: ShownForm, signatures: Sequence[SignedBy]) -> list[str]:
    """Return the sha256 of every photo the form shows and every paper signature, in order, each once."""
    photos = [
        photo for section in form.sections for group in section.groups for item in group.items for photo in item.photos
    ]
    attached = [attachment.sha256 for attachment in form.attachments]
    papers = [signature.image_sha256 for signature in signatures if signature.image_sha256]
    return list(dict.fromkeys([*photos, *attached, *papers]))


async def seal_when_complete(session: AsyncSession, *, now: datetime, form: CompletionForm) -> bool:
    """Queue the sealing of a form whose photos are all here; safe to repeat. Return whether they are."""
    if await missing_count(session, form.__tablename__, form.id):
        return False
    await ensure_task(session, now=now, kind=SEAL_FORM, key=str(form.id), payload={"form_id": str(form.id)})
    return True


async def seal_after_photos(session: AsyncSession, happened: Event, now: datetime) -> None:
    """React to `attachments.arrived`: a form whose last photo came is sealed."""
    if happened.facts["entity"] == CompletionForm.__tablename__:
        form = await session.get_one(CompletionForm, UUID(happened.facts["subject_id"]))
        await seal_when_complete(session, now=now, form=form)


async def void_form(
    session: AsyncSession, *, now: datetime, actor: Actor, form: CompletionForm, reason: str
) -> CompletionForm:
    """Say that a form does not count and why; it stays, with its signatures and its sealed report."""
    if form.voided_at is not None:
        raise Problem(ALREADY_VOIDED)
    form.voided_at, form.void_reason = now, reason
    record(session, now=now, actor=actor, action="completion_form.voided", row=form, reason=reason)
    tell(session, now=now, name="completion_form.voided", row=form)
    return form


async def freeze_template(
    session: AsyncSession, *, now: datetime, actor: Actor, body: dict[str, Any]
) -> ChecklistTemplateVersion:
    """Freeze a template body as the next version of its key; raises template_invalid."""
    try:
        template = msgspec.convert(body, Template)
    except msgspec.ValidationError as error:
        raise Problem(TEMPLATE_INVALID, Finding("body", "模板结构不正确", str(error))) from error
    findings = validate_template(template)
    if findings:
        raise Problem(TEMPLATE_INVALID, *_told(findings))
    parent = await _template_called(session, template)
    newest = select(func.max(ChecklistTemplateVersion.version)).where(ChecklistTemplateVersion.template_id == parent.id)
    version = ((await session.execute(newest)).scalar_one() or 0) + 1
    template = msgspec.structs.replace(template, version=version)
    frozen = ChecklistTemplateVersion(
        template_id=parent.id, key=template.key, version=version, sha256=template_sha256(template),
        body=msgspec.to_builtins(template), frozen_at=now,
    )  # fmt: skip
    session.add(frozen)
    record(session, now=now, actor=actor, action="checklist_template.frozen", row=frozen)
    return frozen


async def _template_called(session: AsyncSession, template: Template) -> ChecklistTemplate:
    known = select(ChecklistTemplate).where(ChecklistTemplate.key == template.key).with_for_update()
    parent = (await session.execute(known)).scalar_one_or_none()
    if parent is None:
        parent = ChecklistTemplate(key=template.key, name_zh=template.title.zh, name_en=template.title.en)
        session.add(parent)
        await session.flush()
    return parent


async def _template_version(session: AsyncSession, version_id: UUID) -> ChecklistTemplateVersion:
    version = await session.get(ChecklistTemplateVersion, version_id)
    if version is None:
        raise Problem(TEMPLATE_UNKNOWN)
    return version


async def _must_be_the_same(
    session: AsyncSession, standing: CompletionForm, filing: FormFiling, about: FormSubject
) -> None:
    """Refuse an id that names another form already: a form sent again says all of it again."""
    known = (
        standing.shown, standing.entity, standing.subject_id, standing.template_version_id, standing.supersedes_id,
        await signatures_of(session, standing.id),
    )  # fmt: skip
    told = (
        filing.shown, about.entity, about.subject_id, filing.template_version_id, filing.supersedes_id,
        filing.signatures,
    )  # fmt: skip
    if known != told:
        raise Problem(FORM_ID_TAKEN)


async def _expect_images(
    session: AsyncSession, *, now: datetime, actor: Actor, filed: CompletionForm, images: Sequence[str]
) -> None:
    files = [
        AttachedFile(sha256=sha256, kind="photo", name=f"{filed.device_number}-{number}")
        for number, sha256 in enumerate(images, start=1)
    ]
    await attach(
        session, now=now, actor=actor, entity=filed.__tablename__, subject_id=filed.id, bucket=filed.bucket, files=files
    )


async def _must_be_new(session: AsyncSession, device_number: str) -> None:
    taken = select(CompletionForm.id).where(CompletionForm.device_number == device_number)
    if (await session.execute(taken)).first() is not None:
        raise Problem(FORM_ID_TAKEN)


def _must_be_sound(
    form: ShownForm, shown: bytes, template: Template, signatures: Sequence[SignedBy], flags: SiteFlags
) -> None:
    differences = template_mismatches(form, template)
    if differences:
        raise Problem(
            FORM_NOT_AS_TEMPLATE,
            *(
                Finding(one.path, f"应为 {one.expected}", f"expected {one.expected}")
                for one in differences[:FINDINGS_TOLD]
            ),
        )
    filled = filled_form(form)
    wrong = [finding for finding in validate_answers(template, filled, flags) if finding.severity != "warning"]
    if wrong:
        raise Problem(FORM_INCOMPLETE, *_told(wrong))
    unfit = [finding for signature in signatures for finding in signature_findings(signature, shown, template)]
    unfit = [finding for finding in unfit if finding.severity != "warning"] + _out_of_turn(template, signatures)
    if unfit:
        raise Problem(SIGNATURE_UNFIT, *_told(unfit))
    absent = missing_signers(template, {signature.role for signature in signatures}, "on_site")
    if absent:
        raise Problem(SIGNER_MISSING, *(Finding(f"signers.{one.role}", one.label.zh, one.label.en) for one in absent))


def _out_of_turn(template: Template, signatures: Sequence[SignedBy]) -> list[FormFinding]:
    """Who signed twice, or before it was their turn (A109)."""
    roles = [signature.role for signature in signatures]
    found = (may_sign(template, role, roles[:place]) for place, role in enumerate(roles))
    return [finding for finding in found if finding is not None]


def _told(findings: Sequence[FormFinding]) -> list[Finding]:
    return [Finding(one.path or one.item, one.todo.zh, one.todo.en) for one in findings[:FINDINGS_TOLD]]


def _add_signatures(session: AsyncSession, form: CompletionForm, signatures: Sequence[SignedBy], now: datetime) -> None:
    session.add_all(
        Signature(
            bucket=form.bucket, form_id=form.id, place=place, signer_role=signed.role, signer_name=signed.name,
            signer_title=signed.title or None, signer_phone=signed.phone or None, method=signed.method,
            reason=signed.reason or None, assisted_by=signed.assisted_by or None,
            strokes=msgspec.to_builtins(signed.strokes) or None, image_sha256=signed.image_sha256 or None,
            signed_sha256=signed.document_sha256, signed_at=signed.signed_at, server_at=now,
        )
        for place, signed in enumerate(signatures, start=1)
    )  # fmt: skip
