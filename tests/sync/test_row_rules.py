"""Rows changed on phones obey the office's rules; what does not is rejected in both languages.

On SQLite: the rules ask a database for nothing but rows, which tests/sync/contract does on each.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import pytest_asyncio

from backend.core.sessions import Database
from sync.protocol import Result, Status
from tests.sync.conftest import sql_world_over
from tests.sync.handset import Handset, register
from tests.sync.sql_world import SqlWorld
from tests.sync.world import START

LONG = "长" * 200_000
CONSENTED = "2026-03-02T01:00:00Z"


@pytest_asyncio.fixture(loop_scope="session")
async def sql_world(sql_databases: Mapping[str, Database]) -> SqlWorld:
    """The world the rules are tried in."""
    return await sql_world_over(sql_databases["sqlite"])


@pytest_asyncio.fixture(loop_scope="session")
async def phone(sql_world: SqlWorld) -> Handset:
    """李伟's phone, at a site where he has work."""
    phone = await register(sql_world, sql_world.li_wei)
    site = await sql_world.site()
    await sql_world.asset(site)
    await sql_world.assign(sql_world.li_wei, await sql_world.job(site))
    await phone.pull_all()
    return phone


def the(phone: Handset, entity: str) -> str:
    """The only row of a table on the phone."""
    (row,) = phone.replica.shown().all(entity)
    return row


def ends(results: list[Result]) -> list[tuple[Status, str]]:
    return [(result.status, result.code) for result in results]


def assert_invalid(result: Result, field: str) -> None:
    assert (result.status, result.code) == (Status.REJECTED, "invalid"), result
    assert result.text is not None
    assert f"{field}:" in result.text.zh
    assert f"{field}: " in result.text.en


async def met(phone: Handset) -> str:
    """Make a contact that is to be asked for at the site."""
    contact = phone.add("contact", customer_id=the(phone, "customer"), name="赵敏").mutation.row
    phone.add("site_contact", site_id=the(phone, "site"), contact_id=contact)
    assert [result.status for result in await phone.push()] == [Status.APPLIED] * 2
    return contact


async def added(phone: Handset, entity: str, **fields: Any) -> Result:
    """What is said to a new row, which is there only if it was taken."""
    row = phone.add(entity, **fields).mutation.row
    result = (await phone.push())[-1]
    assert (await phone.world.fields(entity, row) is not None) == (result.status is Status.APPLIED)
    return result


@pytest.mark.parametrize(
    ("entity", "changes", "field"),
    [
        ("site", {"name": ""}, "name"), ("site", {"name": "  "}, "name"), ("site", {"name": None}, "name"),
        ("site", {"name": LONG}, "name"), ("site", {"access_notes": LONG}, "access_notes"),
        ("site", {"lat": 500.0}, "lat"), ("site", {"lon": -1000.0}, "lon"), ("site", {"lat": None}, "lon"),
        ("site", {"position_source": "nonsense"}, "position_source"),
        ("site", {"position_confidence": 7.5}, "position_confidence"), ("site", {"address": "\0"}, "address"),
        ("site", {"acceptance_on": "yesterday"}, "acceptance_on"), ("asset", {"quantity": -3}, "quantity"),
        ("asset", {"quantity": 2.5}, "quantity"), ("asset", {"quantity": None}, "quantity"),
        ("asset", {"asset_type": "nonsense"}, "asset_type"), ("asset", {"serial": ""}, "serial"),
        ("asset", {"asset_model_id": "0197c0de-0000-7000-8000-000000000001"}, "asset_model_id"),
        ("asset", {"asset_model_id": "none"}, "asset_model_id"),
    ],
)  # fmt: skip
async def test_an_edit_no_desk_would_take_is_rejected(
    phone: Handset, entity: str, changes: dict[str, Any], field: str
) -> None:
    row = the(phone, entity)
    before = await phone.world.fields(entity, row)
    phone.edit(entity, row, **changes)
    (result,) = await phone.push()
    assert_invalid(result, field)
    assert await phone.world.fields(entity, row) == before


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"asset_type": "camera"}, "name"), ({"name": "枪机"}, "asset_type"),
        ({"name": "枪机", "asset_type": "nonsense"}, "asset_type"),
        ({"name": "枪机", "asset_type": "camera", "quantity": 0}, "quantity"),
    ],
)  # fmt: skip
async def test_an_asset_no_desk_would_take_is_not_added(phone: Handset, fields: dict[str, Any], field: str) -> None:
    assert_invalid(await added(phone, "asset", site_id=the(phone, "site"), **fields), field)


