"""What a push promises, over every store: one result each, whatever is delivered, and how often."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from sync.handler import Call, Handler, Outcome, applied
from sync.limits import GRANT_DAYS, PUSH_MUTATIONS
from sync.protocol import PushRequest, Refusal, Result, Status, decode_push
from sync.store import RowKey, RowWrite, Transaction, Transient, WriteKind
from tests.sync.handset import Handset, register
from tests.sync.stores import EventfulStore
from tests.sync.world import START, World, handlers_that, sign, site_of


async def marks(world: World, site: str) -> str:
    fields = await world.fields("site", site)
    assert fields is not None
    return fields["access_notes"]


def statuses(results: list[Result]) -> list[Status]:
    return [result.status for result in results]


async def test_work_done_offline_is_applied_in_order(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    for mark in "abc":
        li_wei.do("sign", site, mark)
    li_wei.edit("site", site, name="西门")
    assert statuses(await li_wei.push()) == [Status.APPLIED] * 4
    assert await marks(world, site) == "a;b;c;"
    await li_wei.pull_all()
    assert li_wei.replica.shown().get("site", site) == await world.fields("site", site)


async def test_the_same_bytes_again_get_the_same_answer_and_no_second_effect(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    li_wei.do("sign", site, "a")
    li_wei.do("sign_then_refuse", site, "b")
    li_wei.do("no such command")
    request = li_wei.replica.push_request()
    assert request is not None
    first = await li_wei.ask_push(request)
    for _ in range(3):
        again = await li_wei.ask_push(request)
        assert [bytes(raw) for raw in again.results] == [bytes(raw) for raw in first.results]
    assert await marks(world, site) == "a;"


async def test_a_batch_that_overlaps_the_last_one_goes_on_where_it_ended(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    for mark in "abcd":
        li_wei.do("sign", site, mark)
    request = li_wei.replica.push_request()
    assert request is not None
    await li_wei.ask_push(PushRequest(request.incarnation, request.mutations[:2]))
    answer = await li_wei.ask_push(PushRequest(request.incarnation, request.mutations[1:]))
    assert len(answer.results) == 3
    assert await marks(world, site) == "a;b;c;d;"


async def test_a_missing_number_is_named(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    for mark in "abc":
        li_wei.do("sign", site, mark)
    request = li_wei.replica.push_request()
    assert request is not None
    with pytest.raises(Refusal) as refused:
        await li_wei.ask_push(PushRequest(request.incarnation, request.mutations[1:]))
    assert (refused.value.status, refused.value.code, refused.value.expected_n) == (409, "gap", 1)
    assert await marks(world, site) == ""


async def test_numbers_must_follow_one_another(li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    for mark in "abc":
        li_wei.do("sign", site, mark)
    request = li_wei.replica.push_request()
    assert request is not None
    with pytest.raises(Refusal) as refused:
        await li_wei.ask_push(PushRequest(request.incarnation, request.mutations[::2]))
    assert (refused.value.status, refused.value.code) == (400, "not_consecutive")


async def test_a_number_used_for_something_else_is_refused_and_never_applied(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    twin = li_wei.clone()
    li_wei.do("sign", site, "a")
    twin.do("sign", site, "b")
    await li_wei.push()
    with pytest.raises(Refusal) as refused:
        await twin.push()
    assert (refused.value.status, refused.value.code) == (409, "n_taken")
    assert await marks(world, site) == "a;"


async def test_a_changed_payload_under_its_own_number_and_id_is_refused(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    item = li_wei.do("sign", site, "a")
    await li_wei.push()
    forged = msgspec.Raw(item.payload.replace('"a"', '"z"').encode())
    with pytest.raises(Refusal, match="n_taken"):
        await li_wei.ask_push(PushRequest(item.incarnation, [forged]))
    assert await marks(world, site) == "a;"


async def test_two_phones_with_one_identity_never_mix_their_ledgers(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    twin = li_wei.clone()
    li_wei.do("sign", site, "a")
    twin.do("sign", site, "b")
    await li_wei.push()
    await twin.renew()
    assert twin.replica.identity.prefix != li_wei.replica.identity.prefix
    assert statuses(await twin.push()) == [Status.APPLIED]
    li_wei.do("sign", site, "c")
    twin.do("sign", site, "d")
    assert statuses(await li_wei.push()) == [Status.APPLIED]
    assert statuses(await twin.push()) == [Status.APPLIED]
    assert await marks(world, site) == "a;b;c;d;"


async def test_work_sent_before_a_phone_lost_count_is_not_done_twice(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    first = li_wei.do("sign", site, "a")
    second = li_wei.do("refuse", site, "b")
    request = li_wei.replica.push_request()
    assert request is not None
    await li_wei.ask_push(request)  # its answer is lost
    await li_wei.renew()
    li_wei.do("sign", site, "c")
    results = await li_wei.push()
    assert [(result.n, result.id) for result in results[:2]] == [(1, first.id), (2, second.id)]
    assert statuses(results) == [Status.APPLIED, Status.REJECTED, Status.APPLIED]
    assert await marks(world, site) == "a;c;"
    request = PushRequest(li_wei.replica.identity.incarnation, [
        msgspec.Raw(item.payload.encode()) for item in li_wei.replica.outbox.items.values()
    ])  # fmt: skip
    again = await li_wei.ask_push(request)
    assert [msgspec.json.decode(raw, type=Result) for raw in again.results] == results


async def test_an_id_used_for_something_else_is_rejected(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    item = li_wei.do("sign", site, "a")
    await li_wei.push()
    forged = item.payload.replace('"a"', '"z"').replace('"n":1', '"n":2')
    answer = await li_wei.ask_push(PushRequest(item.incarnation, [msgspec.Raw(forged.encode())]))
    result = msgspec.json.decode(answer.results[0], type=Result)
    assert (result.n, result.status, result.code) == (2, Status.REJECTED, "id_taken")
    assert await marks(world, site) == "a;"


async def test_another_persons_mutation_is_neither_done_again_nor_told(
    world: World, li_wei: Handset, zhang_min: Handset, site: str
) -> None:
    await li_wei.pull_all()
    item = li_wei.do("refuse", site, "a")
    await li_wei.push()
    stolen = PushRequest(zhang_min.replica.identity.incarnation, [msgspec.Raw(item.payload.encode())])
    result = msgspec.json.decode((await zhang_min.ask_push(stolen)).results[0], type=Result)
    assert (result.status, result.code) == (Status.REJECTED, "id_taken")


async def test_one_id_twice_in_a_batch_is_done_once(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    item = li_wei.do("sign", site, "a")
    second = item.payload.replace('"n":1', '"n":2')
    request = PushRequest(item.incarnation, [msgspec.Raw(text.encode()) for text in (item.payload, second)])
    results = [msgspec.json.decode(raw, type=Result) for raw in (await li_wei.ask_push(request)).results]
    assert [result.code for result in results] == ["", "id_taken"]
    assert await marks(world, site) == "a;"


UNREADABLE = {
    "no content": '{"n":1,"id":"%s"}',
    "wrong types": '{"n":1,"id":"%s","name":7,"schema":"x"}',
    "a naive time": '{"n":1,"id":"%s","name":"sign","schema":1,"occurred_at":"2026-03-02T01:00:00"}',
    "an unknown command": '{"n":1,"id":"%s","name":"teleport","schema":1,"occurred_at":"2026-03-02T01:00:00Z"}',
    "a later schema": '{"n":1,"id":"%s","name":"sign","schema":99,"occurred_at":"2026-03-02T01:00:00Z"}',
    "arguments missing": '{"n":1,"id":"%s","name":"sign","schema":1,"occurred_at":"2026-03-02T01:00:00Z"}',
    "a target that is no id": '{"n":1,"id":"%s","name":"sign","schema":1,"occurred_at":"2026-03-02T01:00:00Z",'
    '"args":{"site":"x","mark":"y"}}',
}


@pytest.mark.parametrize("payload", UNREADABLE.values(), ids=UNREADABLE)
async def test_what_cannot_be_understood_takes_its_number_and_is_kept(
    world: World, li_wei: Handset, site: str, payload: str
) -> None:
    await li_wei.pull_all()
    bad = msgspec.Raw((payload % world.ids()).encode())
    li_wei.replica.outbox.next_n = 2
    good = msgspec.Raw(li_wei.do("sign", site, "b").payload.encode())
    answer = await li_wei.ask_push(PushRequest(li_wei.replica.identity.incarnation, [bad, good]))
    results = [msgspec.json.decode(raw, type=Result) for raw in answer.results]
    assert statuses(results) == [Status.QUARANTINED, Status.APPLIED]
    assert results[0].text is not None
    assert await marks(world, site) == "b;"
    kept = await world.quarantined(li_wei.device)
    assert kept == [bytes(bad)]


@pytest.mark.parametrize(
    "mutation",
    [
        b'{"id":"x","n":1}', b'{"id":"0197c0de-0000-7000-8000-000000000001"}', b"[]", b"7",
        b'{"id":"0197c0de-0000-7000-8000-000000000001","n":0}', b'{"id":"0197C0DE-0000-7000-8000-000000000001","n":1}',
        b'{"id":"0197c0de-0000-7000-8000-000000000001\\n","n":1}',
        b'{"id":"0197c0de-0000-7000-8000-000000000001","n":9999999999}',
    ],
)  # fmt: skip
async def test_what_has_no_number_or_id_is_refused(li_wei: Handset, mutation: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        await li_wei.ask_push(PushRequest(li_wei.replica.identity.incarnation, [msgspec.Raw(mutation)]))
    assert (refused.value.status, refused.value.code) == (400, "unreadable")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"incarnation":1}', b'{"a":' * 5000, b"\xff"])
def test_a_body_that_is_no_push_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal, match="unreadable"):
        decode_push(body)


async def test_a_batch_too_long_is_refused(li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    raw = msgspec.Raw(li_wei.do("sign", site, "a").payload.encode())
    with pytest.raises(Refusal) as refused:
        await li_wei.ask_push(PushRequest(li_wei.replica.identity.incarnation, [raw] * (PUSH_MUTATIONS + 1)))
    assert refused.value.status == 413


async def test_an_empty_push_is_answered(li_wei: Handset) -> None:
    answer = await li_wei.ask_push(PushRequest(li_wei.replica.identity.incarnation, []))
    assert answer.results == []


async def test_unknown_phones_and_numberings_are_refused(world: World, li_wei: Handset) -> None:
    with pytest.raises(Refusal, match="unknown_incarnation"):
        await li_wei.ask_push(PushRequest(world.ids(), []))
    li_wei.replica.identity = msgspec.structs.replace(li_wei.replica.identity, device=world.ids())
    with pytest.raises(Refusal, match="unknown_device"):
        await li_wei.ask_push(PushRequest(li_wei.replica.identity.incarnation, []))


async def test_a_refusal_after_writing_undoes_what_was_written(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    li_wei.do("sign", site, "a")
    li_wei.edit("site", site, name="西门")
    li_wei.do("sign_then_refuse", site, "b")
    li_wei.do("refuse", site, "c")
    li_wei.do("nothing", site, "d")
    li_wei.edit("site", site, name="南门")
    li_wei.do("sign", site, "e")
    results = await li_wei.push()
    assert statuses(results) == [
        Status.APPLIED, Status.APPLIED, Status.REJECTED, Status.REJECTED, Status.NOOP, Status.APPLIED, Status.APPLIED,
    ]  # fmt: skip
    assert results[2].code == "visit_finished"
    assert results[2].text is not None
    assert results[2].text.zh == "此次上门已由李伟完成。"
    assert await marks(world, site) == "a;e;"
    fields = await world.fields("site", site)
    assert fields is not None
    assert fields["name"] == "南门"


async def test_a_defect_in_one_command_is_set_aside_and_delays_nobody(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    for turn in range(20):
        li_wei.do("sign_then_fail" if turn % 3 == 1 else "sign", site, str(turn))
    results = await li_wei.push()
    assert len(results) == 20, "one push, however many are bad"
    assert [result.n for result in results if result.status is Status.QUARANTINED] == [2, 5, 8, 11, 14, 17, 20]
    assert await marks(world, site) == "".join(f"{turn};" for turn in range(20) if turn % 3 != 1)
    assert len(await world.quarantined(li_wei.device)) == 7


async def test_what_only_the_commit_refuses_is_found_and_set_aside(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    for mark in ("a", "b", "poison", "c", "poison", "d"):
        li_wei.do("sign", site, mark)

    async def refuse_poison(tx: Transaction) -> None:
        key = RowKey("site", site)
        if "poison" in (await tx.rows([key]))[key].fields["access_notes"]:
            raise ValueError("a deferred constraint does not hold")

    li_wei.store = EventfulStore(world.store, before_commit=refuse_poison)
    results = await li_wei.push()
    assert [result.n for result in results if result.code == "handler_failed"] == [3, 5]
    assert await marks(world, site) == "a;b;c;d;"


@pytest.mark.parametrize("stage", ["write", "commit", "handler", "second"])
async def test_a_failure_that_may_pass_stores_nothing_and_is_sent_again(
    world: World, li_wei: Handset, site: str, stage: str
) -> None:
    await li_wei.pull_all()
    li_wei.do("sign", site, "a")
    li_wei.do("shaky", site, "b")
    calls = iter(range(100))

    async def fail(*_: Any) -> None:
        raise Transient(stage)

    async def shaky(tx: Any, call: Call) -> Outcome:
        first_time = next(calls) == 0
        if stage == "handler" or (stage == "second" and not first_time):
            raise Transient(stage)
        if stage == "second":
            raise RuntimeError(stage)
        return await sign(tx, call)

    li_wei.handlers = handlers_that(shaky=Handler(shaky, site_of))
    if stage == "write":
        li_wei.store = EventfulStore(world.store, before_write=fail)
    if stage == "commit":
        li_wei.store = EventfulStore(world.store, before_commit=fail)
    with pytest.raises(Transient):
        await li_wei.push()
    assert await marks(world, site) == ""
    assert not await world.quarantined(li_wei.device)
    li_wei.store = world.store
    li_wei.handlers = handlers_that(shaky=Handler(sign, site_of))
    assert statuses(await li_wei.push()) == [Status.APPLIED] * 2
    assert await marks(world, site) == "a;b;"


# Reach: a device may push what it was granted when it edited.


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
    results = await li_wei.push()
    assert statuses(results) == [Status.APPLIED, Status.REJECTED, Status.CONFLICT, Status.MERGED]
    assert seen == [False]
    assert [result.code for result in results] == [
        "delivered_out_of_scope", "visit_cancelled", "edited_meanwhile", "delivered_out_of_scope",
    ]  # fmt: skip
    for result in results:
        assert "王芳" not in msgspec.json.encode(result).decode()
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
