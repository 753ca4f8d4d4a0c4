"""What a push promises, over every store: one result each, whatever is delivered, and how often."""

from typing import Any

import msgspec
import pytest

from sync.handler import Call, Handler, Outcome
from sync.limits import PUSH_MUTATIONS
from sync.protocol import PushRequest, Refusal, Result, Status, decode_push
from sync.store import RowKey, Transaction, Transient
from tests.sync.handset import Handset
from tests.sync.stores import EventfulStore
from tests.sync.world import World, handlers_that, sign, site_of


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


async def test_work_waits_where_the_server_has_something_else_before_it(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    li_wei.do("sign", site, "a")
    await li_wei.push()
    li_wei.do("sign", site, "b")
    request = li_wei.replica.push_request()
    assert request is not None
    with pytest.raises(Refusal) as refused:
        await li_wei.ask_push(msgspec.structs.replace(request, after=world.ids()))
    assert (refused.value.status, refused.value.code, refused.value.expected_n) == (409, "gap", 1)
    assert await marks(world, site) == "a;"
    assert statuses(await li_wei.push()) == [Status.APPLIED]
    assert await marks(world, site) == "a;b;"


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
