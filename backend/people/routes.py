"""Routes of sign-in, people, roles, crews and skills."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Request, Response, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal, anyone_signed_in, public, requires, requires_any
from backend.core.errors import NOT_FOUND, Problem
from backend.core.etags import IfMatch, must_match, with_etag
from backend.core.once import Once
from backend.core.paging import Page, PageRequest
from backend.core.sessions import Database
from backend.people import actions, queries, sign_in
from backend.people.models import Crew, CrewMember, Device, Person, PersonSkill, RoleGrant, SignInSession, Unit
from backend.people.schemas import (
    CrewMemberView,
    CrewPatch,
    CrewView,
    Deactivation,
    DeviceView,
    Duties,
    Ending,
    Me,
    MePatch,
    NewCrew,
    NewCrewMember,
    NewPerson,
    NewPersonSkill,
    NewRoleGrant,
    NewUnit,
    OneTimeCode,
    PasswordChange,
    PersonPatch,
    PersonSkillView,
    PersonView,
    Refresh,
    ResetPassword,
    RoleGrantView,
    RoleView,
    SessionView,
    SignIn,
    SkillView,
    Tokens,
    UnitPatch,
    UnitView,
    shown,
)
from backend.settings import Settings

TAGS: Final[Sequence[str]] = ["people"]
ORGANISERS: Final = requires_any(("admin", "write"), ("dispatch", "write"))
"""Administrators, and those who dispatch: crews and skills are both people's data and the plan's."""
READERS: Final = requires_any(("admin", "read"), ("dispatch", "read"))

Read = NamedDependency[AsyncSession]
Write = NamedDependency[AsyncSession]
Now = NamedDependency[datetime]
Who = NamedDependency[Principal]
Id = FromPath[UUID]


@post("/auth/sign-in", guards=[public], status_code=200)
async def sign_in_route(
    *, data: JSONBody[SignIn], request: Request[Any, Any, Any], database: NamedDependency[Database],
    settings: NamedDependency[Settings], token_key: NamedDependency[bytes], now: Now,
) -> Tokens:  # fmt: skip
    """Sign in by phone, employee number or e-mail."""
    return await sign_in.sign_in(
        database, token_key, data, now=now, address=_address(request), lifetimes=_lifetimes(settings)
    )


@post("/auth/refresh", guards=[public], status_code=200)
async def refresh_route(
    data: JSONBody[Refresh], database: NamedDependency[Database], settings: NamedDependency[Settings],
    token_key: NamedDependency[bytes], now: Now,
) -> Tokens:  # fmt: skip
    """Exchange a refresh token for new tokens. The token offered stays good until the new one is first used."""
    return await sign_in.refresh_sign_in(database, token_key, data, now=now, lifetimes=_lifetimes(settings))


@post("/auth/sign-out", guards=[anyone_signed_in], status_code=204)
async def sign_out_route(principal: Who, write: Write, now: Now) -> None:
    """End the sign-in this request was made under."""
    await sign_in.sign_out(write, principal.session_id, now=now)


@post("/auth/password-reset", guards=[public], status_code=204)
async def reset_password_route(
    data: JSONBody[ResetPassword], request: Request[Any, Any, Any], database: NamedDependency[Database], now: Now
) -> None:
    """Set a password with an administrator's one-time code; every session of the person ends."""
    await sign_in.reset_password(database, data, now=now, address=_address(request))


@get("/me", guards=[anyone_signed_in])
async def me_route(principal: Who, read: Read, now: Now) -> Response[Me]:
    """Tell the signed-in person who they are and what they may do."""
    return with_etag(await queries.me(read, principal, now))


@patch("/me", guards=[anyone_signed_in])
async def edit_me(
    data: JSONBody[MePatch], principal: Who, write: Write, now: Now, if_match: IfMatch = None
) -> Response[Me]:
    """Choose one's language; give or withdraw consent to one's position being recorded."""
    person = await write.get_one(Person, principal.person_id, with_for_update=True)
    must_match(if_match, await queries.me(write, principal, now))
    await actions.edit_me(write, now=now, actor=principal.actor, person=person, patch=data)
    return with_etag(await queries.me(write, principal, now))


