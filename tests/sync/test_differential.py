"""One history, three stores: the same results of every push, and in the end the same rows (invariant 32).

Between SQLite and PostgreSQL every answer is the same byte for byte, pages and cookies included.
"""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import pytest

from backend.core.sessions import Database
from sync.limits import PULL_BYTES, PULL_BYTES_LEAST
from sync.protocol import PullAnswer, PullRequest, Refusal, decode_pull, encode
from sync.pull import Puller, pull
from tests.sync.conftest import sql_world_over
from tests.sync.handset import Handset, buckets, register
from tests.sync.world import SECRET, START, Ids, MemoryWorld, World

SEEDS: Final = range(8)
STEPS: Final = 32
PAGED_SEEDS: Final = range(4)
NAMES: Final = ("东门", "西门", "南门")
COMMANDS: Final = ("sign", "sign", "sign", "sign_then_refuse", "sign_then_fail", "refuse", "nothing", "unheard of")
ASTRAY: Final = 0.15
"""Share of commands about a site the phone may never have held."""
NEW_ASSET: Final = {
    "asset_type": "elevator", "asset_model_id": None, "name": "电梯", "serial": None, "quantity": 1,
    "software_version": None, "protocol": None, "connection": None, "purchased_on": None, "note": "",
}  # fmt: skip
ONLY_IN_SQL: Final = ("visit/", "preset/")
"""The world in memory has no visits and knows no types of assets."""
SEEN_ALIKE: Final[Mapping[str, tuple[str, ...]]] = {
    "site": ("name", "access_notes", "acceptance_on", "address", "lat", "lon", "customer_id"),
    "asset": ("site_id", "asset_type", "name", "serial", "quantity", "note"),
    "contact": ("customer_id", "name", "title", "function", "language"),
    "assignment": ("person_id", "crew_id", "work_order_id"),
    "crew_member": ("person_id", "crew_id"),
    "field_conflict": ("entity", "subject_id", "field", "base", "mine", "theirs", "person_id"),
}
"""Columns both kinds of world fill."""


class Phone(Handset):
    """A handset whose views have ids of their own: how many a store needs depends on its pages."""

    view_ids: Ids

    async def ask_pull(self, request: PullRequest) -> PullAnswer | None:
        answer = await pull(
            self.store, puller=Puller(self.device, SECRET), request=decode_pull(encode(request)), now=self.now,
            new_id=self.view_ids,
        )  # fmt: skip
        return None if answer is None else msgspec.json.decode(encode(answer), type=PullAnswer)


