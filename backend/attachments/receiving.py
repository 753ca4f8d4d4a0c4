"""Taking the bytes of one request into an upload: onto the disk as they come, counted when they are safe there.

A connection that is cut ends the request like any other: what has come counts. At most what the HTTP server still held
in its buffer is lost (64 KiB). A connection that merely falls silent is one the phone may have left already, so
its bytes are counted while it is silent: the phone comes back on another connection and asks.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import datetime
from typing import Final
from uuid import UUID

from litestar.exceptions import HTTPException, InternalServerException
from sqlalchemy import select

from backend.attachments.models import Upload
from backend.attachments.places import BLOB_STORE_UNREACHABLE
from backend.attachments.schemas import Stored
from backend.attachments.store import BlobStore, Part
from backend.attachments.tus import UPLOAD_TOO_LONG, Checksum
from backend.attachments.uploads import Turn, count_bytes, end_upload, finish_upload, give_turn_back
from backend.core.errors import Problem
from backend.core.sessions import Database

COUNTED_BYTES: Final = 1024 * 1024
"""How much may come before it is flushed and counted: what a server that is killed makes the phone send again."""
SILENCE_SECONDS: Final = 1.0
"""After so long without a byte, what has come is counted."""
CUT_SECONDS: Final = 30.0
"""After so long without a byte, a connection is taken for cut."""
SETTLE_SECONDS: Final = 3.0
"""How long a phone that is back waits until what its last connection brought is counted; longer than a silence."""
LOOK_SECONDS: Final = 0.02
""" ... and how often it is looked whether it is."""


async def settle(database: Database, upload_id: UUID) -> None:
    """Wait until the request that writes to an upload has counted what it got, if there is one.

    A phone whose connection was cut is back before the server has read what the old connection brought.
    """
    busy = select(Upload.id).where(Upload.id == upload_id, Upload.busy)
    for _ in range(round(SETTLE_SECONDS / LOOK_SECONDS)):
        async with database.read() as session:
            if (await session.execute(busy)).first() is None:
                return
        await asyncio.sleep(LOOK_SECONDS)


class Receiver:
    """Adds what one request brings to an upload it has the turn of."""

    def __init__(self, database: Database, store: BlobStore, *, now: datetime, turn: Turn) -> None:
        self._database = database
        self._store = store
        self._now = now
        self._turn = turn
        self._position = self._counted = turn.offset
        self._busy = True

    async def take(self, pieces: AsyncIterator[bytes], checksum: Checksum | None) -> int:
        """Return how far the upload has come, whether the request ended or was cut.

        With a checksum the request counts as a whole or not at all. Raises upload_checksum, upload_too_long,
        upload_offset (another request took over), and what makes a whole file unacceptable: blob_hash_mismatch,
        blob_type_refused; the upload is ended then. After blob_store_unreachable it goes on where it stands.
        """
        try:
            with self._store.part(self._turn.upload_id) as part:
                await (self._take_checked(part, pieces, checksum) if checksum else self._take(part, pieces))
            if self._position == self._turn.length:
                await self._finish()
        except (Problem, HTTPException):
            async with self._database.write() as session:
                await give_turn_back(session, turn=self._turn)
            raise
        return self._position

    async def _take(self, part: Part, pieces: AsyncIterator[bytes]) -> None:
        async for piece in _until_cut(pieces):
            await self._write(part, piece)
            if not piece or self._position - self._counted >= COUNTED_BYTES:
                await self._count(part, busy=bool(piece))
        await self._count(part, busy=False)

    async def _take_checked(self, part: Part, pieces: AsyncIterator[bytes], checksum: Checksum) -> None:
        seen = checksum.begin()
        async for piece in _until_cut(pieces):
            await self._write(part, piece)
            seen.update(piece)
        checksum.check(seen)
        await self._count(part, busy=False)

    async def _write(self, part: Part, piece: bytes) -> None:
        if self._position + len(piece) > self._turn.length:
            raise Problem(UPLOAD_TOO_LONG)
        if not piece:
            return
        await asyncio.to_thread(part.write, self._position, piece)
        self._position += len(piece)

    async def _count(self, part: Part, *, busy: bool) -> None:
        """Make what has come safe, then count it. The last byte is counted with the blob, in `_finish`."""
        if self._position == self._turn.length or (self._position == self._counted and self._busy == busy):
            return
        await asyncio.to_thread(part.flush)
        async with self._database.write() as session:
            await count_bytes(session, turn=self._turn, received=self._position, busy=busy)
        self._counted, self._busy = self._position, busy

    async def _finish(self) -> None:
        turn = self._turn
        try:
            size, media_type = await self._store.adopt(turn.upload_id, turn.sha256)
        except Problem as problem:
            await (self._wait_for_store() if problem.fault is BLOB_STORE_UNREACHABLE else self._end())
            raise
        stored = Stored(sha256=turn.sha256, size=size, media_type=media_type)
        async with self._database.write() as session:
            await finish_upload(session, now=self._now, turn=turn, stored=stored)
        self._store.drop_part(turn.upload_id)

    async def _wait_for_store(self) -> None:
        """All of it has come, but the store cannot take it now: the phone needs to send no more than the last byte."""
        with self._store.part(self._turn.upload_id) as part:
            await asyncio.to_thread(part.flush)
        async with self._database.write() as session:
            await count_bytes(session, turn=self._turn, received=self._turn.length - 1, busy=False)

    async def _end(self) -> None:
        """What came can never become the file that was announced."""
        turn = self._turn
        async with self._database.write() as session:
            upload = await session.get(Upload, turn.upload_id)
            if upload is not None and upload.turn == turn.id:
                await end_upload(session, upload=upload, store=self._store)


async def _until_cut(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    """Hand on pieces until they end or the connection is cut, and an empty one for every silence.

    The next piece is asked for before this one is worked on, so that little waits in the HTTP server's buffer.
    """
    reading = asyncio.create_task(_next(pieces))
    silent = 0.0
    try:
        while silent < CUT_SECONDS:
            await asyncio.wait({reading}, timeout=SILENCE_SECONDS)
            if not reading.done():
                silent += SILENCE_SECONDS
                yield b""
                continue
            piece = reading.result()
            if piece is None:
                return
            silent = 0.0
            reading = asyncio.create_task(_next(pieces))
            if piece:
                yield piece
    finally:
        reading.cancel()


async def _next(pieces: AsyncIterator[bytes]) -> bytes | None:
    """The next piece; None at the end, and where the connection was cut: the framework calls that its own error."""
    try:
        return await anext(pieces, None)
    except InternalServerException:
        return None
