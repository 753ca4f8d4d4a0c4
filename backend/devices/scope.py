"""What a phone may hold: one pure rule over a person's assignments, and one query.

The jobs a person is assigned to from days ahead until days after they ended, with their sites, requests, customers and
the contacts to ask for there; the person's own rows; the shared catalogue.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from backend.core.changes import bucket
from backend.jobs.models import Assignment, Visit, WorkOrder
from backend.people.models import CrewMember
from backend.sites.models import Site, SiteContact
from sync.feed import Head, Scope

AHEAD: Final = timedelta(days=7)
"""A job reaches the phone this long before its planned arrival."""
BEHIND: Final = timedelta(days=3)
"""A job stays on the phone this long after its visit ended."""
CATALOGUE: Final = "catalogue"


@dataclass(frozen=True)
class Held:
    """One assignment of a person, with what its job brings along."""

    work_order_id: UUID
    site_id: UUID
    customer_id: UUID
    request_id: UUID | None
    contact_id: UUID | None
    arrives_at: datetime | None
    ended_at: datetime | None
    """When the visit was finished or cancelled; None while it is open."""


def in_window(held: Held, now: datetime) -> bool:
    """Whether the assignment's job belongs on the phone now."""
    if held.ended_at is not None:
        return now < held.ended_at + BEHIND
    return held.arrives_at is None or now >= held.arrives_at - AHEAD


def next_turn(held: Held, now: datetime) -> datetime | None:
    """When time alone will bring the job to the phone or take it away; None: never."""
    if held.ended_at is not None:
        return held.ended_at + BEHIND if in_window(held, now) else None
    return held.arrives_at - AHEAD if held.arrives_at is not None and not in_window(held, now) else None


def buckets_of(person: str, assignments: Iterable[Held], now: datetime) -> tuple[set[str], datetime | None]:
    """Return the names of the buckets the person may hold now, and when time alone will change the set."""
    names = {f"user:{person}", CATALOGUE}
    turns: list[datetime] = []
    for held in assignments:
        turn = next_turn(held, now)
        turns += [turn] if turn else []
        if in_window(held, now):
            names |= {f"job:{held.work_order_id}", f"site:{held.site_id}", f"customer:{held.customer_id}"}
            names |= {f"request:{held.request_id}"} if held.request_id else set()
            names |= {f"contact:{held.contact_id}"} if held.contact_id else set()
    return names, min(turns, default=None)


def scope_of(session: Session, person: str, now: datetime) -> Scope:
    """Return what the person may hold, with each bucket's head, as this session's snapshot sees it."""
    rows = session.execute(_assignments(UUID(person), now)).all()
    names, valid_until = buckets_of(person, (Held(*row) for row in rows), now)
    return Scope(_heads(session, sorted(names)), valid_until)


def _assignments(person: UUID, now: datetime) -> Select[Any]:
    crews = select(CrewMember.crew_id).where(
        CrewMember.person_id == person,
        CrewMember.valid_from <= now,
        or_(CrewMember.valid_until.is_(None), CrewMember.valid_until > now),
    )
    open_or_recent = or_(
        and_(Visit.finished_at.is_(None), Visit.cancelled_at.is_(None)),
        Visit.finished_at > now - BEHIND,
        Visit.cancelled_at > now - BEHIND,
    )
    return (
        select(
            WorkOrder.id, WorkOrder.site_id, Site.customer_id, WorkOrder.request_id, SiteContact.contact_id,
            Assignment.arrives_at, func.coalesce(Visit.finished_at, Visit.cancelled_at),
        )
        .join(Visit, Visit.id == Assignment.visit_id)
        .join(WorkOrder, WorkOrder.id == Assignment.work_order_id)
        .join(Site, Site.id == WorkOrder.site_id)
        .join(SiteContact, SiteContact.site_id == WorkOrder.site_id, isouter=True)
        .where(or_(Assignment.person_id == person, Assignment.crew_id.in_(crews)), Assignment.withdrawn_at.is_(None))
        .where(open_or_recent)
    )  # fmt: skip


def _heads(session: Session, names: Sequence[str]) -> dict[str, Head]:
    """A bucket nobody wrote to has no row; its head is zero."""
    found = session.execute(select(bucket).where(bucket.c.name.in_(names)))
    heads = {row.name: Head(row.head_v, row.live_count, row.checksum) for row in found}
    return {name: heads.get(name, Head()) for name in names}
