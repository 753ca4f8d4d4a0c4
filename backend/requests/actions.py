"""Moving a Case through its states, and what was said to the customer on the way.

Opening is in `intake`, owners and escalation in `owners`; all are reached from here. Nothing commits; callers hold the
Case's row locked.
"""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.bounds import AHEAD_MINUTES, must_be_agreeable
from backend.contracts.actions import restart_clock, settle_clocks, stop_clocks_on, tighten_clocks, unsettle_clocks
from backend.core.audit import Actor, record
from backend.core.errors import INVALID, Finding, Problem
from backend.core.etags import given, set_fields
from backend.core.events import tell
from backend.core.presets import Preset
from backend.people.queries import must_know_skills, no_such
from backend.requests.faults import must_be_open, refuse
from backend.requests.intake import ask_for_fact, open_request, patch_request
from backend.requests.models import ServiceRequest
from backend.requests.owners import accept_case, decline_case, escalate_request, hand_over, note_owner
from backend.requests.queries import EVIDENCE, known_preset, owner_of
from backend.requests.rules import Move, RequestState, Resolution, after, may_close
from backend.requests.schemas import (
    AnswerEntry,
    CancelEntry,
    CloseEntry,
    ContactEntry,
    ReopenEntry,
    SolvedEntry,
    Triage,
)

__all__ = [
    "accept_case",
    "answer_request",
    "ask_for_fact",
    "begin_work",
    "cancel_request",
    "close_request",
    "confirm_request",
    "decline_case",
    "escalate_request",
    "hand_over",
    "open_request",
    "patch_request",
    "record_contact",
    "reopen_request",
    "solve_request",
    "triage_request",
]

CONTACTED: Final = "first_outbound_contact"
ANSWERED: Final = "solution_and_time_told"
CONFIRMED: Final = "customer_confirmed"
"""The events that stop clocks, as clock policies name them (presets/clock_policies.toml)."""
SOLVED: Final = "solved"
"""Why what was still owed became void when the customer confirmed."""


def _move(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    request: ServiceRequest,
    move: Move,
    event: str,
    values: dict[str, Any] | None = None,
    reason: str | None = None,
    **facts: Any,
) -> None:
    """Make a move with the fields it changes, its audit entry and its event; raises illegal_move."""
    following = after(RequestState(request.state), move)
    if following is None:
        raise refuse(request, move)
    before, changed = set_fields(request, {"state": following.value, **(values or {})})
    record(
        session, now=now, actor=actor, action=f"service_request.{event}", row=request, before=before,
        after=changed | facts, reason=reason,
    )  # fmt: skip
    tell(session, now=now, name=f"service_request.{event}", row=request, facts={"number": request.number, **facts})


async def triage_request(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, triage: Triage
) -> None:
    """Say how a Case is to be served (A005, A006); a higher priority brings its earlier limits.

    Raises illegal_move, and invalid for a priority, cause or skill nobody knows, or no priority or mode at all.
    """
    values = given(triage)
    priority, mode = values.get("priority", request.priority), values.get("service_mode", request.service_mode)
    if priority is None or mode is None:
        lacking = "priority" if priority is None else "service_mode"
        raise Problem(INVALID, Finding(lacking, "首次分诊须填写此项", "needed for the first triage"))
    await known_preset(session, "priority", priority, "priority")
    await _known_cause(session, values.get("cause"))
    await must_know_skills(session, values.get("required_skills", []))
    _move(
        session, now=now, actor=actor, request=request, move=Move.TRIAGE, event="triaged", values=values,
        priority=priority, service_mode=mode,
    )  # fmt: skip
    await tighten_clocks(session, subject_id=request.id, priority=priority)
    if actor.person_id and await owner_of(session, request.id) is None:
        note_owner(session, request, actor.person_id, now)


