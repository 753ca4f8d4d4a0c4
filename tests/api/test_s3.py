"""Files in a bucket of a real S3-compatible server (tests/swift_server.py), over HTTP on the loopback."""

import asyncio
import hashlib
import importlib.util
import logging
import random
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import obstore
import pytest
from click.testing import CliRunner
from sqlalchemy import select

from backend.app import TOKEN_KEY_FILE, create_app
from backend.attachments.models import Blob
from backend.attachments.places import BLOB_STORE_UNREACHABLE, key_of
from backend.attachments.s3 import PART_BYTES, SENT_AT_ONCE, BucketPlace
from backend.attachments.store import blob_store, check_place
from backend.attachments.uploads import UPLOAD_DAYS
from backend.backup.actions import take_backup
from backend.backup.archive import verified
from backend.backup.faults import BackupRefusedError
from backend.backup.restore import restore_backup
from backend.cli import main
from backend.core.errors import Problem
from backend.core.housekeeping import start_housekeeping
from backend.settings import Bucket, Settings, SettingsError, read_settings
from tests.api.test_attachments import attach_to_site, code_of, png, send, sha256
from tests.api.test_thumbnails import photo
from tests.api.test_uploads import begin, go_on, offset_of, part_files
from tests.databases import Databases
from tests.make import Desk, Office, Offices
from tests.personas import HE_LI
from tests.s3_server import ENVIRONMENT, SECRET, S3Server, running

PREFIX = "office"
DRAWING = b"%PDF-1.7\n" + random.Random(5).randbytes(PART_BYTES + 1_000_000)  # noqa: S311 - repeatable
PHOTO = photo()


def quiet(*_: object) -> None:
    """Nobody watches."""


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if importlib.util.find_spec("swift") is None:
        pytest.skip("NOT TESTED: files on S3. The server these tests need, swift, has wheels for Linux only")
    with pytest.MonkeyPatch.context() as patch, running(tmp_path_factory.mktemp("s3")) as server:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="session")
