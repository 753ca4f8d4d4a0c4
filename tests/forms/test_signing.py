"""A signature stands only for the bytes that were shown, by a signer asked for, with the proof its method needs."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from backend.forms.signing import MAX_POINTS, Signature, signature_findings, signatures_bytes
from tests.forms.samples import NOW, STROKES, TEMPLATE, shown, signatures

DOCUMENT = shown()
DRAWN, TYPED = signatures(DOCUMENT)


def codes(signature: Signature, document: bytes = DOCUMENT) -> list[str]:
    return [finding.code for finding in signature_findings(signature, document, TEMPLATE)]


@pytest.mark.rule("A102", "A109")
def test_what_was_drawn_and_typed_on_site_stands() -> None:
    assert codes(DRAWN) == []
    assert codes(TYPED) == []


def test_a_signature_does_not_stand_for_any_other_bytes() -> None:
    dearer = DOCUMENT.replace(b'"total":"120.00"', b'"total":"920.00"')
    assert dearer != DOCUMENT
    assert codes(DRAWN, dearer) == ["wrong_document"]
    assert codes(msgspec.structs.replace(DRAWN, document_sha256="0" * 64)) == ["wrong_document"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"role": "neighbour"}, "unknown_signer"),
        ({"name": " "}, "name_missing"),
        ({"strokes": ()}, "drawing_missing"),
        ({"strokes": (((5, 5, 0),), ((5, 5, 9),), ())}, "drawing_missing"),
        ({"strokes": (((1,), (2,), ()),)}, "drawing_missing"),
        ({"strokes": (tuple((n, n) for n in range(MAX_POINTS + 1)),)}, "drawing_too_large"),
        ({"strokes": (((0, 0), (10**9, 1)),)}, "drawing_too_large"),
        ({"method": "paper"}, "image_missing"),
        ({"method": "assisted"}, "assistant_missing"),
        ({"method": "refused"}, "reason_missing"),
        ({"signed_at": NOW - timedelta(hours=1)}, "signed_before_shown"),
    ],
)
def test_each_method_needs_its_proof(change: dict[str, Any], code: str) -> None:
    assert codes(msgspec.structs.replace(DRAWN, **change)) == [code]


@pytest.mark.parametrize(
    "change",
    [
        {"method": "typed", "strokes": ()},
        {"method": "paper", "image_sha256": "ab" * 32, "strokes": ()},
        {"method": "assisted", "assisted_by": "李伟"},
        {"method": "refused", "reason": "对收费有异议", "name": "", "strokes": ()},
        {"signed_at": NOW - timedelta(minutes=1)},
    ],
)
def test_every_method_of_the_presets_can_stand(change: dict[str, Any]) -> None:
    assert codes(msgspec.structs.replace(DRAWN, **change)) == []


def test_the_template_says_who_may_sign_how() -> None:
    by_paper = msgspec.structs.replace(TYPED, method="paper", image_sha256="ab" * 32)
    assert codes(by_paper) == ["method_not_allowed"]
    assert signature_findings(by_paper, DOCUMENT) == []


def test_an_early_clock_is_only_a_warning() -> None:
    early = msgspec.structs.replace(DRAWN, signed_at=NOW - timedelta(hours=1))
    assert [finding.severity for finding in signature_findings(early, DOCUMENT)] == ["warning"]


def test_signature_records_are_canonical_and_read_back() -> None:
    raw = signatures_bytes((DRAWN, TYPED))
    assert msgspec.json.decode(raw, type=tuple[Signature, ...]) == (DRAWN, TYPED)
    assert msgspec.json.decode(raw, type=tuple[Signature, ...])[0].strokes == STROKES
    assert signatures_bytes(()) == b"[]"
