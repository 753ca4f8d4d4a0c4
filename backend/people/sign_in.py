"""Signing in and staying signed in. Hashing happens in a thread, outside any transaction."""

import asyncio
import base64
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor, record
from backend.core.auth import (
    UNUSABLE_HASH,
    Grant,
    Permission,
    Principal,
    hash_password,
    issue_access_token,
    password_matches,
    secret_hash,
)
from backend.core.errors import INVALID, NOT_SIGNED_IN, Fault, Problem
from backend.core.sessions import Database
from backend.people.models import (
    CrewMember,
    Device,
    PasswordReset,
    Person,
    Role,
    RoleGrant,
    SignInAttempt,
    SignInSession,
    Unit,
)
from backend.people.rules import Chain, normal_phone, password_finding, rotate
from backend.people.schemas import PasswordChange, Refresh, ResetPassword, SignIn, Tokens

ATTEMPTS_WINDOW: Final = timedelta(minutes=15)
ATTEMPTS_PER_ACCOUNT: Final = 10
"""Failed sign-ins of one person in the window before further ones are refused unchecked."""
ATTEMPTS_PER_ADDRESS: Final = 100
"""The same from one network address: a whole office may stand behind one."""
SESSIONS_KEPT: Final = timedelta(days=90)
"""How long the trace of an ended sign-in is kept."""
SESSIONS_MAXIMUM: Final = 20
"""Sessions a person may have open; a further sign-in ends the oldest."""
SECRET_BYTES: Final = 32
TAG_BYTES: Final = 16

WRONG_LOGIN = Fault(
    "wrong_login", 401, "账号或密码不正确。", "The name or the password is not right.",
    "请检查手机号、工号或邮箱和密码;忘记密码请联系管理员。",
    "Check the phone, employee number or e-mail and the password; ask an administrator to reset a forgotten one.",
)  # fmt: skip
TOO_MANY_SIGN_INS = Fault(
    "too_many_sign_ins", 429, "登录失败次数过多,暂时不再检查。", "Too many failed sign-ins; none is checked now.",
    "请等待 Retry-After 所示秒数后再试,或请管理员重置密码。",
    "Wait the seconds of Retry-After, or ask an administrator to reset the password.",
)  # fmt: skip
DEVICE_NOT_YOURS = Fault(
    "device_not_yours", 403, "这部手机未登记在您名下,或已被停用。",
    "This phone is not registered for you, or is no longer in use.",
    "请向管理员索取登记码,重新登记手机。", "Ask an administrator for an enrolment code and register the phone again.",
)  # fmt: skip
WRONG_PASSWORD = Fault(
    "wrong_password", 403, "原密码不正确。", "The old password is not right.",
    "请重新输入;忘记密码请联系管理员。", "Enter it again; ask an administrator to reset a forgotten one.",
)  # fmt: skip
RESET_CODE_INVALID = Fault(
    "reset_code_invalid", 403, "重置码无效、已使用或已过期。", "The reset code is wrong, used or expired.",
    "请向管理员索取新的重置码。", "Ask an administrator for a new one.",
)  # fmt: skip


class Lifetimes(msgspec.Struct, frozen=True):
    """How long tokens are good for."""

    access: timedelta
    refresh: timedelta


async def sign_in(
    database: Database, key: bytes, offer: SignIn, *, now: datetime, address: str, lifetimes: Lifetimes
) -> Tokens:
    """Check a login and open a session; raises wrong_login, too_many_sign_ins, device_not_yours.

    An unknown name costs the same work as a wrong password, so the answer's time tells nobody who works here.
    """
    async with database.read() as session:
        person = await _person_called(session, offer.login)
    account = _account(person, offer.login)
    await _count_attempt(database, person, account, address, now=now)
    stored = person.password_hash if person and person.active and person.password_hash else UNUSABLE_HASH
    matches = await asyncio.to_thread(password_matches, offer.password, stored)
    if not matches or person is None:
        raise Problem(WRONG_LOGIN)
    async with database.write() as session:
        fresh = await session.get_one(Person, person.id, with_for_update=True)
        if not fresh.active or fresh.password_hash != stored:
            raise Problem(WRONG_LOGIN)
        await session.execute(delete(SignInAttempt).where(SignInAttempt.account == account))
        if offer.device_id is not None:
            await _check_device(session, person.id, offer.device_id)
        await _end_oldest(session, person.id, now=now)
        opened = SignInSession(
            person_id=person.id, device_id=offer.device_id, next_hashes=[], address=address, started_at=now,
            last_used_at=now, expires_at=now + lifetimes.refresh,
        )  # fmt: skip
        token = issue_refresh_token(key, opened.id)
        opened.next_hashes = [secret_hash(token)]
        session.add(opened)
    return _tokens(key, opened, token, now=now, access=lifetimes.access)


