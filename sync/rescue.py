"""Rescue: a raw queue is kept, inert, before a dispatcher, however little of it can be read.

It is taken from a phone that may not push any more (signed by its key), or from the file of one that broke. Mutations
the ledger knows are passed over; the others get places in a ledger of the rescue's own, so that the phone's numbers
stay its own, and the same mutation pushed later is recognised.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from sync.ledger import Envelope, envelope_of
from sync.limits import PUSH_MUTATIONS
from sync.protocol import PushAnswer, Refusal, RescueRequest, Result, Status, encode
from sync.store import LedgerEntry, Store, Transaction
from sync.texts import TEXTS

RESCUED: Final = "rescued"
"""The code of what was rescued."""


class _Kept(msgspec.Struct, frozen=True):
    """The part of an outbox's item that matters here."""

    payload: str


@dataclass(frozen=True)
class _Found:
    """One mutation of a queue; `otherwise` is the id it is kept under should its own be something else's."""

    envelope: Envelope
    otherwise: str


@dataclass(frozen=True)
class _Place:
    """Where a rescue keeps what it finds: a ledger of its own."""

    device: str
    person: str
    incarnation: str
    now: datetime

    def entry(self, envelope: Envelope, mutation_id: str, n: int) -> LedgerEntry:
        """Return the entry that sets a mutation aside."""
        result = Result(envelope.n, mutation_id, Status.QUARANTINED, RESCUED, TEXTS[RESCUED])
        return LedgerEntry(
            device=self.device, person=self.person, incarnation=self.incarnation, n=n, mutation_id=mutation_id,
            repeats=None, name=envelope.name, payload_sum=envelope.payload_sum, payload=envelope.payload,
            status=Status.QUARANTINED, code=RESCUED, result=encode(result), received_at=self.now,
        )  # fmt: skip


async def rescue(
    store: Store[Any], request: RescueRequest, *, device: str, now: datetime, new_id: Callable[[], str]
) -> PushAnswer:
    """Keep a queue of this device's; return one result for each item, in order, as a push does.

    What the ledger knows answers as it ended. Doing it again changes nothing. Raises Refusal 404 `unknown_device`.
    """
    found = [_found(bytes(raw)) for raw in request.items]
    results: list[msgspec.Raw] = []
    for part in _parts(found):
        async with store.write() as tx:
            results += await _keep(tx, part, device, now, new_id())
    return PushAnswer(results)


def _parts(found: Sequence[_Found]) -> Iterator[Sequence[_Found]]:
    """Yield what goes into one transaction; an empty queue still asks whether the device is known."""
    for start in range(0, max(len(found), 1), PUSH_MUTATIONS):
        yield found[start : start + PUSH_MUTATIONS]


async def _keep(
    tx: Transaction, found: Sequence[_Found], device: str, now: datetime, incarnation: str
) -> list[msgspec.Raw]:
    state = await tx.ledger_state(device, incarnation)
    if state is None:
        raise Refusal(404, "unknown_device")
    place = _Place(device, state.person, incarnation, now)
    ids = {name for one in found for name in (one.envelope.id, one.otherwise)}
    entries = await tx.ledger(device, incarnation, range(0), ids)
    known = {entry.mutation_id: entry for entry in entries if entry.mutation_id is not None}
    kept: list[LedgerEntry] = []
    results: list[msgspec.Raw] = []
    for one in found:
        entry = _standing(known, one, state.person)
        if entry is None:
            mutation_id = one.otherwise if one.envelope.id in known else one.envelope.id
            entry = known[mutation_id] = place.entry(one.envelope, mutation_id, len(kept) + 1)
            kept.append(entry)
        results.append(msgspec.Raw(entry.result))
    if kept:
        await tx.record(kept)
    return results


def _standing(known: dict[str, LedgerEntry], one: _Found, person: str) -> LedgerEntry | None:
    """Return what the ledger says of a mutation: of the very same one, or of this payload kept under another id."""
    entry = known.get(one.envelope.id)
    if entry is not None and (entry.person, entry.payload_sum) == (person, one.envelope.payload_sum):
        return entry
    return known.get(one.otherwise)


def _found(raw: bytes) -> _Found:
    """Read an item as an outbox keeps it, or a mutation as it is; what is neither is kept by its bytes."""
    try:
        payload = msgspec.json.decode(raw, type=_Kept).payload.encode()
    except (msgspec.DecodeError, RecursionError):
        payload = raw
    digest = hashlib.sha256(payload)
    otherwise = str(UUID(bytes=digest.digest()[:16], version=5))
    try:
        envelope = envelope_of(payload)
    except Refusal:
        envelope = Envelope(otherwise, 0, "", payload, digest.hexdigest())
    return _Found(envelope, otherwise)
