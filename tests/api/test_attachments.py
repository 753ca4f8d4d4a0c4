"""Files over the API: sent whole or not at all, read only through a record one may see, told when all have come."""

import hashlib
import zlib
from collections.abc import AsyncGenerator
from pathlib import Path
from struct import pack
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from backend.attachments.actions import ARRIVED, attach, note_blob
from backend.attachments.models import Attachment
from backend.attachments.schemas import HAVE_MAXIMUM, AttachedFile, Stored
from backend.attachments.store import BLOB_BYTES, BlobStore
from backend.core.audit import SYSTEM, AccessEntry, Actor
from backend.core.changes import change
from backend.core.errors import Problem
from backend.core.events import Event
from backend.core.ids import new_id
from tests.make import Desk, Office
from tests.personas import CHEN_JING, HE_LI, LI_WEI, LIN_LI, MA_CHAO, SUN_LEI, WU_GANG, ZHOU_TAO
from tests.work import sent

PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00" + bytes(40) + b"\xff\xd9"
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(28)


def png(shade: int = 0) -> bytes:
    """A real picture of one grey pixel."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes([0, shade]))) + chunk(b"IEND", b"")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    return answer.json()["code"]


async def send(desk: Desk, content: bytes, name: str | None = None) -> httpx.Response:
    return await desk.ask("PUT", f"/blobs/{name or sha256(content)}", content=content)


async def attach_to_site(desk: Desk, site: UUID, content: bytes, kind: str = "photo") -> httpx.Response:
    body = {"entity": "site", "subject_id": str(site), "sha256": sha256(content), "kind": kind, "name": "图.png"}
    return await desk.post("/attachments", body)


def stored_files(office: Office) -> list[Path]:
    return [path for path in (office.settings.data_dir / "blobs").rglob("*") if path.is_file()]


# --- sending ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(png(), "image/png"), (JPEG, "image/jpeg"), (WEBP, "image/webp"), (PDF, "application/pdf")],
)
async def test_what_was_sent_is_read_back_byte_for_byte(office: Office, content: bytes, media_type: str) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    for _ in range(2):
        answer = await send(desk, content)
        assert (answer.status_code, answer.json()["media_type"]) == (201, media_type)
    assert (await attach_to_site(desk, house.site, content)).status_code == 201
    read = await desk.get(f"/blobs/{sha256(content)}")
    assert (read.content, read.headers["Content-Type"]) == (content, media_type)
    assert read.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert (read.headers["X-Content-Type-Options"], read.headers["ETag"]) == ("nosniff", f'"{sha256(content)}"')
    assert [path.name for path in stored_files(office)] == [sha256(content)[2:]]


@pytest.mark.parametrize(
    ("content", "name", "status", "code"),
    [
        (png(), sha256(png(1)), 422, "blob_hash_mismatch"), (png()[:-1], sha256(png()), 422, "blob_hash_mismatch"),
        (b"", sha256(b""), 415, "blob_type_refused"), (b"hello", None, 415, "blob_type_refused"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", None, 415, "blob_type_refused"),
        (b"<html><script>1</script></html>", None, 415, "blob_type_refused"), (b"MZ" + bytes(99), None, 415,
        "blob_type_refused"), (png(), "x" * 64, 422, "invalid"), (png(), sha256(png()).upper(), 422, "invalid"),
        (png(), "..%2f..%2fetc%2fpasswd", 404, "not_found"),
    ],
)  # fmt: skip
async def test_a_file_that_is_not_what_it_claims_leaves_nothing(
    sqlite_office: Office, content: bytes, name: str | None, status: int, code: str
) -> None:
    answer = await send(await sqlite_office.sign_in(HE_LI), content, name)
    assert (answer.status_code, code_of(answer)) == (status, code)
    assert stored_files(sqlite_office) == []


async def test_a_file_too_large_is_refused_and_leaves_nothing(sqlite_office: Office) -> None:
    content = png() + bytes(BLOB_BYTES)
    answer = await send(await sqlite_office.sign_in(HE_LI), content)
    assert answer.status_code == 413
    assert stored_files(sqlite_office) == []


async def test_bytes_that_stop_halfway_leave_nothing(sqlite_office: Office) -> None:
    async def half() -> AsyncGenerator[bytes]:
        yield png()[:20]
        raise ConnectionError

    desk = await sqlite_office.sign_in(HE_LI)
    answer = await desk.ask("PUT", f"/blobs/{sha256(png())}", content=half())
    assert answer.status_code == 500, "nobody is there to read it"
    assert stored_files(sqlite_office) == []
    assert (await send(desk, png())).status_code == 201


async def test_only_people_who_work_with_records_send_files(sqlite_office: Office) -> None:
    assert (await send(await sqlite_office.sign_in(LIN_LI), png())).status_code == 403
    assert (await sqlite_office.client.put(f"/blobs/{sha256(png())}", content=png())).status_code == 401


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "status", "slice_"),
    [
        ("bytes=0-9", 206, slice(0, 10)), ("bytes=10-", 206, slice(10, None)), ("bytes=-5", 206, slice(-5, None)),
        ("bytes=0-9999", 200, slice(None)), ("bytes=-9999", 200, slice(None)), ("bytes=0-0,2-3", 200, slice(None)),
        ("lines=1-2", 200, slice(None)), ("bytes=9999-", 416, None), ("bytes=5-2", 416, None),
    ],
)  # fmt: skip
async def test_a_part_of_a_file_is_read_with_range(
    sqlite_office: Office, asked: str, status: int, slice_: slice | None
) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    await send(desk, png())
    await attach_to_site(desk, sqlite_office.house.site, png())
    answer = await desk.get(f"/blobs/{sha256(png())}", headers={"Range": asked})
    assert answer.status_code == status
    if slice_ is None:
        assert code_of(answer) == "range_not_satisfiable"
    else:
        assert answer.content == png()[slice_]


async def test_its_size_is_asked_without_its_bytes(office: Office) -> None:
    desk = await office.sign_in(HE_LI)
    assert (await desk.ask("HEAD", f"/blobs/{sha256(png())}")).status_code == 404
    await send(desk, png())
    await attach_to_site(desk, office.house.site, png())
    answer = await desk.ask("HEAD", f"/blobs/{sha256(png())}")
    assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(png())))


@pytest.mark.rule("A270", "A271")
async def test_knowing_a_hash_opens_nothing(office: Office) -> None:
    """Reading needs a record in scope, put there by somebody who had the bytes; a hash alone may be anybody's file."""
    ours, theirs, house = await office.sign_in(HE_LI), await office.sign_in(MA_CHAO), office.house
    content, path = png(7), f"/blobs/{sha256(png(7))}"
    await send(ours, content)
    assert (await ours.get(path)).status_code == 404, "bytes without a record are read by nobody"
    assert (await attach_to_site(ours, house.site, content)).status_code == 201
    for persona, status in ((HE_LI, 200), (CHEN_JING, 200), (WU_GANG, 200), (MA_CHAO, 404), (LI_WEI, 404),
                            (SUN_LEI, 404), (LIN_LI, 404)):  # fmt: skip
        assert (await (await office.sign_in(persona)).get(path)).status_code == status, persona.name
    assert (await theirs.post("/blobs/have", {"sha256": [sha256(content)]})).json() == {"have": []}
    assert (await attach_to_site(theirs, house.north_site, content)).status_code == 201
    assert (await theirs.get(path)).status_code == 404, "claiming it in a record of one's own shows nothing"
    (claimed,) = (await theirs.get(f"/attachments?entity=site&subject_id={house.north_site}")).json()
    assert claimed["arrived"] is False
    await send(theirs, content)
    assert (await theirs.get(path)).content == content


