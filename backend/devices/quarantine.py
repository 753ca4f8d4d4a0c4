"""What was set aside, as the dispatchers of its author's unit read it."""

import base64
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Select, and_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from backend.core.auth import Principal
from backend.core.errors import NOT_FOUND, Problem
from backend.core.paging import Page, PageRequest, fetch_rows
from backend.devices.models import LedgerEntry, QuarantinedMutation
from backend.devices.schemas import OutcomeView, QuarantineDetail, QuarantineView, WhoView
from backend.people.models import Device, Person
from sync.protocol import Result

ACCEPTED: Final = "accepted"
DISMISSED: Final = "dismissed"
State = Literal["waiting", "settled", "all"]

_Settler = aliased(Person)


def items_within(principal: Principal) -> ColumnElement[bool]:
    """The condition on QuarantinedMutation: those of people in units the principal dispatches for."""
    people = select(Person.id).where(Person.unit_id.in_(principal.units("dispatch", "write")))
    return QuarantinedMutation.person_id.in_(people)


async def quarantine_page(
    session: AsyncSession, principal: Principal, page: PageRequest, *, state: State, person_id: UUID | None
) -> Page[QuarantineView]:
    """Return a page of what was set aside, newest first, without payloads."""
    listed = _listed().where(items_within(principal))
    if state != "all":
        waits = QuarantinedMutation.settled_at.is_(None)
        listed = listed.where(waits if state == "waiting" else ~waits)
    if person_id is not None:
        listed = listed.where(QuarantinedMutation.person_id == person_id)
    return await fetch_rows(session, listed, QuarantinedMutation.id, page, _view)


async def item_within(session: AsyncSession, principal: Principal, item_id: UUID) -> RowMapping:
    """Return what is stored of one mutation that was set aside; raises not_found."""
    wanted = _listed().where(QuarantinedMutation.id == item_id, items_within(principal))
    row = (await session.execute(wanted)).mappings().one_or_none()
    if row is None:
        raise Problem(NOT_FOUND)
    return row


async def quarantine_detail(session: AsyncSession, row: RowMapping) -> QuarantineDetail:
    """Return what was set aside with everything the phone sent."""
    asked = select(LedgerEntry.payload).where(_of_item(row["device_id"], row["incarnation"], row["n"]))
    payload = (await session.execute(asked)).scalar_one()
    return QuarantineDetail(item=_view(row), payload=_readable(payload), outcome=_outcome(row["result"]))


def _readable(payload: bytes) -> Any:
    """Return JSON as it is, and whatever else a broken phone kept as text, or as base64 where it is none."""
    try:
        return msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return base64.b64encode(payload).decode()


def _outcome(stored: bytes | None) -> OutcomeView | None:
    if stored is None:
        return None
    result = msgspec.json.decode(stored, type=Result)
    return OutcomeView(result.status.value, result.code, result.text, result.conflicts)


def _of_item(device_id: Any, incarnation: Any, n: Any) -> ColumnElement[bool]:
    return and_(LedgerEntry.device_id == device_id, LedgerEntry.incarnation == incarnation, LedgerEntry.n == n)


def _listed() -> Select[Any]:
    item = QuarantinedMutation
    return (
        select(
            *item.__table__.columns, Person.name.label("person_name"), Device.name.label("device_name"),
            _Settler.name.label("settler_name"), LedgerEntry.result.label("answered"),
        )
        .join(LedgerEntry, _of_item(item.device_id, item.incarnation, item.n))
        .join(Person, Person.id == item.person_id)
        .join(Device, Device.id == item.device_id)
        .outerjoin(_Settler, _Settler.id == item.settled_by_id)
    )  # fmt: skip


def _view(row: RowMapping) -> QuarantineView:
    settled = WhoView(row["settled_by_id"], row["settler_name"], row["settled_at"]) if row["settled_at"] else None
    return QuarantineView(
        id=row["id"], person_id=row["person_id"], person_name=row["person_name"], device_id=row["device_id"],
        device_name=row["device_name"], name=row["name"], code=row["code"],
        why=msgspec.json.decode(row["answered"], type=Result).text, received_at=row["received_at"],
        settlement=row["settlement"], settled=settled, reason=row["reason"],
    )  # fmt: skip
