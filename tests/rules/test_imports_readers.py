"""Reading files: encodings, headings in many styles, merged cells, hidden sheets, and what is no such file."""

import re
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import Workbook

from backend.core.errors import Problem
from backend.imports import readers
from backend.imports.readers import SheetRow, Source, find_encoding, open_source
from backend.imports.schemas import FileLayout

WANTED = {"name": ["name", "名称"], "phone": ["phone", "电话"]}
LAYOUT = FileLayout()
characters = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


def refusal(path: Path, layout: FileLayout = LAYOUT, wanted: dict[str, list[str]] | None = None) -> str:
    with pytest.raises(Problem) as refused:
        list(open_source(path, layout, wanted or WANTED).rows())
    assert refused.value.fault.code == "import_file_refused"
    (finding,) = refused.value.findings
    assert finding.zh
    return finding.en


def lines(source: Source) -> list[tuple[int, dict[str, Any]]]:
    return [(row.line, dict(row.cells)) for row in source.rows()]


def write_xlsx(path: Path, *rows: list[Any], merged: tuple[str, ...] = (), title: str = "台账") -> Path:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(row)
    for cells in merged:
        sheet.merge_cells(cells)
    book.save(path)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030"])
def test_the_encoding_is_found_and_every_character_arrives(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("名称,电话\n云桥大厦,13800000001\n北湖学校,\n".encode(encoding))
    source = open_source(path, LAYOUT, WANTED)
    assert source.encoding == (encoding if encoding.startswith("utf") else "gb18030")
    assert lines(source) == [(2, {"name": "云桥大厦", "phone": "13800000001"}), (3, {"name": "北湖学校", "phone": ""})]


@given(st.lists(characters, min_size=1, max_size=5), st.sampled_from(["utf-8", "gb18030"]))
def test_what_was_written_in_a_declared_encoding_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], encoding: str
) -> None:
    path = tmp_path_factory.mktemp("texts") / "list.csv"
    path.write_bytes("\n".join(texts).encode(encoding))
    assert find_encoding(path, encoding) in {encoding, "utf-8-sig"}


def test_a_wrong_encoding_names_the_first_bad_byte(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(b"name,phone\nLi Wei,1\n" + b"caf\xe9,2\n")
    assert (
        refusal(path)
        == "not utf-8: byte 23 (line 3) cannot be decoded; not gb18030: byte 23 (line 3) cannot be decoded"
    )
    path.write_bytes("名称,电话\n云桥,1\n".encode("gbk"))
    assert refusal(path, FileLayout(encoding="utf-8")) == "not utf-8: byte 0 (line 1) cannot be decoded"
    path.write_bytes("名称,电话\n云桥,1\n".encode("utf-16"))
    assert "UTF-16" in refusal(path)
    assert "no support" in refusal(path, FileLayout(encoding="latin-1"))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("name,phone\nCaféteria Nord,\nHôtel Ségur,\n", "latin-1"),
        ("name,phone\n東門廣場,\n湖濱學校,\n雲橋大廈,\n", "big5"),
        ("name,phone\n東京タワー,\nさくら小学校,\n", "shift-jis"),
    ],
)
def test_what_only_happens_to_decode_is_asked_about(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode(encoding))
    assert "say the encoding with --encoding" in refusal(path)


