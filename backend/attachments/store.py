"""Bytes on disk by their sha256: `ab/cdef…` below one folder, written whole or not at all.

A file appears under its name only after its bytes are on the disk: temporary file, fsync, rename, fsync of the folder.
"""

import hashlib
import os
import secrets
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import puremagic

from backend.core.errors import Fault, Problem

BLOB_BYTES: Final = 25 * 1024 * 1024
"""The largest file taken: a drawing as PDF; photos are a tenth of it."""
BLOCK_BYTES: Final = 256 * 1024
"""How much of a part file is read at once."""
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
    """The files below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: str) -> Path:
        """Return where the bytes of a hash lie, or would lie."""
        return self._folder / sha256[:2] / sha256[2:]

    def has(self, sha256: str) -> bool:
        """Whether the bytes are here."""
        return self.path(sha256).is_file()

    def read(self, sha256: str) -> bytes:
        """Return the bytes; raises FileNotFoundError."""
        return self.path(sha256).read_bytes()

    def put(self, content: bytes) -> str:
        """Keep bytes made by the server itself; return their sha256."""
        sha256 = hashlib.sha256(content).hexdigest()
        with self.incoming() as incoming:
            incoming.write(content)
            incoming.keep(sha256)
        return sha256

    def adopt(self, upload_id: UUID, sha256: str) -> tuple[int, str]:
        """Make the whole of an upload the blob it was announced as; return its size and media type.

        The bytes are copied: a request that lost its turn may still hold the part file open, and no blob may change
        under its name. Raises blob_hash_mismatch, blob_type_refused.
        """
        with self.incoming() as incoming:
            with self.part(upload_id) as part:
                for block in part.blocks():
                    incoming.write(block)
            return incoming.size, incoming.keep(sha256)

    @contextmanager
    def part(self, upload_id: UUID) -> Generator["Part"]:
        """Open what has come of an upload."""
        path = self._part_path(upload_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            yield Part(handle)
        finally:
            os.close(handle)

    def part_size(self, upload_id: UUID) -> int:
        """Return how many bytes of an upload lie here; 0 where there is nothing."""
        path = self._part_path(upload_id)
        return path.stat().st_size if path.exists() else 0

    def drop_part(self, upload_id: UUID) -> None:
        """Remove what has come of an upload, if anything has."""
        self._part_path(upload_id).unlink(missing_ok=True)

    def _part_path(self, upload_id: UUID) -> Path:
        return self._folder / "uploads" / upload_id.hex

    @contextmanager
    def incoming(self) -> Generator["Incoming"]:
        """Open a file for bytes still arriving; unless it is kept, it is gone afterwards."""
        folder = self._folder / "incoming"
        folder.mkdir(parents=True, exist_ok=True)
        incoming = Incoming(self, folder / secrets.token_hex(16))
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
    """Bytes arriving: hashed and written as they come, moved to their name when they are what they claim to be."""

    def __init__(self, store: BlobStore, path: Path) -> None:
        self._store = store
        self._path = path
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

    def keep(self, sha256: str) -> str:
        """Move the bytes to their name, durably; return their media type.

        Raises blob_hash_mismatch, blob_type_refused.
        """
        if self._hash.hexdigest() != sha256:
            raise Problem(HASH_MISMATCH)
        media_type = media_type_of(self._head)
        target = self._store.path(sha256)
        if not target.exists():
            self._file.flush()
            os.fsync(self._file.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            self._path.rename(target)
            _sync_folder(target.parent)
        return media_type

    def close(self) -> None:
        """Close the file and remove what was not kept."""
        self._file.close()
        self._path.unlink(missing_ok=True)


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


def _sync_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut; the folder above may be new too."""
    for level in (folder, folder.parent):
        handle = os.open(level, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
