"""Re-plans with a budget, what a plan changes, versions, and what other people would be worth."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from backend.core.clock import parse_instant
from backend.dispatch.models import PlanRun
from tests.live import after, day_of, give_at, published_day, visit_at
from tests.make import LAT, Desk, Office
from tests.personas import CHEN_JING, LI_WEI, MA_CHAO, SUN_LEI, TANG_MIN, WANG_FANG, ZHOU_TAO
from tests.planning import assignment, done, holder, problem_of, published, shift_of, state_is, stops, worker
from tests.work import change, give, ok, refused, report

pytestmark = pytest.mark.usefixtures("quick_planners")

SHORT = 0.2
"""Seconds of search: enough for three visits."""


@pytest.fixture
async def sqlite(sqlite_office: Office) -> Office:
    return sqlite_office


async def made(desk: Desk, office: Office, answer: Any) -> dict[str, Any]:
    """The plan that was asked for, made."""
    asked = ok(answer, 201)
    assert await worker(office).run_one()
    return await state_is(desk, asked, "done", "failed")


async def replanned(desk: Desk, office: Office, most_changes: int, **values: object) -> dict[str, Any]:
    body = {"unit_id": str(office.house.service), "most_changes": most_changes, "seconds": SHORT, **values}
    return await made(desk, office, await desk.post("/replans", body))


async def difference(desk: Desk, plan: dict[str, Any], **query: object) -> dict[str, Any]:
    return ok(await desk.get(f"/plans/{plan['id']}/difference", params=query))


# --- somebody is ill ----------------------------------------------------------------------------------------------


async def test_somebody_ill_is_entered_away_and_his_visits_alone_move(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    _, theirs = await day_of(wang_fang, sqlite, LI_WEI, "东楼", "西楼")
    _, others = await day_of(wang_fang, sqlite, ZHOU_TAO, "海尔大厦")
    away = {"person_id": str(sqlite.house.id_of(LI_WEI)), "until": after(hours=9).isoformat()}
    plan = await replanned(wang_fang, sqlite, 0, away=away)
    assert (plan["state"], plan["kind"], plan["most_changes"], plan["error"]) == ("done", "replan", 0, None)
    zhou_tao = str(sqlite.house.id_of(ZHOU_TAO))
    assert stops(plan) == dict.fromkeys([*theirs, *others], zhou_tao)

    seen = await difference(wang_fang, plan)
    assert (seen["against"], seen["counted"], seen["most_changes"]) == ("in_force", 0, 0)
    assert ": 0 change hands or a told time, or drop out (at most 0 may), " in seen["sentence_en"]
    assert "2 lost their shift and do not count; 0 customers" in seen["sentence_en"]
    moved = {one["visit_id"]: one for one in seen["changes"] if one["kind"] == "moved"}
    assert set(moved) == set(theirs)
    assert moved[theirs[0]]["sentence_en"].startswith("东楼 moves from 李伟 11:00 to 周涛 ")
    assert seen["after"]["served"] == 3
    assert await published(wang_fang, plan) == {
        "plan_id": plan["id"], "assigned": seen["after"]["served"] - unchanged(seen), "unchanged": unchanged(seen),
        "withdrawn": 0, "skipped": [], "version": 1, "told_again": [],
    }  # fmt: skip
    for visit in theirs:
        assert (await holder(wang_fang, visit))["person_id"] == zhou_tao


def unchanged(seen: dict[str, Any]) -> int:
    return int(seen["after"]["served"]) - len(seen["changes"])


async def test_somebody_ill_for_the_morning_keeps_the_afternoon_alone(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift, away_then = await shift_of(sqlite, LI_WEI), list[str]()
    await shift_of(sqlite, ZHOU_TAO)
    for name, hours in {"东楼": 0.75, "西楼": 2}.items():
        window: dict[str, Any] = {
            "window_starts_at": after(hours=hours).isoformat(), "window_ends_at": after(hours=4).isoformat()
        }  # fmt: skip
        visit = await visit_at(wang_fang, sqlite, name, duration_minutes=60, **window)
        await give_at(wang_fang, sqlite, visit, LI_WEI, shift, hours=hours)
        ok(await change(wang_fang, visit, "tell", {"channel": "phone", "asked_by": "customer"}))
        away_then.append(visit)
    afternoon = await visit_at(wang_fang, sqlite, "海尔大厦", duration_minutes=60)
    await give_at(wang_fang, sqlite, afternoon, LI_WEI, shift, hours=5)
    away = {"person_id": str(sqlite.house.id_of(LI_WEI)), "until": after(hours=4).isoformat()}
    plan = await replanned(wang_fang, sqlite, 0, away=away)
    assert (plan["state"], plan["error"]) == ("done", None)
    li_wei, zhou_tao = (str(sqlite.house.id_of(persona)) for persona in (LI_WEI, ZHOU_TAO))
    assert stops(plan) == dict.fromkeys(away_then, zhou_tao) | {afternoon: li_wei}
    seen = await difference(wang_fang, plan)
    assert (seen["counted"], set(seen["told_again"]) <= set(away_then)) == (0, True)
    assert "2 lost their shift and do not count" in seen["sentence_en"]


async def test_a_budget_of_changes_holds(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    _, visits = await day_of(wang_fang, sqlite, LI_WEI, "东楼", "西楼", "海尔大厦")
    await shift_of(sqlite, ZHOU_TAO)
    free = await replanned(wang_fang, sqlite, 3)
    assert free["state"] == "done"
    new = await visit_at(wang_fang, sqlite, "医院")
    kept = await replanned(wang_fang, sqlite, 0)
    assert {visit: person for visit, person in stops(kept).items() if visit != new} == dict.fromkeys(
        visits, str(sqlite.house.id_of(LI_WEI))
    )
    assert new in stops(kept)


async def test_what_is_planned_beyond_a_re_plan_stays_there(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI, after=48)
    later = await visit_at(wang_fang, sqlite, "东楼")
    await published(wang_fang, await done(wang_fang, sqlite, seconds=SHORT))
    before = await holder(wang_fang, later)
    await shift_of(sqlite, LI_WEI)
    await published(wang_fang, await replanned(wang_fang, sqlite, 5, horizon_hours=12))
    assert await holder(wang_fang, later) == before


# --- what was given by hand ---------------------------------------------------------------------------------------


async def at_the_gate(office: Office) -> UUID:
    """A day of 李伟's, and of 周涛, who begins at the customer's: return 李伟's shift."""
    await shift_of(office, ZHOU_TAO, start_lat=LAT)
    return await shift_of(office, LI_WEI)


