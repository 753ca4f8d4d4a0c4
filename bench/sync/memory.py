"""What the server's memory does while many phones pull everything at once.

    .venv/bin/python -m bench.sync.memory --phones 200 --records 5000 [--database postgresql]

Every phone is another technician's, sent to the same ten sites, so each pulls all records. One server process; its
resident memory is read many times a second. Ends with one line of `name=value` figures.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import insert, select

from backend.core.auth import hash_password
from backend.core.clock import SystemClock
from backend.core.ids import new_id
from backend.core.migrate import upgrade
from backend.core.sessions import Database
from backend.tables import metadata
from bench.postgres import throwaway_postgres
from bench.sync.house import PASSWORD, House
from bench.sync.phone import Phone, phone_of
from bench.sync.servers import Process, ours
from bench.table import Figure, report

MIB: Final = 1024 * 1024
SAMPLE_SECONDS: Final = 0.02
TRIES: Final = 20
RETRY_SECONDS: Final = 2
BUSY: Final = (RuntimeError, asyncio.IncompleteReadError, ConnectionError)
WARM_PULLS: Final = 3
"""Pulls before measuring begins: what a process loads once is not what phones cost."""


class Watch:
    """The resident memory of a process, in MiB, while it is watched."""

    def __init__(self, process: Process) -> None:
        self._status = Path(f"/proc/{process.running.pid}/status")
        self.samples: list[float] = []

    def now(self) -> float:
        """Return the resident memory."""
        line = next(line for line in self._status.read_text("ascii").splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024 / MIB

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            self.samples.append(self.now())
            await asyncio.sleep(SAMPLE_SECONDS)


async def hire_crowd(house: House, count: int) -> list[UUID]:
    """Send `count` more people to every site of the house."""
    people, first = [new_id() for _ in range(count)], len(house.people)
    person, assignment = metadata.tables["person"], metadata.tables["assignment"]
    password_hash, now = hash_password(PASSWORD), SystemClock().now()
    async with house.database.write() as session:
        unit = (await session.execute(select(person.c.unit_id).limit(1))).scalar_one()
        given = select(assignment).where(assignment.c.person_id == house.people[0])
        visits = (await session.execute(given)).mappings().all()
        await session.execute(
            insert(person),
            [
                {
                    "id": one, "unit_id": unit, "employee_number": f"B{at:03}", "name": f"周涛 {at}", "language": "zh",
                    "external": False, "active": True, "password_hash": password_hash,
                }
                for at, one in enumerate(people, start=first)
            ],
        )  # fmt: skip
        held: list[dict[str, Any]] = [
            {**visit, "id": new_id(), "person_id": one, "leads": False, "assigned_at": now}
            for one in people
            for visit in visits
        ]
        await session.execute(insert(assignment), held)
    house.people += people
    return people


async def furnished(url: str, phones: int, records: int) -> tuple[House, list[UUID]]:
    """Fill a database; return its house and whose phones will pull."""
    house = House(Database(url), records)
    await house.furnish()
    people = await hire_crowd(house, phones)
    await house.database.close()
    return house, people


async def measured(house: House, people: Sequence[UUID], process: Process) -> dict[str, float]:
    """Let one phone after the other pull, then all at once; return MiB and seconds."""
    crowd = [await phone_of(house, person, process.port) for person in people]
    watch = Watch(process)
    for phone in crowd[:WARM_PULLS]:
        await _dial_again(phone)
        await phone.first_pull()
    for phone in crowd:
        await _dial_again(phone)
    before = watch.now()
    watching = asyncio.create_task(watch.run())
    began = time.perf_counter()
    again = sum(await asyncio.gather(*(_pull_everything(phone) for phone in crowd)))
    seconds = time.perf_counter() - began
    watching.cancel()
    await _hang_up(crowd)
    await house.database.close()
    return {
        "before_mib": before, "peak_mib": max(watch.samples), "median_mib": statistics.median(watch.samples),
        "after_mib": watch.now(), "seconds": seconds,
        "busy": again, "wire_mb_a_phone": statistics.median(phone.wire_bytes for phone in crowd) / 1e6,
    }  # fmt: skip


async def _pull_everything(phone: Phone) -> int:
    """Pull as a phone does, which tries again when the server is too busy; return how often it had to."""
    for again in range(TRIES):
        try:
            await phone.first_pull()
        except BUSY:
            await asyncio.sleep(RETRY_SECONDS)
            await _dial_again(phone)
        else:
            return again
    raise RuntimeError(f"the server was too busy {TRIES} times")


async def _dial_again(phone: Phone) -> None:
    """Open a new connection: the server closes what has been idle while the others registered."""
    await phone.wire.__aexit__(None, None, None)
    await phone.wire.__aenter__()


async def _hang_up(crowd: Sequence[Phone]) -> None:
    for phone in crowd:
        await phone.wire.__aexit__(None, None, None)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--phones", type=int, default=200)
    parser.add_argument("--records", type=int, default=5000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paigong-memory-") as name, ExitStack() as running:
        folder = Path(name)
        url = f"sqlite+aiosqlite:///{folder / 'paigong.db'}"
        if given.database == "postgresql":
            url = running.enter_context(throwaway_postgres()).url
        upgrade(url)
        house, people = asyncio.run(furnished(url, given.phones, given.records))
        (process,) = running.enter_context(ours(url, folder))
        figures = asyncio.run(measured(house, people, process))
    grown = (figures["peak_mib"] - figures["before_mib"]) / given.phones
    row = f"MiB of RSS for each of {given.phones} first pulls at once, {given.database}"
    wire = figures["wire_mb_a_phone"] * 1e6 / MIB
    report("memory", [Figure(row, grown, wire, grown / wire, "less than one answer on the wire", grown < wire)])
    print(
        f"phones={given.phones} records={given.records} database={given.database} "
        + " ".join(f"{name}={value:.2f}" for name, value in figures.items())
    )


if __name__ == "__main__":
    main()
