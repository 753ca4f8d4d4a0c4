"""Many rows in one statement: the same rows as one by one, on both databases, with every kind of column."""

from datetime import UTC, date, datetime
from typing import Any, cast
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, String, Table, bindparam, create_engine, insert, select
from sqlalchemy.orm import Session

from backend.core.audit import AuditEntry
from backend.core.bulk import among, insert_many, update_many, upsert_many
from backend.core.changes import bucket
from backend.core.ids import new_id
from tests.make import START, Office

AUDIT = cast("Table", AuditEntry.__table__)
NAMES = tuple(column.name for column in AUDIT.columns)


def entry(subject: UUID, number: int) -> dict[str, Any]:
    """An entry of the audit trail: ids, an instant, JSON, text, and places left empty."""
    return {
        "id": new_id(), "at": START, "person_id": new_id() if number % 2 else None, "device_id": None,
        "mutation_id": new_id(), "import_batch_id": None, "action": "site.edited", "entity": "site",
        "subject_id": subject, "before": {"name": f"东门 {number}", "n": [1, 2.5, None]} if number % 3 else None,
        "after": {"quote": "it's \"so\" \\ $1 ?"}, "reason": None if number % 2 else "'; DROP TABLE site; --",
    }  # fmt: skip


async def told(office: Office, subject: UUID) -> list[dict[str, Any]]:
    async with office.database.read() as session:
        rows = await session.execute(select(AUDIT).where(AUDIT.c.subject_id == subject).order_by(AUDIT.c.id))
        return [{**row} for row in rows.mappings()]


async def test_rows_inserted_at_once_are_those_inserted_one_by_one(office: Office) -> None:
    at_once, singly = new_id(), new_id()
    rows = [entry(at_once, number) for number in range(7)]
    async with office.database.write() as session:
        await session.run_sync(insert_many, AUDIT, NAMES, [[row[name] for name in NAMES] for row in rows])
        for row in rows:
            await session.execute(insert(AUDIT).values({**row, "id": new_id(), "subject_id": singly}))
    different = ("id", "subject_id")
    made = [{name: row[name] for name in NAMES if name not in different} for row in await told(office, at_once)]
    usual = [{name: row[name] for name in NAMES if name not in different} for row in await told(office, singly)]
    assert made == usual
    assert len(made) == len(rows)


async def test_an_id_may_be_given_as_text(office: Office) -> None:
    row = entry(new_id(), 1)
    spelled = {name: str(value) if isinstance(value, UUID) else value for name, value in row.items()}
    async with office.database.write() as session:
        await session.run_sync(insert_many, AUDIT, NAMES, [[spelled[name] for name in NAMES]])
    [stored] = await told(office, row["subject_id"])
    assert stored == row


async def test_many_rows_are_changed_by_their_key_and_no_others(office: Office) -> None:
    subject = new_id()
    rows = [entry(subject, number) for number in range(5)]
    async with office.database.write() as session:
        await session.run_sync(insert_many, AUDIT, NAMES, [[row[name] for name in NAMES] for row in rows])
        later = datetime(2026, 5, 1, tzinfo=UTC)
        changed = [(row["id"], {"now": number}, later) for number, row in enumerate(rows[:3])]
        await session.run_sync(update_many, AUDIT, ("id", "after", "at"), changed)
    stored = {row["id"]: row for row in await told(office, subject)}
    for number, row in enumerate(rows):
        expected = {**row, "after": {"now": number}, "at": later} if number < 3 else row
        assert stored[row["id"]] == expected


async def test_a_known_key_is_replaced_and_a_new_one_added(office: Office) -> None:
    names = ("name", "head_v", "live_count", "checksum")
    async with office.database.write() as session:
        await session.run_sync(upsert_many, bucket, names, [("job:a", 1, 2, 3), ("job:b", 1, 1, 1)])
        await session.run_sync(upsert_many, bucket, names, [("job:b", 4, 5, 6), ("job:c", 7, 8, 2**47)])
        wanted = select(bucket).where(among(bucket.c.name, "names")).order_by(bucket.c.name)
        found = (await session.execute(wanted, {"names": ["job:c", "job:a", "job:b", "job:none"]})).all()
    assert [tuple(row) for row in found] == [("job:a", 1, 2, 3), ("job:b", 4, 5, 6), ("job:c", 7, 8, 2**47)]


async def test_rows_are_found_among_many_ids_or_none(office: Office) -> None:
    subject = new_id()
    rows = [entry(subject, number) for number in range(4)]
    async with office.database.write() as session:
        await session.run_sync(insert_many, AUDIT, NAMES, [[row[name] for name in NAMES] for row in rows])
    ids = [row["id"] for row in rows]
    wanted = select(AUDIT.c.id).where(among(AUDIT.c.id, "ids"), AUDIT.c.subject_id == bindparam("subject"))
    async with office.database.read() as session:
        for asked in ([], ids[:1], [str(ids[1]), ids[2], new_id()], ids):
            found = set(await session.scalars(wanted, {"ids": asked, "subject": subject}))
            assert {str(one) for one in found} == {str(one) for one in asked} & {str(one) for one in ids}


@given(st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")), unique=True, max_size=5))
def test_texts_reach_sqlite_as_they_are(texts: list[str]) -> None:

    table = Table("heap", MetaData(), Column("name", String, primary_key=True), Column("on", String))
    engine = create_engine("sqlite://")
    table.metadata.create_all(engine)

    with Session(engine) as session:
        insert_many(session, table, ("name", "on"), [(one, date(2026, 3, 2).isoformat()) for one in texts])
        assert set(session.scalars(select(table.c.name).where(among(table.c.name, "names")), {"names": texts})) == set(
            texts
        )
