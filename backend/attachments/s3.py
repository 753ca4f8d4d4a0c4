"""Blobs in a bucket of an S3-compatible store, through obstore. Imported only where a bucket is set.

Credentials are AWS's own variables, or what the machine has by its role; nothing of them, nor of what the store says of
them, gets into logs or answers. An object is there whole or not at all and never changes; writing it again is harmless.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from backend.attachments.places import BLOB_STORE_UNREACHABLE, BLOCK_BYTES, Span, key_of
from backend.core.errors import Problem
from backend.settings import Bucket, SettingsError

if TYPE_CHECKING:
    from obstore import BytesStream, GetOptions
    from obstore.store import S3Config

CONNECT_SECONDS: Final = 3
"""How long a store may take to take a connection."""
SILENCE_SECONDS: Final = 30
"""How long a store may say nothing; it must also take PART_BYTES within it."""
READING_SECONDS: Final = 15 * 60
"""How long one answer may be read: a phone with a bad signal reads slowly."""
TRIED_AGAIN: Final = 2
"""How often a request that failed is made again; after a silence it is not."""
TRIED_SECONDS: Final = 10
""" ... and for how long."""
PART_BYTES: Final = 5 * 1024 * 1024
"""Larger files are sent in parts of this size, one after the other: what an upload has in memory."""
SENT_AT_ONCE: Final = 8
"""Files a process sends into the bucket at once; each has up to three times PART_BYTES in memory."""
TURN_SECONDS: Final = 20
"""How long a file waits for its turn; then the store is too slow to be called reachable."""
ASK_AGAIN_SECONDS: Final = 5
"""When to try again while the store cannot be reached."""
PROBE: Final = "paigong-probe"
"""What is written and read at the start, to see whether it can be."""

MISSING: Final = "<Code>NoSuchKey</Code>"
"""What S3 says of a file that is not there."""

_SAID: Final = (re.compile(r"status code: (\d{3})"), re.compile(r"<Code>(\w{1,60})</Code>"), re.compile(r"kind: (\w+)"))
"""What may be told of an error: HTTP's number, S3's code, or how a connection failed."""

log = logging.getLogger(__name__)


class BucketPlace:
    """The objects below one prefix of a bucket; the same for every process that has the setting."""

    def __init__(self, bucket: Bucket) -> None:
        self._turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        config: S3Config = {}
        if bucket.endpoint:
            config["endpoint"] = bucket.endpoint
        if bucket.region:
            config["region"] = bucket.region
        self._store = S3Store(
            bucket.name, prefix=bucket.prefix or None, config=config,
            client_options={
                "allow_http": bucket.endpoint.startswith("http://"), "connect_timeout": f"{CONNECT_SECONDS}s",
                "read_timeout": f"{SILENCE_SECONDS}s", "timeout": f"{READING_SECONDS}s",
            },
            retry_config={"max_retries": TRIED_AGAIN, "retry_timeout": timedelta(seconds=TRIED_SECONDS)},
        )  # fmt: skip

    def size(self, sha256: str) -> int | None:
        """Return how many bytes lie there; None where there are none. Raises blob_store_unreachable."""
        with _reached():
            try:
                return obstore.head(self._store, key_of(sha256))["size"]
            except FileNotFoundError:
                return None

    def keep(self, source: Path, sha256: str) -> None:
        """Send a file, unless it is there; raises blob_store_unreachable."""
        if self.size(sha256) == source.stat().st_size:
            return
        with _reached(writing=True):
            obstore.put(self._store, key_of(sha256), source, chunk_size=PART_BYTES, max_concurrency=1)

    async def keep_meanwhile(self, source: Path, sha256: str) -> None:
        """Do the same while others are served: no thread waits for the store."""
        with _reached():
            try:
                there = (await obstore.head_async(self._store, key_of(sha256)))["size"]
            except FileNotFoundError:
                there = None
        if there == (await asyncio.to_thread(source.stat)).st_size:
            return
        async with self._turn():
            with _reached(writing=True):
                await obstore.put_async(self._store, key_of(sha256), source, chunk_size=PART_BYTES, max_concurrency=1)

    @asynccontextmanager
    async def _turn(self) -> AsyncGenerator[None]:
        """Wait until few others are sending; raises blob_store_unreachable after TURN_SECONDS."""
        turns = self._turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(SENT_AT_ONCE))
        with _reached():
            await asyncio.wait_for(turns.acquire(), TURN_SECONDS)
        try:
            yield
        finally:
            turns.release()

    def blocks(self, sha256: str) -> Iterator[bytes]:
        """Read all of it; raises FileNotFoundError, blob_store_unreachable."""
        with _reached(reading=True):
            for block in obstore.get(self._store, key_of(sha256)).stream(min_chunk_size=BLOCK_BYTES):
                yield bytes(block)

    async def open(self, sha256: str, span: Span | None) -> AsyncIterator[bytes]:
        """Begin to read; raises FileNotFoundError, blob_store_unreachable."""
        with _reached(reading=True):
            options: GetOptions = {"range": (span[0], span[1] + 1)} if span else {}
            found = await obstore.get_async(self._store, key_of(sha256), options=options)
            return _handed_on(found.stream(min_chunk_size=BLOCK_BYTES))

    def check(self) -> None:
        """Write and read a few bytes; raises SettingsError that says what the store objects to."""
        try:
            with _reached(writing=True):
                obstore.put(self._store, PROBE, PROBE.encode())
                obstore.get(self._store, PROBE).bytes()
        except Problem as problem:
            msg = (
                f"PAIGONG_BLOBS 的存储无法读写,请检查地址、存储桶和 AWS_ACCESS_KEY_ID 等凭据 / the store in "
                f"PAIGONG_BLOBS cannot be written and read; check its address, the bucket and the credentials in "
                f"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ({problem.__cause__ and _reason(problem.__cause__)})"
            )
            raise SettingsError(msg) from None


@lru_cache(maxsize=8)
def place_in(bucket: Bucket) -> BucketPlace:
    """Return the place; made once, because it holds the connections."""
    return BucketPlace(bucket)


async def _handed_on(blocks: "BytesStream") -> AsyncGenerator[bytes]:
    """Hand on what comes. A store that fails now cuts the answer short, and its reader sees that by the length."""
    with _reached():
        async for block in blocks:
            yield bytes(block)


@contextmanager
def _reached(*, writing: bool = False, reading: bool = False) -> Generator[None]:
    """Raise blob_store_unreachable for every way in which a store fails.

    obstore calls every 404 a missing file: a missing bucket, or a proxy's page. A file that is read is missing only if
    the store itself says so; an answer to HEAD has no body that could say it.
    """
    try:
        yield
    except FileNotFoundError as error:
        if writing or "NoSuchBucket" in str(error) or (reading and MISSING not in str(error)):
            raise _unreachable(error) from error
        raise
    except (BaseError, OSError, TimeoutError) as error:
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> Problem:
    log.error("the file store cannot be reached: %s", _reason(error))
    return Problem(BLOB_STORE_UNREACHABLE, retry_after_seconds=ASK_AGAIN_SECONDS)


def _reason(error: BaseException) -> str:
    """Say of an error what cannot hold a secret: the store's own words repeat keys and signatures."""
    said = (pattern.search(str(error)) for pattern in _SAID)
    return " ".join(found[1] for found in said if found) or type(error).__name__
