"""Every message between phones and server, as msgspec structs, and the refusals a request can meet. JSON on the wire.

Unknown members of a message are passed over by the reader and kept in the stored payload, so a newer phone is never
refused for knowing more. A mutation's own id is `id`; the row it is about is `row`.
"""

import hashlib
import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

import msgspec

from sync.limits import N_MOST, PULL_BYTES
from sync.texts import TEXTS, Text

DEVICE_TIME: Final = "Device-Time"
"""Request header: the device's wall clock when it sent, RFC 3339. The server measures the offset from it."""
DEVICE_MONOTONIC: Final = "Device-Monotonic"
"""Request header: milliseconds since the device booted, which no clock setting moves."""
PROBLEM: Final = "application/problem+json"
"""Media type of every refusal (RFC 9457); whatever has another does not come from the server."""
SERVER_TIME: Final = "Server-Time"
"""Answer header: the server's clock, RFC 3339."""

Message = TypeVar("Message", bound=msgspec.Struct)

DEVICES_PATH: Final = "/sync/v1/devices"
INCARNATIONS_PATH: Final = "/sync/v1/incarnations"
PULL_PATH: Final = "/sync/v1/pull"
HINTS_PATH: Final = "/sync/v1/hints"
PUSH_PATH: Final = "/sync/v1/push"
RECONCILE_PATH: Final = "/sync/v1/reconcile"
RESCUE_PATH: Final = "/sync/v1/rescue"
"""Followed by "/" and a sha256, it takes the bytes of a file that the rescued work names."""
WIPED_PATH: Final = "/sync/v1/wiped"
HAVE_PATH: Final = "/blobs/have"
UPLOADS_PATH: Final = "/uploads"
BLOBS_PATH: Final = "/blobs"
PREFETCH_PATH: Final = "/sync/v1/prefetch"

UUID_TEXT: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z"


class Status(StrEnum):
    """How a mutation ended. While a phone has no result, the mutation is pending."""

    APPLIED = "applied"
    MERGED = "merged"
    NOOP = "noop"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    QUARANTINED = "quarantined"


class Edit(msgspec.Struct, frozen=True):
    """One field's change: what the person saw and what they made of it, as JSON values."""

    was: Any
    now: Any


class Mutation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing a person did on a phone.

    `n` counts from 1 within an incarnation, `row` is the row's id, `base_v` the `v` of the pull the person saw,
    `fields` the edits of `edit` and `remove`, `args` the facts of every other mutation, `blobs` sha256 names of
    attachments, `occurred_at` the device's own clock.
    """

    id: str
    n: int
    name: str
    schema: int
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)]
    entity: str = ""
    row: str = ""
    base_v: int | None = None
    fields: dict[str, Edit] = {}
    args: dict[str, Any] = {}
    blobs: tuple[str, ...] = ()


class PushRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A batch of mutations with consecutive numbers, each decoded alone so that one bad one spoils nothing else.

    `after` is the id that was answered under the number before the first (None: the phone keeps it no more). A server
    that was restored has something else there, or nothing: so nothing is done before what it lost.
    """

    incarnation: str
    mutations: list[msgspec.Raw]
    after: str | None = None


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """How one mutation ended, stored with its effects and repeated byte for byte.

    `conflicts` are ids of open conflicts; `held` the fields whose edit waits for a person while the server's value
    stays.
    """

    n: int
    id: str
    status: Status
    code: str = ""
    text: Text | None = None
    conflicts: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


class Notice(StrEnum):
    """What a phone must know beside its data."""

    UPGRADE = "upgrade"
    """This app is too old to be sent rows; its mutations are still taken."""
    WIPE = "wipe"
    """This device was revoked: forget all rows."""
    RECONCILE = "reconcile"
    """The server no longer knows what this phone holds: send an inventory, or pull without a cookie."""
    REWIND = "rewind"
    """The server was restored from a backup, and numbers may be asked for again: this is a full pull, unless
    `reconcile` is said as well."""


class PushAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One result for each mutation of the batch, in its order."""

    results: list[msgspec.Raw]
    notices: tuple[Notice, ...] = ()


class RescueRequest(msgspec.Struct, frozen=True):
    """A raw queue: items as an outbox keeps them, or mutations. The answer is that of a push."""

    items: list[msgspec.Raw]


class RescuedFile(msgspec.Struct, frozen=True):
    """A file of a phone that may not push any more is kept: the sha256 of its bytes, and how many they are."""

    sha256: str
    size: int


class WipedRequest(msgspec.Struct, frozen=True):
    """A revoked phone has deleted what it held; `files` of its own could not be delivered and are gone."""

    files: int


class WipedAnswer(msgspec.Struct, frozen=True):
    """When the server first heard of it."""

    wiped_at: Annotated[datetime, msgspec.Meta(tz=True)]


class PullRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for what changed since `cookie` (None: everything), or for the next page of an unfinished pull.

    A phone that `reconciles` is told to where it would otherwise be sent everything again.
    """

    incarnation: str
    schema: int
    cookie: str | None = None
    page: str | None = None
    max_bytes: int = PULL_BYTES
    reconciles: bool = False


