"""What pull and reconcile share: who may be sent rows, filling a page, and storing the view before the answer goes."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from sync.feed import Entry, Position, View, Want
from sync.limits import PULL_BYTES_LEAST, PULL_BYTES_MOST, PULL_ENTRIES, VIEW_ATTEMPTS
from sync.protocol import Del, Drop, Notice, Op, PullAnswer, Put, Refusal
from sync.schemas import Schemas
from sync.store import DeviceState, Snapshot, Store

OP_BYTES: Final = 64
"""What an operation costs beside its names and body."""
START: Final = Position("", "", "")
"""Before every row: a page can be full before the first."""


@dataclass(frozen=True)
class Puller:
    """Who pulls: the device the request was authenticated as, and the secret its cookies are sealed with."""

    device: str
    secret: bytes


@dataclass(frozen=True)
class Draft:
    """An answer, and the view to store before it goes out (None: nothing to store)."""

    answer: PullAnswer | None
    view: View | None = None
    keep: frozenset[str] = frozenset()
    revision: int = 0
    complete: bool = False


Drafting: TypeAlias = Callable[[Snapshot], Awaitable[Draft]]


async def answered(store: Store[Any], device: str, drafting: Drafting, now: datetime) -> PullAnswer | None:
    """Draft from a snapshot until the view it sends is stored; raises Refusal 503 `busy` when others always overtake.

    Raises what `drafting` raises.
    """
    for _ in range(VIEW_ATTEMPTS):
        async with store.read() as snapshot:
            draft = await drafting(snapshot)
        if draft.view is None:
            return draft.answer
        async with store.write() as tx:
            saved = await tx.save_view(
                device, revision=draft.revision, view=draft.view, keep=draft.keep, complete=draft.complete, now=now
            )
        if saved:
            return draft.answer
    raise Refusal(503, "busy")


def admitted(state: DeviceState | None, schema: int, schemas: Schemas) -> tuple[DeviceState, int, Notice | None]:
    """Return the device, its last acknowledged number, and why it is sent no rows (None: it may have them).

    Raises Refusal 404 `unknown_device`, 409 `unknown_incarnation`.
    """
    if state is None:
        raise Refusal(404, "unknown_device")
    if state.revoked:
        return state, 0, Notice.WIPE
    if state.acked_n is None:
        raise Refusal(409, "unknown_incarnation")
    return state, state.acked_n, None if schemas.serves(schema) else Notice.UPGRADE


@dataclass
class Page:
    """The operations of one answer, filled up to a budget of bytes."""

    snapshot: Snapshot
    budget: int
    ops: list[Op] = field(default_factory=list[Op])

    @classmethod
    def within(cls, snapshot: Snapshot, max_bytes: int) -> "Page":
        """Return an empty page of the size the phone asked for, if that is a size we send."""
        return cls(snapshot, min(max(max_bytes, PULL_BYTES_LEAST), PULL_BYTES_MOST))

    def drop(self, buckets: Iterable[str]) -> None:
        """Tell the phone to forget these buckets."""
        for bucket in buckets:
            self.ops.append(Drop(bucket))
            self.budget -= len(bucket) + OP_BYTES

    async def pour(self, want: Want, after: Position | None) -> Position | None:
        """Add the wanted entries beyond `after`; return where the page was full, or None when it holds all of them."""
        while want.fresh or want.stayed:
            entries = await self.snapshot.entries(want, after, PULL_ENTRIES)
            added = self._add_all(entries)
            after = entries[added - 1].position if added else after
            if added < len(entries):
                return after or START
            if len(entries) < PULL_ENTRIES:
                break
        return None

    def _add_all(self, entries: Sequence[Entry]) -> int:
        """Add entries until the page is full; return how many."""
        for added, entry in enumerate(entries):
            if self.budget <= 0:
                return added
            self.add(entry)
        return len(entries)

    def add(self, entry: Entry) -> None:
        """Send an entry: its row, or that it is gone."""
        self.budget -= len(entry.body) + len(entry.bucket) + OP_BYTES
        if entry.deleted:
            self.ops.append(Del(entry.bucket, entry.entity, entry.row))
        else:
            self.ops.append(Put(entry.bucket, entry.entity, entry.row, msgspec.Raw(entry.body)))
