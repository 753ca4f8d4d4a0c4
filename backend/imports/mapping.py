"""Reading and checking a mapping file: every mistake is named at once, before a single row is read."""

import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Final

import msgspec

from backend.core.errors import Finding
from backend.core.findings import BODY, finding
from backend.imports.converters import CellRefused, Reading, is_date_format, is_zone, said
from backend.imports.faults import mapping_refused
from backend.imports.limits import MAPPING_BYTES, RECORDS_A_ROW_MAXIMUM
from backend.imports.schemas import FieldSource, ImportMapping, RecordMapping
from backend.imports.targets import TARGETS, Field, Target, known_by

COORDINATES: Final = frozenset({"lat", "lon", "home_lat", "home_lon"})


def read_mapping(path: Path) -> ImportMapping:
    """Read a mapping file; raises Problem (import_mapping_refused) naming every mistake in it."""
    if path.stat().st_size > MAPPING_BYTES:
        raise mapping_refused(Finding("", f"文件超过 {MAPPING_BYTES} 字节", f"larger than {MAPPING_BYTES} bytes"))
    mapping = parse_mapping(path.read_bytes())
    return mapping if mapping.name else msgspec.structs.replace(mapping, name=path.name)


def parse_mapping(content: bytes) -> ImportMapping:
    """Read a mapping from TOML; raises Problem (import_mapping_refused) naming every mistake in it."""
    try:
        mapping = msgspec.convert(tomllib.loads(content.decode("utf-8")), ImportMapping)
    except UnicodeDecodeError as error:
        raise mapping_refused(Finding("", "映射文件必须是 UTF-8", "a mapping is written in UTF-8")) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise mapping_refused(Finding("", f"不是正确的 TOML: {error}", f"not TOML: {error}")) from error
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        raise mapping_refused(finding(place.rstrip("`") or BODY, message)) from error
    mistakes = list(_mistakes(mapping))
    if mistakes:
        raise mapping_refused(*mistakes)
    return mapping


def wanted_columns(mapping: ImportMapping) -> dict[str, Sequence[str]]:
    """Return every column the mapping uses, each with the headings it may have."""
    used = {name for record in mapping.record for name in _columns_of(record)}
    return {name: mapping.columns.get(name, [name]) for name in sorted(used)}


@cache
def columns_in(template: str) -> tuple[str, ...]:
    """Return the columns a template names in braces; raises ValueError for one that cannot be read."""
    names: list[str] = []
    for _, name, form, conversion in Formatter().parse(template):
        if name is None:
            continue
        if not name or form or conversion:
            raise ValueError(template)
        names.append(name)
    return tuple(names)


def _columns_of(record: RecordMapping) -> Iterator[str]:
    yield from columns_in(record.external_id)
    if record.only_if:
        yield record.only_if
    for name in record.fields:
        source = record.source(name)
        if source.column:
            yield source.column
        yield from columns_in(source.template)
        yield from columns_in(source.external_id)


def _mistakes(mapping: ImportMapping) -> Iterator[Finding]:
    if mapping.time_zone and not is_zone(mapping.time_zone):
        yield Finding("time_zone", f"没有时区 {mapping.time_zone}", f"there is no time zone {mapping.time_zone!r}")
    if len(mapping.record) > RECORDS_A_ROW_MAXIMUM:
        yield Finding(
            "record", f"每行最多 {RECORDS_A_ROW_MAXIMUM} 条记录", f"at most {RECORDS_A_ROW_MAXIMUM} records a row"
        )
    for at, record in enumerate(mapping.record):
        place = f"record[{at}]"
        target = TARGETS.get(record.entity)
        if target is None:
            known = ", ".join(TARGETS)
            yield Finding(
                f"{place}.entity", f"没有 {record.entity};有 {known}", f"no entity {record.entity!r}; there are {known}"
            )
            continue
        yield from _key_mistakes(place, record, target)
        yield from _field_mistakes(place, record, target, mapping)
        yield from _datum_mistakes(place, record, mapping)


