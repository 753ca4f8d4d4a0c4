"""What may happen on a visit, and what follows. Pure: all that the rows say of its progress is a replay of its events.

Each person has a path of their own through the steps of a visit (model 2); the visit's state follows the lead's. Some
events are commands ("I set off"), which are refused when they are illegal, and some are facts ("I arrived"), which have
happened whether or not somebody took the visit away meanwhile: those become late reports (sync.md, conflict rules).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID


class EventKind(StrEnum):
    """What a person may report of their part in a visit."""

    CONTACTED = "contacted"
    DEPART = "depart"
    ARRIVE = "arrive"
    START = "start"
    """Also the end of a pause."""
    PAUSE = "pause"
    FINISH = "finish"
    CANNOT_COMPLETE = "cannot_complete"
    AMEND = "amend"
    """The time of an earlier event was wrong."""
    REVERT = "revert"
    """An earlier event, or a correction of one, did not happen."""


class VisitState(StrEnum):
    """Where a visit stands. A person's attendance has the same states, but `assigned` for the first two of them."""

    UNPLANNED = "unplanned"
    PLANNED = "planned"
    ASSIGNED = "assigned"
    CONTACTED = "contacted"
    DEPARTED = "departed"
    ARRIVED = "arrived"
    STARTED = "started"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class OrderState(StrEnum):
    """Where a work order stands; follows its visits."""

    OPEN = "open"
    PLANNED = "planned"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


FACTS: Final = frozenset({EventKind.ARRIVE, EventKind.FINISH})
"""Events that are kept as late reports when the visit is no longer the reporter's; all others are commands."""
CORRECTIONS: Final = frozenset({EventKind.AMEND, EventKind.REVERT})
UNBEGUN: Final = frozenset({VisitState.UNPLANNED, VisitState.PLANNED, VisitState.CONTACTED})
"""Nobody is on the way yet."""
CLOSED: Final = frozenset({VisitState.FINISHED, VisitState.CANCELLED})

DONE: Final = "done"
TO_BE_CONTINUED: Final = "to_be_continued"
"""The outcomes of a visit; why it is to be continued is its reason."""

_BEFORE_WORK: Final = (VisitState.ASSIGNED, VisitState.CONTACTED, VisitState.DEPARTED)
_ON_SITE: Final = (VisitState.ARRIVED, VisitState.STARTED, VisitState.PAUSED)
TRANSITIONS: Final[Mapping[tuple[VisitState, EventKind], VisitState]] = {
    (VisitState.ASSIGNED, EventKind.CONTACTED): VisitState.CONTACTED,
    (VisitState.DEPARTED, EventKind.CONTACTED): VisitState.DEPARTED,  # the call from the road (A074)
    (VisitState.ASSIGNED, EventKind.DEPART): VisitState.DEPARTED,
    (VisitState.CONTACTED, EventKind.DEPART): VisitState.DEPARTED,
    **{(state, EventKind.ARRIVE): VisitState.ARRIVED for state in _BEFORE_WORK},
    (VisitState.ARRIVED, EventKind.START): VisitState.STARTED,
    (VisitState.PAUSED, EventKind.START): VisitState.STARTED,
    (VisitState.STARTED, EventKind.PAUSE): VisitState.PAUSED,
    **{(state, EventKind.FINISH): VisitState.FINISHED for state in _ON_SITE},
    **{(state, EventKind.CANNOT_COMPLETE): VisitState.FINISHED for state in (*_BEFORE_WORK, *_ON_SITE)},
}
"""The machine of one person on one visit. Every status history is a path of it (invariant 14)."""


@dataclass(frozen=True)
class Happening:
    """One recorded event, as far as a replay asks. `sequence` is the order the server accepted the visit's events."""

    id: UUID
    sequence: int
    person_id: UUID
    kind: EventKind
    effective_at: datetime
    reason: str | None = None
    amends_id: UUID | None = None
    late: bool = False


@dataclass(frozen=True)
class Attended:
    """One person's part in a visit: the replay of their events."""

    state: VisitState = VisitState.ASSIGNED
    contacted_at: datetime | None = None
    departed_at: datetime | None = None
    arrived_at: datetime | None = None
    started_at: datetime | None = None
    paused_at: datetime | None = None
    """Since when work stands still; None while nobody pauses."""
    finished_at: datetime | None = None
    outcome: str | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Standing:
    """Who holds a visit. `counted_from` gives each person ever assigned the sequence after which their events count.

    Somebody who lost a visit and gets it again begins anew; what they did the first time stays on record.
    """

    lead_id: UUID | None = None
    holders: frozenset[UUID] = frozenset()
    held_by_crew: bool = False
    cancelled: bool = False
    counted_from: Mapping[UUID, int] = field(default_factory=dict[UUID, int])