async def test_a_phone_learns_what_it_need_not_send_again(office: Office) -> None:
    desk = await office.sign_in(LI_WEI)
    await send(desk, png(1))
    asked = [sha256(png(shade)) for shade in range(3)]
    assert (await desk.post("/blobs/have", {"sha256": asked})).json() == {"have": [sha256(png(1))]}
    for bad in (["x"], [asked[0]] * (HAVE_MAXIMUM + 1), asked[0]):
        assert (await desk.post("/blobs/have", {"sha256": bad})).status_code == 422


async def test_a_file_somebody_else_sent_is_not_had_until_it_is_announced(office: Office) -> None:
    """A form counts a photo its author sent or announced: who leaves out what is had must not leave it incomplete."""
    desk, reader, asked = await office.sign_in(HE_LI), await office.sign_in(CHEN_JING), {"sha256": [sha256(png())]}
    await send(desk, png())
    await attach_to_site(desk, office.house.site, png())
    assert (await reader.get(f"/blobs/{sha256(png())}")).status_code == 200
    assert (await reader.post("/blobs/have", asked)).json() == {"have": []}
    await send(reader, png())
    assert (await reader.post("/blobs/have", asked)).json() == {"have": [sha256(png())]}


@pytest.mark.rule("A271", "A273")
async def test_the_reading_of_a_drawing_is_logged_and_of_a_photo_not(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    await send(desk, PDF)
    await send(desk, png())
    await attach_to_site(desk, house.site, png())
    drawing = (await attach_to_site(desk, house.site, PDF, "drawing")).json()
    office.move_clock(minutes=1)
    for content in (png(), PDF):
        assert (await (await office.sign_in(WU_GANG)).get(f"/blobs/{sha256(content)}")).status_code == 200
    async with office.database.read() as session:
        (entry,) = (await session.execute(select(AccessEntry))).scalars().all()
    assert (entry.what, entry.person_id, entry.at) == ("drawing.read", house.id_of(WU_GANG), office.now)
    assert str(entry.subject_id) == drawing["id"]


@pytest.mark.rule("A271", "A114")
async def test_drawings_of_a_confidential_site_leave_the_phones_and_come_back(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    drawing = UUID((await attach_to_site(desk, house.site, PDF, "drawing")).json()["id"])
    photo = UUID((await attach_to_site(desk, house.site, png())).json()["id"])

    async def on_phones() -> set[UUID]:
        async with office.database.read() as session:
            live = select(change.c.row_id).where(change.c.entity == "attachment", change.c.deleted.is_(False))
            return set((await session.execute(live)).scalars())

    assert await on_phones() == {drawing, photo}
    await desk.edit(f"/sites/{house.site}", {"no_offline_drawings": True})
    assert await on_phones() == {photo}
    assert (await attach_to_site(desk, house.site, PDF, "drawing")).status_code == 201
    assert await on_phones() == {photo}
    await desk.edit(f"/sites/{house.site}", {"no_offline_drawings": False})
    assert len(await on_phones()) == 3


# --- attaching --------------------------------------------------------------------------------------------------------


async def test_files_are_attached_listed_in_order_and_taken_off(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    for shade in range(3):
        await attach_to_site(desk, house.site, png(shade))
    await send(desk, png(1))
    path = f"/attachments?entity=site&subject_id={house.site}"
    listed = (await desk.get(path)).json()
    assert [(one["position"], one["sha256"], one["arrived"]) for one in listed] == [
        (number + 1, sha256(png(number)), number == 1) for number in range(3)
    ]
    first = f"/attachments/{listed[0]['id']}"
    assert (await (await office.sign_in(MA_CHAO)).ask("DELETE", first)).status_code == 404
    assert (await desk.ask("DELETE", first)).status_code == 204
    assert (await desk.ask("DELETE", first)).status_code == 404
    assert len((await desk.get(path)).json()) == 2
    assert (await (await office.sign_in(ZHOU_TAO)).get(path)).status_code == 404


async def test_who_was_only_sent_to_a_site_takes_off_nothing_but_the_own_files(office: Office) -> None:
    dispatcher, technician, _ = await sent(office)
    plan = (await attach_to_site(dispatcher, office.house.site, PDF, "drawing")).json()["id"]
    leaders = (await attach_to_site(await office.sign_in(WU_GANG), office.house.site, png(7))).json()["id"]
    own = [(await attach_to_site(technician, office.house.site, png(shade))).json()["id"] for shade in range(2)]
    for others in (plan, leaders):
        assert code_of(await technician.ask("DELETE", f"/attachments/{others}")) == "forbidden"
    assert (await technician.ask("DELETE", f"/attachments/{own[0]}")).status_code == 204
    for theirs in (leaders, own[1]):
        assert (await dispatcher.ask("DELETE", f"/attachments/{theirs}")).status_code == 204
    left = (await dispatcher.get(f"/attachments?entity=site&subject_id={office.house.site}")).json()
    assert [one["id"] for one in left] == [plan]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"entity": "person"}, "subject_id"), ({"entity": "nothing"}, "subject_id"), ({"subject_id": str(new_id())},
        "subject_id"), ({"kind": "signature"}, "kind"), ({"kind": "report"}, "kind"), ({"name": "../x"}, "name"),
        ({"name": ""}, "name"), ({"sha256": "x"}, "sha256"), ({"bucket": "catalogue"}, "bucket"),
    ],
)  # fmt: skip
async def test_an_attachment_with_something_wrong_is_refused(
    sqlite_office: Office, bad: dict[str, str], field: str
) -> None:
    desk, house = await sqlite_office.sign_in(HE_LI), sqlite_office.house
    body = {"entity": "site", "subject_id": str(house.site), "sha256": sha256(png()), "kind": "photo", "name": "图"}
    answer = await desk.post("/attachments", body | bad)
    assert (answer.status_code, [one["field"] for one in answer.json()["findings"]]) == (422, [field])


