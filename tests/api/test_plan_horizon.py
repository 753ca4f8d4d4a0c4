"""How far a plan reaches: what stands on later days stays, what may only begin then says so; and how much it takes."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert

from backend.core.ids import new_id
from backend.jobs.models import Visit
from routing.limits import MAX_VISITS
from tests.live import after, days, offers, tried, visit_at
from tests.make import Desk, Office, Offices
from tests.personas import LI_WEI, WANG_FANG
from tests.planning import assignment, done, holder, planned, published, shift_of, stops
from tests.work import ok, refused

pytestmark = pytest.mark.usefixtures("quick_planners")

FRIDAY = 96
"""Hours after the Monday morning of the test: beyond the three days that a plan looks ahead."""
SHORT = 0.2
PROMISED: dict[str, Any] = {
    "window_starts_at": after(hours=FRIDAY + 2).isoformat(), "window_ends_at": after(hours=FRIDAY + 4).isoformat()
}  # fmt: skip


@pytest.fixture
async def sqlite(sqlite_office: Office) -> Office:
    return sqlite_office


@pytest.fixture
async def postgresql(offices: Offices) -> AsyncIterator[Office]:
    async with offices.open("postgresql") as office:
        yield office


async def friday(desk: Desk, office: Office) -> dict[str, dict[str, Any]]:
    """Two visits published for Friday, one of them promised; 李伟 works on Monday, too. Return who holds them."""
    await shift_of(office, LI_WEI, after=FRIDAY)
    visits = [await visit_at(desk, office, "东楼"), await visit_at(desk, office, "西楼", **PROMISED)]
    await published(desk, await done(desk, office, seconds=SHORT, horizon_hours=120))
    await shift_of(office, LI_WEI)
    office.move_clock(minutes=1)
    return {visit: await holder(desk, visit) for visit in visits}


async def test_what_is_planned_beyond_a_plan_stays_there(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    agreed = await friday(wang_fang, sqlite)
    plan = await done(wang_fang, sqlite, seconds=SHORT)
    assert (stops(plan), plan["unplanned"]) == ({}, [])
    assert (await published(wang_fang, plan))["withdrawn"] == 0
    assert {visit: await assignment(wang_fang, visit) for visit in agreed} == agreed


async def test_the_board_calls_nothing_unplanned_that_is_published_for_later(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    agreed = await friday(wang_fang, sqlite)
    assert (await days(wang_fang, sqlite))["unplanned"] == []
    for visit in agreed:  # asked about, each is looked at where it stands
        assert ok(await wang_fang.get(f"/visits/{visit}/why"))["sentence_en"].startswith("李伟 03-06 ")
        assert (await tried(wang_fang, visit, shift_id=None))["feasible"]


async def test_what_may_only_begin_after_a_plan_says_when_and_what_to_do(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    later = await shift_of(sqlite, LI_WEI, after=FRIDAY)
    promised = await visit_at(wang_fang, sqlite, "西楼", **PROMISED)
    waiting = await visit_at(wang_fang, sqlite, "机房", parts_ready_at=after(hours=FRIDAY + 3).isoformat())
    plan = await done(wang_fang, sqlite, seconds=SHORT)
    reasons = {one["visit_id"]: one["reasons"][0] for one in plan["unplanned"]}
    assert {(why["code"], why["basis"]) for why in reasons.values()} == {("beyond_horizon", "proven")}
    assert reasons[promised]["en"].startswith("It can begin Fri 11:00 at the earliest, ")
    assert "周五 12:00" in reasons[waiting]["zh"]
    whole = await done(wang_fang, sqlite, seconds=SHORT, horizon_hours=120)
    assert stops(whole).keys() == {promised, waiting}
    assert [one["shift_id"] for one in (await offers(wang_fang, promised))["proposals"]] == [str(later)]
    never = await visit_at(wang_fang, sqlite, "医院", earliest_at=after(days=30).isoformat())
    assert "at the earliest" in refused(await wang_fang.get(f"/visits/{never}/proposals"), "not_in_plan")["detail"]


async def test_more_visits_than_can_be_planned_are_refused_by_name(postgresql: Office) -> None:
    wang_fang = await postgresql.sign_in(WANG_FANG)
    await shift_of(postgresql, LI_WEI)
    first = await visit_at(wang_fang, postgresql, "东楼")
    async with postgresql.database.write() as session:
        visit = await session.get_one(Visit, UUID(first))
        same = {"work_order_id": visit.work_order_id, "duration_minutes": 60, "state": "unplanned"}
        rows = [same | {"id": new_id(), "sequence": 2 + number} for number in range(MAX_VISITS)]
        await session.execute(insert(Visit), rows)
    plan = await planned(wang_fang, postgresql)
    assert (plan["state"], plan["error"]["code"]) == ("failed", "too_many_visits")
    assert plan["error"]["facts"] == {"limit": MAX_VISITS}
    assert plan["error"]["en"].endswith("Plan the units below one by one, or cancel orders nobody needs.")
    refused(await wang_fang.get("/live/days", params={"unit_id": str(postgresql.house.service)}), "too_many_visits")
    refused(await wang_fang.get(f"/visits/{first}/proposals"), "too_many_visits")
