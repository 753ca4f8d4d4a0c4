"""Phones that are no longer welcome: what they hold is rescued by their key, and they are told to forget."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import httpx
import msgspec
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.cli import main
from backend.core.errors import Problem
from backend.core.ids import new_id
from backend.devices.wiping import must_name
from docs.examples.phone_day import tap
from sync.client.disk import Disk
from sync.client.phone import Ended, Line, Phone, enrol
from sync.client.transport import HttpTransport, signer
from sync.limits import RESCUE_BYTES
from sync.protocol import PULL_PATH, PUSH_PATH, RECONCILE_PATH, RESCUE_PATH, EnrolAnswer, EnrolRequest, Status
from sync.replica import Pulled, Replica, rescue_request
from sync.signature import DEVICE_ID, DEVICE_SIGNATURE, sign, text_of
from tests.api.test_devices import Pocket, code_for
from tests.make import Office
from tests.personas import LI_WEI, LIN_LI
from tests.work import ok, refused, sent


class Keyed(Pocket):
    """A phone that signs what it sends with the key it was registered with."""

    key: Ed25519PrivateKey

    def headers(self, path: str, body: bytes) -> dict[str, str]:
        return {DEVICE_ID: self.device, DEVICE_SIGNATURE: sign(self.key, path, body)}

    @property
    def device(self) -> str:
        return self.phone.replica.identity.device

    async def send(self, path: str, body: bytes, **headers: str) -> httpx.Response:
        """Post with the key alone; `headers` replace its own."""
        told = self.headers(path, body) | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.office.client.post(path, content=body, headers=told)


async def keyed_phone(office: Office, folder: Path) -> Keyed:
    """李伟's phone, registered with a real key."""
    pocket = Keyed(office, LI_WEI, await office.sign_in(LI_WEI))
    pocket.key = Ed25519PrivateKey.generate()
    public = text_of(pocket.key.public_key().public_bytes_raw())
    identity = await enrol(pocket.line, EnrolRequest(await code_for(office, LI_WEI), public, "手机", "1.0", 1))
    pocket.desk = await office.sign_in(LI_WEI, UUID(identity.device))
    transport = HttpTransport(
        office.client, lambda: pocket.desk.tokens["access_token"], lambda: office.now, lambda: 1.0,
        signer(identity.device, pocket.key),
    )  # fmt: skip
    line = Line(transport, pocket.line.sleep, pocket.line.refresh)
    disk, clock = Disk(folder / f"{identity.device}.db"), lambda: office.now
    pocket.phone = Phone(Replica.fresh(identity), disk, line, clock, lambda: str(new_id()))
    return pocket


async def test_a_revoked_phone_whose_sign_in_is_over_is_told_to_wipe_after_its_work_is_safe(
    sqlite_office: Office, tmp_path: Path
) -> None:
    office = sqlite_office
    wang_fang, _, visit_id = await sent(office)
    phone = await keyed_phone(office, tmp_path)
    await phone.contact()
    tap(phone.phone, visit_id, "depart")
    lin_li, li_wei = await office.sign_in(LIN_LI), office.house.id_of(LI_WEI)
    assert (await lin_li.ask("DELETE", f"/people/{li_wei}/devices/{phone.device}")).is_success
    assert (await lin_li.ask("DELETE", f"/people/{li_wei}/sessions")).is_success
    contact = await phone.contact()
    assert [item.result and item.result.code for item in contact.settled] == ["device_revoked"]
    assert (contact.pulled, phone.phone.replica.holding.buckets) == (Pulled.WIPED, {})
    assert [item["name"] for item in ok(await wang_fang.get("/quarantine"))["items"]] == ["visit.event"]


