"""Who owns a Case, with no gap, and who is asked to help."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor, record
from backend.core.errors import INVALID, Finding, Problem
from backend.core.events import tell
from backend.core.presets import Preset
from backend.people.queries import no_such
from backend.requests.faults import CHAIN_EXHAUSTED, NO_OFFER, must_be_open
from backend.requests.models import Escalation, RequestOwner, ServiceRequest
from backend.requests.queries import holder_of, known_preset, may_own_cases, offer_to, owner_of, roles_of
from backend.requests.rules import Chain, next_steps
from backend.requests.schemas import EscalationEntry, Handover

CHAINS: Final = "escalation_chain"


def note_owner(session: AsyncSession, request: ServiceRequest, person_id: UUID | None, now: datetime) -> None:
    """Let whoever took a Case first own it (A016); a Case taken by nobody waits for its triage."""
    if person_id is not None:
        session.add(RequestOwner(request_id=request.id, person_id=person_id, started_at=now, accepted_at=now))


async def hand_over(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    request: ServiceRequest,
    offer: Handover,
    units: frozenset[UUID],
) -> None:
    """Offer a Case to somebody; the owner stays the owner until they accept, so there is no gap (A015).

    Taking a Case oneself is accepting at once. A new offer replaces one still waiting. `units` are those whose people
    the actor may offer it to. Raises case_not_open, and invalid for others but those above the Case's
    unit, and for who has left or works on no Cases.
    """
    must_be_open(request)
    if not await may_own_cases(session, offer.person_id, request, units, now):
        finding = Finding(
            "person_id",
            "此人不在您的部门、不处理服务请求或已离职",
            "is not of your units, works on no Cases, or has left",
        )
        raise Problem(INVALID, finding)
    owner = await owner_of(session, request.id)
    if owner is not None and owner.person_id == offer.person_id:
        return
    waiting = await offer_to(session, request.id)
    if waiting is not None:
        waiting.ended_at = now
    session.add(RequestOwner(request_id=request.id, person_id=offer.person_id, started_at=now))
    await session.flush()
    facts = {"to": str(offer.person_id), "from": owner and str(owner.person_id)}
    record(
        session, now=now, actor=actor, action="service_request.offered", row=request, after=facts, reason=offer.reason
    )
    tell(session, now=now, name="service_request.offered", row=request, facts=facts)
    if actor.person_id == offer.person_id:
        await accept_case(session, now=now, actor=actor, request=request, person_id=offer.person_id)


async def accept_case(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, person_id: UUID
) -> None:
    """Accept a Case that was offered: the next owner begins where the last one ends. Raises no_offer."""
    offer = await offer_to(session, request.id, person_id)
    if offer is None:
        raise Problem(NO_OFFER)
    owner = await owner_of(session, request.id)
    if owner is not None:
        owner.ended_at = now
        await session.flush()
    offer.started_at = offer.accepted_at = now
    before: dict[str, Any] = {"owner_id": owner and str(owner.person_id)}
    after = {"owner_id": str(person_id)}
    record(session, now=now, actor=actor, action="service_request.accepted", row=request, before=before, after=after)
    tell(session, now=now, name="service_request.owner_changed", row=request, facts=after)


async def decline_case(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, person_id: UUID
) -> None:
    """Decline a Case that was offered; nothing changes for its owner. Raises no_offer."""
    offer = await offer_to(session, request.id, person_id)
    if offer is None:
        raise Problem(NO_OFFER)
    offer.ended_at = now
    record(session, now=now, actor=actor, action="service_request.declined", row=request)


async def escalate_request(
    session: AsyncSession, *, now: datetime, actor: Actor, request: ServiceRequest, entry: EscalationEntry
) -> list[Escalation]:
    """Ask the next role of a chain for help; the owner stays the owner (A016, A188).

    Serious Cases go to everybody of their chain at once (A189). Without a person named, whoever holds the role nearest
    to the Case's unit is asked; with nobody there the step is still recorded. Raises case_not_open, invalid and
    chain_exhausted.
    """
    must_be_open(request)
    preset = await _chain(session, entry.chain)
    chain = msgspec.convert(preset.body, Chain)
    owner = await owner_of(session, request.id)
    roles = await roles_of(session, owner.person_id, now) if owner else frozenset[str]()
    steps = next_steps(chain, owner_roles=roles, raised=await _raised(session, request.id, preset.key))
    if not steps:
        raise Problem(CHAIN_EXHAUSTED, chain=preset.key)
    asked = {chain.steps[step]: None for step in steps}
    named = await _role_of(session, entry.person_id, asked, now) if entry.person_id else None
    raised = [
        Escalation(
            request_id=request.id,
            chain_id=preset.id,
            step=step,
            role_key=role,
            reason=entry.reason,
            raised_at=now,
            person_id=entry.person_id
            if role == named
            else await holder_of(session, role, request.unit_id, now, besides=owner and owner.person_id),
        )
        for step, role in zip(steps, asked, strict=True)
    ]
    session.add_all(raised)
    await session.flush()
    facts = {"chain": preset.key, "roles": [one.role_key for one in raised], "steps": steps}
    record(
        session, now=now, actor=actor, action="service_request.escalated", row=request, after=facts, reason=entry.reason
    )
    tell(session, now=now, name="service_request.escalated", row=request, facts=facts)
    return raised


async def _role_of(session: AsyncSession, person_id: UUID, asked: Iterable[str], now: datetime) -> str:
    """The role in which a person named is asked; raises invalid for somebody who holds none of those asked."""
    held = await roles_of(session, person_id, now)
    role = next((role for role in asked if role in held), None)
    if role is None:
        raise no_such("person_id")
    return role


async def _chain(session: AsyncSession, key: str | None) -> Preset:
    if key is not None:
        return await known_preset(session, CHAINS, key, "chain")
    active = select(Preset).where(Preset.kind == CHAINS, Preset.active).order_by(Preset.version)
    newest = {row.key: row for row in (await session.execute(active)).scalars()}
    default = next((key for key, row in newest.items() if row.body["default"]), "")
    return await known_preset(session, CHAINS, default, "chain")


async def _raised(session: AsyncSession, request_id: UUID, chain: str) -> list[int]:
    asked = (
        select(Escalation.step)
        .join(Preset, Preset.id == Escalation.chain_id)
        .where(Escalation.request_id == request_id, Preset.key == chain)
    )
    return list((await session.execute(asked)).scalars())
