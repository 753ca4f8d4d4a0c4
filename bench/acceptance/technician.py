"""One technician with a model phone: works off the day's assignments, mostly without signal.

And delivers when there is some.
"""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import uuid4

import httpx
import msgspec

from backend.core.clock import parse_instant
from backend.forms.rules import InspectedAsset
from backend.forms.shown import Customer, FormFacts, Organisation, Worker
from backend.forms.shown import Site as ShownSite
from backend.forms.template import Template
from bench.acceptance.faults import BadLine
from bench.acceptance.office import PASSWORD
from bench.acceptance.paperwork import fill, photo_png, sign
from sync.client.disk import Disk
from sync.client.phone import Contact, Line, Phone, enrol
from sync.client.transport import HttpTransport
from sync.protocol import EnrolRequest
from sync.replica import Replica
from sync.shown import Seen, Shown
from sync.work import command

OFFLINE_SHARE: Final = 0.2
"""How often a contact is followed by hours without signal."""
OFFLINE_HOURS: Final = (0.5, 3.0)
NEVER: Final = datetime.min.replace(tzinfo=UTC)
STALE: Final = timedelta(hours=12)
"""An assignment whose time is so far behind was forgotten by a plan, not by the technician."""
BEFORE_WORK: Final = timedelta(hours=1)
"""Phones are switched on this long before their owner's shift."""
KILLED_SHARE: Final = 0.02
"""How often the phone's battery dies between two looks at it."""
UPLOAD_TRIES: Final = 40
ZONE: Final = "America/New_York"


@dataclass(frozen=True)
class Done:
    """What the technician wrote down beside the phone: the truth the database is compared with."""

    mutation_id: str
    name: str
    made_row: str
    """The row the mutation makes: an event, a form, a note."""


@dataclass
class Job:
    """A visit under way: what will be tapped when."""

    visit: str
    order: str
    site: str
    taps: list[tuple[datetime, str]]


