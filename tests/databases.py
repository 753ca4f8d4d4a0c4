"""The databases of one test run: a real PostgreSQL and SQLite files, migrated once and copied for each test.

All worker processes of a run share one PostgreSQL server. It is started when the first test asks for it and ends with
the run, also when the run is killed. Migrating costs a second, copying a migrated database some 30 milliseconds, so
every test can have a database of its own and commit as the product does.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import asyncpg
import msgspec
from sqlalchemy.engine import make_url

from backend.core.migrate import upgrade
from bench.postgres import STOP_SECONDS, Server, start_keeper, wait_for_server

MIGRATED = "migrated"
Furnish = Callable[[str], None]
"""Puts rows into the migrated database at a URL; its name names the template."""
_T = TypeVar("_T")


class _Shared(msgspec.Struct, frozen=True, kw_only=True):
    """What the process that started the server leaves for the others."""

    server: Server
    keeper_pid: int
    folder: str


class _Errands:
    """A connection to the server that stays, used in a thread of its own, where no event loop runs.

    A new one for each database that is made or dropped takes as long as dropping it.
    """

    def __init__(self, url: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._loop = asyncio.new_event_loop()
        self._connection = self._wait_for(asyncpg.connect(url.replace("+asyncpg", "")))

    def run(self, *statements: str) -> None:
        for statement in statements:
            self._wait_for(self._connection.execute(statement))

    def close(self) -> None:
        self._wait_for(self._connection.close())
        self._loop.close()
        self._thread.shutdown()

    def _wait_for(self, work: Awaitable[_T]) -> _T:
        return self._thread.submit(self._loop.run_until_complete, work).result()


class Databases:
    """Hands out databases. `folder` is the run's own; `owner_pid` the process whose end is the end of the run."""

    def __init__(self, folder: Path, owner_pid: int) -> None:
        self._folder = folder
        self._owner_pid = owner_pid
        self._number = 0
        self._keeper: object = None
        self._errands: _Errands | None = None

    def sqlite(self, path: Path, *, migrated: bool = True, furnish: Furnish | None = None) -> str:
        """The URL of a new SQLite database in the file `path`; `furnish` fills the template it is copied from."""
        if migrated:
            shutil.copyfile(self._sqlite_template(furnish), path)
        return _sqlite_url(path)

    def postgresql(self, *, migrated: bool = True, furnish: Furnish | None = None, name: str = "") -> str:
        """The URL of a new PostgreSQL database; give it back with `drop`."""
        server = self._server()
        self._number += 1
        name = name or f"test_{os.getpid()}_{self._number}"
        if migrated:
            template = self._postgresql_template(server, furnish)
            self._run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        else:
            self._run(f"CREATE DATABASE {name}")
        return server.database(name)

    def drop(self, url: str) -> None:
        """Remove a PostgreSQL database, whoever is still connected to it."""
        self._run(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def leave(self) -> None:
        """Let go of the server; every process of the run calls this at its end."""
        if self._errands:
            self._errands.close()

    def close(self) -> None:
        """End the run: stop the server if one was started, and remove the folder. Only the owner calls this."""
        note = self._folder / "postgresql.json"
        if note.exists():
            shared = msgspec.json.decode(note.read_bytes(), type=_Shared)
            _end_keeper(shared)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, *statements: str) -> None:
        self._errands = self._errands or _Errands(self._server().url)
        self._errands.run(*statements)

    def _server(self) -> Server:
        note = self._folder / "postgresql.json"
        with self._one_at_a_time("postgresql"):
            if not note.exists():
                folder = Path(tempfile.mkdtemp(prefix="paigong-pg-"))
                keeper = start_keeper(folder, works_for=self._owner_pid)
                self._keeper = keeper
                server = wait_for_server(folder, keeper)
                note.write_bytes(msgspec.json.encode(_Shared(server=server, keeper_pid=keeper.pid, folder=str(folder))))
        return msgspec.json.decode(note.read_bytes(), type=_Shared).server

    def _sqlite_template(self, furnish: Furnish | None) -> Path:
        below = self._sqlite_template(None) if furnish else None
        template = self._folder / f"{_template_name(furnish)}.db"
        with self._one_at_a_time("sqlite"):
            if not template.exists():
                half = template.with_suffix(".new")
                if below:
                    shutil.copyfile(below, half)
                _apart(furnish or upgrade, _sqlite_url(half))
                half.rename(template)
        return template

    def _postgresql_template(self, server: Server, furnish: Furnish | None) -> str:
        below = self._postgresql_template(server, None) if furnish else "template1"
        name = _template_name(furnish)
        done = self._folder / f"postgresql.{name}"
        with self._one_at_a_time("template"):
            if not done.exists():
                self._run(f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name} TEMPLATE {below}")
                _apart(furnish or upgrade, server.database(name))
                done.touch()
        return name

    @contextmanager
    def _one_at_a_time(self, what: str) -> Generator[None]:
        with (self._folder / f"{what}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _template_name(furnish: Furnish | None) -> str:
    return furnish.__name__ if furnish else MIGRATED


def _sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def _apart(work: Callable[..., _T], *arguments: object) -> _T:
    """Run in a thread of its own, where no event loop runs yet."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(work, *arguments).result()


def _end_keeper(shared: _Shared) -> None:
    with suppress(ProcessLookupError):
        os.kill(shared.keeper_pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while Path(shared.folder).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
