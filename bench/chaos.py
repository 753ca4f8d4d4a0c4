"""`make chaos`: two servers on one PostgreSQL, killed at random, and eight phones on bad lines that never pause.

    .venv/bin/python -m bench.chaos --mutations 100000 --seconds 900 --seed 1

Each phone is the reference client with its durable queue. Afterwards notebooks are compared with rows: what was
acknowledged and is gone, what was done twice, what a phone did not get. Exit code 1 unless all three are 0.
"""

import argparse
import asyncio
import base64
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import msgspec
from sqlalchemy import insert, text

from backend.core.clock import SystemClock
from backend.core.ids import new_id
from backend.core.sessions import Database
from backend.tables import metadata
from bench.acceptance.faults import BadLine
from bench.acceptance.office import ADMINISTRATOR, PASSWORD, Office, hire
from bench.acceptance.server import LOOPBACK, PAIGONG, run_command
from bench.postgres import free_port, throwaway_postgres
from sync.client.disk import Disk
from sync.client.phone import Line, Phone, enrol
from sync.client.transport import HttpTransport, NoAnswer, Reply
from sync.holding import place
from sync.outbox import Item
from sync.protocol import Edit, EnrolRequest, Status
from sync.replica import Replica

SERVERS: Final = 2
WRITERS: Final = 8
ASSETS: Final = 100
"""Assets of each writer's own site; on the site all share, everybody has a tenth of that."""
BATCH: Final = 200
ADDED: Final = 10
"""New assets in a batch, on the shared site."""
CLASHES: Final = 1
"""Edits in a batch of the one field everybody changes."""
PAUSE_MOST: Final = 0.3
"""Seconds a phone waits at most before it tries again; real ones wait longer."""
KILL_SECONDS: Final = (1.0, 4.0)
READY_SECONDS: Final = 90
HEALING_CONTACTS: Final = 60
ZONE: Final = "Asia/Shanghai"
CLOCK: Final = SystemClock()
"""Of the phones and servers, which share this machine."""