@dataclass(frozen=True)
class Replay:
    """A visit as its events say it is."""

    state: VisitState
    lead: Attended
    attendances: Mapping[UUID, Attended]


class Verdict(StrEnum):
    """What becomes of a reported event."""

    APPLY = "apply"
    NOOP = "noop"
    """Already true for that person."""
    LATE = "late"
    """A fact about a visit that is no longer this person's: kept, moves nothing."""
    ILLEGAL = "illegal"
    TAKEN = "taken"
    """A command on a visit that is no longer this person's."""
    NO_TARGET = "no_target"
    """A correction of an event that is not this person's, does not count or may not be corrected."""
    OUT_OF_ORDER = "out_of_order"
    """A correction after which the rest would no longer be a path, or times would run backwards."""


class IllegalEvent(Exception):
    """The event leads nowhere from this state."""


def judge(standing: Standing, past: Sequence[Happening], new: Happening) -> Verdict:
    """Decide what becomes of `new`, given everything recorded on the visit so far."""
    mine = counted(past, standing, new.person_id)
    holds = new.person_id in standing.holders and not standing.cancelled
    if any(event.id == new.id for event in past) or _already_true(mine, new):
        return Verdict.NOOP
    if not holds:
        return _judge_late(standing, past, new)
    if new.kind in CORRECTIONS:
        return _judge_correction(mine, new)
    return Verdict.APPLY if (attended(mine).state, new.kind) in TRANSITIONS else Verdict.ILLEGAL


def counted(events: Iterable[Happening], standing: Standing, person_id: UUID) -> list[Happening]:
    """Return a person's events that count on this visit, in order: not late, and since they were last given it."""
    begins = standing.counted_from.get(person_id, 0)
    mine = (event for event in events if event.person_id == person_id and not event.late and event.sequence > begins)
    return sorted(mine, key=lambda event: event.sequence)


def attended(events: Sequence[Happening]) -> Attended:
    """Replay one person's counted events; raises IllegalEvent when they are no path of the machine."""
    times = _corrected_times(events)
    state = Attended()
    for event in _standing_events(events):
        state = after(state, replace(event, effective_at=times.get(event.id, event.effective_at)))
    return state


def after(attended: Attended, event: Happening) -> Attended:
    """Return the attendance after one more event; raises IllegalEvent."""
    state = TRANSITIONS.get((attended.state, event.kind))
    if state is None:
        raise IllegalEvent(attended.state, event.kind)
    moved = replace(attended, state=state, paused_at=None, reason=None)
    at = event.effective_at
    match event.kind:
        case EventKind.CONTACTED:
            return replace(moved, contacted_at=moved.contacted_at or at)
        case EventKind.DEPART:
            return replace(moved, departed_at=at)
        case EventKind.ARRIVE:
            return replace(moved, arrived_at=at)
        case EventKind.START:
            return replace(moved, started_at=moved.started_at or at)
        case EventKind.PAUSE:
            return replace(moved, paused_at=at, reason=event.reason)
        case _:
            return replace(moved, finished_at=at, outcome=outcome_of(event.kind, event.reason), reason=event.reason)


def outcome_of(kind: EventKind, reason: str | None) -> str:
    """Return how a visit ended: done, or for a reason to be continued."""
    return DONE if kind is EventKind.FINISH and reason is None else TO_BE_CONTINUED


def replay(events: Sequence[Happening], standing: Standing) -> Replay:
    """Return the visit's state and everybody's attendance; the stored rows are always equal to this."""
    people = {event.person_id for event in events if not event.late}
    attendances = {person: attended(counted(events, standing, person)) for person in sorted(people)}
    lead = attendances.get(standing.lead_id, Attended()) if standing.lead_id else Attended()
    return Replay(state=_visit_state(standing, lead), lead=lead, attendances=attendances)


def counted_arrival(lead: Attended, reasons_off_site: Collection[str]) -> datetime | None:
    """Return when the lead arrived where they should; one ended by a reason such as a wrong address does not count."""
    return None if lead.state is VisitState.FINISHED and lead.reason in reasons_off_site else lead.arrived_at


@dataclass(frozen=True)
class VisitSummary:
    """What an order's state asks of a visit."""

    sequence: int
    state: VisitState
    outcome: str | None = None


