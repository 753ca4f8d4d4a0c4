"""Writes of people, their roles, crews, skills and devices. None of them commits."""

import secrets
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.models import WorkingCalendar
from backend.core.audit import Actor, record
from backend.core.auth import Principal, secret_hash
from backend.core.errors import INVALID, NOT_FOUND, Fault, Finding, Problem
from backend.core.etags import given, set_fields
from backend.core.events import tell
from backend.people.models import (
    Crew,
    CrewMember,
    Device,
    EnrolmentCode,
    PasswordReset,
    Person,
    PersonSkill,
    Role,
    RoleGrant,
    Skill,
    TerritoryMember,
    Unit,
)
from backend.people.queries import must_have_room, no_such, within
from backend.people.rules import normal_phone
from backend.people.schemas import (
    CrewPatch,
    Deactivation,
    MePatch,
    NewCrew,
    NewCrewMember,
    NewPerson,
    NewPersonSkill,
    NewRoleGrant,
    NewUnit,
    OneTimeCode,
    PersonPatch,
    UnitPatch,
)
from backend.people.sign_in import end_sessions
from sync.enrol import hash_of
from sync.limits import CODE_MINUTES, DEVICES_A_PERSON

RESET_HOURS: Final = 24
"""How long a password reset code works."""
ENROLMENT_ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""What a code is made of: no signs that look alike. 32 of them, so each carries 5 bits."""
ENROLMENT_LENGTH: Final = 16
"""80 random bits: a code that lives ten minutes cannot be guessed, and can be read out."""

TOO_MANY_DEVICES = Fault(
    "too_many_devices", 409, f"这位员工已有 {DEVICES_A_PERSON} 部在用手机。",
    f"This person already has {DEVICES_A_PERSON} phones in use.",
    "请先停用一部旧手机。", "Revoke one of the old phones first.",
)  # fmt: skip
PERSON_INACTIVE = Fault(
    "person_inactive", 409, "该员工已停用。", "This person is deactivated.",
    "请选择在职员工。", "Choose somebody who is active.",
)  # fmt: skip
OWN_ACCOUNT = Fault(
    "own_account", 409, "不能停用自己的账号。", "You cannot deactivate your own account.",
    "请由另一位管理员操作。", "Ask another administrator.",
)  # fmt: skip
WIDER_ROLE = Fault(
    "wider_role", 403, "该员工的角色超出您管理的范围。", "This person holds a role beyond the units you administer.",
    "请由管理该范围的管理员操作。", "Ask an administrator of the unit where the role holds.",
)  # fmt: skip
CERTIFICATE_MISSING = Fault(
    "certificate_missing", 422, "该技能须持证,须填证书编号和有效期。", "This skill counts only with a certificate.",
    "请填写 certificate_number 和 valid_until。", "Give certificate_number and valid_until.",
)  # fmt: skip
ALREADY_HELD = Fault(
    "already_held", 409, "这段时间内已有相同记录。", "The same is already in effect in this time.",
    "请先结束原记录,或选择不重叠的时间。", "End the earlier record first, or choose times that do not overlap.",
)  # fmt: skip


async def add_person(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], new: NewPerson
) -> Person:
    """Add a person to one of `units`; they set their password with a reset code."""
    if new.unit_id not in units:
        raise no_such("unit_id")
    person = Person(
        unit_id=new.unit_id, employee_number=new.employee_number, name=new.name, phone=_phone(new.phone),
        email=new.email and new.email.lower(), language=new.language, external=new.external, active=True,
        home_lat=new.home and new.home.lat, home_lon=new.home and new.home.lon,
    )  # fmt: skip
    session.add(person)
    await session.flush()
    record(session, now=now, actor=actor, action="person.added", row=person, after=given(new))
    return person


async def edit_person(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], person: Person, patch: PersonPatch
) -> None:
    """Change the fields a patch gives."""
    values = given(patch)
    if values.get("unit_id", person.unit_id) not in units:
        raise no_such("unit_id")
    if "phone" in values:
        values["phone"] = _phone(values["phone"])
    if values.get("email"):
        values["email"] = values["email"].lower()
    if "home" in values:
        home = values.pop("home")
        values |= {"home_lat": home and home.lat, "home_lon": home and home.lon}
    before, after = set_fields(person, values)
    await session.flush()
    record(session, now=now, actor=actor, action="person.edited", row=person, before=before, after=after)


async def edit_me(session: AsyncSession, *, now: datetime, actor: Actor, person: Person, patch: MePatch) -> None:
    """Change what people decide about themselves; consent to location is theirs alone to give and to withdraw."""
    values = given(patch)
    if "location_consent" in values:
        values["location_consent_at"] = now if values.pop("location_consent") else None
    before, after = set_fields(person, values)
    record(session, now=now, actor=actor, action="person.edited_self", row=person, before=before, after=after)


async def deactivate_person(
    session: AsyncSession, *, now: datetime, principal: Principal, person: Person, leaving: Deactivation
) -> None:
    """End somebody's access at once: sessions, roles, crews, phones. What they held is handed over by those who listen.

    Tells `person.deactivated` with the successor. Raises own_account, person_inactive.
    """
    if person.id == principal.person_id:
        raise Problem(OWN_ACCOUNT)
    if not person.active:
        raise Problem(PERSON_INACTIVE)
    successor = leaving.successor_id
    if successor is not None:
        await active_person(session, successor, principal.units("admin", "write"), "successor_id")
        if successor == person.id:
            raise no_such("successor_id")
    person.active, person.deactivated_at = False, now
    await end_sessions(session, person.id, now=now)
    for model in (RoleGrant, CrewMember):
        later = (model.valid_until.is_(None)) | (model.valid_until > now)
        await session.execute(update(model).where(model.person_id == person.id, later).values(valid_until=now))
    await session.execute(
        update(Device).where(Device.person_id == person.id, Device.revoked_at.is_(None)).values(revoked_at=now)
    )
    await session.flush()
    record(
        session, now=now, actor=principal.actor, action="person.deactivated", row=person, reason=leaving.reason,
        before={"active": True}, after={"active": False, "successor_id": successor},
    )  # fmt: skip
    facts = {"successor_id": str(successor) if successor else None, "by_id": str(principal.person_id)}
    tell(session, now=now, name="person.deactivated", row=person, facts=facts)


async def must_not_outrank(session: AsyncSession, *, now: datetime, units: frozenset[UUID], person: Person) -> None:
    """Refuse to hand out a code of somebody who holds, or will hold, a role outside `units`; raises wider_role.

    Whoever has the code can act as that person, so it must not open more than its maker administers.
    """
    beyond = select(RoleGrant.id).where(
        RoleGrant.person_id == person.id,
        RoleGrant.unit_id.not_in(units),
        or_(RoleGrant.valid_until.is_(None), RoleGrant.valid_until > now),
    )
    if (await session.execute(beyond.limit(1))).first() is not None:
        raise Problem(WIDER_ROLE)


async def issue_reset_code(session: AsyncSession, *, now: datetime, actor: Actor, person: Person) -> OneTimeCode:
    """Make a one-time code with which the person sets a new password; earlier codes stop working."""
    _must_be_active(person)
    mine = update(PasswordReset).where(PasswordReset.person_id == person.id, PasswordReset.used_at.is_(None))
    await session.execute(mine.values(used_at=now))
    code = _new_code()
    expires_at = now + timedelta(hours=RESET_HOURS)
    session.add(PasswordReset(person_id=person.id, code_hash=secret_hash(code), expires_at=expires_at))
    record(session, now=now, actor=actor, action="person.password_reset_issued", row=person)
    return OneTimeCode(code=code, expires_at=expires_at)


async def issue_enrolment_code(session: AsyncSession, *, now: datetime, actor: Actor, person: Person) -> OneTimeCode:
    """Make a one-use code that registers a phone within ten minutes; raises too_many_devices, person_inactive."""
    _must_be_active(person)
    if await devices_in_use(session, person.id) >= DEVICES_A_PERSON:
        raise Problem(TOO_MANY_DEVICES)
    mine = update(EnrolmentCode).where(EnrolmentCode.person_id == person.id, EnrolmentCode.used_at.is_(None))
    await session.execute(mine.values(used_at=now))
    code = _new_code()
    expires_at = now + timedelta(minutes=CODE_MINUTES)
    session.add(EnrolmentCode(person_id=person.id, code_hash=hash_of(code), expires_at=expires_at))
    record(session, now=now, actor=actor, action="person.enrolment_issued", row=person)
    return OneTimeCode(code=code, expires_at=expires_at)


async def devices_in_use(session: AsyncSession, person_id: UUID) -> int:
    """Count a person's phones that are not revoked."""
    theirs = select(func.count()).select_from(Device).where(Device.person_id == person_id, Device.revoked_at.is_(None))
    return (await session.execute(theirs)).scalar_one()


