"""What people expect of a visit under way: when it will be over."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.bounds import must_be_ahead
from backend.core.audit import Actor, record
from backend.core.errors import Problem
from backend.core.events import tell
from backend.jobs.faults import NOT_UNDER_WAY, STATE_NAMES
from backend.jobs.models import ExpectedEnd, Visit
from backend.jobs.rules import VisitState
from backend.jobs.schemas import ExpectedEndEntry

OVERRUN_DAYS: Final = timedelta(days=3)
"""By how much longer than its length a visit may be expected to take still; further away, the month was mistyped."""
UNDER_WAY: Final = frozenset({VisitState.DEPARTED, VisitState.ARRIVED, VisitState.STARTED, VisitState.PAUSED})


async def expect_end(
    session: AsyncSession, *, now: datetime, actor: Actor, visit: Visit, entry: ExpectedEndEntry
) -> ExpectedEnd:
    """Note when a visit under way will be over; the rest of its technician's day is planned by it.

    Raises not_under_way, and invalid for a time that has passed or lies too far away.
    """
    within = timedelta(minutes=visit.duration_minutes) + OVERRUN_DAYS
    must_be_ahead(now, {"expected_ends_at": entry.expected_ends_at}, within=within)
    if visit.state not in UNDER_WAY:
        state_zh, state_en = STATE_NAMES[visit.state]
        raise Problem(NOT_UNDER_WAY, state=visit.state, state_zh=state_zh, state_en=state_en)
    expected = ExpectedEnd(
        visit_id=visit.id, expected_ends_at=entry.expected_ends_at, reported_at=now, reported_by_id=actor.person_id,
        note=entry.note,
    )  # fmt: skip
    session.add(expected)
    facts = {"expected_ends_at": entry.expected_ends_at.isoformat()}
    record(session, now=now, actor=actor, action="visit.end_expected", row=visit, after=facts)
    tell(session, now=now, name="visit.end_expected", row=visit, facts=facts)
    return expected
