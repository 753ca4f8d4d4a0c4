"""What may happen to a Case, what must be known of it, and who is asked for help next. Pure.

The main path is report, register, dispatch, execute, confirm, evaluate (A022): received → triaged → in_progress →
solved → closed → confirmed. A Case that was not solved after all is reopened, and stays the same Case.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from backend.calendars.bounds import AHEAD_MINUTES


class RequestState(StrEnum):
    """Where a Case stands."""

    RECEIVED = "received"
    TRIAGED = "triaged"
    IN_PROGRESS = "in_progress"
    SOLVED = "solved"
    CLOSED = "closed"
    CONFIRMED = "confirmed"
    REOPENED = "reopened"
    CANCELLED = "cancelled"


class Move(StrEnum):
    """What moves a Case from one state to another."""

    TRIAGE = "triage"
    BEGIN = "begin"
    SOLVE = "solve"
    CLOSE = "close"
    CONFIRM = "confirm"
    REOPEN = "reopen"
    CANCEL = "cancel"


_WAITING: Final = (RequestState.RECEIVED, RequestState.TRIAGED, RequestState.REOPENED)
_UNSOLVED: Final = (*_WAITING, RequestState.IN_PROGRESS)
_ENDED: Final = (RequestState.SOLVED, RequestState.CLOSED, RequestState.CONFIRMED)

MOVES: Final[Mapping[Move, Mapping[RequestState, RequestState]]] = {
    Move.TRIAGE: {
        **dict.fromkeys(_WAITING, RequestState.TRIAGED),
        RequestState.IN_PROGRESS: RequestState.IN_PROGRESS,  # facts may change while the work is under way
    },
    Move.BEGIN: dict.fromkeys(_UNSOLVED, RequestState.IN_PROGRESS),
    Move.SOLVE: dict.fromkeys(_UNSOLVED, RequestState.SOLVED),
    Move.CLOSE: {**dict.fromkeys(_UNSOLVED, RequestState.CLOSED), RequestState.SOLVED: RequestState.CLOSED},
    Move.CONFIRM: {RequestState.CLOSED: RequestState.CONFIRMED},
    Move.REOPEN: dict.fromkeys(_ENDED, RequestState.REOPENED),
    Move.CANCEL: dict.fromkeys(_UNSOLVED, RequestState.CANCELLED),
}
OPEN_STATES: Final = frozenset({*_UNSOLVED, RequestState.SOLVED})
"""In these a Case has an owner who acts on it; closed ones are read, called back and perhaps reopened."""


def after(state: RequestState, move: Move) -> RequestState | None:
    """Return the state a move leads to, or None where it is not allowed."""
    return MOVES[move].get(state)


def moves_from(state: RequestState) -> tuple[Move, ...]:
    """Return what may happen to a Case in a state."""
    return tuple(move for move, steps in MOVES.items() if state in steps)


def offered_moves(state: RequestState) -> tuple[Move, ...]:
    """Return the moves somebody may ask for at the Case itself: work begins it and the call-back confirms it."""
    return tuple(move for move in moves_from(state) if move not in {Move.BEGIN, Move.CONFIRM})


# --- intake -----------------------------------------------------------------------------------------------------------

BACKDATING_MINUTES: Final = 5
"""A request registered later than this after it was received needs a reason, because its clocks already run."""


class Receipt(msgspec.Struct, frozen=True):
    """When a request was received, and whether saying so needs a reason."""

    at: datetime
    backdated: bool


def receipt(claimed: datetime | None, now: datetime) -> Receipt | None:
    """Return when a request counts as received; None for a time in the future."""
    if claimed is None:
        return Receipt(now, backdated=False)
    if claimed > now + AHEAD_MINUTES:
        return None
    return Receipt(min(claimed, now), backdated=now - claimed > timedelta(minutes=BACKDATING_MINUTES))


class IntakeFacts(msgspec.Struct, frozen=True):
    """What the intake record should hold (A002, A003); empty is unknown."""

    reporter_name: str
    reporter_phone: str
    address: str
    product_model: str
    purchased_on: str
    symptom: str


def missing_facts(facts: IntakeFacts) -> list[str]:
    """Return the names of facts still to be asked for (A004), in the order people ask."""
    return [name for name in facts.__struct_fields__ if not getattr(facts, name).strip()]


# --- endings ----------------------------------------------------------------------------------------------------------


class Resolution(msgspec.Struct, frozen=True):
    """How a Case may end, as presets/resolutions.toml has it."""

    key: str
    solved: bool
    closes: bool
    needs: tuple[str, ...]


def may_close(state: RequestState, resolution: Resolution) -> bool:
    """Whether a Case may be closed with a resolution (A012): solved and confirmed, or ended without being solved.

    A resolution that claims the problem is solved needs the customer's word first (A104).
    """
    if after(state, Move.CLOSE) is None or not resolution.closes:
        return False
    return state is RequestState.SOLVED or not resolution.solved


# --- escalation -------------------------------------------------------------------------------------------------------


class Chain(msgspec.Struct, frozen=True):
    """An escalation chain: roles from the bottom up; `in_parallel` ones are told at once (A188, A189)."""

    steps: tuple[str, ...]
    mode: str


def next_steps(chain: Chain, *, owner_roles: Collection[str], raised: Sequence[int]) -> list[int]:
    """Return the places in the chain to ask now; empty when everybody has been asked.

    The owner is a step already taken: an engineer's first call for help goes to the specialist above.
    """
    if chain.mode == "in_parallel":
        return [step for step in range(len(chain.steps)) if step not in raised]
    held = [step for step, role in enumerate(chain.steps) if role in owner_roles]
    following = max([*held, *raised], default=-1) + 1
    return [following] if following < len(chain.steps) else []
