"""The world of the contract tests over a real migrated database: the product's own tables, as the office fills them.

Ids, instants and commits come in the same order as in `MemoryWorld`, so that one history gives the same answers over
every store. What a phone must hold is worked out here by plain SQL over the rows, apart from the store's own rule.
"""

import sqlite3
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Table, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from backend.backup.restore import begin_epoch
from backend.core.changes import SYNCED, commit_clock, unstamped
from backend.core.sessions import Database
from backend.devices.models import LedgerEntry
from backend.devices.scope import BEHIND
from backend.devices.store import SqlStore
from backend.people.models import Device, EnrolmentCode
from backend.tables import metadata
from sync.enrol import hash_of
from sync.holding import Rows, place
from sync.limits import CODE_MINUTES
from sync.store import Fields
from tests.sync.world import PLACE, START, STAYS, Ids

ZONE: Final = "Asia/Shanghai"
UNIT: Final = UUID(int=1)
FROM_MIGRATIONS: Final = {"commit_clock", "never"}
"""Tables whose rows the migrations made."""
BEGUN_V: Final = 3
"""Commits of the world in memory before its last while it is furnished; here there is one."""

HELD_JOBS: Final = """
SELECT DISTINCT job.id, job.site_id
FROM assignment AS given
JOIN visit ON visit.id = given.visit_id
JOIN work_order AS job ON job.id = given.work_order_id
WHERE given.withdrawn_at IS NULL AND (
    given.person_id = :person OR given.crew_id IN (
      SELECT crew_id FROM crew_member
      WHERE person_id = :person AND valid_from <= :now AND (valid_until IS NULL OR valid_until > :now)
    )
  )
  AND given.arrives_at <= :arrives_before AND visit.cancelled_at > :cancelled_after
"""
"""The jobs somebody may hold; every visit of these tests has its planned arrival and its end."""
AROUND_SITES: Final = """
SELECT 'customer', customer_id FROM site WHERE id IN ({sites})
UNION SELECT 'contact', contact_id FROM site_contact WHERE site_id IN ({sites})
"""
FILLED: Final = (
    "asset", "assignment", "contact", "contact_point", "crew_member", "customer", "field_conflict", "part", "person",
    "position", "preset", "site", "site_contact", "visit", "work_order",
)  # fmt: skip
"""Tables these tests put rows in."""


