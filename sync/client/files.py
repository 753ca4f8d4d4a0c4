"""A phone's files: those made on it, with a row each in the SQLite file of the queue, and those fetched ahead.

Bytes are named by their sha256. A file is on the disk, whole, before its row is; so a row always has its bytes.
"""

import hashlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Final

import msgspec

from sync.client.disk import BUSY_SECONDS
from sync.limits import FILE_READ_BYTES
from sync.shelf import OwnFile

SCHEMA: Final = "CREATE TABLE IF NOT EXISTS file (sha256 TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID"
PUT: Final = "INSERT OR IGNORE INTO file (body, sha256) VALUES (?, ?)"
NOTE: Final = "UPDATE file SET body = ? WHERE sha256 = ?"
"""Never an insertion: what was erased meanwhile stays erased."""
FOLDER: Final = "-files"
"""What is appended to the queue file's name for the folder of bytes."""


class Shelf:
    """The files of one phone; `queue` is the file its work is in."""

    def __init__(self, queue: Path) -> None:
        folder = queue.with_name(queue.name + FOLDER)
        self._own, self.fetched = folder / "own", folder / "fetched"
        for part in (self._own, self.fetched):
            part.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(queue, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute(SCHEMA)

    def put(self, content: bytes, media_type: str) -> str:
        """Keep a file made on this phone; when this returns, a power cut takes nothing of it. Returns its sha256.

        Do this before the work that names it. The same bytes again change nothing.
        """
        name = hashlib.sha256(content).hexdigest()
        path = self.path(name)
        if not path.exists():
            coming = path.with_suffix(".coming")
            with coming.open("wb") as file:
                file.write(content)
            keep_as(coming, path)
        self._connection.execute(PUT, (msgspec.json.encode(OwnFile(name, len(content), media_type)), name))
        return name

    def files(self) -> dict[str, OwnFile]:
        """Return what is known of every file made on this phone, by sha256."""
        rows = self._connection.execute("SELECT body FROM file ORDER BY sha256").fetchall()
        found = [msgspec.json.decode(body, type=OwnFile) for (body,) in rows]
        return {file.sha256: file for file in found}

    def note(self, file: OwnFile) -> None:
        """Note what became of a file."""
        self._connection.execute(NOTE, (msgspec.json.encode(file), file.sha256))

    def path(self, sha256: str) -> Path:
        """Return where the bytes of a file made here lie."""
        return self._own / sha256

    def is_whole(self, sha256: str) -> bool:
        """Whether the bytes are still those of the name; reads all of them."""
        path = self.path(sha256)
        return path.exists() and digest(path) == sha256

    def drop(self, sha256: str) -> None:
        """Keep a file no longer."""
        self._connection.execute("DELETE FROM file WHERE sha256 = ?", (sha256,))
        self.path(sha256).unlink(missing_ok=True)

    def erase(self) -> None:
        """Delete everything, made here or fetched."""
        self._connection.execute("DELETE FROM file")
        for part in (self._own, self.fetched):
            shutil.rmtree(part)
            part.mkdir()

    def close(self) -> None:
        """Close the file of rows."""
        self._connection.close()


def digest(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex."""
    seen = hashlib.sha256()
    with path.open("rb") as file:
        while some := file.read(FILE_READ_BYTES):
            seen.update(some)
    return seen.hexdigest()


def keep_as(coming: Path, path: Path) -> None:
    """Give a file its name, its bytes being on the disk before it has it; both outlive a power cut."""
    with coming.open("rb+") as file:
        os.fsync(file.fileno())
    coming.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make names durable, where folders can be opened (not on Windows)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
