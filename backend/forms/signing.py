"""A signature: who, how, when, and the sha256 of exactly what was shown (A102, A109; presets: name, role and phone)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final

import msgspec

from backend.forms import texts
from backend.forms.canonical import canonical_bytes, sha256_hex
from backend.forms.rules import FormFinding, Severity
from backend.forms.shown import ShownForm, ShownSigner, read_shown
from backend.forms.template import Bilingual, Method, Template

MAX_POINTS: Final = 20_000
"""Points of one drawn signature; a slow, long name has about 1,500."""
MAX_COORDINATE: Final = 1_000_000
PHONE_MAXIMUM: Final = 20
"""Characters of a signer's phone number, as long as its column."""
NUL: Final = "\0"
SHA256: Final = re.compile("[0-9a-f]{64}")
EARLIEST_YEAR, LATEST_YEAR = 1, 9999
"""The ends of the calendar: an instant in these years may have no local time."""
CLOCK_TOLERANCE: Final = timedelta(minutes=2)
"""A phone may correct its clock between showing and signing."""

Stroke = tuple[tuple[int, ...], ...]
"""Points of one stroke: (x, y) or (x, y, milliseconds), x to the right, y downwards, any integer unit."""


class Signature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One signer's act. `document_sha256` is the sha256 of the canonical document that was on the glass.

    `strokes` of a drawn or assisted signature, `image_sha256` of the photographed paper, `reason` of a refusal,
    `assisted_by` whose hand it was.
    """

    document_sha256: str
    role: str
    method: Method
    signed_at: Annotated[datetime, msgspec.Meta(tz=True)]
    name: str = ""
    title: str = ""
    phone: str = ""
    reason: str = ""
    assisted_by: str = ""
    strokes: tuple[Stroke, ...] = ()
    image_sha256: str = ""


def signatures_bytes(signatures: Sequence[Signature]) -> bytes:
    """The canonical JSON of signature records, in signing order; the sealed PDF carries it beside the document."""
    return canonical_bytes(signatures)


def signature_findings(signature: Signature, shown: bytes, template: Template | None = None) -> list[FormFinding]:
    """Why this signature does not stand for these bytes. Empty when it does.

    `template`, where known, also says which methods its signers may use. Raises Problem `shown_unreadable`.
    """
    form = read_shown(shown)
    signer = next((s for s in form.signers if s.role == signature.role), None)
    findings = list(_bond(signature, shown, form, signer))
    findings += [*_act(signature), *_writing(signature)]
    allowed = next((s for s in template.signers if s.role == signature.role), None) if template else None
    if allowed is not None and signature.method not in allowed.methods:
        findings.append(_finding("method_not_allowed", signature, label=allowed.label))
    return findings


def _finding(
    code: str, signature: Signature, severity: Severity = "error", *, label: Bilingual | None = None, limit: int = 0
) -> FormFinding:
    todo = texts.todo(code, label, {"role": signature.role, "limit": limit})
    return FormFinding(code=code, path=f"signatures.{signature.role}", todo=todo, severity=severity)


def _bond(signature: Signature, shown: bytes, form: ShownForm, signer: ShownSigner | None) -> Iterator[FormFinding]:
    if signature.document_sha256 != sha256_hex(shown):
        yield _finding("wrong_document", signature)
    if signer is None:
        yield _finding("unknown_signer", signature)
    if signature.signed_at < datetime.fromisoformat(form.shown_at) - CLOCK_TOLERANCE:
        yield _finding("signed_before_shown", signature, "warning")


def _writing(signature: Signature) -> Iterator[FormFinding]:
    """What could not be stored, or not printed, as it was signed."""
    told = (signature.name, signature.title, signature.phone, signature.reason, signature.assisted_by)
    if any(NUL in text for text in told):
        yield _finding("unprintable_text", signature)
    if len(signature.phone) > PHONE_MAXIMUM:
        yield _finding("phone_too_long", signature, limit=PHONE_MAXIMUM)
    if signature.image_sha256 and SHA256.fullmatch(signature.image_sha256) is None:
        yield _finding("image_missing", signature)
    if not EARLIEST_YEAR < signature.signed_at.year < LATEST_YEAR:
        yield _finding("time_impossible", signature)


def _act(signature: Signature) -> Iterator[FormFinding]:
    """Each method has its own proof; a refusal needs only its reason, for who refuses may refuse a name too."""
    if signature.method == "refused":
        if not signature.reason.strip():
            yield _finding("reason_missing", signature)
        return
    if not signature.name.strip():
        yield _finding("name_missing", signature)
    if signature.method == "paper" and not signature.image_sha256:
        yield _finding("image_missing", signature)
    if signature.method == "assisted" and not signature.assisted_by.strip():
        yield _finding("assistant_missing", signature)
    if signature.method in ("drawn", "assisted"):
        yield from _drawing(signature)


def _drawing(signature: Signature) -> Iterator[FormFinding]:
    points = [point for stroke in signature.strokes for point in stroke]
    if len({point[:2] for point in points if len(point) > 1}) < 2:  # noqa: PLR2004 - one dot is no signature
        yield _finding("drawing_missing", signature)
    beyond = any(abs(number) > MAX_COORDINATE for point in points for number in point[:2])
    if len(points) > MAX_POINTS or beyond:
        yield _finding("drawing_too_large", signature)
