"""What happens on a visit moves the Case's clocks; what comes too late is kept."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from backend.contracts.models import ClockPause
from backend.core.audit import Actor
from backend.core.clock import parse_instant
from backend.core.events import Event
from backend.jobs.actions import record_visit_event
from backend.jobs.rules import EventKind
from backend.jobs.schemas import VisitEventReport
from tests.make import START, Office
from tests.personas import (
    LI_WEI,
    WANG_FANG,
    ZHOU_TAO,
)
from tests.work import case_with_clocks, change, clock_of, give, ok, opened, order_of, refused, report, sent, walk

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
    refused(await change(wang_fang, visit_id, "tell", tell), "no_window")
    starts, ends = START + timedelta(days=4), START + timedelta(days=4, hours=2)
    window = {"window_starts_at": starts.isoformat(), "window_ends_at": ends.isoformat()}
    ok(await wang_fang.edit(f"/visits/{visit_id}", window))
    told = ok(await change(wang_fang, visit_id, "tell", tell))
    assert parse_instant(told["told_at"]) == office.now
    order = (await order_of(wang_fang, visit_id))["order"]
    assert parse_instant(order["due_at"]) == (ends if moves else START + timedelta(hours=48))
    moved = {"window_starts_at": (starts + timedelta(hours=1)).isoformat()}
    assert ok(await wang_fang.edit(f"/visits/{visit_id}", moved))["told_at"] is None
    office.move_clock(days=5)
    over = refused(await change(wang_fang, visit_id, "tell", tell), "invalid")
    assert over["findings"][0]["field"] == "window_ends_at"


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
    again = refused(await li_wei.post(f"/visits/{visit_id}/events", {"kind": "depart"}), "visit_taken")
    assert again["facts"]["mover"] == "王芳", "a late report moves nothing"
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
