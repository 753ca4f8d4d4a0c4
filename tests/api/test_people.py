"""People, roles, crews, skills, devices and the roster over the API: who may, what is refused, what is kept."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from backend.core.audit import AuditEntry
from backend.core.ids import new_id
from backend.people.models import (
    CrewMember,
    Device,
    EnrolmentCode,
    Person,
    RoleGrant,
    Territory,
    TerritoryMember,
    Vehicle,
)
from backend.people.queries import LISTED_MAXIMUM
from backend.sites.models import SiteOwner
from sync.limits import DEVICES_A_PERSON
from tests.answers import added, code_of, fields_of, new_person
from tests.make import LAT, LON, START, House, Office, add_all
from tests.personas import (
    CHEN_JING,
    HE_LI,
    LI_WEI,
    LIN_LI,
    MA_CHAO,
    PASSWORD,
    SUN_LEI,
    TANG_MIN,
    WANG_FANG,
    WU_GANG,
    ZHOU_TAO,
)

DAY = timedelta(days=1)


# --- people -----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A267")
async def test_an_administrator_adds_a_person_who_then_sets_a_password(office: Office) -> None:
    admin = await office.sign_in(LIN_LI)
    person = await added(admin, "/people", new_person(office.house, email="Gao.Shan@Paigong.example"))
    assert (person["phone"], person["email"], person["active"]) == ("+8613800000900", "gao.shan@paigong.example", True)
    assert (await office.client.post("/auth/sign-in", json={"login": "T900", "password": PASSWORD})).status_code == 401
    code = (await admin.post(f"/people/{person['id']}/reset-codes")).json()["code"]
    chosen = {"code": code, "password": "gao-shan-liu-shui"}
    assert (await office.client.post("/auth/password-reset", json=chosen)).status_code == 204
    signed_in = await office.client.post("/auth/sign-in", json={"login": "T900", "password": "gao-shan-liu-shui"})
    assert signed_in.status_code == 200


async def test_a_repeated_creation_adds_nobody_twice(office: Office) -> None:
    admin = await office.sign_in(LIN_LI)
    key = {"Idempotency-Key": "one-person"}
    first, second = [await admin.post("/people", new_person(office.house), headers=key) for _ in range(2)]
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    other = await admin.post("/people", new_person(office.house, name="别人"), headers=key)
    assert code_of(other) == "idempotency_key_reused"
    assert code_of(await admin.post("/people", new_person(office.house), headers={"Idempotency-Key": ""})) == (
        "idempotency_key_missing"
    )


BAD_PEOPLE: list[tuple[dict[str, Any], str]] = [
    ({"phone": "12"}, "phone"), ({"phone": "not a phone"}, "phone"), ({"email": "nobody"}, "email"),
    ({"name": "   "}, "name"), ({"name": ""}, "name"), ({"name": "x" * 81}, "name"), ({"name": "a\x00b"}, "name"),
    ({"employee_number": "A B"}, "employee_number"), ({"employee_number": None}, "employee_number"),
    ({"language": "fr"}, "language"), ({"home": {"lat": 91, "lon": 0}}, "home.lat"),
    ({"home": {"lat": 0, "lon": -180.5}}, "home.lon"), ({"home": {"lat": "north", "lon": 117}}, "home.lat"),
    ({"unit_id": str(new_id())}, "unit_id"), ({"unit_id": "service"}, "unit_id"), ({"rights": "all"}, "rights"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "field"), BAD_PEOPLE)
async def test_a_person_with_something_wrong_is_refused_field_by_field(
    sqlite_office: Office, bad: dict[str, Any], field: str
) -> None:
    admin = await sqlite_office.sign_in(LIN_LI)
    answer = await admin.post("/people", new_person(sqlite_office.house, **bad))
    assert (answer.status_code, code_of(answer)) == (422, "invalid")
    assert fields_of(answer) == [field]
    async with sqlite_office.database.read() as session:
        assert (await session.execute(select(Person).where(Person.employee_number == "T900"))).first() is None


@pytest.mark.parametrize("taken", [{"phone": LI_WEI.phone}, {"employee_number": "T001"}, {"email": LI_WEI.email}])
async def test_what_names_a_person_belongs_to_one(office: Office, taken: dict[str, str]) -> None:
    admin = await office.sign_in(LIN_LI)
    answer = await admin.post("/people", new_person(office.house, **taken))
    assert (answer.status_code, code_of(answer)) == (409, "constraint")


async def test_an_edit_rests_on_what_its_author_saw_and_is_audited(office: Office) -> None:
    admin, path = await office.sign_in(LIN_LI), f"/people/{office.house.id_of(LI_WEI)}"
    assert code_of(await admin.ask("PATCH", path, json={"name": "李伟伟"})) == "if_match_missing"
    seen = (await admin.get(path)).headers["ETag"]
    edited = await admin.edit(path, {"name": "李伟伟", "home": None})
    assert (edited.json()["name"], edited.json()["home"]) == ("李伟伟", None)
    late = await admin.ask("PATCH", path, json={"name": "李维"}, headers={"If-Match": seen})
    assert (late.status_code, code_of(late)) == (412, "stale")
    async with office.database.read() as session:
        entry = (await session.execute(select(AuditEntry).where(AuditEntry.action == "person.edited"))).scalar_one()
    assert (entry.before or {})["name"] == "李伟"
    assert (entry.after or {})["name"] == "李伟伟"
    assert entry.person_id == office.house.id_of(LIN_LI)


async def test_people_decide_themselves_whether_their_position_is_recorded(office: Office) -> None:
    desk, admin = await office.sign_in(LI_WEI), await office.sign_in(LIN_LI)
    path = f"/people/{office.house.id_of(LI_WEI)}"
    assert fields_of(await admin.edit(path, {"location_consent": True})) == ["location_consent"]
    withdrawn = (await desk.edit("/me", {"location_consent": False, "language": "en"})).json()
    assert (withdrawn["location_consent_at"], withdrawn["language"]) == (None, "en")
    office.move_clock(minutes=1)
    given_again = (await desk.edit("/me", {"location_consent": True})).json()
    assert given_again["location_consent_at"] == "2026-03-02T01:01:00Z"
    assert code_of(await desk.ask("PATCH", "/me", json={"language": "zh"})) == "if_match_missing"
    assert fields_of(await desk.edit("/me", {"name": "李大伟"})) == ["name"]


async def test_the_list_comes_in_pages_and_shows_the_people_one_may_see(office: Office) -> None:
    admin, dispatcher = await office.sign_in(LIN_LI), await office.sign_in(WANG_FANG)
    first = (await admin.get("/people?limit=4")).json()
    names, cursor = [person["name"] for person in first["items"]], first["next"]
    while cursor:
        page = (await admin.get(f"/people?limit=4&cursor={cursor}")).json()
        names += [person["name"] for person in page["items"]]
        cursor = page["next"]
    assert len(names) == len(set(names)) == len(office.house.people)
    seen = (await dispatcher.get("/people")).json()["items"]
    assert {person["unit_id"] for person in seen} == {str(office.house.service)}
    assert all(person["home"] is None for person in seen), "where somebody lives is for administrators"
    assert (await admin.get("/people?limit=1")).json()["items"][0]["home"] == {"lat": LAT, "lon": LON}
    for bad in ("limit=0", "limit=201", "limit=x", "cursor=%2B%2B", "cursor=abc", "unit_id=7", "active=maybe"):
        assert (await admin.get(f"/people?{bad}")).status_code == 422, bad


@pytest.mark.rule("A270")
@pytest.mark.parametrize(
    ("persona", "sees"),
    [
        (LIN_LI, {LI_WEI, ZHOU_TAO, SUN_LEI, WANG_FANG}), (CHEN_JING, {LI_WEI, ZHOU_TAO, SUN_LEI, WANG_FANG}),
        (WANG_FANG, {LI_WEI, ZHOU_TAO, WANG_FANG}), (MA_CHAO, {SUN_LEI}), (WU_GANG, {LI_WEI}), (LI_WEI, {LI_WEI}),
        (HE_LI, set()),
    ],
)  # fmt: skip
async def test_who_sees_whom(sqlite_office: Office, persona: Any, sees: set[Any]) -> None:
    desk = await sqlite_office.sign_in(persona)
    for other in (LI_WEI, ZHOU_TAO, SUN_LEI, WANG_FANG):
        answer = await desk.get(f"/people/{sqlite_office.house.id_of(other)}")
        assert answer.status_code == (200 if other in sees else 404), other.name
    assert (await desk.get(f"/people/{new_id()}")).status_code == 404
    assert (await desk.get("/people/7")).status_code == 404


ADMIN_ONLY: list[tuple[str, Callable[[House], str], Any]] = [
    ("POST", lambda _: "/people", {}), ("PATCH", lambda house: f"/people/{house.id_of(LI_WEI)}", {}),
    ("POST", lambda house: f"/people/{house.id_of(LI_WEI)}/deactivation", {"reason": "x"}),
    ("POST", lambda house: f"/people/{house.id_of(LI_WEI)}/reset-codes", None),
    ("DELETE", lambda house: f"/people/{house.id_of(LI_WEI)}/sessions", None),
    ("GET", lambda _: "/roles", None), ("GET", lambda house: f"/people/{house.id_of(LI_WEI)}/role-grants", None),
    ("POST", lambda house: f"/people/{house.id_of(LI_WEI)}/role-grants", {}), ("POST", lambda _: "/units", {}),
    ("PATCH", lambda house: f"/units/{house.service}", {}),
]  # fmt: skip


@pytest.mark.parametrize("persona", [LI_WEI, WU_GANG, HE_LI, WANG_FANG, TANG_MIN, CHEN_JING])
async def test_only_administrators_manage_accounts(sqlite_office: Office, persona: Any) -> None:
    desk = await sqlite_office.sign_in(persona)
    for method, path, body in ADMIN_ONLY:
        answer = await desk.ask(method, path(sqlite_office.house), json=body)
        assert answer.status_code in {403, 422}, (method, path(sqlite_office.house), answer.text)
        assert answer.status_code == 403 or persona is None


@pytest.mark.rule("A270")
async def test_an_administrator_sees_no_customer_content(sqlite_office: Office) -> None:
    admin, house = await sqlite_office.sign_in(LIN_LI), sqlite_office.house
    for path in (
        "/customers", f"/customers/{house.customer}", f"/contacts/{house.contact}", "/sites", f"/sites/{house.site}",
        f"/sites/{house.site}/assets", f"/assets/{house.camera}", f"/positions/{house.position}",
    ):  # fmt: skip
        assert (await admin.get(path)).status_code == 403, path


async def test_an_administrator_of_one_unit_manages_no_other(office: Office) -> None:
    admin, house = await office.sign_in(LIN_LI), office.house
    grant = {"role_id": str(house.roles["admin"]), "unit_id": str(house.north)}
    await added(admin, f"/people/{house.id_of(MA_CHAO)}/role-grants", grant)
    northern = await office.sign_in(MA_CHAO)
    assert (await northern.get(f"/people/{house.id_of(LI_WEI)}")).status_code == 404
    assert (await northern.post(f"/people/{house.id_of(LI_WEI)}/reset-codes")).status_code == 404
    assert (await northern.post(f"/people/{house.id_of(SUN_LEI)}/reset-codes")).status_code == 201
    reach_out = await northern.post(
        f"/people/{house.id_of(SUN_LEI)}/role-grants", grant | {"unit_id": str(house.company)}
    )
    assert fields_of(reach_out) == ["unit_id"]
    moved = await northern.edit(f"/people/{house.id_of(SUN_LEI)}", {"unit_id": str(house.service)})
    assert fields_of(moved) == ["unit_id"]


async def test_an_administrator_of_one_unit_gets_no_code_of_somebody_with_a_role_beyond_it(office: Office) -> None:
    admin, house = await office.sign_in(LIN_LI), office.house
    below = {"role_id": str(house.roles["admin"]), "unit_id": str(house.north)}
    await added(admin, f"/people/{house.id_of(MA_CHAO)}/role-grants", below)
    northern, person = await office.sign_in(MA_CHAO), f"/people/{house.id_of(SUN_LEI)}"
    wide = {"role_id": str(house.roles["head"]), "unit_id": str(house.company)}
    later = wide | {"valid_from": (START + timedelta(minutes=1)).isoformat()}
    grant = await added(admin, f"{person}/role-grants", later)
    for code in ("reset-codes", "enrolment-codes"):
        assert code_of(await northern.post(f"{person}/{code}")) == "wider_role"
        assert (await admin.post(f"{person}/{code}")).status_code == 201
    assert (await (await office.sign_in(SUN_LEI)).post(f"{person}/enrolment-codes")).status_code == 201
    await admin.post(f"/role-grants/{grant['id']}/end", {"at": (START + timedelta(minutes=2)).isoformat()})
    office.move_clock(minutes=2)
    for code in ("reset-codes", "enrolment-codes"):
        assert (await northern.post(f"{person}/{code}")).status_code == 201


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_somebody_who_leaves_hands_over(office: Office) -> None:
    house = office.house
    async with office.database.write() as session:
        await add_all(session, SiteOwner(site_id=house.north_site, person_id=house.id_of(WU_GANG), valid_from=START))
    admin, dispatcher = await office.sign_in(LIN_LI), await office.sign_in(WANG_FANG)
    slot = {
        "unit_id": str(house.service), "person_id": str(house.id_of(WU_GANG)), "phone": "13800000003",
        "starts_at": (START + DAY).isoformat(), "ends_at": (START + 2 * DAY).isoformat(),
    }  # fmt: skip
    await added(dispatcher, "/duty-slots", slot)
    path = f"/people/{house.id_of(WU_GANG)}"
    held = (await dispatcher.get(f"{path}/duties")).json()["duties"]
    assert [duty["kind"] for duty in held] == ["crew_leader", "duty_slot", "site"]
    leaving = {"reason": "离职", "successor_id": str(house.id_of(LI_WEI))}
    answer = (await admin.post(f"{path}/deactivation", leaving)).json()
    assert (answer["active"], answer["duties"]) == (False, held)
    await office.work()
    owners = (await (await office.sign_in(MA_CHAO)).get(f"/sites/{house.north_site}/owners")).json()
    assert [(owner["person_id"], owner["valid_until"] is None) for owner in owners] == [
        (str(house.id_of(WU_GANG)), False), (str(house.id_of(LI_WEI)), True),
    ]  # fmt: skip
    left = (await dispatcher.get(f"{path}/duties")).json()["duties"]
    assert [duty["kind"] for duty in left] == ["duty_slot"], "the roster still needs somebody's eye"
    assert code_of(await admin.post(f"{path}/deactivation", leaving)) == "person_inactive"


async def test_nobody_deactivates_themselves_or_hands_over_to_nobody(sqlite_office: Office) -> None:
    admin, house = await sqlite_office.sign_in(LIN_LI), sqlite_office.house
    own = await admin.post(f"/people/{house.id_of(LIN_LI)}/deactivation", {"reason": "x"})
    assert code_of(own) == "own_account"
    path = f"/people/{house.id_of(LI_WEI)}/deactivation"
    for successor in (house.id_of(LI_WEI), new_id()):
        refused = await admin.post(path, {"reason": "x", "successor_id": str(successor)})
        assert fields_of(refused) == ["successor_id"]
    assert (await admin.get(f"/people/{house.id_of(LI_WEI)}")).json()["active"] is True


# --- roles, units, crews, skills --------------------------------------------------------------------------------------


async def test_a_role_counts_from_its_first_to_its_last_instant(office: Office) -> None:
    admin, desk, house = await office.sign_in(LIN_LI), await office.sign_in(LI_WEI), office.house
    path = f"/people/{house.id_of(LI_WEI)}/role-grants"
    grant = {
        "role_id": str(house.roles["repair_dispatcher"]), "unit_id": str(house.service),
        "valid_from": (START + timedelta(minutes=10)).isoformat(),
        "valid_until": (START + timedelta(minutes=12)).isoformat(),
    }  # fmt: skip
    await added(admin, path, grant)
    statuses = []
    for minutes in (9, 1, 1, 1):
        office.move_clock(minutes=minutes)
        statuses.append((await desk.get("/people")).status_code)
    assert statuses == [403, 200, 200, 403]
    assert len((await admin.get(path)).json()) == 2


async def test_a_grant_is_refused_twice_backwards_or_in_the_past_and_ends_when_told(office: Office) -> None:
    admin, house = await office.sign_in(LIN_LI), office.house
    path = f"/people/{house.id_of(LI_WEI)}/role-grants"
    grant = {"role_id": str(house.roles["operator"]), "unit_id": str(house.service)}
    refused = {
        "role_id": grant | {"role_id": str(new_id())},
        "valid_until": grant | {"valid_until": START.isoformat()},
        "valid_from": grant | {"valid_from": (START - DAY).isoformat()},
    }
    for field, bad in refused.items():
        assert fields_of(await admin.post(path, bad)) == [field]
    naive = await admin.post(path, grant | {"valid_from": "2026-03-03T09:00:00"})
    assert fields_of(naive) == ["valid_from"]
    made = await added(admin, path, grant)
    assert code_of(await admin.post(path, grant)) == "already_held"
    early = await admin.post(f"/role-grants/{made['id']}/end", {"at": (START - DAY).isoformat()})
    assert fields_of(early) == ["at"]
    ended = (await admin.post(f"/role-grants/{made['id']}/end", {})).json()
    assert ended["valid_until"] is not None
    assert (await admin.post(path, grant)).status_code == 201


@pytest.mark.rule("A267", "A269")
async def test_units_form_a_tree_that_administrators_grow(office: Office) -> None:
    admin, house = await office.sign_in(LIN_LI), office.house
    body = {"parent_id": str(house.north), "kind": "outlet", "name_zh": "北湖点", "name_en": "Lake outlet"}
    unit = await added(admin, "/units", body)
    person = await added(admin, "/people", new_person(house, unit_id=unit["id"]))
    assert (await admin.get(f"/people/{person['id']}")).status_code == 200, "what lies below is administered too"
    edited = await admin.edit(f"/units/{unit['id']}", {"name_zh": "北湖网点", "calendar_id": str(house.calendar)})
    assert edited.json()["name_zh"] == "北湖网点"
    for field, bad in {"time_zone": "Asia/Yunqiao", "calendar_id": str(new_id()), "parent_id": str(new_id())}.items():
        assert fields_of(await admin.post("/units", body | {field: bad})) == [field]
    assert len((await (await office.sign_in(LI_WEI)).get("/units")).json()) == 4


@pytest.mark.rule("A255")
async def test_a_crew_has_members_for_a_time(office: Office) -> None:
    dispatcher, house = await office.sign_in(WANG_FANG), office.house
    crew = await added(dispatcher, "/crews", {"unit_id": str(house.service), "name": "二组"})
    path = f"/crews/{crew['id']}/members"
    member = await added(dispatcher, path, {"person_id": str(house.id_of(ZHOU_TAO)), "leads": True})
    assert code_of(await dispatcher.post(path, {"person_id": str(house.id_of(ZHOU_TAO))})) == "already_held"
    assert fields_of(await dispatcher.post(path, {"person_id": str(house.id_of(SUN_LEI))})) == ["person_id"]
    assert (await (await office.sign_in(ZHOU_TAO)).get(path)).json()[0]["leads"] is True
    assert (await (await office.sign_in(LI_WEI)).get(path)).status_code == 404
    ended = await dispatcher.post(f"{path}/{member['id']}/end", {"at": (START + DAY).isoformat()})
    assert ended.json()["valid_until"].startswith("2026-03-03")
    assert (await dispatcher.edit(f"/crews/{crew['id']}", {"active": False})).json()["active"] is False
    assert (await (await office.sign_in(MA_CHAO)).edit(f"/crews/{crew['id']}", {"name": "x"})).status_code == 404
    assert {crew["name"] for crew in (await dispatcher.get("/crews")).json()["items"]} == {"一组", "二组"}


@pytest.mark.rule("A255", "A270")
async def test_a_crew_leader_sees_who_is_in_the_crew_and_no_longer_who_was(office: Office) -> None:
    dispatcher, leader, house = await office.sign_in(WANG_FANG), await office.sign_in(WU_GANG), office.house
    person, members = f"/people/{house.id_of(LI_WEI)}", f"/crews/{house.crew}/members"
    listed = (await dispatcher.get(members)).json()
    (membership,) = [one["id"] for one in listed if one["person_id"] == str(house.id_of(LI_WEI))]
    ends = START + timedelta(minutes=5)
    await dispatcher.post(f"{members}/{membership}/end", {"at": ends.isoformat()})
    window = "since=2026-03-01T00:00:00Z&until=2026-03-09T00:00:00Z"
    hours = {"starts_at": START.isoformat(), "ends_at": (START + timedelta(hours=8)).isoformat()}
    await added(dispatcher, "/shifts", {"shifts": [{"person_id": str(house.id_of(LI_WEI)), **hours}]})
    for minutes, seen in ((4, True), (1, False)):
        office.move_clock(minutes=minutes)
        assert (await leader.get(person)).status_code == (200 if seen else 404)
        names = {one["name"] for one in (await leader.get("/people")).json()["items"]}
        assert names == ({"李伟", "吴刚"} if seen else {"吴刚"})
        assert len((await leader.get(f"/shifts?{window}")).json()["shifts"]) == seen


@pytest.mark.rule("A209")
async def test_a_skill_that_needs_a_certificate_is_not_taken_without_one(office: Office) -> None:
    dispatcher, house = await office.sign_in(WANG_FANG), office.house
    path = f"/people/{house.id_of(ZHOU_TAO)}/skills"
    skill = {"skill_id": str(house.skills["elevator"])}
    assert code_of(await dispatcher.post(path, skill)) == "certificate_missing"
    assert code_of(await dispatcher.post(path, skill | {"certificate_number": "TS-1"})) == "certificate_missing"
    paper = skill | {"certificate_number": "TS-1", "valid_until": (START + 30 * DAY).isoformat()}
    held = await added(dispatcher, path, paper)
    assert (await dispatcher.post(f"{path}/{held['id']}/end", {})).json()["valid_until"] is not None
    plain = {"skill_id": str(house.skills["fibre"])}
    assert (await added(dispatcher, path, plain))["certificate_number"] is None
    assert fields_of(await dispatcher.post(path, {"skill_id": str(new_id())})) == ["skill_id"]
    assert (await dispatcher.post(f"/people/{house.id_of(SUN_LEI)}/skills", plain)).status_code == 404
    mine = (await (await office.sign_in(ZHOU_TAO)).get(path)).json()
    assert len(mine) == 4
    assert {skill["needs_certificate"] for skill in (await dispatcher.get("/skills")).json()} == {True, False}


# --- phones -----------------------------------------------------------------------------------------------------------


async def test_an_enrolment_code_is_one_use_short_lived_and_the_last_one_counts(office: Office) -> None:
    desk, house = await office.sign_in(LI_WEI), office.house
    path = f"/people/{house.id_of(LI_WEI)}/enrolment-codes"
    codes = [(await desk.post(path)).json()["code"] for _ in range(2)]
    assert len(set(codes)) == 2
    assert all(len(code) == 16 and code.isalnum() for code in codes)
    async with office.database.read() as session:
        rows = (await session.execute(select(EnrolmentCode).order_by(EnrolmentCode.id))).scalars().all()
    assert [row.used_at is None for row in rows] == [False, True]
    assert rows[-1].expires_at == office.now + timedelta(minutes=10)
    assert codes[1] not in rows[-1].code_hash
    assert (await desk.post(f"/people/{house.id_of(ZHOU_TAO)}/enrolment-codes")).status_code == 404
    assert (await (await office.sign_in(LIN_LI)).post(path)).status_code == 201


async def test_a_person_has_three_phones_at_most(office: Office) -> None:
    desk, house = await office.sign_in(LI_WEI), office.house
    async with office.database.write() as session:
        for number in range(DEVICES_A_PERSON):
            await add_all(session, Device(
                person_id=house.id_of(LI_WEI), prefix=f"P{number}", public_key="", name="phone", app_version="1",
                schema_version=1, incarnation=new_id(), incarnations=1, view_revision=0, enrolled_at=office.now,
            ))  # fmt: skip
    path = f"/people/{house.id_of(LI_WEI)}"
    assert code_of(await desk.post(f"{path}/enrolment-codes")) == "too_many_devices"
    devices = (await desk.get(f"{path}/devices")).json()
    assert len(devices) == DEVICES_A_PERSON
    assert (await (await office.sign_in(ZHOU_TAO)).get(f"{path}/devices")).status_code == 404
    assert (await desk.ask("DELETE", f"{path}/devices/{new_id()}")).status_code == 404
    assert (await desk.ask("DELETE", f"{path}/devices/{devices[0]['id']}")).status_code == 204
    assert (await desk.post(f"{path}/enrolment-codes")).status_code == 201


async def test_a_list_that_is_answered_whole_takes_so_many_rows_and_says_when_it_is_full(sqlite_office: Office) -> None:
    head, admin, house = (
        await sqlite_office.sign_in(CHEN_JING),
        await sqlite_office.sign_in(LIN_LI),
        sqlite_office.house,
    )
    person, site, unit = house.id_of(LI_WEI), house.site, str(house.service)
    area = {"unit_id": unit, "name_zh": "湖滨", "name_en": "Lakeside", "area": {"districts": ["湖滨区"]}}
    territory = (await added(head, "/territories", area))["id"]
    over = {"valid_from": START - 2 * DAY, "valid_until": START - DAY}
    full: list[tuple[str, dict[str, Any], Any, Any]] = [
        ("/vehicles", {"unit_id": unit, "plate": "皖B00001"}, head, lambda number: Vehicle(
            unit_id=house.service, plate=f"皖A{number:05}", active=False)),
        ("/territories", area, head, lambda number: Territory(
            unit_id=house.service, name_zh=f"{number}", name_en=f"{number}", area={})),
        (f"/territories/{territory}/members", {"person_id": str(person)}, head, lambda _: TerritoryMember(
            territory_id=UUID(territory), person_id=person, **over)),
        (f"/crews/{house.crew}/members", {"person_id": str(house.id_of(ZHOU_TAO))}, head, lambda _: CrewMember(
            crew_id=house.crew, person_id=person, leads=False, **over)),
        (f"/people/{person}/role-grants", {"role_id": str(house.roles["quality"]), "unit_id": unit}, admin,
         lambda _: RoleGrant(person_id=person, role_id=house.roles["quality"], unit_id=house.north, **over)),
        (f"/sites/{site}/owners", {"crew_id": str(house.crew)}, head, lambda _: SiteOwner(
            site_id=site, person_id=person, **over)),
    ]  # fmt: skip
    sqlite_office.move_clock(minutes=1)
    async with sqlite_office.database.write() as session:
        for _, _, _, row in full:
            session.add_all([row(number) for number in range(LISTED_MAXIMUM)])
    for path, body, desk, _ in full:
        refused = await desk.post(path, body)
        assert (code_of(refused), refused.json()["facts"]) == ("list_full", {"limit": LISTED_MAXIMUM}), path
