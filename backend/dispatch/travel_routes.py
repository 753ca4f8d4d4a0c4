"""The route of travel times."""

from litestar import Router, get
from litestar.di import NamedDependency
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import requires
from backend.dispatch import travel_queries
from backend.dispatch.travel import provider_of
from backend.dispatch.travel_schemas import TravelModelView
from backend.settings import Settings


@get("/travel-model", guards=[requires("dispatch", "read")])
async def get_travel_model(read: NamedDependency[AsyncSession], settings: NamedDependency[Settings]) -> TravelModelView:
    """Show what finished trips have taught about travel times: from how many, and the error before and after."""
    return await travel_queries.travel_model(read, provider_of(settings.travel))


router = Router("/", route_handlers=[get_travel_model], tags=["dispatch"])
