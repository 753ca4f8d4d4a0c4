"""A plan published while phones are out of reach: what was done stands, and nobody drives for nothing untold."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from backend.notifications.models import Notification
from docs.examples.phone_day import tap
from sync.protocol import Status
from tests.api.test_devices import Pocket, phone_of
from tests.live import after, day_of
from tests.make import Desk, Office
from tests.personas import LI_WEI, WANG_FANG, ZHOU_TAO
from tests.planning import done, holder, published, shift_of, state_is, worker
from tests.work import assert_stored_is_replayed, give, ok

pytestmark = pytest.mark.usefixtures("quick_planners")


@dataclass
class Morning:
    """李伟's visit, his phone and 周涛's, both having fetched what there is."""

    office: Office
    wang_fang: Desk
    visit: str
    li_wei: Pocket
    zhou_tao: Pocket

    async def replan(self) -> dict[str, Any]:
        """Publish a plan without 李伟, whom the office believes away."""
        away = {"person_id": str(self.office.house.id_of(LI_WEI)), "until": after(hours=9).isoformat()}
        body = {"unit_id": str(self.office.house.service), "most_changes": 0, "away": away, "seconds": 0.2}
        asked = ok(await self.wang_fang.post("/replans", body), 201)
        assert await worker(self.office).run_one()
        plan = await state_is(self.wang_fang, asked, "done")
        self.office.move_clock(minutes=1)
        assert (await published(self.wang_fang, plan))["assigned"] == 1
        assert await self.lead() == self.office.house.id_of(ZHOU_TAO)
        return plan

    async def lead(self) -> UUID:
        return UUID((await holder(self.wang_fang, self.visit))["person_id"])

    async def texts_to(self, persona: Any) -> list[str]:
        await self.office.work()
        async with self.office.database.read() as session:
            wanted = select(Notification.text).where(Notification.person_id == self.office.house.id_of(persona))
            return list((await session.execute(wanted)).scalars())


@asynccontextmanager
async def morning(office: Office, folder: Path) -> AsyncIterator[Morning]:
    """李伟 has 海尔大厦 at 11:00, 周涛 nothing; it is 09:00."""
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    _, (visit,) = await day_of(wang_fang, office, LI_WEI, "海尔大厦")
    await shift_of(office, ZHOU_TAO)
    async with phone_of(office, LI_WEI, folder) as li_wei, phone_of(office, ZHOU_TAO, folder) as zhou_tao:
        await li_wei.contact()
        yield Morning(office, wang_fang, visit, li_wei, zhou_tao)


async def test_who_set_off_first_keeps_the_visit_and_the_second_is_told(office: Office, tmp_path: Path) -> None:
    async with morning(office, tmp_path) as day:
        tap(day.li_wei.phone, day.visit, "depart")
        office.move_clock(minutes=1)
        await day.replan()
        await day.zhou_tao.contact()
        (shown,) = day.zhou_tao.shown("assignment").values()
        assert shown["withdrawn_at"] is None

        office.move_clock(minutes=10)
        for kind in ("arrive", "start", "finish"):
            tap(day.li_wei.phone, day.visit, kind)
        assert [one.status for one in await day.li_wei.delivered()] == [Status.APPLIED] * 4
        assert await day.lead() == office.house.id_of(LI_WEI)
        seen = ok(await day.wang_fang.get(f"/visits/{day.visit}"))
        assert (seen["state"], seen["outcome"]) == ("finished", "done")
        await assert_stored_is_replayed(office, day.visit)

        await day.zhou_tao.contact()
        (shown,) = day.zhou_tao.shown("assignment").values()
        assert shown["withdrawn_reason"] == "under_way"
        (text,) = await day.texts_to(ZHOU_TAO)
        assert "given to somebody else because of 李伟 having set off first" in text


async def test_when_both_set_off_the_one_of_the_plan_keeps_it_and_the_first_is_told(
    sqlite_office: Office, tmp_path: Path
) -> None:
    async with morning(sqlite_office, tmp_path) as day:
        tap(day.li_wei.phone, day.visit, "depart")
        sqlite_office.move_clock(minutes=1)
        await day.replan()
        await day.zhou_tao.contact()
        tap(day.zhou_tao.phone, day.visit, "depart")
        assert [one.status for one in await day.zhou_tao.delivered()] == [Status.APPLIED]
        tap(day.li_wei.phone, day.visit, "arrive")
        depart, arrive = await day.li_wei.delivered()
        assert (depart.status, depart.code) == (Status.REJECTED, "visit_taken")
        assert arrive.status == Status.APPLIED  # a fact: kept as a late report
        assert await day.lead() == sqlite_office.house.id_of(ZHOU_TAO)
        seen = ok(await day.wang_fang.get(f"/visits/{day.visit}"))
        order = ok(await day.wang_fang.get(f"/work-orders/{seen['work_order_id']}"))
        assert [(event["kind"], event["late"]) for event in order["events"]] == [("depart", False), ("arrive", True)]
        await assert_stored_is_replayed(sqlite_office, day.visit)


async def test_who_sets_off_after_the_plan_is_told_at_once(sqlite_office: Office, tmp_path: Path) -> None:
    async with morning(sqlite_office, tmp_path) as day:
        await day.replan()
        sqlite_office.move_clock(minutes=5)
        tap(day.li_wei.phone, day.visit, "depart")
        (depart,) = await day.li_wei.delivered()
        assert (depart.status, depart.code) == (Status.REJECTED, "visit_taken")
        assert await day.lead() == sqlite_office.house.id_of(ZHOU_TAO)
        assert await day.texts_to(ZHOU_TAO) == []


async def test_nobody_takes_back_what_somebody_decided_since(sqlite_office: Office, tmp_path: Path) -> None:
    async with morning(sqlite_office, tmp_path) as day:
        tap(day.li_wei.phone, day.visit, "depart")
        sqlite_office.move_clock(minutes=1)
        await day.replan()
        await give(day.wang_fang, sqlite_office, day.visit, ZHOU_TAO, pinned=True)
        (depart,) = await day.li_wei.delivered()
        assert (depart.status, depart.code) == (Status.REJECTED, "visit_taken")
        assert await day.lead() == sqlite_office.house.id_of(ZHOU_TAO)


async def test_a_plan_that_took_a_visit_off_gives_way_too(sqlite_office: Office, tmp_path: Path) -> None:
    async with morning(sqlite_office, tmp_path) as day:
        tap(day.li_wei.phone, day.visit, "depart")
        sqlite_office.move_clock(minutes=1)
        off = {"base": "999999999", "shift_id": None}
        ok(await day.wang_fang.post(f"/visits/{day.visit}/place", off), 201)
        (depart,) = await day.li_wei.delivered()
        assert depart.status == Status.APPLIED
        assert await day.lead() == sqlite_office.house.id_of(LI_WEI)
        plan = await done(day.wang_fang, sqlite_office, seconds=0.2)
        assert plan["routes"]
