"""Mapping files: every mistake is named before a row is read; rows become drafts by them."""

from pathlib import Path

import pytest

from backend.core.errors import Problem
from backend.imports.converters import Reading
from backend.imports.mapping import columns_in, parse_mapping, read_mapping, wanted_columns
from backend.imports.readers import SheetRow
from backend.imports.rows import Reference, RowReader
from backend.imports.targets import CATALOGUES, TARGETS, known_by

EXAMPLES = sorted((Path(__file__).parents[2] / "docs/examples").glob("*/*.toml"))
SITE = """
datum = "gcj02"
time_zone = "Asia/Shanghai"
[columns]
site = ["现场编号", "site"]
[[record]]
entity = "site"
external_id = "site-{site}"
[record.fields]
unit = { value = "售后服务部" }
customer = { external_id = "{customer}" }
name = "名称"
lat = "纬度"
lon = "经度"
no_photos = { column = "禁止拍照", empty = false }
"""


def mistakes(toml: str) -> dict[str, str]:
    with pytest.raises(Problem) as refused:
        parse_mapping(toml.encode())
    assert refused.value.fault.code == "import_mapping_refused"
    assert all(finding.zh for finding in refused.value.findings)
    return {finding.field: finding.en for finding in refused.value.findings}


def with_record(fields: str, entity: str = "customer", head: str = "", key: str = 'external_id = "{id}"') -> str:
    return f'{head}\n[[record]]\nentity = "{entity}"\n{key}\n[record.fields]\n{fields}\n'


def test_a_mapping_says_which_columns_it_needs_and_how_they_may_be_called() -> None:
    mapping = parse_mapping(SITE.encode())
    assert wanted_columns(mapping) == {
        "customer": ["customer"],
        "site": ["现场编号", "site"],
        "名称": ["名称"],
        "禁止拍照": ["禁止拍照"],
        "纬度": ["纬度"],
        "经度": ["经度"],
    }


def test_every_mistake_is_named_at_once() -> None:
    found = mistakes(
        with_record(
            'name = { column = "a", value = "b" }\n'
            'colour = "c"\n'
            'kind = { value = "company" }\n'
            'language = { column = "l", map = { "中文" = "zh", English = "english" } }\n'
            'go_live_on = { column = "d", zone = "Mars/Base" }',
            head='time_zone = "China"\n',
        )
    )
    assert found["time_zone"] == "there is no time zone 'China'"
    assert found["record[0].fields.unit"] == "this field must be mapped"
    assert found["record[0].fields.name"] == "give exactly one of column, template, value, external_id"
    assert found["record[0].fields.colour"].startswith("no field of customer; it has unit, number, name")
    assert found["record[0].fields.kind"] == "'company' is not one of organisation, household"
    assert found["record[0].fields.language"] == "'english' is not one of zh, en"
    assert found["record[0].fields.go_live_on.zone"] == "there is no time zone 'Mars/Base'"


def test_unknown_entities_and_keys_that_do_not_fit_are_named() -> None:
    assert mistakes(with_record('name = "a"', entity="house"))["record[0].entity"].startswith("no entity 'house'")
    needed = mistakes(with_record('name = "a"\nunit = "u"', key=""))
    assert needed["record[0].external_id"] == "needed: a second import knows records by it"
    point = 'contact = { external_id = "{c}" }\nkind = { value = "phone" }'
    found = mistakes(with_record(point, entity="contact_point"))
    assert found["record[0].external_id"] == "contact_point is known by contact, kind, address"
    assert found["record[0].fields.address"] == "this field must be mapped"


def test_a_record_that_is_only_changed_needs_no_more_than_its_key() -> None:
    mapping = parse_mapping(with_record('name = "a"', key='external_id = "{id}"\nwrites = "change"').encode())
    assert wanted_columns(mapping) == {"a": ["a"], "id": ["id"]}


def test_coordinates_need_a_datum_and_each_other() -> None:
    found = mistakes(SITE.replace('datum = "gcj02"', "").replace('lon = "经度"', ""))
    assert found["datum"] == "say what the coordinates refer to: wgs84, gcj02, bd09"
    assert found["record[0].fields"] == "lat and lon go together"


def test_references_are_named_in_a_way_that_exists() -> None:
    found = mistakes(with_record('customer = "名称"\nname = { external_id = "{x}" }', entity="contact"))
    assert found["record[0].fields.name"] == "external_id is for references"
    position = 'site = { external_id = "{s}" }\nname = "n"\nparent = "p"'
    assert mistakes(with_record(position, entity="position"))["record[0].fields.parent"].startswith("a position can be")


