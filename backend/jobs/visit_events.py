"""Taking in what people report of a visit: from an event to states, clocks, the order and the next visit."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.bounds import must_be_agreeable
from backend.contracts import actions as contracts
from backend.core.audit import Actor, record
from backend.core.errors import INVALID, NOT_FOUND, Finding, Problem
from backend.core.events import tell
from backend.core.ids import new_id
from backend.forms.models import ChecklistAnswer, CompletionForm
from backend.jobs.cases import begin_case, note_contact, pause_for_answer
from backend.jobs.faults import CONTINUED, CORRECTION_ORDER, CORRECTION_TARGET, VISIT_STATE, VISIT_TAKEN
from backend.jobs.history import History, happening, refuse, store_order_state, store_replay, visit_history, visits_of
from backend.jobs.models import Assignment, Visit, VisitEvent
from backend.jobs.presets import must_answer, reasons_off_site, visit_reason
from backend.jobs.queries import visit_ever_held
from backend.jobs.rules import (
    DONE,
    UNBEGUN,
    EventKind,
    OrderState,
    Replay,
    Verdict,
    VisitState,
    attended,
    counted,
    counted_arrival,
    judge,
)
from backend.jobs.schemas import VisitEventReport
from backend.people.models import Person
from backend.sites.datum import Place, to_wgs84

REASON_KINDS: Final = frozenset({EventKind.PAUSE, EventKind.FINISH, EventKind.CANNOT_COMPLETE})
"""Events whose reason is one of the presets; on a correction it is free text."""

PAUSES: Final = "pauses"
"""What a reason on the customer's side does to the clock to solve (presets §5)."""
FROM_DEVICE: Final = "device"
"""Where the position of an event comes from."""
LAT_MAXIMUM: Final = 90
LON_MAXIMUM: Final = 180


async def record_visit_event(
    session: AsyncSession, *, now: datetime, actor: Actor, report: VisitEventReport
) -> VisitEvent | None:
    """Take in one event of one person on one visit; return it, or None when it was already true for that person.

    A fact about a visit that was cancelled or given to somebody else is kept as a late report and moves no state.
    Raises not_found (never theirs), visit_state and visit_taken (an illegal command, naming the state and who moved
    it), correction_target, correction_order, continued, and invalid (a reason unknown or not answered for).
    """
    history = await visit_history(session, report.visit_id)
    if not await visit_ever_held(session, report.person_id, report.visit_id):
        raise Problem(NOT_FOUND)
    position = await _position_of(session, report)
    event = _event_of(history, report, position, now=now, actor=actor)
    verdict = judge(history.standing, history.happenings, happening(event))
    if verdict is Verdict.NOOP:
        return None
    await _refuse_unless(session, verdict, history, event)
    await _check_reason(session, report)
    if verdict is Verdict.LATE:
        return await _keep_late_report(session, now=now, actor=actor, history=history, event=event)
    await _Intake(session, now, actor, history).apply(event)
    return event


async def _position_of(session: AsyncSession, report: VisitEventReport) -> dict[str, Any]:
    """Where the person was, in WGS-84; nothing of somebody who has not consented (model 17), nor what is no place."""
    if (
        report.lat is None
        or report.lon is None
        or not (abs(report.lat) <= LAT_MAXIMUM and abs(report.lon) <= LON_MAXIMUM)
    ):
        return {}
    if (await session.get_one(Person, report.person_id)).location_consent_at is None:
        return {}
    place = to_wgs84(Place(report.lat, report.lon), report.datum)
    return {"lat": place.lat, "lon": place.lon, "datum": report.datum, "position_source": FROM_DEVICE}


