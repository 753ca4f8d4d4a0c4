"""The push service: takes a batch of mutations, gives each its one result, and commits all of it before answering.

One transaction per batch. When anything fails in it, the batch is done again with a savepoint around each mutation, so
that only the bad one is undone and set aside for a person. When even the commit is refused, the batch is halved until
the mutation that spoils it is alone. Results are built only from what committed.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import takewhile
from typing import Any, Final, Generic, TypeVar

import msgspec

from sync import ledger
from sync.clock import effective_time, last_seen
from sync.desk import Desk, Reach
from sync.edits import RowEdits
from sync.handler import Call, Handlers, Outcome, Rejection, quarantined, refused
from sync.ledger import Envelope
from sync.limits import COLLISIONS_MOST
from sync.policy import POLICY, Policy
from sync.protocol import Mutation, Notice, PushAnswer, PushRequest, Refusal, Result, encode
from sync.schemas import SHIPPED, Schemas
from sync.store import Collided, LedgerEntry, LedgerState, RowKey, Store, Transaction, Transient
from sync.task import Command, Decided, RowTask, Task, read_task
from sync.texts import TEXTS

Tx = TypeVar("Tx", bound=Transaction)

BARRED: Final[Mapping[Reach, Outcome]] = {
    Reach.NONE: refused("not_granted"),
    Reach.STALE: quarantined("left_scope"),
}
"""How a mutation ends whose row is out of the device's reach."""
PERHAPS_LOST: Final = quarantined("perhaps_lost")
"""How it ends where the server may have lost what it once granted: what its phone says of it only brings a person."""


@dataclass(frozen=True)
class Pusher:
    """Who pushes: the device the request was authenticated as, and its wall clock when it sent (None: not told)."""

    device: str
    device_now: datetime | None = None


async def push(
    store: Store[Tx],
    handlers: Handlers[Tx],
    *,
    pusher: Pusher,
    request: PushRequest,
    now: datetime,
    new_id: Callable[[], str],
    policy: Policy = POLICY,
    schemas: Schemas = SHIPPED,
) -> PushAnswer:
    """Take a batch of mutations and return one result each, in order; all of it is durable when this returns.

    Raises Refusal (400, 404, 409, 413) when the batch as a whole cannot be taken, and Transient when the database could
    not do it now. In both cases, and when the answer is lost, sending the same bytes again is right.
    """
    envelopes = ledger.read_batch(request.mutations)
    tasks = [read_task(envelope, handlers, policy, schemas) for envelope in envelopes]
    before = (envelopes[0].n - 1 if envelopes else 0, request.after)
    batch = _Batch(store, pusher, request.incarnation, before, now, new_id, schemas)
    results, revoked = await batch.settle_at_last(tasks)
    return PushAnswer([msgspec.Raw(result) for result in results], (Notice.WIPE,) if revoked else ())


