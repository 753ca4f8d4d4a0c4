"""What a technician fills in on the phone: answers to a template, a photo, the customer's signature."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from random import Random
from typing import Any, Final

from backend.forms.rules import FilledForm, InspectedAsset, SiteFlags, asked_items, validate_answers
from backend.forms.shown import FormFacts, sha256_hex, shown_document
from backend.forms.signing import Signature, Stroke
from backend.forms.template import (
    Answer,
    CheckItem,
    ChoiceItem,
    ChoicesItem,
    DateItem,
    DatetimeItem,
    Item,
    MoneyItem,
    NumberItem,
    PhotoItem,
    SatisfactionItem,
    SolvedItem,
    Template,
    TickItem,
)

ROUNDS: Final = 10
"""Answers may bring further questions; a template that never ends is an error."""
ABNORMAL_SHARE: Final = 0.1
PHOTO_SIDE: Final = 24


class PaperworkError(RuntimeError):
    """A template could not be filled in; the message lists what is missing."""


def fill(
    template: Template, assets: Sequence[InspectedAsset], photo: str, *, now: datetime, random: Random
) -> FilledForm:
    """Answer everything a template asks, now and then with something abnormal."""
    answers: dict[tuple[str, str], Answer] = {}
    filled = FilledForm(answers=(), assets=tuple(assets))
    for _ in range(ROUNDS):
        filled = FilledForm(answers=tuple(answers.values()), assets=tuple(assets))
        open_items = [
            asked for asked in asked_items(template, filled) if (asked.item.key, asked.subject) not in answers
        ]
        if not open_items:
            break
        for asked in open_items:
            answers[asked.item.key, asked.subject] = _answer(asked.item, asked.subject, photo, now=now, random=random)
    findings = [finding for finding in validate_answers(template, filled, SiteFlags()) if finding.severity == "error"]
    if findings:
        raise PaperworkError(f"{template.key}: {findings}")
    return filled


def sign(template: Template, filled: FilledForm, facts: FormFacts, random: Random) -> tuple[bytes, list[Signature]]:
    """Show the form to those who sign on site; return its canonical bytes and their signatures."""
    shown = shown_document(template, filled, facts)
    signatures = [
        Signature(
            document_sha256=sha256_hex(shown), role=signer.role, method="drawn", signed_at=facts.shown_at,
            name=f"{signer.label.en} {random.randrange(1000)}", phone="", strokes=_scribble(random),
        )
        for signer in template.signers
        if signer.when == "on_site"
    ]  # fmt: skip
    return shown, signatures


def photo_png(random: Random) -> bytes:
    """Return a small picture nobody else has, as PNG."""
    rows = b"".join(b"\0" + random.randbytes(PHOTO_SIDE * 3) for _ in range(PHOTO_SIDE))
    header = struct.pack(">IIBBBBB", PHOTO_SIDE, PHOTO_SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _scribble(random: Random) -> tuple[Stroke, ...]:
    return tuple(
        tuple((60 * stroke + 4 * x, 80 + random.randrange(-40, 40), 12 * x) for x in range(14)) for stroke in range(3)
    )


def _answer(item: Item, subject: str, photo: str, *, now: datetime, random: Random) -> Answer:
    if isinstance(item, PhotoItem):
        return Answer(item=item.key, subject=subject, photos=(photo,))
    if isinstance(item, CheckItem) and not item.blocking and random.random() < ABNORMAL_SHARE:
        return Answer(item=item.key, subject=subject, value="abnormal", note="found worn", photos=(photo,))
    return Answer(item=item.key, subject=subject, value=_value(item, now=now, random=random), note=_note(item))


def _value(item: Item, *, now: datetime, random: Random) -> Any:
    constants: Mapping[type, Any] = {
        CheckItem: "ok",
        TickItem: True,
        SolvedItem: "yes",
        MoneyItem: 0,
        DateItem: now.date().isoformat(),
        DatetimeItem: now.replace(microsecond=0).isoformat(),
    }
    if isinstance(item, ChoiceItem):
        return item.options[0].key
    if isinstance(item, ChoicesItem):
        return tuple(option.key for option in item.options[: item.min_count])
    if isinstance(item, NumberItem):
        return item.minimum or "1"
    if isinstance(item, SatisfactionItem):
        return random.randint(3, 5)
    return constants.get(type(item), "更换并测试 replaced and tested")


def _note(item: Item) -> str:
    first = item.options[0] if isinstance(item, ChoiceItem) else None
    return "see above" if first is not None and first.note_required else ""
