"""The commit clock: no path writes to a synced table unstamped, and every bucket's sums are what its rows say."""

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.changes import SYNCED, bucket, change, commit_clock, current, unstamped
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.customers.models import Contact, ContactPoint, Customer
from sync.feed import CHECKSUM_MODULUS, entry_sum
from tests.make import House, Office, add_all, load_house_from

Session = AsyncSession
Act = Callable[[AsyncSession, House], Awaitable[None]]


def point(contact_id: UUID, address: str = "weixin-1") -> dict[str, Any]:
    return {"id": new_id(), "contact_id": contact_id, "kind": "wechat", "address": address}


async def core_insert(session: Session, house: House) -> None:
    await session.execute(insert(ContactPoint.__table__).values(**point(house.contact)))  # pyright: ignore[reportArgumentType]


async def core_update(session: Session, _house: House) -> None:
    await session.execute(update(Customer).values(language="en"))


async def core_delete(session: Session, _house: House) -> None:
    await session.execute(delete(ContactPoint))


async def orm_insert(session: Session, house: House) -> None:
    session.add(ContactPoint(**point(house.contact)))


async def orm_update(session: Session, house: House) -> None:
    (await session.get_one(Contact, house.contact)).name = "赵敏敏"


async def orm_delete(session: Session, _house: House) -> None:
    await session.delete((await session.execute(select(ContactPoint))).scalars().one())


async def raw_insert(session: Session, house: House) -> None:
    values = point(house.contact)
    id_, contact = (values[name].hex for name in ("id", "contact_id"))
    row = f"('{id_}', '{contact}', 'wechat', 'raw')"
    await session.execute(text(f"INSERT INTO contact_point (id, contact_id, kind, address) VALUES {row}"))


async def raw_update(session: Session, _house: House) -> None:
    await session.execute(text("UPDATE site SET access_notes = 'raw'"))


async def raw_delete(session: Session, _house: House) -> None:
    await session.execute(text("DELETE FROM contact_point"))


WAYS = [core_insert, core_update, core_delete, orm_insert, orm_update, orm_delete, raw_insert, raw_update, raw_delete]


async def rows_of(database: Database) -> dict[str, Any]:
    async with database.read() as session:
        points = (await session.execute(select(ContactPoint.address))).scalars().all()
        languages = (await session.execute(select(Customer.language))).scalars().all()
        clock = await session.run_sync(current)
        left = (await session.execute(select(unstamped))).all()
    return {"points": sorted(points), "languages": sorted(languages), "clock": clock, "left": left}


@pytest.mark.parametrize("act", WAYS)
async def test_an_unstamped_write_is_refused_at_commit(furnished_url: str, act: Act) -> None:
    """The session's own transaction, without Database.write: what a forgotten path would do."""
    house, database = await load_house_from(furnished_url), Database(furnished_url)
    before = await rows_of(database)
    async with database._writers() as session:
        await session.begin()
        await act(session, house)
        await session.flush()
        with pytest.raises(IntegrityError):
            await session.commit()
    assert await rows_of(database) == before
    await database.close()


@pytest.mark.parametrize("act", WAYS)
async def test_a_stamped_write_passes_and_the_feed_tells_it(furnished_url: str, act: Act) -> None:
    house, database = await load_house_from(furnished_url), Database(furnished_url)
    before = await rows_of(database)
    async with database.write() as session:
        await act(session, house)
    after = await rows_of(database)
    assert after["clock"] == (before["clock"][0] + 1, before["clock"][1])
    assert after["left"] == []
    async with database.read() as session:
        told = (await session.execute(select(change).where(change.c.v == after["clock"][0]))).all()
    assert told
    assert all(entry.deleted is (entry.body == "") for entry in told)
    await check_buckets(database)
    await database.close()


async def test_what_changes_nothing_synced_moves_no_clock(office: Office) -> None:
    before = await rows_of(office.database)
    async with office.database.write() as session:
        await session.execute(text("UPDATE role SET name_en = name_en"))
    assert (await rows_of(office.database))["clock"] == before["clock"]


