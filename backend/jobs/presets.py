"""The presets work rests on: kinds of work order (an order copies what it needs), reasons of visits, priorities."""

from datetime import datetime

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.errors import INVALID, Finding, Problem
from backend.core.presets import Preset
from backend.jobs.rules import missing_needs


class KindForms(msgspec.Struct, frozen=True):
    """Keys of the forms a kind asks for: before leaving, on site, afterwards."""

    before: list[str] = []
    on_site: list[str] = []
    after: list[str] = []


class FormsFor(msgspec.Struct, frozen=True):
    """Other forms on site where the assets are of these types."""

    asset_types: list[str]
    on_site: list[str]


class WorkOrderKind(msgspec.Struct, frozen=True):
    """A kind of work order (presets §3)."""

    origin: str
    queue: str
    duration_minutes: int
    technicians: int = 1
    needs_approval: bool = False
    forms: KindForms = KindForms()
    forms_for: list[FormsFor] = []

    def form_key(self, asset_type: str | None) -> str | None:
        """Return the key of the form an order of this kind is completed with, for an asset of this type."""
        special = next((one.on_site for one in self.forms_for if asset_type in one.asset_types), self.forms.on_site)
        return special[0] if special else None

    @property
    def form_keys(self) -> frozenset[str]:
        """The keys of every form an order of this kind may be asked for."""
        special = [key for one in self.forms_for for key in one.on_site]
        return frozenset([*self.forms.before, *self.forms.on_site, *self.forms.after, *special])


class VisitReason(msgspec.Struct, frozen=True):
    """Why a visit was not completed or was paused (presets §5)."""

    side: str
    solve_clock: str
    stops_arrive: bool
    needs: list[str] = []
    side_rule: str | None = None
    """Whose side it lies on where that depends: `customer_after_offer` is theirs while a quote waits for its answer."""


async def preset_body(session: AsyncSession, kind: str, key: str) -> dict[str, object] | None:
    """Return the newest active version's body, or None for a key nobody knows."""
    versions = select(Preset.body).where(Preset.kind == kind, Preset.key == key, Preset.active.is_(True))
    return (await session.execute(versions.order_by(Preset.version.desc()).limit(1))).scalar_one_or_none()


async def work_order_kind(session: AsyncSession, key: str) -> WorkOrderKind:
    """Return a kind; raises invalid for an unknown one."""
    body = await preset_body(session, "work_order_kind", key)
    if body is None:
        raise Problem(INVALID, Finding("kind", f"没有工单类型“{key}”", f"there is no kind of work order {key!r}"))
    return msgspec.convert(body, WorkOrderKind)


async def forms_by_kind(session: AsyncSession) -> dict[str, frozenset[str]]:
    """The keys of the forms each kind of work asks for, in any version it ever had."""
    listed = select(Preset.key, Preset.body).where(Preset.kind == "work_order_kind")
    asked: dict[str, frozenset[str]] = {}
    for key, body in (await session.execute(listed)).all():
        asked[key] = asked.get(key, frozenset[str]()) | msgspec.convert(body, WorkOrderKind).form_keys
    return asked


async def visit_reason(session: AsyncSession, key: str) -> VisitReason:
    """Return a reason; raises invalid for an unknown one."""
    body = await preset_body(session, "visit_reason", key)
    if body is None:
        raise Problem(INVALID, Finding("reason", f"没有原因“{key}”", f"there is no reason {key!r}"))
    return msgspec.convert(body, VisitReason)


async def known_priority(session: AsyncSession, key: str) -> str:
    """Return the priority's key; raises invalid for an unknown one."""
    if await preset_body(session, "priority", key) is None:
        raise Problem(INVALID, Finding("priority", f"没有优先级“{key}”", f"there is no priority {key!r}"))
    return key


async def reasons_off_site(session: AsyncSession) -> frozenset[str]:
    """The reasons met where the visit was not: an arrival before them does not count."""
    listed = select(Preset.key, Preset.body).where(Preset.kind == "visit_reason", Preset.active.is_(True))
    rows = (await session.execute(listed.order_by(Preset.version))).all()
    newest = {key: msgspec.convert(body, VisitReason) for key, body in rows}
    return frozenset(key for key, reason in newest.items() if not reason.stops_arrive)


def must_answer(reason: VisitReason, *, note: str | None, next_step: str | None, next_at: datetime | None) -> None:
    """Refuse a report that leaves open what its reason asks for; raises invalid, naming each field."""
    asked = {
        "note": Finding("note", "此原因须写说明", "this reason needs a note"),
        "next_step": Finding("next_step", "此原因须写下一步安排", "this reason needs the next step"),
        "new_time": Finding("next_at", "此原因须有新的时间", "this reason needs the new time"),
        "promise": Finding("next_at", "此原因须有承诺的完成时间", "this reason needs the promised time"),
    }
    missing = missing_needs(reason.needs, note=note, next_step=next_step, next_at=next_at)
    if missing:
        raise Problem(INVALID, *(asked[need] for need in missing))
