"""From a cell to a value: dates as people and Excel write them, numbers, telephones, choices.

Pure. What can be read in two ways is refused, never guessed.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from openpyxl.utils.datetime import WINDOWS_EPOCH

from backend.core.errors import Finding
from backend.imports.limits import CELL_LENGTH, EXCEL_DAYS
from backend.imports.schemas import FieldSource, Scalar
from backend.imports.targets import Field
from backend.people.rules import normal_phone

Cell = str | int | float | bool | datetime | date | time | None

EXCEL_ERRORS: Final = frozenset(
    {"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#SPILL!", "#CALC!"}
)
BLANKS: Final = " \t\r\n\u00a0\u3000\u200b\ufeff"
"""What people call empty: also the wide space, the unbreakable one and the invisible ones."""
YES: Final = frozenset({"1", "true", "yes", "y", "on", "是", "有", "√", "✓", "对"})
NO: Final = frozenset({"0", "false", "no", "n", "off", "否", "无", "×", "✗", "错"})
DATE_FORMATS: Final = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日")
TIME_FORMATS: Final = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%H时%M分", "%H时%M分%S秒")
"""Only what can be read in one way: 03/04/2026 needs a `format`."""
EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
AS_WRITTEN: Final = FieldSource()
EARLIEST_YEAR: Final = 1900
LATEST_YEAR: Final = 2200
"""Instants outside were mistyped."""
INTEGER_MOST: Final = 2**31 - 1
"""What an integer column holds."""
LIST_SEPARATORS: Final = re.compile(r"[,;，；、|]")


class CellRefused(ValueError):
    """A cell that cannot be read as what its field wants; the reasons in both languages."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh = zh
        self.en = en

    def finding(self, field: str) -> Finding:
        """The refusal as a finding about a field."""
        return Finding(field, self.zh, self.en)


@dataclass(frozen=True)
class Reading:
    """How the file's cells are to be read."""

    zone: str = ""
    """Time zone of instants without an offset."""
    epoch: datetime = WINDOWS_EPOCH
    """Day 0 of the workbook's calendar."""


