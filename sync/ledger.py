"""Planning a push against the ledger: which mutations are new, which were answered before, what is missing. Pure.

The ledger's key is (device, incarnation, n); a mutation's id is unique over all ledgers. So a repeat is answered from
the ledger, a mutation that arrives under a second number (a phone that lost its numbering) is not done twice, and two
phones with one cloned identity find out: the second to use a number is told to begin a new incarnation.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from sync.limits import N_MOST, PUSH_MUTATIONS
from sync.protocol import UUID_TEXT, Refusal, Result
from sync.store import LedgerEntry


class Label(msgspec.Struct, frozen=True):
    """The least that must be readable of a mutation, so that a bad one still takes its place in the order."""

    id: Annotated[str, msgspec.Meta(pattern=UUID_TEXT)]
    n: Annotated[int, msgspec.Meta(ge=1, le=N_MOST)]
    name: Any = ""


@dataclass(frozen=True)
class Envelope:
    """One mutation as it arrived, with the sum of its content (its number left out: that may change)."""

    id: str
    n: int
    name: str
    payload: bytes
    payload_sum: str


@dataclass(frozen=True)
class Repeat:
    """Answered before: the same bytes again."""

    result: bytes


@dataclass(frozen=True)
class Known:
    """This mutation was answered under another number; it takes this number too, and its answer stands."""

    envelope: Envelope
    result: Result


@dataclass(frozen=True)
class Misused:
    """Its id belongs to something else; it takes its number and is rejected."""

    envelope: Envelope


@dataclass(frozen=True)
class Fresh:
    """To be done."""

    envelope: Envelope


Step: TypeAlias = Repeat | Known | Misused | Fresh

NAME_LENGTH: Final = 60


def read_batch(mutations: Sequence[msgspec.Raw]) -> list[Envelope]:
    """Read the labels of a batch; raises Refusal when it is too long, unreadable or not numbered consecutively."""
    if len(mutations) > PUSH_MUTATIONS:
        raise Refusal(413, "too_many_mutations")
    envelopes = [envelope_of(bytes(raw)) for raw in mutations]
    for one, following in pairwise(envelopes):
        if following.n != one.n + 1:
            raise Refusal(400, "not_consecutive")
    return envelopes


def plan_batch(
    envelopes: Sequence[Envelope],
    *,
    device: str,
    person: str,
    incarnation: str,
    acked_n: int,
    known: Iterable[LedgerEntry],
    before: tuple[int, str | None] = (0, None),
) -> list[Step]:
    """Say what to do with each mutation, in order; `before` is a number and the id a phone says was answered there.

    Raises Refusal 409: `gap` when an earlier number never arrived, or has something else (then all is asked for again),
    `n_taken` when one was used for another payload.
    """
    by_n: dict[int, LedgerEntry] = {}
    by_id: dict[str, LedgerEntry] = {}
    for entry in known:
        if (entry.device, entry.incarnation) == (device, incarnation):
            by_n[entry.n] = entry
        if entry.mutation_id is not None:
            by_id[entry.mutation_id] = entry
    if envelopes and envelopes[0].n > acked_n + 1:
        raise Refusal(409, "gap", expected_n=acked_n + 1)
    preceding = by_n.get(before[0])
    if before[1] is not None and preceding is not None and before[1] not in (preceding.mutation_id, preceding.repeats):
        raise Refusal(409, "gap", expected_n=1)
    steps: list[Step] = []
    seen: set[str] = set()
    for envelope in envelopes:
        step = _step(envelope, by_n, by_id, seen, person)
        if isinstance(step, Fresh):
            seen.add(envelope.id)
        steps.append(step)
    return steps


def _step(
    envelope: Envelope,
    by_n: Mapping[int, LedgerEntry],
    by_id: Mapping[str, LedgerEntry],
    seen: set[str],
    person: str,
) -> Step:
    standing = by_n.get(envelope.n)
    if standing is not None:
        if envelope.id not in (standing.mutation_id, standing.repeats) or standing.payload_sum != envelope.payload_sum:
            raise Refusal(409, "n_taken")
        return Repeat(standing.result)
    if envelope.id in seen:
        return Misused(envelope)
    original = by_id.get(envelope.id)
    if original is None:
        return Fresh(envelope)
    if original.person != person or original.payload_sum != envelope.payload_sum:
        return Misused(envelope)
    stored = msgspec.json.decode(original.result, type=Result)
    return Known(envelope, msgspec.structs.replace(stored, n=envelope.n))


def envelope_of(payload: bytes) -> Envelope:
    """Read a mutation's label and sum its content; raises Refusal 400."""
    try:
        label = msgspec.json.decode(payload, type=Label)
        content = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal(400, "unreadable") from error
    del content["n"]
    payload_sum = hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()
    name = re.sub(r"[^\w.-]", "?", label.name, flags=re.ASCII) if isinstance(label.name, str) else ""
    return Envelope(label.id, label.n, name[:NAME_LENGTH], payload, payload_sum)
