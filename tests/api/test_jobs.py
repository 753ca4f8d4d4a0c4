"""Work orders and visits over the API: who may what, what follows from an event, what is refused without a trace."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import func, select

from backend.contracts.actions import start_clocks
from backend.contracts.models import ClockPause, ClockPolicy, CommitmentClock
from backend.core.audit import Actor, AuditEntry
from backend.core.clock import parse_instant
from backend.core.events import Event
from backend.core.ids import new_id
from backend.forms.models import ChecklistAnswer, ChecklistTemplateVersion
from backend.jobs.actions import add_note, record_visit_event, use_part
from backend.jobs.history import visit_history
from backend.jobs.models import Assignment, Attendance, Visit, VisitEvent, WorkOrder
from backend.jobs.rules import EventKind
from backend.jobs.schemas import PartUseEntry, VisitEventReport
from backend.parts.models import Part, StockMovement
from backend.requests.models import ServiceRequest
from tests.make import START, Desk, Office
from tests.personas import (
    CHEN_JING,
    EVERYBODY,
    HE_LI,
    LI_WEI,
    LIN_LI,
    MA_CHAO,
    SUN_LEI,
    TANG_MIN,
    WANG_FANG,
    WU_GANG,
    ZHOU_TAO,
    Persona,
)

NOBODY: Final = "0190d0b2-7f42-7000-8000-00000000dead"


def ok(answer: httpx.Response, status: int = 200) -> Any:
    """The answer's body, of the status it should have."""
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(answer: httpx.Response, code: str) -> Any:
    """The problem's body, of the code it should have, with a sentence in both languages."""
    body = answer.json()
    assert body.get("code") == code, answer.text
    assert body["detail"]
    assert body["detail_zh"]
    return body


async def opened(desk: Desk, office: Office, **values: object) -> dict[str, Any]:
    """A repair at 云桥大厦, as answered."""
    body = {"site_id": str(office.house.site), "kind": "repair", "title": "大厅摄像机黑屏", **values}
    return ok(await desk.post("/work-orders", body), 201)


async def sent(office: Office, persona: Persona = LI_WEI, **values: object) -> tuple[Desk, Desk, str]:
    """A repair given to a technician: the dispatcher's desk, the technician's, and the visit's id."""
    wang_fang, technician = await office.sign_in_for_long(WANG_FANG), await office.sign_in_for_long(persona)
    visit_id = (await opened(wang_fang, office, **values))["visits"][0]["id"]
    await give(wang_fang, office, visit_id, persona)
    return wang_fang, technician, visit_id


async def give(desk: Desk, office: Office, visit_id: str, persona: Persona, **values: object) -> dict[str, Any]:
    """Assign the visit to a person."""
    body = {"person_id": str(office.house.id_of(persona)), **values}
    return ok(await desk.post(f"/visits/{visit_id}/assign", body))


async def report(desk: Desk, visit_id: str, kind: str, **values: object) -> dict[str, Any]:
    """Report one event."""
    return ok(await desk.post(f"/visits/{visit_id}/events", {"kind": kind, **values}))


async def walk(office: Office, desk: Desk, visit_id: str, *kinds: str) -> dict[str, Any]:
    """Report events ten minutes apart; return the last answer."""
    answer: dict[str, Any] = {}
    for kind in kinds:
        office.move_clock(minutes=10)
        answer = await report(desk, visit_id, kind)
    return answer


async def order_of(desk: Desk, visit_id: str) -> dict[str, Any]:
    """The whole order a visit belongs to."""
    visit = ok(await desk.get(f"/visits/{visit_id}"))
    return ok(await desk.get(f"/work-orders/{visit['work_order_id']}"))