@post("/me/password", guards=[anyone_signed_in], status_code=204)
async def change_password_route(
    data: JSONBody[PasswordChange], request: Request[Any, Any, Any], principal: Who,
    database: NamedDependency[Database], now: Now,
) -> None:  # fmt: skip
    """Change the own password; the person's other sessions end."""
    await sign_in.change_password(database, data, principal=principal, now=now, address=_address(request))


@get("/me/sessions", guards=[anyone_signed_in])
async def list_sessions(principal: Who, read: Read, now: Now) -> list[SessionView]:
    """List where the signed-in person is signed in."""
    return await queries.sessions_of(read, principal, now)


@delete("/me/sessions/{session_id:uuid}", guards=[anyone_signed_in])
async def end_session(session_id: Id, principal: Who, write: Write, now: Now) -> None:
    """End one of the own sessions."""
    opened = await write.get(SignInSession, session_id)
    if opened is None or opened.person_id != principal.person_id:
        raise Problem(NOT_FOUND)
    await sign_in.sign_out(write, session_id, now=now)


@get("/people", guards=[READERS])
async def list_people(
    *, principal: Who, read: Read, page: NamedDependency[PageRequest], now: Now,
    unit_id: Annotated[UUID | None, QueryParameter(name="unit_id")] = None,
    active: Annotated[bool | None, QueryParameter(name="active")] = None,
) -> Page[PersonView]:  # fmt: skip
    """List people, newest first."""
    return await queries.people_page(read, principal, page, now=now, unit_id=unit_id, active=active)


@post("/people", guards=[requires("admin", "write")])
async def add_person(
    data: JSONBody[NewPerson], principal: Who, write: Write, once: NamedDependency[Once], now: Now
) -> Response[PersonView]:
    """Add a person. They set their password with a code from POST /people/{id}/reset-codes."""

    async def produce() -> PersonView:
        units = principal.units("admin", "write")
        person = await actions.add_person(write, now=now, actor=principal.actor, units=units, new=data)
        return queries.person_view(person, with_home=True)

    return await once.create(write, now, produce)


@get("/people/{person_id:uuid}", guards=[anyone_signed_in])
async def read_person(person_id: Id, principal: Who, read: Read, now: Now) -> Response[PersonView]:
    """Read a person: oneself, a crew mate, or people of the units one dispatches or administers."""
    return with_etag(await queries.person_seen(read, principal, person_id, now))


@patch("/people/{person_id:uuid}", guards=[requires("admin", "write")])
async def edit_person(
    *, person_id: Id, data: JSONBody[PersonPatch], principal: Who, write: Write, now: Now, if_match: IfMatch = None
) -> Response[PersonView]:
    """Change fields of a person."""
    person = await _administered(write, principal, person_id)
    must_match(if_match, await queries.person_seen(write, principal, person_id, now))
    units = principal.units("admin", "write")
    await actions.edit_person(write, now=now, actor=principal.actor, units=units, person=person, patch=data)
    return with_etag(queries.person_view(person, with_home=True))


@post("/people/{person_id:uuid}/deactivation", guards=[requires("admin", "write")], status_code=200)
async def deactivate_person(
    person_id: Id, data: JSONBody[Deactivation], principal: Who, write: Write, now: Now
) -> Duties:
    """End somebody's access at once; the answer lists what they still hold and somebody must take over."""
    person = await _administered(write, principal, person_id)
    duties = await queries.duties_of(write, person, now)
    await actions.deactivate_person(write, now=now, principal=principal, person=person, leaving=data)
    return Duties(person_id=person.id, active=False, duties=duties.duties)


@get("/people/{person_id:uuid}/duties", guards=[READERS])
async def list_duties(person_id: Id, principal: Who, read: Read, now: Now) -> Duties:
    """List what a person holds and somebody would have to take over."""
    await queries.person_seen(read, principal, person_id, now)
    return await queries.duties_of(read, await read.get_one(Person, person_id), now)


