"""Phones and the real server over HTTP: what is done on one is seen in the office, and what may not be is told why."""

import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest

from backend.core.ids import new_id
from backend.devices.routes import ENVELOPE_BYTES
from backend.parts.models import Part
from docs.examples.phone_day import file_form, tap
from sync import work
from sync.client.disk import Disk
from sync.client.phone import Contact, Ended, Line, Phone, Refused, enrol
from sync.client.transport import HttpTransport
from sync.limits import PUSH_BYTES
from sync.protocol import PROBLEM, PULL_PATH, PUSH_PATH, EnrolRequest, Result, Status
from sync.replica import Pulled, Replica
from tests.make import Desk, Office, add_all
from tests.personas import LI_WEI, LIN_LI, PASSWORD, WANG_FANG, ZHOU_TAO, Persona
from tests.work import change, give, ok, opened, refused, sent

UNKNOWN: Final = {"mood": "good"}
"""A member only a newer phone knows."""
LONG: Final = "长" * 200_000


class Pocket:
    """A person's phone, with the little an app has around it."""

    def __init__(self, office: Office, persona: Persona, desk: Desk) -> None:
        self.office, self.persona, self.desk = office, persona, desk
        self.refreshed = 0
        self.line = Line(
            HttpTransport(office.client, lambda: self.desk.tokens["access_token"], lambda: office.now, lambda: 1.0),
            self._no_pause, self._refresh,
        )  # fmt: skip
        self.phone: Phone

    async def _no_pause(self, _: float) -> None:
        pass

    async def _refresh(self) -> bool:
        self.refreshed += 1
        body = {"refresh_token": self.desk.tokens["refresh_token"], "device_id": self.phone.replica.identity.device}
        answer = await self.office.client.post("/auth/refresh", json=body)
        self.desk.tokens = answer.json() if answer.is_success else self.desk.tokens
        return answer.is_success

    def do(self, name: str, entity: str, row: str, **args: Any) -> str:
        """Do a command on the phone; return the mutation's id."""
        mutation_id = str(new_id())
        self.phone.do(
            lambda replica: work.command(
                replica, name, entity, row, args, mutation_id=mutation_id, now=self.office.now
            )
        )  # fmt: skip
        return mutation_id

    async def delivered(self) -> list[Result]:
        """Deliver what waits and fetch what changed; return the results, in order."""
        contact = await self.contact()
        return [item.result for item in contact.settled if item.result is not None]

    async def contact(self) -> Contact:
        contact = await self.phone.contact()
        assert contact.ended is Ended.COMPLETE, contact.reason
        return contact

    def shown(self, entity: str) -> dict[str, Any]:
        return dict(self.phone.replica.shown().all(entity))

    async def post(self, path: str, content: bytes = b"{}") -> httpx.Response:
        """Say something to the server that our own phone would not."""
        headers = {"Authorization": f"Bearer {self.desk.tokens['access_token']}"}
        return await self.office.client.post(path, content=content, headers=headers)

    def pull_body(self) -> bytes:
        return msgspec.json.encode(self.phone.replica.pull_request())


@asynccontextmanager
async def phone_of(office: Office, persona: Persona, folder: Path) -> AsyncIterator[Pocket]:
    """Register a phone with a code from the office, and sign in on it."""
    pocket = Pocket(office, persona, await office.sign_in(persona))
    identity = await enrol(pocket.line, EnrolRequest(await code_for(office, persona), _key(), "手机", "1.0", 1))
    pocket.desk = await office.sign_in(persona, UUID(identity.device))
    disk = Disk(folder / f"{identity.device}.db")
    clock, ids = lambda: office.now, lambda: str(new_id())
    pocket.phone = Phone(Replica.fresh(identity), disk, pocket.line, clock, ids)
    yield pocket
    disk.close()


def _key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


async def code_for(office: Office, persona: Persona) -> str:
    lin_li = await office.sign_in(LIN_LI)
    return ok(await lin_li.post(f"/people/{office.house.id_of(persona)}/enrolment-codes"), 201)["code"]


async def a_part(office: Office) -> str:
    part = Part(
        number="P-900", name_zh="球机", name_en="Dome camera", measure="piece", price_fen=1000, serialised=False,
        active=True,
    )  # fmt: skip
    async with office.database.write() as session:
        await add_all(session, part)
    return str(part.id)


