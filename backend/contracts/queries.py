"""Reads of clocks, prices and contracts."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, Row, Select, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.models import WorkingCalendar
from backend.calendars.queries import newest_calendar, service_hours
from backend.calendars.rules import ServiceHours, day_in
from backend.contracts.models import (
    ClockPause,
    ClockPolicy,
    CommitmentClock,
    ContractSite,
    PriceList,
    Promise,
    ServiceContract,
    Warranty,
)
from backend.contracts.rules import (
    CauseRule,
    ClockFacts,
    ClockReading,
    ClockRules,
    FeeDecision,
    FeeVerdict,
    Pause,
    Promised,
    clock_reading,
    fee_verdict,
    read_policy,
)
from backend.contracts.schemas import PauseView, PriceListView, PromiseView, ServiceContractView, SubjectClocks
from backend.core.auth import Principal
from backend.core.errors import Fault, Problem
from backend.core.paging import Page, PageRequest, fetch_page
from backend.core.presets import Preset
from backend.customers.models import Customer
from backend.people.models import Person, Unit
from backend.sites.models import Asset

DEFAULT_POLICY: Final = "std"
"""The policy of whoever has no contract that says otherwise (presets/clock_policies.toml)."""
KIND_ORDER: Final = ("respond", "answer", "arrive", "solve")

NO_POLICY = Fault(
    "no_clock_policy", 409, "没有名为 {key} 的时限政策。", "There is no clock policy called {key}.",
    "请先载入预设数据,或改用已有的政策。", "Load the presets first, or name a policy that exists.",
)  # fmt: skip


# --- what applies -----------------------------------------------------------------------------------------------------


def on_the_day(from_on: Any, until_on: Any, on: date) -> ColumnElement[bool]:
    """The condition that a row with dates holds on a day, its last day included."""
    return and_(from_on <= on, or_(until_on.is_(None), until_on >= on))


async def contract_of_site(session: AsyncSession, site_id: UUID, on: date) -> ServiceContract | None:
    """The contract that covers a site on a day, the latest begun where several do; None outside any contract (A014)."""
    covering = (
        select(ServiceContract)
        .join(ContractSite, ContractSite.contract_id == ServiceContract.id)
        .where(ContractSite.site_id == site_id)
        .where(on_the_day(ContractSite.valid_from_on, ContractSite.valid_until_on, on))
        .where(on_the_day(ServiceContract.starts_on, ServiceContract.ends_on, on))
        .order_by(ServiceContract.starts_on.desc(), ServiceContract.id.desc())
    )
    return (await session.execute(covering.limit(1))).scalar_one_or_none()


async def newest_policy(session: AsyncSession, key: str = DEFAULT_POLICY) -> ClockPolicy:
    """The newest version of a policy; raises no_clock_policy."""
    versions = select(ClockPolicy).where(ClockPolicy.key == key).order_by(ClockPolicy.version.desc())
    policy = (await session.execute(versions.limit(1))).scalar_one_or_none()
    if policy is None:
        raise Problem(NO_POLICY, key=key)
    return policy


async def policy_of(session: AsyncSession, contract: ServiceContract | None) -> ClockPolicy:
    """The policy a contract pins, or the default one; raises no_clock_policy."""
    if contract is None:
        return await newest_policy(session)
    return await session.get_one(ClockPolicy, contract.clock_policy_id)


async def calendar_of(session: AsyncSession, policy: ClockPolicy) -> WorkingCalendar | None:
    """The newest version of the calendar whose service hours a policy counts."""
    return await newest_calendar(session, read_policy(policy.rules).calendar)


# --- clocks -----------------------------------------------------------------------------------------------------------


async def clock_of(
    session: AsyncSession, subject_id: UUID, kind: str, *, locked: bool = False
) -> CommitmentClock | None:
    """One clock of a record; None where the policy has none of that kind."""
    wanted = select(CommitmentClock).where(CommitmentClock.subject_id == subject_id, CommitmentClock.kind == kind)
    return (await session.execute(wanted.with_for_update() if locked else wanted)).scalar_one_or_none()


def overdue(now: datetime) -> ColumnElement[bool]:
    """The condition that a clock is late: running, past its limit and not standing still."""
    paused = exists().where(ClockPause.clock_id == CommitmentClock.id, ClockPause.ended_at.is_(None))
    return and_(running(), CommitmentClock.due_at < now, ~paused)


def running() -> ColumnElement[bool]:
    """The condition that a clock has neither stopped nor been made void."""
    return and_(CommitmentClock.stopped_at.is_(None), CommitmentClock.void_reason.is_(None))


class NextLimit(msgspec.Struct, frozen=True):
    """The limit of a record that ends first, of those still running."""

    kind: str
    due_at: datetime
    late: bool


async def next_limits(session: AsyncSession, subject_ids: Sequence[UUID], now: datetime) -> dict[UUID, NextLimit]:
    """The limit that ends first of each of many records, in one query; records without one are left out."""
    table = CommitmentClock.__table__
    listed = (
        select(table.c.subject_id, table.c.kind, table.c.due_at, overdue(now).label("late"))
        .where(table.c.subject_id.in_(subject_ids), running(), table.c.due_at.is_not(None))
        .order_by(table.c.due_at.desc())
    )
    rows = (await session.execute(listed)).all()
    return {row.subject_id: NextLimit(row.kind, row.due_at, bool(row.late)) for row in rows}


async def clocks_of(session: AsyncSession, subject_id: UUID, now: datetime) -> SubjectClocks:
    """The clocks of one record at a moment, with every promise and pause."""
    found = await _clock_rows(session, [subject_id])
    promises, pauses = await _behind(session, found)
    kinds = {clock.id: clock.kind for clock in found}
    return SubjectClocks(
        clocks=await _read(session, found, promises, pauses, now),
        promises=[
            PromiseView(
                id=one.id, kind=kinds[one.clock_id], promised_at=one.promised_at, moved_by=one.moved_by,
                channel=one.channel, reason=one.reason, person_id=one.person_id, made_at=one.made_at,
            )
            for one in promises
        ],
        pauses=[
            PauseView(kind=kinds[one.clock_id], started_at=one.started_at, ended_at=one.ended_at, reason=one.reason)
            for one in pauses
        ],
    )  # fmt: skip


async def readings(session: AsyncSession, subject_ids: Sequence[UUID], now: datetime) -> dict[UUID, list[ClockReading]]:
    """The clocks of many records at a moment, by record; at most five queries however many there are."""
    found = await _clock_rows(session, subject_ids)
    promises, pauses = await _behind(session, found)
    read = await _read(session, found, promises, pauses, now)
    by_subject: defaultdict[UUID, list[ClockReading]] = defaultdict(list)
    for clock, reading in zip(found, read, strict=True):
        by_subject[clock.subject_id].append(reading)
    return by_subject


async def _clock_rows(session: AsyncSession, subject_ids: Sequence[UUID]) -> list[Row[Any]]:
    if not subject_ids:
        return []
    table = CommitmentClock.__table__
    rows = (await session.execute(select(*table.c).where(table.c.subject_id.in_(subject_ids)))).all()
    order = {kind: place for place, kind in enumerate(KIND_ORDER)}
    return sorted(rows, key=lambda row: (order.get(row.kind, len(order)), row.kind))


async def _behind(session: AsyncSession, clocks: Sequence[Row[Any]]) -> tuple[Sequence[Row[Any]], Sequence[Row[Any]]]:
    """The promises and pauses of clocks, oldest first."""
    if not clocks:
        return [], []
    ids = [clock.id for clock in clocks]
    promise, pause = Promise.__table__, ClockPause.__table__
    promises = select(*promise.c).where(promise.c.clock_id.in_(ids)).order_by(promise.c.made_at, promise.c.id)
    pauses = select(*pause.c).where(pause.c.clock_id.in_(ids)).order_by(pause.c.started_at, pause.c.id)
    return (await session.execute(promises)).all(), (await session.execute(pauses)).all()


async def _read(
    session: AsyncSession,
    clocks: Sequence[Row[Any]],
    promises: Sequence[Row[Any]],
    pauses: Sequence[Row[Any]],
    now: datetime,
) -> list[ClockReading]:
    policies = await _policies(session, {clock.clock_policy_id for clock in clocks})
    hours = await _service_hours(session, {(clock.calendar_id, clock.zone) for clock in clocks if clock.calendar_id})
    return [
        clock_reading(
            _facts(clock, policies[clock.clock_policy_id], hours.get((clock.calendar_id, clock.zone))),
            [Pause(one.started_at, one.ended_at) for one in pauses if one.clock_id == clock.id],
            [Promised(one.promised_at, one.moved_by, one.made_at) for one in promises if one.clock_id == clock.id],
            now,
        )
        for clock in clocks
    ]


def _facts(clock: Any, rules: ClockRules, service: ServiceHours | None) -> ClockFacts:
    rule = next((limit.rule for limit in rules.clock if limit.kind == clock.kind), None)
    return ClockFacts(
        kind=clock.kind, started_at=clock.started_at, zone=clock.zone, policy_due_at=clock.policy_due_at,
        priority_due_at=clock.priority_due_at, stopped_at=clock.stopped_at, void=clock.void_reason is not None,
        hours=clock.hours, service=service, rule=rule, warn_percent=rules.warn_percent,
    )  # fmt: skip


async def _policies(session: AsyncSession, ids: Iterable[UUID]) -> dict[UUID, ClockRules]:
    rows = await session.execute(select(ClockPolicy.id, ClockPolicy.rules).where(ClockPolicy.id.in_(list(ids))))
    return {row.id: read_policy(row.rules) for row in rows.all()}


async def _service_hours(
    session: AsyncSession, wanted: set[tuple[UUID, str]]
) -> dict[tuple[UUID | None, str], ServiceHours]:
    return {
        (calendar_id, zone): await service_hours(session, await session.get_one(WorkingCalendar, calendar_id), zone)
        for calendar_id, zone in wanted
    }


# --- who pays ---------------------------------------------------------------------------------------------------------


async def fee_verdict_of(session: AsyncSession, *, cause: str, asset_id: UUID | None, on: date) -> FeeVerdict | None:
    """Who pays for a cause on a day, by the asset's longest warranty; None for a cause nobody knows."""
    causes = await _presets(session, "cause", CauseRule)
    if cause not in causes:
        return None
    until = await warranty_until(session, asset_id) if asset_id else None
    return fee_verdict(causes[cause], await _presets(session, "fee_decision", FeeDecision), warranty_until=until, on=on)


