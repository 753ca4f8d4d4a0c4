"""What work means for its Case, and what a Case's end means for its work."""

from typing import Any

import pytest

from backend.core.clock import parse_instant
from backend.jobs.queries import visits_held
from tests.make import Desk, Office
from tests.personas import HE_LI, LI_WEI, WANG_FANG
from tests.work import filed, give, ok, opened, order_of, refused, report, walk

FAULT = {"channel": "phone", "reporter_name": "赵敏", "reporter_phone": "+8613900000001", "symptom": "大厅摄像机无图像"}


async def sent_for_a_case(office: Office) -> tuple[Desk, Desk, str, str]:
    """A Case of 赵敏's and a repair for it, given to 李伟: the operator's desk, his, the Case's path, the visit."""
    he_li, wang_fang = await office.sign_in_for_long(HE_LI), await office.sign_in_for_long(WANG_FANG)
    case = ok(await he_li.post("/requests", {"site_id": str(office.house.site), **FAULT}), 201)
    visit_id = (await opened(wang_fang, office, request_id=case["id"]))["visits"][0]["id"]
    await give(wang_fang, office, visit_id, LI_WEI)
    return he_li, await office.sign_in_for_long(LI_WEI), f"/requests/{case['id']}", visit_id


async def clock(desk: Desk, path: str, kind: str) -> dict[str, Any]:
    """One of the Case's clocks."""
    return next(one for one in ok(await desk.get(f"{path}/clocks"))["clocks"] if one["kind"] == kind)


async def state_of(desk: Desk, path: str) -> str:
    """Where the Case stands."""
    state: str = ok(await desk.get(path))["request"]["state"]
    return state


@pytest.mark.rule("A029", "A091")
async def test_the_call_before_the_visit_answers_the_customer_and_leaving_begins_the_case(office: Office) -> None:
    he_li, li_wei, path, visit_id = await sent_for_a_case(office)
    assert await state_of(he_li, path) == "received"
    await walk(office, li_wei, visit_id, "contacted")
    assert parse_instant((await clock(he_li, path, "respond"))["stopped_at"]) == office.now
    await walk(office, li_wei, visit_id, "depart")
    assert await state_of(he_li, path) == "in_progress"


@pytest.mark.rule("A102", "A104")
@pytest.mark.parametrize(("solved", "state"), [("yes", "solved"), ("partly", "in_progress")])
async def test_what_the_customer_signed_as_solved_is_solved(office: Office, solved: str, state: str) -> None:
    he_li, li_wei, path, visit_id = await sent_for_a_case(office)
    await walk(office, li_wei, visit_id, "arrive", "start")
    await filed(office, visit_id, key="repair_confirmation", solved=solved)
    await walk(office, li_wei, visit_id, "finish")
    await office.work()
    assert await state_of(he_li, path) == state
    stopped_at = (await clock(he_li, path, "solve"))["stopped_at"]
    assert (stopped_at is not None) == (state == "solved")


@pytest.mark.rule("A104")
async def test_a_finished_visit_without_the_customers_word_solves_nothing(office: Office) -> None:
    he_li, li_wei, path, visit_id = await sent_for_a_case(office)
    await walk(office, li_wei, visit_id, "arrive", "start", "finish")
    await office.work()
    assert await state_of(he_li, path) == "in_progress"
    await filed(office, visit_id, key="repair_confirmation", cause="no_fault_found")
    await office.work()
    case = ok(await he_li.get(path))["request"]
    assert (case["state"], case["resolution"], case["cause"]) == ("solved", "no_fault", "no_fault_found")


async def test_when_the_customer_takes_the_case_back_nobody_need_come(office: Office) -> None:
    he_li, li_wei, path, visit_id = await sent_for_a_case(office)
    ok(await he_li.post(f"{path}/cancel", {"asked_by": "赵敏", "reason": "自己修好了"}))
    await office.work()
    assert ok(await li_wei.get("/my/visits")) == []
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    detail = await order_of(wang_fang, visit_id)
    assert (detail["order"]["state"], detail["visits"][0]["state"]) == ("cancelled", "cancelled")
    assert (await report(li_wei, visit_id, "arrive"))["status"] == "late"


async def test_a_case_closed_unsolved_sends_nobody_any_more_and_takes_no_new_work(office: Office) -> None:
    he_li, li_wei, path, visit_id = await sent_for_a_case(office)
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    ok(await he_li.post(f"{path}/close", {"resolution": "outside_contract", "note": "由原厂家处理"}))
    again = {
        "site_id": str(office.house.site),
        "kind": "repair",
        "title": "再去一次",
        "request_id": path.split("/")[-1],
    }
    assert refused(await wang_fang.post("/work-orders", again), "case_not_open")["facts"] == {"state": "closed"}
    await office.work()
    assert ok(await li_wei.get("/my/visits")) == []
    order = (await order_of(wang_fang, visit_id))["order"]
    assert (order["state"], order["cancelled_reason"]) == ("cancelled", "case_closed_unsolved")


async def test_what_is_solved_or_open_again_keeps_its_orders(office: Office) -> None:
    he_li, li_wei, path, visit_id = await sent_for_a_case(office)
    ok(await he_li.post(f"{path}/close", {"resolution": "outside_contract", "note": "由原厂家处理"}))
    ok(await he_li.post(f"{path}/reopen", {"reason": "误关"}))
    await office.work()
    assert [one["visit"]["id"] for one in ok(await li_wei.get("/my/visits"))] == [visit_id]
    ok(
        await he_li.post(
            f"{path}/solve", {"confirmed_by": "赵敏", "resolution": "remote", "note": "重启", "cause": "wear"}
        )
    )
    ok(await he_li.post(f"{path}/close", {}))
    await office.work()
    assert [one["visit"]["id"] for one in ok(await li_wei.get("/my/visits"))] == [visit_id]


async def test_a_leavers_open_visits_are_on_the_list_of_what_to_hand_over(sqlite_office: Office) -> None:
    office = sqlite_office
    _, _, _, visit_id = await sent_for_a_case(office)
    async with office.database.read() as session:
        (duty,) = await visits_held(session, office.house.id_of(LI_WEI), office.now)
    assert (duty.kind, str(duty.id)) == ("visit", visit_id)
