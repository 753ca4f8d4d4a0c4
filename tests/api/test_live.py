"""A dispatcher's morning: an urgent visit, a drag on the board, somebody behind; in sentences, changed in one call."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from backend.core.changes import change
from backend.core.clock import parse_instant
from backend.core.sessions import READERS
from backend.dispatch.desk import Desk as PlanDesk
from backend.jobs.models import Assignment, ExpectedEnd
from tests.live import accepted, after, day_of, days, give_at, offers, published_day, tried, visit_at
from tests.make import LAT, LON, Desk, Office
from tests.personas import CHEN_JING, LI_WEI, MA_CHAO, SUN_LEI, TANG_MIN, WANG_FANG, WU_GANG, ZHOU_TAO
from tests.planning import absent, assignment, done, holder, pause, shift_of, stops
from tests.work import change as change_visit
from tests.work import give, ok, opened, refused, report

pytestmark = pytest.mark.usefixtures("quick_planners")


@pytest.fixture
async def sqlite(sqlite_office: Office) -> Office:
    return sqlite_office


async def changes_of(office: Office) -> dict[UUID, int]:
    """The commit each assignment last changed in: what phones hear of."""
    async with office.database.read() as session:
        rows = await session.execute(select(change.c.row_id, change.c.v).where(change.c.entity == "assignment"))
        return {row.row_id: row.v for row in rows}


async def later_changes(office: Office, before: dict[UUID, int]) -> set[str]:
    """The visits whose assignments changed since."""
    now = await changes_of(office)
    changed = [row_id for row_id, v in now.items() if before.get(row_id) != v]
    async with office.database.read() as session:
        found = await session.execute(select(Assignment.visit_id).where(Assignment.id.in_(changed)))
        return {str(visit_id) for visit_id in found.scalars()}


# --- urgent visits ------------------------------------------------------------------------------------------------


async def test_an_urgent_visit_is_offered_places_and_one_call_takes_one(office: Office) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    shift, visits = await published_day(wang_fang, office, LI_WEI, "东楼", "海尔大厦", "西楼")
    urgent = await visit_at(wang_fang, office, "医院", lat=LAT + 0.005, priority="P1")
    seen = await offers(wang_fang, urgent)
    best = seen["proposals"][0]
    assert (best["person_name"], best["shift_id"], best["late_minutes"]) == ("李伟", str(shift), 0)
    assert best["sentence_en"].startswith("李伟 ")
    assert best["sentence_en"].endswith("nobody late")
    assert seen["sentence_zh"] == best["sentence_zh"]
    assert (seen["travel_estimated"], seen["travel_source"]) == (True, "estimate from straight-line distance")
    for one in best["moved"]:
        assert one["site_name"] in best["sentence_zh"]
        assert one["minutes"] > 0

    before = await changes_of(office)
    outcome = ok(await wang_fang.post(f"/visits/{urgent}/place", accepted(seen, best)), 201)
    given = await holder(wang_fang, urgent)
    assert given["person_id"] == str(office.house.id_of(LI_WEI)) == outcome["person_id"]
    assert parse_instant(given["arrives_at"]) == parse_instant(best["starts_at"])
    moved = {one["visit_id"] for one in best["moved"] if abs(one["minutes"]) >= 1}
    assert await later_changes(office, before) == {urgent, *moved}
    for one in best["moved"]:
        kept = await holder(wang_fang, one["visit_id"])
        assert parse_instant(kept["arrives_at"]) == parse_instant(one["starts_after"])
        assert kept["plan_id"] is not None
    assert set(moved) < set(visits) | {urgent}


async def test_the_answer_that_got_lost_is_given_again(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await day_of(wang_fang, sqlite, LI_WEI, "东楼")
    urgent = await visit_at(wang_fang, sqlite, "医院")
    seen = await offers(wang_fang, urgent)
    key = {"Idempotency-Key": str(uuid4())}
    body = accepted(seen, seen["proposals"][0])
    first = ok(await wang_fang.post(f"/visits/{urgent}/place", body, headers=key), 201)
    assert ok(await wang_fang.post(f"/visits/{urgent}/place", body, headers=key), 201) == first
    other = await wang_fang.post(f"/visits/{urgent}/place", body | {"pinned": True}, headers=key)
    refused(other, "idempotency_key_reused")


async def test_a_board_that_moved_on_is_refused_with_what_changed(office: Office) -> None:
    wang_fang, chen_jing = await office.sign_in(WANG_FANG), await office.sign_in(CHEN_JING)
    shift, (first, *_) = await day_of(wang_fang, office, LI_WEI, "海尔大厦", "东楼")
    urgent = await visit_at(wang_fang, office, "医院")
    seen = await offers(wang_fang, urgent)
    await give(chen_jing, office, first, ZHOU_TAO)
    answer = refused(
        await wang_fang.post(f"/visits/{urgent}/place", accepted(seen, seen["proposals"][0])), "board_moved_on"
    )
    (finding,) = answer["findings"]
    assert finding["field"] == first
    assert "海尔大厦" in finding["en"]
    assert "陈静" in finding["zh"]
    assert await assignment(wang_fang, urgent) is None

    again = await offers(wang_fang, urgent)
    ok(await wang_fang.post(f"/visits/{urgent}/place", accepted(again, again["proposals"][0])), 201)
    assert (await holder(wang_fang, urgent))["shift_id"] == str(shift)


async def test_a_shift_shortened_or_leave_entered_since_is_a_change_too(office: Office) -> None:
    wang_fang, chen_jing = await office.sign_in(WANG_FANG), await office.sign_in(CHEN_JING)
    shift, _ = await day_of(wang_fang, office, LI_WEI, "东楼")
    zhou_tao = await shift_of(office, ZHOU_TAO, hours=9)
    urgent = await visit_at(wang_fang, office, "医院")
    seen = await tried(wang_fang, urgent, shift_id=shift)
    body = {"base": seen["base"], "shift_id": str(shift), "starts_at": seen["starts_at"]}
    ok(await chen_jing.edit(f"/shifts/{shift}", {"ends_at": after(hours=7.5).isoformat()}))
    (finding,) = refused(await wang_fang.post(f"/visits/{urgent}/place", body), "board_moved_on")["findings"]
    assert (finding["field"], finding["en"]) == (str(shift), "李伟's shift was changed by 陈静")

    seen = await tried(wang_fang, urgent, shift_id=zhou_tao)
    body = {"base": seen["base"], "shift_id": str(zhou_tao), "starts_at": seen["starts_at"]}
    leave = {"kind": "leave", "starts_at": after(hours=6).isoformat(), "ends_at": after(hours=9).isoformat()}
    of_li_wei = ok(await chen_jing.post("/absences", leave | {"person_id": str(office.house.id_of(LI_WEI))}), 201)
    assert (await tried(wang_fang, urgent, shift_id=zhou_tao))["starts_at"] == seen["starts_at"]
    ok(await chen_jing.post("/absences", leave | {"person_id": str(office.house.id_of(ZHOU_TAO))}), 201)
    (finding,) = refused(await wang_fang.post(f"/visits/{urgent}/place", body), "board_moved_on")["findings"]
    assert "周涛" in finding["zh"]
    seen = await tried(wang_fang, urgent, shift_id=zhou_tao)
    assert (await chen_jing.ask("DELETE", f"/absences/{of_li_wei['id']}")).status_code == 204
    ok(await wang_fang.post(f"/visits/{urgent}/place", body | {"base": seen["base"]}), 201)


async def test_the_board_looks_as_far_as_ones_own_shift_and_no_further(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    far, foreign = await shift_of(sqlite, LI_WEI, after=10 * 24), await shift_of(sqlite, SUN_LEI, after=10 * 24)
    urgent = await visit_at(wang_fang, sqlite, "医院")
    assert (await tried(wang_fang, urgent, shift_id=far))["feasible"]
    refused(await wang_fang.post(f"/visits/{urgent}/what-if", {"shift_id": str(foreign)}), "not_in_plan")


async def by_hand(desk: Desk, office: Office, visit: str, hours: float, **values: object) -> None:
    """Give a visit of an hour to 李伟 without naming a shift."""
    times = {"arrives_at": after(hours=hours).isoformat(), "ends_at": after(hours=hours + 1).isoformat()}
    await give(desk, office, visit, LI_WEI, **times, **values)


async def test_what_is_given_by_hand_while_a_placement_is_tried_counts_though_no_shift_is_named(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    wang_fang, chen_jing = await office.sign_in(WANG_FANG), await office.sign_in(CHEN_JING)
    shift, _ = await day_of(wang_fang, office, LI_WEI, "东楼")
    urgent, other, next_day = [await visit_at(wang_fang, office, name) for name in ("医院", "西楼", "海尔大厦")]
    seen = await tried(wang_fang, urgent, shift_id=shift)
    body = {"base": seen["base"], "shift_id": str(shift), "starts_at": seen["starts_at"]}
    ask, waiting = PlanDesk.ask, {next_day: 24.0, other: 6.0}

    async def meanwhile(desk: PlanDesk, question: Any, **about: Any) -> Any:
        while waiting:
            await by_hand(chen_jing, office, *waiting.popitem())
        return await ask(desk, question, **about)

    monkeypatch.setattr(PlanDesk, "ask", meanwhile)
    (finding,) = refused(await wang_fang.post(f"/visits/{urgent}/place", body), "board_moved_on")["findings"]
    assert finding["field"] == other


async def test_a_pin_by_hand_outlives_another_start_though_no_shift_was_named(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift, pinned = await shift_of(sqlite, LI_WEI), await visit_at(wang_fang, sqlite, "东楼", duration_minutes=60)
    await by_hand(wang_fang, sqlite, pinned, 2, pinned=True)
    urgent = await visit_at(wang_fang, sqlite, "医院", duration_minutes=180)
    seen = await tried(wang_fang, urgent, shift_id=shift, before_visit_id=pinned)
    body = {"base": seen["base"], "shift_id": str(shift), "before_visit_id": pinned, "starts_at": seen["starts_at"]}
    assert [one["visit_id"] for one in ok(await wang_fang.post(f"/visits/{urgent}/place", body), 201)["moved"]] == [
        pinned
    ]
    held = await holder(wang_fang, pinned)
    assert (held["pinned"], held["shift_id"]) == (True, str(shift))


async def test_what_changed_elsewhere_refuses_nothing(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift, _ = await day_of(wang_fang, sqlite, LI_WEI, "东楼")
    urgent = await visit_at(wang_fang, sqlite, "医院")
    seen = await offers(wang_fang, urgent)
    await opened(wang_fang, sqlite)
    best = seen["proposals"][0]
    outcome = ok(await wang_fang.post(f"/visits/{urgent}/place", accepted(seen, best)), 201)
    assert (outcome["shift_id"], outcome["starts_at"]) == (str(shift), best["starts_at"])
    held = await holder(wang_fang, urgent)
    assert (held["shift_id"], parse_instant(held["arrives_at"])) == (str(shift), parse_instant(best["starts_at"]))


async def test_what_would_start_at_another_time_than_shown_is_refused(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in_for_long(WANG_FANG)
    await day_of(wang_fang, sqlite, LI_WEI, "东楼")
    urgent = await visit_at(wang_fang, sqlite, "医院")
    seen = await offers(wang_fang, urgent)
    sqlite.move_clock(hours=3)
    answer = await wang_fang.post(f"/visits/{urgent}/place", accepted(seen, seen["proposals"][0]))
    assert refused(answer, "board_moved_on")["findings"][0]["field"] == "starts_at"


async def test_when_nobody_can_that_is_said(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    lan = await visit_at(wang_fang, sqlite, "机房", required_skills=["network"])
    seen = await offers(wang_fang, lan)
    assert seen["proposals"] == []
    assert "re-plan" in seen["sentence_en"]
    why = refused(await wang_fang.get(f"/visits/{lan}/why"), "not_in_plan")["detail"]
    assert why.endswith("机房 has no place in the plan yet; look at its proposals or its fixes.")
    nowhere = (await opened(wang_fang, sqlite))["visits"][0]["id"]
    ok(await wang_fang.post(f"/visits/{nowhere}/cancel", {"reason": "客户取消"}))
    refused(await wang_fang.get(f"/visits/{nowhere}/proposals"), "not_in_plan")


# --- drags --------------------------------------------------------------------------------------------------------


async def test_a_drag_says_all_that_follows_and_then_does_it(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift, visits = await day_of(wang_fang, sqlite, LI_WEI, "东楼", "海尔大厦", "西楼")
    zhou_tao = await shift_of(sqlite, ZHOU_TAO)
    at = after(hours=4).isoformat()
    seen = await tried(wang_fang, visits[0], shift_id=zhou_tao, at=at)
    assert (seen["feasible"], seen["rule"], seen["sentence_en"]) == (
        True,
        None,
        "周涛 13:00, moves nobody, nobody late",
    )
    assert seen["cost"]["churn"] > 0
    assert seen["added_cost"] == sum(seen["cost"].values())
    body = {"base": seen["base"], "shift_id": str(zhou_tao), "at": at, "starts_at": seen["starts_at"], "pinned": True}
    ok(await wang_fang.post(f"/visits/{visits[0]}/place", body), 201)
    given = await holder(wang_fang, visits[0])
    assert (given["person_id"], given["pinned"], given["plan_id"]) == (str(sqlite.house.id_of(ZHOU_TAO)), True, None)

    pinned = await tried(wang_fang, visits[0], shift_id=shift)
    assert (pinned["rule"], pinned["sentence_zh"]) == ("pinned", "东楼已固定给周涛,请先取消固定")
    sooner = await tried(wang_fang, visits[2], shift_id=shift, before_visit_id=visits[1], at=None)
    assert sooner["feasible"]
    squeezed = await visit_at(wang_fang, sqlite, "医院", duration_minutes=100)
    seen = await tried(wang_fang, squeezed, shift_id=shift, before_visit_id=visits[2])
    assert [one["site_name"] for one in seen["moved"]] == ["西楼"]
    assert f"moves 西楼 {seen['moved'][0]['minutes'] // 60} h" in seen["sentence_en"]
    off = await tried(wang_fang, visits[1], shift_id=None)
    assert off["cost"]["unserved"] > 0
    ok(await wang_fang.post(f"/visits/{visits[1]}/place", {"base": off["base"], "shift_id": None}), 201)
    assert await assignment(wang_fang, visits[1]) is None


async def test_the_broken_rule_is_one_sentence(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift, (first,) = await day_of(wang_fang, sqlite, LI_WEI, "东楼")
    zhou_tao = await shift_of(sqlite, ZHOU_TAO)
    lift = await visit_at(wang_fang, sqlite, "客梯", required_skills=["elevator"])
    long = await visit_at(wang_fang, sqlite, "大修", duration_minutes=8 * 60)
    window = await visit_at(wang_fang, sqlite, "银行", lon=LON + 0.3)
    at = await wang_fang.get(f"/visits/{window}")
    early = {"window_starts_at": after(minutes=10).isoformat(), "window_ends_at": after(minutes=40).isoformat()}
    ok(await wang_fang.ask("PATCH", f"/visits/{window}", json=early, headers={"If-Match": at.headers["ETag"]}))

    seen = await tried(wang_fang, lift, shift_id=zhou_tao)
    assert (seen["rule"], seen["sentence_zh"]) == ("no_skill", "周涛缺少电梯")
    assert seen["sentence_en"].startswith("周涛 lacks ")
    seen = await tried(wang_fang, long, shift_id=shift, after_visit_id=first)
    assert (seen["rule"], seen["feasible"]) == ("late_back", False)
    assert "after the latest end of the shift" in seen["sentence_en"]
    refused(await wang_fang.post(f"/visits/{long}/place", {"base": seen["base"], "shift_id": str(shift)}),
            "placement_refused")  # fmt: skip
    seen = await tried(wang_fang, window, shift_id=shift, after_visit_id=first)
    assert (seen["rule"], seen["soft"], seen["feasible"]) == ("promise_missed", True, False)
    assert seen["sentence_en"].startswith("the customer's window ends at 09:40, earliest arrival ")
    body = {"base": seen["base"], "shift_id": str(shift), "after_visit_id": first}
    refused(await wang_fang.post(f"/visits/{window}/place", body), "placement_refused")
    ok(await wang_fang.post(f"/visits/{window}/place", body | {"even_so": True}), 201)
    assert (await holder(wang_fang, window))["shift_id"] == str(shift)


async def test_a_customer_who_was_told_is_named_to_be_told_again(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift, (first,) = await day_of(wang_fang, sqlite, LI_WEI, "海尔大厦")
    at = await wang_fang.get(f"/visits/{first}")
    window = {"window_starts_at": after(hours=2).isoformat(), "window_ends_at": after(hours=7).isoformat()}
    ok(await wang_fang.ask("PATCH", f"/visits/{first}", json=window, headers={"If-Match": at.headers["ETag"]}))
    ok(await change_visit(wang_fang, first, "tell", {"channel": "phone", "asked_by": "customer"}))
    new = await visit_at(wang_fang, sqlite, "医院", duration_minutes=180)
    seen = await tried(wang_fang, new, shift_id=shift, before_visit_id=first)
    assert seen["told_again"] == [first]
    assert seen["moved"][0]["told"]


async def test_a_shift_that_is_gone_and_a_neighbour_elsewhere_are_refused(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift, (first,) = await day_of(wang_fang, sqlite, LI_WEI, "东楼")
    new = await visit_at(wang_fang, sqlite, "西楼")
    for body in ({"shift_id": str(uuid4())}, {"shift_id": str(shift), "after_visit_id": str(uuid4())},
                 {"shift_id": str(shift), "after_visit_id": new}):  # fmt: skip
        refused(await wang_fang.post(f"/visits/{new}/what-if", body), "not_in_plan")
    await absent(sqlite, LI_WEI, (0, 9))
    refused(await wang_fang.post(f"/visits/{first}/what-if", {"shift_id": str(shift)}), "not_in_plan")
    assert await assignment(wang_fang, new) is None
    assert (await holder(wang_fang, first))["shift_id"] == str(shift), "given by hand, and nobody took it away"


# --- overruns -----------------------------------------------------------------------------------------------------


async def test_an_overrun_shows_who_will_be_late_before_anybody_plans(sqlite: Office) -> None:
    wang_fang, li_wei = await sqlite.sign_in_for_long(WANG_FANG), await sqlite.sign_in_for_long(LI_WEI)
    due = after(hours=4).isoformat()
    shift = await shift_of(sqlite, LI_WEI)
    first = await visit_at(wang_fang, sqlite, "东楼", lat=LAT + 0.04)
    then = await visit_at(wang_fang, sqlite, "海尔大厦", due_at=due)
    await give_at(wang_fang, sqlite, first, LI_WEI, shift, hours=0.33)
    await give_at(wang_fang, sqlite, then, LI_WEI, shift, hours=2)
    refused(await li_wei.post(f"/visits/{first}/expected-end", {"expected_ends_at": after(hours=5).isoformat()}),
            "not_under_way")  # fmt: skip
    sqlite.move_clock(minutes=20)
    for kind in ("depart", "arrive", "start"):
        await report(li_wei, first, kind)
    calm = await days(wang_fang, sqlite)
    assert [day["warnings"] for day in calm["days"]] == [[]]

    said = ok(await li_wei.post(f"/visits/{first}/expected-end", {"expected_ends_at": after(hours=5).isoformat()}), 201)
    assert said["reported_by_id"] == str(sqlite.house.id_of(LI_WEI))
    (day,) = (await days(wang_fang, sqlite))["days"]
    stops = {stop["visit_id"]: stop for stop in day["stops"]}
    assert parse_instant(stops[first]["ends_at"]) == after(hours=5)
    assert stops[then]["late_minutes"] > 60
    assert stops[then]["behind_minutes"] > 180
    (warning,) = day["warnings"]
    assert warning["code"] == "late"
    assert "海尔大厦" in warning["en"]
    ok(await wang_fang.post(f"/visits/{first}/expected-end", {"expected_ends_at": after(hours=9).isoformat()}), 201)
    (day,) = (await days(wang_fang, sqlite))["days"]
    assert "late_back" in [one["code"] for one in day["warnings"]]
    zhou_tao = await sqlite.sign_in(ZHOU_TAO)
    refused(await zhou_tao.post(f"/visits/{first}/expected-end", {"expected_ends_at": due}), "not_found")
    for wrong in (after(hours=-1), after(days=30)):
        said = {"expected_ends_at": wrong.isoformat()}
        assert refused(await li_wei.post(f"/visits/{first}/expected-end", said), "invalid")["findings"]


async def test_each_break_there_is_no_time_for_is_named(sqlite: Office) -> None:
    wang_fang, li_wei = await sqlite.sign_in_for_long(WANG_FANG), await sqlite.sign_in_for_long(LI_WEI)
    shift = await shift_of(sqlite, LI_WEI, breaks=[pause(2, 3, 30), pause(4, 6, 30)])
    visit = await visit_at(wang_fang, sqlite, "东楼")
    await give_at(wang_fang, sqlite, visit, LI_WEI, shift, hours=0.33)
    await report(li_wei, visit, "depart")
    ok(await li_wei.post(f"/visits/{visit}/expected-end", {"expected_ends_at": after(hours=7).isoformat()}), 201)
    (day,) = (await days(wang_fang, sqlite))["days"]
    assert {one["en"] for one in day["warnings"] if one["code"] == "no_break"} == {
        f"李伟 has no time left for the break that begins between {times}"
        for times in ("11:00 and 11:30", "13:00 and 14:30")
    }


async def test_a_mistyped_month_holds_up_one_person_not_the_unit(sqlite: Office) -> None:
    """Reported before such were refused, and typed where somebody was asked to join."""
    wang_fang, li_wei = await sqlite.sign_in_for_long(WANG_FANG), await sqlite.sign_in_for_long(LI_WEI)
    shift, theirs = await shift_of(sqlite, LI_WEI), await shift_of(sqlite, ZHOU_TAO)
    first, waiting = [await visit_at(wang_fang, sqlite, name) for name in ("东楼", "西楼")]
    await give_at(wang_fang, sqlite, first, LI_WEI, shift, hours=0.33)
    ever = {"arrives_at": after(hours=2).isoformat(), "ends_at": after(days=60).isoformat()}
    await give(wang_fang, sqlite, waiting, WU_GANG)
    await give(wang_fang, sqlite, waiting, ZHOU_TAO, leads=False, shift_id=str(theirs), **ever)
    await report(li_wei, first, "depart")
    async with sqlite.database.write() as session:
        session.add(ExpectedEnd(visit_id=UUID(first), expected_ends_at=after(days=60), reported_at=sqlite.now))
    plan = await done(wang_fang, sqlite, seconds=0.2)
    assert stops(plan)[first] == str(sqlite.house.id_of(LI_WEI))
    warned = {day["person_name"]: day["warnings"] for day in (await days(wang_fang, sqlite))["days"]}
    assert [one["code"] for one in warned["李伟"]] == ["late_back"]


async def test_questions_that_wait_hold_nobodys_connection(sqlite: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a large plan is asked about: whoever only reads rows is answered meanwhile."""
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift, (visit,) = await published_day(wang_fang, sqlite, LI_WEI, "东楼")
    plan = f"/plans/{ok(await wang_fang.get('/plans'))['items'][0]['id']}"
    of_plan = [f"{plan}/difference", f"{plan}/visits/{visit}/fixes", f"{plan}/visits/{visit}/why"]
    free, asked = asyncio.Event(), asyncio.Semaphore(0)
    ask = PlanDesk.ask

    async def slow(desk: PlanDesk, question: Any, **about: Any) -> Any:
        asked.release()
        await free.wait()
        return await ask(desk, question, **about)

    monkeypatch.setattr(PlanDesk, "ask", slow)
    waiting: list[asyncio.Task[Any]] = [asyncio.create_task(days(wang_fang, sqlite)) for _ in range(READERS)]
    waiting += [asyncio.create_task(wang_fang.get(path)) for path in of_plan for _ in range(READERS)]
    waiting.append(asyncio.create_task(tried(wang_fang, visit, shift_id=shift)))
    for _ in waiting:
        await asked.acquire()
    assert ok(await wang_fang.get("/board"))["ok"]
    free.set()
    await asyncio.gather(*waiting)


