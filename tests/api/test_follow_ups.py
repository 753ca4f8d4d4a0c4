"""Call-backs over HTTP: who makes them, and what the customer's answer does to the Case."""

from typing import Any

import pytest

from tests.cases import clocks, is_problem, move, report
from tests.make import Desk, Office
from tests.personas import GAO_JIE, HE_LI, LI_WEI, LIN_LI, MA_CHAO, TANG_MIN, WANG_FANG
from tests.work import give, ok, opened

DONE = {"confirmed_by": "赵敏", "resolution": "cleaned_adjusted", "cause": "wear"}


async def closed(office: Office, *, sent: bool = False) -> tuple[Desk, dict[str, Any], str]:
    """A Case solved and closed, its call-back due: the monitor's desk, the Case, the path of the call-back."""
    desk, monitor = await office.sign_in_for_long(WANG_FANG), await office.sign_in_for_long(GAO_JIE)
    request = await report(desk, office)
    if sent:
        visit_id = (await opened(desk, office, request_id=request["id"]))["visits"][0]["id"]
        await give(desk, office, visit_id, LI_WEI)
    await move(desk, request, "solve", DONE)
    await move(desk, request, "close", {})
    await office.work()
    (due,) = ok(await monitor.get("/follow-ups?called=false"))["items"]
    assert (due["request_id"], due["request_number"], due["rule"]) == (request["id"], request["number"], "case_closed")
    assert due["customer_name"]
    return monitor, request, f"/follow-ups/{due['id']}/answer"


async def state_of(desk: Desk, request: dict[str, Any]) -> tuple[str, list[str]]:
    """Where the Case stands and what may be asked for."""
    detail = ok(await desk.get(f"/requests/{request['id']}"))
    return detail["request"]["state"], detail["may"]


@pytest.mark.rule("A013", "A170", "A173")
async def test_a_customer_who_says_solved_confirms_the_case(office: Office) -> None:
    monitor, request, path = await closed(office)
    answer = {"solved": True, "satisfaction": 5, "other_needs": "想加一台摄像机"}
    said = ok(await monitor.post(path, answer))
    assert {name: said[name] for name in answer} == answer
    assert (said["caller_id"], said["request_state"]) == (str(office.house.id_of(GAO_JIE)), "confirmed")
    assert await state_of(monitor, request) == ("confirmed", ["reopen"])
    assert is_problem(await monitor.post(path, answer), 409, "follow_up_answered")
    assert ok(await monitor.get("/follow-ups?called=false"))["items"] == []
    assert [one["id"] for one in ok(await monitor.get("/follow-ups?called=true"))["items"]] == [said["id"]]


@pytest.mark.rule("A170", "A173")
async def test_a_customer_who_says_no_opens_the_case_again(office: Office) -> None:
    monitor, request, path = await closed(office)
    ok(await monitor.post(path, {"solved": False, "satisfaction": 2, "note": "夜间仍无图像"}))
    assert await state_of(monitor, request) == ("reopened", ["triage", "solve", "close", "cancel"])
    assert (await clocks(monitor, request))["solve"]["stopped_at"] is None


async def test_an_answer_is_kept_when_the_case_was_opened_again_meanwhile(sqlite_office: Office) -> None:
    monitor, request, path = await closed(sqlite_office)
    await move(monitor, request, "reopen", {"reason": "客户来电"})
    assert ok(await monitor.post(path, {"solved": True}))["solved"] is True
    assert (await state_of(monitor, request))[0] == "reopened"


@pytest.mark.rule("A170")
async def test_who_may_make_a_call_back(sqlite_office: Office) -> None:
    office = sqlite_office
    _, _, path = await closed(office, sent=True)
    answer = {"solved": True}
    assert is_problem(await (await office.sign_in(LI_WEI)).post(path, answer), 409, "caller_was_there")
    assert is_problem(await (await office.sign_in(TANG_MIN)).post(path, answer), 403, "forbidden")
    assert is_problem(await (await office.sign_in(MA_CHAO)).post(path, answer), 404, "not_found")
    assert is_problem(await (await office.sign_in(LIN_LI)).get("/follow-ups"), 403, "forbidden")
    assert ok(await (await office.sign_in(MA_CHAO)).get("/follow-ups"))["items"] == []
    assert len(ok(await (await office.sign_in(TANG_MIN)).get("/follow-ups"))["items"]) == 1
    desk = await office.sign_in(HE_LI)
    for wrong in ({}, {"solved": "yes"}, {"solved": True, "satisfaction": 6}, {"solved": True, "mood": 1}):
        assert (await desk.post(path, wrong)).status_code in {400, 422}, wrong
    ok(await desk.post(path, answer))
