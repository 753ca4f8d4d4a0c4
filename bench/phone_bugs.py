"""Bugs of hints, restores and housekeeping (see bench.seeded_bugs), two of them too rare to be hunted by seeds."""

from contextlib import AbstractContextManager
from typing import Any

import msgspec

from bench.bug_parts import part, replaced
from sync import feed, push, replica, shelf
from sync.desk import Reach


def hint_believed() -> AbstractContextManager[None]:
    """A phone takes the clock a hint tells of for its own."""
    hinted = part(replica.Replica, "hinted")

    def believed(self: replica.Replica, v: int) -> bool:
        worth_it = hinted(self, v)
        self.holding = msgspec.structs.replace(self.holding, v=v)
        return worth_it

    return replaced(replica.Replica, hinted=believed)


def lost_grants_rejected() -> AbstractContextManager[None]:
    """After a restore, work on what was granted in the lost days is rejected, and nobody sees it."""
    return replaced(push, PERHAPS_LOST=push.BARRED[Reach.NONE])


def compaction_forgets_unfinished_pulls() -> AbstractContextManager[None]:
    """Of views only their own age counts: an unfinished pull goes on without the deletions it still had to tell.

    One seed in a thousand shows it, so it is not among those hunted; a history that is kept does.
    """

    def by_age(view: feed.View, floor: int) -> bool:
        return view.v >= floor

    return replaced(feed.View, outlives=by_age)


def order_lost_with_a_copy() -> AbstractContextManager[None]:
    """Phones do not say what came before their work, and copies of one take each other's numbers after a restore.

    One seed in some hundreds shows it, so it is not among those hunted; a history that is kept does.
    """

    def unsaid(*_: Any) -> None:
        return None

    return replaced(replica, answered_before=unsaid)


def photo_trusted_after_a_restore() -> AbstractContextManager[None]:
    """A phone takes a photo it once sent for safe, though the server was put back since."""

    def once(file: shelf.OwnFile, _rewinds: int) -> bool:
        return file.state is shelf.FileState.WAITING

    return replaced(shelf, _is_missing=once)
