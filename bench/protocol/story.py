"""What the protocol's examples tell: 李伟's phone on one day, from its registration to the day it is lost."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from backend.app import create_app
from backend.core.sessions import Database
from backend.jobs.models import Assignment
from backend.settings import Settings
from backend.sites.models import Site
from bench.protocol.recorder import Names, Recorder
from bench.protocol.world import ASSIGNMENT, LI_WEI, LOGIN, ORDER, PASSWORD, SITE, START, VISIT, furnish, id_of
from sync.feed import entry_sum
from sync.holding import Rows, check_of
from sync.outbox import Item
from sync.protocol import (
    DEVICE_MONOTONIC,
    DEVICE_TIME,
    DEVICES_PATH,
    HINTS_PATH,
    INCARNATIONS_PATH,
    PULL_PATH,
    PUSH_PATH,
    RECONCILE_PATH,
    RESCUE_PATH,
    WIPED_PATH,
    EnrolAnswer,
    PullAnswer,
    PushAnswer,
    PushRequest,
    Put,
    WipedRequest,
    encode,
    position_digest,
)
from sync.repair import Repair
from sync.replica import Replica, rescue_request
from sync.signature import DEVICE_ID, DEVICE_SIGNATURE, sign, text_of
from sync.work import add, command, decide, edit, remove

OK: Final = 200
KEY: Final = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
"""The example phone's key: the bytes 00 01 02 … 1f."""
AHEAD: Final = timedelta(seconds=40)
"""By how much the phone's clock is wrong."""
PAGE_BYTES: Final = 4_096
PHOTO: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
JSON: Final = {"Content-Type": "application/json"}


