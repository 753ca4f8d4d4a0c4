"""The real server for the run, on a clock stepped through a file: one process on SQLite, several on PostgreSQL."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx

START_SECONDS: Final = 60
STOP_SECONDS: Final = 15
LOOPBACK: Final = "127.0.0.1"
PAIGONG: Final = (sys.executable, "-m", "backend.cli")


class ServerError(RuntimeError):
    """A server or a command of the run failed; the message carries its last output."""


class SteppedClock:
    """The simulated present, in a file the servers read; each step replaces the file whole."""

    def __init__(self, path: Path, start: datetime) -> None:
        self.path = path
        self.now = start
        self.set(start)

    def set(self, now: datetime) -> None:
        """Move the present."""
        self.now = now
        fresh = self.path.with_suffix(".new")
        fresh.write_text(now.isoformat(), "utf-8")
        fresh.replace(self.path)


def environment(data_dir: Path, clock: SteppedClock, database_url: str) -> dict[str, str]:
    """Return the environment of the run's processes."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("PAIGONG_")},
        "PAIGONG_MODE": "acceptance",
        "PAIGONG_DATA_DIR": str(data_dir),
        "PAIGONG_DATABASE": database_url,
        "PAIGONG_CLOCK_FILE": str(clock.path),
        "PAIGONG_TASK_POLL_SECONDS": "0.1",
    }


def run_command(env: dict[str, str], *words: str, say: str = "") -> str:
    """Run `paigong WORDS` to its end and return its output; raises ServerError."""
    done = subprocess.run([*PAIGONG, *words], env=env, input=say, capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"paigong {' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        raise ServerError(msg)
    return done.stdout


@contextmanager
def servers(env: dict[str, str], count: int, log_dir: Path) -> Generator[list[str]]:
    """Start `count` API processes on one database; yield their base URLs, and stop them cleanly afterwards."""
    with ExitStack() as stack:
        yield [stack.enter_context(_server(env, log_dir / f"server-{number}.log")) for number in range(count)]


@contextmanager
def _server(env: dict[str, str], log: Path) -> Generator[str]:
    port = _free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*PAIGONG, "serve", "--port", str(port)], env=env, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        base = f"http://{LOOPBACK}:{port}"
        _wait_until_ready(process, base, log)
        yield base
    finally:
        _stop(process, log)


def _wait_until_ready(process: "subprocess.Popen[bytes]", base: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{base}/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    msg = f"the server did not start:\n{log.read_text('utf-8', errors='replace')[-2000:]}"
    raise ServerError(msg)


def _stop(process: "subprocess.Popen[bytes]", log: Path) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    if status:
        msg = f"the server stopped with status {status}:\n{log.read_text('utf-8', errors='replace')[-2000:]}"
        raise ServerError(msg)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]
