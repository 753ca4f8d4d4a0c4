"""`make bench-sync`: us beside Kinto on the same PostgreSQL, and beside the database alone, in one run.

    .venv/bin/python -m bench.sync --records 5000 --rounds 15

Every row of the table "Speed to reach" of the design but the photos', which belongs to the attachments. Databases wait
for the disk; sign-in and scope are part of every request. Rounds alternate between the parties, so that what else the
machine does meets all of them; the figures are medians.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from backend.core.migrate import upgrade
from backend.core.sessions import Database
from bench.postgres import Server, throwaway_postgres
from bench.sync.house import House
from bench.sync.kinto import Client, kinto
from bench.sync.measures import MUTATIONS, RAW_BODY, Concurrent, Ours, Peer, concurrent_push, median
from bench.sync.phone import phone_of
from bench.sync.raw import RawPostgresql, RawSqlite
from bench.sync.servers import Process, ours
from bench.sync.wire import Wire
from bench.table import Figure, report

MEGABYTE: Final = 1_000_000
WIRE_MOST: Final = 1.25
"""Megabytes of a first pull."""
WRITTEN_LEAST: Final = 4_000
"""Mutations a second of eight writers."""
LIMIT: Final = "the physical limit, no goal"
MISSED: Final = "8 writers, missed"
LOST: Final = "8 writers, acknowledged then lost"
NAMES: Final = {"SQLite": "sqlite", "PostgreSQL": "postgresql"}


@dataclass(frozen=True)
class Goals:
    """What the design asks for on one database: times as fast as the peer, requests a second, milliseconds."""

    first: float
    changes: float
    unchanged: float
    push: float


GOALS: Final = {"SQLite": Goals(12, 12, 2_000, 40), "PostgreSQL": Goals(5, 4, 1_200, 80)}


@dataclass(frozen=True)
class Options:
    """How long to measure."""

    records: int
    rounds: int
    seconds: float


@dataclass(frozen=True)
class Parties:
    """Everybody who is measured."""

    ours: Mapping[str, Ours]
    raw: Mapping[str, RawSqlite | RawPostgresql]
    peer: Peer


async def measured(folder: Path, server: Server, options: Options) -> list[Figure]:
    """Measure every row."""
    with ExitStack() as running:
        async with _parties(folder, server, options, running) as parties:
            figures = [
                *await _first_pull(parties, options.rounds),
                *await _changes(parties, options.rounds),
                *await _pushes(parties, options.rounds),
                *await _unchanged(parties, options),
            ]
    return [*figures, *await _concurrent(folder, server, options)]


async def _first_pull(parties: Parties, rounds: int) -> list[Figure]:
    spans = await _rounds(rounds, {
        **{name: one.first_pull for name, one in parties.ours.items()},
        **{f"raw {name}": one.splice for name, one in parties.raw.items()}, "peer": parties.peer.first_pull,
    })  # fmt: skip
    wire, peer_wire = parties.ours["SQLite"].phone.wire_bytes / MEGABYTE, await parties.peer.client.first_pull()
    return [
        *(_faster(f"first pull, {name}, ms", spans[name], spans["peer"], GOALS[name].first) for name in parties.ours),
        *(
            _beside(f"first pull, {name}, ms, beside splice", spans[name], spans[f"raw {name}"])
            for name in parties.ours
        ),
        Figure(
            "first pull, MB on the wire",
            wire,
            peer_wire / MEGABYTE,
            wire * MEGABYTE / peer_wire,
            f"<= {WIRE_MOST}",
            wire <= WIRE_MOST,
        ),
    ]


async def _changes(parties: Parties, rounds: int) -> list[Figure]:
    spans = await _rounds(rounds, {
        **{name: one.pull_of_changes for name, one in parties.ours.items()}, "peer": parties.peer.pull_of_changes,
    })  # fmt: skip
    return [
        _faster(f"pull of 50 changes, {name}, ms", spans[name], spans["peer"], GOALS[name].changes)
        for name in parties.ours
    ]


async def _pushes(parties: Parties, rounds: int) -> list[Figure]:
    spans = await _rounds(rounds, {
        **{name: one.push for name, one in parties.ours.items()},
        **{f"raw {name}": lambda raw=one: raw.insert(MUTATIONS, RAW_BODY) for name, one in parties.raw.items()},
        "peer": parties.peer.push,
    })  # fmt: skip
    figures = [
        Figure(
            f"push of 200, {name}, ms", spans[name], spans["peer"], spans[name] / spans["peer"],
            f"<= {GOALS[name].push} ms", spans[name] <= GOALS[name].push,
        )
        for name in parties.ours
    ]  # fmt: skip
    raw = [
        _beside(f"push of 200, {name}, ms, beside insert", spans[name], spans[f"raw {name}"]) for name in parties.ours
    ]
    return figures + raw


async def _unchanged(parties: Parties, options: Options) -> list[Figure]:
    figures: list[Figure] = []
    turn = options.seconds / 4
    for name, one in parties.ours.items():
        rates: list[tuple[float, float]] = []
        peers: list[float] = []
        for _ in range(3):
            rates.append(await one.unchanged(turn))
            peers.append(await parties.peer.unchanged(turn))
        rate, peer, goal = median([rate for rate, _ in rates]), median(peers), GOALS[name].unchanged
        alone = median([alone for _, alone in rates])
        said = f">= {goal}/s (its processor time allows {alone:.0f}/s)"
        figures.append(Figure(f"nothing new, {name}, requests/s", rate, peer, rate / peer, said, rate >= goal))
    return figures


async def _concurrent(folder: Path, server: Server, options: Options) -> list[Figure]:
    url = await _database(server, "concurrent")
    house = await _house(url, options.records)
    with ours(url, _below(folder, "concurrent"), processes=2) as servers:
        done = await concurrent_push(house, servers, options.seconds)
    await house.database.close()
    return _concurrent_figures(done)


def _concurrent_figures(done: Concurrent) -> list[Figure]:
    return [
        Figure(
            "8 writers, PostgreSQL, mutations/s",
            done.per_second,
            None,
            None,
            f">= {WRITTEN_LEAST}",
            done.per_second >= WRITTEN_LEAST,
        ),
        Figure(MISSED, done.missed, None, None, "0", done.missed == 0),
        Figure(LOST, done.lost, None, None, "0", done.lost == 0),
    ]


async def _rounds(rounds: int, parties: Mapping[str, Callable[[], Awaitable[float]]]) -> dict[str, float]:
    """Measure each party once a round; the first round warms up and is not counted."""
    spans: dict[str, list[float]] = {name: [] for name in parties}
    for _ in range(rounds + 1):
        for name, measure in parties.items():
            spans[name].append(await measure())
    return {name: median(all_of[1:]) for name, all_of in spans.items()}


def _faster(row: str, mine: float, peer: float, times: float) -> Figure:
    return Figure(
        row, mine, peer, mine / peer, f">= {times:g} times as fast (is {peer / mine:.1f})", peer / mine >= times
    )


def _beside(row: str, mine: float, limit: float) -> Figure:
    return Figure(row, mine, limit, mine / limit, LIMIT, met=True)


@asynccontextmanager
async def _parties(folder: Path, server: Server, options: Options, running: ExitStack) -> AsyncGenerator[Parties]:
    file = folder / "paigong.db"
    urls = {"SQLite": f"sqlite+aiosqlite:///{file}", "PostgreSQL": await _database(server, "paigong_bench")}
    mine: dict[str, Ours] = {}
    for name, url in urls.items():
        house = await _house(url, options.records)
        [process] = running.enter_context(ours(url, _below(folder, NAMES[name])))
        phone = await phone_of(house, house.people[0], process.port)
        await phone.first_pull()
        mine[name] = Ours(house, process, phone)
    house = mine["SQLite"].house
    process = running.enter_context(kinto(await _database(server, "kinto"), folder))
    raw = {"SQLite": RawSqlite(file), "PostgreSQL": RawPostgresql(urls["PostgreSQL"])}
    yield Parties(mine, raw, await _peer(house, process))
    for one in mine.values():
        await one.house.database.close()


async def _peer(house: House, process: Process) -> Peer:
    client = Client(await Wire(process.port).__aenter__())
    await client.furnish(house.records())
    await client.first_pull()
    return Peer(house, process, client)


async def _house(url: str, records: int) -> House:
    await asyncio.to_thread(upgrade, url)
    house = House(Database(url), records)
    await house.furnish()
    return house


async def _database(server: Server, name: str) -> str:
    engine = create_async_engine(server.url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    return server.database(name)


def _below(folder: Path, name: str) -> Path:
    below = folder / name
    below.mkdir()
    return below


def main() -> int:
    """Start everybody, measure, print the table and a last line of names and values; 1 if anything was not there."""
    parser = argparse.ArgumentParser(prog="bench-sync", description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=12.0, help="how long rates are measured")
    given = parser.parse_args()
    options = Options(given.records, given.rounds, given.seconds)
    with tempfile.TemporaryDirectory(prefix="paigong-bench-") as folder, throwaway_postgres(durable=True) as server:
        figures = asyncio.run(measured(Path(folder), server, options))
    report("sync", figures)
    short = [figure.row for figure in figures if not figure.met]
    print(f"bench_sync rows={len(figures)} met={len(figures) - len(short)} short={len(short)}")
    return _exit_code(figures)


def _exit_code(figures: Sequence[Figure]) -> int:
    """Being slow is a figure; a change that did not arrive or that was acknowledged and is gone is a failure."""
    return int(any(figure.row in {MISSED, LOST} and not figure.met for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