async def begin_work(session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest) -> None:
    """Note that work on a Case has begun, once; raises illegal_move for one that has ended."""
    if request.state != RequestState.IN_PROGRESS:
        _move(session, now=now, actor=actor, request=request, move=Move.BEGIN, event="begun")


async def record_contact(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, contact: ContactEntry
) -> None:
    """Note that we contacted the customer; the first time stops the clock to respond (A029).

    Raises case_not_open, and invalid for a time before the receipt.
    """
    must_be_open(request)
    at = _happened(request, contact.at, now)
    await _contacted(session, request, at)
    facts = {"at": at.isoformat(), "channel": contact.channel}
    record(
        session, now=now, actor=actor, action="service_request.contacted", row=request, reason=contact.note or None,
        after=facts,
    )  # fmt: skip
    tell(session, now=now, name="service_request.contacted", row=request, facts=facts)


async def answer_request(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, answer: AnswerEntry
) -> None:
    """Note that solution and time were told (A009, A030); an answer that solved the Case by itself ends it (A010).

    Telling an answer is also contacting. Raises case_not_open, illegal_move and invalid.
    """
    must_be_open(request)
    at = _happened(request, answer.at, now)
    must_be_agreeable(now, {"planned_at": answer.planned_at})
    await _contacted(session, request, at)
    await stop_clocks_on(session, subject_id=request.id, event=ANSWERED, at=at)
    facts = {
        "at": at.isoformat(), "channel": answer.channel, "solution": answer.solution,
        "planned_at": answer.planned_at and answer.planned_at.isoformat(),
    }  # fmt: skip
    record(session, now=now, actor=actor, action="service_request.answered", row=request, after=facts)
    tell(session, now=now, name="service_request.answered", row=request, facts=facts)
    if answer.resolution is not None:
        solved = SolvedEntry(
            confirmed_by=request.reporter_name or "?", resolution=answer.resolution, at=at, note=answer.solution
        )
        await solve_request(session, now=now, actor=actor, request=request, solved=solved)


async def solve_request(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, solved: SolvedEntry
) -> None:
    """Note the customer's word that the problem is entirely solved (A104): it stops the clock to solve.

    Raises illegal_move, and invalid for a resolution that does not solve or needs what is not known.
    """
    resolution, preset = await _resolution(session, solved.resolution)
    if not resolution.solved:
        raise Problem(
            INVALID,
            Finding("resolution", f"{preset.name_zh}并未解决问题", f"{preset.name_en} does not solve the problem"),
        )
    cause = await _known_cause(session, solved.cause) or request.cause
    await _must_have(session, request, resolution, {"cause": cause, "note": solved.note})
    at = _happened(request, solved.at, now)
    _move(
        session, now=now, actor=actor, request=request, move=Move.SOLVE, event="solved", reason=solved.note or None,
        values={"resolution": solved.resolution, "cause": cause}, confirmed_by=solved.confirmed_by, at=at.isoformat(),
    )  # fmt: skip
    await stop_clocks_on(session, subject_id=request.id, event=CONFIRMED, at=at)
    await settle_clocks(session, subject_id=request.id, at=at, reason=SOLVED)


async def close_request(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, closing: CloseEntry
) -> None:
    """Close a Case that is solved, or end it unsolved for a reason that allows it (A012).

    Raises illegal_move, also while the customer has not confirmed, and invalid.
    """
    key = closing.resolution or request.resolution
    if after(RequestState(request.state), Move.CLOSE) is None:
        raise refuse(request, Move.CLOSE)
    if key is None:
        raise Problem(INVALID, Finding("resolution", "须说明如何结束", "say how it ended"))
    resolution, _ = await _resolution(session, key)
    if not may_close(RequestState(request.state), resolution):
        raise refuse(request, Move.CLOSE)
    cause = await _known_cause(session, closing.cause) or request.cause
    other = await _other_case(session, request, closing.duplicate_of_id)
    if request.state != RequestState.SOLVED:
        known: dict[str, object] = {"cause": cause, "note": closing.note, "other_case": other}
        await _must_have(session, request, resolution, known)
    _move(
        session, now=now, actor=actor, request=request, move=Move.CLOSE, event="closed", reason=closing.note or None,
        values={"resolution": key, "cause": cause, "closed_at": now, "duplicate_of_id": other}, resolution=key,
        solved=resolution.solved,
    )  # fmt: skip
    await settle_clocks(session, subject_id=request.id, at=now, reason=key)


