"""Whether a filled form is complete and who signs next. Pure: no database, no clock, no web.

A finding never loses what a technician wrote: a signed form that arrives with findings is a fact, so it is set aside
for a dispatcher instead of being thrown away; the findings say what the office or the phone has to do about it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Literal, NamedTuple

import msgspec

from backend.forms import texts
from backend.forms.template import (
    DECIMAL,
    Answer,
    Bilingual,
    CheckItem,
    Item,
    PhotoItem,
    Section,
    Signer,
    Template,
    Value,
)

MAX_NOTE: Final = 2000
"""Characters of a note beside an answer."""
MAX_PHOTOS: Final = 20
"""Photos of one answer."""
MAX_ROWS: Final = 200
"""Rows of a repeated section, whatever the template says."""
MAX_PRICE_LINES: Final = 200
MAX_FEN: Final = 10**13
"""The largest amount, in fen; well inside the integers JSON keeps exactly."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_ROW: Final = re.compile(r"[1-9][0-9]{0,3}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


class InspectedAsset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A place on the layout (camera 12) with the device in it, as named on the form."""

    id: str
    label: str
    type: str = ""
    model: str = ""
    serial: str = ""


class PriceLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One charge. `unit_fen` is the list price; a covered line costs 0 and says why ("0.00 (保修)").

    `amount_fen` is what `line_amount` says. A discount has a negative `unit_fen`.
    """

    kind: Literal["part", "travel", "labour", "discount", "other"]
    label: str
    unit_fen: int
    amount_fen: int
    quantity: str = "1"
    covered_by: Literal["", "warranty", "contract", "goodwill"] = ""


