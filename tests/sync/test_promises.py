"""Promises no history asserts: what an unchanged pull costs, and that the audit trail tells the whole story."""

from typing import Any

from sqlalchemy import event, select
from sqlalchemy.engine import Engine

from backend.core.audit import AuditEntry
from sync.replica import Pulled
from tests.sync.handset import register
from tests.sync.sql_world import SqlWorld


async def test_an_unchanged_pull_costs_two_queries_and_no_row(sql_world: SqlWorld) -> None:
    """Invariant 33."""
    site = await sql_world.site()
    await sql_world.assign(sql_world.li_wei, await sql_world.job(site))
    phone = await register(sql_world, sql_world.li_wei)
    await phone.pull_all()
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert await phone.pull() is Pulled.UNCHANGED
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    queries = [statement for statement in asked if not statement.startswith(("BEGIN", "SET"))]
    assert 1 <= len(queries) <= 2
    assert all(query.lstrip().startswith("SELECT") for query in queries), "nothing is written"
    assert not any("change.body" in query for query in queries), "no row is read"


async def test_the_trail_folded_over_the_beginning_is_the_present(sql_world: SqlWorld) -> None:
    """Invariant 31."""
    site = await sql_world.site(name="东门")
    await sql_world.assign(sql_world.li_wei, await sql_world.job(site))
    phone = await register(sql_world, sql_world.li_wei)
    await phone.pull_all()
    state = dict(await sql_world.fields("site", site) or {})
    for changes in ({"name": "西门"}, {"acceptance_on": "2026-01-01"}, {"access_notes": "钥匙"}, {"name": "南门"}):
        phone.edit("site", site, **changes)
        await phone.push(1)
    trail = select(AuditEntry.before, AuditEntry.after).where(AuditEntry.entity == "site")
    async with sql_world.database.read() as session:
        entries = (await session.execute(trail.order_by(AuditEntry.at, AuditEntry.id))).all()
    assert len(entries) == 4
    for before, after in entries:
        assert before is not None
        assert after is not None
        assert {name: state[name] for name in before} == before
        state |= after
    assert state == await sql_world.fields("site", site)
