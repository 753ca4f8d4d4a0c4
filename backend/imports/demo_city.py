"""The generated city of `make demo`: invented people, sites, assets and open requests, drawn from presets/demo.toml.

One seed draws the same city; days are counted from the day of the first start.
"""

import asyncio
import math
import tomllib
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.models import CalendarDay, WorkingCalendar
from backend.contracts.models import ClockPolicy, ContractSite, PriceList, ServiceContract
from backend.core.auth import hash_password
from backend.core.db import Row
from backend.core.numbers import next_number
from backend.core.sessions import Database
from backend.customers.models import Contact, ContactPoint, Customer
from backend.imports.demo_state import City
from backend.imports.demo_work import open_demo_work
from backend.parts.models import Part, StockLocation, StockMovement
from backend.people.models import (
    Absence,
    Crew,
    CrewMember,
    Person,
    PersonSkill,
    Role,
    RoleGrant,
    Shift,
    Skill,
    Unit,
    Vehicle,
)
from backend.sites.models import Asset, AssetModel, AssetPlacement, Position, Site, SiteContact, SiteOwner

SOURCE: Final = Path(__file__).resolve().parents[1] / "presets" / "demo.toml"
DEMO_PASSWORD: Final = "paigong-demo"  # noqa: S105 - known to everybody; the demo listens on the loopback only
METRES_A_DEGREE: Final = 111_320
SHIFT_STARTS: Final = time(8, 30)
SHIFT_ENDS: Final = time(18, 0)
LUNCH: Final = (time(12, 0), time(13, 30), 45)
"""Lunch of 45 minutes begins between 12:00 and 12:45."""
OVERTIME_MINUTES: Final = 60
YEARS_IN_SERVICE: Final = 8
WARRANTY_DAYS: Final = 2 * 365
PARTS_IN_A_VAN: Final = 3


@dataclass(frozen=True)
class DemoLogin:
    """One login the demo prints."""

    employee_number: str
    name: str
    role_zh: str
    role_en: str


def demo_logins() -> list[DemoLogin]:
    """Return the logins worth trying first: a technician, the dispatcher, the manager, the administrator."""
    wanted = {"li_wei": ("技术员", "technician"), "wang_fang": ("调度", "dispatcher"), "chen_jing": ("部长", "manager"),
              "xu_wen": ("管理员", "administrator")}  # fmt: skip
    people = {person["key"]: person for person in _read_source()["person"]}
    return [
        DemoLogin(people[key]["employee_number"], f"{people[key]['zh']} {people[key]['en']}", role_zh, role_en)
        for key, (role_zh, role_en) in wanted.items()
    ]


async def build_demo_city(database: Database, *, now: datetime) -> bool:
    """Generate the city if there are no people yet, else go on with its roster; return whether it was generated."""
    async with database.write() as session:
        if (await session.execute(select(func.count()).select_from(Person))).scalar_one():
            await _prolong_roster(session, now)
            return False
    source = _read_source()
    password_hash = await asyncio.to_thread(hash_password, DEMO_PASSWORD)
    city = City(source, Random(source["city"]["seed"]), now, ZoneInfo(source["city"]["time_zone"]))  # noqa: S311 - a drawing, not a secret
    async with database.write() as session:
        await _found_organisation(session, city, password_hash)
        await _settle_customers(session, city)
        await _equip_sites(session, city)
        await _stock_vans(session, city)
        await open_demo_work(session, city)
    return True


def _read_source() -> dict[str, Any]:
    return tomllib.loads(SOURCE.read_text("utf-8"))


async def _keep(session: AsyncSession, *rows: Row) -> None:
    """Write rows before others refer to them."""
    session.add_all(rows)
    await session.flush()


