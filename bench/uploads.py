"""Uploads in pieces (tus) to real server processes: killed in the middle, changed between pieces, many at once.

    .venv/bin/python -m bench.uploads [--kills 8] [--uploads 20] [--megabytes 20] [--seed 1] [--s3]

Two servers on one PostgreSQL and one folder. One file is sent to both in turn, a piece each; in the middle of pieces
the server that takes it is killed with SIGKILL and started again; what was sent again includes what waited in
sockets. Then so many files at once go to one server, whose
resident memory is read many times a second. With --s3 whole files go into a bucket of a real S3-compatible server.
Ends with one line of `name=value` figures; exit code 1 if a byte or a promise was lost.
"""

import argparse
import asyncio
import base64
import hashlib
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy import insert, select

from backend.attachments.models import Upload
from backend.attachments.store import blob_store
from backend.core.auth import hash_password
from backend.core.clock import SystemClock
from backend.core.ids import new_id
from backend.core.migrate import upgrade
from backend.core.sessions import Database
from backend.imports.presets import load_presets
from backend.settings import Settings
from backend.tables import metadata
from bench.postgres import free_port, throwaway_postgres
from bench.sync.memory import MIB, Watch
from bench.sync.servers import ADDRESS, Process, process
from bench.table import Figure, report
from tests.s3_server import ENVIRONMENT, running

PASSWORD: Final = "bench-password-1"  # noqa: S105 - of people who live for a minute
SERVERS: Final = 2
TUS: Final = {"Tus-Resumable": "1.0.0"}
PIECE: Final = TUS | {"Content-Type": "application/offset+octet-stream"}
SENT_AT_ONCE: Final = 64 * 1024
PAUSE_SECONDS: Final = 0.01
""" ... and how long it is until the next: what waits in sockets while the server is behind says nothing about it."""
PIECE_BYTES: Final = 3 * 1024 * 1024
"""What goes to one server before the other gets the next."""
KILLED_SHARE: Final = 0.5
"""Of the pieces, while there are kills left."""
WAIT_SECONDS: Final = 60
SHARE_IN_MEMORY: Final = 0.5
"""Of its bytes an upload may cost the server less than this; the disk costs next to nothing."""


def picture(seed: int, size: int) -> bytes:
    """Return bytes that begin as a JPEG does and cannot be packed."""
    return (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + random.Random(seed).randbytes(size))[:size]


def announced(content: bytes) -> dict[str, str]:
    """Return the headers that open an upload."""
    digest = hashlib.sha256(content).hexdigest().encode()
    return TUS | {"Upload-Length": str(len(content)), "Upload-Metadata": f"sha256 {base64.b64encode(digest).decode()}"}


@dataclass
class Installation:
    """The servers, and what they stand on."""

    settings: Settings
    folder: Path
    environment: dict[str, str]
    ports: list[int] = field(default_factory=lambda: [free_port() for _ in range(SERVERS)])
    stacks: list[ExitStack] = field(default_factory=lambda: [ExitStack() for _ in range(SERVERS)])
    processes: dict[int, Process] = field(default_factory=dict[int, Process])

    def start(self, number: int) -> None:
        """Start a server where it was before."""
        command = [sys.executable, "-u", "-m", "backend.cli", "serve", "--port", str(self.ports[number])]
        said = self.folder / f"server-{number}.log"
        self.processes[number] = self.stacks[number].enter_context(process(command, said, self.environment, ADDRESS))

    def kill(self, number: int) -> None:
        """End a server as a power cut would."""
        self.processes[number].kill()
        self.stacks[number].close()

    def close(self) -> None:
        """End all."""
        for stack in self.stacks:
            stack.close()

    def base(self, number: int) -> str:
        """Where a server listens."""
        return f"http://127.0.0.1:{self.processes[number].port}"