async def refresh_sign_in(
    database: Database, key: bytes, offer: Refresh, *, now: datetime, lifetimes: Lifetimes
) -> Tokens:
    """Rotate a refresh token; raises not_signed_in. A token that was spent ends its session (see `rules.rotate`)."""
    session_id = read_refresh_token(key, offer.refresh_token)
    tokens = None
    async with database.write() as session:
        opened = await session.get(SignInSession, session_id, with_for_update=True)
        if opened is not None and opened.device_id == offer.device_id and _is_open(opened, now):
            tokens = await _rotated(session, key, opened, offer, now=now, lifetimes=lifetimes)
    if tokens is None:  # only now: raising inside would take back the end of a stolen session
        raise Problem(NOT_SIGNED_IN)
    return tokens


async def sign_out(session: AsyncSession, session_id: UUID, *, now: datetime) -> None:
    """End a session; its tokens are refused from now on."""
    opened = await session.get_one(SignInSession, session_id)
    opened.revoked_at = opened.revoked_at or now


async def end_sessions(session: AsyncSession, person_id: UUID, *, now: datetime, but: UUID | None = None) -> list[UUID]:
    """End a person's open sessions, except `but`; return which."""
    theirs = select(SignInSession).where(SignInSession.person_id == person_id, SignInSession.revoked_at.is_(None))
    ended = [opened for opened in (await session.execute(theirs)).scalars() if opened.id != but]
    for opened in ended:
        opened.revoked_at = now
    return [opened.id for opened in ended]


async def change_password(
    database: Database, change: PasswordChange, *, principal: Principal, now: datetime, address: str
) -> None:
    """Set a new password after checking the old one; ends the person's other sessions.

    Raises wrong_password, too_many_sign_ins, invalid.
    """
    async with database.read() as session:
        person = await session.get_one(Person, principal.person_id)
    await _count_attempt(database, person, _account(person, ""), address, now=now)
    stored = person.password_hash or UNUSABLE_HASH
    if not await asyncio.to_thread(password_matches, change.old, stored):
        raise Problem(WRONG_PASSWORD)
    hashed = await _hashed("new", change.new, person)
    async with database.write() as session:
        await session.execute(delete(SignInAttempt).where(SignInAttempt.account == _account(person, "")))
        await _set_password(session, person.id, hashed, now=now, actor=principal.actor, but=principal.session_id)


async def reset_password(database: Database, reset: ResetPassword, *, now: datetime, address: str) -> None:
    """Set a password with the one-time code of an administrator; ends every session of the person.

    Raises reset_code_invalid, too_many_sign_ins, invalid.
    """
    await _count_attempt(database, None, secret_hash(f"reset {address}"), address, now=now)
    code = select(PasswordReset).where(PasswordReset.code_hash == secret_hash(reset.code))
    good = code.where(PasswordReset.used_at.is_(None), PasswordReset.expires_at > now)
    async with database.read() as session:
        found = (await session.execute(good)).scalar_one_or_none()
        person = found and await session.get_one(Person, found.person_id)
    if person is None or not person.active:
        raise Problem(RESET_CODE_INVALID)
    hashed = await _hashed("password", reset.password, person)
    async with database.write() as session:
        mine = (await session.execute(good.with_for_update())).scalar_one_or_none()
        if mine is None:
            raise Problem(RESET_CODE_INVALID)
        mine.used_at = now
        mine_account = SignInAttempt.account.in_([_account(person, ""), secret_hash(f"reset {address}")])
        await session.execute(delete(SignInAttempt).where(mine_account))
        await _set_password(session, person.id, hashed, now=now, actor=Actor(person_id=person.id), but=None)


async def identity_of(database: Database, *, person_id: UUID, session_id: UUID) -> Principal | None:
    """Return the person behind a session as `principal_of` does, but without what their roles grant. One lookup."""
    found = await database.look_up(_IDENTITY, {"session": session_id, "person": person_id})
    if not found:
        return None
    return Principal(person_id, session_id, found[0].device_id, found[0].language, ())