@pytest.mark.parametrize("template", ["{a", "{a!r}", "{a:>3}", "{}", "a}"])
def test_templates_hold_names_of_columns_only(template: str) -> None:
    found = mistakes(with_record(f'unit = "u"\nname = {{ template = "{template}" }}'))
    assert found["record[0].fields.name.template"].startswith("only names of columns")


@pytest.mark.parametrize("form", ["%Y%Y", "%Q", "%"])
def test_formats_of_dates_can_be_read(form: str) -> None:
    found = mistakes(with_record(f'unit = "u"\nname = "n"\ngo_live_on = {{ column = "d", format = "{form}" }}'))
    assert found["record[0].fields.go_live_on.format"] == f"{form!r} is no format of a date"


def test_what_is_no_mapping_is_refused_with_its_place() -> None:
    assert mistakes("[[record]\n")[""].startswith("not TOML")
    assert "record[0]" in str(mistakes('[[record]]\nentity = "site"\nfield = 3\n'))
    assert mistakes("") == {"record": "Object missing required field `record`"}
    assert mistakes("a = " + "[" * 5000 + "]" * 5000)[""].startswith("not TOML")
    with pytest.raises(Problem, match="import_mapping_refused"):
        parse_mapping("name = '名'".encode("gbk"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_of_the_docs_are_right(path: Path) -> None:
    assert read_mapping(path).name


def test_every_field_fills_a_column_and_every_reference_leads_to_something_that_can_be_named() -> None:
    columns = {entity: set(one.model.__table__.columns.keys()) for entity, one in {**TARGETS, **CATALOGUES}.items()}
    for entity, target in TARGETS.items():
        assert {target.column(name) for name in target.fields} <= columns[entity]
        assert {*target.unique, *target.known_by, *target.always} <= columns[entity]
        assert set(target.identity) <= target.fields.keys()
        for field in target.fields.values():
            if field.kind == "reference":
                assert set(known_by(field.of)) <= columns[field.of]


def test_every_record_of_an_entity_comes_after_what_it_refers_to() -> None:
    order = list(TARGETS)
    for entity, target in TARGETS.items():
        before = order[: order.index(entity) + 1]
        assert {field.of for field in target.fields.values() if field.of in TARGETS} <= set(before)


def test_columns_in_a_template_are_found_in_order() -> None:
    assert columns_in("{building}-{floor}/{building}") == ("building", "floor", "building")
    assert columns_in("{{fixed}}") == ()


def test_a_row_becomes_drafts() -> None:
    mapping = parse_mapping(SITE.encode())
    cells = {"site": "A1 ", "customer": "C9", "名称": "云桥大厦", "纬度": "31.0", "经度": 117, "禁止拍照": ""}
    row = RowReader(mapping, Reading("Asia/Shanghai")).draft(SheetRow(7, cells))
    (draft,) = row.drafts
    assert (row.line, draft.external_id) == (7, "site-A1")
    assert draft.values == {"name": "云桥大厦", "lat": 31.0, "lon": 117.0, "no_photos": False}
    assert draft.references == {
        "unit": Reference("unit", "售后服务部", by_external_id=False),
        "customer": Reference("customer", "C9", by_external_id=True),
    }


def test_a_row_is_refused_for_every_cell_that_cannot_be_read_and_for_an_empty_key() -> None:
    mapping = parse_mapping(SITE.encode())
    cells = {"site": "", "customer": "", "名称": "#REF!", "纬度": "north", "经度": 200, "禁止拍照": "maybe"}
    row = RowReader(mapping, Reading("Asia/Shanghai")).draft(SheetRow(7, cells, overflow=2))
    assert row.drafts == []
    assert {finding.field for finding in row.refused} == {"", "site-{site}", "名称", "纬度", "经度", "禁止拍照"}


def test_a_record_is_left_out_where_the_column_it_depends_on_is_empty() -> None:
    mapping = parse_mapping(SITE.replace('entity = "site"', 'entity = "site"\nonly_if = "customer"').encode())
    cells = {"site": "A1", "customer": " ", "名称": "", "纬度": "", "经度": "", "禁止拍照": ""}
    row = RowReader(mapping, Reading()).draft(SheetRow(7, cells))
    assert (row.drafts, row.refused) == ([], [])
