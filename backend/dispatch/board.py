"""The dispatcher's board: every open order as one sentence about its arrival, by how much of the time is left."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.queries import readings
from backend.contracts.rules import ClockReading, moment_words, span_words
from backend.core.auth import Principal
from backend.dispatch.open_visits import MOVABLE, UNDER_WAY
from backend.dispatch.schemas import Board, Card, Colour
from backend.jobs.models import Assignment, Visit, WorkOrder
from backend.jobs.queries import orders_within
from backend.people.models import Person
from backend.sites.models import Site

OPEN_ORDERS: Final = ("open", "planned", "in_progress")
OPEN_VISITS: Final = (*MOVABLE, *UNDER_WAY)
CARDS_MAXIMUM: Final = 500
"""Cards on one board; a dispatcher with more sees the most urgent."""
SECONDS_A_MINUTE: Final = 60
MINUTES_BEFORE_LATE: Final = 4 * 60
"""An order without a clock of its own turns amber so long before its limit."""


async def board(session: AsyncSession, principal: Principal, now: datetime) -> Board:
    """Return the open orders the person dispatches, most urgent first, in three columns."""
    rows = await _open_orders(session, principal, now)
    clocks = await readings(session, [row.request_id for row in rows if row.request_id], now)
    arrivals = {subject: _arrive(found) for subject, found in clocks.items()}
    helpers = await _helpers(session, [row.visit_id for row in rows if row.visit_id])
    columns: dict[Colour, list[Card]] = {"late": [], "warn": [], "ok": []}
    for row in rows:
        card = _card(row, arrivals.get(row.request_id), helpers.get(row.visit_id, []), now)
        columns[card.colour].append(card)
    return Board(at=now, late=columns["late"], warn=columns["warn"], ok=columns["ok"])


async def _open_orders(session: AsyncSession, principal: Principal, now: datetime) -> list[Any]:
    planned = and_(Assignment.visit_id == Visit.id, Assignment.withdrawn_at.is_(None), Assignment.leads.is_(True))
    listed = (
        select(
            WorkOrder.id, WorkOrder.number, WorkOrder.priority, WorkOrder.kind, WorkOrder.title, WorkOrder.state,
            WorkOrder.due_at, WorkOrder.request_id, Site.name.label("site_name"), Site.address, Site.time_zone,
            Visit.id.label("visit_id"), Visit.state.label("visit_state"), Visit.arrived_at, Assignment.person_id,
            Assignment.arrives_at, Assignment.slack_seconds, Person.name.label("person_name"),
        )
        .join(Site, Site.id == WorkOrder.site_id)
        .join(Visit, and_(Visit.work_order_id == WorkOrder.id, Visit.state.in_(OPEN_VISITS)), isouter=True)
        .join(Assignment, planned, isouter=True)
        .join(Person, Person.id == Assignment.person_id, isouter=True)
        .where(WorkOrder.state.in_(OPEN_ORDERS), orders_within(principal, "dispatch", "read", now))
        .order_by(WorkOrder.due_at.is_(None), WorkOrder.due_at, WorkOrder.id)
        .limit(CARDS_MAXIMUM)
    )  # fmt: skip
    return list((await session.execute(listed)).all())


async def _helpers(session: AsyncSession, visit_ids: list[UUID]) -> dict[UUID, list[str]]:
    """Return the names of who joins each visit."""
    joining = (
        select(Assignment.visit_id, Person.name)
        .join(Person, Person.id == Assignment.person_id)
        .where(Assignment.visit_id.in_(visit_ids), Assignment.withdrawn_at.is_(None), Assignment.leads.is_(False))
        .order_by(Assignment.id)
    )
    found: dict[UUID, list[str]] = {}
    for row in await session.execute(joining):
        found.setdefault(row.visit_id, []).append(row.name)
    return found


def _arrive(found: list[ClockReading]) -> ClockReading | None:
    return next((reading for reading in found if reading.kind == "arrive"), None)


def _card(row: Any, arrive: ClockReading | None, helpers: list[str], now: datetime) -> Card:
    zh, en = (arrive.zh, arrive.en) if arrive else _without_clock(row, now)
    slack = None if row.slack_seconds is None else row.slack_seconds // SECONDS_A_MINUTE
    return Card(
        work_order_id=row.id, number=row.number, priority=row.priority, kind=row.kind, title=row.title,
        site_name=row.site_name, address=row.address, state=row.state, visit_id=row.visit_id,
        visit_state=row.visit_state, due_at=arrive.due_at if arrive else row.due_at,
        colour=_colour(row, arrive, now), sentence_zh=zh, sentence_en=en, person_id=row.person_id,
        person_name=row.person_name, helpers=helpers, arrives_at=row.arrives_at, slack_minutes=slack,
    )  # fmt: skip


COLOURS: Final[Mapping[str, Colour]] = {"late": "late", "breached": "late", "warn": "warn", "waiting": "warn"}


def _colour(row: Any, arrive: ClockReading | None, now: datetime) -> Colour:
    """Red when the limit is behind us or the plan misses it, amber when half the time is used."""
    if row.slack_seconds is not None and row.slack_seconds < 0 and row.arrived_at is None:
        return "late"
    if arrive is not None:
        return COLOURS.get(arrive.state, "ok")
    if row.due_at is None or row.arrived_at is not None:
        return "ok"
    minutes = (row.due_at - now).total_seconds() // SECONDS_A_MINUTE
    return "late" if minutes < 0 else "warn" if minutes < MINUTES_BEFORE_LATE else "ok"


def _without_clock(row: Any, now: datetime) -> tuple[str, str]:
    if row.due_at is None:
        return "没有到场期限", "No limit to arrive"
    at_zh, at_en = moment_words(row.due_at, row.time_zone, now)
    left_zh, left_en = span_words(abs(row.due_at - now))
    if row.due_at < now:
        return f"已超时 {left_zh}（截至 {at_zh}）", f"{left_en} late (due {at_en})"
    return f"还剩 {left_zh}（截至 {at_zh}）", f"{left_en} left (due {at_en})"
