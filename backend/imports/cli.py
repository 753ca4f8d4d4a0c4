"""The commands `paigong import`, `import-list` and `import-undo`. `backend/cli.py` adds them to the others."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

import click
from sqlalchemy.exc import NoResultFound

from backend.core.audit import Actor
from backend.core.clock import clock_of
from backend.core.errors import Finding, Problem
from backend.core.sessions import Database
from backend.imports.mapping import read_mapping
from backend.imports.queries import batches, person_by_number
from backend.imports.runs import ImportOrder, Progress, run_import
from backend.imports.schemas import BatchView, ImportResult
from backend.imports.undo import undo_import
from backend.settings import Settings, read_settings
from backend.sites.geocode import geocoder_of

SOME_REFUSED: Final = 3
"""Exit code of an import that was done but for some rows."""
LABELS: Final[Mapping[str, str]] = {"rows": "导入 / rows", "addresses": "地址 / addresses", "undo": "撤销 / undone"}

Answer = TypeVar("Answer")


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mapping", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Mapping file (TOML). 映射文件。")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would happen and write nothing. 试运行,不写入。")
@click.option("--all-or-nothing", is_flag=True, help="Import nothing if one row is refused. 有一行不合格就全部不导入。")
@click.option("--person", help="Employee number of who imports. 导入人的工号。")
@click.option("--sheet", default="", help="Sheet of an XLSX file; else the first that fits. 工作表。")
@click.option("--encoding", default="", help="Encoding of a CSV file; else UTF-8, then GB18030. 编码。")
def import_command(file: Path, mapping: Path, person: str | None, **how: Any) -> None:
    """Import a CSV or XLSX file by a mapping. 按映射文件导入 CSV 或 XLSX。"""

    async def work(database: Database, settings: Settings) -> ImportResult:
        order = ImportOrder(path=file, mapping=read_mapping(mapping), actor=await _actor(database, person), **how)
        with _progress() as progress:
            return await run_import(
                database, order, now=clock_of(settings).now(), geocoder=geocoder_of(settings), progress=progress
            )

    result = _run(work)
    click.echo("\n".join(_told(result)))
    if result.refused:
        raise SystemExit(SOME_REFUSED)


@click.command("import-undo")
@click.argument("batch", type=click.UUID)
@click.option("--person", help="Employee number of who undoes it. 操作人的工号。")
def import_undo_command(batch: UUID, person: str | None) -> None:
    """Undo an import: remove what it created, restore what it changed. 撤销一次导入。"""

    async def work(database: Database, settings: Settings) -> str:
        actor = await _actor(database, person)
        with _progress() as progress:
            undone = await undo_import(
                database, now=clock_of(settings).now(), actor=actor, batch_id=batch,
                progress=lambda done, total: progress("undo", done, total),
            )  # fmt: skip
        return (
            f"已撤销 / undone: 删除 {undone.removed} 条, 恢复 {undone.restored} 条 / "
            f"{undone.removed} removed, {undone.restored} restored"
        )

    click.echo(_run(work))


@click.command("import-list")
def import_list_command() -> None:
    """List the imports that were run, newest first. 列出导入批次。"""

    async def work(database: Database, _settings: Settings) -> Sequence[BatchView]:
        async with database.read() as session:
            return await batches(session)

    for batch in _run(work):
        who = batch.person_name or "-"
        undone = f" 已撤销 / undone {batch.undone_at:%Y-%m-%d %H:%M}Z" if batch.undone_at else ""
        click.echo(
            f"{batch.id}  {batch.started_at:%Y-%m-%d %H:%M}Z  {batch.source_name}  ({batch.mapping_name})  {who}  "
            f"+{batch.created_count} ~{batch.changed_count} -{batch.refused_count}{undone}"
        )


def _run(work: Callable[[Database, Settings], Awaitable[Answer]]) -> Answer:
    """Run something on the settings' database; a refusal is told in both languages and ends the command."""

    async def run(settings: Settings) -> Answer:
        database = Database(settings.database_url)
        try:
            return await work(database, settings)
        finally:
            await database.close()

    try:
        return asyncio.run(run(read_settings()))
    except Problem as problem:
        raise click.ClickException(_problem_text(problem)) from problem
    except NoResultFound as error:
        raise click.ClickException("没有这个批次,请查看 import-list / no such batch; see import-list") from error
    except KeyboardInterrupt:
        click.echo(
            "\n已取消,已提交的部分保留: 再次导入会接着做; import-list 列出批次, import-undo 撤销\n"
            "cancelled; what was committed stays: import again to go on, or undo the batch import-list names",
            err=True,
        )
        raise SystemExit(130) from None


async def _actor(database: Database, employee_number: str | None) -> Actor:
    if employee_number is None:
        return Actor()
    async with database.read() as session:
        person = await person_by_number(session, employee_number)
    if person is None:
        raise click.ClickException(f"没有工号 {employee_number} / nobody has the employee number {employee_number}")
    return Actor(person_id=person.id)


@contextmanager
def _progress() -> Generator[Progress]:
    """A progress bar for each thing that goes on, on the error output, so that the answer can be piped on."""
    advance: dict[str, Callable[[int], None]] = {}
    with ExitStack() as shown:

        def show(what: str, done: int, total: int) -> None:
            if what not in advance:
                bar = click.progressbar(length=total, label=LABELS[what], file=sys.stderr)
                advance[what] = shown.enter_context(bar).update
            advance[what](done)

        yield show


def _problem_text(problem: Problem) -> str:
    details = problem.details()
    lines = [details.detail_zh, details.detail, *(f"  {_reason(finding)}" for finding in problem.findings)]
    return "\n".join([*lines, details.todo_zh, details.todo])


def _reason(finding: Finding) -> str:
    place = f"{finding.field}: " if finding.field else ""
    return f"{place}{finding.zh} / {finding.en}"


def _told(result: ImportResult) -> Iterator[str]:
    """What an import says at its end."""
    read = result.sheet or result.encoding
    yield (
        f"{result.file} ({read}): {result.rows} 行 / rows, {result.imported_rows} 合格 / good, "
        f"{len(result.refused)} 拒绝 / refused"
    )
    for entity, counts in result.counts.items():
        yield (
            f"  {entity}: 新建 / created {counts.created}, 修改 / changed {counts.changed}, "
            f"未变 / unchanged {counts.unchanged}"
        )
    for refusal in result.refused:
        yield f"  第 {refusal.line} 行 / line {refusal.line}: " + "; ".join(map(_reason, refusal.reasons))
    if result.geocoded:
        yield f"按地址定位 / positions found by address: {result.geocoded}"
    if result.unpinned:
        yield f"需人工定位的现场 / sites a person must pin: {len(result.unpinned)}"
    for site in result.unpinned:
        start = "" if site.lat is None else f" (≈ {site.lat:.5f}, {site.lon:.5f})"
        yield f"  {site.name} — {site.address or '-'}: {site.zh} / {site.en}{start}"
    yield _ending(result)


def _ending(result: ImportResult) -> str:
    if result.dry_run:
        return "试运行,什么都没有写入 / dry run: nothing was written"
    if result.batch_id is None:
        return "有行被拒绝,什么都没有导入 / a row was refused: nothing was imported"
    return f"批次 / batch {result.batch_id}  (paigong import-undo {result.batch_id})"


COMMANDS: Final = (import_command, import_list_command, import_undo_command)
"""What backend/cli.py adds."""
