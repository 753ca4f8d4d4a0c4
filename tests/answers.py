"""What tests of routes ask of an answer."""

from typing import Any

import httpx

from tests.make import Desk, House


def code_of(answer: httpx.Response) -> str:
    assert answer.headers["Content-Type"] == "application/problem+json", answer.text
    return answer.json()["code"]


def fields_of(answer: httpx.Response) -> list[str]:
    return [finding["field"] for finding in answer.json()["findings"]]


def new_person(house: House, **values: Any) -> dict[str, Any]:
    return {"unit_id": str(house.service), "employee_number": "T900", "name": "高山", "phone": "138 0000 0900"} | values


async def added(desk: Desk, path: str, body: Any) -> dict[str, Any]:
    answer = await desk.post(path, body)
    assert answer.status_code == 201, answer.text
    return answer.json()
