"""Reading one mutation of a batch as far as it can be understood without the database. Pure."""

from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from sync.edits import ROW_MUTATIONS, row_target
from sync.handler import Handler, Handlers, Outcome, quarantined
from sync.ledger import Envelope
from sync.limits import SCHEMA
from sync.policy import Policy
from sync.protocol import Mutation, is_uuid
from sync.store import RowKey, Transaction

VOID: Final = "void"
"""A mutation sent in place of one that cannot be delivered (too large, unreadable), so that no number is missing."""

Tx = TypeVar("Tx", bound=Transaction)


@dataclass(frozen=True)
class Decided:
    """Nothing needs to be read to know how it ends. `fault` is for an operator, never sent."""

    envelope: Envelope
    outcome: Outcome
    fault: str = ""


@dataclass(frozen=True)
class RowTask:
    """An `edit`, `add` or `remove`; `target` is the row that must be within reach."""

    envelope: Envelope
    mutation: Mutation
    target: RowKey
    fault: str = ""


@dataclass(frozen=True)
class Command(Generic[Tx]):
    """A business command; `target` is the row that must be within reach, if there is one."""

    envelope: Envelope
    mutation: Mutation
    handler: Handler[Tx]
    target: RowKey | None
    fault: str = ""


Task: TypeAlias = Decided | RowTask | Command[Tx]


def read_task(envelope: Envelope, handlers: Handlers[Tx], policy: Policy) -> Task[Tx]:
    """Read a mutation; whatever cannot be read or is not known here is set aside for a person, never refused."""
    try:
        mutation = msgspec.json.decode(envelope.payload, type=Mutation)
    except msgspec.DecodeError as error:
        return Decided(envelope, quarantined("unreadable_mutation"), str(error))
    if mutation.name == VOID:
        return Decided(envelope, quarantined("undeliverable"))
    if mutation.schema > SCHEMA:
        return Decided(envelope, quarantined("newer_schema"))
    if mutation.name in ROW_MUTATIONS:
        target = row_target(mutation, policy)
        return Decided(envelope, target) if isinstance(target, Outcome) else RowTask(envelope, mutation, target)
    handler = handlers.get(mutation.name)
    return _command(envelope, mutation, handler) if handler else Decided(envelope, quarantined("unknown_mutation"))


def _command(envelope: Envelope, mutation: Mutation, handler: Handler[Tx]) -> Task[Tx]:
    try:
        target = handler.target(mutation)
    except Exception as error:  # noqa: BLE001 - the boundary to business code: recorded with the payload, for a person
        return Decided(envelope, quarantined("unreadable_mutation"), repr(error))
    if target is not None and not is_uuid(target.row):
        return Decided(envelope, quarantined("unreadable_mutation"), "its target is no id")
    return Command(envelope, mutation, handler, target)
