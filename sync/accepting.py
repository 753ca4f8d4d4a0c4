"""Doing a mutation that was set aside: a dispatcher accepts it, and it runs now, as the person who made it.

What a device was never granted stays undone, and whoever lost the work meanwhile reports late: the rules of a push
hold, except that nobody asks how long ago the work left the phone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from sync.clock import effective_time, last_seen
from sync.desk import Desk, Reach
from sync.edits import RowEdits
from sync.handler import Call, Handlers, Outcome, Rejection, quarantined, refused
from sync.ledger import Envelope
from sync.policy import POLICY, Policy
from sync.protocol import Mutation, Status
from sync.schemas import SHIPPED, Schemas
from sync.store import LedgerEntry, LedgerState, Transaction, Transient
from sync.task import Command, Decided, RowTask, read_task

Tx = TypeVar("Tx", bound=Transaction)

SETTLING: Final = frozenset((Status.APPLIED, Status.MERGED, Status.NOOP, Status.CONFLICT))
"""Ends that settle what was set aside; after any other it waits as before, and nothing was written."""


@dataclass(frozen=True)
class Accepted:
    """How a mutation ended that was accepted. `fault` is for an operator."""

    outcome: Outcome
    fault: str = ""

    @property
    def settled(self) -> bool:
        """Whether it is done with."""
        return self.outcome.status in SETTLING


async def accept(
    tx: Tx,
    handlers: Handlers[Tx],
    entry: LedgerEntry,
    *,
    now: datetime,
    new_id: Callable[[], str],
    policy: Policy = POLICY,
    schemas: Schemas = SHIPPED,
) -> Accepted:
    """Do the mutation of a quarantined entry inside this transaction; whoever calls sees that it is done once.

    Raises Transient, and LookupError when nobody enrolled its device.
    """
    state = await tx.ledger_state(entry.device, entry.incarnation)
    if state is None:
        raise LookupError(entry.device)
    envelope = Envelope(entry.mutation_id or "", entry.n, entry.name, entry.payload, entry.payload_sum)
    task = read_task(envelope, handlers, policy, schemas)
    if isinstance(task, Decided):
        return Accepted(task.outcome, task.fault)
    if task.mutation.id != entry.mutation_id:
        return Accepted(refused("id_taken"))
    targets = [task.target] if task.target else []
    doing = _Accepting(tx, entry, state, Desk(tx, entry.device, state, now, targets), now)
    try:
        async with tx.savepoint():
            outcome = await doing.do(task, new_id)
            await doing.desk.flush()
    except Transient:
        raise
    except Rejection as rejection:
        return Accepted(rejection.outcome)
    except Exception as error:  # noqa: BLE001 - the boundary to business code: told to whoever accepts, and kept
        return Accepted(quarantined("handler_failed"), repr(error))
    return Accepted(outcome)


@dataclass(frozen=True)
class _Accepting(Generic[Tx]):
    tx: Tx
    entry: LedgerEntry
    state: LedgerState
    desk: Desk
    now: datetime

    async def do(self, task: RowTask | Command[Tx], new_id: Callable[[], str]) -> Outcome:
        """Do it as the push would have."""
        reach = await self._reach(task)
        if reach is Reach.NONE:
            return refused("not_granted")
        call = self._call(task.mutation, reach)
        if isinstance(task, Command):
            return await task.handler.run(self.tx, call)
        row = await self.desk.row(task.target)
        return refused("not_granted") if row is None else await RowEdits(self.desk, task.policy, new_id).do(call, row)

    async def _reach(self, task: RowTask | Command[Any]) -> Reach:
        if task.target is None:
            return Reach.IN_SCOPE
        bucket = await self.desk.place(task.target)
        return Reach.NONE if bucket is None else await self.desk.reach(bucket)

    def _call(self, mutation: Mutation, reach: Reach) -> Call:
        """The offset of the device's clock is not known any more; its time counts within what the server can know."""
        happened = effective_time(
            mutation.occurred_at, device_now=None, received_at=self.entry.received_at,
            not_before=last_seen(mutation.base_v, self.state.served, self.state.enrolled_at),
        )  # fmt: skip
        return Call(
            mutation=mutation, person=self.entry.person, device=self.entry.device, now=self.now,
            effective_at=happened.at, time_flagged=happened.flagged, in_scope=reach is Reach.IN_SCOPE,
        )  # fmt: skip
