"""The reference client: a phone with a disk, over connections that break in every way."""

import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sync import work
from sync.client.disk import Disk
from sync.client.phone import Ended, Line, Phone, Refused, enrol
from sync.client.transport import NoAnswer, Reply, Transport
from sync.limits import CONTACT_RESTARTS, PULL_BYTES_LEAST, RETRY_SECONDS, RETRY_SECONDS_MOST
from sync.protocol import (
    INCARNATIONS_PATH,
    PROBLEM,
    PULL_PATH,
    PUSH_PATH,
    EnrolAnswer,
)
from sync.replica import Pulled, Replica
from tests.sync.handset import enrol_request
from tests.sync.server import Server
from tests.sync.world import START, MemoryWorld


class Signal:
    """A connection whose faults are dealt one by one: each takes a post and the way on. Without faults it works."""

    def __init__(self, server: Transport) -> None:
        self.server = server
        self.faults: list[Callable[[Transport, str, bytes], Awaitable[Reply]]] = []
        self.posts: list[tuple[str, bytes]] = []

    async def __call__(self, path: str, body: bytes) -> Reply:
        self.posts.append((path, body))
        if self.faults:
            return await self.faults.pop(0)(self.server, path, body)
        return await self.server(path, body)


async def dropped(server: Transport, path: str, body: bytes) -> Reply:
    raise NoAnswer("no signal")


async def answer_lost(server: Transport, path: str, body: bytes) -> Reply:
    await server(path, body)
    raise NoAnswer("gone")


async def doubled(server: Transport, path: str, body: bytes) -> Reply:
    await server(path, body)
    return await server(path, body)


