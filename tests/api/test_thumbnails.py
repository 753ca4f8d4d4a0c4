"""Photos made small: upright, without what the camera wrote into them, for those who may read the photo."""

import io
import zlib
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from backend.attachments.thumbnails import PIXELS_MOST, SIDES, thumbnail
from tests.api.test_uploads import begin, go_on, sha256
from tests.make import Desk, Office
from tests.personas import CHEN_JING, HE_LI, MA_CHAO, WU_GANG

ORIENTATION, CAMERA = 0x0112, 0x010F
ON_ITS_SIDE = 6


def photo(width: int = 900, height: int = 600, *, kind: str = "JPEG", orientation: int = 1) -> bytes:
    """Left half red, right half blue; with a camera's notes."""
    picture = Image.new("RGB", (width, height), "red")
    picture.paste("blue", (width // 2, 0, width, height))
    notes = Image.Exif()
    notes[ORIENTATION], notes[CAMERA] = orientation, "Secret Camera Co"
    made = io.BytesIO()
    picture.save(made, kind, exif=notes, comment=b"secret place")
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


@settings(max_examples=60)
@given(st.binary(max_size=60), st.integers(0, 2000))
def test_broken_pictures_have_none_and_break_nothing(noise: bytes, at: int) -> None:
    content = photo(64, 48)
    assert thumbnail(content[: at % len(content)] + noise, 160) is None or opened(thumbnail(content, 160)).width <= 160
    assert thumbnail(b"%PDF-1.7" + noise, 160) is None


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


async def test_a_part_is_read_only_of_the_version_one_has(sqlite_office: Office) -> None:
    content = photo()
    desk, name = await with_photo(sqlite_office, content), sha256(content)
    for version, status in ((f'"{name}"', 206), ('"another"', 200), (f'W/"{name}"', 200)):
        answer = await desk.get(f"/blobs/{name}", headers={"Range": "bytes=5-9", "If-Range": version})
        assert answer.status_code == status
        assert answer.content == (content[5:10] if status == 206 else content)
    beyond = await desk.get(f"/blobs/{name}", headers={"Range": f"bytes={len(content)}-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(content)}")
