"""Files by their sha256, and those still arriving.

What arrives lies below a folder until all of it is there and is what it claims to be; then it goes to its place, whole.
"""

import asyncio
import hashlib
import importlib
import os
import re
import secrets
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast
from uuid import UUID

import puremagic

from backend.attachments.places import BLOCK_BYTES, FolderPlace, Place, Span
from backend.core.errors import Fault, Problem
from backend.settings import Settings, SettingsError

BLOB_BYTES: Final = 25 * 1024 * 1024
"""The largest file taken: a drawing as PDF; photos are a tenth of it."""
PART_NAME: Final = re.compile(r"[0-9a-f]{32}")
INCOMING: Final = "incoming"
"""The folder of what arrives in one request, below that of the store."""
HEAD_BYTES: Final = 4096
"""How much of a file decides its type."""
MEDIA_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/webp", "application/pdf"})
"""What may be stored: formats that cannot run in a browser. SVG can."""

HASH_MISMATCH = Fault(
    "blob_hash_mismatch", 422, "收到的内容与 sha256 不符。", "The bytes received do not have this sha256.",
    "请重新发送完整文件。", "Send the whole file again.",
)  # fmt: skip
TYPE_REFUSED = Fault(
    "blob_type_refused", 415, "只接受 JPEG、PNG、WebP 图片和 PDF。", "Only JPEG, PNG, WebP and PDF files are taken.",
    "请转换格式后再上传。", "Convert the file and send it again.",
)  # fmt: skip
BLOB_TOO_LARGE = Fault(
    "blob_too_large", 413, "文件超过 25 MB。", "The file is larger than 25 MB.",
    "请压缩图片或拆分文件。", "Compress the picture or split the file.",
)  # fmt: skip


class BlobStore:
    """Files by their sha256 in one place, and below a folder what is still arriving."""

    def __init__(self, folder: Path, place: Place | None = None) -> None:
        self._folder = folder
        self._parts = folder / "uploads"
        self._place = place or FolderPlace(folder)

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Whether the bytes are here, and so many where a size is said.

        Raises blob_store_unreachable, as everything that asks the place does.
        """
        found = self._place.size(sha256)
        return found is not None and size in (None, found)

    def read(self, sha256: str) -> bytes:
        """Return the bytes, of which there are never more than BLOB_BYTES; raises FileNotFoundError."""
        return b"".join(self._place.blocks(sha256))

    def blocks(self, sha256: str) -> Iterator[bytes]:
        """Read all of it, block by block; raises FileNotFoundError before the first."""
        return self._place.blocks(sha256)

    async def open(self, sha256: str, span: Span | None = None) -> AsyncIterator[bytes]:
        """Return the bytes, or a part of them, block by block; raises FileNotFoundError before the first."""
        return await self._place.open(sha256, span)

    def put(self, content: bytes) -> str:
        """Keep bytes made by the server itself; return their sha256."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.put_blocks([content], sha256)
        return sha256

    def put_blocks(self, blocks: Iterable[bytes], sha256: str) -> None:
        """Keep bytes that come block by block; raises blob_hash_mismatch, blob_type_refused, blob_too_large."""
        with self.incoming() as incoming:
            for block in blocks:
                incoming.write(block)
            incoming.check(sha256)
            self._place.keep(incoming.path, sha256)

    async def keep(self, incoming: "Incoming", sha256: str) -> str:
        """Give bytes that have arrived their name, durably; return their media type.

        Raises blob_hash_mismatch, blob_type_refused.
        """
        media_type = await asyncio.to_thread(incoming.check, sha256)
        await self._place.keep_meanwhile(incoming.path, sha256)
        return media_type

    async def adopt(self, upload_id: UUID, sha256: str) -> tuple[int, str]:
        """Make the whole of an upload the blob it was announced as; return its size and media type.

        The bytes are copied: a request that lost its turn may still hold the part file open, and no blob may change
        under its name. Raises blob_hash_mismatch, blob_type_refused.
        """
        with self.incoming() as incoming:
            await asyncio.to_thread(self._copy_part, upload_id, incoming)
            media_type = await self.keep(incoming, sha256)
            return incoming.size, media_type

    def _copy_part(self, upload_id: UUID, incoming: "Incoming") -> None:
        with self.part(upload_id) as part:
            for block in part.blocks():
                incoming.write(block)

    @contextmanager
    def part(self, upload_id: UUID) -> Generator["Part"]:
        """Open what has come of an upload."""
        path = self._parts / upload_id.hex
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield Part(handle)
        finally:
            os.close(handle)

    def part_size(self, upload_id: UUID) -> int:
        """Return how many bytes of an upload lie here; 0 where there is nothing."""
        path = self._parts / upload_id.hex
        return path.stat().st_size if path.exists() else 0

    def drop_part(self, upload_id: UUID) -> None:
        """Remove what has come of an upload, if anything has."""
        (self._parts / upload_id.hex).unlink(missing_ok=True)

    def part_ids(self) -> list[UUID]:
        """Return of which uploads something has come."""
        return [UUID(hex=path.name) for path in self._parts.glob("*") if PART_NAME.fullmatch(path.name)]

    @contextmanager
    def incoming(self) -> Generator["Incoming"]:
        """Open a file for bytes still arriving; unless it is kept, it is gone afterwards."""
        folder = self._folder / INCOMING
        folder.mkdir(parents=True, exist_ok=True)
        incoming = Incoming(folder / secrets.token_hex(16))
        try:
            yield incoming
        finally:
            incoming.close()