async def case_with_clocks(office: Office) -> UUID:
    """赵敏 reported a black camera at START; the standard clocks run."""
    house = office.house
    case = ServiceRequest(
        unit_id=house.service, number=f"CASE-{uuid4().hex[:6]}", customer_id=house.customer, site_id=house.site,
        asset_id=house.camera, reporter_name="赵敏", reporter_phone="+8613900000001", channel="phone",
        symptom="黑屏", wishes="", received_at=START, opened_at=START, missing_facts=[], required_skills=["cctv"],
        priority="P2", state="triaged", reopened_count=0,
    )  # fmt: skip
    async with office.database.write() as session:
        session.add(case)
        await session.flush()
        policy = (await session.execute(select(ClockPolicy).where(ClockPolicy.key == "std"))).scalar_one()
        await start_clocks(
            session, now=START, entity="service_request", subject_id=case.id, bucket=None, policy=policy,
            calendar=None, received_at=START, priority="P2", zone="Asia/Shanghai",
        )  # fmt: skip
    return case.id


async def clock_of(office: Office, case_id: UUID, kind: str = "arrive") -> CommitmentClock:
    """One of the Case's clocks as stored."""
    async with office.database.read() as session:
        wanted = select(CommitmentClock).where(CommitmentClock.subject_id == case_id, CommitmentClock.kind == kind)
        return (await session.execute(wanted)).scalar_one()


async def assert_stored_is_replayed(office: Office, visit_id: str) -> None:
    """What the rows say of the visit is what its events say (invariant 14)."""
    async with office.database.write() as session:
        history = await visit_history(session, UUID(visit_id))
        seen = history.replay()
        assert history.visit.state == seen.state
        assert (history.visit.arrived_at, history.visit.finished_at) == (seen.lead.arrived_at, seen.lead.finished_at)
        assert {person: row.state for person, row in history.attendances.items()} == {
            person: attended.state.value for person, attended in seen.attendances.items()
        }


async def row_counts(office: Office) -> Mapping[str, int]:
    """How many rows of everything a refused request must not touch."""
    async with office.database.read() as session:
        tables = (WorkOrder, Visit, VisitEvent, Assignment, Attendance, AuditEntry, Event)
        return {
            table.__tablename__: (await session.execute(select(func.count()).select_from(table))).scalar_one()
            for table in tables
        }


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


# --- the Case's clocks ------------------------------------------------------------------------------------------------


@pytest.mark.rule("A069", "A078")
async def test_the_leads_arrival_stops_the_arrive_clock_and_a_helpers_does_not(office: Office) -> None:
    case_id = await case_with_clocks(office)
    wang_fang, li_wei, visit_id = await sent(office, request_id=str(case_id))
    await give(wang_fang, office, visit_id, ZHOU_TAO, leads=False)
    await walk(office, await office.sign_in_for_long(ZHOU_TAO), visit_id, "arrive")
    assert (await clock_of(office, case_id)).stopped_at is None
    await walk(office, li_wei, visit_id, "arrive")
    assert (await clock_of(office, case_id)).stopped_at == START + timedelta(minutes=20)


@pytest.mark.rule("A075", "A082")
@pytest.mark.parametrize(("reason", "stays"), [("no_one", True), ("wrong_address", False)])
async def test_only_a_reason_met_at_the_right_site_leaves_the_arrive_clock_stopped(
    office: Office, reason: str, *, stays: bool
) -> None:
    case_id = await case_with_clocks(office)
    _, li_wei, visit_id = await sent(office, request_id=str(case_id))
    await walk(office, li_wei, visit_id, "depart", "arrive")
    ended = await report(li_wei, visit_id, "cannot_complete", reason=reason, note="已核实", next_step="重新约定")
    assert ((await clock_of(office, case_id)).stopped_at is not None) is stays
    await report(li_wei, visit_id, "revert", amends_id=ended["event"]["id"], reason="mistake")
    assert (await clock_of(office, case_id)).stopped_at == START + timedelta(minutes=20)


async def test_an_amended_arrival_corrects_the_clock(office: Office) -> None:
    case_id = await case_with_clocks(office)
    _, li_wei, visit_id = await sent(office, request_id=str(case_id))
    arrived = (await walk(office, li_wei, visit_id, "depart", "arrive"))["event"]
    right = (START + timedelta(minutes=14)).isoformat()
    await report(li_wei, visit_id, "amend", amends_id=arrived["id"], claimed_at=right, reason="forgot")
    assert (await clock_of(office, case_id)).stopped_at == START + timedelta(minutes=14)


