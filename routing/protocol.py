"""What goes over the pipes between a server and the planning process, one JSON object a line.

To the child's standard input: one request, later maybe the line ``cancel``. Closing the pipe cancels too, so that no
search outlives the server that asked for it. From its standard output: ``progress`` lines, then exactly one ``plan``
or ``error`` line. A child that ends without either has crashed or met a limit of the system.
"""

from typing import Annotated, Final

import msgspec

from routing.limits import MIN_ADDRESS_SPACE_BYTES
from routing.plan import Plan, Progress
from routing.problem import Problem, ProblemError
from routing.texts import Facts

CANCEL: Final = b"cancel"


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When to stop: `seconds` of wall time, `solutions` looked at, or both; `address_space_bytes` bounds memory."""

    seconds: float | None = None
    solutions: int | None = None
    address_space_bytes: Annotated[int, msgspec.Meta(ge=MIN_ADDRESS_SPACE_BYTES)] | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One problem to plan."""

    problem: Problem
    stop: Limits
    seed: int = 0


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no plan: a stable code, the element it concerns, and what to do in both languages."""

    code: str
    where: str
    en: str
    zh: str
    facts: Facts


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line from the child; exactly one field is set."""

    progress: Progress | None = None
    plan: Plan | None = None
    error: Fault | None = None


def encode(line: Request | Message) -> bytes:
    """Return `line` as one line of JSON with its line end."""
    return msgspec.json.encode(line) + b"\n"


def decode_request(line: bytes) -> Request:
    """Return the request; raise `ProblemError` 'request_unreadable' for anything else."""
    try:
        return msgspec.json.decode(line, type=Request)
    except msgspec.DecodeError as error:
        raise ProblemError("request_unreadable", "request", detail=str(error)) from error


def decode_message(line: bytes) -> Message:
    """Return one line of the child; raise `msgspec.DecodeError` when it is none."""
    return msgspec.json.decode(line, type=Message)


def fault(error: ProblemError) -> Fault:
    """Return `error` as it is sent."""
    return Fault(code=error.code, where=error.where, en=error.en, zh=error.zh, facts=error.facts)
