"""Reading files row by row, in flat memory: CSV in UTF-8 or GB18030, and XLSX.

A file is looked through once before anything is written, so that a wrong encoding, an unclosed quote or a missing
column changes nothing.
"""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from openpyxl.utils.datetime import WINDOWS_EPOCH

from backend.core.errors import Problem
from backend.imports.converters import BLANKS, Cell, folded
from backend.imports.faults import file_refused
from backend.imports.limits import CELL_LENGTH, COLUMNS_MAXIMUM, FILE_BYTES, HEADER_ROWS_TRIED, ROWS_MAXIMUM
from backend.imports.schemas import FileLayout
from backend.imports.workbooks import Line, MergedRange, open_workbook, outline, workbook_lines

ENCODINGS: Final = ("utf-8", "gb18030")
"""Tried in this order. GB18030 holds GBK and GB2312."""
DECLARED: Final = {
    "utf-8": "utf-8", "utf8": "utf-8", "utf-8-sig": "utf-8",
    "gbk": "gb18030", "gb2312": "gb18030", "gb18030": "gb18030",
}  # fmt: skip
CHINESE_SHARE: Final = 0.8
"""Least share of GB2312 among the characters of a file taken for GB18030 that nobody declared."""
UTF8_MARK: Final = b"\xef\xbb\xbf"
UTF16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
ZIP_MARK: Final = b"PK\x03\x04"
OLE_MARK: Final = b"\xd0\xcf\x11\xe0"
FIELD_LENGTH: Final = CELL_LENGTH * 10
"""Where a CSV field without end is given up; most likely its quote is never closed."""
ORNAMENTS: Final = "*：: "
"""What forms put around a heading, to say that it must be filled for one."""

Wanted = Mapping[str, Sequence[str]]
"""The columns a mapping uses, each with the headings it may have."""


@dataclass(frozen=True)
class SheetRow:
    """One row: its line in the file (or row of the sheet) and its cells by the mapping's names for columns."""

    line: int
    cells: Mapping[str, Cell]
    overflow: int = 0
    """Cells beyond the last heading: a comma is not where it should be."""


@dataclass(frozen=True)
class Table:
    """Where the table stands among a file's lines."""

    columns: Mapping[str, int]
    width: int
    last_heading: int
    """The last line of the headings; rows follow."""


@dataclass(frozen=True)
class Source:
    """A file that was looked through; `rows` reads it from the start each time."""

    path: Path
    sha256: str
    table: Table
    row_count: int
    """Lines below the headings, blank ones too: for showing progress."""
    encoding: str = ""
    delimiter: str = ","
    sheet: str = ""
    epoch: datetime = WINDOWS_EPOCH
    merged: Sequence[MergedRange] = ()

    def rows(self) -> Iterator[SheetRow]:
        """Every row below the headings that is not blank; raises Problem when the file breaks off."""
        for line, cells in self._lines():
            if line > self.table.last_heading and any(not is_blank(cell) for cell in cells):
                yield self._row(line, cells)

    def _lines(self) -> Iterator[Line]:
        if self.sheet:
            return workbook_lines(self.path, self.sheet, self.merged)
        return _csv_lines(self.path, self.encoding, self.delimiter)

    def _row(self, line: int, cells: Sequence[Cell]) -> SheetRow:
        found = {name: cells[at] if at < len(cells) else None for name, at in self.table.columns.items()}
        return SheetRow(line, found, sum(not is_blank(cell) for cell in cells[self.table.width :]))


