"""One function for each row of the table: milliseconds, or requests and mutations per second."""

import asyncio
import random
import statistics
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final
from uuid import UUID

from bench.sync.house import WRITERS, House
from bench.sync.kinto import Client
from bench.sync.phone import Note, Phone, phone_of, rows_in, statuses
from bench.sync.servers import Process
from bench.sync.wire import Wire

CHANGES: Final = 50
MUTATIONS: Final = 200
WRITERS_BATCH: Final = 20
CONNECTIONS: Final = 4
POLL_SECONDS: Final = 0.2
MILLISECONDS: Final = 1_000
RAW_BODY: Final = "x" * 300
"""About what a mutation of the benchmark weighs."""


@dataclass
class Ours:
    """Our server on one database, the office and a phone."""

    house: House
    server: Process
    phone: Phone
    spans: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    async def first_pull(self) -> float:
        """Milliseconds of a first pull to its end."""
        return await _timed(self.phone.first_pull)

    async def pull_of_changes(self) -> float:
        """Milliseconds of a pull after the office changed fifty records."""
        await self.house.edit("software_version", _some(self.house, CHANGES))
        return await _timed(self.phone.pull)

    async def push(self) -> float:
        """Milliseconds of a push of 200 edits; of every second record the office has just edited something else."""
        rows = _some(self.house, MUTATIONS)
        await self.house.edit("serial", rows[::2])
        notes = [Note(row, self.house.notes[row], f"{row} {random.getrandbits(64)}") for row in rows]
        request = self.phone.push_request(notes)
        began = perf_counter()
        answer = await self.phone.wire.send(request)
        span = (perf_counter() - began) * MILLISECONDS
        ended = statuses(answer.checked())
        if sorted(ended) != ["applied"] * (MUTATIONS // 2) + ["merged"] * (MUTATIONS // 2):
            raise RuntimeError(f"the push was not merged: {set(ended)}")
        self.house.notes |= {note.asset: note.now for note in notes}
        await self.phone.pull()
        return span

    async def unchanged(self, seconds: float) -> tuple[float, float]:
        """Requests a second when nothing is new, and how many a processor would do by the time they took."""
        before = self.server.cpu_seconds()
        rate = await _rate(self.server.port, self.phone.wire, self.phone.pull_request(), 204, seconds)
        return rate, rate * seconds / max(self.server.cpu_seconds() - before, 0.01)


@dataclass
class Peer:
    """Kinto with the same records."""

    house: House
    server: Process
    client: Client

    async def first_pull(self) -> float:
        """Milliseconds of fetching everything."""
        return await _timed(self.client.first_pull)

    async def pull_of_changes(self) -> float:
        """Milliseconds of fetching fifty changes."""
        await self.client.notes([(str(row), f"changed {random.getrandbits(64)}") for row in _some(self.house, CHANGES)])
        began = perf_counter()
        changed = await self.client.pull()
        if changed != CHANGES:
            raise RuntimeError(f"the peer sent {changed} changes")
        return (perf_counter() - began) * MILLISECONDS

    async def push(self) -> float:
        """Milliseconds of changing 200 records in one request."""
        notes = [(str(row), f"{row} {random.getrandbits(64)}") for row in _some(self.house, MUTATIONS)]
        span = await _timed(lambda: self.client.notes(notes))
        await self.client.pull()
        return span

    async def unchanged(self, seconds: float) -> float:
        """Requests a second when nothing is new."""
        return await _rate(self.server.port, self.client.wire, self.client.unchanged_request(), 200, seconds)


@dataclass(frozen=True)
class Concurrent:
    """What eight writers did at once, and what was missed or lost of it."""

    per_second: float
    missed: int
    lost: int


async def concurrent_push(house: House, servers: Sequence[Process], seconds: float) -> Concurrent:
    """Let eight phones push batches of twenty at once while a ninth pulls; then end the servers and compare."""
    writers = [
        await _Writer.begin(house, at, servers[at % len(servers)].port) for at in range(1, WRITERS + 1)
    ]  # fmt: skip
    reader = await phone_of(house, house.people[0], servers[0].port)
    reader.keep = True
    await reader.first_pull()
    until = perf_counter() + seconds
    began = perf_counter()
    polling = asyncio.create_task(_poll(reader, until))
    await asyncio.gather(*(writer.write(until) for writer in writers))
    took = perf_counter() - began
    await polling
    await reader.pull()
    for server in servers:
        server.kill()
    stored = await house.notes_now()
    held = rows_in(reader.answers)
    acknowledged = {row: note for writer in writers for row, note in writer.acknowledged.items()}
    lost = sum(stored[row] != note for row, note in acknowledged.items())
    missed = sum(held[row]["note"] != note for row, note in stored.items() if row in held)
    return Concurrent(sum(writer.done for writer in writers) / took, missed + len(stored.keys() - held.keys()), lost)


@dataclass
class _Writer:
    phone: Phone
    rows: list[UUID]
    acknowledged: dict[UUID, str]
    done: int = 0

    @classmethod
    async def begin(cls, house: House, at: int, port: int) -> "_Writer":
        phone = await phone_of(house, house.people[at], port)
        await phone.first_pull()
        rows = house.of_site(house.sites[at - 1])
        stored = await house.notes_now()
        return cls(phone, rows, {row: stored[row] for row in rows})

    async def write(self, until: float) -> None:
        """Push until the time is over; note what was acknowledged."""
        while perf_counter() < until:
            start = self.done % (len(self.rows) - WRITERS_BATCH)
            some = self.rows[start : start + WRITERS_BATCH]
            notes = [Note(row, self.acknowledged[row], f"note {self.done}") for row in some]
            answer = (await self.phone.wire.send(self.phone.push_request(notes))).checked()
            if not {*statuses(answer)} <= {"applied", "merged"}:  # merged: beside its own edits, not pulled yet
                raise RuntimeError(f"a writer's edits ended as {set(statuses(answer))}")
            self.acknowledged |= {note.asset: note.now for note in notes}
            self.done += len(notes)


async def _poll(reader: Phone, until: float) -> None:
    while perf_counter() < until:
        await reader.pull()
        await asyncio.sleep(POLL_SECONDS)


async def _rate(port: int, signed_in: Wire, request: bytes, status: int, seconds: float) -> float:
    """Requests a second over several connections, each sending the next when it has its answer."""
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(Wire(port, signed_in.headers)) for _ in range(CONNECTIONS)]
        began = perf_counter()
        counts = await asyncio.gather(*(_repeat(wire, request, status, began + seconds) for wire in wires))
        return sum(counts) / (perf_counter() - began)


async def _repeat(wire: Wire, request: bytes, status: int, until: float) -> int:
    count = 0
    while perf_counter() < until:
        (await wire.send(request)).checked(status)
        count += 1
    return count


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = perf_counter()
    await work()
    return (perf_counter() - began) * MILLISECONDS


def _some(house: House, count: int) -> list[UUID]:
    return [asset["id"] for asset in random.sample(house.assets, count)]


def median(spans: Sequence[float]) -> float:
    """The median of a row's rounds."""
    return statistics.median(spans)
