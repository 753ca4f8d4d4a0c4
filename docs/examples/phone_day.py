"""A technician's day on a model phone: register, pull, work without signal, push, and fetch the sealed report.

    .venv/bin/python -m docs.examples.phone_day http://127.0.0.1:8300

It needs a demo server with a published plan (README, "The first ten minutes").
"""

import asyncio
import base64
import hashlib
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

import httpx
import msgspec

from backend.core.clock import SystemClock
from backend.forms.rules import InspectedAsset
from backend.forms.shown import Customer, FormFacts, Organisation, Site, Worker
from backend.forms.template import Template
from backend.forms.verify import verify_sealed
from bench.acceptance.paperwork import fill, photo_png, sign
from sync.client.courier import Courier
from sync.client.disk import Disk
from sync.client.files import Shelf
from sync.client.phone import Line, Phone, enrol
from sync.client.prefetch import Prefetcher
from sync.client.transport import HttpTransport
from sync.client.web import Web
from sync.protocol import EnrolRequest
from sync.replica import Replica
from sync.work import command

PASSWORD = "paigong-demo"
ADMINISTRATOR, TECHNICIANS = "YQ018", [f"YQ00{number}" for number in range(1, 9)]
REPORT = Path("report.pdf")
WAIT_SECONDS = 30
ROOM_BYTES = 200_000_000
"""What this phone has room for."""


class Handset:
    """One technician's phone, with the little an app has around it: tokens and a clock."""

    def __init__(self, server: httpx.AsyncClient, login: str) -> None:
        self.server, self.login = server, login
        self.tokens: dict[str, Any] = {}
        self.phone: Phone | None = None
        self.queue = Path()

    async def register(self, code: str, folder: Path) -> Phone:
        """Register with a one-use code from the office, then sign in on the registered phone."""
        line = Line(HttpTransport(self.server, self.token, self.now, time.monotonic), asyncio.sleep, self.refresh)
        key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        identity = await enrol(line, EnrolRequest(code, key, "model phone", "example", 1))
        self.tokens = await sign_in(self.server, self.login, identity.device)
        self.queue = folder / f"{self.login}.db"
        self.phone = Phone(Replica.fresh(identity), Disk(self.queue), line, self.now, new_id)
        return self.phone

    def token(self) -> str:
        """The access token, empty before the first sign-in."""
        return self.tokens.get("access_token", "")

    async def refresh(self) -> bool:
        """Exchange the refresh token; the phone asks for it when the server says 401."""
        device = self.phone.replica.identity.device if self.phone else None
        body = {"refresh_token": self.tokens["refresh_token"], "device_id": device}
        answer = await self.server.post("/auth/refresh", json=body)
        self.tokens = answer.json() if answer.is_success else self.tokens
        return answer.is_success

    async def retire(self) -> None:
        """Give the phone back: a person may have only so many, and this one ends with the program."""
        if self.phone is not None:
            path = f"/people/{self.owner()['id']}/devices/{self.phone.replica.identity.device}"
            await self.server.delete(path, headers={"Authorization": f"Bearer {self.token()}"})

    def owner(self) -> dict[str, Any]:
        """The row of the person whose phone this is, as the phone has it."""
        people = self.phone.replica.shown().all("person").values() if self.phone else ()
        return dict(next(person for person in people if person["employee_number"] == self.login))

    @staticmethod
    def now() -> datetime:
        """The phone's clock."""
        return SystemClock().now()


def new_id() -> str:
    """Ids are made on the phone."""
    return str(uuid4())


async def sign_in(server: httpx.AsyncClient, login: str, device: str | None = None) -> dict[str, Any]:
    """Sign in; on a registered phone with its device id."""
    body = {"login": login, "password": PASSWORD} | ({"device_id": device} if device else {})
    return (await server.post("/auth/sign-in", json=body)).raise_for_status().json()


async def office_code(server: httpx.AsyncClient, login: str) -> str:
    """Ask the office for a code to register a phone."""
    headers = {"Authorization": f"Bearer {(await sign_in(server, ADMINISTRATOR))['access_token']}"}
    people = (await server.get("/people", params={"limit": 200}, headers=headers)).raise_for_status().json()["items"]
    person = next(person["id"] for person in people if person["employee_number"] == login)
    answer = await server.post(f"/people/{person}/enrolment-codes", headers=headers | {"Idempotency-Key": new_id()})
    return answer.raise_for_status().json()["code"]


def tap(phone: Phone, visit: str, kind: str) -> None:
    """One tap on the big button; it is on the phone's disk when this returns, with signal or without."""
    args = {"id": new_id(), "kind": kind, "claimed_at": phone.clock().isoformat()}
    phone.do(
        lambda replica: command(replica, "visit.event", "visit", visit, args, mutation_id=new_id(), now=phone.clock())
    )


