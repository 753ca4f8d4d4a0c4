"""Server processes of ours, as an installation runs them; nothing of the benchmark is inside."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from bench.postgres import free_port

START_SECONDS: Final = 60
ADDRESS: Final = r"http://127\.0\.0\.1:(\d+)"
CLOCK_TICKS: Final = os.sysconf("SC_CLK_TCK")


class ServerDidNotStart(RuntimeError):
    """A server ended, or kept silent; the message holds what it said."""


class Process:
    """A running server."""

    def __init__(self, running: subprocess.Popen[bytes], port: int) -> None:
        self.running = running
        self.port = port

    def cpu_seconds(self) -> float:
        """Return the processor time it has used; what other processes do does not move it."""
        fields = Path(f"/proc/{self.running.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def kill(self) -> None:
        """End it as a power cut would."""
        self.running.kill()
        self.running.wait()


@contextmanager
def ours(database: str, folder: Path, processes: int = 1) -> Generator[list[Process]]:
    """Run `processes` servers on one database; each says itself where it listens."""
    with ExitStack() as stack:
        starting = [stack.enter_context(_server(database, folder, at)) for at in range(processes)]
        yield [Process(running, _port_said(said, running, ADDRESS)) for running, said in starting]


@contextmanager
def _server(database: str, folder: Path, at: int) -> Generator[tuple[subprocess.Popen[bytes], Path]]:
    # background work is another process's here: idle servers must not disturb the one that is measured
    environment = {
        "PATH": os.defpath, "LANG": "C.UTF-8", "PAIGONG_DATABASE": database, "PAIGONG_DATA_DIR": str(folder),
        "PAIGONG_TASK_POLL_SECONDS": "0", "PAIGONG_ACCESS_MINUTES": "600",
    }  # fmt: skip
    command = [sys.executable, "-u", "-m", "backend.cli", "serve", "--port", str(free_port())]
    said = folder / f"server-{at}.log"
    with _started(command, said, environment) as running:
        yield running, said


@contextmanager
def process(command: list[str], said: Path, environment: dict[str, str], address: str) -> Generator[Process]:
    """Run a server until the block ends; `address` finds its port in what it says."""
    with _started(command, said, environment) as running:
        yield Process(running, _port_said(said, running, address))


@contextmanager
def _started(command: list[str], said: Path, environment: dict[str, str]) -> Generator[subprocess.Popen[bytes]]:
    with said.open("wb") as log:
        running = subprocess.Popen(
            command, cwd=Path(__file__).parents[2], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield running
    finally:
        running.terminate()
        running.wait()


def _port_said(said: Path, running: subprocess.Popen[bytes], address: str) -> int:
    deadline = time.monotonic() + START_SECONDS
    while running.poll() is None and time.monotonic() < deadline:
        found = re.search(address, said.read_text("utf-8", "replace"))
        if found:
            return int(found[1])
        time.sleep(0.05)
    raise ServerDidNotStart(said.read_text("utf-8", "replace"))
