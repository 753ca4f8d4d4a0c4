"""Backups come back whole or not at all, and what phones did since comes back with them."""

import asyncio
import hashlib
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, inspect, select

from backend.app import TOKEN_KEY_FILE
from backend.attachments.actions import note_blob
from backend.attachments.places import FolderPlace
from backend.attachments.schemas import Stored
from backend.attachments.store import BlobStore
from backend.backup.actions import EMPTY, take_backup
from backend.backup.archive import MANIFEST, Manifest, TableShape, verified
from backend.backup.cli import LABELS, backup_check_command
from backend.backup.faults import BackupRefusedError
from backend.backup.restore import restore_backup
from backend.backup.rows import KINDS, line, reading
from backend.cli import main
from backend.core import migrate
from backend.core.changes import commit_clock
from backend.core.sessions import Database
from backend.devices.models import DeviceIncarnation, DeviceView
from backend.people.models import Person
from backend.settings import Settings
from backend.tables import metadata
from bench.acceptance.paperwork import photo_png
from docs.examples.phone_day import file_form, tap
from sync.protocol import Status
from sync.replica import Pulled
from tests.api.test_devices import phone_of
from tests.api.test_uploads import begin, go_on, sha256
from tests.databases import Databases
from tests.make import START, Office
from tests.make import furnish as furnished
from tests.personas import LI_WEI
from tests.work import ok, sent

CHANGED: Final = {commit_clock.name, DeviceIncarnation.__tablename__, DeviceView.__tablename__}
"""Tables a restore writes to: a new epoch, what is durable, views of the old epoch."""
PHOTO: Final = photo_png(Random(1))  # noqa: S311 - any picture will do
SEAL: Final = "seal/organisation.key"


class Interrupted(BaseException):
    """Ctrl-C, which a test cannot press."""


def quiet(kind: str, done: int, total: int) -> None:
    assert kind in LABELS
    assert done <= total


