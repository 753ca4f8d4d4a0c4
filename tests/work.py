"""Work in tests: orders opened, visits given and reported on, and what must not have changed."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import msgspec
from msgspec import structs
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.actions import start_clocks
from backend.contracts.models import ClockPolicy, CommitmentClock
from backend.core.audit import Actor, AuditEntry
from backend.core.events import Event
from backend.core.ids import new_id
from backend.forms.models import ChecklistTemplateVersion
from backend.forms.rules import InspectedAsset
from backend.forms.schemas import FormFiling
from backend.forms.shown import Customer, FormFacts, Organisation, Site, Worker
from backend.forms.template import Template
from backend.jobs.completing import file_completion
from backend.jobs.history import visit_history
from backend.jobs.models import Assignment, Attendance, Visit, VisitEvent, WorkOrder
from backend.requests.models import ServiceRequest
from bench.acceptance.paperwork import fill, sign
from tests.make import START, ZONE, Desk, Office
from tests.personas import (
    CUSTOMER_CONTACT,
    LI_WEI,
    WANG_FANG,
    Persona,
)

NOBODY: Final = "0190d0b2-7f42-7000-8000-00000000dead"


def ok(answer: httpx.Response, status: int = 200) -> Any:
    """The answer's body, of the status it should have."""
    assert answer.status_code == status, answer.text
    return answer.json()


def refused(answer: httpx.Response, code: str) -> Any:
    """The problem's body, of the code it should have, with a sentence in both languages."""
    body = answer.json()
    assert body.get("code") == code, answer.text
    assert body["detail"]
    assert body["detail_zh"]
    return body


async def opened(desk: Desk, office: Office, **values: object) -> dict[str, Any]:
    """A repair at 云桥大厦, as answered."""
    body = {"site_id": str(office.house.site), "kind": "repair", "title": "大厅摄像机黑屏", **values}
    return ok(await desk.post("/work-orders", body), 201)


async def sent(office: Office, persona: Persona = LI_WEI, **values: object) -> tuple[Desk, Desk, str]:
    """A repair given to a technician: the dispatcher's desk, the technician's, and the visit's id."""
    wang_fang, technician = await office.sign_in_for_long(WANG_FANG), await office.sign_in_for_long(persona)
    visit_id = (await opened(wang_fang, office, **values))["visits"][0]["id"]
    await give(wang_fang, office, visit_id, persona)
    return wang_fang, technician, visit_id


async def give(desk: Desk, office: Office, visit_id: str, persona: Persona, **values: object) -> dict[str, Any]:
    """Assign the visit to a person."""
    body = {"person_id": str(office.house.id_of(persona)), **values}
    return ok(await change(desk, visit_id, "assign", body))


async def change(desk: Desk, visit_id: str, what: str, body: object) -> httpx.Response:
    """Assign a visit or say that its window was told, under the ETag just read."""
    seen = (await desk.get(f"/visits/{visit_id}")).headers.get("ETag", "")
    return await desk.post(f"/visits/{visit_id}/{what}", body, headers={"If-Match": seen})


async def report(desk: Desk, visit_id: str, kind: str, **values: object) -> dict[str, Any]:
    """Report one event."""
    return ok(await desk.post(f"/visits/{visit_id}/events", {"kind": kind, **values}))


async def walk(office: Office, desk: Desk, visit_id: str, *kinds: str) -> dict[str, Any]:
    """Report events ten minutes apart; return the last answer."""
    answer: dict[str, Any] = {}
    for kind in kinds:
        office.move_clock(minutes=10)
        answer = await report(desk, visit_id, kind)
    return answer


async def order_of(desk: Desk, visit_id: str) -> dict[str, Any]:
    """The whole order a visit belongs to."""
    visit = ok(await desk.get(f"/visits/{visit_id}"))
    return ok(await desk.get(f"/work-orders/{visit['work_order_id']}"))


