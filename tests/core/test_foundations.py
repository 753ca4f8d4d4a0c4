"""Clock, settings, ids, sessions and audit: what everything else takes for granted."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, StatementError

from backend.app import TOKEN_KEY_FILE, read_token_key
from backend.core.audit import SYSTEM, AccessEntry, Actor, AuditEntry, record
from backend.core.changes import current
from backend.core.clock import FileClock, SystemClock, clock_of, parse_instant
from backend.core.ids import new_id
from backend.core.secret_files import key_in
from backend.core.sessions import Database
from backend.people.models import Skill
from backend.settings import MODES, Settings, SettingsError, read_settings
from tests.make import START, House, Office, load_house_from

# --- clock ------------------------------------------------------------------------------------------------------------


def test_the_clock_is_aware_and_in_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_a_clock_from_a_file_says_what_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    file.write_text("2026-03-02T09:00:00+08:00\n", "utf-8")
    assert FileClock(file).now() == START
    assert FileClock(file).now().tzinfo is UTC
    for bad in ("", "yesterday", "2026-03-02T09:00:00"):
        file.write_text(bad, "utf-8")
        with pytest.raises(ValueError, match=r".+"):
            FileClock(file).now()
    file.unlink()
    with pytest.raises(FileNotFoundError):
        FileClock(file).now()


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), st.integers(-14 * 60, 14 * 60))  # noqa: DTZ001
def test_an_instant_is_the_same_whatever_offset_it_was_written_with(at: datetime, offset: int) -> None:
    instant = at.replace(tzinfo=timezone(timedelta(minutes=offset)))
    assert parse_instant(instant.isoformat()) == instant
    with pytest.raises(ValueError, match="offset"):
        parse_instant(at.isoformat())


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_come_from_the_environment_in_their_types() -> None:
    settings = read_settings({"PAIGONG_PORT": "9000", "PAIGONG_DATA_DIR": "/var/paigong", "HOME": "/root"})
    assert (settings.port, settings.data_dir) == (9000, Path("/var/paigong"))
    assert settings.database_url == "sqlite+aiosqlite:////var/paigong/paigong.db"
    assert read_settings({}) == Settings()
    assert isinstance(clock_of(settings), SystemClock)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"PAIGONG_PROT": "9000"}, "PAIGONG_PROT"), ({"PAIGONG_PORT": "nine"}, "PAIGONG_PORT='nine'"),
        ({"PAIGONG_MODE": "party"}, "party"), ({"PAIGONG_CLOCK_FILE": "clock"}, "PAIGONG_CLOCK_FILE"),
        ({"PAIGONG_CLOCK_FILE": "clock", "PAIGONG_MODE": "demo"}, "acceptance"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read_settings(environ)


@pytest.mark.parametrize("mode", MODES)
def test_time_comes_from_a_file_in_acceptance_runs_only(mode: str, tmp_path: Path) -> None:
    environ = {"PAIGONG_MODE": mode, "PAIGONG_CLOCK_FILE": str(tmp_path / "clock")}
    if mode == "acceptance":
        assert isinstance(clock_of(read_settings(environ)), FileClock)
    else:
        with pytest.raises(SettingsError):
            read_settings(environ)


# --- ids --------------------------------------------------------------------------------------------------------------


def test_ids_sort_by_the_time_they_were_made() -> None:
    made = [new_id() for _ in range(2000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {one.version for one in made} == {7}


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_a_read_is_one_snapshot_whatever_happens_meanwhile(office: Office) -> None:
    async with office.database.read() as reader:
        before = await reader.run_sync(current)
        async with office.database.write() as writer:
            await writer.execute(text("UPDATE customer SET language = 'en'"))
        assert await reader.run_sync(current) == before
        assert (await reader.execute(text("SELECT DISTINCT language FROM customer"))).scalars().all() == ["zh"]
    async with office.database.read() as later:
        assert (await later.run_sync(current))[0] == before[0] + 1


async def test_the_database_refuses_a_write_in_a_read(office: Office) -> None:
    async with office.database.read() as session:
        with pytest.raises(DBAPIError):
            await session.execute(text("UPDATE customer SET language = 'en'"))


async def test_an_exception_takes_the_whole_transaction_back(office: Office) -> None:
    async def half() -> None:
        async with office.database.write() as session:
            await session.execute(text("UPDATE customer SET language = 'en'"))
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        await half()
    async with office.database.read() as session:
        assert (await session.execute(text("SELECT DISTINCT language FROM customer"))).scalars().all() == ["zh"]


async def test_writers_wait_for_each_other_and_lose_nothing(office: Office) -> None:
    async def add_one() -> None:
        async with office.database.write() as session:
            await session.execute(text("UPDATE asset SET quantity = quantity + 1 WHERE name = '客梯'"))

    await asyncio.gather(*(add_one() for _ in range(10)))
    async with office.database.read() as session:
        counted = await session.execute(text("SELECT quantity FROM asset WHERE name = '客梯'"))
    assert counted.scalar_one() == 11


async def test_an_instant_without_a_zone_is_never_stored(office: Office) -> None:
    naive = AccessEntry(at=datetime(2026, 3, 2), person_id=new_id(), what="x", entity="x")  # noqa: DTZ001
    async with office.database._writers() as session:
        session.add(naive)
        with pytest.raises(StatementError, match="aware"):
            await session.flush()


@pytest.mark.parametrize("offset", [-8, 0, 8])
async def test_an_instant_comes_back_in_utc_to_the_microsecond(office: Office, offset: int) -> None:
    at = datetime(2026, 3, 2, 9, 0, 0, 123456, tzinfo=timezone(timedelta(hours=offset)))
    entry = AccessEntry(at=at, person_id=someone(office.house), what="x", entity="x")
    async with office.database.write() as session:
        session.add(entry)
    async with office.database.read() as session:
        read = (await session.get_one(AccessEntry, entry.id)).at
    assert (read, read.tzinfo) == (at, UTC)


# --- audit ------------------------------------------------------------------------------------------------------------


async def test_the_trail_says_who_through_what_changed_which_fields_and_why(furnished_url: str) -> None:
    house, database = await load_house_from(furnished_url), Database(furnished_url)
    actor = Actor(person_id=someone(house), device_id=new_id(), mutation_id=new_id())
    async with database.write() as session:
        skill = (await session.execute(select(Skill).limit(1))).scalar_one()
        record(
            session, now=START, actor=actor, action="skill.renamed", row=skill, before={"name_en": "a"},
            after={"name_en": "b", "at": START, "id": skill.id}, reason="typo",
        )  # fmt: skip
        record(session, now=START, actor=SYSTEM, action="skill.checked", row=skill)
    async with database.read() as session:
        renamed, checked = (await session.execute(select(AuditEntry).order_by(AuditEntry.id))).scalars().all()
    assert (renamed.person_id, renamed.device_id, renamed.mutation_id) == (
        actor.person_id, actor.device_id, actor.mutation_id,
    )  # fmt: skip
    assert (renamed.entity, renamed.subject_id, renamed.reason) == ("skill", skill.id, "typo")
    assert renamed.after == {"name_en": "b", "at": "2026-03-02T01:00:00Z", "id": str(skill.id)}
    assert (checked.person_id, checked.before, checked.after) == (None, None, None)
    await database.close()


def someone(house: House) -> Any:
    return next(iter(house.people.values()))


# --- keys -------------------------------------------------------------------------------------------------------------


def test_processes_that_start_at_once_have_one_key_and_none_has_a_part_of_it(tmp_path: Path) -> None:
    for attempt in range(20):
        path = tmp_path / str(attempt) / "token.key"
        with ThreadPoolExecutor(8) as pool:
            keys = set(pool.map(lambda _, path=path: key_in(path, 32), range(8)))
        assert [len(key) for key in keys] == [32]
        assert [file.name for file in path.parent.iterdir()] == ["token.key"]
        assert path.stat().st_mode & 0o077 == 0


def test_a_key_that_was_cut_off_opens_nothing_and_the_server_says_why(tmp_path: Path) -> None:
    (tmp_path / TOKEN_KEY_FILE).touch()
    with pytest.raises(SettingsError, match=r"密钥文件 .* must have 32 bytes and has 0"):
        read_token_key(tmp_path)
