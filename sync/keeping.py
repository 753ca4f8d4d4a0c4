"""How long a phone keeps its work: until a backup holds it, to bring a restored server what it lost. Pure."""

from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Final

from sync.holding import Holding
from sync.limits import KEPT_DAYS
from sync.outbox import Item
from sync.protocol import Status
from sync.replica import Replica, covered

DONE: Final = frozenset((Status.APPLIED, Status.MERGED, Status.NOOP))
"""Ends nobody has to be shown; an item that ended otherwise stays."""


def forget_delivered(replica: Replica, now: datetime, unsafe_files: AbstractSet[str] = frozenset()) -> None:
    """Keep no longer what is done, part of the rows, and safe: in a backup, or old where no backup is heard of.

    Work stays as long as one of the files it names is not safe (`sync.shelf.unsafe`).
    """
    for item in replica.outbox.settled(now):
        done = item.result is not None and item.result.status in DONE and covered(replica.holding, item)
        if done and _safe(replica, item, now) and unsafe_files.isdisjoint(item.mutation.blobs):
            replica.outbox.forget(item)


def files_kept(replica: Replica) -> set[str]:
    """Return the sha256 names of files that stay on the phone, as work that is kept still needs them."""
    return {name for item in replica.outbox.items.values() for name in item.mutation.blobs}


def erase(replica: Replica) -> None:
    """Forget everything but who this phone was, so that it can say that it has wiped itself."""
    replica.outbox.items.clear()
    replica.pages.clear()
    replica.holding = Holding()


def _safe(replica: Replica, item: Item, now: datetime) -> bool:
    """Whether the server cannot lose the item any more.

    A backup that holds this incarnation holds all that was acknowledged before it began.
    """
    if replica.holding.durable is None:
        return item.settled_at is not None and now - item.settled_at > timedelta(days=KEPT_DAYS)
    incarnation, n = replica.holding.durable
    if item.incarnation == incarnation:
        return item.n <= n
    return incarnation == replica.identity.incarnation