async def test_the_last_photo_of_a_record_is_announced_once_all_are_here(office: Office) -> None:
    desk, house = await office.sign_in(HE_LI), office.house
    files = [AttachedFile(sha256=sha256(png(shade)), kind="photo", name=f"{shade}") for shade in range(2)]
    async with office.database.write() as session:
        await attach(
            session, now=office.now, actor=Actor(person_id=house.id_of(HE_LI)), entity="site", subject_id=house.site,
            bucket=f"site:{house.site}", files=files,
        )  # fmt: skip

    async def announced() -> int:
        async with office.database.read() as session:
            events = (await session.execute(select(Event).where(Event.name == ARRIVED))).scalars().all()
        assert all(event.facts == {"entity": "site", "subject_id": str(house.site)} for event in events)
        return len(events)

    await send(desk, png(0))
    assert await announced() == 0
    await send(await office.sign_in(WU_GANG), png(1))
    assert await announced() == 0, "another's upload of the same bytes is not the author's"
    await send(desk, png(1))
    assert await announced() == 1
    await send(desk, png(1))
    assert await announced() == 1


async def test_a_file_the_server_made_is_read_through_its_record(office: Office) -> None:
    house = office.house
    store = BlobStore(office.settings.data_dir / "blobs")
    name = store.put(PDF)
    async with office.database.write() as session:
        await note_blob(
            session, now=office.now, stored=Stored(sha256=name, size=len(PDF), media_type="application/pdf")
        )
        file = AttachedFile(sha256=name, kind="report", name="report.pdf")
        await attach(
            session, now=office.now, actor=SYSTEM, entity="site", subject_id=house.site, bucket=None, files=[file]
        )
        assert (await session.execute(select(Event).where(Event.name == ARRIVED))).first() is not None
    assert (await (await office.sign_in(HE_LI)).get(f"/blobs/{name}")).content == PDF
    assert (await (await office.sign_in(MA_CHAO)).get(f"/blobs/{name}")).status_code == 404


