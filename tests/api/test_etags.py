"""An edit rests on what its author saw: every field an edit may change changes the ETag, whether it is shown or not."""

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.routes import HTTPRoute
from sqlalchemy import select

from backend.forms.models import ChecklistTemplateVersion
from backend.people.models import RoleGrant
from tests.answers import added
from tests.cases import report
from tests.make import START, Desk, Office, add_all
from tests.personas import CHEN_JING, HE_LI, LI_WEI, LIN_LI, WANG_FANG
from tests.work import ok, opened

LATER = "2026-03-20T08:00:00Z"


@dataclass(frozen=True)
class Edited:
    """A record at its address, somebody who may edit it, and a new value for each field an edit may change."""

    path: str
    desk: Desk
    values: dict[str, Any]


async def editable(office: Office) -> dict[str, Edited]:
    """One record of every kind that is edited under an ETag, by the route's address."""
    return await _of_the_organisation(office) | await _of_customers(office) | await _of_work(office)


async def _of_the_organisation(office: Office) -> dict[str, Edited]:
    house, admin, head = office.house, await office.sign_in(LIN_LI), await office.sign_in(CHEN_JING)
    hours = {"starts_at": "2026-03-10T01:00:00Z", "ends_at": "2026-03-10T09:00:00Z"}
    vehicle = await added(head, "/vehicles", {"unit_id": str(house.service), "plate": "皖A10001"})
    shifts = {"shifts": [{"person_id": str(house.id_of(LI_WEI)), **hours}]}
    (shift,) = (await added(head, "/shifts", shifts))["shifts"]
    area = {"unit_id": str(house.service), "name_zh": "湖滨", "name_en": "Lakeside", "area": {"districts": ["湖滨区"]}}
    territory = await added(head, "/territories", area)
    return {
        "/me": Edited("/me", head, {"language": "en", "location_consent": False}),
        "/people/{person_id:uuid}": Edited(f"/people/{house.id_of(LI_WEI)}", admin, {
            "unit_id": str(house.north), "employee_number": "T901", "name": "李维", "phone": "13800000901",
            "email": "li@paigong.example", "language": "en", "external": True, "home": {"lat": 30.0, "lon": 117.0},
        }),
        "/units/{unit_id:uuid}": Edited(f"/units/{house.north}", admin, {
            "name_zh": "北点", "name_en": "North", "time_zone": "Asia/Tokyo", "calendar_id": None,
        }),
        "/crews/{crew_id:uuid}": Edited(f"/crews/{house.crew}", head, {"name": "甲组", "active": False}),
        "/shifts/{shift_id:uuid}": Edited(f"/shifts/{shift['id']}", head, {
            "starts_at": "2026-03-10T02:00:00Z", "ends_at": "2026-03-10T10:00:00Z", "overtime_minutes": 30,
            "breaks": [{"start_at": "2026-03-10T04:00:00Z", "end_at": "2026-03-10T06:00:00Z", "minutes": 60}],
            "start": {"lat": 31.5, "lon": 117.5}, "vehicle_id": vehicle["id"],
        }),
        "/territories/{territory_id:uuid}": Edited(f"/territories/{territory['id']}", head, {
            "name_zh": "湖", "name_en": "Lake", "area": {"districts": ["北湖区"]},
        }),
        "/vehicles/{vehicle_id:uuid}": Edited(f"/vehicles/{vehicle['id']}", head, {
            "plate": "皖A10002", "active": False,
        }),
    }  # fmt: skip


async def _of_customers(office: Office) -> dict[str, Edited]:
    house, head = office.house, await office.sign_in(CHEN_JING)
    other = await added(head, "/customers", {"unit_id": str(house.service), "name": "另一家"})
    area = {"unit_id": str(house.service), "name_zh": "北湖", "name_en": "North", "area": {"districts": ["北湖区"]}}
    territory = await added(head, "/territories", area)
    model = await added(head, "/asset-models", {"asset_type": "camera", "brand": "云桥", "model": "C1"})
    point = await added(head, f"/contacts/{house.contact}/points", {"kind": "phone", "address": "13900000009"})
    return {
        "/customers/{customer_id:uuid}": Edited(f"/customers/{house.customer}", head, {
            "unit_id": str(house.north), "name": "云桥", "kind": "household", "language": "en",
        }),
        "/contacts/{contact_id:uuid}": Edited(f"/contacts/{house.contact}", head, {
            "name": "赵明", "title": "经理", "function": "payer", "language": "en",
        }),
        "/contacts/{contact_id:uuid}/points/{point_id:uuid}": Edited(
            f"/contacts/{house.contact}/points/{point['id']}", head, {"address": "13900000010", "consent": "form"}
        ),
        "/sites/{site_id:uuid}": Edited(f"/sites/{house.site}", head, {
            "customer_id": other["id"], "territory_id": territory["id"], "name": "大厦", "address": "湖滨路 9 号",
            "location": {"lat": 31.2, "lon": 117.2}, "time_zone": "Asia/Tokyo", "acceptance_on": "2026-01-01",
            "access_notes": "北门", "no_photos": True, "no_phone": True, "no_offline_drawings": True,
            "unit_id": str(house.north),
        }),
        "/positions/{position_id:uuid}": Edited(f"/positions/{house.position}", head, {
            "name": "摄像机 2", "description": "后门",
        }),
        "/assets/{asset_id:uuid}": Edited(f"/assets/{house.camera}", head, {
            "asset_type": "elevator", "name": "机", "asset_model_id": model["id"], "serial": "CAM-2", "quantity": 2,
            "software_version": "2", "protocol": "ONVIF", "connection": "RJ45", "purchased_on": "2025-01-01",
            "warranty_until": "2027-01-01", "note": "旧",
        }),
    }  # fmt: skip


