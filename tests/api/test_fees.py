"""What work costs the customer: who pays, the quote and its answer, a dispute, money and its receipt."""

from datetime import date
from typing import Any, Final

import pytest
from sqlalchemy import select

from backend.contracts.models import ClockPause, CommitmentClock
from backend.parts.models import Part
from backend.sites.models import Asset
from tests.make import Desk, Office
from tests.personas import CHEN_JING, TANG_MIN, WANG_FANG, XU_HUI, ZHOU_TAO
from tests.work import NOBODY, case_with_clocks, ok, opened, order_of, refused, report, sent, walk

LINES: Final[list[dict[str, Any]]] = [
    {"kind": "parts", "text": "电源板", "quantity": 2, "unit_fen": 12000},
    {"kind": "travel", "text": "上门费", "quantity": 1, "unit_fen": 5000},
]


async def quoted(office: Office, **values: object) -> tuple[Desk, Desk, str, dict[str, Any]]:
    """A repair with an offered quote: the quoting desk, the technician's, the order's path, the quote."""
    wang_fang, li_wei, visit_id = await sent(office)
    xu_hui = await office.sign_in_for_long(XU_HUI)
    path = f"/work-orders/{(await order_of(wang_fang, visit_id))['order']['id']}"
    quote = ok(await xu_hui.post(f"{path}/quotes", {"lines": LINES, "payment_way": "wechat", **values}), 201)
    return xu_hui, li_wei, path, quote


@pytest.mark.rule("A148", "A149", "A150")
@pytest.mark.parametrize(
    ("cause", "warranty_until", "verdict"),
    [
        ("manufacture", date(2026, 3, 2), "free"),
        ("manufacture", date(2026, 3, 1), "quote"),
        ("misuse", date(2030, 1, 1), "quote"),
        ("no_fault_found", None, "call_out"),
    ],
)
async def test_the_cause_decides_first_and_the_warranty_of_the_day_second(
    sqlite_office: Office, cause: str, warranty_until: date | None, verdict: str
) -> None:
    office = sqlite_office
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    async with office.database.write() as session:
        (await session.get_one(Asset, office.house.camera)).warranty_until = warranty_until
    order = (await opened(wang_fang, office, asset_id=str(office.house.camera)))["order"]
    decided = ok(await wang_fang.post(f"/work-orders/{order['id']}/coverage", {"cause": cause}), 201)
    assert (decided["verdict"], decided["in_warranty"]) == (verdict, verdict == "free" or cause == "misuse")
    assert decided["reason"]
    assert ok(await wang_fang.get(f"/work-orders/{order['id']}"))["order"]["cause"] == cause


