"""Canonical JSON: the bytes a signature binds are the same everywhere, and no second spelling passes for the first."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.forms.canonical import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_MISMATCHES,
    Mismatch,
    NotCanonicalError,
    canonical_bytes,
    canonical_value,
    mismatches,
    sha256_hex,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=15,
)


def test_the_examples_of_rfc_8785() -> None:
    unsorted = {"\u20ac": "Euro Sign", "\r": "Carriage Return", "\U0001f600": "Emoji", "1": "One", "\u0080": "Control"}
    unsorted |= {"\u00f6": "Latin", "\ufb33": "Hebrew"}
    keys = [key for key, _ in json.loads(canonical_bytes(unsorted), object_pairs_hook=list)]
    assert keys == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]  # section 3.2.3: UTF-16 order
    assert canonical_bytes('\u20ac$\u000f\nA\'B"\\\\"/') == b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'  # 3.2.2.2


@given(JSON)
def test_canonical_bytes_read_back_to_the_same_value(value: Any) -> None:
    raw = canonical_bytes(value)
    assert canonical_value(raw) == value
    assert canonical_bytes(canonical_value(raw)) == raw
    assert json.loads(raw) == value


@given(JSON, JSON)
def test_equal_bytes_mean_equal_values_and_no_mismatch(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (canonical_bytes(one) == canonical_bytes(other)) is same
    assert (mismatches(one, other) == []) is same


@pytest.mark.parametrize(
    "value",
    [1.0, [0.5], {"a": (1, 2.5)}, float("nan"), 2**53, -(2**53), "\ud800", {"\udfff": 1}],
    ids=repr,
)
def test_what_two_machines_might_write_differently_is_refused(value: object) -> None:
    with pytest.raises(NotCanonicalError):
        canonical_bytes(value)


def test_nesting_has_an_end() -> None:
    deep: object = 1
    for _ in range(MAX_DEPTH):
        deep = [deep]
    assert canonical_bytes(deep)
    with pytest.raises(NotCanonicalError, match="nested"):
        canonical_bytes([deep])


@pytest.mark.parametrize(
    "raw",
    [
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1,"a":2}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b"NaN",
        b'"\\u00e9"',
        b'"\xff"',
        b'"\\ud800"',
        b"\xef\xbb\xbf1",
        b"",
        b"{",
        b"[" * 100_000,
        b"[" * 300 + b"]" * 300,
        b"1" * 5000,
        b'"' + b"a" * MAX_BYTES + b'"',
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_any_other_spelling_is_refused(raw: bytes) -> None:
    with pytest.raises(NotCanonicalError):
        canonical_value(raw)


@pytest.mark.parametrize("text", ["e\u0301", "\u00e9", "\uf914", "\u6a02", "𠮷", "\u212b"])
def test_names_are_bound_as_they_are_written_without_normalisation(text: str) -> None:
    assert canonical_value(canonical_bytes(text)) == text
    others = {"e\u0301", "\u00e9", "\uf914", "\u6a02", "𠮷", "\u212b"} - {text}
    assert sha256_hex(canonical_bytes(text)) not in {sha256_hex(canonical_bytes(other)) for other in others}


def test_sha256_is_that_of_the_bytes() -> None:
    assert sha256_hex(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


class Line(msgspec.Struct):
    name: str
    cost: int | None = None
    tags: tuple[str, ...] = ()


def test_mismatches_name_every_place_and_both_values() -> None:
    received = {"lines": [Line("板", 5, ("a",)), Line("线")], "total": True, "extra": "x"}
    expected = {"lines": [Line("板", 6, ("a", "b"))], "total": 1}
    assert mismatches(received, expected) == [
        Mismatch(path="extra", received='"x"', expected=""),
        Mismatch(path="lines[0].cost", received="5", expected="6"),
        Mismatch(path="lines[0].tags[1]", received="", expected='"b"'),
        Mismatch(path="lines[1]", received='{"name": "线", "cost": null, "tags": []}', expected=""),
        Mismatch(path="total", received="true", expected="1"),
    ]


def test_mismatches_stop_at_their_limit() -> None:
    assert len(mismatches(list(range(100)), list(range(1, 101)))) == MAX_MISMATCHES