def test_rare_characters_are_believed_when_the_encoding_is_declared(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("name,phone\n喆堃,\n".encode("gbk"))
    assert "say the encoding" in refusal(path)
    assert find_encoding(path, "gbk") == "gb18030"


def test_titles_above_ornaments_and_other_names_do_not_hide_the_headings(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("客户台账,,\n2026年3月,,\n 联系人,＊名 称：, PHONE\n,云桥大厦,1\n", "utf-8")
    source = open_source(path, LAYOUT, {"name": ["名 称"], "phone": ["电话", "phone"]})
    assert lines(source) == [(4, {"name": "云桥大厦", "phone": "1"})]


def test_missing_and_doubled_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("name,address\nLi,1\n", "utf-8")
    assert refusal(path) == "missing columns: phone / 电话 (the file has name, address)"
    path.write_text("name,phone,电话\nLi,1,2\n", "utf-8")
    assert refusal(path) == "more than one column could be phone"
    path.write_text("", "utf-8")
    assert refusal(path).startswith("missing columns: name / 名称; phone / 电话")


def test_lines_are_those_of_the_file_also_behind_line_breaks_in_cells(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('name,phone\n"two\nlines",1\n\n , \nlast,2,,x\n', "utf-8")
    source = open_source(path, LAYOUT, WANTED)
    assert [(row.line, row.cells["name"], row.overflow) for row in source.rows()] == [
        (2, "two\nlines", 0),
        (6, "last", 1),
    ]


def test_a_quote_that_never_closes_refuses_the_file(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('name,phone\nfine,1\n"open,2\nmore,3\n', "utf-8")
    assert refusal(path).startswith("from line 3 on this is no sound CSV")


def test_other_delimiters_are_declared(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("name;phone\nLi, Wei;1\n", "utf-8")
    assert lines(open_source(path, FileLayout(delimiter=";"), WANTED)) == [(2, {"name": "Li, Wei", "phone": "1"})]


def test_merged_cells_are_filled(tmp_path: Path) -> None:
    path = write_xlsx(
        tmp_path / "list.xlsx",
        ["设备台账", None, None],
        ["站点", "名称", "电话"],
        ["云桥大厦", "电梯1", 1],
        [None, "电梯2", 2],
        [None, None, None],
        ["北湖学校", "电梯3", "x"],
        [None, None, None],
        [None, "电梯4", None],
        merged=("A1:C1", "A3:A5", "A6:A8", "C6:C8"),
    )
    source = open_source(path, LAYOUT, {"site": ["站点"], **WANTED})
    assert lines(source) == [
        (3, {"site": "云桥大厦", "name": "电梯1", "phone": 1}),
        (4, {"site": "云桥大厦", "name": "电梯2", "phone": 2}),
        (6, {"site": "北湖学校", "name": "电梯3", "phone": "x"}),
        (8, {"site": "北湖学校", "name": "电梯4", "phone": "x"}),
    ]


def test_headings_over_two_lines_are_joined(tmp_path: Path) -> None:
    path = write_xlsx(
        tmp_path / "list.xlsx",
        ["名称", "联系人", None],
        [None, "姓名", "电话"],
        ["云桥大厦", "赵敏", 13800000001],
        merged=("A1:A2", "B1:C1"),
    )
    wanted = {"name": ["名称"], "contact": ["联系人/姓名"], "phone": ["联系人/电话"]}
    source = open_source(path, FileLayout(header_rows=2), wanted)
    assert lines(source) == [(3, {"name": "云桥大厦", "contact": "赵敏", "phone": 13800000001})]


def test_hidden_sheets_are_passed_over_and_the_first_that_fits_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list.xlsx"
    book = Workbook()
    hidden, notes, good = book.active, book.create_sheet("说明"), book.create_sheet("三月")
    assert hidden is not None
    hidden.title, hidden.sheet_state = "旧", "hidden"
    for sheet, name in ((hidden, "old"), (good, "new")):
        sheet.append(["name", "phone"])
        sheet.append([name, "1"])
    notes.append(["please read"])
    book.save(path)
    source = open_source(path, LAYOUT, WANTED)
    assert (source.sheet, lines(source)) == ("三月", [(2, {"name": "new", "phone": "1"})])
    assert refusal(path, FileLayout(sheet="旧")) == "no visible sheet '旧'; there are 说明, 三月"


def test_dates_of_a_workbook_arrive_as_dates_and_its_calendar_is_known(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "list.xlsx", ["name", "phone"], [datetime(2026, 3, 1, 14, 30), date(2026, 3, 1)])  # noqa: DTZ001
    source = open_source(path, LAYOUT, WANTED)
    assert lines(source)[0][1] == {"name": datetime(2026, 3, 1, 14, 30), "phone": datetime(2026, 3, 1)}  # noqa: DTZ001
    assert source.epoch.year == 1899


def test_a_formula_that_was_never_computed_refuses_the_file_and_names_the_cell(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "list.xlsx", ["name", "phone"], ["A", "1"], ["B", "=B2*2"])
    assert "cell B3 of sheet 台账 holds a formula that was never computed" in refusal(path)
    kept = write_xlsx(tmp_path / "kept.xlsx", ["name", "phone"], ["A", "1"])
    with zipfile.ZipFile(kept) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"].decode()
    formula = '<c r="B2" t="str"><f>TEXT(1,"0")</f><v>1</v></c>'
    parts["xl/worksheets/sheet1.xml"] = re.sub(r'<c r="B2".*?</c>', formula, sheet).encode()
    with zipfile.ZipFile(kept, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert lines(open_source(kept, LAYOUT, WANTED)) == [(2, {"name": "A", "phone": "1"})]


def test_what_is_no_workbook_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "list.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 old")
    assert "save it as .xlsx" in refusal(path)
    path.write_bytes(b"PK\x03\x04 broken")
    assert "not a sound .xlsx file" in refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not a workbook")
    assert "not a sound .xlsx file" in refusal(path)


@given(st.data())
@settings(max_examples=60)
def test_a_damaged_workbook_is_refused_or_read_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    sound = write_xlsx(folder / "sound.xlsx", ["name", "phone"], ["a", 1], [None, 2], merged=("A2:A3",))
    broken = folder / "broken.xlsx"
    with zipfile.ZipFile(sound) as whole, zipfile.ZipFile(broken, "w") as damaged:
        names = whole.namelist()
        hit = data.draw(st.sampled_from(names))
        for name in names:
            content = bytearray(whole.read(name))
            if name == hit:
                at = data.draw(st.integers(0, len(content) - 1))
                content[at : at + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=20))
            damaged.writestr(name, bytes(content))
    read: list[SheetRow] = []
    refused = None
    try:
        read.extend(open_source(broken, LAYOUT, WANTED).rows())
    except Problem as problem:
        refused = problem.fault.code
    assert refused in {None, "import_file_refused"}
    assert all(row.cells.keys() <= WANTED.keys() for row in read)


def test_a_file_that_unpacks_to_too_much_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.imports.workbooks.UNPACKED_BYTES", 10_000)
    path = tmp_path / "list.xlsx"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * 20_000)
    assert "unpacks to more than 10000 bytes" in refusal(path)


def test_files_and_tables_have_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.csv"
    path.write_text("name,phone\n" + "a,1\n" * 11, "utf-8")
    monkeypatch.setattr(readers, "ROWS_MAXIMUM", 10)
    assert refusal(path) == "more than 10 rows: split the file"
    monkeypatch.setattr(readers, "FILE_BYTES", 10)
    assert refusal(path) == "the file is larger than 10 bytes"
