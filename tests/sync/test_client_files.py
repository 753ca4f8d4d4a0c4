"""Photos on the reference client, against the real server: sent once, kept until safe, refused aloud, fetched ahead."""

import hashlib
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select, update

from backend.attachments.models import BlobUpload, Upload
from backend.attachments.store import BlobStore
from backend.backup.actions import take_backup
from bench.acceptance.paperwork import photo_png
from docs.examples.phone_day import file_form, tap
from sync import work
from sync.client.courier import Courier
from sync.client.files import Shelf
from sync.client.phone import Ended, _rescue_file  # pyright: ignore[reportPrivateUsage] - what a wipe does for a file
from sync.client.prefetch import Prefetcher
from sync.client.web import Web
from sync.limits import KEPT_DAYS, UPLOAD_PIECE_BYTES
from sync.protocol import PREFETCH_PATH
from sync.shelf import FileState, OwnFile, Sent, arrived
from tests.api.test_backup import closed, quiet, restored
from tests.api.test_devices import Pocket, phone_of
from tests.api.test_prefetch import PDF, put
from tests.api.test_upload_cuts import listening, photo
from tests.api.test_uploads import TUS, metadata
from tests.cutting import CuttingProxy, sent_again
from tests.make import START, Office
from tests.personas import HE_LI, LI_WEI, WANG_FANG
from tests.work import ok, sent

LOST_AT_MOST = 64 * 1024
PICTURE = photo_png(random.Random(7))  # noqa: S311 - any picture will do

FORBIDDEN_BODY = {"code": "forbidden", "detail": "You may not do this.", "detail_zh": "您无权这样做。"}


class Album(Pocket):
    """A phone that takes pictures; `client` is its way to the server."""

    shelf: Shelf
    client: httpx.AsyncClient
    queue: Path
    visit: str
    order: str

    @property
    def web(self) -> Web:
        return Web(self.client, lambda: self.desk.tokens["access_token"], self._refresh)

    @property
    def courier(self) -> Courier:
        return Courier(self.phone, self.shelf, self.web)

    def switch_on(self) -> None:
        """Begin from what is on the disk, as after a crash."""
        self.shelf.close()
        self.phone.shelf = self.shelf = Shelf(self.queue)

    def names(self, *pictures: bytes) -> str:
        """Do work that names pictures; return its id."""
        names = tuple(self.shelf.put(one, "image/png") for one in pictures)
        args = {"id": self.phone.new_id(), "text": "见照片", "visit_id": self.visit}
        return self.phone.do(
            lambda replica: work.command(
                replica, "note.add", "work_order", self.order, args, mutation_id=self.phone.new_id(),
                now=self.office.now, blobs=names,
            )
        ).id  # fmt: skip