@post("/people/{person_id:uuid}/reset-codes", guards=[requires("admin", "write")])
async def issue_reset_code(person_id: Id, principal: Who, write: Write, now: Now) -> OneTimeCode:
    """Make a one-time code with which the person sets a new password; it is shown only here."""
    person = await _administered(write, principal, person_id)
    await actions.must_not_outrank(write, now=now, units=principal.units("admin", "write"), person=person)
    return await actions.issue_reset_code(write, now=now, actor=principal.actor, person=person)


@post("/people/{person_id:uuid}/enrolment-codes", guards=[anyone_signed_in])
async def issue_enrolment_code(person_id: Id, principal: Who, write: Write, now: Now) -> OneTimeCode:
    """Make a one-use code that registers a phone within ten minutes: for oneself, or by an administrator."""
    person = await _own_or_administered(write, principal, person_id)
    if person_id != principal.person_id:
        await actions.must_not_outrank(write, now=now, units=principal.units("admin", "write"), person=person)
    return await actions.issue_enrolment_code(write, now=now, actor=principal.actor, person=person)


@get("/people/{person_id:uuid}/devices", guards=[anyone_signed_in])
async def list_devices(person_id: Id, principal: Who, read: Read) -> list[DeviceView]:
    """List a person's phones: one's own, or by an administrator."""
    await _own_or_administered(read, principal, person_id, locked=False)
    return await queries.devices_of(read, person_id)


@delete("/people/{person_id:uuid}/devices/{device_id:uuid}", guards=[anyone_signed_in])
async def revoke_device(person_id: Id, device_id: Id, principal: Who, write: Write, now: Now) -> None:
    """Take a phone out of use; it is told to wipe itself when it next calls."""
    await _own_or_administered(write, principal, person_id)
    device = await write.get(Device, device_id, with_for_update=True)
    if device is None or device.person_id != person_id:
        raise Problem(NOT_FOUND)
    await actions.revoke_device(write, now=now, actor=principal.actor, device=device)


@delete("/people/{person_id:uuid}/sessions", guards=[requires("admin", "write")])
async def end_sessions(person_id: Id, principal: Who, write: Write, now: Now) -> None:
    """Sign somebody out everywhere."""
    await _administered(write, principal, person_id)
    await sign_in.end_sessions(write, person_id, now=now)


@get("/roles", guards=[requires("admin", "read")])
async def list_roles(read: Read) -> list[RoleView]:
    """List every role and what it allows."""
    return await queries.roles(read)


@get("/people/{person_id:uuid}/role-grants", guards=[requires("admin", "read")])
async def list_grants(person_id: Id, principal: Who, read: Read) -> list[RoleGrantView]:
    """List the roles a person holds, held or will hold."""
    await queries.within(read, Person, person_id, principal.units("admin", "read"))
    return await queries.grants_of(read, person_id)


@post("/people/{person_id:uuid}/role-grants", guards=[requires("admin", "write")])
async def grant_role(
    *, person_id: Id, data: JSONBody[NewRoleGrant], principal: Who, write: Write, once: NamedDependency[Once], now: Now
) -> Response[RoleGrantView]:
    """Give a person a role within a unit, from a day or until one."""

    async def produce() -> RoleGrantView:
        person = await _administered(write, principal, person_id)
        units = principal.units("admin", "write")
        actor = principal.actor
        return shown(
            await actions.grant_role(write, now=now, actor=actor, units=units, person=person, new=data), RoleGrantView
        )

    return await once.create(write, now, produce)


@post("/role-grants/{grant_id:uuid}/end", guards=[requires("admin", "write")], status_code=200)
async def end_grant(grant_id: Id, data: JSONBody[Ending], principal: Who, write: Write, now: Now) -> RoleGrantView:
    """Take a role back, now or from a later instant."""
    grant: RoleGrant = await queries.within(write, RoleGrant, grant_id, principal.units("admin", "write"), locked=True)
    await actions.end_tenure(write, now=now, actor=principal.actor, row=grant, at=data.at or now)
    return shown(grant, RoleGrantView)


@get("/units", guards=[anyone_signed_in])
async def list_units(read: Read) -> list[UnitView]:
    """List the organisation's units."""
    return await queries.units(read)