@pytest.mark.rule("A058")
@pytest.mark.parametrize(("reason", "pauses"), [("no_access", True), ("no_part", False)])
async def test_the_clock_to_solve_stands_still_for_the_customers_reasons_only(
    office: Office, reason: str, *, pauses: bool
) -> None:
    case_id = await case_with_clocks(office)
    wang_fang, li_wei, visit_id = await sent(office, request_id=str(case_id))
    await walk(office, li_wei, visit_id, "arrive")
    await report(li_wei, visit_id, "cannot_complete", reason=reason, note="保安不放行", next_step="物业开证")
    solve = await clock_of(office, case_id, "solve")

    async def paused() -> list[datetime | None]:
        async with office.database.read() as session:
            ends = select(ClockPause.ended_at).where(ClockPause.clock_id == solve.id)
            return list((await session.execute(ends)).scalars())

    assert await paused() == ([None] if pauses else [])
    again = (await order_of(wang_fang, visit_id))["visits"][1]["id"]
    await give(wang_fang, office, again, LI_WEI)
    await walk(office, li_wei, again, "arrive")
    assert await paused() == ([office.now] if pauses else [])


@pytest.mark.rule("A036", "A058")
@pytest.mark.parametrize(("asked_by", "moves"), [("customer", True), ("us", False)])
async def test_a_window_told_by_the_customers_wish_replaces_the_limit(
    office: Office, asked_by: str, *, moves: bool
) -> None:
    case_id = await case_with_clocks(office)
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    visit_id = (await opened(wang_fang, office, request_id=str(case_id)))["visits"][0]["id"]
    tell = {"channel": "phone", "asked_by": asked_by, "reason": "周五在家"}
    refused(await wang_fang.post(f"/visits/{visit_id}/tell", tell), "no_window")
    starts, ends = START + timedelta(days=4), START + timedelta(days=4, hours=2)
    window = {"window_starts_at": starts.isoformat(), "window_ends_at": ends.isoformat()}
    ok(await wang_fang.edit(f"/visits/{visit_id}", window))
    told = ok(await wang_fang.post(f"/visits/{visit_id}/tell", tell))
    assert parse_instant(told["told_at"]) == office.now
    order = (await order_of(wang_fang, visit_id))["order"]
    assert parse_instant(order["due_at"]) == (ends if moves else START + timedelta(hours=48))
    moved = {"window_starts_at": (starts + timedelta(hours=1)).isoformat()}
    assert ok(await wang_fang.edit(f"/visits/{visit_id}", moved))["told_at"] is None


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


async def test_who_is_on_the_way_is_taken_off_only_knowingly(office: Office) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    await walk(office, li_wei, visit_id, "depart")
    zhou_tao = str(office.house.id_of(ZHOU_TAO))
    problem = refused(await wang_fang.post(f"/visits/{visit_id}/assign", {"person_id": zhou_tao}), "visit_begun")
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
    given = ok(await wang_fang.post(f"/visits/{visit_id}/assign", {"crew_id": str(office.house.crew)}))
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
    _, li_wei, visit_id = await sent(office)
    zhou_tao = {"person_id": str(office.house.id_of(ZHOU_TAO))}
    refused(await li_wei.post(f"/visits/{visit_id}/assign", zhou_tao), "forbidden")
    refused(await li_wei.post(f"/visits/{visit_id}/withdraw", {"reason": "不想去"}), "forbidden")
    refused(await li_wei.edit(f"/visits/{visit_id}", {"duration_minutes": 5}), "forbidden")


@pytest.mark.rule("A055")
async def test_an_installation_is_assigned_only_after_the_head_signed_it(office: Office) -> None:
    chen_jing = await office.sign_in_for_long(CHEN_JING)
    detail = await opened(chen_jing, office, kind="install", title="新增门禁")
    visit_id, order_id = detail["visits"][0]["id"], detail["order"]["id"]
    li_wei = {"person_id": str(office.house.id_of(LI_WEI))}
    refused(await chen_jing.post(f"/visits/{visit_id}/assign", li_wei), "not_approved")
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


