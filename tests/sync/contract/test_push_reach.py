"""What a phone may push to, and what its work becomes when somebody took the work away meanwhile."""

from datetime import timedelta
from typing import Any

import msgspec

from sync.handler import Call, Handler, Outcome, applied
from sync.limits import GRANT_DAYS
from sync.protocol import Result, Status
from sync.store import RowKey, RowWrite, WriteKind
from tests.sync.handset import Handset, register
from tests.sync.world import START, World, handlers_that, sign, site_of


async def marks(world: World, site: str) -> str:
    fields = await world.fields("site", site)
    assert fields is not None
    return fields["access_notes"]


def statuses(results: list[Result]) -> list[Status]:
    return [result.status for result in results]


async def test_what_was_never_granted_is_rejected_whether_it_exists_or_not(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    elsewhere = await world.site(name="别处")
    for target in (elsewhere, world.ids()):
        li_wei.do("sign", target, "a")
        li_wei.replica.outbox.put(
            "edit", world.ids(), START, entity="site", row=target, fields={"name": {"was": "别处", "now": "我的"}}
        )
    results = await li_wei.push()
    assert {(result.status, result.code) for result in results} == {(Status.REJECTED, "not_granted")}
    assert await marks(world, elsewhere) == ""


async def test_work_taken_away_meanwhile_is_still_delivered_but_nothing_is_told(
    world: World, li_wei: Handset, site: str
) -> None:
    other = await world.site(name="北门")
    assignment = await world.assign(world.li_wei, await world.job(other))
    await li_wei.pull_all()
    seen: list[bool] = []

    async def look(tx: Any, call: Call) -> Outcome:
        seen.append(call.in_scope)
        return await sign(tx, call)

    li_wei.handlers = handlers_that(look=Handler(look, site_of))
    await world.withdraw(assignment)
    await world.change("site", other, name="王芳改的")
    li_wei.do("look", other, "a")
    li_wei.do("refuse", other, "b")
    li_wei.edit("site", other, name="李伟改的")
    li_wei.edit("site", other, acceptance_on="2026-01-01")
    li_wei.do("sign_then_refuse", other, "d")
    results = await li_wei.push()
    assert statuses(results) == [Status.APPLIED, Status.REJECTED, Status.CONFLICT, Status.MERGED, Status.REJECTED]
    assert set(seen) == {False}
    assert [result.code for result in results] == [
        "delivered_out_of_scope", "visit_cancelled", "edited_meanwhile", "delivered_out_of_scope", "visit_finished",
    ]  # fmt: skip
    for result in results:
        told = msgspec.json.encode(result).decode()
        assert "王芳" not in told
        assert "李伟" not in told
        assert result.held == ()
    assert results[2].conflicts
    await li_wei.pull_all()
    li_wei.do("look", other, "c")
    assert statuses(await li_wei.push()) == [Status.APPLIED], "the phone has dropped it, but may deliver"
    assert await marks(world, other) == "a;c;"


async def test_long_after_a_bucket_left_a_person_must_look(world: World, li_wei: Handset, site: str) -> None:
    other = await world.site(name="北门")
    assignment = await world.assign(world.li_wei, await world.job(other))
    await li_wei.pull_all()
    item = li_wei.edit("site", other, name="李伟改的")
    await world.withdraw(assignment)
    li_wei.now += timedelta(hours=1)
    await li_wei.pull_all()
    left_at = li_wei.now
    li_wei.do("sign", other, "a")
    li_wei.now = left_at + timedelta(days=GRANT_DAYS)
    assert statuses(await li_wei.push(1)) == [Status.APPLIED]
    li_wei.now += timedelta(seconds=1)
    results = await li_wei.push()
    assert [(result.status, result.code) for result in results] == [(Status.QUARANTINED, "left_scope")]
    assert await marks(world, other) == ""
    assert li_wei.replica.state_of(item.id) == "applied"


async def test_a_bucket_made_on_the_phone_may_be_worked_on_at_once(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    customer = (await world.fields("site", site) or {})["customer_id"]
    content = {"customer_id": customer, "name": "赵敏", "title": None, "function": "contact", "language": "zh"}
    met = world.ids()
    li_wei.replica.outbox.put("meet", world.ids(), START, entity="contact", row=met, args=content)
    put = li_wei.replica.outbox.put
    put("edit", world.ids(), START, entity="contact", row=met, fields={"name": {"was": "赵敏", "now": "赵明"}})
    added = world.ids()
    put("add", world.ids(), START, entity="contact", row=added, args={**content, "name": "孙丽"})
    put("edit", world.ids(), START, entity="contact", row=added, fields={"title": {"was": None, "now": "主任"}})
    assert statuses(await li_wei.push()) == [Status.APPLIED] * 4
    await li_wei.pull_all()
    put("edit", world.ids(), START, entity="contact", row=met, fields={"title": {"was": None, "now": "队长"}})
    assert statuses(await li_wei.push()) == [Status.APPLIED]
    fields = [await world.fields("contact", contact) for contact in (met, added)]
    assert [(found["name"], found["title"]) for found in fields if found] == [("赵明", "队长"), ("孙丽", "主任")]


async def test_a_revoked_phones_work_is_kept_and_it_is_told_to_wipe(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    li_wei.do("sign", site, "a")
    li_wei.edit("site", site, name="西门")
    await world.revoke(li_wei.device)
    assert {(result.status, result.code) for result in await li_wei.push()} == {(Status.QUARANTINED, "device_revoked")}
    assert li_wei.replica.wiped
    assert await marks(world, site) == ""
    assert len(await world.quarantined(li_wei.device)) == 2


async def test_a_void_takes_the_number_of_what_cannot_be_delivered(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    item = li_wei.do("sign", site, "a" * 1000)
    li_wei.do("sign", site, "b")
    li_wei.replica.outbox.void(item, "too_large", world.ids(), START)
    assert [(result.status, result.code) for result in await li_wei.push()] == [
        (Status.QUARANTINED, "undeliverable"), (Status.APPLIED, ""),
    ]  # fmt: skip
    assert li_wei.replica.state_of(item.id) == "quarantined"
    assert await marks(world, site) == "b;"


# Acknowledgement: what a complete pull says of this phone's own work.


async def test_a_pull_acknowledges_work_that_changed_no_row_of_the_phone(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    li_wei.do("refuse", site, "a")
    await li_wei.push()
    assert li_wei.replica.holding.acked_n == 0
    await li_wei.pull()
    assert li_wei.replica.holding.acked_n == 1
    await li_wei.pull()
    await world.change("site", site, name="西门")
    await li_wei.pull()
    assert li_wei.replica.holding.acked_n == 1
    assert li_wei.replica.shown().get("site", site) == await world.fields("site", site)


async def test_what_is_acknowledged_is_shown_even_when_the_answer_was_lost(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    item = li_wei.edit("site", site, name="西门")
    request = li_wei.replica.push_request()
    assert request is not None
    await li_wei.ask_push(request)  # its answer is lost
    await world.change("site", site, name="王芳改的")
    await li_wei.pull_all()
    shown = li_wei.replica.shown().get("site", site)
    assert shown is not None
    assert shown["name"] == "王芳改的", "acknowledged work is no longer laid over newer rows"
    assert li_wei.replica.state_of(item.id) == "pending"
    await li_wei.push()
    assert li_wei.replica.state_of(item.id) == "applied"


async def test_an_acknowledgement_counts_in_the_numbering_it_was_asked_for(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    li_wei.do("refuse", site, "a")
    await li_wei.push()
    await li_wei.pull()
    await li_wei.renew()
    li_wei.do("refuse", site, "b")
    await li_wei.push()
    await li_wei.pull()
    held = li_wei.replica.holding
    assert (held.incarnation, held.acked_n) == (li_wei.replica.identity.incarnation, 1)


# Time.


async def effective_times(world: World, handset: Handset, site: str, device_offset: timedelta) -> list[Any]:
    seen: list[Call] = []

    async def look(tx: Any, call: Call) -> Outcome:
        seen.append(call)
        return applied()

    handset.handlers = handlers_that(look=Handler(look, site_of))
    request = handset.replica.push_request()
    assert request is not None
    answer = await handset.ask_push(request, device_now=handset.now + device_offset)
    handset.replica.take_push(answer)
    return [(call.effective_at, call.time_flagged) for call in seen]


async def test_an_event_counts_when_it_happened_by_the_measured_clock(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    li_wei.now = START + timedelta(hours=1)
    li_wei.do("look", site, "right")
    li_wei.now = START + timedelta(hours=2)
    assert await effective_times(world, li_wei, site, timedelta()) == [(START + timedelta(hours=1), False)]
    fast = timedelta(days=3650)
    li_wei.now += fast + timedelta(minutes=10)
    li_wei.do("look", site, "ten years fast")
    li_wei.now -= fast - timedelta(minutes=10)
    assert await effective_times(world, li_wei, site, fast) == [(START + timedelta(hours=2, minutes=10), True)]


async def test_an_event_never_counts_before_the_phone_was_seen_or_after_it_arrived(
    world: World, li_wei: Handset, site: str
) -> None:
    li_wei.now = START + timedelta(hours=1)
    await li_wei.pull_all()
    seen_at = li_wei.now
    for claimed in (START - timedelta(days=3650), START + timedelta(days=3650)):
        li_wei.now = claimed
        li_wei.do("look", site, "a")
    li_wei.now = START + timedelta(hours=3)
    assert await effective_times(world, li_wei, site, timedelta()) == [(seen_at, True), (li_wei.now, True)]


async def test_a_second_phone_of_a_person_has_a_ledger_of_its_own(world: World, li_wei: Handset, site: str) -> None:
    second = await register(world, world.li_wei)
    for handset, mark in ((li_wei, "a"), (second, "b")):
        await handset.pull_all()
        handset.do("sign", site, mark)
        assert statuses(await handset.push()) == [Status.APPLIED]
    assert await marks(world, site) == "a;b;"


async def test_rows_locked_by_a_push_include_what_it_wrote(world: World, site: str) -> None:
    key = RowKey("site", site)
    async with world.store.write() as tx:
        before = (await tx.rows([key]))[key]
        await tx.write([RowWrite(WriteKind.UPDATE, key, {"name": "西门"}, world.ids())])
        within = (await tx.rows([key]))[key]
    async with world.store.write() as tx:
        after = (await tx.rows([key]))[key]
    assert (within.fields["name"], within.v) == ("西门", before.v)
    assert after.v > before.v


async def test_after_a_restore_what_may_have_been_granted_is_put_before_a_person(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    await world.put_back()
    elsewhere = await world.site(name="别处")
    for target in (elsewhere, world.ids()):
        li_wei.do("sign", target, "a")
        li_wei.replica.outbox.put(
            "edit", world.ids(), START, entity="site", row=target, fields={"name": {"was": "别处", "now": "我的"}}
        )
    payloads = [item.payload.encode() for item in li_wei.replica.outbox.items.values()]
    results = await li_wei.push()
    assert {(result.status, result.code) for result in results} == {(Status.QUARANTINED, "perhaps_lost")}
    assert await world.quarantined(li_wei.device) == payloads
    assert await marks(world, elsewhere) == "", "a claim brings a person, never an effect"
    newcomer = await register(world, world.li_wei, START + timedelta(days=1))
    newcomer.do("sign", elsewhere, "b")
    assert [result.code for result in await newcomer.push()] == ["not_granted"], "from it nothing was lost"