async def principal_of(session: AsyncSession, *, person_id: UUID, session_id: UUID, now: datetime) -> Principal | None:
    """Return the person behind a session with everything their roles grant now, or None if the session is over.

    A session of a revoked phone keeps its name, so that the phone can be told to wipe itself, but may do nothing.
    """
    opened = await session.get(SignInSession, session_id)
    person = await session.get(Person, person_id)
    if opened is None or person is None or opened.revoked_at or opened.person_id != person_id or not person.active:
        return None
    device = await session.get(Device, opened.device_id) if opened.device_id else None
    revoked = device is not None and device.revoked_at is not None
    return Principal(
        person_id=person_id, session_id=session_id, device_id=opened.device_id, language=person.language,
        grants=() if revoked else await _grants(session, person_id, now),
        crew_ids=frozenset() if revoked else await _crews(session, person_id, now),
    )  # fmt: skip


def issue_refresh_token(key: bytes, session_id: UUID) -> str:
    """Return a new refresh token of a session: its id, 32 random bytes, and a tag that shows the token is ours."""
    body = session_id.bytes + secrets.token_bytes(SECRET_BYTES)
    return base64.urlsafe_b64encode(body + _tag(key, body)).decode()


def read_refresh_token(key: bytes, token: str) -> UUID:
    """Return the session a refresh token belongs to; raises not_signed_in for what we never issued."""
    try:
        raw = base64.urlsafe_b64decode(token.encode("ascii"))
    except ValueError as error:
        raise Problem(NOT_SIGNED_IN) from error
    body, tag = raw[:-TAG_BYTES], raw[-TAG_BYTES:]
    # Base64 spells the same bytes in several ways; only ours counts, because its text is what was hashed.
    spelled_as_issued = base64.urlsafe_b64encode(raw).decode() == token
    if len(body) != 16 + SECRET_BYTES or not hmac.compare_digest(tag, _tag(key, body)) or not spelled_as_issued:
        raise Problem(NOT_SIGNED_IN)
    return UUID(bytes=body[:16])


async def unit_trees(session: AsyncSession, roots: set[UUID]) -> dict[UUID, frozenset[UUID]]:
    """Return, for each root, the unit and everything below it."""
    children: dict[UUID | None, list[UUID]] = {}
    for row in (await session.execute(select(Unit.id, Unit.parent_id))).all():
        children.setdefault(row.parent_id, []).append(row.id)

    def below(unit_id: UUID) -> set[UUID]:
        return {unit_id}.union(*(below(child) for child in children.get(unit_id, [])))

    return {root: frozenset(below(root)) for root in roots}


def _tag(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, b"refresh token\n" + body, "sha256")[:TAG_BYTES]


def _is_open(opened: SignInSession, now: datetime) -> bool:
    return opened.revoked_at is None and opened.expires_at > now


async def _rotated(
    session: AsyncSession, key: bytes, opened: SignInSession, offer: Refresh, *, now: datetime, lifetimes: Lifetimes
) -> Tokens | None:
    person = await session.get_one(Person, opened.person_id)
    if not person.active:
        return None
    token = issue_refresh_token(key, opened.id)
    standing = Chain(opened.previous_hash, tuple(opened.next_hashes))
    chain = rotate(standing, secret_hash(offer.refresh_token), secret_hash(token))
    if chain is None:
        opened.revoked_at = now
        return None
    opened.previous_hash, opened.next_hashes = chain.previous, list(chain.nexts)
    opened.last_used_at, opened.expires_at = now, now + lifetimes.refresh
    return _tokens(key, opened, token, now=now, access=lifetimes.access)


def _account(person: Person | None, login: str) -> str:
    return hashlib.sha256(str(person.id if person else login.casefold()).encode()).hexdigest()


