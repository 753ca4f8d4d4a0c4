"""What tests stand on: a furnished house (units, people, a customer with a site) and an office one can sign in to.

The house is made once a run and copied for each test, so it costs a file copy. An office's clock stands at START until
a test moves it.
"""

import asyncio
import gc
import os
import shutil
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID, uuid4

import httpx
from argon2 import PasswordHasher
from litestar import Litestar
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.app import TOKEN_KEY_FILE, create_app, task_handlers, thumbnail_handlers
from backend.calendars.models import WorkingCalendar
from backend.core.clock import clock_of
from backend.core.numbers import next_number
from backend.core.sessions import Database
from backend.core.tasks import Worker
from backend.customers.models import Contact, ContactPoint, Customer
from backend.imports.presets import load_presets
from backend.people.models import Crew, CrewMember, Person, PersonSkill, Role, RoleGrant, Shift, Skill, Unit
from backend.settings import Settings
from backend.sites.models import Asset, AssetPlacement, Position, Site, SiteContact, SiteOwner
from tests.databases import Databases
from tests.personas import CUSTOMER_CONTACT, EVERYBODY, LI_WEI, PASSWORD, WU_GANG, Persona

START: Final = datetime(2026, 3, 2, 1, tzinfo=UTC)
"""Monday, 09:00 in Shanghai: when the house was made and where every test's clock begins."""
LONG_AGO: Final = START - timedelta(days=365)
ZONE: Final = "Asia/Shanghai"
LAT, LON = 31.0, 117.0
"""Where the invented city lies (WGS-84)."""


@dataclass(frozen=True)
class House:
    """Ids of what stands in every furnished database."""

    calendar: UUID
    company: UUID
    service: UUID
    north: UUID
    crew: UUID
    people: Mapping[str, UUID]
    """Employee number to id; ask with `house.id_of(LI_WEI)`."""
    roles: Mapping[str, UUID]
    skills: Mapping[str, UUID]
    customer: UUID
    contact: UUID
    site: UUID
    position: UUID
    camera: UUID
    """An asset at `position` of `site`."""
    lift: UUID
    """An asset of `site` at no position."""
    north_customer: UUID
    north_site: UUID

    def id_of(self, persona: Persona) -> UUID:
        """The person's id."""
        return self.people[persona.employee_number]

    def unit(self, name: str) -> UUID:
        """The id of the unit `company`, `service` or `north`."""
        return {"company": self.company, "service": self.service, "north": self.north}[name]


class Desk:
    """A signed-in person's HTTP client. Creating posts get an Idempotency-Key of their own unless one is given."""

    def __init__(self, client: httpx.AsyncClient, persona: Persona, tokens: Mapping[str, Any]) -> None:
        self.persona = persona
        self.tokens = tokens
        self._client = client

    async def ask(self, method: str, path: str, **call: Any) -> httpx.Response:
        """Send a request as this person; `headers` are added to the sign-in's."""
        headers = {"Authorization": f"Bearer {self.tokens['access_token']}"}
        if method == "POST":
            headers["Idempotency-Key"] = str(uuid4())
        headers |= call.pop("headers", {})
        return await self._client.request(method, path, headers=headers, **call)

    async def get(self, path: str, **call: Any) -> httpx.Response:
        """Read."""
        return await self.ask("GET", path, **call)

    async def post(self, path: str, json: Any = None, **call: Any) -> httpx.Response:
        """Create or do."""
        return await self.ask("POST", path, json=json, **call)

    async def edit(self, path: str, json: Any) -> httpx.Response:
        """Read a record and change it under the ETag just read."""
        seen = await self.get(path)
        return await self.ask("PATCH", path, json=json, headers={"If-Match": seen.headers.get("ETag", "")})


class LongDay(Desk):
    """A desk that signs in anew when its token has run out, however far the test has moved the clock."""

    async def ask(self, method: str, path: str, **call: Any) -> httpx.Response:
        """Send a request as this person, once more after a new sign-in if need be."""
        answer = await super().ask(method, path, **dict(call))
        if answer.status_code != 401:
            return answer
        offer = {"login": self.persona.employee_number, "password": PASSWORD}
        self.tokens = (await self._client.post("/auth/sign-in", json=offer)).json()
        return await super().ask(method, path, **call)


