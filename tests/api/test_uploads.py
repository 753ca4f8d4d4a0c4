"""Uploads in pieces (tus 1.0): what each header and refusal promises, and whose bytes they are."""

import base64
import hashlib
import os
import shutil
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import httpx
import pytest
from sqlalchemy import select

from backend.app import create_app, task_handlers
from backend.attachments.models import Blob, BlobUpload, Upload
from backend.attachments.store import BLOB_BYTES
from backend.attachments.uploads import UPLOAD_DAYS, UPLOADS_A_PERSON_MAXIMUM
from backend.core.clock import SystemClock
from backend.core.housekeeping import HOUSEKEEPING
from backend.core.ids import new_id
from tests.make import Desk, Office
from tests.personas import CHEN_JING, HE_LI, LI_WEI, LIN_LI, MA_CHAO

PHOTO = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 8
TUS = {"Tus-Resumable": "1.0.0"}
PIECE = TUS | {"Content-Type": "application/offset+octet-stream"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def metadata(**values: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


def announced(content: bytes, **more: str) -> dict[str, str]:
    return TUS | {"Upload-Length": str(len(content)), "Upload-Metadata": metadata(sha256=sha256(content), **more)}


def checksum(content: bytes, algorithm: str = "sha1") -> dict[str, str]:
    digest = hashlib.new(algorithm, content).digest()
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(digest).decode()}"}


def code_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    return answer.status_code, answer.json()["code"]


async def begin(desk: Desk, content: bytes = PHOTO, **more: str) -> str:
    answer = await desk.ask("POST", "/uploads", headers=announced(content, **more))
    assert (answer.status_code, answer.headers["Upload-Offset"], answer.content) == (201, "0", b"")
    return answer.headers["Location"]


async def go_on(
    desk: Desk, path: str, offset: int, content: Any, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    sent = PIECE | {"Upload-Offset": str(offset)} | dict(headers or {})
    return await desk.ask("PATCH", path, headers=sent, content=content)


async def offset_of(desk: Desk, path: str) -> int:
    answer = await desk.ask("HEAD", path, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def part_files(office: Office) -> int:
    return sum(1 for path in (office.settings.blob_dir / "uploads").glob("*") if path.is_file())


async def test_a_file_sent_in_pieces_becomes_the_blob_it_was_announced_as(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    path = await begin(desk, filetype="image/jpeg")
    first = await go_on(desk, path, 0, PHOTO[:700])
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, "700")
    assert "Upload-Expires" in first.headers
    told = await desk.ask("HEAD", path, headers=TUS)
    assert told.headers["Upload-Length"] == str(len(PHOTO))
    assert told.headers["Upload-Metadata"] == metadata(sha256=sha256(PHOTO), filetype="image/jpeg")
    assert (told.headers["Cache-Control"], told.headers["Upload-Offset"]) == ("no-store", "700")
    last = await go_on(desk, path, 700, PHOTO[700:])
    assert (last.status_code, last.headers["Upload-Offset"]) == (204, str(len(PHOTO)))
    assert "Upload-Expires" not in last.headers
    assert await offset_of(desk, path) == len(PHOTO)
    site = {"entity": "site", "subject_id": str(office.house.site), "kind": "photo", "name": "门.jpg"}
    assert (await desk.post("/attachments", site | {"sha256": sha256(PHOTO)})).json()["arrived"] is True
    read = await desk.get(f"/blobs/{sha256(PHOTO)}")
    assert (read.content, read.headers["Content-Type"]) == (PHOTO, "image/jpeg")
    assert part_files(office) == 0


async def test_the_first_bytes_may_come_with_the_announcement(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(LI_WEI)
    whole = await desk.ask("POST", "/uploads", headers=announced(PHOTO) | PIECE, content=PHOTO)
    assert (whole.status_code, whole.headers["Upload-Offset"]) == (201, str(len(PHOTO)))
    other = PHOTO + b"!"
    half = await desk.ask("POST", "/uploads", headers=announced(other) | PIECE, content=other[:99])
    assert (half.status_code, half.headers["Upload-Offset"]) == (201, "99")
    again = await desk.ask("POST", "/uploads", headers=announced(other))
    assert (again.headers["Location"], again.headers["Upload-Offset"]) == (half.headers["Location"], "99")
    assert (await go_on(desk, half.headers["Location"], 99, other[99:])).status_code == 204


async def test_what_this_server_speaks_is_told_to_everybody(sqlite_office: Office) -> None:
    answer = await sqlite_office.client.options("/uploads")
    assert answer.status_code == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert answer.headers["Tus-Extension"] == "creation,creation-with-upload,checksum,expiration,termination"
    assert answer.headers["Tus-Max-Size"] == str(BLOB_BYTES)
    assert answer.headers["Tus-Checksum-Algorithm"] == "sha256,sha1"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_a_piece_counts_only_with_its_checksum(sqlite_office: Office, algorithm: str) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    path = await begin(desk)
    wrong = await go_on(desk, path, 0, PHOTO[:500], checksum(PHOTO[:499], algorithm))
    assert code_of(wrong) == (460, "upload_checksum")
    assert await offset_of(desk, path) == 0
    assert (await go_on(desk, path, 0, PHOTO[:500], checksum(PHOTO[:500], algorithm))).status_code == 204
    assert (await go_on(desk, path, 500, PHOTO[500:], checksum(PHOTO[500:], algorithm))).status_code == 204
    assert await offset_of(desk, path) == len(PHOTO)


async def test_headers_that_are_not_right_are_named(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    path = await begin(desk)
    for version in ({}, {"Tus-Resumable": "0.2.2"}):
        refused = await desk.ask("HEAD", path, headers=version)
        assert (refused.status_code, refused.headers["Tus-Version"]) == (412, "1.0.0")
    for change, field in (
        ({"Upload-Length": "many"}, "Upload-Length"), ({"Upload-Length": "-1"}, "Upload-Length"),
        ({"Upload-Metadata": metadata(sha256="x")}, "Upload-Metadata"), ({"Upload-Metadata": ""}, "Upload-Metadata"),
        ({"Upload-Metadata": "sha256 *"}, "Upload-Metadata"),
        ({"Upload-Metadata": "k " + "A" * 2000}, "Upload-Metadata"),
        ({"Upload-Metadata": "a,a," + metadata(sha256=sha256(PHOTO))}, "Upload-Metadata"),
        ({"Upload-Checksum": "md5 AAAA"}, "Upload-Checksum"), ({"Upload-Checksum": "sha1 *"}, "Upload-Checksum"),
    ):  # fmt: skip
        answer = await desk.ask("POST", "/uploads", headers=announced(PHOTO) | change)
        assert code_of(answer) == (400, "upload_malformed"), change
        assert answer.json()["findings"][0]["field"] == field
    assert code_of(await go_on(desk, path, 0, b"x", {"Content-Type": "image/jpeg"})) == (415, "upload_content_type")
    assert code_of(await go_on(desk, path, 0, b"x", {"Upload-Offset": "x"})) == (400, "upload_malformed")
    assert code_of(await go_on(desk, path, 1, b"x")) == (409, "upload_offset")


async def test_what_could_never_be_stored_is_refused_before_it_is_sent(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    large = await desk.ask("POST", "/uploads", headers=announced(PHOTO) | {"Upload-Length": str(BLOB_BYTES + 1)})
    assert code_of(large) == (413, "blob_too_large")
    typed = await desk.ask("POST", "/uploads", headers=announced(PHOTO, filetype="image/svg+xml"))
    assert code_of(typed) == (415, "blob_type_refused")
    assert code_of(await desk.ask("POST", "/uploads", headers=announced(b""))) == (415, "blob_type_refused")
    path = await begin(desk)

    async def in_chunks() -> AsyncGenerator[bytes]:
        yield PHOTO
        yield b"!"

    for longer in (PHOTO + b"!", in_chunks()):
        assert code_of(await go_on(desk, path, 0, longer)) == (413, "upload_too_long")
    assert await offset_of(desk, path) == 0


@pytest.mark.parametrize(
    ("content", "name", "refused"),
    [
        (PHOTO, PHOTO[:-1] + b"?", (422, "blob_hash_mismatch")),
        (b"<html>" * 9, b"<html>" * 9, (415, "blob_type_refused")),
    ],
)
async def test_a_whole_that_is_not_what_was_announced_ends_the_upload(
    sqlite_office: Office, content: bytes, name: bytes, refused: tuple[int, str]
) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    path = await begin(desk, name)
    assert code_of(await go_on(desk, path, 0, content)) == refused
    assert (await desk.ask("HEAD", path, headers=TUS)).status_code == 404
    assert part_files(sqlite_office) == 0
    async with sqlite_office.database.read() as session:
        assert (await session.execute(select(Blob))).first() is None
    await begin(desk, name)


async def test_nobody_but_the_uploader_goes_on_or_looks(sqlite_office: Office) -> None:
    desk, other = await sqlite_office.sign_in(HE_LI), await sqlite_office.sign_in(CHEN_JING)
    path = await begin(desk)
    assert (await other.ask("HEAD", path, headers=TUS)).status_code == 404
    assert (await go_on(other, path, 0, PHOTO)).status_code == 404
    assert (await other.ask("DELETE", path, headers=TUS)).status_code == 404
    assert await begin(other) != path
    assert (await sqlite_office.client.request("HEAD", path, headers=TUS)).status_code == 401
    nobody = await sqlite_office.sign_in(LIN_LI)
    assert code_of(await nobody.ask("POST", "/uploads", headers=announced(PHOTO))) == (403, "forbidden")
    assert (await desk.ask("DELETE", path, headers=TUS)).status_code == 204
    assert (await desk.ask("HEAD", path, headers=TUS)).status_code == 404


@pytest.mark.rule("A270", "A271")
async def test_a_known_file_is_not_sent_again_by_those_who_may_read_it_and_to_others_it_is_unknown(
    office: Office,
) -> None:
    ours, boss, stranger = [await office.sign_in(persona) for persona in (HE_LI, CHEN_JING, MA_CHAO)]
    await go_on(ours, await begin(ours), 0, PHOTO)
    site = {"entity": "site", "subject_id": str(office.house.site), "kind": "photo", "name": "门.jpg"}
    assert (await ours.post("/attachments", site | {"sha256": sha256(PHOTO)})).status_code == 201
    for desk, offset in ((ours, len(PHOTO)), (boss, len(PHOTO)), (stranger, 0)):
        answer = await desk.ask("POST", "/uploads", headers=announced(PHOTO))
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, str(offset)), desk.persona.name
        assert await offset_of(desk, answer.headers["Location"]) == offset
    async with office.database.read() as session:
        senders = set((await session.execute(select(BlobUpload.person_id))).scalars())
    assert senders == {office.house.id_of(HE_LI), office.house.id_of(CHEN_JING)}
    lie = announced(PHOTO) | {"Upload-Length": "5"}
    assert code_of(await ours.ask("POST", "/uploads", headers=lie)) == (422, "blob_hash_mismatch")
    assert (await stranger.ask("POST", "/uploads", headers=lie)).status_code == 201


async def test_the_method_may_be_said_in_a_header(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    path = await begin(desk)
    sent = PIECE | {"Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert (await desk.ask("POST", path, headers=sent, content=PHOTO[:9])).headers["Upload-Offset"] == "9"
    assert (await desk.ask("POST", path, headers=TUS)).status_code == 405
    assert (await desk.ask("POST", path, headers=TUS | {"X-HTTP-Method-Override": "DELETE"})).status_code == 204
    assert (await desk.ask("HEAD", path, headers=TUS)).status_code == 404


async def test_an_upload_nobody_goes_on_with_expires_and_is_swept_away(office: Office) -> None:
    desk = await office.sign_in_for_long(HE_LI)
    path = await begin(desk)
    office.move_clock(days=6)
    await go_on(desk, path, 0, PHOTO[:50])
    office.move_clock(days=6)
    assert await offset_of(desk, path) == 50, "each piece renews it"
    office.move_clock(days=UPLOAD_DAYS.days)
    assert (await desk.ask("HEAD", path, headers=TUS)).status_code == 410
    assert (await go_on(desk, path, 50, b"x")).status_code == 410
    assert part_files(office) == 1
    incoming = office.settings.blob_dir / "incoming"
    incoming.mkdir(exist_ok=True)
    for name, hours in (("of a server that was killed", 25), ("arriving now", 1)):
        (incoming / name).touch()
        at = SystemClock().now().timestamp() - hours * 3600
        os.utime(incoming / name, (at, at))
    await task_handlers(office.settings, office.database)[HOUSEKEEPING]({})
    assert [path.name for path in incoming.iterdir()] == ["arriving now"]
    (incoming / "arriving now").unlink()
    assert part_files(office) == 0
    assert (await desk.ask("HEAD", path, headers=TUS)).status_code == 404
    fresh = await begin(desk)
    office.move_clock(days=UPLOAD_DAYS.days + 1)
    assert await begin(desk) != fresh, "an expired one is begun anew, swept or not"


async def test_an_upload_whose_bytes_were_lost_is_begun_anew(sqlite_office: Office) -> None:
    """A backup has the row, but not what had come of an upload."""
    desk = await sqlite_office.sign_in(HE_LI)
    path = await begin(desk)
    await go_on(desk, path, 0, PHOTO[:50])
    shutil.rmtree(sqlite_office.settings.blob_dir / "uploads")
    assert (await desk.ask("HEAD", path, headers=TUS)).status_code == 410
    assert (await go_on(desk, path, 50, PHOTO[50:])).status_code == 410
    assert (await go_on(desk, await begin(desk), 0, PHOTO)).status_code == 204


async def test_another_process_goes_on_where_the_first_stopped(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    path = await begin(desk)
    await go_on(desk, path, 0, PHOTO[:70])
    elsewhere = cast("Any", create_app(sqlite_office.settings))
    calls = httpx.ASGITransport(elsewhere)
    async with elsewhere.lifespan(), httpx.AsyncClient(transport=calls, base_url="http://other.test") as client:
        other = Desk(client, HE_LI, desk.tokens)
        assert await offset_of(other, path) == 70
        assert (await go_on(other, path, 70, PHOTO[70:])).headers["Upload-Offset"] == str(len(PHOTO))
    assert await offset_of(desk, path) == len(PHOTO)


async def test_a_later_request_takes_over_and_the_earlier_counts_no_more(office: Office) -> None:
    """A phone that lost its signal is back while the server still listens to the old connection."""
    desk = await office.sign_in(HE_LI)
    path = await begin(desk)
    answers: list[httpx.Response] = []

    async def stalled() -> AsyncGenerator[bytes]:
        yield PHOTO[:100]
        while await offset_of(desk, path) < 100:
            pass
        answers.append(await go_on(desk, path, 100, PHOTO[100:300]))
        yield PHOTO[100:200]

    first = await go_on(desk, path, 0, stalled())
    assert (answers[0].status_code, answers[0].headers["Upload-Offset"]) == (204, "300")
    assert code_of(first) == (409, "upload_offset")
    assert await offset_of(desk, path) == 300
    assert (await go_on(desk, path, 300, PHOTO[300:])).status_code == 204


async def test_a_person_cannot_begin_uploads_without_end(sqlite_office: Office) -> None:
    desk, now = await sqlite_office.sign_in(HE_LI), sqlite_office.now
    async with sqlite_office.database.write() as session:
        for number in range(UPLOADS_A_PERSON_MAXIMUM):
            session.add(
                Upload(
                    id=new_id(), person_id=sqlite_office.house.id_of(HE_LI), sha256=sha256(bytes([number])), length=9,
                    received=0, busy=False, sent_metadata="", created_at=now, expires_at=now + UPLOAD_DAYS,
                )
            )  # fmt: skip
    assert code_of(await desk.ask("POST", "/uploads", headers=announced(PHOTO))) == (409, "too_many_uploads")
