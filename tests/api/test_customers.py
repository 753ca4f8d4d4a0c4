"""Customers and contacts over the API: found, edited under consent, merged, and seen only by those who serve them."""

from itertools import pairwise
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from backend.core.audit import AuditEntry
from backend.core.changes import change
from backend.core.ids import new_id
from backend.customers.models import Customer
from backend.customers.queries import survivor
from backend.customers.schemas import POINTS_MAXIMUM
from tests.make import Desk, House, Office, add_all, add_customer
from tests.personas import CHEN_JING, HE_LI, LI_WEI, MA_CHAO, SUN_LEI, TANG_MIN, WANG_FANG, WU_GANG, ZHOU_TAO
from tests.work import sent


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    return answer.json()["code"]


def fields_of(answer: httpx.Response) -> list[str]:
    return [finding["field"] for finding in answer.json()["findings"]]


def new_customer(house: House, **values: Any) -> dict[str, Any]:
    return {"unit_id": str(house.service), "name": "湖滨小学"} | values


async def added(desk: Desk, path: str, body: Any) -> dict[str, Any]:
    answer = await desk.post(path, body)
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.mark.rule("A123", "A127")
async def test_a_customer_is_added_with_a_number_and_edited_under_what_was_seen(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    customer = await added(desk, "/customers", new_customer(office.house))
    assert customer["number"].startswith("C-")
    path = f"/customers/{customer['id']}"
    seen = (await desk.get(path)).headers["ETag"]
    assert (await desk.edit(path, {"language": "en"})).json()["language"] == "en"
    assert code_of(await desk.ask("PATCH", path, json={"name": "x"}, headers={"If-Match": seen})) == "stale"
    assert fields_of(await desk.edit(path, {"unit_id": str(office.house.north)})) == ["unit_id"]
    async with office.database.read() as session:
        actions = (await session.execute(select(AuditEntry.action).order_by(AuditEntry.id))).scalars().all()
    assert actions == ["customer.added", "customer.edited"]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"name": " \t"}, "name"), ({"name": "x" * 81}, "name"), ({"name": "a\x00"}, "name"),
        ({"kind": "person"}, "kind"), ({"language": ""}, "language"), ({"unit_id": "x"}, "unit_id"),
        ({"number": "C-1"}, "number"),
    ],
)  # fmt: skip
async def test_a_customer_with_something_wrong_is_refused(
    sqlite_office: Office, bad: dict[str, Any], field: str
) -> None:
    answer = await (await sqlite_office.sign_in(HE_LI)).post("/customers", new_customer(sqlite_office.house, **bad))
    assert (answer.status_code, fields_of(answer)) == (422, [field])


@pytest.mark.rule("A120", "A270")
@pytest.mark.parametrize(
    ("persona", "ours", "theirs"),
    [
        (HE_LI, 200, 404), (WANG_FANG, 200, 404), (MA_CHAO, 404, 200), (CHEN_JING, 200, 200), (TANG_MIN, 200, 200),
        (WU_GANG, 200, 404), (LI_WEI, 404, 404), (ZHOU_TAO, 404, 404), (SUN_LEI, 404, 404),
    ],
)  # fmt: skip
async def test_who_sees_which_customer(sqlite_office: Office, persona: Any, ours: int, theirs: int) -> None:
    """A crew leader sees the customers of the crew's sites; a technician without work there sees none."""
    desk, house = await sqlite_office.sign_in(persona), sqlite_office.house
    for path, expected in (
        (f"/customers/{house.customer}", ours), (f"/customers/{house.customer}/contacts", ours),
        (f"/contacts/{house.contact}", ours), (f"/customers/{house.north_customer}", theirs),
        (f"/customers/{house.north_customer}/contacts", theirs),
    ):  # fmt: skip
        assert (await desk.get(path)).status_code == expected, path
    listed = {customer["id"] for customer in (await desk.get("/customers")).json()["items"]}
    expected_ids = {str(house.customer)} if ours == 200 else set()
    expected_ids |= {str(house.north_customer)} if theirs == 200 else set()
    assert listed == expected_ids