@dataclass(frozen=True)
class _Batch(Generic[Tx]):
    store: Store[Tx]
    pusher: Pusher
    incarnation: str
    before: tuple[int, str | None]
    """The number before the first of all, and what the phone says is there."""
    now: datetime
    new_id: Callable[[], str]
    schemas: Schemas

    async def settle_at_last(self, tasks: Sequence[Task[Tx]]) -> tuple[list[bytes], bool]:
        """Settle them, again where this and another transaction waited for each other; the last time raises Collided.

        The rows a batch names are locked in one order, but not what business rules find they need besides.
        """
        for _ in range(COLLISIONS_MOST):
            with suppress(Collided):
                return await self.settle(tasks)
        return await self.settle(tasks)

    async def settle(self, tasks: Sequence[Task[Tx]]) -> tuple[list[bytes], bool]:
        """Do the tasks in order, in one transaction if possible; return results and whether the device is revoked."""
        fault = ""
        for guarded in (False, True):
            try:
                return await self._attempt(tasks, guarded=guarded)
            except (Refusal, Transient):
                raise
            except Exception as error:  # noqa: BLE001 - the boundary to business code: tried again, then recorded
                fault = repr(error)
        if len(tasks) == 1:
            aside = Decided(tasks[0].envelope, quarantined("handler_failed"), fault)
            return await self._attempt([aside], guarded=False)
        half = len(tasks) // 2
        first, _ = await self.settle(tasks[:half])
        second, revoked = await self.settle(tasks[half:])
        return first + second, revoked

    async def _attempt(self, tasks: Sequence[Task[Tx]], *, guarded: bool) -> tuple[list[bytes], bool]:
        async with self.store.write() as tx:
            state = await tx.ledger_state(self.pusher.device, self.incarnation)
            if state is None:
                raise Refusal(404, "unknown_device")
            steps = await self._plan(tx, state, tasks)
            turn = _Turn(self, tx, state, guarded, Desk(tx, self.pusher.device, state, self.now, _targets(tasks)))
            results = await turn.take(tasks, steps)
        return results, state.revoked

    async def _plan(self, tx: Tx, state: LedgerState, tasks: Sequence[Task[Tx]]) -> list[ledger.Step]:
        if state.acked_n is None:
            raise Refusal(409, "unknown_incarnation")
        envelopes = [task.envelope for task in tasks]
        if not envelopes:
            return []
        ns = range(envelopes[0].n - 1, envelopes[-1].n + 1)
        known = await tx.ledger(self.pusher.device, self.incarnation, ns, {envelope.id for envelope in envelopes})
        return ledger.plan_batch(
            envelopes, device=self.pusher.device, person=state.person, incarnation=self.incarnation,
            acked_n=state.acked_n, known=known, before=self.before,
        )  # fmt: skip


def _targets(tasks: Sequence[Task[Any]]) -> list[RowKey]:
    """Return every row a batch names: they are locked together, as pushes that cross would else wait in a circle."""
    commands = (task.target for task in tasks if isinstance(task, Command))
    return [*(target for target in commands if target is not None), *_upcoming_rows(tasks)]


