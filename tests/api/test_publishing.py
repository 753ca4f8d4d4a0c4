"""What publishing a plan gives out, what it passes over because the day went on meanwhile, and who is to be told."""

from typing import Any
from uuid import UUID

import pytest

from backend.core.clock import clock_of
from backend.dispatch.child import Spares
from backend.dispatch.desk import Desk as PlanDesk
from backend.dispatch.models import PlanRun
from backend.dispatch.runner import PlanRunner, Workshop, referee
from backend.dispatch.travel import Roads
from routing.problem import Problem
from tests.live import after, day_of
from tests.make import START, Desk, Office
from tests.personas import LI_WEI, WANG_FANG, WU_GANG, ZHOU_TAO
from tests.planning import absent, assignment, done, holder, problem_of, published, shift_of, stops, wish
from tests.work import change, give, ok, opened, refused, report, walk

pytestmark = pytest.mark.usefixtures("quick_planners")


@pytest.fixture
async def sqlite(sqlite_office: Office) -> Office:
    return sqlite_office


async def visit_of(desk: Desk, office: Office, **values: object) -> str:
    return str((await opened(desk, office, **values))["visits"][0]["id"])


def passed_over(outcome: dict[str, Any]) -> dict[str, str]:
    assert all(one["zh"] and one["en"] for one in outcome["skipped"])
    return {one["visit_id"]: one["code"] for one in outcome["skipped"]}


# --- the day went on ----------------------------------------------------------------------------------------------


async def test_who_is_ill_or_works_other_hours_by_now_is_given_nothing(office: Office) -> None:
    """王芳 plans, 李伟 calls in ill, 周涛 is to come later; what she publishes then goes to 吴刚 alone."""
    wang_fang = await office.sign_in(WANG_FANG)
    await shift_of(office, LI_WEI)
    later = await shift_of(office, ZHOU_TAO)
    await shift_of(office, WU_GANG)
    lift = await visit_of(wang_fang, office, required_skills=["elevator"])
    lan = await visit_of(wang_fang, office, required_skills=["network"])
    plain = await visit_of(wang_fang, office)
    await give(wang_fang, office, plain, WU_GANG, pinned=True)
    plan = await done(wang_fang, office)
    assert set(stops(plan)) == {lift, lan, plain}

    ill = {
        "person_id": str(office.house.id_of(LI_WEI)), "kind": "ill",
        "starts_at": START.isoformat(), "ends_at": after(hours=9).isoformat(),
    }  # fmt: skip
    ok(await wang_fang.post("/absences", ill), 201)
    ok(await wang_fang.edit(f"/shifts/{later}", {"starts_at": after(hours=1).isoformat()}))
    outcome = await published(wang_fang, plan)
    assert passed_over(outcome) == {lift: "away", lan: "shift_changed"}
    assert outcome["assigned"] == 1
    assert await assignment(wang_fang, lift) is None
    assert await assignment(wang_fang, lan) is None
    assert (await holder(wang_fang, plain))["person_id"] == str(office.house.id_of(WU_GANG))


