"""A dispatcher's day in tests: visits on a published plan, and what the board offers."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.make import LAT, LON, START, Desk, Office, add_site
from tests.personas import LI_WEI, Persona
from tests.planning import done, published, shift_of
from tests.work import give, ok, opened


async def visit_at(
    desk: Desk, office: Office, name: str, *, lat: float = LAT, lon: float = LON, **values: object
) -> str:
    """A repair at a new site of that name; return the visit."""
    async with office.database.write() as session:
        site = await add_site(session, office.house.service, office.house.customer, name, lat=lat, lon=lon)
    order = await opened(desk, office, site_id=str(site.id), **values)
    return str(order["visits"][0]["id"])


async def published_day(desk: Desk, office: Office, persona: Persona = LI_WEI, *names: str) -> tuple[UUID, list[str]]:
    """A shift with a visit of an hour at each named site, planned and published."""
    shift = await shift_of(office, persona)
    visits = [await visit_at(desk, office, name, lat=LAT + 0.01 * n) for n, name in enumerate(names)]
    await published(desk, await done(desk, office, seconds=0.2))
    return shift, visits


async def day_of(desk: Desk, office: Office, persona: Persona = LI_WEI, *names: str) -> tuple[UUID, list[str]]:
    """A shift with a visit of an hour at each named site, given by hand for 11:00, 12:30, 14:00 and so on."""
    shift = await shift_of(office, persona)
    visits = [await visit_at(desk, office, name, duration_minutes=60) for name in names]
    for number, visit in enumerate(visits):
        await give_at(desk, office, visit, persona, shift, hours=2 + 1.5 * number)
    return shift, visits


async def give_at(desk: Desk, office: Office, visit: str, persona: Persona, shift: UUID, *, hours: float) -> None:
    """Give a visit of an hour to somebody so many hours after the morning of the test."""
    times = {"departs_at": hours - 0.25, "arrives_at": hours, "ends_at": hours + 1}
    said = {name: after(hours=at).isoformat() for name, at in times.items()}
    await give(desk, office, visit, persona, shift_id=str(shift), **said)


async def offers(desk: Desk, visit_id: str, **query: object) -> dict[str, Any]:
    return ok(await desk.get(f"/visits/{visit_id}/proposals", params=query))


async def tried(desk: Desk, visit_id: str, **placement: object) -> dict[str, Any]:
    body = {name: str(value) if isinstance(value, UUID) else value for name, value in placement.items()}
    return ok(await desk.post(f"/visits/{visit_id}/what-if", body))


def accepted(seen: dict[str, Any], offer: dict[str, Any]) -> dict[str, Any]:
    """What accepts a proposal as it was shown."""
    return {
        "base": seen["base"], "shift_id": offer["shift_id"], "starts_at": offer["starts_at"],
        **({"after_visit_id": offer["after_visit_id"]} if offer["after_visit_id"] else first_of(offer)),
    }  # fmt: skip


def first_of(offer: dict[str, Any]) -> dict[str, Any]:
    return {"before_visit_id": offer["moved"][0]["visit_id"]} if offer["moved"] else {}


async def days(desk: Desk, office: Office, **query: object) -> dict[str, Any]:
    return ok(await desk.get("/live/days", params={"unit_id": str(office.house.service), **query}))


def after(**by: float) -> datetime:
    return START + timedelta(**by)
