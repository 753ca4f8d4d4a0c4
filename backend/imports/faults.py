"""What an import as a whole can be refused for. A refused row is no fault: it is listed, the others are imported."""

from backend.core.errors import Fault, Finding, Problem

FILE_REFUSED = Fault(
    "import_file_refused", 422, "这个文件无法读取,什么都没有导入。", "The file cannot be read; nothing was imported.",
    "请按 findings 改正文件(编码、列名、表头)后重新导入。",
    "Correct the file as the findings say (encoding, columns, headings) and import it again.",
)  # fmt: skip
MAPPING_REFUSED = Fault(
    "import_mapping_refused", 422, "映射文件有误,什么都没有导入。", "The mapping is not right; nothing was imported.",
    "请按 findings 改正映射文件,写法见 docs/how-to/import.md。",
    "Correct the mapping as the findings say; docs/how-to/import.md shows how one is written.",
)  # fmt: skip
ALREADY_UNDONE = Fault(
    "import_already_undone", 409, "这次导入已经撤销过。", "This import has been undone already.",
    "无需再做;如需这些数据,请重新导入。", "There is nothing left to do; import the file again if you need it.",
)  # fmt: skip
UNDO_OBSTRUCTED = Fault(
    "import_undo_obstructed", 409, "之后有别的内容依赖这次导入,没有撤销任何内容。",
    "Something later rests on this import; nothing was undone.",
    "请先处理 findings 中列出的内容,或先撤销之后的导入。",
    "Deal with what the findings name first, or undo the later import first.",
)  # fmt: skip


def file_refused(zh: str, en: str) -> Problem:
    """Return the refusal of a whole file, to be raised."""
    return Problem(FILE_REFUSED, Finding("file", zh, en))


def mapping_refused(*findings: Finding) -> Problem:
    """Return the refusal of a mapping, to be raised."""
    return Problem(MAPPING_REFUSED, *findings)