async def _count_attempt(
    database: Database, person: Person | None, account: str, address: str, *, now: datetime
) -> None:
    """Note an attempt before it is checked; raises too_many_sign_ins.

    The person's row is locked, so that of many attempts at once none slips through. A name nobody has needs no lock:
    there is no password behind it to guess.
    """
    limits = (
        (SignInAttempt.account == account, ATTEMPTS_PER_ACCOUNT),
        (SignInAttempt.address == address, ATTEMPTS_PER_ADDRESS),
    )
    async with database.write() as session:
        if person is not None:
            await session.get_one(Person, person.id, with_for_update=True)
        await session.execute(delete(SignInAttempt).where(SignInAttempt.at <= now - ATTEMPTS_WINDOW))
        for of_one, limit in limits:
            count, oldest = (
                await session.execute(select(func.count(), func.min(SignInAttempt.at)).where(of_one))
            ).one()
            if count >= limit:
                wait = oldest + ATTEMPTS_WINDOW - now
                raise Problem(TOO_MANY_SIGN_INS, retry_after_seconds=max(1, int(wait.total_seconds())))
        session.add(SignInAttempt(at=now, account=account, address=address))


async def _check_device(session: AsyncSession, person_id: UUID, device_id: UUID) -> None:
    device = await session.get(Device, device_id)
    if device is None or device.person_id != person_id or device.revoked_at:
        raise Problem(DEVICE_NOT_YOURS)


async def _end_oldest(session: AsyncSession, person_id: UUID, *, now: datetime) -> None:
    theirs = select(SignInSession).where(
        SignInSession.person_id == person_id, SignInSession.revoked_at.is_(None), SignInSession.expires_at > now
    )
    newest_first = (await session.execute(theirs.order_by(SignInSession.last_used_at.desc()))).scalars().all()
    for opened in newest_first[SESSIONS_MAXIMUM - 1 :]:
        opened.revoked_at = now


async def _hashed(field: str, password: str, person: Person) -> str:
    names = [name for name in (person.name, person.employee_number, person.phone, person.email) if name]
    finding = password_finding(field, password, names)
    if finding:
        raise Problem(INVALID, finding)
    return await asyncio.to_thread(hash_password, password)


async def _set_password(
    session: AsyncSession, person_id: UUID, hashed: str, *, now: datetime, actor: Actor, but: UUID | None
) -> None:
    person = await session.get_one(Person, person_id, with_for_update=True)
    person.password_hash = hashed
    record(session, now=now, actor=actor, action="person.password_set", row=person)
    await end_sessions(session, person_id, now=now, but=but)


async def _person_called(session: AsyncSession, login: str) -> Person | None:
    names = [Person.employee_number == login, Person.email == login.lower()]
    phone = normal_phone(login)
    if phone is not None:  # a comparison with None would find whoever has no telephone
        names.append(Person.phone == phone)
    called = select(Person).where(or_(*names)).order_by(Person.employee_number != login).limit(1)
    return (await session.execute(called)).scalar()


async def _grants(session: AsyncSession, person_id: UUID, now: datetime) -> tuple[Grant, ...]:
    held = (
        select(RoleGrant.unit_id, Role.permissions, Role.queues)
        .join(Role, Role.id == RoleGrant.role_id)
        .where(RoleGrant.person_id == person_id, RoleGrant.valid_from <= now)
        .where(or_(RoleGrant.valid_until.is_(None), RoleGrant.valid_until > now))
        .order_by(RoleGrant.id)  # /me lists them, and its ETag rests on their order
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


def _tokens(key: bytes, opened: SignInSession, token: str, *, now: datetime, access: timedelta) -> Tokens:
    return Tokens(
        access_token=issue_access_token(
            key, person_id=opened.person_id, session_id=opened.id, now=now, lifetime=access
        ),
        access_expires_at=now + access, refresh_token=token, refresh_expires_at=opened.expires_at,
        person_id=opened.person_id,
    )  # fmt: skip


async def forget_ended_sessions(session: AsyncSession, now: datetime) -> int:
    """Delete sign-ins that ended longer ago than SESSIONS_KEPT, with the address they came from; return how many."""
    ended_at = func.coalesce(SignInSession.revoked_at, SignInSession.expires_at)
    old = delete(SignInSession).where(ended_at < now - SESSIONS_KEPT)
    return len((await session.execute(old.returning(SignInSession.id))).all())


_IDENTITY: Final = (
    select(SignInSession.device_id, Person.language)
    .join(Person, Person.id == SignInSession.person_id)
    .where(SignInSession.id == bindparam("session"), SignInSession.person_id == bindparam("person"))
    .where(SignInSession.revoked_at.is_(None), Person.active.is_(True))
)
"""Built once: it is asked at every pull and push."""