@post("/units", guards=[requires("admin", "write")])
async def add_unit(
    data: JSONBody[NewUnit], principal: Who, write: Write, once: NamedDependency[Once], now: Now
) -> Response[UnitView]:
    """Add a unit under another."""

    async def produce() -> UnitView:
        units = principal.units("admin", "write")
        return shown(await actions.add_unit(write, now=now, actor=principal.actor, units=units, new=data), UnitView)

    return await once.create(write, now, produce)


@get("/units/{unit_id:uuid}", guards=[anyone_signed_in])
async def read_unit(unit_id: Id, read: Read) -> Response[UnitView]:
    """Read a unit."""
    return with_etag(shown(await read.get_one(Unit, unit_id), UnitView))


@patch("/units/{unit_id:uuid}", guards=[requires("admin", "write")])
async def edit_unit(
    *, unit_id: Id, data: JSONBody[UnitPatch], principal: Who, write: Write, now: Now, if_match: IfMatch = None
) -> Response[UnitView]:
    """Change fields of a unit."""
    if unit_id not in principal.units("admin", "write"):
        raise Problem(NOT_FOUND)
    unit = await write.get_one(Unit, unit_id, with_for_update=True)
    must_match(if_match, shown(unit, UnitView))
    await actions.edit_unit(write, now=now, actor=principal.actor, unit=unit, patch=data)
    return with_etag(shown(unit, UnitView))


@get("/crews", guards=[anyone_signed_in])
async def list_crews(principal: Who, read: Read, page: NamedDependency[PageRequest]) -> Page[CrewView]:
    """List crews: one's own, and those of the units one dispatches or administers."""
    return await queries.crews_page(read, principal, page)


@post("/crews", guards=[ORGANISERS])
async def add_crew(
    data: JSONBody[NewCrew], principal: Who, write: Write, once: NamedDependency[Once], now: Now
) -> Response[CrewView]:
    """Add a crew."""

    async def produce() -> CrewView:
        units = _organised(principal)
        return shown(await actions.add_crew(write, now=now, actor=principal.actor, units=units, new=data), CrewView)

    return await once.create(write, now, produce)


@get("/crews/{crew_id:uuid}", guards=[anyone_signed_in])
async def read_crew(crew_id: Id, principal: Who, read: Read) -> Response[CrewView]:
    """Read a crew."""
    return with_etag(shown(await queries.crew_seen(read, principal, crew_id), CrewView))


@patch("/crews/{crew_id:uuid}", guards=[ORGANISERS])
async def edit_crew(
    *, crew_id: Id, data: JSONBody[CrewPatch], principal: Who, write: Write, now: Now, if_match: IfMatch = None
) -> Response[CrewView]:
    """Change fields of a crew."""
    crew: Crew = await queries.within(write, Crew, crew_id, _organised(principal), locked=True)
    must_match(if_match, shown(crew, CrewView))
    await actions.edit_crew(write, now=now, actor=principal.actor, crew=crew, patch=data)
    return with_etag(shown(crew, CrewView))


@get("/crews/{crew_id:uuid}/members", guards=[anyone_signed_in])
async def list_members(crew_id: Id, principal: Who, read: Read) -> list[CrewMemberView]:
    """List who is, was or will be in a crew."""
    await queries.crew_seen(read, principal, crew_id)
    return await queries.members_of(read, crew_id)


@post("/crews/{crew_id:uuid}/members", guards=[ORGANISERS])
async def add_member(
    *, crew_id: Id, data: JSONBody[NewCrewMember], principal: Who, write: Write, once: NamedDependency[Once], now: Now
) -> Response[CrewMemberView]:
    """Put somebody into a crew."""

    async def produce() -> CrewMemberView:
        units = _organised(principal)
        crew: Crew = await queries.within(write, Crew, crew_id, units)
        actor = principal.actor
        return shown(
            await actions.add_crew_member(write, now=now, actor=actor, units=units, crew=crew, new=data), CrewMemberView
        )

    return await once.create(write, now, produce)