class Part:
    """The part file of an upload, written at given places: requests that overlap cannot shift each other's bytes."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def write(self, position: int, piece: bytes) -> None:
        """Write a piece where it belongs."""
        left = memoryview(piece)
        while left:
            written = os.pwrite(self._handle, left, position)
            left, position = left[written:], position + written

    def flush(self) -> None:
        """Return once everything written is on the disk."""
        os.fsync(self._handle)

    def blocks(self) -> Iterator[bytes]:
        """Read all of it, block by block."""
        position = 0
        while block := os.pread(self._handle, BLOCK_BYTES, position):
            position += len(block)
            yield block


class Incoming:
    """Bytes arriving: hashed and written as they come, given their name when they are what they claim to be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("xb")
        self._hash = hashlib.sha256()
        self._head = b""
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Add bytes; raises blob_too_large."""
        self.size += len(chunk)
        if self.size > BLOB_BYTES:
            raise Problem(BLOB_TOO_LARGE)
        self._head += chunk[: HEAD_BYTES - len(self._head)]
        self._hash.update(chunk)
        self._file.write(chunk)

    def check(self, sha256: str) -> str:
        """Return the media type of what has arrived, now all of it in the file.

        Raises blob_hash_mismatch, blob_type_refused.
        """
        if self._hash.hexdigest() != sha256:
            raise Problem(HASH_MISMATCH)
        media_type = media_type_of(self._head)
        self._file.flush()
        return media_type

    def read(self) -> bytes:
        """Return what has arrived so far. It blocks."""
        self._file.flush()
        return self.path.read_bytes()

    def close(self) -> None:
        """Close the file and remove what was not kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def is_whole(store: BlobStore, sha256: str) -> bool:
    """Whether the bytes in the store are those of the name; reads all of them."""
    seen = hashlib.sha256()
    try:
        for block in store.blocks(sha256):
            seen.update(block)
    except FileNotFoundError:
        return False
    return seen.hexdigest() == sha256


def media_type_of(head: bytes) -> str:
    """Return the type the first bytes show, whatever the sender called it; raises blob_type_refused."""
    matches = _matches(head)
    surest = max(confidence for _, confidence in matches)
    found = {media_type for media_type, confidence in matches if confidence == surest} & MEDIA_TYPES
    if not found:
        raise Problem(TYPE_REFUSED)
    return found.pop()


def _matches(head: bytes) -> list[tuple[str, float]]:
    try:
        matches = cast("list[Any]", puremagic.magic_string(head))  # pyright: ignore[reportUnknownMemberType]
    except (puremagic.PureError, ValueError) as error:
        raise Problem(TYPE_REFUSED) from error
    return [(str(match.mime_type), float(match.confidence)) for match in matches]


def blob_store(settings: Settings) -> BlobStore:
    """Return the store of an installation; raises SettingsError where what a bucket needs is not installed."""
    bucket = settings.bucket
    return BlobStore(settings.blob_dir, _s3().place_in(bucket) if bucket else None)


def check_place(settings: Settings) -> None:
    """Raise SettingsError if files lie in a bucket that cannot be written and read."""
    if settings.bucket:
        _s3().place_in(settings.bucket).check()


def _s3() -> ModuleType:
    try:
        return importlib.import_module("backend.attachments.s3")
    except ModuleNotFoundError as error:
        if error.name != "obstore":
            raise
        msg = (
            "PAIGONG_BLOBS 需要 S3 组件,请安装: pip install 'paigong[s3]' / "
            "PAIGONG_BLOBS needs the S3 extra; install it: pip install 'paigong[s3]'"
        )
        raise SettingsError(msg) from error