async def test_leave_at_another_time_of_the_day_is_in_nobodys_way(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    await visit_of(wang_fang, sqlite)
    plan = await done(wang_fang, sqlite)
    afternoon = {
        "person_id": str(sqlite.house.id_of(LI_WEI)), "kind": "leave",
        "starts_at": after(hours=6).isoformat(), "ends_at": after(hours=9).isoformat(),
    }  # fmt: skip
    ok(await wang_fang.post("/absences", afternoon), 201)
    outcome = await published(wang_fang, plan)
    assert (outcome["assigned"], outcome["skipped"]) == (1, [])


@pytest.mark.parametrize(("minutes", "late"), [(14, False), (16, True)])
async def test_what_it_is_too_late_to_set_off_for_is_passed_over(sqlite: Office, minutes: int, *, late: bool) -> None:
    wang_fang = await sqlite.sign_in_for_long(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    at_once = await visit_of(wang_fang, sqlite)
    noon = await visit_of(wang_fang, sqlite, earliest_at=after(hours=4).isoformat())
    plan = await done(wang_fang, sqlite)
    assert set(stops(plan)) == {at_once, noon}
    sqlite.move_clock(minutes=minutes)
    outcome = await published(wang_fang, plan)
    assert passed_over(outcome) == ({at_once: "past"} if late else {})
    assert outcome["assigned"] == (1 if late else 2)


async def test_fridays_plan_is_not_published_on_monday(sqlite: Office) -> None:
    """It would be a version that changes nothing and overtakes others."""
    wang_fang = await sqlite.sign_in_for_long(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    for number in range(2):
        await visit_of(wang_fang, sqlite, title=f"第 {number} 处")
    friday = await done(wang_fang, sqlite)
    sqlite.move_clock(days=3)
    said = refused(await wang_fang.post(f"/plans/{friday['id']}/publish"), "nothing_to_publish")
    (why,) = said["findings"]
    assert (why["field"], why["en"].endswith("Plan again. (visits: 2)")) == ("past", True)
    assert ok(await wang_fang.get("/plan-versions"))["items"] == []


async def test_a_visit_of_fridays_plan_that_is_over_by_monday_does_not_keep_it_alive(sqlite: Office) -> None:
    wang_fang, li_wei = await sqlite.sign_in_for_long(WANG_FANG), await sqlite.sign_in_for_long(LI_WEI)
    _, (begun,) = await day_of(wang_fang, sqlite, LI_WEI, "东楼")
    waiting = await visit_of(wang_fang, sqlite)
    await report(li_wei, begun, "depart")
    friday = await done(wang_fang, sqlite)
    assert set(stops(friday)) == {begun, waiting}
    await walk(sqlite, li_wei, begun, "arrive", "start", "finish")
    sqlite.move_clock(days=3)
    said = refused(await wang_fang.post(f"/plans/{friday['id']}/publish"), "nothing_to_publish")
    assert {why["field"] for why in said["findings"]} == {"begun", "past"}


async def test_what_set_off_meanwhile_and_shifts_that_are_gone_are_passed_over(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    li_wei = await sqlite.sign_in(LI_WEI)
    shift = await shift_of(sqlite, LI_WEI)
    await shift_of(sqlite, ZHOU_TAO)
    gone, begun, lan = [
        await visit_of(wang_fang, sqlite, required_skills=[skill]) for skill in ("elevator", "cctv", "network")
    ]
    await give(wang_fang, sqlite, begun, LI_WEI)
    plan = await done(wang_fang, sqlite)
    await report(li_wei, begun, "depart")
    assert (await wang_fang.ask("DELETE", f"/shifts/{shift}")).status_code == 204
    outcome = await published(wang_fang, plan)
    assert passed_over(outcome) == {gone: "shift_gone", begun: "begun"}
    assert outcome["assigned"] == 1
    assert await assignment(wang_fang, lan) is not None


async def test_what_was_under_way_when_the_plan_was_made_is_left_as_it_was(sqlite: Office) -> None:
    wang_fang, li_wei = await sqlite.sign_in(WANG_FANG), await sqlite.sign_in(LI_WEI)
    _, (visit,) = await day_of(wang_fang, sqlite, LI_WEI, "东楼")
    await report(li_wei, visit, "depart")
    sqlite.move_clock(minutes=1)
    outcome = await published(wang_fang, await done(wang_fang, sqlite))
    assert (outcome["unchanged"], outcome["skipped"]) == (1, [])


# --- another plan was published -----------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [5, -5])
async def test_what_is_published_while_roads_are_asked_for_overtakes_a_plan(sqlite: Office, asked: int) -> None:
    """Also what somebody asked to publish before the plan began, and that was written only after it read its rows."""
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    await opened(wang_fang, sqlite)
    first = await done(wang_fang, sqlite)
    sqlite.move_clock(seconds=10)

    class Slow(Roads):
        async def on_roads(self, problem: Problem) -> Problem:
            sqlite.move_clock(seconds=asked)
            await published(wang_fang, first)
            sqlite.move_clock(seconds=10)
            return await super().on_roads(problem)

    desk, clock = PlanDesk(4096), clock_of(sqlite.settings)
    workshop = Workshop(4096, Spares(), referee(desk), None, Slow(sqlite.database, clock, "estimate"))
    second = await wish(wang_fang, sqlite)
    await PlanRunner(sqlite.database, clock, workshop).run({"plan_run_id": second["id"]})
    refused(await wang_fang.post(f"/plans/{second['id']}/publish"), "plan_outdated")
    assert [one["plan_id"] for one in ok(await wang_fang.get("/plan-versions"))["items"]] == [first["id"]]


@pytest.mark.parametrize("stored", [None, {}, {"01a20370-2a0e-74ac-ada3-1dbe4e7ba114": {"pinned": True}}])
async def test_a_plan_stored_before_plans_kept_what_they_rest_on_is_made_anew(office: Office, stored: Any) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    await shift_of(office, LI_WEI)
    await visit_of(wang_fang, office)
    plan = await done(wang_fang, office)
    async with office.database.write() as session:
        (await session.get_one(PlanRun, UUID(plan["id"]))).basis = stored
    said = refused(await wang_fang.post(f"/plans/{plan['id']}/publish"), "plan_outdated")
    assert "older version" in said["detail"] + said["title"]


# --- whom to call -------------------------------------------------------------------------------------------------


async def test_who_has_to_be_told_anew_is_said_with_publishing_and_afterwards(office: Office) -> None:
    """李伟 falls ill; 周涛 comes in the afternoon. Until the customer hears of it, they count as told no more."""
    wang_fang = await office.sign_in(WANG_FANG)
    _, (told, untold) = await day_of(wang_fang, office, LI_WEI, "东楼", "西楼")
    window = {"window_starts_at": after(hours=1).isoformat(), "window_ends_at": after(hours=12).isoformat()}
    ok(await wang_fang.edit(f"/visits/{told}", window))
    ok(await change(wang_fang, told, "tell", {"channel": "phone", "asked_by": "customer"}))
    assert await counted_as_told(office) == {told}
    await shift_of(office, ZHOU_TAO, after=5)
    await absent(office, LI_WEI, (0, 9))
    plan = await done(wang_fang, office)
    assert set(stops(plan)) == {told, untold}
    seen = ok(await wang_fang.get(f"/plans/{plan['id']}/difference"))
    outcome = await published(wang_fang, plan)
    assert seen["told_again"] == outcome["told_again"] == [told]
    assert await published(wang_fang, plan) == outcome
    (version,) = ok(await wang_fang.get("/plan-versions"))["items"]
    assert version["told_again"] == [told]

    assert ok(await wang_fang.get(f"/visits/{told}"))["told_at"] is None
    assert await counted_as_told(office) == set()
    ok(await change(wang_fang, told, "tell", {"channel": "phone", "asked_by": "us"}))
    assert await counted_as_told(office) == {told}


async def counted_as_told(office: Office) -> set[str]:
    """The visits of which the next plan will think that their customers know the time."""
    return {visit.id for visit in (await problem_of(office)).visits if visit.told}


async def test_a_customer_of_whom_the_plan_leaves_the_visit_without_anybody_is_to_be_told(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    _, (told,) = await day_of(wang_fang, sqlite, LI_WEI, "东楼")
    window = {"window_starts_at": after(hours=1).isoformat(), "window_ends_at": after(hours=7).isoformat()}
    ok(await wang_fang.edit(f"/visits/{told}", window))
    ok(await change(wang_fang, told, "tell", {"channel": "phone", "asked_by": "customer"}))
    await absent(sqlite, LI_WEI, (0, 7.5))
    outcome = await published(wang_fang, await done(wang_fang, sqlite))
    assert (outcome["withdrawn"], outcome["told_again"]) == (1, [told])
    assert ok(await wang_fang.get(f"/visits/{told}"))["told_at"] is None


async def test_nobody_is_to_be_told_of_a_shift_that_a_visit_given_by_hand_stood_on_anyway(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift, visit = await shift_of(sqlite, LI_WEI), await visit_of(wang_fang, sqlite, duration_minutes=60)
    window = {"window_starts_at": after(hours=1).isoformat(), "window_ends_at": after(hours=4).isoformat()}
    ok(await wang_fang.edit(f"/visits/{visit}", window))
    times = {"arrives_at": after(hours=2).isoformat(), "ends_at": after(hours=3).isoformat()}
    await give(wang_fang, sqlite, visit, LI_WEI, **times)
    ok(await change(wang_fang, visit, "tell", {"channel": "phone", "asked_by": "customer"}))
    plan = await done(wang_fang, sqlite)
    assert ok(await wang_fang.get(f"/plans/{plan['id']}/difference"))["told_again"] == []
    assert (await published(wang_fang, plan))["told_again"] == []
    assert (await holder(wang_fang, visit))["shift_id"] == str(shift)
    assert ok(await wang_fang.get(f"/visits/{visit}"))["told_at"]


async def test_who_was_told_a_window_hears_that_nobody_comes_even_where_no_time_was_planned(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    visit = await visit_of(wang_fang, sqlite)
    window = {"window_starts_at": after(hours=1).isoformat(), "window_ends_at": after(hours=7).isoformat()}
    ok(await wang_fang.edit(f"/visits/{visit}", window))
    await give(wang_fang, sqlite, visit, LI_WEI)
    ok(await change(wang_fang, visit, "tell", {"channel": "phone", "asked_by": "customer"}))
    await absent(sqlite, LI_WEI, (0, 7.5))
    outcome = await published(wang_fang, await done(wang_fang, sqlite))
    assert (outcome["withdrawn"], outcome["told_again"]) == (1, [visit])
