"""Small pictures of photos: made once, in the background, kept as blobs of their own.

A photo of 4 MB is 20 KB as a thumbnail; whoever looks through fifty of them on a phone pays for a fiftieth.
"""

import asyncio
import io
import logging
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

import msgspec
from PIL import Image, ImageOps
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments.actions import note_blob
from backend.attachments.models import Thumbnail
from backend.attachments.schemas import Stored
from backend.attachments.store import BlobStore
from backend.core.clock import Clock
from backend.core.db import insert_ignoring
from backend.core.sessions import Database
from backend.core.tasks import TaskHandler, TaskRefusedError, ensure_task, redo_task

Side = Literal[160, 320, 640]
"""The longer side, in pixels: few sizes, so that nobody fills the store with every one."""
SIDES: Final[tuple[Side, ...]] = get_args(Side)
MAKE_THUMBNAIL: Final = "make_thumbnail"
PIXELS_MOST: Final = 16_000_000
"""A picture that would unpack to more is not opened: 86 bytes can claim 49 megapixels, which take a gigabyte."""
JPEG_PIXELS_MOST: Final = 50_000_000
"""The same of a JPEG, counted as it is read, at an eighth of its sides if that is enough; a progressive one is first
unpacked as a whole."""
TRIED_AGAIN: Final = timedelta(days=1)
"""How long it rests when a thumbnail could not be made for a reason outside the picture."""
QUALITY: Final = 80
THUMBNAIL_TYPE: Final = "image/jpeg"
PICTURES: Final = ("JPEG", "PNG", "WEBP")
"""The formats that are read at all: every decoder is a way in."""

log = logging.getLogger(__name__)


class Wanted(msgspec.Struct, frozen=True):
    """The payload of the task."""

    sha256: str
    side: Side


def thumbnail(content: bytes, side: int) -> bytes | None:
    """Return the picture as JPEG, upright, no side longer than `side` pixels, without metadata.

    None for what is no picture, is broken, or would unpack to more than PIXELS_MOST.
    """
    try:
        with Image.open(io.BytesIO(content), formats=PICTURES) as picture:
            if not picture.info.get("progressive"):
                picture.draft("RGB", (side, side))
            most = JPEG_PIXELS_MOST if picture.format == "JPEG" else PIXELS_MOST
            if picture.width * picture.height > most:
                return None
            return _encoded(picture, side)
    except Exception:  # a decoder raises anything; what it says of a broken picture helps nobody but us
        log.info("no thumbnail of a picture that cannot be read", exc_info=True)
        return None


def thumbnail_task(database: Database, clock: Clock, store: BlobStore) -> TaskHandler:
    """Return the task that makes one thumbnail; made again, it changes nothing."""

    async def run(payload: dict[str, Any]) -> None:
        wanted = msgspec.convert(payload, Wanted)
        try:
            content = await asyncio.to_thread(store.read, wanted.sha256)
        except FileNotFoundError as error:
            raise TaskRefusedError(str(error)) from error
        small = await asyncio.to_thread(thumbnail, content, wanted.side)
        stored = None
        if small is not None:
            sha256 = await asyncio.to_thread(store.put, small)
            stored = Stored(sha256=sha256, size=len(small), media_type=THUMBNAIL_TYPE)
        async with database.write() as session:
            await _note(session, now=clock.now(), wanted=wanted, stored=stored)

    return run


async def want_thumbnail(session: AsyncSession, *, now: datetime, wanted: Wanted) -> bool:
    """Have a thumbnail made; return whether it is worth waiting for, or was tried in vain lately."""
    key = f"{wanted.sha256}:{wanted.side}"
    await ensure_task(session, now=now, kind=MAKE_THUMBNAIL, key=key, payload=msgspec.to_builtins(wanted))
    return await redo_task(session, now=now, kind=MAKE_THUMBNAIL, key=key, rest=TRIED_AGAIN)


async def _note(session: AsyncSession, *, now: datetime, wanted: Wanted, stored: Stored | None) -> None:
    if stored is not None:
        await note_blob(session, now=now, stored=stored)
    made = {
        "sha256": wanted.sha256, "side": wanted.side, "thumbnail_sha256": stored and stored.sha256, "made_at": now,
    }  # fmt: skip
    await session.run_sync(insert_ignoring, Thumbnail.__table__, [made])


def _encoded(picture: Image.Image, side: int) -> bytes:
    """Shrink, turn upright as EXIF says, and paint on white: only pixels are left, whatever the file carried."""
    upright = _upright(picture)
    upright.thumbnail((side, side))
    small = Image.new("RGB", upright.size, "white")
    seen = upright.convert("RGBA")
    small.paste(seen, mask=seen.getchannel("A"))
    made = io.BytesIO()
    small.save(made, "JPEG", quality=QUALITY)
    return made.getvalue()


def _upright(picture: Image.Image) -> Image.Image:
    """Turn a picture as its notes say; notes that cannot be read say nothing."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:
        log.info("the notes of a picture cannot be read", exc_info=True)
        return picture
