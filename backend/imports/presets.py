"""Loading the preset files into the tables: what an organisation starts from, and what a new version brings.

A preset that is in use is never edited: where a file's entry differs from every stored version, it becomes a new row
with the next version number. An organisation's own later versions therefore stay, and loading twice adds nothing.
"""

import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.models import CalendarDay, WorkingCalendar
from backend.contracts.models import ClockPolicy, PriceList
from backend.core.db import insert_ignoring
from backend.core.numbers import number_series
from backend.core.presets import Preset
from backend.forms.authoring import validate_template
from backend.forms.canonical import canonical_bytes, sha256_hex
from backend.forms.models import ChecklistTemplate, ChecklistTemplateVersion
from backend.forms.template import Template
from backend.people.models import Role, Skill

PRESETS: Final = Path(__file__).resolve().parents[1] / "presets"
NO_PRESETS: Final = frozenset({"demo.toml"})
"""Files in the folder that describe something else."""
OWN_TABLES: Final = frozenset({"role", "skill", "clock_policy", "public_holidays", "price_list"})
"""Kinds that have tables of their own; every other kind goes to table `preset`, a calendar's shift hours too."""
LOCK: Final = "presets"
CALENDAR_COLUMNS: Final = (
    "name_zh", "name_en", "working_weekdays", "service_weekdays", "service_on_holidays", "service_opens",
    "service_closes",
)  # fmt: skip
DAY_COLUMNS: Final = ("day_on", "working", "name_zh", "name_en", "provisional")


class PresetError(ValueError):
    """A preset file cannot be loaded; the message says which entry and why."""


@dataclass(frozen=True)
class Entry:
    """One entry of a preset file. `body` is everything but its key, version and names, as plain JSON."""

    kind: str
    key: str
    version: int
    zh: str
    en: str
    body: dict[str, Any]

    @property
    def names(self) -> dict[str, Any]:
        """The columns every preset table has."""
        return {"name_zh": self.zh, "name_en": self.en}


@dataclass(frozen=True)
class Version:
    """One version of something, in a file or in a table: what it is of, its number, and what it says."""

    of: dict[str, Any]
    number: int
    content: dict[str, Any]

    @property
    def subject(self) -> str:
        """What it is a version of, as text."""
        return _text(self.of)

    @property
    def text(self) -> str:
        """What it says, as text: two versions say the same when this is equal."""
        return _text(self.content)


async def load_presets(session: AsyncSession, *, now: datetime, folder: Path = PRESETS) -> int:
    """Bring every preset file into its table; return how many rows were new. Raises PresetError.

    Safe to run at every start and from several processes at once.
    """
    entries = read_entries(folder)
    templates = read_templates(folder)
    await _one_loader_at_a_time(session)
    of_kind: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        of_kind[entry.kind].append(entry)
    generic = [_preset(entry) for entry in entries if entry.kind not in OWN_TABLES]
    return sum((
        await _load_skills(session, of_kind["skill"]),
        await _load_versions(session, Role, [_role(entry) for entry in of_kind["role"]]),
        await _load_versions(session, ClockPolicy, [_clock_policy(entry) for entry in of_kind["clock_policy"]]),
        await _load_versions(session, PriceList, [_price_list(entry) for entry in of_kind["price_list"]]),
        await _load_versions(session, Preset, generic, active=True),
        await _load_calendars(session, of_kind["working_calendar"], of_kind["public_holidays"]),
        await _load_templates(session, templates, now=now),
    ))  # fmt: skip


def read_entries(folder: Path) -> list[Entry]:
    """Read every entry of the preset files in `folder`; raises PresetError."""
    entries = [
        _entry(path.name, kind, raw)
        for path in sorted(folder.glob("*.toml"))
        if path.name not in NO_PRESETS
        for kind, raws in tomllib.loads(path.read_text("utf-8")).items()
        for raw in raws
    ]
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        if (entry.kind, entry.key) in seen:
            msg = f"{entry.kind} {entry.key} stands in the preset files twice"
            raise PresetError(msg)
        seen.add((entry.kind, entry.key))
    return entries


