"""Reads of people, within the units a reader's roles reach."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.allowed import listed
from backend.core.auth import Principal
from backend.core.db import Row
from backend.core.errors import INVALID, NOT_FOUND, Fault, Finding, Problem
from backend.core.paging import Page, PageRequest, fetch_page
from backend.people.models import (
    Crew,
    CrewMember,
    Device,
    DutySlot,
    Person,
    PersonSkill,
    Role,
    RoleGrant,
    SignInSession,
    Skill,
    Unit,
)
from backend.people.schemas import (
    CrewMemberView,
    CrewView,
    DeviceView,
    Duties,
    Duty,
    GeoPoint,
    Me,
    PermissionView,
    PersonSkillView,
    PersonView,
    RoleGrantView,
    RoleView,
    SessionView,
    SkillView,
    UnitView,
    shown,
)

Found = TypeVar("Found", bound=Row)
DutyList = Callable[[AsyncSession, UUID, datetime], Awaitable[list[Duty]]]
DUTIES: Final[dict[str, DutyList]] = {}
"""What a person may hold, by kind: capabilities above add theirs in `app.py` (sites, keys, Cases, visits, vans)."""
DUTIES_SHOWN: Final = 200
"""Of each kind; somebody who holds more has a hand-over no single answer helps with."""


LISTED_MAXIMUM: Final = 1000
"""Rows of a list that is answered whole: vehicles and territories of a unit; members of a crew or a territory, roles
and skills of a person, owners and contacts of a site, those that are over among them. A further one is refused."""

LIST_FULL = Fault(
    "list_full", 409, "这个列表已满。", "This list is full.",
    "请改用另一个单位、小组或片区,或联系管理员。", "Use another unit, crew or territory, or ask the administrator.",
)  # fmt: skip


def in_effect(model: type[RoleGrant | CrewMember | PersonSkill], at: datetime) -> ColumnElement[bool]:
    """The condition that a row with effective dates holds at an instant."""
    return and_(model.valid_from <= at, or_(model.valid_until.is_(None), model.valid_until > at))


def no_such(field: str) -> Problem:
    """The refusal of an id in a request that leads nowhere, or outside what the person may use."""
    return Problem(INVALID, Finding(field, "没有这条记录,或您无权使用", "no such record, or you may not use it"))


async def must_have_room(session: AsyncSession, model: type[Row], **of: UUID) -> None:
    """Refuse one more row of a list that is answered whole; raises list_full."""
    listed = select(func.count()).select_from(model).filter_by(**of)
    if (await session.execute(listed)).scalar_one() >= LISTED_MAXIMUM:
        raise Problem(LIST_FULL, limit=LISTED_MAXIMUM)


async def within(
    session: AsyncSession, model: type[Any], record_id: UUID, units: frozenset[UUID], *, locked: bool = False
) -> Any:
    """Return a record of one of `units`; raises not_found for one elsewhere, as if there were none."""
    wanted = select(model).where(model.id == record_id, model.unit_id.in_(units))
    row = (await session.execute(wanted.with_for_update() if locked else wanted)).scalar_one_or_none()
    if row is None:
        raise Problem(NOT_FOUND)
    return row


async def me(session: AsyncSession, principal: Principal, now: datetime) -> Me:
    """Return the signed-in person's own view."""
    person = await session.get_one(Person, principal.person_id)
    held = select(Role.key).join(RoleGrant, RoleGrant.role_id == Role.id).where(
        RoleGrant.person_id == person.id, in_effect(RoleGrant, now)
    )  # fmt: skip
    return Me(
        person_id=person.id, name=person.name, employee_number=person.employee_number, language=person.language,
        unit_id=person.unit_id, location_consent_at=person.location_consent_at,
        roles=sorted(set((await session.execute(held)).scalars())),
        permissions=[
            PermissionView(area=grant.permission.area, level=grant.permission.level, reach=grant.permission.reach)
            for grant in principal.grants
        ],
    )  # fmt: skip


