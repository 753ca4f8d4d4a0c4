"""Routes of price lists and service contracts. The clocks of a Case are shown at the Case (requests/routes.py)."""

from datetime import date, datetime
from uuid import UUID

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts import actions, queries
from backend.contracts.schemas import NewServiceContract, PriceListView, ServiceContractView
from backend.core.auth import Principal, requires, requires_any
from backend.core.once import Once
from backend.core.paging import Page, PageRequest
from backend.customers.models import Customer
from backend.people.queries import no_such

SEES_PRICES = requires_any(("quote", "price_list"), ("quote", "read"), ("quote", "write"), ("quote", "approve"))
"""Technicians carry the charges to the customer (A153); whoever quotes sees them too."""


@get("/price-lists", guards=[SEES_PRICES])
async def get_price_lists(
    read: NamedDependency[AsyncSession], principal: NamedDependency[Principal], now: NamedDependency[datetime],
    on: FromQuery[date | None] = None,
) -> list[PriceListView]:  # fmt: skip
    """Show the price lists valid on a day, by default today."""
    return await queries.price_lists(read, on or await queries.today_of(read, principal.person_id, now))


@get("/price-lists/{price_list_id:uuid}", guards=[SEES_PRICES])
async def get_price_list(price_list_id: FromPath[UUID], read: NamedDependency[AsyncSession]) -> PriceListView:
    """Show one version of a price list, also an old one a quote was made with."""
    return await queries.price_list(read, price_list_id)


@get("/service-contracts", guards=[requires("quote", "read")])
async def get_contracts(
    read: NamedDependency[AsyncSession], principal: NamedDependency[Principal], page: NamedDependency[PageRequest],
    customer_id: FromQuery[UUID | None] = None, site_id: FromQuery[UUID | None] = None,
) -> Page[ServiceContractView]:  # fmt: skip
    """List contracts, newest first, of one customer or for one site."""
    return await queries.contract_page(read, principal, page, customer_id=customer_id, site_id=site_id)


@get("/service-contracts/{contract_id:uuid}", guards=[requires("quote", "read")])
async def get_contract(
    contract_id: FromPath[UUID], read: NamedDependency[AsyncSession], principal: NamedDependency[Principal]
) -> ServiceContractView:
    """Show a contract with its sites."""
    return await queries.contract(read, principal, contract_id)


@post("/service-contracts", guards=[requires("quote", "write")], status_code=201)
async def post_contract(
    *, data: JSONBody[NewServiceContract], write: NamedDependency[AsyncSession], principal: NamedDependency[Principal],
    once: NamedDependency[Once], now: NamedDependency[datetime],
) -> Response[ServiceContractView]:  # fmt: skip
    """Make a contract with a customer of a unit the person quotes for."""
    customer = await write.get(Customer, data.customer_id)
    if customer is None or customer.unit_id not in principal.units("quote", "write"):
        raise no_such("customer_id")

    async def produce() -> ServiceContractView:
        made = await actions.make_contract(write, now=now, actor=principal.actor, new=data)
        return await queries.contract_view(write, made)

    return await once.create(write, now, produce)


router = Router(
    "/", route_handlers=[get_price_lists, get_price_list, get_contracts, get_contract, post_contract],
    tags=["contracts"],
)  # fmt: skip