async def test_a_visit_given_by_hand_without_a_shift_stands_on_the_persons_shift_then(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift, by_hand = await at_the_gate(sqlite), dict[str, str]()
    for name, hours in {"东楼": 0.5, "西楼": 3}.items():
        by_hand[name] = await visit_at(wang_fang, sqlite, name, duration_minutes=60)
        times = {"arrives_at": after(hours=hours).isoformat(), "ends_at": after(hours=hours + 1).isoformat()}
        await give(wang_fang, sqlite, by_hand[name], LI_WEI, **times)
    found = {visit.id: visit for visit in (await problem_of(sqlite)).visits}
    soon, later = (found[visit] for visit in by_hand.values())
    assert [one.previous and one.previous.shift for one in (soon, later)] == [str(shift)] * 2
    assert (soon.frozen, later.frozen) == (True, False)
    plan = await replanned(wang_fang, sqlite, 0)
    assert stops(plan) == dict.fromkeys(by_hand.values(), str(sqlite.house.id_of(LI_WEI)))
    seen = await difference(wang_fang, plan)
    assert {one["kind"] for one in seen["changes"]} <= {"retimed"}


async def test_who_set_off_without_having_been_given_a_time_keeps_the_visit(sqlite: Office) -> None:
    wang_fang, li_wei = await sqlite.sign_in_for_long(WANG_FANG), await sqlite.sign_in_for_long(LI_WEI)
    shift = await at_the_gate(sqlite)
    visit, waiting = [await visit_at(wang_fang, sqlite, name) for name in ("东楼", "西楼")]
    await give(wang_fang, sqlite, visit, LI_WEI, shift_id=str(shift))
    await report(li_wei, visit, "depart")
    plan = await done(wang_fang, sqlite, seconds=SHORT)
    assert stops(plan)[visit] == str(sqlite.house.id_of(LI_WEI))
    (route,) = [one for one in plan["routes"] if one["person_id"] == str(sqlite.house.id_of(LI_WEI))]
    assert route["stops"][0]["visit_id"] == visit, "and nothing before it is over"
    changed = {one["visit_id"]: one["kind"] for one in (await difference(wang_fang, plan))["changes"]}
    assert changed == {waiting: "added"}


# --- differences and versions -------------------------------------------------------------------------------------


async def test_plans_have_versions_and_say_what_they_change(office: Office) -> None:
    wang_fang, chen_jing = await office.sign_in(WANG_FANG), await office.sign_in(CHEN_JING)
    _, (first, second) = await published_day(wang_fang, office, LI_WEI, "东楼", "西楼")
    office.move_clock(seconds=1)
    third = await visit_at(wang_fang, office, "海尔大厦")
    plan = await done(wang_fang, office, seconds=SHORT)
    seen = await difference(wang_fang, plan)
    assert {one["visit_id"]: one["kind"] for one in seen["changes"]}[third] == "added"
    assert (seen["before"]["served"], seen["after"]["served"]) == (2, 3)
    assert seen["after"]["travel_minutes"] >= seen["before"]["travel_minutes"]
    assert seen["after"]["cost"]["travel"] > 0
    told_apart = (seen["counted"], seen["retimed"], seen["most_changes"])
    assert told_apart == (0, len(seen["changes"]) - 1, None)
    assert "planned 2 → 3" in seen["sentence_en"]
    assert "已排 2 → 3" in seen["sentence_zh"]
    assert "1 are newly planned; 0 customers" in seen["sentence_en"]
    assert seen["sentence_en"].endswith("overtime none → none.")
    assert (await published(wang_fang, plan))["version"] == 2
    office.move_clock(seconds=1)
    assert (await difference(wang_fang, plan))["changes"] == []

    listed = ok(await wang_fang.get("/plan-versions", params={"unit_id": str(office.house.service)}))["items"]
    assert [(one["version"], one["published_by"]) for one in listed] == [(2, "王芳"), (1, "王芳")]
    assert all(one["assigned"] for one in listed)
    older = await difference(wang_fang, plan, against=listed[1]["plan_id"])
    assert older["against"] == listed[1]["plan_id"]
    assert {one["visit_id"] for one in older["changes"]} >= {third}
    await shift_of(office, SUN_LEI)
    north = await done(await office.sign_in(MA_CHAO), office, "north", seconds=SHORT)
    office.move_clock(seconds=1)
    assert (await published(chen_jing, north))["version"] == 1
    assert parse_instant(listed[0]["published_at"]) > parse_instant(listed[1]["published_at"])
    assert {first, second, third} == set(stops(plan))


async def test_a_plan_not_made_has_no_difference_and_one_of_others_is_not_found(sqlite: Office) -> None:
    wang_fang, ma_chao, li_wei = [await sqlite.sign_in(one) for one in (WANG_FANG, MA_CHAO, LI_WEI)]
    await shift_of(sqlite, LI_WEI)
    asked = ok(await wang_fang.post("/plans", {"unit_id": str(sqlite.house.service), "seconds": SHORT}), 201)
    refused(await wang_fang.get(f"/plans/{asked['id']}/difference"), "plan_missing")
    refused(await wang_fang.post(f"/plans/{asked['id']}/what-ifs", {"everybody_has": "cctv"}), "plan_not_ready")
    for path in ("difference", "what-ifs"):
        ask = (lambda desk: desk.get) if path == "difference" else (lambda desk: desk.post)
        body = {} if path == "difference" else {"json": {"everybody_has": "cctv"}}
        refused(await ask(ma_chao)(f"/plans/{asked['id']}/{path}", **body), "not_found")
        refused(await ask(li_wei)(f"/plans/{asked['id']}/{path}", **body), "forbidden")
    assert ok(await ma_chao.get("/plan-versions"))["items"] == []
    refused(await li_wei.get("/plan-versions"), "forbidden")
    ok(await (await sqlite.sign_in(TANG_MIN)).get("/plan-versions"))
    stranger = {"person_id": str(uuid4()), "until": after(hours=9).isoformat()}
    body = {"unit_id": str(sqlite.house.service), "most_changes": 1, "away": stranger}
    refused(await wang_fang.post("/replans", body), "invalid")


async def test_a_difference_the_planner_refuses_says_why(sqlite: Office) -> None:
    """As of a plan whose problem was stored before a rule of today."""
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await published_day(wang_fang, sqlite, LI_WEI, "东楼")
    (plan,) = ok(await wang_fang.get("/plans"))["items"]
    async with sqlite.database.write() as session:
        run = await session.get_one(PlanRun, UUID(plan["id"]))
        problem = run.problem or {}
        run.problem = problem | {"visits": problem["visits"] * 2}
    said = refused(await wang_fang.get(f"/plans/{plan['id']}/difference"), "not_comparable")
    assert "东楼" in said["detail"]
    assert "东楼" in said["detail_zh"]


# --- what if there were other people ------------------------------------------------------------------------------


async def test_managers_see_what_a_person_more_or_less_or_a_skill_would_bring(sqlite: Office) -> None:
    wang_fang, chen_jing = await sqlite.sign_in(WANG_FANG), await sqlite.sign_in(CHEN_JING)
    await shift_of(sqlite, LI_WEI)
    plain = await visit_at(wang_fang, sqlite, "东楼", lat=LAT + 0.02)
    lan = await visit_at(wang_fang, sqlite, "机房", required_skills=["network"])
    base = await done(wang_fang, sqlite, seconds=SHORT)
    assert stops(base).keys() == {plain}

    async def supposed(**hypothesis: object) -> dict[str, Any]:
        answer = await chen_jing.post(f"/plans/{base['id']}/what-ifs", hypothesis)
        plan = await made(chen_jing, sqlite, answer)
        assert (plan["kind"], plan["base_id"], plan["state"]) == ("what_if", base["id"], "done")
        assert plan["horizon_starts_at"] == base["horizon_starts_at"]
        refused(await chen_jing.post(f"/plans/{plan['id']}/publish"), "plan_hypothetical")
        return await difference(chen_jing, plan)

    once = {"Idempotency-Key": str(uuid4())}
    asked = [await chen_jing.post(f"/plans/{base['id']}/what-ifs", {"everybody_has": "network"}, headers=once)
             for _ in range(2)]  # fmt: skip
    assert ok(asked[0], 201) == ok(asked[1], 201), "asked for once, whatever became of the answer"
    await made(chen_jing, sqlite, asked[1])
    more = await supposed(one_more={"skills": ["network"]})
    assert (more["against"], more["before"]["served"], more["after"]["served"]) == (base["id"], 1, 2)
    (added,) = [one for one in more["changes"] if one["kind"] == "added"]
    nobody_yet = "增加的一人 / one more person"
    assert (added["visit_id"], added["after"]["person_name"]) == (lan, nobody_yet)
    assert "one more person" in added["sentence_en"]
    path = f"/plans/{more['plan_id']}"
    routes = ok(await chen_jing.get(path))["routes"]
    assert {route["person_name"] for route in routes if lan in [stop["visit_id"] for stop in route["stops"]]} == {
        nobody_yet
    }
    assert ok(await chen_jing.get(f"{path}/visits/{lan}/why"))["person_name"] == nobody_yet
    skilled = await supposed(everybody_has="network")
    assert (skilled["before"]["served"], skilled["after"]["served"]) == (1, 2)
    fewer = await supposed(without_person_id=str(sqlite.house.id_of(LI_WEI)))
    assert (fewer["before"]["served"], fewer["after"]["served"]) == (1, 0)
    assert [one["kind"] for one in fewer["changes"]] == ["taken_off"]

    for wrong in ({}, {"without_person_id": str(uuid4())}, {"everybody_has": "cctv", "one_more": {}}):
        refused(await chen_jing.post(f"/plans/{base['id']}/what-ifs", wrong), "hypothesis")
    for wrong, field in (
        ({"everybody_has": "netwrok"}, "everybody_has"), ({"one_more": {"skills": ["cctv", "x"]}}, "one_more.skills.1")
    ):  # fmt: skip
        (finding,) = refused(await chen_jing.post(f"/plans/{base['id']}/what-ifs", wrong), "invalid")["findings"]
        assert (finding["field"], "allowed: " in finding["en"]) == (field, True)
    assert await assignment(wang_fang, plain) is None
