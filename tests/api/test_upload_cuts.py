"""Uploads by a client library that knows nothing of us, over connections that are cut: little is sent twice."""

import asyncio
import hashlib
import random
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from io import BytesIO

import pytest
import uvicorn
from litestar import Litestar
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from backend.attachments.store import BlobStore
from tests.cutting import CuttingProxy, sent_again
from tests.make import Desk, Office
from tests.personas import HE_LI

LOST_AT_MOST = 64 * 1024
ATTEMPTS = 400


def photo(seed: int, size: int) -> bytes:
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + random.Random(seed).randbytes(size)  # noqa: S311 - repeatable


@asynccontextmanager
async def listening(app: Litestar) -> AsyncGenerator[tuple[int, uvicorn.Server]]:
    """Serve an application as `paigong serve` does; yields the port and the server. Its lifespan is the office's."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", access_log=False, ws="none"))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield listener.getsockname()[1], server
    finally:
        server.should_exit = True
        await serving
        listener.close()


def upload(address: str, desk: Desk, content: bytes, chunk: int | None) -> None:
    """Send the content with tuspy, going on after every cut, and creating anew only where no address came back."""
    client = TusClient(f"{address}/uploads", {"Authorization": f"Bearer {desk.tokens['access_token']}"})
    metadata = {"sha256": hashlib.sha256(content).hexdigest(), "filetype": "image/jpeg"}
    for _ in range(ATTEMPTS):
        try:
            client.uploader(
                file_stream=BytesIO(content), chunk_size=chunk or len(content), metadata=metadata,
                upload_checksum=chunk is not None,
                retries=ATTEMPTS, retry_delay=0,
            ).upload()  # fmt: skip
        except TusCommunicationError:
            continue
        return
    raise AssertionError("the upload never ended")


@pytest.mark.parametrize(
    ("seed", "size", "chunk", "allowed"),
    [(1, 4_000_000, None, LOST_AT_MOST), (2, 1_500_000, 200_000, 200_000)],
)
async def test_what_came_before_a_cut_is_not_sent_again(
    sqlite_office: Office, seed: int, size: int, chunk: int | None, allowed: int
) -> None:
    """A file sent as one piece without a checksum, and one in chunks that each have theirs."""
    content, desk = photo(seed, size), await sqlite_office.sign_in(HE_LI)
    draw = random.Random(seed)  # noqa: S311 - cuts that repeat
    async with listening(sqlite_office.app) as (port, server):
        proxy = CuttingProxy(
            port, budget=lambda: draw.randrange(200, 500_000), harshly=lambda: draw.random() < 0.5,
            idle=lambda: not server.server_state.tasks,
        )  # fmt: skip
        address = await proxy.start()
        await asyncio.to_thread(upload, address, desk, content, chunk)
        await proxy.stop()
    assert BlobStore(sqlite_office.settings.blob_dir).read(hashlib.sha256(content).hexdigest()) == content
    again = sent_again(proxy.crossings)
    print(f"{len(again)} cuts; sent again: {max(again)} bytes at most, {sum(again)} in all")  # noqa: T201 - the figure
    assert len(again) >= 4, "a connection that is never cut proves nothing"
    assert 0 <= min(again) <= max(again) <= allowed
