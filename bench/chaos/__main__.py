"""`make chaos`: two servers on one PostgreSQL, killed at random, and eight phones on bad lines that never pause.

    .venv/bin/python -m bench.chaos --mutations 100000 --seconds 900 --seed 1 --kill-database

Each phone is the reference client with its durable queue, behind a TCP proxy that cuts, truncates, delays, repeats and
swallows. PostgreSQL waits for the disk at every commit. Afterwards notebooks are compared with rows: what a phone did
not get, what was acknowledged and is gone, what was done twice. Exit code 1 unless all three are 0, everything that was
asked for was written, and no server ended that nobody killed.
"""

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from backend.core.sessions import Database
from bench.acceptance.office import ADMINISTRATOR, PASSWORD, Office, hire
from bench.acceptance.server import run_command
from bench.chaos.figures import Figures, line, reckon
from bench.chaos.furnish import ZONE, furnish
from bench.chaos.proxy import BadLine, Fault
from bench.chaos.servers import Servers, crash_database
from bench.chaos.watching import Stuck, Watch
from bench.chaos.writers import Notebook, Writer
from bench.postgres import Server, throwaway_postgres
from sync.holding import place
from sync.protocol import Status

WRITERS: Final = 8
LOOK_SECONDS: Final = 0.2
HEALING_ROUNDS: Final = 2
"""The second is for what the others sent in the first."""


async def _run(given: argparse.Namespace, folder: Path, stack: ExitStack) -> int:
    began = time.monotonic()
    postgres = stack.enter_context(throwaway_postgres(durable=True, revives=True))
    servers = _servers(postgres, folder, given.seed)
    stack.callback(servers.end)
    await servers.begin()
    database = Database(postgres.url)
    writers = await _hired(servers, folder, database, given.seed)
    watch = Watch(writers, servers, postgres.url, given.patience)
    wrote = time.monotonic()
    try:
        await _write(given, postgres, watch)
        wrote = time.monotonic() - wrote
        await servers.all_ready()
        for _ in range(HEALING_ROUNDS):
            await watch.over("healing", [writer.heal() for writer in writers])
    except Stuck as stuck:
        print(stuck, file=sys.stderr)
        return 1
    await database.close()  # what it has open may be from before the database was killed
    figures = await reckon(database, writers)
    figures.asked, figures.died = given.mutations // WRITERS * WRITERS, servers.died
    for writer in writers:
        await writer.close()
    await database.close()
    _tell(figures, writers, servers, wrote, time.monotonic() - began)
    return 0 if figures.good else 1


async def _write(given: argparse.Namespace, postgres: Server, watch: Watch) -> None:
    """Let everybody work while somebody kills."""
    writers, servers, until = watch.writers, watch.servers, time.monotonic() + given.seconds
    killers = [asyncio.create_task(servers.be_killed())]
    if given.kill_database:
        killers.append(asyncio.create_task(_crash_halfway(postgres, writers, given.mutations)))
    try:
        await watch.over("writing", [writer.write(given.mutations // WRITERS, until) for writer in writers], killers)
    finally:
        for killer in killers:
            killer.cancel()
            with suppress(asyncio.CancelledError):
                await killer


async def _crash_halfway(postgres: Server, writers: Sequence[Writer], mutations: int) -> None:
    while sum(writer.settled for writer in writers) < mutations // 2:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(LOOK_SECONDS)
    crash_database(postgres.pid)
    print("the database was shut down at once; it comes back with what its log has", flush=True)


def _servers(postgres: Server, folder: Path, seed: int) -> Servers:
    """Found the organisation; return its servers, not yet begun."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PAIGONG_")} | {
        "PAIGONG_MODE": "test", "PAIGONG_DATA_DIR": str(folder / "data"), "PAIGONG_DATABASE": postgres.url,
    }  # fmt: skip
    run_command(
        env, "found", "--organisation-zh", "派工", "--organisation-en", "Paigong", "--time-zone", ZONE,
        "--employee-number", ADMINISTRATOR, "--name", "Administrator", "--password", PASSWORD,
    )  # fmt: skip
    return Servers(env, folder, random.Random(seed))


async def _hired(servers: Servers, folder: Path, database: Database, seed: int) -> list[Writer]:
    """Hire people, give them work and phones."""
    admin = Office(servers.bases, ADMINISTRATOR).sign_in()
    until = datetime(2100, 1, 1, tzinfo=UTC)
    logins = [f"T{number}" for number in range(WRITERS)]
    people = [hire(admin, number=login, name=login, roles=["technician"], skills=[], until=until) for login in logins]
    places = await furnish(database, admin.get("/me")["unit_id"], people)
    writers: list[Writer] = []
    for number, (login, person) in enumerate(zip(logins, people, strict=True)):
        site, own, shared = places[number]
        line_of = BadLine(servers.ports, random.Random(seed * 1000 + WRITERS + number))
        dice = random.Random(seed * 1000 + number)
        writer = Writer(Notebook(login, places[-1][0], dict.fromkeys([*own, *shared], ""), dice), line_of)
        await writer.begin(admin.post(f"/people/{person}/enrolment-codes")["code"], folder)
        held = writer.phone.replica.holding.buckets
        if place("asset", own[0]) not in held.get(f"site:{site}", {}):
            raise RuntimeError(f"{login} has no work")
        writers.append(writer)
    return writers


def _tell(figures: Figures, writers: list[Writer], servers: Servers, writing: float, seconds: float) -> None:
    faults = sum((writer.bad.faults for writer in writers), Counter[Fault]())
    print(line({fault.value: faults[fault] for fault in Fault}))
    ends = {status.value: figures.ends[status] for status in Status}
    others = {
        "asked": figures.asked,
        "undelivered": figures.undelivered,
        "servers_died": figures.died,
        "writing_seconds": round(writing),
    }
    print(line(ends | others))
    closing = {
        "mutations": figures.mutations, "missed": figures.missed, "lost": figures.lost,
        "duplicated": figures.duplicated, "kills": servers.kills, "faults": faults.total(), "seconds": round(seconds),
    }  # fmt: skip
    print(line(closing), flush=True)


def main() -> int:
    """Run, print the line of figures, and return 0 if all is well."""
    parser = argparse.ArgumentParser(prog="chaos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=900, help="no new work after so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--patience", type=float, default=90, help="seconds without progress after which it fails")
    parser.add_argument("--kill-database", action="store_true", help="kill PostgreSQL, too, when half is done")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paigong-chaos-") as folder, ExitStack() as stack:
        return asyncio.run(_run(given, Path(folder), stack))


if __name__ == "__main__":
    sys.exit(main())