def open_source(path: Path, layout: FileLayout, wanted: Wanted) -> Source:
    """Look a file through and find its table; raises Problem for one that cannot be imported as a whole."""
    if path.stat().st_size > FILE_BYTES:
        raise file_refused(f"文件超过 {FILE_BYTES} 字节", f"the file is larger than {FILE_BYTES} bytes")
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        mark = file.read(4)
    if mark == OLE_MARK:
        raise file_refused(
            "是旧版 .xls 或加密文件,请另存为无密码的 .xlsx",
            "an old .xls or an encrypted file: save it as .xlsx without a password",
        )
    open_kind = _open_xlsx if mark == ZIP_MARK else _open_csv
    source = open_kind(path, sha256, layout, wanted)
    if source.row_count > ROWS_MAXIMUM:
        raise file_refused(f"超过 {ROWS_MAXIMUM} 行,请分成几个文件", f"more than {ROWS_MAXIMUM} rows: split the file")
    return source


def _open_csv(path: Path, sha256: str, layout: FileLayout, wanted: Wanted) -> Source:
    encoding = find_encoding(path, layout.encoding)
    table = find_table(_csv_lines(path, encoding, layout.delimiter), layout, wanted)
    count = sum(line > table.last_heading for line, _ in _csv_lines(path, encoding, layout.delimiter))
    return Source(path, sha256, table, count, encoding=encoding, delimiter=layout.delimiter)


def _open_xlsx(path: Path, sha256: str, layout: FileLayout, wanted: Wanted) -> Source:
    book = open_workbook(path)
    if layout.sheet and layout.sheet not in book.sheets:
        there = ", ".join(book.sheets)
        raise file_refused(
            f"没有可见的工作表“{layout.sheet}”;有 {there}", f"no visible sheet {layout.sheet!r}; there are {there}"
        )
    refusals: list[Problem] = []
    for sheet in [layout.sheet] if layout.sheet else book.sheets:
        seen = outline(path, sheet)
        try:
            table = find_table(workbook_lines(path, sheet, seen.merged), layout, wanted)
        except Problem as refusal:
            refusals.append(refusal)
            continue
        count = max(0, seen.rows - table.last_heading)
        return Source(path, sha256, table, count, sheet=sheet, epoch=book.epoch, merged=seen.merged)
    raise refusals[0] if refusals else file_refused("没有可见的工作表", "the workbook has no visible sheet")


def find_encoding(path: Path, declared: str = "") -> str:
    """Return an encoding every line of the file is valid in; raises Problem naming the first byte that is not.

    `declared` is what the mapping says; without it UTF-8 is tried, then GB18030.
    """
    if declared and declared.lower() not in DECLARED:
        known = ", ".join(DECLARED)
        raise file_refused(
            f"不支持编码 {declared};可用 {known}", f"no support for encoding {declared!r}; use one of {known}"
        )
    with path.open("rb") as file:
        start = file.read(3)
    if start[:2] in UTF16_MARKS:
        raise file_refused("编码是 UTF-16,请另存为 UTF-8", "the file is UTF-16: save it as UTF-8")
    faults: list[tuple[str, int, int]] = []
    for encoding in (DECLARED[declared.lower()],) if declared else ENCODINGS:
        fault = _first_fault(path, encoding)
        if fault is None and not declared and encoding == "gb18030" and not _reads_as_chinese(path):
            raise file_refused(
                "不是 UTF-8,按 GB18030 读出的又不像中文;请用 --encoding 指明编码",
                "it is not UTF-8, and read as GB18030 it is not Chinese; say the encoding with --encoding",
            )
        if fault is None:
            return "utf-8-sig" if encoding == "utf-8" and start == UTF8_MARK else encoding
        faults.append((encoding, *fault))
    raise file_refused(
        ";".join(f"不是 {encoding}: 第 {byte} 个字节(第 {line} 行)无法解码" for encoding, byte, line in faults),
        "; ".join(f"not {encoding}: byte {byte} (line {line}) cannot be decoded" for encoding, byte, line in faults),
    )


def _first_fault(path: Path, encoding: str) -> tuple[int, int] | None:
    """Return (byte counted from 0, line) of the first byte that cannot be decoded.

    Lines can be decoded one by one, because no character of either encoding holds a line feed.
    """
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return offset + error.start, number
            offset += len(line)
    return None


