"""Routes of templates, filed forms and their sealed reports."""

import asyncio
from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, PathParameter
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments.store import blob_store
from backend.core.auth import Principal, anyone_signed_in, public, requires
from backend.core.once import Once
from backend.core.paging import Page, PageRequest
from backend.forms import actions, queries
from backend.forms.schemas import (
    FormSummary,
    FormView,
    NewTemplateVersion,
    SealCheckView,
    TemplateSummary,
    Void,
)
from backend.forms.store import sealed_bytes, vouch
from backend.settings import Settings

PDF = "application/pdf"


@get("/templates", guards=[anyone_signed_in])
async def get_templates(read: NamedDependency[AsyncSession]) -> list[TemplateSummary]:
    """List the form templates, each with its newest version."""
    return await queries.templates(read)


@get("/templates/{version_id:uuid}", guards=[anyone_signed_in])
async def get_template(version_id: FromPath[UUID], read: NamedDependency[AsyncSession]) -> dict[str, object]:
    """Show a frozen template."""
    return await queries.template_body(read, version_id)


@post("/templates", guards=[requires("admin", "write")], status_code=201)
async def post_template(
    data: JSONBody[NewTemplateVersion], write: NamedDependency[AsyncSession], principal: NamedDependency[Principal],
    now: NamedDependency[datetime], once: NamedDependency[Once],
) -> Response[TemplateSummary]:  # fmt: skip
    """Freeze a template body as the next version of its key."""

    async def produce() -> TemplateSummary:
        frozen = await actions.freeze_template(write, now=now, actor=principal.actor, body=data.body)
        await write.flush()
        return next(one for one in await queries.templates(write) if one.version_id == frozen.id)

    return await once.create(write, now, produce)


@get("/forms", guards=[requires("visit_form", "read")])
async def get_forms(
    read: NamedDependency[AsyncSession], principal: NamedDependency[Principal], page: NamedDependency[PageRequest],
    subject_id: FromQuery[UUID | None] = None,
) -> Page[FormSummary]:  # fmt: skip
    """List filed forms, newest first."""
    return await queries.forms(read, principal, page, subject_id=subject_id)


@get("/forms/{form_id:uuid}", guards=[requires("visit_form", "read")])
async def get_form(
    form_id: FromPath[UUID], read: NamedDependency[AsyncSession], principal: NamedDependency[Principal]
) -> FormView:
    """Show a filed form with exactly what was shown, its signatures and its reports."""
    return await queries.form_view(read, principal, form_id)


@get("/forms/{form_id:uuid}/report.pdf", guards=[requires("visit_form", "read")], media_type=PDF)
async def get_report(
    form_id: FromPath[UUID], read: NamedDependency[AsyncSession], principal: NamedDependency[Principal],
    settings: NamedDependency[Settings],
) -> Response[bytes]:  # fmt: skip
    """Download the sealed report: the stored bytes, never rendered again, and none but those that were sealed."""
    report = await queries.report_of(read, principal, form_id)
    content = await asyncio.to_thread(sealed_bytes, blob_store(settings), report.pdf_sha256)
    headers = {"Content-Disposition": f'inline; filename="{form_id}.pdf"', "ETag": f'"{report.pdf_sha256}"'}
    return Response(content, media_type=PDF, headers=headers)


@post("/forms/{form_id:uuid}/void", guards=[requires("visit_form", "approve")], status_code=200)
async def void_form(
    form_id: FromPath[UUID], data: JSONBody[Void], write: NamedDependency[AsyncSession],
    principal: NamedDependency[Principal], now: NamedDependency[datetime],
) -> FormView:  # fmt: skip
    """Say that a form does not count, and why. It stays."""
    form = await queries.readable_form(write, principal, form_id)
    await actions.void_form(write, now=now, actor=principal.actor, form=form, reason=data.reason)
    await write.flush()
    return await queries.form_view(write, principal, form_id)


@get("/verify/{shown_sha256:str}", guards=[public])
async def get_seal_check(
    shown_sha256: Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$")], read: NamedDependency[AsyncSession],
    now: NamedDependency[datetime], settings: NamedDependency[Settings],
) -> SealCheckView:  # fmt: skip
    """Check the sealed report kept under this code, byte for byte, and say whether it is unchanged; nothing else."""
    facts = await queries.seal_facts(read, shown_sha256)
    return await asyncio.to_thread(vouch, blob_store(settings), facts, now)


router = Router(
    "/",
    route_handlers=[
        get_templates, get_template, post_template, get_forms, get_form, get_report, void_form, get_seal_check
    ],
    tags=["forms"],
)  # fmt: skip