async def test_a_day_on_the_phone_is_seen_in_the_office(office: Office, tmp_path: Path) -> None:
    part_id, site_id = await a_part(office), str(office.house.site)
    wang_fang, _, visit_id = await sent(office, asset_id=str(office.house.camera))
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        assert (await li_wei.contact()).pulled is Pulled.DONE
        (assignment,) = li_wei.shown("assignment").values()
        order_id = assignment["work_order_id"]
        (owner,) = li_wei.shown("person").values()
        for kind in ("depart", "arrive", "start"):
            office.move_clock(minutes=3)
            tap(li_wei.phone, visit_id, kind)
        li_wei.do("note.add", "work_order", order_id, id=str(new_id()), text="电源老化", visit_id=visit_id, **UNKNOWN)
        li_wei.do("part.use", "visit", visit_id, id=str(new_id()), part_id=part_id, quantity=2, **UNKNOWN)
        form_id = file_form(li_wei.phone, assignment, owner, b"photo")
        tap(li_wei.phone, visit_id, "finish")
        request_id, repair_id = str(new_id()), str(new_id())
        fault = {"channel": "phone", "reporter_name": "赵敏", "symptom": "门禁不开", **UNKNOWN}
        number = li_wei.phone.replica.next_number()
        li_wei.do("request.create", "service_request", request_id, site_id=site_id, device_number=number, **fault)
        repair = {"kind": "repair", "title": "换门禁", "site_id": site_id, **UNKNOWN}
        li_wei.do("work_order.create", "work_order", repair_id, **repair)
        results = await li_wei.delivered()
        assert [(result.status, result.text) for result in results] == [(Status.APPLIED, None)] * 9
        assert li_wei.shown("completion_form").keys() == {form_id}
    order = ok(await wang_fang.get(f"/work-orders/{order_id}"))
    assert [event["kind"] for event in order["events"]] == ["depart", "arrive", "start", "finish"]
    assert {event["device_id"] for event in order["events"]} == {li_wei.phone.replica.identity.device}
    assert [note["text"] for note in order["notes"]] == ["电源老化"]
    assert [(used["part_id"], used["quantity"]) for used in order["part_uses"]] == [(part_id, 2)]
    assert order["visits"][0]["state"] == "finished"
    assert ok(await wang_fang.get(f"/forms/{form_id}"))["subject_id"] == visit_id
    case = ok(await wang_fang.get(f"/requests/{request_id}"))["request"]
    assert (case["symptom"], case["device_number"]) == ("门禁不开", number)
    assert ok(await wang_fang.get(f"/work-orders/{repair_id}"))["order"]["title"] == "换门禁"


async def test_what_the_office_would_not_take_is_told_and_the_rest_is_done(office: Office, tmp_path: Path) -> None:
    wang_fang, _, visit_id = await sent(office)
    site_id = str(office.house.site)
    foreign = (await opened(wang_fang, office))["visits"][0]["id"]
    await give(wang_fang, office, foreign, ZHOU_TAO)
    invalid, unread = (Status.REJECTED, "invalid"), (Status.QUARANTINED, "unreadable_mutation")
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        await li_wei.contact()
        (job,) = li_wei.shown("work_order")
        tap(li_wei.phone, foreign, "depart")
        for note in ({"text": ""}, {"text": LONG}, {}):
            li_wei.do("note.add", "work_order", job, id=str(new_id()), **note)
        repair = {"kind": "repair", "title": "", "site_id": site_id}
        li_wei.do("work_order.create", "work_order", str(new_id()), **repair)
        fault = {"channel": "phone", "symptom": LONG, "site_id": site_id}
        li_wei.do("request.create", "service_request", str(new_id()), **fault)
        li_wei.do("request.create", "service_request", str(new_id()), channel="phone", symptom="门禁不开")
        event = {"id": str(new_id()), "kind": "arrive", "claimed_at": office.now.isoformat()}
        for odd in ({"kind": "teleport"}, {"lat": 500.0}, {"claimed_at": None}):
            li_wei.do("visit.event", "visit", visit_id, **event | odd)
        li_wei.do("part.use", "visit", visit_id, id=str(new_id()), part_id=str(new_id()), quantity=0)
        li_wei.do("note.add", "work_order", job, id=str(new_id()), text="其余照常")
        results = await li_wei.delivered()
    assert [(result.status, result.code) for result in results] == [
        (Status.REJECTED, "not_granted"), *[invalid] * 5, *[unread] * 5, (Status.APPLIED, ""),
    ]  # fmt: skip
    told = [result.text for result in results[1:6]]
    assert all(text is not None and "长长" not in text.zh for text in told)
    assert [text and text.en.count("text") > 0 for text in told[:3]] == [True] * 3
    assert [note["text"] for note in ok(await wang_fang.get(f"/work-orders/{job}"))["notes"]] == ["其余照常"]


async def test_who_lost_a_visit_hears_neither_who_has_it_nor_how_it_stands(office: Office, tmp_path: Path) -> None:
    wang_fang, _, visit_id = await sent(office)
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        await li_wei.contact()
        await give(wang_fang, office, visit_id, ZHOU_TAO)
        tap(li_wei.phone, visit_id, "depart")
        tap(li_wei.phone, visit_id, "arrive")
        depart, arrive = await li_wei.delivered()
    assert (depart.status, depart.code) == (Status.REJECTED, "visit_taken")
    assert (arrive.status, arrive.code) == (Status.APPLIED, "delivered_out_of_scope")
    assert depart.text == arrive.text, "the code says enough"
    assert "王芳" not in msgspec.json.encode(depart).decode()