def _event_of(
    history: History, report: VisitEventReport, position: dict[str, Any], *, now: datetime, actor: Actor
) -> VisitEvent:
    amending = report.kind is EventKind.AMEND
    return VisitEvent(
        id=report.id or new_id(), work_order_id=history.order.id, visit_id=history.visit.id,
        person_id=report.person_id, device_id=actor.device_id, mutation_id=actor.mutation_id,
        sequence=len(history.events) + 1, kind=report.kind.value,
        claimed_at=report.claimed_at, device_at=report.device_at, server_at=now,
        # An amendment says what the right time was; a person answers for it, so it is always flagged.
        effective_at=min(report.claimed_at, now) if amending else report.effective_at,
        time_flagged=amending or report.time_flagged, late=False,
        reason=report.reason, note=report.note, next_step=report.next_step, next_at=report.next_at,
        amends_id=report.amends_id, **position,
    )  # fmt: skip


async def _refuse_unless(session: AsyncSession, verdict: Verdict, history: History, event: VisitEvent) -> None:
    match verdict:
        case Verdict.TAKEN:
            await refuse(session, VISIT_TAKEN, history, history.visit.state)
        case Verdict.ILLEGAL:
            mine = counted(history.happenings, history.standing, event.person_id)
            await refuse(session, VISIT_STATE, history, attended(mine).state)
        case Verdict.NO_TARGET:
            raise Problem(CORRECTION_TARGET)
        case Verdict.OUT_OF_ORDER:
            raise Problem(CORRECTION_ORDER)
        case _:
            pass


async def _check_reason(session: AsyncSession, report: VisitEventReport) -> None:
    if report.kind in {EventKind.CANNOT_COMPLETE, EventKind.AMEND, EventKind.REVERT} and report.reason is None:
        raise Problem(INVALID, Finding("reason", "必须说明原因", "a reason is needed"))
    must_be_agreeable(report.effective_at, {"next_at": report.next_at})
    if report.kind in REASON_KINDS and report.reason is not None:
        reason = await visit_reason(session, report.reason)
        if report.kind is not EventKind.PAUSE:
            must_answer(reason, note=report.note, next_step=report.next_step, next_at=report.next_at)


async def _keep_late_report(
    session: AsyncSession, *, now: datetime, actor: Actor, history: History, event: VisitEvent
) -> VisitEvent:
    """Keep a fact that came too late to move the visit. Who arrived while it was still theirs did arrive, though."""
    event.late = True
    session.add(event)
    facts = {"visit_event_id": str(event.id), "kind": event.kind, "person_id": str(event.person_id)}
    record(session, now=now, actor=actor, action="visit.late_report", row=history.visit, after=facts)
    tell(session, now=now, name="visit.late_report", row=history.visit, facts=facts)
    lost_at = max(filter(None, (_lost_at(one, event.person_id) for one in history.assignments)), default=None)
    was_theirs = lost_at is not None and event.effective_at <= lost_at
    if event.kind == EventKind.ARRIVE and was_theirs and history.order.request_id:
        await _stop_arrive(session, history.order.request_id, history.visit, event.effective_at)
    return event


def _lost_at(assignment: Assignment, person_id: UUID) -> datetime | None:
    """When this person stopped leading the visit."""
    return assignment.withdrawn_at if assignment.leads and assignment.person_id == person_id else None


async def _stop_arrive(session: AsyncSession, request_id: UUID, visit: Visit, at: datetime) -> None:
    await contracts.stop_clock(session, subject_id=request_id, kind="arrive", at=at, by=_stopper(visit))


def _stopper(visit: Visit) -> str:
    return f"visit:{visit.id}"


