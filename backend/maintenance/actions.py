"""Raising what periodic care is due as work orders, and keeping the ledger of done and missed (A130, A138)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.rules import day_in, end_of_day
from backend.core.audit import SYSTEM, Actor, record
from backend.core.errors import Fault, Problem
from backend.core.events import Event, tell
from backend.core.presets import Preset
from backend.forms.models import ChecklistTemplateVersion, CompletionForm
from backend.forms.shown import read_shown
from backend.jobs.actions import open_work_order
from backend.jobs.models import Visit, WorkOrder
from backend.jobs.reactions import completed_order
from backend.jobs.rules import OrderState
from backend.jobs.schemas import TEXT_MAXIMUM, TITLE_MAXIMUM, NewWorkOrder
from backend.maintenance.models import MaintenanceDue, MaintenancePlan
from backend.maintenance.queries import maintained_until
from backend.maintenance.rules import CarePlan, DueState, Period, covers, due_periods, settled
from backend.sites.models import Asset, Site

ONE_DAY: Final = timedelta(days=1)

ALREADY_DONE = Fault(
    "already_done", 409, "此项已完成,不能免除。", "This was done already, so there is nothing to waive.",
    "请核对台账。", "Look at the ledger again.",
)  # fmt: skip


async def raise_due(session: AsyncSession, *, now: datetime, until: date) -> int:
    """Raise every period that begins by `until` and was not raised: items of the ledger and one work order per period.

    Return how many items were added. Safe to repeat, and to run in several processes: each plan is locked meanwhile.
    """
    return sum([await raise_plan(session, plan_id, now=now, until=until) for plan_id in await active_plans(session)])


async def active_plans(session: AsyncSession) -> Sequence[UUID]:
    """The ids of the plans that raise work."""
    active = select(MaintenancePlan.id).where(MaintenancePlan.active.is_(True)).order_by(MaintenancePlan.id)
    return (await session.execute(active)).scalars().all()


async def raise_plan(session: AsyncSession, plan_id: UUID, *, now: datetime, until: date) -> int:
    """Raise one plan's periods that begin by `until`; return how many items were added to the ledger."""
    plan = await session.get_one(MaintenancePlan, plan_id, with_for_update=True, populate_existing=True)
    site = await session.get_one(Site, plan.site_id)
    latest = select(func.max(MaintenanceDue.period_from_on)).where(MaintenanceDue.plan_id == plan.id)
    found = due_periods(
        _care_plan(plan, await maintained_until(session, site.id)),
        raised_until=(await session.execute(latest)).scalar(),
        today=day_in(site.time_zone, now),
        until=until,
    )
    assets = await _assets_due(session, plan) if found and plan.asset_types else [None]
    raising = _Raising(session, now, plan, site)
    for period in found:
        await raising.raise_period(period, assets)
    return len(found) * len(assets)


async def settle_due(session: AsyncSession, happened: Event, now: datetime) -> None:
    """React to `work_order.completed` and `completion_form.filed`: with both, its items are done, or done too late.

    Only a sheet of the plan's template counts (A131), and per asset only one that names the asset (A137, A142).
    """
    order = await completed_order(session, happened)
    if order is None or order.completed_at is None:
        return
    open_items = select(MaintenanceDue).where(
        MaintenanceDue.work_order_id == order.id, MaintenanceDue.state.in_((DueState.DUE, DueState.MISSED))
    )
    items = (await session.execute(open_items.with_for_update())).scalars().all()
    if not items:
        return
    plan = await session.get_one(MaintenancePlan, items[0].plan_id)
    site = await session.get_one(Site, plan.site_id)
    seen = await _assets_on_sheets(session, order, plan)
    for due in items:
        if covers(seen, due.asset_id):
            state = settled(due.period_until_on, day_in(site.time_zone, order.completed_at))
            _move(session, due, state, now=now, actor=SYSTEM, settled_at=order.completed_at)


async def reopen_due(session: AsyncSession, happened: Event, now: datetime) -> None:
    """React to `work_order.reopened`: what was settled by it is due again, or missed where its period is over."""
    settled_items = select(MaintenanceDue).where(
        MaintenanceDue.work_order_id == happened.subject_id, MaintenanceDue.settled_at.is_not(None)
    )
    order = await session.get_one(WorkOrder, happened.subject_id)
    if order.state == OrderState.COMPLETED:  # completed again before this reaction ran
        return
    for due in (await session.execute(settled_items.with_for_update())).scalars().all():
        _move(session, due, DueState.DUE, now=now, actor=SYSTEM)


async def mark_missed(session: AsyncSession, *, now: datetime) -> int:
    """Mark what is still due although its period is over on the site's clocks; return how many (A138)."""
    overdue = (
        select(MaintenanceDue, Site.time_zone)
        .join(MaintenancePlan, MaintenancePlan.id == MaintenanceDue.plan_id)
        .join(Site, Site.id == MaintenancePlan.site_id)
        .where(MaintenanceDue.state == DueState.DUE, MaintenanceDue.period_until_on <= now.date())
        .with_for_update(of=MaintenanceDue)
    )
    rows = (await session.execute(overdue)).all()
    missed = [due for due, zone in rows if due.period_until_on < day_in(zone, now)]
    for due in missed:
        _move(session, due, DueState.MISSED, now=now, actor=SYSTEM)
        tell(session, now=now, name="maintenance_due.missed", row=due, facts={"plan_id": str(due.plan_id)})
    return len(missed)