@pytest.mark.parametrize("persona", [MA_CHAO, WU_GANG, LI_WEI, TANG_MIN])
async def test_who_may_not_change_a_customer(sqlite_office: Office, persona: Any) -> None:
    desk, house = await sqlite_office.sign_in(persona), sqlite_office.house
    edited = await desk.ask("PATCH", f"/customers/{house.customer}", json={"name": "x"}, headers={"If-Match": "x"})
    merged = await desk.post(f"/customers/{house.customer}/merge", {"into_id": str(house.north_customer)})
    assert {edited.status_code, merged.status_code} <= {403, 404}
    assert (await desk.post("/customers", new_customer(house))).status_code in {403, 422}


async def test_a_customer_is_found_by_name_number_or_telephone(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    number = (await desk.get(f"/customers/{office.house.customer}")).json()["number"]
    for text in ("云桥", "物业", number, "139 0000 0001", "+8613900000001"):
        found = (await desk.get("/customers", params={"q": text})).json()["items"]
        assert [customer["name"] for customer in found] == ["云桥物业"], text
    for text in ("%", "_", "北湖", "13900000009", "'; DROP TABLE customer; --"):
        assert (await desk.get("/customers", params={"q": text})).json()["items"] == [], text
    for text in ("\x00", "云桥\x00", "x" * 101):
        assert (await desk.get("/customers", params={"q": text})).status_code == 422, text


@pytest.mark.rule("A266")
async def test_a_contact_is_reached_by_consent(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    body = {
        "name": "钱红", "title": "园长", "function": "operating_leader",
        "points": [{"kind": "phone", "address": "139 0000 0002", "consent": "spoken"},
                   {"kind": "email", "address": " Qian.Hong@School.example "}],
    }  # fmt: skip
    contact = await added(desk, f"/customers/{house.customer}/contacts", body)
    phone, email = contact["points"]
    assert (phone["address"], phone["consented_at"] is not None) == ("+8613900000002", True)
    assert (email["address"], email["consent"], email["consented_at"]) == ("qian.hong@school.example", None, None)
    path = f"/contacts/{contact['id']}/points"
    office.move_clock(minutes=1)
    withdrawn = (await desk.edit(f"{path}/{phone['id']}", {"consent": None})).json()
    assert (withdrawn["consent"], withdrawn["consented_at"]) == (None, None)
    moved = await desk.edit(f"{path}/{phone['id']}", {"address": "13900000003", "consent": "form"})
    assert moved.json()["consented_at"] == "2026-03-02T01:01:00Z"
    assert fields_of(await desk.edit(f"{path}/{phone['id']}", {"address": "call me"})) == ["address"]
    assert (await desk.ask("DELETE", f"{path}/{email['id']}")).status_code == 204
    assert (await desk.ask("DELETE", f"{path}/{email['id']}")).status_code == 404
    assert (await desk.get(f"/contacts/{house.contact}/points/{phone['id']}")).status_code == 404
    assert (await desk.edit(f"/contacts/{contact['id']}", {"title": None})).json()["title"] is None


@pytest.mark.parametrize(
    ("kind", "address", "field"),
    [
        ("phone", "abc", "points.0.address"), ("email", "abc", "points.0.address"), ("fax", "123", "points[0].kind"),
        ("email", "a@b@c.example", "points.0.address"), ("phone", "1", "points[0].address"),
    ],
)  # fmt: skip
async def test_a_contact_point_with_something_wrong_is_refused(
    sqlite_office: Office, kind: str, address: str, field: str
) -> None:
    bad = {"kind": kind, "address": address}
    desk, house = await sqlite_office.sign_in(HE_LI), sqlite_office.house
    answer = await desk.post(f"/customers/{house.customer}/contacts", {"name": "钱红", "points": [bad]})
    assert fields_of(answer) == [field]
    assert len((await desk.get(f"/customers/{house.customer}/contacts")).json()["items"]) == 1


async def test_a_contact_has_a_number_of_ways_to_be_reached(sqlite_office: Office) -> None:
    desk, path = await sqlite_office.sign_in(HE_LI), f"/contacts/{sqlite_office.house.contact}/points"
    for number in range(1, POINTS_MAXIMUM):
        await added(desk, path, {"kind": "wechat", "address": f"zhao-min-{number}"})
    assert code_of(await desk.post(path, {"kind": "wechat", "address": "one-more"})) == "too_many_contact_points"


async def test_merged_customers_are_followed_by_contacts_sites_and_searches(office: Office) -> None:
    head, house = await office.sign_in(CHEN_JING), office.house
    twice = await added(head, "/customers", new_customer(house, name="云桥物业公司"))
    answer = await head.post(f"/customers/{house.customer}/merge", {"into_id": twice["id"]})
    assert answer.json()["merged_into_id"] == twice["id"]
    await office.work()
    assert [one["name"] for one in (await head.get(f"/customers/{twice['id']}/contacts")).json()["items"]] == ["赵敏"]
    assert (await head.get(f"/sites/{house.site}")).json()["customer_id"] == twice["id"]
    assert [one["id"] for one in (await head.get("/customers?q=云桥")).json()["items"]] == [twice["id"]]
    assert code_of(await head.edit(f"/customers/{house.customer}", {"name": "x"})) == "merged_away"
    contact = await head.post(f"/customers/{house.customer}/contacts", {"name": "钱红"})
    assert (code_of(contact), contact.json()["facts"]) == ("merged_away", {"into_id": twice["id"]})
    site = {"unit_id": str(house.service), "customer_id": str(house.customer), "name": "新楼", "address": "湖滨路 2 号"}
    assert (await added(head, "/sites", site))["customer_id"] == twice["id"], "a reference to the old one follows"
    for into in (str(house.customer), twice["id"]):
        assert code_of(await head.post(f"/customers/{house.customer}/merge", {"into_id": into})) == "merge_refused"
    assert (await head.post(f"/customers/{house.customer}/merge", {"into_id": str(new_id())})).status_code == 404


async def test_merged_contacts_bring_their_telephones(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    twice = await added(desk, f"/customers/{house.customer}/contacts", {"name": "赵敏", "function": "payer"})
    merged = await desk.post(f"/contacts/{house.contact}/merge", {"into_id": twice["id"]})
    assert merged.json()["merged_into_id"] == twice["id"]
    (left,) = (await desk.get(f"/customers/{house.customer}/contacts")).json()["items"]
    assert [point["address"] for point in left["points"]] == ["+8613900000001"]
    async with office.database.read() as session:
        entries = select(change.c.bucket, change.c.deleted).where(change.c.entity == "contact_point")
        buckets = {row.bucket: row.deleted for row in (await session.execute(entries)).all()}
    assert buckets == {f"contact:{house.contact}": True, f"contact:{twice['id']}": False}, "phones are told, too"
    other = await added(await office.sign_in(MA_CHAO), f"/customers/{house.north_customer}/contacts", {"name": "孙梅"})
    head = await office.sign_in(CHEN_JING)
    refused = await head.post(f"/contacts/{other['id']}/merge", {"into_id": twice["id"]})
    assert code_of(refused) == "merge_refused"


async def test_who_was_only_sent_to_a_site_merges_nobody_of_the_customers_away(office: Office) -> None:
    _, technician, _ = await sent(office)
    path = f"/customers/{office.house.customer}/contacts"
    met = await added(technician, path, {"name": "门卫"})
    for dead, into in ((str(office.house.contact), met["id"]), (met["id"], str(office.house.contact))):
        assert (await technician.post(f"/contacts/{dead}/merge", {"into_id": into})).status_code == 404
    desk = await office.sign_in(HE_LI)
    listed = (await desk.get(path)).json()["items"]
    assert [one["merged_into_id"] for one in listed] == [None, None]
    merged = await desk.post(f"/contacts/{met['id']}/merge", {"into_id": str(office.house.contact)})
    assert merged.status_code == 200


async def test_an_old_id_leads_through_every_merge_to_the_one_that_stands(office: Office) -> None:
    async with office.database.write() as session:
        chain = [await add_customer(session, office.house.service, f"客户 {number}") for number in range(5)]
        for older, newer in pairwise(chain):
            older.merged_into_id = newer.id
        await add_all(session)
    async with office.database.read() as session:
        for one in chain:
            assert (await survivor(session, Customer, one.id)).id == chain[-1].id
