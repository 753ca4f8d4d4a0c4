"""Requests are read as they are written: a text is no number, a number no instant, a misspelt filter no filter."""

from typing import Any

import pytest

from tests.answers import code_of, fields_of, new_person
from tests.make import Office
from tests.personas import CHEN_JING, LI_WEI, LIN_LI, WANG_FANG


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"external": "0"}, "external"),
        ({"external": 1}, "external"),
        ({"employee_number": 900}, "employee_number"),
        ({"name": None}, "name"),
        ({"home": {"lat": "30.2", "lon": 120.1}}, "home.lat"),
    ],
)
async def test_a_value_of_another_type_is_refused_by_name_and_nothing_is_kept(
    sqlite_office: Office, wrong: dict[str, Any], field: str
) -> None:
    desk = await sqlite_office.sign_in(LIN_LI)
    before = (await desk.get("/people?limit=200")).json()["items"]
    answer = await desk.post("/people", new_person(sqlite_office.house, **wrong))
    assert (answer.status_code, code_of(answer), fields_of(answer)) == (422, "invalid", [field])
    assert (await desk.get("/people?limit=200")).json()["items"] == before


@pytest.mark.parametrize("wrong", [5, "5", "2026-03-02", "2026-03-02T08:00:00", True])
async def test_an_instant_is_a_text_with_an_offset(sqlite_office: Office, wrong: object) -> None:
    desk = await sqlite_office.sign_in(WANG_FANG)
    absence = {
        "person_id": str(sqlite_office.house.id_of(LI_WEI)), "kind": "ill",
        "starts_at": wrong, "ends_at": "2026-03-03T08:00:00Z",
    }  # fmt: skip
    answer = await desk.post("/absences", absence)
    assert (answer.status_code, fields_of(answer)) == (422, ["starts_at"])


async def test_the_field_is_named_also_inside_lists(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(WANG_FANG)
    area = {"name_zh": "湖滨", "name_en": "Hubin", "unit_id": str(sqlite_office.house.service)}
    answer = await desk.post("/territories", area | {"area": {"districts": ["湖滨区", 7]}})
    assert (answer.status_code, fields_of(answer)) == (422, ["area.districts[1]"])


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/requests?sate=closed", ["sate"]),
        ("/requests?state=closed&limit=5&page=2", ["page"]),
        ("/people?Active=true&x", ["Active", "x"]),
        ("/me?verbose=1", ["verbose"]),
        ("/maintenance/ledger?site=1", ["site"]),
    ],
)
async def test_a_query_an_address_does_not_know_is_refused(sqlite_office: Office, path: str, named: list[str]) -> None:
    desk = await sqlite_office.sign_in(CHEN_JING)
    answer = await desk.get(path)
    assert (answer.status_code, code_of(answer), fields_of(answer)) == (422, "invalid", named)
    assert (await desk.get(path.partition("?")[0])).status_code == 200
