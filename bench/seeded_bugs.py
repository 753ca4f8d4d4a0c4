"""`make sim-bugs`: known bugs put into sync one at a time, each of which the simulation must catch.

    .venv/bin/python -m bench.seeded_bugs --seeds 400 --steps 200

For each bug: the seed and step at which it was caught, and the promise it broke. Exit code 1 if one is not caught.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from bench.bug_parts import Bug, part, replaced
from bench.phone_bugs import hint_believed, lost_grants_rejected, photo_trusted_after_a_restore
from bench.sim.history import Ending, drawn, play
from bench.sim.place import MemoryPlace, ServerKilled
from sync import (
    accepting,
    deciding,
    edits,
    feed,
    keeping,
    ledger,
    memory,
    merge,
    pages,
    protocol,
    pull,
    push,
    reconcile,
    replica,
    rescue,
    schemas,
)
from sync.desk import Desk, Reach
from sync.holding import swapped
from sync.outbox import Outbox

SEEDS: Final = 400
STEPS: Final = 200

ROUND: Final = part(pull, "_Round")
TABLES: Final = part(memory, "_Tables")

START: Final = part(pull, "_Start")
RULES: Final = part(memory, "_Rules")
TURN: Final = part(push, "_Turn")


def cursor_before_commit() -> AbstractContextManager[None]:
    """A phone's cursor is a number that a transaction has taken and not yet committed."""
    view = part(ROUND, "_view")

    def ahead(self: Any, buckets: dict[str, int]) -> feed.View:
        return replace(view(self, buckets), v=self.state.v + 1)

    return replaced(ROUND, _view=ahead)


@contextmanager
def cursor_outside_the_snapshot() -> Generator[None]:
    """The cursor is read after the rows, outside their snapshot: what commits between is never sent."""
    read, view = part(memory.MemoryStore, "read"), part(ROUND, "_view")
    live: list[memory.MemoryStore] = []

    def noted(self: memory.MemoryStore) -> Any:
        live[:] = [self]
        return read(self)

    def late(self: Any, buckets: dict[str, int]) -> feed.View:
        return replace(view(self, buckets), v=live[0].backup().tables.v)

    with replaced(memory.MemoryStore, read=noted), replaced(ROUND, _view=late):
        yield


def missing_exit() -> AbstractContextManager[None]:
    """A bucket that left the scope is not dropped from the phone."""

    def without_exits(held: Any, since: int, scope: feed.Scope) -> feed.Plan:
        return replace(feed.compare(held, since, scope), leave=())

    return replaced(pull, compare=without_exits)


def tombstone_forgotten() -> AbstractContextManager[None]:
    """A row that was deleted, or went to another bucket, leaves no trace in the old one."""
    enter = part(TABLES, "_enter")

    def forgetful(self: Any, entry: feed.Entry) -> None:
        if entry.deleted:
            del self.entries[entry.position]
        else:
            enter(self, entry)

    return replaced(TABLES, _enter=forgetful)


def ack_before_commit() -> AbstractContextManager[None]:
    """An answer goes out before its commit is durable: a server killed then takes the last one with it."""
    write = part(memory.MemoryStore, "write")
    durable: dict[int, Any] = {}

    @asynccontextmanager
    async def lazily(self: memory.MemoryStore) -> AsyncGenerator[Any]:
        before = self.backup()
        try:
            async with write(self) as tx:
                yield tx
        except ServerKilled:
            self.__dict__["_tables"] = durable.get(id(self), before).tables
            raise
        durable[id(self)] = before

    return replaced(memory.MemoryStore, write=lazily)


def merge_drops_theirs() -> AbstractContextManager[None]:
    """Where two people changed one field, the later upload wins and the other is gone."""

    def last_wins(wanted: Mapping[str, Any], current: Any, policy: Any, conflicts: Any) -> merge.Merged:
        merged = merge.merge_edits(wanted, current, policy, conflicts)
        mine = {name: value for clash in merged.clashes for name, value in clash.mine.items()}
        return merge.Merged({**merged.changes, **mine}, (), merged.idle)

    return replaced(edits, merge_edits=last_wins)


