"""Migrations that touch synced rows: what they leave is stamped, so that phones hear of it."""

import asyncio
from uuid import UUID, uuid4

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import select

from backend.core import migrate
from backend.core.changes import change, commit_clock
from backend.core.sessions import Database
from backend.people.models import CrewMember
from tests.core.test_stamp import check_buckets
from tests.make import LONG_AGO, load_house_from
from tests.personas import ZHOU_TAO

CREWS = "0025"
"""The revision from which on phones hear of crews."""


def test_crew_members_from_before_reach_phones(furnished_url: str) -> None:
    member = uuid4()

    async def join() -> int:
        house, database = await load_house_from(furnished_url), Database(furnished_url)
        zhou_tao = house.id_of(ZHOU_TAO)
        async with database.write() as session:
            row = CrewMember(id=member, crew_id=house.crew, person_id=zhou_tao, leads=False, valid_from=LONG_AGO)
            session.add(row)
        async with database.read() as session:
            clock = (await session.execute(select(commit_clock.c.v))).scalar_one()
        await database.close()
        return clock

    async def entry() -> tuple[UUID, str, int]:
        house, database = await load_house_from(furnished_url), Database(furnished_url)
        async with database.read() as session:
            told = (await session.execute(select(change).where(change.c.row_id == member))).one()
        await check_buckets(database)
        await database.close()
        return house.id_of(ZHOU_TAO), told.bucket, told.v

    scripts = ScriptDirectory.from_config(Config(migrate.ROOT / "alembic.ini"))
    migrate.downgrade(furnished_url, str(scripts.get_revision(CREWS).down_revision))
    clock = asyncio.run(join())
    migrate.upgrade(furnished_url)
    zhou_tao, bucket, v = asyncio.run(entry())
    assert (bucket, v) == (f"user:{zhou_tao}", clock + 1)
