"""The little world of the protocol's examples: a technician, a customer, a site with a camera, one visit."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import hash_password
from backend.core.sessions import Database
from backend.customers.models import Contact, ContactPoint, Customer
from backend.jobs.models import Assignment, Visit, WorkOrder
from backend.people.models import Person, Role, RoleGrant, Unit
from backend.sites.models import Asset, AssetModel, Site, SiteContact

START: Final = datetime(2026, 3, 2, 0, tzinfo=UTC)
"""Monday, 08:00 in Shanghai."""
PASSWORD: Final = "yun-qiao-2026"  # noqa: S105 - of nobody, for one run
LOGIN: Final = "T001"
ZONE: Final = "Asia/Shanghai"


def id_of(number: int) -> UUID:
    """Return one of the example's ids: a UUIDv7 of the day it was made, and a number a reader can recognise."""
    return UUID(f"0198f2a0-0000-7000-8000-{number:012x}")


UNIT, LI_WEI, CUSTOMER, ZHAO_MIN, SITE, CAMERA, ORDER, VISIT, ASSIGNMENT, ROLE = map(id_of, range(1, 11))
MODEL, SITE_CONTACT, PHONE = map(id_of, range(11, 14))


async def furnish(database: Database) -> None:
    """Put the world into a migrated database."""
    async with database.write() as session:
        await _people(session)
        await _customer(session)
        await _work(session)


async def _add(session: AsyncSession, *rows: Any) -> None:
    session.add_all(rows)
    await session.flush()


async def _people(session: AsyncSession) -> None:
    unit = Unit(id=UNIT, kind="company", name_zh="云桥维保", name_en="Yunqiao", time_zone=ZONE)
    allowed = [{"area": area, "level": "write", "reach": "own"} for area in ("case", "visit_form", "parts")]
    role = Role(
        id=ROLE, key="technician", version=1, name_zh="维保员", name_en="Technician", side="field",
        permissions=allowed, queues=[],
    )  # fmt: skip
    await _add(session, unit, role)
    li_wei = Person(
        id=LI_WEI, unit_id=UNIT, employee_number=LOGIN, name="李伟", phone="+8613800000001", language="zh",
        external=False, active=True, password_hash=hash_password(PASSWORD),
    )  # fmt: skip
    await _add(session, li_wei)
    await _add(session, RoleGrant(person_id=LI_WEI, role_id=ROLE, unit_id=UNIT, valid_from=START - timedelta(days=1)))


async def _customer(session: AsyncSession) -> None:
    customer = Customer(id=CUSTOMER, unit_id=UNIT, number="C-0001", name="云桥物业", kind="organisation", language="zh")
    await _add(session, customer)
    zhao_min = Contact(
        id=ZHAO_MIN, customer_id=CUSTOMER, name="赵敏", title="物业经理", function="contact", language="zh"
    )
    site = Site(
        id=SITE, unit_id=UNIT, customer_id=CUSTOMER, number="S-0001", name="云桥大厦", address="云桥市湖滨路 1 号",
        lat=31.0, lon=117.25, original_lat=31.0, original_lon=117.25, original_datum="wgs84", position_source="pin",
        position_confidence=1.0, time_zone=ZONE, access_notes="东门登记", no_photos=False, no_phone=False,
        no_offline_drawings=False,
    )  # fmt: skip
    model = AssetModel(id=MODEL, asset_type="camera", brand="云桥", model="YQ-C2", needs_original_box=False)
    await _add(session, zhao_min, site, model)
    await _add(
        session,
        ContactPoint(id=PHONE, contact_id=ZHAO_MIN, kind="phone", address="+8613900000001"),
        SiteContact(id=SITE_CONTACT, site_id=SITE, contact_id=ZHAO_MIN, primary=True),
        Asset(
            id=CAMERA, site_id=SITE, asset_type="camera", asset_model_id=MODEL, name="枪机 1", serial="CAM-0001",
            quantity=1, note="",
        ),
    )  # fmt: skip


async def _work(session: AsyncSession) -> None:
    order = WorkOrder(
        id=ORDER, unit_id=UNIT, number="WO-0001", site_id=SITE, asset_id=CAMERA, kind="repair", origin="passive",
        queue="repair", priority="P2", title="摄像机黑屏", description="", required_skills=[], duration_minutes=60,
        state="planned", needs_approval=False,
    )  # fmt: skip
    await _add(session, order)
    visit = Visit(id=VISIT, work_order_id=ORDER, sequence=1, duration_minutes=60, state="planned")
    await _add(session, visit)
    given = Assignment(
        id=ASSIGNMENT, work_order_id=ORDER, visit_id=VISIT, person_id=LI_WEI, leads=True, pinned=False,
        arrives_at=START + timedelta(hours=2), events_before=0, assigned_at=START,
    )  # fmt: skip
    await _add(session, given)
