"""Presets: loaded once, changed as new versions, and what is in use stays as it was."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from datetime import date, time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from backend.calendars.models import CalendarDay, WorkingCalendar
from backend.contracts.models import ClockPolicy, PriceList
from backend.core.presets import Preset
from backend.core.sessions import Database
from backend.forms.canonical import canonical_bytes, sha256_hex
from backend.forms.models import ChecklistTemplate, ChecklistTemplateVersion
from backend.forms.template import Template
from backend.imports.presets import PRESETS, PresetError, Version, load_presets, missing_versions, read_entries
from backend.people.models import Role, Skill
from tests.make import START


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the preset files that a test may change."""
    return shutil.copytree(PRESETS, tmp_path / "presets")


async def load(database: Database, folder: Path = PRESETS) -> int:
    async with database.write() as session:
        return await load_presets(session, now=START, folder=folder)


async def versions(database: Database, model: Any, key: str) -> list[Any]:
    async with database.read() as session:
        rows = await session.execute(select(model).where(model.key == key).order_by(model.version))
        return list(rows.scalars())


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


async def test_a_new_database_gets_every_set_and_a_second_load_adds_nothing(database: Database) -> None:
    added = await load(database)
    assert added > 300
    assert await load(database) == 0
    async with database.read() as session:
        counts = {
            model.__tablename__: (await session.execute(select(func.count()).select_from(model))).scalar_one()
            for model in (
                Role,
                Skill,
                ClockPolicy,
                WorkingCalendar,
                ChecklistTemplate,
                ChecklistTemplateVersion,
                Preset,
            )
        }
        kinds = set((await session.execute(select(Preset.kind))).scalars())
    assert all(counts.values()), counts
    assert counts["checklist_template"] == len(list((PRESETS / "forms").glob("*.toml")))
    assert {
        "cause", "fee_decision", "resolution", "visit_reason", "priority", "work_order_kind", "work_order_queue",
        "text", "escalation_chain", "scoring_rule", "call_back_rule", "satisfaction_level", "signing_method",
        "asset_type", "clock_rule", "role_action", "working_calendar",
    } <= kinds  # fmt: skip
    assert not kinds & {"role", "skill", "clock_policy", "public_holidays", "price_list"}


@pytest.mark.rule("A046")
async def test_the_calendar_knows_holidays_and_make_up_workdays(database: Database) -> None:
    await load(database)
    (calendar,) = await versions(database, WorkingCalendar, "cn")
    assert (calendar.working_weekdays, calendar.service_opens, calendar.service_closes) == (
        [1, 2, 3, 4, 5], time(9), time(22),
    )  # fmt: skip
    async with database.read() as session:
        days = {day.day_on: day for day in (await session.execute(select(CalendarDay))).scalars()}
    assert days[date(2026, 10, 1)].working is False
    assert (days[date(2026, 2, 14)].working, days[date(2026, 2, 14)].name_zh) == (True, "春节调休上班")
    assert (days[date(2026, 5, 1)].provisional, days[date(2027, 5, 1)].provisional) == (False, True)


async def test_a_template_is_frozen_under_the_sha256_of_its_canonical_body(database: Database) -> None:
    await load(database)
    async with database.read() as session:
        frozen = (await session.execute(select(ChecklistTemplateVersion))).scalars().all()
    for row in frozen:
        template = msgspec.convert(row.body, Template)
        assert (template.key, template.version) == (row.key, row.version)
        assert row.sha256 == sha256_hex(canonical_bytes(template))
        assert row.frozen_at == START


@pytest.mark.parametrize(
    ("file", "old", "new", "model", "key"),
    [
        ("causes.toml", 'zh = "制造质量"', 'zh = "制造缺陷"', Preset, "manufacture"),
        ("clock_policies.toml", "minutes = 120", "minutes = 60", ClockPolicy, "std"),
        ("roles.toml", 'levels = ["read", "write"], reach = "own"', 'levels = ["read"], reach = "own"', Role,
         "technician"),
        ("calendars.toml", 'zh = "元旦调休上班"', 'zh = "元旦补班"', WorkingCalendar, "cn"),
        ("forms/inspect_m.toml", 'zh = "系统工程巡查单', 'zh = "巡查单', ChecklistTemplateVersion, "inspect_m"),
    ],
)  # fmt: skip
async def test_a_changed_entry_is_a_new_version_and_the_old_one_stays(  # noqa: PLR0917 - a table's columns
    database: Database, folder: Path, file: str, old: str, new: str, model: Any, key: str
) -> None:
    await load(database, folder)
    (before,) = await versions(database, model, key)
    before_id, before_columns = before.id, {one.name: getattr(before, one.name) for one in before.__table__.columns}
    change(folder / file, old, new)
    assert await load(database, folder) >= 1
    assert await load(database, folder) == 0
    first, second = await versions(database, model, key)
    assert first.id == before_id
    assert {name: getattr(first, name) for name in before_columns} == before_columns
    assert second.version == first.version + 1
    if model is ChecklistTemplateVersion:
        assert second.body["version"] == second.version
        assert second.sha256 != first.sha256