@dataclass
class Servers:
    """The API processes, which somebody kills."""

    env: dict[str, str]
    folder: Path
    dice: random.Random
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(SERVERS)])
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list["subprocess.Popen[bytes]"])
    kills: int = 0

    @property
    def bases(self) -> list[str]:
        """Where they listen."""
        return [f"http://{LOOPBACK}:{port}" for port in self.ports]

    def start(self, number: int) -> "subprocess.Popen[bytes]":
        """Start one."""
        command = [*PAIGONG, "serve", "--port", str(self.ports[number])]
        with (self.folder / f"server-{number}.log").open("ab") as log:
            return subprocess.Popen(command, env=self.env, stdout=log, stderr=subprocess.STDOUT)

    async def ready(self, number: int) -> None:
        """Wait until one answers."""
        deadline = time.monotonic() + READY_SECONDS
        async with httpx.AsyncClient() as http:
            while time.monotonic() < deadline:
                with suppress(httpx.TransportError):
                    if (await http.get(f"{self.bases[number]}/readyz")).is_success:
                        return
                await asyncio.sleep(0.1)
        raise RuntimeError((self.folder / f"server-{number}.log").read_text("utf-8", "replace")[-2000:])

    async def begin(self) -> None:
        """Start all."""
        self.running = [self.start(number) for number in range(SERVERS)]
        for number in range(SERVERS):
            await self.ready(number)

    async def be_killed(self) -> None:
        """Kill one after another with SIGKILL, in the middle of whatever it does, until cancelled."""
        while True:
            await asyncio.sleep(self.dice.uniform(*KILL_SECONDS))
            number = self.dice.randrange(SERVERS)
            self.running[number].kill()
            self.running[number].wait()
            self.kills += 1
            self.running[number] = self.start(number)
            await self.ready(number)

    def end(self) -> None:
        """Stop all."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait()


@dataclass
class Writer:
    """One person with a phone, and a notebook of what they did."""

    login: str
    site: str
    shared: str
    notes: dict[str, str]
    """Of each of their assets, its note as they last wrote it."""
    dice: random.Random
    phone: Phone = field(init=False)
    lines: list[HttpTransport] = field(default_factory=list[HttpTransport])
    bad: BadLine = field(init=False)
    tokens: dict[str, Any] = field(default_factory=dict[str, Any])
    added: list[str] = field(default_factory=list[str])
    made: int = 0

    async def begin(self, bases: list[str], code: str, folder: Path) -> None:
        """Register the phone and sign in on it."""
        clients = [httpx.AsyncClient(base_url=base, timeout=60) for base in bases]
        self.lines = [HttpTransport(client, self._token, CLOCK.now, time.monotonic) for client in clients]
        self.bad = BadLine(self._some_server, self.dice, healed=True)
        line = Line(self.bad, _pause, self._refresh)
        key = base64.urlsafe_b64encode(self.dice.randbytes(32)).decode().rstrip("=")
        identity = await enrol(line, EnrolRequest(code, key, f"phone of {self.login}", "chaos", 1))
        disk = Disk(folder / f"{self.login}.phone")
        self.phone = Phone(Replica.fresh(identity), disk, line, CLOCK.now, _id)
        await self._sign_in()
        await self.phone.contact()

    async def write(self, mutations: int, until: float) -> None:
        """Work and send until so much is done or the time is over."""
        self.bad.healed = False
        while self.made < mutations and time.monotonic() < until:
            self.phone.do(self._batch)
            await self.phone.contact()

    async def heal(self) -> None:
        """On a good line: send and fetch everything."""
        self.bad.healed = True
        for _ in range(HEALING_CONTACTS):
            await self.phone.contact()
            if not self.phone.replica.outbox.pending():
                break

    async def close(self) -> None:
        """Hang up."""
        for line in self.lines:
            await line.client.aclose()
        self.phone.disk.close()

    def _batch(self, replica: Replica) -> Item:
        """Do a batch of work; it is on disk at once."""
        done = [self._add(replica) for _ in range(ADDED)]
        done += [self._clash(replica) for _ in range(CLASHES)]
        done += [self._note(replica) for _ in range(BATCH - len(done))]
        self.made += len(done)
        return done[-1]

    def _note(self, replica: Replica) -> Item:
        asset = self.dice.choice(list(self.notes))
        was, now = self.notes[asset], f"{self.login} {self.made} {self.dice.random()}"
        self.notes[asset] = now
        return _edit(replica, "asset", asset, note=Edit(was, now))

    def _clash(self, replica: Replica) -> Item:
        now = f"{self.login} {self.made}"
        return _edit(replica, "site", self.shared, access_notes=Edit("", now))

    def _add(self, replica: Replica) -> Item:
        asset = _id()
        self.added.append(asset)
        fields = {"site_id": self.shared, "asset_type": "camera", "name": self.login}
        put = {"entity": "asset", "row": asset, "args": fields, "base_v": replica.holding.v}
        return replica.outbox.put("add", _id(), CLOCK.now(), **put)

    async def _some_server(self, path: str, body: bytes) -> Reply:
        try:
            return await self.dice.choice(self.lines)(path, body)
        except httpx.HTTPError as error:
            raise NoAnswer(str(error)) from error

    def _token(self) -> str:
        return self.tokens.get("access_token", "")

    async def _sign_in(self) -> None:
        body = {"login": self.login, "password": PASSWORD, "device_id": self.phone.replica.identity.device}
        answer = await self.lines[0].client.post("/auth/sign-in", json=body)
        self.tokens = answer.raise_for_status().json()

    async def _refresh(self) -> bool:
        with suppress(httpx.HTTPError):
            await self._sign_in()
        return True


def _edit(replica: Replica, entity: str, row: str, **fields: Edit) -> Item:
    put = {"entity": entity, "row": row, "fields": fields, "base_v": replica.holding.v}
    return replica.outbox.put("edit", _id(), CLOCK.now(), **put)


def _id() -> str:
    return str(new_id())


async def _pause(seconds: float) -> None:
    await asyncio.sleep(min(seconds, PAUSE_MOST))


async def _furnish(database: Database, unit: str, people: list[str]) -> list[tuple[str, list[str], list[str]]]:
    """Make sites with assets and work for everybody; return, for each person, (site, own assets, shared assets).

    The last site is the one all share.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("customer", "site", "asset", "work_order")}
    rows |= {"visit": [], "assignment": []}
    customer, now = new_id(), CLOCK.now()
    rows["customer"].append({
        "id": customer, "unit_id": UUID(unit), "number": "C-chaos", "name": "城东花园", "kind": "organisation",
        "language": "zh",
    })  # fmt: skip
    sites = [new_id() for _ in range(len(people) + 1)]
    held: list[tuple[str, list[str], list[str]]] = []
    for number, site in enumerate(sites):
        rows["site"].append({
            "id": site, "unit_id": UUID(unit), "customer_id": customer, "number": f"S-{number}", "name": "东门",
            "access_notes": "门卫", "address": "东风路 1 号", "lat": 31.0, "lon": 117.0, "position_source": "pin",
            "position_confidence": 1.0, "time_zone": ZONE, "no_photos": False, "no_phone": False,
            "no_offline_drawings": False,
        })  # fmt: skip
    for number, person in enumerate(people):
        own = [_asset(rows, sites[number]) for _ in range(ASSETS)]
        held.append((str(sites[number]), own, [_asset(rows, sites[-1]) for _ in range(ASSETS // 10)]))
        for site in (sites[number], sites[-1]):
            _assigned(rows, unit, site, person, now)
    async with database.write() as session:
        for name, new in rows.items():
            await session.execute(insert(metadata.tables[name]), new)
    return [*held, (str(sites[-1]), [], [])]


def _asset(rows: dict[str, list[dict[str, Any]]], site: UUID) -> str:
    asset = new_id()
    new = {"id": asset, "site_id": site, "asset_type": "camera", "name": "枪机", "quantity": 1, "note": ""}
    rows["asset"].append(new)
    return str(asset)


def _assigned(rows: dict[str, list[dict[str, Any]]], unit: str, site: UUID, person: str, now: datetime) -> None:
    order, visit, ends_at = new_id(), new_id(), now + timedelta(days=1)
    rows["work_order"].append({
        "id": order, "unit_id": UUID(unit), "number": f"WO-{len(rows['work_order'])}", "site_id": site,
        "kind": "repair",
        "origin": "passive", "queue": "field", "priority": "P2", "title": "维修", "description": "",
        "required_skills": [], "duration_minutes": 60, "state": "open", "needs_approval": False,
    })  # fmt: skip
    rows["visit"].append({
        "id": visit, "work_order_id": order, "sequence": 1, "duration_minutes": 60, "state": "planned",
    })  # fmt: skip
    rows["assignment"].append({
        "id": new_id(), "work_order_id": order, "visit_id": visit, "person_id": UUID(person), "leads": True,
        "pinned": False, "arrives_at": now, "ends_at": ends_at, "assigned_at": now,
    })  # fmt: skip


async def _figures(database: Database, writers: list[Writer]) -> dict[str, int]:
    """Compare notebooks with rows."""
    async with database.read() as session:
        ledger = {str(row[0]): row[1] for row in await session.execute(text(LEDGER))}
        trail = {str(row[0]): row[1] for row in await session.execute(text(TRAIL))}
        notes = {str(row[0]): row[1] for row in await session.execute(text("SELECT id, note FROM asset"))}
        bodies = {(row[0], f"asset/{row[1]}"): row[2] for row in await session.execute(text(BODIES))}
    lost = missed = waiting = 0
    ends: Counter[str] = Counter()
    for writer in writers:
        items = writer.phone.replica.outbox.items.values()
        waiting += sum(item.result is None for item in items)
        told = {item.id: item.result.status for item in items if item.result is not None}
        ends.update(status.value for status in told.values())
        lost += sum(ledger.get(name) != status.value for name, status in told.items())
        lost += sum(status in DONE and name not in trail for name, status in told.items())
        lost += sum(notes.get(asset) != note for asset, note in writer.notes.items())
        lost += sum(asset not in notes for asset in writer.added)
        held = writer.phone.replica.holding.buckets
        for (bucket, key), body in bodies.items():
            missed += bucket in held and not _same(held[bucket].get(key), body)
    made = sum(writer.made for writer in writers)
    duplicated = sum(times > 1 for times in trail.values())
    told_apart = {f"{status.value}": ends[status.value] for status in Status}
    return {"mutations": made, "missed": missed, "lost": lost, "duplicated": duplicated, "undelivered": waiting} | (
        told_apart
    )


DONE: Final = (Status.APPLIED, Status.MERGED)
LEDGER: Final = "SELECT mutation_id, status FROM ledger_entry WHERE mutation_id IS NOT NULL"
TRAIL: Final = "SELECT mutation_id, count(*) FROM audit_entry WHERE mutation_id IS NOT NULL GROUP BY 1"
BODIES: Final = "SELECT 'site:' || site_id, id, note FROM asset"


def _same(body: str | None, note: str) -> bool:
    return body is not None and msgspec.json.decode(body)["note"] == note


async def _run(given: argparse.Namespace, folder: Path, stack: ExitStack) -> int:
    began = time.monotonic()
    url = stack.enter_context(throwaway_postgres()).url
    env = {name: value for name, value in os.environ.items() if not name.startswith("PAIGONG_")} | {
        "PAIGONG_MODE": "test", "PAIGONG_DATA_DIR": str(folder / "data"), "PAIGONG_DATABASE": url,
    }  # fmt: skip
    run_command(
        env, "found", "--organisation-zh", "派工", "--organisation-en", "Paigong", "--time-zone", ZONE,
        "--employee-number", ADMINISTRATOR, "--name", "Administrator", "--password", PASSWORD,
    )  # fmt: skip
    servers = Servers(env, folder, random.Random(given.seed))
    stack.callback(servers.end)
    await servers.begin()
    database = Database(url)
    writers = await _hired(servers, database, folder, given.seed)
    killer = asyncio.create_task(servers.be_killed())
    until = time.monotonic() + given.seconds
    await asyncio.gather(*(writer.write(given.mutations // WRITERS, until) for writer in writers))
    wrote = time.monotonic()
    killer.cancel()
    with suppress(asyncio.CancelledError):
        await killer
    for number in range(SERVERS):
        await servers.ready(number)
    for _ in range(2):  # the second time for what the others sent in the first
        await asyncio.gather(*(writer.heal() for writer in writers))
    figures = await _figures(database, writers)
    figures |= {"kills": servers.kills, "faults": sum(writer.bad.faults for writer in writers)}
    figures |= {"writing_seconds": round(wrote - until + given.seconds), "seconds": round(time.monotonic() - began)}
    print(" ".join(f"{name}={value}" for name, value in figures.items()))
    for writer in writers:
        await writer.close()
    await database.close()
    bad = ("missed", "lost", "duplicated", "undelivered", Status.REJECTED.value, Status.QUARANTINED.value)
    return 1 if any(figures[name] for name in bad) else 0


async def _hired(servers: Servers, database: Database, folder: Path, seed: int) -> list[Writer]:
    """Hire people, give them work and phones."""
    admin = Office(servers.bases, ADMINISTRATOR).sign_in()
    until = datetime(2100, 1, 1, tzinfo=UTC)
    logins = [f"T{number}" for number in range(WRITERS)]
    people = [hire(admin, number=login, name=login, roles=["technician"], skills=[], until=until) for login in logins]
    places = await _furnish(database, admin.get("/me")["unit_id"], people)
    writers: list[Writer] = []
    for number, (login, person) in enumerate(zip(logins, people, strict=True)):
        site, own, shared = places[number]
        dice = random.Random(seed * 1000 + number)
        writer = Writer(login, site, places[-1][0], dict.fromkeys([*own, *shared], ""), dice)
        code = admin.post(f"/people/{person}/enrolment-codes")["code"]
        await writer.begin(servers.bases, code, folder)
        held = writer.phone.replica.holding.buckets
        if place("asset", own[0]) not in held.get(f"site:{site}", {}):
            raise RuntimeError(f"{login} has no work")
        writers.append(writer)
    return writers


def main() -> int:
    """Run, print the line of figures, and return 0 if nothing was missed, lost or done twice."""
    parser = argparse.ArgumentParser(prog="chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=900, help="no new work after so long")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paigong-chaos-") as folder, ExitStack() as stack:
        return asyncio.run(_run(given, Path(folder), stack))


if __name__ == "__main__":
    sys.exit(main())
