"""Signing in and staying signed in: by any name, from a device, against guessing, through lost answers and copies."""

import asyncio
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from backend.core.audit import AuditEntry
from backend.core.auth import issue_access_token, new_secret
from backend.core.ids import new_id
from backend.people.models import Device, Person, SignInAttempt, SignInSession
from backend.people.rules import REFRESHES_PENDING, Chain, normal_phone, password_finding, rotate
from backend.people.sign_in import ATTEMPTS_PER_ACCOUNT, ATTEMPTS_PER_ADDRESS, ATTEMPTS_WINDOW, SESSIONS_MAXIMUM
from tests.make import Office
from tests.personas import EVERYBODY, LI_WEI, LIN_LI, PASSWORD, WANG_FANG, ZHOU_TAO


async def offer(office: Office, login: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    return await office.client.post("/auth/sign-in", json={"login": login, "password": password, **more})


async def refresh(office: Office, token: str, **more: Any) -> httpx.Response:
    return await office.client.post("/auth/refresh", json={"refresh_token": token, **more})


async def me(office: Office, access_token: str) -> httpx.Response:
    return await office.client.get("/me", headers={"Authorization": f"Bearer {access_token}"})


async def add_device(office: Office, person_id: UUID, *, revoked: bool = False) -> UUID:
    device = Device(
        person_id=person_id, prefix=new_secret()[:8], public_key="", name="phone", app_version="1", schema_version=1,
        incarnation=new_id(), incarnations=1, view_revision=0, enrolled_at=office.now,
        revoked_at=office.now if revoked else None,
    )  # fmt: skip
    async with office.database.write() as session:
        session.add(device)
    return device.id


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.json()["code"]


# --- who signs in -----------------------------------------------------------------------------------------------------


async def test_everybody_signs_in_and_learns_what_they_may_do(office: Office) -> None:
    for persona in EVERYBODY:
        desk = await office.sign_in(persona)
        told = (await desk.get("/me")).json()
        assert (told["name"], told["roles"]) == (persona.name, [persona.role])


async def test_phone_number_and_email_are_found_however_they_are_typed(office: Office) -> None:
    for login in (LI_WEI.phone, "138 0000 0001", "13800000001", LI_WEI.email, LI_WEI.email.upper(), "T001"):
        assert (await offer(office, login)).status_code == 200, login


@pytest.mark.parametrize(
    ("login", "password"),
    [("T001", "wrong-password"), ("nobody", PASSWORD), ("", PASSWORD + "x"), ("T001\u0000", PASSWORD), ("T001", " ")],
)
async def test_a_wrong_name_or_password_is_refused_alike(office: Office, login: str, password: str) -> None:
    answer = await offer(office, login, password)
    assert answer.status_code in {401, 422}
    assert "access_token" not in answer.text
    if answer.status_code == 401:
        assert (code_of(answer), answer.headers["WWW-Authenticate"]) == ("wrong_login", "Bearer")


async def test_an_unknown_name_is_nobodys_not_that_of_somebody_without_a_telephone(office: Office) -> None:
    async with office.database.write() as session:
        await session.execute(update(Person).where(Person.employee_number != LI_WEI.employee_number).values(phone=None))
    for login in ("nobody", "T999", "nobody@paigong.example", "-", "12"):
        assert code_of(await offer(office, login)) == "wrong_login", login
    for _ in range(ATTEMPTS_PER_ACCOUNT + 2):
        await offer(office, "nobody", "guess")
    for persona in EVERYBODY:
        assert (await offer(office, persona.employee_number)).status_code == 200, "nobody else is locked out"
    assert (await offer(office, WANG_FANG.email)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"not json", b'{"login": 1, "password": "x"}', b'{"login": "T001", "password": null}',
     b'{"login": "T001", "password": "x", "admin": true}', b"\xff\xfe", b'{"login": "' + b"a" * 300 + b'"}'],
)  # fmt: skip
async def test_a_malformed_sign_in_gets_a_clear_error(sqlite_office: Office, body: bytes) -> None:
    answer = await sqlite_office.client.post(
        "/auth/sign-in", content=body, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code in {400, 422}
    assert {"code", "todo", "todo_zh", "detail_zh"} <= answer.json().keys()


async def test_an_unknown_name_costs_as_much_time_as_a_wrong_password(sqlite_office: Office) -> None:
    async def seconds(login: str) -> float:
        times: list[float] = []
        for _ in range(4):
            began = time.perf_counter()
            await offer(sqlite_office, login, "wrong-password")
            times.append(time.perf_counter() - began)
        return min(times)

    known, unknown = await seconds("T001"), await seconds("nobody-by-that-name")
    assert unknown > known / 3


async def test_somebody_deactivated_is_out_at_once(office: Office) -> None:
    desk = await office.sign_in(ZHOU_TAO)
    admin = await office.sign_in(LIN_LI)
    path = f"/people/{office.house.id_of(ZHOU_TAO)}/deactivation"
    assert (await admin.post(path, {"reason": "离职"})).status_code == 200
    assert (await desk.get("/me")).status_code == 401
    assert (await refresh(office, desk.tokens["refresh_token"])).status_code == 401
    assert code_of(await offer(office, "T002")) == "wrong_login"


# --- tokens -----------------------------------------------------------------------------------------------------------


async def test_access_tokens_expire_and_cannot_be_made_up(sqlite_office: Office) -> None:
    office = sqlite_office
    tokens = (await offer(office, "T001")).json()
    assert (await me(office, tokens["access_token"])).status_code == 200
    made_up = issue_access_token(
        b"another key" * 3, person_id=office.house.id_of(LI_WEI), session_id=new_id(), now=office.now,
        lifetime=timedelta(minutes=5),
    )  # fmt: skip
    for bad in ("", "x", made_up, tokens["access_token"][:-2], tokens["refresh_token"]):
        assert (await me(office, bad)).status_code == 401
    office.move_clock(minutes=office.settings.access_minutes)
    assert code_of(await me(office, tokens["access_token"])) == "not_signed_in"


async def test_an_expired_access_token_does_not_stop_a_refresh(sqlite_office: Office) -> None:
    tokens = (await offer(sqlite_office, "T001")).json()
    sqlite_office.move_clock(hours=2)
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    body = {"refresh_token": tokens["refresh_token"]}
    answer = await sqlite_office.client.post("/auth/refresh", json=body, headers=headers)
    assert answer.status_code == 200
    assert (await me(sqlite_office, answer.json()["access_token"])).status_code == 200


async def test_the_previous_refresh_token_stays_good_until_the_new_one_is_used(office: Office) -> None:
    first = (await offer(office, "T001")).json()["refresh_token"]
    lost = (await refresh(office, first)).json()["refresh_token"]
    second = (await refresh(office, first)).json()["refresh_token"]
    overtaken = (await refresh(office, first)).json()["refresh_token"]
    assert len({first, lost, second, overtaken}) == 4
    third = await refresh(office, second)
    assert third.status_code == 200
    assert (await refresh(office, second)).status_code == 200, "the one just used may be offered again"
    assert (await refresh(office, third.json()["refresh_token"])).status_code == 200


@pytest.mark.parametrize("copied", ["first", "sibling"])
async def test_a_spent_refresh_token_ends_the_session(office: Office, copied: str) -> None:
    first = (await offer(office, "T001")).json()["refresh_token"]
    sibling = (await refresh(office, first)).json()["refresh_token"]
    used = (await refresh(office, first)).json()["refresh_token"]
    newest = (await refresh(office, used)).json()
    assert code_of(await refresh(office, {"first": first, "sibling": sibling}[copied])) == "not_signed_in"
    assert (await refresh(office, newest["refresh_token"])).status_code == 401, "thief and owner are both out"
    assert (await me(office, newest["access_token"])).status_code == 401


async def test_a_made_up_refresh_token_ends_nobodys_session(sqlite_office: Office) -> None:
    token = (await offer(sqlite_office, "T001")).json()["refresh_token"]
    for bad in (token[:-4] + "AAAA", "A" * len(token), "x", "令牌", token + "A"):
        assert (await refresh(sqlite_office, bad)).status_code == 401
    assert (await refresh(sqlite_office, token)).status_code == 200


async def test_a_refresh_token_expires_and_each_use_renews_it(sqlite_office: Office) -> None:
    office = sqlite_office
    token = (await offer(office, "T001")).json()["refresh_token"]
    for _ in range(3):
        office.move_clock(days=office.settings.refresh_days - 1)
        token = (await refresh(office, token)).json()["refresh_token"]
    office.move_clock(days=office.settings.refresh_days)
    assert (await refresh(office, token)).status_code == 401


async def test_a_refresh_token_is_bound_to_its_device(office: Office) -> None:
    phone = await add_device(office, office.house.id_of(LI_WEI))
    token = (await offer(office, "T001", device_id=str(phone))).json()["refresh_token"]
    other = await add_device(office, office.house.id_of(LI_WEI))
    assert (await refresh(office, token)).status_code == 401
    assert (await refresh(office, token, device_id=str(other))).status_code == 401
    assert (await refresh(office, token, device_id=str(phone))).status_code == 200


async def test_nobody_signs_in_from_anothers_or_a_revoked_phone(office: Office) -> None:
    others = await add_device(office, office.house.id_of(ZHOU_TAO))
    revoked = await add_device(office, office.house.id_of(LI_WEI), revoked=True)
    for device in (others, revoked, new_id()):
        answer = await offer(office, "T001", device_id=str(device))
        assert (answer.status_code, code_of(answer)) == (403, "device_not_yours")


async def test_a_revoked_phone_keeps_its_name_and_loses_every_right(office: Office) -> None:
    phone = await add_device(office, office.house.id_of(LI_WEI))
    desk = await office.sign_in(LI_WEI, phone)
    assert (await desk.get("/customers")).status_code == 200
    assert (await desk.ask("DELETE", f"/people/{office.house.id_of(LI_WEI)}/devices/{phone}")).status_code == 204
    told = await desk.get("/me")
    assert (told.status_code, told.json()["permissions"]) == (200, [])
    assert (await desk.get("/customers")).status_code == 403


async def test_two_refreshes_at_once_leave_one_good_chain(office: Office) -> None:
    token = (await offer(office, "T001")).json()["refresh_token"]
    both = await asyncio.gather(refresh(office, token), refresh(office, token))
    assert [answer.status_code for answer in both] == [200, 200]
    assert (await refresh(office, both[0].json()["refresh_token"])).status_code == 200
    assert (await refresh(office, both[1].json()["refresh_token"])).status_code == 401


# --- guessing ---------------------------------------------------------------------------------------------------------


async def test_guessing_a_password_is_stopped_for_the_account_under_every_name(office: Office) -> None:
    for number in range(ATTEMPTS_PER_ACCOUNT):
        answer = await offer(office, ("T001", LI_WEI.phone, LI_WEI.email)[number % 3], "guess")
        assert code_of(answer) == "wrong_login"
    refused = await offer(office, "T001")
    assert (refused.status_code, code_of(refused)) == (429, "too_many_sign_ins")
    assert int(refused.headers["Retry-After"]) <= ATTEMPTS_WINDOW.total_seconds()
    assert (await offer(office, "D001")).status_code == 200, "others are not kept out"
    office.move_clock(seconds=int(refused.headers["Retry-After"]))
    assert (await offer(office, "T001")).status_code == 200


async def test_attempts_at_the_same_instant_are_all_counted(office: Office) -> None:
    answers = await asyncio.gather(*(offer(office, "T001", "guess") for _ in range(ATTEMPTS_PER_ACCOUNT + 5)))
    assert [answer.status_code for answer in answers].count(429) == 5


async def test_guessing_many_names_is_stopped_for_the_address(sqlite_office: Office) -> None:
    async with sqlite_office.database.write() as session:
        session.add_all(
            SignInAttempt(at=sqlite_office.now, account=f"{number:064}", address="127.0.0.1")
            for number in range(ATTEMPTS_PER_ADDRESS)
        )
    assert code_of(await offer(sqlite_office, "T001")) == "too_many_sign_ins"


async def test_a_success_forgives_earlier_failures(sqlite_office: Office) -> None:
    for _ in range(3):
        for _ in range(ATTEMPTS_PER_ACCOUNT - 1):
            await offer(sqlite_office, "T001", "guess")
        assert (await offer(sqlite_office, "T001")).status_code == 200
    async with sqlite_office.database.read() as session:
        assert (await session.execute(select(SignInAttempt))).first() is None


# --- sessions and passwords -------------------------------------------------------------------------------------------


async def test_sessions_are_listed_and_ended_one_by_one(office: Office) -> None:
    here, there = await office.sign_in(LI_WEI), await office.sign_in(LI_WEI)
    stranger = await office.sign_in(ZHOU_TAO)
    listed = (await here.get("/me/sessions")).json()
    assert len(listed) == 2
    (other,) = [one for one in listed if not one["current"]]
    assert (await stranger.ask("DELETE", f"/me/sessions/{other['id']}")).status_code == 404
    assert (await here.ask("DELETE", f"/me/sessions/{other['id']}")).status_code == 204
    assert (await there.get("/me")).status_code == 401
    assert (await here.post("/auth/sign-out")).status_code == 204
    assert (await here.get("/me")).status_code == 401


async def test_the_oldest_of_too_many_sessions_ends(sqlite_office: Office) -> None:
    desks = []
    for _ in range(SESSIONS_MAXIMUM + 1):
        desks.append(await sqlite_office.sign_in(LI_WEI))
        sqlite_office.move_clock(seconds=1)
    assert (await desks[0].get("/me")).status_code == 401
    assert (await desks[1].get("/me")).status_code == 200


async def test_changing_the_password_ends_the_other_sessions(office: Office) -> None:
    here, there = await office.sign_in(LI_WEI), await office.sign_in(LI_WEI)
    wrong = await here.post("/me/password", {"old": "not-it-at-all", "new": "xin-mi-ma-2026"})
    assert (wrong.status_code, code_of(wrong)) == (403, "wrong_password")
    for easy in ("short", "aaaaaaaaaaaa", LI_WEI.email, "+8613800000001"):
        refused = await here.post("/me/password", {"old": PASSWORD, "new": easy})
        assert (code_of(refused), refused.json()["findings"][0]["field"]) == ("invalid", "new")
    assert (await here.post("/me/password", {"old": PASSWORD, "new": "xin-mi-ma-2026"})).status_code == 204
    assert (await here.get("/me")).status_code == 200
    assert (await there.get("/me")).status_code == 401
    assert (await offer(office, "T001")).status_code == 401
    assert (await offer(office, "T001", "xin-mi-ma-2026")).status_code == 200


async def test_an_administrators_code_resets_a_password_once(office: Office) -> None:
    admin, lost = await office.sign_in(LIN_LI), await office.sign_in(LI_WEI)
    path = f"/people/{office.house.id_of(LI_WEI)}/reset-codes"
    earlier, code = [(await admin.post(path)).json()["code"] for _ in range(2)]
    body = {"code": code, "password": "xin-mi-ma-2026"}
    assert code_of(await office.client.post("/auth/password-reset", json=body | {"code": earlier})) == (
        "reset_code_invalid"
    )
    easy = await office.client.post("/auth/password-reset", json=body | {"password": "1234567890"[:9]})
    assert code_of(easy) == "invalid"
    assert (await office.client.post("/auth/password-reset", json=body)).status_code == 204
    assert code_of(await office.client.post("/auth/password-reset", json=body)) == "reset_code_invalid"
    assert (await lost.get("/me")).status_code == 401
    assert (await offer(office, "T001", "xin-mi-ma-2026")).status_code == 200
    async with office.database.read() as session:
        trail = (await session.execute(select(AuditEntry).order_by(AuditEntry.id))).scalars().all()
    assert [(entry.action, entry.person_id) for entry in trail] == [
        ("person.password_reset_issued", office.house.id_of(LIN_LI)),
        ("person.password_reset_issued", office.house.id_of(LIN_LI)),
        ("person.password_set", office.house.id_of(LI_WEI)),
    ]
    assert "xin-mi-ma" not in str([(entry.before, entry.after) for entry in trail])


async def test_a_reset_code_expires_and_only_administrators_make_one(sqlite_office: Office) -> None:
    path = f"/people/{sqlite_office.house.id_of(LI_WEI)}/reset-codes"
    for persona in (LI_WEI, WANG_FANG):
        assert (await (await sqlite_office.sign_in(persona)).post(path)).status_code == 403
    code = (await (await sqlite_office.sign_in(LIN_LI)).post(path)).json()["code"]
    sqlite_office.move_clock(hours=24)
    body = {"code": code, "password": "xin-mi-ma-2026"}
    assert code_of(await sqlite_office.client.post("/auth/password-reset", json=body)) == "reset_code_invalid"


async def test_neither_passwords_nor_tokens_lie_in_the_database(sqlite_office: Office) -> None:
    token = (await offer(sqlite_office, "T001")).json()["refresh_token"]
    await refresh(sqlite_office, token)
    async with sqlite_office.database.read() as session:
        opened = (await session.execute(select(SignInSession))).scalars().one()
    assert token not in (opened.previous_hash, *opened.next_hashes)
    raw = (sqlite_office.settings.data_dir.parent / "furnished.db").read_bytes()
    assert PASSWORD.encode() not in raw
    assert token.encode() not in raw


# --- the rules alone --------------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["newest", "previous", "lost"]), max_size=30))
def test_whatever_gets_lost_the_owner_stays_signed_in(history: list[str]) -> None:
    """An owner offers the newest token received, or repeats the last one when the answer was lost."""
    chain, holds, offered = Chain(None, ("t0",)), "t0", "t0"
    for number, step in enumerate(history, start=1):
        offered = holds if step != "previous" else offered
        after = rotate(chain, offered, f"t{number}")
        assert after is not None
        chain = after
        assert len(chain.nexts) <= REFRESHES_PENDING
        if step != "lost":
            holds = f"t{number}"


@given(st.integers(1, 5), st.data())
def test_a_token_used_before_the_last_one_is_never_taken_again(uses: int, data: st.DataObject) -> None:
    chain, used = Chain(None, ("t0",)), ["t0"]
    for number in range(1, uses + 2):
        after = rotate(chain, used[-1], f"t{number}")
        assert after is not None
        chain = after
        used.append(f"t{number}")
    spent = data.draw(st.sampled_from(used[:-2]))
    assert rotate(chain, spent, "fresh") is None


@pytest.mark.parametrize(
    ("typed", "kept"),
    [("138 0000 0001", "+8613800000001"), ("+86 138-0000-0001", "+8613800000001"), ("+49 30 901820", "+4930901820"),
     ("010-12345678", "+861012345678"), ("12", None), ("abc", None), ("", None)],
)  # fmt: skip
def test_phone_numbers_are_kept_one_way(typed: str, kept: str | None) -> None:
    assert normal_phone(typed) == kept


@given(st.text(max_size=9))
def test_short_passwords_are_never_good(password: str) -> None:
    assert password_finding("new", password, []) is not None
