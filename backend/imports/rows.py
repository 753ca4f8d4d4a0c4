"""From a row of the file to drafts of records: cells read by the mapping, references still unresolved. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.core.errors import Finding
from backend.imports.converters import Cell, CellRefused, Reading, convert, said, text_of
from backend.imports.mapping import columns_in
from backend.imports.readers import SheetRow
from backend.imports.schemas import FieldSource, ImportMapping, RecordMapping
from backend.imports.targets import TARGETS, Field, Target

EXTERNAL_ID_LENGTH = 120


@dataclass(frozen=True)
class Reference:
    """Another record as the file names it: by external id, or by what the entity is known by."""

    entity: str
    text: str
    by_external_id: bool


@dataclass
class Draft:
    """A record a row asks for. Fields the file says nothing about are absent."""

    record: RecordMapping
    target: Target
    external_id: str
    values: dict[str, Any] = field(default_factory=dict[str, Any])
    references: dict[str, Reference] = field(default_factory=dict[str, Reference])

    def column_of(self, name: str) -> str:
        """Where the file says a field: its column, or the field itself for a constant."""
        source = self.record.source(name)
        return source.column or source.template or source.external_id or name


@dataclass(frozen=True)
class RowDraft:
    """A row with its drafts, or the reasons why it cannot be read."""

    line: int
    drafts: Sequence[Draft] = ()
    refused: Sequence[Finding] = ()


class RowReader:
    """Reads rows by one mapping."""

    def __init__(self, mapping: ImportMapping, reading: Reading) -> None:
        self._mapping = mapping
        self._reading = reading

    def draft(self, row: SheetRow) -> RowDraft:
        """Return the row's drafts; one cell that cannot be read refuses the whole row."""
        refused: list[Finding] = []
        drafts: list[Draft] = []
        if row.overflow:
            refused.append(
                Finding("", f"比表头多出 {row.overflow} 个单元格", f"{row.overflow} cells more than there are headings")
            )
        for record in self._mapping.record:
            try:
                if not record.only_if or _text(row, record.only_if):
                    drafts.append(self._record(record, row, refused))
            except CellRefused as reason:
                refused.append(reason.finding(record.only_if))
        return RowDraft(row.line, [] if refused else drafts, refused)

    def _record(self, record: RecordMapping, row: SheetRow, refused: list[Finding]) -> Draft:
        target = TARGETS[record.entity]
        draft = Draft(record, target, "")
        for name in record.fields:
            try:
                self._field(draft, name, row)
            except CellRefused as reason:
                refused.append(reason.finding(draft.column_of(name)))
        try:
            draft.external_id = external_id(record.external_id, row)
        except CellRefused as reason:
            refused.append(reason.finding(record.external_id))
        return draft

    def _field(self, draft: Draft, name: str, row: SheetRow) -> None:
        wanted, source = draft.target.fields[name], draft.record.source(name)
        if source.external_id:
            named = filled(source.external_id, row)
            if named:
                draft.references[name] = Reference(wanted.of, named, by_external_id=True)
            return
        value = self._value(wanted, source, row)
        if value is None:
            return
        if wanted.kind == "reference":
            draft.references[name] = Reference(wanted.of, value, by_external_id=False)
        else:
            draft.values[name] = value

    def _value(self, wanted: Field, source: FieldSource, row: SheetRow) -> Any:
        if source.value is not None:
            return said(wanted, source.value, self._reading)
        cell: Cell = row.cells[source.column] if source.column else filled(source.template, row)
        return convert(wanted, source, cell, self._reading)


def external_id(template: str, row: SheetRow) -> str:
    """Return the key of a record; raises CellRefused where one of its columns is empty: the key would be another's."""
    for name in columns_in(template):
        if not _text(row, name):
            raise CellRefused(f"{name} 为空,无法识别记录", f"{name} is empty, so the record has no key")
    key = filled(template, row)
    if len(key) > EXTERNAL_ID_LENGTH:
        raise CellRefused(f"超过 {EXTERNAL_ID_LENGTH} 个字符", f"longer than {EXTERNAL_ID_LENGTH} characters")
    return key


def filled(template: str, row: SheetRow) -> str:
    """Fill a template's columns in; empty when it has columns and all of them are empty."""
    names = columns_in(template)
    texts = {name: _text(row, name) for name in names}
    return template.format_map(texts) if not names or any(texts.values()) else ""


def _text(row: SheetRow, name: str) -> str:
    return text_of(row.cells[name])