async def warranty_until(session: AsyncSession, asset_id: UUID) -> date | None:
    """The last day of an asset's warranty: the maker's, ours, or the one on its record, whichever is longest."""
    recorded = (await session.execute(select(Asset.warranty_until).where(Asset.id == asset_id))).scalar_one_or_none()
    given = select(func.max(Warranty.ends_on)).where(Warranty.asset_id == asset_id)
    return max((day for day in (recorded, (await session.execute(given)).scalar()) if day), default=None)


async def _presets(session: AsyncSession, kind: str, struct: type[Any]) -> dict[str, Any]:
    """The newest active version of every entry of a preset set, as its rules want them."""
    versions = select(Preset).where(Preset.kind == kind, Preset.active).order_by(Preset.version)
    return {
        row.key: struct(**{
            name: value
            for name, value in ({"key": row.key, "zh": row.name_zh, "en": row.name_en} | row.body).items()
            if name in struct.__struct_fields__
        })
        for row in (await session.execute(versions)).scalars()
    }  # fmt: skip


# --- prices and contracts ---------------------------------------------------------------------------------------------


async def today_of(session: AsyncSession, person_id: UUID, now: datetime) -> date:
    """The date on the clocks of a person's unit."""
    zone = select(Unit.time_zone).join(Person, Person.unit_id == Unit.id).where(Person.id == person_id)
    return day_in((await session.execute(zone)).scalar_one(), now)