# --- who may ------------------------------------------------------------------------------------------------------


async def asked(desk: Desk, office: Office, visit: str, shift: UUID) -> dict[str, tuple[int, str]]:
    """Every live question and change, asked by somebody: status and code."""
    unit = str(office.house.service)
    body: dict[str, Any] = {"shift_id": str(shift)}
    ends = {"expected_ends_at": after(hours=5).isoformat()}
    answers = {
        "days": await desk.get("/live/days", params={"unit_id": unit}),
        "proposals": await desk.get(f"/visits/{visit}/proposals"),
        "what-if": await desk.post(f"/visits/{visit}/what-if", body),
        "place": await desk.post(f"/visits/{visit}/place", body | {"base": "0"}),
        "expected-end": await desk.post(f"/visits/{visit}/expected-end", ends),
        "replan": await desk.post("/replans", {"unit_id": unit, "most_changes": 0, "seconds": 1}),
    }
    return {name: (answer.status_code, answer.json().get("code", "")) for name, answer in answers.items()}


@pytest.mark.rule("A052")
async def test_a_repair_dispatcher_does_not_place_what_is_installed(sqlite: Office) -> None:
    wang_fang, chen_jing = await sqlite.sign_in(WANG_FANG), await sqlite.sign_in(CHEN_JING)
    shift = await shift_of(sqlite, LI_WEI)
    visit = (await opened(chen_jing, sqlite, kind="install"))["visits"][0]["id"]
    for path in ("proposals", "fixes", "why"):
        refused(await wang_fang.get(f"/visits/{visit}/{path}"), "not_found")
    body = {"shift_id": str(shift)}
    refused(await wang_fang.post(f"/visits/{visit}/what-if", body), "not_found")
    refused(await wang_fang.post(f"/visits/{visit}/place", body | {"base": "0"}), "not_found")
    refused(await wang_fang.post(f"/visits/{visit}/fixes/{'0' * 16}/apply", {"base": "0"}), "not_found")
    refused(await chen_jing.get(f"/visits/{visit}/proposals"), "not_in_plan")  # hers, and not approved yet
    assert await assignment(chen_jing, visit) is None


