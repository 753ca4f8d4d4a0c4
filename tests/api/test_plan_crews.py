"""Work that several people do together: asked for on the order, planned, published, and planned again."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pytest

from backend.core.clock import parse_instant
from backend.jobs.schemas import TECHNICIANS_MAXIMUM
from routing.limits import MAX_CREW
from tests.make import START, Desk, Office
from tests.personas import LI_WEI, WANG_FANG, WU_GANG, ZHOU_TAO, Persona
from tests.planning import done, problem_of, published, shift_of
from tests.work import give, ok, opened, order_of, refused

pytestmark = pytest.mark.usefixtures("quick_planners")

LATER: Final = (START + timedelta(hours=3)).isoformat()
"""Late enough that nobody is about to leave, which would settle who goes."""


@pytest.fixture
async def sqlite(sqlite_office: Office) -> Office:
    return sqlite_office


async def held(desk: Desk, visit_id: str) -> list[dict[str, Any]]:
    """Who has a visit now, the lead first."""
    order = await order_of(desk, visit_id)
    now = [one for one in order["assignments"] if one["withdrawn_at"] is None]
    return sorted(now, key=lambda one: not one["leads"])


def people(office: Office, *personas: Persona) -> set[str]:
    return {str(office.house.id_of(persona)) for persona in personas}


def parts(plan: dict[str, Any], visit_id: str) -> Sequence[tuple[str, bool, str]]:
    """Who comes to a visit by a plan, whether they lead, and when they start."""
    return [
        (route["person_id"], stop["leads"], stop["starts_at"])
        for route in plan["routes"]
        for stop in route["stops"]
        if stop["visit_id"] == visit_id
    ]


async def test_work_for_two_is_planned_published_kept_and_taken_off(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    for persona in (LI_WEI, ZHOU_TAO):
        await shift_of(sqlite, persona)
    order = (later := await opened(wang_fang, sqlite, technicians=2, duration_minutes=120, earliest_at=LATER))["order"]
    visit_id = later["visits"][0]["id"]
    soon = (await opened(wang_fang, sqlite, technicians=2))["visits"][0]["id"]
    alone = (await opened(wang_fang, sqlite, earliest_at=LATER))["visits"][0]["id"]
    assert order["technicians"] == 2

    plan = await done(wang_fang, sqlite)
    for visit in (visit_id, soon):
        both = parts(plan, visit)
        assert {person for person, _, _ in both} == people(sqlite, LI_WEI, ZHOU_TAO)
        assert sorted(leads for _, leads, _ in both) == [False, True]
        assert len({starts_at for _, _, starts_at in both}) == 1
    assert plan["summary_en"].startswith("3 of 3 visits")
    difference = ok(await wang_fang.get(f"/plans/{plan['id']}/difference"))
    assert {one["visit_id"] for one in difference["changes"]} == {visit_id, soon, alone}
    assert (await published(wang_fang, plan))["assigned"] == 3
    lead = await two_hold(wang_fang, sqlite, plan, visit_id)
    await two_hold(wang_fang, sqlite, plan, soon)
    board = ok(await wang_fang.get("/board"))
    (card,) = [one for column in ("late", "warn", "ok") for one in board[column] if one["visit_id"] == visit_id]
    assert {card["person_name"], *card["helpers"]} == {"李伟", "周涛"}

    again = await done(wang_fang, sqlite)
    assert {leads: person for person, leads, _ in parts(again, visit_id)}[True] == lead
    assert ok(await wang_fang.get(f"/plans/{again['id']}/difference"))["changes"] == []
    assert (await published(wang_fang, again))["unchanged"] == 3
    await two_hold(wang_fang, sqlite, plan, soon)  # who is about to leave is in the problem as each of the two
    days = ok(await wang_fang.get(f"/live/days?unit_id={sqlite.house.service}"))
    assert [stop["visit_id"] for day in days["days"] for stop in day["stops"]].count(visit_id) == 2
    assert days["unplanned"] == []

    seen = (await wang_fang.get(f"/work-orders/{order['id']}")).headers["ETag"]
    ok(await wang_fang.ask("PATCH", f"/work-orders/{order['id']}", json={"technicians": 3}, headers={"If-Match": seen}))
    smaller = await done(wang_fang, sqlite)
    assert [one["reasons"][0]["code"] for one in smaller["unplanned"]] == ["crew_too_small"]
    assert (await published(wang_fang, smaller))["withdrawn"] == 1
    assert await held(wang_fang, visit_id) == []


async def two_hold(desk: Desk, office: Office, plan: dict[str, Any], visit_id: str) -> str:
    """Both have the visit from this plan, at one time; who leads."""
    lead, helper = await held(desk, visit_id)
    assert (lead["leads"], helper["leads"]) == (True, False)
    assert {one["person_id"] for one in (lead, helper)} == people(office, LI_WEI, ZHOU_TAO)
    assert [one["plan_id"] for one in (lead, helper)] == [plan["id"], plan["id"]]
    assert parse_instant(lead["arrives_at"]) == parse_instant(helper["arrives_at"])
    assert None not in {lead["shift_id"], helper["shift_id"], helper["departs_at"], helper["ends_at"]}
    return lead["person_id"]


async def test_a_crew_without_a_place_is_told_to_be_planned_or_assigned(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    visit_id = (await opened(wang_fang, sqlite, technicians=3))["visits"][0]["id"]
    offered = ok(await wang_fang.get(f"/visits/{visit_id}/proposals"))
    assert offered["proposals"] == []
    assert offered["sentence_zh"].startswith("需要 3 人同时上门")
    assert offered["sentence_en"].endswith("plan again, or assign each of them.")
    searched = ok(await wang_fang.get(f"/visits/{visit_id}/fixes"))
    assert (searched["outcome"], searched["fixes"], searched["exhausted"]) == ("crew", [], False)
    assert searched["sentence_en"].endswith("plan again, or assign each of them.")


async def test_whom_a_dispatcher_sent_along_stays_and_the_plan_finds_the_others(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shifts = {persona.name: str(await shift_of(sqlite, persona)) for persona in (LI_WEI, ZHOU_TAO, WU_GANG)}
    visit_id = (await opened(wang_fang, sqlite, technicians=2))["visits"][0]["id"]
    times = {"arrives_at": (sqlite.now.replace(hour=6)).isoformat()}
    await give(wang_fang, sqlite, visit_id, LI_WEI, shift_id=shifts["李伟"], **times)
    await give(wang_fang, sqlite, visit_id, WU_GANG, leads=False, **times)
    problem = await problem_of(sqlite)
    assert sorted((visit.technicians, visit.pin is not None) for visit in problem.visits) == [(1, True), (1, True)]


async def test_how_many_may_be_asked_for_is_how_many_can_be_planned(sqlite: Office) -> None:
    assert TECHNICIANS_MAXIMUM == MAX_CREW
    wang_fang = await sqlite.sign_in(WANG_FANG)
    body = {"site_id": str(sqlite.house.site), "kind": "repair", "title": "更换主机"}
    for wrong in (0, TECHNICIANS_MAXIMUM + 1):
        refused(await wang_fang.post("/work-orders", body | {"technicians": wrong}), "invalid")
