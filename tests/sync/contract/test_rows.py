"""Edits, additions and removals of rows: the table "Conflict rules" of the design, over every store."""

from contextlib import nullcontext
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from sync.handler import Call, Handler, Outcome, Rejection, applied
from sync.protocol import Result, Status
from sync.replica import Pulled
from sync.store import Conflict, RowWrite, WriteKind
from tests.sync.handset import Handset
from tests.sync.stores import PickyStore
from tests.sync.world import PLACE, START, MemoryWorld, World, handlers_that, site_of

ROW = "*"


async def name_of(world: World, site: str) -> Any:
    fields = await world.fields("site", site)
    assert fields is not None
    return fields["name"]


async def pushed(handset: Handset) -> tuple[Status, str]:
    (result,) = await handset.push()
    return result.status, result.code


async def both_hold_it(*handsets: Handset) -> None:
    for handset in handsets:
        await handset.pull_all()


def put(handset: Handset, entity: str, row: str, fields: dict[str, tuple[Any, Any]], name: str = "edit") -> None:
    """Send what our own phone would not."""
    edits = {field: {"was": was, "now": now} for field, (was, now) in fields.items()}
    handset.replica.outbox.put(name, handset.world.ids(), START, entity=entity, row=row, fields=edits)


async def test_an_edit_of_an_unchanged_field_is_applied(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    li_wei.edit("site", site, name="西门")
    assert await pushed(li_wei) == (Status.APPLIED, "")
    assert await name_of(world, site) == "西门"


async def test_the_same_edit_by_two_people_is_done_once(
    world: World, li_wei: Handset, zhang_min: Handset, site: str
) -> None:
    await both_hold_it(li_wei, zhang_min)
    for handset, expected in ((li_wei, Status.APPLIED), (zhang_min, Status.NOOP)):
        handset.edit("site", site, name="西门")
        assert await pushed(handset) == (expected, "")
    assert not await world.conflicts(site)


async def test_edits_of_different_fields_are_both_kept(
    world: World, li_wei: Handset, zhang_min: Handset, site: str
) -> None:
    await both_hold_it(li_wei, zhang_min)
    li_wei.edit("site", site, name="西门")
    zhang_min.edit("site", site, access_notes="按铃")
    assert await pushed(li_wei) == (Status.APPLIED, "")
    assert await pushed(zhang_min) == (Status.MERGED, "")
    fields = await world.fields("site", site)
    assert fields is not None
    assert (fields["name"], fields["access_notes"]) == ("西门", "按铃")


async def test_an_edit_that_clashes_is_kept_beside_the_servers_value(
    world: World, li_wei: Handset, zhang_min: Handset, site: str
) -> None:
    await both_hold_it(li_wei, zhang_min)
    li_wei.edit("site", site, name="西门")
    zhang_min.edit("site", site, name="南门", access_notes="按铃")
    await li_wei.push()
    (result,) = await zhang_min.push()
    assert (result.status, result.code, result.held) == (Status.CONFLICT, "edited_meanwhile", ("name",))
    assert result.text is not None
    (conflict,) = await world.conflicts(site)
    assert conflict["id"] == result.conflicts[0]
    assert (conflict["base"], conflict["mine"], conflict["theirs"]) == (
        {"name": "东门"}, {"name": "南门"}, {"name": "西门"},
    )  # fmt: skip
    assert (conflict["field"], conflict["person_id"]) == ("name", world.zhang_min)
    fields = await world.fields("site", site)
    assert fields is not None
    assert (fields["name"], fields["access_notes"]) == ("西门", "按铃"), "what did not clash was taken"
    shown = zhang_min.replica.shown().get("site", site)
    assert shown is not None
    assert (shown["name"], shown["access_notes"]) == ("东门", "按铃")
    for handset in (li_wei, zhang_min):
        await handset.pull_all()
        assert handset.replica.shown().get("site", site) == fields
        assert list(handset.replica.shown().all("field_conflict")) == [conflict["id"]]


async def test_later_edits_of_the_field_join_the_open_conflict(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    await world.change("site", site, name="西门")
    li_wei.edit("site", site, name="南门")
    li_wei.edit("site", site, name="北门")
    first, second = await li_wei.push()
    assert first.conflicts == second.conflicts
    await li_wei.pull_all()
    li_wei.edit("site", site, name="后门")
    assert await pushed(li_wei) == (Status.CONFLICT, "edited_meanwhile")
    (conflict,) = await world.conflicts(site)
    assert (conflict["base"], conflict["mine"], conflict["theirs"]) == (
        {"name": "东门"}, {"name": "后门"}, {"name": "西门"},
    )  # fmt: skip
    assert await name_of(world, site) == "西门"


async def test_another_phone_is_not_drawn_into_the_conflict(
    world: World, li_wei: Handset, zhang_min: Handset, site: str
) -> None:
    await li_wei.pull_all()
    await world.change("site", site, name="西门")
    li_wei.edit("site", site, name="南门")
    await li_wei.push()
    await zhang_min.pull_all()
    zhang_min.edit("site", site, name="北门")
    assert await pushed(zhang_min) == (Status.APPLIED, "")


async def test_an_address_and_its_position_change_together(
    world: World, li_wei: Handset, zhang_min: Handset, site: str
) -> None:
    await both_hold_it(li_wei, zhang_min)
    li_wei.edit("site", site, address="西风路 2 号")
    zhang_min.edit("site", site, lat=31.5, lon=117.5)
    assert await pushed(li_wei) == (Status.APPLIED, "")
    (result,) = await zhang_min.push()
    assert (result.status, result.held) == (Status.CONFLICT, tuple(sorted(PLACE)))
    (conflict,) = await world.conflicts(site)
    assert conflict["mine"] == PLACE | {"lat": 31.5, "lon": 117.5}
    assert conflict["theirs"] == PLACE | {"address": "西风路 2 号"}


async def test_part_of_a_group_is_rejected(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    put(li_wei, "site", site, {"address": ("东风路 1 号", "西风路 2 号")})
    assert await pushed(li_wei) == (Status.REJECTED, "partial_group")


@pytest.mark.parametrize(
    ("entity", "fields", "expected"),
    [
        ("site", {"number": ("S-1", "S-2")}, (Status.REJECTED, "server_decides")),
        ("site", {"colour": (None, "红")}, (Status.QUARANTINED, "unknown_field")),
        ("site", {}, (Status.REJECTED, "no_edit")),
        ("work_order", {"title": ("维修", "喝茶")}, (Status.REJECTED, "server_decides")),
        ("job_note", {"text": ("a", "b")}, (Status.REJECTED, "append_only")),
        ("completion_form", {"shown": ("a", "b")}, (Status.REJECTED, "sealed")),
    ],
)
async def test_what_phones_do_not_edit_is_refused_with_its_reason(
    li_wei: Handset, site: str, entity: str, fields: dict[str, tuple[Any, Any]], expected: tuple[Status, str]
) -> None:
    await li_wei.pull_all()
    put(li_wei, entity, site, fields)
    assert await pushed(li_wei) == expected


async def test_a_row_that_is_no_id_is_set_aside(li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    put(li_wei, "site", "1; DROP TABLE site", {"name": ("a", "b")})
    assert await pushed(li_wei) == (Status.QUARANTINED, "unreadable_mutation")


async def test_an_edit_of_a_deleted_row_neither_revives_it_nor_is_lost(
    world: World, li_wei: Handset, site: str
) -> None:
    asset = await world.asset(site)
    await li_wei.pull_all()
    await world.delete("asset", asset)
    li_wei.edit("asset", asset, name="球机")
    li_wei.edit("asset", asset, note="镜头已清洁")
    first, second = await li_wei.push()
    assert [(result.status, result.code) for result in (first, second)] == [(Status.CONFLICT, "row_gone")] * 2
    assert first.conflicts == second.conflicts
    (conflict,) = await world.conflicts(asset)
    assert conflict["field"] == ROW
    assert conflict["mine"] == {"name": "球机", "note": "镜头已清洁"}
    assert conflict["base"] == {"name": "枪机", "note": ""}
    assert conflict["theirs"] == {}
    assert await world.fields("asset", asset) is None
    await li_wei.pull_all()
    assert li_wei.replica.shown().get("asset", asset) is None


async def test_a_row_is_removed_when_it_is_as_the_person_saw_it(world: World, li_wei: Handset, site: str) -> None:
    asset = await world.asset(site)
    await li_wei.pull_all()
    li_wei.remove("asset", asset)
    li_wei.replica.outbox.put(
        "remove", world.ids(), START, entity="asset", row=asset, fields={"name": {"was": 1, "now": None}}
    )
    first, second = await li_wei.push()
    assert [first.status, second.status] == [Status.APPLIED, Status.NOOP]
    assert await world.fields("asset", asset) is None
    await li_wei.pull_all()
    assert li_wei.replica.shown().get("asset", asset) is None


async def test_removing_what_others_edited_is_a_conflict(world: World, li_wei: Handset, site: str) -> None:
    asset = await world.asset(site)
    await li_wei.pull_all()
    await world.change("asset", asset, note="王芳的备注")
    li_wei.remove("asset", asset)
    assert li_wei.replica.shown().get("asset", asset) is None
    first = await li_wei.push()
    assert (first[0].status, first[0].code) == (Status.CONFLICT, "edited_meanwhile")
    assert li_wei.replica.shown().get("asset", asset) is not None, "shown again, as nothing was removed"
    await li_wei.pull_all()
    await world.change("asset", asset, note="又改了")
    li_wei.remove("asset", asset)
    second = await li_wei.push()
    assert second[0].conflicts == first[0].conflicts
    (conflict,) = await world.conflicts(asset)
    assert (conflict["field"], conflict["mine"]) == (ROW, {})
    assert conflict["base"]["note"] == "王芳的备注", "what the person saw when last removing it"
    assert conflict["theirs"]["note"] == "又改了"


@pytest.mark.parametrize("entity", ["site", "contact"])
async def test_what_phones_may_not_remove_stays(world: World, li_wei: Handset, site: str, entity: str) -> None:
    await li_wei.pull_all()
    put(li_wei, entity, site, {"name": ("东门", None)}, name="remove")
    assert await pushed(li_wei) == (Status.REJECTED, "server_decides")
    assert await name_of(world, site) == "东门"


async def test_things_born_on_phones_do_not_get_in_each_others_way(
    world: World, li_wei: Handset, zhang_min: Handset, site: str
) -> None:
    await both_hold_it(li_wei, zhang_min)
    fields = {"site_id": site, "asset_type": "lift", "asset_model_id": None, "name": "电梯", "quantity": 1, "note": ""}
    items = [handset.add("asset", **fields) for handset in (li_wei, zhang_min)]
    for handset in (li_wei, zhang_min):
        assert await pushed(handset) == (Status.APPLIED, "")
    await both_hold_it(li_wei, zhang_min)
    for item in items:
        assert li_wei.replica.shown().get("asset", item.mutation.row)
        assert zhang_min.replica.shown().get("asset", item.mutation.row)


async def test_what_was_just_added_can_be_edited_and_removed_in_the_same_batch(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    fields = {"site_id": site, "asset_type": "lift", "asset_model_id": None, "name": "电梯", "quantity": 1, "note": ""}
    kept, gone = li_wei.add("asset", **fields).mutation.row, li_wei.add("asset", **fields).mutation.row
    li_wei.edit("asset", kept, name="货梯")
    li_wei.remove("asset", gone)
    statuses = [result.status for result in await li_wei.push()]
    assert statuses[:3] == [Status.APPLIED] * 3
    assert (await world.fields("asset", kept) or {})["name"] == "货梯"
    await li_wei.pull_all()
    assert await li_wei.pull() is Pulled.UNCHANGED


async def test_adding_the_same_row_again_is_idle_and_another_under_its_id_is_rejected(
    world: World, li_wei: Handset, site: str
) -> None:
    await li_wei.pull_all()
    fields = {"site_id": site, "asset_type": "lift", "name": "电梯", "quantity": 1, "note": ""}
    row = li_wei.add("asset", **fields).mutation.row
    put_add = li_wei.replica.outbox.put
    put_add("add", world.ids(), START, entity="asset", row=row, args=fields | {"quantity": 1.0})
    put_add("add", world.ids(), START, entity="asset", row=row, args=fields | {"quantity": True})
    put_add("add", world.ids(), START, entity="asset", row=row, args=fields | {"name": "货梯"})
    results = await li_wei.push()
    assert [(result.status, result.code) for result in results] == [
        (Status.APPLIED, ""), (Status.NOOP, ""), (Status.REJECTED, "id_taken"), (Status.REJECTED, "id_taken"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entity", "args", "expected"),
    [
        ("site", {}, (Status.REJECTED, "server_decides")),
        ("asset", {}, (Status.QUARANTINED, "unreadable_mutation")),
        ("asset", {"site_id": 7}, (Status.QUARANTINED, "unreadable_mutation")),
        ("asset", {"site_id": "site", "warranty_until": "2099-01-01"}, (Status.QUARANTINED, "unknown_field")),
        ("asset", {"site_id": "0197c0de-0000-7000-8000-000000000001"}, (Status.REJECTED, "not_granted")),
    ],
)
async def test_what_cannot_be_added_says_why(
    li_wei: Handset, site: str, entity: str, args: dict[str, Any], expected: tuple[Status, str]
) -> None:
    await li_wei.pull_all()
    li_wei.add(entity, **{name: site if value == "site" else value for name, value in args.items()})
    assert await pushed(li_wei) == expected


async def test_adding_to_a_deleted_site_is_kept_for_a_person(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    await world.delete("site", site)
    li_wei.add("asset", site_id=site, name="电梯")
    assert await pushed(li_wei) == (Status.QUARANTINED, "row_gone")


async def test_work_on_a_merged_site_follows_it(world: World, li_wei: Handset, site: str) -> None:
    standing = await world.site(name="东门", access_notes="按铃")
    await li_wei.pull_all()
    await world.change("site", site, merged_into_id=standing)
    li_wei.edit("site", site, name="西门")
    li_wei.edit("site", site, access_notes="找保安")
    li_wei.add("asset", site_id=site, name="电梯", asset_type="elevator")
    statuses = [result.status for result in await li_wei.push()]
    assert statuses == [Status.APPLIED, Status.CONFLICT, Status.APPLIED]
    assert await name_of(world, standing) == "西门"
    assert await name_of(world, site) == "东门"
    (conflict,) = await world.conflicts(standing)
    assert conflict["theirs"] == {"access_notes": "按铃"}


async def test_sites_merged_in_a_circle_end_the_search(world: World, li_wei: Handset, site: str) -> None:
    other = await world.site(merged_into_id=site)
    await world.change("site", site, merged_into_id=other)
    await li_wei.pull_all()
    li_wei.edit("site", site, name="西门")
    assert await pushed(li_wei) in {(Status.APPLIED, ""), (Status.MERGED, "")}


async def test_a_site_merged_into_nothing_is_edited_itself(world: World, li_wei: Handset, site: str) -> None:
    """A database refuses to merge it; a store without foreign keys is left with one merged into nothing."""
    with nullcontext() if isinstance(world, MemoryWorld) else pytest.raises(IntegrityError):
        await world.change("site", site, merged_into_id=world.ids())
    await li_wei.pull_all()
    li_wei.edit("site", site, name="西门")
    await li_wei.push()
    assert await name_of(world, site) == "西门"


async def test_a_conflict_survives_commands_in_between(world: World, li_wei: Handset, site: str) -> None:
    await li_wei.pull_all()
    await world.change("site", site, name="西门")
    li_wei.edit("site", site, name="南门")
    li_wei.do("sign", site, "a")
    li_wei.edit("site", site, name="北门")
    results: list[Result] = await li_wei.push()
    assert [result.status for result in results] == [Status.CONFLICT, Status.APPLIED, Status.CONFLICT]
    (conflict,) = await world.conflicts(site)
    assert conflict["mine"] == {"name": "北门"}


async def test_an_edit_after_a_command_sees_what_the_command_did(world: World, li_wei: Handset, site: str) -> None:
    async def rename(tx: Any, call: Call) -> Outcome:
        fields = {"name": call.mutation.args["mark"]}
        await tx.write([RowWrite(WriteKind.UPDATE, site_of(call.mutation), fields, call.mutation.id)])
        return applied()

    await li_wei.pull_all()
    li_wei.handlers = handlers_that(rename=Handler(rename, site_of))
    li_wei.edit("site", site, access_notes="按铃")
    li_wei.do("rename", site, "西门")
    li_wei.edit("site", site, name="南门")
    results = await li_wei.push()
    assert [result.status for result in results] == [Status.APPLIED, Status.APPLIED, Status.CONFLICT]
    assert await name_of(world, site) == "西门"


async def test_an_edit_joins_a_conflict_a_command_opened(world: World, li_wei: Handset, site: str) -> None:
    opened = world.ids()

    async def dispute(tx: Any, call: Call) -> Outcome:
        key = site_of(call.mutation)
        bucket = (await tx.rows([key]))[key].bucket
        conflict = Conflict(
            opened, key, bucket, "name", {"name": "东门"}, {"name": "北门"}, {"name": "西门"}, call.mutation.id,
            call.device, call.person, call.effective_at, call.now,
        )  # fmt: skip
        await tx.save_conflicts([conflict])
        return applied()

    await li_wei.pull_all()
    li_wei.handlers = handlers_that(dispute=Handler(dispute, site_of))
    li_wei.edit("site", site, access_notes="按铃")
    li_wei.do("dispute", site, "a")
    li_wei.edit("site", site, name="南门")
    results = await li_wei.push()
    assert results[2].conflicts == (opened,)
    (conflict,) = await world.conflicts(site)
    assert conflict["mine"] == {"name": "南门"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Rejection("wrong_type", "类型不对。", "The wrong type."), (Status.REJECTED, "wrong_type")),
        (TypeError("no text"), (Status.QUARANTINED, "handler_failed")),
    ],
)
async def test_an_edit_the_database_refuses_is_undone_and_the_next_builds_on_what_stands(
    world: World, li_wei: Handset, site: str, error: Exception, expected: tuple[Status, str]
) -> None:
    await li_wei.pull_all()
    li_wei.store = PickyStore(world.store, "北门", error)
    put(li_wei, "site", site, {"access_notes": ("", "按铃")})
    put(li_wei, "site", site, {"name": ("东门", "北门")})
    put(li_wei, "site", site, {"name": ("东门", "西门")})
    results = await li_wei.push()
    assert [(result.status, result.code) for result in results] == [
        (Status.APPLIED, ""), expected, (Status.APPLIED, ""),
    ]  # fmt: skip
    fields = await world.fields("site", site)
    assert fields is not None
    assert (fields["name"], fields["access_notes"]) == ("西门", "按铃")
