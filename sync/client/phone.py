"""A phone that works: everything done on it is on disk before the person sees it, and a contact delivers what it can.

How one asks is in `sync.client.line`. A push refused for its size or form (`SMALLER`): half the batch, and what cannot
be delivered even alone is replaced by a `void` so that nothing waits behind it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from sync.client.disk import Disk
from sync.client.files import Shelf
from sync.client.line import Line, Offline, Refused, SignedOut
from sync.client.transport import NO_CONTENT, OK
from sync.keeping import erase, files_kept, forget_delivered
from sync.limits import BATCH_MUTATIONS, CONTACT_RESTARTS, CONTACT_ROUNDS, PULL_BYTES
from sync.outbox import Item
from sync.protocol import (
    DEVICES_PATH,
    INCARNATIONS_PATH,
    PULL_PATH,
    PUSH_PATH,
    RECONCILE_PATH,
    RESCUE_PATH,
    WIPED_PATH,
    EnrolAnswer,
    EnrolRequest,
    PullAnswer,
    PushAnswer,
    RescuedFile,
    WipedAnswer,
    WipedRequest,
    encode,
)
from sync.repair import Repair, needs_repair
from sync.replica import Pulled, Replica, rescue_request
from sync.shelf import FileState, damaged, to_drop, to_send, unsafe
from sync.task import VOID

__all__ = ["Contact", "Ended", "Line", "Offline", "Phone", "Refused", "SignedOut", "enrol"]

SMALLER: Final = frozenset(
    ((400, "unreadable"), (400, "not_consecutive"), (413, "too_many_mutations"), (413, "too_large"))
)
"""What the server says of a push it would take in smaller parts, or without the mutation that spoils it."""
ANEW: Final = frozenset(("n_taken", "unknown_incarnation"))
NEVER_KEPT: Final = frozenset(
    ("file_not_named", "blob_too_large", "blob_type_refused", "blob_hash_mismatch", "too_large")
)
"""What the server says of a wiped phone's file that it will never take."""


class Ended(StrEnum):
    """How a contact ended."""

    COMPLETE = "complete"
    OFFLINE = "offline"
    SIGNED_OUT = "signed out"
    REFUSED = "refused"


@dataclass
class Contact:
    """What one contact brought: mutations settled, how the pull ended, how the contact ended and why."""

    settled: list[Item] = field(default_factory=list[Item])
    pulled: Pulled | None = None
    ended: Ended = Ended.COMPLETE
    reason: str = ""
    restarts: int = 0

    def begins_anew(self, refusal: Refused) -> None:
        """Count a new beginning: a server that asks for it again and again is left alone until the next contact."""
        self.restarts += 1
        if self.restarts > CONTACT_RESTARTS:
            raise refusal


async def enrol(line: Line, request: EnrolRequest) -> EnrolAnswer:
    """Register a phone; raises Refused, Offline."""
    return await _identity(line, DEVICES_PATH, encode(request))


async def _identity(line: Line, path: str, body: bytes) -> EnrolAnswer:
    answer = await line.ask(path, body, EnrolAnswer)
    if answer is None:
        raise Refused(NO_CONTENT, "no_identity")
    return answer


