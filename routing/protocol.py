"""What goes over the pipes between a server and the planning process, one JSON object a line.

To the child's standard input: one request, later maybe the line ``cancel``. Closing the pipe cancels too, so that no
search outlives the server that asked for it. From its standard output: ``progress`` lines, then exactly one ``plan``
or ``error`` line. A child that ends without either has crashed or met a limit of the system.

A desk (`routing.desk`) stays: each request line is answered by one line, until the pipe is closed.
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
    """One problem to plan; with `pieces`, the plans of its pieces, those are joined instead (`routing.pieces`)."""

    problem: Problem
    stop: Limits
    seed: int = 0
    pieces: tuple[Plan, ...] = ()


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


class SheetLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A problem and a plan of it, for a desk to hold."""

    problem: Problem
    plan: Plan


class DeskRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One question about the sheet called `key`; with `sheet` the desk holds that one under this key from now on."""

    key: str
    question: msgspec.Raw
    sheet: SheetLine | None = None


class DeskAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one question; one field is set. `unknown_key`: ask again and send the sheet."""

    answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: Fault | None = None
    unknown_key: bool = False


def encode(line: Request | Message | DeskAnswer) -> bytes:
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


def decode_desk_answer(line: bytes) -> DeskAnswer:
    """Return one line of a desk; raise `msgspec.DecodeError` when it is none."""
    return msgspec.json.decode(line, type=DeskAnswer)


def fault(error: ProblemError) -> Fault:
    """Return `error` as it is sent."""
    return Fault(code=error.code, where=error.where, en=error.en, zh=error.zh, facts=error.facts)
