"""Who goes: people, crews, leads and helpers, given and taken away."""

from datetime import timedelta

import pytest

from backend.core.clock import parse_instant
from backend.jobs.assigning import TOLD_TOLERANCE
from routing.problem import Prices
from tests.make import START, Office
from tests.personas import (
    CHEN_JING,
    LI_WEI,
    WANG_FANG,
    WU_GANG,
    ZHOU_TAO,
)
from tests.work import assert_stored_is_replayed, change, give, ok, opened, order_of, refused, sent, walk

# --- assigning --------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A058", "A059")
async def test_a_new_lead_replaces_the_old_one_who_stops_seeing_the_visit(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    zhou_tao = await office.sign_in_for_long(ZHOU_TAO)
    await give(wang_fang, office, visit_id, ZHOU_TAO, reason="李伟 车坏了")
    refused(await li_wei.get(f"/visits/{visit_id}"), "not_found")
    assert ok(await li_wei.get("/my/visits")) == []
    assert len(ok(await zhou_tao.get("/my/visits"))) == 1
    first = (await order_of(wang_fang, visit_id))["assignments"][0]
    assert first["withdrawn_reason"] == "李伟 车坏了"


async def test_the_same_person_again_keeps_the_assignment_with_new_times(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    at = (START + timedelta(hours=3)).isoformat()
    await give(wang_fang, office, visit_id, LI_WEI, arrives_at=at, pinned=True)
    (held,) = (await order_of(wang_fang, visit_id))["assignments"]
    assert (parse_instant(held["arrives_at"]), held["pinned"]) == (START + timedelta(hours=3), True)


@pytest.mark.parametrize(
    ("change_to", "told"),
    [({"hours": 3, "minutes": 15}, True), ({"hours": 3, "minutes": 16}, False), ({"hours": 2}, False), (None, False)],
)
async def test_a_customer_counts_as_told_while_the_visit_starts_when_they_were_told(
    office: Office, change_to: dict[str, float] | None, *, told: bool
) -> None:
    """A window that was told before anybody had a time stays told with the first one."""
    assert timedelta(seconds=Prices().told_tolerance) == TOLD_TOLERANCE
    wang_fang, _, visit_id = await sent(office)
    window = {
        "window_starts_at": (START + timedelta(hours=1)).isoformat(),
        "window_ends_at": (START + timedelta(hours=9)).isoformat(),
    }
    ok(await wang_fang.edit(f"/visits/{visit_id}", window))
    ok(await change(wang_fang, visit_id, "tell", {"channel": "phone", "asked_by": "customer"}))
    await give(wang_fang, office, visit_id, LI_WEI, arrives_at=(START + timedelta(hours=3)).isoformat())
    assert ok(await wang_fang.get(f"/visits/{visit_id}"))["told_at"] is not None
    if change_to is None:
        ok(await wang_fang.post(f"/visits/{visit_id}/withdraw", {"reason": "生病"}))
    else:
        at = (START + timedelta(**change_to)).isoformat()
        await give(wang_fang, office, visit_id, ZHOU_TAO, arrives_at=at)
    assert (ok(await wang_fang.get(f"/visits/{visit_id}"))["told_at"] is not None) is told


async def test_who_is_on_the_way_is_taken_off_only_knowingly(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    await walk(office, li_wei, visit_id, "depart")
    zhou_tao = str(office.house.id_of(ZHOU_TAO))
    problem = refused(await change(wang_fang, visit_id, "assign", {"person_id": zhou_tao}), "visit_begun")
    assert problem["facts"]["mover"] == "李伟"
    refused(await wang_fang.post(f"/visits/{visit_id}/withdraw", {"reason": "车祸"}), "visit_begun")
    gone = ok(await wang_fang.post(f"/visits/{visit_id}/withdraw", {"reason": "车祸", "even_begun": True}))
    assert gone["state"] == "unplanned"
    await give(wang_fang, office, visit_id, LI_WEI)
    answer = await walk(office, li_wei, visit_id, "depart")
    assert (answer["status"], answer["visit"]["state"]) == ("applied", "departed")
    await assert_stored_is_replayed(office, visit_id)


async def test_when_the_lead_leaves_the_helper_leads(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    await give(wang_fang, office, visit_id, ZHOU_TAO, leads=False)
    body = {"reason": "生病", "person_id": str(office.house.id_of(LI_WEI))}
    assert ok(await wang_fang.post(f"/visits/{visit_id}/withdraw", body))["state"] == "planned"
    active = [one for one in (await order_of(wang_fang, visit_id))["assignments"] if one["withdrawn_at"] is None]
    assert [(one["person_id"], one["leads"]) for one in active] == [(str(office.house.id_of(ZHOU_TAO)), True)]


@pytest.mark.rule("A056", "A130")
async def test_a_crew_leader_claims_the_crews_visit_and_names_who_goes(office: Office) -> None:
    wang_fang, wu_gang = await office.sign_in_for_long(WANG_FANG), await office.sign_in_for_long(WU_GANG)
    visit_id = (await opened(wang_fang, office, kind="inspect_m"))["visits"][0]["id"]
    li_wei = str(office.house.id_of(LI_WEI))
    refused(await wu_gang.post(f"/visits/{visit_id}/claim", {"lead_id": li_wei}), "no_crew")
    given = ok(await change(wang_fang, visit_id, "assign", {"crew_id": str(office.house.crew)}))
    assert given["person_id"] is None
    assert ok(await wang_fang.get(f"/visits/{visit_id}"))["state"] == "planned"

    stranger = {"lead_id": str(office.house.id_of(ZHOU_TAO))}
    refused(await wu_gang.post(f"/visits/{visit_id}/claim", stranger), "invalid")
    claim = {"lead_id": li_wei, "helper_ids": [str(office.house.id_of(WU_GANG))]}
    assert ok(await wu_gang.post(f"/visits/{visit_id}/claim", claim))["state"] == "planned"
    active = [one for one in (await order_of(wang_fang, visit_id))["assignments"] if one["withdrawn_at"] is None]
    assert sorted((one["person_id"], one["leads"]) for one in active) == sorted(
        [(li_wei, True), (str(office.house.id_of(WU_GANG)), False)]
    )
    answer = await walk(office, await office.sign_in_for_long(LI_WEI), visit_id, "arrive")
    assert answer["visit"]["state"] == "arrived"


@pytest.mark.rule("A060")
async def test_technicians_do_not_rearrange_their_own_work(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    before = await order_of(wang_fang, visit_id)
    zhou_tao = {"person_id": str(office.house.id_of(ZHOU_TAO))}
    refused(await change(li_wei, visit_id, "assign", zhou_tao), "forbidden")
    refused(await li_wei.post(f"/visits/{visit_id}/withdraw", {"reason": "不想去"}), "forbidden")
    refused(await li_wei.edit(f"/visits/{visit_id}", {"duration_minutes": 5}), "forbidden")
    assert await order_of(wang_fang, visit_id) == before


@pytest.mark.rule("A055")
async def test_an_installation_is_assigned_only_after_the_head_signed_it(office: Office) -> None:
    chen_jing = await office.sign_in_for_long(CHEN_JING)
    detail = await opened(chen_jing, office, kind="install", title="新增门禁")
    visit_id, order_id = detail["visits"][0]["id"], detail["order"]["id"]
    li_wei = {"person_id": str(office.house.id_of(LI_WEI))}
    refused(await change(chen_jing, visit_id, "assign", li_wei), "not_approved")
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    refused(await wang_fang.post(f"/work-orders/{order_id}/approve"), "forbidden")
    approved = ok(await chen_jing.post(f"/work-orders/{order_id}/approve"))
    assert approved["approved_by_id"] == str(office.house.id_of(CHEN_JING))
    await give(chen_jing, office, visit_id, LI_WEI)


async def test_cancelling_an_order_cancels_its_visits_and_takes_everybody_off(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    order_id = (await order_of(wang_fang, visit_id))["order"]["id"]
    for _ in range(2):
        order = ok(await wang_fang.post(f"/work-orders/{order_id}/cancel", {"reason": "客户取消"}))
        assert (order["state"], order["cancelled_reason"]) == ("cancelled", "客户取消")
    detail = ok(await wang_fang.get(f"/work-orders/{order_id}"))
    assert detail["visits"][0]["state"] == "cancelled"
    assert detail["assignments"][0]["withdrawn_at"] is not None
    refused(await wang_fang.post(f"/work-orders/{order_id}/visits", {}), "order_closed")
    refused(await wang_fang.edit(f"/work-orders/{order_id}", {"title": "x"}), "order_closed")
    refused(await wang_fang.edit(f"/visits/{visit_id}", {"duration_minutes": 5}), "visit_closed")
    assert ok(await li_wei.get("/my/visits")) == []


async def test_one_trip_is_cancelled_and_another_added(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    order_id = (await order_of(wang_fang, visit_id))["order"]["id"]
    assert ok(await wang_fang.post(f"/visits/{visit_id}/cancel", {"reason": "下雨"}))["state"] == "cancelled"
    assert ok(await wang_fang.get(f"/work-orders/{order_id}"))["order"]["state"] == "open"
    second = ok(await wang_fang.post(f"/work-orders/{order_id}/visits", {"duration_minutes": 90}), 201)
    assert (second["sequence"], second["duration_minutes"]) == (2, 90)
    await give(wang_fang, office, second["id"], LI_WEI)
    await walk(office, li_wei, second["id"], "arrive", "finish")
    refused(await wang_fang.post(f"/visits/{second['id']}/cancel", {"reason": "晚了"}), "visit_closed")
    refused(await wang_fang.post(f"/work-orders/{order_id}/cancel", {"reason": "晚了"}), "order_closed")


async def test_who_assigns_or_tells_rests_on_the_visit_as_they_saw_it(office: Office) -> None:
    """Two dispatchers read the same visit; the second one's assignment, and their word about a window, are stale."""
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    visit_id = (await opened(wang_fang, office))["visits"][0]["id"]
    li_wei, told = {"person_id": str(office.house.id_of(LI_WEI))}, {"channel": "phone", "asked_by": "us"}
    refused(await wang_fang.post(f"/visits/{visit_id}/assign", li_wei), "if_match_missing")
    refused(await wang_fang.post(f"/visits/{visit_id}/tell", told), "if_match_missing")
    seen = {"If-Match": (await wang_fang.get(f"/visits/{visit_id}")).headers["ETag"]}
    await give(wang_fang, office, visit_id, ZHOU_TAO)
    refused(await wang_fang.post(f"/visits/{visit_id}/assign", li_wei, headers=seen), "stale")
    refused(await wang_fang.post(f"/visits/{visit_id}/tell", told, headers=seen), "stale")
    order = await order_of(wang_fang, visit_id)
    assert [one["person_id"] for one in order["assignments"]] == [str(office.house.id_of(ZHOU_TAO))]
    assert order["visits"][0]["told_at"] is None