@dataclass
class Phone:
    """A replica, the disk it lives on and the line to its server; `shelf` are the files made on it, if the app has any.

    Files travel apart (`sync.client.courier`), so that no photo holds up what was done.
    """

    replica: Replica
    disk: Disk
    line: Line
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    shelf: Shelf | None = None

    def do(self, work: Callable[[Replica], Item]) -> Item:
        """Do something on the phone (see sync.work); it is on disk when this returns. Raises what `work` raises.

        When the disk fails, the work was not done: the phone goes back to what is on disk.
        """
        item = work(self.replica)
        self._save()
        return item

    async def contact(self, max_bytes: int = PULL_BYTES) -> Contact:
        """Send what waits, then fetch what changed, as far as the connection allows.

        An upload the server will not take never keeps the download from coming.
        """
        contact = Contact()
        await self._exchange(contact, max_bytes)
        if contact.pulled is Pulled.REWOUND and contact.ended is Ended.COMPLETE:
            await self._exchange(contact, max_bytes)  # the server was restored, and lost what this phone still has
        if self.replica.wiped:
            await self._ends_well(contact, self._wipe(contact))
        files = self.shelf.files() if self.shelf else {}
        unsafe_files = unsafe(files, self.replica, self.clock())
        forget_delivered(self.replica, self.clock(), unsafe_files)
        self._save()
        if self.shelf is not None:
            for name in to_drop(files, files_kept(self.replica), unsafe_files):
                self.shelf.drop(name)
        return contact

    async def rescue(self, contact: Contact) -> None:
        """Hand the raw queue over where it may not be pushed any more; needs a transport that signs.

        Raises Refused, SignedOut, Offline.
        """
        while part := rescue_request(self.replica):
            answer = await self.line.ask(RESCUE_PATH, encode(part), PushAnswer)
            settled = self.replica.take_push(answer or PushAnswer([]))
            if not settled:
                raise Refused(OK, "no_results")
            self._save()
            contact.settled += settled

    async def _wipe(self, contact: Contact) -> None:
        """Hand over what the server has not, delete everything, and say so until the server has heard it."""
        if self.replica.wipe_told:
            return
        await self.rescue(contact)
        lost = 0
        if self.shelf is not None:
            for file in to_send(self.shelf.files(), self.replica):
                await _rescue_file(self.line, self.shelf, file.sha256)
            lost = sum(file.state is not FileState.SENT for file in self.shelf.files().values())
            self.shelf.erase()
        erase(self.replica)
        self._save()
        self.disk.scrub()
        await self.line.ask(WIPED_PATH, encode(WipedRequest(lost)), WipedAnswer)
        self.replica.wipe_told = True

    async def _exchange(self, contact: Contact, max_bytes: int) -> None:
        if await self._ends_well(contact, self._push(contact)):
            await self._ends_well(contact, self._pull(contact, max_bytes))

    async def _ends_well(self, contact: Contact, part: Awaitable[None]) -> bool:
        """Do one part of a contact; return whether the other is worth trying."""
        try:
            await part
        except Offline as error:
            contact.ended, contact.reason = Ended.OFFLINE, str(error)
            return error.heard
        except SignedOut as error:
            contact.ended, contact.reason = Ended.SIGNED_OUT, str(error)
            return False
        except Refused as error:
            contact.ended, contact.reason = Ended.REFUSED, str(error)
        return True

    async def _push(self, contact: Contact) -> None:
        limit = BATCH_MUTATIONS
        if self.replica.outbox.numbering_lost:
            await self._renew()
        for _ in range(CONTACT_ROUNDS):
            request = self.replica.push_request(limit)
            if request is None:
                return
            try:
                answer = await self.line.ask(PUSH_PATH, encode(request), PushAnswer)
            except Refused as refusal:
                limit = await self._mend_push(contact, refusal, len(request.mutations))
                continue
            settled = self.replica.take_push(answer or PushAnswer([]))
            if not settled:
                raise Refused(OK, "no_results")
            self._save()
            contact.settled += settled
            limit = BATCH_MUTATIONS

    async def _mend_push(self, contact: Contact, refusal: Refused, size: int) -> int:
        """Do what a refused push asks for; return how many mutations to send next."""
        if (refusal.status, refusal.code) in SMALLER:
            if size > 1:
                return size // 2
            self._void(refusal)
        elif refusal.code == "gap" and refusal.expected_n is not None:
            contact.begins_anew(refusal)
            self.replica.outbox.reopen(refusal.expected_n)
            if self.replica.outbox.batch(1)[0].n != refusal.expected_n:
                await self._renew()
            self._save()
        elif refusal.code in ANEW:
            contact.begins_anew(refusal)
            await self._renew(refusal)
        else:
            raise refusal
        return BATCH_MUTATIONS

    def _void(self, refusal: Refused) -> None:
        """Let nothing wait behind a mutation the server cannot take; a `void` it cannot take is no mutation's fault."""
        item = self.replica.outbox.batch(1)[0]
        if item.mutation.name == VOID:
            raise refusal
        self.replica.outbox.void(item, refusal.code, self.new_id(), self.clock())
        self._save()

    async def _pull(self, contact: Contact, max_bytes: int) -> None:
        for _ in range(CONTACT_ROUNDS):
            try:
                contact.pulled = await self._pulled(max_bytes)
            except Refused as refusal:
                await self._mend_pull(contact, refusal)
                continue
            self._save()
            if contact.pulled in (Pulled.DAMAGED, Pulled.UNKNOWN):
                contact.begins_anew(Refused(OK, contact.pulled))
            elif contact.pulled is not Pulled.MORE:
                return

    async def _pulled(self, max_bytes: int) -> Pulled:
        """Ask for what changed; with rows and no cookie for them, compare them with the server's instead."""
        if needs_repair(self.replica):
            return await self._repaired(max_bytes)
        request = msgspec.structs.replace(self.replica.pull_request(max_bytes), reconciles=True)
        return self.replica.take_pull(await self.line.ask(PULL_PATH, encode(request), PullAnswer))

    async def _repaired(self, max_bytes: int) -> Pulled:
        repair = Repair.begun(self.replica)
        for _ in range(CONTACT_ROUNDS):
            request = repair.request(self.new_id(), max_bytes)
            answer = await self.line.ask(RECONCILE_PATH, encode(request), PullAnswer)
            pulled = repair.take(answer or PullAnswer(of="", v=0))
            if pulled is not Pulled.MORE:
                return pulled
        return Pulled.IGNORED

    async def _mend_pull(self, contact: Contact, refusal: Refused) -> None:
        contact.begins_anew(refusal)
        if refusal.code == "bad_cookie":
            self.replica.begin_again(keep_cookie=bool(self.replica.pages))
        elif refusal.code == "page_expired":
            self.replica.begin_again(keep_cookie=True)
        elif refusal.code in ANEW:
            await self._renew(refusal)
        else:
            raise refusal
        self._save()

    async def _renew(self, refusal: Refused | None = None) -> None:
        forgotten = refusal is not None and refusal.code == "unknown_incarnation"
        self.replica.renewed(await _identity(self.line, INCARNATIONS_PATH, b"{}"), forgotten=forgotten)
        self._save()

    def _save(self) -> None:
        try:
            self.disk.save(self.replica)
        except BaseException:
            self.replica = self.disk.load(policy=self.replica.policy, effects=self.replica.effects) or self.replica
            raise


async def _rescue_file(line: Line, shelf: Shelf, sha256: str) -> None:
    """Hand over a file of a phone that may not push any more; one nobody can read, or the server never takes, stays."""
    try:
        body = await asyncio.to_thread(shelf.path(sha256).read_bytes)
    except OSError:
        shelf.note(damaged(shelf.files()[sha256]))
        return
    try:
        await line.ask(f"{RESCUE_PATH}/{sha256}", body, RescuedFile)
    except Refused as refusal:
        if refusal.code not in NEVER_KEPT:
            raise
    else:
        shelf.drop(sha256)
