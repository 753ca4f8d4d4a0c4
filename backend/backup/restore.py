"""Bringing a backup back: all of it, or nothing, into a database of either kind.

Rows are put into tables of the revision the backup was made at, then migrated. On SQLite a new file is built beside the
old one and takes its name at the end; on PostgreSQL everything is one transaction. Only then the server's keys, which
lie ready beside their places, take them. The restored database gets an epoch
of its own, by which every phone learns that it has to send again what it did since.
"""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import chain, count, islice
from pathlib import Path
from typing import Final, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, delete, inspect, or_, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from backend.attachments.models import Blob, BlobUpload, Thumbnail, Upload
from backend.attachments.places import sync_to_disk
from backend.attachments.store import BlobStore, blob_store, is_whole
from backend.backup.archive import ArchiveReader, Manifest, Progress, opened, verified
from backend.backup.faults import BackupRefusedError, damaged, reaching_files
from backend.backup.rows import RowReader
from backend.core import migrate
from backend.core.ids import id_made_at
from backend.settings import Settings
from backend.tables import metadata

ROWS_AT_ONCE: Final = 1000
VERSION: Final = "alembic_version"
PEOPLE: Final = "person"
"""A database without people is empty, whatever presets it has."""
SQLITE_WAIT_SECONDS: Final = 2
SERVERS: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""
FOREIGN_KEYS: Final = """
SELECT conrelid::regclass::text AS on_table, quote_ident(conname) AS name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint WHERE contype = 'f' AND connamespace = current_schema()::regnamespace ORDER BY 1, 2
"""
RUNNING: Final = (
    "服务正在使用该数据库,请先停止所有 paigong serve",
    "the database is in use; stop every paigong serve first",
)
Answer = TypeVar("Answer")


def restore_backup(
    settings: Settings, *, path: Path, replace: bool, now: datetime, progress: Progress
) -> tuple[Manifest, list[Path]]:
    """Restore a backup; return what it says of itself, and where what it replaced was put aside.

    Raises BackupRefusedError, before anything is touched, when the backup is damaged or newer than this version, when
    the database has people in it and `replace` was not said, or when a server still uses it. Must not be called from a
    running event loop.
    """
    manifest = verified(path, progress)
    if not migrate.knows(manifest.revision):
        raise BackupRefusedError(
            f"此备份由更新的版本制作 (结构 {manifest.revision}),请先安装那个版本",
            f"this backup was made by a newer version (schema {manifest.revision}); install that version first",
        )
    on_sqlite = make_url(settings.database_url).get_backend_name() == "sqlite"
    ready = _ready_sqlite if on_sqlite else _ready_postgresql
    ready(settings, replace=replace)
    with opened(path) as reader, _fresh_files(reader, settings.data_dir) as fresh:
        lost = _restore_blobs(reader, blob_store(settings), progress)
        if on_sqlite:
            aside = _build_sqlite(_file_of(settings), _loading(reader, lost, now, progress), now)
        else:
            migrate.in_transaction(settings.database_url, _loading(reader, lost, now, progress))
            aside = []
        return manifest, aside + [old for path, new in fresh.items() for old in _take_place(new, path, now)]


def _restore_blobs(reader: ArchiveReader, store: BlobStore, progress: Progress) -> list[str]:
    """Put the files back; those that are there already, whole, stay. Return those the rows name that are nowhere."""
    manifest = reader.manifest
    for done, (sha256, size) in enumerate(manifest.blobs.items(), start=1):
        with reaching_files():
            if not store.has(sha256, size):
                store.put_blocks(reader.blob(sha256), sha256)
        progress("files", done, len(manifest.blobs))
    with reaching_files():
        return [sha256 for sha256 in manifest.lost if not is_whole(store, sha256)]


@contextmanager
def _fresh_files(reader: ArchiveReader, data_dir: Path) -> Generator[dict[Path, Path]]:
    """Write the server's keys beside their places, which they take when the database is there; yield {place: new}."""
    fresh: dict[Path, Path] = {}
    try:
        for name in reader.manifest.files:
            path, content = data_dir / name, reader.file(name)
            if not path.resolve().is_relative_to(data_dir.resolve()):
                raise damaged(name)
            if not path.is_file() or path.read_bytes() != content:
                fresh[path] = _beside(path)
                _write(fresh[path], content)
        yield fresh
    finally:
        for new in fresh.values():
            new.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.restoring")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _take_place(new: Path, path: Path, now: datetime) -> list[Path]:
    """Let a file take its place, in which there is always one; return where the old one is."""
    aside = [_kept_aside(path, now)] if path.exists() else []
    new.replace(path)
    sync_to_disk(path.parent)
    return aside


def _kept_aside(path: Path, now: datetime) -> Path:
    """Give a file a second name; where the disk knows no links, a copy."""
    ends = chain(("",), (f"-{again}" for again in count(2)))
    names = (path.with_name(f"{path.name}.before-{now:%Y%m%d-%H%M%S}{end}") for end in ends)
    aside = next(name for name in names if not name.exists())
    try:
        os.link(path, aside)
    except OSError:
        shutil.copy2(path, aside)
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
    return aside


def _loading(reader: ArchiveReader, lost: Sequence[str], now: datetime, progress: Progress) -> Callable[[Config], None]:
    """Return the work of one transaction: make the tables, fill them, bring them to the newest schema."""

    def load(config: Config) -> None:
        connection: Connection = config.attributes["connection"]
        _drop_everything(connection)
        command.upgrade(config, reader.manifest.revision)
        keys = _without_foreign_keys(connection)
        _fill(connection, reader, progress)
        for on_table, name, definition in keys:
            connection.execute(text(f"ALTER TABLE {on_table} ADD CONSTRAINT {name} {definition}"))
        command.upgrade(config, "head")
        _forget_lost(connection, lost)
        begin_epoch(connection, now)

    return load


