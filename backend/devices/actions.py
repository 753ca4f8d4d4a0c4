"""Settling what phones left for people: deciding conflicts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal
from backend.core.errors import INVALID, Finding, Problem
from backend.core.etags import must_match
from backend.devices.conflicts import conflict_detail, conflict_row
from backend.devices.faults import CONFLICT_DECIDED, NOT_RESTORABLE
from backend.devices.schemas import ConflictDetail, DecisionBody
from backend.devices.transaction import SqlTransaction
from sync.deciding import Choice, Take, decide, standing_row
from sync.handler import Rejection
from sync.store import RowKey


async def decide_conflict(
    session: AsyncSession, principal: Principal, conflict_id: UUID, body: DecisionBody, *, if_match: str | None,
    now: datetime,
) -> ConflictDetail:  # fmt: skip
    """Decide a conflict on exactly what its decider saw; return it as it is then.

    The record is locked before the conflict, as pushes do. Raises not_found, conflict_decided, stale,
    if_match_missing, not_restorable, invalid and whatever an edit of the record could raise.
    """
    tx = SqlTransaction(session, principal.actor, now)
    found = await conflict_row(session, principal, conflict_id, now)
    row = await standing_row(tx, RowKey(found.entity, str(found.subject_id)))
    await tx.conflict(str(conflict_id))
    found = await conflict_row(session, principal, conflict_id, now)
    if found.decided_at is not None:
        raise Problem(CONFLICT_DECIDED, name=found.decider_name, decision=found.decision)
    must_match(if_match, await conflict_detail(session, found, row))
    choice = Choice(Take(body.take), body.values)
    try:
        await decide(tx, str(conflict_id), choice, person=str(principal.person_id), now=now)
    except Rejection as rejection:
        raise problem_of(rejection) from rejection
    found = await conflict_row(session, principal, conflict_id, now)
    return await conflict_detail(session, found, await standing_row(tx, RowKey(found.entity, str(found.subject_id))))


def problem_of(rejection: Rejection) -> Problem:
    """Return what the office is told where a phone would be told this rejection."""
    if isinstance(rejection.__cause__, Problem):
        return rejection.__cause__
    outcome = rejection.outcome
    if outcome.code == "not_restorable":
        return Problem(NOT_RESTORABLE)
    text = outcome.text
    return Problem(INVALID, Finding("values", text.zh if text else outcome.code, text.en if text else outcome.code))