@dataclass
class Technician:
    """A person with a phone."""

    name: str
    login: str
    base: str
    random: Random
    disk: Disk
    http: httpx.AsyncClient
    shifts: list[tuple[datetime, datetime]]
    now: datetime
    phone: Phone = field(init=False)
    line: BadLine = field(init=False)
    tokens: dict[str, Any] = field(default_factory=dict[str, Any])
    notebook: list[Done] = field(default_factory=list[Done])
    photos: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Photos not yet uploaded, by sha256."""
    job: Job | None = None
    free_at: datetime = NEVER
    offline_until: datetime = NEVER
    begun: set[str] = field(default_factory=set[str])
    contacts: int = 0
    killed: int = 0

    async def begin(self, code: str) -> "Technician":
        """Register the phone and sign in on it."""
        self.line = BadLine(HttpTransport(self.http, self._token, lambda: self.now, lambda: 0.0), self.random)
        line = Line(self.line, _no_wait, self._refresh)
        key = self.random.randbytes(32)
        request = EnrolRequest(code, _base64url(key), f"phone of {self.name}", "acceptance", 1)
        identity = await enrol(line, request)
        self.phone = Phone(Replica.fresh(identity), self.disk, line, lambda: self.now, _new_id)
        await self._sign_in(identity.device)
        await self._contact()
        return self

    async def live_until(self, now: datetime) -> None:
        """Do everything up to `now`: work, and look for signal."""
        if not (self._on_shift(now) or self._on_shift(now + BEFORE_WORK)) and self.job is None:
            return
        self._maybe_die()
        self._work_until(now)
        self.now = now
        if now >= self.offline_until:
            await self._contact()
            self._work_until(now)
            if self.random.random() < OFFLINE_SHARE:
                self.offline_until = now + timedelta(hours=self.random.uniform(*OFFLINE_HOURS))

    async def deliver_everything(self, now: datetime) -> None:
        """At the end the line is whole: send all there is, and fetch all there is."""
        self.now, self.line.healed = now, True
        while self.phone.replica.outbox.pending() or self.photos:
            before = (len(self.phone.replica.outbox.pending()), len(self.photos))
            await self._contact()
            if (len(self.phone.replica.outbox.pending()), len(self.photos)) == before:
                break
        await self._contact()

    # --- signal ---------------------------------------------------------------------------------------------------

    async def _contact(self) -> Contact:
        self.contacts += 1
        contact = await self.phone.contact()
        await self._upload()
        return contact

    async def _upload(self) -> None:
        for sha256, content in list(self.photos.items()):
            for _ in range(UPLOAD_TRIES if self.line.healed else 1):
                if not self.line.healed and self.random.random() < 0.15:  # noqa: PLR2004 - as bad as the rest of the line
                    break
                answer = await self.http.put(
                    f"/blobs/{sha256}", content=content, headers={"Authorization": f"Bearer {self._token()}"}
                )
                if answer.is_success:
                    del self.photos[sha256]
                    break
                await self._refresh()

    def _token(self) -> str:
        return self.tokens.get("access_token", "")

    async def _sign_in(self, device: str) -> None:
        body = {"login": self.login, "password": PASSWORD, "device_id": device}
        answer = await self.http.post("/auth/sign-in", json=body)
        answer.raise_for_status()
        self.tokens = answer.json()

    async def _refresh(self) -> bool:
        body = {"refresh_token": self.tokens["refresh_token"], "device_id": self.phone.replica.identity.device}
        answer = await self.http.post("/auth/refresh", json=body)
        if answer.is_success:
            self.tokens = answer.json()
        return answer.is_success

    def _maybe_die(self) -> None:
        """The battery dies: whatever is not on disk is gone."""
        if self.random.random() < KILLED_SHARE:
            self.killed += 1
            stored = self.disk.load(policy=self.phone.replica.policy, effects=self.phone.replica.effects)
            if stored is not None:
                self.phone.replica = stored

    # --- work -----------------------------------------------------------------------------------------------------

    def _work_until(self, until: datetime) -> None:
        while True:
            if self.job is None:
                self.job = self._next_job(until)
            if self.job is None or not self._tap(self.job, until):
                return

    def _tap(self, job: Job, until: datetime) -> bool:
        """Do the next step of a job if its time has come."""
        at, kind = job.taps[0]
        if at > until:
            return False
        self.now = at
        job.taps.pop(0)
        if kind == "finish":
            self._finish(job)
        else:
            self._event(job.visit, kind)
        if not job.taps:
            self.free_at, self.job = at, None
        return True

    def _next_job(self, until: datetime) -> Job | None:
        """Take the next assignment whose departure has come, within the present shift."""
        shown = self.phone.replica.shown()
        todo = [assignment for assignment in shown.all("assignment").values() if self._waits(shown, assignment)]
        for assignment in sorted(todo, key=lambda one: one["arrives_at"]):
            departs_at, arrives_at = parse_instant(assignment["departs_at"]), parse_instant(assignment["arrives_at"])
            leaves_at = max(departs_at, self.free_at)
            if leaves_at > until or not self._on_shift(leaves_at) or until - arrives_at > STALE:
                continue
            return self._job(shown, assignment, leaves_at, leaves_at + (arrives_at - departs_at))
        return None

    def _on_shift(self, at: datetime) -> bool:
        return any(start <= at < end for start, end in self.shifts)

    def _waits(self, shown: Shown, assignment: Seen) -> bool:
        if assignment["withdrawn_at"] or not assignment["arrives_at"] or assignment["visit_id"] in self.begun:
            return False
        visit = shown.get("visit", assignment["visit_id"])
        return visit is not None and visit["state"] in {"planned", "contacted"}

    def _job(self, shown: Shown, assignment: Seen, leaves_at: datetime, arrives_at: datetime) -> Job:
        order = shown.get("work_order", assignment["work_order_id"]) or {}
        visit = shown.get("visit", assignment["visit_id"]) or {}
        starts_at = arrives_at + timedelta(minutes=2)
        ends_at = arrives_at + timedelta(minutes=int(visit["duration_minutes"]))
        self.begun.add(assignment["visit_id"])
        taps = [(leaves_at, "depart"), (arrives_at, "arrive"), (starts_at, "start"), (ends_at, "finish")]
        return Job(assignment["visit_id"], assignment["work_order_id"], order["site_id"], taps)

    def _event(self, visit: str, kind: str) -> None:
        event = _new_id()
        args = {"id": event, "kind": kind, "claimed_at": self.now.isoformat()}
        self._do("visit.event", "visit", visit, args, made_row=event)

    def _finish(self, job: Job) -> None:
        """Fill in the form, have it signed, note what was done, and leave."""
        self._file_form(job)
        if self.random.random() < 0.3:  # noqa: PLR2004 - not everybody writes notes
            note = _new_id()
            self._do("note.add", "work_order", job.order, {"id": note, "text": "完成 done"}, made_row=note)
        self._event(job.visit, "finish")

    def _file_form(self, job: Job) -> None:
        shown = self.phone.replica.shown()
        order, site = shown.get("work_order", job.order) or {}, shown.get("site", job.site) or {}
        version = shown.get("checklist_template_version", order.get("form_template_version_id") or "")
        if version is None:
            return
        template = msgspec.convert(version["body"], Template)
        photo = photo_png(self.random)
        sha256 = hashlib.sha256(photo).hexdigest()
        filled = fill(template, _assets(shown, order), sha256, now=self.now, random=self.random)
        facts = self._facts(shown, order, site)
        document, signatures = sign(template, filled, facts, self.random)
        if sha256.encode() in document:
            self.photos[sha256] = photo
        form = _new_id()
        args = {
            "id": form, "template_version_id": version["id"], "shown": document.decode(),
            "signatures": msgspec.to_builtins(signatures), "claimed_at": self.now.isoformat(),
        }  # fmt: skip
        self._do("form.file", "visit", job.visit, args, made_row=form, blobs=(sha256,))

    def _facts(self, shown: Shown, order: Mapping[str, Any], site: Mapping[str, Any]) -> FormFacts:
        customer = shown.get("customer", site["customer_id"]) or {}
        return FormFacts(
            number=self.phone.replica.next_number(), language=self.random.choice(("zh", "en", "zh+en")), zone=ZONE,
            organisation=Organisation(name="验收运行 Acceptance"), customer=Customer(name=customer.get("name", "")),
            site=ShownSite(name=site["name"], address=site["address"]),
            technicians=(Worker(name=self.name, number=self.login),), times=(("finished", self.now),),
            shown_at=self.now, order_number=order["number"], reported=order["title"], done="更换并测试 repaired",
        )  # fmt: skip

    def _do(
        self, name: str, entity: str, row: str, args: dict[str, Any], *, made_row: str, blobs: tuple[str, ...] = ()
    ) -> None:
        mutation = _new_id()
        self.phone.do(
            lambda replica: command(replica, name, entity, row, args, mutation_id=mutation, now=self.now, blobs=blobs)
        )
        self.notebook.append(Done(mutation, name, made_row))


async def hired(
    *, name: str, login: str, base: str, code: str, seed: int, folder: Path, shifts: list[tuple[datetime, datetime]],
    now: datetime,
) -> Technician:  # fmt: skip
    """Give a technician a phone and let them register it."""
    technician = Technician(
        name=name, login=login, base=base, random=Random(seed), disk=Disk(folder / f"{login}.phone"),
        http=httpx.AsyncClient(base_url=base, timeout=60), shifts=shifts, now=now,
    )  # fmt: skip
    return await technician.begin(code)


def _assets(shown: Shown, order: Mapping[str, Any]) -> list[InspectedAsset]:
    if order["asset_id"]:
        asset = shown.get("asset", order["asset_id"])
        found = [asset] if asset else []
    else:
        found = [asset for asset in shown.all("asset").values() if asset["site_id"] == order["site_id"]]
    return [InspectedAsset(id=one["id"], label=one["name"], type=one["asset_type"]) for one in found]


def _base64url(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def _new_id() -> str:
    return str(uuid4())


async def _no_wait(_seconds: float) -> None:
    """Simulated time does not pass while a phone waits to try again."""