async def furnish(settings: Settings, count: int) -> list[str]:
    """Hire so many technicians; return their employee numbers."""
    database, now = Database(settings.database_url), SystemClock().now()
    table = metadata.tables
    unit, people = new_id(), [new_id() for _ in range(count)]
    async with database.write() as session:
        await load_presets(session, now=now)
        await session.execute(insert(table["unit"]), [{
            "id": unit, "kind": "company", "name_zh": "公司", "name_en": "Company", "time_zone": "Asia/Shanghai",
        }])  # fmt: skip
        role = (await session.execute(select(table["role"].c.id).where(table["role"].c.key == "technician"))).scalar()
        password_hash = hash_password(PASSWORD)
        await session.execute(insert(table["person"]), [
            {
                "id": person, "unit_id": unit, "employee_number": f"U{at}", "name": f"李伟 {at}", "language": "zh",
                "external": False, "active": True, "password_hash": password_hash,
            }
            for at, person in enumerate(people)
        ])  # fmt: skip
        await session.execute(insert(table["role_grant"]), [
            {"id": new_id(), "person_id": person, "role_id": role, "unit_id": unit, "valid_from": now}
            for person in people
        ])  # fmt: skip
    await database.close()
    return [f"U{at}" for at in range(count)]


async def signed_in(base: str, login: str) -> httpx.AsyncClient:
    """Return the client of a person."""
    async with httpx.AsyncClient(timeout=WAIT_SECONDS) as client:
        answer = await client.post(f"{base}/auth/sign-in", json={"login": login, "password": PASSWORD})
    token = answer.raise_for_status().json()["access_token"]
    return httpx.AsyncClient(timeout=WAIT_SECONDS, headers={"Authorization": f"Bearer {token}"})


async def stood_at(client: httpx.AsyncClient, url: str) -> int:
    """Return how far an upload has come."""
    return int((await client.head(url, headers=TUS)).raise_for_status().headers["Upload-Offset"])


@dataclass
class Torture:
    """One upload whose servers change with every piece and are killed in the middle of some."""

    installation: Installation
    database: Database
    content: bytes
    kills_left: int
    dice: random.Random
    kills: int = 0
    went_back: int = 0
    again: list[int] = field(default_factory=list[int])

    async def run(self, client: httpx.AsyncClient) -> None:
        """Send it all."""
        opened = await client.post(f"{self.installation.base(0)}/uploads", headers=announced(self.content))
        path = opened.raise_for_status().headers["Location"]
        offset, turn = 0, 0
        while offset < len(self.content):
            number = turn % SERVERS
            turn += 1
            if self.kills_left and self.dice.random() < KILLED_SHARE:
                offset = await self._killed(client, path, number, offset)
                continue
            piece = self.content[offset : offset + PIECE_BYTES]
            answer = await client.patch(
                self.installation.base(number) + path, content=piece, headers=PIECE | {"Upload-Offset": str(offset)}
            )
            offset = int(answer.raise_for_status().headers["Upload-Offset"])

    async def _killed(self, client: httpx.AsyncClient, path: str, number: int, offset: int) -> int:
        """Kill the server in the middle of a piece; return where the upload stands when another is asked."""
        self.kills_left -= 1
        self.kills += 1
        cut = self.dice.randrange(SENT_AT_ONCE, PIECE_BYTES)
        piece = self.content[offset : offset + PIECE_BYTES]
        counted = sent = 0

        async def sending() -> AsyncGenerator[bytes]:
            nonlocal counted, sent
            for at in range(0, len(piece), SENT_AT_ONCE):
                if at >= cut:
                    counted = await self._counted(path)
                    self.installation.kill(number)
                sent = min(at + SENT_AT_ONCE, len(piece))
                yield piece[at:sent]
                await asyncio.sleep(PAUSE_SECONDS)

        headers = PIECE | {"Upload-Offset": str(offset), "Content-Length": str(len(piece))}
        with suppress(httpx.TransportError):
            await client.patch(self.installation.base(number) + path, content=sending(), headers=headers)
        other = (number + 1) % SERVERS
        stands = await stood_at(client, self.installation.base(other) + path)
        await asyncio.to_thread(self.installation.start, number)
        self.went_back += stands < counted or stands != await stood_at(client, self.installation.base(number) + path)
        self.again.append(offset + sent - stands)
        return stands

    async def _counted(self, path: str) -> int:
        """What a server has promised: the offset whose bytes it had flushed."""
        async with self.database.read() as session:
            received = select(Upload.received).where(Upload.id == path.rpartition("/")[2])
            return (await session.execute(received)).scalar_one()