def tidy(text: str) -> str:
    """Return the text in normal width, without blanks around it and with single ones inside."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def folded(text: str) -> str:
    """Return what two texts share that differ only in letter case, width and blanks."""
    return tidy(text).casefold()


def text_of(cell: Cell) -> str:
    """Return a cell as text: whole numbers without a decimal point, dates in ISO.

    Raises CellRefused for broken formulas and texts too long.
    """
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    if not isinstance(cell, str):
        return str(cell)
    return _checked_text(cell.strip(BLANKS))


def _checked_text(text: str) -> str:
    if text in EXCEL_ERRORS:
        raise CellRefused(f"单元格是公式错误 {text}", f"the cell holds a broken formula, {text}")
    if len(text) > CELL_LENGTH:
        raise CellRefused(f"内容超过 {CELL_LENGTH} 个字符", f"longer than {CELL_LENGTH} characters")
    if "\x00" in text:
        raise CellRefused("含有空字符", "holds a NUL character")
    return text


def convert(field: Field, source: FieldSource, cell: Cell, reading: Reading) -> Any:
    """Return the value of a field, or None where the cell says nothing; raises CellRefused.

    Texts are tested for length elsewhere, references are found elsewhere: both stay texts here.
    """
    text = text_of(cell)
    if not text:
        return None if source.empty is None else said(field, source.empty, reading)
    if source.map is not None:
        return said(field, _meaning(source.map, text, source.otherwise), reading)
    return CONVERTERS[field.kind](field, source, cell, reading)


def said(field: Field, value: Scalar | list[str], reading: Reading) -> Any:
    """Return the value of a field the mapping itself gives one; raises CellRefused."""
    if isinstance(value, list):
        return value
    return CONVERTERS[field.kind](field, AS_WRITTEN, value, reading)


def _meaning(meanings: Mapping[str, Scalar], text: str, otherwise: Scalar | None) -> Scalar:
    found = {folded(written): meant for written, meant in meanings.items()}.get(folded(text), otherwise)
    if found is None:
        known = ", ".join(meanings)
        raise CellRefused(f"对照表中没有“{text}”(有 {known})", f"the map has no meaning for {text!r}; it has {known}")
    return found


def _text(_field: Field, source: FieldSource, cell: Cell, _reading: Reading) -> str:
    text = text_of(cell)
    return text.upper() if source.case == "upper" else text.lower() if source.case == "lower" else text


THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
"""A number whose commas can only group its digits."""


def _number(source: FieldSource, cell: Cell) -> float:
    text = tidy(text_of(cell))
    if "," in text and not THOUSANDS.fullmatch(text):
        raise CellRefused(
            f"“{text}”中的逗号含义不明;小数请用点",
            f"the comma in {text!r} can be read in two ways; write decimals with a point",
        )
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        raise CellRefused(f"“{text}”不是数字", f"{text!r} is not a number") from None
    if not math.isfinite(number):
        raise CellRefused(f"“{text}”不是数字", f"{text!r} is not a number")
    return number if source.times is None else round(number * source.times, 6)


def _within(field: Field, number: float) -> float:
    if (field.least is not None and number < field.least) or (field.most is not None and number > field.most):
        span = f"{'' if field.least is None else f'{field.least:g}'}..{'' if field.most is None else f'{field.most:g}'}"
        raise CellRefused(f"{number:g} 超出范围 {span}", f"{number:g} is outside {span}")
    return number


def _integer(field: Field, source: FieldSource, cell: Cell, _reading: Reading) -> int:
    number = _within(field, _number(source, cell))
    if not number.is_integer():
        raise CellRefused(f"{number:g} 不是整数", f"{number:g} is not a whole number")
    if abs(number) > INTEGER_MOST:
        raise CellRefused(f"{number:g} 太大", f"{number:g} is too large")
    return int(number)


def _decimal(field: Field, source: FieldSource, cell: Cell, _reading: Reading) -> float:
    return _within(field, _number(source, cell))


def _flag(_field: Field, _source: FieldSource, cell: Cell, _reading: Reading) -> bool:
    word = folded(text_of(cell))
    if word not in YES | NO:
        raise CellRefused(f"“{word}”不是“是”或“否”", f"{word!r} is neither yes nor no")
    return word in YES


def _choice(field: Field, _source: FieldSource, cell: Cell, _reading: Reading) -> str:
    word = folded(text_of(cell))
    if word not in field.choices:
        options = ", ".join(field.choices)
        raise CellRefused(f"“{word}”不在可选值中: {options}", f"{word!r} is not one of {options}")
    return word


def _list(field: Field, source: FieldSource, cell: Cell, reading: Reading) -> list[str]:
    text = _text(field, source, cell, reading)
    parts = text.split(source.split) if source.split else LIST_SEPARATORS.split(text)
    return [part.strip(BLANKS) for part in parts if part.strip(BLANKS)]


def _phone(_field: Field, _source: FieldSource, cell: Cell, _reading: Reading) -> str:
    text = tidy(text_of(cell))
    number = normal_phone(text)
    if number is None:
        raise CellRefused(f"“{text}”不是电话号码", f"{text!r} is not a phone number")
    return number


def _email(_field: Field, _source: FieldSource, cell: Cell, _reading: Reading) -> str:
    text = tidy(text_of(cell)).lower()
    if not EMAIL.fullmatch(text):
        raise CellRefused(f"“{text}”不是邮箱地址", f"{text!r} is not an e-mail address")
    return text


def _zone(_field: Field, _source: FieldSource, cell: Cell, _reading: Reading) -> str:
    name = text_of(cell)
    if not is_zone(name):
        raise CellRefused(f"没有时区 {name}", f"there is no time zone {name!r}")
    return name


def is_zone(name: str) -> bool:
    """Whether this is the name of an IANA time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def is_date_format(form: str) -> bool:
    """Whether strptime can read what this format writes."""
    try:
        datetime.strptime(datetime(2026, 3, 1).strftime(form), form)  # noqa: DTZ001, DTZ007 - only the format is tried
    except (ValueError, re.error):
        return False
    return True


