"""Two records of one site, or of one customer, become one: everything that hangs on them follows, on every database."""

from typing import Any
from uuid import UUID

from sqlalchemy import select

from backend.contracts.models import ContractSite, ServiceContract
from backend.core.changes import change
from backend.core.events import REACTIONS, Event
from backend.followup.models import FollowUp
from backend.jobs.models import WorkOrder
from backend.maintenance.models import MaintenancePlan
from backend.requests.models import ServiceRequest
from tests.cases import move, report
from tests.make import Office
from tests.personas import CHEN_JING, XU_HUI
from tests.work import ok, opened

PLAN = {"kind": "inspect_m", "starts_on": "2026-03-01"}


async def furnished(office: Office) -> tuple[dict[str, Any], dict[str, Any]]:
    """A contract, an open and a closed Case, an order and a plan at the house's site: the two Cases."""
    house, chen_jing, xu_hui = office.house, await office.sign_in(CHEN_JING), await office.sign_in(XU_HUI)
    contract = {
        "customer_id": str(house.customer), "number": "HT-1", "starts_on": "2026-01-01", "site_ids": [str(house.site)],
    }  # fmt: skip
    ok(await xu_hui.post("/service-contracts", contract), 201)
    ended, standing = await report(chen_jing, office), await report(chen_jing, office)
    await move(chen_jing, ended, "close", {"resolution": "outside_contract", "note": "转工程部"})
    await opened(chen_jing, office, request_id=standing["id"])
    ok(await chen_jing.post("/maintenance/plans", {"site_id": str(house.site), **PLAN}), 201)
    await office.work()
    return ended, standing


async def homes(office: Office, model: Any, column: Any) -> set[UUID]:
    """Where all rows of a table are."""
    async with office.database.read() as session:
        return set((await session.execute(select(column).select_from(model))).scalars())


async def react_again(office: Office, name: str) -> None:
    """Hand the event to every handler once more, as after a crash."""
    async with office.database.write() as session:
        happened = (await session.execute(select(Event).where(Event.name == name))).scalar_one()
        for handler in REACTIONS.names(name):
            await REACTIONS.handler(name, handler)(session, happened, office.now)


async def test_everything_at_a_merged_site_follows_to_the_one_that_stands(office: Office) -> None:
    house = office.house
    ended, standing = await furnished(office)
    chen_jing = await office.sign_in(CHEN_JING)
    into, unit = str(house.north_site), house.north
    ok(await chen_jing.post(f"/sites/{house.site}/merge", {"into_id": into}))
    late = ok(
        await chen_jing.post("/work-orders", {"site_id": str(house.site), "kind": "repair", "title": "旧码"}), 201
    )
    assert late["order"]["site_id"] == into
    plan = ok(await chen_jing.post("/maintenance/plans", {"site_id": str(house.site), **PLAN}), 201)
    assert plan["site_id"] == into
    await office.work()
    for _ in range(2):
        for model in (ContractSite, ServiceRequest, WorkOrder, MaintenancePlan):
            assert await homes(office, model, model.site_id) == {house.north_site}, model
        assert await homes(office, ServiceRequest, ServiceRequest.customer_id) == {house.north_customer}
        await react_again(office, "site.merged")
    async with office.database.read() as session:
        units = select(ServiceRequest.id, ServiceRequest.unit_id)
        assert {str(row.id): row.unit_id for row in (await session.execute(units)).all()} == {
            ended["id"]: house.service, standing["id"]: unit,
        }  # fmt: skip
        told = select(change.c.body).where(change.c.row_id == UUID(standing["id"]), change.c.deleted.is_(False))
        (body,) = (await session.execute(told)).scalars().all()
    assert into in body, "phones that hold the Case hear where it is"
    detail = ok(await chen_jing.get(f"/requests/{standing['id']}"))
    assert detail["contract"]["number"] == "HT-1"


async def test_everything_of_a_merged_customer_follows_to_the_one_that_stands(office: Office) -> None:
    house = office.house
    await furnished(office)
    chen_jing = await office.sign_in(CHEN_JING)
    ok(await chen_jing.post(f"/customers/{house.customer}/merge", {"into_id": str(house.north_customer)}))
    await office.work()
    for _ in range(2):
        for model in (ServiceContract, ServiceRequest, FollowUp):
            assert await homes(office, model, model.customer_id) == {house.north_customer}, model
        await react_again(office, "customer.merged")