async def case_with_clocks(office: Office) -> UUID:
    """赵敏 reported a black camera at START; the standard clocks run."""
    house = office.house
    case = ServiceRequest(
        unit_id=house.service, number=f"CASE-{uuid4().hex[:6]}", customer_id=house.customer, site_id=house.site,
        asset_id=house.camera, reporter_name="赵敏", reporter_phone="+8613900000001", channel="phone",
        symptom="黑屏", wishes="", received_at=START, opened_at=START, missing_facts=[], required_skills=["cctv"],
        priority="P2", state="triaged", reopened_count=0,
    )  # fmt: skip
    async with office.database.write() as session:
        session.add(case)
        await session.flush()
        policy = (await session.execute(select(ClockPolicy).where(ClockPolicy.key == "std"))).scalar_one()
        await start_clocks(
            session, now=START, entity="service_request", subject_id=case.id, bucket=None, policy=policy,
            calendar=None, received_at=START, priority="P2", zone="Asia/Shanghai",
        )  # fmt: skip
    return case.id


async def clock_of(office: Office, case_id: UUID, kind: str = "arrive") -> CommitmentClock:
    """One of the Case's clocks as stored."""
    async with office.database.read() as session:
        wanted = select(CommitmentClock).where(CommitmentClock.subject_id == case_id, CommitmentClock.kind == kind)
        return (await session.execute(wanted)).scalar_one()


async def assert_stored_is_replayed(office: Office, visit_id: str) -> None:
    """What the rows say of the visit is what its events say (invariant 14)."""
    async with office.database.write() as session:
        history = await visit_history(session, UUID(visit_id))
        seen = history.replay()
        assert history.visit.state == seen.state
        assert (history.visit.arrived_at, history.visit.finished_at) == (seen.lead.arrived_at, seen.lead.finished_at)
        assert {person: row.state for person, row in history.attendances.items()} == {
            person: attended.state.value for person, attended in seen.attendances.items()
        }


async def row_counts(office: Office) -> Mapping[str, int]:
    """How many rows of everything a refused request must not touch."""
    async with office.database.read() as session:
        tables = (WorkOrder, Visit, VisitEvent, Assignment, Attendance, AuditEntry, Event)
        return {
            table.__tablename__: (await session.execute(select(func.count()).select_from(table))).scalar_one()
            for table in tables
        }


async def filed(
    office: Office, visit_id: str, *, assets: Sequence[str] = (), key: str = "inspect_m", **answers: Any
) -> UUID:
    """李伟 fills a sheet on his visit, about these assets, with these answers; 赵敏 signs. Return the form's id."""
    names = [InspectedAsset(id=asset_id, label="设备", type="camera") for asset_id in assets]
    random = Random(7)  # noqa: S311 - a sheet that is the same in every run
    async with office.database.write() as session:
        newest = select(ChecklistTemplateVersion).where(ChecklistTemplateVersion.key == key)
        version = (await session.execute(newest.order_by(ChecklistTemplateVersion.version.desc()))).scalars().first()
        assert version is not None
        template = msgspec.convert(version.body, Template)
        form = fill(template, names, "ab" * 32, now=office.now, random=random)
        told = (
            structs.replace(one, value=answers[one.item], note="见说明") if one.item in answers else one
            for one in form.answers
        )
        facts = await _facts(session, office, visit_id)
        document, signatures = sign(template, structs.replace(form, answers=tuple(told)), facts, random)
        filing = FormFiling(
            id=new_id(), template_version_id=version.id, shown=document.decode(), signatures=signatures,
            claimed_at=office.now, device_at=office.now,
        )  # fmt: skip
        li_wei = office.house.id_of(LI_WEI)
        kept = await file_completion(
            session, now=office.now, actor=Actor(person_id=li_wei), person_id=li_wei, visit_id=UUID(visit_id),
            filing=filing,
        )  # fmt: skip
    return kept.id


async def _facts(session: AsyncSession, office: Office, visit_id: str) -> FormFacts:
    of_visit = select(WorkOrder.number).join(Visit, Visit.work_order_id == WorkOrder.id)
    return FormFacts(
        order_number=(await session.execute(of_visit.where(Visit.id == UUID(visit_id)))).scalar_one(),
        number=f"K7-{uuid4().hex[:8]}", language="zh", zone=ZONE, organisation=Organisation(name="云桥服务"),
        customer=Customer(name=CUSTOMER_CONTACT), site=Site(name="云桥大厦"), technicians=(Worker(name="李伟"),),
        times=(("finished", office.now),), shown_at=office.now,
    )  # fmt: skip