def begin_epoch(connection: Connection, now: datetime) -> None:
    """Let phones learn that the database was brought back: each sends again what it may have lost."""
    connection.execute(text("UPDATE commit_clock SET epoch = :epoch"), {"epoch": _epoch(connection, now)})
    connection.execute(text("UPDATE device_incarnation SET durable_n = acked_n"))
    connection.execute(text("DELETE FROM device_view"))


def _forget_lost(connection: Connection, lost: Sequence[str]) -> None:
    """Claim no file that is not here: whoever has it still is to send it again."""
    for sha256 in lost:
        small = or_(Thumbnail.sha256 == sha256, Thumbnail.thumbnail_sha256 == sha256)
        connection.execute(delete(Thumbnail).where(small))
        connection.execute(delete(BlobUpload).where(BlobUpload.sha256 == sha256))
        connection.execute(delete(Upload).where(Upload.sha256 == sha256, Upload.finished_at.is_not(None)))
        connection.execute(delete(Blob).where(Blob.sha256 == sha256))


def _fill(connection: Connection, reader: ArchiveReader, progress: Progress) -> None:
    for name in inspect(connection).get_table_names():
        if name != VERSION:
            connection.execute(text(f"DELETE FROM {name}"))  # noqa: S608 - a name the database itself gave
    tables = reader.manifest.tables
    for done, (name, shape) in enumerate(tables.items(), start=1):
        rows = RowReader(name, shape.columns)
        for some in _chunks(reader.lines(name)):
            connection.execute(rows.target.insert(), [rows.read(line) for line in some])
        progress("tables", done, len(tables))
    # What the triggers noted while the rows came in: the feed came with them, stamped as it was.
    connection.execute(text("DELETE FROM unstamped"))


def _drop_everything(connection: Connection) -> None:
    """Drop every table of ours (PostgreSQL; a new SQLite file has none)."""
    names = set(inspect(connection).get_table_names()) & {*metadata.tables, VERSION}
    if names:
        connection.execute(text(f"DROP TABLE {', '.join(sorted(names))} CASCADE"))
    if connection.dialect.name == "postgresql":
        connection.execute(text("DROP FUNCTION IF EXISTS note_unstamped()"))


def _without_foreign_keys(connection: Connection) -> Sequence[tuple[str, str, str]]:
    """Let rows come in any order until all are there; return the constraints that were taken off meanwhile."""
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA defer_foreign_keys=ON"))
        return []
    keys = [(row.on_table, row.name, row.definition) for row in connection.execute(text(FOREIGN_KEYS))]
    for on_table, name, _ in keys:
        connection.execute(text(f"ALTER TABLE {on_table} DROP CONSTRAINT {name}"))
    return keys


def _epoch(connection: Connection, now: datetime) -> object:
    """Return an epoch that says when it began (see backend.core.ids.made_at)."""
    epoch = id_made_at(now)
    return epoch.hex if connection.dialect.name == "sqlite" else epoch


def _chunks(lines: Iterator[bytes]) -> Iterable[list[bytes]]:
    while some := list(islice(lines, ROWS_AT_ONCE)):
        yield some


# SQLite: a file takes the place of another.


def _file_of(settings: Settings) -> Path:
    return Path(str(make_url(settings.database_url).database))


def _ready_sqlite(settings: Settings, *, replace: bool) -> None:
    """Make sure that nobody uses the file, that all of it is in the file, and that it may go."""
    path = _file_of(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=SQLITE_WAIT_SECONDS, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE").fetchone()
            known = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (PEOPLE,)).fetchone()
            people = known and connection.execute("SELECT 1 FROM person LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        raise BackupRefusedError(*RUNNING) from error
    except sqlite3.DatabaseError:
        people = (1,)  # a file that is damaged: it was something
    _may_go(occupied=bool(people), replace=replace)


def _build_sqlite(path: Path, load: Callable[[Config], None], now: datetime) -> list[Path]:
    """Build the database beside its place, then let it take the place; return where the old one went."""
    fresh = _beside(path)
    parts = [fresh.with_name(fresh.name + end) for end in ("", "-wal", "-shm", "-journal")]
    try:
        for part in parts:
            part.unlink(missing_ok=True)
        migrate.in_transaction(f"sqlite+aiosqlite:///{fresh}", load)
        for end in ("-wal", "-shm", "-journal"):  # of a file that is damaged; it must not be applied to the new one
            path.with_name(path.name + end).unlink(missing_ok=True)
        return _take_place(fresh, path, now)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


# PostgreSQL: one transaction.


def _ready_postgresql(settings: Settings, *, replace: bool) -> None:
    """Make sure that no server uses the database, and that what is in it may go."""

    async def look(connection: AsyncConnection) -> tuple[int, bool]:
        servers = (await connection.execute(text(SERVERS))).scalar_one()
        known = await connection.run_sync(lambda one: inspect(one).has_table(PEOPLE))
        people = known and (await connection.execute(text("SELECT 1 FROM person LIMIT 1"))).first()
        return servers, bool(people)

    servers, people = _on(settings.database_url, look)
    if servers:
        raise BackupRefusedError(*RUNNING)
    _may_go(occupied=people, replace=replace)


def _on(url: str, work: Callable[[AsyncConnection], Awaitable[Answer]]) -> Answer:
    async def run() -> Answer:
        engine = create_async_engine(url)
        try:
            async with engine.connect() as connection:
                return await work(connection)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def _may_go(*, occupied: bool, replace: bool) -> None:
    if occupied and not replace:
        raise BackupRefusedError(
            "数据库中已有数据;确定要替换请加 --replace",
            "the database has data in it; add --replace if it is to go",
        )
