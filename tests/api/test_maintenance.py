"""Periodic care over the API: raised, done with its sheet, missed, waived; by whom; and what is refused."""

from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import func, select

from backend.contracts.models import ClockPolicy, ContractSite, ServiceContract
from backend.core.audit import AuditEntry
from backend.core.clock import clock_of, parse_instant
from backend.core.tasks import Task
from backend.forms.models import CompletionForm
from backend.jobs.models import WorkOrder
from backend.maintenance.actions import mark_missed, raise_due
from backend.maintenance.models import MaintenanceDue, MaintenancePlan
from backend.maintenance.rules import BadRecurrence
from backend.maintenance.timer import MAINTENANCE_ROUND, next_round_at, round_task, start_rounds
from backend.sites.models import Site
from tests.make import START, Desk, Office, add_asset
from tests.personas import (
    CHEN_JING,
    EVERYBODY,
    GAO_JIE,
    HE_LI,
    LI_WEI,
    LIN_LI,
    MA_CHAO,
    TANG_MIN,
    WANG_FANG,
    WU_GANG,
    XU_HUI,
)
from tests.work import NOBODY, filed, give, ok, refused, report, walk

MARCH: Final = {"period_from_on": "2026-03-01", "period_until_on": "2026-03-31"}


async def planned(desk: Desk, office: Office, **values: object) -> dict[str, Any]:
    """A monthly inspection of 云桥大厦 since January, as answered."""
    body = {"site_id": str(office.house.site), "kind": "inspect_m", "starts_on": "2026-01-01", **values}
    return ok(await desk.post("/maintenance/plans", body), 201)


async def ledger(desk: Desk, wanted: str = "") -> list[dict[str, Any]]:
    """The ledger's first page."""
    return ok(await desk.get(f"/maintenance/ledger{wanted}"))["items"]


async def raise_more(office: Office, until: date) -> int:
    """Raise what begins by a day."""
    async with office.database.write() as session:
        return await raise_due(session, now=office.now, until=until)


async def visit_of(desk: Desk, office: Office, item: dict[str, Any]) -> str:
    """The visit that an item of the ledger is done on, given to 李伟."""
    detail = ok(await desk.get(f"/work-orders/{item['work_order_id']}"))
    visit_id: str = detail["visits"][0]["id"]
    await give(desk, office, visit_id, LI_WEI)
    return visit_id


# --- raising ----------------------------------------------------------------------------------------------------------


