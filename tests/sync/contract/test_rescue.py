"""A raw queue is kept for a dispatcher: once, whatever of it can be read, and recognised when it is pushed later."""

import msgspec
import pytest

from sync.accepting import accept
from sync.handler import Outcome
from sync.protocol import PushRequest, Refusal, RescueRequest, Result, Status
from sync.rescue import RESCUED, rescue
from tests.sync.handset import Handset
from tests.sync.world import START, World


async def rescued(phone: Handset, *raw: bytes) -> list[Result]:
    request = RescueRequest([msgspec.Raw(one) for one in raw])
    answer = await rescue(phone.store, request, device=phone.device, now=phone.now, new_id=phone.world.ids)
    return [msgspec.json.decode(one, type=Result) for one in answer.results]


def queue(phone: Handset) -> list[bytes]:
    return [msgspec.json.encode(item) for item in phone.replica.outbox.items.values()]


async def test_a_queue_is_kept_once_and_recognised_when_it_is_pushed_after_all(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    done = li_wei.do("sign", site, "a")
    await li_wei.push()
    waiting = li_wei.do("sign", site, "b")
    first = await rescued(li_wei, *queue(li_wei))
    assert [(one.id, one.status, one.code) for one in first] == [
        (done.id, Status.APPLIED, ""), (waiting.id, Status.QUARANTINED, RESCUED),
    ]  # fmt: skip
    assert await rescued(li_wei, *queue(li_wei)) == first
    (pushed,) = await li_wei.push()
    assert (pushed.n, pushed.id, pushed.code) == (2, waiting.id, RESCUED)
    assert await world.quarantined(li_wei.device) == [waiting.payload.encode()]
    assert ((await world.fields("site", site)) or {})["access_notes"] == "a;", "inert until somebody accepts it"


async def test_whatever_the_bytes_say_they_are_kept(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    item = li_wei.do("sign", site, "a")
    other = item.payload.replace('"a"', '"z"').encode()
    broken = (b'{"payload":"{half"}', b"[1,2]", b'{"payload":"\\u0000"}', item.payload.encode(), other, other)
    results = await rescued(li_wei, *broken)
    assert {one.status for one in results} == {Status.QUARANTINED}
    assert len({one.id for one in results}) == 5
    kept = await world.quarantined(li_wei.device)
    assert sorted(kept) == sorted([b"{half", b"[1,2]", b"\0", item.payload.encode(), other])
    assert await rescued(li_wei, *broken) == results


async def test_what_is_accepted_is_done_by_the_rules_of_a_push(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    elsewhere = await world.site()
    good, foreign = li_wei.do("sign", site, "a"), li_wei.do("sign", elsewhere, "b")
    clash = good.payload.replace('"a"', '"z"').encode()
    edit = li_wei.edit("site", site, name="西门")
    await rescued(li_wei, *queue(li_wei), clash)
    ends = {payload: await accepted(li_wei, payload) for payload in await world.quarantined(li_wei.device)}
    assert {payload: (end.status, end.code) for payload, end in ends.items()} == {
        good.payload.encode(): (Status.APPLIED, ""),
        edit.payload.encode(): (Status.MERGED, ""),
        foreign.payload.encode(): (Status.REJECTED, "not_granted"),
        clash: (Status.REJECTED, "id_taken"),
    }
    fields = await world.fields("site", site) or {}
    assert (fields["access_notes"], fields["name"]) == ("a;", "西门")


async def accepted(phone: Handset, payload: bytes) -> Outcome:
    """Accept what was set aside with this payload."""
    (result,) = await rescued(phone, payload)
    async with phone.store.write() as tx:
        (entry,) = await tx.ledger(phone.device, phone.world.ids(), range(0), {result.id})
        return (await accept(tx, phone.handlers, entry, now=START, new_id=phone.world.ids)).outcome


async def test_nobody_elses_phone_is_rescued(world: World, li_wei: Handset, zhang_min: Handset, site: str) -> None:
    await li_wei.pull_all()
    item = li_wei.do("sign", site, "a")
    assert [one.status for one in await li_wei.push()] == [Status.APPLIED]
    (theirs,) = await rescued(zhang_min, item.payload.encode())
    assert (theirs.status, theirs.id == item.id) == (Status.QUARANTINED, False)
    with pytest.raises(Refusal, match="unknown_device"):
        await rescue(world.store, RescueRequest([]), device=world.ids(), now=START, new_id=world.ids)
    assert await li_wei.ask_push(PushRequest(li_wei.replica.identity.incarnation, []))