def s3_offices(s3: S3Server, databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Offices:
    return Offices(databases, tmp_path_factory.mktemp("s3-offices"), blobs=s3.address(PREFIX))


@pytest.fixture
async def s3_office(s3: S3Server, s3_offices: Offices) -> AsyncIterator[Office]:
    """An office whose files lie in the bucket, which is empty."""
    s3.clear(PREFIX)
    async with s3_offices.open("sqlite") as office:
        yield office


def local_files(office: Office) -> list[Path]:
    return [path for path in office.settings.blob_dir.rglob("*") if path.is_file()]


async def blobs_of(office: Office) -> set[str]:
    async with office.database.read() as session:
        return set((await session.execute(select(Blob.sha256))).scalars())


async def test_a_file_goes_into_the_bucket_and_comes_back_whole_and_in_parts(s3: S3Server, s3_office: Office) -> None:
    desk = await s3_office.sign_in(HE_LI)
    assert [(await send(desk, DRAWING)).status_code for _ in range(2)] == [201, 201]
    assert s3.keys(PREFIX) == {key_of(sha256(DRAWING)): len(DRAWING)}
    assert local_files(s3_office) == []
    await attach_to_site(desk, s3_office.house.site, DRAWING, "drawing")
    whole = await desk.get(f"/blobs/{sha256(DRAWING)}")
    assert (whole.status_code, whole.content == DRAWING) == (200, True)
    for asked, first, last in (
        ("bytes=7-1000006", 7, 1_000_006), ("bytes=-9", len(DRAWING) - 9, len(DRAWING) - 1), ("bytes=0-0", 0, 0),
        (f"bytes={PART_BYTES - 3}-{PART_BYTES + 3}", PART_BYTES - 3, PART_BYTES + 3),
    ):  # fmt: skip
        part = await desk.get(f"/blobs/{sha256(DRAWING)}", headers={"Range": asked})
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/{len(DRAWING)}"
        assert (part.status_code, part.content == DRAWING[first : last + 1]) == (206, True), asked


async def test_more_files_at_once_than_are_sent_at_once_all_arrive(s3: S3Server, s3_office: Office) -> None:
    desk, pictures = await s3_office.sign_in(HE_LI), [png(shade) for shade in range(SENT_AT_ONCE + 4)]
    answers = await asyncio.gather(*(send(desk, picture) for picture in pictures))
    assert {answer.status_code for answer in answers} == {201}
    assert s3.keys(PREFIX) == {key_of(sha256(picture)): len(picture) for picture in pictures}


async def test_an_object_that_is_there_is_not_sent_again_and_a_broken_one_is(s3: S3Server, s3_office: Office) -> None:
    store, key = blob_store(s3_office.settings), key_of(sha256(PHOTO))
    store.put(PHOTO)
    first = obstore.head(s3.store(PREFIX), key)["last_modified"]
    store.put(PHOTO)
    assert obstore.head(s3.store(PREFIX), key)["last_modified"] == first
    obstore.put(s3.store(PREFIX), key, b"half")
    store.put(PHOTO)
    assert store.read(sha256(PHOTO)) == PHOTO


async def test_thumbnails_are_made_from_the_bucket_and_kept_in_it(s3: S3Server, s3_office: Office) -> None:
    desk = await s3_office.sign_in(HE_LI)
    await send(desk, PHOTO)
    await attach_to_site(desk, s3_office.house.site, PHOTO)
    path = f"/blobs/{sha256(PHOTO)}/thumbnail"
    assert (await desk.get(path)).status_code == 503
    await s3_office.work()
    small = await desk.get(path)
    assert (small.status_code, small.headers["Content-Type"]) == (200, "image/jpeg")
    assert s3.keys(PREFIX)[key_of(sha256(small.content))] == len(small.content)
    assert local_files(s3_office) == []


async def test_an_upload_lies_on_the_disk_until_it_is_whole(s3: S3Server, s3_office: Office) -> None:
    desk = await s3_office.sign_in(HE_LI)
    path = await begin(desk, PHOTO)
    await go_on(desk, path, 0, PHOTO[:700])
    assert (s3.keys(PREFIX), part_files(s3_office)) == ({}, 1)
    assert (await go_on(desk, path, 700, PHOTO[700:])).status_code == 204
    assert (s3.keys(PREFIX), local_files(s3_office)) == ({key_of(sha256(PHOTO)): len(PHOTO)}, [])
    given_up = await begin(desk, DRAWING)
    await go_on(desk, given_up, 0, DRAWING[:700])
    await desk.ask("DELETE", given_up, headers={"Tus-Resumable": "1.0.0"})
    expired = await begin(desk, DRAWING)
    await go_on(desk, expired, 0, DRAWING[:700])
    now = s3_office.move_clock(seconds=UPLOAD_DAYS.total_seconds())
    async with s3_office.database.write() as session:
        await start_housekeeping(session, now=now)
    await s3_office.work()
    assert (list(s3.keys(PREFIX)), local_files(s3_office)) == ([key_of(sha256(PHOTO))], [])


async def test_nothing_is_lost_while_the_store_cannot_be_reached(
    s3: S3Server, s3_office: Office, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = await s3_office.sign_in(HE_LI)
    await send(desk, PHOTO)
    await attach_to_site(desk, s3_office.house.site, PHOTO)
    path = await begin(desk, DRAWING)
    await go_on(desk, path, 0, DRAWING[:700])
    s3.stop()
    try:
        refused = [
            await send(desk, DRAWING), await go_on(desk, path, 700, DRAWING[700:]),
            await desk.get(f"/blobs/{sha256(PHOTO)}"),
        ]  # fmt: skip
        for answer in refused:
            assert (answer.status_code, code_of(answer)) == (503, "blob_store_unreachable")
            assert int(answer.headers["Retry-After"]) > 0
        assert await offset_of(desk, path) == len(DRAWING) - 1, "all is here but the byte that makes it whole"
        assert await blobs_of(s3_office) == {sha256(PHOTO)}
        with pytest.raises(BackupRefusedError, match="PAIGONG_BLOBS"):
            await take_backup(
                s3_office.database, s3_office.settings, target=tmp_path, now=s3_office.now, progress=quiet
            )
        assert next(tmp_path.iterdir(), None) is None  # noqa: ASYNC240 - a look at an empty folder
    finally:
        s3.start()
    assert (await go_on(desk, path, len(DRAWING) - 1, DRAWING[-1:])).status_code == 204
    assert blob_store(s3_office.settings).read(sha256(DRAWING)) == DRAWING
    assert await blobs_of(s3_office) == {sha256(PHOTO), sha256(DRAWING)}
    assert (await desk.get(f"/blobs/{sha256(PHOTO)}")).content == PHOTO
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert told
    assert set(told) == {"the file store cannot be reached: Connect"}


async def test_machines_that_share_the_bucket_but_no_folder_begin_an_upload_anew(
    s3_office: Office, tmp_path: Path
) -> None:
    """Bytes on their way lie on one machine; another says so, and never puts a file together from less than it has."""
    desk = await s3_office.sign_in(HE_LI)
    path = await begin(desk, PHOTO)
    await go_on(desk, path, 0, PHOTO[:700])
    (tmp_path / TOKEN_KEY_FILE).write_bytes((s3_office.settings.data_dir / TOKEN_KEY_FILE).read_bytes())
    elsewhere = cast("Any", create_app(msgspec.structs.replace(s3_office.settings, data_dir=tmp_path)))
    calls = httpx.ASGITransport(elsewhere)
    async with elsewhere.lifespan(), httpx.AsyncClient(transport=calls, base_url="http://other.test") as client:
        other = Desk(client, HE_LI, desk.tokens)
        assert code_of(await go_on(other, path, 700, PHOTO[700:])) == "upload_gone"
        again = await begin(other, PHOTO)
        assert (await go_on(other, again, 0, PHOTO)).status_code == 204
    await attach_to_site(desk, s3_office.house.site, PHOTO)
    assert (await desk.get(f"/blobs/{sha256(PHOTO)}")).content == PHOTO, "what is whole is everybody's"
    assert part_files(s3_office) == 1
    async with s3_office.database.write() as session:
        await start_housekeeping(session, now=s3_office.now)
    await s3_office.work()
    assert part_files(s3_office) == 0, "what the other machine ended is cleared away here"


async def test_a_backup_takes_files_out_of_the_bucket_and_a_restore_puts_them_into_another(
    s3: S3Server, s3_office: Office, tmp_path: Path
) -> None:
    desk = await s3_office.sign_in(HE_LI)
    for content in (PHOTO, DRAWING):
        await send(desk, content)
    path, manifest = await take_backup(
        s3_office.database, s3_office.settings, target=tmp_path, now=s3_office.now, progress=quiet
    )
    assert (manifest.blobs, manifest.lost) == ({sha256(PHOTO): len(PHOTO), sha256(DRAWING): len(DRAWING)}, [])
    assert (await asyncio.to_thread(verified, path, quiet)).blobs == manifest.blobs
    settings = Settings(mode="test", data_dir=tmp_path / "new", blobs=s3.address("restored"))
    await asyncio.to_thread(restore_backup, settings, path=path, replace=False, now=s3_office.now, progress=quiet)
    assert s3.keys("restored") == {key_of(sha256(content)): len(content) for content in (PHOTO, DRAWING)}
    assert [blob_store(settings).read(sha256(content)) for content in (PHOTO, DRAWING)] == [PHOTO, DRAWING]
    obstore.delete(s3.store(PREFIX), key_of(sha256(PHOTO)))
    _, less = await take_backup(
        s3_office.database, s3_office.settings, target=tmp_path / "less.backup", now=s3_office.now, progress=quiet
    )
    assert (less.lost, list(less.blobs)) == ([sha256(PHOTO)], [sha256(DRAWING)])


def test_a_server_that_cannot_use_its_bucket_says_why_and_does_not_start(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_place(Settings(data_dir=tmp_path, blobs=s3.address("check")))
    environment = {"PAIGONG_DATA_DIR": str(tmp_path)}
    for blobs, secret, said in (
        (s3.address("x", bucket="nothing"), SECRET, "404 NoSuchBucket"),
        (s3.address("y"), "another-secret", "403 SignatureDoesNotMatch"),
        ("s3://paigong?endpoint=http://127.0.0.1:1&region=x", SECRET, "Connect"),
    ):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        ran = CliRunner().invoke(main, ["serve"], env=environment | {"PAIGONG_BLOBS": blobs})
        assert ran.exit_code == 1
        assert "PAIGONG_BLOBS 的存储无法读写" in ran.output
        assert f"({said})" in ran.output
        assert not any(hidden in ran.output for hidden in (secret, "StringToSign"))
    assert not (tmp_path / "paigong.db").exists()


def test_without_the_extra_the_server_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "backend.attachments.s3")
    for use in (blob_store, check_place):
        with pytest.raises(SettingsError, match=r"需要 S3 组件.*paigong\[s3\]"):
            use(Settings(data_dir=tmp_path, blobs="s3://paigong"))
    assert blob_store(Settings(data_dir=tmp_path)).has(hashlib.sha256().hexdigest()) is False


@pytest.mark.parametrize(
    "blobs",
    [
        "paigong", "http://host/paigong", "s3://", "s3:///prefix", "s3://key:secret@paigong/x", "s3://paigong:80/x",
        "s3://paigong?secret=secret", "s3://paigong?endpoint=secret", "s3://paigong?endpoint=ftp://secret",
        "s3://paigong?endpoint=https://secret@host",
    ],
)  # fmt: skip
def test_an_address_that_is_no_bucket_is_refused_and_not_repeated(blobs: str) -> None:
    with pytest.raises(SettingsError, match="PAIGONG_BLOBS 应写作 s3://") as refused:
        read_settings({"PAIGONG_BLOBS": blobs})
    assert "secret" not in str(refused.value)


class _Elsewhere(BaseHTTPRequestHandler):
    """A proxy that knows no such page, whatever is asked."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "22")
        self.end_headers()
        self.wfile.write(b"<html>Not found</html>")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_only_the_store_itself_says_that_a_file_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with HTTPServer(("127.0.0.1", 0), _Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        place = BucketPlace(Bucket(name="paigong", endpoint=endpoint, region="us-east-1"))
        try:
            with pytest.raises(Problem) as refused:
                list(place.blocks("0" * 64))
        finally:
            server.shutdown()
            thread.join()
    assert refused.value.fault is BLOB_STORE_UNREACHABLE
