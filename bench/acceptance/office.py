"""The office of the acceptance run: an administrator and a dispatcher who use the API like anybody else."""

import itertools
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

import httpx

from backend.dispatch.outages import Outage
from bench.acceptance.week import TechnicianShift

PASSWORD: Final = "acceptance run"  # noqa: S105 - everything here is thrown away
ADMINISTRATOR: Final = "A1"
DISPATCHER: Final = "D1"
UNAUTHORISED: Final = 401
PLAN_SECONDS: Final = 4.0
URGENT_SECONDS: Final = 1.5
PLAN_WAIT_SECONDS: Final = 120
HORIZON_HOURS: Final = 48
SHIFTS_AT_ONCE: Final = 400
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
PRIORITY: Final = {True: "P1", False: "P3"}


class OfficeError(RuntimeError):
    """The API refused something the run needs; the message carries the answer."""


@dataclass
class Office:
    """One signed-in person. Several API processes are used in turn."""

    bases: list[str]
    login: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))
    tokens: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self._turn = itertools.cycle(self.bases)

    def sign_in(self, password: str = PASSWORD) -> "Office":
        """Sign in."""
        self.tokens = self._send("POST", "/auth/sign-in", {"login": self.login, "password": password}).json()
        return self

    def get(self, path: str, **params: Any) -> Any:
        """Read; raises OfficeError."""
        return self._checked("GET", path, None, params)

    def post(self, path: str, body: Any = None) -> Any:
        """Write; raises OfficeError."""
        return self._checked("POST", path, {} if body is None else body, {})

    def change(self, record: str, how: str, body: Any) -> Any:
        """Read a record and change it under the ETag just read; raises OfficeError."""
        seen = self._authorised("GET", record, None, {})
        return self._checked("POST", f"{record}/{how}", body, {}, {"If-Match": seen.headers.get("ETag", "")})

    def content(self, path: str) -> bytes:
        """Read bytes."""
        answer = self._authorised("GET", path, None, {})
        if not answer.is_success:
            raise OfficeError(f"GET {path}: {answer.status_code}")
        return answer.content

    def pages(self, path: str, **params: Any) -> list[Any]:
        """Read a whole list."""
        items: list[Any] = []
        cursor: dict[str, Any] = {}
        while True:
            page = self.get(path, limit=200, **params, **cursor)
            items += page["items"]
            if page["next"] is None:
                return items
            cursor = {"cursor": page["next"]}

    def _checked(
        self, method: str, path: str, body: Any, params: dict[str, Any], under: Mapping[str, str] = NOTHING
    ) -> Any:
        answer = self._authorised(method, path, body, params, under)
        if not answer.is_success:
            raise OfficeError(f"{method} {path}: {answer.status_code} {answer.text[:600]}")
        return answer.json() if answer.content else None

    def _authorised(
        self, method: str, path: str, body: Any, params: dict[str, Any], under: Mapping[str, str] = NOTHING
    ) -> httpx.Response:
        headers = {"Idempotency-Key": str(uuid4()), **under}
        answer = self._send(method, path, body, params, headers)
        if answer.status_code == UNAUTHORISED:
            fresh = self._send("POST", "/auth/refresh", {"refresh_token": self.tokens["refresh_token"]})
            if not fresh.is_success:
                raise OfficeError(f"refresh: {fresh.status_code} {fresh.text[:300]}")
            self.tokens = fresh.json()
            answer = self._send(method, path, body, params, headers)
        return answer

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        params: dict[str, Any] | None = None,
        given: Mapping[str, str] = NOTHING,
    ) -> httpx.Response:
        headers = dict(given)
        if self.tokens:
            headers["Authorization"] = f"Bearer {self.tokens['access_token']}"
        content = {"json": body} if body is not None else {}
        return self.http.request(method, next(self._turn) + path, params=params, headers=headers, **content)


