"""A phone as the server sees it: it registers, signs in, pulls and pushes over one connection."""

import base64
import gzip
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import msgspec
import zstandard

from backend.core.clock import SystemClock
from backend.core.ids import new_id
from bench.sync.house import PASSWORD, House
from bench.sync.wire import Answer, Wire
from sync.client.transport import NO_CONTENT, OK
from sync.limits import PULL_BYTES_MOST, SCHEMA
from sync.protocol import (
    DEVICES_PATH,
    PULL_PATH,
    PUSH_PATH,
    EnrolAnswer,
    EnrolRequest,
    PullAnswer,
    PullRequest,
    PushAnswer,
    Result,
)

ENCODINGS: Final = "zstd, gzip"
UNPACK: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "": bytes,
    "gzip": gzip.decompress,
    "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
}


class Place(msgspec.Struct):
    """What of a pull's answer says how to go on."""

    v: int
    cookie: str | None = None
    page: str | None = None


@dataclass(frozen=True)
class Note:
    """An edit of one record's note."""

    asset: UUID
    was: str
    now: str


class Phone:
    """One registered phone on one connection."""

    def __init__(self, wire: Wire, identity: EnrolAnswer) -> None:
        self.wire = wire
        self.identity = identity
        self.cookie: str | None = None
        self.v = 0
        self.wire_bytes = 0
        self.answers: list[Answer] = []
        """Every page as it came, if `keep` is set."""
        self.keep = False
        self._next_n = 1

    async def first_pull(self) -> None:
        """Pull everything, page after page."""
        self.cookie, page = None, None
        self.wire_bytes = 0
        while self.cookie is None:
            answer = await self._pull(PullRequest(self.identity.incarnation, SCHEMA, None, page, PULL_BYTES_MOST))
            self.wire_bytes += len(answer.body)
            place = msgspec.json.decode(unpacked(answer), type=Place)
            self.cookie, page, self.v = place.cookie, place.page, place.v

    async def pull(self) -> int:
        """Pull what changed; return the status."""
        answer = await self.wire.send(self.pull_request())
        if answer.checked(OK, NO_CONTENT).status == OK:
            self.wire_bytes = len(answer.body)
            if self.keep:
                self.answers.append(answer)
            place = msgspec.json.decode(unpacked(answer), type=Place)
            self.cookie, self.v = place.cookie or self.cookie, place.v
        return answer.status

    def pull_request(self) -> bytes:
        """Return the request `pull` sends."""
        asked = PullRequest(self.identity.incarnation, SCHEMA, self.cookie, None, PULL_BYTES_MOST)
        return self.wire.request("POST", PULL_PATH, msgspec.json.encode(asked), {"Content-Type": "application/json"})

    def push_request(self, notes: Sequence[Note]) -> bytes:
        """Return the request that pushes these edits under the next numbers."""
        at = SystemClock().now()
        mutations = [
            {
                "id": str(new_id()), "n": n, "name": "edit", "schema": SCHEMA, "occurred_at": at, "base_v": self.v,
                "entity": "asset", "row": str(note.asset), "fields": {"note": {"was": note.was, "now": note.now}},
            }
            for n, note in enumerate(notes, start=self._next_n)
        ]  # fmt: skip
        self._next_n += len(notes)
        body = msgspec.json.encode({"incarnation": self.identity.incarnation, "mutations": mutations})
        return self.wire.request("POST", PUSH_PATH, body, {"Content-Type": "application/json"})

    async def _pull(self, request: PullRequest) -> Answer:
        answer = (await self.wire.ask("POST", PULL_PATH, request)).checked()
        if self.keep:
            self.answers.append(answer)
        return answer


async def phone_of(house: House, person: UUID, port: int) -> Phone:
    """Register a phone for a person and sign in with it; its connection is open."""
    wire = await Wire(port).__aenter__()
    key = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    request = EnrolRequest(await house.code(person), key, "bench", "bench", SCHEMA)
    identity = msgspec.json.decode((await wire.ask("POST", DEVICES_PATH, request)).checked().body, type=EnrolAnswer)
    login = {"login": f"B{house.people.index(person):03}", "password": PASSWORD, "device_id": identity.device}
    tokens = msgspec.json.decode((await wire.ask("POST", "/auth/sign-in", login)).checked(200, 201).body)
    wire.headers |= {"Authorization": f"Bearer {tokens['access_token']}", "Accept-Encoding": ENCODINGS}
    return Phone(wire, identity)


def statuses(answer: Answer) -> list[str]:
    """Return how each mutation of a push ended."""
    results = msgspec.json.decode(unpacked(answer), type=PushAnswer).results
    return [str(msgspec.json.decode(result, type=Result).status) for result in results]


def rows_in(answers: Sequence[Answer]) -> dict[UUID, dict[str, Any]]:
    """Return the records a phone holds that took these answers one after the other."""
    held: dict[UUID, dict[str, Any]] = {}
    for answer in answers:
        for op in msgspec.json.decode(unpacked(answer), type=PullAnswer).ops:
            if (body := getattr(op, "body", None)) is not None:
                row = msgspec.json.decode(body)
                held[UUID(row["id"])] = row
    return held


def unpacked(answer: Answer) -> bytes:
    """Return the body as it was before compression."""
    return UNPACK[answer.headers.get("content-encoding", "")](answer.body)
