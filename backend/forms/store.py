"""Sealed reports as they lie on the disk: handed out and vouched for only while they are the bytes that were sealed.

Reads files and checks signatures: call it from a thread, not from an event loop.
"""

from datetime import datetime
from typing import Final

from backend.attachments.store import BlobStore
from backend.core.errors import Problem
from backend.forms.canonical import sha256_hex
from backend.forms.faults import REPORT_DAMAGED
from backend.forms.schemas import SealCheckView, SealFacts
from backend.forms.template import Bilingual

CHECKS_KEPT: Final = 10_000
"""Seals whose check is remembered; a check takes 17 ms, a look at the bytes about one."""

_checked: dict[SealFacts, tuple[Bilingual, ...]] = {}
"""What was wrong with a seal. The key holds the hash of the bytes that were checked, so an answer never grows old."""


def sealed_bytes(blobs: BlobStore, pdf_sha256: str) -> bytes:
    """Return a sealed report, read from disk and compared with its hash; raises report_damaged."""
    try:
        content = blobs.read(pdf_sha256)
    except OSError as error:
        raise Problem(REPORT_DAMAGED) from error
    if sha256_hex(content) != pdf_sha256:
        raise Problem(REPORT_DAMAGED)
    return content


def vouch(blobs: BlobStore, facts: SealFacts, now: datetime) -> SealCheckView:
    """Say whether the stored report is the one that was sealed, and its seal binds the signed document asked for."""
    try:
        wrong = _seal_problems(sealed_bytes(blobs, facts.pdf_sha256), facts, now)
    except Problem as problem:
        if problem.fault is not REPORT_DAMAGED:
            raise  # a store out of reach says nothing about the report
        wrong = (Bilingual(zh=REPORT_DAMAGED.zh, en=REPORT_DAMAGED.en),)
    if wrong:
        told = Bilingual(
            zh="不能证明此报告:" + "".join(one.zh for one in wrong),
            en="This report cannot be vouched for. " + " ".join(one.en for one in wrong),
        )
    elif facts.counts:
        told = Bilingual(
            zh=f"签字有效,自 {facts.sealed_at:%Y-%m-%d %H:%M} UTC 起未被改动。",
            en=f"Signature valid; unchanged since {facts.sealed_at:%Y-%m-%d %H:%M} UTC.",
        )
    else:
        told = Bilingual(
            zh="签字有效,但此单已被作废或更正。",
            en="The signature is valid, but this form was voided or corrected since.",
        )
    return SealCheckView(
        state="invalid" if wrong else "valid", sealed_at=facts.sealed_at, shown_sha256=facts.shown_sha256,
        sentence_zh=told.zh, sentence_en=told.en,
    )  # fmt: skip


def _seal_problems(pdf: bytes, facts: SealFacts, now: datetime) -> tuple[Bilingual, ...]:
    """What is wrong with the seal; whether its certificate is trusted is the reader's to decide."""
    known = _checked.get(facts)
    if known is not None:
        return known
    from backend.forms.verify import verify_sealed  # noqa: PLC0415 - as in `seals`

    check = verify_sealed(pdf, now=now, expected_sha256=facts.shown_sha256)
    wrong = [problem.told for problem in check.problems]
    if check.sealed and check.certificate_sha256 != facts.certificate_sha256:
        wrong.append(Bilingual(zh="封印不是当初所用的密钥。", en="The seal was made with another key."))
    for oldest in list(_checked)[: max(0, len(_checked) - CHECKS_KEPT + 1)]:
        _checked.pop(oldest, None)  # another thread may have been faster
    return _checked.setdefault(facts, tuple(wrong))
