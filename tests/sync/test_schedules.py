"""Two writers and a pulling phone on PostgreSQL, stepped statement by statement (invariants 2, 7 and 34).

Whatever the order, a complete pull at `v` has every change up to `v`; a mutation has one effect however often it is
delivered at once; a change carries its own transaction's `v`. A cursor taken from a bare sequence fails the same check.
More schedules: SCHEDULES=5000 make test TESTS=tests/sync/test_schedules.py
"""

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy import update

from backend.sites.models import Site
from sync.holding import place
from sync.protocol import PushAnswer, PushRequest
from sync.replica import Pulled
from sync.store import Transient
from tests.sync.handset import Handset, buckets, register
from tests.sync.schedules import Rewrite, Stage, watcher_of
from tests.sync.sql_world import SqlWorld

SCHEDULES: Final = int(os.environ.get("SCHEDULES", "200"))
PARTS: Final = 4
CROSSINGS: Final = 6
"""Pairs of pushes of which each touches first what the other touches last."""
NAMES: Final = ("东门", "西门", "南门", "北门")
SEARCH: Final = range(80, 230)
"""Schedules within which a bad cursor must be caught; usually one of the first dozen is enough."""

NEWER: Final = "SELECT bucket, entity, row_id, v, deleted, body, xmin::text AS tx FROM change WHERE v > $1"
EFFECTS: Final = (
    "SELECT mutation_id, count(*) FROM audit_entry WHERE mutation_id IS NOT NULL GROUP BY 1 HAVING count(*) > 1"
)
CLOCK: Final = "SELECT greatest(v, (SELECT max(v) FROM change)) FROM commit_clock"
ROW_TX: Final = "SELECT xmin::text FROM site WHERE id = $1"


class Missed(AssertionError):
    """A complete pull lacks a change it says it has."""


@dataclass
class Scene:
    """李伟 with two phones, 张敏 with one, an office, and two sites both people work at."""

    world: SqlWorld
    watcher: asyncpg.Connection
    sites: list[str] = field(default_factory=list[str])
    phones: list[Handset] = field(default_factory=list[Handset])
    orders: set[tuple[str, ...]] = field(default_factory=set[tuple[str, ...]])

    async def begin(self) -> "Scene":
        for name in NAMES[:2]:
            site = await self.world.site(name=name)
            job = await self.world.job(site)
            for person in (self.world.li_wei, self.world.zhang_min):
                await self.world.assign(person, job, hours=24 * 300)
            self.sites.append(site)
        for person in (self.world.li_wei, self.world.li_wei, self.world.zhang_min):
            self.phones.append(await register(self.world, person))
            await self.phones[-1].pull_all()
        return self

    async def clock(self) -> int:
        return int(str(await self.watcher.fetchval(CLOCK)))

    async def run(self, seed: int, rewrite: Rewrite | None = None) -> None:
        """Let one schedule happen, then check."""
        dice = random.Random(seed)  # noqa: S311 - a schedule that repeats is the purpose
        before, seen = await self.clock(), list[tuple[int, dict[str, dict[str, str]]]]()
        stage = Stage(dice, self.watcher, rewrite)
        actors = {"one": self.writer(dice, 1), "two": self.writer(dice, 2), "pull": self.puller(seen)}
        with stage.listening():
            ended = await stage.play(actors)
            for name, end in ended.items():
                deadlocked = isinstance(end, Transient)  # the phone is told to come again, and does
                assert deadlocked or not isinstance(end, BaseException), f"{seed}: {name} {end!r}"
            self.orders.add(tuple(stage.order))
            await self.puller(seen)()
        await self.check(before, seen)

    def writer(self, dice: random.Random, number: int) -> Callable[[], Awaitable[Any]]:
        """The office, a phone's push, or the same push arriving twice at once."""
        site, name, what = dice.choice(self.sites), dice.choice(NAMES), dice.randrange(6)
        if what > 2:
            return lambda: self.world.change("site", site, name=name)
        phone = self.phones[number]
        if not phone.replica.outbox.pending():
            phone.do("sign", site, f"{dice.randrange(10**6):06d}")
            if what == 0:
                phone.edit("site", dice.choice(self.sites), name=name)
        twin = self.phones[1] if what == 1 and self.phones[1].replica.outbox.pending() else phone
        request = twin.replica.push_request()
        assert request is not None
        return lambda: _pushed(twin, request)

    def puller(self, seen: list[tuple[int, dict[str, dict[str, str]]]]) -> Callable[[], Awaitable[None]]:
        async def pulled() -> None:
            phone = self.phones[0]
            if await phone.pull_all() is Pulled.DONE:
                seen.append((phone.replica.holding.v, buckets(phone)))

        return pulled

    async def check(self, before: int, seen: list[tuple[int, dict[str, dict[str, str]]]]) -> None:
        entries = await self.watcher.fetch(NEWER, before)
        for v, held in seen:
            for entry in entries:
                if entry["v"] <= v and entry["bucket"] in held:
                    rows, key = held[entry["bucket"]], place(entry["entity"], str(entry["row_id"]))
                    if rows.get(key) != (None if entry["deleted"] else entry["body"]):
                        raise Missed(f"{key} of v {entry['v']} in a pull at {v}")
        assert await self.watcher.fetch(EFFECTS) == [], "one effect a mutation"
        await self.check_stamps(entries)

    async def check_stamps(self, entries: list[Any]) -> None:
        """A change and its `v` come from one transaction, and each such transaction has a `v` of its own."""
        assert await self.watcher.fetchval("SELECT count(*) FROM unstamped") == 0
        stamps = {(entry["tx"], entry["v"]) for entry in entries}
        assert len(stamps) == len({tx for tx, _ in stamps}) == len({v for _, v in stamps})
        for entry in entries:
            if entry["entity"] == "site":
                assert await self.watcher.fetchval(ROW_TX, entry["row_id"]) == entry["tx"]


