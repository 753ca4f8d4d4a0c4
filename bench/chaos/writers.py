"""Eight people with phones: the reference client, its durable queue, and a notebook of what each of them did."""

import asyncio
import base64
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from backend.core.clock import SystemClock
from backend.core.ids import new_id
from bench.acceptance.office import PASSWORD
from bench.chaos.proxy import BadLine
from sync.client.disk import Disk
from sync.client.phone import Contact, Ended, Line, Phone, enrol
from sync.client.transport import HttpTransport, Reply
from sync.holding import place
from sync.outbox import Item
from sync.policy import POLICY
from sync.protocol import Edit, EnrolRequest
from sync.replica import Replica

BATCH: Final = 200
ADDED: Final = 10
"""New assets in a batch, on the shared site."""
REMOVED: Final = 2
"""Assets of one's own making that a batch removes again, once the phone has got them back."""
CLASHES: Final = 1
"""Edits in a batch of the one field everybody changes."""
PATIENCE_SECONDS: Final = 20
"""How long a phone waits for an answer: longer than a database takes to come back."""
PAUSE_MOST: Final = 0.3
"""Seconds a phone waits at most before it tries again; real ones wait longer."""
CLOCK: Final = SystemClock()
"""Of the phones and servers, which share this machine."""


@dataclass
class Notebook:
    """What one person does, and what is to be there afterwards. `notes` holds what they last wrote about each asset."""

    login: str
    shared: str
    notes: dict[str, str]
    dice: random.Random
    added: list[str] = field(default_factory=list[str])
    removed: set[str] = field(default_factory=set[str])
    made: int = 0

    def batch(self, replica: Replica) -> Item:
        """Do a batch of work; it is on disk at once."""
        done = [self._remove(replica, asset) for asset in self._removable(replica)]
        done += [self._add(replica) for _ in range(ADDED)]
        done += [self._clash(replica) for _ in range(CLASHES)]
        done += [self._note(replica) for _ in range(BATCH - len(done))]
        self.made += len(done)
        return done[-1]

    def _note(self, replica: Replica) -> Item:
        asset = self.dice.choice(list(self.notes))
        was, now = self.notes[asset], f"{self.login} {self.made} {self.dice.random()}"
        self.notes[asset] = now
        return _put(replica, "edit", "asset", asset, fields={"note": Edit(was, now)})

    def _clash(self, replica: Replica) -> Item:
        now = f"{self.login} {self.made}"
        return _put(replica, "edit", "site", self.shared, fields={"access_notes": Edit("", now)})

    def _add(self, replica: Replica) -> Item:
        asset = made_id()
        self.added.append(asset)
        fields = {"site_id": self.shared, "asset_type": "camera", "name": self.login}
        return _put(replica, "add", "asset", asset, args=fields)

    def _removable(self, replica: Replica) -> list[str]:
        held = replica.holding.buckets.get(f"site:{self.shared}", {})
        known = [asset for asset in self.added if asset not in self.removed and place("asset", asset) in held]
        return self.dice.sample(known, min(REMOVED, len(known)))

    def _remove(self, replica: Replica, asset: str) -> Item:
        self.removed.add(asset)
        held = msgspec.json.decode(replica.holding.body("asset", asset) or "{}")
        edits = {name: Edit(value, None) for name, value in POLICY.of("asset").editable_part(held).items()}
        return _put(replica, "remove", "asset", asset, fields=edits)


@dataclass
class Writer:
    """One person with a phone."""

    book: Notebook
    bad: BadLine
    phone: Phone = field(init=False)
    client: httpx.AsyncClient = field(init=False)
    tokens: dict[str, Any] = field(default_factory=dict[str, Any])
    settled: int = 0
    last: Contact = field(default_factory=Contact)
    asks: str = ""
    """What the phone waits for at this moment, since `asks_since` (monotonic seconds)."""
    asks_since: float = 0.0

    async def begin(self, code: str, folder: Path) -> None:
        """Register the phone and sign in on it."""
        self.client = httpx.AsyncClient(base_url=await self.bad.start(), timeout=PATIENCE_SECONDS)
        self._transport = HttpTransport(self.client, self._token, CLOCK.now, time.monotonic)
        line = Line(self._asked, _pause, self._refresh)
        key = base64.urlsafe_b64encode(self.book.dice.randbytes(32)).decode().rstrip("=")
        identity = await enrol(line, EnrolRequest(code, key, f"phone of {self.book.login}", "chaos", 1))
        disk = Disk(folder / f"{self.book.login}.phone")
        self.phone = Phone(Replica.fresh(identity), disk, line, CLOCK.now, made_id)
        await self._sign_in()
        await self._contact()

    @property
    def waiting(self) -> int:
        """Mutations that have no result yet."""
        return len(self.phone.replica.outbox.unanswered())

    @property
    def reached(self) -> tuple[int, ...]:
        """How far this phone is: whatever changes here is progress."""
        replica = self.phone.replica
        return self.book.made, self.settled, replica.holding.v, len(replica.pages)

    async def write(self, mutations: int, until: float) -> None:
        """Work and send until so much is done, or the time is over."""
        self.bad.healed = False
        while self.book.made < mutations and time.monotonic() < until:
            self.phone.do(self.book.batch)
            await self._contact()

    async def heal(self) -> None:
        """On a good line: send and fetch everything, however many contacts it takes; whoever watches sets the limit."""
        self.bad.healed = True
        await self.bad.quiet()
        while await self._contact() is not Ended.COMPLETE or self.waiting:
            await _pause(PAUSE_MOST)

    def state(self) -> str:
        """Say in one line what this phone waits for."""
        asking = f"asks {self.asks} for {time.monotonic() - self.asks_since:.0f} s" if self.asks else "asks nothing"
        waiting = self.phone.replica.outbox.unanswered()
        first = f", first n={waiting[0].n} {waiting[0].mutation.name}" if waiting else ""
        return (
            f"{self.book.login}: made {self.book.made}, settled {self.settled}, waiting {len(waiting)}{first}, "
            f"v {self.phone.replica.holding.v}, pages {len(self.phone.replica.pages)}, {asking}, "
            f"last contact {self.last.ended} {self.last.reason}".rstrip()
        )

    async def close(self) -> None:
        """Hang up."""
        await self.client.aclose()
        await self.bad.stop()
        self.phone.disk.close()

    async def _contact(self) -> Ended:
        self.last = await self.phone.contact()
        self.settled += len(self.last.settled)
        return self.last.ended

    async def _asked(self, path: str, body: bytes) -> Reply:
        self.asks, self.asks_since = path, time.monotonic()
        try:
            return await self._transport(path, body)
        finally:
            self.asks = ""

    def _token(self) -> str:
        return self.tokens.get("access_token", "")

    async def _sign_in(self) -> None:
        body = {"login": self.book.login, "password": PASSWORD, "device_id": self.phone.replica.identity.device}
        answer = await self.client.post("/auth/sign-in", json=body)
        self.tokens = answer.raise_for_status().json()

    async def _refresh(self) -> bool:
        with suppress(httpx.HTTPError, ValueError):  # a line that cuts answers cuts this one, too
            await self._sign_in()
        return True


def made_id() -> str:
    """Make an id as a phone does."""
    return str(new_id())


def _put(replica: Replica, name: str, entity: str, row: str, **content: Any) -> Item:
    return replica.outbox.put(name, made_id(), CLOCK.now(), entity=entity, row=row, base_v=replica.holding.v, **content)


async def _pause(seconds: float) -> None:
    await asyncio.sleep(min(seconds, PAUSE_MOST))
