"""Comparing what a phone holds with what it should: over every store, in pages, while the office writes."""

import msgspec
import pytest

from sync.limits import PULL_BYTES_LEAST
from sync.protocol import PullAnswer, Refusal, decode_reconcile, encode
from sync.pull import Puller
from sync.reconcile import reconcile
from sync.repair import Repair
from sync.replica import Pulled
from tests.sync.handset import Handset, buckets
from tests.sync.world import SECRET, World


async def ask(handset: Handset, repair: Repair, max_bytes: int = PULL_BYTES_LEAST) -> PullAnswer:
    request = decode_reconcile(encode(repair.request(handset.world.ids(), max_bytes)))
    answer = await reconcile(
        handset.store, puller=Puller(handset.device, SECRET), request=request, now=handset.now,
        new_id=handset.world.ids,
    )  # fmt: skip
    assert answer is not None
    return msgspec.json.decode(encode(answer), type=PullAnswer)


async def repaired(handset: Handset) -> int:
    """Ask until phone and server agree; return how often that was."""
    repair = Repair.begun(handset.replica)
    for asked in range(1, 100):
        if repair.take(await ask(handset, repair)) is Pulled.DONE:
            return asked
    raise AssertionError("they never agree")


async def damage(handset: Handset, site: str) -> None:
    """Change one row, lose one, and keep one that never was, in the bucket of a site."""
    rows = handset.replica.holding.buckets[f"site:{site}"]
    first, second, *_ = sorted(rows)
    rows[first] = rows[first].replace("枪机", "球机")
    del rows[second]
    rows[f"asset/{handset.world.ids()}"] = "{}"
    handset.replica.begin_again(keep_cookie=False)


async def test_a_corruption_is_repaired_and_the_next_pull_goes_on(world: World, li_wei: Handset, site: str) -> None:
    for _ in range(3):
        await world.asset(site)
    await li_wei.pull_all()
    await damage(li_wei, site)
    assert await repaired(li_wei) == 2
    assert buckets(li_wei) == await world.expected(world.li_wei, li_wei.now)
    assert await li_wei.pull() is Pulled.UNCHANGED
    await world.change("site", site, name="西门")
    assert await li_wei.pull() is Pulled.DONE
    assert buckets(li_wei) == await world.expected(world.li_wei, li_wei.now)


async def test_differences_come_in_pages_while_the_office_writes(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    gone = await world.asset(site)
    await li_wei.pull_all()
    for _ in range(12):
        await world.asset(site, note="长" * 300)
    other = await world.site(name="北门")
    await world.assign(world.li_wei, await world.job(other))
    li_wei.replica.begin_again(keep_cookie=False)
    li_wei.replica.holding.buckets["site:" + world.ids()] = {"site/x": "{}"}
    repair, rounds = Repair.begun(li_wei.replica), 0
    for rounds in range(100):
        if repair.take(await ask(li_wei, repair)) is Pulled.DONE:
            break
        if rounds == 2:
            await world.delete("asset", gone)
            await world.change("site", site, name="西门")
    assert rounds > 4
    assert buckets(li_wei) == await world.expected(world.li_wei, li_wei.now)


async def test_it_gives_what_a_pull_gives_and_to_nobody_else(
    world: World, li_wei: Handset, zhang_min: Handset, site: str
) -> None:
    await repaired(li_wei)
    assert buckets(li_wei) == await world.expected(world.li_wei, li_wei.now)
    repair = Repair.begun(zhang_min.replica)
    await world.revoke(zhang_min.device)
    answer = await ask(zhang_min, repair)
    assert (answer.ops, answer.cookie, repair.take(answer)) == ([], None, Pulled.WIPED)
    stranger = Repair.begun(li_wei.replica)
    assert stranger.take(PullAnswer(of="another", v=1)) is Pulled.IGNORED
    li_wei.replica.identity = msgspec.structs.replace(li_wei.replica.identity, incarnation=world.ids())
    with pytest.raises(Refusal, match="unknown_incarnation"):
        await ask(li_wei, stranger)