def repeat_differs() -> AbstractContextManager[None]:
    """A repeated mutation is answered anew, not byte for byte."""
    step = part(ledger, "_step")

    def reworded(*args: Any) -> Any:
        found = step(*args)
        if not isinstance(found, ledger.Repeat):
            return found
        result = msgspec.json.decode(found.result, type=protocol.Result)
        return ledger.Repeat(protocol.encode(msgspec.structs.replace(result, text=None)))

    return replaced(ledger, _step=reworded)


@contextmanager
def done_twice() -> Generator[None]:
    """A mutation whose answer was lost is done again when it is sent again."""
    step, record = part(ledger, "_step"), part(memory.MemoryTransaction, "record")

    def forgetful(envelope: Any, *args: Any) -> Any:
        found = step(envelope, *args)
        return ledger.Fresh(envelope) if isinstance(found, ledger.Repeat | ledger.Known) else found

    async def overwriting(self: Any, entries: Sequence[Any]) -> None:
        for entry in entries:
            self.tables.ledger.pop((entry.device, entry.incarnation, entry.n), None)
            self.tables.mutations.pop(entry.mutation_id, None)
        await record(self, entries)

    with replaced(ledger, _step=forgetful), replaced(memory.MemoryTransaction, record=overwriting):
        yield


def scope_leak() -> AbstractContextManager[None]:
    """One site too many is in everybody's scope."""
    scope_now = part(RULES, "scope_now")

    def wide(self: Any, tables: Any, person: str, now: datetime) -> feed.Scope:
        scope = scope_now(self, tables, person, now)
        more = next((name for name in sorted(tables.heads) if name.startswith("site:")), None)
        heads = {**scope.heads} if more is None else {**scope.heads, more: tables.heads[more]}
        return replace(scope, heads=heads)

    return replaced(RULES, scope_now=wide)


def half_a_pull_shown() -> AbstractContextManager[None]:
    """Pages are shown as they come in."""
    take_pull = part(replica.Replica, "take_pull")

    def at_once(self: replica.Replica, answer: Any) -> replica.Pulled:
        meant = take_pull(self, answer)
        if meant is replica.Pulled.MORE:
            held = self.holding
            shown = swapped(held, self.pages, held.incarnation, held.made_n)
            self.holding = msgspec.structs.replace(held, buckets=shown.buckets)
        return meant

    return replaced(replica.Replica, take_pull=at_once)


@contextmanager
def order_of_n_violated() -> Generator[None]:
    """A batch is done from its end."""
    take, record = part(TURN, "take"), part(memory.MemoryTransaction, "record")

    async def backwards(self: Any, tasks: Sequence[Any], steps: Sequence[Any]) -> list[bytes]:
        results = await take(self, tasks[::-1], steps[::-1])
        return results[::-1]

    async def sorted_again(self: Any, entries: Sequence[Any]) -> None:
        await record(self, sorted(entries, key=lambda entry: entry.n))

    with replaced(TURN, take=backwards), replaced(memory.MemoryTransaction, record=sorted_again):
        yield


def row_lost_between_pages() -> AbstractContextManager[None]:
    """A page says that it ends one row after where it does."""
    pour = part(pages.Page, "pour")

    async def one_too_far(self: Any, want: feed.Want, after: feed.Position | None) -> feed.Position | None:
        full = await pour(self, want, after)
        if full is None or full == pages.START:
            return full
        beyond = await self.snapshot.entries(want, full, 1)
        return beyond[0].position if beyond else full

    return replaced(pages.Page, pour=one_too_far)


def time_alone_forgotten() -> AbstractContextManager[None]:
    """Work that comes and goes with time alone is not noticed until somebody writes."""

    def by_clock(self: Any, v: int, now: datetime) -> bool:  # noqa: ARG001 - that is the bug
        return self.cookie is not None and self.cookie.v == v

    return replaced(START, nothing_happened=by_clock)


