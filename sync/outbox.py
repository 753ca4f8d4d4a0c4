"""What a person did on a phone and how each of it ended: numbered, sent in order, and kept. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from sync.limits import BATCH_BYTES, BATCH_MUTATIONS, SCHEMA
from sync.protocol import Mutation, PushAnswer, Result, Status
from sync.task import VOID
from sync.texts import TEXTS


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """One mutation. `payload` is its JSON text, the same bytes at every sending; without a result it is pending.

    `covered` says that no later pull will acknowledge it by number, because its numbering ended. `replaced_by` is the
    `void` that is sent in its place, `settled_at` when the phone first found it settled.
    """

    id: str
    n: int
    incarnation: str
    payload: str
    result: Result | None = None
    covered: bool = False
    replaced_by: str | None = None
    settled_at: datetime | None = None

    @property
    def mutation(self) -> Mutation:
        """The mutation itself."""
        return msgspec.json.decode(self.payload, type=Mutation)

    @property
    def waits(self) -> bool:
        """Whether it has still to be sent."""
        return self.result is None and self.replaced_by is None


@dataclass
class Outbox:
    """Every mutation of this phone that it still keeps, in the order it was made."""

    incarnation: str
    next_n: int = 1
    items: dict[str, Item] = field(default_factory=dict[str, Item])
    schema: int = SCHEMA
    """What this app speaks; work done under an older app keeps the schema it was done in."""

    def put(self, name: str, mutation_id: str, now: datetime, **content: Any) -> Item:
        """Number a mutation and keep it; `content` are the other members of Mutation."""
        mutation = Mutation(id=mutation_id, n=self.next_n, name=name, schema=self.schema, occurred_at=now, **content)
        item = Item(mutation_id, self.next_n, self.incarnation, msgspec.json.encode(mutation).decode())
        self.items[mutation_id] = item
        self.next_n += 1
        return item

    def pending(self) -> list[Item]:
        """What has still to be sent, in order: what an earlier numbering lost with its server comes first."""
        places = {item.incarnation: place for place, item in reversed(list(enumerate(self.items.values())))}
        places[self.incarnation] = len(self.items)
        waiting = (item for item in self.items.values() if item.waits)
        return sorted(waiting, key=lambda item: (places[item.incarnation], item.n))

    @property
    def numbering_lost(self) -> bool:
        """Whether something waits that has a number of an earlier incarnation; it takes a new one to send it."""
        return any(item.waits and item.incarnation != self.incarnation for item in self.items.values())

    def unanswered(self) -> list[Item]:
        """What the server has not said it has, in the order it was made."""
        return [item for item in self.items.values() if item.result is None]

    def batch(self, limit: int = BATCH_MUTATIONS, max_bytes: int = BATCH_BYTES) -> list[Item]:
        """Return the next mutations to send: at least one if any is pending, at most `limit`, within `max_bytes`."""
        chosen: list[Item] = []
        size = 0
        current = [item for item in self.pending() if item.incarnation == self.incarnation]
        for item in current[:limit]:
            size += len(item.payload.encode())
            if chosen and (size > max_bytes or item.n != chosen[-1].n + 1):
                break
            chosen.append(item)
        return chosen

    def take(self, answer: PushAnswer) -> list[Item]:
        """Keep the results of a push; return the items that got their first. Taking it twice changes nothing."""
        settled: list[Item] = []
        for raw in answer.results:
            result = msgspec.json.decode(raw, type=Result)
            item = self.items.get(result.id)
            if item is not None and item.waits:
                settled.append(self._set(item, result=result))
        for item in list(self.items.values()):
            if item.result is None and item.replaced_by is not None and self.items[item.replaced_by].result is not None:
                undelivered = Result(item.n, item.id, Status.QUARANTINED, "undeliverable", TEXTS["undeliverable"])
                settled.append(self._set(item, result=undelivered))
        return settled

    def void(self, item: Item, reason: str, void_id: str, now: datetime) -> Item:
        """Send in an item's place only that it exists: the server cannot take it, and nothing behind it shall wait."""
        payload = item.payload.encode()
        args = {"of": item.id, "reason": reason, "bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest()}
        mutation = Mutation(id=void_id, n=item.n, name=VOID, schema=self.schema, occurred_at=now, args=args)
        self._set(item, replaced_by=void_id)
        self.items[void_id] = Item(void_id, item.n, item.incarnation, msgspec.json.encode(mutation).decode())
        return self.items[void_id]

    def reopen(self, expected_n: int) -> list[Item]:
        """Send again from a number on: the server, restored from a backup, no longer has them."""
        lost = [item for item in self.items.values() if item.incarnation == self.incarnation and item.n >= expected_n]
        return [self._set(item, result=None) for item in lost if item.result and item.replaced_by is None]

    def rewound(self, acked_n: int) -> list[Item]:
        """Send again what a restored server may have lost; return it. What it has after all, it knows by its id.

        Up to `acked_n` it has mutations of this incarnation, but they may be another copy's of this phone, which came
        first after the restore; so these are shown again too. If it has none, earlier ones find room before them;
        otherwise they wait for a new incarnation, so that nothing is done out of its order.
        """
        older = [item for item in self.items.values() if item.result and item.incarnation != self.incarnation]
        lost = self.reopen(1)
        lost += [self._set(item, result=None, covered=False) for item in older if item.replaced_by is None]
        if self.numbering_lost and acked_n == 0:
            self.renumber(self.incarnation)
        return lost

    def reopen_all(self) -> None:
        """Send everything again that is kept, whichever numbering it had."""
        for item in list(self.items.values()):
            if item.result and item.replaced_by is None:
                self._set(item, result=None, covered=False)

    def forget(self, item: Item) -> None:
        """Keep an item no longer."""
        del self.items[item.id]

    def settled(self, now: datetime) -> list[Item]:
        """Return what has its result, each with the time it was first found to have one."""
        ended = [item for item in list(self.items.values()) if item.result is not None]
        return [item if item.settled_at else self._set(item, settled_at=now) for item in ended]

    def renumber(self, incarnation: str) -> None:
        """Begin a new ledger: what has no result gets new numbers; what has one is done with."""
        waiting = self.pending()
        self.incarnation, self.next_n = incarnation, 1
        for item in list(self.items.values()):
            if not item.waits:
                self._set(item, covered=True)
        for item in waiting:
            self._set(item, n=self.next_n, incarnation=incarnation, payload=_numbered(item.payload, self.next_n))
            self.next_n += 1

    @classmethod
    def load(cls, incarnation: str, items: Iterable[Item], made_n: int = 0, schema: int = SCHEMA) -> "Outbox":
        """Return the outbox that was stored; `made_n` numbers were given, some of them to what is kept no longer."""
        outbox = cls(incarnation, items={item.id: item for item in items}, schema=schema)
        numbers = [item.n for item in outbox.items.values() if item.incarnation == incarnation]
        outbox.next_n = max([made_n, *numbers]) + 1
        return outbox

    def _set(self, item: Item, **changes: Any) -> Item:
        self.items[item.id] = msgspec.structs.replace(item, **changes)
        return self.items[item.id]


def answered_before(outbox: Outbox, item: Item) -> str | None:
    """Return the id that was answered under the number before an item's, if it is still kept."""
    place = (item.incarnation, item.n - 1)
    answered = (one for one in outbox.items.values() if one.result is not None and one.replaced_by is None)
    return next((one.id for one in answered if (one.incarnation, one.n) == place), None)


def _numbered(payload: str, n: int) -> str:
    content: dict[str, Any] = msgspec.json.decode(payload)
    return msgspec.json.encode({**content, "n": n}).decode()