def left(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


def settings_of(url: str, folder: Path) -> Settings:
    (folder / "seal").mkdir(parents=True, exist_ok=True)
    (folder / TOKEN_KEY_FILE).write_bytes(b"the key of tokens")
    (folder / SEAL).write_bytes(b"the key of seals")
    return Settings(mode="test", data_dir=folder, database=url)


async def lines_of(database: Database) -> Mapping[str, list[bytes]]:
    """Every row of every table, as a backup has it."""
    async with database.read() as session:
        return {
            name: sorted([line(row) for row in await session.execute(reading(table))])
            for name, table in metadata.tables.items()
        }


async def in_use(url: str) -> Mapping[str, list[bytes]]:
    """The same, leaving no connection behind."""
    database = Database(url)
    try:
        return await lines_of(database)
    finally:
        await database.close()


async def backed_up(settings: Settings, target: Path) -> tuple[Path, Manifest]:
    database = Database(settings.database_url)
    try:
        async with database.write() as session:
            stored = Stored(BlobStore(settings.blob_dir).put(PHOTO), len(PHOTO), "image/png")
            await note_blob(session, now=START, stored=stored)
        return await take_backup(database, settings, target=target, now=START, progress=quiet)
    finally:
        await database.close()


async def restored(settings: Settings, path: Path, *, replace: bool = False, progress: Any = quiet) -> list[Path]:
    _, aside = await asyncio.to_thread(
        restore_backup, settings, path=path, replace=replace, now=START, progress=progress
    )
    return aside


@pytest.fixture
def other_url(furnished_url: str, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """An empty database of the other kind."""
    if furnished_url.startswith("postgresql"):
        yield databases.sqlite(tmp_path / "empty.db", migrated=False)
        return
    url = databases.postgresql(migrated=False)
    yield url
    databases.drop(url)


async def test_all_of_it_comes_back_even_on_the_other_kind_of_database(
    furnished_url: str, other_url: str, tmp_path: Path
) -> None:
    old, new = settings_of(furnished_url, tmp_path / "old"), Settings(
        mode="test", data_dir=tmp_path / "new", database=other_url
    )  # fmt: skip
    path, manifest = await backed_up(old, tmp_path)
    assert path.name == "paigong-20260302-010000.backup"
    assert path.stat().st_mode & 0o077 == 0
    assert left(tmp_path, "*.partial") == []
    assert (len(manifest.blobs), manifest.lost, set(manifest.files)) == (1, [], {TOKEN_KEY_FILE, SEAL})
    assert await restored(new, path) == []
    before, after = await in_use(furnished_url), await in_use(other_url)
    same = before.keys() - CHANGED
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert manifest.rows == sum(len(rows) for name, rows in before.items() if name not in EMPTY)
    assert after[commit_clock.name] != before[commit_clock.name], "the epoch is another"
    assert BlobStore(new.blob_dir).read(next(iter(manifest.blobs))) == PHOTO
    assert (new.data_dir / SEAL).read_bytes() == b"the key of seals"
    await asyncio.to_thread(migrate.check, other_url)
    database = Database(other_url)
    async with database.write() as session:
        stored = Stored("0" * 64, 1, "image/png")
        await note_blob(session, now=START, stored=stored)
    await database.close()


@pytest.fixture
async def office_backup(databases: Databases, tmp_path: Path) -> tuple[Settings, Path]:
    settings = settings_of(databases.sqlite(tmp_path / "office.db", furnish=furnished), tmp_path / "data")
    return settings, (await backed_up(settings, tmp_path / "office.backup"))[0]


async def test_no_damaged_byte_goes_unnoticed_and_nothing_is_touched(
    office_backup: tuple[Settings, Path], tmp_path: Path
) -> None:
    settings, path = office_backup
    before, whole = await in_use(settings.database_url), path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    starts = [one.header_offset + 30 + len(one.filename) + 20 for one in members if one.compress_size > 60]
    broken = tmp_path / "broken"
    for content in (
        *(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :] for place in starts),
        whole[: len(whole) // 2], whole[:-1], whole[10:], b"",
    ):  # fmt: skip
        broken.write_bytes(content)
        with pytest.raises(BackupRefusedError, match="damaged"):
            await restored(settings, broken, replace=True)
    assert len(starts) > 20
    assert CliRunner().invoke(backup_check_command, [str(broken)]).exit_code == 1
    assert CliRunner().invoke(backup_check_command, [str(path)]).exit_code == 0
    assert await in_use(settings.database_url) == before


async def test_what_must_not_be_replaced_stays(office_backup: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, path = office_backup
    before = await in_use(settings.database_url)
    with pytest.raises(BackupRefusedError, match="--replace"):
        await restored(settings, path)
    newer = rewritten(path, tmp_path / "newer", revision="9999")
    with pytest.raises(BackupRefusedError, match="newer version"):
        await restored(settings, newer, replace=True)
    running = Database(settings.database_url)
    async with running.read() as session:
        await session.execute(select(Person.id))
    with pytest.raises(BackupRefusedError, match="in use"):
        await restored(settings, path, replace=True)
    await running.close()
    with pytest.raises(BackupRefusedError, match="exists"):
        await backed_up(settings, path)
    assert await in_use(settings.database_url) == before
    (aside,) = await restored(settings, path, replace=True)
    assert await in_use(f"sqlite+aiosqlite:///{aside}") == before


async def test_a_restore_on_postgresql_waits_for_its_servers(
    postgresql_url: str, office_backup: tuple[Settings, Path], tmp_path: Path
) -> None:
    _, path = office_backup
    settings = Settings(mode="test", data_dir=tmp_path / "new", database=postgresql_url)
    running = Database(postgresql_url)
    async with running.read() as session:
        await session.execute(select(Person.id))
    with pytest.raises(BackupRefusedError, match="in use"):
        await restored(settings, path)
    await running.close()
    await restored(settings, path)
    with pytest.raises(BackupRefusedError, match="--replace"):
        await restored(settings, path)


async def test_whoever_interrupts_leaves_no_half(furnished_url: str, tmp_path: Path) -> None:
    def interrupted(now: str, done: int, _total: int) -> None:
        if now == "tables" and done > 50:
            raise Interrupted

    settings = settings_of(furnished_url, tmp_path / "data")
    path, _ = await backed_up(settings, tmp_path / "whole")
    before, database = await in_use(furnished_url), Database(furnished_url)
    with pytest.raises(Interrupted):
        await take_backup(database, settings, target=tmp_path / "half", now=START, progress=interrupted)
    await database.close()
    (settings.data_dir / SEAL).write_bytes(b"the key of today")
    with pytest.raises(Interrupted):
        await restored(settings, path, replace=True, progress=interrupted)
    assert await in_use(furnished_url) == before
    assert (settings.data_dir / SEAL).read_bytes() == b"the key of today"
    assert left(settings.data_dir, "**/*.before-*") == []
    assert left(tmp_path, "half*") == []
    assert left(tmp_path, "**/*.restoring*") == []


async def test_there_is_a_database_under_its_name_at_every_moment(office_backup: tuple[Settings, Path]) -> None:
    settings, path = office_backup
    before, file = await in_use(settings.database_url), settings.database_url.partition("///")[2]
    armed = True

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if armed and event == "os.rename" and str(args[1]) == file:
            raise Interrupted

    sys.addaudithook(hook)  # whoever kills a process between its last two steps
    with pytest.raises(Interrupted):
        await restored(settings, path, replace=True)
    armed = False
    assert await in_use(settings.database_url) == before
    (settings.data_dir / SEAL).write_bytes(b"the key of today")
    (again, key) = await restored(settings, path, replace=True)
    assert await in_use(f"sqlite+aiosqlite:///{again}") == before
    assert key.read_bytes() == b"the key of today"
    assert (settings.data_dir / SEAL).read_bytes() == b"the key of seals"


async def test_an_older_backup_is_brought_to_this_version(
    office_backup: tuple[Settings, Path], databases: Databases, tmp_path: Path
) -> None:
    _, path = office_backup
    url = databases.sqlite(tmp_path / "then.db", migrated=False)
    await asyncio.to_thread(migrate.upgrade, url, "0025")
    engine = create_engine(f"sqlite:///{tmp_path / 'then.db'}")
    then = {
        name: [column["name"] for column in inspect(engine).get_columns(name)]
        for name in inspect(engine).get_table_names()
    }
    engine.dispose()
    older = rewritten(path, tmp_path / "older", revision="0025", only=then)
    settings = Settings(
        mode="test", data_dir=tmp_path / "new", database=databases.sqlite(tmp_path / "n", migrated=False)
    )
    await restored(settings, older)
    await asyncio.to_thread(migrate.check, settings.database_url)
    before, after = (verified(one, quiet).tables["person"].rows for one in (path, older))
    assert before == after == len((await in_use(settings.database_url))["person"])


async def test_a_lost_file_is_told_and_the_rest_is_kept(office_backup: tuple[Settings, Path], tmp_path: Path) -> None:
    settings, path = office_backup
    (sha256,) = verified(path, quiet).blobs
    FolderPlace(settings.blob_dir).path(sha256).write_bytes(b"rotten")
    database = Database(settings.database_url)
    again, manifest = await take_backup(database, settings, target=tmp_path, now=START, progress=quiet)
    await database.close()
    assert manifest.lost == [sha256]
    told = CliRunner().invoke(backup_check_command, [str(again)])
    assert sha256 in told.output


async def test_what_was_lost_is_claimed_by_nobody_and_taken_again(sqlite_office: Office, tmp_path: Path) -> None:
    """Neither the server before a restore nor the one after it says to have what it has not."""
    office = sqlite_office
    await sent(office, asset_id=str(office.house.camera))
    name, path = sha256(PHOTO), FolderPlace(office.settings.blob_dir).path(sha256(PHOTO))
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        await li_wei.contact()
        desk = li_wei.desk
        await go_on(desk, await begin(desk, PHOTO), 0, PHOTO)
        (assignment,) = li_wei.shown("assignment").values()
        order = {"entity": "work_order", "subject_id": assignment["work_order_id"]}
        ok(await desk.post("/attachments", order | {"sha256": name, "kind": "photo", "name": "门.png"}), 201)
        path.write_bytes(b"rotten")
        backup, manifest = await take_backup(
            office.database, office.settings, target=tmp_path / "b", now=office.now, progress=quiet
        )
        assert manifest.lost == [name]
        await li_wei.contact()
        assert li_wei.phone.replica.holding.durable is None, "the phone may have the last copy"
        path.unlink()
        assert ok(await desk.post("/blobs/have", {"sha256": [name]})) == {"have": []}
        assert (await desk.get(f"/blobs/{name}")).status_code == 404
        await go_on(desk, await begin(desk, PHOTO), 0, PHOTO)
        assert ok(await desk.post("/blobs/have", {"sha256": [name]})) == {"have": [name]}
        path.write_bytes(b"rotten")
        await closed(office)
        await restored(office.settings, backup, replace=True)
        assert ok(await desk.post("/blobs/have", {"sha256": [name]})) == {"have": []}
        asked = f"/attachments?entity=work_order&subject_id={order['subject_id']}"
        assert [one["arrived"] for one in ok(await desk.get(asked))] == [False]
        await go_on(desk, await begin(desk, PHOTO), 0, PHOTO)
        assert [one["arrived"] for one in ok(await desk.get(asked))] == [True]
        assert (await desk.get(f"/blobs/{name}")).content == PHOTO


async def test_a_store_that_has_nothing_is_the_wrong_place_unless_somebody_says_otherwise(
    office_backup: tuple[Settings, Path], tmp_path: Path
) -> None:
    settings, path = office_backup
    (sha256,) = verified(path, quiet).blobs
    FolderPlace(settings.blob_dir).path(sha256).unlink()
    variables = {"PAIGONG_DATA_DIR": str(settings.data_dir), "PAIGONG_DATABASE": settings.database_url}

    async def told(*words: str) -> tuple[int, str]:
        said = await asyncio.to_thread(CliRunner().invoke, main, ["backup", *words], env=variables)
        return said.exit_code, said.output

    code, output = await told(str(tmp_path))
    assert (code, "--without-files" in output) == (1, True), output
    code, output = await told(str(tmp_path / "no-such-folder"))
    assert (code, "mkdir -p" in output) == (1, True), output
    assert left(tmp_path, "paigong-*") == left(tmp_path, "no-*") == []
    code, output = await told(str(tmp_path), "--without-files")
    assert (code, len(left(tmp_path, "paigong-*"))) == (3, 1), output


def test_every_column_can_be_kept() -> None:
    assert {kind for kind, (_, column) in KINDS.items() if column is not None} == set(KINDS)


async def closed(office: Office) -> None:
    """Stop every use of the database, as stopping the server does."""
    await office.database.close()
    provided: Any = office.app.dependencies["database"]
    await provided.dependency().close()


async def test_after_a_restore_the_phone_brings_its_signed_form_back(sqlite_office: Office, tmp_path: Path) -> None:
    office = sqlite_office
    wang_fang, _, visit_id = await sent(office, asset_id=str(office.house.camera))
    async with phone_of(office, LI_WEI, tmp_path) as li_wei:
        await li_wei.contact()
        (assignment,) = li_wei.shown("assignment").values()
        (owner,) = li_wei.shown("person").values()
        tap(li_wei.phone, visit_id, "depart")
        await li_wei.contact()
        path, _ = await take_backup(
            office.database, office.settings, target=tmp_path / "night.backup", now=office.now, progress=quiet
        )
        await li_wei.contact()
        assert li_wei.phone.replica.outbox.items == {}, "what is in the backup need not be kept"
        for kind in ("arrive", "start"):
            office.move_clock(minutes=1)
            tap(li_wei.phone, visit_id, kind)
        form_id = file_form(li_wei.phone, assignment, owner, PHOTO)
        document = ok(await sent_form(li_wei, wang_fang, form_id))
        await closed(office)
        await restored(office.settings, path, replace=True)
        assert (await wang_fang.get(f"/forms/{form_id}")).status_code == 404, "the server lost its day"
        contact = await li_wei.contact()
        assert contact.pulled is Pulled.DONE
        assert [item.result and item.result.status for item in contact.settled] == [Status.APPLIED] * 3
        again = ok(await wang_fang.get(f"/forms/{form_id}"))
        assert again == document
        order = ok(await wang_fang.get(f"/work-orders/{assignment['work_order_id']}"))
        assert [event["kind"] for event in order["events"]] == ["depart", "arrive", "start"], "nothing doubled"
        assert (await li_wei.contact()).settled == []


async def sent_form(li_wei: Any, desk: Any, form_id: str) -> Any:
    """Deliver what waits; return the office's answer about the form."""
    await li_wei.contact()
    return await desk.get(f"/forms/{form_id}")


def rewritten(path: Path, target: Path, *, revision: str, only: Mapping[str, list[str]] | None = None) -> Path:
    """Write a backup anew as another version would have made it: another revision, and only some columns."""
    manifest = verified(path, quiet)
    tables: dict[str, TableShape] = {}
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name, shape in manifest.tables.items():
            if only is not None and name not in only:
                continue
            kept = [place for place, one in enumerate(shape.columns) if only is None or one.name in only[name]]
            rows = [msgspec.json.decode(text) for text in old.read(f"tables/{name}.jsonl").splitlines()]
            content = b"".join(line([row[place] for place in kept]) for row in rows)
            new.writestr(f"tables/{name}.jsonl", content)
            columns = [shape.columns[place] for place in kept]
            tables[name] = TableShape(columns, len(rows), hashlib.sha256(content).hexdigest())
        for member in old.namelist():
            if member.startswith(("files/", "blobs/")):
                new.writestr(member, old.read(member))
        changed = msgspec.structs.replace(manifest, revision=revision, tables=tables)
        new.writestr(MANIFEST, msgspec.json.encode(changed))
    return target