def revoked_phone_served() -> AbstractContextManager[None]:
    """A revoked phone is still sent rows."""
    device = part(memory.MemorySnapshot, "device")

    async def trusting(self: Any, name: str, incarnation: str) -> Any:
        state = await device(self, name, incarnation)
        return None if state is None else replace(state, revoked=False)

    return replaced(memory.MemorySnapshot, device=trusting)


def reach_unchecked() -> AbstractContextManager[None]:
    """A phone may push to what it never held."""

    async def anywhere(self: Desk, bucket: str) -> Reach:  # noqa: ARG001 - that is the bug
        return Reach.IN_SCOPE

    return replaced(Desk, reach=anywhere)


def clones_mixed() -> AbstractContextManager[None]:
    """A number used by another copy of the phone is answered with that copy's result."""
    step = part(ledger, "_step")

    def careless(envelope: Any, by_n: Mapping[int, Any], *args: Any) -> Any:
        standing = by_n.get(envelope.n)
        return step(envelope, by_n, *args) if standing is None else ledger.Repeat(standing.result)

    return replaced(ledger, _step=careless)


def restore_forgets_the_epoch() -> AbstractContextManager[None]:
    """The servers are put back as one puts a file back: nobody says that it happened."""

    def silently(self: memory.MemoryStore, backup: Any, *, epoch: str) -> None:  # noqa: ARG001 - that is the bug
        self.__dict__["_tables"] = backup.tables.copy()

    return replaced(memory.MemoryStore, restore=silently)


def rewind_sends_nothing() -> AbstractContextManager[None]:
    """A phone that hears of a restore pulls anew, and keeps to itself what the server lost."""

    def keeping(self: Outbox, acked_n: int) -> list[Any]:  # noqa: ARG001 - that is the bug
        return []

    return replaced(Outbox, rewound=keeping)


def forgotten_before_a_backup() -> AbstractContextManager[None]:
    """A phone forgets its work as soon as it is acknowledged, whether a backup holds it or not."""

    def careless(*_: Any) -> bool:
        return True

    return replaced(keeping, _safe=careless)


def compaction_drops_a_live_exit() -> AbstractContextManager[None]:
    """Deletions are forgotten, and the phones that have not heard of them go on as if there had been none."""
    compact = part(memory.MemoryStore, "compact")

    def carelessly(self: memory.MemoryStore, floor: int) -> None:
        with replaced(feed.View, outlives=always):
            compact(self, floor)

    def always(*_: Any) -> bool:
        return True

    return replaced(memory.MemoryStore, compact=carelessly)


def decision_not_stamped() -> AbstractContextManager[None]:
    """A decision is written down, and no phone ever hears of it."""
    save = part(memory.MemoryConflicts, "save_conflicts")

    async def silently(self: Any, conflicts: Sequence[Any]) -> None:
        touched = set(self.touched)
        await save(self, conflicts)
        if all(conflict.decision for conflict in conflicts):
            self.touched = touched

    return replaced(memory.MemoryConflicts, save_conflicts=silently)


def decided_unseen() -> AbstractContextManager[None]:
    """A phone decides on a value it never saw."""
    original = deciding.decide

    async def decide(tx: Any, conflict_id: str, choice: Any, **named: Any) -> Any:
        return await original(tx, conflict_id, replace(choice, seen=None), **named)

    return replaced(deciding, decide=decide)


def accepted_twice_as_much() -> AbstractContextManager[None]:
    """What is accepted is done, and then done once more."""
    do = part(accepting, "_Accepting").do

    async def twice(self: Any, *args: Any) -> Any:
        await do(self, *args)
        return await do(self, *args)

    return replaced(part(accepting, "_Accepting"), do=twice)


def flaw_unnoticed() -> AbstractContextManager[None]:
    """A phone does not compare what it holds with the server's sums."""

    def unseen(*_: Any) -> list[str]:
        return []

    return replaced(replica, damaged=unseen)


def comparison_keeps_the_stranger() -> AbstractContextManager[None]:
    """A comparison sends what is missing, and leaves what should not be there."""
    differences = part(reconcile, "_differences")

    async def only_missing(page: Any, bucket: str, listed: Mapping[str, int]) -> bool:
        done = await differences(page, bucket, listed)
        page.ops[:] = [op for op in page.ops if not isinstance(op, protocol.Del)]
        return done

    return replaced(reconcile, _differences=only_missing)