async def test_a_change_is_taken_back_by_a_higher_version_only(database: Database, folder: Path) -> None:
    await load(database, folder)
    change(folder / "causes.toml", 'zh = "制造质量"', 'zh = "制造缺陷"')
    await load(database, folder)
    change(folder / "causes.toml", 'zh = "制造缺陷"', 'zh = "制造质量"')
    assert await load(database, folder) == 0, "the old content stands already, below the new one"
    change(folder / "causes.toml", 'key = "manufacture"\nversion = 1', 'key = "manufacture"\nversion = 7')
    assert await load(database, folder) == 1
    assert [(row.version, row.name_zh) for row in await versions(database, Preset, "manufacture")] == [
        (1, "制造质量"), (2, "制造缺陷"), (7, "制造质量"),
    ]  # fmt: skip


async def test_an_organisations_own_version_survives_the_next_start(database: Database) -> None:
    await load(database)
    (ours,) = await versions(database, Preset, "manufacture")
    async with database.write() as session:
        session.add(
            Preset(
                kind=ours.kind,
                key=ours.key,
                version=2,
                name_zh="出厂问题",
                name_en="Factory",
                body=ours.body,
                active=True,
            )
        )
        await session.execute(update(Preset).where(Preset.id == ours.id).values(active=False))
    assert await load(database) == 0
    assert [(row.version, row.active) for row in await versions(database, Preset, "manufacture")] == [
        (1, False), (2, True),
    ]  # fmt: skip


async def test_a_price_list_has_its_time(database: Database, folder: Path) -> None:
    (folder / "a_price_list_of_a_test.toml").write_text(
        '[[price_list]]\nkey = "test_only"\nversion = 1\nzh = "测试"\nen = "Test"\ncurrency = "CNY"\n'
        'valid_from_on = 2026-01-01\nlines = [{ key = "labour", fen = 8000 }]\n',
        "utf-8",
    )
    await load(database, folder)
    (row,) = await versions(database, PriceList, "test_only")
    assert (row.currency, row.valid_from_on, row.valid_until_on) == ("CNY", date(2026, 1, 1), None)
    assert row.lines == [{"key": "labour", "fen": 8000}]


async def test_two_servers_that_start_at_once_load_everything_once(database: Database, database_url: str) -> None:
    other = Database(database_url)
    added = await asyncio.gather(load(database), load(other))
    await other.close()
    assert min(added) == 0
    assert max(added) > 300


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("x.toml", '[[cause]]\nkey = "a"\nversion = 1\nzh = "甲"\n', "x.toml.*cause.*en"),
        ("x.toml", '[[cause]]\nkey = "a"\nversion = "one"\nzh = "甲"\nen = "A"\n', "x.toml"),
        ("x.toml", "cause = [1]\n", "x.toml"),
        ("x.toml", '[[cause]]\nkey = "wear"\nversion = 1\nzh = "甲"\nen = "A"\n', "wear .*twice"),
        ("forms/x.toml", 'key = "x"\n', "forms/x.toml"),
        ("forms/x.toml", 'key = "x"\nversion = 1\nsubject = "visit"\ntitle = { zh = "甲", en = "A" }\nsections = []\n',
         "forms/x.toml"),
    ],
)  # fmt: skip
async def test_a_file_that_cannot_be_read_loads_nothing(
    database: Database, folder: Path, file: str, content: str, said: str
) -> None:
    (folder / file).write_text(content, "utf-8")
    with pytest.raises(PresetError, match=said):
        await load(database, folder)
    async with database.read() as session:
        assert (await session.execute(select(Preset))).first() is None


def test_every_key_of_every_kind_stands_once() -> None:
    entries = read_entries(PRESETS)
    assert len({(entry.kind, entry.key) for entry in entries}) == len(entries) > 200


contents = st.integers(0, 2).map(lambda number: {"says": number})
in_files = st.lists(st.builds(Version, st.just({"key": "k"}), st.integers(1, 4), contents), min_size=1, max_size=1)
in_table = st.lists(contents, max_size=5).map(
    lambda said: [Version({"key": "k"}, number, content) for number, content in enumerate(said, start=1)]
)


@given(in_files, in_table)
def test_a_version_is_missing_until_it_is_added_and_never_afterwards(
    wanted: list[Version], stored: list[Version]
) -> None:
    missing = list(missing_versions(wanted, stored))
    added = [Version(one.of, number, one.content) for one, number in missing]
    assert list(missing_versions(wanted, [*stored, *added])) == []
    for one, number in missing:
        assert number >= one.number
        assert number > max((other.number for other in stored), default=0)
