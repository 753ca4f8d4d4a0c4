"""Requests are read as they are written: a text is no number, a number no instant, a misspelt filter no filter."""

from typing import Annotated, Any, Literal

import msgspec
import pytest

from backend.core.allowed import VALUES_NAMED, with_allowed
from backend.jobs.rules import VisitState
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


class Pet(msgspec.Struct):
    kind: Literal["cat", "dog"]
    legs: Annotated[Literal[2, 4] | None, msgspec.Meta(title="legs")] = None


class Owner(msgspec.Struct, rename="camel"):
    all_pets: list[Pet]
    by_name: dict[str, Pet]
    letter: Literal["a", "b", "c", "d", "e", "f", "g", "h", "i"]
    state: VisitState


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("allPets[1].kind", "cat, dog"),
        ("byName[...].legs", "2, 4"),
        ("letter", "a, b, c, d, e, f, g, h, … (/docs)"),
        ("state", ", ".join(list(VisitState)[:VALUES_NAMED]) + ", … (/docs)"),
        ("allPets", None),
        ("nothing.here", None),
    ],
)
def test_the_values_there_are_are_found_wherever_one_is_refused(path: str, allowed: str | None) -> None:
    said = "Invalid enum value 'x'"
    assert with_allowed(said, Owner, path) == (said if allowed is None else f"{said}; allowed: {allowed}")
    assert with_allowed("Expected `int`, got `str`", Owner, path) == "Expected `int`, got `str`"


async def test_who_names_what_is_none_of_a_few_is_told_them(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(WANG_FANG)
    instants = {"starts_at": "2026-03-02T08:00:00Z", "ends_at": "2026-03-03T08:00:00Z"}
    absence = {"person_id": str(sqlite_office.house.id_of(LI_WEI)), "kind": "sick", **instants}
    order = {"site_id": str(sqlite_office.house.site), "kind": "repair", "title": "x", "required_skills": ["barrier"]}
    answers = [
        await desk.post("/absences", absence), await desk.get("/maintenance/ledger?state=late"),
        await desk.post("/work-orders", order),
    ]  # fmt: skip
    found = [answer.json()["findings"][0] for answer in answers]
    known = [one["key"] for one in (await desk.get("/skills")).json()]
    skills = f"{', '.join(known[:VALUES_NAMED])}, … (GET /skills)"
    assert [(one["field"], one["zh"], one["en"]) for one in found] == [
        ("kind", "不能是 'sick',应为以下之一:ill, leave, other, training",
         "Invalid enum value 'sick'; allowed: ill, leave, other, training"),
        ("state", "不能是 'late',应为以下之一:done, due, missed, waived",
         "Invalid enum value 'late'; allowed: done, due, missed, waived"),
        ("required_skills.0", f"没有技能“barrier”,应为以下之一:{skills}",
         f"there is no skill 'barrier'; allowed: {skills}"),
    ]  # fmt: skip


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
