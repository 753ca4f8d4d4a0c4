"""What a cell means: dates as people and Excel write them, numbers, telephones, choices."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.utils.datetime import MAC_EPOCH, to_excel

from backend.imports.converters import CellRefused, Reading, convert, text_of
from backend.imports.schemas import FieldSource
from backend.imports.targets import Field

SHANGHAI = Reading("Asia/Shanghai")
DATE, INSTANT, NUMBER = Field("date"), Field("instant"), Field("decimal")

days = st.dates(date(1960, 1, 1), date(2110, 12, 31))
moments = st.datetimes(datetime(1960, 1, 1), datetime(2110, 12, 31)).map(lambda at: at.replace(microsecond=0))  # noqa: DTZ001


def read(field: Field, cell: Any, reading: Reading = SHANGHAI, **source: Any) -> Any:
    return convert(field, FieldSource(**source), cell, reading)


@given(days)
def test_a_day_is_the_same_however_it_is_written(day: date) -> None:
    written = [
        day.isoformat(),
        f"{day.year}/{day.month}/{day.day}",
        f"{day.year}.{day.month}.{day.day}",
        f"{day.year}年{day.month}月{day.day}日",
        f" {day.year}年{day.month:02}月{day.day:02}日\u3000",
        day.strftime("%Y%m%d"),
        day,
        datetime.combine(day, time()),  # what openpyxl hands over for a cell formatted as a date
        to_excel(day),
        str(int(to_excel(day))),
    ]
    assert {read(DATE, cell) for cell in written} == {day}


@given(days)
def test_a_workbook_that_counts_from_1904_says_the_same_days(day: date) -> None:
    assert read(DATE, to_excel(day, MAC_EPOCH), Reading("Asia/Shanghai", MAC_EPOCH)) == day


@given(moments)
def test_an_instant_survives_being_written_with_an_offset(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)
    for zone in (UTC, ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")):
        assert read(INSTANT, aware.astimezone(zone).isoformat()) == aware
    assert read(INSTANT, moment.isoformat() + "Z") == aware


@given(moments)
def test_a_local_time_is_read_in_the_mappings_zone(moment: datetime) -> None:
    known = moment.replace(tzinfo=ZoneInfo("Asia/Tokyo"))  # no summer time in these years, so every time exists once
    for cell in (moment, moment.isoformat(" "), moment.strftime("%Y/%m/%d %H:%M:%S"), to_excel(moment)):
        assert abs(read(INSTANT, cell, Reading("Asia/Tokyo")) - known) < timedelta(seconds=1)


def test_chinese_times_are_read() -> None:
    expected = datetime(2026, 3, 1, 6, 30, tzinfo=UTC)
    for cell in ("2026年3月1日 14:30", "2026年3月1日14时30分", "２０２６/３/１ １４：３０"):
        assert read(INSTANT, cell) == expected


@pytest.mark.parametrize("cell", ["03/04/2026", "3-4-26", "next Monday", "2026-13-01", "2026-02-30", "12:30", "123456"])
def test_what_can_be_read_in_two_ways_or_in_none_is_refused(cell: str) -> None:
    with pytest.raises(CellRefused) as refused:
        read(DATE, cell)
    assert cell in refused.value.en
    assert cell in refused.value.zh


def test_a_format_decides_what_would_be_ambiguous() -> None:
    assert read(DATE, "03/04/2026", format="%d/%m/%Y") == date(2026, 4, 3)
    assert read(DATE, "03/04/2026", format=["%Y-%m-%d", "%m/%d/%Y"]) == date(2026, 3, 4)


def test_a_time_of_day_is_no_date() -> None:
    with pytest.raises(CellRefused, match="a date is wanted"):
        read(DATE, "2026-03-01 14:30")


def test_a_local_time_needs_a_zone_and_must_exist_in_it() -> None:
    with pytest.raises(CellRefused, match="no offset"):
        read(INSTANT, "2026-03-01 14:30", Reading())
    with pytest.raises(CellRefused, match="does not exist"):
        read(INSTANT, "2026-03-08 02:30", zone="America/New_York")  # the clocks went from 2 to 3


def test_of_a_local_time_that_came_twice_the_first_counts() -> None:
    autumn = read(INSTANT, "2026-11-01 01:30", zone="America/New_York")
    assert autumn == datetime(2026, 11, 1, 5, 30, tzinfo=UTC), "an earlier receipt is the stricter promise"


@given(st.floats(-1e9, 1e9, allow_nan=False))
def test_numbers_are_read_in_any_width_and_with_separators(number: float) -> None:
    assert read(NUMBER, number) == number
    assert read(NUMBER, str(number)) == number
    wide = f"{number:,.2f}".translate(str.maketrans("0123456789,.-", "０１２３４５６７８９，．－"))
    assert read(NUMBER, wide) == pytest.approx(number, abs=0.01)


@pytest.mark.parametrize("cell", ["0001-01-01T00:00:00+08:00", "9999-12-31T23:59:59-12:00", "1026-03-01 14:30"])
def test_years_nobody_means_are_refused(cell: str) -> None:
    with pytest.raises(CellRefused, match="cannot be meant"):
        read(INSTANT, cell)


def test_prices_in_yuan_become_fen() -> None:
    price = Field("integer", least=0)
    assert read(price, "12.30", times=100) == 1230
    assert read(price, 0.29, times=100) == 29, "0.29 * 100 is 28.999… in binary"
    with pytest.raises(CellRefused, match="whole number"):
        read(price, "0.005", times=100)
    with pytest.raises(CellRefused, match="outside"):
        read(price, "-1")
    with pytest.raises(CellRefused, match="too large"):
        read(price, "30000000", times=100)


@pytest.mark.parametrize("cell", ["12,5", "1,23", "1,2345", "1.234,5", ",5", "１２，５"])
def test_a_comma_that_may_be_a_decimal_point_is_refused(cell: str) -> None:
    with pytest.raises(CellRefused, match="can be read in two ways"):
        read(NUMBER, cell)


@pytest.mark.parametrize("cell", ["", "NaN", "inf", "12a", "1.2.3"])
def test_what_is_no_number_is_refused_and_nothing_is_nothing(cell: str) -> None:
    if not cell:
        assert read(NUMBER, cell) is None
        return
    with pytest.raises(CellRefused, match="not a number"):
        read(NUMBER, cell)


def test_degrees_lie_on_the_earth() -> None:
    latitude = Field("degrees", least=-90, most=90)
    assert read(latitude, "31.0") == 31.0
    with pytest.raises(CellRefused, match=r"outside -90\.\.90"):
        read(latitude, "117.0")


def test_a_whole_number_from_excel_is_text_without_a_decimal_point() -> None:
    assert text_of(13800000001.0) == "13800000001"
    assert text_of(1.5) == "1.5"
    assert text_of(True) == "true"
    assert text_of(datetime(2026, 3, 1)) == "2026-03-01"  # noqa: DTZ001 - as openpyxl hands it over


@pytest.mark.parametrize(
    "cell", ["138 0000 0001", "+86-138-0000-0001", 13800000001, 13800000001.0, "１３８００００００01"]
)
def test_a_telephone_number_is_the_same_however_it_is_typed(cell: object) -> None:
    assert read(Field("phone"), cell) == "+8613800000001"


def test_a_telephone_number_that_excel_mangled_is_refused() -> None:
    with pytest.raises(CellRefused, match="not a phone number"):
        read(Field("phone"), "1.38E+10")


def test_yes_and_no_in_both_languages() -> None:
    flag = Field("flag")
    assert [read(flag, cell) for cell in ("是", "Y", "TRUE", "√", 1, True)] == [True] * 6
    assert [read(flag, cell) for cell in ("否", "no", "0", "×", 0.0, False)] == [False] * 6
    with pytest.raises(CellRefused, match="neither yes nor no"):
        read(flag, "perhaps")


def test_a_map_gives_words_their_meaning_and_refuses_the_others() -> None:
    kind = Field("choice", choices=("elevator", "escalator"))
    meanings = {"电梯": "elevator", "扶梯": "escalator", "ELEVATOR": "elevator"}
    assert read(kind, " Elevator ", map=meanings) == "elevator"
    assert read(kind, "扶梯", map=meanings) == "escalator"
    with pytest.raises(CellRefused, match="no meaning"):
        read(kind, "楼梯", map=meanings)
    assert read(kind, "楼梯", map=meanings, otherwise="elevator") == "elevator"
    assert read(kind, "", map=meanings, empty="escalator") == "escalator"


def test_lists_are_split_at_what_people_write_between() -> None:
    skills = Field("list")
    assert read(skills, "cctv、network；fibre, ups") == ["cctv", "network", "fibre", "ups"]
    assert read(skills, "a,b / c", split="/") == ["a,b", "c"]


@pytest.mark.parametrize("cell", ["#N/A", "#REF!", "x" * 10_001, "a\x00b"])
def test_broken_formulas_and_endless_texts_are_refused(cell: str) -> None:
    with pytest.raises(CellRefused):
        read(Field(), cell)
