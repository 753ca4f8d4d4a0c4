"""A phone that works: everything done on it is on disk before the person sees it, and a contact delivers what it can.

No answer, 408, 429 and 5xx: the same bytes again. 401: refresh, then again. A refusal is the server's word only as
problem details; a gateway or a hotel's portal may say 400 to everything. Refused for its size or form (`SMALLER`): half
the batch, and what cannot be delivered even alone is replaced by a `void` so that nothing waits behind it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from sync.client.disk import Disk
from sync.client.transport import NO_CONTENT, OK, NoAnswer, Reply, Transport
from sync.keeping import forget_delivered
from sync.limits import BATCH_MUTATIONS, CONTACT_RESTARTS, CONTACT_ROUNDS, PULL_BYTES, RETRY_SECONDS, RETRY_SECONDS_MOST
from sync.outbox import Item
from sync.protocol import (
    DEVICES_PATH,
    INCARNATIONS_PATH,
    PROBLEM,
    PULL_PATH,
    PUSH_PATH,
    RECONCILE_PATH,
    RESCUE_PATH,
    EnrolAnswer,
    EnrolRequest,
    PullAnswer,
    PushAnswer,
    RefusalBody,
    encode,
)
from sync.repair import Repair, needs_repair
from sync.replica import Pulled, Replica
from sync.task import VOID

CREATED: Final = 201
SAME_AGAIN: Final = frozenset((408, 425, 429))
UNAUTHORISED: Final = 401
SMALLER: Final = frozenset(
    ((400, "unreadable"), (400, "not_consecutive"), (413, "too_many_mutations"), (413, "too_large"))
)
"""What the server says of a push it would take in smaller parts, or without the mutation that spoils it."""
SERVER_ERRORS: Final = 500
ANEW: Final = frozenset(("n_taken", "unknown_incarnation"))

Answer = TypeVar("Answer", bound=msgspec.Struct)


class Offline(Exception):
    """The server did not answer to the purpose; everything stays as it is for the next contact.

    `heard` says that something did answer, so that another question may still be worth asking.
    """

    def __init__(self, path: str, *, heard: bool) -> None:
        super().__init__(path)
        self.heard = heard


class SignedOut(Exception):
    """The server asks for a new sign-in; work goes on offline meanwhile."""


class Refused(Exception):
    """The server refused: HTTP status, code, and the number it expects if it is one that is missing."""

    def __init__(self, status: int, code: str, expected_n: int | None = None) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.expected_n = expected_n


class _Again(Exception):
    """No usable answer: send the same bytes again, not before `after` seconds."""

    def __init__(self, *, heard: bool, after: float = 0.0) -> None:
        super().__init__(after)
        self.heard = heard
        self.after = after


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


@dataclass(frozen=True)
class Line:
    """Asking the server until it answers. `refresh` gets a new access token and says whether there is one."""

    transport: Transport
    sleep: Callable[[float], Awaitable[None]]
    refresh: Callable[[], Awaitable[bool]]

    async def ask(self, path: str, body: bytes, kind: type[Answer]) -> Answer | None:
        """Post the same bytes until they are answered; return the answer, or None for 204.

        Raises Refused, SignedOut, or Offline after the last attempt.
        """
        for pause in RETRY_SECONDS:
            try:
                return await self._once(path, body, kind)
            except _Again as again:
                await self.sleep(min(max(pause, again.after), RETRY_SECONDS_MOST))
        try:
            return await self._once(path, body, kind)
        except _Again as again:
            raise Offline(path, heard=again.heard) from again

    async def _once(self, path: str, body: bytes, kind: type[Answer]) -> Answer | None:
        try:
            reply = await self.transport(path, body)
            if reply.status == UNAUTHORISED:
                if not await self.refresh():
                    raise SignedOut(path)
                reply = await self.transport(path, body)
        except NoAnswer as error:
            raise _Again(heard=False) from error
        return _read(path, reply, kind)


def _read(path: str, reply: Reply, kind: type[Answer]) -> Answer | None:
    if reply.status == UNAUTHORISED:
        raise SignedOut(path)
    if reply.status in SAME_AGAIN or reply.status >= SERVER_ERRORS:
        raise _Again(heard=True, after=reply.retry_after or 0.0)
    if reply.status == NO_CONTENT:
        return None
    try:
        if reply.status in (OK, CREATED):
            return msgspec.json.decode(reply.body, type=kind)
        if reply.media_type != PROBLEM:
            raise _Again(heard=False)  # from somebody between us and the server
        refusal = msgspec.json.decode(reply.body, type=RefusalBody)
    except msgspec.DecodeError as error:  # cut off, or a page for people
        raise _Again(heard=False) from error
    raise Refused(reply.status, refusal.code, refusal.expected_n)


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
    """A replica, the disk it lives on and the line to its server."""

    replica: Replica
    disk: Disk
    line: Line
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

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
        if self.replica.wiped and self.replica.outbox.unanswered():
            await self._ends_well(contact, self.rescue(contact))
        forget_delivered(self.replica, self.clock())
        self._save()
        return contact

    async def rescue(self, contact: Contact) -> None:
        """Hand the raw queue over where it may not be pushed any more; needs a transport that signs.

        Raises Refused, SignedOut, Offline.
        """
        while part := self.replica.rescue_request():
            answer = await self.line.ask(RESCUE_PATH, encode(part), PushAnswer)
            settled = self.replica.take_push(answer or PushAnswer([]))
            if not settled:
                raise Refused(OK, "no_results")
            self._save()
            contact.settled += settled

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
            self._restart(contact, refusal)
            self.replica.outbox.reopen(refusal.expected_n)
            if self.replica.outbox.batch(1)[0].n != refusal.expected_n:
                await self._renew()
            self._save()
        elif refusal.code in ANEW:
            self._restart(contact, refusal)
            await self._renew()
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
                self._restart(contact, Refused(OK, contact.pulled))
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
        self._restart(contact, refusal)
        if refusal.code == "bad_cookie":
            self.replica.begin_again(keep_cookie=bool(self.replica.pages))
        elif refusal.code == "page_expired":
            self.replica.begin_again(keep_cookie=True)
        elif refusal.code in ANEW:
            await self._renew()
        else:
            raise refusal
        self._save()

    async def _renew(self) -> None:
        self.replica.renewed(await _identity(self.line, INCARNATIONS_PATH, b"{}"))
        self._save()

    def _restart(self, contact: Contact, refusal: Refused) -> None:
        """Count a new beginning: a server that asks for it again and again is left alone until the next contact."""
        contact.restarts += 1
        if contact.restarts > CONTACT_RESTARTS:
            raise refusal

    def _save(self) -> None:
        try:
            self.disk.save(self.replica)
        except BaseException:
            self.replica = self.disk.load(policy=self.replica.policy, effects=self.replica.effects) or self.replica
            raise