async def confirm_request(session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest) -> None:
    """Note that the call-back found the Case really solved (A170); raises illegal_move."""
    _move(session, now=now, actor=actor, request=request, move=Move.CONFIRM, event="confirmed")


async def reopen_request(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, reopening: ReopenEntry
) -> None:
    """Open a Case again that was not solved after all: what its end made void is owed again, with the old limits.

    Raises illegal_move.
    """
    ended_by = {SOLVED, request.resolution or SOLVED}
    _move(
        session, now=now, actor=actor, request=request, move=Move.REOPEN, event="reopened", reason=reopening.reason,
        values={"closed_at": None, "resolution": None, "reopened_count": request.reopened_count + 1},
    )  # fmt: skip
    await restart_clock(session, subject_id=request.id, kind="solve")
    await unsettle_clocks(session, subject_id=request.id, reasons=ended_by)


async def cancel_request(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, cancelling: CancelEntry
) -> None:
    """Cancel a Case the customer takes back; nothing more is owed. Raises illegal_move."""
    _move(
        session, now=now, actor=actor, request=request, move=Move.CANCEL, event="cancelled", reason=cancelling.reason,
        values={"resolution": "cancelled", "closed_at": now}, asked_by=cancelling.asked_by,
    )  # fmt: skip
    await settle_clocks(session, subject_id=request.id, at=now, reason="cancelled")


async def _contacted(session: AsyncSession, request: ServiceRequest, at: datetime) -> None:
    request.first_contact_at = request.first_contact_at or at
    await stop_clocks_on(session, subject_id=request.id, event=CONTACTED, at=at)


def _happened(request: ServiceRequest, claimed: datetime | None, now: datetime) -> datetime:
    """When something happened to a Case; raises invalid for a time before its receipt or in the future."""
    if claimed is None:
        return now
    if not request.received_at <= claimed <= now + AHEAD_MINUTES:
        raise Problem(INVALID, Finding("at", "须在受理之后、现在之前", "must lie between receipt and now"))
    return min(claimed, now)


async def _resolution(session: AsyncSession, key: str) -> tuple[Resolution, Preset]:
    preset = await known_preset(session, "resolution", key, "resolution")
    return msgspec.convert({"key": key, **preset.body}, Resolution), preset


async def _known_cause(session: AsyncSession, cause: str | None) -> str | None:
    if cause is not None:
        await known_preset(session, "cause", cause, "cause")
    return cause


async def _must_have(
    session: AsyncSession, request: ServiceRequest, resolution: Resolution, told: dict[str, object]
) -> None:
    """Refuse a resolution that needs a fact nobody gave, or a record of the work that is not there."""
    seen = {name: await there(session, request.id) for name, there in EVIDENCE.items() if name in resolution.needs}
    lacking = [name for name, value in (told | seen).items() if name in resolution.needs and not value]
    if lacking:
        fields = {"other_case": "duplicate_of_id"} | dict.fromkeys(EVIDENCE, "resolution")
        raise Problem(
            INVALID,
            *(
                Finding(fields.get(name, name), f"这种结束方式需要此项:{name}", f"needed for this resolution: {name}")
                for name in lacking
            ),
        )


async def _other_case(session: AsyncSession, request: ServiceRequest, other_id: UUID | None) -> UUID | None:
    if other_id is None:
        return None
    other = await session.get(ServiceRequest, other_id)
    if other is None or other.id == request.id or other.unit_id != request.unit_id:
        raise no_such("duplicate_of_id")
    return other.id