@post("/crews/{crew_id:uuid}/members/{member_id:uuid}/end", guards=[ORGANISERS], status_code=200)
async def end_membership(
    *, crew_id: Id, member_id: Id, data: JSONBody[Ending], principal: Who, write: Write, now: Now
) -> CrewMemberView:
    """Take somebody out of a crew, now or from a later instant."""
    await queries.within(write, Crew, crew_id, _organised(principal))
    member = await write.get(CrewMember, member_id, with_for_update=True)
    if member is None or member.crew_id != crew_id:
        raise Problem(NOT_FOUND)
    await actions.end_tenure(write, now=now, actor=principal.actor, row=member, at=data.at or now)
    return shown(member, CrewMemberView)


@get("/skills", guards=[anyone_signed_in])
async def list_skills(read: Read) -> list[SkillView]:
    """List the skills work may require."""
    return await queries.skills(read)


@get("/people/{person_id:uuid}/skills", guards=[anyone_signed_in])
async def list_person_skills(person_id: Id, principal: Who, read: Read, now: Now) -> list[PersonSkillView]:
    """List a person's skills and certificates."""
    await queries.person_seen(read, principal, person_id, now)
    return await queries.skills_of(read, person_id)


@post("/people/{person_id:uuid}/skills", guards=[ORGANISERS])
async def add_person_skill(
    *,
    person_id: Id,
    data: JSONBody[NewPersonSkill],
    principal: Who,
    write: Write,
    once: NamedDependency[Once],
    now: Now,
) -> Response[PersonSkillView]:
    """Record a skill or a certificate."""

    async def produce() -> PersonSkillView:
        person: Person = await queries.within(write, Person, person_id, _organised(principal))
        held = await actions.add_person_skill(write, now=now, actor=principal.actor, person=person, new=data)
        return shown(held, PersonSkillView)

    return await once.create(write, now, produce)


@post("/people/{person_id:uuid}/skills/{held_id:uuid}/end", guards=[ORGANISERS], status_code=200)
async def end_person_skill(
    *, person_id: Id, held_id: Id, data: JSONBody[Ending], principal: Who, write: Write, now: Now
) -> PersonSkillView:
    """End a skill or a certificate, now or from a later instant."""
    await queries.within(write, Person, person_id, _organised(principal))
    held = await write.get(PersonSkill, held_id, with_for_update=True)
    if held is None or held.person_id != person_id:
        raise Problem(NOT_FOUND)
    await actions.end_tenure(write, now=now, actor=principal.actor, row=held, at=data.at or now)
    return shown(held, PersonSkillView)


async def _administered(session: AsyncSession, principal: Principal, person_id: UUID, *, locked: bool = True) -> Person:
    return await queries.within(session, Person, person_id, principal.units("admin", "write"), locked=locked)


async def _own_or_administered(
    session: AsyncSession, principal: Principal, person_id: UUID, *, locked: bool = True
) -> Person:
    if person_id == principal.person_id:
        return await session.get_one(Person, person_id, with_for_update=locked)
    return await _administered(session, principal, person_id, locked=locked)


def _organised(principal: Principal) -> frozenset[UUID]:
    return principal.units("admin", "write") | principal.units("dispatch", "write")


def _lifetimes(settings: Settings) -> sign_in.Lifetimes:
    return sign_in.Lifetimes(
        access=timedelta(minutes=settings.access_minutes), refresh=timedelta(days=settings.refresh_days)
    )


def _address(request: Request[Any, Any, Any]) -> str:
    return request.client.host if request.client else "unknown"


router = Router(
    "/",
    route_handlers=[
        sign_in_route, refresh_route, sign_out_route, reset_password_route, me_route, edit_me, change_password_route,
        list_sessions, end_session, list_people, add_person, read_person, edit_person, deactivate_person, list_duties,
        issue_reset_code, issue_enrolment_code, list_devices, revoke_device, end_sessions, list_roles, list_grants,
        grant_role, end_grant, list_units, add_unit, read_unit, edit_unit, list_crews, add_crew, read_crew, edit_crew,
        list_members, add_member, end_membership, list_skills, list_person_skills, add_person_skill, end_person_skill,
    ],
    tags=TAGS,
)  # fmt: skip
