"""What was set aside at the desk: who reads it, what accepting does, once, and what dismissing keeps."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from backend.core.audit import AccessEntry, AuditEntry
from backend.core.ids import new_id
from docs.examples.phone_day import tap
from sync.protocol import EnrolAnswer
from tests.api.test_devices import Pocket, phone_of
from tests.make import Desk, Office
from tests.personas import CHEN_JING, HE_LI, LI_WEI, LIN_LI, MA_CHAO, WANG_FANG
from tests.work import ok, refused, sent


async def revoked_with(office: Office, phone: Pocket, visit_id: str) -> dict[str, Any]:
    """李伟's phone is revoked with a departure, a note that cannot be and a command nobody knows on it."""
    await phone.contact()
    tap(phone.phone, visit_id, "depart")
    (assignment,) = phone.shown("assignment").values()
    phone.do("note.add", "work_order", assignment["work_order_id"], id=str(new_id()), text="")
    phone.do("visit.dance", "visit", visit_id)
    lin_li, device = await office.sign_in(LIN_LI), phone.phone.replica.identity.device
    assert (await lin_li.ask("DELETE", f"/people/{office.house.id_of(LI_WEI)}/devices/{device}")).is_success
    await phone.contact()
    wang_fang = await office.sign_in(WANG_FANG)
    return {item["name"]: item for item in ok(await wang_fang.get("/quarantine"))["items"]}


async def accept(desk: Desk, item: dict[str, Any]) -> Any:
    return await desk.post(f"/quarantine/{item['id']}/accept")


async def test_what_was_set_aside_is_read_accepted_once_or_dismissed(office: Office, tmp_path: Path) -> None:
    wang_fang, _, visit_id = await sent(office)
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        items = await revoked_with(office, li_wei, visit_id)
    depart, note, dance = (items[name] for name in ("visit.event", "note.add", "visit.dance"))
    assert (depart["person_name"], depart["code"], depart["settlement"]) == ("李伟", "device_revoked", None)
    assert "revoked" in depart["why"]["en"]
    assert ok(await wang_fang.get(f"/quarantine/{depart['id']}"))["payload"]["args"]["kind"] == "depart"
    answers = await asyncio.gather(*(accept(wang_fang, depart) for _ in range(3)))
    done = [ok(answer) for answer in answers]
    assert done[0] == done[1] == done[2]
    assert (done[0]["outcome"]["status"], done[0]["item"]["settlement"]) == ("applied", "accepted")
    order = ok(await wang_fang.get(f"/work-orders/{await order_id(wang_fang)}"))
    assert [(event["kind"], event["person_id"]) for event in order["events"]] == [
        ("depart", str(office.house.id_of(LI_WEI)))
    ]
    for item, code in ((note, "invalid"), (dance, "unknown_mutation")):
        kept = ok(await accept(wang_fang, item))
        assert (kept["outcome"]["code"], kept["item"]["settlement"]) == (code, None)
    path = f"/quarantine/{dance['id']}/dismiss"
    refused(await wang_fang.post(path, {"reason": " "}), "invalid")
    gone = ok(await wang_fang.post(path, {"reason": "试验数据"}))
    assert gone == ok(await wang_fang.post(path, {"reason": "again"}))
    assert (gone["item"]["settlement"], gone["item"]["reason"], gone["item"]["settled"]["name"]) == (
        "dismissed", "试验数据", "王芳",
    )  # fmt: skip
    refused(await accept(wang_fang, dance), "quarantine_settled")
    refused(await wang_fang.post(f"/quarantine/{depart['id']}/dismiss", {"reason": "晚了"}), "quarantine_settled")
    assert [item["id"] for item in ok(await wang_fang.get("/quarantine"))["items"]] == [note["id"]]
    assert len(ok(await wang_fang.get("/quarantine?state=all"))["items"]) == 3
    async with office.database.read() as session:
        settled = select(AuditEntry.action).where(AuditEntry.entity == "quarantined_mutation").order_by(AuditEntry.id)
        assert list((await session.execute(settled)).scalars()) == [
            "quarantined_mutation.accepted", "quarantined_mutation.dismissed",
        ]  # fmt: skip
        read = select(AccessEntry.what).where(AccessEntry.entity == "quarantined_mutation")
        assert list((await session.execute(read)).scalars()) == ["quarantine.read"]


async def order_id(desk: Desk) -> str:
    return ok(await desk.get("/work-orders"))["items"][0]["id"]


async def test_only_dispatchers_of_the_persons_unit_see_it(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    _, _, visit_id = await sent(office)
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        item = (await revoked_with(office, li_wei, visit_id))["visit.event"]
    for persona, status in {WANG_FANG: 200, CHEN_JING: 200, MA_CHAO: 404, HE_LI: 403, LI_WEI: 403, LIN_LI: 403}.items():
        desk = await office.sign_in(persona)
        assert (await desk.get(f"/quarantine/{item['id']}")).status_code == status, persona
        assert (await desk.post(f"/quarantine/{item['id']}/dismiss", {"reason": ""})).status_code in (status, 422)
        if status != 200:
            assert (await accept(desk, item)).status_code == status, persona
        listed = await desk.get(f"/quarantine?person_id={office.house.id_of(LI_WEI)}")
        assert (listed.json().get("items", []) != []) is (status == 200)


async def test_sent_again_under_another_number_it_waits_once(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    wang_fang, _, visit_id = await sent(office)
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        await li_wei.contact()
        li_wei.do("visit.dance", "visit", visit_id)
        (sent_once,) = li_wei.phone.replica.outbox.items.values()
        await li_wei.contact()
        identity = msgspec.json.decode((await li_wei.post("/sync/v1/incarnations")).content, type=EnrolAnswer)
        again = {"incarnation": identity.incarnation, "mutations": [msgspec.Raw(sent_once.payload.encode())]}
        answer = (await li_wei.post("/sync/v1/push", msgspec.json.encode(again))).json()
        assert answer["results"][0]["status"] == "quarantined"
    assert len(ok(await wang_fang.get("/quarantine"))["items"]) == 1