async def revoke_device(session: AsyncSession, *, now: datetime, actor: Actor, device: Device) -> None:
    """Take a phone out of use: lost, replaced or its owner gone. It is told to wipe itself when it next calls."""
    if device.revoked_at is None:
        device.revoked_at = now
        record(session, now=now, actor=actor, action="device.revoked", row=device, after={"revoked_at": now})
        tell(session, now=now, name="device.revoked", row=device, facts={"person_id": str(device.person_id)})


async def grant_role(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], person: Person, new: NewRoleGrant
) -> RoleGrant:
    """Give a person a role within one of `units`; raises invalid, already_held."""
    _must_be_active(person)
    if new.unit_id not in units:
        raise no_such("unit_id")
    if await session.get(Role, new.role_id) is None:
        raise no_such("role_id")
    starts, ends = _dates(new.valid_from or now, new.valid_until)
    if starts < now:
        raise Problem(INVALID, Finding("valid_from", "不能早于现在", "must not lie in the past"))
    same = {"person_id": person.id, "role_id": new.role_id, "unit_id": new.unit_id}
    await _not_held(session, RoleGrant, same, starts, ends)
    await must_have_room(session, RoleGrant, person_id=person.id)
    grant = RoleGrant(**same, valid_from=starts, valid_until=ends)
    session.add(grant)
    await session.flush()
    record(session, now=now, actor=actor, action="role.granted", row=grant, after=same | {"valid_from": starts})
    return grant