async def _found_organisation(session: AsyncSession, city: City, password_hash: str) -> None:
    calendar = (await session.execute(select(WorkingCalendar).order_by(WorkingCalendar.key))).scalars().first()
    for entry in city.source["unit"]:
        parent = city.units.get(entry.get("parent", ""))
        city.units[entry["key"]] = Unit(
            parent_id=parent and parent.id, kind=entry["kind"], name_zh=entry["zh"], name_en=entry["en"],
            calendar_id=calendar and calendar.id, time_zone=city.zone.key,
        )  # fmt: skip
        await _keep(session, city.units[entry["key"]])
    await _hire(session, city, password_hash)
    await _form_crews(session, city)
    await _roster(session, city)
    if calendar:
        holiday = city.source["holiday"]
        day = city.today + timedelta(days=holiday["days_from_today"])
        known = select(CalendarDay).where(CalendarDay.calendar_id == calendar.id, CalendarDay.day_on == day)
        if (await session.execute(known)).first() is None:
            session.add(
                CalendarDay(
                    calendar_id=calendar.id, day_on=day, working=False, name_zh=holiday["zh"], name_en=holiday["en"],
                    provisional=False,
                )
            )  # fmt: skip


async def _hire(session: AsyncSession, city: City, password_hash: str) -> None:
    roles = {role.key: role for role in (await session.execute(select(Role))).scalars()}
    skills = {skill.key: skill for skill in (await session.execute(select(Skill))).scalars()}
    since = city.now - timedelta(days=365)
    for entry in city.source["person"]:
        person = Person(
            unit_id=city.units[entry["unit"]].id, employee_number=entry["employee_number"], name=city.both(entry),
            phone=entry["phone"], email=entry["email"], password_hash=password_hash, language="zh", external=False,
            active=True, location_consent_at=since,
        )  # fmt: skip
        city.people[entry["key"]] = person
        await _keep(session, person)
        session.add_all(
            RoleGrant(person_id=person.id, role_id=roles[key].id, unit_id=person.unit_id, valid_from=since)
            for key in entry["roles"]
        )
        session.add_all(
            PersonSkill(person_id=person.id, skill_id=skills[key].id, valid_from=since) for key in entry["skills"]
        )


async def _form_crews(session: AsyncSession, city: City) -> None:
    unit = city.units["service"]
    for entry in city.source["crew"]:
        city.crews[entry["key"]] = Crew(unit_id=unit.id, name=city.both(entry), active=True)
    await _keep(session, *city.crews.values())
    leaders = {entry["leader"] for entry in city.source["crew"]}
    session.add_all(
        CrewMember(
            crew_id=city.crews[entry["crew"]].id, person_id=city.people[entry["key"]].id,
            leads=entry["key"] in leaders, valid_from=city.now - timedelta(days=365),
        )
        for entry in city.source["person"]
        if "crew" in entry
    )  # fmt: skip
    session.add_all(Vehicle(unit_id=unit.id, plate=entry["plate"], active=True) for entry in city.source["vehicle"])


async def _roster(session: AsyncSession, city: City) -> None:
    """Day shifts for everybody in a crew, and the absence of whoever is ill."""
    depots = {entry["key"]: entry for entry in city.source["crew"]}
    for entry in city.source["person"]:
        if "crew" not in entry:
            continue
        depot = depots[entry["crew"]]
        for offset in range(city.source["counts"]["shift_days"]):
            day = city.today + timedelta(days=offset)
            session.add(
                Shift(
                    person_id=city.people[entry["key"]].id, starts_at=city.at(day, SHIFT_STARTS),
                    ends_at=city.at(day, SHIFT_ENDS), start_lat=depot["depot_latitude"],
                    start_lon=depot["depot_longitude"], breaks=[_lunch(city, day)], overtime_minutes=OVERTIME_MINUTES,
                )
            )  # fmt: skip
    illness = city.source["illness"]
    day = city.today + timedelta(days=illness["days_from_today"])
    session.add(
        Absence(
            person_id=city.people[illness["person"]].id, starts_at=city.at(day, time.min),
            ends_at=city.at(day + timedelta(days=1), time.min), kind="ill", note=city.both(illness["note"]),
        )
    )  # fmt: skip


async def _prolong_roster(session: AsyncSession, now: datetime) -> None:
    """Repeat everybody's last shift up to as many days ahead as a new city has; a demo may be looked at weeks later."""
    ahead = timedelta(days=_read_source()["counts"]["shift_days"])
    shifts = (await session.execute(select(Shift).order_by(Shift.starts_at))).scalars()
    last = {shift.person_id: shift for shift in shifts}
    for shift in last.values():
        days = (now + ahead - shift.starts_at).days
        session.add_all(_repeated(shift, timedelta(days=later)) for later in range(1, days + 1))


