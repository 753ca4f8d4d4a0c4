"""Signing in and staying signed in. Hashing happens in a thread, outside any transaction."""

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import phonenumbers
from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import (
    UNUSABLE_HASH,
    Grant,
    Permission,
    Principal,
    issue_access_token,
    new_secret,
    password_matches,
    secret_hash,
)
from backend.core.errors import NOT_SIGNED_IN, Fault, Problem
from backend.core.sessions import Database
from backend.people.models import CrewMember, Person, Role, RoleGrant, SignInSession, Unit
from backend.people.schemas import Refresh, SignIn, Tokens

HOME_REGION: Final = "CN"
"""Phone numbers without a country code are read as numbers of this region."""

WRONG_LOGIN = Fault(
    "wrong_login", 401, "账号或密码不正确。", "The name or the password is not right.",
    "请检查手机号、工号或邮箱和密码;忘记密码请联系管理员。",
    "Check the phone, employee number or e-mail and the password; ask an administrator to reset a forgotten one.",
)  # fmt: skip


def normal_phone(text: str) -> str | None:
    """Return a phone number in E.164, or None if the text is not one."""
    try:
        number = phonenumbers.parse(text, HOME_REGION)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


async def sign_in(
    database: Database, key: bytes, offer: SignIn, *, now: datetime, access: timedelta, refresh: timedelta
) -> Tokens:
    """Check a login and open a session; raises wrong_login, after the same work for an unknown name as for a wrong password."""
    async with database.read() as session:
        person = await _person_called(session, offer.login)
    stored = person.password_hash if person and person.active and person.password_hash else UNUSABLE_HASH
    matches = await asyncio.to_thread(password_matches, offer.password, stored)
    if not matches or person is None:
        raise Problem(WRONG_LOGIN)
    secret = new_secret()
    async with database.write() as session:
        opened = SignInSession(
            person_id=person.id, device_id=offer.device_id, refresh_hash=secret_hash(secret),
            started_at=now, expires_at=now + refresh,
        )  # fmt: skip
        session.add(opened)
    return _tokens(key, opened, secret, now=now, access=access)


async def refresh_sign_in(
    session: AsyncSession, key: bytes, offer: Refresh, *, now: datetime, access: timedelta, refresh: timedelta
) -> Tokens:
    """Rotate a refresh token; raises not_signed_in.

    The previous token stays valid until the new one is first used, so an answer lost on the way costs nothing. A token older
    than that is a stolen copy or a restored backup: the session ends.
    """
    offered = secret_hash(offer.refresh_token)
    known = select(SignInSession).where(
        or_(SignInSession.refresh_hash == offered, SignInSession.previous_hash == offered)
    )
    opened = (await session.execute(known.with_for_update())).scalar_one_or_none()
    if opened is None or opened.revoked_at or opened.expires_at <= now or opened.device_id != offer.device_id:
        raise Problem(NOT_SIGNED_IN)
    person = await session.get_one(Person, opened.person_id)
    if not person.active:
        raise Problem(NOT_SIGNED_IN)
    secret = new_secret()
    opened.previous_hash = offered
    opened.refresh_hash = secret_hash(secret)
    opened.expires_at = now + refresh
    return _tokens(key, opened, secret, now=now, access=access)


async def sign_out(session: AsyncSession, session_id: UUID, *, now: datetime) -> None:
    """End a session; its tokens are refused from now on."""
    opened = await session.get_one(SignInSession, session_id)
    opened.revoked_at = opened.revoked_at or now


async def principal_of(session: AsyncSession, *, person_id: UUID, session_id: UUID, now: datetime) -> Principal:
    """Return the person behind a session with everything their roles grant now; raises not_signed_in."""
    opened = await session.get(SignInSession, session_id)
    person = await session.get(Person, person_id)
    if opened is None or person is None or opened.revoked_at or opened.person_id != person_id or not person.active:
        raise Problem(NOT_SIGNED_IN)
    return Principal(
        person_id=person_id, session_id=session_id, device_id=opened.device_id, language=person.language,
        grants=await _grants(session, person_id, now), crew_ids=await _crews(session, person_id, now),
    )  # fmt: skip


async def _person_called(session: AsyncSession, login: str) -> Person | None:
    phone = normal_phone(login)
    names = or_(Person.employee_number == login, Person.email == login.lower(), Person.phone == phone)
    return (
        await session.execute(select(Person).where(names).order_by(Person.employee_number != login).limit(1))
    ).scalar()


async def _grants(session: AsyncSession, person_id: UUID, now: datetime) -> tuple[Grant, ...]:
    held = (
        select(RoleGrant.unit_id, Role.permissions, Role.queues)
        .join(Role, Role.id == RoleGrant.role_id)
        .where(RoleGrant.person_id == person_id, RoleGrant.valid_from <= now)
        .where(or_(RoleGrant.valid_until.is_(None), RoleGrant.valid_until > now))
    )
    rows = (await session.execute(held)).all()
    below = await unit_trees(session, {row.unit_id for row in rows})
    return tuple(
        Grant(permission=Permission(**permission), unit_ids=below[row.unit_id], queues=frozenset(row.queues))
        for row in rows
        for permission in row.permissions
    )


async def _crews(session: AsyncSession, person_id: UUID, now: datetime) -> frozenset[UUID]:
    member = select(CrewMember.crew_id).where(CrewMember.person_id == person_id, CrewMember.valid_from <= now)
    current = member.where(or_(CrewMember.valid_until.is_(None), CrewMember.valid_until > now))
    return frozenset((await session.execute(current)).scalars())


async def unit_trees(session: AsyncSession, roots: set[UUID]) -> dict[UUID, frozenset[UUID]]:
    """Return, for each root, the unit and everything below it."""
    children: dict[UUID | None, list[UUID]] = {}
    for row in (await session.execute(select(Unit.id, Unit.parent_id))).all():
        children.setdefault(row.parent_id, []).append(row.id)

    def below(unit_id: UUID) -> set[UUID]:
        return {unit_id}.union(*(below(child) for child in children.get(unit_id, [])))

    return {root: frozenset(below(root)) for root in roots}


def _tokens(key: bytes, opened: SignInSession, secret: str, *, now: datetime, access: timedelta) -> Tokens:
    token = issue_access_token(key, person_id=opened.person_id, session_id=opened.id, now=now, lifetime=access)
    return Tokens(
        access_token=token, access_expires_at=now + access, refresh_token=secret,
        refresh_expires_at=opened.expires_at, person_id=opened.person_id,
    )  # fmt: skip