@pytest.mark.rule("A130", "A137", "A146")
async def test_a_plan_raises_its_period_as_an_order_due_when_the_month_ends_at_the_site(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    plan = await planned(wang_fang, office)
    assert (plan["recurrence"], plan["duration_minutes"], plan["active"]) == ("FREQ=MONTHLY", 60, True)
    (item,) = await ledger(wang_fang)
    assert {"state": "due", "site_name": "云桥大厦", "asset_id": None, **MARCH}.items() <= item.items()
    order = ok(await wang_fang.get(f"/work-orders/{item['work_order_id']}"))["order"]
    assert (order["kind"], order["origin"], order["queue"], order["priority"]) == ("inspect_m", "active", "crew", "P4")
    assert order["form_template_version_id"] == plan["template_version_id"]
    assert parse_instant(order["earliest_at"]) == parse_instant("2026-03-01T00:00:00+08:00")
    assert parse_instant(order["due_at"]) == parse_instant("2026-04-01T00:00:00+08:00")


@pytest.mark.rule("A138")
async def test_raising_again_adds_nothing_and_what_nobody_raised_is_caught_up(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    plan = await planned(wang_fang, office)
    assert await raise_more(office, date(2026, 3, 31)) == 0
    assert ok(await wang_fang.post(f"/maintenance/plans/{plan['id']}/raise", {"until": "2026-04-01"}))["raised"] == 1
    office.move_clock(days=92)
    assert await raise_more(office, date(2026, 6, 2)) == 2
    months = [item["period_from_on"] for item in await ledger(wang_fang)]
    assert sorted(months) == ["2026-03-01", "2026-04-01", "2026-05-01", "2026-06-01"]
    async with office.database.read() as session:
        assert (await session.execute(select(func.count()).select_from(WorkOrder))).scalar_one() == 4


@pytest.mark.rule("A133", "A135", "A138")
async def test_monthly_quarterly_and_half_yearly_care_count_separately(office: Office) -> None:
    chen_jing = await office.sign_in_for_long(CHEN_JING)
    for kind in ("inspect_m", "inspect_q", "maintain_h"):
        await planned(chen_jing, office, kind=kind)
    counts = ok(await chen_jing.get("/maintenance/ledger/counts?from=2026-03-01&to=2026-03-31"))
    assert counts == [{"kind": kind, "state": "due", "count": 1} for kind in ("inspect_m", "inspect_q", "maintain_h")]
    ends = {item["kind"]: item["period_until_on"] for item in await ledger(chen_jing)}
    assert ends == {"inspect_m": "2026-03-31", "inspect_q": "2026-03-31", "maintain_h": "2026-06-30"}


async def test_each_asset_of_the_plans_types_has_an_item_and_they_share_one_order(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    async with office.database.write() as session:
        await add_asset(session, office.house.site, "车库摄像机", "camera")
        await add_asset(session, office.house.site, "旧摄像机", "camera", retired_at=START)
    await planned(wang_fang, office, asset_types=["camera"])
    items = await ledger(wang_fang)
    assert sorted(item["asset_name"] for item in items) == ["大厅摄像机", "车库摄像机"]
    assert len({item["work_order_id"] for item in items}) == 1
    await planned(wang_fang, office, asset_types=["boiler"])
    assert len(await ledger(wang_fang)) == 2


@pytest.mark.rule("A137")
async def test_nothing_is_due_before_go_live_after_care_just_done_or_after_the_contracts_maintenance(
    office: Office,
) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    await planned(wang_fang, office, go_live_on="2026-04-01")
    await planned(wang_fang, office, last_done_on="2026-03-01")
    assert await ledger(wang_fang) == []
    async with office.database.write() as session:
        policy = (await session.execute(select(ClockPolicy.id).where(ClockPolicy.key == "std"))).scalar_one()
        contract = ServiceContract(
            customer_id=office.house.customer, number="HT-1", clock_policy_id=policy, starts_on=date(2025, 1, 1),
            maintenance_ends_on=date(2026, 2, 28), coverage={},
        )  # fmt: skip
        session.add(contract)
        await session.flush()
        session.add(ContractSite(contract_id=contract.id, site_id=office.house.site, valid_from_on=date(2025, 1, 1)))
    await planned(wang_fang, office)
    assert await ledger(wang_fang) == []


async def test_a_plan_made_active_again_owes_nothing_for_the_time_between(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    path = f"/maintenance/plans/{(await planned(wang_fang, office))['id']}"
    ok(await wang_fang.edit(path, {"active": False}))
    office.move_clock(days=100)
    assert await raise_more(office, date(2026, 6, 10)) == 0
    assert ok(await wang_fang.edit(path, {"active": True}))["go_live_on"] == "2026-06-10"
    assert await raise_more(office, date(2026, 6, 10)) == 1
    assert [item["period_from_on"] for item in await ledger(wang_fang)] == ["2026-06-01", "2026-03-01"]


# --- done, missed, waived ---------------------------------------------------------------------------------------------


@pytest.mark.rule("A131", "A138")
@pytest.mark.parametrize("sheet_first", [True, False])
async def test_an_item_is_done_by_the_finished_visit_and_its_signed_sheet_in_any_order(
    office: Office, *, sheet_first: bool
) -> None:
    wang_fang, li_wei = await office.sign_in_for_long(WANG_FANG), await office.sign_in_for_long(LI_WEI)
    await planned(wang_fang, office)
    (item,) = await ledger(wang_fang)
    visit_id = await visit_of(wang_fang, office, item)
    await walk(office, li_wei, visit_id, "arrive", "start")
    if sheet_first:
        await filed(office, visit_id)
    finish = (await walk(office, li_wei, visit_id, "finish"))["event"]
    await office.work()
    assert (await ledger(wang_fang))[0]["state"] == ("done" if sheet_first else "due")
    if not sheet_first:
        await filed(office, visit_id)
        await office.work()
    (done,) = await ledger(wang_fang, "?state=done")
    assert parse_instant(done["settled_at"]) == START + timedelta(minutes=30)
    refused(await wang_fang.post(f"/maintenance/ledger/{done['id']}/waive", {"reason": "x"}), "forbidden")
    chen_jing = await office.sign_in_for_long(CHEN_JING)
    refused(await chen_jing.post(f"/maintenance/ledger/{done['id']}/waive", {"reason": "x"}), "already_done")

    await report(li_wei, visit_id, "revert", amends_id=finish["id"], reason="not_yet")
    await office.work()
    (due,) = await ledger(wang_fang)
    assert (due["state"], due["settled_at"]) == ("due", None)


@pytest.mark.rule("A131", "A142")
async def test_another_sheet_or_a_voided_one_does_not_count(office: Office) -> None:
    wang_fang, li_wei = await office.sign_in_for_long(WANG_FANG), await office.sign_in_for_long(LI_WEI)
    await planned(wang_fang, office)
    visit_id = await visit_of(wang_fang, office, (await ledger(wang_fang))[0])
    await filed(office, visit_id, key="departure_kit")
    voided = await filed(office, visit_id)
    async with office.database.write() as session:
        (await session.get_one(CompletionForm, voided)).voided_at = office.now
    await walk(office, li_wei, visit_id, "arrive", "finish")
    await office.work()
    assert (await ledger(wang_fang))[0]["state"] == "due"


@pytest.mark.rule("A137", "A142")
async def test_only_the_assets_named_on_the_sheet_were_inspected(office: Office) -> None:
    wang_fang, li_wei = await office.sign_in_for_long(WANG_FANG), await office.sign_in_for_long(LI_WEI)
    async with office.database.write() as session:
        other = await add_asset(session, office.house.site, "车库摄像机", "camera")
    await planned(wang_fang, office, asset_types=["camera"])
    visit_id = await visit_of(wang_fang, office, (await ledger(wang_fang))[0])
    await filed(office, visit_id, assets=[str(office.house.camera)])
    await walk(office, li_wei, visit_id, "arrive", "finish")
    await office.work()
    states = {item["asset_name"]: item["state"] for item in await ledger(wang_fang)}
    assert states == {"大厅摄像机": "done", "车库摄像机": "due"}
    await filed(office, visit_id, assets=[str(office.house.camera), str(other.id)])
    await office.work()
    assert {item["state"] for item in await ledger(wang_fang)} == {"done"}


@pytest.mark.rule("A138", "A232")
async def test_what_was_not_done_in_its_month_is_missed_and_stays_so_when_done_later(office: Office) -> None:
    wang_fang, li_wei = await office.sign_in_for_long(WANG_FANG), await office.sign_in_for_long(LI_WEI)
    await planned(wang_fang, office)
    (item,) = await ledger(wang_fang)
    visit_id = await visit_of(wang_fang, office, item)
    office.move_clock(days=29, hours=14.9)  # 31 March, 23:54 at the site
    async with office.database.write() as session:
        assert await mark_missed(session, now=office.now) == 0
    office.move_clock(minutes=10)
    for count in (1, 0):
        async with office.database.write() as session:
            assert await mark_missed(session, now=office.now) == count
    await filed(office, visit_id)
    await walk(office, li_wei, visit_id, "arrive", "finish")
    await office.work()
    (missed,) = await ledger(wang_fang, "?state=missed&from=2026-03-31&to=2026-03-31")
    assert parse_instant(missed["settled_at"]) == office.now
    chen_jing = await office.sign_in_for_long(CHEN_JING)
    waived = ok(await chen_jing.post(f"/maintenance/ledger/{missed['id']}/waive", {"reason": "客户停业"}))
    assert (waived["state"], waived["waived_reason"]) == ("waived", "客户停业")


async def test_an_inspection_done_in_time_counts_though_its_phone_spoke_after_the_month(office: Office) -> None:
    """Missed by the calendar, then restated: 李伟 was there on the 2nd, his phone had no signal for weeks."""
    wang_fang, li_wei = await office.sign_in_for_long(WANG_FANG), await office.sign_in_for_long(LI_WEI)
    await planned(wang_fang, office)
    visit_id = await visit_of(wang_fang, office, (await ledger(wang_fang))[0])
    await filed(office, visit_id)
    await walk(office, li_wei, visit_id, "arrive", "finish")
    office.move_clock(days=31)
    async with office.database.write() as session:
        assert await mark_missed(session, now=office.now) == 1
    await office.work()
    assert [item["period_from_on"] for item in await ledger(wang_fang, "?state=done")] == ["2026-03-01"]


# --- the daily round --------------------------------------------------------------------------------------------------


async def test_the_round_runs_after_every_midnight_of_the_sites_and_adds_its_next_one(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    await planned(wang_fang, office)
    await office.work()
    office.move_clock(days=23)  # 25 March
    await office.work()
    assert [item["period_from_on"] for item in await ledger(wang_fang)] == ["2026-04-01", "2026-03-01"]
    office.move_clock(days=7)  # 1 April, 09:00: past the midnight the round waits for
    await office.work()
    assert [item["state"] for item in await ledger(wang_fang)] == ["due", "missed"]
    async with office.database.read() as session:
        waiting = select(Task.run_at).where(Task.kind == MAINTENANCE_ROUND, Task.state == "waiting")
        assert (await session.execute(waiting)).scalars().all() == [parse_instant("2026-04-02T00:30:00+08:00")]


async def test_servers_started_together_share_one_round(office: Office) -> None:
    async with office.database.write() as session:
        for _ in range(3):
            await start_rounds(session, now=office.now)
    async with office.database.read() as session:
        rounds = select(func.count()).select_from(Task).where(Task.kind == MAINTENANCE_ROUND, Task.run_at <= office.now)
        assert (await session.execute(rounds)).scalar_one() == 1


async def test_the_next_round_follows_the_first_midnight_of_any_site(sqlite_office: Office) -> None:
    """云桥大厦 is in Shanghai; the northern school, for this test, in Honolulu, 18 hours behind."""
    office = sqlite_office
    chen_jing = await office.sign_in_for_long(CHEN_JING)
    async with office.database.write() as session:
        (await session.get_one(Site, office.house.north_site)).time_zone = "Pacific/Honolulu"
    morning = parse_instant("2026-03-02T09:00:00+08:00")
    shanghai, honolulu = parse_instant("2026-03-03T00:30:00+08:00"), parse_instant("2026-03-02T00:30:00-10:00")
    for site, expected in (
        (None, morning + timedelta(days=1)),
        (office.house.site, shanghai),
        (office.house.north_site, honolulu),
    ):
        if site:
            await planned(chen_jing, office, site_id=str(site))
        async with office.database.read() as session:
            assert await next_round_at(session, morning) == expected
    just_after_midnight = parse_instant("2026-03-03T00:10:00+08:00")
    async with office.database.read() as session:
        assert await next_round_at(session, just_after_midnight) == shanghai


# --- who may what, and bad input --------------------------------------------------------------------------------------


@pytest.mark.rule("A140", "A270")
async def test_everybody_sees_the_care_of_their_own_sites_and_dispatchers_plan_it(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    plan = await planned(wang_fang, office)
    (item,) = await ledger(wang_fang)
    sees = {WANG_FANG, HE_LI, CHEN_JING, TANG_MIN, GAO_JIE, WU_GANG, LI_WEI}
    for persona in EVERYBODY:
        desk = await office.sign_in_for_long(persona)
        listed = await desk.get("/maintenance/ledger")
        if persona in {LIN_LI, XU_HUI}:
            refused(listed, "forbidden")
            continue
        assert [one["id"] for one in ok(listed)["items"]] == ([item["id"]] if persona in sees else []), persona.name
        shown = await desk.get(f"/maintenance/plans/{plan['id']}")
        assert shown.status_code == (200 if persona in sees else 404), persona.name
        assert len(ok(await desk.get("/maintenance/plans"))["items"]) == (persona in sees)
    ma_chao, li_wei = await office.sign_in_for_long(MA_CHAO), await office.sign_in_for_long(LI_WEI)
    body = {"site_id": str(office.house.site), "kind": "inspect_m", "starts_on": "2026-01-01"}
    refused(await ma_chao.post("/maintenance/plans", body), "not_found")
    refused(await li_wei.post("/maintenance/plans", body), "forbidden")
    refused(await ma_chao.edit(f"/maintenance/plans/{plan['id']}", {"active": False}), "not_found")
    refused(await ma_chao.post(f"/maintenance/plans/{plan['id']}/raise", {"until": "2026-04-01"}), "not_found")


BAD_PLANS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"kind": "picnic"}, "kind"),
    ({"kind": "repair"}, "recurrence"),
    ({"recurrence": "every month"}, "recurrence"),
    ({"recurrence": "FREQ=MONTHLY;COUNT=2"}, "recurrence"),
    ({"recurrence": "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"}, "recurrence"),
    ({"recurrence": "x" * 201}, "recurrence"),
    ({"starts_on": "1426-01-01"}, "starts_on"),
    ({"starts_on": "2026-02-30"}, "starts_on"),
    ({"ends_on": "2025-12-31"}, "ends_on"),
    ({"template_version_id": NOBODY}, "template_version_id"),
    ({"required_skills": ["flying"]}, "required_skills"),
    ({"duration_minutes": -5}, "duration_minutes"),
    ({"colour": "red"}, "colour"),
]


async def test_a_bad_plan_is_refused_by_field_and_leaves_nothing(sqlite_office: Office) -> None:
    wang_fang = await sqlite_office.sign_in_for_long(WANG_FANG)
    good = {"site_id": str(sqlite_office.house.site), "kind": "inspect_m", "starts_on": "2026-01-01"}
    for change, field in BAD_PLANS:
        problem = refused(await wang_fang.post("/maintenance/plans", good | change), "invalid")
        (finding,) = problem["findings"]
        assert field in finding["field"] or field in finding["en"], change
    refused(await wang_fang.post("/maintenance/plans", good | {"site_id": NOBODY}), "not_found")
    async with sqlite_office.database.read() as session:
        for table in (MaintenancePlan, MaintenanceDue, WorkOrder, AuditEntry):
            assert (await session.execute(select(func.count()).select_from(table))).scalar_one() == 0, table


async def test_a_plan_is_edited_under_its_etag_and_bad_questions_are_refused(sqlite_office: Office) -> None:
    wang_fang = await sqlite_office.sign_in_for_long(WANG_FANG)
    path = f"/maintenance/plans/{(await planned(wang_fang, sqlite_office))['id']}"
    changed = ok(await wang_fang.edit(path, {"duration_minutes": 90, "ends_on": "2026-12-31"}))
    assert (changed["duration_minutes"], changed["ends_on"]) == (90, "2026-12-31")
    refused(await wang_fang.ask("PATCH", path, json={"active": False}), "if_match_missing")
    for change in ({"recurrence": "nonsense"}, {"template_version_id": NOBODY}, {"ends_on": "2020-01-01"}):
        refused(await wang_fang.edit(path, change), "invalid")
    refused(await wang_fang.post(f"{path}/raise", {"until": "9999-12-31"}), "invalid")
    for wanted in ("state=perhaps", "from=soon", "to=2026-02-30", "site_id=here"):
        refused(await wang_fang.get(f"/maintenance/ledger?{wanted}"), "invalid")
    chen_jing = await sqlite_office.sign_in_for_long(CHEN_JING)
    refused(await chen_jing.post(f"/maintenance/ledger/{NOBODY}/waive", {"reason": "x"}), "not_found")
    (item,) = await ledger(wang_fang, f"?site_id={sqlite_office.house.site}&kind=inspect_m")
    refused(await chen_jing.post(f"/maintenance/ledger/{item['id']}/waive", {"reason": ""}), "invalid")


async def test_a_round_commits_plan_by_plan(sqlite_office: Office) -> None:
    """What stops one plan leaves the work of the plans before it standing."""
    office = sqlite_office
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    first, second = await planned(wang_fang, office), await planned(wang_fang, office, kind="maintain_h")
    office.move_clock(days=40)
    async with office.database.write() as session:
        broken = await session.get_one(MaintenancePlan, UUID(second["id"]))
        broken.recurrence = "nonsense"
    before = len(await ledger(wang_fang))
    with pytest.raises(BadRecurrence):
        await round_task(office.database, clock_of(office.settings))({"key": "x"})
    assert len(await ledger(wang_fang)) == before + 1
    assert first["id"] < second["id"]
