"""Where the bytes of blobs lie for good: below a folder, or in a bucket (s3.py). Both name them `ab/cdef…`."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import IO, Final, Protocol

from backend.core.errors import Fault

BLOCK_BYTES: Final = 256 * 1024
"""How much of a file is read at once."""

BLOB_STORE_UNREACHABLE = Fault(
    "blob_store_unreachable", 503, "文件存储暂时无法访问。", "The file store cannot be reached at the moment.",
    "什么都没有丢失,请稍后重试;持续不断时请联系管理员。",
    "Nothing is lost: try again in a moment. If it stays so, tell the administrator.",
)  # fmt: skip

Span = tuple[int, int]
"""The first and the last byte wanted of a file."""


class Place(Protocol):
    """Keeps bytes under their sha256. Where it cannot be reached, each raises blob_store_unreachable."""

    def size(self, sha256: str) -> int | None:
        """Return how many bytes lie there; None where there are none. It blocks."""
        ...

    def keep(self, source: Path, sha256: str) -> None:
        """Make a file the bytes of a hash, durably and whole or not at all; `source` may be moved. It blocks."""
        ...

    async def keep_meanwhile(self, source: Path, sha256: str) -> None:
        """Do the same while others are served."""
        ...

    def blocks(self, sha256: str) -> Iterator[bytes]:
        """Read all of it, block by block; raises FileNotFoundError before the first. It blocks."""
        ...

    async def open(self, sha256: str, span: Span | None) -> AsyncIterator[bytes]:
        """Return the bytes, or a part of them, block by block; raises FileNotFoundError before the first."""
        ...


def key_of(sha256: str) -> str:
    """Return the name of a blob in either place, so that one can be copied to the other as it is."""
    return f"{sha256[:2]}/{sha256[2:]}"


class FolderPlace:
    """The files below one folder. A file has its name only after its bytes are on the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: str) -> Path:
        """Return where the bytes of a hash lie, or would lie."""
        return self._folder / key_of(sha256)

    def size(self, sha256: str) -> int | None:
        """Return how many bytes lie here; None where there are none."""
        path = self.path(sha256)
        return path.stat().st_size if path.is_file() else None

    def keep(self, source: Path, sha256: str) -> None:
        """Move a file to its name: fsync, rename, fsync of the folder. What was there may be damaged: it goes."""
        target = self.path(sha256)
        sync_to_disk(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
        for level in (target.parent, self._folder):  # the folder may be new too
            sync_to_disk(level)

    async def keep_meanwhile(self, source: Path, sha256: str) -> None:
        """Do the same in a thread."""
        await asyncio.to_thread(self.keep, source, sha256)

    def blocks(self, sha256: str) -> Iterator[bytes]:
        """Read all of it; raises FileNotFoundError."""
        with self.path(sha256).open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block

    async def open(self, sha256: str, span: Span | None) -> AsyncIterator[bytes]:
        """Return the bytes or a part of them; raises FileNotFoundError."""
        path = self.path(sha256)
        size = (await asyncio.to_thread(path.stat)).st_size
        return _read(path, *(span or (0, size - 1)))


async def _read(path: Path, first: int, last: int) -> AsyncGenerator[bytes]:
    file: IO[bytes] = await asyncio.to_thread(path.open, "rb")
    with file:
        file.seek(first)
        left = last - first + 1
        while left > 0:
            chunk = await asyncio.to_thread(file.read, min(BLOCK_BYTES, left))
            if not chunk:
                return
            left -= len(chunk)
            yield chunk


def sync_to_disk(path: Path) -> None:
    """Make a file, or the names in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