def file_form(phone: Phone, assignment: dict[str, Any], owner: dict[str, Any], photo: bytes) -> str:
    """Fill in the order's checklist, show it to the customer, have it signed; return the form's id."""
    shown, random = phone.replica.shown(), Random()
    order = shown.get("work_order", assignment["work_order_id"]) or {}
    site = shown.get("site", order["site_id"]) or {}
    version = shown.get("checklist_template_version", order["form_template_version_id"]) or {}
    template = msgspec.convert(version["body"], Template)
    asset = shown.get("asset", order["asset_id"] or "")
    assets = [InspectedAsset(id=asset["id"], label=asset["name"], type=asset["asset_type"])] if asset else []
    filled = fill(template, assets, hashlib.sha256(photo).hexdigest(), now=phone.clock(), random=random)
    customer = shown.get("customer", site["customer_id"]) or {}
    facts = FormFacts(
        number=phone.replica.next_number(), language="zh+en", zone=site["time_zone"],
        organisation=Organisation(name="云桥智能服务有限公司 Yunqiao Building Services"),
        customer=Customer(name=customer["name"], id=customer["id"]),
        site=Site(name=site["name"], id=site["id"], address=site["address"]),
        technicians=(Worker(name=owner["name"], number=owner["employee_number"]),),
        times=(("finished", phone.clock()),), shown_at=phone.clock(), order_number=order["number"],
        reported=order["title"], done="已更换并测试 replaced and tested",
    )  # fmt: skip
    document, signatures = sign(template, filled, facts, random)
    form = new_id()
    args = {
        "id": form, "template_version_id": version["id"], "shown": document.decode(),
        "signatures": msgspec.to_builtins(signatures), "claimed_at": phone.clock().isoformat(),
    }  # fmt: skip
    visit, photos = assignment["visit_id"], (hashlib.sha256(photo).hexdigest(),)
    phone.do(
        lambda replica: command(
            replica, "form.file", "visit", visit, args, mutation_id=new_id(), now=phone.clock(), blobs=photos
        )
    )
    return form


async def fetch_ahead(shelf: Shelf, web: Web) -> None:
    """Fetch drawings and manuals of the day's jobs while there is signal."""
    fetched = await Prefetcher(shelf, web).fetch(ROOM_BYTES)
    print(f"files fetched ahead: {len(fetched.files)}, {fetched.bytes} bytes")


async def send_photos(phone: Phone, shelf: Shelf, web: Web) -> None:
    """Send what lies on the shelf; the form was taken without waiting for it."""
    delivery = await Courier(phone, shelf, web).deliver()
    print(f"photos sent: {len(delivery.sent)}, refused: {len(delivery.refused)}")


async def fetch_report(handset: Handset, form: str) -> bytes:
    """Wait until the server has rendered and sealed the report, and download it."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        headers = {"Authorization": f"Bearer {handset.token()}"}
        answer = await handset.server.get(f"/forms/{form}/report.pdf", headers=headers)
        if answer.is_success or time.monotonic() > deadline:
            return answer.raise_for_status().content
        await asyncio.sleep(0.2)


async def main(address: str) -> None:
    """Play the day of the first technician who has a visit."""
    with tempfile.TemporaryDirectory() as folder:
        async with httpx.AsyncClient(base_url=address, timeout=30) as server:
            for login in TECHNICIANS:
                handset = Handset(server, login)
                phone = await handset.register(await office_code(server, login), Path(folder))
                try:
                    if await day(handset, phone):
                        return
                finally:
                    await handset.retire()


async def day(handset: Handset, phone: Phone) -> bool:
    """Fetch the day and do its first visit; return whether there was one."""
    await phone.contact()
    visits = list(waiting_visits(phone))
    print(f"{handset.login}: {len(visits)} visits on the phone")
    if visits:
        await play(handset, phone, min(visits, key=lambda one: one["arrives_at"]))
    return bool(visits)


def waiting_visits(phone: Phone) -> Iterator[dict[str, Any]]:
    """Visits that wait for this technician, at sites where photos are allowed."""
    shown = phone.replica.shown()
    for assignment in shown.all("assignment").values():
        visit = shown.get("visit", assignment["visit_id"]) or {}
        order = shown.get("work_order", assignment["work_order_id"]) or {}
        site = shown.get("site", order.get("site_id", "")) or {}
        if not assignment["withdrawn_at"] and visit.get("state") == "planned" and not site.get("no_photos", True):
            yield dict(assignment)


async def play(handset: Handset, phone: Phone, assignment: dict[str, Any]) -> None:
    """Do one visit without signal, then deliver it."""
    web = Web(handset.server, handset.token, handset.refresh)
    phone.shelf = shelf = Shelf(handset.queue)
    await fetch_ahead(shelf, web)
    for kind in ("depart", "arrive", "start"):
        tap(phone, assignment["visit_id"], kind)
    photo = photo_png(Random())
    shelf.put(photo, "image/png")  # on the disk before the form that names it
    form = file_form(phone, assignment, handset.owner(), photo)
    tap(phone, assignment["visit_id"], "finish")
    print(f"without signal: {len(phone.replica.outbox.pending())} not yet sent")
    contact = await phone.contact()
    for item in contact.settled:
        print(f"  {item.mutation.name}: {phone.replica.state_of(item.id)}")
    await send_photos(phone, shelf, web)
    report = await fetch_report(handset, form)
    await asyncio.to_thread(REPORT.write_bytes, report)
    check = await asyncio.to_thread(verify_sealed, report, now=phone.clock())
    print(f"{REPORT}: seal intact={check.intact} whole document={check.whole} trusted={check.trusted}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