@asynccontextmanager
async def album_of(office: Office, folder: Path, client: httpx.AsyncClient | None = None) -> AsyncIterator[Album]:
    """李伟's phone with an empty shelf; it holds his visit."""
    _, _, visit = await sent(office, asset_id=str(office.house.camera))
    async with phone_of(office, LI_WEI, folder) as pocket:
        album = Album(office, LI_WEI, pocket.desk)
        album.phone, album.client = pocket.phone, client or office.client
        album.queue = folder / f"{pocket.phone.replica.identity.device}.db"
        album.phone.shelf = album.shelf = Shelf(album.queue)
        await album.contact()
        (assignment,) = album.shown("assignment").values()
        album.visit, album.order = visit, assignment["work_order_id"]
        yield album
        album.shelf.close()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def test_a_photo_crosses_a_bad_line_and_a_killed_phone_with_little_sent_twice(
    sqlite_office: Office, tmp_path: Path
) -> None:
    """Cut again and again, killed between, with a piece's end inside: the server says where to go on."""
    office, draw, content = sqlite_office, random.Random(3), photo(3, UPLOAD_PIECE_BYTES + 300_000)  # noqa: S311
    async with listening(office.app) as (port, server):
        proxy = CuttingProxy(
            port, budget=lambda: draw.randrange(200, 900_000), harshly=lambda: draw.random() < 0.5,
            idle=lambda: not server.server_state.tasks,
        )  # fmt: skip
        limits = httpx.Limits(max_keepalive_connections=0)
        async with (
            httpx.AsyncClient(base_url=await proxy.start(), limits=limits) as client,
            album_of(office, tmp_path, client) as album,
        ):
            album.names(content)
            assert (await album.contact()).settled
            sent_names: list[str] = []
            for _ in range(60):
                delivery = await album.courier.deliver()
                sent_names += delivery.sent
                if sent_names:
                    break
                album.switch_on()
            assert sent_names == [sha256(content)]
            crossed = len(proxy.crossings)
            assert (await album.courier.deliver()).bytes == 0, "the server has it"
            assert len(proxy.crossings) == crossed
        await proxy.stop()
    assert BlobStore(office.settings.blob_dir).read(sha256(content)) == content
    again = sent_again(proxy.crossings)
    print(f"{len(again)} cuts; sent again: {max(again)} bytes at most, {sum(again)} in all")  # noqa: T201 - the figure
    assert len(again) >= 3, "a connection that is never cut proves nothing"
    assert 0 <= min(again) <= max(again) <= LOST_AT_MOST


