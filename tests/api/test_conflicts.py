"""Conflicts at the desk: who sees them, what is compared, and what becomes of a decision."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from backend.core.audit import AuditEntry
from backend.core.ids import new_id
from backend.devices.field_words import ENTITY_WORDS, FIELD_WORDS
from sync import work
from sync.policy import POLICY, Rule
from sync.protocol import Status
from tests.api.test_devices import Pocket, phone_of
from tests.make import Desk, Office
from tests.personas import CHEN_JING, HE_LI, LI_WEI, LIN_LI, MA_CHAO, TANG_MIN, WANG_FANG, WU_GANG, ZHOU_TAO
from tests.work import give, ok, opened, refused, sent


async def clash(office: Office, phone: Pocket, row: str, theirs: dict[str, Any], mine: dict[str, Any]) -> str:
    """王芳 edits an asset at the desk, 李伟 on his phone without knowing; return the conflict."""
    wang_fang = await office.sign_in(WANG_FANG)
    await phone.contact()
    ok(await wang_fang.edit(f"/assets/{row}", theirs))
    edit(phone, "asset", row, **mine)
    (result,) = await phone.delivered()
    assert result.status is Status.CONFLICT
    return result.conflicts[0]


def edit(phone: Pocket, entity: str, row: str, **changes: Any) -> None:
    mutation_id = str(new_id())
    phone.phone.do(
        lambda replica: work.edit(replica, entity, row, changes, mutation_id=mutation_id, now=phone.office.now)
    )  # fmt: skip


async def decided(desk: Desk, conflict: str, body: Any, etag: str | None = None) -> httpx.Response:
    seen = etag or (await desk.get(f"/conflicts/{conflict}")).headers.get("ETag", "")
    return await desk.post(f"/conflicts/{conflict}/decision", body, headers={"If-Match": seen})


async def test_a_conflict_is_compared_decided_and_synced(office: Office, tmp_path: Path) -> None:
    camera = str(office.house.camera)
    await sent(office)
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        conflict = await clash(office, li_wei, camera, {"serial": "OFFICE-1"}, {"serial": "PHONE-1"})
        wang_fang = await office.sign_in(WANG_FANG)
        (listed,) = ok(await wang_fang.get("/conflicts"))["items"]
        assert (listed["id"], listed["edited"]["name"], listed["decision"]) == (conflict, "李伟", None)
        assert listed["entity_words"] == {"zh": "设备", "en": "Asset"}
        compared = ok(await wang_fang.get(f"/conflicts/{conflict}"))
        (field,) = compared["fields"]
        assert (field["mine"], field["theirs"], field["current"]) == ("PHONE-1", "OFFICE-1", "OFFICE-1")
        assert field["words"] == {"zh": "序列号", "en": "Serial number"}
        assert compared["theirs"]["name"] == "王芳"
        after = ok(await decided(wang_fang, conflict, {"take": "mine"}))
        assert (after["conflict"]["decision"], after["conflict"]["decided"]["name"]) == ("mine", "王芳")
        assert after["fields"][0]["current"] == "PHONE-1"
        assert ok(await wang_fang.get(f"/assets/{camera}"))["serial"] == "PHONE-1"
        assert ok(await wang_fang.get("/conflicts"))["items"] == []
        assert (
            len(ok(await wang_fang.get(f"/conflicts?state=decided&site_id={office.house.site}&entity=asset"))["items"])
            == 1
        )
        await li_wei.contact()
        assert li_wei.shown("asset")[camera]["serial"] == "PHONE-1"
        assert li_wei.shown("field_conflict")[conflict]["decision"] == "mine"
        again = refused(await decided(wang_fang, conflict, {"take": "theirs"}), "conflict_decided")
        assert "王芳" in again["detail_zh"]
    async with office.database.read() as session:
        trail = (await session.execute(select(AuditEntry.action).where(AuditEntry.action.in_(
            ("asset.edited", "field_conflict.decided"))))).scalars()  # fmt: skip
        assert sorted(trail) == ["asset.edited", "asset.edited", "field_conflict.decided"]


async def test_each_role_sees_what_it_may_decide(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    _, _, visit_id = await sent(office)
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        conflict = await clash(office, li_wei, str(office.house.camera), {"serial": "O"}, {"serial": "P"})
        expected = {WANG_FANG: 200, HE_LI: 200, CHEN_JING: 200, LI_WEI: 200, WU_GANG: 200, ZHOU_TAO: 404, MA_CHAO: 404}
        for persona, status in (expected | {TANG_MIN: 403, LIN_LI: 403}).items():
            desk = await office.sign_in(persona)
            assert (await desk.get(f"/conflicts/{conflict}")).status_code == status, persona
            listed = await desk.get("/conflicts")
            assert listed.status_code == (403 if status == 403 else 200)
            if status != 403:
                assert len(listed.json()["items"]) == (status == 200), persona
            answer = await decided(desk, conflict, {"take": "theirs"}, etag='"old"')
            assert answer.status_code == {200: 412}.get(status, status), persona
        wang_fang = await office.sign_in(WANG_FANG)
        await give(wang_fang, office, visit_id, ZHOU_TAO)
        mine = await office.sign_in(LI_WEI)
        assert (await mine.get(f"/conflicts/{conflict}")).status_code == 404, "the site is no longer his"


async def test_of_two_who_decide_at_once_one_wins_and_the_other_is_told(office: Office, tmp_path: Path) -> None:
    await sent(office)
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        conflict = await clash(office, li_wei, str(office.house.camera), {"serial": "O"}, {"serial": "P"})
    desks = [await office.sign_in(WANG_FANG), await office.sign_in(CHEN_JING)]
    etag = (await desks[0].get(f"/conflicts/{conflict}")).headers["ETag"]
    answers = await asyncio.gather(*(decided(desk, conflict, {"take": "mine"}, etag) for desk in desks))
    assert sorted(answer.status_code for answer in answers) == [200, 409]


async def test_a_decision_rests_on_what_was_seen_and_on_the_offices_rules(
    sqlite_office: Office, tmp_path: Path
) -> None:
    office, camera = sqlite_office, str(sqlite_office.house.camera)
    await sent(office)
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        conflict = await clash(office, li_wei, camera, {"name": "大厅枪机"}, {"name": "大厅球机"})
    wang_fang = await office.sign_in(WANG_FANG)
    etag = (await wang_fang.get(f"/conflicts/{conflict}")).headers["ETag"]
    refused(await wang_fang.post(f"/conflicts/{conflict}/decision", {"take": "mine"}), "if_match_missing")
    for values in ({"name": ""}, {"name": "长" * 500}, {"serial": "X"}, {}):
        refused(await decided(wang_fang, conflict, {"take": "values", "values": values}), "invalid")
    refused(await decided(wang_fang, conflict, {"take": "yours"}), "invalid")
    ok(await wang_fang.edit(f"/assets/{camera}", {"name": "门厅枪机"}))
    refused(await decided(wang_fang, conflict, {"take": "mine"}, etag), "stale")
    ok(await decided(wang_fang, conflict, {"take": "values", "values": {"name": "门厅球机"}}))
    assert ok(await wang_fang.get(f"/assets/{camera}"))["name"] == "门厅球机"


async def test_a_contact_point_deleted_in_the_office_comes_back_only_by_decision(
    sqlite_office: Office, tmp_path: Path
) -> None:
    office = sqlite_office
    await sent(office)
    wang_fang, contact = await office.sign_in(WANG_FANG), str(office.house.contact)
    point = ok(await wang_fang.post(f"/contacts/{contact}/points", {"kind": "phone", "address": "13900001111"}), 201)[
        "id"
    ]
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        await li_wei.contact()
        assert (await wang_fang.ask("DELETE", f"/contacts/{contact}/points/{point}")).is_success
        edit(li_wei, "contact_point", point, address="+8613900002222")
        (result,) = await li_wei.delivered()
        assert (result.status, result.code) == (Status.CONFLICT, "row_gone")
        (conflict,) = result.conflicts
        compared = ok(await wang_fang.get(f"/conflicts/{conflict}"))
        assert (compared["row_exists"], compared["mine_removes"], compared["theirs"]["name"]) == (False, False, "王芳")
        after = ok(await decided(wang_fang, conflict, {"take": "mine"}))
        assert after["row_exists"]
        await li_wei.contact()
        assert li_wei.shown("contact_point")[point]["address"] == "+8613900002222"


async def test_a_technician_decides_from_the_phone(sqlite_office: Office, tmp_path: Path) -> None:
    office, camera = sqlite_office, str(sqlite_office.house.camera)
    await sent(office)
    await opened(await office.sign_in(WANG_FANG), office)
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        conflict = await clash(office, li_wei, camera, {"serial": "O"}, {"serial": "P"})
        mutation_id = str(new_id())
        li_wei.phone.do(lambda replica: work.decide(replica, conflict, "mine", mutation_id=mutation_id, now=office.now))
        (result,) = await li_wei.delivered()
        assert (result.status, result.code) == (Status.APPLIED, "")
        assert li_wei.shown("asset")[camera]["serial"] == "P"
    detail = ok(await (await office.sign_in(WANG_FANG)).get(f"/conflicts/{conflict}"))
    assert detail["conflict"]["decided"]["name"] == "李伟"


def test_every_field_a_phone_may_change_has_a_word() -> None:
    merged = {name: rules for name, rules in POLICY.entities.items() if rules.rule is Rule.MERGE}
    assert ENTITY_WORDS.keys() == merged.keys()
    fields = {field for rules in merged.values() for field in (*rules.editable(), *rules.born_with)}
    assert fields == FIELD_WORDS.keys()
