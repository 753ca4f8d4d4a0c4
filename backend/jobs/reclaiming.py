"""Who was on the way first: a visit that a plan gave to somebody else goes back to whoever had already set off.

A plan is published while a phone is out of reach. If its owner set off before then, that is what happened, and the plan
gives way, unless the next one has set off too. Somebody who decided by hand is not overruled (docs/decisions/0213).
"""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor
from backend.core.events import Event, tell
from backend.jobs.assigning import assign_visit
from backend.jobs.history import History, visit_history
from backend.jobs.models import Assignment, Visit, WorkOrder
from backend.jobs.rules import UNBEGUN, EventKind
from backend.jobs.schemas import VisitEventReport
from backend.notifications.actions import enqueue
from backend.notifications.queries import message_text
from backend.notifications.rules import filled_in, first_way
from backend.people.models import Person

REPLANNED: Final = "replanned"
"""Why a plan, or a placement on the board, takes a visit from somebody."""
BY_PLANS: Final = frozenset({REPLANNED, "unplanned"})
UNDER_WAY: Final = "under_way"
"""Why it is taken back: the one before had set off."""
SETTING_OFF: Final = frozenset({EventKind.DEPART, EventKind.ARRIVE})


async def take_back_visit(
    session: AsyncSession, *, now: datetime, actor: Actor, report: VisitEventReport
) -> Assignment | None:
    """Give a visit back to who set off before a plan took it from them; return the assignment, None where nobody did.

    Call it before the report is recorded. Tells `visit.taken_back`, so that whoever had it then hears of it.
    """
    if report.kind not in SETTING_OFF:
        return None
    history = await visit_history(session, report.visit_id)
    lost = _lost_to_a_plan(history, report)
    if lost is None or not _may_be_taken_back(history):
        return None
    others = [str(one.person_id) for one in history.active if one.person_id]
    given = await assign_visit(
        session, now=now, actor=actor, visit=history.visit, person_id=report.person_id, shift_id=lost.shift_id,
        departs_at=lost.departs_at, arrives_at=lost.arrives_at, ends_at=lost.ends_at, plan_id=lost.plan_id,
        slack_seconds=lost.slack_seconds, reason=UNDER_WAY,
    )  # fmt: skip
    facts = {"person_id": str(report.person_id), "from_person_ids": others, "at": report.effective_at.isoformat()}
    tell(session, now=now, name="visit.taken_back", row=history.visit, facts=facts)
    return given


def _lost_to_a_plan(history: History, report: VisitEventReport) -> Assignment | None:
    """Return the assignment a plan took from the reporter after they had set off."""
    if any(one.person_id == report.person_id for one in history.active):
        return None
    lost = [one for one in history.assignments if one.person_id == report.person_id and one.withdrawn_at is not None]
    newest = lost[-1] if lost else None
    if newest is None or newest.withdrawn_at is None or newest.withdrawn_reason not in BY_PLANS:
        return None
    return newest if newest.leads and report.effective_at <= newest.withdrawn_at else None


def _may_be_taken_back(history: History) -> bool:
    """Whether nobody has begun, and it was a plan that gave it to whoever has it: pins and people's own words stand."""
    given_at = {one.withdrawn_at for one in history.assignments if one.withdrawn_reason in BY_PLANS}
    by_plans = all(one.plan_id is not None or one.assigned_at in given_at for one in history.active)
    return history.visit.state in UNBEGUN and by_plans and not any(one.pinned for one in history.active)


async def tell_who_lost_it(session: AsyncSession, happened: Event, now: datetime) -> None:
    """React to `visit.taken_back`: whoever the plan had given the visit to hears at once that nobody waits for them."""
    text = await message_text(session, "unassigned")
    visit = await session.get_one(Visit, happened.subject_id)
    order = await session.get_one(WorkOrder, visit.work_order_id)
    driver = await session.get_one(Person, UUID(happened.facts["person_id"]))
    for person_id in happened.facts["from_person_ids"]:
        person = await session.get_one(Person, UUID(person_id))
        way = text and first_way(text, {"app": str(person.id)})
        if text is None or way is None:
            continue
        reason = f"{driver.name}已先出发" if person.language == "zh" else f"{driver.name} having set off first"
        await enqueue(
            session, now=now, key=f"taken_back:{happened.id}:{person.id}", channel=way[0], address=way[1],
            language=person.language, text=filled_in(text, person.language, {"number": order.number, "reason": reason}),
            person_id=person.id,
        )  # fmt: skip
