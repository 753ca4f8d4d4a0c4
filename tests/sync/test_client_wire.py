"""The reference client and the real server: what travels after a loss, and how it is packed for an old server."""

import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec
import pytest
import zstandard
from sqlalchemy import select
from typing_extensions import override

from backend.attachments.store import BlobStore
from backend.backup.actions import take_backup
from backend.core.audit import AuditEntry
from backend.core.ids import new_id
from backend.sites.models import Asset
from bench.acceptance.paperwork import photo_png
from docs.examples.phone_day import tap
from sync.client.files import Shelf
from sync.client.phone import Line
from sync.client.transport import HttpTransport
from sync.holding import Holding
from sync.protocol import PULL_PATH, PUSH_PATH, RECONCILE_PATH, RESCUE_PATH, WIPED_PATH, PullAnswer
from sync.replica import Pulled
from sync.work import command
from tests.api.test_backup import closed, quiet, restored
from tests.api.test_devices import Pocket, phone_of
from tests.api.test_rescue import keyed_phone
from tests.make import Office, add_all
from tests.personas import HE_LI, LI_WEI, LIN_LI
from tests.sync.world import START
from tests.work import ok, refused, sent


@dataclass(frozen=True)
class Counted(HttpTransport):
    """Counts the bytes of bodies on the wire, packed as they are, by path."""

    crossed: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])

    @override
    async def _sent(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        response = await super()._sent(path, body, headers)
        self.crossed.append((path, len(body) + response.num_bytes_downloaded))
        return response


@asynccontextmanager
async def counted_phone(office: Office, folder: Path) -> AsyncIterator[tuple[Pocket, list[tuple[str, int]]]]:
    """李伟's phone, which holds his visit at a site with 400 assets, and what crossed since."""
    await sent(office, asset_id=str(office.house.camera))
    async with office.database.write() as session:
        cameras = [
            Asset(
                site_id=office.house.site, asset_type="camera", name=f"枪机 {number}", quantity=1, note="",
                serial=str(new_id()),
            )
            for number in range(400)
        ]  # fmt: skip
        await add_all(session, *cameras)
    async with phone_of(office, LI_WEI, folder) as pocket:
        plain = pocket.line.transport
        assert isinstance(plain, HttpTransport)
        counted = Counted(plain.client, plain.token, plain.clock, plain.monotonic)
        pocket.phone.line = Line(counted, pocket.line.sleep, pocket.line.refresh)
        await pocket.contact()
        yield pocket, counted.crossed


def cost(crossed: list[tuple[str, int]], *paths: str) -> int:
    return sum(size for path, size in crossed if path in paths)


async def held_afresh(pocket: Pocket) -> dict[str, dict[str, str]]:
    """What the phone would hold had it just been registered."""
    pocket.phone.replica.holding = Holding()
    await pocket.contact()
    return filled(pocket)


def filled(pocket: Pocket) -> dict[str, dict[str, str]]:
    return {name: rows for name, rows in pocket.phone.replica.holding.buckets.items() if rows}


async def test_rows_gone_bad_on_the_phone_are_found_and_only_they_travel(sqlite_office: Office, tmp_path: Path) -> None:
    """Invariant 20, over HTTP."""
    office = sqlite_office
    async with counted_phone(office, tmp_path) as (li_wei, crossed):
        full = cost(crossed, PULL_PATH)
        bucket = f"site:{office.house.site}"
        rows = li_wei.phone.replica.holding.buckets[bucket]
        changed, lost, *_ = sorted(key for key in rows if key.startswith("asset/"))
        rows[changed] = rows[changed].replace("枪机", "球机")
        rows[f"asset/{new_id()}"] = rows.pop(lost)
        li_wei.phone.disk.save(li_wei.phone.replica)
        he_li = await office.sign_in(HE_LI)
        await he_li.edit(f"/sites/{office.house.site}", {"name": "云桥大厦东楼"})
        crossed.clear()
        contact = await li_wei.contact()
        assert (contact.pulled, contact.restarts) == (Pulled.DONE, 1)
        assert [path for path, _ in crossed] == [PULL_PATH, RECONCILE_PATH, RECONCILE_PATH]
        mended, spent = filled(li_wei), cost(crossed, PULL_PATH, RECONCILE_PATH)
        print(f"whole pull {full} bytes, reconcile {spent} bytes")  # noqa: T201 - the figure
        assert spent < full * 2 // 3, "mostly the list of what is held, which random ids make hard to pack"
        assert mended == await held_afresh(li_wei)


async def test_after_a_restore_only_differences_travel(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    async with counted_phone(office, tmp_path) as (li_wei, crossed):
        full = cost(crossed, PULL_PATH)
        path, _ = await take_backup(
            office.database, office.settings, target=tmp_path / "night.backup", now=office.now, progress=quiet
        )
        (assignment,) = li_wei.shown("assignment").values()
        tap(li_wei.phone, assignment["visit_id"], "depart")
        assert [one.status for one in await li_wei.delivered()] == ["applied"]
        before, lived_through = filled(li_wei), li_wei.phone.replica.rewinds
        await closed(office)
        await restored(office.settings, path, replace=True)
        crossed.clear()
        contact = await li_wei.contact()
        assert (contact.pulled, [item.result and item.result.status for item in contact.settled]) == (
            Pulled.DONE, ["applied"],
        )  # fmt: skip
        assert li_wei.phone.replica.rewinds == lived_through + 1
        assert [path for path, _ in crossed][:2] == [PULL_PATH, RECONCILE_PATH]
        spent = cost(crossed, PULL_PATH, RECONCILE_PATH)
        print(f"whole pull {full} bytes, after the restore {spent} bytes")  # noqa: T201 - the figure
        assert spent < full // 5
        after = filled(li_wei)
        assert after == await held_afresh(li_wei)
        assert after.keys() == before.keys()
        assert (await li_wei.contact()).settled == []


async def test_a_phone_killed_while_it_compares_still_sends_again_what_was_lost(
    sqlite_office: Office, tmp_path: Path
) -> None:
    office = sqlite_office
    _, _, visit_id = await sent(office)
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        await li_wei.contact()
        path, _ = await take_backup(
            office.database, office.settings, target=tmp_path / "night.backup", now=office.now, progress=quiet
        )
        tap(li_wei.phone, visit_id, "depart")
        await li_wei.contact()
        await closed(office)
        await restored(office.settings, path, replace=True)
        replica = li_wei.phone.replica
        request = msgspec.structs.replace(replica.pull_request(), reconciles=True)
        answer = ok(await li_wei.post(PULL_PATH, msgspec.json.encode(request)))
        assert answer["notices"] == ["reconcile", "rewind"]
        assert replica.take_pull(msgspec.convert(answer, PullAnswer)) is Pulled.UNKNOWN
        li_wei.phone.disk.save(replica)
        stored = li_wei.phone.disk.load()
        assert stored is not None
        li_wei.phone.replica = stored
        contact = await li_wei.contact()
        assert [item.result and item.result.status for item in contact.settled] == ["applied"]


class OldServer:
    """An ASGI server that knows only some packings, as RFC 9110 has it: 415 to the others."""

    def __init__(self, *known: str) -> None:
        self.known = known
        self.got: list[tuple[str, bytes]] = []

    async def __call__(self, scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        encoding = dict(scope["headers"]).get(b"content-encoding", b"identity").decode()
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.got.append((encoding, body))
        status = 204 if encoding in (*self.known, "identity") else 415
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize(
    ("known", "tried"),
    [(("zstd", "gzip"), ["zstd"]), (("gzip",), ["zstd", "gzip"]), ((), ["zstd", "gzip", "identity"])],
)
async def test_a_server_that_knows_no_zstd_is_sent_what_it_knows(known: tuple[str, ...], tried: list[str]) -> None:
    server, body = OldServer(*known), b'{"mutations":[]}'.ljust(5_000)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://old.test") as client:
        transport = HttpTransport(client, lambda: "", lambda: START, lambda: 0.0)
        assert (await transport(PUSH_PATH, body)).status == 204
        assert [encoding for encoding, _ in server.got] == tried
        await transport(RECONCILE_PATH, body)
        assert [encoding for encoding, _ in server.got][len(tried) :] == [tried[-1]], "learnt once"
        encoding, packed = server.got[-1]
        assert {"zstd": zstandard.decompress, "gzip": gzip.decompress, "identity": bytes}[encoding](packed) == body


async def test_a_revoked_phone_hands_over_its_photos_deletes_everything_and_the_office_sees_it(
    sqlite_office: Office, tmp_path: Path
) -> None:
    office = sqlite_office
    _, _, visit_id = await sent(office)
    phone = await keyed_phone(office, tmp_path)
    await phone.contact()
    queue = tmp_path / f"{phone.device}.db"
    phone.phone.shelf = shelf = Shelf(queue)
    photo = photo_png(Random(4))  # noqa: S311 - any picture will do
    names = shelf.put(photo, "image/png"), shelf.put(b"<svg/>", "image/svg+xml")
    shelf.put(b"a draft no work names", "image/png")
    (shelf.fetched / "0").write_bytes(b"a drawing")
    args = {"id": str(new_id()), "kind": "depart", "claimed_at": office.now.isoformat()}
    phone.phone.do(
        lambda replica: command(
            replica, "visit.event", "visit", visit_id, args, mutation_id=str(new_id()), now=office.now, blobs=names
        )
    )
    devices = f"/people/{office.house.id_of(LI_WEI)}/devices"
    early = b'{"files":0}'
    refused(await phone.post(WIPED_PATH, early), "not_revoked")
    refused(await phone.send(WIPED_PATH, early), "not_signed_in")
    lin_li = await office.sign_in(LIN_LI)
    assert (await lin_li.ask("DELETE", f"{devices}/{phone.device}")).is_success
    assert (await lin_li.ask("DELETE", f"/people/{office.house.id_of(LI_WEI)}/sessions")).is_success
    refused(await phone.send(f"{RESCUE_PATH}/{names[0]}", photo), "file_not_named")
    assert [(one["revoked_at"] is None, one["wiped_at"]) for one in ok(await lin_li.get(devices))] == [(False, None)]
    office.move_clock(minutes=5)
    contact = await phone.contact()
    assert (contact.pulled, len(contact.settled)) == (Pulled.WIPED, 1)
    (device,) = ok(await lin_li.get(devices))
    assert datetime.fromisoformat(device["wiped_at"]) == office.now
    assert BlobStore(office.settings.blob_dir).read(names[0]) == photo
    async with office.database.read() as session:
        entry = (await session.execute(select(AuditEntry).where(AuditEntry.action == "device.wiped"))).scalar_one()
    assert entry.after is not None
    assert entry.after["files_lost"] == 2, "one is never taken, one no work names"
    assert shelf.files() == {}
    assert [path for path in shelf.fetched.parent.rglob("*") if path.is_file()] == []
    office.move_clock(minutes=5)
    again = ok(await phone.send(WIPED_PATH, early))
    assert datetime.fromisoformat(again["wiped_at"]) < office.now, "heard once"
    refused(await phone.send(WIPED_PATH, early, Device_Signature="!"), "not_signed_in")
    refused(await phone.send(f"{RESCUE_PATH}/{names[0]}", photo + b"!"), "blob_hash_mismatch")
    refused(await phone.send(f"{RESCUE_PATH}/{names[0]}", photo, Device_Signature="!"), "not_signed_in")
    shelf.close()
