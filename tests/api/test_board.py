"""The dispatcher's board: every open order one sentence about its promise, in three colours, for those who dispatch."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from backend.core.clock import parse_instant
from backend.jobs.models import Assignment
from tests.make import START, Desk, Office
from tests.personas import CHEN_JING, HE_LI, LI_WEI, MA_CHAO, TANG_MIN, WANG_FANG, WU_GANG
from tests.work import case_with_clocks, give, ok, opened, refused, sent, walk

COLOURS = ("late", "warn", "ok")


async def board(desk: Desk) -> dict[str, Any]:
    return ok(await desk.get("/board"))


def numbers(seen: dict[str, Any]) -> dict[str, list[str]]:
    """The orders' numbers by colour, in their order."""
    assert all(card["colour"] == colour for colour in COLOURS for card in seen[colour])
    return {colour: [card["number"] for card in seen[colour]] for colour in COLOURS}


def only(seen: dict[str, Any]) -> dict[str, Any]:
    (card,) = [card for colour in COLOURS for card in seen[colour]]
    return card


async def due(desk: Desk, office: Office, hours: float, **values: object) -> str:
    """The number of an order whose visit is due so many hours after the morning of the test."""
    due_at = (START + timedelta(hours=hours)).isoformat()
    return (await opened(desk, office, due_at=due_at, **values))["order"]["number"]


@pytest.mark.rule("A029")
async def test_a_case_is_shown_by_its_promise_of_48_hours(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    order = await opened(wang_fang, office, request_id=str(await case_with_clocks(office)))
    office.move_clock(hours=1)
    seen = await board(wang_fang)
    card = only(seen)
    assert parse_instant(seen["at"]) == START + timedelta(hours=1)
    assert (card["colour"], parse_instant(card["due_at"])) == ("ok", START + timedelta(hours=48))
    assert card["sentence_zh"] == "到场还剩 47 小时（周一 09:00 起 48 小时）"
    assert card["sentence_en"] == "47 h left to arrive (48 h from Mon 09:00)"
    assert (card["work_order_id"], card["visit_id"]) == (order["order"]["id"], order["visits"][0]["id"])
    assert (card["site_name"], card["title"], card["priority"]) == ("云桥大厦", "大厅摄像机黑屏", "P2")
    assert (card["state"], card["visit_state"], card["person_name"], card["slack_minutes"]) == (
        "open", "unplanned", None, None,
    )  # fmt: skip

    office.move_clock(hours=24)
    assert only(await board(wang_fang))["colour"] == "warn"
    office.move_clock(hours=24)
    card = only(await board(wang_fang))
    assert card["colour"] == "late"
    assert card["sentence_zh"] == "到场已超时 1 小时（周一 09:00 起 48 小时）"
    assert card["sentence_en"] == "1 h late to arrive (48 h from Mon 09:00)"


async def test_orders_without_a_case_are_shown_by_their_own_limit_most_urgent_first(sqlite_office: Office) -> None:
    wang_fang = await sqlite_office.sign_in_for_long(WANG_FANG)
    whenever = (await opened(wang_fang, sqlite_office))["order"]["number"]
    tomorrow = await due(wang_fang, sqlite_office, 24)
    noon = await due(wang_fang, sqlite_office, 3)
    tonight = await due(wang_fang, sqlite_office, 8)
    assert numbers(await board(wang_fang)) == {"late": [], "warn": [noon], "ok": [tonight, tomorrow, whenever]}
    sqlite_office.move_clock(hours=4.5)
    seen = await board(wang_fang)
    assert numbers(seen) == {"late": [noon], "warn": [tonight], "ok": [tomorrow, whenever]}
    sentences = {
        card["number"]: (card["sentence_zh"], card["sentence_en"]) for colour in COLOURS for card in seen[colour]
    }
    assert sentences == {
        noon: ("已超时 1 小时 30 分（截至 周一 12:00）", "1 h 30 m late (due Mon 12:00)"),
        tonight: ("还剩 3 小时 30 分（截至 周一 17:00）", "3 h 30 m left (due Mon 17:00)"),
        tomorrow: ("还剩 19 小时 30 分（截至 周二 09:00）", "19 h 30 m left (due Tue 09:00)"),
        whenever: ("没有到场期限", "No limit to arrive"),
    }


async def test_a_card_says_who_goes_when_and_whether_that_is_too_late(sqlite_office: Office) -> None:
    wang_fang = await sqlite_office.sign_in_for_long(WANG_FANG)
    order = await opened(wang_fang, sqlite_office, due_at=(START + timedelta(hours=30)).isoformat())
    at = START + timedelta(hours=31)
    await give(wang_fang, sqlite_office, order["visits"][0]["id"], LI_WEI, arrives_at=at.isoformat())
    card = only(await board(wang_fang))
    assert (card["colour"], card["person_id"], card["person_name"]) == (
        "ok", str(sqlite_office.house.id_of(LI_WEI)), "李伟",
    )  # fmt: skip
    assert (parse_instant(card["arrives_at"]), card["visit_state"], card["slack_minutes"]) == (at, "planned", None)
    async with sqlite_office.database.write() as session:
        planned = Assignment.visit_id == UUID(order["visits"][0]["id"])
        await session.execute(update(Assignment).where(planned).values(slack_seconds=-3600))
    card = only(await board(wang_fang))
    assert (card["colour"], card["slack_minutes"]) == ("late", -60)


async def test_who_arrived_is_no_longer_late_and_what_is_done_or_cancelled_is_gone(sqlite_office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(sqlite_office, due_at=(START + timedelta(hours=1)).isoformat())
    cancelled = await opened(wang_fang, sqlite_office)
    await walk(sqlite_office, li_wei, visit_id, "depart", "arrive")
    sqlite_office.move_clock(hours=2)
    seen = await board(wang_fang)
    assert [len(seen[colour]) for colour in COLOURS] == [0, 0, 2]
    assert {card["visit_state"] for card in seen["ok"]} == {"arrived", "unplanned"}
    ok(await wang_fang.post(f"/work-orders/{cancelled['order']['id']}/cancel", {"reason": "客户取消"}))
    assert only(await board(wang_fang))["visit_id"] == visit_id


async def test_everybody_sees_the_orders_they_dispatch_and_nobody_elses(sqlite_office: Office) -> None:
    office = sqlite_office
    wang_fang, ma_chao, chen_jing = [await office.sign_in(one) for one in (WANG_FANG, MA_CHAO, CHEN_JING)]
    here = (await opened(wang_fang, office))["order"]["number"]
    school = (await opened(ma_chao, office, site_id=str(office.house.north_site)))["order"]["number"]
    assert numbers(await board(wang_fang))["ok"] == [here]
    assert numbers(await board(ma_chao))["ok"] == [school]
    assert sorted(numbers(await board(chen_jing))["ok"]) == sorted([here, school])
    for persona in (LI_WEI, HE_LI):
        refused(await (await office.sign_in(persona)).get("/board"), "forbidden")
    assert numbers(await board(await office.sign_in(TANG_MIN)))["ok"] == [here, school]
    assert numbers(await board(await office.sign_in(WU_GANG)))["ok"] == [here]  # his crew looks after the site
