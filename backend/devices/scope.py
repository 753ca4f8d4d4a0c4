"""What a phone may hold: one pure rule over a person's assignments, and one query.

The jobs a person is assigned to from days ahead until days after they ended, with their sites, requests, customers and
the contacts to ask for there; the person's own rows; the shared catalogue.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Label,
    Row,
    Select,
    String,
    Subquery,
    Uuid,
    bindparam,
    func,
    literal,
    null,
    or_,
    select,
    true,
    type_coerce,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from backend.core.changes import bucket
from backend.core.db import UtcDateTime
from backend.jobs.models import Assignment, Visit, WorkOrder
from backend.jobs.rules import VisitState
from backend.people.models import CrewMember, Person
from backend.sites.models import Site, SiteContact
from sync.feed import Head, Scope

AHEAD: Final = timedelta(days=7)
"""A job reaches the phone this long before its planned arrival, or as soon as somebody has begun it."""
BEHIND: Final = timedelta(days=3)
"""A job stays on the phone this long after its visit ended."""
CATALOGUE: Final = "catalogue"
WAITING: Final = (VisitState.UNPLANNED, VisitState.PLANNED, VisitState.CANCELLED)
"""States of a visit nobody has begun."""


@dataclass(frozen=True)
class Held:
    """One assignment of a person, or of a crew they are in for a time, with what its job brings along."""

    work_order_id: UUID
    site_id: UUID
    customer_id: UUID
    request_id: UUID | None
    contact_id: UUID | None
    arrives_at: datetime | None
    begun: bool
    """Whether somebody has contacted the customer, set out, or done more."""
    ended_at: datetime | None
    """When the visit was finished or cancelled; None while it is open."""
    joined_at: datetime | None = None
    left_at: datetime | None = None
    """The person's time in the crew it is assigned to; None where it is the person's own."""

    @property
    def opens_at(self) -> datetime | None:
        """When the job comes to the phone; None: it always was there."""
        ahead = None if self.begun or self.arrives_at is None else self.arrives_at - AHEAD
        return max((at for at in (ahead, self.joined_at) if at is not None), default=None)

    @property
    def closes_at(self) -> datetime | None:
        """When the job leaves the phone; None: not before something else happens."""
        behind = None if self.ended_at is None else self.ended_at + BEHIND
        return min((at for at in (behind, self.left_at) if at is not None), default=None)

    def in_window(self, now: datetime) -> bool:
        """Whether the job belongs on the phone now."""
        opened = self.opens_at is None or self.opens_at <= now
        return opened and (self.closes_at is None or now < self.closes_at)

    def next_turn(self, now: datetime) -> datetime | None:
        """When time alone will bring the job to the phone or take it away; None: never."""
        turn = self.closes_at if self.in_window(now) else self.opens_at
        return turn if turn is not None and turn > now else None


def buckets_of(person: str, assignments: Iterable[Held], now: datetime) -> tuple[set[str], datetime | None]:
    """Return the names of the buckets the person may hold now, and when time alone will change the set."""
    names = {f"user:{person}", CATALOGUE}
    turns: list[datetime] = []
    for held in assignments:
        turn = held.next_turn(now)
        turns += [turn] if turn else []
        if held.in_window(now):
            names |= {f"job:{held.work_order_id}", f"site:{held.site_id}", f"customer:{held.customer_id}"}
            names |= {f"request:{held.request_id}"} if held.request_id else set()
            names |= {f"contact:{held.contact_id}"} if held.contact_id else set()
    return names, min(turns, default=None)


def scope_of(session: Session, person: str, now: datetime) -> Scope:
    """Return what the person may hold, with each bucket's head, as the snapshot sees it. One query.

    A bucket nobody wrote to has no row; its head is zero.
    """
    rows = session.execute(HELD_WITH_HEADS, {"person": UUID(person), "now": now, "ended_after": now - BEHIND}).all()
    held = {_assignment(row) for row in rows if row.work_order_id is not None}
    names, valid_until = buckets_of(person, held, now)
    heads = {row.name: _head(row) for row in rows if row.name is not None}
    return Scope({name: heads.get(name, Head()) for name in sorted(names)}, valid_until)


def held_by(session: Session, person: str, now: datetime) -> set[Held]:
    """Return the person's assignments that may matter now, as the snapshot sees them. One query."""
    rows = session.execute(HELD_WITH_HEADS, {"person": UUID(person), "now": now, "ended_after": now - BEHIND}).all()
    return {_assignment(row) for row in rows if row.work_order_id is not None}


