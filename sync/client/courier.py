"""Sending the files a phone made, by tus 1.0: apart from its work, going on after every cut where the server stands.

`deliver` may run while the phone is in contact, or between contacts; it ends when nothing is left to send, or the
connection is no use. What an answer means is decided in `sync.shelf`.
"""

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from sync.client.files import Shelf
from sync.client.line import SERVER_ERRORS, SignedOut
from sync.client.phone import Ended, Phone
from sync.client.transport import OK, NoAnswer
from sync.client.web import Said, Web
from sync.limits import FILE_READ_BYTES, FILE_REPEATS, HAVE_FILES, RETRY_SECONDS, UPLOAD_PIECE_BYTES
from sync.protocol import HAVE_PATH, UPLOADS_PATH
from sync.shelf import Heard, OwnFile, Sent, Step, Turn, arrived, damaged, first_step, heard, to_send, waits_again
from sync.texts import Text

TUS: Final = {"Tus-Resumable": "1.0.0"}
PIECE: Final = TUS | {"Content-Type": "application/offset+octet-stream"}
UNREACHED: Final = Text(
    "网络连不上服务器(可能要先登录热点);照片留在手机上,下次再发。",
    "The network does not reach the server (a hotspot may want a sign-in first); what is left is sent next time.",
)
SIGN_IN: Final = Text("请重新登录,照片才能发送。", "Sign in again, so that the photos can be sent.")
ENDS: Final = frozenset((Step.SENT, Step.REFUSED, Step.LATER))

log = logging.getLogger(__name__)


class _Had(msgspec.Struct, frozen=True):
    have: list[str]


@dataclass
class Delivery:
    """What came of it: files the server has now, files it will not take, files left for later, bytes sent.

    COMPLETE says that none is left; else `reason` tells a person why.
    """

    sent: list[str] = field(default_factory=list[str])
    refused: list[OwnFile] = field(default_factory=list[OwnFile])
    left: list[str] = field(default_factory=list[str])
    bytes: int = 0
    ended: Ended = Ended.COMPLETE
    reason: str = ""

    def leave(self, told: Text, ended: Ended) -> None:
        """Note why a file is left for the next contact."""
        self.ended, self.reason = ended, f"{told.zh} / {told.en}"


