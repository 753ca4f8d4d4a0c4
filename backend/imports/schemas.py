"""What a mapping file says (TOML), and what an import answers."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from backend.core.errors import Finding
from backend.imports.limits import MAPPING_BYTES

Writes = Literal["create_and_change", "create", "change"]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=120)]
Scalar = str | int | float | bool


class FieldSource(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a field's value comes from: exactly one of column, template, value, external_id; then how it is read."""

    column: str = ""
    template: str = ""
    """Text with columns in braces: `{building}-{floor}`."""
    value: Scalar | list[str] | None = None
    external_id: str = ""
    """For a reference: the template of the other record's external id."""
    map: dict[str, Scalar] | None = None
    """What is written in the file, and what it means here; letter case and width do not matter."""
    otherwise: Scalar | None = None
    """What everything means that `map` does not name; without it such a row is refused."""
    empty: Scalar | None = None
    """What an empty cell means; without it an empty cell says nothing."""
    format: str | list[str] | None = None
    """strptime formats of a date or instant, tried in order."""
    zone: str = ""
    """Time zone of instants written without an offset; else the mapping's."""
    case: Literal["", "upper", "lower"] = ""
    times: float | None = None
    """A factor for numbers: prices in yuan have `times = 100`, because we keep fen."""
    split: str = ""
    """What separates the entries of a list."""

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats as a tuple."""
        return (self.format,) if isinstance(self.format, str) else tuple(self.format or ())


class RecordMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One record made of each row."""

    entity: str
    fields: dict[str, str | FieldSource]
    """By field of ours; a plain text names the column."""
    external_id: str = ""
    """Template of the key by which a second import recognises the record."""
    writes: Writes = "create_and_change"
    repeated: Literal["refuse", "first"] = "refuse"
    """When rows of one file say different things of one record: refuse the later rows, or let the first one count."""
    only_if: str = ""
    """A column; where its cell is empty the record is not made."""

    def source(self, field: str) -> FieldSource:
        """Where a field comes from."""
        given = self.fields[field]
        return FieldSource(column=given) if isinstance(given, str) else given


class FileLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the file is written; what is not said is found out."""

    encoding: str = ""
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
    sheet: str = ""
    header_row: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Line of the headings, counted from 1; 0 looks for them."""
    header_rows: Annotated[int, msgspec.Meta(ge=1, le=3)] = 1
    """Headings over several lines are joined with a slash: `联系人/电话`."""


class ImportMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping file."""

    record: Annotated[list[RecordMapping], msgspec.Meta(min_length=1)]
    name: str = ""
    time_zone: str = ""
    datum: Literal["wgs84", "gcj02", "bd09"] | None = None
    """What the file's coordinates refer to; must be said where there are coordinates."""
    file: FileLayout = FileLayout()
    columns: dict[str, list[str]] = {}
    """Names of our own for columns, each with the headings it may have."""


class Counts(msgspec.Struct):
    """Records of one entity."""

    created: int = 0
    changed: int = 0
    unchanged: int = 0


class Refusal(msgspec.Struct, frozen=True):
    """A row that was not imported, and why. `line` is the line of the file, or the row of the sheet."""

    line: int
    reasons: tuple[Finding, ...]


class UnpinnedSite(msgspec.Struct, frozen=True):
    """A site imported without a position: a person must pin it."""

    site_id: UUID
    line: int
    name: str
    address: str
    zh: str
    en: str
    """Why there is no position."""
    lat: float | None = None
    lon: float | None = None
    """A position somebody may start from, too unsure to be used (WGS-84)."""


class ImportResult(msgspec.Struct):
    """What an import did, or would do."""

    file: str
    mapping: str
    dry_run: bool
    batch_id: UUID | None = None
    encoding: str = ""
    sheet: str = ""
    rows: int = 0
    imported_rows: int = 0
    counts: dict[str, Counts] = {}
    """By entity."""
    refused: list[Refusal] = []
    refused_count: int = 0
    unpinned: list[UnpinnedSite] = []
    geocoded: int = 0

    @property
    def created(self) -> int:
        """Records created."""
        return sum(counts.created for counts in self.counts.values())

    @property
    def changed(self) -> int:
        """Records changed."""
        return sum(counts.changed for counts in self.counts.values())


class NewImport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file to import over the network, with its mapping. A dry run unless it says otherwise."""

    file_name: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    content: bytes
    """The file, CSV or XLSX, in base64."""
    mapping: Annotated[str, msgspec.Meta(min_length=1, max_length=MAPPING_BYTES)]
    """The mapping, in TOML."""
    dry_run: bool = True
    all_or_nothing: bool = False
    sheet: Annotated[str, msgspec.Meta(max_length=60)] = ""
    encoding: Annotated[str, msgspec.Meta(max_length=20)] = ""


class BatchView(msgspec.Struct, frozen=True):
    """One import that was run."""

    id: UUID
    started_at: datetime
    person_id: UUID | None
    person_name: str | None
    source_name: str
    source_sha256: str
    mapping_name: str
    created_count: int
    changed_count: int
    refused_count: int
    undone_at: datetime | None


class Obstacle(msgspec.Struct, frozen=True):
    """Something that came after an import and would be lost or broken by undoing it."""

    entity: str
    subject_id: UUID
    name: str
    zh: str
    en: str


class UndoResult(msgspec.Struct):
    """What an undo did."""

    batch_id: UUID
    removed: int = 0
    restored: int = 0