async def waive_due(session: AsyncSession, *, now: datetime, actor: Actor, due: MaintenanceDue, reason: str) -> None:
    """Say that an item is not owed and why; raises already_done. Its work order stays as it is."""
    if due.state == DueState.DONE:
        raise Problem(ALREADY_DONE)
    due.waived_reason = reason
    _move(session, due, DueState.WAIVED, now=now, actor=actor, reason=reason, settled_at=due.settled_at)


@dataclass
class _Raising:
    """The periods of one plan on their way into the ledger."""

    session: AsyncSession
    now: datetime
    plan: MaintenancePlan
    site: Site

    async def raise_period(self, period: Period, assets: Sequence[Asset | None]) -> None:
        """Add an item for each asset, or one for the site, and the work order all of them are done with."""
        if not assets:
            return
        order_id = await self._open_order(period, assets)
        for asset in assets:
            due = MaintenanceDue(
                plan_id=self.plan.id, asset_id=asset and asset.id, period_from_on=period.from_on,
                period_until_on=period.until_on, state=DueState.DUE.value, work_order_id=order_id,
            )  # fmt: skip
            self.session.add(due)

    async def _open_order(self, period: Period, assets: Sequence[Asset | None]) -> UUID:
        plan, zone = self.plan, self.site.time_zone
        name = await _kind_name(self.session, plan.kind)
        listed = "、".join(asset.name for asset in assets if asset is not None)
        new = NewWorkOrder(
            site_id=self.site.id, kind=plan.kind, title=f"{name} {period.from_on:%Y-%m-%d}"[:TITLE_MAXIMUM],
            description=listed[:TEXT_MAXIMUM], form_template_version_id=plan.template_version_id,
            duration_minutes=plan.duration_minutes, required_skills=plan.required_skills,
            earliest_at=end_of_day(zone, period.from_on - ONE_DAY), due_at=end_of_day(zone, period.until_on),
        )  # fmt: skip
        return (await open_work_order(self.session, now=self.now, actor=SYSTEM, new=new)).id


def _care_plan(plan: MaintenancePlan, maintained_until_on: date | None) -> CarePlan:
    return CarePlan(
        recurrence=plan.recurrence, starts_on=plan.starts_on, ends_on=plan.ends_on, go_live_on=plan.go_live_on,
        last_done_on=plan.last_done_on, maintained_until_on=maintained_until_on,
    )  # fmt: skip


async def _assets_due(session: AsyncSession, plan: MaintenancePlan) -> Sequence[Asset]:
    """The assets of the plan's types that are at the site now."""
    listed = select(Asset).where(
        Asset.site_id == plan.site_id,
        Asset.asset_type.in_(plan.asset_types),
        Asset.retired_at.is_(None),
        Asset.merged_into_id.is_(None),
    )
    return (await session.execute(listed.order_by(Asset.name, Asset.id))).scalars().all()


async def _kind_name(session: AsyncSession, kind: str) -> str:
    names = select(Preset.name_zh, Preset.name_en).where(Preset.kind == "work_order_kind", Preset.key == kind)
    zh, en = (await session.execute(names.order_by(Preset.version.desc()).limit(1))).one()
    return f"{zh} {en}"


async def _assets_on_sheets(session: AsyncSession, order: WorkOrder, plan: MaintenancePlan) -> list[frozenset[str]]:
    """For each sheet of the plan's template filed for the order, the ids of the assets it names."""
    template = await session.get_one(ChecklistTemplateVersion, plan.template_version_id)
    versions = select(ChecklistTemplateVersion.id).where(ChecklistTemplateVersion.template_id == template.template_id)
    visits = select(Visit.id).where(Visit.work_order_id == order.id)
    sheets = select(CompletionForm.shown).where(
        CompletionForm.template_version_id.in_(versions),
        CompletionForm.voided_at.is_(None),
        or_(CompletionForm.subject_id.in_(visits), CompletionForm.subject_id == order.id),
    )
    shown = [read_shown(sheet.encode()) for sheet in (await session.execute(sheets)).scalars()]
    return [
        frozenset(group.asset.id for section in form.sections for group in section.groups if group.asset)
        for form in shown
    ]


def _move(
    session: AsyncSession,
    due: MaintenanceDue,
    state: DueState,
    *,
    now: datetime,
    actor: Actor,
    reason: str | None = None,
    settled_at: datetime | None = None,
) -> None:
    """Move an item of the ledger; `settled_at` says when it was done, be it too late."""
    before = due.state
    due.state, due.settled_at = state.value, settled_at
    record(
        session, now=now, actor=actor, action=f"maintenance_due.{state}", row=due, reason=reason,
        before={"state": before}, after={"state": state.value, "settled_at": settled_at},
    )  # fmt: skip