class History:
    """What happens in one world; the same seed makes the same choices in every one."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.random = random.Random(seed)  # noqa: S311 - choices that repeat are the purpose
        self.now: datetime = START
        self.sites: list[str] = []
        self.jobs: list[str] = []
        self.assets: list[str] = []
        self.assignments: list[str] = []
        self.members: list[str] = []
        self.phones: list[Phone] = []
        self.results: list[list[bytes] | str] = []
        """Of each push: its results, or the code of its refusal."""
        self.pulls: list[bytes] = []
        self.max_bytes: tuple[int, ...] = ()

    async def begin(self, note: str) -> None:
        async with self.world.together():
            for name in NAMES:
                self.sites.append(await self.world.site(name=name))
                self.jobs.append(await self.world.job(self.sites[-1]))
                self.assets += [await self.world.asset(self.sites[-1], note=note) for _ in range(3)]
            for person, job in ((self.world.li_wei, 0), (self.world.zhang_min, 0), (self.world.li_wei, 1)):
                self.assignments.append(await self.world.assign(person, self.jobs[job]))
            self.assignments.append(await self.world.assign_crew(self.jobs[2]))
            self.members.append(await self.world.join(self.world.zhang_min))
        for place, person in enumerate((self.world.li_wei, self.world.li_wei, self.world.zhang_min)):
            handset = await register(self.world, person)
            self.phones.append(Phone(self.world, person, handset.replica))
            self.phones[-1].view_ids = Ids(place)

    async def run(self, *, note: str = "", max_bytes: tuple[int, ...] = (PULL_BYTES,)) -> None:
        """Let things happen, then deliver all work and pull all rows."""
        self.max_bytes = max_bytes
        await self.begin(note)
        for phone in self.phones:
            await self.pull(phone)
        for _ in range(STEPS):
            happens = self.random.choices((self.office, self.work, self.push, self.pull), (2, 6, 3, 4))[0]
            phone = self.random.choice(self.phones)
            phone.now = self.now
            await happens(phone)
        for phone in self.phones:
            phone.now = self.now
            await self.deliver(phone)
        for phone in self.phones:
            phone.replica.begin_again(keep_cookie=True)
            await phone.pull_all()

    async def office(self, _: Phone) -> None:
        what = self.random.randrange(9)
        asset, site = self.random.choice(self.assets), self.random.choice(self.sites)
        name, days = self.random.choice(NAMES), self.random.choice((0, 3, 20))
        there = await self.world.fields("asset", asset) is not None
        if what > 6:
            await self.crew(what, days)
        elif what == 0:
            await self.world.change("site", site, name=name)
        elif what == 1:
            self.now += timedelta(hours=self.random.choice((1, 24, 24, 24 * 8, 24 * 31)))
        elif what == 2:
            person, job = self.random.choice((self.world.li_wei, self.world.zhang_min)), self.random.choice(self.jobs)
            starts_at = self.now + timedelta(days=days)
            self.assignments.append(await self.world.assign(person, job, starts_at=starts_at))
        elif what == 3:
            await self.world.withdraw(self.random.choice(self.assignments))
        elif there and what == 4:
            await self.world.change("asset", asset, note=name)
        elif there and what == 5:
            await self.world.change("asset", asset, site_id=site)
        elif there:
            await self.world.delete("asset", asset)

    async def crew(self, what: int, days: int) -> None:
        """Give the crew a job, let somebody join for a time, or end somebody's time in it."""
        person, at = self.random.choice((self.world.li_wei, self.world.zhang_min)), self.now + timedelta(days=days)
        if what == 7:
            self.assignments.append(await self.world.assign_crew(self.random.choice(self.jobs), starts_at=at))
        elif self.random.random() < 0.5:
            self.members.append(await self.world.join(person, at=at, until=at + timedelta(days=4)))
        else:
            await self.world.leave(self.random.choice(self.members), at=at)

    async def work(self, phone: Phone) -> None:
        what = self.random.randrange(8)
        entity = "asset" if what in (3, 4) else "site"
        rows, place = sorted(phone.replica.shown().all(entity)), self.random.random()
        name, command, elsewhere = (self.random.choice(some) for some in (NAMES, COMMANDS, self.sites))
        held = sorted(phone.replica.shown().all("site"))
        site = elsewhere if place < ASTRAY or not held else held[int(place * len(held))]
        row = rows[int(place * len(rows))] if rows else ""
        if what == 5:
            self.assets.append(phone.add("asset", site_id=site, **NEW_ASSET).mutation.row)
        elif what == 6:
            phone.do(command, site, f"{len(self.results)}-{place:.6f}")
        elif what == 7:
            met = {"customer_id": self.world.customer, "name": name, "title": None, "function": "", "language": "zh"}
            phone.replica.outbox.put("meet", self.world.ids(), self.now, row=self.world.ids(), args=met)
        elif row:
            self.edit(phone, what, row, name)

    def edit(self, phone: Phone, what: int, row: str, name: str) -> None:
        changes: tuple[dict[str, Any], ...] = ({"name": name}, {"acceptance_on": "2026-01-01"}, {"lat": 30.5})
        if what == 4:
            phone.remove("asset", row)
        elif what == 3:
            phone.edit("asset", row, note=name)
        else:
            phone.edit("site", row, **changes[what])

    async def push(self, phone: Phone) -> None:
        request = phone.replica.push_request(self.random.choice((1, 3, 200)))
        times, arrives = self.random.choice((1, 1, 2)), self.random.random() < 0.8
        if request is None:
            return
        try:
            for _ in range(times):
                answer = await phone.ask_push(request)
                self.results.append([bytes(raw) for raw in answer.results])
                if arrives:
                    phone.replica.take_push(answer)
        except Refusal as refusal:
            self.results.append(refusal.code)

    async def pull(self, phone: Phone) -> None:
        max_bytes = self.random.choice(self.max_bytes)
        arrives = self.random.random() < 0.8
        try:
            answer = await phone.ask_pull(phone.replica.pull_request(max_bytes))
        except Refusal as refusal:
            self.pulls.append(refusal.code.encode())
            phone.replica.begin_again(keep_cookie=True)
            return
        self.pulls.append(b"" if answer is None else encode(answer))
        if arrives:
            phone.replica.take_pull(answer)

    async def deliver(self, phone: Phone) -> None:
        while (request := phone.replica.push_request()) is not None:
            answer = await phone.ask_push(request)
            self.results.append([bytes(raw) for raw in answer.results])
            phone.replica.take_push(answer)

    async def held(self) -> list[dict[str, dict[str, str]]]:
        """What each phone holds; it is what the rows say it must."""
        for phone in self.phones:
            assert buckets(phone) == await self.world.expected(phone.person, self.now)
        return [buckets(phone) for phone in self.phones]


def alike(held: list[dict[str, dict[str, str]]]) -> list[dict[str, Any]]:
    """What is held, as far as every world has it."""
    return [
        {
            f"{bucket}/{place}": {
                name: fields[name] for name in SEEN_ALIKE.get(place.partition("/")[0], ()) if name in fields
            }
            for bucket, rows in phone.items()
            for place, fields in ((place, msgspec.json.decode(body)) for place, body in rows.items())
            if not place.startswith(ONLY_IN_SQL)
        }
        for phone in held
    ]


@pytest.mark.parametrize("seed", SEEDS)
async def test_one_history_ends_alike_over_every_store(sql_databases: Mapping[str, Database], seed: int) -> None:
    memory = History(await MemoryWorld().begin(), seed)
    await memory.run()
    sqlite, postgresql = [History(await sql_world_over(database), seed) for database in sql_databases.values()]
    for history in (sqlite, postgresql):
        await history.run()
        assert history.results == memory.results
        assert alike(await history.held()) == alike(await memory.held())
    assert sqlite.pulls == postgresql.pulls
    assert await sqlite.held() == await postgresql.held()


@pytest.mark.parametrize("seed", PAGED_SEEDS)
async def test_pages_of_both_databases_are_the_same(sql_databases: Mapping[str, Database], seed: int) -> None:
    """The world in memory is left out: its rows are smaller, so its pages end elsewhere."""
    sqlite, postgresql = [History(await sql_world_over(database), seed) for database in sql_databases.values()]
    for history in (sqlite, postgresql):
        await history.run(note="长" * 700, max_bytes=(PULL_BYTES_LEAST, PULL_BYTES_LEAST, PULL_BYTES))
    assert sqlite.pulls == postgresql.pulls
    assert sqlite.results == postgresql.results
    assert await sqlite.held() == await postgresql.held()
    assert any(b'"page"' in answer for answer in sqlite.pulls)