async def _of_work(office: Office) -> dict[str, Edited]:
    house, head, operator = office.house, await office.sign_in(CHEN_JING), await office.sign_in(HE_LI)
    dispatcher = await office.sign_in(WANG_FANG)
    case = await report(operator, office, asset_id=None, contact_id=None)
    detail = await opened(
        dispatcher, office, window_starts_at="2026-03-03T00:00:00Z", window_ends_at="2026-03-03T04:00:00Z"
    )
    body = {"site_id": str(house.site), "kind": "inspect_m", "starts_on": "2026-03-01"}
    plan = ok(await head.post("/maintenance/plans", body), 201)
    async with office.database.read() as session:
        versions = (await session.execute(select(ChecklistTemplateVersion.id))).scalars().all()
    other = next(str(version) for version in versions if str(version) != plan["template_version_id"])
    return {
        "/requests/{request_id:uuid}": Edited(f"/requests/{case['id']}", operator, {
            "reporter_name": "钱红", "reporter_phone": "13900000033", "asset_id": str(house.camera),
            "contact_id": str(house.contact), "symptom": "别的", "wishes": "尽快", "affected_scope": "part",
            "occurred_at": "2026-03-01T08:00:00Z",
        }),
        "/work-orders/{order_id:uuid}": Edited(f"/work-orders/{detail['order']['id']}", dispatcher, {
            "title": "别的", "description": "别的", "asset_id": str(house.camera), "priority": "P2",
            "required_skills": ["network"], "technicians": 2, "earliest_at": START.isoformat(), "parts_ready_at": LATER,
            "due_at": LATER,
        }),
        "/visits/{visit_id:uuid}": Edited(f"/visits/{detail['visits'][0]['id']}", dispatcher, {
            "duration_minutes": 75, "window_starts_at": "2026-03-03T01:00:00Z",
            "window_ends_at": "2026-03-03T05:00:00Z",
        }),
        "/maintenance/plans/{plan_id:uuid}": Edited(f"/maintenance/plans/{plan['id']}", head, {
            "recurrence": "FREQ=MONTHLY;INTERVAL=2", "template_version_id": other, "asset_types": ["camera"],
            "ends_on": "2027-01-01", "last_done_on": "2026-02-01", "duration_minutes": 77, "required_skills": ["cctv"],
            "active": False,
        }),
    }  # fmt: skip


def patches(office: Office) -> dict[str, set[str]]:
    """Every route that edits under an ETag, with the fields it takes."""
    found: dict[str, set[str]] = {}
    for route in office.app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            body = handler.parsed_fn_signature.parameters.get("data")
            if "PATCH" in handler.http_methods and body is not None:  # the other PATCH goes on with an upload
                struct = body.annotation
                found[route.path] = {field.name for field in msgspec.structs.fields(struct)}
    return found


async def test_no_edit_that_rests_on_an_older_view_is_taken_whatever_it_changed(sqlite_office: Office) -> None:
    records = await editable(sqlite_office)
    assert {path: set(record.values) for path, record in records.items()} == patches(sqlite_office)
    lost: list[str] = []
    for record in records.values():
        for field, value in record.values.items():
            seen = {"If-Match": (await record.desk.get(record.path)).headers["ETag"]}
            first = await record.desk.ask("PATCH", record.path, json={field: value}, headers=seen)
            assert first.status_code == 200, (record.path, field, first.text)
            second = await record.desk.ask("PATCH", record.path, json={field: value}, headers=seen)
            if second.status_code != 412:
                lost.append(f"{record.path}: {field}")
    assert not lost


async def test_what_nobody_changed_keeps_its_etag(office: Office) -> None:
    """Rows the database gives in another order, as after it was restored, are no change."""
    head, house = await office.sign_in(CHEN_JING), office.house
    both = {"person_id": house.id_of(CHEN_JING), "unit_id": house.north}
    async with office.database.write() as session:
        await add_all(session, RoleGrant(**both, role_id=house.roles["quality"], valid_from=START))
    seen = (await head.get("/me")).headers["ETag"]
    async with office.database.write() as session:
        first = (await session.execute(select(RoleGrant).filter_by(role_id=house.roles["head"]))).scalar_one()
        again = {column.name: getattr(first, column.name) for column in RoleGrant.__table__.columns}
        await session.delete(first)
        await session.flush()
        await add_all(session, RoleGrant(**again))
    assert (await head.get("/me")).headers["ETag"] == seen
