"""Conflicts end in people's hands, on the phone: one side is taken, and everybody has it with the next pull."""

from typing import Any

import pytest

from sync import work
from sync.deciding import CONFLICT_DECIDE, DECIDE, Choice, Take, decide
from sync.handler import Rejection
from sync.protocol import Result, Status
from tests.sync.handset import Handset, buckets
from tests.sync.world import START, World, handlers_that


@pytest.fixture
def deciders(li_wei: Handset, zhang_min: Handset) -> tuple[Handset, Handset]:
    for phone in (li_wei, zhang_min):
        phone.handlers = handlers_that(**{CONFLICT_DECIDE: DECIDE})
    return li_wei, zhang_min


async def clash(world: World, li_wei: Handset, site: str) -> str:
    """李伟 and the office call a gate differently; return the conflict, which his phone holds."""
    await li_wei.pull_all()
    await world.change("site", site, name="北门")
    li_wei.edit("site", site, name="西门")
    (result,) = await li_wei.push()
    assert result.status is Status.CONFLICT
    await li_wei.pull_all()
    return result.conflicts[0]


def taken(phone: Handset, conflict: str, take: str, **values: Any) -> None:
    work.decide(phone.replica, conflict, take, mutation_id=phone.world.ids(), now=phone.now, values=values)


async def told(phone: Handset) -> tuple[Status, str]:
    (result,) = await phone.push()
    return result.status, result.code


@pytest.mark.parametrize(
    ("take", "values", "name"), [("mine", {}, "西门"), ("theirs", {}, "北门"), ("values", {"name": "西北门"}, "西北门")]
)
async def test_what_the_person_takes_stands_and_reaches_the_others(  # noqa: PLR0917
    world: World, deciders: tuple[Handset, Handset], site: str, take: str, values: dict[str, Any], name: str
) -> None:
    li_wei, zhang_min = deciders
    conflict = await clash(world, li_wei, site)
    taken(li_wei, conflict, take, **values)
    assert await told(li_wei) == (Status.APPLIED, "")
    for phone in (li_wei, zhang_min):
        await phone.pull_all()
        assert phone.replica.shown().all("site")[site]["name"] == name
        assert phone.replica.shown().all("field_conflict")[conflict]["decision"] == take
        assert buckets(phone) == dict(await world.expected(phone.person, START))
    li_wei.edit("site", site, name="大门")
    assert await told(li_wei) == (Status.APPLIED, ""), "the next edit of the field is merged as ever"


async def test_a_decision_is_made_once(world: World, deciders: tuple[Handset, Handset], site: str) -> None:
    li_wei, _ = deciders
    conflict = await clash(world, li_wei, site)
    taken(li_wei, conflict, "mine")
    taken(li_wei, conflict, "theirs")
    results = await li_wei.push()
    assert [(one.status, one.code) for one in results] == [
        (Status.APPLIED, ""), (Status.REJECTED, "conflict_decided"),
    ]  # fmt: skip
    async with world.store.write() as tx:
        with pytest.raises(Rejection, match="conflict_decided"):
            await decide(tx, conflict, Choice(Take.THEIRS), person=world.zhang_min, now=START)
        with pytest.raises(Rejection, match="no_conflict"):
            await decide(tx, world.ids(), Choice(Take.THEIRS), person=world.zhang_min, now=START)


async def test_who_decides_on_an_old_picture_is_told_to_compare_again(
    world: World, deciders: tuple[Handset, Handset], site: str
) -> None:
    li_wei, _ = deciders
    conflict = await clash(world, li_wei, site)
    taken(li_wei, conflict, "mine")
    await world.change("site", site, name="南门")
    assert await told(li_wei) == (Status.REJECTED, "conflict_moved")
    assert ((await world.fields("site", site)) or {})["name"] == "南门"
    await li_wei.pull_all()
    taken(li_wei, conflict, "mine")
    assert await told(li_wei) == (Status.APPLIED, "")


async def test_only_whose_edit_opened_it_decides_and_only_about_the_fields_in_question(
    world: World, deciders: tuple[Handset, Handset], site: str
) -> None:
    li_wei, zhang_min = deciders
    conflict = await clash(world, li_wei, site)
    await zhang_min.pull_all()
    taken(zhang_min, conflict, "theirs")
    assert await told(zhang_min) == (Status.REJECTED, "not_yours_to_decide")
    taken(li_wei, conflict, "values", access_notes="钥匙在门卫")
    taken(li_wei, conflict, "values")
    results: list[Result] = await li_wei.push()
    assert [one.code for one in results] == ["wrong_values", "wrong_values"]


@pytest.mark.parametrize("take", ["mine", "theirs"])
async def test_a_row_deleted_under_an_edit_comes_back_or_stays_away(
    world: World, deciders: tuple[Handset, Handset], site: str, take: str
) -> None:
    li_wei, zhang_min = deciders
    asset = await world.asset(site, name="枪机", serial="A1")
    for phone in (li_wei, zhang_min):
        await phone.pull_all()
    zhang_min.remove("asset", asset)
    assert await told(zhang_min) == (Status.APPLIED, "")
    li_wei.edit("asset", asset, serial="A2")
    assert await told(li_wei) == (Status.CONFLICT, "row_gone")
    await li_wei.pull_all()
    ((conflict, _),) = li_wei.replica.shown().all("field_conflict").items()
    taken(li_wei, conflict, take)
    assert await told(li_wei) == (Status.APPLIED, "")
    await zhang_min.pull_all()
    back = zhang_min.replica.shown().all("asset").get(asset)
    if take == "theirs":
        assert back is None
    else:
        assert back is not None
        assert (back["name"], back["serial"], back["site_id"]) == ("枪机", "A2", site)
    assert buckets(zhang_min) == dict(await world.expected(zhang_min.person, START))


@pytest.mark.parametrize(("take", "stays"), [("mine", False), ("theirs", True)])
async def test_a_removal_under_an_edit_is_done_or_dropped(
    world: World,
    deciders: tuple[Handset, Handset],
    site: str,
    take: str,
    stays: bool,  # noqa: FBT001 - a table's column
) -> None:
    li_wei, _ = deciders
    asset = await world.asset(site)
    await li_wei.pull_all()
    await world.change("asset", asset, note="已更换电源")
    li_wei.remove("asset", asset)
    assert await told(li_wei) == (Status.CONFLICT, "edited_meanwhile")
    await li_wei.pull_all()
    ((conflict, _),) = li_wei.replica.shown().all("field_conflict").items()
    taken(li_wei, conflict, take)
    assert await told(li_wei) == (Status.APPLIED, "")
    assert (await world.fields("asset", asset) is not None) is stays


async def test_what_cannot_come_back_says_so(world: World, deciders: tuple[Handset, Handset], site: str) -> None:
    li_wei, _ = deciders
    conflict = await clash(world, li_wei, site)
    await world.delete("site", site)
    async with world.store.write() as tx:
        with pytest.raises(Rejection, match="not_restorable"):
            await decide(tx, conflict, Choice(Take.MINE), person=world.li_wei, now=START)
        decided = await decide(tx, conflict, Choice(Take.THEIRS), person=world.li_wei, now=START)
    assert decided.decision is not None
