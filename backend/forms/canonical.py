"""Canonical JSON (RFC 8785): the exact bytes a signature binds, the same on every phone and server.

Three rules on top of RFC 8785 (docs/decisions/0401):
no floats (a number is an integer or a decimal string), so no two printers of floats can disagree;
no Unicode normalisation, because the bytes are what was shown, and NFC would change the characters of some names;
no lone surrogates, which have no UTF-8.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import zip_longest
from typing import Final, cast

import msgspec
import rfc8785

MAX_BYTES: Final = 1024 * 1024
"""The largest canonical document read, 1 MiB; a form with 100 assets and 20 items each is about 400 KB."""
MAX_DEPTH: Final = 32
"""Nesting of a canonical document."""
MAX_MISMATCHES: Final = 50
"""Differences listed; more only say that the documents are different."""

Json = None | bool | int | str | list["Json"] | tuple["Json", ...] | dict[str, "Json"]
"""JSON as Python has it; msgspec leaves tuples as they are."""


class NotCanonicalError(ValueError):
    """These bytes, or this value, cannot be canonical JSON under the rules above; the message says why."""


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between two documents: a path such as `sections[0].title`, and both values as JSON ("": none)."""

    path: str
    received: str
    expected: str


def canonical_bytes(value: object) -> bytes:
    """The canonical bytes of a msgspec struct or plain JSON value.

    Raises NotCanonicalError for floats, integers beyond 2^53 − 1, lone surrogates and too deep nesting.
    """
    plain = cast("Json", msgspec.to_builtins(value))
    _refuse_inexact(plain, 0)
    try:
        return rfc8785.dumps(plain)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise NotCanonicalError(str(error)) from error


def canonical_value(raw: bytes) -> Json:
    """The value of canonical bytes.

    Raises NotCanonicalError unless the bytes are exactly what `canonical_bytes` writes, which also refuses duplicate
    keys, spaces and every other second spelling of the same value.
    """
    if len(raw) > MAX_BYTES:
        raise NotCanonicalError(f"larger than {MAX_BYTES} bytes")
    try:
        value = cast("Json", json.loads(raw.decode("utf-8"), parse_float=_no_float, parse_constant=_no_float))
    except (ValueError, RecursionError) as error:
        raise NotCanonicalError(str(error) or "nested too deeply") from error
    if canonical_bytes(value) != raw:
        raise NotCanonicalError("not the canonical spelling (RFC 8785) of its value")
    return value


def sha256_hex(raw: bytes) -> str:
    """The sha256 of `raw`, 64 small hexadecimal digits."""
    return hashlib.sha256(raw).hexdigest()


def mismatches(received: object, expected: object) -> list[Mismatch]:
    """Every difference between two JSON values or structs, first to last, at most MAX_MISMATCHES."""
    found: list[Mismatch] = []
    left, right = cast("Json", msgspec.to_builtins(received)), cast("Json", msgspec.to_builtins(expected))
    for difference in _differences("", left, right):
        found.append(difference)
        if len(found) == MAX_MISMATCHES:
            break
    return found


def _no_float(text: str) -> Json:
    raise NotCanonicalError(f"the number {text} is not an integer")


def _refuse_inexact(value: Json, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise NotCanonicalError(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, float):
        raise NotCanonicalError(f"the number {value} is not an integer")
    children: Sequence[Json] = ()
    if isinstance(value, dict):
        children = list(value.values())
    elif isinstance(value, list | tuple):
        children = value
    for child in children:
        _refuse_inexact(child, depth + 1)


class _Absent(Enum):
    ABSENT = 0


def _differences(path: str, left: Json | _Absent, right: Json | _Absent) -> Iterator[Mismatch]:
    if isinstance(left, dict) and isinstance(right, dict):
        for key in sorted(left.keys() | right.keys()):
            inner = f"{path}.{key}" if path else key
            yield from _differences(inner, left.get(key, _Absent.ABSENT), right.get(key, _Absent.ABSENT))
    elif isinstance(left, list | tuple) and isinstance(right, list | tuple):
        for index, (one, other) in enumerate(zip_longest(left, right, fillvalue=_Absent.ABSENT)):
            yield from _differences(f"{path}[{index}]", one, other)
    elif type(left) is not type(right) or left != right:
        yield Mismatch(path=path, received=_spelled(left), expected=_spelled(right))


def _spelled(value: Json | _Absent) -> str:
    return "" if isinstance(value, _Absent) else json.dumps(value, ensure_ascii=False)
