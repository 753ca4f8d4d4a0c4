"""Checking a sealed report: is it unchanged, does the seal cover all of it, whose seal is it, what was signed.

Everything needed lies in the file; only trust comes from outside, as certificates. A file that cannot be read is an
answer too, never an exception: anybody may hand in anything.
"""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, cast

import msgspec
from cryptography import x509
from pyhanko.keys import load_certs_from_pemder_data
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import SignatureCoverageLevel, validate_pdf_signature
from pyhanko.sign.validation.status import PdfSignatureStatus
from pyhanko_certvalidator import ValidationContext

from backend.core.errors import Problem
from backend.forms.canonical import sha256_hex
from backend.forms.shown import ShownForm, read_shown
from backend.forms.signing import Signature
from backend.forms.template import Bilingual

MAX_PDF_BYTES: Final = 64 * 1024 * 1024
"""The largest file checked: 60 photos and the forms around them."""
MAX_ATTACHMENTS: Final = 20

# A seal nobody trusts yet is an ordinary answer here; pyHanko would log a traceback for each.
logging.getLogger("pyhanko.sign.validation").setLevel(logging.CRITICAL)

_PROBLEMS: Final[dict[str, tuple[str, str]]] = {
    "too_large": ("文件过大，无法核验。", "The file is too large to check."),
    "unreadable": ("这不是可读的 PDF 文件。", "This is not a readable PDF file."),
    "not_sealed": ("此文件没有电子封印。", "This file carries no seal."),
    "changed": ("内容在加封后被改动。", "The content was changed after it was sealed."),
    "invalid_seal": ("封印的签名无效。", "The seal's signature is not valid."),
    "not_whole": (
        "封印后又有内容追加，封印不覆盖整个文件。",
        "Something was added after the seal; it does not cover the whole file.",
    ),
    "no_document": ("文件中没有签署内容的原文。", "The signed document is not inside the file."),
    "document_unreadable": ("附件中的签署内容无法读取。", "The signed document inside the file cannot be read."),
    "no_signatures": ("文件中没有签字记录。", "There are no signature records inside the file."),
    "signature_elsewhere": ("有签字绑定的是另一份内容。", "A signature binds another document."),
    "other_document": ("文件中的签署内容不是所查的那一份。", "The document inside is not the one that was asked for."),
}


class SealProblem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with a sealed file."""

    code: str
    told: Bilingual


class SealCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a check found.

    `intact`: the sealed bytes are unchanged and the signature is right. `whole`: nothing was added after sealing
    (`coverage` is pyHanko's word for it). `trusted`: the certificate leads to one of those given and is valid now.
    `bound`: the document inside has exactly the sha256 that every signature record names.
    """

    problems: tuple[SealProblem, ...]
    sealed: bool = False
    intact: bool = False
    whole: bool = False
    coverage: str = ""
    trusted: bool = False
    bound: bool = False
    sealed_at: datetime | None = None
    sealed_by: str = ""
    certificate_sha256: str = ""
    reason: str = ""
    location: str = ""
    shown_sha256: str = ""
    shown: bytes = b""
    form: ShownForm | None = None
    signatures: tuple[Signature, ...] = ()

    @property
    def good(self) -> bool:
        """Sealed, unchanged, whole, and the signatures bind what is inside. Trust is the reader's to give."""
        return self.sealed and not self.problems


def verify_sealed(
    pdf: bytes, *, now: datetime, trusted_certs: Sequence[bytes] = (), expected_sha256: str = ""
) -> SealCheck:
    """What a sealed report is worth at `now`.

    `trusted_certs` are certificates (PEM or DER) that make a seal trusted, `expected_sha256` the signed document that
    was asked for. Never goes to the network. Call it from a thread, not from an event loop.
    """
    if len(pdf) > MAX_PDF_BYTES:
        return _failed("too_large")
    try:
        return _check(pdf, now, trusted_certs, expected_sha256)
    except Exception as error:  # noqa: BLE001 - anybody may hand in anything; what went wrong is part of the answer
        return _failed("unreadable", str(error))


