"""Apps of older schemas are sent rows they know, and nothing they send is refused (invariant 27)."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pytest

from bench.sim.apps import NEW, OLD, POLICIES, SERVER, as_held
from bench.sim.company import Company
from bench.sim.place import MemoryPlace
from sync.deciding import deciding
from sync.feed import Entry
from sync.handler import Call, Outcome, Rejection, applied
from sync.ledger import envelope_of
from sync.limits import PULL_SCHEMAS_BACK
from sync.policy import POLICY
from sync.protocol import Edit, Mutation, Status, encode
from sync.schemas import SHIPPED, Schemas, SchemaStep
from sync.task import Command, Decided, RowTask, read_task
from tests.sync.handset import Handset, buckets
from tests.sync.world import START, MemoryWorld, handlers_that

ID = "0197c0de-0000-7000-8000-000000000001"
ROW = "0197c0de-0000-7000-8000-000000000002"


def mutation(schema: int, name: str, entity: str = "", **content: Any) -> Mutation:
    return Mutation(id=ID, n=1, name=name, schema=schema, occurred_at=START, entity=entity, row=ROW, **content)


def task_of(made: Mutation) -> Any:
    return read_task(envelope_of(encode(made)), handlers_that(), POLICY, SERVER)


def test_an_edit_is_read_in_todays_words() -> None:
    task = task_of(mutation(OLD, "edit", "asset", fields={"remark": Edit("a", "b"), "name": Edit("c", "d")}))
    assert isinstance(task, RowTask)
    assert task.mutation.fields == {"note": Edit("a", "b"), "name": Edit("c", "d")}
    assert task.mutation.schema == OLD


def test_a_command_is_adapted_and_what_cannot_be_is_set_aside() -> None:
    adapted = task_of(mutation(OLD, "sign", "mark", args={"site": ROW, "stamp": "x"}))
    assert isinstance(adapted, Command)
    assert adapted.mutation.args == {"site": ROW, "mark": "x"}
    unfit = task_of(mutation(OLD, "sign", "mark", args={"site": ROW}))
    assert isinstance(unfit, Decided)
    assert unfit.outcome.status is Status.QUARANTINED
    newer = task_of(mutation(NEW + 1, "sign", "mark"))
    assert isinstance(newer, Decided)
    assert newer.outcome.code == "newer_schema"


APART: Final = Schemas(
    NEW, {NEW: SchemaStep(renamed={"site": {"note": "name"}}, added={"asset": frozenset({"protocol"})})}
)
"""What is the name of a site today was its note; the note of an asset is what it was."""


async def test_a_decision_is_in_the_words_of_its_own_table_and_app() -> None:
    world, phone, asset = await _asset_on_a_phone(protocol="ONVIF")
    await world.change("asset", asset, note="b")
    phone.edit("asset", asset, note="c")
    (clash,) = await phone.push()
    taken = {"take": "values", "seen": {"note": "b"}, "values": {"note": "d"}}
    assert await _decided_by_old_app(world, clash.conflicts[0], taken) == applied()
    assert ((await world.fields("asset", asset)) or {})["note"] == "d"


async def test_an_old_app_compared_only_what_it_knows() -> None:
    world, phone, asset = await _asset_on_a_phone(protocol="ONVIF")
    await world.change("asset", asset, note="b")
    phone.remove("asset", asset)
    (clash,) = await phone.push()
    fields = await world.fields("asset", asset) or {}
    seen = {name: fields[name] for name in POLICY.of("asset").editable() if name in fields and name != "protocol"}
    with pytest.raises(Rejection, match="conflict_moved"):
        await _decided_by_old_app(world, clash.conflicts[0], {"take": "mine", "seen": seen | {"note": "a"}})
    assert await _decided_by_old_app(world, clash.conflicts[0], {"take": "mine", "seen": seen}) == applied()
    assert await world.fields("asset", asset) is None


async def _asset_on_a_phone(**fields: Any) -> tuple[MemoryWorld, Handset, str]:
    world = await MemoryWorld().begin()
    site = await world.site()
    asset = await world.asset(site, note="a", **fields)
    await world.assign(world.li_wei, await world.job(site))
    phone = await _phone(world, NEW)
    await phone.pull_all()
    return world, phone, asset


async def _decided_by_old_app(world: MemoryWorld, conflict: str, args: Mapping[str, Any]) -> Outcome:
    made = msgspec.structs.replace(mutation(OLD, "conflict.decide", "field_conflict", args=args), row=conflict)
    call = Call(
        APART.raised(made), world.li_wei, ROW, now=START, effective_at=START, time_flagged=False, in_scope=True
    )  # fmt: skip
    async with world.store.write() as tx:
        return await deciding(APART).run(tx, call)


def test_steps_follow_one_another_both_ways() -> None:
    def renamed(old: str, new: str) -> SchemaStep:
        return SchemaStep(renamed={"asset": {old: new}})

    schemas = Schemas(3, {2: renamed("remark", "comment"), 3: renamed("comment", "note")})
    assert schemas.raised(mutation(1, "edit", "asset", fields={"remark": Edit(1, 2)})).fields == {"note": Edit(1, 2)}
    assert schemas.held("asset", ("note", "name"), 1) == ("remark", "name")
    assert schemas.held("asset", ("note",), 2) == ("comment",)
    entry = Entry("site:1", "asset", ROW, 5, deleted=False, body=b'{"name":"x","note":"y"}')
    assert msgspec.json.decode(schemas.lowered(entry, 1).body) == {"name": "x", "remark": "y"}
    assert schemas.lowered(entry, 3) is entry


@pytest.mark.parametrize(("current", "schema", "served"), [(1, 1, True), (1, 0, False), (4, 2, True), (4, 1, False)])
def test_rows_are_served_to_the_newest_schemas(current: int, schema: int, *, served: bool) -> None:
    assert Schemas(current).serves(schema) is served
    assert PULL_SCHEMAS_BACK == 2


def test_a_phone_need_not_send_what_it_does_not_know() -> None:
    assert "acceptance_on" not in SERVER.policy(POLICY, OLD).of("site").groups
    assert SERVER.policy(POLICY, NEW) is POLICY
    assert SHIPPED.policy(POLICY, 1) is POLICY


async def test_an_old_phone_and_a_new_one_share_their_work() -> None:
    world = await MemoryWorld().begin()
    site = await world.site()
    asset = await world.asset(site, note="a")
    await world.assign(world.li_wei, await world.job(site))
    phones: Mapping[int, Handset] = {schema: await _phone(world, schema) for schema in (OLD, NEW)}
    other = await world.asset(site)
    for phone in phones.values():
        await phone.pull_all()
    phones[OLD].remove("asset", other)
    phones[OLD].edit("asset", asset, remark="b")
    phones[NEW].edit("site", site, acceptance_on="2026-05-01")
    for phone in phones.values():
        assert {result.status for result in await phone.push()} == {Status.APPLIED}
    for schema, phone in phones.items():
        await phone.pull_all()
        assert buckets(phone) == as_held(schema, await world.expected(world.li_wei, START))
    fields = await world.fields("asset", asset)
    assert fields is not None
    assert fields["note"] == "b"
    site_fields = (await world.fields("site", site)) or {}
    phones[OLD].edit("site", site, name="西门")
    await phones[OLD].push()
    assert (await world.fields("site", site)) == {**site_fields, "name": "西门"}, "what it does not know, it keeps"


async def _phone(world: MemoryWorld, schema: int) -> Handset:
    place = MemoryPlace()
    place.world = world
    phone = (await Company(place).new_phone(world.li_wei, schema)).handset
    assert phone.replica.policy is POLICIES[schema]
    return phone
