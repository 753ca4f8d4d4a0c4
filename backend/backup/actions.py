"""Taking a backup while the office works, and telling phones what is in it."""

import asyncio
import hashlib
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.app import TOKEN_KEY_FILE
from backend.attachments.models import Blob
from backend.attachments.store import BlobStore, blob_store
from backend.backup.archive import CHUNK_BYTES, FORMAT, ArchiveWriter, Manifest, Progress, written
from backend.backup.faults import BackupRefusedError, reaching_files
from backend.backup.rows import line, reading, shape_of
from backend.core import migrate
from backend.core.changes import current, never, unstamped
from backend.core.sessions import Database
from backend.devices.models import DeviceIncarnation
from backend.devices.registry import SqlRegistry
from backend.forms.seals import SEAL_FOLDER
from backend.settings import Settings
from backend.tables import metadata

EMPTY: Final = {never.name, unstamped.name}
"""Tables that are empty at every commit."""
ROWS_AT_ONCE: Final = 1000
NAME: Final = "paigong-{at:%Y%m%d-%H%M%S}.backup"
"""What a backup in a folder is called, by the time it was made (UTC)."""


async def take_backup(
    database: Database, settings: Settings, *, target: Path, now: datetime, progress: Progress,
    without_files: bool = False,
) -> tuple[Path, Manifest]:  # fmt: skip
    """Write everything of one instant to `target` (a folder: under a name of its own), verified; return where.

    Files are read after the rows that name them, so none is missing. Then phones are let know what they need not keep;
    not so when files were lost here: a phone may have the last copy of one. When every file is missing, the wrong place
    is more likely than their loss, so that has to be said (`without_files`).
    Raises BackupRefusedError; then, and when it is interrupted, there is no backup and nothing has changed.
    """
    path = _named(target, now)
    held: dict[tuple[str, str], int] = {}
    with written(path, progress) as archive:
        async with database.read() as session:
            revision = await _revision(session)
            await _write_tables(session, archive, held, progress)
            shas = (await session.execute(select(Blob.sha256).order_by(Blob.sha256))).scalars().all()
            v, epoch = await session.run_sync(current)
        for name in server_files(settings.data_dir):
            archive.file(name, (settings.data_dir / name).read_bytes())
        store = blob_store(settings)
        lost = await _write_blobs(store, shas, archive, progress)
        if not (archive.blobs or without_files):
            await asyncio.to_thread(_check_not_elsewhere, store, lost)
        manifest = Manifest(
            format=FORMAT, made_at=now, revision=revision, v=v, epoch=str(epoch), tables=archive.tables,
            files=archive.files, blobs=archive.blobs, lost=lost,
        )  # fmt: skip
        archive.manifest(manifest)
    if not manifest.lost:
        async with database.write() as session:
            await SqlRegistry(session).note_backup(held)
    return path, manifest


def server_files(data_dir: Path) -> list[str]:
    """Return the names, below the data folder, of the keys without which sign-ins, cookies and seals are worthless."""
    found = [data_dir / TOKEN_KEY_FILE, *sorted((data_dir / SEAL_FOLDER).rglob("*"))]
    return [path.relative_to(data_dir).as_posix() for path in found if path.is_file()]


def _named(target: Path, now: datetime) -> Path:
    return target / NAME.format(at=now) if target.is_dir() else target


async def _revision(session: AsyncSession) -> str:
    revision = str((await session.execute(text("SELECT version_num FROM alembic_version"))).scalar_one())
    if revision != migrate.head():
        raise BackupRefusedError(
            "数据库结构与程序版本不符,请先运行 paigong migrate",
            "the database is not at this version's schema; run paigong migrate first",
        )
    return revision


async def _write_tables(
    session: AsyncSession, archive: ArchiveWriter, held: dict[tuple[str, str], int], progress: Progress
) -> None:
    tables = [table for table in metadata.sorted_tables if table.name not in EMPTY]
    for done, table in enumerate(tables, start=1):
        ledgers = table.name == DeviceIncarnation.__tablename__
        with archive.table(str(table.name), shape_of(table)) as add:
            rows = await session.stream(reading(table), execution_options={"yield_per": ROWS_AT_ONCE})
            async for row in rows:
                add(line(row))
                if ledgers:
                    held[str(row.device_id), str(row.incarnation)] = row.acked_n
        progress("tables", done, len(tables))


def _check_not_elsewhere(store: BlobStore, lost: Sequence[str]) -> None:
    """Refuse when the store has nothing of what the rows name: it is another one."""
    with reaching_files():
        if not lost or any(store.has(sha256) for sha256 in lost):
            return
    raise BackupRefusedError(
        f"文件存储中一个文件也没有(应有 {len(lost)} 个);请检查 PAIGONG_BLOBS 和数据目录。"
        "若文件确实已全部丢失,请加 --without-files",
        f"the file store has none of the {len(lost)} files the database names; check PAIGONG_BLOBS and the data "
        "folder. If all files really are gone, add --without-files",
    )


async def _write_blobs(store: BlobStore, shas: Sequence[str], archive: ArchiveWriter, progress: Progress) -> list[str]:
    """Add the stored files; return those that are not there, or not what they should be."""
    lost: list[str] = []
    for done, sha256 in enumerate(shas, start=1):
        if not await asyncio.to_thread(_write_blob, store, sha256, archive):
            lost.append(sha256)
        progress("files", done, len(shas))
    return lost


def _write_blob(store: BlobStore, sha256: str, archive: ArchiveWriter) -> bool:
    """Add a file, if it is what it should be: nothing can be taken out of an archive, so it is looked at before."""
    seen = hashlib.sha256()
    with tempfile.SpooledTemporaryFile(CHUNK_BYTES) as held, reaching_files():
        try:
            for block in store.blocks(sha256):
                seen.update(block)
                held.write(block)
        except FileNotFoundError:
            return False
        if seen.hexdigest() != sha256:
            return False
        size = held.tell()
        held.seek(0)
        archive.blob(sha256, size, held)
    return True
