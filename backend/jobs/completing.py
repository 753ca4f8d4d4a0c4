"""Filing the forms of a visit: who may, and what a form means that arrives late."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor
from backend.core.errors import NOT_FOUND, Problem
from backend.forms.actions import file_form
from backend.forms.matching import FormSubject
from backend.forms.models import ChecklistTemplateVersion, CompletionForm
from backend.forms.schemas import FormFiling
from backend.jobs.history import visit_history
from backend.jobs.models import Visit, WorkOrder
from backend.jobs.presets import forms_by_kind
from backend.jobs.queries import visit_ever_held
from backend.sites.models import Site

SUBJECT: Final = Visit.__tablename__


async def file_completion(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    person_id: UUID,
    visit_id: UUID,
    filing: FormFiling,
    prefixes: frozenset[str] = frozenset(),
) -> CompletionForm:
    """Keep a form somebody filled in on a visit that is or was theirs; filing it again returns it as it is.

    A form is a fact: after the visit was cancelled or given to somebody else it is kept as a late report for the
    dispatcher. `prefixes` are those of the phone that filed it. Raises not_found for a visit that never was theirs, and
    what forms.actions.file_form raises.
    """
    if not await visit_ever_held(session, person_id, visit_id):
        raise Problem(NOT_FOUND)
    history = await visit_history(session, visit_id)
    standing, order = history.standing, history.order
    about = FormSubject(
        entity=SUBJECT, subject_id=visit_id, unit_id=order.unit_id, bucket=f"job:{order.id}",
        site=await session.get_one(Site, order.site_id),
        order_numbers=frozenset(number for number in (order.number, order.device_number) if number),
        foreign_templates=await _forms_of_other_kinds(session, order),
    )  # fmt: skip
    late = standing.cancelled or person_id not in standing.holders
    return await file_form(session, now=now, actor=actor, filing=filing, about=about, late=late, prefixes=prefixes)


async def _forms_of_other_kinds(session: AsyncSession, order: WorkOrder) -> frozenset[str]:
    """Keys of forms that other kinds of work ask for and this order never did.

    All versions of the kinds count: the phone may have left with an earlier one. Forms no kind names suit any work.
    """
    asked = await forms_by_kind(session)
    own = set(asked.get(order.kind, frozenset[str]()))
    if order.form_template_version_id is not None:
        own.add((await session.get_one(ChecklistTemplateVersion, order.form_template_version_id)).key)
    return frozenset(key for keys in asked.values() for key in keys) - own
