"""Settling what phones left for people: deciding conflicts, accepting or dismissing what was set aside."""

import logging
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor, record
from backend.core.auth import Principal
from backend.core.errors import INVALID, Finding, Problem
from backend.core.etags import must_match
from backend.core.ids import new_id
from backend.devices.conflicts import conflict_detail, conflict_row
from backend.devices.faults import CONFLICT_DECIDED, NOT_RESTORABLE, QUARANTINE_SETTLED
from backend.devices.handlers import HANDLERS
from backend.devices.models import QuarantinedMutation
from backend.devices.quarantine import ACCEPTED, DISMISSED, item_within, quarantine_detail
from backend.devices.schemas import ConflictDetail, DecisionBody, DismissalBody, QuarantineDetail
from backend.devices.transaction import SqlTransaction
from sync.accepting import accept
from sync.deciding import Choice, Take, decide, standing_row
from sync.handler import Rejection
from sync.protocol import Result, encode
from sync.store import RowKey

log = logging.getLogger(__name__)


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


async def accept_quarantined(
    session: AsyncSession, principal: Principal, item_id: UUID, *, now: datetime
) -> QuarantineDetail:
    """Do a mutation that was set aside, as the person who made it; return it with its outcome.

    Accepting again what was accepted returns the same. Where it cannot be done, nothing is written and it waits as
    before, with the reason. Raises not_found, quarantine_settled.
    """
    item = await _locked_item(session, principal, item_id)
    if item.settlement == DISMISSED:
        raise Problem(QUARANTINE_SETTLED)
    if item.settlement is None:
        await _do_item(session, principal, item, now)
    return await quarantine_detail(session, await item_within(session, principal, item_id))


async def dismiss_quarantined(
    session: AsyncSession, principal: Principal, item_id: UUID, body: DismissalBody, *, now: datetime
) -> QuarantineDetail:
    """Decide that a mutation will not be done; it is kept. Raises not_found, quarantine_settled."""
    item = await _locked_item(session, principal, item_id)
    if item.settlement == ACCEPTED:
        raise Problem(QUARANTINE_SETTLED)
    if item.settlement is None:
        _settle(session, principal, item, DISMISSED, now=now, reason=body.reason)
    await session.flush()
    return await quarantine_detail(session, await item_within(session, principal, item_id))


async def _locked_item(session: AsyncSession, principal: Principal, item_id: UUID) -> QuarantinedMutation:
    await item_within(session, principal, item_id)
    return await session.get_one(QuarantinedMutation, item_id, with_for_update=True, populate_existing=True)


async def _do_item(session: AsyncSession, principal: Principal, item: QuarantinedMutation, now: datetime) -> None:
    tx = SqlTransaction(session, Actor(person_id=item.person_id, device_id=item.device_id), now)
    (entry,) = await tx.ledger(str(item.device_id), str(item.incarnation), range(item.n, item.n + 1), ())
    done = await accept(tx, HANDLERS, entry, now=now, new_id=lambda: str(new_id()))
    if done.fault:
        log.warning("quarantined mutation %s could not be done: %s", item.id, done.fault)
    outcome = done.outcome
    result = Result(
        entry.n, entry.mutation_id or "", outcome.status, outcome.code, outcome.text, outcome.conflicts, outcome.held
    )  # fmt: skip
    item.result = encode(result)
    if done.settled:
        _settle(session, principal, item, ACCEPTED, now=now)
    await session.flush()


def _settle(
    session: AsyncSession,
    principal: Principal,
    item: QuarantinedMutation,
    how: str,
    *,
    now: datetime,
    reason: str | None = None,
) -> None:
    item.settlement, item.settled_at, item.settled_by_id, item.reason = how, now, principal.person_id, reason
    record(
        session, now=now, actor=principal.actor, action=f"quarantined_mutation.{how}", row=item, reason=reason,
        before={"settlement": None}, after={"settlement": how},
    )  # fmt: skip


def problem_of(rejection: Rejection) -> Problem:
    """Return what the office is told where a phone would be told this rejection."""
    if isinstance(rejection.__cause__, Problem):
        return rejection.__cause__
    outcome = rejection.outcome
    if outcome.code == "not_restorable":
        return Problem(NOT_RESTORABLE)
    text = outcome.text
    return Problem(INVALID, Finding("values", text.zh if text else outcome.code, text.en if text else outcome.code))