class SqlWorld:
    """The world over SQLite or PostgreSQL."""

    def __init__(self, database: Database, seed: int = 7) -> None:
        self.ids = Ids(seed)
        self._own_ids = Ids(-seed)
        """For rows the world in memory does not have."""
        self.database = database
        self.store = SqlStore(database, now=START)
        self._open: AsyncSession | None = None
        self.epoch = self.ids()
        self.li_wei, self.zhang_min, self.customer, self.crew = (self.ids() for _ in range(4))

    @asynccontextmanager
    async def together(self) -> AsyncGenerator[None]:
        """Do several things in one commit."""
        async with self.database.write() as self._open:
            yield
        self._open = None

    @asynccontextmanager
    async def _office(self) -> AsyncGenerator[AsyncSession]:
        if self._open is not None:
            yield self._open
            return
        async with self.database.write() as session:
            yield session

    async def begin(self) -> "SqlWorld":
        """Furnish the world."""
        people = [
            {
                "id": UUID(person), "unit_id": UNIT, "employee_number": name, "name": name, "language": "zh",
                "external": False, "active": True,
            }
            for person, name in ((self.li_wei, "李伟"), (self.zhang_min, "张敏"))
        ]  # fmt: skip
        rows: dict[str, list[dict[str, Any]]] = {
            "unit": [{"id": UNIT, "kind": "company", "name_zh": "公司", "name_en": "Company", "time_zone": ZONE}],
            "person": people,
            "crew": [{"id": UUID(self.crew), "unit_id": UNIT, "name": "一组", "active": True}],
            "customer": [{
                "id": UUID(self.customer), "unit_id": UNIT, "number": "C-1", "name": "城东花园",
                "kind": "organisation", "language": "zh",
            }],
            "part": [{
                "id": UUID(self.ids()), "number": "P-1", "name_zh": "球机", "name_en": "Dome camera",
                "measure": "piece", "price_fen": 0, "serialised": True, "active": True,
            }],
        }  # fmt: skip
        rows["preset"] = [
            {
                "id": UUID(self._own_ids()), "kind": "asset_type", "key": key, "version": 1, "name_zh": key,
                "name_en": key, "body": {}, "active": True,
            }
            for key in ("camera", "elevator", "lift")
        ]  # fmt: skip
        async with self.database.write() as session:
            await session.execute(update(commit_clock).values(epoch=UUID(self.epoch), v=BEGUN_V))
            for name, new in rows.items():
                await session.execute(insert(_table(name)), new)
        return self

    async def site(self, **fields: Any) -> str:
        """Add a site of the customer."""
        site = self.ids()
        content = {
            "unit_id": UNIT, "number": f"S-{site[:8]}", "name": "东门", "access_notes": "", "time_zone": ZONE,
            "no_photos": False, "no_phone": False, "no_offline_drawings": False,
        }  # fmt: skip
        return await self._insert("site", site, **content | PLACE | {"customer_id": self.customer} | fields)

    async def customer_named(self, name: str) -> str:
        """Add a customer."""
        customer = self.ids()
        return await self._insert(
            "customer", customer, unit_id=UNIT, number=f"C-{customer[:8]}", name=name, kind="organisation",
            language="zh",
        )  # fmt: skip

    async def contact(self, customer: str) -> str:
        """Add somebody to talk to at a customer."""
        known = {"name": "钱红", "function": "contact", "language": "zh"}
        return await self._insert("contact", self.ids(), customer_id=customer, **known)

    async def original_place(self, site: str) -> tuple[float | None, float | None, str | None]:
        """Read where a site lies as it was given, which phones are not told."""
        table = _table("site")
        asked = select(table.c.original_lat, table.c.original_lon, table.c.original_datum)
        async with self.database.read() as session:
            row = (await session.execute(asked.where(table.c.id == UUID(site)))).one()
        return row[0], row[1], row[2]

    async def asset(self, site: str, **fields: Any) -> str:
        """Add an asset to a site."""
        content = {
            "site_id": site, "asset_type": "camera", "name": "枪机", "serial": "A1", "quantity": 1, "note": "",
        }  # fmt: skip
        return await self._insert("asset", self.ids(), **content | fields)

    async def job(self, site: str) -> str:
        """Add a work order at a site."""
        job = self.ids()
        return await self._insert(
            "work_order", job, unit_id=UNIT, number=f"WO-{job[:8]}", site_id=site, kind="repair", origin="passive",
            queue="field", priority="P2", title="维修", description="", required_skills=[], duration_minutes=60,
            state="open", needs_approval=False,
        )  # fmt: skip

    async def assign(self, person: str, job: str, *, starts_at: datetime = START, hours: float = 8) -> str:
        """Give a job to a person, in a visit that is called off so that it leaves the phone when the test expects it.

        That is `STAYS` after its end; the product's own rule knows `BEHIND`.
        """
        return await self._assign(job, starts_at, hours, person_id=UUID(person))

    async def assign_crew(self, job: str, *, starts_at: datetime = START, hours: float = 8) -> str:
        """Give a job to the crew, likewise."""
        return await self._assign(job, starts_at, hours, crew_id=UUID(self.crew))

    async def _assign(self, job: str, starts_at: datetime, hours: float, **holder: UUID) -> str:
        assignment, visit, ends_at = self.ids(), UUID(self._own_ids()), starts_at + timedelta(hours=hours)
        new_visit = {
            "id": visit, "work_order_id": UUID(job), "sequence": int(UUID(assignment)) % 1_000_000,
            "duration_minutes": 60, "state": "cancelled", "cancelled_at": ends_at + STAYS - BEHIND,
        }  # fmt: skip
        new = {
            "id": UUID(assignment), "work_order_id": UUID(job), "visit_id": visit, "leads": True, "pinned": False,
            "arrives_at": starts_at, "ends_at": ends_at, "assigned_at": START,
        }  # fmt: skip
        async with self._office() as session:
            await session.execute(insert(_table("visit")).values(new_visit))
            await session.execute(insert(_table("assignment")).values(new | holder))
        return assignment

    async def withdraw(self, assignment: str) -> None:
        """Take a job away again."""
        await self.change("assignment", assignment, withdrawn_at=START)

    async def join(self, person: str, *, at: datetime = START, until: datetime | None = None) -> str:
        """Put a person into the crew."""
        member = {"crew_id": self.crew, "person_id": person, "leads": False, "valid_from": at, "valid_until": until}
        return await self._insert("crew_member", self.ids(), **member)

    async def leave(self, member: str, *, at: datetime = START) -> None:
        """Let somebody's time in the crew end."""
        await self.change("crew_member", member, valid_until=at)

    async def change(self, entity: str, row: str, **fields: Any) -> None:
        """Edit a row in the office."""
        table = _table(entity)
        async with self._office() as session:
            await session.execute(update(table).where(table.c.id == UUID(row)).values(_typed(table, fields)))

    async def delete(self, entity: str, row: str) -> None:
        """Delete a row in the office, with whatever cannot be without it."""
        async with self._office() as session:
            if entity == "site":
                jobs = select(_table("work_order").c.id).where(_table("work_order").c.site_id == UUID(row))
                for name in ("assignment", "visit"):
                    await session.execute(delete(_table(name)).where(_table(name).c.work_order_id.in_(jobs)))
                for name in ("work_order", "asset"):
                    await session.execute(delete(_table(name)).where(_table(name).c.site_id == UUID(row)))
            await session.execute(delete(_table(entity)).where(_table(entity).c.id == UUID(row)))

    async def fields(self, entity: str, row: str) -> Fields | None:
        """Read a row."""
        table = _table(entity)
        async with self.database.read() as session:
            found = (await session.execute(select(table).where(table.c.id == UUID(row)))).mappings().one_or_none()
        return None if found is None else msgspec.json.decode(_body(entity, found))

    async def conflicts(self, row: str) -> list[Fields]:
        """Read the open conflicts of a row."""
        table = _table("field_conflict")
        wanted = select(table).where(table.c.subject_id == UUID(row), table.c.decided_at.is_(None)).order_by(table.c.id)
        async with self.database.read() as session:
            found = (await session.execute(wanted)).mappings().all()
        return [msgspec.json.decode(_body("field_conflict", one)) for one in found]

    async def expected(self, person: str, now: datetime) -> Mapping[str, Rows]:
        """Say what a phone of this person must hold, straight from the rows."""
        held: defaultdict[str, Rows] = defaultdict(dict)
        async with self.database.read() as session:
            names = await self._held_buckets(session, person, now)
            for entity in FILLED:
                source = SYNCED[entity]
                for row in (await session.execute(select(source.table))).mappings():
                    bucket = source.bucket_of(row)
                    if bucket in names:
                        held[bucket][place(entity, str(row["id"]))] = _body(entity, row)
        return dict(held)

    async def _held_buckets(self, session: Any, person: str, now: datetime) -> set[str]:
        instants = {"arrives_before": now + timedelta(days=7), "cancelled_after": now - BEHIND, "now": now}
        wanted = {"person": self._id(person)} | {name: self._instant(at) for name, at in instants.items()}
        jobs = (await session.execute(text(HELD_JOBS), wanted)).all()
        names = {f"user:{person}", "catalogue", *(f"job:{UUID(str(job.id))}" for job in jobs)}
        sites = {UUID(str(job.site_id)) for job in jobs}
        names |= {f"site:{site}" for site in sites}
        if sites:
            listed = ", ".join(f"'{self._id(str(site))}'" for site in sites)
            around = await session.execute(text(AROUND_SITES.format(sites=listed)))
            names |= {f"{kind}:{UUID(str(row_id))}" for kind, row_id in around}
        return names

    def _id(self, row: str) -> Any:
        """An id as plain SQL on this database knows it: SQLite keeps 32 digits."""
        return UUID(row).hex if self.database.on_sqlite else UUID(row)

    def _instant(self, at: datetime) -> Any:
        return f"{at:%Y-%m-%d %H:%M:%S.%f}" if self.database.on_sqlite else at

    async def code(self, person: str, now: datetime = START) -> str:
        """Give a person a code for a phone."""
        code = self.ids.code()
        async with self._office() as session:
            expires_at = now + timedelta(minutes=CODE_MINUTES)
            session.add(EnrolmentCode(person_id=UUID(person), code_hash=hash_of(code), expires_at=expires_at))
        return code

    async def revoke(self, device: str) -> None:
        """Take a phone out of use."""
        async with self._office() as session:
            await session.execute(update(Device).where(Device.id == UUID(device)).values(revoked_at=START))

    async def quarantined(self, device: str) -> list[bytes]:
        """Read the payloads that wait for a person."""
        waiting = _table("quarantined_mutation")
        numbers = (waiting.c.device_id, waiting.c.incarnation, waiting.c.n)
        same = (LedgerEntry.device_id, LedgerEntry.incarnation, LedgerEntry.n)
        listed = select(LedgerEntry.payload).join(
            waiting, (numbers[0] == same[0]) & (numbers[1] == same[1]) & (numbers[2] == same[2])
        )
        async with self.database.read() as session:
            found = await session.execute(listed.where(same[0] == UUID(device)).order_by(LedgerEntry.n))
            return list(found.scalars())

    async def put_back(self) -> None:
        """Bring everything back from a backup made this instant, as the phones see it."""
        async with self.database.write() as session:
            await session.run_sync(lambda restored: begin_epoch(restored.connection(), START))

    async def _insert(self, entity: str, row: str, **fields: Any) -> str:
        table = _table(entity)
        async with self._office() as session:
            await session.execute(insert(table).values({"id": UUID(row), **_typed(table, fields)}))
        return row


def _table(name: str) -> Table:
    return metadata.tables[name]


def _typed(table: Table, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Let tests give ids and dates as text."""
    return {
        name: None if value is None else msgspec.convert(value, table.c[name].type.python_type)
        for name, value in fields.items()
    }


def _body(entity: str, row: Mapping[Any, Any]) -> str:
    seen = [column.name for column in SYNCED[entity].table.columns if not column.info.get("private")]
    return msgspec.json.encode({name: row[name] for name in seen}, order="sorted").decode()


async def emptied(database: Database) -> None:
    """Delete every row but those the migrations made, without asking triggers or references."""
    if database.on_sqlite:
        with closing(sqlite3.connect(str(database.url.database), isolation_level=None)) as connection:
            connection.executescript(f"PRAGMA synchronous=OFF; BEGIN; {_deletions()}; {delete(unstamped)}; COMMIT")
        return
    async with database.bare() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert isinstance(driver, asyncpg.Connection)
        async with driver.transaction():
            await driver.execute(f"SET LOCAL session_replication_role = replica; {_deletions()}")


@cache
def _deletions() -> str:
    return ";".join(str(delete(table)) for name, table in metadata.tables.items() if name not in FROM_MIGRATIONS)
