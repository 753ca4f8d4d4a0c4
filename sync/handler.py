"""Business commands in a push: what the backend registers by mutation name, and what it is told and answers.

A handler runs inside the push's transaction and does what the web route would do: it calls the same action.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeAlias, TypeVar

from sync.protocol import Mutation, Status
from sync.store import RowKey, Transaction
from sync.texts import TEXTS, Text


@dataclass(frozen=True)
class Call:
    """Who did what, when. `now` is the server's clock; `effective_at` what commitments count (see sync.clock)."""

    mutation: Mutation
    person: str
    device: str
    now: datetime
    effective_at: datetime
    time_flagged: bool
    in_scope: bool
    """False when the work was taken from this person meanwhile: facts become late reports, commands are refused."""


@dataclass(frozen=True)
class Outcome:
    """How a mutation ended. `granted` names buckets the device has just made rows in, so that it may go on there."""

    status: Status
    code: str = ""
    text: Text | None = None
    conflicts: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    granted: tuple[str, ...] = ()


def applied(*, granted: tuple[str, ...] = ()) -> Outcome:
    """The effect is part of this transaction."""
    return Outcome(Status.APPLIED, granted=granted)


def noop() -> Outcome:
    """It was already so."""
    return Outcome(Status.NOOP)


def rejected(code: str, zh: str, en: str) -> Outcome:
    """It cannot be done. Return this only before anything was written; otherwise raise `Rejection`, which undoes it."""
    return Outcome(Status.REJECTED, code, Text(zh, en))


def refused(code: str) -> Outcome:
    """It is rejected for one of sync's own reasons (see sync.texts)."""
    return Outcome(Status.REJECTED, code, TEXTS[code])


def quarantined(code: str, text: Text | None = None) -> Outcome:
    """A person has to look at it; the payload is kept."""
    return Outcome(Status.QUARANTINED, code, text or TEXTS[code])


class Rejection(Exception):
    """Raised by a handler: the mutation cannot be done, and whatever the handler wrote for it is undone."""

    def __init__(self, code: str, zh: str, en: str) -> None:
        super().__init__(code)
        self.outcome = rejected(code, zh, en)


Tx = TypeVar("Tx", bound=Transaction)


@dataclass(frozen=True)
class Handler(Generic[Tx]):
    """A business command.

    `run(tx, call)` does it. `target(mutation)` names the row in whose bucket it happens, which the device must hold or
    have held; None for commands that need no row, such as a new request. Both may raise for a payload that makes no
    sense: it is then kept for a person.
    """

    run: Callable[[Tx, Call], Awaitable[Outcome]]
    target: Callable[[Mutation], RowKey | None]


Handlers: TypeAlias = Mapping[str, Handler[Tx]]