async def price_lists(session: AsyncSession, on: date) -> list[PriceListView]:
    """The newest version of each price list that is valid on a day."""
    valid = select(*PriceList.__table__.c).where(on_the_day(PriceList.valid_from_on, PriceList.valid_until_on, on))
    newest = {row["key"]: row for row in (await session.execute(valid.order_by(PriceList.version))).mappings()}
    return [PriceListView(**newest[key]) for key in sorted(newest)]


async def price_list(session: AsyncSession, price_list_id: UUID) -> PriceListView:
    """One version of a price list, also an old one; raises not_found."""
    wanted = select(*PriceList.__table__.c).where(PriceList.id == price_list_id)
    return PriceListView(**(await session.execute(wanted)).mappings().one())


def _contracts_within(principal: Principal, level: str) -> Select[ServiceContract]:
    units = principal.units("quote", level)
    return (
        select(ServiceContract)
        .join(Customer, Customer.id == ServiceContract.customer_id)
        .where(Customer.unit_id.in_(units))
    )


async def contract_page(
    session: AsyncSession, principal: Principal, page: PageRequest, *, customer_id: UUID | None, site_id: UUID | None
) -> Page[ServiceContractView]:
    """A page of the contracts of the units whose quotes the principal may read."""
    listed = _contracts_within(principal, "read")
    if customer_id is not None:
        listed = listed.where(ServiceContract.customer_id == customer_id)
    if site_id is not None:
        named = select(ContractSite.contract_id).where(ContractSite.site_id == site_id)
        listed = listed.where(ServiceContract.id.in_(named))
    found = await fetch_page(session, listed, ServiceContract.id, page, lambda row: row)
    sites = await _sites_of(session, [row.id for row in found.items])
    return Page(items=[_contract_view(row, sites[row.id]) for row in found.items], next=found.next)


async def contract(session: AsyncSession, principal: Principal, contract_id: UUID) -> ServiceContractView:
    """One contract; raises not_found for one of another unit."""
    wanted = _contracts_within(principal, "read").where(ServiceContract.id == contract_id)
    return await contract_view(session, (await session.execute(wanted)).scalar_one())


async def contract_view(session: AsyncSession, row: ServiceContract) -> ServiceContractView:
    """A contract with its sites."""
    return _contract_view(row, (await _sites_of(session, [row.id]))[row.id])


async def _sites_of(session: AsyncSession, contract_ids: Sequence[UUID]) -> defaultdict[UUID, list[UUID]]:
    named = select(ContractSite.contract_id, ContractSite.site_id).where(ContractSite.contract_id.in_(contract_ids))
    sites: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for row in (await session.execute(named.order_by(ContractSite.id))).all():
        sites[row.contract_id].append(row.site_id)
    return sites


def _contract_view(row: ServiceContract, site_ids: list[UUID]) -> ServiceContractView:
    return ServiceContractView(
        id=row.id, customer_id=row.customer_id, number=row.number, clock_policy_id=row.clock_policy_id,
        starts_on=row.starts_on, maintenance_ends_on=row.maintenance_ends_on, ends_on=row.ends_on,
        coverage=row.coverage, site_ids=site_ids,
    )  # fmt: skip