class Prices(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All charges of a visit; `currency` is ISO 4217, `total_fen` their sum."""

    lines: tuple[PriceLine, ...]
    total_fen: int
    currency: str = "CNY"


class PhotoWaiver(msgspec.Struct, frozen=True, kw_only=True):
    """Why photos are missing where the site forbids them: model.md 17, recorded with who decided."""

    reason: str
    granted_by: str


class FilledForm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a technician filled in, before anybody signs."""

    answers: tuple[Answer, ...]
    assets: tuple[InspectedAsset, ...] = ()
    prices: Prices | None = None
    photo_waiver: PhotoWaiver | None = None


class SiteFlags(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a confidential site forbids, as far as it changes a form."""

    no_photos: bool = False


Severity = Literal["block", "error", "warning"]
"""`block` stops the step the template gates (★), `error` leaves the form incomplete, `warning` is for reading."""


class FormFinding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing wrong: `path` names the place for a program, `todo` says to a person what to do about it."""

    code: str
    path: str
    todo: Bilingual
    severity: Severity = "error"
    item: str = ""
    subject: str = ""


class Asked(NamedTuple):
    """One question as it was put: its section, the item, the asset or row, the effective answer if there is one."""

    section: Section
    item: Item
    subject: str
    answer: Answer | None


def is_answered(item: Item, answer: Answer | None) -> bool:
    """Whether there is an answer at all, good or bad."""
    if answer is None:
        return False
    if isinstance(item, PhotoItem):
        return bool(answer.photos)
    if isinstance(answer.value, str):
        return bool(answer.value.strip())
    return answer.value is not None and answer.value != ()


def asked_items(template: Template, filled: FilledForm) -> list[Asked]:
    """Every question this form puts, in the order shown; an item whose `only_if` does not hold is not asked.

    Where two answers claim one place the first counts. Items refer only to earlier ones, so one pass is enough.
    """
    given: dict[tuple[str, str], Answer] = {}
    for answer in filled.answers:
        given.setdefault((answer.item, answer.subject), answer)
    effective: dict[tuple[str, str], Answer] = {}
    asked: list[Asked] = []
    for section in template.sections:
        for subject in subjects_of(section, filled):
            for item in section.items:
                if not _condition_holds(item, subject, effective):
                    continue
                answer = given.get((item.key, subject))
                if answer is not None:
                    effective[item.key, subject] = answer
                asked.append(Asked(section, item, subject, answer))
    return asked


def subjects_of(section: Section, filled: FilledForm) -> list[str]:
    """What a section is repeated for: [""] once, asset ids, or row numbers in order."""
    if section.repeat == "once":
        return [""]
    if section.repeat == "asset":
        wanted = (a.id for a in filled.assets if not section.asset_types or a.type in section.asset_types)
        return list(dict.fromkeys(wanted))
    keys = {item.key for item in section.items}
    rows = {int(a.subject) for a in filled.answers if a.item in keys and _ROW.fullmatch(a.subject)}
    return [str(row) for row in sorted(rows)]


def _condition_holds(item: Item, subject: str, effective: Mapping[tuple[str, str], Answer]) -> bool:
    if item.only_if is None:
        return True
    answer = effective.get((item.only_if.item, subject)) or effective.get((item.only_if.item, ""))
    if answer is None:
        return False
    return not {str(v) for v in condition_values(answer.value)}.isdisjoint(item.only_if.values)


def condition_values(value: Value | None) -> tuple[str, ...]:
    """What a condition compares: "true"/"false" of a tick, every key of a multiple choice, else the value itself."""
    if isinstance(value, bool):
        return ("true",) if value else ("false",)
    if isinstance(value, tuple):
        return value
    return () if value is None else (str(value),)


def validate_answers(template: Template, filled: FilledForm, flags: SiteFlags) -> list[FormFinding]:
    """Everything that keeps the form from being complete, in the order of the form. Empty when all is well."""
    asked = asked_items(template, filled)
    findings = [*_stray_answers(template, filled, asked), *_row_counts(template, filled)]
    for question in asked:
        findings += _one_answer(question, flags)
    findings += _photo_permission(filled, flags, asked)
    findings += validate_prices(template, filled.prices)
    return findings


def _finding(
    code: str,
    question: Asked,
    severity: Severity = "error",
    facts: Mapping[str, str | int] | None = None,
) -> FormFinding:
    item, subject = question.item, question.subject
    place = f"{item.key}[{subject}]" if subject else item.key
    todo = texts.todo(code, item.label, facts)
    return FormFinding(code=code, path=f"answers.{place}", todo=todo, severity=severity, item=item.key, subject=subject)


def _form_finding(
    code: str, path: str, severity: Severity = "error", facts: Mapping[str, str | int] | None = None
) -> FormFinding:
    return FormFinding(code=code, path=path, todo=texts.todo(code, facts=facts), severity=severity)


def _stray_answers(template: Template, filled: FilledForm, asked: Collection[Asked]) -> Iterator[FormFinding]:
    known = {item.key for section in template.sections for item in section.items}
    places = {(q.item.key, q.subject) for q in asked}
    for (item, subject), count in Counter((a.item, a.subject) for a in filled.answers).items():
        path = f"answers.{item}[{subject}]" if subject else f"answers.{item}"
        if item not in known:
            yield _form_finding("unknown_item", path, facts={"item": item})
        elif (item, subject) not in places:
            yield _form_finding("not_asked", path, "warning", {"item": item})
        if count > 1:
            yield _form_finding("duplicate_answer", path, facts={"item": item})


def _row_counts(template: Template, filled: FilledForm) -> Iterator[FormFinding]:
    for section in template.sections:
        if section.repeat != "row":
            continue
        rows = subjects_of(section, filled)
        most = min(section.max_rows, MAX_ROWS)
        path = f"sections.{section.key}"
        if len(rows) < section.min_rows:
            todo = texts.todo("too_few_rows", section.title, {"limit": section.min_rows})
            yield FormFinding(code="too_few_rows", path=path, todo=todo)
        if len(rows) > most:
            yield FormFinding(
                code="too_many_rows", path=path, todo=texts.todo("too_many_rows", section.title, {"limit": most})
            )
        if rows != [str(n) for n in range(1, len(rows) + 1)]:
            yield FormFinding(code="rows_not_numbered", path=path, todo=texts.todo("rows_not_numbered", section.title))


def _one_answer(question: Asked, flags: SiteFlags) -> Iterator[FormFinding]:
    item, answer = question.item, question.answer
    if answer is None or not is_answered(item, answer):
        if not (isinstance(item, PhotoItem) and flags.no_photos):
            yield from _unanswered(question)
        return
    if item.blocking and not item.is_good(answer.value):
        yield _finding("blocking", question, "block")
    refusal = item.refuse(answer)
    if refusal is not None:
        yield _finding(refusal.code, question, facts=refusal.facts)
    if isinstance(item, CheckItem) and _photo_due(question) and not answer.photos and not flags.no_photos:
        yield _finding("abnormal_photo", question)
    yield from _attached(question, answer)


def _unanswered(question: Asked) -> Iterator[FormFinding]:
    if question.item.blocking:
        yield _finding("blocking", question, "block")
    elif question.item.required:
        yield _finding("missing", question)


def _attached(question: Asked, answer: Answer) -> Iterator[FormFinding]:
    if len(answer.note) > MAX_NOTE:
        yield _finding("note_too_long", question, facts={"limit": MAX_NOTE})
    if len(answer.photos) > MAX_PHOTOS:
        yield _finding("too_many_photos", question, facts={"limit": MAX_PHOTOS})
    if not all(_SHA256.fullmatch(photo) for photo in answer.photos):
        yield _finding("bad_photo_hash", question)


def _photo_permission(filled: FilledForm, flags: SiteFlags, asked: Collection[Asked]) -> Iterator[FormFinding]:
    """Site confidentiality: no photos where they are forbidden, and a recorded waiver where one would have been due."""
    waiver = filled.photo_waiver
    if not flags.no_photos:
        if waiver is not None:
            yield _form_finding("waiver_not_needed", "photo_waiver", "warning")
        return
    for question in asked:
        if question.answer is not None and question.answer.photos:
            yield _finding("photo_forbidden", question)
    recorded = waiver is not None and waiver.reason.strip() and waiver.granted_by.strip()
    if any(_photo_due(q) for q in asked) and not recorded:
        yield _form_finding("waiver_missing", "photo_waiver")


def _photo_due(question: Asked) -> bool:
    item, answer = question.item, question.answer
    if isinstance(item, PhotoItem):
        return item.required or item.blocking
    return isinstance(item, CheckItem) and item.abnormal_photo and answer is not None and answer.value == "abnormal"


def line_amount(line: PriceLine) -> int:
    """What a price line costs in fen: nothing when covered, else quantity × unit price, halves rounded away from zero.

    Raises ValueError if the quantity is no decimal above zero.
    """
    if not DECIMAL.fullmatch(line.quantity) or Decimal(line.quantity) <= 0:
        raise ValueError(line.quantity)
    if line.covered_by:
        return 0
    return int((Decimal(line.quantity) * line.unit_fen).quantize(Decimal(1), ROUND_HALF_UP))


def validate_prices(template: Template, prices: Prices | None) -> Iterator[FormFinding]:
    """All charges appear on the signed form (A098), and they add up."""
    if prices is None:
        if template.prices == "required":
            yield _form_finding("prices_missing", "prices")
        return
    if template.prices == "none":
        yield _form_finding("prices_not_asked", "prices")
    if len(prices.lines) > MAX_PRICE_LINES:
        yield _form_finding("too_many_lines", "prices.lines", facts={"limit": MAX_PRICE_LINES})
    if not _CURRENCY.fullmatch(prices.currency):
        yield _form_finding("bad_currency", "prices.currency")
    for number, line in enumerate(prices.lines, start=1):
        yield from _one_line(number, line)
    total = sum(line.amount_fen for line in prices.lines)
    if prices.total_fen != total:
        yield _form_finding("wrong_total", "prices.total_fen", facts={"amount": total})


def _one_line(number: int, line: PriceLine) -> Iterator[FormFinding]:
    path = f"prices.lines[{number}]"
    try:
        amount = line_amount(line)
    except ValueError:
        yield _form_finding("bad_quantity", path, facts={"line": number})
        return
    if max(abs(line.amount_fen), abs(line.unit_fen)) > MAX_FEN:
        yield _form_finding("amount_too_large", path, facts={"line": number})
    if line.amount_fen != amount:
        yield _form_finding("wrong_amount", path, facts={"line": number, "amount": amount})


def missing_signers(template: Template, signed: Collection[str], when: Literal["on_site", "later"]) -> list[Signer]:
    """Required signers still missing; those of `on_site` hold up the visit, those of `later` the review (A111)."""
    return [s for s in template.signers if s.required and s.when == when and s.role not in signed]


def may_sign(template: Template, role: str, signed: Collection[str]) -> FormFinding | None:
    """Why `role` may not sign now, or None: signers sign once, and after every required signer before them (A109)."""
    path = f"signatures.{role}"
    for signer in template.signers:
        if signer.role == role:
            if role in signed:
                return FormFinding(code="already_signed", path=path, todo=texts.todo("already_signed", signer.label))
            return None
        if signer.required and signer.role not in signed and any(s.role == role for s in template.signers):
            return FormFinding(code="not_your_turn", path=path, todo=texts.todo("not_your_turn", signer.label))
    return FormFinding(code="unknown_signer", path=path, todo=texts.todo("unknown_signer", facts={"role": role}))