@dataclass
class Story:
    """A phone, its server and what they said to each other."""

    app: Any
    client: httpx.AsyncClient
    database: Database
    clock_file: Path
    recorder: Recorder = field(default_factory=Recorder)
    token: str = ""
    made: int = 1000
    now: datetime = START
    phone: Replica = field(init=False)

    @property
    def names(self) -> Names:
        """What differs from run to run, and how it is shown."""
        return self.recorder.names

    def later(self, minutes: int) -> None:
        """Move the clock on."""
        self.now += timedelta(minutes=minutes)
        self.clock_file.write_text(self.now.isoformat(), "utf-8")

    def new_id(self) -> str:
        """An id made on the phone."""
        self.made += 1
        return str(id_of(self.made))

    def how(self) -> dict[str, Any]:
        """A mutation's id and time, as the phone gives them."""
        return {"mutation_id": self.new_id(), "now": self.now + AHEAD}

    async def ask(
        self, name: str, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Ask the server and keep what was said under this name; without a name it is not shown."""
        told = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        if path.startswith("/sync/") and method == "POST":
            told |= {DEVICE_TIME: (self.now + AHEAD).isoformat(), DEVICE_MONOTONIC: str(self._milliseconds())}
        told |= (JSON if body and not headers else {}) | dict(headers or {})
        request = self.client.build_request(method, path, content=body, headers=told)
        answer = await self.client.send(request)
        if name:
            self.recorder.keep(name, request, answer)
        return answer

    async def post(self, name: str, path: str, message: object) -> httpx.Response:
        """Post JSON."""
        return await self.ask(name, "POST", path, msgspec.json.encode(message))

    async def push(self, name: str) -> None:
        """Send everything that waits."""
        request = self.phone.push_request()
        answer = await self.post(name, PUSH_PATH, request)
        taken = msgspec.json.decode(answer.content, type=PushAnswer)
        for number, result in enumerate(msgspec.json.decode(raw, type=dict[str, Any]) for raw in taken.results):
            for conflict in result.get("conflicts", ()):
                self.names.call(conflict, str(id_of(2001 + number)))
        self.phone.take_push(taken)

    async def pull(self, name: str, max_bytes: int = 1_048_576) -> PullAnswer | None:
        """Ask for a page and take it."""
        request = msgspec.structs.replace(self.phone.pull_request(max_bytes), reconciles=True)
        answer = await self.post(name, PULL_PATH, request)
        if answer.status_code != OK:
            return None
        page = msgspec.json.decode(answer.content, type=PullAnswer)
        self._name_page(page)
        shown = [None if text is None else self.names(text) for text in (request.cookie, request.page)]
        place = msgspec.structs.replace(
            request, incarnation=self.names(request.incarnation), cookie=shown[0], page=shown[1]
        )
        self.names.call(page.of, position_digest(place))
        self.phone.take_pull(page)
        self.name_sums()
        return page

    def name_sums(self) -> None:
        """Let sums be those of the rows as they are shown."""
        for rows in self.phone.holding.buckets.values():
            shown: Rows = {self.names(key): self.names(body) for key, body in rows.items()}
            self.names.call(str(check_of(rows).sum), str(check_of(shown).sum))
            for key, body in rows.items():
                entity, row = key.split("/")
                self.names.call(
                    str(entry_sum(entity, row, body)), str(entry_sum(entity, self.names(row), self.names(body)))
                )

    def signed(self, path: str, body: bytes) -> dict[str, str]:
        """The headers by which the phone proves who it is."""
        device, signature = self.phone.identity.device, sign(KEY, path, body)
        shown = self.names(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        self.names.call(signature, sign(KEY, path, shown))
        return JSON | {DEVICE_ID: device, DEVICE_SIGNATURE: signature}

    async def office(self, model: type[Any], row: UUID, **changes: Any) -> None:
        """王芳 changes a record at the desk."""
        async with self.database.write() as session:
            record = await session.get_one(model, row)
            for name, value in changes.items():
                setattr(record, name, value)

    def _name_page(self, page: PullAnswer) -> None:
        for kind, text in (("cookie", page.cookie), ("page", page.page)):
            if text is not None and text not in self.names.told:
                known = sum(shown.startswith(kind) for shown in self.names.told.values())
                self.names.call(text, f"{kind}-{known + 1}")
        for op in page.ops:
            if isinstance(op, Put) and op.entity == "attendance":
                self.names.call(op.row, str(id_of(3001)))

    def _milliseconds(self) -> int:
        return 3_600_000 + int((self.now - START).total_seconds() * 1000)


@asynccontextmanager
async def opened(url: str, folder: Path) -> AsyncGenerator[Story]:
    """Open the story on an empty migrated database; files and the clock lie in `folder`."""
    clock_file = folder / "clock"
    clock_file.write_text(START.isoformat(), "utf-8")
    settings = Settings(
        mode="acceptance", data_dir=folder / "data", database=url, clock_file=clock_file, task_poll_seconds=0
    )
    app = create_app(settings)
    database = Database(url)
    await furnish(database)
    async with app.lifespan():
        transport = httpx.ASGITransport(cast("Any", app))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            yield Story(app, client, database, clock_file)
    await database.close()


async def told(url: str, folder: Path) -> dict[str, str]:
    """Tell the story; return its examples by name, as Markdown."""
    async with opened(url, folder) as story:
        for chapter in (begin, work_a_day, disagree, go_wrong, change_rows, send_files, compare, leave):
            story.later(1)
            await chapter(story)
        story.later(1)
        lose(story)
        story.recorder.kept["hints"] = [await _hints(story)]
        await _wiped(story)
    return story.recorder.examples()


async def begin(story: Story) -> None:
    """Register the phone, sign in on it, and pull everything in two pages."""
    offer = {"login": LOGIN, "password": PASSWORD}
    story.token = (await story.post("", "/auth/sign-in", offer)).json()["access_token"]
    code = (await story.ask("code", "POST", f"/people/{LI_WEI}/enrolment-codes")).json()["code"]
    story.names.call(code, "7K2MQ3XP4RTBWHNC")
    story.token = ""
    enrolment = {
        "code": code, "public_key": text_of(KEY.public_key().public_bytes_raw()), "name": "李伟的手机",
        "app_version": "1.0", "schema": 1,
    }  # fmt: skip
    answer = await story.post("enrol", DEVICES_PATH, enrolment)
    identity = msgspec.json.decode(answer.content, type=EnrolAnswer)
    _call_identity(story, identity, 101)
    story.names.call(identity.device, str(id_of(100)))
    story.phone = Replica.fresh(identity)
    tokens = (await story.post("sign-in", "/auth/sign-in", {**offer, "device_id": identity.device})).json()
    refresh = {"refresh_token": tokens["refresh_token"], "device_id": identity.device}
    story.token = (await story.post("sign-in", "/auth/refresh", refresh)).json()["access_token"]
    while (page := await story.pull("first-pull", PAGE_BYTES)) is None or page.cookie is None:
        pass


async def work_a_day(story: Story) -> None:
    """Set out and correct a note: two mutations, one push, one pull, and nothing new after it."""
    phone = story.phone
    departed = {"id": story.new_id(), "kind": "depart", "claimed_at": (story.now + AHEAD).isoformat()}
    command(phone, "visit.event", "visit", str(VISIT), departed, **story.how())
    edit(phone, "site", str(SITE), {"access_notes": "东门登记,找赵敏"}, **story.how())
    await story.push("push")
    await story.pull("pull")
    await story.pull("nothing-new")


async def disagree(story: Story) -> None:
    """王芳 and 李伟 change the same; each way a mutation can end; then 李伟 decides."""
    await story.office(Site, SITE, name="云桥大厦 A 座")
    phone = story.phone
    edit(phone, "site", str(SITE), {"name": "云桥广场"}, **story.how())
    edit(phone, "site", str(SITE), {"acceptance_on": "2025-06-30"}, **story.how())
    await story.push("conflict")
    await story.pull("conflict")
    conflict = next(iter(phone.shown().all("field_conflict")))
    decide(phone, conflict, "values", values={"name": "云桥广场 A 座"}, **story.how())
    await story.push("decision")
    await story.pull("decision")


async def go_wrong(story: Story) -> None:
    """What is done already, refused or set aside."""
    phone = story.phone
    twice = {"id": story.new_id(), "kind": "depart", "claimed_at": (story.now + AHEAD).isoformat()}
    command(phone, "visit.event", "visit", str(VISIT), twice, **story.how())
    command(phone, "edit", "work_order", str(ORDER), {}, **story.how())
    command(phone, "mood.set", "visit", str(VISIT), {"mood": "good"}, **story.how())
    await story.push("ends")
    await story.pull("")
    waiting: list[Item] = [command(phone, "note.add", "work_order", str(ORDER), {}, **story.how())]
    incarnation = phone.identity.incarnation
    far = waiting[0].payload.replace('"n":9', '"n":41')
    await story.post("gap", PUSH_PATH, PushRequest(incarnation, [msgspec.Raw(far.encode())]))
    taken = waiting[0].payload.replace('"n":9', '"n":1')
    await story.post("taken", PUSH_PATH, PushRequest(incarnation, [msgspec.Raw(taken.encode())]))
    answer = await story.post("taken", INCARNATIONS_PATH, {})
    identity = msgspec.json.decode(answer.content, type=EnrolAnswer)
    _call_identity(story, identity, 102)
    phone.renewed(identity)
    await story.push("renumbered")
    await story.pull("")


async def change_rows(story: Story) -> None:
    """A row that is added and one that is removed."""
    place = story.new_id()
    add(story.phone, "position", place, {"site_id": str(SITE), "name": "大厅", "description": ""}, **story.how())
    await story.push("rows")
    await story.pull("")
    remove(story.phone, "position", place, **story.how())
    await story.push("rows")
    await story.pull("")


async def send_files(story: Story) -> None:
    """A photo goes up in two pieces, is attached, and read again in part."""
    sha256 = hashlib.sha256(PHOTO).hexdigest()
    await story.post("have", "/blobs/have", {"sha256": [sha256]})
    tus = {"Tus-Resumable": "1.0.0"}
    metadata = ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}"
        for key, value in (("sha256", sha256), ("filetype", "image/png"))
    )
    creation = tus | {"Upload-Length": str(len(PHOTO)), "Upload-Metadata": metadata}
    upload = (await story.ask("upload", "POST", "/uploads", b"", creation)).headers["Location"]
    story.names.call(upload.rpartition("/")[2], str(id_of(4001)))
    piece = tus | {"Content-Type": "application/offset+octet-stream"}
    await story.ask("upload", "PATCH", upload, PHOTO[:40], piece | {"Upload-Offset": "0"})
    await story.ask("upload", "HEAD", upload, b"", tus)
    await story.ask("upload", "PATCH", upload, PHOTO[40:], piece | {"Upload-Offset": "40"})
    attached = {
        "entity": "visit", "subject_id": str(VISIT), "sha256": sha256, "kind": "photo", "name": "大厅.png",
    }  # fmt: skip
    key = JSON | {"Idempotency-Key": story.new_id()}
    answer = await story.ask("attach", "POST", "/attachments", msgspec.json.encode(attached), key)
    story.names.call(answer.json()["id"], str(id_of(4002)))
    await story.ask("read-file", "GET", f"/blobs/{sha256}", b"", {"Range": "bytes=0-15"})
    await story.ask("prefetch", "GET", "/sync/v1/prefetch?bytes=200000000")
    await story.pull("")


async def compare(story: Story) -> None:
    """The phone's disk lost a row: it compares what it holds."""
    holding = story.phone.holding
    name = f"site:{SITE}"
    rows = {key: body for key, body in holding.buckets[name].items() if not key.startswith("asset/")}
    story.phone.holding = msgspec.structs.replace(
        holding, cookie=None, buckets={**{key: held for key, held in holding.buckets.items() if held}, name: rows}
    )
    story.name_sums()
    repair = Repair.begun(story.phone)
    while story.phone.holding.cookie is None:
        request = repair.request(story.new_id())
        answer = await story.post("reconcile", RECONCILE_PATH, request)
        page = msgspec.json.decode(answer.content, type=PullAnswer)
        if page.cookie is not None:
            story.names.call(page.cookie, "cookie-of-the-comparison")
        repair.take(page)
    story.name_sums()


async def leave(story: Story) -> None:
    """The visit is given to somebody else: the phone drops it, and what was done meanwhile is answered briefly."""
    edit(story.phone, "site", str(SITE), {"access_notes": "西门登记"}, **story.how())
    await story.office(Assignment, ASSIGNMENT, withdrawn_at=story.now, withdrawn_reason="改派")
    await story.push("out-of-scope")
    await story.pull("drop")


def lose(story: Story) -> None:
    """A note with a photo is written while the office revokes the phone."""
    note, named = {"id": story.new_id(), "text": "保险丝"}, (hashlib.sha256(PHOTO).hexdigest(),)
    command(story.phone, "note.add", "work_order", str(ORDER), note, **story.how(), blobs=named)


async def _hints(story: Story) -> tuple[str, str]:
    """Listen to the stream until its first event."""
    heard: list[bytes] = []
    enough = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await enough.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body"):
            heard.append(message["body"])
            enough.set()

    request = story.client.build_request(
        "GET", HINTS_PATH, headers={"Authorization": f"Bearer {story.token}", "Accept": "text/event-stream"}
    )
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": HINTS_PATH,
        "raw_path": HINTS_PATH.encode(), "query_string": b"", "scheme": "http", "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw], "client": ("127.0.0.1", 1),
        "server": ("server", 80),
    }  # fmt: skip
    await story.app(scope, receive, send)  # by hand: httpx cannot leave a stream of its ASGI transport early
    asked = f"GET {HINTS_PATH}\nAuthorization: Bearer …\nAccept: text/event-stream"
    return asked, "200 OK\nContent-Type: text/event-stream\n\n" + heard[0].decode().strip()


