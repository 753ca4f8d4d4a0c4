"""Making and changing maintenance plans."""

from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.rules import day_in
from backend.contracts.merges import follow_merge, survivor_of
from backend.core.audit import Actor, record
from backend.core.errors import INVALID, Finding, Problem
from backend.core.events import Event
from backend.customers.queries import survivor
from backend.forms.models import ChecklistTemplateVersion
from backend.jobs.history import changed
from backend.jobs.presets import preset_body, work_order_kind
from backend.maintenance.models import MaintenancePlan
from backend.maintenance.rules import BadRecurrence, CarePlan, check_recurrence
from backend.maintenance.schemas import MaintenancePlanPatch, NewMaintenancePlan
from backend.people.queries import must_know_skills
from backend.sites.models import Site

EARLIEST: Final = date(1990, 1, 1)
LATEST: Final = date(2100, 1, 1)
"""Days a plan may start on; outside, somebody mistyped the year."""


async def make_plan(session: AsyncSession, *, now: datetime, actor: Actor, new: NewMaintenancePlan) -> MaintenancePlan:
    """Make a plan; template, rule and duration come from the kind where left out.

    Raises invalid: an unknown site, kind, template or skill, a kind without a rule of its own and none given, a rule
    that cannot be followed, an end before the start.
    """
    if await session.get(Site, new.site_id) is None:
        raise _invalid("site_id", "没有此站点", "there is no such site")
    site = await survivor(session, Site, new.site_id)
    kind = await work_order_kind(session, new.kind)
    body = await preset_body(session, "work_order_kind", new.kind) or {}
    recurrence = new.recurrence or body.get("recurrence")
    if not isinstance(recurrence, str):
        raise _invalid("recurrence", "此类工单没有固定周期,须填写", "this kind has no rule of its own; give one")
    template_id = await _template_for(session, new.template_version_id, kind.form_key(_only(new.asset_types)))
    plan = MaintenancePlan(
        unit_id=site.unit_id, site_id=site.id, kind=new.kind, template_version_id=template_id,
        asset_types=new.asset_types, recurrence=recurrence, starts_on=new.starts_on, ends_on=new.ends_on,
        last_done_on=new.last_done_on, go_live_on=new.go_live_on, active=True,
        duration_minutes=new.duration_minutes or kind.duration_minutes, required_skills=new.required_skills,
    )  # fmt: skip
    await _must_be_sound(session, plan)
    session.add(plan)
    record(session, now=now, actor=actor, action="maintenance_plan.made", row=plan, after={"recurrence": recurrence})
    return plan


async def patch_plan(
    session: AsyncSession, *, now: datetime, actor: Actor, plan: MaintenancePlan, patch: MaintenancePlanPatch
) -> None:
    """Change a plan; what was raised stays. Made active again, it owes nothing for the time between. Raises invalid."""
    named = {name: getattr(patch, name) for name in patch.__struct_fields__}
    values: dict[str, Any] = {name: value for name, value in named.items() if value is not msgspec.UNSET}
    if values.get("active") and not plan.active:
        site = await session.get_one(Site, plan.site_id)
        values["go_live_on"] = day_in(site.time_zone, now)
    if "template_version_id" in values:
        await _template_for(session, values["template_version_id"], None)
    before, after = changed(plan, values)
    await _must_be_sound(session, plan)
    if after:
        record(session, now=now, actor=actor, action="maintenance_plan.changed", row=plan, before=before, after=after)


async def move_plans(session: AsyncSession, merged: Event, now: datetime) -> None:
    """React to `site.merged`: its plans care for the site that stands."""
    site = await session.get_one(Site, await survivor_of(session, merged))
    theirs = select(MaintenancePlan).where(MaintenancePlan.site_id == merged.subject_id).order_by(MaintenancePlan.id)
    await follow_merge(session, theirs, {"site_id": site.id, "unit_id": site.unit_id}, now)


async def _must_be_sound(session: AsyncSession, plan: MaintenancePlan) -> None:
    await must_know_skills(session, plan.required_skills)
    if not EARLIEST <= plan.starts_on <= LATEST:
        raise _invalid("starts_on", f"须在 {EARLIEST} 与 {LATEST} 之间", f"must be between {EARLIEST} and {LATEST}")
    if plan.ends_on is not None and plan.ends_on < plan.starts_on:
        raise _invalid("ends_on", "结束不能早于开始", "the end cannot be before the start")
    try:
        check_recurrence(CarePlan(recurrence=plan.recurrence, starts_on=plan.starts_on))
    except BadRecurrence as error:
        raise _invalid("recurrence", "不是可用的周期规则", "not a rule a plan can follow") from error


async def _template_for(session: AsyncSession, version_id: UUID | None, key: str | None) -> UUID:
    """The frozen version named, or the newest of the kind's own form."""
    versions = select(ChecklistTemplateVersion.id).order_by(ChecklistTemplateVersion.version.desc()).limit(1)
    if version_id is not None:
        versions = versions.where(ChecklistTemplateVersion.id == version_id)
    else:
        versions = versions.where(ChecklistTemplateVersion.key == key)
    found = (await session.execute(versions)).scalar_one_or_none()
    if found is None:
        raise _invalid("template_version_id", "没有此表单版本", "there is no such version of a form")
    return found


def _only(asset_types: list[str]) -> str | None:
    """The one type of asset cared for; with several, the kind's common form is used."""
    return asset_types[0] if len(asset_types) == 1 else None


def _invalid(field: str, zh: str, en: str) -> Problem:
    return Problem(INVALID, Finding(field, zh, en))