async def test_a_phone_whose_pushes_are_refused_hands_over_its_queue(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    wang_fang, _, visit_id = await sent(office)
    phone = await keyed_phone(office, tmp_path)
    await phone.contact()
    known = phone.phone.replica.identity
    phone.phone.replica.renewed(EnrolAnswer(known.device, str(new_id()), known.prefix))
    tap(phone.phone, visit_id, "depart")
    lin_li, li_wei = await office.sign_in(LIN_LI), office.house.id_of(LI_WEI)
    assert (await lin_li.ask("DELETE", f"/people/{li_wei}/devices/{phone.device}")).is_success
    contact = await phone.phone.contact()
    assert (contact.pulled, [item.result and item.result.code for item in contact.settled]) == (
        Pulled.WIPED, ["rescued"],
    )  # fmt: skip
    assert phone.phone.replica.holding.buckets == {}
    assert len(ok(await wang_fang.get("/quarantine"))["items"]) == 1


async def test_the_key_alone_opens_nothing_of_a_phone_in_use(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    _, _, visit_id = await sent(office)
    phone = await keyed_phone(office, tmp_path)
    await phone.contact()
    tap(phone.phone, visit_id, "depart")
    refused(await phone.send(PULL_PATH, phone.pull_body()), "not_signed_in")
    lin_li = await office.sign_in(LIN_LI)
    assert (await lin_li.ask("DELETE", f"/people/{office.house.id_of(LI_WEI)}/sessions")).is_success
    contact = await phone.phone.contact()
    assert contact.ended is Ended.SIGNED_OUT
    assert phone.phone.replica.outbox.pending(), "the work waits for the next sign-in, or for a rescue"
    await phone.phone.rescue(contact)
    assert [item.result and item.result.status for item in contact.settled] == [Status.QUARANTINED]
    assert not phone.phone.replica.outbox.pending()


@pytest.mark.parametrize("path", [PULL_PATH, PUSH_PATH, RECONCILE_PATH, f"{RESCUE_PATH}/{'0' * 64}"])
async def test_nothing_is_taken_from_a_stranger(sqlite_office: Office, path: str) -> None:
    taken = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal taken
        for _ in range(24):
            taken += 1
            yield b"x" * 1_000_000

    stranger = {DEVICE_ID: str(new_id()), DEVICE_SIGNATURE: "AAAA"}
    refused(await sqlite_office.client.post(path, content=body(), headers=stranger), "not_signed_in")
    assert taken == 0


async def test_the_database_finds_what_work_names(office: Office, tmp_path: Path) -> None:
    _, _, visit_id = await sent(office)
    phone = await keyed_phone(office, tmp_path)
    await phone.contact()
    tap(phone.phone, visit_id, "depart")
    await phone.contact()
    device_id = UUID(phone.device)
    async with office.database.read() as session:
        assert await must_name(session, device_id=device_id, sha256=visit_id) == office.house.id_of(LI_WEI)
        for other, name in ((device_id, "0" * 64), (new_id(), visit_id)):
            with pytest.raises(Problem, match="file_not_named"):
                await must_name(session, device_id=other, sha256=name)


async def test_a_rescue_is_signed_limited_and_inert_until_accepted(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    wang_fang, _, visit_id = await sent(office)
    phone = await keyed_phone(office, tmp_path)
    await phone.contact()
    tap(phone.phone, visit_id, "depart")
    request = rescue_request(phone.phone.replica)
    assert request is not None
    body = msgspec.json.encode(request)
    refused(await phone.send(RESCUE_PATH, body, Device_Signature=sign(phone.key, PUSH_PATH, body)), "bad_signature")
    refused(
        await phone.send(RESCUE_PATH, body + b" ", Device_Signature=sign(phone.key, RESCUE_PATH, body)), "bad_signature"
    )
    refused(await phone.send(RESCUE_PATH, body, Device_Signature="!"), "bad_signature")
    refused(await phone.send(RESCUE_PATH, body, Device_Id=str(new_id())), "unknown_device")
    refused(await phone.send(RESCUE_PATH, body, Device_Id="x"), "unknown_device")
    refused(await phone.send(RESCUE_PATH, b"{"), "unreadable")
    refused(await phone.send(RESCUE_PATH, b" " * (RESCUE_BYTES + 1)), "too_large")
    first = ok(await phone.send(RESCUE_PATH, body))
    assert first == ok(await phone.send(RESCUE_PATH, body)), "kept once"
    assert [one["code"] for one in first["results"]] == ["rescued"]
    (item,) = ok(await wang_fang.get("/quarantine"))["items"]
    (order,) = ok(await wang_fang.get("/work-orders"))["items"]
    assert ok(await wang_fang.get(f"/work-orders/{order['id']}"))["events"] == []
    assert ok(await wang_fang.post(f"/quarantine/{item['id']}/accept"))["outcome"]["status"] == "applied"
    assert [one["kind"] for one in ok(await wang_fang.get(f"/work-orders/{order['id']}"))["events"]] == ["depart"]
    contact = await phone.contact()
    assert [one.result and one.result.code for one in contact.settled] == ["rescued"], "known when pushed after all"
    assert len(ok(await wang_fang.get(f"/work-orders/{order['id']}"))["events"]) == 1


async def test_the_queue_file_of_a_broken_phone_is_put_before_the_dispatcher(
    sqlite_office: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = sqlite_office
    wang_fang, _, visit_id = await sent(office)
    phone = await keyed_phone(office, tmp_path)
    await phone.contact()
    tap(phone.phone, visit_id, "depart")
    tap(phone.phone, visit_id, "arrive")
    file, body = tmp_path / f"{phone.device}.db", tmp_path / "queue.json"
    monkeypatch.setenv("PAIGONG_DATABASE", office.settings.database_url)
    said = await asyncio.to_thread(CliRunner().invoke, main, ["rescue", str(file), "--into", "--json", str(body)])
    assert said.exit_code == 0, said.output
    assert "2 read, 2 unanswered, 0 damages" in said.output
    assert "2 wait for a dispatcher, the server knew 0" in said.output
    assert len(ok(await wang_fang.get("/quarantine"))["items"]) == 2
    assert [one["code"] for one in ok(await phone.send(RESCUE_PATH, body.read_bytes()))["results"]] == ["rescued"] * 2
    again = await asyncio.to_thread(
        CliRunner().invoke, main, ["rescue", str(file), "--into", "--device", str(new_id())]
    )
    assert again.exit_code == 1
    assert "not registered" in again.output