@dataclass
class _Intake:
    """One legal event on its way into every row that follows from it."""

    session: AsyncSession
    now: datetime
    actor: Actor
    history: History

    async def apply(self, event: VisitEvent) -> None:
        before = self.history.replay()
        self.session.add(event)
        self.history.events.append(event)
        replayed = self.history.replay()
        store_replay(self.session, self.history, replayed)
        self._audit(event, before, replayed)
        await self._move_clock(before, replayed)
        await self._note_contact(event, before, replayed)
        await self._pause_solving(event, before, replayed)
        await self._tell_steps(event, before, replayed)
        await self._follow_the_end(event, before, replayed)
        await self._follow_the_order()

    def _audit(self, event: VisitEvent, before: Replay, after: Replay) -> None:
        record(
            self.session, now=self.now, actor=self.actor, action=f"visit.{event.kind}", row=self.history.visit,
            before={"state": before.state}, reason=event.reason,
            after={"state": after.state, "visit_event_id": str(event.id), "person_id": str(event.person_id)},
        )  # fmt: skip

    async def _move_clock(self, before: Replay, after: Replay) -> None:
        """Let the Case's arrive clock follow the lead's counted arrival: stopped, corrected, or running again."""
        request_id = self.history.order.request_id
        if request_id is None or before.lead == after.lead:
            return
        off_site = await reasons_off_site(self.session)
        was, now_counts = counted_arrival(before.lead, off_site), counted_arrival(after.lead, off_site)
        if was == now_counts:
            return
        if was is not None:
            await contracts.restart_clock(
                self.session, subject_id=request_id, kind="arrive", by=_stopper(self.history.visit)
            )
        if now_counts is not None:
            await _stop_arrive(self.session, request_id, self.history.visit, now_counts)

    async def _note_contact(self, event: VisitEvent, before: Replay, after: Replay) -> None:
        """The call before the visit, or from the road, is a word with the customer too (A029)."""
        called = after.attendances[event.person_id].contacted_at
        had_called = before.attendances.get(event.person_id)
        if called is not None and (had_called is None or had_called.contacted_at is None):
            await note_contact(
                self.session, now=self.now, actor=self.actor, order=self.history.order, at=called, channel="phone"
            )

    async def _pause_solving(self, event: VisitEvent, before: Replay, after: Replay) -> None:
        """Let the clock to solve stand still for a reason of the customer's, until the next agreed time or arrival."""
        request_id = self.history.order.request_id
        if request_id is None:
            return
        lead, was = after.lead, before.lead
        if lead.arrived_at is not None and was.arrived_at is None:
            await contracts.resume_clock(self.session, subject_id=request_id, at=lead.arrived_at)
        if lead.finished_at is not None and was.finished_at is None and lead.reason is not None:
            if (await visit_reason(self.session, lead.reason)).solve_clock == PAUSES:
                await contracts.pause_clock(
                    self.session, subject_id=request_id, at=lead.finished_at, reason=lead.reason
                )
                if event.next_at is not None:
                    await contracts.resume_clock(self.session, subject_id=request_id, at=event.next_at)
            await self.session.flush()
            await pause_for_answer(self.session, order=self.history.order)
        elif lead.finished_at is None and was.finished_at is not None:
            await contracts.resume_clock(self.session, subject_id=request_id, at=was.finished_at)

    async def _tell_steps(self, event: VisitEvent, before: Replay, after: Replay) -> None:
        visit, facts = self.history.visit, self._facts(event)
        if after.lead.arrived_at is not None and before.lead.arrived_at is None:
            tell(self.session, now=self.now, name="visit.arrived", row=visit, facts=facts)
        if after.state is VisitState.FINISHED and before.state is not VisitState.FINISHED:
            reason = await visit_reason(self.session, visit.reason) if visit.reason else None
            told = facts | {"outcome": visit.outcome, "reason": visit.reason, "side": reason and reason.side}
            tell(self.session, now=self.now, name="visit.finished", row=visit, facts=told)

    def _facts(self, event: VisitEvent) -> dict[str, Any]:
        request_id = self.history.order.request_id
        return {
            "work_order_id": str(self.history.order.id), "request_id": request_id and str(request_id),
            "visit_event_id": str(event.id), "person_id": str(event.person_id),
            "effective_at": event.effective_at.isoformat(), "next_at": event.next_at and event.next_at.isoformat(),
        }  # fmt: skip

    async def _follow_the_end(self, event: VisitEvent, before: Replay, after: Replay) -> None:
        """Make the visit that continues this one, or take it back with the end it follows from."""
        ended, had_ended = after.state is VisitState.FINISHED, before.state is VisitState.FINISHED
        if ended and not had_ended and after.lead.outcome != DONE:
            await self._continue(event)
        elif had_ended and not ended:
            await self._take_back_continuation()

    async def _continue(self, event: VisitEvent) -> None:
        order, visit = self.history.order, self.history.visit
        visits = await visits_of(self.session, order.id)
        following = Visit(
            work_order_id=order.id, sequence=visits[-1].sequence + 1, continues_id=visit.id,
            duration_minutes=visit.duration_minutes, state=VisitState.UNPLANNED.value,
        )  # fmt: skip
        self.session.add(following)
        if event.next_at is not None:
            order.earliest_at = event.next_at
        await self._inherit_drafts(following)
        record(
            self.session, now=self.now, actor=self.actor, action="visit.continued", row=following,
            after={"continues_id": str(visit.id), "earliest_at": event.next_at},
        )  # fmt: skip

    async def _inherit_drafts(self, following: Visit) -> None:
        """Give the next visit the answers of checklists that were begun and never filed (model 1)."""
        visit = self.history.visit
        filed = select(CompletionForm.template_version_id).where(
            CompletionForm.entity == "visit", CompletionForm.subject_id == visit.id, CompletionForm.voided_at.is_(None)
        )
        drafts = select(ChecklistAnswer).where(
            ChecklistAnswer.entity == "visit",
            ChecklistAnswer.subject_id == visit.id,
            ChecklistAnswer.template_version_id.not_in(filed),
        )
        for draft in (await self.session.execute(drafts)).scalars().all():
            self.session.add(
                ChecklistAnswer(
                    bucket=draft.bucket, entity="visit", subject_id=following.id, item=draft.item,
                    template_version_id=draft.template_version_id, asset_id=draft.asset_id, author_id=draft.author_id,
                    value=draft.value, answered_at=draft.answered_at,
                )
            )  # fmt: skip

    async def _take_back_continuation(self) -> None:
        visits = await visits_of(self.session, self.history.order.id)
        following = [
            one for one in visits if one.continues_id == self.history.visit.id and one.state != VisitState.CANCELLED
        ]
        for visit in following:
            if visit.state not in UNBEGUN:
                raise Problem(CONTINUED)
            await cancel_one_visit(self.session, now=self.now, actor=self.actor, visit_id=visit.id, reason="reverted")

    async def _follow_the_order(self) -> None:
        await follow_visits(self.session, now=self.now, actor=self.actor, history=self.history)


