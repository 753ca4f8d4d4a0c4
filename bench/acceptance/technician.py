"""One technician: works off the day's assignments, mostly without signal, and writes down what was done."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from backend.core.clock import parse_instant
from backend.forms.rules import InspectedAsset
from backend.forms.shown import Customer, FormFacts, Organisation, Worker
from backend.forms.shown import Site as ShownSite
from backend.forms.template import Template
from bench.acceptance.handset import Handset, new_id
from bench.acceptance.paperwork import fill, photo_png, sign
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
NOTED_SHARE: Final = 0.3
"""How often a technician writes a note."""
ZONE: Final = "America/New_York"


@dataclass(frozen=True)
class Done:
    """What the technician wrote down beside the phone: the truth the database is compared with."""

    mutation_id: str
    name: str
    made_row: str
    """The row the mutation makes: an event, a form, a note."""
    content: str
    """What that row must say."""


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
    handset: Handset
    shifts: list[tuple[datetime, datetime]]
    notebook: list[Done] = field(default_factory=list[Done])
    job: Job | None = None
    free_at: datetime = NEVER
    offline_until: datetime = NEVER
    begun: set[str] = field(default_factory=set[str])

    async def live_until(self, now: datetime) -> None:
        """Do everything up to `now`: work, and look for signal."""
        if not (self._on_shift(now) or self._on_shift(now + BEFORE_WORK)) and self.job is None:
            return
        self.handset.maybe_die()
        self._work_until(now)
        self.handset.now = now
        if now >= self.offline_until:
            await self.handset.contact()
            self._work_until(now)
            if self.handset.random.random() < OFFLINE_SHARE:
                self.offline_until = now + timedelta(hours=self.handset.random.uniform(*OFFLINE_HOURS))

    async def deliver_everything(self, now: datetime) -> None:
        """At the end, with a line that is whole, hand over whatever is left."""
        self.handset.now = now
        await self.handset.deliver_everything()

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
        self.handset.now = at
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
        shown = self.handset.phone.replica.shown()
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
        event = new_id()
        args = {"id": event, "kind": kind, "claimed_at": self.handset.now.isoformat()}
        content = f"{kind} {self.handset.now.astimezone(UTC).isoformat()}"
        self._do("visit.event", "visit", visit, args, made_row=event, content=content)

    def _finish(self, job: Job) -> None:
        """Fill in the form, have it signed, note what was done, and leave."""
        self._file_form(job)
        if self.handset.random.random() < NOTED_SHARE:
            note = new_id()
            text = f"完成 done {self.handset.now:%H:%M}"
            self._do("note.add", "work_order", job.order, {"id": note, "text": text}, made_row=note, content=text)
        self._event(job.visit, "finish")

    def _file_form(self, job: Job) -> None:
        shown = self.handset.phone.replica.shown()
        order, site = shown.get("work_order", job.order) or {}, shown.get("site", job.site) or {}
        version = shown.get("checklist_template_version", order.get("form_template_version_id") or "")
        if version is None:
            return
        template = msgspec.convert(version["body"], Template)
        photo = photo_png(self.handset.random)
        sha256 = hashlib.sha256(photo).hexdigest()
        filled = fill(template, _assets(shown, order), sha256, now=self.handset.now, random=self.handset.random)
        facts = self._facts(shown, order, site)
        document, signatures = sign(template, filled, facts, self.handset.random)
        if sha256.encode() in document:
            self.handset.photos[sha256] = photo
        form = new_id()
        args = {
            "id": form, "template_version_id": version["id"], "shown": document.decode(),
            "signatures": msgspec.to_builtins(signatures), "claimed_at": self.handset.now.isoformat(),
        }  # fmt: skip
        said = document.decode()
        self._do("form.file", "visit", job.visit, args, made_row=form, content=said, blobs=(sha256,))

    def _facts(self, shown: Shown, order: Mapping[str, Any], site: Mapping[str, Any]) -> FormFacts:
        customer = shown.get("customer", site["customer_id"]) or {}
        return FormFacts(
            number=self.handset.phone.replica.next_number(), zone=ZONE,
            language=self.handset.random.choice(("zh", "en", "zh+en")),
            organisation=Organisation(name="验收运行 Acceptance"), customer=Customer(name=customer.get("name", "")),
            site=ShownSite(name=site["name"], address=site["address"]),
            technicians=(Worker(name=self.name, number=self.login),), times=(("finished", self.handset.now),),
            shown_at=self.handset.now, order_number=order["number"], reported=order["title"],
            done="更换并测试 repaired",
        )  # fmt: skip

    def _do(
        self, name: str, entity: str, row: str, args: dict[str, Any], *, made_row: str, content: str,
        blobs: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        mutation = new_id()
        self.handset.phone.do(
            lambda replica: command(
                replica, name, entity, row, args, mutation_id=mutation, now=self.handset.now, blobs=blobs
            )
        )
        self.notebook.append(Done(mutation, name, made_row, content))


def _assets(shown: Shown, order: Mapping[str, Any]) -> list[InspectedAsset]:
    if order["asset_id"]:
        asset = shown.get("asset", order["asset_id"])
        found = [asset] if asset else []
    else:
        found = [asset for asset in shown.all("asset").values() if asset["site_id"] == order["site_id"]]
    return [InspectedAsset(id=one["id"], label=one["name"], type=one["asset_type"]) for one in found]
