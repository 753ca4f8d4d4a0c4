"""Cases over HTTP: moves, promises, owners and escalation."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from backend.core.audit import Actor, AuditEntry
from backend.core.errors import Problem
from backend.core.events import Event
from backend.core.presets import Preset
from backend.followup.models import FollowUp
from backend.requests import actions
from backend.requests.models import ServiceRequest
from backend.requests.schemas import CloseEntry, SolvedEntry
from tests.cases import NOBODY, PROMISE, TRIAGE, clocks, count, instant, is_problem, move, report, try_move
from tests.make import START, Office
from tests.personas import (
    CHEN_JING,
    GAO_JIE,
    HE_LI,
    LIN_LI,
    MA_CHAO,
    SUN_LEI,
    TANG_MIN,
    WANG_FANG,
    WU_GANG,
    ZHOU_TAO,
)

# --- moves ------------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A009", "A011", "A012", "A022", "A029", "A104")
async def test_a_case_from_report_to_close(office: Office) -> None:
    desk = await office.sign_in(WANG_FANG)
    request = await report(desk, office)
    office.move_clock(minutes=30)
    desk = await office.sign_in(WANG_FANG)
    assert (await move(desk, request, "triage", TRIAGE | {"estimated_minutes": 60}))["state"] == "triaged"
    contacted = await move(desk, request, "contact", {"channel": "phone"})
    assert instant(contacted["first_contact_at"]) == START + timedelta(minutes=30)
    assert instant(contacted["opened_at"]) == START
    await move(desk, request, "answer", {"channel": "phone", "solution": "明日上门更换摄像机"})
    office.move_clock(hours=3)
    desk = await office.sign_in(WANG_FANG)
    solved = await move(
        desk, request, "solve", {"confirmed_by": "赵敏", "resolution": "cleaned_adjusted", "cause": "wear"}
    )
    assert (solved["state"], solved["cause"]) == ("solved", "wear")
    states = {kind: clock["state"] for kind, clock in (await clocks(desk, request)).items()}
    assert states == {"respond": "met", "answer": "met", "arrive": "void", "solve": "met"}
    closed = await move(desk, request, "close", {})
    assert (closed["state"], closed["resolution"]) == ("closed", "cleaned_adjusted")


@pytest.mark.rule("A010")
async def test_a_question_answered_on_the_spot_is_still_recorded(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    request = await report(desk, sqlite_office, symptom="怎样导出录像?")
    answered = await move(
        desk, request, "answer", {"channel": "phone", "solution": "在回放页面导出", "resolution": "answered"}
    )
    assert (answered["state"], answered["resolution"]) == ("solved", "answered")
    assert {clock["state"] for clock in (await clocks(desk, request)).values()} == {"met", "void"}


@pytest.mark.rule("A012")
async def test_closing_needs_the_customers_word_or_a_reason_to_end_unsolved(office: Office) -> None:
    desk = await office.sign_in(WANG_FANG)
    request, other = await report(desk, office), await report(desk, office)
    path = f"/requests/{request['id']}/close"
    assert is_problem(await desk.post(path, {}), 422, "invalid", "resolution")
    assert is_problem(await desk.post(path, {"resolution": "magic"}), 422, "invalid", "resolution")
    assert is_problem(await desk.post(path, {"resolution": "repaired"}), 409, "illegal_move", "state")
    assert is_problem(await desk.post(path, {"resolution": "outside_contract"}), 422, "invalid", "note")
    assert is_problem(await desk.post(path, {"resolution": "duplicate"}), 422, "invalid", "duplicate_of_id")
    twin = {"resolution": "duplicate", "duplicate_of_id": request["id"]}
    assert is_problem(await desk.post(path, twin), 422, "invalid", "duplicate_of_id")
    closed = await move(desk, request, "close", {"resolution": "duplicate", "duplicate_of_id": other["id"]})
    assert (closed["state"], closed["duplicate_of_id"]) == ("closed", other["id"])
    assert {clock["state"] for clock in (await clocks(desk, request)).values()} == {"void"}


@pytest.mark.rule("A031")
async def test_a_case_closed_by_mistake_owes_what_it_owed(office: Office) -> None:
    """Closed as a duplicate and reopened, the limits are the old ones; one that was late is late again."""
    desk = await office.sign_in_for_long(WANG_FANG)
    request, other = await report(desk, office), await report(desk, office)
    before = await clocks(desk, request)
    office.move_clock(hours=3)  # the two hours to respond are over
    await move(desk, request, "close", {"resolution": "duplicate", "duplicate_of_id": other["id"]})
    assert {clock["state"] for clock in (await clocks(desk, request)).values()} == {"void", "breached"}
    await move(desk, request, "reopen", {"reason": "并非重复"})
    after = await clocks(desk, request)
    assert {kind: clock["due_at"] for kind, clock in after.items()} == {
        kind: clock["due_at"] for kind, clock in before.items()
    }
    states = {kind: clock["state"] for kind, clock in after.items()}
    assert states == {"respond": "late", "answer": "ok", "arrive": "ok", "solve": "waiting"}
    await move(desk, request, "contact", {"channel": "phone"})
    await move(
        desk, request, "solve", {"confirmed_by": "赵敏", "resolution": "remote", "note": "重启", "cause": "wear"}
    )
    await move(desk, request, "reopen", {"reason": "仍无图像"})
    again = {kind: clock["state"] for kind, clock in (await clocks(desk, request)).items()}
    assert again == {"respond": "breached", "answer": "ok", "arrive": "ok", "solve": "waiting"}


async def test_what_is_not_possible_says_what_is(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(WANG_FANG)
    request = await report(desk, sqlite_office)
    refused = await desk.post(f"/requests/{request['id']}/reopen", {"reason": "仍有问题"})
    assert is_problem(refused, 409, "illegal_move", "state")
    assert refused.json()["facts"] == {"state": "received", "move": "reopen"}
    assert refused.json()["findings"][0]["en"] == "possible: triage, solve, close, cancel"
    await move(desk, request, "cancel", {"asked_by": "赵敏", "reason": "已自行解决"})
    for what, body in (
        ("triage", TRIAGE), ("cancel", {"asked_by": "赵敏", "reason": "再次"}), ("close", {"resolution": "cancelled"}),
        ("solve", {"confirmed_by": "赵敏", "resolution": "no_fault", "note": "自行恢复"}),
    ):  # fmt: skip
        assert is_problem(await try_move(desk, request, what, body), 409, "illegal_move")
    for what, body in (
        ("contact", {"channel": "phone"}), ("answer", {"channel": "phone", "solution": "x"}),
        ("escalate", {"reason": "x"}), ("inquiries", {"fact": "symptom", "asked_of": "赵敏"}),
        ("owner", {"person_id": str(sqlite_office.house.id_of(HE_LI)), "reason": "x"}),
    ):  # fmt: skip
        assert is_problem(await try_move(desk, request, what, body), 409, "case_not_open")
    assert is_problem(await desk.edit(f"/requests/{request['id']}", {"wishes": "x"}), 409, "case_not_open")


BAD_MOVES: list[tuple[str, dict[str, Any], str]] = [
    ("triage", TRIAGE | {"priority": "P9"}, "priority"),
    ("triage", TRIAGE | {"service_mode": "teleport"}, "service_mode"),
    ("triage", TRIAGE | {"required_skills": ["cctv", "magic"]}, "required_skills.1"),
    ("triage", TRIAGE | {"cause": "magic"}, "cause"),
    ("triage", TRIAGE | {"estimated_minutes": 0}, "estimated_minutes"),
    ("triage", {"service_mode": "remote"}, "priority"),
    ("contact", {"channel": "phone", "at": "2026-03-02T08:59:00+08:00"}, "at"),
    ("contact", {"channel": "phone", "at": "2026-03-02T09:05:00+08:00"}, "at"),
    ("answer", {"channel": "phone", "solution": " "}, "solution"),
    ("answer", {"channel": "phone", "solution": "x", "resolution": "workaround"}, "resolution"),
    ("solve", {"confirmed_by": "赵敏", "resolution": "quote_refused"}, "resolution"),
    ("solve", {"confirmed_by": "赵敏", "resolution": "repaired"}, "cause"),
    ("solve", {"confirmed_by": "赵敏", "resolution": "remote", "cause": "wear"}, "note"),
    ("owner", {"person_id": NOBODY, "reason": "x"}, "person_id"),
    ("escalate", {"reason": "x", "chain": "none"}, "chain"),
    ("escalate", {"reason": "x", "person_id": NOBODY}, "person_id"),
    ("inquiries", {"fact": "colour", "asked_of": "x"}, "fact"),
    ("clocks/arrive/promises", PROMISE | {"promised_at": "2026-03-02T08:00:00+08:00"}, "promised_at"),
    ("clocks/arrive/promises", PROMISE | {"moved_by": "them"}, "moved_by"),
]  # fmt: skip


async def test_bad_moves_say_what_is_wrong_and_change_nothing(office: Office) -> None:
    desk = await office.sign_in(WANG_FANG)
    request = await report(desk, office)
    entries = await count(office, AuditEntry)
    for what, body, field in BAD_MOVES:
        answer = await try_move(desk, request, what, body)
        assert answer.status_code in {400, 422}, f"{what} {body}: {answer.text}"
        assert field in answer.text, f"{what} {body}: {answer.text}"
    assert (await desk.get(f"/requests/{request['id']}")).json()["request"] == request
    assert await count(office, AuditEntry) == entries


@pytest.mark.rule("A035")
async def test_an_emergency_brings_its_limits_forward_and_never_back(office: Office) -> None:
    office.move_clock(hours=12)  # 21:00: service ends at 22:00
    desk = await office.sign_in(HE_LI)
    request = await report(desk, office)
    late = (await clocks(desk, request))["respond"]
    assert instant(late["due_at"]) == START + timedelta(hours=25)
    await move(desk, request, "triage", TRIAGE | {"priority": "P1"})
    tightened = (await clocks(desk, request))["respond"]
    assert instant(tightened["due_at"]) == START + timedelta(hours=14)
    assert tightened["policy_due_at"] == late["policy_due_at"], "the policy's limit is never edited"
    await move(desk, request, "triage", TRIAGE | {"priority": "P4"})
    assert (await clocks(desk, request))["respond"]["due_at"] == tightened["due_at"]


@pytest.mark.rule("A170")
async def test_a_closed_case_makes_one_call_back_due_and_reopening_starts_solving_again(office: Office) -> None:
    desk, quality, monitor = [await office.sign_in(one) for one in (WANG_FANG, TANG_MIN, GAO_JIE)]
    request = await report(desk, office)
    reopened = request
    done = {"confirmed_by": "赵敏", "resolution": "cleaned_adjusted", "cause": "wear"}
    for _ in range(2):
        await move(desk, request, "solve", done)
        await move(desk, request, "close", {})
        await office.work()
        assert (await quality.post(f"/requests/{request['id']}/reopen", {"reason": "x"})).status_code == 403
        reopened = await move(monitor, request, "reopen", {"reason": "回访:仍无图像"})
    assert (reopened["state"], reopened["reopened_count"], reopened["closed_at"]) == ("reopened", 2, None)
    assert (await clocks(desk, request))["solve"]["stopped_at"] is None
    async with office.database.read() as session:
        due = (await session.execute(select(FollowUp))).scalar_one()
    # Closed on Monday; the second working day at the site ends on Wednesday at midnight.
    assert (due.request_id, due.due_at) == (UUID(request["id"]), datetime(2026, 3, 4, 16, tzinfo=UTC))


@pytest.mark.rule("A013", "A170")
async def test_work_begins_once_and_a_call_back_confirms_what_was_closed(sqlite_office: Office) -> None:
    request = await report(await sqlite_office.sign_in(HE_LI), sqlite_office)
    actor = Actor(person_id=sqlite_office.house.id_of(WANG_FANG))
    solved = SolvedEntry(confirmed_by="赵敏", resolution="cleaned_adjusted", cause="wear")
    async with sqlite_office.database.write() as session:
        case = await session.get_one(ServiceRequest, UUID(request["id"]))
        for _ in range(2):
            await actions.begin_work(session, now=START, actor=actor, request=case)
        await actions.solve_request(session, now=START, actor=actor, request=case, solved=solved)
        await actions.close_request(session, now=START, actor=actor, request=case, closing=CloseEntry())
        await actions.confirm_request(session, now=START, actor=actor, request=case)
        with pytest.raises(Problem, match="illegal_move"):
            await actions.begin_work(session, now=START, actor=actor, request=case)
    async with sqlite_office.database.read() as session:
        told = select(Event.name).filter_by(subject_id=case.id).order_by(Event.id)
        names = [name.removeprefix("service_request.") for name in (await session.execute(told)).scalars()]
    assert (case.state, names) == ("confirmed", ["received", "begun", "solved", "closed", "confirmed"])


async def test_a_rule_that_is_switched_off_makes_nobody_call(sqlite_office: Office) -> None:
    async with sqlite_office.database.write() as session:
        rule = (await session.execute(select(Preset).filter_by(kind="call_back_rule", key="case_closed"))).scalar_one()
        rule.active = False
    desk = await sqlite_office.sign_in(WANG_FANG)
    request = await report(desk, sqlite_office)
    await move(desk, request, "close", {"resolution": "outside_contract", "note": "转工程部"})
    await sqlite_office.work()
    assert await count(sqlite_office, FollowUp) == 0


async def test_a_broken_commitment_stays_broken_however_the_case_ends(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(WANG_FANG)
    request = await report(desk, sqlite_office)
    sqlite_office.move_clock(hours=30)
    desk = await sqlite_office.sign_in(WANG_FANG)
    await move(desk, request, "cancel", {"asked_by": "赵敏", "reason": "等不及了"})
    states = {kind: clock["state"] for kind, clock in (await clocks(desk, request)).items()}
    assert states == {"respond": "breached", "answer": "breached", "arrive": "void", "solve": "void"}


# --- promises ---------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A036", "A048", "A058")
async def test_whose_wish_moved_a_clock_decides_its_limit(office: Office) -> None:
    desk = await office.sign_in(WANG_FANG)
    request = await report(desk, office)
    path = f"/requests/{request['id']}/clocks/arrive/promises"
    answer = await desk.post(path, PROMISE)
    assert answer.status_code == 201, answer.text
    assert instant((await clocks(desk, request))["arrive"]["due_at"]) == START + timedelta(hours=48)
    theirs = PROMISE | {"moved_by": "customer", "promised_at": "2026-03-07T10:00:00+08:00", "reason": "客户出差"}
    body = (await desk.post(path, theirs)).json()
    arrive = next(clock for clock in body["clocks"] if clock["kind"] == "arrive")
    assert instant(arrive["due_at"]) == datetime(2026, 3, 7, 2, tzinfo=UTC)
    assert arrive["policy_due_at"] == (await clocks(desk, request))["arrive"]["policy_due_at"]
    assert [(one["moved_by"], one["reason"]) for one in body["promises"]] == [("us", "缺件"), ("customer", "客户出差")]


async def test_nothing_is_promised_on_a_clock_that_is_not_there_or_has_stopped(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(WANG_FANG)
    request = await report(desk, sqlite_office)
    path = f"/requests/{request['id']}/clocks"
    assert is_problem(await desk.post(f"{path}/handover/promises", PROMISE), 404, "not_found")
    await move(desk, request, "contact", {"channel": "phone"})
    assert is_problem(await desk.post(f"{path}/respond/promises", PROMISE), 409, "clock_stopped")


# --- owners and escalation --------------------------------------------------------------------------------------------


@pytest.mark.rule("A015", "A016")
async def test_a_case_is_handed_over_without_a_gap(office: Office) -> None:
    he, wang, zhou = [await office.sign_in(one) for one in (HE_LI, WANG_FANG, ZHOU_TAO)]
    request = await report(he, office)
    path = f"/requests/{request['id']}"
    office.move_clock(minutes=5)
    await move(he, request, "owner", {"person_id": str(office.house.id_of(ZHOU_TAO)), "reason": "转技术员"})
    owners = (await he.get(path)).json()["owners"]
    assert [(one["person_name"], one["accepted_at"] is None) for one in owners] == [("何丽", False), ("周涛", True)]
    assert (await zhou.get(path)).status_code == 200, "an offer can be read before it is answered"
    word = {"channel": "phone"}
    assert is_problem(await zhou.post(f"{path}/contact", word), 404, "not_found"), "only who accepted may change it"
    assert is_problem(await wang.post(f"{path}/owner/accept"), 409, "no_offer")
    office.move_clock(minutes=5)
    await move(zhou, request, "owner/accept")
    await move(zhou, request, "contact", word)
    first, second = (await he.get(path)).json()["owners"]
    assert first["ended_at"] == second["started_at"] == second["accepted_at"]
    assert is_problem(await zhou.post(f"{path}/owner/accept"), 409, "no_offer")
    await move(zhou, request, "owner", {"person_id": str(office.house.id_of(WANG_FANG)), "reason": "转调度"})
    await move(wang, request, "owner/decline")
    assert is_problem(await wang.post(f"{path}/owner/decline"), 409, "no_offer")
    await move(wang, request, "owner", {"person_id": str(office.house.id_of(WANG_FANG)), "reason": "自己跟进"})
    listed = (await wang.get("/requests", params={"owner_id": str(office.house.id_of(WANG_FANG))})).json()
    assert [one["owner_id"] for one in listed["items"]] == [str(office.house.id_of(WANG_FANG))]
    assert (await zhou.get(path)).status_code == 404, "what was handed over is out of reach"


@pytest.mark.rule("A015")
async def test_the_open_cases_of_somebody_who_leaves_are_named(sqlite_office: Office) -> None:
    desk, admin = await sqlite_office.sign_in(HE_LI), await sqlite_office.sign_in(LIN_LI)
    still_open, ended = await report(desk, sqlite_office), await report(desk, sqlite_office)
    await move(desk, ended, "close", {"resolution": "outside_contract", "note": "转工程部"})
    answer = await admin.get(f"/people/{sqlite_office.house.id_of(HE_LI)}/duties")
    cases = [(one["id"], one["label"]) for one in answer.json()["duties"] if one["kind"] == "case"]
    assert cases == [(still_open["id"], "SR-1")]


async def test_a_case_goes_to_nobody_who_works_on_none(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(HE_LI)
    request = await report(desk, sqlite_office)
    for nobody in (LIN_LI, TANG_MIN, SUN_LEI, MA_CHAO):  # the last two work on Cases, but of the northern outlet
        offer = {"person_id": str(sqlite_office.house.id_of(nobody)), "reason": "x"}
        assert is_problem(await desk.post(f"/requests/{request['id']}/owner", offer), 422, "invalid", "person_id")


@pytest.mark.rule("A016", "A188")
async def test_help_climbs_the_chain_and_the_owner_stays(office: Office) -> None:
    wu = await office.sign_in(WU_GANG)
    request = await report(wu, office)
    path = f"/requests/{request['id']}"
    taken: list[tuple[str, str | None]] = []
    for _ in range(4):
        (step,) = (await move(wu, request, "escalate", {"reason": "查不出原因"}))["steps"]
        taken.append((step["role_key"], step["person_id"]))
    assert [role for role, _ in taken] == ["technician", "expert", "head", "vice_president"]
    assert taken[2][1] == str(office.house.id_of(CHEN_JING))
    assert taken[3][1] is None, "nobody holds that role here; the step is recorded all the same"
    assert is_problem(await wu.post(f"{path}/escalate", {"reason": "x"}), 409, "chain_exhausted")
    detail = (await wu.get(path)).json()
    assert len(detail["escalations"]) == 4
    assert [one["person_name"] for one in detail["owners"]] == ["吴刚"]


@pytest.mark.rule("A189")
async def test_a_serious_case_is_told_to_everybody_of_its_chain_at_once(sqlite_office: Office) -> None:
    desk = await sqlite_office.sign_in(WANG_FANG)
    request = await report(desk, sqlite_office)
    wanted = {"reason": "全楼停电", "chain": "serious", "person_id": str(sqlite_office.house.id_of(CHEN_JING))}
    steps = (await move(desk, request, "escalate", wanted))["steps"]
    assert [(one["role_key"], one["person_id"]) for one in steps] == [
        ("head", str(sqlite_office.house.id_of(CHEN_JING))), ("vice_president", None),
    ]  # fmt: skip