async def sessions_of(session: AsyncSession, principal: Principal, now: datetime) -> list[SessionView]:
    """Return the signed-in person's open sessions, newest first."""
    theirs = (
        select(SignInSession, Device.name)
        .outerjoin(Device, Device.id == SignInSession.device_id)
        .where(SignInSession.person_id == principal.person_id, SignInSession.revoked_at.is_(None))
        .where(SignInSession.expires_at > now)
        .order_by(SignInSession.last_used_at.desc())
    )
    return [
        shown(opened, SessionView, device_name=name, current=opened.id == principal.session_id)
        for opened, name in (await session.execute(theirs)).all()
    ]


def people_readable(principal: Principal, now: datetime) -> ColumnElement[bool]:
    """The condition on Person that says whom the principal may see: their units', who is in their crews, themselves."""
    return or_(Person.unit_id.in_(principal.units("admin", "read")), rosters_readable(principal, now))


def rosters_readable(principal: Principal, now: datetime) -> ColumnElement[bool]:
    """The condition on Person that says whose working time the principal may see; accounts alone do not show it."""
    units = principal.units("dispatch", "read")
    crewmates = select(CrewMember.person_id).where(
        CrewMember.crew_id.in_(principal.crew_ids), in_effect(CrewMember, now)
    )  # fmt: skip
    of_crew = Person.id.in_(crewmates) if "crew" in principal.reaches("dispatch", "read") else false()
    return or_(Person.unit_id.in_(units), of_crew, Person.id == principal.person_id)


def person_view(person: Person, *, with_home: bool) -> PersonView:
    """Return a person's view; where somebody lives is for administrators."""
    home = None
    if with_home and person.home_lat is not None and person.home_lon is not None:
        home = GeoPoint(lat=person.home_lat, lon=person.home_lon)
    return shown(person, PersonView, home=home)


async def people_page(
    session: AsyncSession,
    principal: Principal,
    page: PageRequest,
    *,
    now: datetime,
    unit_id: UUID | None,
    active: bool | None,
) -> Page[PersonView]:
    """Return a page of the people the principal may see."""
    listed: Select[Any] = select(Person).where(people_readable(principal, now))
    if unit_id is not None:
        listed = listed.where(Person.unit_id == unit_id)
    if active is not None:
        listed = listed.where(Person.active.is_(active))
    administers = principal.units("admin", "read")
    return await fetch_page(
        session, listed, Person.id, page, lambda person: person_view(person, with_home=person.unit_id in administers)
    )


async def person_seen(session: AsyncSession, principal: Principal, person_id: UUID, now: datetime) -> PersonView:
    """Return one person; raises not_found for one the principal may not see."""
    wanted = select(Person).where(Person.id == person_id, people_readable(principal, now))
    person = (await session.execute(wanted)).scalar_one_or_none()
    if person is None:
        raise Problem(NOT_FOUND)
    return person_view(person, with_home=person.unit_id in principal.units("admin", "read"))


async def duties_of(session: AsyncSession, person: Person, now: datetime) -> Duties:
    """Return everything somebody would have to take over from a person."""
    duties = [*await _crew_duties(session, person.id, now), *await _roster_duties(session, person.id, now)]
    for kind in sorted(DUTIES):
        duties += (await DUTIES[kind](session, person.id, now))[:DUTIES_SHOWN]
    return Duties(person_id=person.id, active=person.active, duties=duties)


async def devices_of(session: AsyncSession, person_id: UUID) -> list[DeviceView]:
    """Return a person's phones, newest first, the revoked ones too."""
    theirs = select(Device).where(Device.person_id == person_id).order_by(Device.enrolled_at.desc())
    return [shown(device, DeviceView) for device in (await session.execute(theirs)).scalars()]


async def roles(session: AsyncSession) -> list[RoleView]:
    """Return every version of every role."""
    listed = (await session.execute(select(Role).order_by(Role.key, Role.version))).scalars()
    return [
        shown(role, RoleView, permissions=[PermissionView(**permission) for permission in role.permissions])
        for role in listed
    ]


async def grants_of(session: AsyncSession, person_id: UUID) -> list[RoleGrantView]:
    """Return the roles a person holds, held or will hold."""
    theirs = select(RoleGrant).where(RoleGrant.person_id == person_id).order_by(RoleGrant.valid_from)
    return [shown(grant, RoleGrantView) for grant in (await session.execute(theirs)).scalars()]


