"""The phone a technician carries: registered, signed in, on a bad line, with photos that wait to be sent."""

import base64
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import uuid4

import httpx

from bench.acceptance.faults import BadLine
from bench.acceptance.office import PASSWORD
from sync.client.disk import Disk
from sync.client.phone import Line, Phone, enrol
from sync.client.transport import HttpTransport
from sync.protocol import EnrolRequest
from sync.replica import Replica

KILLED_SHARE: Final = 0.02
"""How often the phone's battery dies between two looks at it."""
UPLOAD_LOST_SHARE: Final = 0.15
"""How often a photo does not get through; it is sent again at the next contact."""
UPLOAD_TRIES: Final = 40


@dataclass
class Handset:
    """A model phone with what an app has around it. `now` is its clock."""

    login: str
    random: Random
    disk: Disk
    http: httpx.AsyncClient
    now: datetime
    phone: Phone = field(init=False)
    line: BadLine = field(init=False)
    tokens: dict[str, Any] = field(default_factory=dict[str, Any])
    photos: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """Photos not yet uploaded, by sha256."""
    killed: int = 0

    async def begin(self, code: str) -> "Handset":
        """Register the phone, sign in on it, and download the day."""
        self.line = BadLine(HttpTransport(self.http, self._token, self.clock, lambda: 0.0), self.random)
        line = Line(self.line, _no_wait, self._refresh)
        key = base64.urlsafe_b64encode(self.random.randbytes(32)).decode().rstrip("=")
        identity = await enrol(line, EnrolRequest(code, key, f"phone of {self.login}", "acceptance", 1))
        self.phone = Phone(Replica.fresh(identity), self.disk, line, self.clock, new_id)
        await self._sign_in(identity.device)
        await self.contact()
        return self

    def clock(self) -> datetime:
        """The phone's clock."""
        return self.now

    async def contact(self) -> None:
        """Deliver what can be delivered, fetch what changed."""
        await self.phone.contact()
        await self._upload()

    async def deliver_everything(self) -> None:
        """On a line that is whole: send all there is, and fetch all there is."""
        self.line.healed = True
        before = -1
        while (left := len(self.phone.replica.outbox.pending()) + len(self.photos)) and left != before:
            before = left
            await self.contact()
        await self.contact()

    def maybe_die(self) -> None:
        """The battery dies: whatever is not on disk is gone."""
        if self.random.random() < KILLED_SHARE:
            self.killed += 1
            stored = self.disk.load(policy=self.phone.replica.policy, effects=self.phone.replica.effects)
            self.phone.replica = stored or self.phone.replica

    async def _upload(self) -> None:
        for sha256, content in list(self.photos.items()):
            for _ in range(UPLOAD_TRIES if self.line.healed else 1):
                if not self.line.healed and self.random.random() < UPLOAD_LOST_SHARE:
                    break
                headers = {"Authorization": f"Bearer {self._token()}"}
                answer = await self.http.put(f"/blobs/{sha256}", content=content, headers=headers)
                if answer.is_success:
                    del self.photos[sha256]
                    break
                await self._refresh()

    def _token(self) -> str:
        return self.tokens.get("access_token", "")

    async def _sign_in(self, device: str) -> None:
        body = {"login": self.login, "password": PASSWORD, "device_id": device}
        self.tokens = (await self.http.post("/auth/sign-in", json=body)).raise_for_status().json()

    async def _refresh(self) -> bool:
        body = {"refresh_token": self.tokens["refresh_token"], "device_id": self.phone.replica.identity.device}
        answer = await self.http.post("/auth/refresh", json=body)
        if answer.is_success:
            self.tokens = answer.json()
        return answer.is_success


async def handset(*, login: str, base: str, code: str, seed: int, folder: Path, now: datetime) -> Handset:
    """Give somebody a phone and register it."""
    http = httpx.AsyncClient(base_url=base, timeout=60)
    return await Handset(login, Random(seed), Disk(folder / f"{login}.phone"), http, now).begin(code)


def new_id() -> str:
    """Ids are made on the phone."""
    return str(uuid4())


async def _no_wait(_seconds: float) -> None:
    """Simulated time does not pass while a phone waits to try again."""