async def test_a_crew_is_joined_and_left_through_the_office(office: Office, tmp_path: Path) -> None:
    wang_fang, lin_li = await office.sign_in(WANG_FANG), await office.sign_in(LIN_LI)
    order = await opened(wang_fang, office)
    visit_id, job = order["visits"][0]["id"], f"job:{order['order']['id']}"
    crew, zhou_tao = office.house.crew, str(office.house.id_of(ZHOU_TAO))
    given = ok(await change(wang_fang, visit_id, "assign", {"crew_id": str(crew)}))
    assert given["crew_id"] == str(crew)
    async with phone_of(office, ZHOU_TAO, tmp_path) as phone:
        await phone.contact()
        assert job not in phone.phone.replica.holding.buckets
        joining = {"person_id": zhou_tao, "leads": False}
        member = ok(await lin_li.post(f"/crews/{crew}/members", joining), 201)["id"]
        assert (await phone.contact()).pulled is Pulled.DONE
        assert job in phone.phone.replica.holding.buckets
        assert [one["crew_id"] for one in phone.shown("assignment").values()] == [str(crew)]
        office.move_clock(minutes=1)
        assert (await lin_li.post(f"/crews/{crew}/members/{member}/end", {})).is_success
        assert (await phone.contact()).pulled is Pulled.DONE
        assert job not in phone.phone.replica.holding.buckets
        assert phone.shown("assignment") == {}


async def test_a_revoked_phone_delivers_to_quarantine_and_forgets(office: Office, tmp_path: Path) -> None:
    _, _, visit_id = await sent(office)
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        await li_wei.contact()
        tap(li_wei.phone, visit_id, "depart")
        lin_li, device = await office.sign_in(LIN_LI), li_wei.phone.replica.identity.device
        path = f"/people/{office.house.id_of(LI_WEI)}/devices/{device}"
        assert (await lin_li.ask("DELETE", path)).is_success
        contact = await li_wei.contact()
        assert [(one.result and one.result.status) for one in contact.settled] == [Status.QUARANTINED]
        assert contact.pulled is Pulled.WIPED
        assert li_wei.phone.replica.holding.buckets == {}


async def test_tokens_and_phones_must_belong_together(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    zhou_tao = await office.sign_in(ZHOU_TAO)
    refused(await zhou_tao.post(PULL_PATH, {"incarnation": str(uuid4()), "schema": 1, "cookie": None}), "no_device")
    refused(await zhou_tao.post(PUSH_PATH, {"incarnation": str(uuid4()), "mutations": []}), "no_device")
    async with phone_of(office, LI_WEI, tmp_path) as li_wei, phone_of(office, ZHOU_TAO, tmp_path) as other:
        await li_wei.contact()
        offer = {"login": ZHOU_TAO.employee_number, "password": PASSWORD}
        offer["device_id"] = li_wei.phone.replica.identity.device
        refused(await office.client.post("/auth/sign-in", json=offer), "device_not_yours")
        refused(await other.post(PULL_PATH, li_wei.pull_body()), "unknown_incarnation")
        stolen = {"incarnation": other.phone.replica.identity.incarnation, "schema": 1}
        stolen["cookie"] = li_wei.phone.replica.holding.cookie or ""
        refused(await other.post(PULL_PATH, msgspec.json.encode(stolen)), "bad_cookie")
        wrong = await office.client.post(PULL_PATH, content=b"{}", headers={"Authorization": "Bearer nonsense"})
        assert wrong.status_code == 401
        office.move_clock(hours=2)
        assert (await li_wei.contact()).ended is Ended.COMPLETE
        assert li_wei.refreshed == 1


async def test_a_code_registers_one_phone_and_only_while_it_is_fresh(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    line = Pocket(office, LI_WEI, await office.sign_in(LI_WEI)).line
    code = await code_for(office, LI_WEI)
    first = EnrolRequest(code, _key(), "手机", "1.0", 1)
    assert await enrol(line, first) == await enrol(line, first), "asked again because the answer was lost"
    with pytest.raises(Refused, match="403 bad_code"):
        await enrol(line, EnrolRequest(code, _key(), "手机", "1.0", 1))
    stale = await code_for(office, LI_WEI)
    office.move_clock(minutes=10)
    with pytest.raises(Refused, match="403 bad_code"):
        await enrol(line, EnrolRequest(stale, _key(), "手机", "1.0", 1))


async def test_a_body_nobody_means_is_refused_in_the_protocols_own_words(sqlite_office: Office, tmp_path: Path) -> None:
    async with phone_of(sqlite_office, LI_WEI, tmp_path) as li_wei:
        incarnation = li_wei.phone.replica.identity.incarnation
        huge = msgspec.json.encode({"incarnation": incarnation, "mutations": [], "more": "x" * PUSH_BYTES})
        huge += b" " * ENVELOPE_BYTES
        for content, status, code in (
            (huge, 413, "too_large"),
            (b"{", 400, "unreadable"),
            (b"\xff", 400, "unreadable"),
        ):
            answer = await li_wei.post(PUSH_PATH, content)
            assert answer.status_code == status
            assert answer.headers["content-type"].partition(";")[0] == PROBLEM
            refused(answer, code)
