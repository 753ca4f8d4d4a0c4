"""The example phone lives its day on a demo server, as often as somebody likes to see it."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pypdf

from backend.core.clock import SystemClock
from backend.forms.verify import verify_sealed
from bench.server import newcomers_environment
from docs.examples.phone_day import ADMINISTRATOR, PASSWORD
from tests.databases import Databases
from tests.docs.city import served_city
from tests.docs.pages import ROOT

RUNS = 2
"""Each gives its phone back, so any number may follow."""
DISPATCHER, TECHNICIAN = "YQ009", "YQ002"
PLAN_SECONDS = 60


def signed_in(server: httpx.Client, login: str) -> dict[str, str]:
    answer = server.post("/auth/sign-in", json={"login": login, "password": PASSWORD}).raise_for_status()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def live_small_day(address: str) -> str:
    """The day of the small phone in JavaScript; nothing where there is no Node.js."""
    node = shutil.which("node")
    if node is None:
        return ""
    command = [node, str(ROOT / "docs/examples/small-phone.mjs"), address, TECHNICIAN, PASSWORD]
    done = subprocess.run(command, check=False, text=True, capture_output=True, timeout=PLAN_SECONDS)
    assert done.returncode == 0, done.stderr
    for line in ("and conflict", "a hint came: true", "decided: north gate by day", "revoked: device_revoked"):
        assert line in done.stdout
    return done.stdout


def publish_a_plan(server: httpx.Client) -> None:
    headers = signed_in(server, DISPATCHER)
    unit = server.get("/me", headers=headers).json()["unit_id"]
    key = {"Idempotency-Key": str(uuid4())}
    plan: dict[str, Any] = server.post("/plans", json={"unit_id": unit, "seconds": 1}, headers=headers | key).json()
    deadline = time.monotonic() + PLAN_SECONDS
    while plan["state"] not in {"done", "failed", "cancelled"} and time.monotonic() < deadline:
        time.sleep(0.2)
        plan = server.get(f"/plans/{plan['id']}", headers=headers).json()
    server.post(f"/plans/{plan['id']}/publish", headers=headers).raise_for_status()


def play(address: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "docs.examples.phone_day", address], cwd=folder, check=False, text=True,
        env={**newcomers_environment(folder), "PYTHONPATH": str(ROOT)}, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "form.file: applied" in done.stdout
    assert "seal intact=True whole document=True" in done.stdout
    return done.stdout


def test_the_phone_day_goes_on_run_after_run_and_its_report_names_people_and_place(
    databases: Databases, tmp_path: Path
) -> None:
    with served_city(databases, tmp_path) as address, httpx.Client(base_url=address, timeout=30) as server:
        publish_a_plan(server)
        live_small_day(address)
        done = [play(address, tmp_path) for _ in range(RUNS)][-1]
        headers = signed_in(server, ADMINISTRATOR)
        people = server.get("/people", params={"limit": 200}, headers=headers).json()["items"]
        paths = [f"/people/{person['id']}/devices" for person in people]
        phones = [phone for path in paths for phone in server.get(path, headers=headers).json()]
        assert len(phones) >= RUNS
        assert all(phone["revoked_at"] for phone in phones)
    login = re.findall(r"^(YQ\d+): ", done, re.MULTILINE)[-1]
    name = next(person["name"] for person in people if person["employee_number"] == login)
    raw = (tmp_path / "report.pdf").read_bytes()
    pages = [page.extract_text() for page in pypdf.PdfReader(tmp_path / "report.pdf").pages]
    assert name.split()[0] in pages[0], "the technician's name, not the number twice"
    assert "扫码核验" in pages[0], "a demo is reached at its own address"
    check = verify_sealed(raw, now=SystemClock().now())
    assert "Yunqiao Building Services" in check.sealed_by, "the demo's organisation, not the program's"