def read_templates(folder: Path) -> list[Template]:
    """Read and check the form templates in `folder/forms`; raises PresetError."""
    return [_template(path) for path in sorted((folder / "forms").glob("*.toml"))]


def missing_versions(wanted: Sequence[Version], stored: Sequence[Version]) -> Iterator[tuple[Version, int]]:
    """Yield each wanted version that no stored one says, with its number: the next one, or its own if that is higher.

    An old content wanted again under a higher number counts as missing: so a file can take a change back.
    """
    by_subject: defaultdict[str, list[Version]] = defaultdict(list)
    for one in stored:
        by_subject[one.subject].append(one)
    for one in wanted:
        standing = by_subject[one.subject]
        if not any(other.number >= one.number and other.text == one.text for other in standing):
            yield one, max([one.number - 1, *(other.number for other in standing)]) + 1


def _text(content: dict[str, Any]) -> str:
    return msgspec.json.encode(content, order="deterministic").decode()


def _entry(file_name: str, kind: str, raw: object) -> Entry:
    plain = cast("dict[str, Any]", msgspec.to_builtins(raw))
    try:
        body = {name: value for name, value in plain.items() if name not in {"key", "version", "zh", "en"}}
        return Entry(kind, str(plain["key"]), int(plain["version"]), str(plain["zh"]), str(plain["en"]), body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"{file_name}: an entry of {kind} lacks {error}"
        raise PresetError(msg) from error


def _template(path: Path) -> Template:
    try:
        template = msgspec.toml.decode(path.read_bytes(), type=Template)
    except msgspec.DecodeError as error:
        msg = f"forms/{path.name}: {error}"
        raise PresetError(msg) from error
    findings = validate_template(template)
    if findings or template.key != path.stem:
        msg = f"forms/{path.name}: {findings or 'its key is not its file name'}"
        raise PresetError(msg)
    return template


def _role(entry: Entry) -> Version:
    permissions = [
        {"area": grant["area"], "level": level, "reach": grant["reach"]}
        for grant in entry.body["grants"]
        for level in (*grant["levels"], *grant.get("actions", ()))
    ]
    content = {"permissions": permissions, "side": entry.body["side"], "queues": entry.body.get("queues", [])}
    return Version({"key": entry.key}, entry.version, entry.names | content)


def _clock_policy(entry: Entry) -> Version:
    return Version({"key": entry.key}, entry.version, entry.names | {"rules": entry.body})


def _price_list(entry: Entry) -> Version:
    until = entry.body.get("valid_until_on")
    content = {
        "currency": entry.body["currency"],
        "valid_from_on": date.fromisoformat(entry.body["valid_from_on"]),
        "valid_until_on": until and date.fromisoformat(until),
        "lines": entry.body["lines"],
    }
    return Version({"key": entry.key}, entry.version, entry.names | content)


def _preset(entry: Entry) -> Version:
    return Version({"kind": entry.kind, "key": entry.key}, entry.version, entry.names | {"body": entry.body})


async def _one_loader_at_a_time(session: AsyncSession) -> None:
    """Lock a row of our own: two servers that start at once would otherwise add the same versions."""
    held = select(number_series.c.last).where(number_series.c.prefix == LOCK).with_for_update()
    if (await session.execute(held)).first() is None:
        await session.run_sync(insert_ignoring, number_series, [{"prefix": LOCK, "last": 0}])
        await session.execute(held)


async def _load_skills(session: AsyncSession, entries: Sequence[Entry]) -> int:
    """Skills have no versions: a person holds the skill, whatever it is called."""
    held = {skill.key: skill for skill in (await session.execute(select(Skill))).scalars()}
    for entry in entries:
        values = entry.names | {"needs_certificate": entry.body["certificate"]}
        if entry.key not in held:
            session.add(Skill(key=entry.key, **values))
    return len([entry for entry in entries if entry.key not in held])


async def _load_versions(
    session: AsyncSession,
    model: type[Role | ClockPolicy | PriceList | Preset],
    wanted: Sequence[Version],
    **beside: object,
) -> int:
    """Add a row for each missing version; `beside` are columns that are not part of what a version says."""
    if not wanted:
        return 0
    names, content = list(wanted[0].of), list(wanted[0].content)
    rows = (await session.execute(select(model))).scalars()
    stored = [
        Version(
            {name: getattr(row, name) for name in names}, row.version, {name: getattr(row, name) for name in content}
        )
        for row in rows
    ]
    new = [model(**one.of, version=number, **one.content, **beside) for one, number in missing_versions(wanted, stored)]
    session.add_all(new)
    return len(new)


async def _load_calendars(session: AsyncSession, calendars: Sequence[Entry], holidays: Sequence[Entry]) -> int:
    """A calendar's days are part of what it says: a year announced anew is a new version of the calendar."""
    days_of: defaultdict[object, list[dict[str, Any]]] = defaultdict(list)
    for day in (await session.execute(select(CalendarDay).order_by(CalendarDay.day_on))).scalars():
        days_of[day.calendar_id].append({name: getattr(day, name) for name in DAY_COLUMNS})
    stored = [
        Version(
            {"key": row.key},
            row.version,
            {name: getattr(row, name) for name in CALENDAR_COLUMNS} | {"days": days_of[row.id]},
        )
        for row in (await session.execute(select(WorkingCalendar))).scalars()
    ]
    arranged = {entry.key: entry for entry in holidays}
    wanted = [_calendar(entry, arranged) for entry in calendars]
    missing = list(missing_versions(wanted, stored))
    for one, number in missing:
        calendar = WorkingCalendar(key=one.of["key"], version=number, **{n: one.content[n] for n in CALENDAR_COLUMNS})
        session.add(calendar)
        await session.flush()
        session.add_all(CalendarDay(calendar_id=calendar.id, **day) for day in one.content["days"])
    return len(missing)


def _calendar(entry: Entry, arranged: dict[str, Entry]) -> Version:
    years = [arranged[key] for key in entry.body["follows"]]
    days = [_day(year, day, working=False) for year in years for day in year.body["holidays"]]
    days += [_day(year, day, working=True) for year in years for day in year.body["makeup_workdays"]]
    content = entry.names | {
        "working_weekdays": entry.body["working_weekdays"],
        "service_weekdays": entry.body["service_weekdays"],
        "service_on_holidays": entry.body["service_on_holidays"],
        "service_opens": time.fromisoformat(entry.body["service_opens"]),
        "service_closes": time.fromisoformat(entry.body["service_closes"]),
        "days": sorted(days, key=lambda day: day["day_on"]),
    }
    return Version({"key": entry.key}, entry.version, content)


def _day(year: Entry, day: dict[str, Any], *, working: bool) -> dict[str, Any]:
    return {
        "day_on": date.fromisoformat(day["date"]), "working": working, "name_zh": day["zh"], "name_en": day["en"],
        "provisional": year.body["provisional"],
    }  # fmt: skip


async def _load_templates(session: AsyncSession, templates: Sequence[Template], *, now: datetime) -> int:
    known = {row.key: row.id for row in (await session.execute(select(ChecklistTemplate))).scalars()}
    for template in templates:
        if template.key not in known:
            row = ChecklistTemplate(key=template.key, name_zh=template.title.zh, name_en=template.title.en)
            session.add(row)
            known[template.key] = row.id
    await session.flush()
    frozen = (await session.execute(select(ChecklistTemplateVersion))).scalars()
    stored = [Version({"key": row.key}, row.version, row.body | {"version": 0}) for row in frozen]
    by_key = {template.key: template for template in templates}
    wanted = [
        Version({"key": template.key}, template.version, msgspec.to_builtins(template) | {"version": 0})
        for template in templates
    ]
    new = [
        _frozen(msgspec.structs.replace(by_key[one.of["key"]], version=number), known[one.of["key"]], now)
        for one, number in missing_versions(wanted, stored)
    ]
    session.add_all(new)
    return len(new)


def _frozen(template: Template, template_id: UUID, now: datetime) -> ChecklistTemplateVersion:
    return ChecklistTemplateVersion(
        template_id=template_id, key=template.key, version=template.version,
        sha256=sha256_hex(canonical_bytes(template)), body=msgspec.to_builtins(template), frozen_at=now,
    )  # fmt: skip