def _key_mistakes(place: str, record: RecordMapping, target: Target) -> Iterator[Finding]:
    yield from _template_mistakes(f"{place}.external_id", record.external_id)
    if target.has_external_id and not record.external_id:
        yield Finding(
            f"{place}.external_id", "必须给出,否则再次导入无法认出记录", "needed: a second import knows records by it"
        )
    if not target.has_external_id and record.external_id:
        keys = ", ".join(target.identity)
        yield Finding(f"{place}.external_id", f"{target.entity} 以 {keys} 识别", f"{target.entity} is known by {keys}")
    required = [name for name, field in target.fields.items() if field.required and record.writes != "change"]
    needed = dict.fromkeys([*required, *target.identity])
    for name in needed:
        if name not in record.fields:
            yield Finding(f"{place}.fields.{name}", "必须映射此字段", "this field must be mapped")


def _field_mistakes(place: str, record: RecordMapping, target: Target, mapping: ImportMapping) -> Iterator[Finding]:
    for name in record.fields:
        at = f"{place}.fields.{name}"
        field = target.fields.get(name)
        if field is None:
            known = ", ".join(target.fields)
            yield Finding(at, f"{target.entity} 没有此字段;有 {known}", f"no field of {target.entity}; it has {known}")
            continue
        source = record.source(name)
        yield from _source_mistakes(at, source, field)
        yield from _constant_mistakes(at, source, field, mapping)


def _source_mistakes(place: str, source: FieldSource, field: Field) -> Iterator[Finding]:
    given = [bool(source.column), bool(source.template), source.value is not None, bool(source.external_id)]
    if sum(given) != 1:
        ways = "column, template, value, external_id"
        yield Finding(place, f"{ways} 必须且只能有一个", f"give exactly one of {ways}")
    if source.external_id and field.kind != "reference":
        yield Finding(place, "只有引用才能用 external_id", "external_id is for references")
    if field.kind == "reference" and not source.external_id and not known_by(field.of):
        yield Finding(place, f"{field.of} 只能用 external_id 引用", f"a {field.of} can be named by external_id only")
    if source.zone and not is_zone(source.zone):
        yield Finding(f"{place}.zone", f"没有时区 {source.zone}", f"there is no time zone {source.zone!r}")
    for form in source.formats:
        if not is_date_format(form):
            yield Finding(f"{place}.format", f"{form} 不是日期格式", f"{form!r} is no format of a date")
    yield from _template_mistakes(f"{place}.template", source.template)
    yield from _template_mistakes(f"{place}.external_id", source.external_id)


def _template_mistakes(place: str, template: str) -> Iterator[Finding]:
    try:
        columns_in(template)
    except ValueError:
        yield Finding(place, "花括号内只能是列名", "only names of columns may stand in braces, and braces must close")


def _constant_mistakes(place: str, source: FieldSource, field: Field, mapping: ImportMapping) -> Iterator[Finding]:
    """Try what the mapping itself says where cells would be read: constants, meanings of the map, of empty cells."""
    meant = [*(source.map or {}).values(), source.otherwise, source.empty, source.value]
    for value in meant:
        if value is None:
            continue
        try:
            said(field, value, Reading(source.zone or mapping.time_zone))
        except CellRefused as refused:
            yield refused.finding(place)


def _datum_mistakes(place: str, record: RecordMapping, mapping: ImportMapping) -> Iterator[Finding]:
    used = COORDINATES & record.fields.keys()
    if used and mapping.datum is None:
        datums = "wgs84, gcj02, bd09"
        yield Finding("datum", f"有坐标就必须说明坐标系: {datums}", f"say what the coordinates refer to: {datums}")
    for one, other in (("lat", "lon"), ("home_lat", "home_lon")):
        if (one in used) != (other in used):
            yield Finding(f"{place}.fields", f"{one} 和 {other} 必须成对", f"{one} and {other} go together")