async def test_pushes_that_cross_end_without_one_being_told_to_come_again(scene: Scene) -> None:
    """Each begins with what the other ends with: a lock taken as it is needed would wait in a circle."""
    li_wei, zhang_min = scene.phones[1:]
    for seed in range(CROSSINGS):
        there, back = scene.sites if seed % 2 else reversed(scene.sites)
        for phone, first, last in ((li_wei, there, back), (zhang_min, back, there)):
            phone.do("sign", first, f"{seed};")
            phone.edit("site", last, name=f"{phone.person[:4]} {seed}")
        actors = {name: _pushing(phone) for name, phone in (("one", li_wei), ("two", zhang_min))}
        stage = Stage(random.Random(seed), scene.watcher)  # noqa: S311 - a schedule that repeats is the purpose
        with stage.listening():
            ended = await stage.play(actors)
        assert not [end for end in ended.values() if isinstance(end, BaseException)], (seed, ended)
    assert await scene.watcher.fetch(EFFECTS) == [], "one effect a mutation"


async def test_a_push_that_waits_in_a_circle_with_the_office_is_done_again(scene: Scene) -> None:
    """The office takes rows in any order; whoever the database gives up then, it is not the phone that hears of it."""
    phone = scene.phones[1]
    for seed in range(CROSSINGS):
        for site in scene.sites:
            phone.edit("site", site, name=f"{seed}")
        order = sorted(scene.sites, reverse=True)

        async def office(order: list[str] = order, seed: int = seed) -> None:
            async with scene.world.database.write() as session:
                for site in order:
                    noted = update(Site).where(Site.id == UUID(site)).values(access_notes=f"门卫 {seed}")
                    await session.execute(noted)

        stage = Stage(random.Random(seed), scene.watcher)  # noqa: S311 - a schedule that repeats is the purpose
        with stage.listening():
            ended = await stage.play({"office": office, "phone": _pushing(phone)})
        assert not isinstance(ended["phone"], BaseException), (seed, ended["phone"])


def _pushing(phone: Handset) -> Callable[[], Awaitable[PushAnswer]]:
    request = phone.replica.push_request()
    assert request is not None
    return lambda: _pushed(phone, request)


async def _pushed(phone: Handset, request: PushRequest) -> PushAnswer:
    answer = await phone.ask_push(request)
    phone.replica.take_push(answer)
    return answer


@pytest_asyncio.fixture(loop_scope="session")
async def scene(postgresql_world: SqlWorld) -> AsyncIterator[Scene]:
    watcher = await watcher_of(postgresql_world.database.url)
    yield await Scene(postgresql_world, watcher).begin()
    await watcher.close()


@pytest.mark.parametrize("part", range(PARTS))
async def test_any_order_of_statements_keeps_the_promises(scene: Scene, sql_databases: Any, part: int) -> None:
    seeds = range(part, SCHEDULES, PARTS)
    for seed in seeds:
        await scene.run(seed)
    for phone in scene.phones:
        while phone.replica.push_request() is not None:
            await phone.push()
        await phone.pull_all()
        assert buckets(phone) == await scene.world.expected(phone.person, phone.now)
    assert len(scene.orders) > len(seeds) * 0.9, "schedules differ"


def bare_sequence(statement: str) -> str:
    """A clock that is a sequence: a number is taken without a lock, and a reader believes the highest it sees."""
    if statement.startswith("UPDATE commit_clock"):
        return "SELECT nextval('bare_clock') + 0 * $1::integer"
    return statement.replace("commit_clock.v AS clock_v", "(SELECT max(change.v) FROM change) AS clock_v")


async def _search(scene: Scene) -> None:
    for seed in SEARCH:
        await scene.run(seed, bare_sequence)


async def test_a_cursor_from_a_bare_sequence_is_caught(scene: Scene, sql_databases: Any) -> None:
    await scene.watcher.execute(f"CREATE SEQUENCE bare_clock START {await scene.clock() + 1}")
    try:
        with pytest.raises(Missed):
            await _search(scene)
    finally:
        await scene.watcher.execute("DROP SEQUENCE bare_clock")