async def _wiped(story: Story) -> None:
    """Nobody is signed in any more; the phone proves itself by its key."""
    device = story.phone.identity.device
    await story.ask("", "DELETE", f"/people/{LI_WEI}/devices/{device}")
    story.token = ""
    request = encode(msgspec.structs.replace(story.phone.pull_request(), reconciles=True))
    story.names.call(story.phone.holding.cookie or "", "cookie-at-the-end")
    answer = await story.ask("wipe", "POST", PULL_PATH, request, story.signed(PULL_PATH, request))
    page = msgspec.json.decode(answer.content, type=PullAnswer)
    story.names.call(page.of, _digest_shown(story))
    story.phone.take_pull(page)
    queue = encode(rescue_request(story.phone) or PushRequest("", []))
    await story.ask("rescue", "POST", RESCUE_PATH, queue, story.signed(RESCUE_PATH, queue))
    path = f"{RESCUE_PATH}/{hashlib.sha256(PHOTO).hexdigest()}"
    proof = story.signed(path, PHOTO) | {"Content-Type": "application/octet-stream"}
    await story.ask("rescue", "POST", path, PHOTO, proof)
    word = encode(WipedRequest(files=0))
    await story.ask("wiped", "POST", WIPED_PATH, word, story.signed(WIPED_PATH, word))


def _digest_shown(story: Story) -> str:
    request = story.phone.pull_request()
    shown = msgspec.structs.replace(
        request, incarnation=story.names(request.incarnation), cookie=story.names(request.cookie or "")
    )
    return position_digest(shown)


def _call_identity(story: Story, identity: EnrolAnswer, number: int) -> None:
    story.names.call(identity.incarnation, str(id_of(number)))
    story.names.call(f'"prefix":"{identity.prefix}"', f'"prefix":"{"K7QW" if number % 2 else "P3XT"}"')
