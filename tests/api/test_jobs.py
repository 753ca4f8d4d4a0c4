"""Work orders and visits over the API: a day at work, its outcomes, notes and parts."""

import asyncio
from datetime import timedelta
from typing import Final
from uuid import UUID

import pytest
from sqlalchemy import func, select

from backend.core.audit import Actor, AuditEntry
from backend.core.clock import parse_instant
from backend.core.events import Event
from backend.core.ids import new_id
from backend.forms.models import ChecklistAnswer, ChecklistTemplateVersion
from backend.jobs.actions import add_note, use_part
from backend.jobs.models import Visit, WorkOrder
from backend.jobs.schemas import PartUseEntry
from backend.parts.models import Part, StockMovement
from tests.make import START, Office
from tests.personas import (
    LI_WEI,
    WANG_FANG,
    WU_GANG,
    ZHOU_TAO,
)
from tests.work import (
    NOBODY,
    assert_stored_is_replayed,
    case_with_clocks,
    give,
    ok,
    opened,
    order_of,
    refused,
    report,
    row_counts,
    sent,
    walk,
)

# --- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A093", "A146", "A052")
async def test_an_order_takes_what_its_kind_says_and_starts_with_an_unplanned_visit(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    detail = await opened(wang_fang, office)
    order, (visit,) = detail["order"], detail["visits"]
    assert order["number"].startswith("WO-")
    assert (order["origin"], order["queue"], order["duration_minutes"], order["priority"]) == (
        "passive", "repair", 60, "P3",
    )  # fmt: skip
    assert order["form_template_version_id"] is not None
    assert (visit["state"], visit["sequence"], visit["duration_minutes"]) == ("unplanned", 1, 60)


async def test_the_same_creation_sent_twice_is_one_order_with_one_number(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    body = {"site_id": str(office.house.site), "kind": "repair", "title": "门禁不开"}
    first = await wang_fang.post("/work-orders", body, headers={"Idempotency-Key": "one"})
    again = await wang_fang.post("/work-orders", body, headers={"Idempotency-Key": "one"})
    assert ok(first, 201) == ok(again, 201)
    assert len(ok(await wang_fang.get("/work-orders"))["items"]) == 1


async def test_an_order_born_on_a_phone_keeps_its_id_and_its_printed_number(office: Office) -> None:
    technician = await office.sign_in_for_long(WU_GANG)
    order_id = str(new_id())
    order = (await opened(technician, office, id=order_id, device_number="K7-12"))["order"]
    assert (order["id"], order["device_number"]) == (order_id, "K7-12")
    assert order["number"].startswith("WO-")


async def test_an_order_for_a_case_inherits_limit_asset_skills_and_priority(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    case_id = await case_with_clocks(office)
    order = (await opened(wang_fang, office, request_id=str(case_id)))["order"]
    assert parse_instant(order["due_at"]) == START + timedelta(hours=48)
    assert (order["asset_id"], order["required_skills"], order["priority"]) == (
        str(office.house.camera), ["cctv"], "P2",
    )  # fmt: skip


@pytest.mark.rule("A147")
async def test_a_fault_order_shows_the_latest_inspections_of_the_site(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office, kind="inspect_m", title="三月巡查")
    await walk(office, li_wei, visit_id, "arrive", "start", "finish")
    fault = await opened(wang_fang, office)
    (last,) = fault["last_inspections"]
    assert last["kind"] == "inspect_m"
    assert parse_instant(last["completed_at"]) == START + timedelta(minutes=30)


# --- a day at work ----------------------------------------------------------------------------------------------------


@pytest.mark.rule("A050", "A056", "A078", "A089")
async def test_a_visit_goes_through_its_day_and_completes_its_order(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    assert (await order_of(wang_fang, visit_id))["order"]["state"] == "planned"
    (mine,) = ok(await li_wei.get("/my/visits"))
    assert (mine["visit"]["id"], mine["site_name"], mine["order"]["kind"]) == (visit_id, "云桥大厦", "repair")

    await walk(office, li_wei, visit_id, "contacted", "depart")
    assert (await order_of(wang_fang, visit_id))["order"]["state"] == "in_progress"
    await walk(office, li_wei, visit_id, "arrive", "start", "pause", "start")
    last = await walk(office, li_wei, visit_id, "finish")
    assert (last["visit"]["state"], last["visit"]["outcome"]) == ("finished", "done")

    detail = await order_of(wang_fang, visit_id)
    assert (detail["order"]["state"], parse_instant(detail["order"]["completed_at"])) == (
        "completed", START + timedelta(minutes=70),
    )  # fmt: skip
    assert len(detail["visits"]) == 1
    assert [event["sequence"] for event in detail["events"]] == [1, 2, 3, 4, 5, 6, 7]
    (attendance,) = detail["attendances"]
    assert (attendance["leads"], attendance["state"]) == (True, "finished")
    await assert_stored_is_replayed(office, visit_id)


async def test_the_office_is_told_by_events_and_the_trail_names_who_did_it(office: Office) -> None:
    _, li_wei, visit_id = await sent(office)
    await walk(office, li_wei, visit_id, "arrive", "start", "finish")
    async with office.database.read() as session:
        names = (await session.execute(select(Event.name).order_by(Event.id))).scalars().all()
        trail = select(AuditEntry.action, AuditEntry.person_id).where(AuditEntry.entity == "visit")
        moved = (await session.execute(trail.order_by(AuditEntry.id))).all()
    assert names == ["work_order.opened", "visit.assigned", "visit.arrived", "visit.finished", "work_order.completed"]
    dispatcher, technician = office.house.id_of(WANG_FANG), office.house.id_of(LI_WEI)
    assert moved == [
        ("visit.assigned", dispatcher), ("visit.arrive", technician), ("visit.start", technician),
        ("visit.finish", technician),
    ]  # fmt: skip


async def test_saying_it_twice_changes_nothing(office: Office) -> None:
    _, li_wei, visit_id = await sent(office)
    await walk(office, li_wei, visit_id, "arrive")
    before = await row_counts(office)
    answer = await report(li_wei, visit_id, "arrive")
    assert (answer["status"], answer["event"]) == ("noop", None)
    assert await row_counts(office) == before


async def test_taps_that_reach_the_server_at_the_same_moment_are_one_arrival(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    answers = await asyncio.gather(*(report(li_wei, visit_id, "arrive") for _ in range(5)))
    assert sorted(answer["status"] for answer in answers) == ["applied", *["noop"] * 4]
    assert len((await order_of(wang_fang, visit_id))["events"]) == 1


async def test_an_illegal_step_is_refused_naming_the_state_and_who_moved_it(office: Office) -> None:
    _, li_wei, visit_id = await sent(office)
    await walk(office, li_wei, visit_id, "arrive")
    problem = refused(await li_wei.post(f"/visits/{visit_id}/events", {"kind": "pause"}), "visit_state")
    assert (problem["facts"]["state"], problem["facts"]["mover"]) == ("arrived", "李伟")
    assert "arrived" in problem["detail"]
    assert "已到场" in problem["detail_zh"]


async def test_a_helper_has_an_attendance_of_his_own_and_the_visit_follows_the_lead(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    zhou_tao = await office.sign_in_for_long(ZHOU_TAO)
    await give(wang_fang, office, visit_id, ZHOU_TAO, leads=False)
    await walk(office, zhou_tao, visit_id, "arrive", "start")
    assert (await walk(office, li_wei, visit_id, "depart"))["visit"]["state"] == "departed"
    detail = await order_of(wang_fang, visit_id)
    assert {(one["leads"], one["state"]) for one in detail["attendances"]} == {(True, "departed"), (False, "started")}
    await assert_stored_is_replayed(office, visit_id)


async def test_a_forgotten_tap_is_amended_and_a_mistaken_one_reverted(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    await walk(office, li_wei, visit_id, "depart", "arrive")
    arrived = (await order_of(wang_fang, visit_id))["events"][-1]
    office.move_clock(minutes=60)
    right = (START + timedelta(minutes=12)).isoformat()
    amended = await report(li_wei, visit_id, "amend", amends_id=arrived["id"], claimed_at=right, reason="forgot_to_tap")
    assert amended["event"]["time_flagged"] is True
    assert parse_instant(amended["visit"]["arrived_at"]) == START + timedelta(minutes=12)
    too_early = {"kind": "amend", "amends_id": arrived["id"], "claimed_at": START.isoformat(), "reason": "earlier"}
    refused(await li_wei.post(f"/visits/{visit_id}/events", too_early), "correction_order")
    taken_back = await report(li_wei, visit_id, "revert", amends_id=arrived["id"], reason="wrong_button")
    assert (taken_back["visit"]["state"], taken_back["visit"]["arrived_at"]) == ("departed", None)
    refused(
        await li_wei.post(f"/visits/{visit_id}/events", {"kind": "revert", "amends_id": NOBODY, "reason": "x"}),
        "correction_target",
    )
    await assert_stored_is_replayed(office, visit_id)


# --- outcomes ---------------------------------------------------------------------------------------------------------

NOT_DONE: Final = {"reason": "no_part", "note": "电源板缺货", "next_step": "领件后再上门"}


@pytest.mark.rule("A077", "A087")
async def test_what_is_not_done_is_continued_by_another_visit_that_inherits_drafts(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    await walk(office, li_wei, visit_id, "arrive", "start")
    order_id = UUID((await order_of(wang_fang, visit_id))["order"]["id"])
    async with office.database.write() as session:
        template = (await session.execute(select(ChecklistTemplateVersion.id).limit(1))).scalar_one()
        session.add(
            ChecklistAnswer(
                bucket=f"job:{order_id}", entity="visit", subject_id=UUID(visit_id), template_version_id=template,
                item="diagnosis", author_id=office.house.id_of(LI_WEI), value={"text": "电源板"}, answered_at=START,
            )
        )  # fmt: skip
    await report(li_wei, visit_id, "cannot_complete", **NOT_DONE)
    detail = await order_of(wang_fang, visit_id)
    first, second = detail["visits"]
    assert (detail["order"]["state"], first["outcome"], first["reason"]) == (
        "in_progress",
        "to_be_continued",
        "no_part",
    )
    assert (second["continues_id"], second["state"], second["sequence"]) == (visit_id, "unplanned", 2)
    async with office.database.read() as session:
        inherited = select(ChecklistAnswer.value).where(ChecklistAnswer.subject_id == UUID(second["id"]))
        assert (await session.execute(inherited)).scalar_one() == {"text": "电源板"}
    await give(wang_fang, office, second["id"], LI_WEI)
    await walk(office, li_wei, second["id"], "arrive", "start", "finish")
    assert (await order_of(wang_fang, visit_id))["order"]["state"] == "completed"


@pytest.mark.rule("A058")
async def test_a_rebooking_needs_a_note_a_next_step_and_the_new_time_and_the_next_visit_waits_for_it(
    office: Office,
) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    bare = await li_wei.post(f"/visits/{visit_id}/events", {"kind": "cannot_complete", "reason": "rebook"})
    assert {one["field"] for one in refused(bare, "invalid")["findings"]} == {"note", "next_step", "next_at"}
    friday = (START + timedelta(days=4)).isoformat()
    await report(
        li_wei, visit_id, "cannot_complete", reason="rebook", note="赵敏 改约", next_step="周五再来", next_at=friday
    )
    order = (await order_of(wang_fang, visit_id))["order"]
    assert parse_instant(order["earliest_at"]) == START + timedelta(days=4)


async def test_an_end_taken_back_takes_its_continuation_back_unless_somebody_is_on_the_way(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    await walk(office, li_wei, visit_id, "arrive", "start")
    ended = (await report(li_wei, visit_id, "cannot_complete", **NOT_DONE))["event"]
    again = (await order_of(wang_fang, visit_id))["visits"][1]["id"]
    await report(li_wei, visit_id, "revert", amends_id=ended["id"], reason="found_the_part")
    detail = await order_of(wang_fang, visit_id)
    assert [one["state"] for one in detail["visits"]] == ["started", "cancelled"]
    assert detail["visits"][1]["id"] == again

    ended = (await report(li_wei, visit_id, "cannot_complete", **NOT_DONE))["event"]
    third = (await order_of(wang_fang, visit_id))["visits"][2]["id"]
    await give(wang_fang, office, third, LI_WEI)
    await walk(office, li_wei, third, "depart")
    late = {"kind": "revert", "amends_id": ended["id"], "reason": "too_late"}
    refused(await li_wei.post(f"/visits/{visit_id}/events", late), "continued")


async def test_a_completed_order_is_open_again_when_its_finish_is_taken_back(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    finish = (await walk(office, li_wei, visit_id, "arrive", "start", "finish"))["event"]
    await report(li_wei, visit_id, "revert", amends_id=finish["id"], reason="still_flickers")
    order = (await order_of(wang_fang, visit_id))["order"]
    assert (order["state"], order["completed_at"]) == ("in_progress", None)
    async with office.database.read() as session:
        told = select(Event.name).where(Event.name == "work_order.reopened")
        assert (await session.execute(told)).scalars().all() == ["work_order.reopened"]


# --- notes and parts --------------------------------------------------------------------------------------------------


@pytest.mark.rule("A087", "A091")
async def test_a_note_stays_with_its_visit_and_a_phones_note_is_taken_once(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    detail = await order_of(wang_fang, visit_id)
    path = f"/work-orders/{detail['order']['id']}/notes"
    note = ok(await li_wei.post(path, {"text": "弱电井在负二层", "visit_id": visit_id}), 201)
    assert note["person_id"] == str(office.house.id_of(LI_WEI))
    refused(await li_wei.post(path, {"text": "x", "visit_id": NOBODY}), "not_found")
    note_id = new_id()
    for _ in range(2):
        async with office.database.write() as session:
            order = await session.get_one(WorkOrder, UUID(detail["order"]["id"]))
            await add_note(
                session, now=office.now, actor=Actor(), order=order, person_id=office.house.id_of(LI_WEI),
                text="钥匙在前台", note_id=note_id,
            )  # fmt: skip
    notes = (await order_of(wang_fang, visit_id))["notes"]
    assert [one["text"] for one in notes] == ["弱电井在负二层", "钥匙在前台"]


async def part_of_the_catalogue(office: Office) -> UUID:
    """A power board."""
    part = Part(
        number="PB-1", name_zh="电源板", name_en="Power board", measure="piece", price_fen=12000, serialised=False,
        active=True,
    )  # fmt: skip
    async with office.database.write() as session:
        session.add(part)
    return part.id


@pytest.mark.rule("A087", "A099")
async def test_a_part_built_in_leaves_the_van_below_zero_if_need_be(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    part_id = str(await part_of_the_catalogue(office))
    use = ok(await li_wei.post(f"/visits/{visit_id}/parts", {"part_id": part_id, "quantity": 2}), 201)
    assert (use["quantity"], use["late"]) == (2, False)
    async with office.database.read() as session:
        moved = (await session.execute(select(StockMovement))).scalar_one()
    assert (moved.quantity, moved.went_negative, moved.reason) == (2, True, "built_in")
    (line,) = ok(await li_wei.get("/stock"))
    assert (line["quantity"], line["person_id"]) == (-2, str(office.house.id_of(LI_WEI)))
    assert len((await order_of(wang_fang, visit_id))["part_uses"]) == 1
    unknown = await li_wei.post(f"/visits/{visit_id}/parts", {"part_id": NOBODY, "quantity": 1})
    assert refused(unknown, "invalid")["findings"][0]["field"] == "part_id"


async def test_a_part_used_after_the_visit_was_taken_is_late_and_counted_once(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    part_id, use_id = await part_of_the_catalogue(office), new_id()
    await give(wang_fang, office, visit_id, ZHOU_TAO)
    for _ in range(2):
        async with office.database.write() as session:
            use = await use_part(
                session, now=office.now, actor=Actor(person_id=office.house.id_of(LI_WEI)),
                visit=await session.get_one(Visit, UUID(visit_id)), person_id=office.house.id_of(LI_WEI),
                entry=PartUseEntry(part_id=part_id, quantity=1), part_use_id=use_id,
            )  # fmt: skip
            assert use.late
    async with office.database.read() as session:
        assert (await session.execute(select(func.count()).select_from(StockMovement))).scalar_one() == 1


async def test_the_stock_keeps_its_books(office: Office) -> None:
    wang_fang, li_wei = await office.sign_in_for_long(WANG_FANG), await office.sign_in_for_long(LI_WEI)
    part = ok(
        await wang_fang.post("/parts", {"number": "F-1", "name_zh": "光模块", "name_en": "SFP", "serialised": True}),
        201,
    )
    unit = str(office.house.service)
    store = ok(await wang_fang.post("/stock/locations", {"unit_id": unit, "kind": "warehouse", "name": "总库"}), 201)
    move = {"part_id": part["id"], "quantity": 1, "reason": "receipt", "to_location_id": store["id"]}
    assert refused(await wang_fang.post("/stock/movements", move), "invalid")["findings"][0]["field"] == "serial"
    moved = ok(await wang_fang.post("/stock/movements", move | {"serial": "SN-1"}), 201)
    assert moved["went_negative"] is False
    (line,) = ok(await wang_fang.get("/stock"))
    assert (line["quantity"], line["part_number"]) == (1, "F-1")
    assert ok(await li_wei.get("/stock")) == []
    refused(await li_wei.post("/stock/movements", move | {"serial": "SN-2"}), "not_found")
    refused(await li_wei.post("/parts", {"number": "F-2", "name_zh": "x", "name_en": "x"}), "forbidden")
    elsewhere = {"unit_id": str(office.house.north), "kind": "van", "name": "北区车"}
    refused(await wang_fang.post("/stock/locations", elsewhere), "not_found")
    assert [one["number"] for one in ok(await li_wei.get("/parts"))["items"]] == ["F-1"]


# --- where people are -------------------------------------------------------------------------------------------------


async def test_a_position_is_kept_as_wgs84_with_the_datum_it_came_in(office: Office) -> None:
    _, li_wei, visit_id = await sent(office)
    by_map = {"lat": 31.17530398364597, "lon": 121.531541859215, "datum": "gcj02"}
    event = (await report(li_wei, visit_id, "arrive", **by_map))["event"]
    assert (round(event["lat"], 6), round(event["lon"], 6)) == (31.177428, 121.527211)
    assert (event["datum"], event["position_source"]) == ("gcj02", "device")
    plain = (await report(li_wei, visit_id, "start", lat=31.0, lon=117.0))["event"]
    assert (plain["lat"], plain["lon"], plain["datum"]) == (31.0, 117.0, "wgs84")


async def test_nothing_is_kept_of_where_somebody_is_who_has_not_consented(office: Office) -> None:
    _, li_wei, visit_id = await sent(office)
    ok(await li_wei.edit("/me", {"location_consent": False}))
    event = (await report(li_wei, visit_id, "arrive", lat=31.0, lon=117.0))["event"]
    assert {event[name] for name in ("lat", "lon", "datum", "position_source")} == {None}
    ok(await li_wei.edit("/me", {"location_consent": True}))
    assert (await report(li_wei, visit_id, "start", lat=31.0, lon=117.0))["event"]["lat"] == 31.0
    half = (await report(li_wei, visit_id, "pause", lat=31.0, reason="no_part"))["event"]
    assert half["lat"] is None