async def test_a_row_that_moves_leaves_a_tombstone_and_may_come_back(office: Office) -> None:
    house, database = office.house, office.database
    other = Contact(customer_id=house.customer, name="钱红", function="contact", language="zh")
    async with database.write() as session:
        await add_all(session, other)
    async with database.read() as session:
        moved = (await session.execute(select(ContactPoint.id))).scalar_one()

    async def buckets() -> dict[str, bool]:
        async with database.read() as session:
            entries = select(change.c.bucket, change.c.deleted).where(change.c.row_id == moved)
            return {row.bucket: row.deleted for row in (await session.execute(entries)).all()}

    here, there = f"contact:{house.contact}", f"contact:{other.id}"
    for contact_id, expected in (
        (other.id, {here: True, there: False}), (house.contact, {here: False, there: True}),
    ):  # fmt: skip
        async with database.write() as session:
            await session.execute(update(ContactPoint).values(contact_id=contact_id))
        assert await buckets() == expected
        await check_buckets(database)
    async with database.write() as session:
        await session.execute(delete(ContactPoint))
    assert await buckets() == {here: True, there: True}


async def check_buckets(database: Database) -> None:
    """Compare the feed with the tables, and each bucket's sums with a fresh count, in one snapshot."""
    async with database.read() as session:
        clock = (await session.execute(select(commit_clock.c.v))).scalar_one()
        entries = (await session.execute(select(change))).all()
        heads = {row.name: row for row in (await session.execute(select(bucket))).all()}
        standing: set[tuple[str, UUID, str]] = set()
        for name, synced in SYNCED.items():
            for row in (await session.execute(select(synced.table))).mappings():
                in_bucket = synced.bucket_of(row)
                standing |= {(name, row["id"], in_bucket)} if in_bucket else set()
    live = {(one.entity, one.row_id, one.bucket): one for one in entries if not one.deleted}
    assert live.keys() == standing
    assert all(one.v <= clock for one in entries)
    counts, sums, newest = Counter[str](), Counter[str](), dict[str, int]()
    for one in entries:
        newest[one.bucket] = max(newest.get(one.bucket, 0), one.v)
        if not one.deleted:
            assert one.checksum == entry_sum(one.entity, str(one.row_id), one.body)
            counts[one.bucket] += 1
            sums[one.bucket] = (sums[one.bucket] + one.checksum) % CHECKSUM_MODULUS
    for name, head in heads.items():
        assert (head.live_count, head.checksum) == (counts[name], sums[name]), name
        assert head.head_v >= newest.get(name, 0), name


@dataclass(frozen=True)
class Step:
    """One write inside a transaction: on which of the standing rows, to which contact."""

    kind: str
    which: int
    contact: int


steps = st.lists(
    st.builds(Step, st.sampled_from(["add", "move", "edit", "delete"]), st.integers(0, 9), st.integers(0, 2)),
    max_size=6,
)
histories = st.lists(st.tuples(steps, st.booleans()), min_size=1, max_size=6)


class Abandoned(Exception):
    """The transaction is given up."""


async def take(session: Session, step: Step, contacts: list[UUID]) -> None:
    rows = (await session.execute(select(ContactPoint).order_by(ContactPoint.id))).scalars().all()
    if step.kind == "add" or not rows:
        await add_all(session, ContactPoint(**point(contacts[step.contact], f"address-{step.which}")))
        return
    row = rows[step.which % len(rows)]
    if step.kind == "move":
        row.contact_id = contacts[step.contact]
    elif step.kind == "edit":
        row.address = f"address-{step.which}"
    else:
        await session.delete(row)
    await session.flush()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories)
async def test_after_any_history_the_sums_are_what_the_rows_say(office: Office, history: list[Any]) -> None:
    """Each example goes on where the last one ended: the longer the history the better."""
    contacts = [office.house.contact]
    async with office.database.write() as session:
        for name in ("甲", "乙"):
            contact = Contact(customer_id=office.house.customer, name=name, function="contact", language="zh")
            await add_all(session, contact)
            contacts.append(contact.id)
    for transaction, keeps in history:
        with suppress(Abandoned):
            await run(office.database, transaction, contacts, keeps=keeps)
        await check_buckets(office.database)


async def run(database: Database, transaction: list[Step], contacts: list[UUID], *, keeps: bool) -> None:
    async with database.write() as session:
        for step in transaction:
            await take(session, step, contacts)
        if not keeps:
            raise Abandoned