@dataclass(frozen=True)
class _Turn(Generic[Tx]):
    """One attempt at a batch, inside its transaction."""

    batch: _Batch[Tx]
    tx: Tx
    state: LedgerState
    guarded: bool
    desk: Desk

    async def take(self, tasks: Sequence[Task[Tx]], steps: Sequence[ledger.Step]) -> list[bytes]:
        """Do what the plan says; return the results in order."""
        results: list[bytes] = []
        entries: list[LedgerEntry] = []
        looks_ahead = True
        for index, (task, step) in enumerate(zip(tasks, steps, strict=True)):
            if isinstance(step, ledger.Repeat):
                results.append(step.result)
                continue
            if looks_ahead:
                self.desk.upcoming = _upcoming(tasks[index:])
            looks_ahead = isinstance(task, Command)
            entries.append(await self._entry(task, step))
            results.append(entries[-1].result)
        await self.desk.flush()
        if entries:
            await self.tx.record(entries)
        return results

    async def _entry(self, task: Task[Tx], step: ledger.Known | ledger.Misused | ledger.Fresh) -> LedgerEntry:
        if isinstance(step, ledger.Known):
            return self._written(step.envelope, step.result, repeats=True)
        if isinstance(step, ledger.Misused):
            return self._written(step.envelope, _result(step.envelope, refused("id_taken")), repeats=True)
        outcome, fault = await self._outcome(task)
        return self._written(task.envelope, _result(task.envelope, outcome), fault=fault)

    async def _outcome(self, task: Task[Tx]) -> tuple[Outcome, str]:
        if not self.guarded:
            return await self._done(task), task.fault
        try:
            async with self.tx.savepoint():
                outcome = await self._done(task)
                await self.desk.flush()
        except Transient:
            raise
        except Rejection as rejection:
            self.desk.discard()
            return rejection.outcome, ""
        except Exception as error:  # noqa: BLE001 - the boundary to business code: recorded with the payload
            self.desk.discard()
            return quarantined("handler_failed"), repr(error)
        return outcome, task.fault

    async def _done(self, task: Task[Tx]) -> Outcome:
        if self.state.revoked:
            return quarantined("device_revoked")
        if isinstance(task, Decided):
            return task.outcome
        if isinstance(task, RowTask):
            return await self._row_done(task)
        return await self._command_done(task)

    async def _row_done(self, task: RowTask) -> Outcome:
        row = await self.desk.row(task.target)
        reach = Reach.NONE if row is None else await self.desk.reach(row.bucket)
        if row is None or reach in BARRED:
            return self._barred(reach)
        edits = RowEdits(self.desk, task.policy, self.batch.new_id)
        outcome = await edits.do(self._call(task.mutation, reach), row)
        held = self.batch.schemas.held(task.mutation.entity, outcome.held, task.mutation.schema)
        return _told(replace(outcome, held=held), reach)

    async def _command_done(self, task: Command[Tx]) -> Outcome:
        reach = await self._reach(task.target)
        if reach in BARRED:
            return self._barred(reach)
        await self.desk.flush()
        try:
            outcome = await task.handler.run(self.tx, self._call(task.mutation, reach))
        except Rejection as rejection:
            rejection.outcome = _told(rejection.outcome, reach)
            raise
        self.desk.forget()
        await self.desk.grant(outcome.granted)
        return _told(outcome, reach)

    def _barred(self, reach: Reach) -> Outcome:
        return PERHAPS_LOST if self.state.restored and reach is Reach.NONE else BARRED[reach]

    async def _reach(self, target: RowKey | None) -> Reach:
        if target is None:
            return Reach.IN_SCOPE
        bucket = await self.desk.place(target)
        return Reach.NONE if bucket is None else await self.desk.reach(bucket)

    def _call(self, mutation: Mutation, reach: Reach) -> Call:
        happened = effective_time(
            mutation.occurred_at,
            device_now=self.batch.pusher.device_now,
            received_at=self.batch.now,
            not_before=last_seen(mutation.base_v, self.state.served, self.state.enrolled_at),
        )
        return Call(
            mutation=mutation, person=self.state.person, device=self.batch.pusher.device, now=self.batch.now,
            effective_at=happened.at, time_flagged=happened.flagged, in_scope=reach is Reach.IN_SCOPE,
        )  # fmt: skip

    def _written(self, envelope: Envelope, result: Result, *, repeats: bool = False, fault: str = "") -> LedgerEntry:
        return LedgerEntry(
            device=self.batch.pusher.device, person=self.state.person, incarnation=self.batch.incarnation, n=envelope.n,
            mutation_id=None if repeats else envelope.id, repeats=envelope.id if repeats else None, name=envelope.name,
            payload_sum=envelope.payload_sum, payload=envelope.payload, status=result.status, code=result.code,
            result=encode(result), received_at=self.batch.now, fault=fault,
        )  # fmt: skip


def _upcoming(tasks: Sequence[Task[Any]]) -> list[RowKey]:
    """Return what the row mutations up to the next command read."""
    return _upcoming_rows(list(takewhile(lambda task: not isinstance(task, Command), tasks)))


def _upcoming_rows(tasks: Sequence[Task[Any]]) -> list[RowKey]:
    keys: list[RowKey] = []
    for task in tasks:
        if isinstance(task, RowTask):
            keys += (RowKey(task.mutation.entity, task.mutation.row), task.target)
    return keys


def _told(outcome: Outcome, reach: Reach) -> Outcome:
    """Leave code and ids only where the device is out of scope: it is told no values, states or names."""
    if reach is Reach.IN_SCOPE:
        return outcome
    code = "delivered_out_of_scope"
    return Outcome(outcome.status, outcome.code or code, TEXTS[code], outcome.conflicts)


def _result(envelope: Envelope, outcome: Outcome) -> Result:
    return Result(envelope.n, envelope.id, outcome.status, outcome.code, outcome.text, outcome.conflicts, outcome.held)