async def follow_visits(session: AsyncSession, *, now: datetime, actor: Actor, history: History) -> None:
    """Let the order's state follow its visits, and tell others when it is completed or open again."""
    order = history.order
    before, after = await store_order_state(session, order)
    if before == after:
        return
    record(
        session, now=now, actor=actor, action=f"work_order.{after}", row=order,
        before={"state": before}, after={"state": after},
    )  # fmt: skip
    facts = {
        "request_id": order.request_id and str(order.request_id), "kind": order.kind,
        "completed_at": order.completed_at and order.completed_at.isoformat(), "visit_id": str(history.visit.id),
    }  # fmt: skip
    if after in {OrderState.IN_PROGRESS, OrderState.COMPLETED}:
        await begin_case(session, now=now, actor=actor, order=order)
    if after == OrderState.COMPLETED:
        tell(session, now=now, name="work_order.completed", row=order, facts=facts)
    elif before == OrderState.COMPLETED:
        tell(session, now=now, name="work_order.reopened", row=order, facts=facts)


async def cancel_one_visit(session: AsyncSession, *, now: datetime, actor: Actor, visit_id: UUID, reason: str) -> None:
    """Cancel a visit and withdraw everybody from it; the caller lets the order follow."""
    history = await visit_history(session, visit_id)
    before = history.visit.state
    history.visit.cancelled_at, history.visit.cancelled_reason = now, reason
    for assignment in history.active:
        assignment.withdrawn_at, assignment.withdrawn_reason = now, reason
    store_replay(session, history, history.replay())
    record(
        session, now=now, actor=actor, action="visit.cancelled", row=history.visit,
        before={"state": before}, after={"state": history.visit.state}, reason=reason,
    )  # fmt: skip
    tell(
        session, now=now, name="visit.cancelled", row=history.visit,
        facts={"work_order_id": str(history.order.id), "reason": reason},
    )  # fmt: skip
