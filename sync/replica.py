"""A model phone: rows of the last pull with the person's own pending work on top. Pure; the reference for any client.

The phone never waits for the server. Work is numbered and kept in the outbox (`sync.work`), and pulled rows are applied
under it: what the person sees is base + pending, and one bad mutation never holds a download up. Pages of a long pull
are staged, and the phone changes over to them at once when the last is in. Time, ids, network and disk belong to the
caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec

from sync.holding import Holding, damaged, swapped
from sync.limits import BATCH_BYTES, BATCH_MUTATIONS, PULL_BYTES
from sync.outbox import Item, Outbox, answered_before
from sync.policy import POLICY, Policy
from sync.protocol import (
    EnrolAnswer,
    Notice,
    PullAnswer,
    PullRequest,
    PushAnswer,
    PushRequest,
    RescueRequest,
    Status,
    position_digest,
)
from sync.schemas import SHIPPED, Schemas
from sync.shown import Effect, Shown, lay_over, taken

PENDING: Final = "pending"
IN_EFFECT: Final = frozenset((Status.APPLIED, Status.MERGED, Status.NOOP, Status.CONFLICT))


class Pulled(StrEnum):
    """What an answer to a pull meant."""

    UNCHANGED = "unchanged"
    MORE = "more"
    """A page was staged; ask for the next."""
    DONE = "done"
    REWOUND = "rewound"
    """Complete, from a server that was restored: what it may have lost waits to be sent again."""
    DAMAGED = "damaged"
    """Complete, but its check failed: the next pull asks for everything anew."""
    IGNORED = "ignored"
    """It answers an older question."""
    UNKNOWN = "unknown"
    """The server no longer knows what this phone holds: compare with it (sync.repair), or pull everything."""
    UPGRADE = "upgrade"
    WIPED = "wiped"


class Stored(msgspec.Struct, frozen=True):
    """A replica as it is kept on disk."""

    identity: EnrolAnswer
    holding: Holding
    pages: list[PullAnswer]
    items: list[Item]
    printed: int
    too_old: bool
    wiped: bool
    rewinding: bool = False
    rewinds: int = 0
    wipe_told: bool = False


@dataclass
class Replica:
    """One phone. `effects` say what pending commands look like, by mutation name."""

    identity: EnrolAnswer
    outbox: Outbox
    policy: Policy = POLICY
    effects: Mapping[str, Effect] = field(default_factory=dict[str, Effect])
    holding: Holding = field(default_factory=Holding)
    pages: list[PullAnswer] = field(default_factory=list[PullAnswer])
    printed: int = 0
    """Numbers this phone has printed on forms."""
    too_old: bool = False
    wiped: bool = False
    rewinding: bool = False
    """Whether the server was found restored, and what the phone holds is not yet compared with it."""
    rewinds: int = 0
    """Restores this phone has lived through, or perhaps has; a file sent before the last has to be asked after."""
    wipe_told: bool = False
    """Whether the server knows that this phone has wiped itself."""
    schemas: Schemas = SHIPPED
    """What this app knows: the newest is what it speaks, the steps show it work done under an older app."""

    @classmethod
    def fresh(
        cls, identity: EnrolAnswer, *, policy: Policy = POLICY, effects: Mapping[str, Effect] | None = None
    ) -> "Replica":
        """Return a phone that has just been registered."""
        return cls(identity, Outbox(identity.incarnation), policy, effects or {})

    @classmethod
    def restored(
        cls,
        stored: Stored,
        *,
        policy: Policy = POLICY,
        effects: Mapping[str, Effect] | None = None,
        schemas: Schemas = SHIPPED,
    ) -> "Replica":
        """Return the phone that was stored."""
        incarnation, held = stored.identity.incarnation, stored.holding
        made_n = held.made_n if held.incarnation == incarnation else 0
        outbox = Outbox.load(incarnation, stored.items, made_n, schemas.current)
        return cls(
            stored.identity, outbox, policy, effects or {}, stored.holding, stored.pages,
            stored.printed, stored.too_old, stored.wiped, stored.rewinding, stored.rewinds, stored.wipe_told, schemas,
        )  # fmt: skip

    def stored(self) -> Stored:
        """Return everything as a value that goes to JSON and back.

        A phone that keeps it on disk before it answers a person loses nothing when killed.
        """
        pages, items = list(self.pages), list(self.outbox.items.values())
        return Stored(
            self.identity, self.holding, pages, items, self.printed, self.too_old, self.wiped, self.rewinding,
            self.rewinds, self.wipe_told,
        )  # fmt: skip

    def shown(self) -> Shown:
        """Return the rows as the person sees them: the last pull under whatever is not part of it yet."""
        if self.wiped:
            return Shown(Holding())
        shown = Shown(self.holding)
        for item in self.outbox.items.values():
            if not covered(self.holding, item) and (item.result is None or item.result.status in IN_EFFECT):
                mutation = self.schemas.raised(taken(item.mutation, item.result))
                lay_over(shown, mutation, item.result, self.effects)
        return shown

    def state_of(self, mutation_id: str) -> str:
        """Return the one state a mutation is in: "pending", or its result's status."""
        result = self.outbox.items[mutation_id].result
        return result.status if result else PENDING

    def next_number(self) -> str:
        """Return a number no other phone prints, for a form; the server's own number is an alias beside it."""
        self.printed += 1
        return f"{self.identity.prefix}-{self.printed:05d}"

    def hinted(self, v: int) -> bool:
        """Whether a hint that the server's clock stands at `v` is worth a pull; true or not, it changes nothing."""
        return v > self.holding.v

    def pull_request(self, max_bytes: int = PULL_BYTES) -> PullRequest:
        """Return the next pull: what changed, or the next page."""
        page = self.pages[-1].page if self.pages else None
        return PullRequest(self.identity.incarnation, self.schemas.current, self.holding.cookie, page, max_bytes)

    def take_pull(self, answer: PullAnswer | None) -> Pulled:
        """Take an answer (None for 204). Taking it twice, or late, changes nothing."""
        if answer is None:
            return Pulled.UNCHANGED
        request = self.pull_request()
        if answer.of != position_digest(request):
            return Pulled.IGNORED
        if Notice.WIPE in answer.notices:
            self._wipe()
            return Pulled.WIPED
        if Notice.UPGRADE in answer.notices:
            self.too_old = True
            return Pulled.UPGRADE
        if Notice.RECONCILE in answer.notices:
            self.rewinding = self.rewinding or Notice.REWIND in answer.notices
            self.begin_again(keep_cookie=False)
            return Pulled.UNKNOWN
        self.pages.append(answer)
        return self._swap() if answer.page is None else Pulled.MORE

    def push_request(self, limit: int = BATCH_MUTATIONS, max_bytes: int = BATCH_BYTES) -> PushRequest | None:
        """Return the next batch to send, or None when nothing waits."""
        batch = self.outbox.batch(limit, max_bytes)
        mutations = [msgspec.Raw(item.payload.encode()) for item in batch]
        return (
            PushRequest(self.identity.incarnation, mutations, answered_before(self.outbox, batch[0])) if batch else None
        )

    def take_push(self, answer: PushAnswer) -> list[Item]:
        """Take the results of a push; return what was settled by it. Taking it twice changes nothing."""
        if Notice.WIPE in answer.notices:
            self._wipe()
        settled = self.outbox.take(answer)
        if self.wiped:
            self._wipe()
        return settled

    def begin_again(self, *, keep_cookie: bool) -> None:
        """Begin the unfinished pull anew; without its cookie, the phone asks for everything."""
        self.pages.clear()
        if not keep_cookie:
            self.holding = msgspec.structs.replace(self.holding, cookie=None)

    def renewed(self, identity: EnrolAnswer, *, forgotten: bool = False) -> None:
        """Go on under a new incarnation: numbers begin at 1, on forms too, under a prefix of its own.

        `forgotten`: the server did not know the last one, which it gave itself. So it was restored; what it may have
        lost is sent again before what waits.
        """
        self.rewinding = self.rewinding or forgotten
        if forgotten:
            self.outbox.reopen_all()
        self.outbox.renumber(identity.incarnation)
        self.identity, self.printed = identity, 0
        self.pages.clear()

    def _swap(self) -> Pulled:
        pages, self.pages = self.pages, []
        self.holding = swapped(self.holding, pages, self.identity.incarnation, self.outbox.next_n - 1)
        self.too_old = False
        self.rewinding = self.rewinding or any(Notice.REWIND in page.notices for page in pages)
        lost = lost_again(self, anew=pages[0].reset)
        if damaged(self.holding.buckets, pages[-1].checks):
            self.begin_again(keep_cookie=False)
            return Pulled.DAMAGED
        return Pulled.REWOUND if lost else Pulled.DONE

    def _wipe(self) -> None:
        """Show nothing from now on; the rows go when the server has everything that was done here.

        Nobody tells a wiped phone of a restore, so it hands over what was answered, too; the server knows it by its id.
        """
        if not self.wiped:
            self.outbox.reopen_all()
        self.wiped = True
        self.pages.clear()
        if not self.outbox.unanswered():
            self.holding = Holding()