def _repeated(shift: Shift, later: timedelta) -> Shift:
    return Shift(
        person_id=shift.person_id, starts_at=shift.starts_at + later, ends_at=shift.ends_at + later,
        start_lat=shift.start_lat, start_lon=shift.start_lon, overtime_minutes=shift.overtime_minutes,
        breaks=[_moved(pause, later) for pause in shift.breaks],
    )  # fmt: skip


def _moved(pause: dict[str, Any], later: timedelta) -> dict[str, Any]:
    moved = {name: datetime.fromisoformat(pause[name]) + later for name in ("start_at", "end_at")}
    return pause | {name: instant.isoformat() for name, instant in moved.items()}


def _lunch(city: City, day: date) -> dict[str, Any]:
    start, end, minutes = LUNCH
    return {
        "start_at": city.at(day, start).isoformat(),
        "end_at": city.at(day, end).isoformat(),
        "minutes": minutes,
    }


async def _settle_customers(session: AsyncSession, city: City) -> None:
    policies = {policy.key: policy for policy in (await session.execute(select(ClockPolicy))).scalars()}
    unit = city.units["service"]
    for number, entry in enumerate(city.source["customer"], start=1):
        customer = Customer(
            unit_id=unit.id, number=await next_number(session, "C"), name=city.both(entry), kind=entry["kind"],
            language="zh", external_id=f"demo:{entry['key']}",
        )  # fmt: skip
        city.customers[entry["key"]] = customer
        await _keep(session, customer)
        contract = ServiceContract(
            customer_id=customer.id, number=f"SC-{number}", clock_policy_id=policies[entry["clock_policy"]].id,
            starts_on=city.today - timedelta(days=400), maintenance_ends_on=city.today + timedelta(days=number * 60),
            coverage={},
        )  # fmt: skip
        await _keep(session, contract)
        await _build_sites(session, city, entry, contract)
    for entry in city.source["contact"]:
        customer = city.customers[entry["customer"]]
        contact = Contact(
            customer_id=customer.id, name=city.both(entry), title=city.both(entry["title"]),
            function=entry["function"], language="zh",
        )  # fmt: skip
        await _keep(session, contact)
        session.add(ContactPoint(contact_id=contact.id, kind="phone", address=entry["phone"], consent="service"))
        city.contacts.setdefault(entry["customer"], []).append(contact)
    await _introduce_contacts(session, city)


async def _introduce_contacts(session: AsyncSession, city: City) -> None:
    of_customer = {customer.id: city.contacts.get(key, []) for key, customer in city.customers.items()}
    session.add_all(
        SiteContact(site_id=site.id, contact_id=contact.id, primary=contact.function == "contact")
        for site in city.sites
        for contact in of_customer[site.customer_id]
    )


async def _build_sites(session: AsyncSession, city: City, entry: dict[str, Any], contract: ServiceContract) -> None:
    building = next(each for each in city.source["building_type"] if each["key"] == entry["building_type"])
    for _ in range(entry["sites"]):
        district = city.random.choice(city.source["district"])
        street = city.random.choice(district["streets"])
        house = city.random.randint(1, 280)
        lat, lon = _point_in(city.random, district)
        suffix = entry["site_suffix"]
        site = Site(
            unit_id=contract_unit(city), customer_id=contract.customer_id, number=await next_number(session, "S"),
            name=f"{street['zh']}{house}号{suffix['zh']} {suffix['en']}, {house} {street['en']}",
            address=f"{city.source['city']['zh']}{district['zh']}{street['zh']}{house}号",
            lat=lat, lon=lon, position_source="demo", position_confidence=1.0, time_zone=city.zone.key,
            acceptance_on=city.today - timedelta(days=city.random.randint(200, 365 * YEARS_IN_SERVICE)),
            access_notes=city.both(building["access_notes"]), no_photos=building["no_photos"], no_phone=False,
            no_offline_drawings=False,
        )  # fmt: skip
        await _keep(session, site)
        city.sites.append(site)
        session.add(ContractSite(contract_id=contract.id, site_id=site.id, valid_from_on=contract.starts_on))
        crew = next(each for each in city.source["crew"] if district["key"] in each["districts"])
        session.add(SiteOwner(site_id=site.id, crew_id=city.crews[crew["key"]].id, valid_from=city.now))
        city.assets[site.id] = []