async def test_an_upload_that_expired_or_was_lost_begins_anew(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    async with album_of(office, tmp_path) as album:
        album.names(PICTURE)
        await album.contact()
        name = sha256(PICTURE)
        headers = {
            "Upload-Length": str(len(PICTURE)),
            "Tus-Resumable": "1.0.0",
            "Upload-Metadata": metadata(sha256=name),
        }
        begun = await album.web.ask("POST", "/uploads", headers)
        for gone in (begun.headers["location"], "/uploads/0197c0de-0000-7000-8000-000000000001"):
            file = album.shelf.files()[name]
            album.shelf.note(type(file)(name, file.size, file.media_type, upload=gone))
            async with office.database.write() as session:
                await session.execute(update(Upload).values(expires_at=office.now - timedelta(seconds=1)))
            delivery = await album.courier.deliver()
            assert (delivery.sent, delivery.ended) == ([name], Ended.COMPLETE)
            assert album.shelf.files()[name].upload is None


async def test_what_is_never_taken_is_said_once_and_not_sent_again(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    async with album_of(office, tmp_path) as album:
        bad, damaged = b"<svg/>" * 50, photo(5, 5_000)
        album.names(bad, PICTURE, damaged)
        album.shelf.path(sha256(damaged)).write_bytes(photo(6, 5_000))
        await album.contact()
        delivery = await album.courier.deliver()
        assert delivery.sent == [sha256(PICTURE)], "one bad file holds up no other"
        shared = PDF.ljust(9_000, b" ")
        assert await put(await office.sign_in(HE_LI), "site", office.house.site, "manual", 9_000) == sha256(shared)
        album.names(shared)
        await album.contact()
        same = await album.courier.deliver()
        assert (same.sent, same.bytes) == ([sha256(shared)], 0), "announcing is enough where the server has the bytes"
        async with office.database.read() as session:
            senders = select(BlobUpload.person_id).where(BlobUpload.sha256 == sha256(shared))
            assert office.house.id_of(LI_WEI) in (await session.execute(senders)).scalars().all(), "it vouches as well"
        files = album.shelf.files()
        codes = {name: file.code for name, file in files.items() if file.state is FileState.REFUSED}
        assert codes == {sha256(bad): "blob_type_refused", sha256(damaged): "damaged_on_phone"}
        for name in codes:
            text = files[name].text
            assert text is not None
            assert text.zh
            assert text.en
        album.switch_on()
        assert (await album.courier.deliver()).bytes == 0
        office.move_clock(days=KEPT_DAYS + 1)
        await album.phone.contact()
        assert set(codes) <= album.shelf.files().keys(), "a person has to see it"


async def test_a_file_the_phone_cannot_read_is_said_to_be_lost_and_holds_up_nothing(
    sqlite_office: Office, tmp_path: Path
) -> None:
    gone, short = photo(8, 5_000), photo(9, 5_000)
    async with album_of(sqlite_office, tmp_path) as album:
        album.names(gone, short, PICTURE)
        album.shelf.path(sha256(gone)).unlink()
        album.shelf.path(sha256(short)).write_bytes(short[:100])
        await album.contact()
        delivery = await album.courier.deliver()
        assert (delivery.sent, delivery.left, delivery.ended) == ([sha256(PICTURE)], [], Ended.COMPLETE)
        assert {file.sha256: file.code for file in delivery.refused} == dict.fromkeys(
            (sha256(gone), sha256(short)), "damaged_on_phone"
        )
        files = album.shelf.files()
        album.shelf.note(OwnFile(sha256(gone), len(gone), "image/png"))
        await _rescue_file(album.phone.line, album.shelf, sha256(gone))
        assert album.shelf.files() == files, "a revoked phone goes on as well, and counts it as lost"


@pytest.mark.parametrize("answer", [
    httpx.Response(200, html="<title>Wi-Fi</title>"),
    httpx.Response(403, json=FORBIDDEN_BODY, headers={"Content-Type": "application/problem+json", **TUS}),
])  # fmt: skip
async def test_what_did_not_go_is_counted_and_explained(
    sqlite_office: Office, tmp_path: Path, answer: httpx.Response
) -> None:
    """A hotel's portal says 200 to everything; a person may have lost the right to send files."""
    portal = httpx.AsyncClient(base_url="http://portal", transport=httpx.MockTransport(lambda _: answer))
    async with portal, album_of(sqlite_office, tmp_path) as album:
        album.names(PICTURE)
        await album.contact()
        album.client = portal
        waiting = await album.courier.deliver()
        album.shelf.note(arrived(album.shelf.files()[sha256(PICTURE)], Sent(START, "of another", 1, rewinds=-1)))
        doubted = await album.courier.deliver()
        refused = answer.status_code == 403
        assert waiting.ended is (Ended.REFUSED if refused else Ended.OFFLINE)
        assert doubted.ended is Ended.OFFLINE
        for delivery in (waiting, doubted):
            assert (delivery.left, delivery.sent) == ([sha256(PICTURE)], [])
            assert " / " in delivery.reason
        album.client = sqlite_office.client
        assert (await album.courier.deliver()).left == []


async def test_after_a_restore_form_and_photos_are_there_again(sqlite_office: Office, tmp_path: Path) -> None:
    """Invariant 29, with the bytes; what the server has after all is not sent."""
    office = sqlite_office
    async with album_of(office, tmp_path) as album:
        wang_fang = await office.sign_in(WANG_FANG)
        (assignment,), (owner,) = album.shown("assignment").values(), album.shown("person").values()
        album.names(photo(1, 40_000))
        await album.contact()
        early = await album.courier.deliver()
        path, _ = await take_backup(
            office.database, office.settings, target=tmp_path / "night.backup", now=office.now, progress=quiet
        )
        for kind in ("depart", "arrive", "start"):
            office.move_clock(minutes=1)
            tap(album.phone, album.visit, kind)
        album.shelf.put(PICTURE, "image/png")
        form_id = file_form(album.phone, assignment, owner, PICTURE)
        await album.contact()
        late = await album.courier.deliver()
        assert (early.sent, late.sent) == ([sha256(photo(1, 40_000))], [sha256(PICTURE)])
        before = ok(await wang_fang.get(f"/forms/{form_id}"))
        await album.contact()
        assert album.shelf.files().keys() == {*early.sent, *late.sent}, "no backup holds work made since: both are kept"
        await closed(office)
        await restored(office.settings, path, replace=True)
        shutil.rmtree(office.settings.blob_dir / late.sent[0][:2])
        assert (await wang_fang.get(f"/forms/{form_id}")).status_code == 404
        await album.contact()
        again = await album.courier.deliver()
        assert (again.sent, again.bytes) == (late.sent, len(PICTURE)), "what the backup had is not sent"
        assert ok(await wang_fang.get(f"/forms/{form_id}")) == before
        (attached,) = ok(await wang_fang.get(f"/attachments?entity=completion_form&subject_id={form_id}"))
        assert (attached["sha256"], attached["arrived"]) == (sha256(PICTURE), True)
        assert (await wang_fang.get(f"/blobs/{sha256(PICTURE)}")).content == PICTURE


async def test_files_go_when_a_backup_proves_to_have_them(sqlite_office: Office, tmp_path: Path) -> None:
    """A photo may arrive after the backup that holds its form: only work made later proves that a backup has both."""
    office = sqlite_office

    async def backed_up(name: str) -> None:
        await take_backup(
            office.database, office.settings, target=tmp_path / name, now=office.now, progress=quiet
        )  # fmt: skip
        await album.contact()

    async with album_of(office, tmp_path) as album:
        album.names(PICTURE)
        await album.contact()
        await backed_up("before the photo")
        await album.courier.deliver()
        await backed_up("nothing new")
        assert album.shelf.files(), "the phone cannot tell this backup from the first"
        album.names()
        await album.contact()
        assert album.shelf.files()
        await backed_up("work made since")
        assert album.shelf.files() == {}
        assert not album.shelf.path(sha256(PICTURE)).exists()
        assert album.phone.replica.outbox.items == {}


async def test_files_are_fetched_ahead_resumed_verified_and_given_up(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    he_li = await office.sign_in(HE_LI)
    drawing, manual = [await put(he_li, "site", office.house.site, kind, size) for kind, size in SIZES.items()]
    async with album_of(office, tmp_path) as album:
        ahead = Prefetcher(album.shelf, album.web)
        part = album.shelf.fetched / f"{drawing}.part"
        whole = BlobStore(office.settings.blob_dir).read(drawing)
        part.write_bytes(whole[:30_000])
        rotten = album.shelf.fetched / f"{manual}.part"
        rotten.write_bytes(b"x" * 100)
        stranger = album.shelf.fetched / ("0" * 64)
        stranger.write_bytes(b"of a job that is over")
        first = await ahead.fetch(100_000)
        assert sorted(first.files) == sorted([drawing, manual])
        assert first.evicted == [stranger.name]
        assert first.bytes == 20_000 + (SIZES["manual"] - 100) + SIZES["manual"], "one went on, one was begun anew"
        for name in first.files:
            path = ahead.path(name)
            assert path is not None
            assert sha256(path.read_bytes()) == name
        assert (await ahead.fetch(100_000)).bytes == 0
        small = await ahead.fetch(SIZES["manual"])
        assert (small.evicted, ahead.path(drawing)) == ([drawing], None), "never more than there is room for"
        await he_li.edit(f"/sites/{office.house.site}", {"no_offline_drawings": True})
        await ahead.fetch(100_000)
        assert [file.name for file in album.shelf.fetched.iterdir()] == [manual]


async def test_an_answer_that_does_not_end_fills_no_phone(sqlite_office: Office, tmp_path: Path) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(10_000)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == PREFETCH_PATH:
            file = {"sha256": "0" * 64, "size": 25_000, "media_type": "image/png"}
            return httpx.Response(200, json={"files": [file], "bytes": 25_000})
        return httpx.Response(200, content=endless())

    portal = httpx.AsyncClient(base_url="http://portal", transport=httpx.MockTransport(answer))
    async with portal, album_of(sqlite_office, tmp_path, portal) as album:
        fetched = await Prefetcher(album.shelf, album.web).fetch(100_000)
        assert (fetched.ended, fetched.files) == (Ended.OFFLINE, [])
        assert sum(path.stat().st_size for path in album.shelf.fetched.iterdir()) <= 25_000


SIZES = {"drawing": 50_000, "manual": 3_000}
