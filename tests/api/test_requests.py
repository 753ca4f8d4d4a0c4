"""Cases over HTTP: intake, who may see what, edits and lists."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import select

from backend.contracts.models import CommitmentClock
from backend.core.audit import Actor, AuditEntry, ImportBatch
from backend.customers.models import Customer
from backend.notifications.models import Notification
from backend.requests import actions, queries
from backend.requests.models import ServiceRequest
from backend.requests.schemas import NewServiceRequest
from backend.sites.models import Asset, AssetModel, Site
from tests.cases import FAULT, NOBODY, TRIAGE, clocks, count, instant, is_problem, move, report, try_move
from tests.make import START, Office
from tests.personas import (
    CHEN_JING,
    GAO_JIE,
    HE_LI,
    LI_WEI,
    LIN_LI,
    MA_CHAO,
    SUN_LEI,
    TANG_MIN,
    WANG_FANG,
    WU_GANG,
    XU_HUI,
    ZHOU_TAO,
)
from tests.work import sent

# --- intake -----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A001", "A002", "A004", "A029", "A030", "A031")
async def test_a_request_starts_its_clocks_when_it_is_received_and_names_what_is_missing(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    request = await report(desk, office, asset_id=str(office.house.camera))
    assert (request["number"], request["state"], request["channel"]) == ("SR-1", "received", "phone")
    assert request["missing_facts"] == ["product_model", "purchased_on"]
    assert request["customer_id"] == str(office.house.customer)
    running = await clocks(desk, request)
    assert list(running) == ["respond", "answer", "arrive", "solve"]
    limits = {kind: clock["due_at"] and instant(clock["due_at"]) - START for kind, clock in running.items()}
    hours = {"respond": timedelta(hours=2), "answer": timedelta(hours=24), "arrive": timedelta(hours=48), "solve": None}
    assert limits == hours
    assert running["arrive"]["zh"] == "到场还剩 48 小时（周一 09:00 起 48 小时）"
    assert running["arrive"]["en"] == "48 h left to arrive (48 h from Mon 09:00)"


async def test_the_clocks_of_a_case_are_in_its_own_bucket(sqlite_office: Office) -> None:
    request = await report(await sqlite_office.sign_in(HE_LI), sqlite_office)
    async with sqlite_office.database.read() as session:
        buckets = (await session.execute(select(CommitmentClock.bucket))).scalars().all()
    assert set(buckets) == {f"request:{request['id']}"}


@pytest.mark.rule("A002", "A003", "A024")
async def test_facts_are_completed_one_by_one(office: Office) -> None:
    async with office.database.write() as session:
        model = AssetModel(asset_type="camera", brand="云眼", model="YE-2", needs_original_box=False)
        session.add(model)
        await session.flush()
        camera = await session.get_one(Asset, office.house.camera)
        camera.asset_model_id, camera.purchased_on = model.id, START.date()
    desk = await office.sign_in(HE_LI)
    request = await report(desk, office, reporter_phone="", symptom=" ")
    assert request["missing_facts"] == ["reporter_phone", "product_model", "purchased_on", "symptom"]
    path = f"/requests/{request['id']}"
    asked = await desk.post(f"{path}/inquiries", {"fact": "symptom", "asked_of": "门店店长", "answer": "不清楚"})
    assert asked.status_code == 201, asked.text
    edited = await desk.edit(
        path, {"reporter_phone": "13900000001", "symptom": "无图像", "asset_id": str(office.house.camera)}
    )
    assert (edited.status_code, edited.json()["missing_facts"]) == (200, [])
    detail = (await desk.get(path)).json()
    assert [(one["fact"], one["asked_of"]) for one in detail["inquiries"]] == [("symptom", "门店店长")]
    assert (detail["customer_name"], detail["contract"]) == ("云桥物业", None)


@pytest.mark.rule("A020")
async def test_the_customer_gets_a_receipt_once_it_is_committed(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    await report(desk, office)
    await office.work()
    await office.work()
    lines = (office.settings.data_dir / "outbox.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 1
    assert "赵敏您好，您的报修已收到，编号 SR-1，正在处理中。我们将在 周一 11:00 前与您联系。" in lines[0]
    async with office.database.read() as session:
        message = (await session.execute(select(Notification))).scalar_one()
    assert (message.channel, message.address, message.sent_at) == ("sms", "+8613900000001", START)


async def test_without_an_address_there_is_no_receipt(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    await report(desk, sqlite_office, reporter_phone="")
    assert await count(sqlite_office, Notification) == 0
    await report(desk, sqlite_office, reporter_phone="", contact_id=str(sqlite_office.house.contact))
    assert await count(sqlite_office, Notification) == 1


async def test_an_earlier_time_of_receipt_needs_a_reason_and_is_audited(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    earlier = {"received_at": "2026-03-01T22:00:00+08:00"}
    refused = await desk.post("/requests", {"site_id": str(office.house.site), **FAULT, **earlier})
    assert is_problem(refused, 422, "invalid", "backdating_reason")
    request = await report(desk, office, **earlier, backdating_reason="夜间电话留言")
    assert instant(request["received_at"]) == datetime(2026, 3, 1, 14, tzinfo=UTC)
    assert instant((await clocks(desk, request))["respond"]["due_at"]) == datetime(2026, 3, 2, 3, tzinfo=UTC)
    async with office.database.read() as session:
        entry = (await session.execute(select(AuditEntry).filter_by(action="service_request.received"))).scalar_one()
    assert (entry.reason, entry.person_id) == ("夜间电话留言", office.house.id_of(HE_LI))


@pytest.mark.rule("A014", "A036")
async def test_the_policy_comes_from_the_sites_contract(office: Office) -> None:
    sales = await office.sign_in(XU_HUI)
    contract = {
        "customer_id": str(office.house.customer), "number": "HT-2026-1", "starts_on": "2026-01-01",
        "clock_policy": "same_day", "site_ids": [str(office.house.site)],
    }  # fmt: skip
    made = await sales.post("/service-contracts", contract)
    assert made.status_code == 201, made.text
    desk = await office.sign_in(HE_LI)
    request = await report(desk, office)
    detail = (await desk.get(f"/requests/{request['id']}")).json()
    assert detail["contract"]["number"] == "HT-2026-1"
    assert instant((await clocks(desk, request))["arrive"]["due_at"]) == datetime(2026, 3, 2, 16, tzinfo=UTC)


async def test_a_site_and_its_customer_may_be_named_by_their_external_ids(sqlite_office: Office) -> None:
    async with sqlite_office.database.write() as session:
        (await session.get_one(Site, sqlite_office.house.site)).external_id = "GIS-1"
        (await session.get_one(Customer, sqlite_office.house.customer)).external_id = "CRM-1"
        (await session.get_one(Asset, sqlite_office.house.lift)).external_id = "LIFT-1"
    desk = await sqlite_office.sign_in(HE_LI)
    named = {"site_external_id": "GIS-1", "customer_external_id": "CRM-1", "asset_external_id": "LIFT-1"}
    answer = await desk.post("/requests", {**FAULT, **named})
    assert answer.status_code == 201, answer.text
    assert answer.json()["asset_id"] == str(sqlite_office.house.lift)


async def test_a_merged_site_leads_to_the_one_it_was_merged_into(sqlite_office: Office) -> None:
    async with sqlite_office.database.write() as session:
        site = await session.get_one(Site, sqlite_office.house.site)
        old = Site(**{
            column.name: getattr(site, column.name) for column in Site.__table__.columns
        } | {"id": uuid4(), "number": "S-OLD", "external_id": None, "merged_into_id": site.id})  # fmt: skip
        session.add(old)
    request = await report(await sqlite_office.sign_in(HE_LI), sqlite_office, site_id=str(old.id))
    assert request["site_id"] == str(sqlite_office.house.site)


BAD_INTAKES: list[tuple[dict[str, Any], str]] = [
    ({"colour": "red"}, "colour"),
    ({"symptom": 7}, "symptom"),
    ({"symptom": "\x00"}, "symptom"),
    ({"symptom": "长" * 4001}, "symptom"),
    ({"channel": ""}, "channel"),
    ({"channel": "by pigeon"}, "channel"),
    ({"reporter_phone": "1" * 41}, "reporter_phone"),
    ({"received_at": "2026-03-02T09:00:00"}, "received_at"),
    ({"received_at": "yesterday"}, "received_at"),
    ({"received_at": "2026-03-02T09:10:00+08:00"}, "received_at"),
    ({"received_at": "0003-03-02T09:00:00+08:00", "backdating_reason": "x"}, "received_at"),
    ({"received_at": "2025-02-28T09:00:00+08:00", "backdating_reason": "x"}, "received_at"),
    ({"occurred_at": "soon"}, "occurred_at"),
    ({"occurred_at": "0003-03-02T09:00:00+08:00"}, "occurred_at"),
    ({"occurred_at": "2027-03-02T09:00:00+08:00"}, "occurred_at"),
    ({"priority": "P9"}, "priority"),
    ({"site_id": "not-an-id"}, "site_id"),
    ({"site_external_id": "GIS-1"}, "site_id"),
    ({"asset_id": NOBODY}, "asset_id"),
    ({"asset_external_id": "nobody"}, "asset_external_id"),
    ({"contact_id": NOBODY}, "contact_id"),
    ({"customer_id": NOBODY}, "customer_id"),
]


async def test_bad_intakes_say_what_is_wrong_and_change_nothing(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    for wrong, field in BAD_INTAKES:
        answer = await desk.post("/requests", {"site_id": str(office.house.site), **FAULT, **wrong})
        assert answer.status_code in {400, 404, 422}, f"{wrong}: {answer.text}"
        assert field in answer.text, wrong
    assert await count(office, ServiceRequest) == 0


async def test_a_request_without_a_site_or_at_a_strange_one_is_refused(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    assert is_problem(await desk.post("/requests", FAULT), 422, "invalid", "site_id")
    for site in (office.house.north_site, uuid4()):
        assert is_problem(await desk.post("/requests", {"site_id": str(site), **FAULT}), 404, "not_found")
    assert await count(office, ServiceRequest) == 0


async def test_things_of_other_customers_are_refused(sqlite_office: Office) -> None:
    head = await sqlite_office.sign_in(CHEN_JING)
    at_school = {"site_id": str(sqlite_office.house.north_site), **FAULT}
    house = sqlite_office.house
    for field, value in (("asset_id", house.lift), ("contact_id", house.contact), ("customer_id", house.customer)):
        assert is_problem(await head.post("/requests", {**at_school, field: str(value)}), 422, "invalid", field)


async def test_the_same_key_creates_once_and_another_request_under_it_is_refused(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    body, key = {"site_id": str(office.house.site), **FAULT}, {"Idempotency-Key": "case-1"}
    first = await desk.post("/requests", body, headers=key)
    again = await desk.post("/requests", body, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    other = await desk.post("/requests", {**body, "symptom": "别的"}, headers=key)
    assert is_problem(other, 409, "idempotency_key_reused")
    missing = await desk.post("/requests", body, headers={"Idempotency-Key": ""})
    assert is_problem(missing, 400, "idempotency_key_missing")
    assert await count(office, ServiceRequest) == 1


async def test_an_external_id_is_taken_once(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    await report(desk, sqlite_office, external_id="OLD-1")
    again = await desk.post("/requests", {"site_id": str(sqlite_office.house.site), **FAULT, "external_id": "OLD-1"})
    assert is_problem(again, 409, "constraint")


async def test_what_is_imported_or_was_taken_in_offline_may_be_old_without_another_reason(
    sqlite_office: Office,
) -> None:
    house = sqlite_office.house
    new = NewServiceRequest(
        channel="import", site_id=house.site, reporter_phone="13900000001", received_at=START - timedelta(days=9)
    )
    person = house.id_of(LI_WEI)
    async with sqlite_office.database.write() as session:
        batch = ImportBatch(
            started_at=START, source_name="old.csv", source_sha256="0" * 64, mapping_name="m", created_count=0,
            changed_count=0, refused_count=0,
        )  # fmt: skip
        session.add(batch)
        await session.flush()
        importing = Actor(person_id=person, import_batch_id=batch.id)
        imported = await actions.open_request(session, now=START, actor=importing, new=new, go_live_on=START.date())
        offline = Actor(person_id=person, mutation_id=uuid4())
        born = msgspec.structs.replace(new, id=uuid4(), device_number="A7-1")
        taken = await actions.open_request(session, now=START, actor=offline, new=born)
    async with sqlite_office.database.read() as session:
        owners = [await queries.owner_of(session, one.id) for one in (imported, taken)]
        messages = (await session.execute(select(Notification.key))).scalars().all()
        entries = select(AuditEntry.reason).filter_by(action="service_request.received").order_by(AuditEntry.id)
        reasons = (await session.execute(entries)).scalars().all()
    assert (imported.import_batch_id, imported.go_live_on) == (batch.id, START.date())
    assert (taken.id, taken.device_number) == (born.id, "A7-1")
    assert [owner and owner.person_id for owner in owners] == [None, person], "an import is nobody's Case yet"
    assert messages == [f"request_receipt:{taken.id}"], "nobody wants a message about last year's fault"
    assert list(reasons) == ["导入 / imported", "离线登记 / registered offline"]


# --- who may see what -------------------------------------------------------------------------------------------------


REACHES = [
    (HE_LI, 200, 200), (WANG_FANG, 200, 200), (CHEN_JING, 200, 200), (WU_GANG, 200, 200),  # unit, kind, all, crew
    (TANG_MIN, 200, 403), (GAO_JIE, 200, 403), (XU_HUI, 200, 403), (LIN_LI, 403, 403),  # read only, nothing
    (MA_CHAO, 404, 404), (SUN_LEI, 404, 404), (ZHOU_TAO, 404, 404), (LI_WEI, 404, 404),  # elsewhere, not theirs
]  # fmt: skip


@pytest.mark.rule("A270")
async def test_each_role_sees_and_moves_what_its_reach_covers(office: Office) -> None:
    request = await report(await office.sign_in(HE_LI), office)
    path = f"/requests/{request['id']}"
    for persona, reads, writes in REACHES:
        desk = await office.sign_in(persona)
        assert (await desk.get(path)).status_code == reads, persona
        assert (await desk.get(f"{path}/clocks")).status_code == reads, persona
        listed = (await desk.get("/requests")).json().get("items", [])
        assert [one["id"] for one in listed] == ([request["id"]] if reads == 200 else []), persona
        edited = await desk.ask("PATCH", path, json={"wishes": "尽快"}, headers={"If-Match": '"x"'})
        assert edited.status_code == (412 if writes == 200 else writes), persona
        assert (await try_move(desk, request, "triage", TRIAGE)).status_code == writes, persona


@pytest.mark.rule("A016", "A026")
async def test_a_technician_reports_only_where_the_work_is_and_then_owns_the_case(sqlite_office: Office) -> None:
    zhou = await sqlite_office.sign_in(ZHOU_TAO)
    body = {"site_id": str(sqlite_office.house.site), **FAULT}
    assert is_problem(await zhou.post("/requests", body), 404, "not_found")
    wu = await sqlite_office.sign_in(WU_GANG)
    request = await report(wu, sqlite_office)
    detail = (await wu.get(f"/requests/{request['id']}")).json()
    assert [(one["person_name"], one["ended_at"]) for one in detail["owners"]] == [("吴刚", None)]


@pytest.mark.rule("A270")
async def test_whoever_is_sent_to_a_case_may_read_it_as_long_as_the_order_is_theirs(office: Office) -> None:
    request = await report(await office.sign_in(HE_LI), office)
    path = f"/requests/{request['id']}"
    wang, zhou, visit_id = await sent(office, ZHOU_TAO, request_id=request["id"])
    detail = (await zhou.get(path)).json()
    assert (detail["request"]["symptom"], detail["site_name"]) == (FAULT["symptom"], "云桥大厦")
    listed = (await zhou.get("/requests")).json()["items"]
    assert [one["id"] for one in listed] == [request["id"]]
    assert (await zhou.post(f"{path}/escalate", {"reason": "需要专家"})).status_code == 201
    assert (await wang.post(f"/visits/{visit_id}/withdraw", {"reason": "改派"})).status_code == 200
    assert is_problem(await zhou.get(path), 404, "not_found")


async def test_without_signing_in_nothing_is_told(sqlite_office: Office) -> None:
    request = await report(await sqlite_office.sign_in(HE_LI), sqlite_office)
    for path in ("/requests", f"/requests/{request['id']}", f"/requests/{uuid4()}"):
        assert is_problem(await sqlite_office.client.get(path), 401, "not_signed_in")


# --- edits ------------------------------------------------------------------------------------------------------------


async def test_an_edit_rests_on_what_its_author_saw(office: Office) -> None:
    desk, other = await office.sign_in(HE_LI), await office.sign_in(WANG_FANG)
    request = await report(desk, office)
    path = f"/requests/{request['id']}"
    assert is_problem(await desk.ask("PATCH", path, json={"wishes": "上午"}), 428, "if_match_missing")
    seen = (await desk.get(path)).headers["ETag"]
    office.move_clock(minutes=1)
    assert (await desk.get(path)).headers["ETag"] == seen, "clocks tick, the facts stay"
    assert (await other.edit(path, {"wishes": "下午"})).status_code == 200
    stale = await desk.ask("PATCH", path, json={"wishes": "上午"}, headers={"If-Match": seen})
    assert is_problem(stale, 412, "stale")
    assert (await desk.get(path)).json()["request"]["wishes"] == "下午"


async def test_a_triage_rests_on_what_its_author_saw_and_changes_only_what_it_says(office: Office) -> None:
    desk = await office.sign_in(WANG_FANG)
    request = await report(desk, office)
    path = f"/requests/{request['id']}"
    assert is_problem(await desk.post(f"{path}/triage", TRIAGE), 428, "if_match_missing")
    assert is_problem(await try_move(desk, request, "triage", {"priority": "P2"}), 422, "invalid", "service_mode")
    seen = {"If-Match": (await desk.get(path)).headers["ETag"]}
    first = await move(desk, request, "triage", TRIAGE | {"cause": "wear", "estimated_minutes": 45})
    assert is_problem(await desk.post(f"{path}/triage", {"priority": "P1"}, headers=seen), 412, "stale")
    second = await move(desk, request, "triage", {"priority": "P1"})
    assert second == first | {"priority": "P1"}
    assert (await move(desk, request, "triage", {"cause": None}))["cause"] is None


async def test_bad_edits_are_refused(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    request = await report(desk, sqlite_office)
    wrongs: list[Any] = [{"state": "closed"}, {"received_at": None}, {"asset_id": "x"}, {"symptom": None}, []]
    for wrong in wrongs:
        edited = await desk.edit(f"/requests/{request['id']}", wrong)
        assert edited.status_code in {400, 422}, f"{wrong}: {edited.text}"


# --- lists ------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A007", "A023")
async def test_lists_filter_and_page(office: Office) -> None:
    desk = await office.sign_in(WANG_FANG)
    requests = [await report(desk, office, priority=priority) for priority in ("P1", "P2", "P3")]
    await move(desk, requests[0], "contact", {"channel": "phone"})
    await move(desk, requests[1], "triage", TRIAGE)
    office.move_clock(hours=3)
    desk = await office.sign_in(WANG_FANG)

    async def numbers(**params: Any) -> list[str]:
        answer = await desk.get("/requests", params=params)
        assert answer.status_code == 200, answer.text
        return [one["number"] for one in answer.json()["items"]]

    assert await numbers() == ["SR-3", "SR-2", "SR-1"]
    assert await numbers(state="triaged") == ["SR-2"]
    assert await numbers(state=["triaged", "received"]) == ["SR-3", "SR-2", "SR-1"]
    assert await numbers(priority="P1") == ["SR-1"]
    assert await numbers(overdue=True) == ["SR-3", "SR-2"]
    assert await numbers(overdue=False) == ["SR-1"]
    assert await numbers(incomplete=True) == ["SR-3", "SR-2", "SR-1"]
    assert await numbers(incomplete=False) == []
    assert await numbers(unit_id=str(office.house.north)) == []
    assert await numbers(site_id=str(office.house.site), customer_id=str(office.house.customer)) == await numbers()
    first = (await desk.get("/requests", params={"limit": 2})).json()
    second = (await desk.get("/requests", params={"limit": 2, "cursor": first["next"]})).json()
    assert [one["number"] for one in first["items"] + second["items"]] == ["SR-3", "SR-2", "SR-1"]
    assert second["next"] is None
    late = first["items"][0]
    assert (late["next_kind"], late["late"], late["site_name"]) == ("respond", True, "云桥大厦")
    assert second["items"][0]["next_kind"] == "answer"


async def test_bad_filters_are_refused(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(WANG_FANG)
    for wrong in ("state=lost", "limit=0", "limit=201", "cursor=zzz", "unit_id=x", "overdue=perhaps"):
        answer = await desk.get(f"/requests?{wrong}")
        assert answer.status_code in {400, 422}, f"{wrong}: {answer.text}"
        assert answer.headers["content-type"].startswith("application/problem+json")