async def test_each_role_reaches_what_it_should(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift, (visit,) = await day_of(wang_fang, sqlite, LI_WEI, "东楼")
    forbidden, gone = (403, "forbidden"), (404, "not_found")
    expected = {
        MA_CHAO: dict.fromkeys(("days", "proposals", "what-if", "place", "expected-end", "replan"), gone),
        LI_WEI: dict.fromkeys(("days", "proposals", "what-if", "place", "replan"), forbidden)
        | {"expected-end": (409, "not_under_way")},
        ZHOU_TAO: dict.fromkeys(("days", "proposals", "what-if", "place", "replan"), forbidden)
        | {"expected-end": gone},
        TANG_MIN: dict.fromkeys(("days", "proposals", "what-if"), (200, ""))
        | dict.fromkeys(("place", "expected-end", "replan"), forbidden),
    }
    for persona, answers in expected.items():
        assert await asked(await sqlite.sign_in(persona), sqlite, visit, shift) == answers, persona.name
    crew = await asked(await sqlite.sign_in(WU_GANG), sqlite, visit, shift)  # 李伟 is in the crew 吴刚 leads
    assert crew == dict.fromkeys(crew, gone) | {"expected-end": (409, "not_under_way")}
    head = await asked(await sqlite.sign_in(CHEN_JING), sqlite, visit, shift)
    assert {name: status for name, (status, _) in head.items()} == {
        "days": 200, "proposals": 200, "what-if": 200, "place": 409, "expected-end": 409, "replan": 201,
    }  # fmt: skip