async def end_tenure(
    session: AsyncSession,
    *,
    now: datetime,
    actor: Actor,
    row: RoleGrant | CrewMember | PersonSkill | TerritoryMember,
    at: datetime,
) -> None:
    """End something with effective dates, now or later; what is over already stays as it was."""
    if at < now:
        raise Problem(INVALID, Finding("at", "不能早于现在", "must not lie in the past"))
    if row.valid_until is None or row.valid_until > at:
        before = {"valid_until": row.valid_until}
        row.valid_until = max(at, row.valid_from)
        action = f"{row.__tablename__}.ended"
        record(session, now=now, actor=actor, action=action, row=row, before=before, after={"valid_until": at})


async def add_unit(session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], new: NewUnit) -> Unit:
    """Add a unit under one of `units`."""
    if new.parent_id not in units:
        raise no_such("parent_id")
    await _check_unit(session, given(new))
    unit = Unit(**given(new))
    session.add(unit)
    await session.flush()
    record(session, now=now, actor=actor, action="unit.added", row=unit, after=given(new))
    return unit


async def edit_unit(session: AsyncSession, *, now: datetime, actor: Actor, unit: Unit, patch: UnitPatch) -> None:
    """Change the fields a patch gives."""
    await _check_unit(session, given(patch))
    before, after = set_fields(unit, given(patch))
    await session.flush()
    record(session, now=now, actor=actor, action="unit.edited", row=unit, before=before, after=after)


async def add_crew(session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], new: NewCrew) -> Crew:
    """Add a crew to one of `units`."""
    if new.unit_id not in units:
        raise no_such("unit_id")
    crew = Crew(unit_id=new.unit_id, name=new.name, active=True)
    session.add(crew)
    await session.flush()
    record(session, now=now, actor=actor, action="crew.added", row=crew, after=given(new))
    return crew


async def edit_crew(session: AsyncSession, *, now: datetime, actor: Actor, crew: Crew, patch: CrewPatch) -> None:
    """Change the fields a patch gives."""
    before, after = set_fields(crew, given(patch))
    record(session, now=now, actor=actor, action="crew.edited", row=crew, before=before, after=after)


