"""Importing over HTTP: within one's own units, a dry run unless said otherwise, undone by whoever ran it."""

from base64 import b64encode
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from backend.core.audit import ImportBatch
from backend.core.errors import Problem
from backend.customers.models import Customer
from backend.imports import routes
from backend.sites.models import Asset, Site
from tests.make import Office
from tests.personas import LI_WEI, LIN_LI, MA_CHAO, WANG_FANG

MAPPING = """
[[record]]
entity = "customer"
external_id = "{n}"
[record.fields]
unit = "unit"
name = "name"
[[record]]
entity = "site"
external_id = "site-{n}"
[record.fields]
unit = "unit"
customer = { external_id = "{n}" }
name = "name"
address = "address"
[[record]]
entity = "asset"
external_id = "asset-{n}"
[record.fields]
site = { external_id = "site-{n}" }
asset_type = { value = "camera" }
name = "name"
"""
ROWS = "n,unit,name,address\n1,售后服务部,湖畔花园,湖滨路1号\n2,北区网点,北湖公寓,北湖路2号\n"


def upload(rows: str = ROWS, mapping: str = MAPPING, **more: Any) -> dict[str, Any]:
    return {"file_name": "台账.csv", "content": b64encode(rows.encode()).decode(), "mapping": mapping, **more}


async def sizes(office: Office) -> list[int]:
    async with office.database.read() as session:
        counts = [select(func.count()).select_from(model) for model in (Customer, Site, Asset, ImportBatch)]
        return [(await session.execute(count)).scalar_one() for count in counts]


def findings(answer: httpx.Response) -> str:
    return " ".join(finding["en"] for finding in answer.json()["findings"])


async def test_a_dry_run_is_what_happens_unless_said_otherwise(office: Office) -> None:
    desk, before = await office.sign_in(WANG_FANG), await sizes(office)
    dry = (await desk.post("/imports", upload())).json()
    assert (dry["dry_run"], dry["batch_id"], dry["rows"], dry["imported_rows"]) == (True, None, 2, 1)
    assert await sizes(office) == before
    done = (await desk.post("/imports", upload(dry_run=False))).json()
    one_each = {"created": 1, "changed": 0, "unchanged": 0}
    assert done["counts"] == dry["counts"] == {"customer": one_each, "site": one_each, "asset": one_each}
    assert [one - two for one, two in zip(await sizes(office), before, strict=True)] == [1, 1, 1, 1]
    assert done["unpinned"][0]["en"] == "no geocoder was asked"


async def test_rows_of_other_units_are_refused_whether_new_or_known(office: Office) -> None:
    north, south = await office.sign_in(MA_CHAO), await office.sign_in(WANG_FANG)
    mine = (await north.post("/imports", upload(dry_run=False))).json()
    (refused,) = mine["refused"]
    assert refused["line"] == 2
    assert {reason["en"] for reason in refused["reasons"]} == {
        "outside what your role lets you import over the network"
    }
    before = await sizes(office)
    theirs = upload(
        ROWS.replace("北湖公寓", "改名").replace("湖滨路1号", "湖滨路9号"), dry_run=False, all_or_nothing=True
    )
    answer = (await south.post("/imports", theirs)).json()
    assert (answer["refused_count"], answer["batch_id"], answer["unpinned"]) == (1, None, [])
    assert await sizes(office) == before
    moved = upload("n,unit,name,address\n2,售后服务部,北湖公寓,北湖路2号\n", dry_run=False)
    assert (await north.post("/imports", moved)).json()["refused_count"] == 1, "nor may a record be moved out of reach"


async def test_people_prices_and_contracts_are_not_for_the_network(office: Office) -> None:
    mapping = """
    [[record]]
    entity = "part"
    external_id = "{n}"
    [record.fields]
    number = "n"
    name_zh = "name"
    name_en = "name"
    """
    answer = (await (await office.sign_in(WANG_FANG)).post("/imports", upload(mapping=mapping))).json()
    assert answer["refused_count"] == 2


async def test_whoever_ran_an_import_sees_it_and_may_undo_it(office: Office) -> None:
    desk, other, before = await office.sign_in(WANG_FANG), await office.sign_in(MA_CHAO), await sizes(office)
    batch = (await desk.post("/imports", upload(dry_run=False))).json()["batch_id"]
    (listed,) = (await desk.get("/imports")).json()
    assert (listed["id"], listed["person_name"], listed["source_name"]) == (batch, "王芳", "台账.csv")
    assert (listed["created_count"], listed["refused_count"]) == (3, 1)
    assert (await other.get("/imports")).json() == []
    assert (await other.post(f"/imports/{batch}/undo")).status_code == 404
    undone = await desk.post(f"/imports/{batch}/undo")
    assert undone.json() == {"batch_id": batch, "removed": 3, "restored": 0}
    assert (await sizes(office))[:3] == before[:3]
    again = await desk.post(f"/imports/{batch}/undo")
    assert (again.status_code, again.json()["code"]) == (409, "import_already_undone")


@pytest.mark.parametrize(
    ("body", "status", "code", "told"),
    [
        (upload(mapping="[[record"), 422, "import_mapping_refused", "not TOML"),
        (upload("n,unit\n1,2\n"), 422, "import_file_refused", "missing columns: address; name"),
        (upload(encoding="klingon"), 422, "import_file_refused", "no support for encoding"),
        (upload(content="not base64!"), 422, "invalid", ""),
        ({**upload(), "colour": "red"}, 422, "invalid", "unknown field"),
        ({"file_name": "a.csv"}, 422, "invalid", "missing required field"),
        (
            upload(content=b64encode(b"n,unit,name,address\n\xff\xfe\xff,").decode()),
            422,
            "import_file_refused",
            "byte 20",
        ),
    ],
)
async def test_bad_input_gets_its_reason_and_changes_nothing(
    sqlite_office: Office, body: dict[str, Any], status: int, code: str, told: str
) -> None:
    desk, before = await sqlite_office.sign_in(WANG_FANG), await sizes(sqlite_office)
    answer = await desk.post("/imports", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert told in findings(answer)
    assert await sizes(sqlite_office) == before


async def test_large_files_are_for_the_command(sqlite_office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "UPLOADED_ROWS_MAXIMUM", 1)
    answer = await (await sqlite_office.sign_in(WANG_FANG)).post("/imports", upload())
    assert findings(answer) == "more than 1 rows"


async def test_only_those_who_write_cases_may_import(sqlite_office: Office) -> None:
    for persona in (LI_WEI, LIN_LI):
        desk = await sqlite_office.sign_in(persona)
        assert (await desk.post("/imports", upload())).status_code == 403
        assert (await desk.get("/imports")).status_code == 403
    nobody = await sqlite_office.client.post("/imports", json=upload())
    assert nobody.status_code == 401


def test_a_refusal_is_told_in_both_languages() -> None:
    with pytest.raises(Problem) as refused:
        routes.parse_mapping(b"")
    assert refused.value.details().todo_zh