# --- late reports -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken_by", ["reassigned", "cancelled"])
async def test_facts_after_the_visit_was_taken_are_late_reports_and_commands_are_refused(
    office: Office, taken_by: str
) -> None:
    wang_fang, li_wei, visit_id = await sent(office)
    if taken_by == "reassigned":
        await give(wang_fang, office, visit_id, ZHOU_TAO)
    else:
        ok(await wang_fang.post(f"/visits/{visit_id}/cancel", {"reason": "客户取消"}))
    before = ok(await wang_fang.get(f"/visits/{visit_id}"))
    problem = refused(await li_wei.post(f"/visits/{visit_id}/events", {"kind": "depart"}), "visit_taken")
    assert problem["facts"]["mover"] == "王芳"
    answer = await report(li_wei, visit_id, "arrive")
    assert (answer["status"], answer["event"]["late"]) == ("late", True)
    assert (await report(li_wei, visit_id, "arrive"))["status"] == "noop"
    assert ok(await wang_fang.get(f"/visits/{visit_id}")) == before
    async with office.database.read() as session:
        told = select(Event.facts).where(Event.name == "visit.late_report")
        (facts,) = (await session.execute(told)).scalars().all()
    assert (facts["kind"], facts["person_id"]) == ("arrive", str(office.house.id_of(LI_WEI)))


@pytest.mark.rule("A078")
async def test_who_arrived_offline_before_the_visit_was_taken_did_arrive(office: Office) -> None:
    """He was in the basement at 09:20; the office gave the visit away at 10:00; his phone spoke at 11:00."""
    case_id = await case_with_clocks(office)
    wang_fang, _, visit_id = await sent(office, request_id=str(case_id))
    office.move_clock(hours=1)
    await give(wang_fang, office, visit_id, ZHOU_TAO)
    now = office.move_clock(hours=1)
    arrived_at = START + timedelta(minutes=20)
    async with office.database.write() as session:
        event = await record_visit_event(
            session, now=now, actor=Actor(person_id=office.house.id_of(LI_WEI), mutation_id=uuid4()),
            report=VisitEventReport(
                visit_id=UUID(visit_id), person_id=office.house.id_of(LI_WEI), kind=EventKind.ARRIVE,
                claimed_at=arrived_at, device_at=arrived_at, effective_at=arrived_at,
            ),
        )  # fmt: skip
        assert event is not None
        assert event.late
    assert (await clock_of(office, case_id)).stopped_at == arrived_at
    assert ok(await wang_fang.get(f"/visits/{visit_id}"))["state"] == "planned"


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


# --- who may what -----------------------------------------------------------------------------------------------------

READS_SERVICE: Final = {WANG_FANG, HE_LI, CHEN_JING, TANG_MIN, WU_GANG, LI_WEI}
"""Who sees a repair at 云桥大厦 given to 李伟: his dispatcher, the office, his crew's leader, himself."""


