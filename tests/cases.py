"""Cases in tests: taken in, moved, their clocks read, and refusals recognised."""

from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import func, select

from tests.make import Desk, Office

FAULT = {
    "channel": "phone", "reporter_name": "赵敏", "reporter_phone": "139 0000 0001", "symptom": "大厅摄像机无图像",
}  # fmt: skip
PROMISE = {"promised_at": "2026-03-06T10:00:00+08:00", "moved_by": "us", "channel": "phone", "reason": "缺件"}
NOBODY = "00000000-0000-7000-8000-000000000000"
TRIAGE = {"priority": "P3", "service_mode": "on_site", "nature": "fault", "required_skills": ["cctv"]}


async def report(desk: Desk, office: Office, **values: Any) -> dict[str, Any]:
    """Take a request in for the house's site; answer its view."""
    answer = await desk.post("/requests", {"site_id": str(office.house.site), **FAULT, **values})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def clocks(desk: Desk, request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    answer = await desk.get(f"/requests/{request['id']}/clocks")
    assert answer.status_code == 200, answer.text
    return {clock["kind"]: clock for clock in answer.json()["clocks"]}


async def try_move(desk: Desk, request: dict[str, Any], what: str, body: Any = None) -> httpx.Response:
    """Ask for a move under the ETag just read."""
    path = f"/requests/{request['id']}"
    seen = (await desk.get(path)).headers.get("ETag", "")
    return await desk.post(f"{path}/{what}", body, headers={"If-Match": seen})


async def move(desk: Desk, request: dict[str, Any], what: str, body: Any = None) -> dict[str, Any]:
    answer = await try_move(desk, request, what, body)
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def is_problem(answer: httpx.Response, status: int, code: str, *fields: str) -> bool:
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.text
    body = answer.json()
    assert body["detail"]
    assert body["detail_zh"]
    found = {one["field"] for one in body.get("findings", [])}
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert set(fields) <= found, body
    return True


async def count(office: Office, model: Any) -> int:
    async with office.database.read() as session:
        return (await session.execute(select(func.count()).select_from(model))).scalar_one()
