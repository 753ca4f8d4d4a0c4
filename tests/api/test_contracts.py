"""Contracts, prices and clocks: what the actions keep in the rows, and the routes around them."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.queries import newest_calendar
from backend.contracts import actions, queries
from backend.contracts.models import ClockPolicy, CommitmentClock, PriceList, Warranty
from backend.sites.models import Asset
from tests.make import START, ZONE, House, Office
from tests.personas import CHEN_JING, HE_LI, LI_WEI, MA_CHAO, WANG_FANG, XU_HUI

HOURS = timedelta(hours=1)


async def started(session: AsyncSession, key: str = "std", **values: Any) -> UUID:
    """Start the clocks of a policy on a new subject; return its id."""
    subject_id = uuid4()
    policy = await queries.newest_policy(session, key)
    await actions.start_clocks(
        session, **{
            "now": START + HOURS, "entity": "service_request", "subject_id": subject_id, "bucket": None,
            "policy": policy, "calendar": await newest_calendar(session, "cn"), "received_at": START,
            "priority": None, "zone": ZONE, **values,
        },
    )  # fmt: skip
    return subject_id


async def clock(session: AsyncSession, subject_id: UUID, kind: str) -> CommitmentClock:
    found = await queries.clock_of(session, subject_id, kind)
    assert found is not None
    return found


@pytest.mark.rule("A031")
async def test_the_first_stop_wins_and_a_time_before_the_start_counts_as_the_start(sqlite_office: Office) -> None:
    async with sqlite_office.database.write() as session:
        subject = await started(session)
        first = await actions.stop_clock(session, subject_id=subject, kind="arrive", at=START - HOURS, by="visit:1")
        again = await actions.stop_clock(session, subject_id=subject, kind="arrive", at=START + HOURS, by="visit:2")
        assert first is again
        assert first is not None
        assert (first.stopped_at, first.stopped_by) == (START, "visit:1")
        nothing = await actions.stop_clock(session, subject_id=subject, kind="handover", at=START, by="x")
        assert nothing is None


@pytest.mark.rule("A037")
async def test_solving_is_due_on_the_day_of_arrival_and_follows_an_amended_arrival(office: Office) -> None:
    async with office.database.write() as session:
        subject = await started(session)
        assert (await clock(session, subject, "solve")).due_at is None
        await actions.stop_clock(session, subject_id=subject, kind="arrive", at=START + 30 * HOURS, by="visit:1")
        solve = await clock(session, subject, "solve")
        assert solve.due_at == START + timedelta(hours=39)  # midnight of Tuesday in Shanghai
        assert await actions.restart_clock(session, subject_id=subject, kind="arrive", by="visit:2") is None
        assert await actions.restart_clock(session, subject_id=subject, kind="arrive", by="visit:1") is not None
        assert (solve.due_at, (await clock(session, subject, "arrive")).stopped_at) == (None, None)
        await actions.stop_clock(session, subject_id=subject, kind="arrive", at=START + 5 * HOURS, by="visit:1")
        assert solve.due_at == solve.policy_due_at == START + timedelta(hours=15)


@pytest.mark.rule("A058")
async def test_only_the_clock_to_solve_stands_still_and_its_limit_moves_by_as_much(office: Office) -> None:
    async with office.database.write() as session:
        subject = await started(session)
        await actions.stop_clock(session, subject_id=subject, kind="arrive", at=START + HOURS, by="visit:1")
        paused = await actions.pause_clock(session, subject_id=subject, at=START + 2 * HOURS, reason="rebook")
        assert paused is await actions.pause_clock(session, subject_id=subject, at=START + 3 * HOURS, reason="quote")
    async with office.database.read() as session:
        found = {one.kind: one for one in (await queries.clocks_of(session, subject, START + 90 * HOURS)).clocks}
    assert (found["solve"].state, found["answer"].state) == ("paused", "late")
    async with office.database.write() as session:
        resumed = await actions.resume_clock(session, subject_id=subject, at=START + 52 * HOURS)
        assert resumed is not None
        assert resumed.due_at == START + timedelta(hours=15 + 50)
        assert resumed.policy_due_at == START + timedelta(hours=15)
        assert await actions.resume_clock(session, subject_id=subject, at=START + 53 * HOURS) is None
        await actions.stop_clock(session, subject_id=subject, kind="solve", at=START + 60 * HOURS, by="x")
        assert await actions.pause_clock(session, subject_id=subject, at=START + 61 * HOURS, reason="x") is None


async def test_solving_ends_the_pause_it_happened_in(office: Office) -> None:
    async with office.database.write() as session:
        subject = await started(session)
        await actions.pause_clock(session, subject_id=subject, at=START, reason="no_access")
        await actions.stop_clock(session, subject_id=subject, kind="solve", at=START + 9 * HOURS, by="x")
    async with office.database.read() as session:
        (pause,) = (await queries.clocks_of(session, subject, START + 99 * HOURS)).pauses
    assert (pause.kind, pause.reason, pause.ended_at) == ("solve", "no_access", START + 9 * HOURS)


@pytest.mark.rule("A011")
async def test_a_policy_may_let_the_opening_of_the_case_stop_the_clock(office: Office) -> None:
    async with office.database.write() as session:
        limit = {"kind": "respond", "minutes": 60, "hours": "calendar", "stop_event": "case_opened"}
        policy = ClockPolicy(key="opened", version=1, name_zh="开单即响应", name_en="Opening", rules={"clock": [limit]})
        session.add(policy)
        await session.flush()
        subject = await started(session, "opened")
        respond = await clock(session, subject, "respond")
    assert (respond.stopped_at, respond.stopped_by) == (START + HOURS, "case_opened")


@pytest.mark.rule("A280", "A281")
async def test_dates_of_acceptance_start_the_clocks_of_a_hand_over(office: Office) -> None:
    async with office.database.write() as session:
        subject = await started(session, "handover", acceptance_on=date(2026, 6, 30))
        limits = [(await clock(session, subject, kind)).due_at for kind in ("respond", "solve")]
    assert [limit and limit.isoformat() for limit in limits] == [
        "2026-05-30T16:00:00+00:00",
        "2026-07-14T16:00:00+00:00",
    ]


@pytest.mark.rule("A148", "A149")
async def test_the_longest_warranty_of_an_asset_decides_its_date(office: Office) -> None:
    house: House = office.house
    async with office.database.write() as session:
        asset = await session.get_one(Asset, house.camera)
        asset.warranty_until = date(2026, 1, 31)
        session.add(
            Warranty(asset_id=asset.id, starts_on=date(2025, 1, 1), ends_on=date(2026, 3, 31), terms="厂家两年")
        )
    async with office.database.read() as session:

        async def verdict(cause: str, asset_id: UUID | None, day: date) -> str | None:
            found = await queries.fee_verdict_of(session, cause=cause, asset_id=asset_id, on=day)
            return found and found.decision

        assert await verdict("material", house.camera, date(2026, 3, 31)) == "free"
        assert await verdict("material", house.camera, date(2026, 4, 1)) == "quote"
        assert await verdict("misuse", house.camera, date(2026, 3, 31)) == "quote"
        assert await verdict("no_fault_found", None, date(2026, 3, 31)) == "call_out"
        assert await verdict("material", house.lift, date(2026, 3, 31)) == "quote"
        assert await verdict("bad luck", house.camera, date(2026, 3, 31)) is None


# --- routes -----------------------------------------------------------------------------------------------------------


async def add_prices(office: Office) -> dict[int, str]:
    """Two versions of a price list; return their ids."""
    ids: dict[int, str] = {}
    async with office.database.write() as session:
        for version, starts in ((1, date(2025, 1, 1)), (2, date(2026, 3, 2))):
            row = PriceList(
                key="std", version=version, name_zh="收费标准", name_en="Prices", currency="CNY", valid_from_on=starts,
                lines=[{"key": "labour", "amount_fen": 12000 + version}],
            )  # fmt: skip
            session.add(row)
            ids[version] = str(row.id)
    return ids


@pytest.mark.rule("A153")
async def test_technicians_carry_the_prices_of_the_day(sqlite_office: Office) -> None:
    ids = await add_prices(sqlite_office)
    li = await sqlite_office.sign_in(LI_WEI)
    assert [one["version"] for one in (await li.get("/price-lists")).json()] == [2]
    assert [one["version"] for one in (await li.get("/price-lists?on=2026-03-01")).json()] == [1]
    old = await li.get(f"/price-lists/{ids[1]}")
    assert old.json()["lines"] == [{"key": "labour", "amount_fen": 12001}]
    assert (await li.get(f"/price-lists/{uuid4()}")).status_code == 404
    assert (await (await sqlite_office.sign_in(HE_LI)).get("/price-lists")).status_code == 403


def a_contract(office: Office, **values: Any) -> dict[str, Any]:
    return {
        "customer_id": str(office.house.customer), "number": "HT-1", "starts_on": "2026-01-01",
        "maintenance_ends_on": "2026-12-31", "ends_on": "2027-12-31", "site_ids": [str(office.house.site)],
        "coverage": {"parts": True}, **values,
    }  # fmt: skip


@pytest.mark.rule("A151", "A152", "A155")
async def test_a_contract_pins_its_policy_and_is_seen_by_those_who_quote(office: Office) -> None:
    sales = await office.sign_in(XU_HUI)
    made = await sales.post("/service-contracts", a_contract(office), headers={"Idempotency-Key": "c-1"})
    again = await sales.post("/service-contracts", a_contract(office), headers={"Idempotency-Key": "c-1"})
    assert made.status_code == 201, made.text
    assert made.content == again.content
    contract = made.json()
    assert (contract["site_ids"], contract["coverage"]) == ([str(office.house.site)], {"parts": True})
    path = f"/service-contracts/{contract['id']}"
    for persona, status in ((XU_HUI, 200), (CHEN_JING, 200), (WANG_FANG, 200), (MA_CHAO, 404), (LI_WEI, 403)):
        desk = await office.sign_in(persona)
        assert (await desk.get(path)).status_code == status, persona
        listed = (await desk.get("/service-contracts")).json().get("items", [])
        assert [one["id"] for one in listed] == ([contract["id"]] if status == 200 else []), persona
    for name, value, count in (
        ("site_id", office.house.site, 1), ("site_id", office.house.north_site, 0),
        ("customer_id", office.house.customer, 1), ("customer_id", office.house.north_customer, 0),
    ):  # fmt: skip
        found = (await sales.get("/service-contracts", params={name: str(value)})).json()
        assert len(found["items"]) == count, name


async def test_a_contract_that_cannot_be_is_refused(sqlite_office: Office) -> None:
    sales = await sqlite_office.sign_in(XU_HUI)
    wrongs: list[tuple[dict[str, Any], int, str]] = [
        ({"customer_id": str(uuid4())}, 422, "customer_id"),
        ({"site_ids": [str(sqlite_office.house.north_site)]}, 422, "site_ids.0"),
        ({"ends_on": "2025-12-31"}, 422, "ends_on"),
        ({"maintenance_ends_on": "2025-12-31"}, 422, "maintenance_ends_on"),
        ({"starts_on": "someday"}, 422, "starts_on"),
        ({"clock_policy": "never"}, 409, "never"),
        ({"discount": 5}, 422, "discount"),
    ]
    for wrong, status, told in wrongs:
        answer = await sales.post("/service-contracts", a_contract(sqlite_office, **wrong))
        assert answer.status_code in {status, 400}, f"{wrong}: {answer.text}"
        assert told in answer.text, wrong
    assert (await sales.get("/service-contracts")).json()["items"] == []
    head = await sqlite_office.sign_in(CHEN_JING)
    assert (await head.post("/service-contracts", a_contract(sqlite_office))).status_code == 403


async def test_the_contract_in_force_is_the_latest_begun(office: Office) -> None:
    sales = await office.sign_in(XU_HUI)
    for number, starts, ends in (("HT-1", "2025-01-01", "2026-12-31"), ("HT-2", "2026-02-01", "2026-06-30")):
        body = a_contract(office, number=number, starts_on=starts, ends_on=ends, maintenance_ends_on=None)
        assert (await sales.post("/service-contracts", body)).status_code == 201
    async with office.database.read() as session:
        found: list[str | None] = []
        for day in (date(2024, 12, 31), date(2026, 1, 31), date(2026, 6, 30), date(2026, 7, 1), date(2027, 1, 1)):
            contract = await queries.contract_of_site(session, office.house.site, day)
            found.append(contract and contract.number)
    assert found == [None, "HT-1", "HT-2", "HT-1", None]
