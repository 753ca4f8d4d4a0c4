"""Plans over HTTP: made in a child process, passed by the referee, published beside what people decided."""

import asyncio
import re
import time
from datetime import timedelta

import pytest
from sqlalchemy import update

from backend.core.clock import parse_instant
from backend.sites.models import Site
from tests.make import START, Office
from tests.personas import CHEN_JING, LI_WEI, MA_CHAO, SUN_LEI, WANG_FANG, ZHOU_TAO
from tests.planning import (
    PATIENCE,
    absent,
    assignment,
    done,
    first_progress,
    holder,
    much_work,
    published,
    run_of,
    shift_of,
    state_is,
    stops,
    wish,
    worker,
)
from tests.work import case_with_clocks, change, give, ok, opened, refused

pytestmark = pytest.mark.usefixtures("quick_planners")


@pytest.fixture
async def sqlite(sqlite_office: Office) -> Office:
    return sqlite_office


# --- from wish to assignment ------------------------------------------------------------------------------------------


@pytest.mark.rule("A052", "A054")
async def test_a_plan_is_made_passes_the_referee_and_becomes_assignments(office: Office) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    shift = await shift_of(office, LI_WEI)
    order = await opened(wang_fang, office, request_id=str(await case_with_clocks(office)), required_skills=["cctv"])
    (visit,) = order["visits"]

    asked = await wish(wang_fang, office)
    assert (asked["state"], asked["routes"], asked["summary_en"]) == ("queued", [], None)
    assert await worker(office).run_one()
    plan = ok(await wang_fang.get(f"/plans/{asked['id']}"))

    assert (plan["state"], plan["violations"], plan["unplanned"]) == ("done", [], [])
    assert plan["summary_en"] == "1 of 1 visits arrive in time, 0 arrive late, 0 are not planned."
    assert plan["summary_zh"].startswith("1 次上门中 1 次按时到场")
    ((route,), (stop,)) = plan["routes"], plan["routes"][0]["stops"]
    assert (route["shift_id"], route["person_id"]) == (str(shift), str(office.house.id_of(LI_WEI)))
    assert route["person_name"] == "李伟"
    assert stop["visit_id"] == visit["id"]
    assert stop["slack_minutes"] > 40 * 60  # of 48 hours
    assert stop["travel_minutes"] > 0
    run = await run_of(office, plan)
    assert run.started_at is not None
    assert ok(await wang_fang.get("/plans"))["items"][0]["id"] == plan["id"]

    outcome = await published(wang_fang, plan)
    assert outcome == {
        "plan_id": plan["id"],
        "assigned": 1,
        "unchanged": 0,
        "withdrawn": 0,
        "skipped": [],
        "version": 1,
        "told_again": [],
    }
    given = await holder(wang_fang, visit["id"])
    assert (given["person_id"], given["shift_id"], given["pinned"]) == (route["person_id"], str(shift), False)
    assert parse_instant(given["arrives_at"]) == parse_instant(stop["starts_at"]) > START
    assert given["slack_seconds"] // 60 == stop["slack_minutes"]
    assert ok(await wang_fang.get(f"/visits/{visit['id']}"))["state"] == "planned"

    again = await done(wang_fang, office)
    assert (await published(wang_fang, again))["unchanged"] == 1


async def test_the_answer_that_got_lost_is_given_again(office: Office) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    await shift_of(office, LI_WEI)
    await opened(wang_fang, office)
    plan = await done(wang_fang, office)
    office.move_clock(minutes=1)
    first = await published(wang_fang, plan)
    assert first["assigned"] == 1
    office.move_clock(minutes=1)
    assert await published(wang_fang, plan) == first