async def test_one_bad_edit_costs_the_others_nothing(phone: Handset) -> None:
    site, asset = the(phone, "site"), the(phone, "asset")
    phone.edit("site", site, name="西门")
    phone.edit("asset", asset, quantity=-3)
    phone.edit("asset", asset, note="换过电源", quantity=4)
    results = await phone.push()
    assert [result.status for result in results] == [Status.APPLIED, Status.REJECTED, Status.CONFLICT]
    assert (await phone.world.fields("asset", asset) or {})["note"] == "换过电源"


async def test_what_stays_is_not_asked_again(sql_world: SqlWorld, phone: Handset) -> None:
    """A value from before there was a rule keeps nobody from changing the others of its group."""
    site = the(phone, "site")
    await sql_world.change("site", site, address="")
    await phone.pull_all()
    phone.edit("site", site, lat=30.5)
    assert ends(await phone.push()) == [(Status.APPLIED, "")]


async def test_a_place_lies_within_another_of_its_site_and_never_in_itself(sql_world: SqlWorld, phone: Handset) -> None:
    site = the(phone, "site")
    other = await sql_world.site(name="北门")
    await sql_world.assign(sql_world.li_wei, await sql_world.job(other))
    await phone.pull_all()
    hall = phone.add("position", site_id=site, name="大厅").mutation.row
    corner = phone.add("position", site_id=site, name="东角", parent_id=hall).mutation.row
    elsewhere = phone.add("position", site_id=other, name="北厅").mutation.row
    assert ends(await phone.push()) == [(Status.APPLIED, "")] * 3
    for row, parent_id in ((hall, hall), (hall, corner), (hall, elsewhere), (hall, phone.world.ids())):
        phone.edit("position", row, parent_id=parent_id)
    for result in await phone.push():
        assert_invalid(result, "parent_id")
    phone.edit("position", corner, name="")
    assert_invalid((await phone.push())[0], "name")
    phone.edit("position", corner, parent_id=None)
    assert ends(await phone.push()) == [(Status.MERGED, "")]


async def test_what_others_refer_to_is_not_removed_before_they_are(phone: Handset) -> None:
    hall = phone.add("position", site_id=the(phone, "site"), name="大厅").mutation.row
    corner = phone.add("position", site_id=the(phone, "site"), name="东角", parent_id=hall).mutation.row
    await phone.push()
    await phone.pull_all()
    phone.remove("position", hall)
    (result,) = await phone.push()
    assert (result.status, result.code) == (Status.REJECTED, "still_in_use")
    assert result.text is not None
    assert "下级位置" in result.text.zh
    assert "places within it" in result.text.en
    await phone.pull_all()
    assert await phone.world.fields("position", hall) is not None
    phone.remove("position", corner)
    phone.remove("position", hall)
    assert ends(await phone.push()) == [(Status.APPLIED, "")] * 2


