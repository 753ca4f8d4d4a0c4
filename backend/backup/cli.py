"""The commands `paigong backup`, `backup-check` and `restore`. `backend/cli.py` adds them to the others."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from backend.backup.actions import take_backup
from backend.backup.archive import Manifest, Progress, verified
from backend.backup.faults import BackupRefusedError
from backend.backup.restore import restore_backup
from backend.core.clock import clock_of
from backend.core.sessions import Database
from backend.settings import read_settings

SOME_LOST: Final = 3
"""Exit code of a backup that is good but for files that were lost before it."""
LABELS: Final[Mapping[str, str]] = {"tables": "数据表 / tables", "files": "文件 / files", "check": "校验 / checking"}
NO_FOLDER: Final = (
    "没有文件夹 {target};请先建立它 (mkdir -p {target}),或写出文件名,例如 {target}.backup / "
    "there is no folder {target}; make it first (mkdir -p {target}), or name a file, such as {target}.backup"
)
LOST_SHOWN: Final = 5
EXISTING: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--without-files", is_flag=True, help="Back up although every file is gone. 文件已全部丢失时仍备份。")
def backup_command(target: Path, without_files: bool) -> None:  # noqa: FBT001 - click hands flags over as booleans
    """Back up rows, files and keys to TARGET while the server runs, and check it. 在线备份并校验。

    TARGET is a folder, in which the backup gets a name by its time, or a new file with an ending, such as today.backup.
    """
    settings = read_settings()
    if not target.suffix and not target.exists():
        raise click.ClickException(NO_FOLDER.format(target=target))

    async def work() -> tuple[Path, Manifest]:
        database = Database(settings.database_url)
        try:
            now = clock_of(settings).now()
            return await take_backup(
                database, settings, target=target, now=now, progress=_progress(), without_files=without_files
            )
        finally:
            await database.close()

    try:
        path, manifest = asyncio.run(work())
    except BackupRefusedError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"备份完成并已校验 / backed up and checked: {path}\n{_told(manifest)}")
    click.echo("备份中有客户资料和密钥,请妥善保管 / it holds customers' data and keys; keep it safe")
    if manifest.lost:
        raise SystemExit(SOME_LOST)


@click.command("backup-check")
@click.argument("file", type=EXISTING)
def backup_check_command(file: Path) -> None:
    """Read a whole backup and check every sum; nothing is changed. 校验备份,不改动任何东西。"""
    try:
        manifest = verified(file, _progress())
    except BackupRefusedError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"备份完好 / the backup is good: {file}\n{_told(manifest)}")


@click.command("restore")
@click.argument("file", type=EXISTING)
@click.option("--replace", is_flag=True, help="Let what is there go (SQLite: put it aside). 替换现有数据。")
def restore_command(file: Path, replace: bool) -> None:  # noqa: FBT001 - click hands flags over as booleans
    """Restore a backup into the configured database and folder. 从备份恢复。"""
    settings = read_settings()
    try:
        manifest, aside = restore_backup(
            settings, path=file, replace=replace, now=clock_of(settings).now(), progress=_progress()
        )
    except BackupRefusedError as error:
        raise click.ClickException(str(error)) from error
    put_aside = "".join(f"\n  原文件 / what was there: {path}" for path in aside)
    click.echo(f"已恢复 / restored\n{_told(manifest)}{put_aside}\n{NEXT.format(at=_time(manifest))}")


NEXT: Final = """
接下来 / next
  1. 启动服务: paigong serve (多台服务器则全部启动)
     Start the server again: paigong serve (each of them, if there are several).
  2. 手机不用操作: 下次联网时自动重新下载,并补发 {at} 之后做过的工作 (含签字表单)。
     Phones need nothing: on their next contact they download again and send what was done on them after {at},
     signed forms included.
  3. 办公室在 {at} 之后录入的内容没有了,需要重新录入;其间的通知可能再发一次。
     What the office entered after {at} is gone and has to be entered again; messages of that time may go out twice.
  4. 一切正常后,再做一次备份: paigong backup <文件夹>
     When all is well, make a new backup: paigong backup <folder>"""


def _told(manifest: Manifest) -> str:
    size = sum(manifest.blobs.values()) / 1_000_000
    told = [
        f"  {_time(manifest)}  v {manifest.v}  结构 / schema {manifest.revision}",
        f"  {manifest.rows} 行 / rows, {len(manifest.blobs)} 个文件 / files ({size:.1f} MB)",
    ]
    if manifest.lost:
        told.append(
            f"  注意: {len(manifest.lost)} 个文件备份前已丢失或损坏 / "
            f"note: {len(manifest.lost)} files were lost or damaged before: {', '.join(manifest.lost[:LOST_SHOWN])}"
        )
    return "\n".join(told)


def _time(manifest: Manifest) -> str:
    return f"{manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"


def _progress() -> Progress:
    """Say what is going on, on one line, where somebody may be watching; once for each kind elsewhere."""

    def tell(kind: str, done: int, total: int) -> None:
        watched = sys.stderr.isatty()
        if watched or done == total:
            end = "\n" if done == total else ""
            click.echo(f"{chr(13) if watched else ''}{LABELS[kind]}: {done}/{total}{end}", err=True, nl=False)

    return tell


COMMANDS: Final = (backup_command, backup_check_command, restore_command)