def order_state(visits: Iterable[VisitSummary], *, cancelled: bool) -> OrderState:
    """Return a work order's state. It is completed when no visit is open and the last one ended `done`."""
    if cancelled:
        return OrderState.CANCELLED
    live = sorted((visit for visit in visits if visit.state is not VisitState.CANCELLED), key=lambda one: one.sequence)
    states = {visit.state for visit in live}
    if live and states == {VisitState.FINISHED} and live[-1].outcome == DONE:
        return OrderState.COMPLETED
    if states - UNBEGUN:
        return OrderState.IN_PROGRESS
    return OrderState.PLANNED if states - {VisitState.UNPLANNED} else OrderState.OPEN


def missing_needs(
    needs: Iterable[str], *, note: str | None, next_step: str | None, next_at: datetime | None
) -> list[str]:
    """Return which of a reason's needs the report itself should answer and does not (presets §5).

    Needs that are records of their own (a photo, a part request, a signature) are asked for where those are made.
    """
    given = {"note": note, "next_step": next_step, "new_time": next_at, "promise": next_at}
    return [need for need in needs if need in given and not given[need]]


def _judge_correction(mine: Sequence[Happening], new: Happening) -> Verdict:
    target = next((event for event in mine if event.id == new.amends_id), None)
    if target is None or target.kind is EventKind.REVERT or target.id in _reverted(mine):
        return Verdict.NO_TARGET
    if new.kind is EventKind.AMEND and target.kind is EventKind.AMEND:
        return Verdict.NO_TARGET
    if new.kind is EventKind.AMEND:
        return Verdict.APPLY if _between_neighbours(mine, new) else Verdict.OUT_OF_ORDER
    try:
        attended([*mine, new])
    except IllegalEvent:
        return Verdict.OUT_OF_ORDER
    return Verdict.APPLY


def _judge_late(standing: Standing, past: Sequence[Happening], new: Happening) -> Verdict:
    if new.kind not in FACTS:
        return Verdict.TAKEN
    begins = standing.counted_from.get(new.person_id, 0)
    known = {(event.person_id, event.kind) for event in past if event.late and event.sequence > begins}
    return Verdict.NOOP if (new.person_id, new.kind) in known else Verdict.LATE


def _already_true(mine: Sequence[Happening], new: Happening) -> bool:
    if new.kind in CORRECTIONS:
        return _already_corrected(mine, new)
    now = attended(mine)
    happened = {
        EventKind.CONTACTED: now.contacted_at is not None,
        EventKind.DEPART: now.departed_at is not None,
        EventKind.ARRIVE: now.arrived_at is not None,
        EventKind.START: now.state is VisitState.STARTED,
        EventKind.PAUSE: now.state is VisitState.PAUSED,
    }
    ended_so = (now.outcome, now.reason) == (outcome_of(new.kind, new.reason), new.reason)
    return happened.get(new.kind, ended_so)


def _already_corrected(mine: Sequence[Happening], new: Happening) -> bool:
    if new.kind is EventKind.REVERT:
        return new.amends_id in _reverted(mine)
    return new.amends_id is not None and _corrected_times(mine).get(new.amends_id) == new.effective_at


def _reverted(events: Iterable[Happening]) -> set[UUID | None]:
    return {event.amends_id for event in events if event.kind is EventKind.REVERT}


def _standing_events(events: Sequence[Happening]) -> list[Happening]:
    """The events that move the machine and were not taken back."""
    reverted = _reverted(events)
    return [event for event in events if event.kind not in CORRECTIONS and event.id not in reverted]


def _corrected_times(events: Sequence[Happening]) -> dict[UUID, datetime]:
    reverted = _reverted(events)
    return {
        event.amends_id: event.effective_at
        for event in events
        if event.kind is EventKind.AMEND and event.amends_id is not None and event.id not in reverted
    }


def _between_neighbours(mine: Sequence[Happening], new: Happening) -> bool:
    times = _corrected_times(mine)
    steps = _standing_events(mine)
    place = next(index for index, event in enumerate(steps) if event.id == new.amends_id)
    before, behind = steps[:place][-1:], steps[place + 1 :][:1]
    return all(times.get(event.id, event.effective_at) <= new.effective_at for event in before) and all(
        new.effective_at <= times.get(event.id, event.effective_at) for event in behind
    )


def _visit_state(standing: Standing, lead: Attended) -> VisitState:
    if standing.cancelled:
        return VisitState.CANCELLED
    if not standing.holders:
        return VisitState.PLANNED if standing.held_by_crew else VisitState.UNPLANNED
    return VisitState.PLANNED if lead.state is VisitState.ASSIGNED else lead.state
