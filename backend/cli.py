"""The command `paigong`: run the server, bring its database up, try the demo city."""

import asyncio
import fcntl
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import click
import msgspec
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from backend.app import create_app, register_reactions, work
from backend.attachments.store import check_place
from backend.backup.cli import COMMANDS as BACKUP_COMMANDS
from backend.core import migrate
from backend.core.auth import PASSWORD_MAXIMUM, PASSWORD_MINIMUM, hash_password
from backend.core.clock import clock_of
from backend.core.errors import Problem
from backend.core.sessions import Database
from backend.devices.cli import rescue_command
from backend.dispatch.cli import simulate_command
from backend.imports.cli import COMMANDS as IMPORT_COMMANDS
from backend.imports.demo_city import DEMO_PASSWORD, build_demo_city, demo_logins
from backend.imports.presets import load_presets
from backend.people.founding import Founding, found_organisation
from backend.serving import NoFreePortError, open_port, serve, until_stopped
from backend.settings import Settings, SettingsError, read_settings

DEMO_FOLDER: Final = "demo"
"""Where the demo keeps its data inside PAIGONG_DATA_DIR: beginning anew must never touch anybody's real data."""
PORT: Final = click.IntRange(1, 65535)
DATABASE_ADDRESS: Final = (
    "PAIGONG_DATABASE 不是可用的数据库地址,例如 / is not the address of a database we can use, for example "
    "postgresql+asyncpg://user:password@host/paigong"
)
DATABASE_STATE: Final = (
    "数据库无法使用;若是新库,请先运行 paigong migrate / "
    "the database cannot be used; if it is new, run paigong migrate first"
)
ONE_PROCESS: Final = (
    "SQLite 只由一个进程使用,排程由 paigong serve 完成;要用多台机器请改用 PostgreSQL / "
    "SQLite belongs to one process, whose paigong serve makes the plans; for several machines use PostgreSQL"
)
NO_POLLING: Final = "PAIGONG_TASK_POLL_SECONDS 为 0,不会取任务 / is 0, so no work would ever be looked for"
NOT_REACHED: Final = "无法访问地址或文件 / an address or a file cannot be reached"


class Commands(click.Group):
    """Commands that say in a sentence what outside of them is not right, instead of where in the code it was met."""

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; raises ClickException for wrong settings, databases out of reach and addresses not ours."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            raise click.ClickException(str(error)) from error
        except (ArgumentError, ModuleNotFoundError) as error:
            raise click.ClickException(f"{DATABASE_ADDRESS} ({error})") from error
        except DBAPIError as error:
            raise click.ClickException(f"{DATABASE_STATE} ({error.orig})") from error
        except OSError as error:
            raise click.ClickException(f"{NOT_REACHED} ({error})") from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Paigong 派工: field service that keeps its 48-hour promise."""
    register_reactions()  # a command that writes tells events too, and what reacts to them must hear of it


@main.command("migrate")
def migrate_command() -> None:
    """Bring the database to the newest schema and load the presets. 升级数据库并载入预设。"""
    settings = read_settings()
    _prepare(settings)
    click.echo(f"数据库已就绪 / the database is ready: {_shown_url(settings)}")


@main.command("serve")
@click.option("--host", help="Address to listen on. 监听地址。")
@click.option("--port", type=PORT, help="Port; if it is taken the next free one is used. 端口。")
def serve_command(host: str | None, port: int | None) -> None:
    """Run the server. 启动服务。"""
    settings = read_settings()
    settings = msgspec.structs.replace(settings, host=host or settings.host, port=port or settings.port)
    check_place(settings)
    _prepare(settings)
    _run(settings, lambda address: click.echo(f"Paigong 派工: {address}  (API: {address}/docs)"))


@main.command("work")
def work_command() -> None:
    """Make plans for a server on PostgreSQL, on this or another machine. 在本机或其他机器上协助排程。"""
    settings = read_settings()
    if make_url(settings.database_url).get_backend_name() == "sqlite":
        raise click.ClickException(ONE_PROCESS)
    if not settings.task_poll_seconds:
        raise click.ClickException(NO_POLLING)
    _prepare(settings)
    click.echo("正在等待排程任务,按 Ctrl-C 停止 / waiting for plans to make; Ctrl-C stops")
    sys.exit(until_stopped(work(settings)))


@main.command("found")
@click.option("--organisation-zh", prompt="组织名称(中文) / organisation, in Chinese")
@click.option("--organisation-en", prompt="组织名称(英文) / organisation, in English")
@click.option("--time-zone", default="Asia/Shanghai", show_default=True, help="IANA zone. 时区。")
@click.option("--employee-number", prompt="管理员工号 / administrator's employee number")
@click.option("--name", prompt="管理员姓名 / administrator's name")
@click.password_option(help="Asked for when left out. 不填则询问。")
def found_command(
    *, organisation_zh: str, organisation_en: str, time_zone: str, employee_number: str, name: str, password: str
) -> None:
    """Create the organisation and its first administrator. 建立组织和第一位管理员。"""
    if not PASSWORD_MINIMUM <= len(password) <= PASSWORD_MAXIMUM:
        raise click.ClickException(f"密码至少 {PASSWORD_MINIMUM} 位 / at least {PASSWORD_MINIMUM} characters")
    settings = read_settings()
    _prepare(settings)
    founding = Founding(
        name_zh=organisation_zh, name_en=organisation_en, time_zone=time_zone, employee_number=employee_number,
        person_name=name, password_hash=hash_password(password),
    )  # fmt: skip
    asyncio.run(_found(settings, founding))
    click.echo(f"已建立,请用 {employee_number} 登录 / founded; sign in as {employee_number}")


@main.command("demo")
@click.option("--port", type=PORT, default=8300, show_default=True, help="First port tried. 首选端口。")
@click.option("--fresh", is_flag=True, help="Throw the demo's data away and begin anew. 清空演示数据重新开始。")
def demo_command(port: int, fresh: bool) -> None:  # noqa: FBT001 - click hands flags over as booleans
    """Run the server on a generated city, kept in demo/ of PAIGONG_DATA_DIR. 用生成的演示城市启动服务。"""
    started = time.monotonic()
    data_dir = read_settings().data_dir / DEMO_FOLDER
    lock = _demo_lock(data_dir.with_suffix(".lock"), fresh=fresh)
    if fresh:
        shutil.rmtree(data_dir, ignore_errors=True)
        fcntl.flock(lock, fcntl.LOCK_SH)
    settings = Settings(mode="demo", data_dir=data_dir, port=port)
    _prepare(settings)
    made = asyncio.run(_demo_city(settings))
    _run(settings, lambda address: _welcome(address, started, made=made))


def _demo_lock(path: Path, *, fresh: bool) -> TextIO:
    """Hold the demo's data while this process lives; only a demo that nobody uses can begin anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, (fcntl.LOCK_EX if fresh else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError as error:
        text = "演示正在运行,请先按 Ctrl-C 停止它 / the demo is running; stop it with Ctrl-C first"
        raise click.ClickException(text) from error
    return lock


