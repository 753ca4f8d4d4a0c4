"""Fetching the files of one's jobs before the signal is lost: resumed after a cut, verified, never more than fits."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from sync.ahead import Listed, Listing, plan_ahead
from sync.client.files import Shelf, digest, keep_as
from sync.client.line import SignedOut
from sync.client.phone import Ended
from sync.client.transport import OK, NoAnswer
from sync.client.web import Web
from sync.limits import FILE_REPEATS
from sync.protocol import BLOBS_PATH, PREFETCH_PATH

PART: Final = ".part"
PARTIAL: Final = 206
NOT_THERE: Final = frozenset((403, 404))
"""The file left the scope since the list was made."""


@dataclass
class Fetched:
    """What came of it: files that are held now and were not, files that went, bytes received, how it ended."""

    files: list[str] = field(default_factory=list[str])
    evicted: list[str] = field(default_factory=list[str])
    bytes: int = 0
    ended: Ended = Ended.COMPLETE
    reason: str = ""


@dataclass
class Prefetcher:
    """Holds what the server says a phone should hold, in the shelf's folder."""

    shelf: Shelf
    web: Web

    async def fetch(self, room: int) -> Fetched:
        """Hold the files that fit into `room` bytes, the most needed first."""
        fetched = Fetched()
        try:
            plan = plan_ahead(await self._listed(room), self._held(), room)
            for name in plan.evict:
                self._evict(name)
            fetched.evicted = plan.evict
            for file in plan.fetch:
                await self._fetch(file, fetched)
        except NoAnswer as error:
            fetched.ended, fetched.reason = Ended.OFFLINE, str(error)
        except SignedOut as error:
            fetched.ended, fetched.reason = Ended.SIGNED_OUT, str(error)
        except FileNotFoundError as error:  # the phone was wiped meanwhile
            fetched.ended, fetched.reason = Ended.REFUSED, str(error)
        return fetched

    async def _listed(self, room: int) -> list[Listed]:
        said = await self.web.ask("GET", f"{PREFETCH_PATH}?bytes={room}", {})
        if said.status != OK:
            raise NoAnswer(f"{PREFETCH_PATH} {said.status}")
        try:
            return msgspec.json.decode(said.body, type=Listing).files
        except msgspec.DecodeError as error:  # a page for people, from somebody between us and the server
            raise NoAnswer(PREFETCH_PATH) from error

    def path(self, sha256: str) -> Path | None:
        """Return where a file lies that was fetched whole, or None."""
        path = self.shelf.fetched / sha256
        return path if path.exists() else None

    def _held(self) -> dict[str, int]:
        """Return the bytes held by sha256; of an unfinished file, its bytes count as one short of whole."""
        found: dict[str, int] = {}
        for path in self.shelf.fetched.iterdir():
            whole = path.suffix != PART
            found[path.name.removesuffix(PART)] = path.stat().st_size if whole else -1
        return found

    def _evict(self, name: str) -> None:
        for path in (self.shelf.fetched / name, self._part(name)):
            path.unlink(missing_ok=True)

    async def _fetch(self, file: Listed, fetched: Fetched) -> None:
        """Fetch a file from where its part ends; what does not have its name is thrown away and fetched once more."""
        part = self._part(file.sha256)
        for _ in range(FILE_REPEATS):
            if not await self._more(file, part, fetched):
                return
            if _size(part) < file.size:
                continue
            if await asyncio.to_thread(digest, part) == file.sha256:
                await asyncio.to_thread(keep_as, part, self.shelf.fetched / file.sha256)
                fetched.files.append(file.sha256)
                return
            part.unlink()

    async def _more(self, file: Listed, part: Path, fetched: Fetched) -> bool:
        """Append what is missing; returns whether the server has the file for us. Raises NoAnswer, SignedOut."""
        had = _size(part)
        if had >= file.size > 0:
            return True
        headers = {"Range": f"bytes={had}-", "If-Range": f'"{file.sha256}"'} if had else {}
        async with self.web.download(f"{BLOBS_PATH}/{file.sha256}", headers) as (said, chunks):
            if said.status in NOT_THERE:
                return False
            if said.status not in (OK, PARTIAL):
                raise NoAnswer(f"{BLOBS_PATH} {said.status}")
            left = file.size - (had if said.status == PARTIAL else 0)
            with part.open("ab" if said.status == PARTIAL else "wb") as target:
                async for chunk in chunks:
                    fetched.bytes += len(chunk)
                    left -= len(chunk)
                    if left < 0:  # not the file: the phone has room for what was listed, and for no more
                        raise NoAnswer(BLOBS_PATH)
                    target.write(chunk)
        return True

    def _part(self, sha256: str) -> Path:
        return self.shelf.fetched / f"{sha256}{PART}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