def adapter_drops_a_field() -> AbstractContextManager[None]:
    """What an older app says of a renamed field is dropped on the way to today's words."""
    raised = part(schemas, "_raised")

    def lossy(mutation: Any, step: Any) -> Any:
        told = raised(mutation, step)
        return msgspec.structs.replace(told, fields={name: told.fields[name] for name in told.fields if name != "note"})

    return replaced(schemas, _raised=lossy)


def sums_of_todays_rows() -> AbstractContextManager[None]:
    """An older app is sent rows it knows with the sums of rows it does not."""

    async def as_they_are(self: Any, person: str, now: datetime) -> feed.Scope:
        return await self.snapshot.scope(person, now)

    return replaced(schemas.Lowered, scope=as_they_are)


def rescue_leaves_some() -> AbstractContextManager[None]:
    """A rescue answers for everything and keeps all but the last."""
    keep = part(rescue, "_keep")

    async def all_but_one(tx: Any, found: Sequence[Any], *args: Any) -> list[Any]:
        record = tx.record

        async def fewer(entries: Sequence[Any]) -> None:
            await record(entries[:-1])

        tx.record = fewer
        return await keep(tx, found, *args)

    return replaced(rescue, _keep=all_but_one)


BUGS: Final[Sequence[Bug]] = (
    cursor_before_commit, cursor_outside_the_snapshot, missing_exit, tombstone_forgotten, ack_before_commit,
    merge_drops_theirs, repeat_differs, done_twice, scope_leak, half_a_pull_shown, order_of_n_violated,
    row_lost_between_pages, time_alone_forgotten, revoked_phone_served, reach_unchecked, clones_mixed,
    restore_forgets_the_epoch, rewind_sends_nothing, forgotten_before_a_backup, compaction_drops_a_live_exit,
    decision_not_stamped, decided_unseen, accepted_twice_as_much, flaw_unnoticed,
    comparison_keeps_the_stranger, adapter_drops_a_field, sums_of_todays_rows, rescue_leaves_some,
    hint_believed, lost_grants_rejected, photo_trusted_after_a_restore,
)  # fmt: skip


@dataclass(frozen=True)
class Caught:
    """The first history that broke a promise."""

    seed: int
    ending: Ending


def hunt(bug: Bug, *, first: int = 1, seeds: int = SEEDS, steps: int = STEPS) -> Caught | None:
    """Walk histories with the bug until a promise breaks; None when none did."""
    with ExitStack() as stack:
        stack.enter_context(bug())
        for seed in range(first, first + seeds):
            ending = asyncio.run(play(drawn(seed, steps), MemoryPlace(), check_every=1))
            if ending.broken is not None:
                return Caught(seed, ending)
    return None


def name_of(bug: Bug) -> str:
    """Return a bug's name."""
    return getattr(bug, "__name__", repr(bug))


def main() -> int:
    """Hunt every bug; return 0 when each was caught."""
    parser = argparse.ArgumentParser(prog="sim-bugs", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="histories tried before a bug counts as missed")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of each history")
    parser.add_argument("bugs", nargs="*", help="names of bugs (default: all)")
    given = parser.parse_args()
    began, survivors = time.perf_counter(), 0
    hunted = [bug for bug in BUGS if not given.bugs or name_of(bug) in given.bugs]
    for bug in hunted:
        caught = hunt(bug, first=given.seed, seeds=given.seeds, steps=given.steps)
        survivors += caught is None
        told = "NOT CAUGHT" if caught is None else _told(caught)
        print(f"bug={name_of(bug)} {told}", flush=True)
    seconds = time.perf_counter() - began
    print(f"bugs={len(hunted)} caught={len(hunted) - survivors} survived={survivors} seconds={seconds:.0f}")
    return 1 if survivors else 0


def _told(caught: Caught) -> str:
    return f"seed={caught.seed} step={caught.ending.broken_at} caught by {caught.ending.broken}"


if __name__ == "__main__":
    sys.exit(main())