def _date(_field: Field, source: FieldSource, cell: Cell, reading: Reading) -> date:
    moment = _moment(source, cell, reading)
    if moment.time() != time():
        raise CellRefused(f"{moment} 是时刻,应为日期", f"{moment} is a time of day, a date is wanted")
    return moment.date()


def _instant(_field: Field, source: FieldSource, cell: Cell, reading: Reading) -> datetime:
    moment = _moment(source, cell, reading)
    if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
        raise CellRefused(f"年份 {moment.year} 不可信", f"the year {moment.year} cannot be meant")
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    zone = source.zone or reading.zone
    if not zone:
        raise CellRefused(f"{moment} 没有时区", f"{moment} has no offset, and the mapping no time_zone")
    local = moment.replace(tzinfo=ZoneInfo(zone))
    if local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) != moment:
        raise CellRefused(
            f"{zone} 没有 {moment} 这个时刻(夏令时)", f"{moment} does not exist in {zone}: the clocks were put on"
        )
    return local.astimezone(UTC)


def _moment(source: FieldSource, cell: Cell, reading: Reading) -> datetime:
    """Read a date or instant as it is written: naive unless it carries an offset."""
    if isinstance(cell, datetime):
        return cell
    if isinstance(cell, date):
        return datetime.combine(cell, time())
    text = tidy(text_of(cell))
    if source.formats:
        return _by_formats(text, source.formats)
    excel_day = _excel_day(text)
    if excel_day is not None:
        return _from_excel(excel_day, reading.epoch)
    return _as_written(text)


def _excel_day(text: str) -> float | None:
    """Return a plain number that is a day of Excel's calendar; 20260301 is too large for one."""
    if not re.fullmatch(r"\d{5}(\.\d+)?", text):
        return None
    number = float(text)
    return number if EXCEL_DAYS[0] <= number <= EXCEL_DAYS[1] else None


def _from_excel(day: float, epoch: datetime) -> datetime:
    """Excel counts days and parts of days; its two calendars agree on everything after February 1900."""
    return (epoch + timedelta(days=day) + timedelta(milliseconds=1)).replace(microsecond=0)


def _as_written(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        day, _, clock = re.sub(r"(?<=日)(?=\d)", " ", text).partition(" ")
    for read_day in DATE_FORMATS:
        for read_clock in TIME_FORMATS if clock else ("",):
            try:
                return datetime.strptime(f"{day} {clock}".strip(), f"{read_day} {read_clock}".strip())  # noqa: DTZ007 - as written
            except ValueError:
                continue
    raise _no_date(text)


def _by_formats(text: str, formats: tuple[str, ...]) -> datetime:
    for wanted in formats:
        try:
            return datetime.strptime(text, wanted)  # noqa: DTZ007 - as written; the zone follows
        except ValueError:
            continue
    raise _no_date(text)


def _no_date(text: str) -> CellRefused:
    return CellRefused(
        f"“{text}”不是能唯一确定的日期或时间,请给出 format",
        f"{text!r} is no date or time that can be read in one way only; give its format",
    )


Converter = Callable[[Field, FieldSource, Cell, Reading], Any]
CONVERTERS: Final[Mapping[str, Converter]] = {
    "text": _text,
    "reference": _text,
    "integer": _integer,
    "decimal": _decimal,
    "degrees": _decimal,
    "date": _date,
    "instant": _instant,
    "flag": _flag,
    "choice": _choice,
    "list": _list,
    "phone": _phone,
    "email": _email,
    "zone": _zone,
}
"""By the kind of field."""