async def test_an_order_without_an_asset_is_out_of_warranty(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    path = f"/work-orders/{(await opened(wang_fang, office))['order']['id']}/coverage"
    assert ok(await wang_fang.post(path, {"cause": "material"}), 201)["verdict"] == "quote"
    refused(await wang_fang.post(path, {"cause": "gremlins"}), "invalid")


@pytest.mark.rule("A085", "A150", "A098")
async def test_a_quote_is_accepted_paid_and_receipted(office: Office) -> None:
    _, li_wei, path, quote = await quoted(office)
    assert (quote["version"], quote["total_fen"], quote["state"]) == (1, 29000, "offered")
    answer = {"answer": "accepted", "given_by": "赵敏", "channel": "on_site"}
    assert ok(await li_wei.post(f"/quotes/{quote['id']}/answers", answer), 201)["dispute_id"] is None
    refused(await li_wei.post(f"/quotes/{quote['id']}/answers", answer | {"answer": "refused"}), "quote_state")
    money = {"amount_fen": 29000, "way": "wechat", "quote_id": quote["id"]}
    payment = ok(await li_wei.post(f"{path}/payments", money), 201)
    receipt = ok(await li_wei.post(f"/payments/{payment['id']}/receipt"), 201)
    assert receipt["number"].startswith("RC-")
    refused(await li_wei.post(f"/payments/{payment['id']}/receipt"), "receipt_given")
    fees = ok(await li_wei.get(f"{path}/fees"))
    assert {name: len(rows) for name, rows in fees.items()} == {
        "coverage": 0, "quotes": 1, "answers": 1, "disputes": 0, "payments": 1, "receipts": 1,
    }  # fmt: skip
    assert fees["quotes"][0]["state"] == "accepted"


async def test_a_draft_is_offered_before_it_is_answered_and_a_new_version_follows_it(office: Office) -> None:
    xu_hui, li_wei, path, draft = await quoted(office, offered=False)
    answer = {"answer": "accepted", "given_by": "赵敏", "channel": "phone"}
    refused(await li_wei.post(f"/quotes/{draft['id']}/answers", answer), "quote_state")
    for _ in range(2):
        assert ok(await xu_hui.post(f"/quotes/{draft['id']}/offer"))["state"] == "offered"
    ok(await xu_hui.post(f"/quotes/{draft['id']}/answers", answer | {"answer": "refused"}), 201)
    refused(await xu_hui.post(f"/quotes/{draft['id']}/offer"), "quote_state")
    assert ok(await xu_hui.post(f"{path}/quotes", {"lines": LINES[:1]}), 201)["version"] == 2


async def test_only_the_newest_version_is_offered_and_answered(office: Office) -> None:
    xu_hui, li_wei, path, first = await quoted(office)
    draft = ok(await xu_hui.post(f"{path}/quotes", {"lines": LINES[:1], "offered": False}), 201)
    newest = ok(await xu_hui.post(f"{path}/quotes", {"lines": LINES[:1]}), 201)
    answer = {"answer": "accepted", "given_by": "赵敏", "channel": "phone"}
    told = refused(await li_wei.post(f"/quotes/{first['id']}/answers", answer), "quote_state")
    assert told["facts"] == {"state": "superseded"}
    refused(await xu_hui.post(f"/quotes/{draft['id']}/offer"), "quote_state")
    ok(await li_wei.post(f"/quotes/{newest['id']}/answers", answer), 201)


async def test_who_quotes_reads_the_order_and_its_money_and_nothing_else_of_the_work(office: Office) -> None:
    xu_hui, li_wei, path, quote = await quoted(office)
    whole, head = ok(await li_wei.get(path)), ok(await xu_hui.get(path))
    assert head["order"] == whole["order"]
    assert whole["visits"]
    assert {name for name, rows in head.items() if name != "order" and rows} == set()
    assert [one["id"] for one in ok(await xu_hui.get(f"{path}/fees"))["quotes"]] == [quote["id"]]
    assert head["order"] in ok(await xu_hui.get("/work-orders"))["items"]
    refused(await (await office.sign_in(TANG_MIN)).post(f"{path}/quotes", {"lines": LINES}), "forbidden")


@pytest.mark.rule("A150")
async def test_the_clock_to_solve_stands_still_from_the_offer_to_the_answer(office: Office) -> None:
    """It is ours until the quote is made, the customer's until they answer, then ours again (presets §5)."""
    case_id = await case_with_clocks(office)
    _, li_wei, visit_id = await sent(office, request_id=str(case_id))
    await walk(office, li_wei, visit_id, "arrive", "start")
    waiting = {"reason": "quote", "note": "需更换主板", "next_step": "报价"}
    order_id = (await report(li_wei, visit_id, "cannot_complete", **waiting))["visit"]["work_order_id"]
    await office.work()

    async def pauses() -> list[tuple[Any, Any]]:
        async with office.database.read() as session:
            of_case = select(ClockPause.started_at, ClockPause.ended_at).join(CommitmentClock)
            listed = of_case.where(CommitmentClock.subject_id == case_id)
            return [(row.started_at, row.ended_at) for row in (await session.execute(listed)).all()]

    assert await pauses() == []
    office.move_clock(hours=2)
    xu_hui = await office.sign_in_for_long(XU_HUI)
    offered_at = office.now
    quote = ok(await xu_hui.post(f"/work-orders/{order_id}/quotes", {"lines": LINES}), 201)
    office.move_clock(minutes=1)
    await office.work()
    assert await pauses() == [(offered_at, None)]
    answered_at = office.move_clock(hours=5)
    ok(
        await xu_hui.post(
            f"/quotes/{quote['id']}/answers", {"answer": "accepted", "given_by": "赵敏", "channel": "phone"}
        ),
        201,
    )
    await office.work()
    assert await pauses() == [(offered_at, answered_at)]


async def test_a_quote_offered_before_the_technician_leaves_stops_the_clock_when_they_do(sqlite_office: Office) -> None:
    office = sqlite_office
    case_id = await case_with_clocks(office)
    _, li_wei, visit_id = await sent(office, request_id=str(case_id))
    order_id = ok(await li_wei.get(f"/visits/{visit_id}"))["work_order_id"]
    await walk(office, li_wei, visit_id, "arrive", "start")
    xu_hui = await office.sign_in_for_long(XU_HUI)
    ok(await xu_hui.post(f"/work-orders/{order_id}/quotes", {"lines": LINES}), 201)
    office.move_clock(minutes=30)
    await report(li_wei, visit_id, "cannot_complete", reason="quote", note="客户要考虑", next_step="等答复")
    async with office.database.read() as session:
        (pause,) = (await session.execute(select(ClockPause))).scalars().all()
    assert (pause.started_at, pause.ended_at, pause.reason) == (office.now, None, "quote")


async def test_a_disputed_fee_goes_to_the_head_and_blocks_no_work(office: Office) -> None:
    xu_hui, li_wei, path, quote = await quoted(office)
    disputed = {"answer": "disputed", "given_by": "赵敏", "channel": "on_site", "note": "应属保修"}
    dispute_id = ok(await li_wei.post(f"/quotes/{quote['id']}/answers", disputed), 201)["dispute_id"]
    (mine,) = ok(await li_wei.get("/my/visits"))
    await walk(office, li_wei, mine["visit"]["id"], "arrive", "start")
    assert (await report(li_wei, mine["visit"]["id"], "finish"))["visit"]["outcome"] == "done"
    decision = {"decision": "按保修免费"}
    refused(await xu_hui.post(f"/fee-disputes/{dispute_id}/decide", decision), "forbidden")
    chen_jing = await office.sign_in_for_long(CHEN_JING)
    decided = ok(await chen_jing.post(f"/fee-disputes/{dispute_id}/decide", decision))
    assert (decided["decision"], decided["claim"]) == ("按保修免费", "应属保修")
    ok(await xu_hui.post(f"/quotes/{quote['id']}/answers", disputed | {"answer": "accepted"}), 201)
    assert ok(await chen_jing.get(f"{path}/fees"))["disputes"][0]["decided_by_id"]


async def test_money_is_handled_by_those_on_the_order_and_bad_figures_are_refused(office: Office) -> None:
    xu_hui, li_wei, path, quote = await quoted(office)
    zhou_tao = await office.sign_in_for_long(ZHOU_TAO)
    before = ok(await li_wei.get(f"{path}/fees"))
    assert [(one["id"], one["state"]) for one in before["quotes"]] == [(quote["id"], "offered")]
    accepted = {"answer": "accepted", "given_by": "x", "channel": "x"}
    refused(await zhou_tao.post(f"/quotes/{quote['id']}/answers", accepted), "not_found")
    refused(await zhou_tao.post(f"{path}/payments", {"amount_fen": 1, "way": "cash"}), "not_found")
    refused(await zhou_tao.get(f"{path}/fees"), "not_found")
    refused(await li_wei.post(f"{path}/quotes", {"lines": LINES}), "forbidden")
    for desk, where, body in (
        (li_wei, "payments", {"amount_fen": 0, "way": "cash"}),
        (li_wei, "payments", {"amount_fen": 1, "way": "shells"}),
        (li_wei, "payments", {"amount_fen": 1, "way": "cash", "paid_at": "0003-03-02T09:00:00+08:00"}),
        (li_wei, "payments", {"amount_fen": 1, "way": "cash", "paid_at": "2027-03-02T09:00:00+08:00"}),
        (li_wei, "payments", {"amount_fen": 1, "way": "cash", "quote_id": NOBODY}),
        (xu_hui, "quotes", {"lines": []}),
        (xu_hui, "quotes", {"lines": [LINES[0] | {"kind": "magic"}]}),
        (xu_hui, "quotes", {"lines": [LINES[0] | {"unit_fen": -1}]}),
        (xu_hui, "quotes", {"lines": LINES, "price_list_id": NOBODY}),
    ):  # fmt: skip
        refused(await desk.post(f"{path}/{where}", body), "invalid")
    refused(await xu_hui.post(f"/work-orders/{NOBODY}/quotes", {"lines": LINES}), "not_found")
    refused(await xu_hui.post(f"/quotes/{NOBODY}/offer"), "not_found")
    assert ok(await li_wei.get(f"{path}/fees")) == before


@pytest.mark.rule("A087", "A150")
async def test_what_a_resolution_claims_of_the_work_is_on_record(sqlite_office: Office) -> None:
    office = sqlite_office
    case_id = await case_with_clocks(office)
    wang_fang, li_wei, visit_id = await sent(office, request_id=str(case_id))
    path = f"/requests/{case_id}"
    refusal = {"resolution": "quote_refused", "note": "太贵"}
    assert refused(await wang_fang.post(f"{path}/close", refusal), "invalid")["findings"][0]["field"] == "resolution"
    solved = {"confirmed_by": "赵敏", "resolution": "part_replaced", "cause": "wear"}
    assert refused(await wang_fang.post(f"{path}/solve", solved), "invalid")["findings"][0]["field"] == "resolution"
    async with office.database.write() as session:
        part = Part(
            number="PSU",
            name_zh="电源板",
            name_en="power board",
            measure="piece",
            price_fen=1,
            serialised=False,
            active=True,
        )
        session.add(part)
    ok(await li_wei.post(f"/visits/{visit_id}/parts", {"part_id": str(part.id), "quantity": 1}), 201)
    assert ok(await wang_fang.post(f"{path}/solve", solved))["resolution"] == "part_replaced"
    other_id = await case_with_clocks(office)
    order = await opened(wang_fang, office, request_id=str(other_id))
    xu_hui = await office.sign_in_for_long(XU_HUI)
    ok(await xu_hui.post(f"/work-orders/{order['order']['id']}/quotes", {"lines": LINES}), 201)
    assert ok(await wang_fang.post(f"/requests/{other_id}/close", refusal))["state"] == "closed"