async def cut_off(server: Transport, path: str, body: bytes) -> Reply:
    reply = await server(path, body)
    return Reply(reply.status, reply.body[: len(reply.body) // 2])


async def half_arrived(server: Transport, path: str, body: bytes) -> Reply:
    await server(path, body[: len(body) // 2])
    raise NoAnswer("cut on the way there")


def says(status: int, body: bytes = b"{}", retry_after: float | None = None, media_type: str = PROBLEM) -> Any:
    async def fault(server: Transport, path: str, content: bytes) -> Reply:
        return Reply(status, body, retry_after, media_type)

    return fault


async def login_page(server: Transport, path: str, body: bytes) -> Reply:
    return Reply(200, b"<html>Welcome to our hotel</html>")


async def hotel_refuses(server: Transport, path: str, body: bytes) -> Reply:
    return Reply(403, b"<html>Please pay</html>")


class Pocket:
    """A phone with everything around it."""

    def __init__(self, world: MemoryWorld, server: Server, signal: Signal, folder: Path, replica: Replica) -> None:
        self.world, self.server, self.signal = world, server, signal
        self.path = folder / "phone.db"
        self.pauses: list[float] = []
        self.tokens = [True]
        self.disk = Disk(self.path)
        self.disk.save(replica)
        self.phone = self.switch_on()

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def refresh(self) -> bool:
        return self.tokens.pop(0) if self.tokens else False

    def switch_on(self) -> Phone:
        """Begin from what is on disk, as after a crash."""
        self.disk.close()
        self.disk = Disk(self.path)
        replica = self.disk.load()
        assert replica is not None
        self.phone = Phone(replica, self.disk, self.line, lambda: START, self.world.ids)
        return self.phone

    def on_disk(self) -> bytes:
        """Every byte the phone has on its disk."""
        return b"".join(path.read_bytes() for path in self.path.parent.glob("phone.db*") if path.is_file())

    @property
    def line(self) -> Line:
        return Line(self.signal, self.sleep, self.refresh)

    def sign(self, site: str, mark: str, name: str = "sign") -> str:
        item = self.phone.do(
            partial(
                work.command, name=name, entity="mark", row=self.world.ids(), args={"site": site, "mark": mark},
                mutation_id=self.world.ids(), now=START,
            )
        )  # fmt: skip
        return item.id

    async def marks(self, site: str) -> str:
        return (await self.world.fields("site", site) or {})["access_notes"]

    async def up_to_date(self) -> bool:
        held = {name: rows for name, rows in self.phone.replica.holding.buckets.items() if rows}
        return held == await self.world.expected(self.world.li_wei, self.server.now)


@pytest.fixture
async def world() -> MemoryWorld:
    return await MemoryWorld().begin()


@pytest.fixture
async def pocket(world: MemoryWorld, tmp_path: Path) -> AsyncGenerator[Pocket]:
    server = Server(world)
    signal = Signal(server)
    line = Line(signal, no_sleep, no_refresh)
    identity = await enrol(line, enrol_request(world, await world.code(world.li_wei)))
    pocket = Pocket(world, server, signal, tmp_path, Replica.fresh(identity))
    yield pocket
    pocket.disk.close()


@pytest.fixture
async def site(world: MemoryWorld) -> str:
    site = await world.site()
    await world.assign(world.li_wei, await world.job(site))
    return site


async def no_sleep(_: float) -> None:
    pass


async def no_refresh() -> bool:
    return False


async def test_a_contact_delivers_and_fetches(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    ids = [pocket.sign(site, mark) for mark in "abc"]
    contact = await pocket.phone.contact()
    assert [item.id for item in contact.settled] == ids
    assert (contact.pulled, contact.ended) == (Pulled.DONE, Ended.COMPLETE)
    assert await pocket.marks(site) == "a;b;c;"
    assert await pocket.up_to_date()
    assert (await pocket.phone.contact()).pulled is Pulled.UNCHANGED


@pytest.mark.parametrize(
    "fault",
    [
        dropped,
        answer_lost,
        doubled,
        cut_off,
        half_arrived,
        login_page,
        hotel_refuses,
        says(500),
        says(503),
        says(429),
        says(408),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_the_same_bytes_are_sent_until_they_are_answered(pocket: Pocket, site: str, fault: Any, at: int) -> None:
    await pocket.phone.contact()
    pocket.sign(site, "a")
    pocket.signal.posts.clear()
    pocket.signal.faults = [*[as_it_should] * at, fault]
    contact = await pocket.phone.contact()
    assert contact.ended is Ended.COMPLETE
    assert await pocket.marks(site) == "a;"
    assert await pocket.up_to_date()
    pushes = [body for path, body in pocket.signal.posts if path == PUSH_PATH]
    assert len(set(pushes)) == 1


async def as_it_should(server: Transport, path: str, body: bytes) -> Reply:
    return await server(path, body)


async def test_without_signal_everything_stays_for_the_next_contact(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    item = pocket.sign(site, "a")
    pocket.signal.faults = [dropped] * (len(RETRY_SECONDS) + 1)
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.pulled) == (Ended.OFFLINE, None)
    assert pocket.pauses == list(RETRY_SECONDS)
    assert pocket.phone.replica.state_of(item) == "pending"
    assert (await pocket.phone.contact()).ended is Ended.COMPLETE


async def test_an_upload_the_server_fails_on_does_not_stop_the_download(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    pocket.sign(site, "a")
    await pocket.world.change("site", site, name="西门")
    pocket.signal.faults = [says(500)] * (len(RETRY_SECONDS) + 1)
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.pulled) == (Ended.OFFLINE, Pulled.DONE)
    assert (pocket.phone.replica.shown().get("site", site) or {})["name"] == "西门"


async def test_a_server_may_ask_for_patience_but_not_for_ever(pocket: Pocket, site: str) -> None:
    pocket.signal.faults = [says(429, retry_after=7), says(503, retry_after=9999)]
    assert (await pocket.phone.contact()).ended is Ended.COMPLETE
    assert pocket.pauses == [7, RETRY_SECONDS_MOST]


async def test_an_expired_token_is_refreshed_and_the_same_sent_again(pocket: Pocket, site: str) -> None:
    pocket.signal.faults = [says(401)]
    assert (await pocket.phone.contact()).ended is Ended.COMPLETE
    assert len(pocket.signal.posts) == 3
    assert pocket.signal.posts[1] == pocket.signal.posts[2]


@pytest.mark.parametrize("tokens", [[False], [True]])
async def test_a_phone_signed_out_keeps_its_work(pocket: Pocket, site: str, tokens: list[bool]) -> None:
    await pocket.phone.contact()
    item = pocket.sign(site, "a")
    pocket.tokens = list(tokens)
    pocket.signal.faults = [says(401), says(401)]
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.pulled) == (Ended.SIGNED_OUT, None)
    assert pocket.phone.replica.state_of(item) == "pending"


async def test_a_batch_too_large_is_halved_and_what_is_too_large_alone_is_voided(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    pocket.server.body_limit = 2000
    sizes = [10, 10, 1800, 10, 3000, 10]
    items = [pocket.sign(site, chr(ord("a") + place) * size) for place, size in enumerate(sizes)]
    contact = await pocket.phone.contact()
    assert contact.ended is Ended.COMPLETE
    states = [pocket.phone.replica.state_of(item) for item in items]
    assert states == ["applied", "applied", "quarantined", "applied", "quarantined", "applied"]
    assert [mark[0] for mark in (await pocket.marks(site)).split(";")[:-1]] == ["a", "b", "d", "f"]
    assert pocket.phone.replica.push_request() is None


@pytest.mark.parametrize("status", [400, 403, 404, 413])
@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", b'{"error":"blocked by gateway"}'),
        ("application/json", b'{"code":"unreadable"}'),
        ("", b'{"code":"too_large"}'),
    ],
)  # fmt: skip
async def test_a_gateway_that_refuses_is_no_answer_and_costs_no_work(
    pocket: Pocket, site: str, status: int, media_type: str, body: bytes
) -> None:
    await pocket.phone.contact()
    items = [pocket.sign(site, mark) for mark in "ab"]
    pocket.signal.faults = [says(status, body, media_type=media_type)] * (len(RETRY_SECONDS) + 1)
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.settled) == (Ended.OFFLINE, [])
    assert [item.id for item in pocket.phone.replica.outbox.pending()] == items
    assert (await pocket.phone.contact()).ended is Ended.COMPLETE
    assert await pocket.marks(site) == "a;b;"


async def test_work_is_not_given_up_for_a_code_nobody_knows(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    item = pocket.sign(site, "a")
    pocket.signal.faults = [says(400, b'{"code":"malformed"}')]
    assert (await pocket.phone.contact()).ended is Ended.REFUSED
    assert [one.id for one in pocket.phone.replica.outbox.items.values()] == [item]
    assert (await pocket.phone.contact()).ended is Ended.COMPLETE
    assert await pocket.marks(site) == "a;"


async def test_a_void_is_never_replaced_by_another(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    pocket.sign(site, "a")
    pocket.server.body_limit = 10
    assert (await pocket.phone.contact()).ended is Ended.REFUSED
    assert len(pocket.phone.replica.outbox.items) == 2
    pocket.server.body_limit = 1_000_000
    assert (await pocket.phone.contact()).ended is Ended.COMPLETE
    assert pocket.phone.replica.push_request() is None


async def test_a_phone_restored_from_a_backup_finds_out_and_goes_on(pocket: Pocket, site: str, tmp_path: Path) -> None:
    await pocket.phone.contact()
    copy = tmp_path / "backup.db"
    with sqlite3.connect(pocket.path) as live, sqlite3.connect(copy) as backup:
        live.backup(backup)
    backup.close()
    live.close()
    pocket.sign(site, "a")
    await pocket.phone.contact()
    pocket.disk.close()
    pocket.path = copy
    pocket.disk = Disk(copy)
    pocket.switch_on()
    item = pocket.sign(site, "b")
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.restarts) == (Ended.COMPLETE, 1)
    assert pocket.phone.replica.state_of(item) == "applied"
    assert await pocket.marks(site) == "a;b;"
    assert await pocket.up_to_date()
    assert INCARNATIONS_PATH in pocket.server.served


async def test_a_numbering_lost_on_the_way_to_pull_is_replaced(pocket: Pocket, site: str) -> None:
    replica = pocket.phone.replica
    replica.renewed(EnrolAnswer(replica.identity.device, pocket.world.ids(), "NONE"))
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.restarts) == (Ended.COMPLETE, 1)
    assert await pocket.up_to_date()


async def test_a_server_restored_from_a_backup_gets_everything_again(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    backup = pocket.world.store.backup()
    ids = [pocket.sign(site, mark) for mark in "ab"]
    await pocket.phone.contact()
    pocket.world.store.restore(backup, epoch=pocket.world.ids())
    assert await pocket.marks(site) == ""
    ids.append(pocket.sign(site, "c"))
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.pulled) == (Ended.COMPLETE, Pulled.UNCHANGED)
    assert [pocket.phone.replica.state_of(item) for item in ids] == ["applied"] * 3
    assert await pocket.marks(site) == "a;b;c;"
    assert await pocket.up_to_date()


async def test_a_phone_that_lost_what_it_never_sent_begins_a_new_numbering(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    first, second = pocket.sign(site, "a"), pocket.sign(site, "b")
    del pocket.phone.replica.outbox.items[first]
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.restarts) == (Ended.COMPLETE, 1)
    assert pocket.phone.replica.state_of(second) == "applied"
    assert await pocket.marks(site) == "b;"


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        (PUSH_PATH, 403, b'{"code":"forbidden"}'), (PULL_PATH, 404, b'{"code":"unknown_device"}'),
        (PUSH_PATH, 409, b'{"code":"gap"}'), (PUSH_PATH, 200, b'{"results":[]}'), (PUSH_PATH, 204, b""),
    ],
)  # fmt: skip
async def test_a_refusal_no_phone_can_mend_ends_its_part_of_the_contact(
    pocket: Pocket, site: str, path: str, status: int, body: bytes
) -> None:
    await pocket.phone.contact()
    item = pocket.sign(site, "a")
    await pocket.world.change("site", site, name="西门")
    pocket.signal.faults = [as_it_should, says(status, body)] if path == PULL_PATH else [says(status, body)]
    contact = await pocket.phone.contact()
    assert contact.ended is Ended.REFUSED
    assert contact.pulled is (None if path == PULL_PATH else Pulled.DONE)
    assert pocket.phone.replica.state_of(item) == ("applied" if path == PULL_PATH else "pending")


@pytest.mark.parametrize("code", [b"bad_cookie", b"page_expired", b"unknown_incarnation"])
async def test_a_server_that_never_lets_a_phone_begin_is_left_alone(pocket: Pocket, site: str, code: bytes) -> None:
    async def never(server: Transport, path: str, body: bytes) -> Reply:
        pocket.signal.faults.append(never)
        return (
            await server(path, body)
            if path == INCARNATIONS_PATH
            else await says(409, b'{"code":"%s"}' % code)(server, path, body)
        )

    pocket.signal.faults = [never]
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.restarts) == (Ended.REFUSED, CONTACT_RESTARTS + 1)


async def test_a_pull_that_expired_begins_anew_from_the_cookie(pocket: Pocket, site: str) -> None:
    for _ in range(30):
        await pocket.world.asset(site, note="长" * 200)
    pocket.signal.faults = [as_it_should, says(409, b'{"code":"page_expired"}')]
    contact = await pocket.phone.contact(PULL_BYTES_LEAST)
    assert (contact.ended, contact.pulled, contact.restarts) == (Ended.COMPLETE, Pulled.DONE, 1)
    assert await pocket.up_to_date()
    pocket.signal.faults = [says(400, b'{"code":"bad_cookie"}')]
    await pocket.world.change("site", site, name="西门")
    assert (await pocket.phone.contact()).pulled is Pulled.DONE
    assert await pocket.up_to_date()


async def test_damaged_rows_are_repaired_within_the_contact(pocket: Pocket, site: str) -> None:
    asset = await pocket.world.asset(site)
    await pocket.phone.contact()
    pocket.phone.replica.holding.buckets[f"site:{site}"].clear()
    await pocket.world.change("site", site, name="西门")
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.pulled, contact.restarts) == (Ended.COMPLETE, Pulled.DONE, 1)
    assert asset in pocket.phone.replica.shown().all("asset")
    assert await pocket.up_to_date()


