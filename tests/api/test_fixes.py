"""A dispatcher asks what could give way for a visit that has no place, takes one fix with one call, and asks why."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from backend.core.clock import parse_instant
from backend.people.models import Shift
from tests.live import after, day_of, give_at, offers, published_day, visit_at
from tests.make import LAT, START, Desk, Office
from tests.personas import CHEN_JING, LI_WEI, TANG_MIN, WANG_FANG, ZHOU_TAO
from tests.planning import absent, assignment, done, holder, shift_of, state_is, stocked, worker
from tests.work import change, give, ok, order_of, refused

pytestmark = pytest.mark.usefixtures("quick_planners")


@pytest.fixture
async def sqlite(sqlite_office: Office) -> Office:
    return sqlite_office


async def fixes_of(desk: Desk, visit: str) -> dict[str, Any]:
    return ok(await desk.get(f"/visits/{visit}/fixes"))


def kinds(seen: dict[str, Any]) -> list[list[str]]:
    return [[one["kind"] for one in fix["gives_way"]] for fix in seen["fixes"]]


def with_kind(seen: dict[str, Any], kind: str) -> dict[str, Any]:
    assert [kind] in kinds(seen), seen
    return seen["fixes"][kinds(seen).index([kind])]


def body(seen: dict[str, Any], fix: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"base": seen["base"], "starts_at": fix["starts_at"], **more}


async def window_of(desk: Desk, visit: str, start: float, end: float) -> None:
    """Agree on a window so many hours after the morning of the test."""
    at = await desk.get(f"/visits/{visit}")
    times = {"window_starts_at": after(hours=start).isoformat(), "window_ends_at": after(hours=end).isoformat()}
    ok(await desk.ask("PATCH", f"/visits/{visit}", json=times, headers={"If-Match": at.headers["ETag"]}))


async def told_of(desk: Desk, visit: str, start: float, end: float) -> None:
    """Tell the customer a window so many hours after the morning of the test."""
    await window_of(desk, visit, start, end)
    ok(await change(desk, visit, "tell", {"channel": "phone", "asked_by": "us"}))


async def shift_now(office: Office, shift: UUID) -> Shift:
    async with office.database.read() as session:
        return await session.get_one(Shift, shift)


async def test_overtime_that_makes_room_is_shown_with_its_price_and_taken_with_one_call(office: Office) -> None:
    wang_fang = await office.sign_in(WANG_FANG)
    shift, _ = await day_of(wang_fang, office, LI_WEI, "海尔大厦", "东楼")
    long = await visit_at(wang_fang, office, "医院", duration_minutes=8 * 60)
    none = await fixes_of(wang_fang, long)
    assert (none["outcome"], none["fixes"]) == ("none", [])
    assert f"among {none['tried']} places tried" in none["sentence_en"]
    await shift_of(office, ZHOU_TAO)
    seen = await fixes_of(wang_fang, long)
    fix = with_kind(seen, "overtime")
    (gives,) = fix["gives_way"]
    assert (gives["decides"], gives["first_en"], fix["applicable"]) == ("dispatcher", None, True)
    assert gives["en"].startswith("周涛 works ")
    assert fix["sentence_zh"].startswith(f"{gives['zh']}:周涛 ")
    assert fix["sentence_en"].endswith("moves nobody, nobody late")
    assert fix["cost"]["overtime"] > 0
    assert fix["price"] == sum(value for term, value in fix["cost"].items() if term != "unserved")

    outcome = ok(await wang_fang.post(f"/visits/{long}/fixes/{fix['fix']}/apply", body(seen, fix)), 201)
    assert outcome["sentence_en"] == fix["sentence_en"]
    given = await holder(wang_fang, long)
    assert given["person_id"] == fix["person_id"] == str(office.house.id_of(ZHOU_TAO))
    assert parse_instant(given["arrives_at"]) == parse_instant(fix["starts_at"])
    longer = await shift_now(office, UUID(given["shift_id"]))
    assert longer.overtime_minutes >= 30
    assert parse_instant(given["ends_at"]) <= longer.ends_at + timedelta(minutes=longer.overtime_minutes)
    assert (await shift_now(office, shift)).overtime_minutes == 0


async def test_overtime_on_a_day_that_is_late_already_is_all_it_needs(sqlite: Office) -> None:
    """李伟 was given a visit by hand that lasts half an hour longer than his shift."""
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift = await shift_of(sqlite, LI_WEI)
    long = await visit_at(wang_fang, sqlite, "银行", duration_minutes=60)
    await give_at(wang_fang, sqlite, long, LI_WEI, shift, hours=7.5)
    evening = await visit_at(wang_fang, sqlite, "医院", duration_minutes=20)
    await window_of(wang_fang, evening, 8, 12)
    seen = await fixes_of(wang_fang, evening)
    fix = with_kind(seen, "overtime")
    ok(await wang_fang.post(f"/visits/{evening}/fixes/{fix['fix']}/apply", body(seen, fix)), 201)
    longer = await shift_now(sqlite, shift)
    ends = parse_instant((await holder(wang_fang, evening))["ends_at"])
    assert after(hours=8.5) < ends <= longer.ends_at + timedelta(minutes=longer.overtime_minutes)


async def test_an_added_shift_is_in_the_roster_and_the_visit_on_it(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    await shift_of(sqlite, ZHOU_TAO)
    await absent(sqlite, ZHOU_TAO, (20, 48))
    tomorrow = await visit_at(wang_fang, sqlite, "医院")
    await window_of(wang_fang, tomorrow, 26, 29)
    seen = await fixes_of(wang_fang, tomorrow)
    added = [fix["person_name"] for fix in seen["fixes"] if fix["gives_way"][0]["kind"] == "shift_added"]
    assert added == ["李伟"], "nobody is asked to work on a day of leave"
    fix = with_kind(seen, "shift_added")
    key = {"Idempotency-Key": str(uuid4())}
    path = f"/visits/{tomorrow}/fixes/{fix['fix']}/apply"
    first = ok(await wang_fang.post(path, body(seen, fix), headers=key), 201)
    given = await holder(wang_fang, tomorrow)
    assert given["shift_id"] == first["shift_id"]
    added = await shift_now(sqlite, UUID(given["shift_id"]))
    assert (added.person_id, added.starts_at) == (sqlite.house.id_of(LI_WEI), START + timedelta(days=1))
    ok(await wang_fang.post(f"/visits/{tomorrow}/cancel", {"reason": "客户取消"}))
    assert ok(await wang_fang.post(path, body(seen, fix), headers=key), 201) == first, "whatever became of it since"


async def test_an_added_shift_has_the_breaks_of_one_that_is_in_its_break_now(sqlite: Office) -> None:
    """Asked an hour into the time for 李伟's rest, what is added begins in it, too; and he rests all the same."""
    wang_fang = await sqlite.sign_in(WANG_FANG)
    rest = {"start_at": after(hours=3).isoformat(), "end_at": after(hours=5).isoformat(), "minutes": 30}
    await shift_of(sqlite, LI_WEI, breaks=[rest])
    tomorrow = await visit_at(wang_fang, sqlite, "医院")
    await window_of(wang_fang, tomorrow, 29, 31)
    sqlite.move_clock(seconds=4 * 3_600 + 5 * 60)
    wang_fang = await sqlite.sign_in(WANG_FANG)
    seen = await fixes_of(wang_fang, tomorrow)
    fix = with_kind(seen, "shift_added")
    ok(await wang_fang.post(f"/visits/{tomorrow}/fixes/{fix['fix']}/apply", body(seen, fix)), 201)
    added = await shift_now(sqlite, UUID((await holder(wang_fang, tomorrow))["shift_id"]))
    assert added.starts_at == after(hours=28.25)
    assert [(parse_instant(one["start_at"]), parse_instant(one["end_at"])) for one in added.breaks] == [
        (after(hours=28.25), after(hours=29))
    ]


