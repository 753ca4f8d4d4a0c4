"""Reading XLSX row by row. openpyxl's streaming reader knows no merged cells, so their ranges are read beside it."""

import logging
import zipfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final

from openpyxl import Workbook as OpenpyxlWorkbook
from openpyxl import load_workbook
from openpyxl.utils import range_boundaries
from openpyxl.xml.functions import fromstring, iterparse

from backend.core.errors import Problem
from backend.imports.converters import Cell
from backend.imports.faults import file_refused
from backend.imports.limits import MERGED_RANGES_MAXIMUM, UNPACKED_BYTES

MAIN: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
RELATION: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
WORKBOOK_PART: Final = "xl/workbook.xml"
RELATIONS_PART: Final = "xl/_rels/workbook.xml.rels"
log = logging.getLogger(__name__)

MAX_ROW: Final = 1_048_576
MAX_COLUMN: Final = 16_384
"""The edges of a sheet: where a merged range without one ends."""

Line = tuple[int, Sequence[Cell]]


@dataclass
class MergedRange:
    """Cells that look like one; only the first holds the value. Rows and columns count from 1."""

    first_row: int
    last_row: int
    first_column: int
    last_column: int


@dataclass(frozen=True)
class Workbook:
    """A workbook that can be opened."""

    path: Path
    epoch: datetime
    sheets: Sequence[str]
    """The visible ones."""


@dataclass(frozen=True)
class Outline:
    """What is known of a sheet before its rows are read."""

    rows: int
    merged: Sequence[MergedRange] = field(default=())


def open_workbook(path: Path) -> Workbook:
    """Look into a workbook; raises Problem for a damaged one or one that unpacks to more than the limit."""
    with _must_be_sound():
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
        if unpacked > UNPACKED_BYTES:
            raise file_refused(f"解压后超过 {UNPACKED_BYTES} 字节", f"it unpacks to more than {UNPACKED_BYTES} bytes")
        with _opened(path) as book:
            visible = [sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"]
            return Workbook(path, book.epoch, visible)


@contextmanager
def _opened(path: Path) -> Generator[OpenpyxlWorkbook]:
    """Open the file ourselves: the library forgets to close one that turns out to be damaged."""
    with path.open("rb") as file, closing(load_workbook(file, read_only=True, data_only=True)) as book:
        yield book


@contextmanager
def _must_be_sound() -> Generator[None]:
    """Refuse a damaged file. What libraries raise for one has no end, so whatever they raise is that; it is logged."""
    try:
        yield
    except Problem:
        raise
    except Exception as error:
        log.info("a workbook could not be read", exc_info=error)
        name = type(error).__name__
        raise file_refused(f"不是完好的 .xlsx 文件({name})", f"not a sound .xlsx file ({name}: {error})") from error


def outline(path: Path, sheet: str) -> Outline:
    """Return how many rows a sheet has and which of its cells are merged; raises Problem for a formula never computed.

    A program that is no spreadsheet writes formulas without their values: what should be a price would be nothing.
    """
    rows, merged = 0, list[MergedRange]()
    formula = computed = False
    with _must_be_sound(), zipfile.ZipFile(path) as archive, archive.open(_part_of(archive, sheet)) as part:
        for element in _elements(part):
            if element.tag == f"{MAIN}row":
                rows += 1
            elif element.tag == f"{MAIN}mergeCell":
                merged.append(_range(element.get("ref")))
            elif element.tag == f"{MAIN}f":
                formula = True
            elif element.tag == f"{MAIN}v":
                computed = bool(element.text)
            elif element.tag == f"{MAIN}c":
                if formula and not computed and element.get("t") != "str":
                    raise _never_computed(sheet, element.get("r"))
                formula = computed = False
            element.clear()
    if len(merged) > MERGED_RANGES_MAXIMUM:
        raise file_refused(
            f"合并单元格超过 {MERGED_RANGES_MAXIMUM} 处", f"more than {MERGED_RANGES_MAXIMUM} merged ranges"
        )
    return Outline(rows, sorted(merged, key=lambda one: one.first_row))


def _never_computed(sheet: str, cell: str) -> Problem:
    return file_refused(
        f"工作表 {sheet} 的单元格 {cell} 是没有计算过的公式;请用表格软件打开、保存后再导入",
        f"cell {cell} of sheet {sheet} holds a formula that was never computed: "
        "open and save it in a spreadsheet program",
    )


def _range(reference: str) -> MergedRange:
    left, top, right, bottom = range_boundaries(reference)
    return MergedRange(top or 1, bottom or MAX_ROW, left or 1, right or MAX_COLUMN)


def _elements(part: IO[bytes]) -> Iterator[Any]:
    for _, element in iterparse(part):
        yield element


def _part_of(archive: zipfile.ZipFile, sheet: str) -> str:
    """Return the name of the file inside the archive that holds a sheet (ECMA-376, part 1, 8.3)."""
    book: Any = fromstring(archive.read(WORKBOOK_PART))
    relation = next(one.get(RELATION) for one in book.iter(f"{MAIN}sheet") if one.get("name") == sheet)
    relations: Any = fromstring(archive.read(RELATIONS_PART))
    target: str = next(one.get("Target") for one in relations if one.get("Id") == relation)
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


def workbook_lines(path: Path, sheet: str, merged: Sequence[MergedRange]) -> Iterator[Line]:
    """Every row of a sheet that holds something of its own, with merged cells filled."""
    with _must_be_sound(), _opened(path) as book:
        opened: Any = book[sheet]
        opened.reset_dimensions()
        rows: Iterator[Sequence[Cell]] = opened.iter_rows(values_only=True)
        yield from filled(enumerate(rows, 1), merged)


def filled(lines: Iterator[Line], merged: Sequence[MergedRange]) -> Iterator[Line]:
    """Give every cell of a merged range the value of its first one; a row with nothing of its own stays blank."""
    waiting, open_ranges = list(reversed(merged)), list[tuple[MergedRange, Cell]]()
    for number, cells in lines:
        open_ranges = [(one, value) for one, value in open_ranges if one.last_row >= number]
        while waiting and waiting[-1].first_row <= number:
            one = waiting.pop()
            if one.last_row >= number:
                at = one.first_column - 1
                open_ranges.append((one, cells[at] if at < len(cells) and one.first_row == number else None))
        yield number, _fill(cells, open_ranges)


def _fill(cells: Sequence[Cell], open_ranges: Sequence[tuple[MergedRange, Cell]]) -> Sequence[Cell]:
    if not open_ranges or all(cell is None for cell in cells):
        return cells
    row = list(cells)
    for one, value in open_ranges:
        row.extend([None] * (min(one.last_column, one.first_column + len(cells)) - len(row)))
        for at in range(one.first_column - 1, min(one.last_column, len(row))):
            row[at] = value
    return row
