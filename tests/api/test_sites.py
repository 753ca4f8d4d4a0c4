"""Sites, layouts and equipment over the API: where they lie, who answers for them, and what stood where and when."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from backend.core.changes import change
from backend.core.ids import new_id
from backend.sites.models import Site
from backend.sites.rules import document_bucket, placement_finding
from tests.make import LAT, LON, START, Desk, House, Office
from tests.personas import CHEN_JING, HE_LI, LI_WEI, MA_CHAO, SUN_LEI, TANG_MIN, WANG_FANG, WU_GANG, ZHOU_TAO
from tests.work import sent


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    return answer.json()["code"]


def fields_of(answer: httpx.Response) -> list[str]:
    return [finding["field"] for finding in answer.json()["findings"]]


def new_site(house: House, **values: Any) -> dict[str, Any]:
    body = {
        "unit_id": str(house.service),
        "customer_id": str(house.customer),
        "name": "二号楼",
        "address": "书院巷 2 号",
    }
    return body | values


async def added(desk: Desk, path: str, body: Any) -> dict[str, Any]:
    answer = await desk.post(path, body)
    assert answer.status_code == 201, answer.text
    return answer.json()


# --- where and what ---------------------------------------------------------------------------------------------------


@pytest.mark.rule("A112", "A113")
async def test_a_site_lies_where_it_truly_is_and_keeps_what_was_given(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    given_by_map = {"lat": 31.17530398364597, "lon": 121.531541859215, "datum": "gcj02", "source": "pin"}
    site = await added(desk, "/sites", new_site(office.house, location=given_by_map, acceptance_on="2026-01-31"))
    where = site["location"]
    assert (round(where["lat"], 6), round(where["lon"], 6)) == (31.177428, 121.527211)
    assert (where["original_lat"], where["original_datum"], where["source"]) == (31.17530398364597, "gcj02", "pin")
    assert (site["number"].startswith("S-"), site["acceptance_on"]) == (True, "2026-01-31")
    async with office.database.read() as session:
        entry = select(change.c.body).where(change.c.entity == "site", change.c.bucket == f"site:{site['id']}")
        body = (await session.execute(entry)).scalar_one()
    assert "original" not in body, "phones get the true place only"
    unpinned = (await desk.edit(f"/sites/{site['id']}", {"location": None})).json()
    assert unpinned["location"] is None
    assert [one["id"] for one in (await desk.get("/sites?unpinned=true")).json()["items"]] == [site["id"]]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"location": {"lat": 90.1, "lon": 0}}, "location.lat"),
        ({"location": {"lat": 0, "lon": 180.5}}, "location.lon"), ({"location": {"lat": 31}}, "location.lon"),
        ({"location": {"lat": 31, "lon": 117, "datum": "bj54"}}, "location.datum"),
        ({"location": {"lat": 31, "lon": 117, "confidence": 2}}, "location.confidence"),
        ({"time_zone": "Mars/Olympus"}, "time_zone"), ({"time_zone": "../../etc/passwd"}, "time_zone"),
        ({"customer_id": str(new_id())}, "customer_id"), ({"territory_id": str(new_id())}, "territory_id"),
        ({"unit_id": str(new_id())}, "unit_id"), ({"name": "\n"}, "name"), ({"address": ""}, "address"),
        ({"acceptance_on": "31.01.2026"}, "acceptance_on"), ({"access_notes": "x" * 2001}, "access_notes"),
        ({"no_photos": "perhaps"}, "no_photos"), ({"lat": 31, "lon": 117}, "lat"),
    ],
)  # fmt: skip
async def test_a_site_with_something_wrong_is_refused(sqlite_office: Office, bad: dict[str, Any], field: str) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    answer = await desk.post("/sites", new_site(sqlite_office.house, **bad))
    assert (answer.status_code, fields_of(answer)) == (422, [field])
    assert len((await desk.get("/sites")).json()["items"]) == 1


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
async def test_no_place_lies_nowhere(sqlite_office: Office, number: str) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    raw = f'{{"location": {{"lat": {number}, "lon": 117}}}}'
    headers = {"Content-Type": "application/json", "If-Match": "x"}
    answer = await desk.ask("PATCH", f"/sites/{sqlite_office.house.site}", content=raw, headers=headers)
    assert answer.status_code in {400, 422}


async def test_sites_are_found_by_name_address_number_or_customer(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    number = (await desk.get(f"/sites/{house.site}")).json()["number"]
    for query in ("q=云桥大厦", "q=湖滨路", f"q={number}", f"customer_id={house.customer}"):
        assert [one["id"] for one in (await desk.get(f"/sites?{query}")).json()["items"]] == [str(house.site)], query
    for query in ("q=北湖", "q=%25", f"customer_id={house.north_customer}"):
        assert (await desk.get(f"/sites?{query}")).json()["items"] == [], query


@pytest.mark.rule("A270")
@pytest.mark.parametrize(
    ("persona", "ours", "theirs"),
    [
        (HE_LI, 200, 404), (WANG_FANG, 200, 404), (MA_CHAO, 404, 200), (CHEN_JING, 200, 200), (TANG_MIN, 200, 200),
        (WU_GANG, 200, 404), (LI_WEI, 404, 404), (ZHOU_TAO, 404, 404), (SUN_LEI, 404, 404),
    ],
)  # fmt: skip
async def test_who_sees_which_site(sqlite_office: Office, persona: Any, ours: int, theirs: int) -> None:
    desk, house = await sqlite_office.sign_in(persona), sqlite_office.house
    paths = ("", "/owners", "/contacts", "/positions", "/assets")
    for path in (f"/sites/{house.site}{rest}" for rest in paths):
        assert (await desk.get(path)).status_code == ours, path
    for path in (f"/assets/{house.camera}", f"/assets/{house.camera}/placements", f"/positions/{house.position}",
                 f"/positions/{house.position}/placements"):  # fmt: skip
        assert (await desk.get(path)).status_code == ours, path
    assert (await desk.get(f"/sites/{house.north_site}")).status_code == theirs
    listed = {site["id"] for site in (await desk.get("/sites")).json()["items"]}
    assert (str(house.site) in listed, str(house.north_site) in listed) == (ours == 200, theirs == 200)


@pytest.mark.parametrize("persona", [MA_CHAO, LI_WEI, TANG_MIN])
async def test_who_may_not_change_a_site(sqlite_office: Office, persona: Any) -> None:
    desk, house = await sqlite_office.sign_in(persona), sqlite_office.house
    calls: list[tuple[str, str, Any]] = [
        ("PATCH", f"/sites/{house.site}", {"name": "x"}), ("POST", f"/sites/{house.site}/owners", {}),
        ("POST", f"/sites/{house.site}/merge", {"into_id": str(house.north_site)}),
        ("PUT", f"/sites/{house.site}/contacts/{house.contact}", {}),
        ("DELETE", f"/sites/{house.site}/contacts/{house.contact}", None),
        ("POST", f"/sites/{house.site}/positions", {"name": "x"}), ("PATCH", f"/positions/{house.position}", {}),
        ("POST", f"/positions/{house.position}/placements", {"asset_id": str(house.lift)}),
        ("POST", f"/sites/{house.site}/assets", {"asset_type": "camera", "name": "x"}),
        ("PATCH", f"/assets/{house.camera}", {}), ("POST", f"/assets/{house.camera}/removal", {}),
        ("POST", f"/assets/{house.camera}/merge", {"into_id": str(house.lift)}),
    ]  # fmt: skip
    for method, path, body in calls:
        answer = await desk.ask(method, path, json=body, headers={"If-Match": "x"})
        assert answer.status_code in {403, 404}, (method, path, answer.text)


async def test_people_on_site_correct_what_they_see_but_not_what_the_office_decides(office: Office) -> None:
    """The crew looks after the site; its leader may correct the address, not the customer or what is permitted."""
    leader, house = await office.sign_in(WU_GANG), office.house
    path = f"/sites/{house.site}"
    assert (await leader.edit(path, {"address": "湖滨路 1 号", "access_notes": "走北门"})).status_code == 200
    for decided in ({"no_photos": True}, {"customer_id": str(house.customer)}, {"unit_id": str(house.service)}):
        refused = await leader.edit(path, decided)
        assert (refused.status_code, fields_of(refused)) == (403, list(decided)), decided
    assert (await leader.post(f"{path}/owners", {"crew_id": str(house.crew)})).status_code == 404


@pytest.mark.rule("A148", "A270")
async def test_people_on_site_describe_equipment_but_do_not_decide_who_pays(office: Office) -> None:
    _, technician, _ = await sent(office)
    house = office.house
    path, new = f"/assets/{house.camera}", {"asset_type": "camera", "name": "新摄像机"}
    assert (await technician.edit(path, {"serial": "CAM-0009", "software_version": "2.1"})).status_code == 200
    for decided in ({"warranty_until": "2030-01-01"}, {"warranty_until": None}, {"purchased_on": "2026-03-01"}):
        refused = await technician.edit(path, {"note": "x"} | decided)
        assert (refused.status_code, fields_of(refused)) == (403, list(decided)), decided
    added_dated = await technician.post(f"/sites/{house.site}/assets", new | {"warranty_until": "2030-01-01"})
    assert (added_dated.status_code, fields_of(added_dated)) == (403, ["warranty_until"])
    assert (await technician.post(f"/sites/{house.site}/assets", new)).status_code == 201
    seen = (await technician.get(path)).json()
    assert (seen["warranty_until"], seen["purchased_on"], seen["note"]) == (None, None, "")
    clerk = await office.sign_in(HE_LI)
    assert (await clerk.edit(path, {"warranty_until": "2027-01-01"})).status_code == 200


# --- who answers for it -----------------------------------------------------------------------------------------------


@pytest.mark.rule("A140", "A268")
async def test_a_site_always_has_one_owner_at_a_time(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    path = f"/sites/{house.site}/owners"
    later = (START + timedelta(days=3)).isoformat()
    named = await added(desk, path, {"person_id": str(house.id_of(ZHOU_TAO)), "valid_from": later})
    before, after = (await desk.get(path)).json()
    assert (before["crew_id"], before["valid_until"]) == (str(house.crew), named["valid_from"])
    assert after["valid_until"] is None
    assert fields_of(await desk.post(path, {"crew_id": str(house.crew)})) == ["valid_from"], "somebody comes later"
    both = {"crew_id": str(house.crew), "person_id": named["person_id"]}
    for bad in ({}, both, {"crew_id": str(new_id())}, {"person_id": str(new_id())}):
        field = "person_id" if bad.keys() == {"person_id"} else "crew_id"
        assert fields_of(await desk.post(path, bad)) == [field]
    assert (await (await office.sign_in(WU_GANG)).get(f"/sites/{house.site}")).status_code == 200
    office.move_clock(days=3)
    assert (await (await office.sign_in(WU_GANG)).get(f"/sites/{house.site}")).status_code == 404
    assert (await (await office.sign_in(ZHOU_TAO)).get(f"/sites/{house.site}")).status_code == 200


async def test_nobody_names_a_territory_a_crew_or_a_person_of_another_unit(office: Office) -> None:
    desk, northern, house = await office.sign_in(HE_LI), await office.sign_in(MA_CHAO), office.house
    area = {"unit_id": str(house.north), "name_zh": "北湖", "name_en": "North", "area": {"districts": ["北湖区"]}}
    territory = (await added(northern, "/territories", area))["id"]
    crew = (await added(northern, "/crews", {"unit_id": str(house.north), "name": "北组"}))["id"]
    path = f"/sites/{house.site}"
    calls = [
        (await desk.edit(path, {"territory_id": territory}), "territory_id"),
        (await desk.post("/sites", new_site(house, territory_id=territory)), "territory_id"),
        (await desk.post(f"{path}/owners", {"crew_id": crew}), "crew_id"),
        (await desk.post(f"{path}/owners", {"person_id": str(house.id_of(SUN_LEI))}), "person_id"),
    ]
    for refused, field in calls:
        assert (refused.status_code, fields_of(refused)) == (422, [field])
    assert (await desk.get(path)).json()["territory_id"] is None
    assert [owner["crew_id"] for owner in (await desk.get(f"{path}/owners")).json()] == [str(house.crew)]
    head = await office.sign_in(CHEN_JING)
    assert (await head.edit(path, {"territory_id": territory})).status_code == 200, "who is over both may"
    assert (await head.post(f"{path}/owners", {"crew_id": crew})).status_code == 201


@pytest.mark.rule("A117")
async def test_a_key_is_with_somebody_until_it_is_passed_on_or_given_back(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    path, li_wei, zhou_tao = f"/sites/{house.site}/keys", str(house.id_of(LI_WEI)), str(house.id_of(ZHOU_TAO))
    key = await added(desk, path, {"name": "机房钥匙", "person_id": li_wei})
    assert fields_of(await desk.post(path, {"name": "x", "person_id": str(house.id_of(SUN_LEI))})) == ["person_id"]
    dispatcher = await office.sign_in(WANG_FANG)

    async def keys_of(person: str) -> list[str]:
        return [duty["id"] for duty in (await dispatcher.get(f"/people/{person}/duties")).json()["duties"]]

    assert await keys_of(li_wei) == [key["id"]]
    passed_on = (await desk.post(f"/keys/{key['id']}/move", {"person_id": zhou_tao})).json()
    assert (await keys_of(li_wei), await keys_of(zhou_tao)) == ([], [passed_on["id"]])
    assert code_of(await desk.post(f"/keys/{key['id']}/move", {})) == "key_returned"
    for stranger, status in ((MA_CHAO, 404), (WU_GANG, 404), (TANG_MIN, 403)):
        assert (await (await office.sign_in(stranger)).post(f"/keys/{passed_on['id']}/move", {})).status_code == status
    twice = await added(desk, "/sites", new_site(house))
    await desk.post(f"/sites/{house.site}/merge", {"into_id": twice["id"]})
    assert code_of(await desk.post(path, {"name": "x", "person_id": li_wei})) == "merged_away"
    assert (await desk.post(f"/keys/{passed_on['id']}/move", {})).json()["returned_at"] is not None
    assert await keys_of(zhou_tao) == []
    listed = (await desk.get(f"/sites/{twice['id']}/keys")).json()["items"]
    assert [(one["person_id"], one["returned_at"] is None) for one in listed] == [(zhou_tao, False), (li_wei, False)]


async def test_the_first_contact_to_call_is_one(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    other = await added(desk, f"/customers/{house.customer}/contacts", {"name": "钱红"})
    path = f"/sites/{house.site}/contacts"
    listed = (await desk.ask("PUT", f"{path}/{other['id']}", json={"primary": True})).json()
    assert [(one["contact_id"], one["primary"]) for one in listed] == [
        (other["id"], True), (str(house.contact), False),
    ]  # fmt: skip
    assert len((await desk.ask("PUT", f"{path}/{other['id']}", json={})).json()) == 2
    assert fields_of(await desk.ask("PUT", f"{path}/{new_id()}", json={})) == ["contact_id"]
    assert (await desk.ask("DELETE", f"{path}/{other['id']}")).status_code == 204
    assert len((await desk.get(path)).json()) == 1


# --- equipment --------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A121")
async def test_a_swap_keeps_both_histories(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    path = f"/sites/{house.site}/assets"
    spare = await added(desk, path, {"asset_type": "camera", "name": "备用摄像机", "serial": "CAM-0002"})
    office.move_clock(minutes=10)
    at = (START + timedelta(minutes=5)).isoformat()
    swapped = await added(desk, f"/positions/{house.position}/placements", {"asset_id": spare["id"], "at": at})
    history = (await desk.get(f"/positions/{house.position}/placements")).json()["items"]
    assert [(one["asset_id"], one["removed_at"]) for one in history] == [
        (spare["id"], None), (str(house.camera), swapped["installed_at"]),
    ]  # fmt: skip
    (position,) = (await desk.get(f"/sites/{house.site}/positions")).json()["items"]
    assert position["asset_id"] == spare["id"]
    assert (await desk.get(f"/assets/{house.camera}")).json()["position_id"] is None
    again = await added(desk, f"/positions/{house.position}/placements", {"asset_id": spare["id"]})
    assert again["id"] == swapped["id"], "what stands there already stays"
    removed = await desk.post(f"/assets/{spare['id']}/removal", {"retired": True})
    assert (removed.json()["position_id"], removed.json()["retired_at"] is not None) == (None, True)
    retired = await desk.post(f"/positions/{house.position}/placements", {"asset_id": spare["id"]})
    assert code_of(retired) == "asset_retired"


async def test_nothing_is_installed_tomorrow_or_before_what_it_replaces(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    path = f"/positions/{house.position}/placements"
    for at in (START + timedelta(days=1), START - timedelta(days=366)):
        refused = await desk.post(path, {"asset_id": str(house.lift), "at": at.isoformat()})
        assert fields_of(refused) == ["at"]
    assert fields_of(await desk.post(f"/assets/{house.camera}/removal", {"at": "2027-01-01T00:00:00Z"})) == ["at"]
    assert (await desk.post(path, {"asset_id": str(new_id())})).status_code == 404
    assert len((await desk.get(path)).json()["items"]) == 1


async def test_an_asset_that_moves_to_another_site_leaves_the_first_and_phones_see_it(office: Office) -> None:
    head, house = await office.sign_in(CHEN_JING), office.house
    position = await added(head, f"/sites/{house.north_site}/positions", {"name": "门口"})
    await added(head, f"/positions/{position['id']}/placements", {"asset_id": str(house.camera)})
    assert (await head.get(f"/assets/{house.camera}")).json()["site_id"] == str(house.north_site)
    async with office.database.read() as session:
        entries = select(change.c.bucket, change.c.deleted).where(change.c.row_id == house.camera)
        seen = {row.bucket: row.deleted for row in (await session.execute(entries)).all()}
    assert seen == {f"site:{house.site}": True, f"site:{house.north_site}": False}
    ours = (await (await office.sign_in(HE_LI)).get(f"/positions/{house.position}/placements")).json()["items"]
    theirs = (await (await office.sign_in(MA_CHAO)).get(f"/assets/{house.camera}/placements")).json()["items"]
    assert [one["site_id"] for one in ours] == [str(house.site)]
    assert [one["site_id"] for one in theirs] == [str(house.north_site)], "the other unit's history stays theirs"


@pytest.mark.rule("A113", "A118")
async def test_equipment_is_described_and_its_type_known(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    model = await added(
        desk, "/asset-models", {"asset_type": "camera", "brand": "云桥", "model": "C1", "needs_original_box": True}
    )
    body = {
        "asset_type": "camera", "name": "门口摄像机", "asset_model_id": model["id"], "serial": "CAM-9", "quantity": 2,
        "software_version": "1.0", "protocol": "ONVIF", "connection": "RJ45 3F-12", "purchased_on": "2025-11-01",
        "warranty_until": "2027-11-01",
    }  # fmt: skip
    asset = await added(desk, f"/sites/{house.site}/assets", body)
    assert {name: asset[name] for name in body} == body
    upgraded = await desk.edit(f"/assets/{asset['id']}", {"software_version": "1.1", "warranty_until": None})
    assert (upgraded.json()["software_version"], upgraded.json()["warranty_until"]) == ("1.1", None)
    for field, bad in (("asset_type", "spaceship"), ("asset_model_id", str(new_id())), ("quantity", 0), ("name", ""),
                       ("position_id", str(new_id())), ("purchased_on", "yesterday")):  # fmt: skip
        assert fields_of(await desk.post(f"/sites/{house.site}/assets", body | {field: bad})) == [field]
    assert code_of(await desk.post("/asset-models", {"asset_type": "camera", "brand": "云桥", "model": "C1"})) == (
        "constraint"
    )
    assert len((await desk.get("/asset-models")).json()["items"]) == 1
    assert len((await desk.get(f"/sites/{house.site}/assets?limit=2")).json()["items"]) == 2


async def test_merged_sites_bring_layout_equipment_and_contacts(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    twice = await added(desk, "/sites", new_site(house, name="云桥大厦 A 座"))
    assert (await desk.post(f"/sites/{house.site}/merge", {"into_id": twice["id"]})).status_code == 200
    path = f"/sites/{twice['id']}"
    assert len((await desk.get(f"{path}/assets")).json()["items"]) == 2
    assert len((await desk.get(f"{path}/positions")).json()["items"]) == 1
    assert len((await desk.get(f"{path}/contacts")).json()) == 1
    assert [one["id"] for one in (await desk.get("/sites")).json()["items"]] == [twice["id"]]
    assert code_of(await desk.edit(f"/sites/{house.site}", {"name": "x"})) == "merged_away"
    assert code_of(await desk.post(f"{path}/merge", {"into_id": str(house.site)})) == "merge_refused"
    assert (await desk.post(f"{path}/merge", {"into_id": str(house.north_site)})).status_code == 404


async def test_nothing_is_added_to_a_site_or_an_asset_merged_away(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    twice = await added(desk, "/sites", new_site(house, name="云桥大厦 A 座"))
    same = await added(desk, f"/sites/{house.site}/assets", {"asset_type": "camera", "name": "同一台"})
    await desk.post(f"/assets/{house.camera}/merge", {"into_id": same["id"]})
    await desk.post(f"/sites/{house.site}/merge", {"into_id": twice["id"]})
    dead = f"/sites/{house.site}"
    file = {"sha256": "0" * 64, "kind": "photo", "name": "图"}
    calls: list[tuple[str, str, Any]] = [
        ("POST", f"{dead}/owners", {"person_id": str(house.id_of(ZHOU_TAO))}),
        ("POST", f"{dead}/positions", {"name": "门口"}),
        ("POST", f"{dead}/assets", {"asset_type": "camera", "name": "x"}),
        ("PUT", f"{dead}/contacts/{house.contact}", {}), ("DELETE", f"{dead}/contacts/{house.contact}", None),
        ("POST", "/attachments", file | {"entity": "site", "subject_id": str(house.site)}),
        ("POST", "/attachments", file | {"entity": "asset", "subject_id": str(house.camera)}),
        ("POST", f"/assets/{house.camera}/removal", {}),
        ("POST", f"/positions/{house.position}/placements", {"asset_id": str(house.camera)}),
    ]  # fmt: skip
    for method, path, body in calls:
        assert code_of(await desk.ask(method, path, json=body)) == "merged_away", path
    for rest in ("/positions", "/contacts", "/assets"):
        listed = (await desk.get(f"{dead}{rest}")).json()
        assert not (listed["items"] if isinstance(listed, dict) else listed), rest


@pytest.mark.rule("A140")
async def test_who_answers_for_a_site_merged_away_answers_for_the_one_that_stands_if_nobody_does(
    office: Office,
) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    first, second = [await added(desk, "/sites", new_site(house, name=name)) for name in ("甲座", "乙座")]
    await added(desk, f"/sites/{second['id']}/owners", {"person_id": str(house.id_of(LI_WEI))})
    office.move_clock(minutes=5)

    async def owners(site: str) -> list[tuple[str | None, bool]]:
        listed = (await desk.get(f"/sites/{site}/owners")).json()
        return [(owner["crew_id"] or owner["person_id"], owner["valid_until"] is None) for owner in listed]

    await desk.post(f"/sites/{house.site}/merge", {"into_id": first["id"]})
    assert await owners(str(house.site)) == [(str(house.crew), False)]
    assert await owners(first["id"]) == [(str(house.crew), True)]
    await desk.post(f"/sites/{first['id']}/merge", {"into_id": second["id"]})
    assert await owners(second["id"]) == [(str(house.id_of(LI_WEI)), True)]


async def test_the_contact_to_ask_for_follows_a_merge_of_contacts(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    twice = await added(desk, f"/customers/{house.customer}/contacts", {"name": "赵敏"})
    other = await added(desk, "/sites", new_site(house))
    for contact, primary in ((str(house.contact), True), (twice["id"], False)):
        await desk.ask("PUT", f"/sites/{other['id']}/contacts/{contact}", json={"primary": primary})
    await desk.post(f"/contacts/{house.contact}/merge", {"into_id": twice["id"]})
    await office.work()
    for site in (str(house.site), other["id"]):
        listed = (await desk.get(f"/sites/{site}/contacts")).json()
        assert listed == [{"contact_id": twice["id"], "primary": True}]


async def test_files_of_a_merged_asset_follow(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    same = await added(desk, f"/sites/{house.site}/assets", {"asset_type": "camera", "name": "同一台"})
    file = {"entity": "asset", "subject_id": str(house.camera), "sha256": "0" * 64, "kind": "manual", "name": "说明"}
    attached = await added(desk, "/attachments", file)
    await desk.post(f"/assets/{house.camera}/merge", {"into_id": same["id"]})
    (followed,) = (await desk.get(f"/attachments?entity=asset&subject_id={same['id']}")).json()
    assert followed["id"] == attached["id"]


async def test_merged_assets_keep_one_history(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    twice = await added(desk, f"/sites/{house.site}/assets", {"asset_type": "camera", "name": "同一台"})
    assert (await desk.post(f"/assets/{house.camera}/merge", {"into_id": twice["id"]})).status_code == 200
    assert (await desk.get(f"/assets/{twice['id']}")).json()["position_id"] == str(house.position)
    assert code_of(await desk.edit(f"/assets/{house.camera}", {"name": "x"})) == "merged_away"
    assert code_of(await desk.post(f"/assets/{twice['id']}/merge", {"into_id": twice["id"]})) == "merge_refused"


async def test_long_lists_come_in_pages(sqlite_office: Office) -> None:
    desk, house = await sqlite_office.sign_in(HE_LI), sqlite_office.house
    for number in range(2):
        await added(desk, f"/sites/{house.site}/positions", {"name": f"摄像机 {number + 2}"})
        await added(desk, "/asset-models", {"asset_type": "camera", "brand": "云桥", "model": f"C{number}"})
        await added(desk, f"/customers/{house.customer}/contacts", {"name": f"钱红 {number}"})
        sqlite_office.move_clock(minutes=1)
        for position in (await desk.get(f"/sites/{house.site}/positions")).json()["items"][:2]:
            await added(desk, f"/positions/{position['id']}/placements", {"asset_id": str(house.camera)})
    lists = {
        f"/sites/{house.site}/positions": 3, "/asset-models": 2, f"/customers/{house.customer}/contacts": 3,
        f"/assets/{house.camera}/placements": 5, f"/positions/{house.position}/placements": 2,
    }  # fmt: skip
    for path, count in lists.items():
        seen: list[str] = []
        cursor = ""
        while cursor is not None:
            page = (await desk.get(f"{path}?limit=1{cursor and f'&cursor={cursor}'}")).json()
            seen += [one["id"] for one in page["items"]]
            cursor = page["next"]
        assert (len(seen), len(set(seen)), seen) == (count, count, sorted(seen, reverse=True)), path
        assert (await desk.get(f"{path}?limit=201")).status_code == 422


# --- rules alone ------------------------------------------------------------------------------------------------------

instants = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)).map(lambda at: at.replace(tzinfo=START.tzinfo))  # noqa: DTZ001


@given(instants, st.none() | instants, instants)
def test_a_placement_lies_between_what_it_ends_and_now(at: datetime, begun: datetime | None, now: datetime) -> None:
    fits = (begun is None or begun <= at) and at <= now
    assert (placement_finding("at", at, begun=begun, now=now) is None) is fits


@pytest.mark.rule("A271")
@given(st.sampled_from(["photo", "drawing", "manual", "document"]), st.booleans())
def test_only_drawings_of_a_site_that_forbids_it_stay_in_the_office(kind: str, no_offline_drawings: bool) -> None:  # noqa: FBT001
    site_id = new_id()
    bucket = document_bucket(site_id, kind, no_offline_drawings=no_offline_drawings)
    assert bucket == (None if kind == "drawing" and no_offline_drawings else f"site:{site_id}")


async def test_the_database_itself_refuses_half_a_place(sqlite_office: Office) -> None:

    async def move(**values: float | None) -> None:
        async with sqlite_office.database.write() as session:
            await session.execute(update(Site).where(Site.id == sqlite_office.house.site).values(**values))

    for values in ({"lat": 91.0}, {"lon": 181.0}, {"lat": None}):
        with pytest.raises(IntegrityError):
            await move(**values)
    async with sqlite_office.database.read() as session:
        site = await session.get_one(Site, sqlite_office.house.site)
    assert (site.lat, site.lon) == (LAT, LON)
