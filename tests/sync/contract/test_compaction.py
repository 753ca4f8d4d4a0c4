"""Deletions are forgotten after their time; nobody loses a row by it or pulls everything again (invariant 26)."""

from datetime import timedelta
from typing import Any

from backend.devices.compaction import forget_old_deletions
from sync.limits import DELETIONS_KEPT_DAYS
from sync.protocol import Notice, Status
from sync.repair import Repair
from sync.replica import Pulled
from tests.sync.contract.test_reconcile import ask, repaired
from tests.sync.handset import Handset, buckets
from tests.sync.sql_world import SqlWorld
from tests.sync.world import START, World

AGO = timedelta(days=DELETIONS_KEPT_DAYS)


async def compact(world: Any, floor: int) -> None:
    """Forget deletions up to a `v`, as the daily housekeeping does 90 days later."""
    if not isinstance(world, SqlWorld):
        world.store.compact(floor)
        return
    async with world.database.write() as session:
        await forget_old_deletions(session, START)
    async with world.database.write() as session:
        await forget_old_deletions(session, START + AGO)


async def test_a_phone_that_stayed_away_compares_and_has_it_right(
    world: World, li_wei: Handset, zhang_min: Handset, site: str
) -> None:
    assets = [await world.asset(site) for _ in range(5)]
    await li_wei.pull_all()
    await zhang_min.pull_all()
    for asset in assets[:2]:
        await world.delete("asset", asset)
    await zhang_min.pull_all()
    async with world.store.read() as snapshot:
        state = await snapshot.device(zhang_min.device, zhang_min.replica.identity.incarnation)
    await compact(world, state.v)
    await world.change("site", site, name="西门")
    assert await zhang_min.pull_all() is Pulled.DONE
    assert buckets(zhang_min) == await world.expected(world.zhang_min, START), "who came in time goes on as before"
    request = li_wei.replica.pull_request()
    answer = await li_wei.ask_pull(type(request)(request.incarnation, 1, request.cookie, reconciles=True))
    assert answer is not None
    assert (answer.notices, answer.ops) == ((Notice.RECONCILE,), [])
    assert li_wei.replica.take_pull(answer) is Pulled.UNKNOWN
    repair = Repair.begun(li_wei.replica)
    repair.take(await ask(li_wei, repair))
    assert len((await ask(li_wei, repair)).ops) == 3, "two are gone and one is new"
    await repaired(li_wei)
    assert buckets(li_wei) == await world.expected(world.li_wei, START)
    assert await li_wei.pull_all() is Pulled.UNCHANGED


async def test_work_on_a_row_that_went_long_ago_is_put_before_a_person(
    world: World, li_wei: Handset, zhang_min: Handset, site: str
) -> None:
    asset = await world.asset(site)
    for phone in (li_wei, zhang_min):
        await phone.pull_all()
    zhang_min.remove("asset", asset)
    assert [result.status for result in await zhang_min.push()] == [Status.APPLIED]
    await zhang_min.pull_all()
    await compact(world, zhang_min.replica.holding.v)
    li_wei.edit("asset", asset, note="镜头已换")
    assert [(result.status, result.code) for result in await li_wei.push()] == [(Status.CONFLICT, "row_gone")]


async def test_deletions_are_kept_for_their_time(sql_world: SqlWorld) -> None:
    asset = await sql_world.asset(await sql_world.site())
    await sql_world.delete("asset", asset)
    forgotten: list[int] = []
    for days in (0, 1, 89, 90, 91):
        async with sql_world.database.write() as session:
            forgotten.append(await forget_old_deletions(session, START + timedelta(days=days)))
    assert forgotten == [0, 0, 0, 1, 0]
