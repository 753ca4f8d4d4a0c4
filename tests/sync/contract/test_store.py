"""What every store promises by itself, beneath pull and push."""

from typing import Any

import pytest

from sync.feed import Position, Want
from sync.protocol import PULL_PATH, Refusal, Status
from sync.store import LedgerEntry, RowKey, RowWrite, Transaction, WriteKind
from tests.sync.handset import Handset
from tests.sync.world import START, World


def renamed(site: str, name: str) -> RowWrite:
    return RowWrite(WriteKind.UPDATE, RowKey("site", site), {"name": name}, "")


async def clock(world: World, handset: Handset) -> int:
    async with world.store.read() as snapshot:
        state = await snapshot.device(handset.device, handset.replica.identity.incarnation)
    assert state is not None
    return state.v


async def test_a_commit_moves_the_clock_by_one_however_much_it_changed(
    world: World, li_wei: Handset, site: str
) -> None:
    before = await clock(world, li_wei)
    other = await world.site()
    async with world.store.write() as tx:
        await tx.write([renamed(site, "西门"), renamed(other, "南门")])
        await tx.write([renamed(site, "北门")])
    assert await clock(world, li_wei) == before + 2


async def test_a_transaction_that_fails_leaves_nothing(world: World, li_wei: Handset, site: str) -> None:
    before = await clock(world, li_wei)

    async def break_off() -> None:
        async with world.store.write() as tx:
            await tx.write([renamed(site, "西门")])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await break_off()
    assert await clock(world, li_wei) == before
    assert (await world.fields("site", site) or {})["name"] == "东门"


async def test_a_transaction_that_changes_no_row_leaves_the_clock_alone(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    before = await clock(world, li_wei)
    li_wei.do("refuse", site, "a")
    await li_wei.push()
    assert await clock(world, li_wei) == before


async def test_a_snapshot_does_not_move_while_others_write(world: World, li_wei: Handset, site: str) -> None:
    want = Want((), (f"site:{site}",), 0)
    async with world.store.read() as snapshot:
        state = await snapshot.device(li_wei.device, li_wei.replica.identity.incarnation)
        await world.change("site", site, name="西门")
        entries = await snapshot.entries(want, None, 100)
        scope = await snapshot.scope(world.li_wei, START)
    assert state is not None
    assert {entry.v for entry in entries} <= set(range(state.v + 1))
    assert scope.heads[f"site:{site}"].v <= state.v
    async with world.store.read() as snapshot:
        newer = await snapshot.entries(Want((), (f"site:{site}",), state.v), None, 100)
    assert [(entry.row, entry.v) for entry in newer] == [(site, state.v + 1)]


async def test_a_savepoint_undoes_what_is_inside_and_nothing_else(world: World, site: str) -> None:
    async def fail(tx: Any) -> None:
        async with tx.savepoint():
            await tx.write([renamed(site, "南门")])
            raise RuntimeError

    async with world.store.write() as tx:
        async with tx.savepoint():
            await tx.write([RowWrite(WriteKind.UPDATE, RowKey("site", site), {"access_notes": "按铃"}, "")])
        with pytest.raises(RuntimeError):
            await fail(tx)
    fields = await world.fields("site", site)
    assert fields is not None
    assert (fields["name"], fields["access_notes"]) == ("东门", "按铃")


async def test_entries_come_in_order_and_in_parts(world: World, site: str) -> None:
    assets = [await world.asset(site) for _ in range(7)]
    other = await world.site()
    await world.delete("asset", assets[0])
    want = Want((f"site:{site}", f"site:{other}"), (), 0)
    async with world.store.read() as snapshot:
        whole = await snapshot.entries(want, None, 100)
        parts: list[Any] = []
        after: Position | None = None
        while some := await snapshot.entries(want, after, 2):
            parts += some
            after = some[-1].position
    assert parts == list(whole)
    assert [entry.position for entry in whole] == sorted(entry.position for entry in whole)
    assert {entry.row for entry in whole} == {site, other, *assets[1:]}, "a fresh bucket needs no tombstone"


async def test_more_rows_than_are_read_at_once_arrive(world: World, li_wei: Handset, site: str) -> None:
    async with world.store.write() as tx:
        fields = {"site_id": site, "name": "枪机", "asset_type": "camera", "quantity": 1, "note": ""}
        keys = [RowKey("asset", world.ids()) for _ in range(620)]
        await tx.write([RowWrite(WriteKind.INSERT, key, fields, "") for key in keys])
    await li_wei.pull_all()
    assert len(li_wei.replica.shown().all("asset")) == 620


async def test_a_ledger_holds_each_number_and_each_mutation_once(world: World, li_wei: Handset) -> None:
    identity = li_wei.replica.identity

    def entry(n: int, mutation_id: str) -> LedgerEntry:
        return LedgerEntry(
            device=identity.device, person=world.li_wei, incarnation=identity.incarnation, n=n, mutation_id=mutation_id,
            repeats=None, name="note.add", payload_sum="", payload=b"{}", status=Status.NOOP, code="", result=b"{}",
            received_at=START,
        )  # fmt: skip

    first, second = world.ids(), world.ids()

    async def record(tx: Transaction, *entries: LedgerEntry) -> None:
        assert await tx.ledger_state(identity.device, identity.incarnation)
        await tx.record(entries)

    async with world.store.write() as tx:
        await record(tx, entry(1, first))
    for doubled in (entry(1, second), entry(2, first)):
        with pytest.raises(Exception, match=r".+"):  # each store has its own word for it
            async with world.store.write() as tx:
                await record(tx, doubled)
    async with world.store.write() as tx:
        state = await tx.ledger_state(identity.device, identity.incarnation)
        found = await tx.ledger(identity.device, identity.incarnation, range(1, 3), [first, second])
    assert state is not None
    assert state.acked_n == 1
    assert {(found_entry.n, found_entry.mutation_id) for found_entry in found} == {(1, first)}


async def test_a_row_is_born_once(world: World, site: str) -> None:
    with pytest.raises(Exception, match=r".+"):
        async with world.store.write() as tx:
            await tx.write([RowWrite(WriteKind.INSERT, RowKey("asset", site), {"site_id": site, "name": "一"}, "")] * 2)
    assert await world.fields("asset", site) is None


async def test_rows_nobody_made_are_not_found(world: World, site: str) -> None:
    async with world.store.write() as tx:
        assert not await tx.rows([RowKey("site", world.ids())])


def test_every_refusal_has_words() -> None:
    refusal = Refusal(409, "gap", expected_n=4)
    assert refusal.text.en
    assert refusal.text.zh
    assert (refusal.body().code, refusal.body().expected_n) == ("gap", 4)
    assert PULL_PATH.startswith("/sync/v1/")