async def test_a_customers_agreement_is_asked_for_and_written_down(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    evening = await visit_at(wang_fang, sqlite, "银行")
    await window_of(wang_fang, evening, 12, 14)
    seen = await fixes_of(wang_fang, evening)
    fix = with_kind(seen, "promise")
    assert fix["gives_way"][0]["decides"] == "customer"
    path = f"/visits/{evening}/fixes/{fix['fix']}/apply"
    asked = refused(await wang_fang.post(path, body(seen, fix)), "fix_needs")
    assert "agree" in asked["findings"][0]["en"]
    assert await assignment(wang_fang, evening) is None

    agreed = {"channel": "phone", "asked_by": "customer", "reason": "客户改到上午"}
    ok(await wang_fang.post(path, body(seen, fix, agreed=agreed)), 201)
    visit = ok(await wang_fang.get(f"/visits/{evening}"))
    given = await holder(wang_fang, evening)
    assert visit["told_at"] is not None
    opens, closes = (parse_instant(visit[name]) for name in ("window_starts_at", "window_ends_at"))
    assert opens <= parse_instant(given["arrives_at"]) <= closes
    assert closes - opens == timedelta(hours=2)


async def test_a_fix_keeps_its_name_and_the_customer_is_offered_quarters_of_the_hour(sqlite: Office) -> None:
    """Shown at 09:05:37 and at 09:07:20, and taken half a minute after that."""
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    evening = await visit_at(wang_fang, sqlite, "银行")
    await window_of(wang_fang, evening, 12, 14)
    names = set[str]()
    for seconds in (5 * 60 + 37, 1 * 60 + 43):
        sqlite.move_clock(seconds=seconds)
        seen = await fixes_of(wang_fang, evening)
        fix = with_kind(seen, "promise")
        names.add(fix["fix"])
        assert fix["gives_way"][0]["en"] == "the appointment at 银行 moves to 09:15 – 11:15"
    (name,) = names
    sqlite.move_clock(seconds=30)
    agreed = {"channel": "phone", "asked_by": "customer", "reason": "客户改到上午"}
    ok(await wang_fang.post(f"/visits/{evening}/fixes/{name}/apply", body(seen, fix, agreed=agreed)), 201)
    visit = ok(await wang_fang.get(f"/visits/{evening}"))
    assert parse_instant(visit["window_starts_at"]) == after(minutes=15)
    assert parse_instant(visit["window_ends_at"]) == after(minutes=135)


async def test_parts_that_would_have_to_come_are_named(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    await shift_of(sqlite, LI_WEI)
    visit = await visit_at(wang_fang, sqlite, "医院")
    await stocked(sqlite, (await order_of(wang_fang, visit))["order"], ("van", ZHOU_TAO, 1, 1))
    seen = await fixes_of(wang_fang, visit)
    (ready,) = with_kind(seen, "part_ready")["gives_way"]
    assert ready["zh"].startswith("医院 所需的电源板在 ")
    assert ready["en"].startswith("Power board for 医院 is at hand by ")
    (other,) = with_kind(seen, "part_van")["gives_way"]
    assert other["en"] == "李伟's van gets Power board from another or from stock"
    made = await done(wang_fang, sqlite, seconds=0.2)
    of_plan = ok(await wang_fang.get(f"/plans/{made['id']}/visits/{visit}/fixes"))
    assert with_kind(of_plan, "part_ready")["gives_way"][0]["en"].startswith("Power board ")


async def test_a_late_visit_is_unpinned_reached_earlier_or_excused_by_its_customer(sqlite: Office) -> None:
    """李伟 begins four hours after 周涛; all three visits are pinned to him and due before he can be there."""
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift = await shift_of(sqlite, LI_WEI, after=4)
    await shift_of(sqlite, ZHOU_TAO, hours=3)
    due = [after(hours=hours).isoformat() for hours in (3, 4.05, 0.05)]
    late = [await visit_at(wang_fang, sqlite, f"楼{n}", duration_minutes=60, due_at=at) for n, at in enumerate(due)]
    for number, visit in enumerate(late):
        times = {"departs_at": 4 + 1.5 * number, "arrives_at": 4.5 + 1.5 * number, "ends_at": 5.5 + 1.5 * number}
        said = {name: after(hours=hours).isoformat() for name, hours in times.items()}
        await give(wang_fang, sqlite, visit, LI_WEI, shift_id=str(shift), pinned=True, **said)
    unpinned, earlier, excused = late

    seen = await fixes_of(wang_fang, unpinned)
    assert kinds(seen)[-1] == ["deadline"], "what only excuses it comes last"
    fix = with_kind(seen, "pin")
    ok(await wang_fang.post(f"/visits/{unpinned}/fixes/{fix['fix']}/apply", body(seen, fix)), 201)
    given = await holder(wang_fang, unpinned)
    assert (given["person_id"], given["pinned"]) == (str(sqlite.house.id_of(ZHOU_TAO)), False)
    assert parse_instant(given["arrives_at"]) <= after(hours=3)

    seen = await fixes_of(wang_fang, earlier)
    fix = with_kind(seen, "shift_earlier")
    ok(await wang_fang.post(f"/visits/{earlier}/fixes/{fix['fix']}/apply", body(seen, fix)), 201)
    assert START + timedelta(hours=3) <= (await shift_now(sqlite, shift)).starts_at < START + timedelta(hours=4)
    assert parse_instant((await holder(wang_fang, earlier))["arrives_at"]) <= after(hours=4.05)

    seen = await fixes_of(wang_fang, excused)
    fix = with_kind(seen, "deadline")
    assert fix["gives_way"][0]["decides"] == "customer"
    assert fix["cost"]["delay"] < 0, "it need not wait for the time that was published"
    path = f"/visits/{excused}/fixes/{fix['fix']}/apply"
    refused(await wang_fang.post(path, body(seen, fix)), "fix_needs")
    agreed = {"channel": "phone", "asked_by": "customer", "reason": "客户同意顺延"}
    ok(await wang_fang.post(path, body(seen, fix, agreed=agreed)), 201)
    visit = ok(await wang_fang.get(f"/visits/{excused}"))
    order = ok(await wang_fang.get(f"/work-orders/{visit['work_order_id']}"))
    due_at = parse_instant(order["order"]["due_at"])
    assert parse_instant(fix["starts_at"]) <= due_at == parse_instant(visit["window_ends_at"])
    assert visit["told_at"] is not None
    refused(await wang_fang.get(f"/visits/{excused}/fixes"), "not_in_plan")


async def test_a_replan_allowed_fewer_changes_than_have_happened_says_how_many_it_needs(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    _, (first, second) = await day_of(wang_fang, sqlite, LI_WEI, "东楼", "西楼")
    await told_of(wang_fang, first, 2, 9)
    await told_of(wang_fang, second, 3.5, 9)
    seen = await wang_fang.get(f"/visits/{first}")
    longer = {"duration_minutes": 150}
    ok(await wang_fang.ask("PATCH", f"/visits/{first}", json=longer, headers={"If-Match": seen.headers["ETag"]}))
    asked = {"unit_id": str(sqlite.house.service), "most_changes": 0, "seconds": 0.2}
    replan = ok(await wang_fang.post("/replans", asked), 201)
    assert await worker(sqlite).run_one()
    failed = await state_is(wang_fang, replan, "done", "failed")
    assert (failed["state"], failed["error"]["code"]) == ("failed", "change_budget_too_small")
    assert "fewer than 1 changed visits; 0 are allowed" in failed["error"]["en"]


async def test_a_place_that_moves_customers_who_were_told_says_so_and_whom(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    _, told = await day_of(wang_fang, sqlite, LI_WEI, "东楼", "西楼")
    for number, visit in enumerate(told):
        await told_of(wang_fang, visit, 1 + number, 9)

    long = await visit_at(wang_fang, sqlite, "医院", duration_minutes=216)
    seen = await fixes_of(wang_fang, long)
    (fix,) = seen["fixes"]
    assert (seen["outcome"], fix["gives_way"], fix["told_again"]) == ("no_need", [], [told[1]])
    assert fix["sentence_en"].startswith("no rule need give way: 李伟 ")
    assert fix["sentence_en"].endswith(", customers to be told anew: 1")
    before = parse_instant((await holder(wang_fang, told[1]))["arrives_at"])
    ok(await wang_fang.post(f"/visits/{long}/fixes/{fix['fix']}/apply", body(seen, fix)), 201)
    moved, then = ok(await wang_fang.get(f"/visits/{told[1]}")), await holder(wang_fang, told[1])
    assert parse_instant(then["arrives_at"]) != before
    opens, closes = (parse_instant(moved[name]) for name in ("window_starts_at", "window_ends_at"))
    assert opens <= parse_instant(then["arrives_at"]) <= closes


async def test_a_board_that_moved_on_is_refused(sqlite: Office) -> None:
    wang_fang, chen_jing = await sqlite.sign_in(WANG_FANG), await sqlite.sign_in(CHEN_JING)
    shift, (first, *_) = await day_of(wang_fang, sqlite, LI_WEI, "东楼")
    long = await visit_at(wang_fang, sqlite, "医院", duration_minutes=8 * 60)
    seen = await fixes_of(wang_fang, long)
    fix = with_kind(seen, "overtime")
    apply = f"/visits/{long}/fixes/{fix['fix']}/apply"
    await give_at(chen_jing, sqlite, first, LI_WEI, shift, hours=2.1)
    (finding,) = refused(await wang_fang.post(apply, body(seen, fix)), "board_moved_on")["findings"]
    assert "陈静" in finding["zh"]
    await give(chen_jing, sqlite, first, LI_WEI, shift_id=str(shift), arrives_at=after(hours=2).isoformat(),
               departs_at=after(hours=1.75).isoformat(), ends_at=after(hours=3).isoformat())  # fmt: skip
    moved = await chen_jing.post(f"/visits/{first}/withdraw", {"reason": "改派"})
    assert moved.status_code == 200
    refused(await wang_fang.post(apply, body(seen, fix)), "fix_gone")
    assert await assignment(wang_fang, long) is None


async def test_a_visit_that_has_room_needs_no_fix_and_who_has_one_is_compared(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    _, (planned,) = await day_of(wang_fang, sqlite, LI_WEI, "东楼")
    urgent = await visit_at(wang_fang, sqlite, "医院", priority="P1")
    seen = await fixes_of(wang_fang, urgent)
    assert (seen["outcome"], kinds(seen)) == ("no_need", [[]])
    assert seen["sentence_en"].startswith("nothing need give way: 李伟 ")
    refused(await wang_fang.get(f"/visits/{planned}/fixes"), "not_in_plan")
    refused(await wang_fang.get(f"/visits/{urgent}/why"), "not_in_plan")
    fix = seen["fixes"][0]
    ok(await wang_fang.post(f"/visits/{urgent}/fixes/{fix['fix']}/apply", body(seen, fix)), 201)
    assert (await holder(wang_fang, urgent))["person_id"] == str(sqlite.house.id_of(LI_WEI))

    missed = await visit_at(wang_fang, sqlite, "银行", lat=LAT + 0.3)
    await window_of(wang_fang, missed, 0, 0.5)
    seen = await fixes_of(wang_fang, missed)
    assert (seen["outcome"], kinds(seen)) == ("misses_promise", [[], ["promise"]])
    assert seen["fixes"][0]["promise_late_minutes"] > 0
    assert seen["sentence_en"].startswith("with nothing given way it misses the promised window: 李伟 ")
    assert "; to put that right: the appointment at 银行 moves to " in seen["sentence_en"]
    offered = (await offers(wang_fang, missed))["sentence_en"]
    assert offered.endswith(" after the promised window; none of these keeps the window, look at its fixes")

    await shift_of(sqlite, ZHOU_TAO)
    why = ok(await wang_fang.get(f"/visits/{planned}/why"))
    assert (why["person_name"], why["able"]) == ("李伟", 2)
    assert [(one["person_name"], one["feasible"]) for one in why["alternatives"]] == [("周涛", True)]
    assert "周涛" in why["sentence_zh"]


async def test_who_is_about_to_leave_for_a_late_visit_is_to_be_called_not_said_to_be_there(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    shift = await shift_of(sqlite, LI_WEI)
    late = await visit_at(wang_fang, sqlite, "东楼", due_at=after(minutes=15).isoformat())
    await give_at(wang_fang, sqlite, late, LI_WEI, shift, hours=0.75)
    seen = await fixes_of(wang_fang, late)
    assert (seen["outcome"], seen["fixes"], seen["exhausted"]) == ("under_way", [], False)
    assert seen["sentence_en"].startswith("The technician is about to leave, on the way or at work there")
    assert "即将出发" in seen["sentence_zh"]


async def test_a_plan_is_explained_before_it_is_published_to_those_who_dispatch(sqlite: Office) -> None:
    wang_fang = await sqlite.sign_in(WANG_FANG)
    _, (planned, *_) = await published_day(wang_fang, sqlite, LI_WEI, "东楼", "海尔大厦")
    network = await visit_at(wang_fang, sqlite, "机房", required_skills=["network"], lat=LAT + 0.02)
    made = await done(wang_fang, sqlite, seconds=0.2)
    paths = [f"/visits/{network}/fixes", f"/visits/{planned}/why", f"/plans/{made['id']}/visits/{network}/fixes",
             f"/plans/{made['id']}/visits/{planned}/why"]  # fmt: skip
    seen, _, of_plan, why = [ok(await wang_fang.get(path)) for path in paths]
    assert (of_plan["base"], kinds(of_plan)[0]) == (None, ["skill"])
    assert (why["person_name"], why["alternatives"]) == ("李伟", [])
    assert "no room was found" in why["sentence_en"]
    for visit, asked, said in (
        (network, "why", "机房 has no place in the plan yet; look at its proposals or its fixes."),
        (planned, "fixes", "nothing need give way; see its `why` for somebody else."),
    ):
        path = f"/plans/{made['id']}/visits/{visit}/{asked}"
        assert refused(await wang_fang.get(path), "not_in_plan")["detail"].endswith(said)

    fix = with_kind(seen, "skill")
    assert (fix["applicable"], fix["gives_way"][0]["decides"]) == (False, "others")
    apply = f"/visits/{network}/fixes/{fix['fix']}/apply"
    answer = refused(await wang_fang.post(apply, body(seen, fix)), "fix_needs")
    assert "李伟" in answer["findings"][0]["zh"]
    gone = await wang_fang.post(f"/visits/{network}/fixes/{'0' * 16}/apply", body(seen, fix))
    refused(gone, "fix_gone")
    assert await assignment(wang_fang, network) is None

    for persona, may_read in ((TANG_MIN, True), (LI_WEI, False)):
        desk = await sqlite.sign_in(persona)
        for path in paths:
            assert ((await desk.get(path)).status_code == 200) == may_read, (persona, path)
        refused(await desk.post(apply, body(seen, fix)), "forbidden")