def _reads_as_chinese(path: Path) -> bool:
    """Whether most of what is not ASCII is in GB2312, as nearly all Chinese text is.

    Almost any bytes can be decoded as GB18030; what is Latin-1, Big5 or Shift-JIS then lands among its rare characters.
    """
    beyond = common = 0
    with path.open("rb") as file:
        for line in file:
            signs = [sign for sign in line.decode("gb18030") if sign > "\x7f"]
            beyond += len(signs)
            common += len("".join(signs).encode("gb2312", "ignore")) // 2
    return common >= beyond * CHINESE_SHARE


def _csv_lines(path: Path, encoding: str, delimiter: str) -> Iterator[Line]:
    csv.field_size_limit(FIELD_LENGTH)
    first = 1
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                yield first, cells
                first = reader.line_num + 1
        except csv.Error as error:
            raise file_refused(
                f"第 {first} 行起不是正确的 CSV({error})", f"from line {first} on this is no sound CSV: {error}"
            ) from error


def find_table(lines: Iterable[Line], layout: FileLayout, wanted: Wanted) -> Table:
    """Find the headings among a file's first lines; raises Problem naming the columns that are missing."""
    head = list(islice(lines, layout.header_row + layout.header_rows if layout.header_row else HEADER_ROWS_TRIED))
    best: list[str] | None = None
    seen: list[str] = []
    for at in range(len(head)):
        if layout.header_row and head[at][0] != layout.header_row:
            continue
        headings = _headings(head[at : at + layout.header_rows])
        columns = {name: _places(headings, accepted) for name, accepted in wanted.items()}
        missing = [name for name, places in columns.items() if not places]
        if not missing:
            _refuse_doubles(columns)
            last = head[min(at + layout.header_rows, len(head)) - 1][0]
            return Table({name: places[0] for name, places in columns.items()}, len(headings), last)
        if best is None or len(missing) < len(best):
            best, seen = missing, [heading for heading in headings if heading]
    raise _missing(best or list(wanted), wanted, seen)


def _headings(lines: Sequence[Line]) -> list[str]:
    """Join headings over several lines: `联系人/电话`. What a merged cell repeats is said once."""
    width = max((len(cells) for _, cells in lines), default=0)
    if width > COLUMNS_MAXIMUM:
        raise file_refused(f"超过 {COLUMNS_MAXIMUM} 列", f"more than {COLUMNS_MAXIMUM} columns")
    headings = list[str]()
    for at in range(width):
        parts = [heading(cells[at]) for _, cells in lines if at < len(cells)]
        headings.append("/".join(part for n, part in enumerate(parts) if part and part not in parts[:n]))
    while headings and not headings[-1]:
        headings.pop()
    return headings


def heading(cell: Cell) -> str:
    """Return a heading as headings are compared: in one letter case and width, without blanks and ornaments."""
    return folded("" if cell is None else str(cell)).strip(ORNAMENTS)


def _places(headings: Sequence[str], accepted: Sequence[str]) -> list[int]:
    names = {heading(name) for name in accepted}
    return [at for at, name in enumerate(headings) if name in names]


def _refuse_doubles(columns: Mapping[str, Sequence[int]]) -> None:
    doubled = ", ".join(name for name, places in columns.items() if len(places) > 1)
    if doubled:
        raise file_refused(f"列名重复,无法区分: {doubled}", f"more than one column could be {doubled}")


def _missing(names: Sequence[str], wanted: Wanted, seen: Sequence[str]) -> Problem:
    looked_for = "; ".join(" / ".join(wanted[name]) for name in names)
    there = ", ".join(seen) or "-"
    return file_refused(
        f"缺少列: {looked_for}(文件中有 {there})", f"missing columns: {looked_for} (the file has {there})"
    )


def is_blank(cell: Cell) -> bool:
    """Whether a cell holds nothing, or nothing but blanks."""
    return cell is None or (isinstance(cell, str) and not cell.strip(BLANKS))