async def units(session: AsyncSession) -> list[UnitView]:
    """Return the whole organisation; names of units are no secret to those who work there."""
    listed = (await session.execute(select(Unit).order_by(Unit.id))).scalars()
    return [shown(unit, UnitView) for unit in listed]


def crews_readable(principal: Principal) -> ColumnElement[bool]:
    """The condition on Crew that says which crews the principal may see."""
    units = principal.units("admin", "read") | principal.units("dispatch", "read")
    return or_(Crew.unit_id.in_(units), Crew.id.in_(principal.crew_ids))


async def crews_page(session: AsyncSession, principal: Principal, page: PageRequest) -> Page[CrewView]:
    """Return a page of the crews the principal may see."""
    listed = select(Crew).where(crews_readable(principal))
    return await fetch_page(session, listed, Crew.id, page, lambda crew: shown(crew, CrewView))


async def crew_seen(session: AsyncSession, principal: Principal, crew_id: UUID) -> Crew:
    """Return one crew; raises not_found for one the principal may not see."""
    crew = (
        await session.execute(select(Crew).where(Crew.id == crew_id, crews_readable(principal)))
    ).scalar_one_or_none()
    if crew is None:
        raise Problem(NOT_FOUND)
    return crew


async def members_of(session: AsyncSession, crew_id: UUID) -> list[CrewMemberView]:
    """Return who is, was or will be in a crew."""
    listed = select(CrewMember).where(CrewMember.crew_id == crew_id).order_by(CrewMember.valid_from, CrewMember.id)
    return [shown(member, CrewMemberView) for member in (await session.execute(listed)).scalars()]


async def skills(session: AsyncSession) -> list[SkillView]:
    """Return every skill."""
    return [shown(skill, SkillView) for skill in (await session.execute(select(Skill).order_by(Skill.key))).scalars()]


async def must_know_skills(session: AsyncSession, keys: Sequence[str], field: str = "required_skills.{}") -> None:
    """Refuse skills nobody can hold, saying which there are; `field`: where they were given. Raises invalid."""
    if not keys:
        return
    known = list((await session.execute(select(Skill.key).order_by(Skill.key))).scalars())
    there_are = listed(known, "GET /skills")
    unknown = [
        Finding(
            field.format(place), f"没有技能“{key}”,应为以下之一:{there_are}",
            f"there is no skill {key!r}; allowed: {there_are}",
        )
        for place, key in enumerate(keys)
        if key not in known
    ]  # fmt: skip
    if unknown:
        raise Problem(INVALID, *unknown)


async def skills_of(session: AsyncSession, person_id: UUID) -> list[PersonSkillView]:
    """Return the skills a person holds, held or will hold."""
    theirs = select(PersonSkill).where(PersonSkill.person_id == person_id).order_by(PersonSkill.valid_from)
    return [shown(held, PersonSkillView) for held in (await session.execute(theirs)).scalars()]


async def _crew_duties(session: AsyncSession, person_id: UUID, now: datetime) -> Sequence[Duty]:
    led = select(CrewMember.id, Crew.name).join(Crew, Crew.id == CrewMember.crew_id).where(
        CrewMember.person_id == person_id, CrewMember.leads, in_effect(CrewMember, now)
    )  # fmt: skip
    return [Duty(kind="crew_leader", id=row.id, label=row.name) for row in (await session.execute(led)).all()]


async def _roster_duties(session: AsyncSession, person_id: UUID, now: datetime) -> Sequence[Duty]:
    slots = (
        select(DutySlot.id, DutySlot.starts_at)
        .where(or_(DutySlot.person_id == person_id, DutySlot.backup_person_id == person_id), DutySlot.ends_at > now)
        .order_by(DutySlot.starts_at)
        .limit(DUTIES_SHOWN)
    )
    return [
        Duty(kind="duty_slot", id=row.id, label=row.starts_at.isoformat())
        for row in (await session.execute(slots)).all()
    ]