@pytest.mark.rule("A270")
async def test_everybody_sees_what_their_role_reaches_and_nothing_else(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    order_id = (await order_of(wang_fang, visit_id))["order"]["id"]
    for persona in EVERYBODY:
        desk = await office.sign_in_for_long(persona)
        listed, shown = await desk.get("/work-orders"), await desk.get(f"/work-orders/{order_id}")
        if persona is LIN_LI:
            refused(listed, "forbidden")
            refused(shown, "forbidden")
            continue
        seen = [one["id"] for one in ok(listed)["items"]]
        assert seen == ([order_id] if persona in READS_SERVICE else []), persona.name
        if persona in READS_SERVICE:
            ok(shown)
        else:
            refused(shown, "not_found")
        assert (await desk.get(f"/visits/{visit_id}")).status_code == shown.status_code


@pytest.mark.rule("A052", "A053", "A054")
async def test_the_dispatcher_of_repairs_does_not_dispatch_installations(office: Office) -> None:
    chen_jing, wang_fang = await office.sign_in_for_long(CHEN_JING), await office.sign_in_for_long(WANG_FANG)
    detail = await opened(chen_jing, office, kind="install", title="新增门禁")
    visit_id = detail["visits"][0]["id"]
    refused(await wang_fang.get(f"/visits/{visit_id}"), "not_found")
    li_wei = {"person_id": str(office.house.id_of(LI_WEI))}
    refused(await wang_fang.post(f"/visits/{visit_id}/assign", li_wei), "not_found")


async def test_another_units_dispatcher_and_another_technician_find_nothing(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    order_id = (await order_of(wang_fang, visit_id))["order"]["id"]
    before = await row_counts(office)
    ma_chao, sun_lei, zhou_tao = [await office.sign_in_for_long(one) for one in (MA_CHAO, SUN_LEI, ZHOU_TAO)]
    for path, body in (
        (f"/visits/{visit_id}/assign", {"person_id": str(office.house.id_of(SUN_LEI))}),
        (f"/visits/{visit_id}/withdraw", {"reason": "x"}),
        (f"/visits/{visit_id}/cancel", {"reason": "x"}),
        (f"/visits/{visit_id}/tell", {"channel": "phone", "asked_by": "us"}),
        (f"/visits/{visit_id}/events", {"kind": "arrive"}),
        (f"/work-orders/{order_id}/cancel", {"reason": "x"}),
        (f"/work-orders/{order_id}/visits", {}),
        (f"/work-orders/{order_id}/notes", {"text": "x"}),
    ):
        refused(await ma_chao.post(path, body), "not_found")
    for desk in (sun_lei, zhou_tao):
        refused(await desk.post(f"/visits/{visit_id}/events", {"kind": "arrive"}), "not_found")
        refused(await desk.post(f"/visits/{visit_id}/parts", {"part_id": NOBODY, "quantity": 1}), "not_found")
        refused(await desk.post(f"/work-orders/{order_id}/notes", {"text": "x"}), "not_found")
    assert await row_counts(office) == before


async def test_a_dispatcher_sends_only_the_people_of_the_own_units(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    answer = await wang_fang.post(f"/visits/{visit_id}/assign", {"person_id": str(office.house.id_of(SUN_LEI))})
    assert refused(answer, "invalid")["findings"][0]["field"] == "person_id"


async def test_a_dispatcher_reports_for_a_technician_who_phoned_in_and_nobody_else_does(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    li_wei = str(office.house.id_of(LI_WEI))
    assert (await report(wang_fang, visit_id, "arrive", person_id=li_wei))["visit"]["state"] == "arrived"
    zhou_tao = await office.sign_in_for_long(ZHOU_TAO)
    refused(await zhou_tao.post(f"/visits/{visit_id}/events", {"kind": "start", "person_id": li_wei}), "not_found")
    refused(await wang_fang.post(f"/visits/{visit_id}/events", {"kind": "start"}), "not_found")


async def test_work_is_opened_where_one_has_business(office: Office) -> None:
    north = {"site_id": str(office.house.north_site), "kind": "repair", "title": "门铃"}
    here = {"site_id": str(office.house.site), "kind": "repair", "title": "门铃"}
    for persona, site, status in (
        (HE_LI, here, 201), (HE_LI, north, 404), (WU_GANG, here, 201), (WU_GANG, north, 404), (ZHOU_TAO, here, 404),
        (CHEN_JING, north, 201), (TANG_MIN, here, 403), (LIN_LI, here, 403),
    ):  # fmt: skip
        desk = await office.sign_in_for_long(persona)
        assert (await desk.post("/work-orders", site)).status_code == status, persona.name


# --- bad input --------------------------------------------------------------------------------------------------------

NEW: Final[dict[str, Any]] = {"kind": "repair", "title": "黑屏"}


BAD_ORDERS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"kind": "teleport"}, "kind"),
    ({"kind": 7}, "kind"),
    ({"colour": "red"}, "colour"),
    ({"title": ""}, "title"),
    ({"title": "x" * 201}, "title"),
    ({"priority": "P9"}, "priority"),
    ({"required_skills": ["flying"]}, "required_skills"),
    ({"duration_minutes": 0}, "duration_minutes"),
    ({"duration_minutes": 60 * 24 * 31}, "duration_minutes"),
    ({"due_at": "2026-03-04T10:00:00"}, "due_at"),
    ({"request_id": NOBODY}, "request_id"),
    ({"asset_id": NOBODY}, "asset_id"),
    ({"form_template_version_id": NOBODY}, "form_template_version_id"),
    ({"window_starts_at": "2026-03-04T10:00:00Z"}, "window_ends_at"),
    ({"window_starts_at": "2026-03-04T10:00:00Z", "window_ends_at": "2026-03-04T09:00:00Z"}, "window_ends_at"),
]


async def test_a_bad_order_is_refused_by_field_and_leaves_nothing(sqlite_office: Office) -> None:
    wang_fang = await sqlite_office.sign_in_for_long(WANG_FANG)
    before = await row_counts(sqlite_office)
    for change, field in BAD_ORDERS:
        body = {**NEW, "site_id": str(sqlite_office.house.site), **change}
        problem = refused(await wang_fang.post("/work-orders", body), "invalid")
        (finding,) = problem["findings"]
        assert field in finding["field"] or field in finding["en"], change
    assert await row_counts(sqlite_office) == before


BAD_EVENTS: Final[list[dict[str, Any]]] = [
    {"kind": "arrive", "lat": 91},
    {"kind": "arrive", "lon": -181},
    {"kind": "arrive", "mood": "good"},
    {"kind": "vanish"},
    {"kind": "arrive", "note": ""},
    {"kind": "arrive", "claimed_at": "yesterday"},
    {"kind": "cannot_complete"},
    {"kind": "cannot_complete", "reason": "aliens", "note": "x", "next_step": "x"},
    {"kind": "amend", "amends_id": NOBODY, "reason": "x"},
    {"kind": "revert", "amends_id": "x"},
]


async def test_a_bad_event_is_refused_and_leaves_nothing(sqlite_office: Office) -> None:
    _, li_wei, visit_id = await sent(sqlite_office)
    before = await row_counts(sqlite_office)
    for body in BAD_EVENTS:
        answer = await li_wei.post(f"/visits/{visit_id}/events", body)
        assert answer.status_code == 422, (body, answer.text)
    assert await row_counts(sqlite_office) == before


async def test_edits_need_the_etag_of_what_their_author_saw(sqlite_office: Office) -> None:
    wang_fang, _, visit_id = await sent(sqlite_office)
    for path in (f"/visits/{visit_id}", f"/work-orders/{(await order_of(wang_fang, visit_id))['order']['id']}"):
        change = {"title": "改"} if "work-orders" in path else {"duration_minutes": 45}
        refused(await wang_fang.ask("PATCH", path, json=change), "if_match_missing")
        refused(await wang_fang.ask("PATCH", path, json=change, headers={"If-Match": '"old"'}), "stale")
        ok(await wang_fang.edit(path, change))
        refused(await wang_fang.edit(path, {"number": "WO-1"}), "invalid")
    body = {"priority": "P1", "earliest_at": None, "required_skills": ["cctv"]}
    order_path = f"/work-orders/{(await order_of(wang_fang, visit_id))['order']['id']}"
    assert ok(await wang_fang.edit(order_path, body))["priority"] == "P1"
    refused(await wang_fang.edit(order_path, {"asset_id": NOBODY}), "invalid")
    refused(await wang_fang.edit(f"/visits/{visit_id}", {"window_starts_at": START.isoformat()}), "invalid")


async def test_a_visit_that_does_not_exist_is_not_found(sqlite_office: Office) -> None:
    wang_fang = await sqlite_office.sign_in_for_long(WANG_FANG)
    refused(await wang_fang.get(f"/visits/{NOBODY}"), "not_found")
    refused(await wang_fang.get(f"/work-orders/{NOBODY}"), "not_found")
    refused(await wang_fang.post(f"/visits/{NOBODY}/events", {"kind": "arrive"}), "not_found")


async def test_lists_are_filtered_by_state_kind_and_site(sqlite_office: Office) -> None:
    wang_fang, _, _ = await sent(sqlite_office)
    await opened(wang_fang, sqlite_office, kind="training", title="培训操作员")
    for wanted, count in (("state=planned", 1), ("state=open", 1), ("kind=training", 1), (f"site_id={NOBODY}", 0)):
        assert len(ok(await wang_fang.get(f"/work-orders?{wanted}"))["items"]) == count, wanted