def _problem(code: str, detail: str = "") -> SealProblem:
    zh, en = _PROBLEMS[code]
    more = f" ({detail[:200]})" if detail else ""
    return SealProblem(code=code, told=Bilingual(zh=zh + more, en=en + more))


def _failed(code: str, detail: str = "") -> SealCheck:
    return SealCheck(problems=(_problem(code, detail),))


def _check(pdf: bytes, now: datetime, trusted_certs: Sequence[bytes], expected_sha256: str) -> SealCheck:
    reader = PdfFileReader(io.BytesIO(pdf))
    seals = reader.embedded_regular_signatures
    if not seals:
        return _failed("not_sealed")
    seal = seals[0]  # the organisation's: it certifies the report, so whatever follows it is an addition
    roots: list[Any] = [root for raw in trusted_certs for root in _certificates(raw)]
    context = ValidationContext(trust_roots=roots, allow_fetching=False, moment=now)
    status = validate_pdf_signature(seal, signer_validation_context=context, skip_diff=True)
    facts: Any = seal.sig_object
    signer: Any = status.signing_cert
    certificate = x509.load_der_x509_certificate(signer.dump())
    content = _content(_attachments(reader.get_historical_root(seal.signed_revision)), expected_sha256)
    whole = status.coverage is SignatureCoverageLevel.ENTIRE_FILE
    return msgspec.structs.replace(
        content,
        problems=(*_seal_problems(status, whole=whole), *content.problems),
        sealed=True,
        intact=status.intact and status.valid,
        whole=whole,
        coverage=str(status.coverage).rpartition(".")[2],
        trusted=status.trusted and certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc,
        sealed_at=status.signer_reported_dt,
        sealed_by=certificate.subject.rfc4514_string(),
        certificate_sha256=hashlib.sha256(signer.dump()).hexdigest(),
        reason=str(facts.get("/Reason", "")),
        location=str(facts.get("/Location", "")),
    )


def _certificates(raw: bytes) -> Iterable[Any]:
    """Certificates in PEM or DER, in the shape pyHanko wants."""
    return cast("Iterable[Any]", load_certs_from_pemder_data(raw))


def _seal_problems(status: PdfSignatureStatus, *, whole: bool) -> list[SealProblem]:
    problems: list[SealProblem] = []
    if not status.intact:
        problems.append(_problem("changed"))
    elif not status.valid:
        problems.append(_problem("invalid_seal"))
    if not whole:
        problems.append(_problem("not_whole"))
    return problems


def _content(attached: dict[str, bytes], expected_sha256: str) -> SealCheck:
    """What was signed, and whether the signatures bind it."""
    shown = attached.get("shown.json")
    if shown is None:
        return _failed("no_document")
    problems: list[SealProblem] = []
    named = sha256_hex(shown)
    form: ShownForm | None = None
    try:
        form = read_shown(shown)
    except Problem as problem:
        problems.append(_problem("document_unreadable", problem.findings[0].en))
    if expected_sha256 and named != expected_sha256:
        problems.append(_problem("other_document"))
    signatures: tuple[Signature, ...] = ()
    try:
        signatures = msgspec.json.decode(attached.get("signatures.json", b""), type=tuple[Signature, ...])
    except msgspec.DecodeError as error:
        problems.append(_problem("no_signatures", str(error)))
    if any(signature.document_sha256 != named for signature in signatures):
        problems.append(_problem("signature_elsewhere"))
    bound = form is not None and not problems
    return SealCheck(
        problems=tuple(problems), bound=bound, shown_sha256=named, shown=shown, form=form, signatures=signatures
    )


def _attachments(root: Any) -> dict[str, bytes]:
    """The associated files in a document's catalogue (PDF/A-3, ISO 32000-2 §14.13), by name."""
    if "/AF" not in root:
        return {}
    listed = [root["/AF"][index] for index in range(min(len(root["/AF"]), MAX_ATTACHMENTS))]
    return {str(file["/UF"]): file["/EF"]["/F"].data for file in listed}
