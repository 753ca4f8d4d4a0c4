"""Photos made small: upright, without what the camera wrote into them, for those who may read the photo."""

import io
import zlib
from struct import pack

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import delete

from backend.attachments.models import Thumbnail
from backend.attachments.places import FolderPlace
from backend.attachments.thumbnails import PIXELS_MOST, SIDES, thumbnail
from tests.api.test_uploads import begin, go_on, sha256
from tests.make import Desk, Office
from tests.personas import CHEN_JING, HE_LI, MA_CHAO, WU_GANG

ORIENTATION, CAMERA = 0x0112, 0x010F
ON_ITS_SIDE = 6


def photo(
    width: int = 900, height: int = 600, *, kind: str = "JPEG", orientation: int = 1, progressive: bool = False
) -> bytes:
    """Left half red, right half blue; with a camera's notes."""
    picture = Image.new("RGB", (width, height), "red")
    picture.paste("blue", (width // 2, 0, width, height))
    notes = Image.Exif()
    notes[ORIENTATION], notes[CAMERA] = orientation, "Secret Camera Co"
    made = io.BytesIO()
    picture.save(made, kind, exif=notes, comment=b"secret place", progressive=progressive)
    return made.getvalue()


def opened(content: bytes | None) -> Image.Image:
    assert content is not None
    return Image.open(io.BytesIO(content))


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is that large."""
    header = b"IHDR" + pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + pack(">I", 13) + header + pack(">I", zlib.crc32(header)) + b"\0\0\0\0IDAT" + bytes(4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("side", SIDES)
def test_a_thumbnail_is_small_and_keeps_nothing_but_pixels(kind: str, side: int) -> None:
    content = photo(kind=kind)
    small = thumbnail(content, side)
    assert opened(small).size == (side, side * 2 // 3 + (1 if side % 3 and side * 2 % 3 == 2 else 0))
    assert small is not None
    assert b"secret" in content.lower()
    assert b"secret" not in small.lower()
    assert not opened(small).getexif()


def test_a_photo_taken_on_its_side_stands_upright() -> None:
    upright = opened(thumbnail(photo(orientation=ON_ITS_SIDE), 160))
    assert upright.size == (107, 160)
    top, bottom = upright.getpixel((50, 10)), upright.getpixel((50, 150))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[0] - top[2] > 150, "red is on top: the camera was turned"
    assert bottom[2] - bottom[0] > 150


@pytest.mark.parametrize("size", [(9_000, 9_000), (11_000, 11_000), (60_000, 60_000)])
def test_a_picture_that_would_fill_the_memory_is_not_opened(size: tuple[int, int]) -> None:
    assert size[0] * size[1] > PIXELS_MOST
    assert thumbnail(claiming(*size), 160) is None


@pytest.mark.parametrize(("kind", "size", "made"), [
    ("WEBP", (4_100, 4_100), False), ("PNG", (4_100, 4_100), False), ("JPEG", (4_100, 4_100), True),
])  # fmt: skip
def test_a_picture_of_one_colour_that_unpacks_to_much_is_not_opened(
    kind: str, size: tuple[int, int], *, made: bool
) -> None:
    content = io.BytesIO()
    Image.new("RGB", size, "red").save(content, kind, lossless=True, method=0)
    assert (thumbnail(content.getvalue(), 160) is not None) is made


def test_a_progressive_photo_is_counted_as_a_whole() -> None:
    content = bytearray(photo(64, 48, progressive=True))
    frame = content.index(b"\xff\xc2")
    content[frame + 5 : frame + 9] = pack(">HH", 7_000, 8_000)
    assert thumbnail(bytes(content), 160) is None


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.binary(max_size=60), st.integers(0, 2000))
def test_broken_pictures_have_none_and_break_nothing(kind: str, noise: bytes, at: int) -> None:
    content = photo(64, 48, kind=kind)
    small = thumbnail(content[: at % len(content)] + noise, 160)
    assert small is None or opened(small).size[0] <= 160
    assert thumbnail(b"%PDF-1.7" + noise, 160) is None


@pytest.mark.filterwarnings("ignore::UserWarning")
@settings(max_examples=60, deadline=None)
@example("JPEG", 11, 0)
@given(st.sampled_from(["JPEG", "PNG", "WEBP"]), st.integers(0, 55), st.integers(0, 255))
def test_damaged_notes_cost_the_turn_and_not_the_picture(kind: str, at: int, value: int) -> None:
    content = bytearray(photo(64, 48, kind=kind, orientation=ON_ITS_SIDE))
    content[content.index(b"MM\0*") + at] = value
    if kind == "PNG":
        place = content.index(b"eXIf")
        length = int.from_bytes(content[place - 4 : place], "big")
        content[place + 4 + length : place + 8 + length] = pack(">I", zlib.crc32(content[place : place + 4 + length]))
    assert opened(thumbnail(bytes(content), 160)).size in {(64, 48), (48, 64)}


async def with_photo(office: Office, content: bytes) -> Desk:
    desk = await office.sign_in(HE_LI)
    assert (await go_on(desk, await begin(desk, content), 0, content)).status_code == 204
    site = {"entity": "site", "subject_id": str(office.house.site), "kind": "photo", "name": "门.jpg"}
    assert (await desk.post("/attachments", site | {"sha256": sha256(content)})).status_code == 201
    return desk


async def test_a_thumbnail_is_made_once_it_is_asked_for_and_read_by_those_who_may_read_the_photo(
    office: Office,
) -> None:
    content = photo()
    desk = await with_photo(office, content)
    path = f"/blobs/{sha256(content)}/thumbnail"
    for _ in range(2):
        pending = await desk.get(path)
        assert (pending.status_code, pending.json()["code"]) == (503, "thumbnail_pending")
        assert int(pending.headers["Retry-After"]) > 0
    assert await office.work() >= 1
    answer = await desk.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert answer.headers["Cache-Control"] == "private, max-age=31536000, immutable"
    assert opened(answer.content).size == (320, 213)
    for persona, status in ((CHEN_JING, 200), (WU_GANG, 200), (MA_CHAO, 404)):
        assert (await (await office.sign_in(persona)).get(path)).status_code == status, persona.name
    assert (await desk.get(f"/blobs/{sha256(answer.content)}")).status_code == 404, "by its own name nobody reads it"
    assert (await desk.get(f"{path}?side=321")).status_code == 422
    assert (await desk.get(f"{path}?side=160")).status_code == 503


async def test_what_cannot_be_made_small_says_so(sqlite_office: Office) -> None:
    content = photo()[:400]
    desk = await with_photo(sqlite_office, content)
    path = f"/blobs/{sha256(content)}/thumbnail?side=160"
    assert (await desk.get(path)).status_code == 503
    await sqlite_office.work()
    assert (await desk.get(path)).json()["code"] == "no_thumbnail"


async def test_what_failed_for_good_says_so_and_is_tried_again_another_day(sqlite_office: Office) -> None:
    content = photo(64, 48)
    desk = await with_photo(sqlite_office, content)
    path, lies = (
        f"/blobs/{sha256(content)}/thumbnail",
        FolderPlace(sqlite_office.settings.blob_dir).path(sha256(content)),
    )
    assert (await desk.get(path)).status_code == 503
    away = lies.rename(lies.with_suffix(".away"))
    await sqlite_office.work()
    assert (await desk.get(path)).json()["code"] == "no_thumbnail"
    away.rename(lies)
    sqlite_office.move_clock(days=1)
    desk = await sqlite_office.sign_in(HE_LI)
    assert (await desk.get(path)).status_code == 503
    await sqlite_office.work()
    assert (await desk.get(path)).status_code == 200
    async with sqlite_office.database.write() as session:
        await session.execute(delete(Thumbnail))
    assert (await desk.get(path)).status_code == 503, "a restored server may have the task and not what it made"
    await sqlite_office.work()
    assert (await desk.get(path)).status_code == 200


async def test_a_part_is_read_only_of_the_version_one_has(sqlite_office: Office) -> None:
    content = photo()
    desk, name = await with_photo(sqlite_office, content), sha256(content)
    for version, status in ((f'"{name}"', 206), ('"another"', 200), (f'W/"{name}"', 200)):
        answer = await desk.get(f"/blobs/{name}", headers={"Range": "bytes=5-9", "If-Range": version})
        assert answer.status_code == status
        assert answer.content == (content[5:10] if status == 206 else content)
    beyond = await desk.get(f"/blobs/{name}", headers={"Range": f"bytes={len(content)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(content)}")
