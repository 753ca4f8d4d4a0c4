"""The command `paigong rescue`. `backend/cli.py` adds it to the others."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Final
from uuid import UUID

import click
import msgspec

from backend.core.clock import clock_of
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.devices.store import SqlStore
from backend.settings import read_settings
from sync.client.salvage import Salvage, salvage
from sync.outbox import Item
from sync.protocol import PushAnswer, Refusal, RescueRequest, Result, encode
from sync.rescue import RESCUED, rescue

FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
NO_DEVICE: Final = (
    "文件中读不出手机编号,请用 --device 指明 / the file does not say which phone it is from; name it with --device"
)


@click.command("rescue")
@click.argument("queue", type=FILE)
@click.option("--into", is_flag=True, help="Put it before the dispatchers. 放入待处理,由调度决定。")
@click.option("--json", "body", type=click.Path(dir_okay=False, path_type=Path),
              help="Write the queue as the body of POST /sync/v1/rescue. 写成抢救请求的内容。")  # fmt: skip
@click.option("--device", type=click.UUID, help="The phone it is from, if the file cannot say. 手机编号。")
def rescue_command(queue: Path, body: Path | None, device: UUID | None, *, into: bool) -> None:
    """Read the queue file of a broken phone, and keep what is in it. 读取损坏手机的队列文件。"""
    found = salvage(queue)
    for line in _told(found):
        click.echo(line)
    request = RescueRequest([msgspec.Raw(msgspec.json.encode(item)) for item in found.items.values()])
    if body is not None:
        body.write_bytes(encode(request))
        click.echo(f"已写入 / written: {body}")
    if into:
        named = str(device) if device else found.device
        if named is None:
            raise click.ClickException(NO_DEVICE)
        click.echo(_settled(asyncio.run(_put(request, named))))


async def _put(request: RescueRequest, device: str) -> PushAnswer:
    settings = read_settings()
    database = Database(settings.database_url)
    now = clock_of(settings).now()
    try:
        return await rescue(
            SqlStore(database, now=now), request, device=device, now=now, new_id=lambda: str(new_id())
        )  # fmt: skip
    except Refusal as refusal:
        raise click.ClickException(f"{refusal.text.zh} / {refusal.text.en}") from refusal
    finally:
        await database.close()


def _told(found: Salvage) -> list[str]:
    lines = [f"手机 / phone: {found.device or '?'}"]
    lines += [_line(item) for item in found.items.values()]
    lines += [f"! {damage.zh} / {damage.en}" for damage in found.damages]
    read, waiting, damages = len(found.items), len(found.unanswered), len(found.damages)
    summary = f"读出 {read} 项,{waiting} 项未得到答复,{damages} 处无法读取"
    return [*lines, f"{summary} / {read} read, {waiting} unanswered, {damages} damages"]


def _line(item: Item) -> str:
    state = f"{item.result.status} {item.result.code}".strip() if item.result else "pending"
    try:
        mutation = item.mutation
    except msgspec.DecodeError:
        return f"{item.id}  n={item.n}  {state}  ?"
    about = f"{mutation.entity} {mutation.row}".strip()
    return f"{item.id}  n={item.n}  {state}  {mutation.occurred_at:%Y-%m-%d %H:%M}Z  {mutation.name}  {about}"


def _settled(answer: PushAnswer) -> str:
    results = [msgspec.json.decode(raw, type=Result) for raw in answer.results]
    codes = Counter("waiting" if result.code == RESCUED else "known" for result in results)
    return (
        f"待调度处理 {codes['waiting']} 项,服务器已有 {codes['known']} 项 / "
        f"{codes['waiting']} wait for a dispatcher, the server knew {codes['known']}"
    )