async def test_the_files_of_a_filed_form_stay(office: Office) -> None:
    house = office.house
    photo = Attachment(
        bucket=None, entity="completion_form", subject_id=new_id(), sha256=sha256(png()), kind="photo", name="1",
        position=1, added_at=office.now, added_by_id=house.id_of(LI_WEI),
    )  # fmt: skip
    async with office.database.write() as session:
        session.add(photo)
    desk = await office.sign_in(LI_WEI)
    assert (await desk.ask("DELETE", f"/attachments/{photo.id}")).status_code in {404, 409}
    body = {"entity": "completion_form", "subject_id": str(photo.subject_id), "sha256": sha256(png()), "kind": "photo"}
    assert (await desk.post("/attachments", body | {"name": "2"})).status_code == 422


# --- the store alone --------------------------------------------------------------------------------------------------


@given(content=st.binary(max_size=300))
def test_the_store_keeps_pictures_whole_and_refuses_the_rest(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    store = BlobStore(tmp_path_factory.mktemp("blobs"))
    picture = png() + content
    assert store.read(store.put(picture)) == picture
    assert (store._folder / sha256(picture)[:2] / sha256(picture)[2:]).read_bytes() == picture
    assert not list((store._folder / "incoming").iterdir())


def test_bytes_that_are_not_kept_never_have_a_name(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    with store.incoming() as incoming:
        incoming.write(png())
        with pytest.raises(Problem):
            incoming.check(sha256(png(1)))
        assert len(list((tmp_path / "incoming").iterdir())) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
