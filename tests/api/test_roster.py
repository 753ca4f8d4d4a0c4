"""Working time over the API: shifts, absences, duty, territories; and what roles the presets bring."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from backend.core.ids import new_id
from backend.core.presets import Preset
from backend.people.rules import overlapping
from tests.answers import added, code_of, fields_of
from tests.make import START, House, Office
from tests.personas import (
    CHEN_JING,
    HE_LI,
    LI_WEI,
    LIN_LI,
    MA_CHAO,
    SUN_LEI,
    TANG_MIN,
    WANG_FANG,
    WU_GANG,
    ZHOU_TAO,
)

DAY = timedelta(days=1)


def shift(house: House, persona: Any = LI_WEI, *, hours: float = 0, **values: Any) -> dict[str, Any]:
    begins = START + timedelta(hours=hours)
    body = {
        "person_id": str(house.id_of(persona)), "starts_at": begins.isoformat(),
        "ends_at": (begins + timedelta(hours=8)).isoformat(),
    }  # fmt: skip
    return body | values


async def test_shifts_are_added_together_or_not_at_all(office: Office) -> None:
    dispatcher, house = await office.sign_in(WANG_FANG), office.house
    pause = {"start_at": (START + timedelta(hours=3)).isoformat(), "end_at": (START + timedelta(hours=5)).isoformat()}
    good = [shift(house, breaks=[pause | {"minutes": 60}]), shift(house, hours=8), shift(house, ZHOU_TAO)]
    answer = await added(dispatcher, "/shifts", {"shifts": good})
    assert len(answer["shifts"]) == 3
    again = await dispatcher.post("/shifts", {"shifts": [shift(house, SUN_LEI, hours=0), shift(house, hours=15)]})
    assert fields_of(again) == ["shifts.0.person_id"]
    clash = await dispatcher.post("/shifts", {"shifts": [shift(house, ZHOU_TAO, hours=24), shift(house, hours=15)]})
    assert code_of(clash) == "shifts_overlap"
    window = f"since={START.isoformat()[:19]}Z&until={(START + 2 * DAY).isoformat()[:19]}Z"
    assert len((await dispatcher.get(f"/shifts?{window}")).json()["shifts"]) == 3
    assert len((await dispatcher.get(f"/shifts?{window}&person_id={house.id_of(ZHOU_TAO)}")).json()["shifts"]) == 1
    assert len((await dispatcher.get(f"/shifts?{window}&unit_id={house.north}")).json()["shifts"]) == 0
    assert len((await (await office.sign_in(LI_WEI)).get(f"/me/shifts?{window}")).json()["shifts"]) == 2
    assert len((await (await office.sign_in(MA_CHAO)).get(f"/shifts?{window}")).json()["shifts"]) == 0


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"ends_at": START.isoformat()}, "shifts.0.ends_at"),
        ({"ends_at": (START + timedelta(hours=25)).isoformat()}, "shifts.0.ends_at"),
        ({"breaks": [{"start_at": START.isoformat(), "end_at": (START + DAY).isoformat(), "minutes": 30}]},
         "shifts.0.breaks.0"),
        ({"breaks": [{"start_at": START.isoformat(), "end_at": (START + timedelta(minutes=20)).isoformat(),
                      "minutes": 30}]}, "shifts.0.breaks.0"),
        ({"start": {"lat": 100, "lon": 0}}, "shifts[0].start.lat"),
        ({"vehicle_id": str(new_id())}, "shifts.0.vehicle_id"),
        ({"starts_at": "2026-03-02T09:00:00"}, "shifts[0].starts_at"),
    ],
)  # fmt: skip
async def test_a_shift_with_something_wrong_is_refused(sqlite_office: Office, bad: dict[str, Any], field: str) -> None:
    dispatcher = await sqlite_office.sign_in(WANG_FANG)
    answer = await dispatcher.post("/shifts", {"shifts": [shift(sqlite_office.house, **bad)]})
    assert fields_of(answer) == [field]


async def test_a_shift_is_edited_under_the_same_rules_and_removed(office: Office) -> None:
    dispatcher, house = await office.sign_in(WANG_FANG), office.house
    both = (await added(dispatcher, "/shifts", {"shifts": [shift(house), shift(house, hours=10)]}))["shifts"]
    path = f"/shifts/{both[0]['id']}"
    longer = {"ends_at": (START + timedelta(hours=9)).isoformat(), "start": {"lat": 31.5, "lon": 117.5}}
    assert (await dispatcher.edit(path, longer)).status_code == 200
    clash = await dispatcher.edit(path, {"ends_at": (START + timedelta(hours=11)).isoformat()})
    assert code_of(clash) == "shifts_overlap"
    assert (await (await office.sign_in(MA_CHAO)).edit(path, longer)).status_code == 404
    assert (await dispatcher.ask("DELETE", path)).status_code == 204
    assert (await dispatcher.get(path)).status_code == 404


async def test_a_roster_is_read_within_a_sensible_stretch(sqlite_office: Office) -> None:
    dispatcher = await sqlite_office.sign_in(WANG_FANG)
    for since, until in (
        ("2026-03-02T00:00:00Z", "2026-03-02T00:00:00Z"), ("2026-03-02T00:00:00Z", "2026-06-02T00:00:00Z"),
        ("2026-03-02T00:00:00", "2026-03-03T00:00:00Z"), ("soon", "later"),
    ):  # fmt: skip
        assert (await dispatcher.get(f"/shifts?since={since}&until={until}")).status_code == 422
    assert (await dispatcher.get("/shifts")).status_code == 422


async def test_an_absence_is_known_and_its_reason_kept_close(office: Office) -> None:
    dispatcher, house = await office.sign_in(WANG_FANG), office.house
    body = {
        "person_id": str(house.id_of(LI_WEI)), "starts_at": START.isoformat(), "ends_at": (START + DAY).isoformat(),
        "kind": "ill", "note": "发热",
    }  # fmt: skip
    absence = await added(dispatcher, "/absences", body)
    window = "since=2026-03-01T00:00:00Z&until=2026-03-09T00:00:00Z"
    reasons = {}
    for persona in (WANG_FANG, CHEN_JING, TANG_MIN, WU_GANG):
        (seen,) = (await (await office.sign_in(persona)).get(f"/absences?{window}")).json()
        reasons[persona.name] = (seen["kind"], seen["note"])
    told, kept = ("ill", "发热"), (None, None)
    assert reasons == {"王芳": told, "陈静": told, "唐敏": kept, "吴刚": kept}
    assert (await (await office.sign_in(MA_CHAO)).ask("DELETE", f"/absences/{absence['id']}")).status_code == 404
    assert (await dispatcher.ask("DELETE", f"/absences/{absence['id']}")).status_code == 204
    assert fields_of(await dispatcher.post("/absences", body | {"kind": "bored"})) == ["kind"]
    assert fields_of(await dispatcher.post("/absences", body | {"ends_at": START.isoformat()})) == ["ends_at"]


@pytest.mark.rule("A041", "A046")
async def test_somebody_is_on_call_with_a_backup_a_phone_and_a_vehicle(office: Office) -> None:
    head, house = await office.sign_in(CHEN_JING), office.house
    vehicle = await added(head, "/vehicles", {"unit_id": str(house.service), "plate": "皖a12345"})
    assert vehicle["plate"] == "皖A12345"
    slot = {
        "unit_id": str(house.service), "person_id": str(house.id_of(LI_WEI)),
        "backup_person_id": str(house.id_of(ZHOU_TAO)), "starts_at": START.isoformat(),
        "ends_at": (START + DAY).isoformat(), "phone": "0551-12345678", "vehicle_id": vehicle["id"],
    }  # fmt: skip
    made = await added(head, "/duty-slots", slot)
    assert made["phone"] == "+8655112345678"
    for field, bad in (("backup_person_id", slot["person_id"]), ("phone", "call me"), ("vehicle_id", str(new_id())),
                       ("unit_id", str(new_id())), ("ends_at", START.isoformat())):  # fmt: skip
        assert fields_of(await head.post("/duty-slots", slot | {field: bad})) == [field]
    window = "since=2026-03-01T00:00:00Z&until=2026-03-09T00:00:00Z"
    for persona, seen in ((LI_WEI, 1), (ZHOU_TAO, 1), (HE_LI, 1), (SUN_LEI, 0)):
        listed = await (await office.sign_in(persona)).get(f"/duty-slots?{window}")
        assert len(listed.json()) == seen, persona.name
    assert code_of(await head.post("/vehicles", {"unit_id": str(house.north), "plate": "皖A12345"})) == "constraint"
    assert (await head.edit(f"/vehicles/{vehicle['id']}", {"active": False})).json()["active"] is False
    assert fields_of(await head.post("/duty-slots", slot)) == ["vehicle_id"]
    assert (await head.ask("DELETE", f"/duty-slots/{made['id']}")).status_code == 204


async def test_territories_are_drawn_and_served(office: Office) -> None:
    dispatcher, house = await office.sign_in(WANG_FANG), office.house
    ring = [[117.0, 31.0], [117.1, 31.0], [117.1, 31.1], [117.0, 31.0]]
    body = {"unit_id": str(house.service), "name_zh": "湖滨", "name_en": "Lakeside", "area": {"polygon": ring}}
    territory = await added(dispatcher, "/territories", body)
    assert territory["area"]["polygon"] == {"type": "Polygon", "coordinates": [ring]}
    for area in ({}, {"polygon": ring[:-1]}, {"polygon": [[200, 0], *ring]}, {"polygon": ring[:2]}):
        assert (await dispatcher.post("/territories", body | {"area": area})).status_code == 422
    path = f"/territories/{territory['id']}"
    assert (await dispatcher.edit(path, {"area": {"districts": ["湖滨区"]}})).json()["area"]["districts"] == ["湖滨区"]
    member = await added(dispatcher, f"{path}/members", {"crew_id": str(house.crew)})
    for bad in ({}, {"crew_id": str(house.crew), "person_id": str(house.id_of(LI_WEI))}, {"crew_id": str(new_id())}):
        assert fields_of(await dispatcher.post(f"{path}/members", bad)) == ["crew_id"]
    assert (await dispatcher.post(f"{path}/members/{member['id']}/end", {})).json()["valid_until"] is not None
    assert len((await dispatcher.get(f"{path}/members")).json()) == 1
    assert (await (await office.sign_in(MA_CHAO)).get(path)).status_code == 404


# --- presets and rules ------------------------------------------------------------------------------------------------


async def test_roles_come_from_the_presets_with_queues_and_actions(sqlite_office: Office) -> None:
    listed = (await (await sqlite_office.sign_in(LIN_LI)).get("/roles")).json()
    by_key = {role["key"]: role for role in listed}
    assert by_key["repair_dispatcher"]["queues"] == ["repair", "crew", "plan"]
    assert {"area": "dispatch", "level": "claim", "reach": "crew"} in by_key["crew_leader"]["permissions"]
    assert {permission["area"] for permission in by_key["admin"]["permissions"]} == {"admin"}
    async with sqlite_office.database.read() as session:
        kinds = set((await session.execute(select(Preset.kind))).scalars())
    assert {"cause", "visit_reason", "resolution", "escalation_chain", "text", "role_action"} <= kinds


stretches = st.tuples(st.integers(0, 50), st.integers(1, 10)).map(
    lambda span: (START + timedelta(hours=span[0]), START + timedelta(hours=span[0] + span[1]))
)  # fmt: skip


@given(st.lists(stretches, max_size=6))
def test_stretches_overlap_when_some_instant_lies_in_two(spans: list[Any]) -> None:
    instants = [START + timedelta(hours=hour, minutes=30) for hour in range(61)]
    shared = any(sum(starts <= at < ends for starts, ends in spans) > 1 for at in instants)
    assert (overlapping(spans) is not None) is shared