@dataclass
class Courier:
    """Carries the files on a shelf to the server."""

    phone: Phone
    shelf: Shelf
    web: Web

    async def deliver(self) -> Delivery:
        """Send what has to be sent; nothing is sent twice that the server has."""
        delivery = Delivery()
        try:
            await self._ask_after()
            for file in to_send(self.shelf.files(), self.phone.replica):
                await self._carried(file, delivery)
        except NoAnswer as error:
            delivery.leave(UNREACHED, Ended.OFFLINE)
            log.info("no answer to the purpose: %s", error)
        except SignedOut as error:
            delivery.leave(SIGN_IN, Ended.SIGNED_OUT)
            log.info("signed out: %s", error)
        delivery.left = [file.sha256 for file in to_send(self.shelf.files(), self.phone.replica)]
        return delivery

    async def _ask_after(self) -> None:
        """Ask after files that were sent before the server was restored; what it lost waits again."""
        files = to_send(self.shelf.files(), self.phone.replica)
        doubted = [file for file in files if first_step(file) is Step.HAVE]
        for start in range(0, len(doubted), HAVE_FILES):
            part = doubted[start : start + HAVE_FILES]
            body = msgspec.json.encode({"sha256": [file.sha256 for file in part]})
            mark = self._mark()
            said = await self._patiently(
                partial(self.web.ask, "POST", HAVE_PATH, {"Content-Type": "application/json"}, body)
            )
            if said.status != OK:
                raise NoAnswer(f"{HAVE_PATH} {said.status}")
            had = _had(said)
            for file in part:
                self.shelf.note(arrived(file, mark) if file.sha256 in had else waits_again(file))

    async def _carried(self, file: OwnFile, delivery: Delivery) -> None:
        """Take one file as far as it goes; one the phone itself cannot read holds up no other."""
        try:
            await self._carry(file, delivery)
        except OSError:
            if file.sha256 in self.shelf.files():  # else the phone was wiped meanwhile
                self.shelf.note(damaged(file))
                delivery.refused.append(damaged(file))

    async def _carry(self, file: OwnFile, delivery: Delivery) -> None:
        """Take one file as far as it goes; it is noted after each step."""
        turn, furthest, repeats = Turn(file, first_step(file)), 0, 0
        while turn.step not in ENDS:
            asked = turn.step
            turn = await self._taken(turn, delivery)
            self.shelf.note(turn.file)
            if turn.step is Step.PATCH and turn.offset > furthest:
                furthest, repeats = turn.offset, 0
            elif asked in (Step.HEAD, Step.CREATE):
                repeats += 1
            if repeats > FILE_REPEATS:
                delivery.leave(UNREACHED, Ended.OFFLINE)
                return
        if turn.step is Step.SENT:
            self.shelf.note(arrived(turn.file, self._mark()))
            delivery.sent.append(file.sha256)
        elif turn.step is Step.REFUSED:
            delivery.refused.append(turn.file)

    async def _taken(self, turn: Turn, delivery: Delivery) -> Turn:
        """Do one step. After a connection that broke under a piece, the server is asked how far that came."""
        file = turn.file
        if turn.step is Step.READ:
            whole = await asyncio.to_thread(self.shelf.is_whole, file.sha256)
            return Turn(file, Step.CREATE) if whole else Turn(damaged(file), Step.REFUSED)
        if turn.step is Step.PATCH:
            try:
                said = await self._patch(turn, delivery)
            except NoAnswer:
                return Turn(file, Step.HEAD)
        else:
            said = await self._patiently(partial(self._create if turn.step is Step.CREATE else self._head, file))
        after = heard(file, turn.step, _heard(said))
        if after.step is Step.LATER:
            _, told = said.refusal
            delivery.leave(told or UNREACHED, Ended.REFUSED if told else Ended.OFFLINE)
        return after

    async def _create(self, file: OwnFile) -> Said:
        metadata = ",".join(f"{key} {_base64(value)}" for key, value in _metadata(file).items())
        headers = TUS | {"Upload-Length": str(file.size), "Upload-Metadata": metadata}
        return await self.web.ask("POST", UPLOADS_PATH, headers)

    async def _head(self, file: OwnFile) -> Said:
        return await self.web.ask("HEAD", file.upload or "", TUS)

    async def _patch(self, turn: Turn, delivery: Delivery) -> Said:
        """Send a piece from the offset on, without a checksum: a cut would cost the piece, and the whole has one."""
        piece = min(UPLOAD_PIECE_BYTES, turn.file.size - turn.offset)
        headers = PIECE | {"Upload-Offset": str(turn.offset), "Content-Length": str(piece)}
        path = self.shelf.path(turn.file.sha256)
        if (await asyncio.to_thread(path.stat)).st_size != turn.file.size:
            raise OSError(path.name)  # not what was put there
        content = partial(_piece, path, turn.offset, piece, delivery)
        return await self.web.ask("PATCH", turn.file.upload or "", headers, content)

    async def _patiently(self, ask: Callable[[], Awaitable[Said]]) -> Said:
        """Ask until there is an answer of the server's own; raises NoAnswer after the last attempt."""
        for pause in (*RETRY_SECONDS, None):
            try:
                said = await ask()
                if said.status < SERVER_ERRORS:
                    return said
                reason = NoAnswer(str(said.status))
            except NoAnswer as error:
                reason = error
            if pause is None:
                raise reason
            await self.phone.line.sleep(pause)
        raise AssertionError

    def _mark(self) -> Sent:
        replica = self.phone.replica
        return Sent(self.phone.clock(), replica.identity.incarnation, replica.outbox.next_n - 1, replica.rewinds)


def _had(said: Said) -> set[str]:
    """Return what the server says to have; raises NoAnswer for what somebody else said in its place."""
    try:
        return set(msgspec.json.decode(said.body, type=_Had).have)
    except msgspec.DecodeError as error:
        raise NoAnswer(HAVE_PATH) from error


def _heard(said: Said) -> Heard:
    """Return what an answer says, if it is the server's own: whoever is between us and it knows nothing of tus."""
    if "tus-resumable" not in said.headers:
        return Heard(0)
    code, text = said.refusal
    offset = said.headers.get("upload-offset", "")
    return Heard(said.status, code, int(offset) if offset.isdigit() else None, said.headers.get("location"), text)


def _metadata(file: OwnFile) -> dict[str, str]:
    return {"sha256": file.sha256, "filetype": file.media_type}


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def _piece(path: Path, offset: int, size: int, delivery: Delivery) -> AsyncGenerator[bytes]:
    """Read a piece of a file, a little at a time."""
    with await asyncio.to_thread(path.open, "rb") as file:
        file.seek(offset)
        while size > 0 and (some := await asyncio.to_thread(file.read, min(FILE_READ_BYTES, size))):
            size -= len(some)
            delivery.bytes += len(some)
            yield some
