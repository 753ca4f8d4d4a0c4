"""The reference client after a loss: rows that went bad, a view the server forgot, a server restored from a backup."""

# ruff: noqa: F811 - arguments are named like the fixtures that fill them

import msgspec
import pytest

from sync.client.phone import Ended
from sync.client.transport import Reply, Transport
from sync.cursor import Cookie, seal, unseal
from sync.limits import RETRY_SECONDS
from sync.protocol import INCARNATIONS_PATH, PULL_PATH, RECONCILE_PATH, WIPED_PATH, Check, PullAnswer, encode
from sync.replica import Pulled
from tests.sync.test_client import (  # noqa: F401 - fixtures are found by name
    Pocket,
    as_it_should,
    dropped,
    pocket,
    site,
    world,
)
from tests.sync.world import SECRET, START


async def test_an_idle_phone_brings_everything_back_in_order(pocket: Pocket, site: str) -> None:
    await pocket.phone.contact()
    backup = pocket.world.store.backup()
    for mark in "ab":
        pocket.sign(site, mark)
        await pocket.phone.contact()
    pocket.world.store.restore(backup, epoch=pocket.world.ids())
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.pulled, len(contact.settled)) == (Ended.COMPLETE, Pulled.DONE, 2)
    assert await pocket.marks(site) == "a;b;"
    assert INCARNATIONS_PATH not in pocket.server.served
    assert await pocket.up_to_date()
    assert (await pocket.phone.contact()).settled == []


@pytest.mark.parametrize("marks", ["", "c"])
async def test_what_an_earlier_numbering_did_comes_back_before_what_followed(
    pocket: Pocket, site: str, marks: str
) -> None:
    await pocket.phone.contact()
    before = pocket.world.store.backup()
    for mark in "ab":
        pocket.sign(site, mark)
    await pocket.phone.contact()
    await pocket.phone._renew()  # pyright: ignore[reportPrivateUsage]
    between = pocket.world.store.backup()
    for mark in marks:
        pocket.sign(site, mark)
    await pocket.phone.contact()
    for backup in (between, before):
        pocket.world.store.restore(backup, epoch=pocket.world.ids())
        contact = await pocket.phone.contact()
        assert (contact.ended, contact.pulled) == (Ended.COMPLETE, Pulled.DONE)
        assert await pocket.marks(site) == "".join(f"{mark};" for mark in f"ab{marks}")
        assert await pocket.up_to_date()
    assert (await pocket.phone.contact()).settled == []


async def test_what_was_forgotten_is_gone_from_the_disk(pocket: Pocket, site: str) -> None:
    pocket.sign(site, "a")
    await pocket.phone.contact()
    device, incarnation = pocket.server.device, pocket.phone.replica.identity.incarnation
    async with pocket.world.store.write() as tx:
        await tx.note_backup({(device, incarnation): 1})
    await pocket.phone.contact()
    pocket.switch_on()
    assert pocket.phone.replica.outbox.items == {}
    pocket.sign(site, "b")
    contact = await pocket.phone.contact()
    assert [item.n for item in contact.settled] == [2]
    assert await pocket.marks(site) == "a;b;"


async def test_corruption_is_found_and_only_the_difference_is_sent(pocket: Pocket, site: str) -> None:
    for _ in range(30):
        await pocket.world.asset(site, note="长" * 200)
    await pocket.phone.contact()
    rows = pocket.phone.replica.holding.buckets[f"site:{site}"]
    first, second, *_ = sorted(rows)
    rows[first] = rows[first].replace("枪机", "球机")
    del rows[second]
    rows["asset/" + pocket.world.ids()] = rows[first]
    await pocket.world.change("site", site, name="西门")
    sent: list[int] = []

    async def counted(server: Transport, path: str, body: bytes) -> Reply:
        reply = await server(path, body)
        sent.append(len(msgspec.json.decode(reply.body, type=PullAnswer).ops))
        return reply

    pocket.signal.faults = [as_it_should, counted, counted]
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.pulled, contact.restarts) == (Ended.COMPLETE, Pulled.DONE, 1)
    assert sent == [0, 3], "the site's rows are listed, and three are not as they should be"
    assert await pocket.up_to_date()
    assert pocket.server.served[-3:] == [PULL_PATH, RECONCILE_PATH, RECONCILE_PATH]
    assert (await pocket.phone.contact()).pulled is Pulled.UNCHANGED


async def test_a_view_the_server_forgot_costs_no_download(pocket: Pocket, site: str) -> None:
    for _ in range(30):
        await pocket.world.asset(site, note="长" * 200)
    await pocket.phone.contact()
    held = pocket.phone.replica.holding
    assert held.cookie is not None
    cookie = unseal(held.cookie, Cookie, secret=SECRET, device=pocket.server.device)
    strange = seal(
        msgspec.structs.replace(cookie, generation=pocket.world.ids()), secret=SECRET, device=pocket.server.device
    )
    pocket.phone.replica.holding = msgspec.structs.replace(held, cookie=strange)
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.pulled) == (Ended.COMPLETE, Pulled.DONE)
    assert pocket.server.served[-2:] == [PULL_PATH, RECONCILE_PATH]
    assert await pocket.up_to_date()
    pocket.phone.replica.begin_again(keep_cookie=False)
    await pocket.world.revoke(pocket.server.device)
    assert (await pocket.phone.contact()).pulled is Pulled.WIPED


async def test_an_answer_that_does_not_agree_ends_in_a_whole_download(pocket: Pocket, site: str) -> None:
    async def spoilt(server: Transport, path: str, body: bytes) -> Reply:
        reply = await server(path, body)
        answer = msgspec.json.decode(reply.body, type=PullAnswer)
        checks = dict.fromkeys(answer.checks, Check(0, 1))
        return Reply(200, encode(msgspec.structs.replace(answer, checks=checks)))

    await pocket.phone.contact()
    pocket.phone.replica.begin_again(keep_cookie=False)
    pocket.signal.faults = [spoilt]
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.pulled, contact.restarts) == (Ended.COMPLETE, Pulled.DONE, 1)
    assert pocket.server.served[-2:] == [RECONCILE_PATH, PULL_PATH]
    assert await pocket.up_to_date()


async def test_the_order_to_wipe_stands_until_the_server_has_heard_that_it_was_done(pocket: Pocket, site: str) -> None:
    await pocket.world.change("site", site, name="只有手机知道的门")
    await pocket.phone.contact()
    assert "只有手机知道的门".encode() in pocket.on_disk()
    await pocket.world.revoke(pocket.server.device)
    pocket.signal.faults = [as_it_should, *[dropped] * (len(RETRY_SECONDS) + 1)]
    contact = await pocket.phone.contact()
    assert (contact.ended, contact.reason) == (Ended.OFFLINE, WIPED_PATH)
    assert pocket.server.wiped_at is None
    assert "只有手机知道的门".encode() not in pocket.on_disk(), "not even in what SQLite has freed"
    pocket.switch_on()
    assert (await pocket.phone.contact()).ended is Ended.COMPLETE
    assert pocket.server.wiped_at == START
    pocket.switch_on()
    served = len(pocket.server.served)
    await pocket.phone.contact()
    assert pocket.server.served[served:] == [PULL_PATH], "said once"