async def test_a_plan_not_made_is_not_published(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    visit = (await opened(wang_fang, sqlite))["visits"][0]["id"]
    plan = await wish(wang_fang, sqlite)
    refused(await wang_fang.post(f"/plans/{plan['id']}/publish"), "plan_not_ready")
    assert await assignment(wang_fang, visit) is None
    assert ok(await wang_fang.get("/plan-versions"))["items"] == []


async def test_progress_is_told_and_cancelling_keeps_the_best_so_far(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await much_work(wang_fang, sqlite)
    plan = await wish(wang_fang, sqlite, seconds=120)
    working = asyncio.create_task(worker(sqlite).run_one())
    seen = await first_progress(wang_fang, plan)
    assert seen["progress"]["served"] + seen["progress"]["unplanned"] == 120
    assert 0 < seen["progress"]["share"] < 1
    asked = time.monotonic()
    ok(await wang_fang.post(f"/plans/{plan['id']}/cancel"))
    assert await working
    assert time.monotonic() - asked < PATIENCE
    kept = await state_is(wang_fang, plan, "done")
    assert len(stops(kept)) + len(kept["unplanned"]) == 120
    assert kept["violations"] == []


async def test_a_plan_cancelled_before_it_began_is_never_made(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    plan = await wish(wang_fang, sqlite)
    ok(await wang_fang.post(f"/plans/{plan['id']}/cancel"))
    assert await worker(sqlite).run_one()
    assert (await state_is(wang_fang, plan, "cancelled"))["routes"] == []


# --- who and what cannot be planned -----------------------------------------------------------------------------------


async def test_without_anybody_at_work_there_is_nothing_to_plan(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    body = {"unit_id": str(sqlite.house.service)}
    refused(await wang_fang.post("/plans", body), "no_technicians")
    await shift_of(sqlite, LI_WEI)
    await absent(sqlite, LI_WEI, (0, 9))
    await opened(wang_fang, sqlite)
    plan = await done(wang_fang, sqlite)
    assert [why["code"] for why in plan["unplanned"][0]["reasons"]] == ["no_technicians"]


async def test_what_is_not_planned_says_why_in_both_languages(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    lan = (await opened(wang_fang, sqlite, required_skills=["network"]))["visits"][0]["id"]
    long = (await opened(wang_fang, sqlite, duration_minutes=10 * 60))["visits"][0]["id"]
    pinned = (await opened(wang_fang, sqlite))["visits"][0]["id"]
    await give(wang_fang, sqlite, pinned, ZHOU_TAO, pinned=True)
    plan = await done(wang_fang, sqlite)
    reasons = {one["visit_id"]: one["reasons"][0] for one in plan["unplanned"]}
    assert {visit: (why["code"], why["basis"]) for visit, why in reasons.items()} == {
        lan: ("no_skill", "proven"),
        long: ("too_long", "proven"),
        pinned: ("pinned_away", "proven"),
    }
    assert "周涛" in reasons[pinned]["zh"]
    assert "周涛" in reasons[pinned]["en"]
    assert "网络" in reasons[lan]["zh"]
    assert reasons[long]["en"].startswith("It takes 10 h on site; the longest shift that may take it is 8 h,")


async def test_what_comes_late_says_by_how_much_and_why_in_both_languages(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI, after=4)
    due_at = (START + timedelta(hours=1)).isoformat()
    (visit,) = (order := await opened(wang_fang, sqlite, due_at=due_at))["visits"]
    plan = await done(wang_fang, sqlite)
    ((route,), (stop,), (late,)) = plan["routes"], plan["routes"][0]["stops"], plan["late"]
    assert route["person_name"] == "李伟"
    assert (late["visit_id"], late["number"]) == (visit["id"], order["order"]["number"])
    assert late["late_minutes"] == -stop["slack_minutes"] > 3 * 60
    assert late["promise_late_minutes"] == 0
    (reason,) = late["reasons"]
    assert (reason["code"], reason["basis"]) == ("due_before_reachable", "proven")
    assert re.fullmatch(r"Nobody .* before 13:\d\d; its commitment runs out at 10:00\.", reason["en"])
    assert "其时限为 10:00。" in reason["zh"]
    assert plan["travel_estimated"] is True


async def test_a_site_nobody_put_on_the_map_is_left_out_and_said(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    visit_id = (await opened(wang_fang, sqlite))["visits"][0]["id"]
    async with sqlite.database.write() as session:
        await session.execute(update(Site).where(Site.id == sqlite.house.site).values(lat=None, lon=None))
    plan = await done(wang_fang, sqlite)
    assert [(one["visit_id"], one["reasons"][0]["code"]) for one in plan["unplanned"]] == [(visit_id, "no_position")]


async def test_another_units_dispatcher_and_technicians_are_refused(sqlite: Office) -> None:
    wang_fang, ma_chao, li_wei = [await sqlite.sign_in(one) for one in (WANG_FANG, MA_CHAO, LI_WEI)]
    await shift_of(sqlite, LI_WEI)
    plan = await done(wang_fang, sqlite)
    for desk, code in ((ma_chao, "not_found"), (li_wei, "forbidden")):
        refused(await desk.post("/plans", {"unit_id": str(sqlite.house.service)}), code)
        refused(await desk.get(f"/plans/{plan['id']}"), code)
        refused(await desk.post(f"/plans/{plan['id']}/cancel"), code)
        refused(await desk.post(f"/plans/{plan['id']}/publish"), code)
    assert ok(await ma_chao.get("/plans"))["items"] == []
    refused(await li_wei.get("/plans"), "forbidden")


# --- what people decided meanwhile ------------------------------------------------------------------------------------


async def test_what_was_decided_after_the_plan_stands(office: Office) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    await shift_of(office, LI_WEI)
    visits = [(await opened(wang_fang, office, title=f"第 {n} 处"))["visits"][0]["id"] for n in range(4)]
    by_hand, told, pinned, plain = visits
    await give(wang_fang, office, pinned, LI_WEI)
    plan = await done(wang_fang, office)
    assert set(stops(plan)) == set(visits)

    await give(wang_fang, office, by_hand, ZHOU_TAO)
    await give(wang_fang, office, pinned, LI_WEI, pinned=True, arrives_at=(START + timedelta(hours=6)).isoformat())
    seen = await wang_fang.get(f"/visits/{told}")
    window = {
        "window_starts_at": (START + timedelta(hours=5)).isoformat(),
        "window_ends_at": (START + timedelta(hours=6)).isoformat(),
    }
    ok(await wang_fang.ask("PATCH", f"/visits/{told}", json=window, headers={"If-Match": seen.headers["ETag"]}))
    ok(await change(wang_fang, told, "tell", {"channel": "phone", "asked_by": "customer"}))

    outcome = await published(wang_fang, plan)
    assert outcome["assigned"] == 1
    assert {one["visit_id"]: one["code"] for one in outcome["skipped"]} == {
        by_hand: "decided", told: "decided", pinned: "decided",
    }  # fmt: skip
    assert all(one["zh"] and one["en"] for one in outcome["skipped"])
    assert await assignment(wang_fang, told) is None
    sent_by_hand, kept, new = [await holder(wang_fang, visit) for visit in (by_hand, pinned, plain)]
    assert sent_by_hand["person_id"] == str(office.house.id_of(ZHOU_TAO))
    assert (kept["pinned"], parse_instant(kept["arrives_at"])) == (True, START + timedelta(hours=6))
    assert (new["person_id"], new["pinned"]) == (str(office.house.id_of(LI_WEI)), False)


async def test_a_plan_takes_nobody_off_whom_somebody_sent_or_pinned(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    visits = [(await opened(wang_fang, sqlite, required_skills=["network"]))["visits"][0]["id"] for _ in range(3)]
    later, pinned, loose = visits
    await give(wang_fang, sqlite, pinned, LI_WEI, pinned=True)
    await give(wang_fang, sqlite, loose, LI_WEI)
    plan = await done(wang_fang, sqlite)
    assert {one["visit_id"] for one in plan["unplanned"]} == set(visits)
    await give(wang_fang, sqlite, later, ZHOU_TAO)

    outcome = await published(wang_fang, plan)
    assert {one["visit_id"]: one["code"] for one in outcome["skipped"]} == {later: "decided", pinned: "pinned"}
    assert outcome["withdrawn"] == 1
    assert await assignment(wang_fang, later) is not None
    assert await assignment(wang_fang, pinned) is not None
    assert await assignment(wang_fang, loose) is None


async def test_plans_of_a_unit_and_of_the_company_above_it_see_each_other(sqlite: Office) -> None:
    wang_fang, chen_jing = await sqlite.sign_in(WANG_FANG), await sqlite.sign_in(CHEN_JING)
    ma_chao = await sqlite.sign_in(MA_CHAO)
    await shift_of(sqlite, LI_WEI)
    await shift_of(sqlite, SUN_LEI)
    await opened(wang_fang, sqlite)
    company = await done(chen_jing, sqlite, "company")
    department, north = await done(wang_fang, sqlite), await done(ma_chao, sqlite, "north")
    sqlite.move_clock(seconds=5)
    await published(wang_fang, department)
    refused(await chen_jing.post(f"/plans/{company['id']}/publish"), "plan_outdated")
    await published(ma_chao, north)  # a sister is no relation
    versions = ok(await chen_jing.get("/plan-versions"))["items"]
    assert sorted(one["plan_id"] for one in versions) == sorted((department["id"], north["id"]))