class Office:
    """A running server on one furnished database, with a clock the test moves."""

    def __init__(self, app: Litestar, settings: Settings, house: House, database: Database) -> None:
        self.app = app
        self.house = house
        self.settings = settings
        self.database = database
        """For looking at rows beside the API; writes through it are stamped like any other."""
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(cast("Any", app)), base_url="http://office.test")
        self._clock_file = settings.clock_file

    @property
    def now(self) -> datetime:
        """The office's present."""
        return clock_of(self.settings).now()

    def move_clock(self, **by: float) -> datetime:
        """Move the clock on: `office.move_clock(minutes=10)`; return the new present."""
        assert self._clock_file is not None
        now = self.now + timedelta(**by)
        self._clock_file.write_text(now.isoformat(), "utf-8")
        return now

    async def sign_in(self, persona: Persona, device_id: UUID | None = None) -> Desk:
        """Sign in as a person of the house."""
        offer = {"login": persona.employee_number, "password": PASSWORD, "device_id": device_id and str(device_id)}
        answer = await self.client.post("/auth/sign-in", json=offer)
        assert answer.status_code == 200, answer.text
        return Desk(self.client, persona, answer.json())

    async def sign_in_for_long(self, persona: Persona) -> Desk:
        """Sign in for a test that moves the clock further than an access token lives."""
        desk = await self.sign_in(persona)
        return LongDay(self.client, persona, desk.tokens)

    async def work(self) -> int:
        """Run every background task that is due, and those they bring about; return how many ran."""
        handlers = task_handlers(self.settings, self.database) | thumbnail_handlers(self.settings, self.database)
        worker = Worker(self.database, clock_of(self.settings), handlers, 0.1)
        done = 0
        while await worker.run_one():
            done += 1
        return done


class Offices:
    """The offices of one process. The application is built once for each kind of database, which takes longer than most
    tests, and so is what looks at rows beside it, which then knows its statements; rows, files and clock are new every
    time.
    """

    def __init__(self, databases: Databases, folder: Path, *, blobs: str = "") -> None:
        self._databases = databases
        self._folder = folder
        self._blobs = blobs
        self._built: dict[str, tuple[Litestar, Settings, House, Database]] = {}

    @asynccontextmanager
    async def open(self, kind: str) -> AsyncGenerator[Office]:
        """Run the server on a furnished database, `sqlite` or `postgresql`."""
        folder = self._folder / kind
        _clear(folder / "data")
        clock_file = folder / "clock"
        clock_file.write_text(START.isoformat(), "utf-8")
        url = self._database(kind, folder)
        if kind not in self._built:
            settings = Settings(
                mode="acceptance", data_dir=folder / "data", database=url, clock_file=clock_file, blobs=self._blobs,
                task_poll_seconds=0,  # tests run their tasks themselves, with `office.work()`
            )  # fmt: skip
            self._built[kind] = create_app(settings), settings, await load_house_from(url), Database(url)
            gc.collect()
            gc.freeze()  # it stays to the end of the run, so nobody need look for garbage in it
        app, settings, house, database = self._built[kind]
        async with _running(app):
            office = Office(app, settings, house, database)
            try:
                yield office
            finally:
                await office.client.aclose()
                await office.database.close()
        if kind == "postgresql":
            self._databases.drop(url)

    def _database(self, kind: str, folder: Path) -> str:
        if kind == "postgresql":
            return self._databases.postgresql(furnish=furnish, name=f"office_{os.getpid()}")
        for old in folder.glob("furnished.db*"):
            old.unlink()
        return self._databases.sqlite(folder / "furnished.db", furnish=furnish)


def _clear(data_dir: Path) -> None:
    """Remove what an earlier test left, but for the key the application was built with."""
    data_dir.mkdir(parents=True, exist_ok=True)
    for left in data_dir.iterdir():
        if left.is_dir():
            shutil.rmtree(left)
        elif left.name != TOKEN_KEY_FILE:
            left.unlink()