async def test_a_contact_met_on_site_is_made_reached_and_asked_for_there(phone: Handset) -> None:
    site = the(phone, "site")
    contact = phone.add("contact", customer_id=the(phone, "customer"), name="赵敏").mutation.row
    point = phone.add("contact_point", contact_id=contact, kind="phone", address="139 0000 0001").mutation.row
    link = phone.add("site_contact", site_id=site, contact_id=contact, primary=True).mutation.row
    assert [result.status for result in await phone.push()] == [Status.APPLIED] * 3
    assert (await phone.world.fields("contact_point", point) or {})["address"] == "+8613900000001"
    assert (await phone.world.fields("site_contact", link) or {})["contact_id"] == contact
    await phone.pull_all()
    assert phone.replica.shown().get("contact", contact) is not None, "the link brings the contact to the phone"
    assert_invalid(await added(phone, "site_contact", site_id=site, contact_id=contact), "contact_id")
    phone.remove("site_contact", link)
    assert ends(await phone.push()) == [(Status.APPLIED, "")]


async def test_one_contact_of_a_site_is_called_first(sql_world: SqlWorld, phone: Handset) -> None:
    site = the(phone, "site")
    people = [await sql_world.contact(sql_world.customer) for _ in range(3)]
    links = [phone.add("site_contact", site_id=site, contact_id=one, primary=True).mutation.row for one in people]
    assert ends(await phone.push()) == [(Status.APPLIED, "")] * 3

    async def firsts() -> list[bool]:
        return [(await sql_world.fields("site_contact", link) or {})["primary"] for link in links]

    assert await firsts() == [False, False, True]
    await phone.pull_all()
    for link in links[:2]:
        phone.edit("site_contact", link, primary=True)
    assert ends(await phone.push()) == [(Status.APPLIED, "")] * 2
    assert await firsts() == [False, True, False]
    await phone.pull_all()
    assert [row["primary"] for _, row in sorted(phone.replica.shown().all("site_contact").items())] == [
        link == links[1] for link in sorted(links)
    ]


@pytest.mark.parametrize(
    ("entity", "fields", "field"),
    [
        ("contact_point", {"kind": "nonsense", "address": "赵敏家"}, "kind"),
        ("contact_point", {"kind": "phone", "address": "赵敏家"}, "address"),
        ("contact_point", {"kind": "email", "address": "赵敏家"}, "address"),
        ("contact_point", {"kind": "wechat", "address": "zhao", "consent": "spoken"}, "consented_at"),
        ("contact_point", {"kind": "wechat", "address": "zhao", "consented_at": CONSENTED}, "consented_at"),
        ("contact_point", {"kind": "wechat"}, "address"),
    ],
)  # fmt: skip
async def test_a_way_to_reach_somebody_is_checked_like_at_the_desk(
    phone: Handset, entity: str, fields: dict[str, Any], field: str
) -> None:
    assert_invalid(await added(phone, entity, contact_id=await met(phone), **fields), field)


async def test_there_is_an_end_to_the_ways_to_reach_somebody(phone: Handset) -> None:
    contact = await met(phone)
    for number in range(11):
        phone.add("contact_point", contact_id=contact, kind="wechat", address=f"zhao{number}")
    results = await phone.push()
    assert ends(results) == [*[(Status.APPLIED, "")] * 10, (Status.REJECTED, "too_many_contact_points")]


async def test_nobody_elses_people_are_asked_for_at_a_site(sql_world: SqlWorld, phone: Handset) -> None:
    site, other = the(phone, "site"), await sql_world.customer_named("北湖学校")
    stranger = await sql_world.contact(other)
    for contact_id in (stranger, sql_world.ids(), "nobody", None):
        assert_invalid(await added(phone, "site_contact", site_id=site, contact_id=contact_id), "contact_id")
    phone.replica.outbox.put("add", sql_world.ids(), START, entity="site_contact", row=sql_world.ids(), args={
        "site_id": site,
    })  # fmt: skip
    assert_invalid((await phone.push())[0], "contact_id")


async def test_where_a_site_lies_is_kept_as_it_was_given(sql_world: SqlWorld, phone: Handset) -> None:
    site = the(phone, "site")
    phone.edit("site", site, lat=30.5, lon=117.5, position_source="phone", position_confidence=None)
    assert ends(await phone.push()) == [(Status.APPLIED, "")]
    assert await sql_world.original_place(site) == (30.5, 117.5, "wgs84")