async def add_crew_member(
    session: AsyncSession, *, now: datetime, actor: Actor, units: frozenset[UUID], crew: Crew, new: NewCrewMember
) -> CrewMember:
    """Put a person of `units` into a crew; raises invalid, already_held."""
    person = await active_person(session, new.person_id, units, "person_id")
    starts, ends = _dates(new.valid_from or now, new.valid_until)
    same = {"crew_id": crew.id, "person_id": person.id}
    await _not_held(session, CrewMember, same, starts, ends)
    await must_have_room(session, CrewMember, crew_id=crew.id)
    member = CrewMember(**same, leads=new.leads, valid_from=starts, valid_until=ends)
    session.add(member)
    await session.flush()
    after = same | {"leads": new.leads, "valid_from": starts}
    record(session, now=now, actor=actor, action="crew_member.added", row=member, after=after)
    return member


async def add_person_skill(
    session: AsyncSession, *, now: datetime, actor: Actor, person: Person, new: NewPersonSkill
) -> PersonSkill:
    """Record a skill somebody has; raises certificate_missing (A209), invalid, already_held."""
    skill = await session.get(Skill, new.skill_id)
    if skill is None:
        raise no_such("skill_id")
    if skill.needs_certificate and (new.certificate_number is None or new.valid_until is None):
        raise Problem(CERTIFICATE_MISSING)
    starts, ends = _dates(new.valid_from or now, new.valid_until)
    same = {"person_id": person.id, "skill_id": skill.id}
    await _not_held(session, PersonSkill, same, starts, ends)
    await must_have_room(session, PersonSkill, person_id=person.id)
    held = PersonSkill(**same, certificate_number=new.certificate_number, valid_from=starts, valid_until=ends)
    session.add(held)
    await session.flush()
    record(session, now=now, actor=actor, action="person_skill.added", row=held, after=given(new))
    return held


async def active_person(session: AsyncSession, person_id: UUID, units: frozenset[UUID], field: str) -> Person:
    """Return an active person of `units` a request names in `field`; raises invalid."""
    try:
        person: Person = await within(session, Person, person_id, units)
    except Problem as problem:
        if problem.fault is not NOT_FOUND:
            raise
        raise no_such(field) from problem
    if not person.active:
        raise no_such(field)
    return person


def checked_zone(zone: str) -> None:
    """Refuse a time zone nobody knows; raises invalid."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise Problem(INVALID, Finding("time_zone", "没有这个时区", "no such IANA time zone")) from error


async def _check_unit(session: AsyncSession, values: dict[str, Any]) -> None:
    if "time_zone" in values:
        checked_zone(values["time_zone"])
    calendar_id = values.get("calendar_id")
    if calendar_id is not None and await session.get(WorkingCalendar, calendar_id) is None:
        raise no_such("calendar_id")


async def _not_held(
    session: AsyncSession,
    model: type[RoleGrant | CrewMember | PersonSkill],
    same: dict[str, UUID],
    starts: datetime,
    ends: datetime | None,
) -> None:
    overlap = select(model.id).filter_by(**same).where((model.valid_until.is_(None)) | (model.valid_until > starts))
    if ends is not None:
        overlap = overlap.where(model.valid_from < ends)
    if (await session.execute(overlap)).first() is not None:
        raise Problem(ALREADY_HELD)


def _dates(starts: datetime, ends: datetime | None) -> tuple[datetime, datetime | None]:
    if ends is not None and ends <= starts:
        raise Problem(INVALID, Finding("valid_until", "须晚于开始时间", "must be after valid_from"))
    return starts, ends


def _phone(text: str | None) -> str | None:
    if text is None:
        return None
    phone = normal_phone(text)
    if phone is None:
        raise Problem(INVALID, Finding("phone", "不是电话号码", "not a telephone number"))
    return phone


def _must_be_active(person: Person) -> None:
    if not person.active:
        raise Problem(PERSON_INACTIVE)


def _new_code() -> str:
    return "".join(secrets.choice(ENROLMENT_ALPHABET) for _ in range(ENROLMENT_LENGTH))
