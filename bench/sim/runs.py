"""Many histories in several processes, each over a store of its own."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from backend.core.migrate import upgrade
from bench.sim.history import Ending, drawn, play
from bench.sim.place import MemoryPlace, Place, SqlitePlace
from bench.sim.shrink import as_python, shrunk
from bench.sim.steps import Step

IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - where there is one, the databases of a run need no disk
SEEDS_A_PART: Final = 20
"""Histories a process walks before it hands in what it saw."""


@dataclass(frozen=True)
class Run:
    """One history to be walked."""

    seed: int
    steps: int
    store: str


@dataclass(frozen=True)
class Walked:
    """How a history went, in words that travel between processes."""

    run: Run
    mutations: int
    lost: int
    duplicated: int
    broken: str = ""
    broken_at: int | None = None
    replay: str = ""


@dataclass
class Figures:
    """What all histories come to."""

    violations: int = 0
    mutations: int = 0
    lost: int = 0
    duplicated: int = 0
    seen: list[Walked] = field(default_factory=list[Walked])

    def add(self, walked: Walked) -> None:
        """Count one more."""
        self.violations += bool(walked.broken)
        self.mutations += walked.mutations
        self.lost += walked.lost
        self.duplicated += walked.duplicated


def walk_all(runs: Sequence[Run], *, processes: int) -> Iterator[Walked]:
    """Walk histories on several processes; yields each when its part is done."""
    parts = [runs[at : at + SEEDS_A_PART] for at in range(0, len(runs), SEEDS_A_PART)]
    with migrated_file(needed=any(run.store == "sqlite" for run in runs)) as template:
        if processes == 1:
            for part in parts:
                yield from walk_part(part, template)
            return
        with ProcessPoolExecutor(processes) as pool:
            done = [pool.submit(partial(walk_part, part, template)) for part in parts]
            for future in as_completed(done):
                yield from future.result()


def walk_part(runs: Sequence[Run], template: Path) -> list[Walked]:
    """Walk some histories in this process."""
    return asyncio.run(_walk_part(runs, template))


async def _walk_part(runs: Sequence[Run], template: Path) -> list[Walked]:
    walked: list[Walked] = []
    for store in sorted({run.store for run in runs}):
        async with opened(store, template) as place:
            walked += [await walk(run, place) for run in runs if run.store == store]
    return walked


async def walk(run: Run, place: Place) -> Walked:
    """Walk one history; when it breaks a promise, cut it down."""
    steps = drawn(run.seed, run.steps)
    ending = await play(steps, place)
    told = Walked(run, ending.mutations, ending.lost, ending.duplicated)
    if ending.broken is None:
        return told
    replay = as_python(await shrunk(steps, partial(_fails, place, ending)))
    return Walked(
        run, ending.mutations, ending.lost, ending.duplicated, str(ending.broken), ending.broken_at, replay
    )  # fmt: skip


async def _fails(place: Place, as_before: Ending, steps: Sequence[Step]) -> bool:
    ending = await play(steps, place, check_every=1)
    if ending.broken is None or as_before.broken is None:
        return False
    return ending.broken.invariant == as_before.broken.invariant


@contextmanager
def migrated_file(*, needed: bool = True) -> Generator[Path]:
    """Give the path of a SQLite file, migrated if that is needed, for the length of the block."""
    parent = IN_MEMORY if IN_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="paigong-sim-", dir=parent) as folder:
        template = Path(folder) / "migrated.db"
        if needed:
            upgrade(f"sqlite+aiosqlite:///{template}")
        yield template


@asynccontextmanager
async def opened(store: str, template: Path) -> AsyncGenerator[Place]:
    """Open a place of a kind."""
    if store == "memory":
        yield MemoryPlace()
        return
    with tempfile.TemporaryDirectory(prefix="paigong-sim-", dir=template.parent) as folder:
        file = Path(folder) / "sim.db"
        shutil.copyfile(template, file)
        place = SqlitePlace(file)
        try:
            yield place
        finally:
            await place.close()