async def test_a_phone_killed_at_any_moment_has_all_its_work(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    for _ in range(20):
        await pocket.world.asset(site, note="长" * 200)
    first = pocket.sign(site, "a")
    pocket.switch_on()
    second = pocket.sign(site, "b")
    pocket.signal.faults = [answer_lost, *[dropped] * len(RETRY_SECONDS)]
    await pocket.phone.contact()
    pocket.switch_on()
    assert [pocket.phone.replica.state_of(item) for item in (first, second)] == ["pending"] * 2
    pocket.signal.faults = [as_it_should, as_it_should, *[dropped] * (len(RETRY_SECONDS) + 1)]
    await pocket.phone.contact(PULL_BYTES_LEAST)
    assert pocket.phone.replica.pages, "a page is staged"
    pocket.switch_on()
    assert pocket.phone.replica.pages
    assert [pocket.phone.replica.state_of(item) for item in (first, second)] == ["applied"] * 2
    contact = await pocket.phone.contact(PULL_BYTES_LEAST)
    assert contact.ended is Ended.COMPLETE
    assert await pocket.marks(site) == "a;b;"
    assert await pocket.up_to_date()
    pocket.switch_on()
    assert await pocket.up_to_date()


async def test_work_the_disk_cannot_hold_was_not_done(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    other = sqlite3.connect(pocket.path)
    other.execute("CREATE TRIGGER full BEFORE INSERT ON item BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    other.commit()
    with pytest.raises(sqlite3.IntegrityError):
        pocket.sign(site, "a")
    assert pocket.phone.replica.push_request() is None
    other.execute("DROP TRIGGER full")
    other.commit()
    other.close()
    pocket.sign(site, "b")
    await pocket.phone.contact()
    assert await pocket.marks(site) == "b;"


async def test_a_phone_that_pulls_for_ever_stops(pocket: Pocket, site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sync.client.phone.CONTACT_ROUNDS", 2)
    for _ in range(30):
        await pocket.world.asset(site, note="长" * 200)
    assert (await pocket.phone.contact(PULL_BYTES_LEAST)).pulled is Pulled.MORE
    pocket.sign(site, "a")
    pocket.server.body_limit = 10
    contact = await pocket.phone.contact()
    assert contact.settled == []


async def test_a_revoked_phone_delivers_and_forgets(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    item = pocket.sign(site, "a")
    await pocket.world.revoke(pocket.server.device)
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.pulled) == (Ended.COMPLETE, Pulled.WIPED)
    assert [(one.id, one.result and one.result.status) for one in contact.settled] == [(item, "quarantined")]
    assert pocket.phone.replica.shown().all("site") == {}
    pocket.switch_on()
    assert pocket.phone.replica.wiped


async def test_enrolment_that_is_answered_with_nothing_is_an_error(world: MemoryWorld) -> None:
    signal = Signal(Server(world))
    signal.faults = [says(204)]
    with pytest.raises(Refused):
        await enrol(Line(signal, no_sleep, no_refresh), enrol_request(world, "AAAA"))


def test_a_new_disk_is_empty(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "phone.db")
    assert disk.load() is None
    disk.close()