def _assignment(row: Row[Any]) -> Held:
    return Held(
        row.work_order_id, row.site_id, row.customer_id, row.request_id, row.contact_id, row.arrives_at, row.begun,
        row.ended_at, row.joined_at, row.left_at,
    )  # fmt: skip


def _head(row: Row[Any]) -> Head:
    return Head(row.head_v, row.live_count, row.checksum)


class _UuidText(FunctionElement[str]):
    """A UUID column as text with hyphens, as names of buckets have it."""

    type = String()
    inherit_cache = True


@compiles(_UuidText)
def _cast(element: _UuidText, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS TEXT)"


@compiles(_UuidText, "sqlite")
def _with_hyphens(element: _UuidText, compiler: SQLCompiler, **options: Any) -> str:
    """SQLite keeps a UUID as 32 hexadecimal digits."""
    digits = compiler.process(element.clauses, **options)
    parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    return " || '-' || ".join(f"substr({digits}, {start}, {length})" for start, length in parts)


def bucket_name(kind: str, subject: Any) -> ColumnElement[str]:
    """Return the name of a subject's bucket, as SQL."""
    return literal(f"{kind}:") + _UuidText(subject)


def _held() -> Subquery:
    """Every assignment of `:person`, or of a crew they are in for a time, that may matter at `:now`.

    Two branches, because each has an index to begin with; one condition over both would read every assignment.
    """
    own = _assigned(_NEVER, _NEVER).where(Assignment.person_id == _PERSON)
    member = CrewMember.crew_id == Assignment.crew_id
    not_over = or_(CrewMember.valid_until.is_(None), CrewMember.valid_until > _NOW)
    crews = _assigned(_at(CrewMember.valid_from), _at(CrewMember.valid_until)).join(CrewMember, member)
    return union_all(own, crews.where(CrewMember.person_id == _PERSON, not_over)).subquery("held")


def _assigned(joined_at: ColumnElement[Any], left_at: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    ended_at = func.coalesce(Visit.finished_at, Visit.cancelled_at)
    return (
        select(
            WorkOrder.id.label("work_order_id"), WorkOrder.site_id, _id(Site.customer_id), _id(WorkOrder.request_id),
            _id(SiteContact.contact_id), Assignment.arrives_at, Visit.state.not_in(WAITING).label("begun"),
            ended_at.label("ended_at"), joined_at.label("joined_at"), left_at.label("left_at"),
        )
        .select_from(Assignment)
        .join(Visit, Visit.id == Assignment.visit_id)
        .join(WorkOrder, WorkOrder.id == Assignment.work_order_id)
        .join(Site, Site.id == WorkOrder.site_id)
        .join(SiteContact, SiteContact.site_id == WorkOrder.site_id, isouter=True)
        .where(Assignment.withdrawn_at.is_(None))
        .where(or_(ended_at.is_(None), ended_at > _ENDED_AFTER))
    )  # fmt: skip


def _at(instant: Any) -> ColumnElement[Any]:
    """Say that a column is an instant, without casting it: SQLite would make a number of it."""
    return type_coerce(instant, UtcDateTime())


def _id(reference: InstrumentedAttribute[Any]) -> Label[UUID]:
    """Say that a reference is an id: it has its target's type only once that table is known, which may be later."""
    return type_coerce(reference, Uuid()).label(reference.key)


def _held_with_heads() -> Select[Any]:
    """Each assignment that may matter, once for each of its buckets that exists; one row at least."""
    held = _held()
    named = [
        bucket_name("user", Person.id), literal(CATALOGUE), bucket_name("job", held.c.work_order_id),
        bucket_name("site", held.c.site_id), bucket_name("customer", held.c.customer_id),
        bucket_name("request", held.c.request_id), bucket_name("contact", held.c.contact_id),
    ]  # fmt: skip
    return (
        select(*held.c, bucket)
        .select_from(Person)
        .outerjoin(held, true())
        .outerjoin(bucket, bucket.c.name.in_(named))
        .where(Person.id == _PERSON)
    )


_PERSON: Final = bindparam("person", type_=Uuid())
_NOW: Final = bindparam("now", type_=UtcDateTime())
_NEVER: Final = _at(null())
_ENDED_AFTER: Final = bindparam("ended_after", type_=UtcDateTime())
HELD_WITH_HEADS: Final = _held_with_heads()
"""Built once: it is asked at every pull."""
