"""What a phone keeps until a backup holds it, and what it brings back to a server that was restored."""

from datetime import timedelta

from sync.keeping import forget_delivered
from sync.limits import KEPT_DAYS
from sync.protocol import PullAnswer
from tests.sync.handset import Handset
from tests.sync.world import World


async def back_up(world: World, handset: Handset) -> None:
    """Note that a backup holds all that the server has of the phone's work."""
    identity = handset.replica.identity
    async with world.store.read() as snapshot:
        state = await snapshot.device(identity.device, identity.incarnation)
    async with world.store.write() as tx:
        await tx.note_backup({(identity.device, identity.incarnation): state.acked_n})


async def work(handset: Handset, site: str, *marks: str) -> None:
    """Sign, deliver and pull."""
    for mark in marks:
        handset.do("sign", site, mark)
    await handset.push()
    await handset.pull_all()


async def told(handset: Handset) -> PullAnswer | None:
    return await handset.ask_pull(handset.replica.pull_request())


async def test_a_backup_is_told_once_and_only_of_what_it_holds(world: World, li_wei: Handset, site: str) -> None:
    await work(li_wei, site, "a", "b")
    assert await told(li_wei) is None
    await back_up(world, li_wei)
    answer = await told(li_wei)
    assert answer is not None
    assert (answer.durable_n, answer.acked_n, answer.ops) == (2, 2, [])
    li_wei.replica.take_pull(answer)
    assert await told(li_wei) is None, "told once"
    li_wei.do("sign", site, "c")
    await li_wei.push()
    answer = await told(li_wei)
    assert answer is not None
    assert (answer.durable_n, answer.acked_n) == (None, 3)


async def test_a_phone_keeps_what_no_backup_holds(world: World, li_wei: Handset, site: str) -> None:
    await work(li_wei, site, "a", "b")
    await back_up(world, li_wei)
    await work(li_wei, site, "c")
    forget_delivered(li_wei.replica, li_wei.now)
    assert [item.n for item in li_wei.replica.outbox.items.values()] == [3]
    forget_delivered(li_wei.replica, li_wei.now + timedelta(days=2 * KEPT_DAYS))
    assert len(li_wei.replica.outbox.items) == 1, "where backups are made, one is waited for"
    await back_up(world, li_wei)
    await li_wei.pull_all()
    forget_delivered(li_wei.replica, li_wei.now)
    assert li_wei.replica.outbox.items == {}
    assert li_wei.clone().do("sign", site, "d").n == 4, "numbers go on, on a phone started again, too"


async def test_where_no_backup_is_made_work_is_kept_for_a_month(li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    li_wei.do("refuse", site, "a")
    await work(li_wei, site, "b")
    for days, kept in ((0, 2), (KEPT_DAYS, 2), (KEPT_DAYS + 1, 1)):
        forget_delivered(li_wei.replica, li_wei.now + timedelta(days=days))
        assert len(li_wei.replica.outbox.items) == kept
    assert [li_wei.replica.state_of(item) for item in li_wei.replica.outbox.items] == ["rejected"], "that is to be seen"


async def test_a_backup_of_a_numbering_holds_the_one_before(world: World, li_wei: Handset, site: str) -> None:
    await work(li_wei, site, "a")
    await li_wei.renew()
    await work(li_wei, site, "b")
    await back_up(world, li_wei)
    await li_wei.pull_all()
    forget_delivered(li_wei.replica, li_wei.now)
    assert li_wei.replica.outbox.items == {}
    await li_wei.renew()
    await work(li_wei, site, "c")
    assert li_wei.replica.holding.durable is not None, "that one is in no backup yet"
    forget_delivered(li_wei.replica, li_wei.now + timedelta(days=2 * KEPT_DAYS))
    assert len(li_wei.replica.outbox.items) == 1
