"""Who sees and does what with work, and what is refused without a trace."""

from typing import Any, Final

import pytest
from sqlalchemy import select

from backend.people.models import Role, RoleGrant
from tests.make import START, Office
from tests.personas import (
    CHEN_JING,
    EVERYBODY,
    GAO_JIE,
    HE_LI,
    LI_WEI,
    LIN_LI,
    MA_CHAO,
    SUN_LEI,
    TANG_MIN,
    WANG_FANG,
    WU_GANG,
    XU_HUI,
    ZHOU_TAO,
)
from tests.work import NOBODY, change, ok, opened, order_of, refused, report, row_counts, sent


@pytest.fixture
def office(sqlite_office: Office) -> Office:
    """Who may what is decided before any database is asked; one of them is enough."""
    return sqlite_office


# --- who may what -----------------------------------------------------------------------------------------------------

READS_SERVICE: Final = {WANG_FANG, HE_LI, CHEN_JING, TANG_MIN, GAO_JIE, WU_GANG, LI_WEI}
"""Who sees a repair at 云桥大厦 given to 李伟: his dispatcher, the office, his crew's leader, himself."""


@pytest.mark.rule("A270")
async def test_everybody_sees_what_their_role_reaches_and_nothing_else(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    order_id = (await order_of(wang_fang, visit_id))["order"]["id"]
    for persona in EVERYBODY:
        desk = await office.sign_in_for_long(persona)
        listed, shown = await desk.get("/work-orders"), await desk.get(f"/work-orders/{order_id}")
        if persona is LIN_LI:
            refused(listed, "forbidden")
            refused(shown, "forbidden")
            continue
        if persona is XU_HUI:  # who quotes sees what for, and no more of the work
            assert ok(listed)["items"] == [ok(shown)["order"]]
            assert ok(shown)["visits"] == []
            refused(await desk.get(f"/visits/{visit_id}"), "forbidden")
            continue
        seen = [one["id"] for one in ok(listed)["items"]]
        assert seen == ([order_id] if persona in READS_SERVICE else []), persona.name
        if persona in READS_SERVICE:
            ok(shown)
        else:
            refused(shown, "not_found")
        assert (await desk.get(f"/visits/{visit_id}")).status_code == shown.status_code


@pytest.mark.rule("A052", "A053", "A054")
async def test_the_dispatcher_of_repairs_does_not_dispatch_installations(office: Office) -> None:
    chen_jing, wang_fang = await office.sign_in_for_long(CHEN_JING), await office.sign_in_for_long(WANG_FANG)
    detail = await opened(chen_jing, office, kind="install", title="新增门禁")
    visit_id = detail["visits"][0]["id"]
    refused(await wang_fang.get(f"/visits/{visit_id}"), "not_found")
    li_wei = {"person_id": str(office.house.id_of(LI_WEI))}
    refused(await change(wang_fang, visit_id, "assign", li_wei), "not_found")
    assert (await order_of(chen_jing, visit_id))["assignments"] == []


async def test_another_units_dispatcher_and_another_technician_find_nothing(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    order_id = (await order_of(wang_fang, visit_id))["order"]["id"]
    before = await row_counts(office)
    ma_chao, sun_lei, zhou_tao = [await office.sign_in_for_long(one) for one in (MA_CHAO, SUN_LEI, ZHOU_TAO)]
    for path, body in (
        (f"/visits/{visit_id}/assign", {"person_id": str(office.house.id_of(SUN_LEI))}),
        (f"/visits/{visit_id}/withdraw", {"reason": "x"}),
        (f"/visits/{visit_id}/cancel", {"reason": "x"}),
        (f"/visits/{visit_id}/tell", {"channel": "phone", "asked_by": "us"}),
        (f"/visits/{visit_id}/events", {"kind": "arrive"}),
        (f"/work-orders/{order_id}/cancel", {"reason": "x"}),
        (f"/work-orders/{order_id}/visits", {}),
        (f"/work-orders/{order_id}/notes", {"text": "x"}),
    ):
        refused(await ma_chao.post(path, body), "not_found")
    for desk in (sun_lei, zhou_tao):
        refused(await desk.post(f"/visits/{visit_id}/events", {"kind": "arrive"}), "not_found")
        refused(await desk.post(f"/visits/{visit_id}/parts", {"part_id": NOBODY, "quantity": 1}), "not_found")
        refused(await desk.post(f"/work-orders/{order_id}/notes", {"text": "x"}), "not_found")
    assert await row_counts(office) == before


@pytest.mark.rule("A188")
async def test_an_expert_who_assists_adds_notes_and_changes_nothing(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    order_id = ok(await wang_fang.get(f"/visits/{visit_id}"))["work_order_id"]
    async with office.database.write() as session:
        expert = (await session.execute(select(Role.id).filter_by(key="expert"))).scalar_one()
        grant = select(RoleGrant).filter_by(person_id=office.house.id_of(ZHOU_TAO))
        (await session.execute(grant)).scalar_one().role_id = expert
    zhou_tao = await office.sign_in_for_long(ZHOU_TAO)
    ok(await zhou_tao.post(f"/work-orders/{order_id}/notes", {"text": "先测电源"}), 201)
    refused(await zhou_tao.post(f"/work-orders/{order_id}/cancel", {"reason": "x"}), "forbidden")
    assert [one["text"] for one in ok(await zhou_tao.get(f"/work-orders/{order_id}"))["notes"]] == ["先测电源"]


async def test_a_dispatcher_sends_only_the_people_of_the_own_units(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    answer = await change(wang_fang, visit_id, "assign", {"person_id": str(office.house.id_of(SUN_LEI))})
    assert refused(answer, "invalid")["findings"][0]["field"] == "person_id"


async def test_a_dispatcher_reports_for_a_technician_who_phoned_in_and_nobody_else_does(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    li_wei = str(office.house.id_of(LI_WEI))
    assert (await report(wang_fang, visit_id, "arrive", person_id=li_wei))["visit"]["state"] == "arrived"
    zhou_tao = await office.sign_in_for_long(ZHOU_TAO)
    refused(await zhou_tao.post(f"/visits/{visit_id}/events", {"kind": "start", "person_id": li_wei}), "not_found")
    refused(await wang_fang.post(f"/visits/{visit_id}/events", {"kind": "start"}), "not_found")


async def test_work_is_opened_where_one_has_business(office: Office) -> None:
    north = {"site_id": str(office.house.north_site), "kind": "repair", "title": "门铃"}
    here = {"site_id": str(office.house.site), "kind": "repair", "title": "门铃"}
    for persona, site, status in (
        (HE_LI, here, 201), (HE_LI, north, 404), (WU_GANG, here, 201), (WU_GANG, north, 404), (ZHOU_TAO, here, 404),
        (CHEN_JING, north, 201), (TANG_MIN, here, 403), (LIN_LI, here, 403),
    ):  # fmt: skip
        desk = await office.sign_in_for_long(persona)
        assert (await desk.post("/work-orders", site)).status_code == status, persona.name


# --- bad input --------------------------------------------------------------------------------------------------------

NEW: Final[dict[str, Any]] = {"kind": "repair", "title": "黑屏"}


BAD_ORDERS: Final[list[tuple[dict[str, Any], str]]] = [
    ({"kind": "teleport"}, "kind"),
    ({"kind": 7}, "kind"),
    ({"colour": "red"}, "colour"),
    ({"title": ""}, "title"),
    ({"title": "x" * 201}, "title"),
    ({"priority": "P9"}, "priority"),
    ({"required_skills": ["flying"]}, "required_skills"),
    ({"duration_minutes": 0}, "duration_minutes"),
    ({"duration_minutes": 60 * 24 * 31}, "duration_minutes"),
    ({"due_at": "2026-03-04T10:00:00"}, "due_at"),
    ({"due_at": "0001-01-01T00:00:00+14:00"}, "due_at"),
    ({"earliest_at": "9999-12-31T23:59:59Z"}, "earliest_at"),
    ({"title": "\x00"}, "title"),
    ({"request_id": NOBODY}, "request_id"),
    ({"asset_id": NOBODY}, "asset_id"),
    ({"form_template_version_id": NOBODY}, "form_template_version_id"),
    ({"window_starts_at": "2026-03-04T10:00:00Z"}, "window_ends_at"),
    ({"window_starts_at": "2026-03-01T10:00:00Z", "window_ends_at": "2026-03-01T12:00:00Z"}, "window_ends_at"),
    ({"window_starts_at": "2062-03-01T10:00:00Z", "window_ends_at": "2062-03-01T12:00:00Z"}, "window_ends_at"),
    ({"window_starts_at": "2026-03-04T10:00:00Z", "window_ends_at": "2026-03-04T09:00:00Z"}, "window_ends_at"),
]


async def test_a_bad_order_is_refused_by_field_and_leaves_nothing(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    before = await row_counts(office)
    for wrong, field in BAD_ORDERS:
        body = {**NEW, "site_id": str(office.house.site), **wrong}
        problem = refused(await wang_fang.post("/work-orders", body), "invalid")
        (finding,) = problem["findings"]
        assert field in finding["field"] or field in finding["en"], wrong
    assert await row_counts(office) == before


BAD_EVENTS: Final[list[dict[str, Any]]] = [
    {"kind": "arrive", "lat": 91},
    {"kind": "arrive", "lon": -181},
    {"kind": "arrive", "mood": "good"},
    {"kind": "vanish"},
    {"kind": "arrive", "note": ""},
    {"kind": "arrive", "claimed_at": "yesterday"},
    {"kind": "arrive", "claimed_at": "0003-01-01T00:00:00+08:00"},
    {"kind": "arrive", "claimed_at": "0001-01-01T00:00:00+14:00"},
    {"kind": "cannot_complete"},
    {"kind": "cannot_complete", "reason": "rebook", "note": "x", "next_step": "x", "next_at": "9999-12-31T00:00:00Z"},
    {"kind": "cannot_complete", "reason": "aliens", "note": "x", "next_step": "x"},
    {"kind": "amend", "amends_id": NOBODY, "reason": "x"},
    {"kind": "revert", "amends_id": "x"},
]


async def test_a_bad_event_is_refused_and_leaves_nothing(office: Office) -> None:
    _, li_wei, visit_id = await sent(office)
    before = await row_counts(office)
    for body in BAD_EVENTS:
        answer = await li_wei.post(f"/visits/{visit_id}/events", body)
        assert answer.status_code == 422, (body, answer.text)
    assert await row_counts(office) == before


async def test_edits_need_the_etag_of_what_their_author_saw(office: Office) -> None:
    wang_fang, _, visit_id = await sent(office)
    for path in (f"/visits/{visit_id}", f"/work-orders/{(await order_of(wang_fang, visit_id))['order']['id']}"):
        change = {"title": "改"} if "work-orders" in path else {"duration_minutes": 45}
        refused(await wang_fang.ask("PATCH", path, json=change), "if_match_missing")
        refused(await wang_fang.ask("PATCH", path, json=change, headers={"If-Match": '"old"'}), "stale")
        ok(await wang_fang.edit(path, change))
        refused(await wang_fang.edit(path, {"number": "WO-1"}), "invalid")
    body = {"priority": "P1", "earliest_at": None, "required_skills": ["cctv"]}
    order_path = f"/work-orders/{(await order_of(wang_fang, visit_id))['order']['id']}"
    assert ok(await wang_fang.edit(order_path, body))["priority"] == "P1"
    refused(await wang_fang.edit(order_path, {"asset_id": NOBODY}), "invalid")
    refused(await wang_fang.edit(f"/visits/{visit_id}", {"window_starts_at": START.isoformat()}), "invalid")


async def test_a_visit_that_does_not_exist_is_not_found(office: Office) -> None:
    wang_fang = await office.sign_in_for_long(WANG_FANG)
    before = await row_counts(office)
    refused(await wang_fang.get(f"/visits/{NOBODY}"), "not_found")
    refused(await wang_fang.get(f"/work-orders/{NOBODY}"), "not_found")
    refused(await wang_fang.post(f"/visits/{NOBODY}/events", {"kind": "arrive"}), "not_found")
    assert await row_counts(office) == before


async def test_lists_are_filtered_by_state_kind_and_site(office: Office) -> None:
    wang_fang, _, _ = await sent(office)
    await opened(wang_fang, office, kind="training", title="培训操作员")
    for wanted, count in (("state=planned", 1), ("state=open", 1), ("kind=training", 1), (f"site_id={NOBODY}", 0)):
        assert len(ok(await wang_fang.get(f"/work-orders?{wanted}"))["items"]) == count, wanted
