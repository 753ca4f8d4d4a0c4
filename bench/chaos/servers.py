"""The API processes, and whoever kills them: one after another, in the middle of whatever they do."""

import asyncio
import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx

from bench.acceptance.server import LOOPBACK, PAIGONG
from bench.postgres import free_port

SERVERS: Final = 2
KILL_SECONDS: Final = (0.5, 3.0)
"""How long the servers are left alone after one that was killed has come back."""
READY_SECONDS: Final = 90
STOP_SECONDS: Final = 15
LOOK_SECONDS: Final = 0.1
SAID_CHARACTERS: Final = 2000


@dataclass
class Servers:
    """The processes by number. `died` counts those that ended by themselves; they are started again all the same."""

    env: dict[str, str]
    folder: Path
    dice: random.Random
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(SERVERS)])
    running: "list[subprocess.Popen[bytes]]" = field(default_factory=list["subprocess.Popen[bytes]"])
    kills: int = 0
    died: int = 0

    @property
    def bases(self) -> list[str]:
        """Where they listen."""
        return [f"http://{LOOPBACK}:{port}" for port in self.ports]

    async def begin(self) -> None:
        """Start all."""
        self.running = [self._start(number) for number in range(SERVERS)]
        await self.all_ready()

    async def all_ready(self) -> None:
        """Wait until all answer; raises RuntimeError with what one says that does not."""
        for number in range(SERVERS):
            await self._ready(number)

    async def be_killed(self) -> None:
        """Kill one after another with SIGKILL, until cancelled."""
        while True:
            await asyncio.sleep(self.dice.uniform(*KILL_SECONDS))
            await self.all_ready()
            number = self.dice.randrange(SERVERS)
            self.running[number].kill()
            self.running[number].wait()
            self.kills += 1
            self.running[number] = self._start(number)
            await self._ready(number)

    def end(self) -> None:
        """Stop all."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:  # it still waits for somebody
                process.kill()
                process.wait()

    def said(self, number: int) -> str:
        """Return the last words of one."""
        return self._log(number).read_text("utf-8", "replace")[-SAID_CHARACTERS:]

    def _log(self, number: int) -> Path:
        return self.folder / f"server-{number}.log"

    def _start(self, number: int) -> "subprocess.Popen[bytes]":
        command = [*PAIGONG, "serve", "--port", str(self.ports[number])]
        with self._log(number).open("ab") as log:
            return subprocess.Popen(command, env=self.env, stdout=log, stderr=subprocess.STDOUT)

    async def _ready(self, number: int) -> None:
        deadline = time.monotonic() + READY_SECONDS
        async with httpx.AsyncClient() as http:
            while time.monotonic() < deadline:
                if self.running[number].poll() is not None:  # whoever runs a server starts it again
                    self.died += 1
                    self.running[number] = self._start(number)
                with suppress(httpx.TransportError):
                    if (await http.get(f"{self.bases[number]}/readyz")).is_success:
                        return
                await asyncio.sleep(LOOK_SECONDS)
        raise RuntimeError(f"server {number} does not answer:\n{self.said(number)}")


def crash_database(pid: int) -> None:
    """Shut PostgreSQL down in its mode "immediate": its processes end where they stand, and it recovers from its log.

    It is not a loss of power: what was written and not yet flushed to the disk is still in the system's memory.
    """
    os.kill(pid, signal.SIGQUIT)
