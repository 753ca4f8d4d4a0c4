"""What the office does, and what time does."""

from datetime import timedelta
from typing import Any

from bench.sim.company import Company


async def change_site(company: Company, site: int, name: str, value: Any) -> None:
    """Edit a site at the desk."""
    row = company.sites[site]
    await company.world.change("site", row, **{name: value})
    company.books.values[row][name] = value


async def change_asset(company: Company, place: int, note: str) -> None:
    """Edit an asset at the desk."""
    if row := await _standing(company, place):
        await company.world.change("asset", row, note=note)


async def move_asset(company: Company, place: int, site: int) -> None:
    """Take an asset to another site."""
    if row := await _standing(company, place):
        await company.world.change("asset", row, site_id=company.sites[site])


async def delete_asset(company: Company, place: int) -> None:
    """Delete an asset."""
    if row := await _standing(company, place):
        await company.world.delete("asset", row)


async def add_asset(company: Company, site: int, size: int) -> None:
    """Add an asset with a note of this length."""
    company.assets.append(await company.world.asset(company.sites[site], note="长" * size))


async def assign(company: Company, job: int, phone: int, days: int) -> None:
    """Give a job to the person of a phone, for a day to come."""
    person, starts_at = company.phones[phone].handset.person, company.now + timedelta(days=days)
    company.assignments.append(await company.world.assign(person, company.jobs[job], starts_at=starts_at))


async def assign_crew(company: Company, job: int, days: int) -> None:
    """Give a job to the crew."""
    starts_at = company.now + timedelta(days=days)
    company.assignments.append(await company.world.assign_crew(company.jobs[job], starts_at=starts_at))


async def withdraw(company: Company, place: int) -> None:
    """Take a job away again."""
    await company.world.withdraw(company.assignments[place % len(company.assignments)])


async def join(company: Company, phone: int, days: int, stays: int | None) -> None:
    """Put the person of a phone into the crew, from a day on and for some days."""
    at = company.now + timedelta(days=days)
    until = None if stays is None else at + timedelta(days=stays)
    company.members.append(await company.world.join(company.phones[phone].handset.person, at=at, until=until))


async def leave(company: Company, place: int, days: int) -> None:
    """Let somebody's time in the crew end."""
    at = company.now + timedelta(days=days)
    await company.world.leave(company.members[place % len(company.members)], at=at)


async def wait(company: Company, hours: int) -> None:
    """Let time pass: work comes into scope and leaves it though nobody writes."""
    company.now += timedelta(hours=hours)


async def _standing(company: Company, place: int) -> str | None:
    row = company.assets[place % len(company.assets)]
    return row if await company.world.fields("asset", row) is not None else None