@dataclass(frozen=True)
class Hired:
    """A technician as the office knows them."""

    person_id: str
    login: str
    enrolment_code: str


def hire(admin: Office, *, number: str, name: str, roles: list[str], skills: list[str], until: datetime) -> str:
    """Add a person with roles and skills and give them a password; return their id."""
    unit = admin.get("/me")["unit_id"]
    person = admin.post("/people", {"unit_id": unit, "employee_number": number, "name": name})["id"]
    known_roles = {role["key"]: role["id"] for role in admin.get("/roles")}
    known_skills = {skill["key"]: skill["id"] for skill in admin.get("/skills")}
    for role in roles:
        admin.post(f"/people/{person}/role-grants", {"role_id": known_roles[role], "unit_id": unit})
    for skill in skills:
        certificate = {"certificate_number": f"{number}-{skill}", "valid_until": until.isoformat()}
        admin.post(f"/people/{person}/skills", {"skill_id": known_skills[skill], **certificate})
    code = admin.post(f"/people/{person}/reset-codes")["code"]
    admin.post("/auth/password-reset", {"code": code, "password": PASSWORD})
    return person


def roster(dispatcher: Office, people: list[str], shifts: list[TechnicianShift], depot: tuple[float, float]) -> None:
    """Enter everybody's shifts."""
    entries = [
        {
            "person_id": people[shift.technician], "starts_at": shift.starts_at.isoformat(),
            "ends_at": shift.ends_at.isoformat(), "start": {"lat": depot[0], "lon": depot[1]},
        }
        for shift in shifts
    ]  # fmt: skip
    for start in range(0, len(entries), SHIFTS_AT_ONCE):
        dispatcher.post("/shifts", {"shifts": entries[start : start + SHIFTS_AT_ONCE]})


def take_call(dispatcher: Office, outage: Outage) -> str:
    """Register an outage, triage it and open its work order; return the request's id."""
    request = dispatcher.post(
        "/requests",
        {
            "channel": "phone", "site_external_id": f"station-{outage.station_code}",
            "asset_external_id": outage.unit_id, "reporter_name": "Control centre",
            "reporter_phone": "+12025550100", "symptom": f"{outage.category}: {outage.symptom}",
            "received_at": outage.received_at.isoformat(), "external_id": f"outage:{outage.number}",
        },
    )  # fmt: skip
    minutes = int(outage.on_site.total_seconds() // 60)
    triage = {
        "priority": PRIORITY[outage.urgent], "service_mode": "on_site", "required_skills": [outage.skill],
        "estimated_minutes": minutes,
    }  # fmt: skip
    dispatcher.change(f"/requests/{request['id']}", "triage", triage)
    dispatcher.post(
        "/work-orders",
        {
            "site_id": request["site_id"], "request_id": request["id"], "asset_id": request["asset_id"],
            "kind": "repair", "title": outage.symptom[:200], "duration_minutes": minutes,
            "required_skills": [outage.skill],
        },
    )  # fmt: skip
    return request["id"]


def plan_and_publish(dispatcher: Office, unit_id: str, *, seconds: float, seed: int) -> dict[str, Any]:
    """Plan, wait, publish; return the plan. Raises OfficeError for a plan that failed."""
    plan = dispatcher.post(
        "/plans", {"unit_id": unit_id, "horizon_hours": HORIZON_HOURS, "seconds": seconds, "seed": seed}
    )
    deadline = time.monotonic() + PLAN_WAIT_SECONDS
    while plan["state"] in {"queued", "running"}:
        if time.monotonic() > deadline:
            raise OfficeError(f"plan {plan['id']} did not finish: {plan['progress']}")
        time.sleep(0.1)
        plan = dispatcher.get(f"/plans/{plan['id']}")
    if plan["state"] != "done":
        raise OfficeError(f"plan {plan['id']}: {plan['state']} {plan['error']} {plan['violations'][:3]}")
    dispatcher.post(f"/plans/{plan['id']}/publish")
    return plan
