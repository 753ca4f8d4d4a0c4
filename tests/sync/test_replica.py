"""The model phone: what a person sees, what it keeps, how it numbers, by itself."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from sync import work
from sync.holding import Holding, place
from sync.outbox import Outbox
from sync.protocol import (
    EnrolAnswer,
    Mutation,
    Notice,
    PullAnswer,
    PushAnswer,
    PushRequest,
    Result,
    Status,
    encode,
    position_digest,
)
from sync.replica import Pulled, Replica, rescue_request
from sync.shown import Shown
from tests.sync.handset import restored
from tests.sync.world import START, Ids

IDENTITY = EnrolAnswer("device", "incarnation", "K7QX")
SITE = '{"access_notes":"","address":"东风路","id":"s","lat":1.0,"lon":2.0,"name":"东门"}'


def phone(**rows: str) -> Replica:
    replica = Replica.fresh(IDENTITY, effects={"arrive": arrive})
    holding = {place("site", row): body for row, body in rows.items()}
    replica.holding = Holding("cookie", 7, "incarnation", 0, {"site:s": holding})
    return replica


def arrive(shown: Shown, mutation: Mutation) -> None:
    shown.put("visit", mutation.args["visit_id"], {"state": "arrived"})


def edit(replica: Replica, new_id: Ids, **changes: Any) -> str:
    return work.edit(replica, "site", "s", changes, mutation_id=new_id(), now=START).id


def answered(replica: Replica, *ends: Mapping[str, Any]) -> PushAnswer:
    results = [
        Result(item.n, item.id, **{"status": Status.APPLIED, **end})
        for item, end in zip(replica.outbox.pending(), ends, strict=True)
    ]
    return PushAnswer([msgspec.Raw(msgspec.json.encode(result)) for result in results])


def test_an_edit_sends_what_was_seen_and_the_whole_of_its_group() -> None:
    replica, new_id = phone(s=SITE), Ids()
    edit(replica, new_id, lat=5.0)
    edit(replica, new_id, lat=6.0, name="西门")
    first, second = (item.mutation for item in replica.outbox.pending())
    assert {name: (part.was, part.now) for name, part in first.fields.items()} == {
        "address": ("东风路", "东风路"), "lat": (1.0, 5.0), "lon": (2.0, 2.0),
    }  # fmt: skip
    assert {name: (part.was, part.now) for name, part in second.fields.items()} == {
        "address": ("东风路", "东风路"), "lat": (5.0, 6.0), "lon": (2.0, 2.0), "name": ("东门", "西门"),
    }  # fmt: skip
    assert (first.n, second.n, first.base_v, first.schema) == (1, 2, 7, 1)


def test_what_is_pending_is_seen_over_the_rows() -> None:
    replica, new_id = phone(s=SITE, t=SITE), Ids()
    edit(replica, new_id, name="西门")
    work.add(replica, "asset", "a", {"name": "电梯"}, mutation_id=new_id(), now=START)
    work.remove(replica, "site", "t", mutation_id=new_id(), now=START)
    work.command(replica, "arrive", "visit_event", "e", {"visit_id": "v"}, mutation_id=new_id(), now=START)
    work.command(replica, "unseen", "x", "y", {}, mutation_id=new_id(), now=START)
    shown = replica.shown()
    assert (shown.get("site", "s") or {})["name"] == "西门"
    assert shown.all("asset") == {"a": {"id": "a", "name": "电梯"}}
    assert list(shown.all("site")) == ["s"]
    assert shown.get("visit", "v") == {"id": "v", "state": "arrived"}
    assert shown.get("x", "y") is None


@pytest.mark.parametrize(
    ("end", "name"),
    [
        ({"status": Status.APPLIED}, "西门"), ({"status": Status.MERGED}, "西门"), ({"status": Status.NOOP}, "西门"),
        ({"status": Status.REJECTED}, "东门"), ({"status": Status.QUARANTINED}, "东门"),
        ({"status": Status.CONFLICT, "held": ("name",)}, "东门"), ({"status": Status.CONFLICT}, "西门"),
    ],
)  # fmt: skip
def test_a_result_decides_what_is_still_seen(end: Mapping[str, Any], name: str) -> None:
    replica, new_id = phone(s=SITE), Ids()
    mutation_id = edit(replica, new_id, name="西门")
    assert replica.state_of(mutation_id) == "pending"
    replica.take_push(answered(replica, end))
    assert replica.state_of(mutation_id) == end["status"]
    assert (replica.shown().get("site", "s") or {})["name"] == name
    assert replica.push_request() is None


def test_an_edit_of_a_row_that_has_left_is_not_seen() -> None:
    replica, new_id = phone(s=SITE), Ids()
    edit(replica, new_id, name="西门")
    replica.holding = Holding("cookie", 8, "incarnation", 0, {})
    assert replica.shown().get("site", "s") is None
    with pytest.raises(LookupError):
        edit(replica, new_id, name="南门")
    assert len(replica.outbox.items) == 1


def test_results_taken_twice_or_of_somebody_else_change_nothing() -> None:
    replica, new_id = phone(s=SITE), Ids()
    edit(replica, new_id, name="西门")
    answer = answered(replica, {"status": Status.MERGED})
    assert len(replica.take_push(answer)) == 1
    before = replica.stored()
    stranger = Result(1, new_id(), Status.APPLIED)
    assert replica.take_push(answer) == []
    assert replica.take_push(PushAnswer([msgspec.Raw(msgspec.json.encode(stranger))])) == []
    assert replica.stored() == before


def test_batches_keep_their_limits_and_their_order() -> None:
    outbox, new_id = Outbox("incarnation"), Ids()
    for size in (10, 10, 5000, 10, 10):
        outbox.put("note.add", new_id(), START, args={"text": "x" * size})
    assert [item.n for item in outbox.batch(2)] == [1, 2]
    assert [item.n for item in outbox.batch(9, 1000)] == [1, 2]
    outbox.take(
        PushAnswer([msgspec.Raw(encode(Result(n, item.id, Status.APPLIED))) for n, item in enumerate(outbox.batch(2))])
    )
    assert [item.n for item in outbox.batch(9, 1000)] == [3], "one that is too large goes alone"
    assert [item.n for item in outbox.batch()] == [3, 4, 5]


def test_a_batch_ends_where_numbers_do_not_follow() -> None:
    outbox, new_id = Outbox("incarnation"), Ids()
    items = [outbox.put("note.add", new_id(), START) for _ in range(3)]
    outbox.take(PushAnswer([msgspec.Raw(encode(Result(2, items[1].id, Status.APPLIED)))]))
    assert [item.n for item in outbox.batch()] == [1]


def test_a_replica_on_disk_comes_back_as_it_was() -> None:
    replica, new_id = phone(s=SITE), Ids()
    edit(replica, new_id, name="西门")
    edit(replica, new_id, name="南门")
    replica.take_push(
        PushAnswer([msgspec.Raw(encode(Result(1, next(iter(replica.outbox.items)), Status.CONFLICT, held=("name",))))])
    )
    assert replica.next_number() == "K7QX-00001"
    page = PullAnswer(of=position_digest(replica.pull_request()), v=9, page="next")
    assert replica.take_pull(page) is Pulled.MORE
    again = restored(msgspec.json.encode(replica.stored()))
    assert msgspec.json.encode(again.stored()) == msgspec.json.encode(replica.stored())
    assert again.outbox.next_n == 3
    assert again.next_number() == "K7QX-00002"
    assert again.push_request() == replica.push_request()
    assert again.pull_request() == replica.pull_request()
    assert again.pull_request().page == "next"


def test_a_wiped_phone_shows_nothing_takes_nothing_new_and_still_delivers() -> None:
    replica, new_id = phone(s=SITE), Ids()
    edit(replica, new_id, name="西门")
    answer = PullAnswer(of=position_digest(replica.pull_request()), v=9, notices=(Notice.WIPE,))
    assert replica.take_pull(answer) is Pulled.WIPED
    assert replica.shown().all("site") == {}
    with pytest.raises(work.Wiped):
        work.add(replica, "asset", "a", {}, mutation_id=new_id(), now=START)
    assert replica.push_request() is not None


def test_a_wiped_phone_deletes_its_rows_when_the_server_has_all_its_work() -> None:
    replica, new_id = phone(s=SITE), Ids()
    ids = [edit(replica, new_id, name=name) for name in ("西门", "南门")]
    aside = [Result(n, mutation_id, Status.QUARANTINED, "rescued") for n, mutation_id in enumerate(ids, start=1)]
    for result in aside:
        assert replica.holding.buckets
        assert rescue_request(replica) is not None
        replica.take_push(PushAnswer([msgspec.Raw(encode(result))], (Notice.WIPE,)))
        assert replica.shown().all("site") == {}
    assert replica.holding.buckets == {}
    assert rescue_request(replica) is None


def test_a_phone_that_is_too_old_keeps_its_rows_and_says_so() -> None:
    replica = phone(s=SITE)
    answer = PullAnswer(of=position_digest(replica.pull_request()), v=9, notices=(Notice.UPGRADE,))
    assert replica.take_pull(answer) is Pulled.UPGRADE
    assert replica.too_old
    assert replica.shown().all("site")
    replica.take_pull(PullAnswer(of=position_digest(replica.pull_request()), v=9, cookie="new"))
    assert not replica.too_old


def test_a_new_incarnation_renumbers_what_waits_and_nothing_else() -> None:
    replica, new_id = phone(s=SITE), Ids()
    for name in ("一", "二", "三"):
        edit(replica, new_id, name=name)
    first, second, third = replica.outbox.items.values()
    replica.take_push(PushAnswer([msgspec.Raw(encode(Result(1, first.id, Status.APPLIED)))]))
    replica.renewed(EnrolAnswer("device", "second", "QQQQ"))
    request = replica.push_request()
    assert isinstance(request, PushRequest)
    assert request.incarnation == "second"
    sent = [msgspec.json.decode(raw) for raw in request.mutations]
    assert [(part["id"], part["n"]) for part in sent] == [(second.id, 1), (third.id, 2)]
    before = [msgspec.json.decode(item.payload) for item in (second, third)]
    assert [{**part, "n": 0} for part in sent] == [{**part, "n": 0} for part in before]
    assert replica.next_number() == "QQQQ-00001"
    assert (replica.shown().get("site", "s") or {})["name"] == "三"
    edit(replica, new_id, name="四")
    assert replica.outbox.pending()[-1].n == 3


def test_an_acknowledgement_of_another_copys_work_hides_nothing() -> None:
    replica, new_id = phone(s=SITE), Ids()
    edit(replica, new_id, name="一")
    replica.take_push(answered(replica, {}))
    waiting = edit(replica, new_id, name="二")
    for acked_n, seen, cookie in ((1, "二", "a"), (2, "东门", "b"), (7, "二", "c")):
        answer = PullAnswer(of=position_digest(replica.pull_request()), v=9, acked_n=acked_n, cookie=cookie)
        replica.take_pull(answer)
        assert (replica.shown().get("site", "s") or {})["name"] == seen
    replica.take_push(PushAnswer([msgspec.Raw(encode(Result(2, waiting, Status.APPLIED)))]))
    assert (replica.shown().get("site", "s") or {})["name"] == "东门", "the rows had it already"
    edit(replica, new_id, name="三")
    assert (replica.shown().get("site", "s") or {})["name"] == "三"


def test_a_server_that_forgot_gets_it_again() -> None:
    replica, new_id = phone(s=SITE), Ids()
    for name in ("一", "二", "三"):
        edit(replica, new_id, name=name)
    replica.take_push(answered(replica, {}, {}, {}))
    replica.outbox.reopen(2)
    assert [item.n for item in replica.outbox.batch()] == [2, 3]


def test_a_void_stands_for_what_cannot_be_sent() -> None:
    replica, new_id = phone(s=SITE), Ids()
    first = edit(replica, new_id, name="一" * 100)
    edit(replica, new_id, name="二")
    void = replica.outbox.void(replica.outbox.items[first], "too_large", new_id(), START)
    assert [(item.n, item.mutation.name) for item in replica.outbox.batch()] == [(1, "void"), (2, "edit")]
    assert void.mutation.args["of"] == first
    assert replica.state_of(first) == "pending"
    settled = replica.take_push(answered(replica, {"status": Status.QUARANTINED}, {}))
    assert len(settled) == 3
    assert replica.state_of(first) == "quarantined"
    replica.outbox.reopen(1)
    assert replica.state_of(first) == "quarantined"
    assert [item.mutation.name for item in replica.outbox.batch()] == ["void", "edit"]
