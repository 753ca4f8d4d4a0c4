"""A scope that changes through rows no phone holds: the clock, not the phone's own buckets, says when to look again."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from sync.memory import MemoryStore
from sync.replica import Pulled
from sync.store import Row, RowKey, RowWrite, WriteKind
from tests.sync.handset import Handset, register
from tests.sync.world import START, MemoryWorld, bucket_of, scope_of

DUTY = RowKey("duty", "0197c0de-0000-7000-8000-000000000009")


def scope_with_duty(rows: Mapping[RowKey, Row], person: str, now: datetime) -> tuple[Collection[str], datetime | None]:
    """From the instant a duty row names, its site is in scope."""
    buckets, until = scope_of(rows, person, now)
    duty = rows.get(DUTY)
    if duty is None:
        return buckets, until
    begins = datetime.fromisoformat(duty.fields["begins_at"])
    if now >= begins:
        return {*buckets, f"site:{duty.fields['site']}"}, until
    return buckets, min(begins, until or begins)


async def on_duty(site: str, world: MemoryWorld, begins_at: datetime) -> None:
    fields = {"begins_at": begins_at.isoformat(), "site": site, "site_id": "nobody's"}
    async with world.store.write() as tx:
        await tx.write([RowWrite(WriteKind.INSERT, DUTY, fields, "")])


async def test_a_scope_may_turn_through_rows_the_phone_never_holds() -> None:
    world = MemoryWorld()
    world.store = MemoryStore(scope=scope_with_duty, bucket=bucket_of, epoch=world.ids())
    await world.begin()
    handset: Handset = await register(world, world.li_wei)
    site = await world.site()
    assert await handset.pull_all() is Pulled.DONE
    await on_duty(site, world, START + timedelta(hours=2))
    handset.do("nothing at all")
    await handset.push()
    assert await handset.pull() is Pulled.DONE, "only the acknowledgement is new"
    assert await handset.pull() is Pulled.UNCHANGED
    handset.now = START + timedelta(hours=2)
    assert await handset.pull() is Pulled.DONE
    assert f"site:{site}" in handset.replica.holding.buckets
