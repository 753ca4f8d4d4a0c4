"""The file a backup is: a zip with a manifest that says what is in it and how to prove it.

`manifest.json`, `tables/<name>.jsonl`, `files/<name>` (keys of this server) and `blobs/<sha256>`. It is written beside
its name and gets the name only when it has been read back and every sum holds.
"""

import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Final, TypeAlias
from zlib import error as DeflateError  # noqa: N812 - the library's name says nothing

import msgspec

from backend.attachments.places import sync_to_disk
from backend.backup.faults import BackupRefusedError, damaged
from backend.backup.rows import ColumnShape

FORMAT: Final = 1
"""Which way of writing a backup this is."""
MANIFEST: Final = "manifest.json"
CHUNK_BYTES: Final = 1024 * 1024
"""How much of a backup is in memory at once."""
UNREADABLE: Final = (zipfile.BadZipFile, DeflateError, EOFError, KeyError, OSError, RuntimeError, ValueError)
"""What reading a damaged file raises, wherever in it the damage is."""
PARTIAL: Final = ".partial"
"""The end of a name under which a backup is not finished."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is going on, how much of it is done, and of how much."""


class TableShape(msgspec.Struct, frozen=True):
    """A table in a backup: its columns, how many rows, and the sha256 of its lines."""

    columns: list[ColumnShape]
    rows: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a backup. `files` have their sha256; `blobs` their sizes, by sha256.

    `lost` are files the rows name whose bytes were not there, or not right, when the backup was made.
    """

    format: int
    made_at: datetime
    revision: str
    v: int
    epoch: str
    tables: dict[str, TableShape]
    files: dict[str, str]
    blobs: dict[str, int]
    lost: list[str]

    @property
    def rows(self) -> int:
        """How many rows it holds in all tables."""
        return sum(table.rows for table in self.tables.values())


class ArchiveWriter:
    """A backup being written."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.tables: dict[str, TableShape] = {}
        self.files: dict[str, str] = {}
        self.blobs: dict[str, int] = {}

    @contextmanager
    def table(self, name: str, columns: list[ColumnShape]) -> Generator[Callable[[bytes], None]]:
        """Add a table; the function inside takes its lines."""
        total, rows = hashlib.sha256(), 0
        with self._archive.open(f"tables/{name}.jsonl", "w", force_zip64=True) as member:

            def add(line: bytes) -> None:
                nonlocal rows
                rows += 1
                total.update(line)
                member.write(line)

            yield add
        self.tables[name] = TableShape(columns, rows, total.hexdigest())

    def file(self, name: str, content: bytes) -> None:
        """Add one of the server's own files."""
        self._archive.writestr(f"files/{name}", content)
        self.files[name] = hashlib.sha256(content).hexdigest()

    def blob(self, sha256: str, size: int, content: IO[bytes]) -> None:
        """Add a stored file; pictures and PDF do not get smaller by packing."""
        with self._archive.open(zipfile.ZipInfo(f"blobs/{sha256}"), "w") as member:
            shutil.copyfileobj(content, member, CHUNK_BYTES)
        self.blobs[sha256] = size

    def manifest(self, manifest: Manifest) -> None:
        """Add what makes it a backup; nothing comes after."""
        self._archive.writestr(MANIFEST, msgspec.json.encode(manifest))


@contextmanager
def written(path: Path, progress: Progress) -> Generator[ArchiveWriter]:
    """Write a backup: whole, read back and on the disk under its name when this ends, or not there at all.

    Raises BackupRefusedError when there is a file of that name, or when what was written cannot be read back.
    """
    if path.exists():
        raise BackupRefusedError(f"{path} 已存在,请换一个名字", f"{path} exists; choose another name")
    partial = path.with_name(path.name + PARTIAL)
    try:
        with _private(partial) as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:
                yield ArchiveWriter(archive)
            file.flush()
            os.fsync(file.fileno())
        verified(partial, progress)
        partial.rename(path)
        sync_to_disk(path.parent)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def opened(path: Path) -> Generator["ArchiveReader"]:
    """Open a backup that was verified; raises BackupRefusedError for another kind of file."""
    with zipfile.ZipFile(path) as archive:
        yield ArchiveReader(archive)


class ArchiveReader:
    """A backup being read."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        content: object = msgspec.json.decode(archive.read(MANIFEST))
        if not isinstance(content, dict) or content.get("format") != FORMAT:  # pyright: ignore[reportUnknownMemberType]
            raise BackupRefusedError("这不是本版本能读的备份", "this is no backup this version can read")
        self.manifest: Manifest = msgspec.convert(content, Manifest)

    def lines(self, table: str) -> Iterator[bytes]:
        """Return the lines of a table."""
        with self._archive.open(f"tables/{table}.jsonl") as member:
            yield from member

    def file(self, name: str) -> bytes:
        """Return one of the server's own files."""
        return self._archive.read(f"files/{name}")

    def blob(self, sha256: str) -> Iterator[bytes]:
        """Read a stored file, block by block."""
        with self._archive.open(f"blobs/{sha256}") as member:
            while block := member.read(CHUNK_BYTES):
                yield block

    def verify(self, progress: Progress) -> None:
        """Read everything; raises BackupRefusedError when something is not what the manifest says."""
        manifest = self.manifest
        total = len(manifest.tables) + len(manifest.files) + len(manifest.blobs)
        for done, problem in enumerate(self._problems(), start=1):
            if problem:
                raise damaged(problem)
            progress("check", done, total)

    def _problems(self) -> Iterator[str]:
        """Check each part in turn; say what is wrong with it, or nothing."""
        for name, table in self.manifest.tables.items():
            sha256, rows = _sum_of(self.lines(name))
            yield "" if (sha256, rows) == (table.sha256, table.rows) else f"tables/{name}"
        for name, sha256 in self.manifest.files.items():
            yield "" if hashlib.sha256(self.file(name)).hexdigest() == sha256 else f"files/{name}"
        for sha256 in self.manifest.blobs:
            yield "" if _sum_of(self.blob(sha256))[0] == sha256 else f"blobs/{sha256}"


def verified(path: Path, progress: Progress) -> Manifest:
    """Read a whole backup and return what it says of itself; raises BackupRefusedError unless every sum holds."""
    path.open("rb").close()  # a file that may not be read is not damaged
    try:
        with opened(path) as reader:
            reader.verify(progress)
            return reader.manifest
    except UNREADABLE as error:
        raise damaged(str(error)) from error


def _private(path: Path) -> IO[bytes]:
    """Open a new file nobody else may read: it has customers and keys in it."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")


def _sum_of(lines: Iterable[bytes]) -> tuple[str, int]:
    """The sha256 of what comes, and in how many pieces."""
    total, count = hashlib.sha256(), 0
    for line in lines:
        total.update(line)
        count += 1
    return total.hexdigest(), count