class Put(msgspec.Struct, frozen=True, tag_field="op", tag="put"):
    """A row as it is now. `body` is the stored JSON text, spliced in as it is."""

    bucket: str
    entity: str
    row: str
    body: msgspec.Raw


class Del(msgspec.Struct, frozen=True, tag_field="op", tag="del"):
    """A row that is no longer in this bucket."""

    bucket: str
    entity: str
    row: str


class Drop(msgspec.Struct, frozen=True, tag_field="op", tag="drop"):
    """A bucket that left the device's scope, with every row in it."""

    bucket: str


Op = Put | Del | Drop


class Check(msgspec.Struct, frozen=True):
    """What a bucket holds at this `v`: live rows, and the sum of their shares (`sync.feed.entry_sum`)."""

    count: int
    sum: int


class ReconcileRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Compare what the phone holds, by bucket, with what it should hold.

    `of` is any name for the question, which the answer repeats. `rows` lists buckets the server asked for: each row's
    share of the checksum by "table/id".
    """

    incarnation: str
    schema: int
    of: Annotated[str, msgspec.Meta(max_length=80)]
    checks: dict[str, Check]
    rows: dict[str, dict[str, int]] = {}
    max_bytes: int = PULL_BYTES


class PullAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A page of a pull. Only the last has `cookie`; the others have `page`, the token of the next.

    `of` is the digest of the (incarnation, cookie, page) it answers: a phone that has moved on since must ignore it.
    An answer to `reconcile` without `cookie` says what to change so far; `inventory` names buckets whose rows it needs.
    `reset` says that the phone's rows are to be replaced, not added to. `acked_n` is the last mutation of this
    incarnation whose effect, or refusal, is part of these rows; `durable_n` the last that is in a backup as well, left
    out where it is what the cookie was told with, or where no backup holds this incarnation.
    """

    of: str
    v: int
    reset: bool = False
    ops: list[Op] = []
    checks: dict[str, Check] = {}
    acked_n: int | None = None
    durable_n: int | None = None
    notices: tuple[Notice, ...] = ()
    cookie: str | None = None
    page: str | None = None
    inventory: tuple[str, ...] = ()


class EnrolRequest(msgspec.Struct, frozen=True):
    """Register a phone. `public_key` is an Ed25519 key, 32 bytes in unpadded base64url."""

    code: Annotated[str, msgspec.Meta(max_length=80)]
    public_key: Annotated[str, msgspec.Meta(max_length=80)]
    name: Annotated[str, msgspec.Meta(max_length=120)]
    app_version: Annotated[str, msgspec.Meta(max_length=40)]
    schema: Annotated[int, msgspec.Meta(ge=1, le=N_MOST)]


class EnrolAnswer(msgspec.Struct, frozen=True):
    """Who the phone is from now on. `prefix` begins every number it prints on a form."""

    device: str
    incarnation: str
    prefix: str


class RefusalBody(msgspec.Struct, frozen=True, omit_defaults=True):
    """The members of an RFC 9457 answer a phone acts on; the rest of it is for people."""

    code: str = ""
    expected_n: int | None = None


class Refusal(Exception):
    """A request that cannot be served as it is: HTTP status, stable code, sentence, and what the phone must know."""

    def __init__(self, status: int, code: str, expected_n: int | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.expected_n = expected_n

    @property
    def text(self) -> Text:
        """The sentence for people, in both languages."""
        return TEXTS[self.code]

    def body(self) -> RefusalBody:
        """Return what a phone reads of the answer."""
        return RefusalBody(code=self.code, expected_n=self.expected_n)


def is_uuid(value: object) -> bool:
    """Whether a value is a UUID as lower-case text."""
    return isinstance(value, str) and re.match(UUID_TEXT, value) is not None


def encode(message: msgspec.Struct) -> bytes:
    """Return the message as it goes over the wire."""
    return msgspec.json.encode(message)


def decode_push(body: bytes) -> PushRequest:
    """Read a push without reading its mutations; raises Refusal 400."""
    return _decode(body, PushRequest)


def decode_rescue(body: bytes) -> RescueRequest:
    """Read a raw queue without reading what is in it; raises Refusal 400."""
    return _decode(body, RescueRequest)


def decode_wiped(body: bytes) -> WipedRequest:
    """Read that a phone wiped itself; raises Refusal 400."""
    return _decode(body, WipedRequest)


def decode_pull(body: bytes) -> PullRequest:
    """Read a pull; raises Refusal 400."""
    return _decode(body, PullRequest)


def decode_reconcile(body: bytes) -> ReconcileRequest:
    """Read an inventory; raises Refusal 400."""
    return _decode(body, ReconcileRequest)


def decode_enrol(body: bytes) -> EnrolRequest:
    """Read an enrolment; raises Refusal 400."""
    return _decode(body, EnrolRequest)


def position_digest(request: PullRequest) -> str:
    """Return the name of the phone's place in the feed, echoed by the answer to it."""
    place = f"{request.incarnation}|{request.cookie or ''}|{request.page or ''}"
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def _decode(body: bytes, kind: type[Message]) -> Message:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal(400, "unreadable") from error