async def many_at_once(installation: Installation, logins: Sequence[str], size: int) -> tuple[Watch, float, float]:
    """Send a file each to the first server, all at once; return what its memory did, before it, and the seconds."""
    base, watch = installation.base(0), Watch(installation.processes[0])
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(await signed_in(base, login)) for login in logins]
        await _send(clients[0], base, picture(999, 1_000_000))
        before, watching = watch.now(), asyncio.create_task(watch.run())
        began = time.perf_counter()
        await asyncio.gather(
            *(_send(client, base, picture(at, size)) for at, client in enumerate(clients, start=1000))
        )  # fmt: skip
        seconds = time.perf_counter() - began
        watching.cancel()
    return watch, before, seconds


async def _send(client: httpx.AsyncClient, base: str, content: bytes) -> None:
    opened = (await client.post(f"{base}/uploads", headers=announced(content))).raise_for_status()
    url = base + opened.headers["Location"]
    answer = await client.patch(url, content=content, headers=PIECE | {"Upload-Offset": "0"})
    if int(answer.raise_for_status().headers["Upload-Offset"]) != len(content):
        raise RuntimeError("an upload did not end")


async def measured(installation: Installation, given: argparse.Namespace) -> bool:
    """Run both; return whether everything was as promised."""
    size = given.megabytes * 1_000_000
    logins = await furnish(installation.settings, given.uploads)
    for number in range(SERVERS):
        await asyncio.to_thread(installation.start, number)
    database = Database(installation.settings.database_url)
    content = picture(given.seed, size)
    torture = Torture(installation, database, content, given.kills, random.Random(given.seed))
    async with await signed_in(installation.base(0), logins[0]) as client:
        await torture.run(client)
    await database.close()
    stored = blob_store(installation.settings)
    same = await asyncio.to_thread(stored.read, hashlib.sha256(content).hexdigest()) == content
    watch, before, seconds = await many_at_once(installation, logins, size)
    arrived = [
        await asyncio.to_thread(stored.has, hashlib.sha256(picture(at, size)).hexdigest())
        for at in range(1000, 1000 + given.uploads)
    ]
    again, each = max(torture.again, default=0), (max(watch.samples) - before) / given.uploads
    figures = [
        Figure("offsets that went back", torture.went_back, None, None, "none", torture.went_back == 0),
        Figure(
            f"RSS for each of {given.uploads} uploads at once / its bytes",
            each * MIB / size,
            None,
            None,
            f"less than {SHARE_IN_MEMORY}",
            each * MIB / size < SHARE_IN_MEMORY,
        ),
    ]
    report("uploads", figures)
    print(
        f"kills={torture.kills} sent_again_most={again} went_back={torture.went_back} same={same} "
        f"arrived={sum(arrived)}/{given.uploads} before_mib={before:.1f} peak_mib={max(watch.samples):.1f} "
        f"after_mib={watch.now():.1f} seconds={seconds:.1f} mb_a_second={given.uploads * size / seconds / 1e6:.0f} "
        f"s3={given.s3}"
    )
    return same and all(arrived) and all(figure.met for figure in figures)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=8)
    parser.add_argument("--uploads", type=int, default=20)
    parser.add_argument("--megabytes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--s3", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paigong-uploads-") as name, ExitStack() as stack:
        folder, blobs = Path(name), ""
        if given.s3:
            os.environ.update(ENVIRONMENT)
            blobs = stack.enter_context(running(folder / "s3")).address("bench")
        url = stack.enter_context(throwaway_postgres()).url
        upgrade(url)
        environment = {
            "PATH": os.defpath, "LANG": "C.UTF-8", "PAIGONG_DATABASE": url, "PAIGONG_DATA_DIR": name,
            "PAIGONG_TASK_POLL_SECONDS": "0", "PAIGONG_BLOBS": blobs, **ENVIRONMENT,
        }  # fmt: skip
        installation = Installation(Settings(data_dir=folder, database=url, blobs=blobs), folder, environment)
        stack.callback(installation.close)
        good = asyncio.run(measured(installation, given))
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