@asynccontextmanager
async def _running(app: Litestar) -> AsyncGenerator[None]:
    """Keep the application's lifespan in a task of its own: pytest may end a fixture in another task than it began."""
    up, over = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.lifespan():
            up.set()
            await over.wait()

    living = asyncio.create_task(live())
    starting = asyncio.create_task(up.wait())
    await asyncio.wait({living, starting}, return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()
    try:
        yield
    finally:
        over.set()
        await living


def furnish(url: str) -> None:
    """Put presets and a house into a migrated database. Must not be called from a running event loop."""

    async def run() -> None:
        database = Database(url)
        try:
            async with database.write() as session:
                await load_presets(session, now=START)
            async with database.write() as session:
                await build_house(session)
        finally:
            await database.close()

    asyncio.run(run())


async def load_house_from(url: str) -> House:
    """Read the ids of the house in a furnished database."""
    database = Database(url)
    try:
        async with database.read() as session:
            return await load_house(session)
    finally:
        await database.close()


async def load_house(session: AsyncSession) -> House:
    """Read the ids of the house in this database."""

    async def one(model: Any, **where: Any) -> UUID:
        return (await session.execute(select(model.id).filter_by(**where))).scalar_one()

    async def by_key(model: Any, key: Any) -> dict[str, UUID]:
        return {row[0]: row[1] for row in (await session.execute(select(key, model.id))).all()}

    return House(
        calendar=await one(WorkingCalendar, key="cn", version=1),
        company=await one(Unit, name_en="Company"),
        service=await one(Unit, name_en="Service department"),
        north=await one(Unit, name_en="Northern outlet"),
        crew=await one(Crew, name="一组"),
        people=await by_key(Person, Person.employee_number),
        roles=await by_key(Role, Role.key),
        skills=await by_key(Skill, Skill.key),
        customer=await one(Customer, name="云桥物业"),
        contact=await one(Contact, name=CUSTOMER_CONTACT),
        site=await one(Site, name="云桥大厦"),
        position=await one(Position, name="摄像机 1"),
        camera=await one(Asset, name="大厅摄像机"),
        lift=await one(Asset, name="客梯"),
        north_customer=await one(Customer, name="北湖学校"),
        north_site=await one(Site, name="北湖学校"),
    )


async def build_house(session: AsyncSession) -> None:
    """Add the house to a database that has the presets."""
    calendar = (await session.execute(select(WorkingCalendar.id).filter_by(key="cn"))).scalar_one()
    company = Unit(kind="company", name_zh="公司", name_en="Company", calendar_id=calendar, time_zone=ZONE)
    service = Unit(
        kind="department", name_zh="售后服务部", name_en="Service department", calendar_id=calendar, time_zone=ZONE,
        parent_id=company.id,
    )  # fmt: skip
    north = Unit(
        kind="outlet", name_zh="北区网点", name_en="Northern outlet", calendar_id=calendar, time_zone=ZONE,
        parent_id=company.id,
    )  # fmt: skip
    await add_all(session, company)
    await add_all(session, service, north)
    units = {"company": company.id, "service": service.id, "north": north.id}
    people = {persona.employee_number: await add_person(session, persona, units) for persona in EVERYBODY}
    crew = Crew(unit_id=service.id, name="一组", active=True)
    await add_all(session, crew)
    await add_all(
        session,
        CrewMember(crew_id=crew.id, person_id=people[WU_GANG.employee_number], leads=True, valid_from=LONG_AGO),
        CrewMember(crew_id=crew.id, person_id=people[LI_WEI.employee_number], leads=False, valid_from=LONG_AGO),
    )
    await _add_customers(session, service.id, north.id, crew.id)


async def _add_customers(session: AsyncSession, service: UUID, north: UUID, crew: UUID) -> None:
    customer = await add_customer(session, service, "云桥物业")
    contact = Contact(
        customer_id=customer.id, name=CUSTOMER_CONTACT, title="物业经理", function="contact", language="zh"
    )
    await add_all(session, contact)
    phone = ContactPoint(
        contact_id=contact.id, kind="phone", address="+8613900000001", consent="contract", consented_at=LONG_AGO
    )
    site = await add_site(session, service, customer.id, "云桥大厦")
    await add_all(session, phone, SiteContact(site_id=site.id, contact_id=contact.id, primary=True))
    position = Position(site_id=site.id, name="摄像机 1", description="大厅入口")
    camera = await add_asset(session, site.id, "大厅摄像机", "camera", serial="CAM-0001")
    await add_asset(session, site.id, "客梯", "elevator", serial="LIFT-0001")
    await add_all(session, position, SiteOwner(site_id=site.id, crew_id=crew, valid_from=LONG_AGO))
    await add_all(
        session,
        AssetPlacement(site_id=site.id, position_id=position.id, asset_id=camera.id, installed_at=LONG_AGO),
    )
    school = await add_customer(session, north, "北湖学校")
    await add_site(session, north, school.id, "北湖学校", lat=LAT + 0.2, lon=LON)


async def add_all(session: AsyncSession, *rows: object) -> None:
    """Add rows and flush, so that rows that refer to them may follow."""
    session.add_all(rows)
    await session.flush()


@cache
def password_hash() -> str:
    """The hash of everybody's password, made so that checking it is quick: thousands of people sign in."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


async def add_person(session: AsyncSession, persona: Persona, units: Mapping[str, UUID]) -> UUID:
    """Add a person with role and skills; return the id."""
    person = Person(
        unit_id=units[persona.unit], employee_number=persona.employee_number, name=persona.name, phone=persona.phone,
        email=persona.email, password_hash=password_hash(), language=persona.language, external=False, active=True,
        home_lat=LAT, home_lon=LON, location_consent_at=LONG_AGO,
    )  # fmt: skip
    await add_all(session, person)
    role = (await session.execute(select(Role.id).filter_by(key=persona.role))).scalar_one()
    unit_id = units[persona.grant_unit or persona.unit]
    await add_all(session, RoleGrant(person_id=person.id, role_id=role, unit_id=unit_id, valid_from=LONG_AGO))
    for key in persona.skills:
        skill = (await session.execute(select(Skill).filter_by(key=key))).scalar_one()
        certificate = f"CERT-{persona.employee_number}-{key}" if skill.needs_certificate else None
        held = PersonSkill(person_id=person.id, skill_id=skill.id, certificate_number=certificate, valid_from=LONG_AGO)
        await add_all(session, held)
    return person.id


async def add_customer(session: AsyncSession, unit_id: UUID, name: str) -> Customer:
    """Add a customer of a unit."""
    customer = Customer(
        unit_id=unit_id, number=await next_number(session, "C"), name=name, kind="organisation", language="zh"
    )
    await add_all(session, customer)
    return customer


async def add_site(
    session: AsyncSession, unit_id: UUID, customer_id: UUID, name: str, *, lat: float = LAT, lon: float = LON,
    **values: Any,
) -> Site:  # fmt: skip
    """Add a site at a WGS-84 position."""
    site = Site(**{
        "unit_id": unit_id, "customer_id": customer_id, "number": await next_number(session, "S"), "name": name,
        "address": f"云桥市湖滨路 {name}", "lat": lat, "lon": lon, "original_lat": lat, "original_lon": lon,
        "original_datum": "wgs84", "position_source": "pin", "position_confidence": 1.0, "time_zone": ZONE,
        "access_notes": "", "no_photos": False, "no_phone": False, "no_offline_drawings": False, **values,
    })  # fmt: skip
    await add_all(session, site)
    return site


async def add_asset(session: AsyncSession, site_id: UUID, name: str, asset_type: str, **values: Any) -> Asset:
    """Add an asset to a site."""
    asset = Asset(**{
        "site_id": site_id, "asset_type": asset_type, "name": name, "quantity": 1, "note": "", **values,
    })  # fmt: skip
    await add_all(session, asset)
    return asset


async def add_shift(
    session: AsyncSession, person_id: UUID, starts_at: datetime, *, hours: float = 8, lat: float = LAT, lon: float = LON
) -> Shift:
    """Add a working shift."""
    shift = Shift(
        person_id=person_id, starts_at=starts_at, ends_at=starts_at + timedelta(hours=hours), start_lat=lat,
        start_lon=lon, breaks=[], overtime_minutes=0,
    )  # fmt: skip
    await add_all(session, shift)
    return shift