def contract_unit(city: City) -> UUID:
    """Return the unit all of the city's sites belong to."""
    return city.units["service"].id


def _point_in(random: Random, district: dict[str, Any]) -> tuple[float, float]:
    distance = district["radius_m"] * math.sqrt(random.random())
    angle = random.uniform(0, 2 * math.pi)
    lat = district["latitude"] + distance * math.sin(angle) / METRES_A_DEGREE
    lon = district["longitude"] + distance * math.cos(angle) / (METRES_A_DEGREE * math.cos(math.radians(lat)))
    return round(lat, 6), round(lon, 6)


async def _equip_sites(session: AsyncSession, city: City) -> None:
    for entry in city.source["asset_model"]:
        model = AssetModel(
            asset_type=entry["asset_type"], brand=city.both(entry["brand"]), model=city.both(entry["model"]),
            needs_original_box=entry["needs_original_box"],
        )  # fmt: skip
        city.models.setdefault(entry["asset_type"], []).append((entry, model))
    await _keep(session, *(model for models in city.models.values() for _, model in models))
    kinds = {customer.id: entry["building_type"] for entry, customer in _with_entries(city)}
    buildings = {each["key"]: each for each in city.source["building_type"]}
    installed = [
        _asset_at(city, site, wanted["type"], n)
        for site in city.sites
        for wanted in buildings[kinds[site.customer_id]]["assets"]
        for n in range(1, city.random.randint(wanted["least"], wanted["most"]) + 1)
    ]
    await _keep(session, *(row for pair in installed for row in pair))
    for position, asset in installed:
        city.assets[asset.site_id].append(asset)
        session.add(
            AssetPlacement(
                site_id=asset.site_id, position_id=position.id, asset_id=asset.id,
                installed_at=city.at(asset.purchased_on or city.today, time(9)),
            )
        )  # fmt: skip


def _with_entries(city: City) -> list[tuple[dict[str, Any], Customer]]:
    return [(entry, city.customers[entry["key"]]) for entry in city.source["customer"]]


def _asset_at(city: City, site: Site, asset_type: str, n: int) -> tuple[Position, Asset]:
    entry, model = city.random.choice(city.models[asset_type])
    installed_on = site.acceptance_on or city.today
    name = f"{entry['position']['zh'].format(n=n)} {entry['position']['en'].format(n=n)}"
    position = Position(site_id=site.id, name=name, description="")
    asset = Asset(
        site_id=site.id, asset_type=asset_type, asset_model_id=model.id, name=name,
        serial=f"{asset_type[:2].upper()}{city.random.randrange(10**8):08d}", quantity=1,
        software_version=city.random.choice(entry.get("software_versions", [None])), purchased_on=installed_on,
        warranty_until=installed_on + timedelta(days=WARRANTY_DAYS), note="",
    )  # fmt: skip
    return position, asset


async def _stock_vans(session: AsyncSession, city: City) -> None:
    prices = city.source["price_list"]
    session.add(
        PriceList(
            key=prices["key"], version=prices["version"], name_zh=prices["zh"], name_en=prices["en"],
            currency=prices["currency"], valid_from_on=city.today, lines=prices["lines"],
        )
    )  # fmt: skip
    parts = [
        Part(
            number=entry["number"], name_zh=entry["zh"], name_en=entry["en"], measure=entry["measure"],
            price_fen=entry["price_fen"], serialised=entry["serialised"], active=True,
        )
        for entry in city.source["part"]
    ]  # fmt: skip
    vans = [
        StockLocation(unit_id=person.unit_id, kind="van", name=person.name, person_id=person.id)
        for key, person in city.people.items()
        if any(entry["key"] == key and "crew" in entry for entry in city.source["person"])
    ]
    await _keep(session, *parts, *vans)
    session.add_all(
        StockMovement(
            part_id=part.id, to_location_id=van.id, quantity=PARTS_IN_A_VAN, reason="stocked",
            happened_at=city.now, posted_at=city.now, went_negative=False,
        )
        for van in vans
        for part in parts
    )  # fmt: skip
