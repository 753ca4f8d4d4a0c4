"""Reading one mutation of a batch as far as it can be understood without the database. Pure."""

from dataclasses import dataclass
from typing import Final, Generic, TypeAlias, TypeVar

import msgspec

from sync.edits import ROW_MUTATIONS, row_target
from sync.handler import Handler, Handlers, Outcome, quarantined
from sync.ledger import Envelope
from sync.policy import Policy
from sync.protocol import Mutation, is_uuid
from sync.schemas import SHIPPED, Schemas
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
    """An `edit`, `add` or `remove`; `target` is the row that must be within reach.

    `policy` are the rules for the schema it was made under.
    """

    envelope: Envelope
    mutation: Mutation
    target: RowKey
    policy: Policy
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


def read_task(envelope: Envelope, handlers: Handlers[Tx], policy: Policy, schemas: Schemas = SHIPPED) -> Task[Tx]:
    """Read a mutation; whatever cannot be read or is not known here is set aside for a person, never refused."""
    try:
        mutation = msgspec.json.decode(envelope.payload, type=Mutation)
    except msgspec.DecodeError as error:
        return Decided(envelope, quarantined("unreadable_mutation"), str(error))
    if mutation.name == VOID:
        return Decided(envelope, quarantined("undeliverable"))
    if mutation.schema > schemas.current:
        return Decided(envelope, quarantined("newer_schema"))
    try:
        mutation = schemas.raised(mutation)
    except Exception as error:  # noqa: BLE001 - the boundary to adapters: recorded with the payload, for a person
        return Decided(envelope, quarantined("unreadable_mutation"), repr(error))
    return _known(envelope, mutation, handlers, schemas.policy(policy, mutation.schema))


def _known(envelope: Envelope, mutation: Mutation, handlers: Handlers[Tx], policy: Policy) -> Task[Tx]:
    if mutation.name in ROW_MUTATIONS:
        target = row_target(mutation, policy)
        if isinstance(target, Outcome):
            return Decided(envelope, target)
        return RowTask(envelope, mutation, target, policy)
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
