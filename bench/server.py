"""A demo server of one's own, for examples in the docs and for checks against the running API."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bench.postgres import free_port

KEPT: Final = (sys.executable, str(Path(__file__).with_name("kept.py")))
"""Before a command: it ends when this process does, also if that is killed."""
START_SECONDS: Final = 60
"""How long the demo city may take to be built and served; a few seconds are usual."""


class ServerDidNotStart(RuntimeError):
    """The demo server ended, or kept silent, before it said where it listens; the message holds what it did say."""


class ServerEnded(RuntimeError):
    """The demo server ended before it was told to; the message holds what it said."""


def newcomers_environment(home: Path) -> dict[str, str]:
    """A newcomer's shell: our Python first, an empty home, none of this machine's settings."""
    return {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "HOME": str(home), "LANG": "C.UTF-8"}


@contextmanager
def demo_server(folder: Path) -> Generator[str]:
    """Run a demo server with its data below `folder`; yields the address it says.

    Raises ServerDidNotStart, and ServerEnded when it did not live to the end of the block.
    """
    command = [*KEPT, sys.executable, "-u", "-m", "backend.cli", "demo", "--port", str(free_port())]
    said = folder / "server.log"
    with (
        said.open("wb") as log,
        subprocess.Popen(
            command,
            cwd=folder,
            env=newcomers_environment(folder),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as server,
    ):
        try:
            yield _address_said(said, server)
            if server.poll() is not None:
                raise ServerEnded(f"exit code {server.returncode}\n{said.read_text('utf-8', 'replace')}")
        finally:
            _let_go(server)


def _let_go(server: subprocess.Popen[bytes]) -> None:
    assert server.stdin is not None, "it is kept by a pipe"  # noqa: S101
    server.stdin.close()


def _address_said(log: Path, server: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text("utf-8", "replace"))
        if found:
            return found[0]
        time.sleep(0.1)
    raise ServerDidNotStart(log.read_text("utf-8", "replace"))
