"""The first unit and the first administrator, whom nobody can have added through the API."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.models import WorkingCalendar
from backend.core.audit import SYSTEM, record
from backend.core.errors import Fault, Problem
from backend.people.models import Person, Role, RoleGrant, Unit

FIRST_ROLE: Final = "admin"

ALREADY_FOUNDED = Fault(
    "already_founded", 409, "组织已经建立,不能再次初始化。",
    "The organisation exists already; it is founded only once.",
    "请让现有管理员新增人员。", "Ask an existing administrator to add people.",
)  # fmt: skip
NO_PRESETS = Fault(
    "no_presets", 409, "尚未载入预设,缺少角色。", "The presets are not loaded, so there are no roles.",
    "请先运行 paigong migrate。", "Run `paigong migrate` first.",
)  # fmt: skip


class Founding(msgspec.Struct, frozen=True, kw_only=True):
    """What a new installation begins with: the organisation, where it is, and its first administrator."""

    name_zh: str
    name_en: str
    time_zone: str
    employee_number: str
    person_name: str
    password_hash: str


async def found_organisation(session: AsyncSession, *, now: datetime, founding: Founding) -> Person:
    """Create the first unit and its administrator; raises already_founded and no_presets."""
    if (await session.execute(select(Unit.id).limit(1))).first() is not None:
        raise Problem(ALREADY_FOUNDED)
    unit = Unit(
        kind="company", name_zh=founding.name_zh, name_en=founding.name_en, time_zone=founding.time_zone,
        calendar_id=await _calendar(session),
    )  # fmt: skip
    session.add(unit)
    await session.flush()
    person = Person(
        unit_id=unit.id, employee_number=founding.employee_number, name=founding.person_name, language="zh",
        external=False, active=True, password_hash=founding.password_hash,
    )  # fmt: skip
    session.add(person)
    await session.flush()
    session.add(RoleGrant(person_id=person.id, role_id=await _first_role(session), unit_id=unit.id, valid_from=now))
    record(session, now=now, actor=SYSTEM, action="organisation.founded", row=unit)
    record(session, now=now, actor=SYSTEM, action="person.added", row=person)
    return person


async def _first_role(session: AsyncSession) -> UUID:
    newest = select(Role.id).where(Role.key == FIRST_ROLE).order_by(Role.version.desc()).limit(1)
    role_id = (await session.execute(newest)).scalar_one_or_none()
    if role_id is None:
        raise Problem(NO_PRESETS)
    return role_id


async def _calendar(session: AsyncSession) -> UUID | None:
    first = select(WorkingCalendar.id).order_by(WorkingCalendar.key, WorkingCalendar.version.desc()).limit(1)
    return (await session.execute(first)).scalar_one_or_none()