def rescue_request(replica: Replica, max_bytes: int = BATCH_BYTES) -> RescueRequest | None:
    """Return the next part of the raw queue: at least one item if any is unanswered, within `max_bytes`."""
    part: list[msgspec.Raw] = []
    size = 0
    for item in replica.outbox.unanswered():
        raw = msgspec.json.encode(item)
        size += len(raw)
        if part and size > max_bytes:
            break
        part.append(msgspec.Raw(raw))
    return RescueRequest(part) if part else None


def lost_again(replica: Replica, *, anew: bool) -> bool:
    """After everything was fetched from, or compared with, a restored server: let what it lost wait again.

    Returns whether anything waits now. `anew`: the phone had no cookie by which a server could tell it of a restore.
    Nor do the numbers say, as another copy of the phone may have used them since; so all that was
    answered is shown again.
    """
    if not replica.rewinding and not anew:
        return False
    worked = replica.rewinding or any(item.result is not None for item in replica.outbox.items.values())
    replica.rewinding, replica.rewinds = False, replica.rewinds + 1  # files that were sent are asked after either way
    if not worked:
        return False
    replica.outbox.rewound(replica.holding.acked_n)
    return bool(replica.outbox.pending())


def covered(held: Holding, item: Item) -> bool:
    """Whether the rows of the last pull already have the item's effect, or the reason for which it has none.

    An acknowledgement beyond the last number this phone had given shows that another copy of it uses the numbering:
    it says nothing of what still waits. The next push finds out, and begins a new one.
    """
    acknowledged = item.incarnation == held.incarnation and item.n <= min(held.acked_n, held.made_n)
    return item.covered or (acknowledged and (held.acked_n <= held.made_n or item.result is not None))