@dataclass(frozen=True)
class _Listening:
    host: str
    port: int

    def __str__(self) -> str:
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def _prepare(settings: Settings) -> None:
    """Create the data folder, migrate, and load the presets a new version brings."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    migrate.upgrade(settings.database_url)
    asyncio.run(_load_presets(settings))


async def _load_presets(settings: Settings) -> None:
    database = Database(settings.database_url)
    async with database.write() as session:
        await load_presets(session, now=clock_of(settings).now())
    await database.close()


async def _found(settings: Settings, founding: Founding) -> None:
    database = Database(settings.database_url)
    try:
        async with database.write() as session:
            await found_organisation(session, now=clock_of(settings).now(), founding=founding)
    except Problem as problem:
        told = problem.details()
        raise click.ClickException(f"{told.detail_zh}{told.todo_zh} / {told.detail} {told.todo}") from problem
    finally:
        await database.close()


async def _demo_city(settings: Settings) -> bool:
    database = Database(settings.database_url)
    try:
        return await build_demo_city(database, now=clock_of(settings).now())
    finally:
        await database.close()


def _run(settings: Settings, announce: Callable[[str], None]) -> None:
    try:
        listening = open_port(settings.host, settings.port, _say_busy)
    except NoFreePortError as error:
        raise click.ClickException(str(error)) from error
    address = str(_Listening(settings.host, listening.getsockname()[1]))
    if settings.mode == "demo":
        settings = msgspec.structs.replace(settings, public_url=address)  # whoever tries it scans on this machine
    ok = serve(create_app(settings), listening, on_up=lambda: announce(address), log_level="warning")
    click.echo("\n已停止,数据已保存 / stopped, everything is saved")
    sys.exit(0 if ok else 1)


def _say_busy(port: int) -> None:
    click.echo(f"端口 {port} 被占用,改用下一个 / port {port} is taken, trying the next one")


def _shown_url(settings: Settings) -> str:
    return Database(settings.database_url).url.render_as_string(hide_password=True)


def _welcome(address: str, started: float, *, made: bool) -> None:
    seconds = time.monotonic() - started
    logins = "\n".join(
        f"  {login.employee_number}  {login.role_zh} / {login.role_en}: {login.name}" for login in demo_logins()
    )
    click.echo(
        f"""
Paigong 派工  {address}
  {"新的演示城市 / a new demo city" if made else "继续上次的演示城市 / the demo city of last time"} ({seconds:.1f} s)

链接 / links
  {address}/docs                API, 可直接试用 / try it in the page
  {address}/docs/openapi.json   OpenAPI 3.1
  {address}/readyz              状态 / status

登录 / sign in   密码 / password: {DEMO_PASSWORD}
{logins}

接下来 / next
  另开一个终端,照 README 的"最初十分钟"走一遍 / in another terminal, follow "The first ten minutes" of the README:
  curl -s {address}/auth/sign-in -H 'Content-Type: application/json' \\
       -d '{{"login": "YQ009", "password": "{DEMO_PASSWORD}"}}'
  按 Ctrl-C 停止;下次 make demo 会接着用同样的数据 / Ctrl-C stops; the next `make demo` goes on with the same data
"""
    )


for one_command in (*IMPORT_COMMANDS, *BACKUP_COMMANDS, rescue_command, simulate_command):
    main.add_command(one_command)


if __name__ == "__main__":
    main()
