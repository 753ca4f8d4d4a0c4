"""Filing the forms of a visit: who may, and what a form means that arrives late."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor
from backend.core.errors import NOT_FOUND, Problem
from backend.forms.actions import file_form
from backend.forms.models import CompletionForm
from backend.forms.rules import SiteFlags
from backend.forms.schemas import FormFiling
from backend.jobs.history import visit_history
from backend.jobs.models import Visit
from backend.jobs.queries import visit_ever_held
from backend.sites.models import Site

SUBJECT: Final = Visit.__tablename__


async def file_completion(
    session: AsyncSession, *, now: datetime, actor: Actor, person_id: UUID, visit_id: UUID, filing: FormFiling
) -> CompletionForm:
    """Keep a form somebody filled in on a visit that is or was theirs; filing it again returns it as it is.

    A form is a fact: after the visit was cancelled or given to somebody else it is kept as a late report for the
    dispatcher. Raises not_found for a visit that never was theirs, and what forms.actions.file_form raises.
    """
    if not await visit_ever_held(session, person_id, visit_id):
        raise Problem(NOT_FOUND)
    history = await visit_history(session, visit_id)
    standing, order = history.standing, history.order
    site = await session.get_one(Site, order.site_id)
    return await file_form(
        session,
        now=now,
        actor=actor,
        filing=filing,
        entity=SUBJECT,
        subject_id=visit_id,
        unit_id=order.unit_id,
        bucket=f"job:{order.id}",
        flags=SiteFlags(no_photos=site.no_photos),
        late=standing.cancelled or person_id not in standing.holders,
    )
